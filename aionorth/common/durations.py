"""Durations as they are given to options and settings: a number and its unit, as in ``90d``."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def in_hours_or_more(text: str) -> timedelta:
    """Return a duration as in ``90d``, ``12h``, ``2w``; raises `ValueError`, with the remedy, for another text."""
    return _read(text, "h", "d", "w")


def in_any_unit(text: str) -> timedelta:
    """Return a duration as in ``12h``, ``30min``, ``90s``; raises `ValueError`, with the remedy, for another text."""
    return _read(text, *_UNITS)


def _read(text: str, *units: str) -> timedelta:
    """There is no ``m``, which could be months or minutes."""
    found = re.fullmatch(rf"(\d{{1,6}})({'|'.join(units)})", text.strip().lower())
    if found is None or not int(found[1]):
        raise ValueError(f"give a number above 0 and {', '.join(units[:-1])} or {units[-1]}, as in 12h or 90d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
