"""An event loop in virtual time: an hour of waiting passes in a moment, over real sockets.

Use it to test your own code against the simulator. Wherever the loop would sleep, its clock is set to the moment at
which the next timer is due. Flow control, time-outs, token lifetimes and latencies behave exactly as in real time.

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

START = 100_000.0
"""The first time on the clock, in seconds: not 0, so that code cannot mistake a time for a missing one."""

TICK = 1e-8
"""Seconds by which the clock advances with every pass of the loop. Rounding can make a timer fire an instant too early,
and code that then waits in a loop for the moment itself would never get there with a clock that stands still."""

KERNEL_DELAY = 50e-6
"""Real seconds to wait, before a jump, for bytes that are still on their way through the kernel."""


class _JumpingSelector(selectors.DefaultSelector):
    """Polls the real selector without waiting; where nothing is ready, the clock jumps instead."""

    def __init__(self, jump: Callable[[float | None], float | None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._jump(TICK)
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        time.sleep(KERNEL_DELAY)  # epoll's own time-out is of whole milliseconds
        ready = super().select(0)
        if ready:
            return ready
        return super().select(self._jump(timeout))


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time. Mutable: its time, and how many functions run in executors.

    While something runs in an executor, such as the lookup of a host name, the clock stands still: how long that takes
    is not known. Where nothing is scheduled, the loop waits for its sockets like any other.
    """

    def __init__(self) -> None:
        self._now = START
        self._in_executor = 0
        super().__init__(_JumpingSelector(self._jump))

    def time(self) -> float:
        """Return the time on the virtual clock, in seconds."""
        return self._now

    def _jump(self, timeout: float | None) -> float | None:
        """Advance the clock by `timeout`; return how long the selector may really wait."""
        if timeout is None or self._in_executor:
            return timeout
        self._now += timeout
        return 0

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Run `func` in an executor; the clock stands still meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._in_executor += 1
        future.add_done_callback(self._left_executor)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - asyncio's
        """Wait, however long it takes, until the threads of the default executor have ended; the clock stands still."""
        self._in_executor += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._in_executor -= 1

    def _left_executor(self, _: asyncio.Future[Any]) -> None:
        self._in_executor -= 1
