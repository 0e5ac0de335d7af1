"""The workers of a run: tasks that are started, stopped, and brought to an end within a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from aionorth.bulk.record import Progress
from aionorth.errors import NorthError


def _nothing() -> None:
    pass


class Workers:
    """The tasks of a run.

    Their state: the tasks, and the call that each is at; the tasks that were cancelled here; whether nothing new is
    taken up; and what ended the run early.
    """

    def __init__(self) -> None:
        self.stopping = False
        self.cause: BaseException | None = None
        self._on_end: Callable[[], object] = _nothing
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._at: list[Progress | None] = []
        self._dismissed: set[asyncio.Task[None]] = set()

    def begin(self, on_end: Callable[[], object]) -> None:
        """Have `on_end` called when the last task has ended, or is not to be waited for any longer."""
        self._on_end = on_end

    def start(self, number: int, work: Callable[[int], Coroutine[object, object, None]]) -> None:
        """Start so many tasks that do `work`, each of which is called with its number."""
        self._at = [None] * number
        for count in range(number):
            task = asyncio.create_task(work(count), name=f"aionorth worker {count}")
            self._tasks[task] = count
            task.add_done_callback(self._done)

    def turn_to(self, number: int, progress: Progress | None) -> None:
        """Note which call a task is at."""
        self._at[number] = progress

    def stop(self) -> None:
        """Take up nothing new. Calls that were attempted are finished, retries included."""
        self.stopping = True
        self._cancel(lambda progress: progress.record.begun)

    def wind_down(self, cause: BaseException | None = None) -> None:
        """Take up nothing new, because of `cause`, if any; what has been taken up is finished."""
        self.stopping = True
        self.cause = self.cause or cause

    def halt(self) -> None:
        """Begin no further call; those in flight are awaited."""
        self.stopping = True
        for progress in self._at:
            if progress is not None:
                progress.halted = True
        self._cancel(lambda progress: progress.record.in_flight)

    def fail(self, cause: BaseException) -> None:
        """End the run early because of `cause`."""
        self.wind_down(cause)
        self.halt()

    def check(self, error: Exception, progress: Progress) -> None:
        """Note what a call ended in; `fail` where the run cannot continue after it."""
        if isinstance(error, NorthError):
            progress.give_up(error)
        if not isinstance(error, NorthError) or error.ends_run:
            self.fail(error)

    async def close(self, drain_timeout: float) -> None:
        """Begin no further call, wait so many seconds for those in flight, then cancel them."""
        self.halt()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=drain_timeout)
        finally:  # also where the wait itself is cancelled: then at once
            self._cancel(lambda _: False)
            self._on_end()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _cancel(self, spared: Callable[[Progress], bool]) -> None:
        """Cancel the tasks that are at no call, or at one that is not to be spared."""
        for task, number in list(self._tasks.items()):
            progress = self._at[number]
            if task is not asyncio.current_task() and (progress is None or not spared(progress)):
                self._dismissed.add(task)
                task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if task in self._dismissed:
            self._dismissed.remove(task)
        elif task.cancelled():
            self.fail(NorthError("the input, or the function that gives the token, was cancelled"))
        elif (exc := task.exception()) is not None:
            self.fail(exc)
        if not self._tasks:
            self._on_end()
