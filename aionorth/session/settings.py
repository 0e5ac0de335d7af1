"""The settings of a session: where each is found, first of all places, and what they add up to.

The places are the command line's options, environment and profile; the library has no options. What is wrong is
collected, and reported at once.
"""

from __future__ import annotations

import difflib
import enum
import logging
import os
import re
import stat
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs

from aionorth.auth.sources import Secret
from aionorth.bulk.retry import RetryPolicy
from aionorth.bulk.run import WORKERS
from aionorth.common.directories import NoDirectoryError, store_directory
from aionorth.common.durations import in_any_unit
from aionorth.common.text import visible
from aionorth.errors import ArgumentError
from aionorth.flow.settings import FlowControl
from aionorth.session import profiles, secrets
from aionorth.session.profiles import Profile
from aionorth.session.secrets import SECRET
from aionorth.session.value_types import DURATION, PART, SECONDS, STORE, SWITCH, TEXT, WHOLE, T, ValueType, described
from aionorth.stores.machine import MachineStore
from aionorth.stores.redis import RedisStore

_log = logging.getLogger("aionorth")

OPTIONS_ONLY = frozenset({"share_token", "trust_env", "unsafe_accept_any_host_name"})
"""What no environment variable switches: a variable outlives its reason."""

NO_OPTIONS = frozenset({"redis_url"})
"""What no option sets: it may hold a password, and options show in the list of processes."""

OTHER_VARIABLES = frozenset({"profile", "log_file", "log_format", "stats"})
"""What else variables say: which profile, and how the command line logs."""

KEYS = (
    *("url", "app_id", "secret_file", "ca_file", "client_cert", "client_key", "tls_relaxed_x509"),
    *("unsafe_accept_any_host_name", "trust_env", "timeout", "max_outage"),
    *("calls", "period", "headroom", "burst", "store", "share_token", "workers"),
    *sorted(NO_OPTIONS),
)
"""The settings: each is a key of a profile, and nearly each an option of the command line."""

FLOW = FlowControl()
"""Flow control where no setting says otherwise."""

TIMEOUT = 30.0
"""Seconds that one call may take where no setting says otherwise."""


@attrs.frozen(kw_only=True)
class Words:
    """What messages say about ways to give a setting that differ between the command line and the library."""

    url: str
    app_id: str
    secret: str
    no_store: str
    """What does without a store."""

    def remedy(self, key: str) -> str:
        """Return what to do about a setting that is missing."""
        return {"url": self.url, "app_id": self.app_id, "secret": self.secret}[key]


IN_PYTHON = Words(
    url="set it, as in: export AIONORTH_URL=https://server:8743 (or give url=, or url in a profile)",
    app_id="set it, as in: export AIONORTH_APP_ID=your-app-id (or give app_id=, or app_id in a profile)",
    secret=f"set it, or {SECRET}_FILE (or give secret= or token=, or secret_file in a profile)",
    no_store="do without while nothing else uses this app: AIONORTH_STORE=memory, or store=None",
)
"""The words of the library."""


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


D = TypeVar("D")


# --- Where it stands


class Sources:
    """Options, environment and profile. State: the problems found so far."""

    def __init__(
        self,
        profile: Profile,
        *,
        options: Mapping[str, object] | None = None,
        words: Words = IN_PYTHON,
        report: Callable[[str], object] = _log.warning,
    ) -> None:
        """`options` are those of the command line; `report` is called with what is odd, but not wrong."""
        self._profile = profile
        self._options = options or {}
        self._report = report
        self.words = words
        self.problems: list[str] = []

    def find(self, key: str) -> Found | None:
        """Return the value of a setting from the first place that has one."""
        if key not in NO_OPTIONS and (value := self._options.get(key)) is not None:
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

    @property
    def has_secret(self) -> bool:
        """Whether the secret is somewhere, be it usable or not."""
        return bool(os.environ.get(SECRET)) or self.find("secret_file") is not None

    def beside(self, found: Found, key: str) -> str:
        """Return how a message names another setting than the one `found`, in the same place."""
        names = {Place.OPTION: f"--{key.replace('_', '-')}", Place.ENVIRONMENT: variable(key)}
        return names.get(found.place, key)

    def get(self, key: str, type_: ValueType[T], default: D) -> T | D:
        """Return the value of a setting; `default` where it is not set, or cannot be used, which is noted."""
        if (found := self.find(key)) is None:
            return default
        value = found.value
        try:
            if found.place is not Place.PROFILE and isinstance(value, str):
                value = (type_.read or type_.of)(value)  # type: ignore[call-arg]  # from text
            values = self._profile.values
            if found.place is Place.ENVIRONMENT and key in values and values[key] != value:
                self.report_override(variable(key), self._profile.where(key))
            return type_.checked(value)
        except ValueError:
            remedy = type_.remedy
            value = found.value
            if type_ is TEXT and isinstance(value, str) and value != value.strip():
                remedy = "it has blanks or a line end around it: set it without"
            if found.place is Place.PROFILE and isinstance(value, str) and type_.of is not str:
                remedy += ", without quotes"
            self.problems.append(f"{found.where} {described(value)}: {remedy}")
            return default

    def path(self, key: str) -> str | None:
        """Return the path of a file; one in a profile is relative to where the profiles are."""
        if (text := self.get(key, TEXT, None)) is None or (found := self.find(key)) is None:
            return None
        try:
            path = Path(text).expanduser()
        except RuntimeError:
            known = "is no such user's home" if text.split("/")[0] != "~" else "is no home directory"
            self.problems.append(f"{found.where} is {text!r}: there {known}; give the whole path")
            return None
        return str(self._profile.file.parent / path if found.place is Place.PROFILE else path)

    def report_override(self, name: str, other: str) -> None:
        """Report that the variable `name`, perhaps a forgotten one, takes the place of `other`."""
        self._report(visible(f"{name} is used instead of {other}"))

    def report_unknown_variables(self) -> None:
        """Report variables that look like settings and are none. They may be another program's, so it is no error."""
        known = {*KEYS, *OTHER_VARIABLES, "secret"} - OPTIONS_ONLY
        for name in sorted(os.environ):
            key = name.removeprefix(variable("")).lower()
            if not name.startswith(variable("")) or (key in known and name == variable(key)):
                continue
            near = difflib.get_close_matches(key, known, 1)
            remedy = f"; did you mean {variable(near[0])}?" if near else ""
            if key in OPTIONS_ONLY:
                remedy = f"; no variable switches this, but {key} in a profile does, or as an option"
            self._report(visible(f"the environment variable {name} is not known{remedy}"))

    def miss(self, key: str) -> None:
        """Note that a setting is missing."""
        state = "empty" if os.environ.get(variable(key)) == "" else "missing"
        self.problems.append(f"{variable(key)} is {state}: {self.words.remedy(key)}")


# --- What they add up to


def find_sources(name: str | None, **more: Any) -> Sources:  # noqa: ANN401 - as `Sources` has them
    """Return the places of settings, with the profile of that name or of the variable; `more` is as for `Sources`.

    Raises `SettingsError` where the profile cannot be used.
    """
    sources = Sources(
        profiles.load(
            name if name is not None else os.environ.get(variable("profile")) or None, KEYS, variables=OTHER_VARIABLES
        ),
        **more,
    )
    sources.report_unknown_variables()
    return sources


def gather(sources: Sources, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the arguments of a session that its settings add up to, but for those in `without` and the secret.

    A setting that cannot be used is noted in `sources`, and is its default here.
    """
    makers: dict[str, Callable[[], object]] = {
        "url": partial(_required, sources, "url"),
        "app_id": partial(_required, sources, "app_id"),
        "flow_control": partial(_flow_control, sources),
        "store": partial(_store, sources),
        "share_token": partial(sources.get, "share_token", SWITCH, default=True),
        "timeout": partial(sources.get, "timeout", SECONDS, TIMEOUT),
        "ca_file": partial(sources.path, "ca_file"),
        "client_cert": partial(_client_cert, sources),
        "trust_env": partial(sources.get, "trust_env", SWITCH, default=False),
        "tls_relaxed_x509": partial(sources.get, "tls_relaxed_x509", SWITCH, default=False),
        "unsafe_accept_any_host_name": partial(sources.get, "unsafe_accept_any_host_name", SWITCH, default=False),
    }
    return {name: make() for name, make in makers.items() if name not in without}


def max_outage(sources: Sources, default: D) -> float | D:
    """Return for how many seconds a run waits for a silent platform; `default` where no setting says so."""
    text = sources.get("max_outage", DURATION, None)
    return default if text is None else in_any_unit(text).total_seconds()


def arguments(profile: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of a session: those that were `given`, and what environment and profile say of the others.

    Raises `SettingsError`, which names all that is missing or cannot be used, and `ArgumentError`.
    """
    where = find_sources(profile)
    found = gather(where, given)
    if "retry" not in given and (outage := max_outage(where, None)) is not None:
        found["retry"] = RetryPolicy(outage=outage)
    check_tls(where, str(given.get("url", found.get("url"))), given)
    found.update(given)
    if found.get("secret") is None and found.get("token") is None:
        if where.has_secret:
            found["secret"] = None if (secret := secret_of(where)) is None else secret.value
        else:
            where.miss("secret")
    if where.problems:
        raise profiles.problems(*where.problems)
    return found


def workers(profile: str | None) -> int:
    """Return how many calls a run may have in flight, as environment and profile say; raises `SettingsError`."""
    sources = find_sources(profile, report=_log.debug)  # the session warns of the same
    number = sources.get("workers", WHOLE, WORKERS)
    if sources.problems:
        raise profiles.problems(*sources.problems)
    return number


def _flow_control(sources: Sources) -> FlowControl:
    return FlowControl(
        calls=sources.get("calls", WHOLE, FLOW.calls),
        period=sources.get("period", SECONDS, FLOW.period),
        headroom=sources.get("headroom", PART, FLOW.headroom),
        burst=sources.get("burst", WHOLE, FLOW.burst),
    )


def _required(sources: Sources, key: str) -> str:
    """Return a setting that there must be, or an empty string where it is not, or cannot be used, which is noted."""
    if sources.find(key) is None:
        sources.miss(key)
    return sources.get(key, TEXT, "")


def _store(sources: Sources) -> MachineStore | RedisStore | None:
    """Return where the app's callers share what they must agree on; None means in memory."""
    url = sources.find("redis_url")
    where = sources.get("store", STORE, "machine" if url is None else "redis")
    if where == "memory":
        return None
    if where == "machine":
        try:
            return MachineStore(store_directory(sources.words.no_store))
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
            sources.problems.append(f"{key.where} is of no use without {sources.beside(key, 'client_cert')}: give both")
        return None
    cert_file = sources.path("client_cert")
    # A certificate given in place of another one does not go with the other one's key.
    key_file = cert_file if key is None or key.place > cert.place else sources.path("client_key")
    return None if cert_file is None or key_file is None else (cert_file, key_file)


def check_tls(sources: Sources, url: str, without: Collection[str] = ()) -> None:
    """Note the settings of TLS that are of no use with `url`."""
    for key in ("ca_file", "client_cert", "tls_relaxed_x509", "unsafe_accept_any_host_name"):
        found = None if key in without else sources.find(key)
        if found is None or any(problem.startswith(f"{found.where} ") for problem in sources.problems):
            continue
        if str(found.value).lower() != "false" and url.lower().startswith("http:"):
            sources.problems.append(f"{found.where} is of no use with http: give an https URL")


def secret_of(sources: Sources) -> Secret | None:
    """Return the secret; None where it cannot be used, which is noted, or is nowhere.

    A file that is named by an option comes before the variable that holds the secret, and that before other files.
    """
    found, file = sources.find("secret_file"), sources.path("secret_file")
    try:
        if os.environ.get(SECRET) and (found is None or found.place > Place.OPTION):
            if found is not None:
                sources.report_override(SECRET, found.where)
            return secrets.usable(os.environ[SECRET], SECRET)
        if found is not None and file is not None:
            return secrets.from_file(file, found.where)
    except ArgumentError as exc:
        sources.problems.append(str(exc))
    return None
