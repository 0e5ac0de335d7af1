"""A bulk run as its user sees it: awaited whole, or streamed, with an exact summary at any moment."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Generator
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import attrs

from aionorth.bulk.account import Account, Recorder, Tally
from aionorth.bulk.observed import RunReport
from aionorth.bulk.progress import Reporter
from aionorth.bulk.workers import Workers
from aionorth.common.arguments import marked
from aionorth.common.times import duration
from aionorth.errors import ArgumentError, BulkAbortedError, SessionStateError
from aionorth.models import Collect, DeleteResult, DeleteSummary
from aionorth.wire.checks import seconds, whole

WORKERS = 16
"""How many calls may be in flight at once, by default."""

DRAIN_TIMEOUT = 5.0
"""Seconds for which replies to calls in flight are awaited when a run is cancelled or exited early, by default."""


@attrs.frozen(kw_only=True)
class RunOptions:
    """How a run is carried out; raises `ArgumentError` for an invalid option."""

    workers: int = WORKERS
    collect: Collect = "all"
    grace: float = DRAIN_TIMEOUT
    max_failures: int | None = None
    progress: Callable[[DeleteSummary], object] | None = None
    on_read: Callable[[float], object] = lambda _: None

    def __attrs_post_init__(self) -> None:
        whole("workers", self.workers)
        if self.collect not in {"all", "failures", "none"}:
            raise ArgumentError(f"collect={self.collect!r}: give 'all', 'failures' or 'none'")
        seconds("grace", self.grace, zero=True)
        if self.max_failures is not None:
            whole("max_failures", self.max_failures)
        if self.progress is not None and (not callable(self.progress) or inspect.iscoroutinefunction(self.progress)):
            raise ArgumentError(f"progress={self.progress!r}: give a function, not async, that takes a summary")


class Work(Protocol):
    """What a run does, one call for each id or otherwise."""

    @property
    def size(self) -> int | None:
        """How many ids it has, duplicates included; None if that is not known."""

    def start(self, workers: Workers, account: Account) -> None:
        """Start workers that open and settle calls in `account`."""

    def finish(self, account: Account) -> None:
        """Open and settle the calls for the ids that no worker came to."""


class BulkDelete:
    """One bulk run, to be awaited whole or streamed.

    `NorthSession.delete_subscriptions` and `NorthSession.delete_upgrade_packages` make it.

    * ``summary = await run``: to the end; then the `DeleteSummary`. `wait` is the same as a coroutine, for
      ``asyncio.create_task``, task groups and the like.
    * ``async with run:`` and in it ``async for result in run``: a `DeleteResult` for each distinct id, as soon
      as it is known. Exiting the block early ends the run: no new calls begin, calls in flight get ``grace`` seconds,
      what is still open then is UNKNOWN, and `summary` is exact.

    Cancelling what awaits it ends the run as an early exit does. All raise `BulkAbortedError`, which carries the
    summary, if the run could not continue; its cause says why.

    Its state: whether its recorder is taken, its beginning and end on the loop's clock, and what reports its progress;
    the rest is that of its account and workers.
    """

    def __init__(
        self,
        work: Work,
        options: RunOptions,
        *,
        now: Callable[[], float],
        report: RunReport,
        check: Callable[[], object] = lambda: None,
        recorder: Recorder | None = None,
        duplicates: int = 0,
    ) -> None:
        """Prepare a run; nothing is sent before it is awaited or entered.

        `report` reports it. `check` is called when it is about to begin, and raises if it cannot. `recorder` records
        it, has recorded the runs before it, and is closed with it; the option `on_read` is called with the part of
        these that is known. `duplicates` ids were dropped already because they had been named before.
        """
        self._work = work
        self._options = options
        self._now = now
        self._recorder = recorder
        self._check = check
        self._workers = Workers()
        self._account = Account(
            Tally(options.collect, duplicates),
            recorder,
            places=2 * options.workers,
            now=now,
            on_failure=self._workers.fail,
            max_failures=options.max_failures,
            report=report,
        )
        self._report = report
        self._reporter: Reporter | None = None
        self._taken = False
        self._began: float | None = None
        self._ended: float | None = None
        if recorder is not None and recorder.ready:
            for _ in self._account.take_over():
                pass

    # --- What a user does with it

    @property
    def summary(self) -> DeleteSummary:
        """The account of the run so far: exact at any moment, also after an early exit or a cancellation."""
        return self._summary(results=True)

    def _summary(self, *, results: bool) -> DeleteSummary:
        elapsed = 0.0
        if self._began is not None:
            elapsed = (self._now() if self._ended is None else self._ended) - self._began
        return self._account.summary(elapsed, self.expected, results=results)

    @property
    def expected(self) -> int | None:
        """How many distinct ids the input has, as far as is known, and those of earlier runs.

        A duplicate counts until it is dropped. None for a stream, or for a journal that was not read yet.
        """
        if self._recorder is not None and not self._recorder.ready:
            return None
        return None if (size := self._work.size) is None else self._account.expected(size)

    def stop(self) -> None:
        """End the run gently: ids that have been attempted are finished, retries included; all others are SKIPPED.

        For the caller that awaits or iterates the run, it is as if the input had ended here.
        """
        self._workers.stop()

    async def prepare(self) -> None:
        """Read what the runs before did, from the journal of a run that is resumed; nothing is sent.

        Whoever awaits or enters the run need not do this before. It keeps other processes from the journal.

        Raises:
            JournalError: The journal is damaged, or another process is, or has been, at work on it.
        """
        if self._recorder is None or self._taken:
            return
        self._recorder.take()
        self._taken = True
        if self._recorder.ready:
            return
        for part in self._recorder.reading():
            self._options.on_read(part)
            await asyncio.sleep(0)
        for _ in self._account.take_over():
            await asyncio.sleep(0)

    async def wait(self) -> DeleteSummary:
        """Carry the run out to its end, as ``await run`` does; for what takes a coroutine.

        Such are ``asyncio.create_task(run.wait())`` and ``task_group.create_task(run.wait())``. Cancelling it ends the
        run: no new calls begin, and calls in flight get ``grace`` seconds.

        Raises:
            BulkAbortedError: The run could not continue; it carries the summary.
        """
        return await self

    def __await__(self) -> Generator[object, None, DeleteSummary]:
        return self._whole().__await__()

    async def __aenter__(self) -> Self:
        if self._began is not None:
            raise SessionStateError("a bulk run can be awaited or entered only once: ask the session for another")
        self._began = self._now()
        try:
            self._check()
            await self.prepare()
        except BaseException:
            self._workers.closed = True
            self._close()
            raise
        self._began = self._now()
        self._report.started(self.expected)
        # Not before: otherwise a reference cycle would delay the warning about a run that was never begun.
        self._workers.begin(self._end)
        if (on_progress := self._options.progress) is not None:
            # Without results: they would be copied each time, and there may be a million.
            summary = partial(self._summary, results=False)
            self._reporter = Reporter(on_progress, summary, now=self._now, on_error=self._workers.fail)
            self._account.on_settled = self._reporter.settled
        self._work.start(self._workers, self._account)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._ended is None:
            await self._workers.close(self._options.grace)

    def __aiter__(self) -> AsyncIterator[DeleteResult]:
        return self

    async def __anext__(self) -> DeleteResult:
        if self._began is None:
            raise SessionStateError("enter the run before iterating it: async with north.delete_…(ids) as run:")
        if (result := await self._account.stream.fetch()) is not None:
            return result
        self._raise_cause()
        raise StopAsyncIteration

    def __repr__(self) -> str:
        name = f"a bulk run of {self._report.kind.words}"
        if self._began is None:
            return f"<{name}, not begun: await it, or enter it; as a task: asyncio.create_task(run.wait())>"
        if self._ended is None:
            state = "ending" if self._workers.stopping else "running"
        elif self._workers.cause is not None:
            state = "ended early"
        else:
            state = "cancelled" if self._workers.closed else "finished"
        summary = self._summary(results=False)
        of = "" if summary.expected is None else f" of {summary.expected:,}"
        settled = summary.total - summary.pending
        return f"<{name}, {state}: {settled:,}{of} settled in {duration(summary.elapsed)}>"

    def __del__(self) -> None:
        if self._began is None:
            if self._recorder is not None:
                self._recorder.close()
            warnings.warn("a bulk run was never awaited: nothing was deleted", RuntimeWarning, stacklevel=2)

    # --- Its end

    async def _whole(self) -> DeleteSummary:
        self._account.stream.discard()
        async with self:
            await self._account.stream.fetch()
            self._raise_cause()
        return self.summary

    def _raise_cause(self) -> None:
        if (cause := self._workers.cause) is not None:
            reason = marked(str(cause)) or type(cause).__name__
            raise BulkAbortedError(f"the run ended early: {reason}", self.summary) from cause

    def _close(self) -> None:
        self._ended = self._now()
        self._account.stream.end()
        if self._recorder is not None:
            self._recorder.close()

    def _end(self) -> None:
        """Account for every id that is not accounted for, once; called when all workers have ended or been given up."""
        if self._ended is None:
            self._workers.wind_down()
            self._account.settle_all()
            self._work.finish(self._account)
            if self._recorder is not None:
                self._recorder.run_ended(stopped=self._workers.stopped, cause=self._workers.cause)
            self._close()
            assert self._began is not None
            self._report.ended(self._now() - self._began, self._workers.cause)
            if self._reporter is not None:
                self._reporter.send()
