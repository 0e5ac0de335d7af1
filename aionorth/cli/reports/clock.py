"""How the command line writes times: lengths of time, moments, times of day."""

from __future__ import annotations

from datetime import UTC, datetime

from aionorth.common.times import duration

__all__ = ["DAY", "HOUR", "MINUTE", "clock_time", "day", "duration", "interval", "moment", "rough", "seconds", "utc"]

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def seconds(value: float) -> str:
    """Return a short time as in ``0.4 s``, ``12 s``."""
    return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"  # noqa: PLR2004 - from 10 s on whole ones will do


def rough(value: float) -> str:
    """Return about how long `value` seconds are, in few characters: ``40 min``, ``5 h``, ``3 d``."""
    for length, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if value >= length:
            amount = value / length
            digits = 0 if unit == "min" or amount >= 10 else 1  # noqa: PLR2004 - two digits will do
            return f"{round(amount, digits):g} {unit}"
    return f"{value:.0f} s"


def interval(value: float) -> str:
    """Return seconds as in ``second``, ``0.05 seconds``, ``5 minutes``, ``hour``: what may stand after *per*."""
    for length, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second")):
        if value >= length:
            number = f"{value / length:g}"
            return name if number == "1" else f"{number} {name}s"
    return f"{value:g} seconds"


def moment(at: datetime) -> str:
    """Return a date and time as in ``4 Nov 2026, 03:12:05``."""
    return f"{at.day} {at:%b %Y, %H:%M:%S}"


def day(at: datetime) -> str:
    """Return a date as in ``4 Nov``."""
    return f"{at.day} {at:%b}"


def clock_time(at: datetime, precision: float) -> str:
    """Return the time of day, as exactly as `precision` in seconds needs."""
    if precision >= MINUTE:
        return f"{at:%H:%M}"
    if precision >= 1:
        return f"{at:%H:%M:%S}"
    digits = 1 if precision * 10 % 1 == 0 else 2
    return f"{at:%H:%M:%S.%f}"[: digits - 6]


def utc(at: float | None) -> str | None:
    """Return seconds since 1970 as in ``2026-11-04T02:12:05.120Z``, for programs."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
