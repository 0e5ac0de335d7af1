"""A timeline as a drawing: where each bar, tick and mark of it stands. How it looks is the template's business."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import attrs

from aionorth.cli.reports.timeline import DAY, HOUR, MINUTE, STEPS, Bar, Stretch, Timeline
from aionorth.models import Outcome, duration

GRID = 4
"""How many steps an axis of counts has at most."""

HAIR = 2.0
"""The least height of a part that must not be overlooked."""

NOTICED = frozenset({Outcome.FAILED, Outcome.UNKNOWN, Outcome.SKIPPED})

GAP = 0.16
"""The part of an interval's width that stays free between two bars."""

MARK = 7.0
"""The height of the mark of refusals, and its width where there is room."""

CHARACTER = 7.0
"""About the width of a character."""

CLOSEST = 0.8
"""Two times on the axis are no closer than this part of the distance they should have."""

SLIGHT = 1e-6
"""What rounding may take from a quotient that should be whole."""


@attrs.frozen(kw_only=True)
class Layout:
    """How a chart is laid out for a page of some width. Lengths are in CSS pixels, where it is not scaled."""

    name: str
    width: int
    left: int = 54
    """Room for the numbers of the axes."""
    right: int = 14
    top: int = 58
    """Room for the title and the flags of the runs."""
    ids_height: int
    between: int = 44
    """From one panel to the next: room for the title of the second."""
    calls_height: int
    bottom: int = 44
    """Room for the times."""
    tick: int
    """From one time on the axis to the next, at least."""
    cut: int
    """The width of a pause that is cut short."""


LAYOUTS = (
    Layout(name="wide", width=1000, ids_height=210, calls_height=90, tick=92, cut=64),
    Layout(name="medium", width=660, ids_height=190, calls_height=80, tick=88, cut=56),
    Layout(name="paper", width=700, between=40, ids_height=130, calls_height=56, tick=88, cut=56),
    Layout(name="narrow", width=360, left=46, right=8, ids_height=160, calls_height=70, tick=80, cut=44),
)


@attrs.frozen
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


@attrs.frozen(kw_only=True)
class Part:
    """What one outcome has of a bar."""

    outcome: Outcome
    box: Box


@attrs.frozen(kw_only=True)
class Column:
    """A bar of each panel, one above the other, and the words that go with them."""

    area: Box
    title: str
    parts: tuple[Part, ...]
    calls: Box | None
    refused: Box | None
    mark: str
    """The corners of the mark above a bar with refusals in it."""


@attrs.frozen
class Level:
    """A line of the grid."""

    y: float
    label: str


@attrs.frozen(kw_only=True)
class Panel:
    """One of the two sets of axes."""

    top: float
    bottom: float
    levels: tuple[Level, ...]


@attrs.frozen(kw_only=True)
class Tick:
    """A time on the axis."""

    x: float
    label_x: float
    """Where the middle of its label is: beside it, where that would not fit in."""
    time: str
    date: str
    """Empty where it is that of the tick before."""


@attrs.frozen(kw_only=True)
class Flag:
    """Where a run begins."""

    x: float
    label: str
    """Empty where there is no room."""
    before: bool
    """Whether the label stands before the line, not after it."""
    title: str


@attrs.frozen(kw_only=True)
class Pause:
    """A time without a run."""

    box: Box
    label: str
    """Empty where there is no room."""
    cut: bool
    """Whether it is drawn shorter than to scale."""
    title: str


@attrs.frozen(kw_only=True)
class Chart:
    """A drawing of a timeline in one layout."""

    layout: Layout
    height: int
    right: float
    ids: Panel
    calls: Panel
    columns: tuple[Column, ...]
    ticks: tuple[Tick, ...]
    flags: tuple[Flag, ...]
    pauses: tuple[Pause, ...]


def chart(timeline: Timeline, layout: Layout) -> Chart:
    """Draw `timeline`."""
    return _Drawing(timeline, layout).chart()


class _Drawing:
    def __init__(self, timeline: Timeline, layout: Layout) -> None:
        self._timeline = timeline
        self._layout = layout
        self._zone = timezone(timedelta(seconds=timeline.offset))
        cuts = len(timeline.stretches) - 1
        room = layout.width - layout.left - layout.right
        self._cut = min(layout.cut, room / 3 / cuts) if cuts else 0.0
        self._step = (room - self._cut * cuts) / sum(stretch.length for stretch in timeline.stretches)
        starts: list[float] = []
        x = float(layout.left)
        for stretch in timeline.stretches:
            starts.append(x)
            x += stretch.length * self._step + self._cut
        self._stretches: list[tuple[Stretch, float]] = list(zip(timeline.stretches, starts, strict=True))

    def _at(self, place: float) -> int:
        """Return the number of the stretch that `place`, counted in intervals, is in."""
        within = (at for at, (stretch, _) in enumerate(self._stretches) if place <= stretch.last + 1)
        return next(within, len(self._stretches) - 1)

    def _x(self, place: float) -> float:
        """Return where `place`, counted in intervals, is drawn."""
        stretch, start = self._stretches[self._at(place)]
        return start + max(place - stretch.first, 0.0) * self._step

    def chart(self) -> Chart:
        layout, bars = self._layout, self._timeline.bars
        ids_bottom = layout.top + layout.ids_height
        calls_top = ids_bottom + layout.between
        calls_bottom = calls_top + layout.calls_height
        ids, ids_scale = _panel(layout.top, ids_bottom, max((bar.ids for bar in bars), default=0))
        calls, calls_scale = _panel(calls_top, calls_bottom, max((bar.calls for bar in bars), default=0))
        return Chart(
            layout=layout,
            height=calls_bottom + layout.bottom,
            right=layout.width - layout.right,
            ids=ids,
            calls=calls,
            columns=tuple(self._column(bar, ids, ids_scale, calls, calls_scale) for bar in bars),
            ticks=tuple(self._ticks()),
            flags=tuple(self._flags()),
            pauses=tuple(self._pauses(ids.top, calls.bottom)),
        )

    def _column(
        self, bar: Bar, ids: Panel, ids_scale: Callable[[int], float], calls: Panel, calls_scale: Callable[[int], float]
    ) -> Column:
        left = self._x(bar.number)
        x, width = left + self._step * GAP / 2, self._step * (1 - GAP)

        def standing(bottom: float, height: float) -> Box:
            return Box(round(x, 2), round(bottom - height, 2), round(width, 2), round(height, 2))

        parts: list[Part] = []
        y = ids.bottom
        for outcome in Outcome:
            if count := bar.outcomes[outcome]:
                height = max(ids_scale(count), HAIR if outcome in NOTICED else 0.0)
                parts.append(Part(outcome=outcome, box=standing(y, height)))
                y -= height
        refused = max(calls_scale(bar.refusals), HAIR)
        middle, half, tip = x + width / 2, min(MARK / 2, width / 2), calls.bottom - calls_scale(bar.calls) - HAIR
        mark = f"{middle:.2f},{tip:.2f} {middle - half:.2f},{tip - MARK:.2f} {middle + half:.2f},{tip - MARK:.2f}"
        return Column(
            area=Box(round(left, 2), ids.top, round(self._step, 2), calls.bottom - ids.top),
            title=self._title(bar),
            parts=tuple(parts),
            calls=standing(calls.bottom, calls_scale(bar.calls)) if bar.calls else None,
            refused=standing(calls.bottom, refused) if bar.refusals else None,
            mark=mark if bar.refusals else "",
        )

    def _title(self, bar: Bar) -> str:
        told = [
            f"{count:,} {outcome.value.replace('_', ' ')}" for outcome in Outcome if (count := bar.outcomes[outcome])
        ]
        refused = f", {bar.refusals:,} of them refused" if bar.refusals else ""
        calls = f"{bar.calls:,} call{'' if bar.calls == 1 else 's'}"
        start, end = (self._moment(self._timeline.start(bar.number + more)) for more in (0, 1))
        interval = self._timeline.interval
        when = _day(start) if interval == DAY else f"{_day(start)} to {_day(end)}"
        if interval < DAY:
            when = f"{_day(start)}, {_clock(start, interval)} to {_clock(end, interval)}"
        return f"{when}: {', '.join(told)}; {calls}{refused}"

    # --- The axis of time

    def _ticks(self) -> Iterator[Tick]:
        timeline, apart = self._timeline, self._layout.tick
        step = next((step for step in STEPS if step / timeline.interval * self._step >= apart), STEPS[-1])
        date, taken = "", -math.inf
        for stretch, start in self._stretches:
            ratio = step / timeline.interval  # intervals from one tick to the next
            first, last = (math.floor(place / ratio + SLIGHT) for place in (stretch.first - 1, stretch.last + 1))
            places = [number * ratio for number in range(first + 1, last + 1)]
            for place in places or [float(stretch.first)]:
                x = start + (place - stretch.first) * self._step
                if x < taken + apart * CLOSEST:
                    continue
                here = self._moment(place * timeline.interval - timeline.offset)
                precision = step if places else timeline.interval
                time, day = "" if precision >= DAY else _clock(here, precision), _day(here)
                rightmost = self._layout.width - CHARACTER * max(len(time), len(day)) / 2
                yield Tick(
                    x=round(x, 2),
                    label_x=round(min(x, rightmost), 2),
                    time=time,
                    date="" if day == date else day,
                )
                date, taken = day, x

    def _moment(self, moment: float) -> datetime:
        return datetime.fromtimestamp(round(moment, 3), self._zone)

    # --- Runs, and the pauses between

    def _flags(self) -> Iterator[Flag]:
        taken = -math.inf
        for number, run in enumerate(self._timeline.runs, 1):
            x = self._x(self._timeline.place(run.start))
            label = f"Run {number:,}"
            room = 2 * CHARACTER + CHARACTER * len(label)
            before = x + room > self._layout.width + CHARACTER
            start, end = (x - room, x) if before else (x, x + room)
            fits = start >= taken
            taken = end if fits else taken
            moment = self._moment(run.start)
            yield Flag(
                x=round(x, 2),
                label=label if fits else "",
                before=before,
                title=f"Run {number:,} began at {moment:%H:%M:%S} on {_day(moment)}",
            )

    def _pauses(self, top: float, bottom: float) -> Iterator[Pause]:
        for earlier, later in pairwise(self._timeline.runs):
            # The intervals in which the runs end and begin are theirs.
            first = math.floor(self._timeline.place(earlier.end)) + 1
            last = math.floor(self._timeline.place(later.start))
            left, right = self._x(first), self._x(last)
            if right <= left:
                continue
            cut = self._at(first) != self._at(last)
            label = pause_in_words(later.start - earlier.end)
            lasted = duration(later.start - earlier.end)
            yield Pause(
                box=Box(round(left, 2), top, round(right - left, 2), bottom - top),
                label=label if right - left >= CHARACTER * len(label) else "",
                cut=cut,
                title=f"No run was at work for {lasted}" + (" (drawn shorter than that)" if cut else ""),
            )


def _clock(moment: datetime, precision: float) -> str:
    """Return the time of day as exactly as `precision`, in seconds, asks for."""
    if precision >= MINUTE:
        return f"{moment:%H:%M}"
    if precision >= 1:
        return f"{moment:%H:%M:%S}"
    digits = 1 if precision * 10 % 1 == 0 else 2
    return f"{moment:%H:%M:%S.%f}"[: digits - 6]


def pause_in_words(seconds: float) -> str:
    """Return about how long a pause was, in few characters: ``40 min``, ``5 h``, ``3 d``."""
    for length, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= length:
            amount = seconds / length
            digits = 0 if unit == "min" or amount >= 10 else 1  # noqa: PLR2004 - two digits will do
            return f"{round(amount, digits):g} {unit}"
    return f"{seconds:.0f} s"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b}"


def _panel(top: float, bottom: float, most: int) -> tuple[Panel, Callable[[int], float]]:
    """Return the axes of counts up to `most`, and what height a count has on them."""
    power: int = 10 ** max(math.floor(math.log10(max(most, 1) / GRID)), 0)
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice * GRID >= most)
    highest = max(math.ceil(most / step), 1) * step

    def height(count: int) -> float:
        return count / highest * (bottom - top)

    levels = tuple(Level(round(bottom - height(count), 2), f"{count:,}") for count in range(0, highest + 1, step))
    return Panel(top=top, bottom=bottom, levels=levels), height
