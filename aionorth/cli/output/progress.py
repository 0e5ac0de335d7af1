"""A run at one moment, in words. Nothing here knows a terminal."""

from __future__ import annotations

import math
from collections import deque

import attrs

from aionorth.flow.limiter import FlowState
from aionorth.models import DeleteSummary, Outcome, duration

MINUTE = 60.0

SAMPLES = 60
"""How many samples a `Meter` takes in a period."""

SETTLING = 10.0
"""Seconds after which a pace is told."""


@attrs.frozen(kw_only=True)
class Moment:
    """A run at one moment: all that a display tells."""

    summary: DeleteSummary
    flow: FlowState
    distinct: int
    """How many different ids the input has."""
    rate: float = 0.0
    """Calls a minute, at present."""
    pace: float | None = None
    """Ids a second that got their outcome, at present; None while it is too early to tell."""
    stopping: bool = False
    """Whether the run has been asked to stop."""
    ended: bool = False
    note: str = ""
    """What the library last had to say, while it is news."""

    @property
    def settled(self) -> int:
        """Ids that have their outcome."""
        return self.summary.total - self.summary.pending

    @property
    def share(self) -> float:
        """The part of the ids that has its outcome, from 0 to 1."""
        return self.settled / self.distinct if self.distinct else 1.0

    def progress(self) -> str:
        """As in ``1,204 of 3,000 (40 %)``; 100 % is not said before it is true."""
        return f"{self.settled:,} of {self.distinct:,} ({math.floor(100 * self.share)} %)"

    def counts(self) -> list[tuple[Outcome | None, str]]:
        """As in ``1,190 deleted``, ``9 not found``: the outcomes so far, and ids in work (None). Zeros are left out."""
        named = [(outcome, f"{self.summary.count(outcome):,} {outcome.value.replace('_', ' ')}") for outcome in Outcome]
        told: list[tuple[Outcome | None, str]] = [
            (outcome, text) for outcome, text in named if self.summary.count(outcome) or outcome is Outcome.DELETED
        ]
        return [*told, (None, f"{self.summary.pending:,} in work")] if self.summary.pending else told

    def flow_control(self) -> str:
        """As in ``96 of 100 calls used, next slot in 12 s``."""
        return flow_in_words(self.flow, ended=self.ended)

    def lesson(self) -> str:
        """What refusals have taught, and what to do about it; nothing where they have taught nothing."""
        flow = self.flow
        in_a_period = "a minute" if flow.period == MINUTE else f"in {flow.period:g} s"
        if (limit := flow.learned_limit) is not None:
            return f"the platform seems to allow about {limit:,} calls {in_a_period}; set calls={limit}"
        return "the calls are spread evenly after a refusal" if flow.gap else ""

    def remaining(self) -> str:
        """About how long it will take from here on."""
        if self.ended:
            return f"ended after {duration(self.summary.elapsed)}"
        if self.stopping:
            return "finishing what has been begun, retries included"
        open_ = self.distinct - self.settled
        if open_ <= self.summary.pending:
            return "the last calls are under way" if self.summary.pending else "all are accounted for"
        if not self.flow.store_reached:
            return "time left unknown until the store can be reached"
        left = self.flow.time_for(open_)
        if self.pace:  # which others may set, who share the calls
            left = max(left, open_ / self.pace)
        elif self.flow.free and self.pace is not None:
            return "time left unknown until a call succeeds"
        if left < 1 and not self.summary.calls:
            return "logging in"
        return f"about {duration(max(1.0, left))} left"


def flow_in_words(flow: FlowState, *, ended: bool = False) -> str:
    """As in ``96 of 100 calls used, next slot in 12 s``, or ``refused by the platform, paused 8.0 s``."""
    if not flow.store_reached:
        return "the store of flow control cannot be reached, calls are held"
    if flow.paused_for > 0:
        return f"refused by the platform, paused {seconds(flow.paused_for)}"
    used = f"{flow.in_use:,} of {flow.in_force:,} calls used"
    if flow.free or ended:
        return used
    if flow.next_slot == math.inf:
        return f"{used}, next slot with the next reply"
    return f"{used}, next slot in {seconds(flow.next_slot)}"


def seconds(value: float) -> str:
    """Return a short time as in ``0.4 s``, ``12 s``."""
    return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"  # noqa: PLR2004 - from 10 s on whole ones will do


class Meter:
    """Measures how fast something grows: over the last period, never more of it than flow control looks at."""

    def __init__(self, period: float, before: int = 0) -> None:
        """`before` is how much of it there was at the start."""
        self._period = period
        self._samples: deque[tuple[float, int]] = deque()
        self._before = before

    def rate(self, elapsed: float, count: int) -> float:
        """Return how much a minute, at `elapsed` seconds with `count` of it; nothing is extrapolated."""
        return self._grown(elapsed, count) * MINUTE / self._period

    def pace(self, elapsed: float, count: int) -> float | None:
        """Return how much a second, over the time seen of the last period; None before there is enough of it."""
        grown = self._grown(elapsed, count)
        seen = elapsed - self._samples[0][0]
        return grown / seen if seen >= min(SETTLING, self._period / 2) else None

    def _grown(self, elapsed: float, count: int) -> int:
        samples, count = self._samples, count - self._before
        while samples and samples[0][0] < elapsed - self._period:
            samples.popleft()
        if not samples or elapsed - samples[-1][0] >= self._period / SAMPLES:
            samples.append((elapsed, count))
        return count - samples[0][1]
