"""The simulator as a server, until it is told to end."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shlex
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import attrs

from aionorth.cli.commands.signals import on_signals
from aionorth.cli.output.exits import ProblemError
from aionorth.cli.output.terminal import command, put
from aionorth.cli.settings.connection import APP_ID, URL
from aionorth.cli.settings.secrets import SECRET
from aionorth.cli.settings.sources import variable
from aionorth.common.text import visible
from aionorth.flow.limiter import FlowControl
from aionorth.models import Kind
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
    _write(files.subscriptions, add_subscriptions(platform, served.subscriptions))
    _write(files.packages, add_packages(platform, served.packages, datetime.now(UTC)))
    try:
        await platform.start()
    except (OSError, UnicodeError) as exc:
        # asyncio's own text tells the address a second time.
        number = exc.errno if isinstance(exc, OSError) else None
        reason = os.strerror(number) if number is not None and number in errno.errorcode else exc
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


def add_subscriptions(platform: Simulator, number: int) -> list[str]:
    """Give the platform `number` subscriptions of several types, a third of which call an old host; return the ids."""
    ids: list[str] = []
    for part, (notify_type, host) in enumerate(product(_NOTIFY_TYPES, _HOSTS)):
        share = _share(number, part, len(_NOTIFY_TYPES) * len(_HOSTS))
        url = f"https://{host}.example.com:443/callback"
        ids += platform.add_subscriptions(share, notify_type=notify_type, callback_url=url)
    return ids


def add_packages(platform: Simulator, number: int, now: datetime) -> list[str]:
    """Give the platform `number` packages of several models and versions, uploaded over two years; return the ids."""
    ids: list[str] = []
    for at in range(number):
        kind, release = at % len(_PACKAGES), at // len(_PACKAGES)
        device_type, model = _PACKAGES[kind]
        version = f"V{1 + release // 10}.{release % 10}"
        ids += platform.add_packages(
            1,
            name=f"{model.lower()}-{version.lower()}.zip",
            version=version,
            file_type="softwarePackage" if kind == len(_PACKAGES) - 1 else "firmwarePackage",
            device_type=device_type,
            model=model,
            uploaded=now - timedelta(days=730 * (1 - at / number)),
        )
    return ids


_NOTIFY_TYPES = ("deviceDataChanged", "deviceAdded", "deviceDeleted", "ruleEvent")
_HOSTS = ("new", "app", "old")
_PACKAGES = (("WaterMeter", "WM-1"), ("WaterMeter", "WM-2"), ("GasMeter", "GM-1"), ("Gateway", "GW-3"))


_TO_TRY = (
    (Kind.SUBSCRIPTIONS, ["--callback-host", "old.example.com", "--dry-run"]),
    (Kind.PACKAGES, ["--keep-latest", "2", "--older-than", "90d", "--dry-run"]),
)


def _share(number: int, part: int, parts: int) -> int:
    return number * (part + 1) // parts - number * part // parts


def introduction(served: Served, files: Files, url: str) -> str:
    """Return what to know about the simulator at `url`, and what to type in another terminal."""
    allowed = f"{served.calls:,} calls in {served.period:g} s, counted by the model {served.model!r}"
    flow, usual = FlowControl(calls=served.calls or FlowControl().calls, period=served.period), FlowControl()
    exports = {URL: url, APP_ID: served.app_id, SECRET: DEMO_SECRET}
    exports |= {variable("calls"): str(flow.calls)} if flow.calls != usual.calls else {}
    exports |= {variable("period"): f"{flow.period:g}"} if flow.period != usual.period else {}
    written = [(Kind.SUBSCRIPTIONS, files.subscriptions), (Kind.PACKAGES, files.packages)]
    selected = [_command(served, kind, words) for kind, words in _TO_TRY]
    commands = [_command(served, kind, ["--ids-file", file]) for kind, file in written if file is not None]
    lines = [
        f"A simulated platform at {url}",
        f"  flow control: {allowed if served.calls else 'off'}",
        f"  to delete: {served.subscriptions:,} subscriptions, {served.packages:,} version packages",
        "",
        "In another terminal:",
        "",
        *(f"  export {name}={shlex.quote(value)}" for name, value in exports.items()),
        *(f"  {line}" for line in [*selected, *commands]),
        "",
        *([] if commands else ["--write-subscription-ids FILE and --write-package-ids FILE give ids to try.", ""]),
        "Ctrl-C ends it.",
    ]
    return "\n".join(map(visible, lines))


def _command(served: Served, kind: Kind, which: list[str]) -> str:
    """Return the command that deletes `which`."""
    words = ["delete", kind.value, *which]
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
