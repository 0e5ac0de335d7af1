"""Checks of values read from a store, which may be damaged. Each raises `ValueError` for a value that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import attrs

T = TypeVar("T", bound=attrs.AttrsInstance)

LARGEST_NUMBER = 2**53
"""The largest number that is accepted in a store: above it a float cannot tell an integer from the next."""


def number(value: object) -> float:
    """Return `value` if it is a number."""
    if type(value) not in {int, float} or not abs(cast("float", value)) <= LARGEST_NUMBER:
        raise ValueError(f"{value!r} is not a number that it can hold")
    return cast("float", value)


def count(value: object) -> int:
    """Return `value` if it is a count."""
    if type(value) is not int or not 0 <= value <= LARGEST_NUMBER:
        raise ValueError(f"{value!r} is not a count")
    return value


def fields(kind: type[T], values: object) -> T:
    """Return the `kind` from which `attrs.asdict` made `values`, in this version or another.

    Fields that this version does not have are ignored, and missing ones have their defaults. Every field of `kind` has
    a default, and is a flag or a number that is not negative.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{kind.__name__} is not an object")  # noqa: TRY004 - a value like any other
    stored = cast("Mapping[str, Any]", values)
    known = {name: stored[name] for name in attrs.fields_dict(kind) if name in stored}
    defaults = attrs.asdict(kind())
    for name, value in known.items():
        fits = type(value) is type(defaults[name]) or (type(defaults[name]) is float and type(value) is int)
        if not fits or not 0 <= value <= LARGEST_NUMBER:
            raise ValueError(f"{name}={value!r} does not fit {kind.__name__}")
    return kind(**known)
