"""A time-out for many calls at once, at the cost of one timer."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any


class Watchdog:
    """Cuts calls off that take too long: ``with Watch(watchdog, until):`` raises `TimeoutError` in their task.

    It does so as `asyncio.timeout_at` does, but with one timer for all: every call has the same time, so they run out
    in the order in which they began. A timer for each, set and cancelled a thousand times for once that it goes off,
    costs more than all the rest that is done around a call.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.under_way: dict[asyncio.Task[Any], float] = {}
        """The tasks that are watched, and when each one's call runs out, the soonest first."""
        self.timer: asyncio.TimerHandle | None = None
        """Goes off when the first of them runs out, or before."""

    def wake_at(self, until: float) -> None:
        """See to what is under way at the time `until`."""
        self.timer = self._loop.call_at(until, self._look)

    def close(self) -> None:
        """Take the timer back."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _look(self) -> None:
        self.timer = None
        now = self._loop.time()
        for task, runs_out in list(self.under_way.items()):
            if runs_out > now:
                self.wake_at(runs_out)
                return
            del self.under_way[task]
            task.cancel()


class Watch:
    """Watches the current task's call, one at a time, while it is entered.

    `until` is on the loop's clock, and never earlier than for the call before.
    """

    __slots__ = ("_cancelling", "_dog", "_task")

    def __init__(self, dog: Watchdog, until: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "calls are made in tasks"
        self._dog = dog
        self._task = task
        self._cancelling = task.cancelling()
        dog.under_way[task] = until
        if dog.timer is None:
            dog.wake_at(until)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._dog.under_way.pop(self._task, None) is not None:
            return
        # It was cut off. Where somebody else has cancelled the task as well, that is what it ends in.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from exc
