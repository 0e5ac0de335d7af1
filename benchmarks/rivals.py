"""Other limiters for the rate that the platform allows: packages as published, and two algorithms that adapt.

Each knows the threshold, is acquired before every attempt, and is given the outcome of every attempt. The packages wait
in their own loops. Those that read the clock themselves get the event loop's instead: pyrate-limiter through its
`AbstractClock`; limits and throttled-py, which accept no clock, through another `time` in the module that reads it.
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
    """Replaces the module `time` in a package that reads the clock itself."""

    @staticmethod
    def time() -> float:
        """Return the time on the running loop's clock."""
        return asyncio.get_running_loop().time()

    monotonic = time


# Never undone: nothing in this process needs the time of day from these two.
for _module in (limits.aio.storage.memory, throttled.utils):
    mock.patch.object(_module, "time", LoopTime).start()


class Limiter(Protocol):
    """Decides when an attempt may be made, and may adapt to the outcomes."""

    async def acquire(self) -> None:
        """Wait until an attempt may be made."""

    def feedback(self, sent: float, *, refused: bool) -> None:
        """Take the outcome of an attempt made at `sent` into account."""


class WithoutFeedback:
    """A limiter that ignores outcomes, as all the packages do."""

    def feedback(self, sent: float, *, refused: bool) -> None:
        """See `Limiter.feedback`."""


class Bucket(WithoutFeedback):
    """aiolimiter: `AsyncLimiter(calls, period)`, or with `smooth` evenly spaced calls."""

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


class Pyrate(WithoutFeedback):
    """pyrate-limiter: a log of calls in memory; a waiter sleeps and tries again."""

    def __init__(self, calls: int, period: float) -> None:
        bucket = _OnLoopClock([pyrate_limiter.Rate(calls, int(period * 1000))])
        # Without its thread, which only removes old entries, and has no running loop.
        self._limiter = pyrate_limiter.Limiter(pyrate_limiter.SingleBucketFactory(bucket, schedule_leak=False))

    async def acquire(self) -> None:
        """See `Limiter.acquire`."""
        await self._limiter.try_acquire_async()


class Limits(WithoutFeedback):
    """limits: its moving window. It does not wait itself, so a waiter sleeps until the reset time and tries again."""

    def __init__(self, calls: int, period: float) -> None:
        self._limiter = limits.aio.strategies.MovingWindowRateLimiter(limits.aio.storage.memory.MemoryStorage())
        self._item = limits.RateLimitItemPerSecond(calls, int(period))

    async def acquire(self) -> None:
        """See `Limiter.acquire`."""
        while not await self._limiter.hit(self._item):
            reset = (await self._limiter.get_window_stats(self._item)).reset_time
            # At that very moment it still refuses.
            await asyncio.sleep(max(reset - LoopTime.time(), 0) + 0.001)


class Throttled(WithoutFeedback):
    """throttled-py, which waits as long as its algorithm says, half a second at a time.

    Its default, a token bucket, took 912 to 960 s where its sliding window takes 556 to 651 s.
    """

    MAX_WAIT = 3600.0

    def __init__(self, calls: int, period: float, *, using: str = "sliding_window") -> None:
        quota = throttled.asyncio.rate_limiter.per_duration(timedelta(seconds=period), calls)
        store = throttled.asyncio.MemoryStore()
        self._limiter = throttled.asyncio.Throttled("app", self.MAX_WAIT, using, quota, store)

    async def acquire(self) -> None:
        """See `Limiter.acquire`."""
        while (await self._limiter.limit()).limited:
            pass


class Aimd:
    """AIMD with even pacing: a refusal takes 30 % off the rate, once a period at most; a clean period adds 5 %."""

    def __init__(self, calls: int, period: float) -> None:
        self._max_rate = self._rate = calls / period
        self._period = period
        self._next = self._reacted = self._clean_since = -math.inf

    async def acquire(self) -> None:
        """See `Limiter.acquire`."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + 1 / self._rate
        await asyncio.sleep(turn - now)

    def feedback(self, sent: float, *, refused: bool) -> None:
        """See `Limiter.feedback`; refusals within a period of the last reaction belong to the same episode."""
        now = asyncio.get_running_loop().time()
        if refused:
            if sent > self._reacted + self._period:
                self._rate *= 0.7
                self._reacted = now
            self._clean_since = now
        elif now - self._clean_since >= self._period:
            self._rate = min(self._max_rate, self._rate * 1.05)
            self._clean_since = now


class Cubic:
    """botocore's adaptive retry mode: no limit until a refusal, then a bucket whose rate follows CUBIC's curve.

    The formulas and constants are those of its `CubicCalculator`, `RateClocker`, `TokenBucket` and `ClientRateLimiter`.
    """

    SCALE = 0.4
    BETA = 0.7
    SMOOTHING = 0.8
    BUCKET = 0.5
    MIN_RATE = 0.5
    MAX_MULTIPLE_OF_MEASURED = 2.0

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

    def feedback(self, sent: float, *, refused: bool) -> None:  # noqa: ARG002 - botocore reacts to every refusal
        """See `Limiter.feedback`."""
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
        rate = min(rate, self.MAX_MULTIPLE_OF_MEASURED * self._measured)
        self._refill()
        self._rate = max(rate, self.MIN_RATE)
        self._capacity = max(rate, 1.0)
        self._tokens = min(self._tokens, self._capacity)

    def _clock(self, now: float) -> None:
        """Measure the rate of outcomes, in steps of half a second."""
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
