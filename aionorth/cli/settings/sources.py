"""Where a setting is found, first of all places that have it: option, environment, profile. Faults are collected."""

from __future__ import annotations

import enum
import math
import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import attrs

from aionorth.cli.output.messages import say
from aionorth.cli.settings.given import Given
from aionorth.cli.settings.profiles import Profile
from aionorth.common.text import visible

OPTIONS_ONLY = frozenset({"share_token", "trust_env", "unsafe_accept_any_host_name"})
"""What no environment variable switches: a variable outlives its reason."""

NO_OPTIONS = frozenset({"redis_url"})
"""What no option sets: it may hold a password, and options show in the list of processes."""


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


TEXT = ValueType(str, "give text", lambda text: text != "" and text == text.strip())
WHOLE = ValueType(int, "give a whole number from 1 on", lambda number: number >= 1)
SECONDS = ValueType(float, "give seconds, above 0", lambda number: 0 < number < math.inf)
PART = ValueType(float, "give a part, from 0 up to but not including 1", lambda number: 0 <= number < 1)
SWITCH = ValueType(bool, "give true or false")


def one_of(words: Sequence[str]) -> ValueType[str]:
    """Return the type that takes one of `words`."""
    return ValueType(str, f"give {', '.join(words[:-1])} or {words[-1]}", words.__contains__)


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
