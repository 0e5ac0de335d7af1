"""A time-out for many calls at once, at the cost of one timer."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any


class Watchdog:
    """Cuts calls off that take too long: ``with watchdog.watch(until):`` raises `TimeoutError` in their task.

    It does so as `asyncio.timeout_at` does, but with one timer for all: every call has the same time, so they run out
    in the order in which they began. A timer for each, set and cancelled a thousand times for once that it goes off,
    costs more than all the rest that is done around a call.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[asyncio.Task[Any], float] = {}  # and when each runs out, the soonest first
        self._cut_off: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, until: float) -> _Watch:
        """Watch the current task's call, one at a time, within the context returned.

        `until` is on the loop's clock, and never earlier than for the call before.
        """
        task = asyncio.current_task()
        assert task is not None, "calls are made in tasks"
        self._under_way[task] = until
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._look)
        return _Watch(self, task)

    def end(self, task: asyncio.Task[Any]) -> bool:
        """End to watch `task`; tell whether it was cut off."""
        if self._under_way.pop(task, None) is not None:
            return False
        self._cut_off.remove(task)
        return True

    def close(self) -> None:
        """Take the timer back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for task, runs_out in list(self._under_way.items()):
            if runs_out > now:
                self._timer = self._loop.call_at(runs_out, self._look)
                return
            del self._under_way[task]
            self._cut_off.add(task)
            task.cancel()


class _Watch:
    __slots__ = ("_cancelling", "_dog", "_task")

    def __init__(self, dog: Watchdog, task: asyncio.Task[Any]) -> None:
        self._dog = dog
        self._task = task
        self._cancelling = task.cancelling()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        # Where somebody else has cancelled the task as well, that is what it ends in.
        if self._dog.end(self._task) and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from exc
