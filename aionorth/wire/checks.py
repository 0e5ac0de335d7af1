"""Checks of arguments: an unusable one gets an `ArgumentError` that names it, before anything is sent."""

from __future__ import annotations

import math
from typing import Any

import attrs

from aionorth.errors import ArgumentError


def whole(name: str, value: object, least: int = 1) -> int:
    """Return `value` if it is a whole number from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"{name}={value!r}: give a whole number from {least} on")
    return value


def seconds(name: str, value: object, *, zero: bool = False) -> float:
    """Return `value` if it is a finite number above 0, or 0 where `zero` allows it."""
    if not isinstance(value, (int, float)) or not (0 <= value < math.inf) or (value == 0 and not zero):
        raise ArgumentError(f"{name}={value!r}: give seconds, {'0 or more' if zero else 'above 0'}")
    return value


def whole_field(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate an attrs field with `whole`; None passes where the field's default is None."""
    if value is not None or field.default is not None:
        whole(f"{type(owner).__name__}.{field.name}", value)


def seconds_field(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate an attrs field with `seconds`."""
    seconds(f"{type(owner).__name__}.{field.name}", value)


def optional_seconds_field(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate an attrs field with `seconds`, or None."""
    if value is not None:
        seconds_field(owner, field, value)
