"""The connection that a command works on: where its settings are found, first of all places, and what they add up to.

The places are options, environment and profile. What is wrong is collected, and reported at once.
"""

from __future__ import annotations

import enum
import math
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import attrs

from aionorth.auth.sources import Secret
from aionorth.bulk.retry import RetryPolicy
from aionorth.bulk.run import WORKERS
from aionorth.cli.output.messages import say
from aionorth.cli.settings.given import FLOW, MAX_OUTAGE, TIMEOUT, Given
from aionorth.cli.settings.secrets import can_be_typed, typed_in
from aionorth.common.directories import NoDirectoryError, store_directory
from aionorth.common.durations import in_any_unit
from aionorth.common.text import visible
from aionorth.errors import ArgumentError
from aionorth.flow.settings import FlowControl
from aionorth.session import profiles, secrets
from aionorth.session.north import NorthSession
from aionorth.session.profiles import Profile
from aionorth.session.secrets import SECRET
from aionorth.stores.machine import MachineStore
from aionorth.stores.redis import RedisStore
from aionorth.wire.checks import check_string

OPTIONS_ONLY = frozenset({"share_token", "trust_env", "unsafe_accept_any_host_name"})
"""What no environment variable switches: a variable outlives its reason."""

NO_OPTIONS = frozenset({"redis_url"})
"""What no option sets: it may hold a password, and options show in the list of processes."""

KEYS = (*(field.name for field in attrs.fields(Given) if field.name != "profile"), *sorted(NO_OPTIONS))
"""The settings: each is a key of a profile, and nearly each an option."""

_REMEDIES = {
    "url": "set it, as in: export AIONORTH_URL=https://server:8743 (or give --url, or url in a profile)",
    "app_id": "set it, as in: export AIONORTH_APP_ID=your-app-id (or give --app-id, or app_id in a profile)",
    "secret": f"set it, for example with: read -rs {SECRET} && export {SECRET} (or give --secret-file; there is no "
    "option for the secret itself: options show in the list of processes and in the shell's history)",
}

_NO_SECRET = Secret("")


def variable(key: str) -> str:
    """Return the environment variable of a setting."""
    return f"AIONORTH_{key.upper()}"


class Place(enum.IntEnum):
    """Where a setting can stand; the lower comes first."""

    OPTION = 0
    ENVIRONMENT = 1
    PROFILE = 2


@attrs.frozen
class Found:
    """A setting's value as it was found."""

    value: object
    place: Place
    where: str
    """Its option, variable or key, for messages."""


# --- What a setting can be

T = TypeVar("T")
D = TypeVar("D")


@attrs.frozen
class ValueType(Generic[T]):
    """What values a setting takes."""

    of: type[T]
    remedy: str
    """What to do about any other value."""
    accepts: Callable[[Any], bool] = lambda _: True

    def checked(self, value: object) -> T:
        """Return `value`; raises `ValueError` where the setting does not take it."""
        # A profile may have a whole number for any other, but not true for 1.
        fits = isinstance(value, self.of) or (self.of is float and isinstance(value, int))
        if not fits or isinstance(value, bool) is not (self.of is bool) or not self.accepts(value):
            raise ValueError
        return cast("T", value)


def _is_duration(text: str) -> bool:
    try:
        return bool(in_any_unit(text))
    except ValueError:
        return False


TEXT = ValueType(str, "give text", lambda text: text != "" and text == text.strip())
WHOLE = ValueType(int, "give a whole number from 1 on", lambda number: number >= 1)
SECONDS = ValueType(float, "give seconds, above 0", lambda number: 0 < number < math.inf)
PART = ValueType(float, "give a part, from 0 up to but not including 1", lambda number: 0 <= number < 1)
DURATION = ValueType(str, "give a number and s, min, h, d or w, as in 12h or 30min", _is_duration)
SWITCH = ValueType(bool, "give true or false")
STORE = ValueType(str, "give machine, redis or memory", {"machine", "redis", "memory"}.__contains__)


def _described(value: object) -> str:
    """Return what a value is, for a message. One with an @ is not shown: it may be a URL with a password."""
    if value == "":
        return "is empty"
    return "cannot be used" if re.search("@|password=", text := repr(value)) else f"is {text}"


# --- Where it stands


class Sources:
    """Options, environment and profile. State: the problems found so far."""

    def __init__(self, given: Given, profile: Profile) -> None:
        self._given = given
        self._profile = profile
        self.problems: list[str] = []

    def find(self, key: str) -> Found | None:
        """Return the value of a setting from the first place that has one."""
        if key not in NO_OPTIONS and (value := getattr(self._given, key)) is not None:
            return Found(value, Place.OPTION, f"--{key.replace('_', '-')}")
        # An empty variable is none: where one cannot be taken away, it can be emptied.
        if key not in OPTIONS_ONLY and (text := os.environ.get(variable(key))):
            return Found(text, Place.ENVIRONMENT, variable(key))
        if key in self._profile.values:
            return Found(self._profile.values[key], Place.PROFILE, self._profile.where(key))
        return None

    @property
    def open_to_others(self) -> bool:
        """Whether other users can read the profile's file."""
        return os.name == "posix" and bool(self._profile.file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))

    def get(self, key: str, type_: ValueType[T], default: D) -> T | D:
        """Return the value of a setting; `default` where it is not set, or cannot be used, which is noted."""
        if (found := self.find(key)) is None:
            return default
        value = found.value
        try:
            if found.place is not Place.PROFILE and isinstance(value, str):
                value = type_.of(value)  # type: ignore[call-arg]  # from text
            if found.place is Place.ENVIRONMENT and self._profile.values.get(key, value) != value:
                self.report_override(variable(key), key)
            return type_.checked(value)
        except ValueError:
            remedy = type_.remedy
            value = found.value
            if type_ is TEXT and isinstance(value, str) and value != value.strip():
                remedy = "it has blanks or a line end around it: set it without"
            if found.place is Place.PROFILE and isinstance(value, str) and type_.of is not str:
                remedy += ", without quotes"
            self.problems.append(f"{found.where} {_described(value)}: {remedy}")
            return default

    def path(self, key: str) -> str | None:
        """Return the path of a file; one in a profile is relative to where the profiles are."""
        if (text := self.get(key, TEXT, None)) is None or (found := self.find(key)) is None:
            return None
        try:
            path = Path(text).expanduser()
        except RuntimeError:
            self.problems.append(f"{found.where} is {text!r}: there is no such user's home; give the whole path")
            return None
        return str(self._profile.file.parent / path if found.place is Place.PROFILE else path)

    def report_override(self, name: str, key: str) -> None:
        """Report it where the variable `name`, perhaps a forgotten one, takes the place of what the profile has."""
        if key in self._profile.values:
            say(f"aionorth: {visible(f'{name} is used instead of {self._profile.where(key)}')}")


# --- What they add up to


@attrs.frozen(kw_only=True)
class Connection:
    """All that a session takes; `session` makes one."""

    url: str
    app_id: str
    secret: Secret = _NO_SECRET
    flow_control: FlowControl
    store: MachineStore | RedisStore | None
    share_token: bool
    workers: int
    """Calls in flight at once, for commands that make many."""
    timeout: float
    max_outage: float
    """Seconds for which a run waits while the platform answers no call."""
    ca_file: str | None
    client_cert: tuple[str, str] | None
    trust_env: bool
    unsafe_accept_any_host_name: bool

    @property
    def target(self) -> str:
        """The app and its platform, for people."""
        return f"{self.app_id} at {self.url}"

    def session(self) -> NorthSession:
        """Return a session that is not open yet; raises `ArgumentError` for what it cannot use."""
        options: dict[str, Any] = attrs.asdict(self, recurse=False)
        del options["url"], options["workers"]
        options["retry"] = RetryPolicy(outage=options.pop("max_outage"))
        options["secret"] = self.secret.value
        return NorthSession(self.url, **options)


def resolve(given: Given, *, stdin_is_data: bool = False) -> Connection:
    """Return the connection that options, environment and profile add up to.

    Where nothing else is wrong the secret may be asked for at the terminal.

    Args:
        given: The options.
        stdin_is_data: Whether the command reads something else from stdin.

    Raises:
        SettingsError: It names all that is missing or cannot be used.
    """
    named = given.profile if given.profile is not None else os.environ.get(variable("profile")) or None
    sources = Sources(given, profiles.load(named, KEYS))
    connection = Connection(
        url=_required(sources, "url"),
        app_id=_required(sources, "app_id"),
        flow_control=FlowControl(
            calls=sources.get("calls", WHOLE, FLOW.calls),
            period=sources.get("period", SECONDS, FLOW.period),
            headroom=sources.get("headroom", PART, FLOW.headroom),
            burst=sources.get("burst", WHOLE, FLOW.burst),
        ),
        store=_store(sources),
        share_token=sources.get("share_token", SWITCH, default=True),
        workers=sources.get("workers", WHOLE, WORKERS),
        timeout=sources.get("timeout", SECONDS, TIMEOUT),
        max_outage=in_any_unit(sources.get("max_outage", DURATION, MAX_OUTAGE)).total_seconds(),
        ca_file=sources.path("ca_file"),
        client_cert=_client_cert(sources),
        trust_env=sources.get("trust_env", SWITCH, default=False),
        unsafe_accept_any_host_name=sources.get("unsafe_accept_any_host_name", SWITCH, default=False),
    )
    _check_tls(sources, connection.url)
    secret = _secret(sources, stdin_is_data=stdin_is_data)
    if sources.problems:
        raise profiles.problems(*sources.problems)
    check_string(connection.app_id, "the app id")
    return attrs.evolve(connection, secret=secret if secret is not None else typed_in(connection.app_id))


def _required(sources: Sources, key: str) -> str:
    """Return a setting that there must be, or an empty string where it is not, or cannot be used, which is noted."""
    if sources.find(key) is None:
        _miss(sources, key)
    return sources.get(key, TEXT, "")


def _miss(sources: Sources, key: str) -> None:
    state = "empty" if os.environ.get(variable(key)) == "" else "missing"
    sources.problems.append(f"{variable(key)} is {state}: {_REMEDIES[key]}")


def _store(sources: Sources) -> MachineStore | RedisStore | None:
    """Return where the app's callers share what they must agree on; None means in memory."""
    url = sources.find("redis_url")
    where = sources.get("store", STORE, "machine" if url is None else "redis")
    if where == "memory":
        return None
    if where == "machine":
        try:
            return MachineStore(store_directory("do without while nothing else uses this app: --store memory"))
        except NoDirectoryError as exc:
            sources.problems.append(str(exc))
            return None
    if url is None:
        name = variable("redis_url")
        sources.problems.append(
            f"{name} is missing: set it, as in: export {name}=redis://host:6379/0 (or give redis_url in a profile)"
        )
        return None
    if url.place is Place.PROFILE and sources.open_to_others and re.search("@|password=", str(url.value)):
        sources.problems.append(f"{url.where} holds a password, and other users can read that file: chmod 600 it")
    try:
        return RedisStore(str(url.value))
    except ArgumentError as exc:
        sources.problems.append(f"{url.where}: {str(exc).removeprefix('RedisStore.url: ')}")
        return None


def _client_cert(sources: Sources) -> tuple[str, str] | None:
    """Return the files of certificate and key. A file that holds both is common."""
    cert, key = sources.find("client_cert"), sources.find("client_key")
    if cert is None:
        if key is not None:
            sources.problems.append(f"{key.where} is of no use without --client-cert: give both")
        return None
    cert_file = sources.path("client_cert")
    # A certificate given in place of another one does not go with the other one's key.
    key_file = cert_file if key is None or key.place > cert.place else sources.path("client_key")
    return None if cert_file is None or key_file is None else (cert_file, key_file)


def _check_tls(sources: Sources, url: str) -> None:
    for key in ("ca_file", "client_cert", "unsafe_accept_any_host_name"):
        found = sources.find(key)
        if found is not None and found.value is not False and url.lower().startswith("http:"):
            sources.problems.append(f"{found.where} is of no use with http: give an https URL")


def _secret(sources: Sources, *, stdin_is_data: bool) -> Secret | None:
    """Return the secret; None where it can be typed in, or is missing, which is noted.

    A file that is named by an option comes before the variable that holds the secret, and that before other files.
    """
    found, file = sources.find("secret_file"), sources.path("secret_file")
    try:
        if os.environ.get(SECRET) and (found is None or found.place > Place.OPTION):
            sources.report_override(SECRET, "secret_file")
            return secrets.usable(os.environ[SECRET], SECRET)
        if found is not None:
            return None if file is None else secrets.from_file(file, found.where)
    except ArgumentError as exc:
        sources.problems.append(str(exc))
    else:
        if not can_be_typed(stdin_is_data=stdin_is_data):
            _miss(sources, "secret")
    return None
