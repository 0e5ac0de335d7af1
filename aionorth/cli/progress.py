"""A run at one moment, in words. Nothing here knows a terminal."""

from __future__ import annotations

import math
from collections import deque

import attrs

from aionorth.flow import FlowState
from aionorth.models import DeleteSummary, Outcome, duration

MINUTE = 60.0

SAMPLES = 60
"""How many samples of its call count a `Meter` takes in a period."""


@attrs.frozen(kw_only=True)
class Moment:
    """A run at one moment: all that a display tells."""

    summary: DeleteSummary
    flow: FlowState
    distinct: int
    """How many different ids the input has."""
    rate: float = 0.0
    """Calls a minute, at present."""
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

    def remaining(self) -> str:
        """About how long it will take from here on."""
        if self.ended:
            return f"ended after {duration(self.summary.elapsed)}"
        if self.stopping:
            return "finishing what has been begun, retries included"
        left = self.flow.time_for(self.distinct - self.settled)
        if left >= 1:
            return f"about {duration(left)} left"
        return "the last calls are under way" if self.summary.calls else "logging in"


def flow_in_words(flow: FlowState, *, ended: bool = False) -> str:
    """As in ``96 of 100 calls used, next slot in 12 s``, or ``refused by the platform, paused 8.0 s``."""
    if flow.paused_for > 0:
        return f"refused by the platform, paused {seconds(flow.paused_for)}"
    used = f"{flow.in_use:,} of {flow.limit:,} calls used"
    if flow.free or ended:
        return used
    if flow.next_slot == math.inf:
        return f"{used}, next slot with the next reply"
    return f"{used}, next slot in {seconds(flow.next_slot)}"


def seconds(value: float) -> str:
    """Return a short time as in ``0.4 s``, ``12 s``."""
    return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"  # noqa: PLR2004 - from 10 s on whole ones will do


class Meter:
    """Measures a run's rate: its calls of the last period, never more of them than flow control looks at."""

    def __init__(self, period: float, before: int = 0) -> None:
        """`before` is how many calls were made before the start."""
        self._period = period
        self._before = before
        self._samples: deque[tuple[float, int]] = deque()

    def rate(self, elapsed: float, calls: int) -> float:
        """Return calls a minute, `elapsed` seconds after the start with `calls` made; nothing is extrapolated."""
        samples, calls = self._samples, calls - self._before
        while samples and samples[0][0] < elapsed - self._period:
            samples.popleft()
        if not samples or elapsed - samples[-1][0] >= self._period / SAMPLES:
            samples.append((elapsed, calls))
        return (calls - samples[0][1]) * MINUTE / self._period
