"""Times and spans of time as texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aionorth.common.text import many

MINUTE, HOUR, DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """Return a measured time: ``4.2 s``, ``12 min 3 s``, ``1 h 40 min``."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    return f"{minutes} min {rest} s" if minutes < HOUR // MINUTE else f"{minutes // 60} h {minutes % 60} min"


def in_whole_units(time: timedelta) -> str:
    """Return a given time in the largest unit that it is a multiple of: ``90 days``, ``12 hours``."""
    seconds = time.total_seconds()
    for unit, size in (("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", 1)):
        if seconds >= size and not seconds % size:
            return many(int(seconds // size), unit)
    return f"{seconds:g} seconds"


def utc(at: float) -> str:
    """Return seconds since 1970 as in ``2026-11-04T02:12:05.120Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
