"""Seven ways in which a platform may count the calls of one app.

The platform documents a threshold and the refusal, not how it counts. Each class here is one plausible way. The time is
an argument, in seconds on any clock that never runs backwards.
"""

import abc
import collections
import math
from collections.abc import Mapping
from types import MappingProxyType

ROUNDING = 1e-9
"""The part of a token that a token bucket lets a call lack, so that none is refused because of a rounding error."""


PARTS = 10
"""Of the calls of a period, one in so many may be made at once where bursts are limited."""


class Throttle(abc.ABC):
    """Counts one app's calls against a threshold of ``calls`` per ``period`` seconds. Mutable: what has been counted.

    ``calls`` may be changed at any time; what has been counted so far stays counted.
    """

    def __init__(self, calls: int, period: float) -> None:
        self.calls = calls
        self.period = period

    @abc.abstractmethod
    def admit(self, now: float) -> float | None:
        """Count a call made at ``now``.

        Returns:
            ``None`` where the call is accepted. Where it is refused, the seconds after which a call can be accepted, if
            no other call is made until then.
        """


class FixedWindow(Throttle):
    """Counts accepted calls per period of the clock; the periods begin at multiples of ``period``."""

    def __init__(self, calls: int, period: float) -> None:
        super().__init__(calls, period)
        self._window = 0.0
        self._accepted = 0

    def admit(self, now: float) -> float | None:
        """See `Throttle.admit`."""
        window = now // self.period
        if window != self._window:
            self._window = window
            self._accepted = 0
        if self._accepted >= self.calls:
            return (window + 1) * self.period - now
        self._accepted += 1
        return None


class SlidingWindow(Throttle):
    """Counts accepted calls in the last ``period`` seconds; a call exactly ``period`` ago still counts."""

    def __init__(self, calls: int, period: float) -> None:
        super().__init__(calls, period)
        self._counted: collections.deque[float] = collections.deque()

    def admit(self, now: float) -> float | None:
        """See `Throttle.admit`; at the very moment that it returns, a call is still refused."""
        counted = self._counted
        while counted and now - counted[0] > self.period:
            counted.popleft()
        if len(counted) >= self.calls:
            self._count_refused(now)
            return counted[len(counted) - self.calls] + self.period - now
        counted.append(now)
        return None

    def _count_refused(self, now: float) -> None:
        """Refused calls do not count."""


class SlidingWindowWithRefusals(SlidingWindow):
    """Like `SlidingWindow`, but refused calls count too: a caller that does not stop calling stays locked out."""

    def _count_refused(self, now: float) -> None:
        self._counted.append(now)


class TokenBucket(Throttle):
    """Holds up to ``calls`` tokens, spends one per accepted call, refills ``calls`` per ``period`` continuously."""

    def __init__(self, calls: int, period: float) -> None:
        super().__init__(calls, period)
        self._tokens = float(self.capacity)
        self._refilled = 0.0

    @property
    def capacity(self) -> int:
        """How many tokens it holds: so many calls may be made at once."""
        return self.calls

    def admit(self, now: float) -> float | None:
        """See `Throttle.admit`."""
        rate = self.calls / self.period
        self._tokens = min(self.capacity, self._tokens + (now - self._refilled) * rate)
        self._refilled = now
        if self._tokens < 1 - ROUNDING:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return None


class SmallBurst(TokenBucket):
    """A token bucket that holds only a tenth of what refills it in a period, as gateways do that smooth the flow.

    Nginx (``limit_req`` with ``burst`` and ``nodelay``) calls it a leaky bucket; by another reckoning it is the GCRA.
    """

    @property
    def capacity(self) -> int:
        """See `TokenBucket.capacity`."""
        return math.ceil(self.calls / PARTS)


class TwoLimits(Throttle):
    """Two sliding windows: ``calls`` per ``period``, and a tenth of them in a sixtieth of it; both must have room."""

    def __init__(self, calls: int, period: float) -> None:
        super().__init__(calls, period)
        self._counted: collections.deque[float] = collections.deque()

    def admit(self, now: float) -> float | None:
        """See `Throttle.admit`; at the very moment that it returns, a call is still refused."""
        counted = self._counted
        while counted and now - counted[0] > self.period:
            counted.popleft()
        wait = None
        for calls, seconds in ((self.calls, self.period), (math.ceil(self.calls / PARTS), self.period / 60)):
            if len(counted) >= calls and now - (earliest := counted[-calls]) <= seconds:
                wait = max(wait or 0.0, earliest + seconds - now)
        if wait is None:
            counted.append(now)
        return wait


class SlidingWindowCounter(Throttle):
    """Estimates the last ``period`` seconds from two windows of the clock.

    The accepted calls of the previous window, weighted by the part of that window that lies within the last
    ``period`` seconds, plus those of this window, must be below ``calls``.
    """

    def __init__(self, calls: int, period: float) -> None:
        super().__init__(calls, period)
        self._window = 0.0
        self._accepted_before = 0
        self._accepted = 0

    def admit(self, now: float) -> float | None:
        """See `Throttle.admit`; at the very moment that it returns, a call is still refused."""
        window, elapsed = divmod(now, self.period)
        if window != self._window:
            self._accepted_before = self._accepted if window == self._window + 1 else 0
            self._window = window
            self._accepted = 0
        if self._accepted_before * (1 - elapsed / self.period) + self._accepted >= self.calls:
            return self._wait() - elapsed
        self._accepted += 1
        return None

    def _wait(self) -> float:
        """Return the seconds from the start of this window until the estimate falls to the threshold."""
        if self._accepted < self.calls:
            return self.period * (1 - (self.calls - self._accepted) / self._accepted_before)
        return self.period * (2 - self.calls / self._accepted)


MODELS: Mapping[str, type[Throttle]] = MappingProxyType(
    {
        "fixed": FixedWindow,
        "sliding": SlidingWindow,
        "sliding-refusals": SlidingWindowWithRefusals,
        "bucket": TokenBucket,
        "counter": SlidingWindowCounter,
        "small-burst": SmallBurst,
        "two-limits": TwoLimits,
    }
)
"""The ways of counting by name."""
