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

    Their state: the tasks, and each task's current call; the tasks that were cancelled here; whether no new id is
    started; what ended the run early; whether somebody stopped them, and whether by closing them.
    """

    def __init__(self) -> None:
        self.stopping = False
        self.cause: BaseException | None = None
        self.stopped = False
        self.closed = False
        self._on_end: Callable[[], object] = _nothing
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._current: list[Progress | None] = []
        self._cancelled: set[asyncio.Task[None]] = set()

    def begin(self, on_end: Callable[[], object]) -> None:
        """Have `on_end` called when the last task has ended, or is no longer awaited."""
        self._on_end = on_end

    def start(self, number: int, work: Callable[[int], Coroutine[object, object, None]]) -> None:
        """Start `number` tasks that do `work`, each called with a number of its own."""
        self._current = [None] * number
        for count in range(number):
            task = asyncio.create_task(work(count), name=f"aionorth worker {count}")
            self._tasks[task] = count
            task.add_done_callback(self._done)

    def set_current(self, number: int, progress: Progress | None) -> None:
        """Record a task's current call."""
        self._current[number] = progress

    def stop(self) -> None:
        """Start no new id. Calls that were attempted are finished, retries included."""
        self.stopping = self.stopped = True
        self._cancel(lambda progress: progress.record.begun)

    def wind_down(self, cause: BaseException | None = None) -> None:
        """Start no new id, because of `cause`, if any; ids that have been started are finished."""
        self.stopping = True
        self.cause = self.cause or cause

    def halt(self) -> None:
        """Begin no further call; those in flight are awaited."""
        self.stopping = True
        for progress in self._current:
            if progress is not None:
                progress.halted = True
        self._cancel(lambda progress: progress.record.in_flight)

    def fail(self, cause: BaseException) -> None:
        """End the run early because of `cause`."""
        self.wind_down(cause)
        self.halt()

    def check(self, error: Exception, progress: Progress) -> None:
        """Record a call's error; end the run if it cannot continue."""
        if isinstance(error, NorthError):
            progress.give_up(error)
        if not isinstance(error, NorthError) or error.ends_run:
            self.fail(error)

    async def close(self, drain_timeout: float) -> None:
        """Begin no further call, wait so many seconds for those in flight, then cancel them."""
        self.closed = self.stopped = True
        self.halt()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=drain_timeout)
        finally:  # also if the wait itself is cancelled: then at once
            self._cancel(lambda _: False)
            self._on_end()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _cancel(self, spared: Callable[[Progress], bool]) -> None:
        """Cancel the tasks without a current call, or whose call `spared` rejects."""
        for task, number in list(self._tasks.items()):
            progress = self._current[number]
            if task is not asyncio.current_task() and (progress is None or not spared(progress)):
                self._cancelled.add(task)
                task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if task in self._cancelled:
            self._cancelled.remove(task)
        elif task.cancelled():
            self.fail(NorthError("the input, or the function that gives the token, was cancelled"))
        elif (exc := task.exception()) is not None:
            self.fail(exc)
        if not self._tasks:
            self._on_end()
