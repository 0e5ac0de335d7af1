"""The simulator as a server, until it is told to end."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shlex
import ssl
from collections.abc import Iterable
from pathlib import Path

import attrs

from aionorth.cli.deletion import Kind
from aionorth.cli.exits import ProblemError
from aionorth.cli.settings import APP_ID, SECRET, URL
from aionorth.cli.signals import on_signals
from aionorth.cli.terminal import command, put
from aionorth.flow import FlowControl
from aionorth.simulator import Fault, HtmlPage, Reset, ServerError, Simulator

DEMO_SECRET = "demo-secret"  # noqa: S105 - the simulated app's, no secret
"""The secret of the simulated app."""

LOG_LIMIT = 1000
"""How many arrivals the simulator remembers; nobody asks for them here."""


@attrs.frozen(kw_only=True)
class Tls:
    """The files that https takes; without a certificate it is http."""

    cert: str | None = None
    key: str | None = None
    client_ca: str | None = None

    def context(self) -> ssl.SSLContext | None:
        """Return the server's context; raises `ProblemError` for files that it cannot use."""
        if self.cert is None:
            if self.key is not None or self.client_ca is not None:
                raise ProblemError("--key and --client-ca are of no use without --cert: give the certificate as well")
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            # Without a password callable OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self.cert, self.key, password=lambda: "")
        except (OSError, ValueError) as exc:
            files = " and ".join(file for file in (self.cert, self.key) if file is not None)
            raise ProblemError(f"{files} cannot be used: {exc}; give PEM files, the key without a passphrase") from exc
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except OSError as exc:
                raise ProblemError(f"{self.client_ca} cannot be used: {exc}; give a PEM file") from exc
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@attrs.frozen(kw_only=True)
class Faults:
    """What befalls calls, each by its chance."""

    reset_before: float = 0.0
    reset_after: float = 0.0
    congested: float = 0.0
    bad_gateway: float = 0.0

    def chances(self) -> dict[Fault, float]:
        """Return them as the simulator takes them."""
        return {
            Reset(): self.reset_before,
            Reset(after_effect=True): self.reset_after,
            ServerError(): self.congested,
            HtmlPage(): self.bad_gateway,
        }


@attrs.frozen(kw_only=True)
class Served:
    """What is simulated, and where."""

    host: str
    port: int
    calls: int
    """The threshold; 0 means no flow control."""
    period: float
    model: str
    subscriptions: int
    packages: int
    app_id: str
    seed: int
    latency: float
    retry_after: bool
    faults: Faults
    tls: Tls

    def simulator(self) -> Simulator:
        """Return the simulator; raises `ProblemError` for what it cannot be."""

        def latency(chance: random.Random) -> tuple[float, float]:
            return chance.uniform(0, self.latency), chance.uniform(0, self.latency)

        try:
            return Simulator(
                {self.app_id: DEMO_SECRET},
                model=self.model,
                calls=self.calls or None,
                period=self.period,
                retry_after=self.retry_after,
                latency=latency if self.latency else None,
                chances=self.faults.chances(),
                seed=self.seed,
                host=self.host,
                port=self.port,
                tls=self.tls.context(),
                log_limit=LOG_LIMIT,
            )
        except ValueError as exc:
            raise ProblemError(str(exc)) from exc


@attrs.frozen(kw_only=True)
class Files:
    """Where the ids go."""

    subscriptions: str | None = None
    packages: str | None = None


async def serve(served: Served, files: Files) -> None:
    """Serve until SIGINT or SIGTERM."""
    ended = asyncio.Event()
    platform = served.simulator()
    _write(files.subscriptions, platform.add_subscriptions(served.subscriptions))
    _write(files.packages, platform.add_packages(served.packages))
    try:
        await platform.start()
    except OSError as exc:
        # asyncio's own text tells the address a second time.
        reason = os.strerror(exc.errno) if exc.errno is not None and exc.errno in errno.errorcode else exc.strerror
        where = f"{served.host}:{served.port}"
        raise ProblemError(f"cannot listen on {where}: {reason}; choose another --port or --host") from exc
    try:
        with on_signals(ended.set):
            put(introduction(served, files, platform.url))
            await ended.wait()
        subscriptions, packages = len(platform.subscription_ids()), len(platform.package_ids())
    finally:
        await platform.close()
    put(
        f"\nEnded, with {subscriptions:,} of {served.subscriptions:,} subscriptions and {packages:,} of "
        f"{served.packages:,} version packages left."
    )


def introduction(served: Served, files: Files, url: str) -> str:
    """Return what to know about the simulator at `url`, and what to type in another terminal."""
    allowed = f"{served.calls:,} calls in {served.period:g} s, counted by the model {served.model!r}"
    exports = {URL: url, APP_ID: served.app_id, SECRET: DEMO_SECRET}
    written = [(Kind.SUBSCRIPTIONS, files.subscriptions), (Kind.PACKAGES, files.packages)]
    commands = [_command(served, kind, file) for kind, file in written if file is not None]
    return "\n".join(
        [
            f"A simulated platform at {url}",
            f"  flow control: {allowed if served.calls else 'off'}",
            f"  to delete: {served.subscriptions:,} subscriptions, {served.packages:,} version packages",
            "",
            "In another terminal:",
            "",
            *(f"  export {name}={shlex.quote(value)}" for name, value in exports.items()),
            *(f"  {line}" for line in commands),
            "",
            *([] if commands else ["--write-subscription-ids FILE and --write-package-ids FILE give ids to try.", ""]),
            "Ctrl-C ends it.",
        ]
    )


def _command(served: Served, kind: Kind, file: str) -> str:
    """Return the command that deletes what `file` names, as fast as the simulator allows."""
    flow, usual = FlowControl(calls=served.calls or FlowControl().calls, period=served.period), FlowControl()
    words = ["delete", kind.value, "--ids-file", file]
    words += ["--calls", str(flow.calls)] if flow.calls != usual.calls else []
    words += ["--period", f"{flow.period:g}"] if flow.period != usual.period else []
    words += ["--ca-file", "CA.pem"] if served.tls.cert is not None else []
    words += ["--client-cert", "CLIENT.pem"] if served.tls.client_ca is not None else []
    return f"{command()} {shlex.join(words)}"


def _write(file: str | None, ids: Iterable[str]) -> None:
    """Write `ids` to `file`, one a line."""
    if file is None:
        return
    try:
        Path(file).write_text("".join(f"{id_}\n" for id_ in ids), "utf-8")
    except OSError as exc:
        raise ProblemError(f"{file} cannot be written: {exc.strerror}; give the path of a file") from exc
