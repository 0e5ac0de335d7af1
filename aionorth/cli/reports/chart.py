"""A timeline as a drawing: where each bar, tick and label stands. How it looks is up to the template.

All places are percentages, so the drawing scales to any page. Words do not shrink with it: ticks and labels are chosen
once for each of `WIDTHS`, and the page's style sheet shows those that fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import attrs

from aionorth.cli.reports.timeline import STEPS, Bar, Timeline
from aionorth.common.text import many
from aionorth.common.times import DAY, HOUR, MINUTE, duration
from aionorth.models import Outcome

IDS = (13.0, 60.0)
"""Where the panel of ids begins and ends, from the top of the drawing."""

CALLS = (70.0, 89.0)
"""The same of the panel of calls. Above each stands its title, below the times."""

CUT = 8.0
"""The width of a pause that is cut short."""

MAX_CUTS = 33.0
"""The width that all these have together, at most."""

GRID = 4
"""How many steps an axis of counts has at most."""

MIN_HEIGHT = 0.5
"""The least height of a part that must not be overlooked."""

NEVER_HIDDEN = frozenset({Outcome.FAILED, Outcome.UNKNOWN, Outcome.SKIPPED})

GAP = 0.16
"""The part of an interval's width that stays free between two bars."""

CHARACTER = 7.0
"""About the width of a character, in pixels."""

CLOSEST = 0.8
"""Two times on the axis are no closer than this part of the distance they should have."""

ROUNDING = 1e-6
"""What rounding may take from a quotient that should be whole."""


@attrs.frozen
class Width:
    """A width of the page that words are chosen for."""

    name: str
    pixels: int
    """The least width that the drawing has there."""

    def of(self, text: str, *, around: float = 0.0) -> float:
        """Return how wide `text` is, with so many pixels around it, in percent of the drawing."""
        return 100 * (CHARACTER * len(text) + around) / self.pixels


WIDTHS = (Width("wide", 700), Width("medium", 360), Width("narrow", 250))


@attrs.frozen
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


@attrs.frozen(kw_only=True)
class Column:
    """A bar of each panel, one above the other, and the text that goes with them."""

    area: Box
    title: str
    parts: tuple[tuple[Outcome, Box], ...]
    """What each outcome has of the upper bar."""
    calls: Box | None
    refused: Box | None


@attrs.frozen(kw_only=True)
class Panel:
    """One of the two sets of axes."""

    top: float
    bottom: float
    highest: int
    """The count at its top."""
    step: int

    @classmethod
    def of(cls, place: tuple[float, float], maximum: int) -> Panel:
        """Return the panel at `place` for counts up to `maximum`."""
        power: int = 10 ** max(math.floor(math.log10(max(maximum, 1) / GRID)), 0)
        step = next(power * nice for nice in (1, 2, 5, 10) if power * nice * GRID >= maximum)
        return cls(top=place[0], bottom=place[1], highest=max(math.ceil(maximum / step), 1) * step, step=step)

    def height(self, count: int) -> float:
        """Return what height `count` has."""
        return count / self.highest * (self.bottom - self.top)

    def levels(self) -> list[tuple[float, str]]:
        """Return the lines of the grid: where each is, and its label."""
        counts = range(0, self.highest + 1, self.step)
        return [(round(self.bottom - self.height(count), 2), f"{count:,}") for count in counts]


@attrs.frozen(kw_only=True)
class Tick:
    """A time on the axis."""

    x: float
    time: str
    date: str
    """Empty where it is that of the tick before."""


@attrs.frozen(kw_only=True)
class Flag:
    """Where a run begins."""

    x: float
    label: str
    """Empty where it does not fit."""
    before: bool
    """Whether the label stands before the line, not after it."""
    title: str


@attrs.frozen(kw_only=True)
class Pause:
    """A time without a run, or in which the platform was silent."""

    box: Box
    label: str
    cut: bool
    """Whether it is drawn shorter than to scale."""
    silent: bool
    """Whether a run was at work, and the platform silent."""
    title: str


class Chart:
    """A drawing of a timeline. Places and lengths are in percent of its width and height."""

    widths = WIDTHS

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._zone = timezone(timedelta(seconds=timeline.offset))
        cuts = len(timeline.stretches) - 1
        cut = min(CUT, MAX_CUTS / cuts) if cuts else 0.0
        self._step = (100 - cut * cuts) / sum(map(len, timeline.stretches))
        self._stretches: list[tuple[range, float]] = []
        """Each with where it begins."""
        x = 0.0
        for stretch in timeline.stretches:
            self._stretches.append((stretch, x))
            x += len(stretch) * self._step + cut
        self.ids = Panel.of(IDS, max((bar.ids for bar in timeline.bars), default=0))
        self.calls = Panel.of(CALLS, max((bar.calls for bar in timeline.bars), default=0))
        self.columns = [self._column(bar) for bar in timeline.bars]
        self.pauses = list(self._pauses())

    def _at(self, place: float) -> int:
        """Return the number of the stretch that `place`, counted in intervals, is in."""
        within = (at for at, (stretch, _) in enumerate(self._stretches) if place <= stretch.stop)
        return next(within, len(self._stretches) - 1)

    def _x(self, place: float) -> float:
        """Return where `place`, counted in intervals, is drawn."""
        stretch, start = self._stretches[self._at(place)]
        return start + max(place - stretch.start, 0.0) * self._step

    # --- The bars

    def _column(self, bar: Bar) -> Column:
        ids, calls, left = self.ids, self.calls, self._x(bar.number)

        def standing(bottom: float, height: float) -> Box:
            x, width = left + self._step * GAP / 2, self._step * (1 - GAP)
            return Box(round(x, 2), round(bottom - height, 2), round(width, 2), round(height, 2))

        parts: list[tuple[Outcome, Box]] = []
        y = ids.bottom
        for outcome in Outcome:
            if count := bar.outcomes[outcome]:
                height = max(ids.height(count), MIN_HEIGHT if outcome in NEVER_HIDDEN else 0.0)
                parts.append((outcome, standing(y, height)))
                y -= height
        return Column(
            area=Box(round(left, 2), ids.top, round(self._step, 2), calls.bottom - ids.top),
            title=self._title(bar),
            parts=tuple(parts),
            calls=standing(calls.bottom, calls.height(bar.calls)) if bar.calls else None,
            refused=standing(calls.bottom, max(calls.height(bar.refusals), MIN_HEIGHT)) if bar.refusals else None,
        )

    def _title(self, bar: Bar) -> str:
        counts = [f"{bar.outcomes[one]:,} {one.value.replace('_', ' ')}" for one in Outcome if bar.outcomes[one]]
        refused = f", {bar.refusals:,} of them refused" if bar.refusals else ""
        calls = many(bar.calls, "call")
        start, end = (self._moment(self._timeline.start(bar.number + more)) for more in (0, 1))
        interval = self._timeline.interval
        when = day(start) if interval == DAY else f"{day(start)} to {day(end)}"
        if interval < DAY:
            when = f"{day(start)}, {clock_time(start, interval)} to {clock_time(end, interval)}"
        return f"{when}: {', '.join(counts)}; {calls}{refused}"

    def _moment(self, moment: float) -> datetime:
        return datetime.fromtimestamp(round(moment, 3), self._zone)

    # --- The axis of time

    def ticks(self, width: Width) -> Iterator[Tick]:
        """Yield the times that fit a page of this width."""
        interval = self._timeline.interval
        step, apart = self._tick_step(width)
        ratio = step / interval  # intervals from one tick to the next
        date, taken = "", -math.inf
        for stretch, start in self._stretches:
            first, last = (math.floor(place / ratio + ROUNDING) for place in (stretch.start - 1, stretch.stop))
            places = [number * ratio for number in range(first + 1, last + 1)]
            for place in places or [float(stretch.start)]:
                x = start + (place - stretch.start) * self._step
                if x < taken + apart * CLOSEST:
                    continue
                here = self._moment(place * interval - self._timeline.offset)
                precision = step if places else interval
                time, today = "" if precision >= DAY else clock_time(here, precision), day(here)
                yield Tick(x=round(x, 2), time=time, date="" if today == date else today)
                date, taken = today, x

    def _tick_step(self, width: Width) -> tuple[float, float]:
        """Return how many seconds are between two ticks, and how far apart their labels have to be."""
        apart = 0.0
        for step in STEPS:
            widest = "00:00" if step >= MINUTE else "00:00:00" if step >= 1 else "00:00:00.00"
            apart = width.of(widest, around=20)
            if step / self._timeline.interval * self._step >= apart:
                return step, apart
        return STEPS[-1], apart

    # --- Runs, and the pauses between

    def flags(self, width: Width) -> Iterator[Flag]:
        """Yield where runs begin; those have a label that fit a page of this width."""
        taken = -math.inf
        for number, run in enumerate(self._timeline.runs, 1):
            x = self._x(self._timeline.place(run.start))
            label = f"Run {number:,}"
            needed = width.of(label, around=2 * CHARACTER)
            before = x + needed > 100 + width.of("", around=3 * CHARACTER)
            start, end = (x - needed, x) if before else (x, x + needed)
            fits = start >= taken
            taken = end if fits else taken
            moment = self._moment(run.start)
            yield Flag(
                x=round(x, 2),
                label=label if fits else "",
                before=before,
                title=f"{label} began at {moment:%H:%M:%S} on {day(moment)}",
            )

    def _pauses(self) -> Iterator[Pause]:
        silences, without_end = self._timeline.silences, self._timeline.without_end
        for earlier, later in pairwise(self._timeline.works):
            # The intervals in which the work ends and begins are its own.
            first = math.floor(self._timeline.place(earlier.end)) + 1
            last = math.floor(self._timeline.place(later.start))
            left, right = self._x(first), self._x(last)
            if right <= left:
                continue
            cut = self._at(first) != self._at(last)
            lasted = silences.get(earlier.end, later.start - earlier.end)
            silent = earlier.end in silences
            what = "The platform was silent for" if silent else "No run was at work for"
            most = " at most" if earlier.end in without_end and not silent else ""
            yield Pause(
                box=Box(round(left, 2), IDS[0], round(right - left, 2), CALLS[1] - IDS[0]),
                label=rough(lasted),
                cut=cut,
                silent=silent,
                title=f"{what}{most} {duration(lasted)}" + (" (drawn shorter than that)" if cut else ""),
            )


# --- Times in few characters


def rough(value: float) -> str:
    """Return about how long `value` seconds are, in few characters: ``40 min``, ``5 h``, ``3 d``."""
    for length, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if value >= length:
            amount = value / length
            digits = 0 if unit == "min" or amount >= 10 else 1  # noqa: PLR2004 - two digits will do
            return f"{round(amount, digits):g} {unit}"
    return f"{value:.0f} s"


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
