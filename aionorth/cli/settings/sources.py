"""Where a setting is found, first of all places that have it: option, environment, profile. Faults are collected."""

from __future__ import annotations

import enum
import math
import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import attrs

from aionorth.cli.output.exits import ProblemError
from aionorth.cli.output.terminal import say
from aionorth.cli.settings.options import Given
from aionorth.cli.settings.profiles import Profile
from aionorth.common.text import visible

OPTIONS_ONLY = frozenset({"share_token", "trust_env", "unsafe_accept_any_host_name"})
"""What no environment variable switches: a variable outlives its reason."""

NO_OPTIONS = frozenset({"redis_url"})
"""What no option sets: it may hold a password, and options show in the list of processes."""


def variable(key: str) -> str:
    """Return the environment variable of a setting."""
    return f"AIONORTH_{key.upper()}"


def option(key: str) -> str:
    """Return the option of a setting."""
    return f"--{key.replace('_', '-')}"


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


class _UnusableError(ValueError):
    """A value of the right kind that cannot be used; the message is the remedy."""


@attrs.frozen
class Kind(Generic[T]):
    """What values a setting takes."""

    wanted: str
    """The remedy for all others."""
    parse: Callable[[str], object]
    """From the text of an option or variable to what a profile would hold; raises `ValueError`."""
    read: Callable[[object], T]
    """Check a value; raises `ValueError`."""
    quoted: bool = False
    """Whether a profile has it in quotes."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    if value != value.strip():
        raise _UnusableError("it has blanks or a line end around it: set it without")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError
    return value


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - as for any other value that is none
    return float(value)


def _seconds(value: object) -> float:
    if not 0 < (seconds := _number(value)) < math.inf:
        raise ValueError
    return seconds


def _part(value: object) -> float:
    if not 0 <= (part := _number(value)) < 1:
        raise ValueError
    return part


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - as above
    return value


TEXT = Kind("give text", str, _text, quoted=True)
WHOLE = Kind("give a whole number from 1 on", int, _whole)
SECONDS = Kind("give seconds, above 0", float, _seconds)
PART = Kind("give a part, from 0 up to but not including 1", float, _part)
SWITCH = Kind("give true or false", str, _switch)


def one_of(words: Sequence[str]) -> Kind[str]:
    """Return the kind that takes one of `words`."""

    def read(value: object) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return Kind(f"give {', '.join(words[:-1])} or {words[-1]}", str, read, quoted=True)


def _shown(value: object) -> str:
    """Return what a value is, for a message. One with an @ may be a URL with a password, whatever else it should be."""
    if value == "":
        return "is empty"
    return "cannot be used" if re.search("@|password=", text := repr(value)) else f"is {text}"


# --- Where it stands


class Sources:
    """Options, environment and profile, and what is wrong with them."""

    def __init__(self, given: Given, profile: Profile) -> None:
        self._given = given
        self._profile = profile
        self.problems: list[str] = []

    def find(self, key: str) -> Found | None:
        """Return the value of a setting from the first place that has one."""
        if key not in NO_OPTIONS and (value := getattr(self._given, key)) is not None:
            return Found(value, Place.OPTION, option(key))
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

    def get(self, key: str, kind: Kind[T], default: D) -> T | D:
        """Return the value of a setting; `default` where nobody sets it, or where it cannot be used, which is noted."""
        if (found := self.find(key)) is None:
            return default
        try:
            value = found.value
            if found.place is not Place.PROFILE and isinstance(value, str):
                value = kind.parse(value)
            if found.place is Place.ENVIRONMENT and self._profile.values.get(key, value) != value:
                self.tell_override(variable(key), key)
            return kind.read(value)
        except ValueError as exc:
            wanted = str(exc) if isinstance(exc, _UnusableError) else kind.wanted
            if found.place is Place.PROFILE and isinstance(found.value, str) and not kind.quoted:
                wanted += ", without quotes"
            self.problems.append(f"{found.where} {_shown(found.value)}: {wanted}")
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

    def tell_override(self, name: str, key: str) -> None:
        """Say so where the variable `name`, perhaps forgotten there, takes the place of what the profile has."""
        if key in self._profile.values:
            say(f"aionorth: {visible(f'{name} is used instead of {self._profile.where(key)}')}")

    def tell_problems(self) -> None:
        """Raise `ProblemError` with all that is wrong, if anything is."""
        if self.problems:
            raise ProblemError(*self.problems)
