"""A time-out for many calls at once, at the cost of one timer."""

from __future__ import annotations

import asyncio
import sys
from typing import Any


class Watchdog:
    """Cuts calls off that take too long: what is done between `watch` and `over` ends in `TimeoutError`.

    It does so as `asyncio.timeout_at` does, but with one timer for all: every call has the same time, so they run out
    in the order in which they began. A timer for each, set and cancelled a thousand times for once that it goes off,
    costs more than all the rest that is done around a call. `over` belongs into a ``finally``; a context manager around
    the two would cost as much as they do.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # The tasks that are watched, the soonest first to run out: when, and how often each had been cancelled before.
        self._under_way: dict[asyncio.Task[Any], tuple[float, int]] = {}
        self._cut_off: dict[asyncio.Task[Any], int] = {}
        self._timer: asyncio.TimerHandle | None = None  # goes off when the first of them runs out, or before

    def watch(self, until: float) -> asyncio.Task[Any]:
        """Watch the current task until `over`; `until` is on the loop's clock, and never earlier than for the last."""
        task = asyncio.current_task(self._loop)
        assert task is not None, "calls are made in tasks"
        self._under_way[task] = until, task.cancelling()
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._look)
        return task

    def over(self, task: asyncio.Task[Any]) -> None:
        """Watch `task`, the current one, no more.

        Raises `TimeoutError` where it was cut off; where somebody else has cancelled it too, that is what it ends in.
        """
        if self._under_way.pop(task, None) is not None:
            return
        error = sys.exception()
        if task.uncancel() <= self._cut_off.pop(task) and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def close(self) -> None:
        """Take the timer back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for task, (runs_out, cancelling) in list(self._under_way.items()):
            if runs_out > now:
                self._timer = self._loop.call_at(runs_out, self._look)
                return
            del self._under_way[task]
            self._cut_off[task] = cancelling
            task.cancel()
