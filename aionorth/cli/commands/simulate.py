"""The command ``aionorth simulate``: the simulator as a server, until a signal ends it."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shlex
import ssl
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import attrs

from aionorth.cli.kinds import KINDS
from aionorth.cli.output.messages import ProblemError, own_name, put, refuse_useless
from aionorth.cli.parser import command, option
from aionorth.cli.runs.job import on_signals
from aionorth.common.text import visible
from aionorth.session.secrets import SECRET
from aionorth.session.settings import FLOW, variable
from aionorth.session.value_types import SECONDS, SECONDS_OR_NONE, TEXT, ValueType, choice, whole
from aionorth.simulator import MODELS, HtmlPage, Reset, ServerError, Simulator

HELP = """Serve a simulated platform on this machine until Ctrl-C.

It has the platform's logins, flow control and error codes; subscriptions, version packages, devices and device groups
to delete; and, if asked, a network's faults. Its app's secret is "demo-secret".

\b
Examples:
  aionorth simulate --write-subscription-ids ids.txt
  aionorth simulate --calls 100 --period 3 --reset-after 0.05
  aionorth simulate --port 0 --cert server.pem --key server-key.pem

\b
Models, by what must not exceed the calls allowed:
  sliding           the calls accepted in the last period
  sliding-refusals  these, and those refused in it
  fixed             those accepted in each period of the clock
  counter           the last period's, estimated from two of the clock
  bucket            tokens: each call takes one, they come evenly
  small-burst       the same, and at most a tenth of them is kept
  two-limits        sliding, and a tenth of it in each 1/60 of the period
"""

DEMO_SECRET = "demo-secret"  # noqa: S105 - the simulated app's, no secret
"""The secret of the simulated app."""

LOG_LIMIT = 1000
"""How many arrivals the simulator remembers; nobody reads them here."""


# --- Options

_PROBABILITY = ValueType(float, "give a probability, from 0 to 1", lambda chance: 0 <= chance <= 1)
_PORT = ValueType(int, "give a port, from 0 to 65535", range(65536).__contains__)


def _shown(metavar: str, says: str, type_: ValueType[Any], default: object, **more: Any) -> Any:  # noqa: ANN401 - a field
    """Return an option whose help shows its default."""
    return option(metavar, f"{says} [default: {default}]", default=default, converter=type_.parsed, **more)


def _number(says: str, default: int, type_: ValueType[int] = whole(0)) -> Any:  # noqa: ANN401, B008 - as above; it is frozen
    return _shown("N", says, type_, default)


def _chance(what: str) -> Any:  # noqa: ANN401 - as above
    return _shown("CHANCE", f"Chance, from 0 to 1, that a call {what}.", _PROBABILITY, 0)


def _ids_of(what: str) -> Any:  # noqa: ANN401 - as above
    return option("FILE", f"Write the ids of the {what} to this file, one per line.")


@attrs.frozen(kw_only=True)
class Options:  # more than 12 fields: one an option
    """Where the platform is and how its flow control counts, what it has, how it serves https, what befalls calls."""

    host: str = _shown("ADDRESS", "The address to listen on.", TEXT, "127.0.0.1")
    port: int = _number("The port to listen on; 0 takes a free one.", 8743, _PORT)
    calls: int = _number("Calls that flow control allows per period; 0 switches it off.", FLOW.calls)
    period: float = _shown("SECONDS", "Its period, in seconds.", SECONDS, FLOW.period)
    model: str = _shown("MODEL", "How flow control counts: see above.", choice(*MODELS), "sliding", values=MODELS)
    subscriptions: int = _number("How many subscriptions there are to delete.", 1000)
    packages: int = _number("How many version packages there are to delete.", 1000)
    devices: int = _number("How many devices there are to delete: one in ten is a gateway with three behind it.", 1000)
    device_groups: int = _number("How many device groups there are to delete: one in three is empty.", 30)
    app_id: str = _shown("ID", "The id of the app there is.", TEXT, "demo-app")
    write_subscription_ids: str | None = _ids_of("subscriptions")
    write_package_ids: str | None = _ids_of("packages")
    write_device_ids: str | None = _ids_of("devices")
    write_device_group_ids: str | None = _ids_of("device groups")
    seed: int = _number("Seeds all chance: ids, latency, faults.", 0, ValueType(int, "give a whole number"))
    cert: str | None = option("FILE", "Serve https with this PEM certificate.")
    key: str | None = option("FILE", "PEM file of its key, if it is in another file.")
    client_ca: str | None = option("FILE", "Ask for client certificates signed by this CA.")
    latency: float = _shown(
        "SECONDS", "The longest time that a call takes to arrive, and its reply.", SECONDS_OR_NONE, 0
    )
    reset_before: float = _chance("is lost: the connection is reset, nothing done")
    reset_after: float = _chance("is carried out and its reply is lost")
    congested: float = _chance("is answered 503, platform congested")
    bad_gateway: float = _chance("is answered by a proxy's 502 page, nothing done")
    retry_after: bool = option(None, "Refusals carry a Retry-After header.", "--retry-after", default=False)

    def tls(self) -> ssl.SSLContext | None:
        """Return the server's context, None for http; raises `ProblemError` for files that it cannot use."""
        if self.cert is None:
            refuse_useless("without --cert: give the certificate as well", key=self.key, client_ca=self.client_ca)
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

    def delays(self, chance: random.Random) -> tuple[float, float]:
        """Return the seconds that a call takes to arrive, and its reply."""
        return chance.uniform(0, self.latency), chance.uniform(0, self.latency)


# --- The server


@command
def simulate(*, options: Options) -> None:
    """Serve the simulator."""
    asyncio.run(_serve(options))


async def _serve(options: Options) -> None:
    """Serve until SIGINT or SIGTERM."""
    try:
        simulator = Simulator(
            {options.app_id: DEMO_SECRET},
            model=options.model,
            calls=options.calls or None,
            period=options.period,
            retry_after=options.retry_after,
            latency=options.delays if options.latency else None,
            chances={
                Reset(): options.reset_before,
                Reset(after_effect=True): options.reset_after,
                ServerError(): options.congested,
                HtmlPage(): options.bad_gateway,
            },
            seed=options.seed,
            host=options.host,
            port=options.port,
            tls=options.tls(),
            log_limit=LOG_LIMIT,
        )
    except ValueError as exc:
        raise ProblemError(str(exc)) from exc
    ended = asyncio.Event()
    stocks = _stocks(options, simulator)
    try:
        await simulator.start()
    except (OSError, UnicodeError) as exc:
        # asyncio's own text has the address a second time.
        number = exc.errno if isinstance(exc, OSError) else None
        reason = os.strerror(number) if number is not None and number in errno.errorcode else exc
        where = f"{options.host}:{options.port}"
        raise ProblemError(f"cannot listen on {where}: {reason}; choose another --port or --host") from exc
    try:
        for stock in stocks:  # now: a file that was written says that the platform is there
            _write(stock.file, stock.ids)
        with on_signals(ended.set):
            put(_introduction(options, stocks, simulator.url))
            await ended.wait()
    finally:
        await simulator.close()
    left = (f"  {len(stock.left()):,} of {len(stock.ids):,} {stock.noun} left" for stock in stocks)
    put("\n".join(["", "Ended, with", *left]))


def _introduction(options: Options, stocks: Iterable[Stock], url: str) -> str:
    """Return what to know about the simulator at `url`, and what to type in another terminal."""
    allowed = f"{options.calls:,} calls in {options.period:g} s, counted by the model {options.model!r}"
    exports = {variable("url"): url, variable("app_id"): options.app_id, SECRET: DEMO_SECRET}
    exports |= {variable("calls"): str(options.calls)} if options.calls not in {0, FLOW.calls} else {}
    exports |= {variable("period"): f"{options.period:g}"} if options.period != FLOW.period else {}
    selected = [_command(options, kind, *row.example, "--dry-run") for kind, row in KINDS.items()]
    commands = [
        _command(options, stock.kind, "--ids-file", stock.file, *stock.needs)
        for stock in stocks
        if stock.file is not None
    ]
    lines = [
        f"A simulated platform at {url}",
        f"  flow control: {allowed if options.calls else 'off'}",
        "  to delete:",
        *(f"    {len(stock.ids):,} {stock.noun}" for stock in stocks),
        "",
        "In another terminal:",
        "",
        *(f"  export {name}={shlex.quote(value)}" for name, value in exports.items()),
        *(f"  {line}" for line in [*selected, *commands]),
        "",
        *([] if commands else ["--write-subscription-ids FILE and its like give ids to try; --help has them.", ""]),
        "Ctrl-C ends it.",
    ]
    return "\n".join(map(visible, lines))


def _command(options: Options, kind: str, *which: str) -> str:
    """Return the command that deletes `which`."""
    words = ["delete", kind, *which]
    words += ["--ca-file", "CA.pem"] if options.cert is not None else []
    words += ["--client-cert", "CLIENT.pem"] if options.client_ca is not None else []
    return f"{own_name()} {shlex.join(words)}"


def _write(file: str | None, ids: Iterable[str]) -> None:
    """Write `ids` to `file`, one a line."""
    if file is None:
        return
    try:
        Path(file).write_text("".join(f"{id_}\n" for id_ in ids), "utf-8")
    except OSError as exc:
        raise ProblemError(f"{file} cannot be written: {exc.strerror}; give the path of a file") from exc


# --- What it has


@attrs.frozen
class Stock:
    """What it has of one kind."""

    kind: str
    """As the command line names it."""
    noun: str
    file: str | None
    """Where their ids are to be written."""
    ids: list[str]
    left: Callable[[], Collection[str]]
    """Returns the ids of those that it still has."""
    needs: tuple[str, ...] = ()
    """What the command that deletes them by their ids needs besides."""


def _stocks(options: Options, simulator: Simulator) -> list[Stock]:
    """Add what it is to have, and return what that is."""
    now = datetime.now(UTC)
    subscriptions = add_subscriptions(simulator, options.subscriptions)
    packages = add_packages(simulator, options.packages, now)
    devices = add_devices(simulator, options.devices, now)
    groups = add_device_groups(simulator, options.device_groups, devices)
    return [
        Stock(
            "subscriptions", "subscriptions", options.write_subscription_ids, subscriptions, simulator.subscription_ids
        ),
        Stock("packages", "version packages", options.write_package_ids, packages, simulator.package_ids),
        Stock("devices", "devices", options.write_device_ids, devices, simulator.device_ids, ("--cascade",)),
        Stock("device-groups", "device groups", options.write_device_group_ids, groups, simulator.device_group_ids),
    ]


_NOTIFY_TYPES = ("deviceDataChanged", "deviceAdded", "deviceDeleted", "ruleEvent")
_HOSTS = ("new", "app", "old")
_PACKAGES = (("WaterMeter", "WM-1"), ("WaterMeter", "WM-2"), ("GasMeter", "GM-1"), ("Gateway", "GW-3"))
_STATUSES = ("ONLINE", "ONLINE", "ONLINE", "ONLINE", "OFFLINE", "INACTIVE", "ABNORMAL")
_BEHIND = 3
"""How many devices are behind each gateway."""


def add_subscriptions(simulator: Simulator, number: int) -> list[str]:
    """Add subscriptions of several types, a third of which call an old host; return their ids."""
    ids: list[str] = []
    sorts = list(product(_NOTIFY_TYPES, _HOSTS))
    for part, (notify_type, host) in enumerate(sorts):
        share = number * (part + 1) // len(sorts) - number * part // len(sorts)
        url = f"https://{host}.example.com:443/callback"
        ids += simulator.add_subscriptions(share, notify_type=notify_type, callback_url=url)
    return ids


def add_packages(simulator: Simulator, number: int, now: datetime) -> list[str]:
    """Add packages of several models and versions, uploaded over two years; return their ids."""
    ids: list[str] = []
    for at in range(number):
        sort, release = at % len(_PACKAGES), at // len(_PACKAGES)
        device_type, model = _PACKAGES[sort]
        version = f"V{1 + release // 10}.{release % 10}"
        ids += simulator.add_packages(
            1,
            name=f"{model.lower()}-{version.lower()}.zip",
            version=version,
            file_type="softwarePackage" if sort == len(_PACKAGES) - 1 else "firmwarePackage",
            device_type=device_type,
            model=model,
            uploaded=now - timedelta(days=730 * (1 - at / number)),
        )
    return ids


def add_devices(simulator: Simulator, number: int, now: datetime) -> list[str]:
    """Add devices of all models, registered over two years; of each ten, a gateway comes first. Return their ids."""
    ids: list[str] = []
    for at in range(number):
        place = at % 10
        device_type, model = _PACKAGES[at % 3] if place else _PACKAGES[-1]
        registered = now - timedelta(days=730 * (1 - at / number))
        ids += simulator.add_devices(
            1,
            gateway_id=ids[-place] if 1 <= place <= _BEHIND else None,
            node_type="ENDPOINT" if place else "GATEWAY",
            name=f"{device_type.lower() if at % 11 else 'test'}-{at:04}",
            status=_STATUSES[at % len(_STATUSES)],
            device_type=device_type,
            model=model,
            registered=registered,
            last_modified=registered + (now - registered) * (at % 5) / 5,
        )
    return ids


def add_device_groups(simulator: Simulator, number: int, devices: Sequence[str]) -> list[str]:
    """Add device groups, between which two thirds of the devices are divided; return their ids."""
    ids: list[str] = []
    for at in range(number):
        members = devices[at::number] if at % 3 else ()
        ids += simulator.add_device_groups(1, name=f"{('empty', 'north', 'south')[at % 3]}-{at:02}", members=members)
    return ids
