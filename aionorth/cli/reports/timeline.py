"""What happened when, as far as the journal shows: the figures of the report's chart.

Of each id, a journal's history has when it was begun, when it got its last outcome, and how many calls it took. So an
id and all its calls are counted at the moment of its last outcome. An id without such a moment is not on the timeline.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise

import attrs

from aionorth.common.times import DAY, HOUR, MINUTE
from aionorth.models import Outcome
from aionorth.purge.journal import Entry, History, Outage, RunState

MAX_BARS = 120
"""How many intervals a timeline has at most; it rarely has less than a third of that."""

SHORTEST = 1.0
"""Seconds that a timeline covers at least."""

STEPS: tuple[float, ...] = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1, 2, 5, 10, 15, 30),
    *(MINUTE * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(HOUR * hours for hours in (1, 2, 3, 6, 12)),
    *(DAY * days for days in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)
"""The lengths, in seconds, that an interval can have: those that people count time by."""

LONG_PAUSE = 0.25
"""A pause longer than this part of the time at work is cut short, where the pauses in all exceed the time at work."""


@attrs.frozen(kw_only=True)
class Work:
    """A run, from its beginning to its end or, where that is not recorded, to its last line."""

    start: float
    end: float


@attrs.define
class Bar:
    """What happened in one interval."""

    number: int
    outcomes: Counter[Outcome] = attrs.field(factory=Counter[Outcome])
    calls: int = 0
    refusals: int = 0

    @property
    def ids(self) -> int:
        """How many ids got their outcome in it."""
        return self.outcomes.total()


@attrs.frozen(kw_only=True)
class Timeline:
    """A purge, cut into intervals."""

    interval: float
    """Seconds that an interval has."""
    offset: float
    """Seconds that the clock of the page is ahead of UTC: intervals begin at its round times."""
    runs: tuple[Work, ...]
    works: tuple[Work, ...]
    """The runs, less the outages in them."""
    silences: Mapping[float, float] = attrs.field(factory=dict[float, float])
    """For each outage, from which moment it is drawn, and how many seconds it lasted: work may end within it."""
    without_end: frozenset[float] = frozenset()
    """Where a run ends whose end nobody has recorded: it may have been at work for longer."""
    stretches: tuple[range, ...]
    """The numbers of the intervals that are drawn to scale; the pauses between are cut short."""
    bars: tuple[Bar, ...]
    """The intervals in which something happened, in order."""

    def start(self, number: int) -> float:
        """When an interval begins, in seconds since 1970."""
        return number * self.interval - self.offset

    def place(self, moment: float) -> float:
        """Return where `moment` is, counted in intervals."""
        return (moment + self.offset) / self.interval


def outcome_at(entry: Entry) -> float | None:
    """When `entry` got the outcome that it has; None where that is not known, or it has none."""
    return None if entry.in_flight else entry.ended_at


def works(history: History) -> tuple[Work, ...]:
    """Return the runs in order of time, each up to its end or to the last line that the history has of it."""
    starts = sorted(history.runs)
    ends = list(starts)
    for moment in chain(history.ends, _moments(history.entries.values()), (outage.end for outage in history.outages)):
        run = max(bisect_right(starts, moment) - 1, 0)  # before the first run: the clock was set back
        ends[run] = max(ends[run], moment)
    return tuple(Work(start=start, end=end) for start, end in zip(starts, ends, strict=True))


def _moments(entries: Iterable[Entry]) -> Iterator[float]:
    for entry in entries:
        if entry.began_at is not None:
            yield entry.began_at
        if entry.ended_at is not None:
            yield entry.ended_at


Ended = tuple[float, Outcome, int, int, int]
"""When some ids got which outcome, how many, and by how many calls and refusals."""


def timeline(history: History, *, offset: float = 0.0) -> Timeline:
    """Return the timeline of a history with at least one run; `offset` is that of the clock that people read."""
    entries = history.entries.values()
    runs = works(history)
    ended = (
        (ended_at, entry.final_outcome(), 1, entry.calls, entry.refusals)
        for entry in entries
        if (ended_at := outcome_at(entry)) is not None
    )
    earliest = min(_moments(entries), default=runs[0].start)
    outages = _without_lines(history)
    return attrs.evolve(
        drawn(runs, ended, earliest=earliest, outages=outages, offset=offset),
        silences={shown.start: one.end - one.start for shown, one in zip(outages, history.outages, strict=True)},
        without_end=frozenset(
            work.end for work, run in zip(runs, history.each_run(), strict=True) if run.state is RunState.NO_END
        ),
    )


def drawn(
    runs: tuple[Work, ...],
    ended: Iterable[Ended],
    *,
    earliest: float,
    outages: tuple[Outage, ...] = (),
    offset: float,
    shortest: float = 0.0,
) -> Timeline:
    """Return the timeline of runs in which ids `ended`, with no interval of less than so many seconds."""
    between = tuple(_between(runs, outages))
    spans = _spans(between, earliest)
    steps = (step for step in STEPS if step >= shortest)
    interval = next((step for step in steps if sum(map(len, _stretches(spans, step, offset))) <= MAX_BARS), STEPS[-1])
    bars: dict[int, Bar] = {}
    for ended_at, outcome, ids, calls, refusals in ended:
        number = math.floor((ended_at + offset) / interval)
        bar = bars.setdefault(number, Bar(number))
        bar.outcomes[outcome] += ids
        bar.calls += calls
        bar.refusals += refusals
    return Timeline(
        interval=interval,
        offset=offset,
        runs=runs,
        works=between,
        stretches=_stretches(spans, interval, offset),
        bars=tuple(bars[number] for number in sorted(bars)),
    )


def joined(works: Iterable[Work], gap: float) -> tuple[Work, ...]:
    """Return works in order of time, with those that overlap, or are at most so many seconds apart, as one."""
    found = list[Work]()
    for work in sorted(works, key=lambda one: one.start):
        if found and work.start <= found[-1].end + gap:
            found[-1] = Work(start=found[-1].start, end=max(found[-1].end, work.end))
        else:
            found.append(work)
    return tuple(found)


def _without_lines(history: History) -> tuple[Outage, ...]:
    """Return the outages, each from the last line about an id on that the history has before its end."""
    if not (outages := history.outages):
        return ()
    moments = sorted(_moments(history.entries.values()))
    last = [max(bisect_right(moments, outage.end) - 1, 0) for outage in outages]
    return tuple(
        Outage(start=max(outage.start, min(moments[number], outage.end)) if moments else outage.start, end=outage.end)
        for number, outage in zip(last, outages, strict=True)
    )


def _between(runs: Iterable[Work], outages: Sequence[Outage]) -> Iterator[Work]:
    """Yield the runs, cut in two by each outage."""
    for run in runs:
        start = run.start
        for outage in outages:
            if start <= outage.start and outage.end <= run.end:
                yield Work(start=start, end=outage.start)
                start = outage.end
        yield Work(start=start, end=run.end)


def _spans(runs: Sequence[Work], earliest: float) -> list[tuple[float, float]]:
    """Return what is to be drawn to scale: all, or the runs without the long pauses between them."""
    worked = max(sum(run.end - run.start for run in runs), SHORTEST)
    pauses = [later.start - earlier.end for earlier, later in pairwise(runs)]
    cut_from = LONG_PAUSE * worked if sum(pauses) > worked else math.inf
    spans = [(min(earliest, runs[0].start), runs[0].end)]
    for pause, run in zip(pauses, runs[1:], strict=True):
        if pause > cut_from:
            spans.append((run.start, run.end))
        else:
            spans[-1] = (spans[-1][0], run.end)
    start, end = spans[-1]
    spans[-1] = (start, end + max(SHORTEST - sum(end - start for start, end in spans), 0.0))
    return spans


def _stretches(spans: Iterable[tuple[float, float]], interval: float, offset: float) -> tuple[range, ...]:
    stretches: list[range] = []
    for start, end in spans:
        first, last = (math.floor((moment + offset) / interval) for moment in (start, end))
        if stretches and first <= stretches[-1].stop:
            first = stretches.pop().start
        stretches.append(range(first, last + 1))
    return tuple(stretches)
