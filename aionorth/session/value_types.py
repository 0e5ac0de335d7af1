"""What values settings take, and how they are read from text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import attrs

from aionorth.common.durations import in_any_unit

T = TypeVar("T")


@attrs.frozen
class ValueType(Generic[T]):
    """What values a setting takes."""

    of: type[T]
    remedy: str
    """What to do about any other value."""
    accepts: Callable[[Any], bool] = lambda _: True
    read: Callable[[str], T] | None = None
    """From text, where `of` does not read it."""

    def checked(self, value: object) -> T:
        """Return `value`; raises `ValueError` where the setting does not take it."""
        # A profile may have a whole number for any other, but not true for 1.
        fits = isinstance(value, self.of) or (self.of is float and isinstance(value, int))
        if not fits or isinstance(value, bool) is not (self.of is bool) or not self.accepts(value):
            raise ValueError
        return cast("T", value)

    def parsed(self, text: str) -> T:
        """Return the value that `text` says; raises `ValueError`, with the remedy, where it is not taken."""
        try:
            return self.checked((self.read or self.of)(text))  # type: ignore[call-arg]  # from text
        except ValueError:
            raise ValueError(self.remedy) from None


def _is_duration(text: str) -> bool:
    try:
        return bool(in_any_unit(text))
    except ValueError:
        return False


def _read_switch(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError
    return text.lower() == "true"


def choice(*values: str) -> ValueType[str]:
    """Return the type that takes one of `values`."""
    return ValueType(str, f"give {', '.join(values[:-1])} or {values[-1]}", values.__contains__)


def whole(least: int) -> ValueType[int]:
    """Return the whole numbers from `least` on."""
    return ValueType(int, f"give a whole number from {least} on", lambda number: number >= least)


TEXT = ValueType(str, "give text", lambda text: text != "" and text == text.strip())
WHOLE = whole(1)
SECONDS = ValueType(float, "give a number of seconds above 0, as in 30", lambda number: 0 < number < math.inf)
SECONDS_OR_NONE = ValueType(
    float, "give a number of seconds, as in 30, or 0 for none", lambda number: 0 <= number < math.inf
)
PART = ValueType(float, "give a part, from 0 up to but not including 1", lambda number: 0 <= number < 1)
DURATION = ValueType(str, "give a number above 0 and s, min, h, d or w, as in 12h or 30min", _is_duration)
SWITCH = ValueType(bool, "give true or false", read=_read_switch)
STORES = ("machine", "redis", "memory")
STORE = choice(*STORES)


def described(value: object) -> str:
    """Return what a value is, for a message. One with an @ is not shown: it may be a URL with a password."""
    if value == "":
        return "is empty"
    return "cannot be used" if re.search("@|password=", text := repr(value)) else f"is {text}"
