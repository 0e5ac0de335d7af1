"""Other ways to keep to a rate that the platform allows: packages as they come, and two ways that adapt.

Each is told the threshold, passes every attempt, and hears of every answer. The packages wait in their own wait loops.
Those that look at the clock for themselves rather than at the event loop's are given the loop's: pyrate-limiter by its
own `AbstractClock`; limits and throttled-py, which have no place for one, by another `time` in the module that asks.
"""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Protocol
from unittest import mock

import limits
import limits.aio.storage.memory
import limits.aio.strategies
import pyrate_limiter
import throttled.asyncio
import throttled.utils
from aiolimiter import AsyncLimiter


class LoopTime:
    """What stands in for the module `time` in a package that looks at the clock for itself."""

    @staticmethod
    def time() -> float:
        """Return the time on the running loop's clock."""
        return asyncio.get_running_loop().time()

    monotonic = time


# For good: nothing in this process needs these two to know the time of day.
for _module in (limits.aio.storage.memory, throttled.utils):
    mock.patch.object(_module, "time", LoopTime).start()


class Limiter(Protocol):
    """Says when an attempt may be made, and hears what became of it."""

    async def acquire(self) -> None:
        """Wait until an attempt may be made."""

    def heard(self, sent: float, *, refused: bool) -> None:
        """Take note of the answer to an attempt made at `sent`."""


class Deaf:
    """What the packages have in common: they learn nothing from answers."""

    def heard(self, sent: float, *, refused: bool) -> None:
        """See `Limiter.heard`."""


class Bucket(Deaf):
    """`AsyncLimiter(calls, period)`; with `smooth` one call at a time, evenly."""

    def __init__(self, calls: int, period: float, *, smooth: bool = False) -> None:
        self._limiter = AsyncLimiter(1, period / calls) if smooth else AsyncLimiter(calls, period)

    async def acquire(self) -> None:
        """See `Limiter.acquire`."""
        await self._limiter.acquire()


class LoopClock(pyrate_limiter.AbstractClock):
    """The running loop's clock in milliseconds."""

    def now(self) -> int:
        """See `AbstractClock.now`."""
        return int(asyncio.get_running_loop().time() * 1000)


class _OnLoopClock(pyrate_limiter.InMemoryBucket):
    _clock = LoopClock()


class Pyrate(Deaf):
    """pyrate-limiter: a log of calls in memory; whoever does not fit sleeps and tries again."""

    def __init__(self, calls: int, period: float) -> None:
        bucket = _OnLoopClock([pyrate_limiter.Rate(calls, int(period * 1000))])
        # Without its thread, which only clears away what is too old to count, and knows no running loop.
        self._limiter = pyrate_limiter.Limiter(pyrate_limiter.SingleBucketFactory(bucket, schedule_leak=False))

    async def acquire(self) -> None:
        """See `Limiter.acquire`."""
        await self._limiter.try_acquire_async()


class Limits(Deaf):
    """The moving window of limits, which does not wait itself: whoever does not fit sleeps until it says so."""

    def __init__(self, calls: int, period: float) -> None:
        self._limiter = limits.aio.strategies.MovingWindowRateLimiter(limits.aio.storage.memory.MemoryStorage())
        self._item = limits.RateLimitItemPerSecond(calls, int(period))

    async def acquire(self) -> None:
        """See `Limiter.acquire`."""
        while not await self._limiter.hit(self._item):
            reset = (await self._limiter.get_window_stats(self._item)).reset_time
            # At that very moment it still says no.
            await asyncio.sleep(max(reset - LoopTime.time(), 0) + 0.001)


class Throttled(Deaf):
    """throttled-py, which waits as long as its algorithm says, half a second at a time.

    With its default, a token bucket, it took 912 to 960 s where its sliding window takes 556 to 651 s.
    """

    LONGEST = 3600.0

    def __init__(self, calls: int, period: float, *, using: str = "sliding_window") -> None:
        quota = throttled.asyncio.rate_limiter.per_duration(timedelta(seconds=period), calls)
        store = throttled.asyncio.MemoryStore()
        self._limiter = throttled.asyncio.Throttled("app", self.LONGEST, using, quota, store)

    async def acquire(self) -> None:
        """See `Limiter.acquire`."""
        while (await self._limiter.limit()).limited:
            pass


class Aimd:
    """Even pacing; a refusal takes 30 % of the rate, once a period at most, and a clean period adds 5 % to it."""

    def __init__(self, calls: int, period: float) -> None:
        self._most = self._rate = calls / period
        self._period = period
        self._next = self._reacted = self._clean_since = -math.inf

    async def acquire(self) -> None:
        """See `Limiter.acquire`."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + 1 / self._rate
        await asyncio.sleep(turn - now)

    def heard(self, sent: float, *, refused: bool) -> None:
        """See `Limiter.heard`; what is refused within a period of the last reaction is of the same episode."""
        now = asyncio.get_running_loop().time()
        if refused:
            if sent > self._reacted + self._period:
                self._rate *= 0.7
                self._reacted = now
            self._clean_since = now
        elif now - self._clean_since >= self._period:
            self._rate = min(self._most, self._rate * 1.05)
            self._clean_since = now


class Cubic:
    """As botocore's adaptive retry mode: nothing until a refusal; then a bucket whose rate follows CUBIC's curve.

    The formulas and constants are those of its `CubicCalculator`, `RateClocker`, `TokenBucket` and `ClientRateLimiter`.
    """

    SCALE = 0.4
    BETA = 0.7
    SMOOTHING = 0.8
    BUCKET = 0.5
    LEAST_RATE = 0.5
    MOST_ABOVE_MEASURED = 2.0

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._enabled = False
        self._w_max, self._last_fail = 0.0, now
        self._measured, self._count, self._last_bucket = 0.0, 0, float(math.floor(now))
        self._rate, self._capacity, self._tokens, self._filled = 1.0, 1.0, 0.0, now

    async def acquire(self) -> None:
        """See `Limiter.acquire`."""
        if not self._enabled:
            return
        self._refill()
        while self._tokens < 1 - 1e-9:
            await asyncio.sleep((1 - self._tokens) / self._rate)
            self._refill()
        self._tokens -= 1

    def heard(self, sent: float, *, refused: bool) -> None:  # noqa: ARG002 - botocore reacts to every refusal
        """See `Limiter.heard`."""
        now = self._loop.time()
        self._clock(now)
        if refused:
            self._w_max = min(self._measured, self._rate) if self._enabled else self._measured
            self._last_fail = now
            self._enabled = True
            rate = self._w_max * self.BETA
        else:
            zero = (self._w_max * (1 - self.BETA) / self.SCALE) ** (1 / 3)
            rate = self.SCALE * (now - self._last_fail - zero) ** 3 + self._w_max
        rate = min(rate, self.MOST_ABOVE_MEASURED * self._measured)
        self._refill()
        self._rate = max(rate, self.LEAST_RATE)
        self._capacity = max(rate, 1.0)
        self._tokens = min(self._tokens, self._capacity)

    def _clock(self, now: float) -> None:
        """Measure the rate of answers, in steps of half a second."""
        bucket = math.floor(now / self.BUCKET) * self.BUCKET
        self._count += 1
        if bucket > self._last_bucket:
            rate = self._count / (bucket - self._last_bucket)
            self._measured = rate * self.SMOOTHING + self._measured * (1 - self.SMOOTHING)
            self._count = 0
            self._last_bucket = bucket

    def _refill(self) -> None:
        now = self._loop.time()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
