"""What refusals teach about flow control. Pure: every moment is handed in, in seconds on one clock.

A refusal says that the platform counts otherwise than we do, that its threshold is lower, or that somebody else calls;
it does not say which. One reaction fits all three: spread the calls evenly over the period, which alone satisfies a
platform that weighs two minutes' counts, and allow no more of them than it has accepted in a period. Whether it would
accept more, only asking tells, and an answer of no is a refusal: so the limit grows back slowly at first, faster the
longer nothing is refused, and each time that more proves too much, it waits twice as long before it grows again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

PATIENCE = 4
"""Clean periods after which the limit first grows, or is forgotten where it has grown back."""

LONGEST_PATIENCE = 16
"""However often growing was refused, it is tried again after so many clean periods."""

LEAST_PART = 0.5
"""No single reaction takes more than this part of the limit: a platform whose window was full before we came accepts
nothing at first, and that is no threshold."""

KEPT = 0.98
"""The part of what was accepted that the limit is brought down to: the rest is for whoever else calls, and for the
chance by which one period accepts more than another."""


class Learning:
    """What has been learned from refusals: a limit never above the configured one, and a gap from call to call.

    It begins with the first refusal and is told of every answer from then on. Calls that were in flight when a refusal
    came belong to its episode: there is one reaction for all of them.
    """

    def __init__(self, ceiling: int, period: float, accepted: Iterable[float], most: int) -> None:
        """`accepted` are the calls of the last period; `most` is how many were ever accepted in one."""
        self._ceiling = ceiling
        self._period = period
        self._accepted = deque(accepted)
        self._limit = self._within(max(most, len(self._accepted)), ceiling)
        self._held: int | None = None
        """The limit that held before it was last grown; None where it has not grown since the last refusal."""
        self._step = 1
        self._patience = PATIENCE
        self._clean_since: float | None = None
        """From when on every call was accepted; None during an episode."""
        self._counting = self._limit < ceiling
        """Whether the first episode goes on: calls of before it may still turn out to have been accepted."""
        self._settling = False
        """Whether the limit is to be brought down to what was accepted, once the episode is over."""

    @property
    def limit(self) -> int:
        """Calls that the platform seems to allow in a period: at least 1, at most those configured."""
        return self._limit

    @property
    def gap(self) -> float:
        """Seconds from each call to the next."""
        return self._period / self._limit

    def tighten(self, ceiling: int, period: float) -> None:
        """Stay below another ceiling from now on, for calls in another period."""
        self._ceiling = ceiling
        self._period = period
        self._limit = min(self._limit, ceiling)

    def refused(self, now: float, *, trial: bool) -> None:
        """Take note of the first refusal of an episode; or of a `trial`'s, the one call made after each pause in it."""
        self._clean_since = None
        self._counting = False
        self._prune(now)
        if trial:
            return
        if self._held is None:
            self._limit = max(1, self._limit - 1)
        else:
            self._limit = min(self._limit, self._held)
            self._patience = min(2 * self._patience, LONGEST_PATIENCE)
        self._held = None
        self._step = 1
        self._settling = True

    def accepted(self, now: float, *, before: bool = False) -> None:
        """Take note of a call that was accepted; one from `before` the pause does not end the episode."""
        self._accepted.append(now)
        self._prune(now)
        if before:
            self._limit = min(self._limit + self._counting, self._ceiling)
            return
        self._counting = False
        if self._clean_since is None:
            self._clean_since = now
        if self._settling:
            # Only now does the count tell how long nothing was accepted. The pause itself held one call back.
            self._settling = False
            self._limit = self._within(int(KEPT * len(self._accepted)) + 1, self._limit)

    def grow(self, now: float) -> bool:
        """Grow the limit if it is time; returns whether anything learned is left."""
        if self._clean_since is None:
            return True
        growing = self._step > 1 and self._limit < self._ceiling
        if now - self._clean_since < self._period * (1 if growing else self._patience):
            return True
        if self._limit == self._ceiling:
            return False
        self._clean_since = now
        self._held = self._limit
        self._limit = min(self._limit + self._step, self._ceiling)
        self._step *= 2
        return True

    def _within(self, count: int, limit: int) -> int:
        """Return a limit of `count`, but neither above `limit` nor too far below it."""
        return max(1, int(limit * LEAST_PART), min(count, limit))

    def _prune(self, now: float) -> None:
        while self._accepted and self._accepted[0] + self._period <= now:
            self._accepted.popleft()
