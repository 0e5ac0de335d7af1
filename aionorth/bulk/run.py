"""A bulk run: a fixed pool of workers turns a stream of ids into a stream of results and a summary."""

from __future__ import annotations

import asyncio
import warnings
from collections import Counter, deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator, Sized
from copy import copy
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs

from aionorth.bulk.caller import Deletion
from aionorth.bulk.seen import SeenIds
from aionorth.errors import (
    ArgumentError,
    BulkAbortedError,
    InvalidIdError,
    JournalError,
    NorthError,
    SessionStateError,
    detached,
)
from aionorth.models import Collect, DeleteResult, DeleteSummary, Outcome
from aionorth.wire.checks import seconds
from aionorth.wire.requests import Request

if TYPE_CHECKING:
    from aionorth.purge.journal import Entry, History, Journal

WORKERS = 16
"""How many calls may be in flight at once, unless told otherwise."""

GRACE = 5.0
"""Seconds that calls in flight are given to bring home their replies when a run is cancelled or left early."""

BREATHER = 64
"""After how many ids that come to nothing, as duplicates do, the loop gets its turn."""

Ids = Iterable[str] | AsyncIterable[str]


_END = object()


@attrs.define(eq=False)
class _Tally:
    """The fold of a run's results; `summary` is its value at a moment."""

    collect: Collect
    total: int = 0
    duplicates: int = 0
    refusals: int = 0
    retries: int = 0
    calls: int = 0
    outcomes: Counter[Outcome] = attrs.Factory(Counter[Outcome])
    results: list[DeleteResult] = attrs.Factory(list[DeleteResult])

    def keeps(self, outcome: Outcome) -> bool:
        return self.collect == "all" or (self.collect == "failures" and not outcome.ok)

    def add_calls(self, of: Deletion | Entry) -> None:
        self.calls += of.calls
        self.refusals += of.refusals
        if of.calls > 1:
            self.retries += max(0, of.attempts - 1)

    def add_result(self, result: DeleteResult) -> None:
        self.outcomes[result.outcome] += 1
        if self.keeps(result.outcome):
            self.results.append(result)

    def summary(self, active: Iterable[Deletion], elapsed: float) -> DeleteSummary:
        so_far = copy(self)
        for deletion in active:
            so_far.add_calls(deletion)
        return DeleteSummary(
            total=self.total,
            **{outcome.value: self.outcomes[outcome] for outcome in Outcome},
            duplicates=self.duplicates,
            refusals=so_far.refusals,
            retries=so_far.retries,
            calls=so_far.calls,
            elapsed=elapsed,
            results=tuple(self.results),
        )


class _ForAll:
    """Tells a journal that a call for one id is a call for all."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def begun(self, *_: str) -> None:
        self._journal.begun(*self._journal.history.entries)


class BulkDelete:
    """One bulk run, to be awaited whole or streamed; `NorthSession.delete_subscriptions` and its twin make it.

    * ``summary = await run``: to the end; then the `DeleteSummary`.
    * ``async with run:`` and in it ``async for result in run``: a `DeleteResult` for each distinct id, as it comes
      about. Leaving the block early ends the run: no new calls, calls in flight get their grace, what is still open
      then is UNKNOWN, and `summary` is exact.

    Both raise `BulkAbortedError`, which carries the summary, where the run could not go on; its cause says why.
    """

    def __init__(
        self,
        ids: Ids,
        *,
        prepare: Callable[[str], Request],
        send: Callable[[Request, Deletion], Awaitable[object]],
        workers: int = WORKERS,
        collect: Collect = "all",
        grace: float = GRACE,
        duplicates: int = 0,
        journal: Callable[[], Journal] | None = None,
        one_call: bool = False,
        check: Callable[[], object] = lambda: None,
    ) -> None:
        """`prepare` builds the request of an id, or raises `InvalidIdError`; `send` sends it, as `Caller.send` does.

        `check` raises where the run cannot be begun, when it is.

        `duplicates` is how many have been dropped from `ids` already. `journal` opens one, once all else is in order;
        then the ids are those in it: what it knows to be gone is counted and not called again, and it is told what
        becomes of the others, and closed. It is locked while the run is at work, not before. With `one_call`, what
        `send` sends for the first id is for all of them.
        """
        if isinstance(ids, (str, bytes)) or not isinstance(ids, (Iterable, AsyncIterable)):
            raise ArgumentError(f"ids is {type(ids).__name__}; pass an iterable of ids: for one id, [id]")
        if collect not in {"all", "failures", "none"}:
            raise ArgumentError(f"collect={collect!r}: give 'all', 'failures' or 'none'")
        if isinstance(ids, Iterable) and isinstance(ids, Sized):
            # All at hand: taken as they are now, whatever becomes of the collection, and nothing is sent if one is bad.
            ids = tuple(ids)
            for number, id_ in enumerate(ids):
                try:
                    prepare(id_)
                except InvalidIdError as exc:
                    raise InvalidIdError(f"ids[{number}]: {exc}") from None
        self._ids = ids
        self._prepare = prepare
        self._send = send
        self._check = check
        self._workers = 1 if one_call else workers  # the others wait for what becomes of the first
        self._grace = seconds("grace", grace, zero=True)
        self._tally = _Tally(collect, duplicates=duplicates)
        self._seen = SeenIds()
        self._one_call = one_call
        self._first: Deletion | None = None  # the one whose call is for all
        self._streamed = True
        self._stopping = False  # whether nothing more is drawn
        self._ended_at: float | None = None  # when the run ended
        self._cause: BaseException | None = None  # what ended it early
        self._dismissed: set[asyncio.Task[None]] = set()  # the workers that the run itself has cancelled
        self._tasks: dict[asyncio.Task[None], Deletion | None] = {}  # the workers, and what each is at
        self._ready: deque[DeleteResult] = deque()  # settled and not fetched yet by whoever iterates
        self._journal = None if journal is None else journal()
        self._before = 0.0  # seconds that earlier runs were at work
        if self._journal is not None:
            self._before = self._journal.history.elapsed
            self._ids = tuple(self._left(self._journal.history))
            self._journal.release()
        self._known_before = self._tally.total
        self._entered = False

    def _left(self, history: History) -> Iterator[str]:
        """Count what earlier runs have seen to, and yield the other ids."""
        for entry in history.entries.values():
            if not entry.gone:
                yield entry.id
                continue
            self._tally.total += 1
            self._tally.add_calls(entry)
            self._tally.add_result(entry.result())

    # --- What a user does with it

    @property
    def summary(self) -> DeleteSummary:
        """The account of the run so far: exact at any moment, also after an early exit or a cancellation."""
        if not self._entered:
            return self._tally.summary((), self._before)
        now = self._loop.time() if self._ended_at is None else self._ended_at
        return self._tally.summary(self._active(), self._before + now - self._began)

    @property
    def expected(self) -> int | None:
        """How many ids the input has, duplicates included, and those of earlier runs; None where it is a stream."""
        return self._known_before + len(self._ids) if isinstance(self._ids, Sized) else None

    def stop(self) -> None:
        """End the run gently: ids that have been attempted are finished, retries included; all others are SKIPPED.

        Whoever awaits or iterates the run comes to its end as if the input had ended here.
        """
        self._stopping = True
        self._cancel(lambda deletion: deletion is not None and deletion.begun)

    def __await__(self) -> Generator[object, None, DeleteSummary]:
        return self._whole().__await__()

    async def __aenter__(self) -> Self:
        if self._entered:
            raise SessionStateError("a bulk run can be awaited or entered only once: ask the session for another")
        self._entered = True
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._change = asyncio.Event()
        told = self._streamed or self._journal is not None
        self._counted_only = frozenset(o for o in Outcome if not told and not self._tally.keeps(o))
        # Room for a result is reserved before its id is drawn: a slow consumer holds up the drawing, never a call.
        self._room = asyncio.Semaphore(2 * self._workers)
        self._drawing = False  # whether a worker waits for the input
        self._to_draw: deque[asyncio.Future[None]] = deque()  # the workers that wait until it does no more
        self._begin()
        ids = self._ids
        self._stream = aiter(ids) if isinstance(ids, AsyncIterable) else None
        self._input = iter(()) if isinstance(ids, AsyncIterable) else iter(ids)
        for number in range(self._workers):
            task = asyncio.create_task(self._work(), name=f"aionorth worker {number}")
            self._tasks.setdefault(task, None)  # an eager task may be at work already
            task.add_done_callback(self._worker_done)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._close()

    def _begin(self) -> None:
        """See that the run can be begun here and now; what cannot has ended."""
        try:
            self._check()
            if self._journal is not None:
                self._journal.take()
        except BaseException:
            if self._journal is not None:
                self._journal.close()
            self._ended_at = self._began
            raise

    def __repr__(self) -> str:
        if not self.__dict__.get("_entered", False):
            return "<a bulk run, not begun: await it, or enter it; as a task: asyncio.ensure_future(run)>"
        return f"<a bulk run, {'at work' if self._ended_at is None else 'ended'}>"

    def __aiter__(self) -> AsyncIterator[DeleteResult]:
        return self

    async def __anext__(self) -> DeleteResult:
        if not self._entered:
            raise SessionStateError("enter the run before iterating it: async with north.delete_…(ids) as run:")
        while not self._ready and self._ended_at is None:
            self._change.clear()
            await self._change.wait()
        if self._ready:
            self._room.release()
            return self._ready.popleft()
        self._raise_cause()
        raise StopAsyncIteration

    def __del__(self) -> None:
        if not self.__dict__.get("_entered", True):
            if self._journal is not None:
                self._journal.close()
            warnings.warn("a bulk run was never awaited: nothing was deleted", RuntimeWarning, stacklevel=2)

    async def _whole(self) -> DeleteSummary:
        self._streamed = False
        async with self:
            while self._ended_at is None:
                self._change.clear()
                await self._change.wait()
            self._raise_cause()
        return self.summary

    def _raise_cause(self) -> None:
        if self._cause is not None:
            reason = str(self._cause) or type(self._cause).__name__
            raise BulkAbortedError(f"the run ended early: {reason}", self.summary) from self._cause

    # --- The workers

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        fruitless = 0  # draws since the last one that gave something to do
        while not self._stopping:
            if self._streamed and not fruitless:
                await self._room.acquire()
            try:
                item = next(self._input, _END) if self._stream is None else await self._next_of(self._stream)
                deletion = self._taken_up(item)
            except Exception as exc:  # noqa: BLE001 - the input is the user's code, it may raise anything
                self._cause = self._cause or exc
                self._stopping = True  # what has been drawn is finished
                return
            if deletion is None:
                fruitless += 1
                if fruitless % BREATHER == 0:
                    await asyncio.sleep(0)
                continue
            fruitless = 0
            self._tasks[task] = deletion
            try:
                if deletion.request is None:
                    await asyncio.sleep(0)  # an input full of bad ids must not hold up the loop
                else:
                    await self._send(deletion.request, deletion)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the id is accounted for
                if isinstance(exc, NorthError):
                    deletion.error = exc
                if not isinstance(exc, NorthError) or exc.ends_run:
                    self._cause = self._cause or exc
                    self._halt()
            finally:
                self._settle(deletion)

    async def _next_of(self, stream: AsyncIterator[str]) -> object:
        """Return the next item of an async input, or `_END`."""
        # No lock, which would be handed from worker to worker at one draw a pass of the loop once they queue for it:
        # they are all alike, so whoever comes while nobody draws need not queue.
        while self._drawing:
            turn = self._loop.create_future()
            self._to_draw.append(turn)
            await turn  # those that are cancelled here are so all together
        self._drawing = True
        try:
            # It may have ended while this worker queued: an ended input is not asked again.
            return _END if self._stopping else await anext(stream, _END)
        finally:
            self._drawing = False
            while self._to_draw:
                if not (turn := self._to_draw.popleft()).done():
                    turn.set_result(None)
                    break

    def _taken_up(self, item: Any) -> Deletion | None:  # noqa: ANN401 - what an input yields is not known to be a str
        """Count what was drawn; return its deletion, None for a duplicate or the input's end.

        What cannot or is not to be sent any more has no request. Raises `InvalidIdError` for what is no str.
        """
        if item is _END:
            self._stopping = True
            return None
        request, error = None, None
        try:
            request = self._prepare(item)
        except InvalidIdError as exc:
            if not isinstance(item, str):
                raise
            error = exc
        if not self._seen.add(item):
            self._tally.duplicates += 1
            return None
        self._tally.total += 1
        deletion = Deletion(item, None if self._stopping else request)
        if error is not None:
            deletion.error = error
        if self._journal is not None or self._one_call:
            self._join(deletion)
        return deletion

    def _join(self, deletion: Deletion) -> None:
        """Let `deletion` know what has become of its id already, and by whose call it is to be carried out."""
        if self._first is not None:
            deletion.follow(self._first)
            return
        if self._journal is not None:
            self._journal.recall(deletion)
        if self._one_call:
            self._first = deletion
            deletion.for_many = True
            if self._journal is not None:
                deletion.recorder = _ForAll(self._journal)

    def _settle(self, deletion: Deletion) -> None:
        """Give `deletion` its outcome, once."""
        if deletion.settled:
            return
        deletion.settled = True
        self._tally.add_calls(deletion)
        outcome = deletion.final_outcome()
        if outcome in self._counted_only:
            self._tally.outcomes[outcome] += 1
            return
        result = deletion.result(self._loop.time())
        if result.error is not None:
            detached(result.error)
        if self._journal is not None and deletion.begun:
            self._record(self._journal, deletion, result)
        self._tally.add_result(result)
        if self._streamed:
            self._ready.append(result)
            self._change.set()

    def _record(self, journal: Journal, deletion: Deletion, result: DeleteResult) -> None:
        try:
            journal.ended(deletion, result)
        except JournalError as exc:
            self._cause = self._cause or exc
            self._halt()

    def _worker_done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if task in self._dismissed:
            self._dismissed.remove(task)
        elif task.cancelled():
            self._cause = self._cause or NorthError("the input, or the function that gives the token, was cancelled")
            self._halt()
        elif (exc := task.exception()) is not None:
            self._cause = self._cause or exc
            self._halt()
        if not self._tasks:
            self._end()

    # --- The end of a run

    def _active(self) -> list[Deletion]:
        """The deletions that have been drawn and not settled."""
        return [deletion for deletion in self._tasks.values() if deletion is not None and not deletion.settled]

    def _cancel(self, spared: Callable[[Deletion | None], bool]) -> None:
        """Cancel the workers whose deletion is not to be spared; None stands for no deletion."""
        for task, deletion in list(self._tasks.items()):
            if deletion is not None and deletion.settled:
                deletion = None  # noqa: PLW2901 - the worker is on its way to the next
            if task is not asyncio.current_task() and not spared(deletion):
                self._dismissed.add(task)
                task.cancel()

    def _halt(self) -> None:
        """See to it that no further call begins; those in flight are awaited."""
        self._stopping = True
        for deletion in self._active():
            deletion.halted = True
        self._cancel(lambda deletion: deletion is not None and deletion.in_flight)

    async def _close(self) -> None:
        """End the run: no new calls, a grace for those in flight, then what is known is the outcome."""
        if self._ended_at is not None:
            return
        self._halt()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._grace)
        finally:  # also where the wait itself is cancelled: then at once
            self._cancel(lambda _: False)
            for deletion in self._active():
                self._settle(deletion)
            self._end()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _end(self) -> None:
        """Account for the ids that were at hand and never drawn, and close the books."""
        if self._ended_at is not None:
            return
        self._stopping = True
        if isinstance(self._ids, Sized):
            for id_ in self._input:
                if (deletion := self._taken_up(id_)) is not None:
                    self._settle(deletion)
        if self._journal is not None:
            self._journal.close()
        self._ended_at = self._loop.time()
        self._change.set()
