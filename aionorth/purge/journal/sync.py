"""What was written is made permanent: brought to the disk, so that a machine that loses power still has it, or sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

LAG = 0.5
"""Seconds after which what nobody waits for is brought to the disk."""


class Syncing:
    """Makes permanent what was written, while the event loop goes on.

    One operation is under way at a time. It serves all that was written before it began; whoever writes while it is
    under way waits for the next one.

    Its state: whether an operation is under way, and who waits for it; who waits for the next one; whether something
    was written since the last one began, and the timer for it; and the error after which nothing can be relied on.
    """

    def __init__(self, start: Callable[[], asyncio.Future[None]]) -> None:
        """`start` begins an operation."""
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._under_way = False
        self._waiting: Sequence[asyncio.Future[None]] = ()
        self._next: list[asyncio.Future[None]] = []
        self._written = False
        self._timer: asyncio.TimerHandle | None = None
        self._error: BaseException | None = None

    def written(self) -> None:
        """Note that something was written: it is permanent within a second."""
        self._written = True
        if self._timer is None:
            self._timer = self._loop.call_later(LAG, self._due)

    async def wait(self) -> None:
        """Wait until all that was written so far is permanent.

        Raises what the operation raised. The system says it once, so from then on every wait raises it.
        """
        if self._error is not None:
            raise self._error
        waiter = self._loop.create_future()
        self._next.append(waiter)
        if not self._under_way:
            self._begin()
        await waiter

    def close(self) -> bool:
        """End it; return whether anything was written that may not be permanent, and still can be made so."""
        if self._timer is not None:
            self._timer.cancel()
        failed, self._error = self._error, self._error or ValueError("it is closed")
        return failed is None and bool(self._written or self._under_way or self._next)

    def _due(self) -> None:
        self._timer = None
        if self._written and not self._under_way:
            self._begin()

    def _begin(self) -> None:
        self._waiting, self._next = self._next, []
        self._under_way, self._written = True, False
        self._start().add_done_callback(self._ended)

    def _ended(self, done: asyncio.Future[None]) -> None:
        self._under_way = False
        try:
            done.result()
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - for those who wait
            self._error = self._error or exc
        for waiter in [*self._waiting, *(self._next if self._error else ())]:
            if waiter.done():  # it was cancelled
                continue
            if self._error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(self._error)
        if self._error is None and (self._next or (self._written and self._timer is None)):
            self._begin()
