"""Whose turn it is: calls wait in two queues, and single calls have priority over bulk work, though not for ever."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

MAX_IN_A_ROW = 4
"""How many single calls in a row may go before waiting bulk work has its turn."""


class Turns:
    """Two queues, each first come, first served. The call at the head of a queue waits until it may be sent.

    Its state: the queues, who waits in them, and what the heads wait for.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queues = {False: asyncio.Lock(), True: asyncio.Lock()}  # a lock's waiters are first come, first served
        self._waiting = {False: 0, True: 0}
        self._in_a_row = 0  # single calls that went since bulk work last had its turn
        self._wakes: set[asyncio.Future[None]] = set()
        self.wakings = 0
        """How often the heads have been woken."""

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._waiting[False] + self._waiting[True]

    @asynccontextmanager
    async def head(self, *, priority: bool) -> AsyncGenerator[None]:
        """Wait until the call is at the head of its queue, and leave the queue at the end of the block."""
        self._waiting[priority] += 1
        try:
            async with self._queues[priority]:
                yield
                self._in_a_row = self._in_a_row + 1 if priority else 0
        finally:
            self._waiting[priority] -= 1
            if self._wakes:
                self.wake()  # the other head may have given way to this call

    def gives_way(self, *, priority: bool) -> bool:
        """Whether a head waits until the other one has gone."""
        if priority:
            return self._in_a_row >= MAX_IN_A_ROW and self._waiting[False] > 0
        return self._in_a_row < MAX_IN_A_ROW and self._waiting[True] > 0

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`, or until something changes that may let a head go earlier."""
        woken = self._loop.create_future()
        self._wakes.add(woken)
        timer = None if seconds == math.inf else self._loop.call_later(seconds, _done, woken)
        try:
            await woken
        finally:
            self._wakes.discard(woken)
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """Wake the heads, so that they check again."""
        self.wakings += 1
        for woken in self._wakes:
            _done(woken)


def _done(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
