"""Values as they come back from a store: nothing is taken on trust. Everything raises `ValueError`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import attrs

T = TypeVar("T", bound=attrs.AttrsInstance)

LARGEST_NUMBER = 2**53
"""The largest number that is believed of a stored value: from there on a float does not tell one from the next."""


def number(value: object) -> float:
    """Return a number as it is."""
    if type(value) not in {int, float} or not abs(cast("float", value)) <= LARGEST_NUMBER:
        raise ValueError(f"{value!r} is not a number that it can hold")
    return cast("float", value)


def count(value: object) -> int:
    """Return a count as it is."""
    if type(value) is not int or not 0 <= value <= LARGEST_NUMBER:
        raise ValueError(f"{value!r} is not a count")
    return value


def fields(kind: type[T], values: object) -> T:
    """Return what `attrs.asdict` made of one of `kind`, by this version or another one, as far as it is understood.

    Every field of `kind` has a default, and is a flag or a number that is not negative.
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
