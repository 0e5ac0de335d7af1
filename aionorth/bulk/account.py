"""The account of a run: what has become of each id, counted, recorded and handed over once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import Protocol

import attrs

from aionorth.bulk.record import Progress, Record
from aionorth.bulk.results import ResultStream
from aionorth.errors import JournalError, detached
from aionorth.models import Collect, DeleteResult, DeleteSummary, Outcome

Settled = tuple[str, Record, Outcome]
"""An id, what was tried for it, and what came of it."""


class Recorder(Protocol):
    """Keeps a record of a run outside of the process, and knows what the runs before did."""

    @property
    def elapsed(self) -> float:
        """Seconds that the runs before took."""
        ...

    def finished(self) -> Iterator[tuple[Record, DeleteResult]]:
        """Yield what became of the ids that need no further call."""
        ...

    def recall(self, id_: str) -> Record:
        """Return what the runs before tried for an id."""
        ...

    def take(self) -> None:
        """Begin to record this run, and keep others from it; raises `JournalError` where that cannot be."""
        ...

    def begin(self, *ids: str) -> None:
        """Record that the first attempt at each of `ids` is about to be sent; raises `JournalError`."""
        ...

    def end(self, record: Record, result: DeleteResult) -> None:
        """Record what became of an id; raises `JournalError`."""
        ...

    def close(self) -> None:
        """Record nothing more."""
        ...


@attrs.define(eq=False, kw_only=True)
class Deletion(Progress):
    """The deletion of one id, under way."""

    id: str

    def settled(self) -> Iterable[Settled]:
        """Return what became of it if nothing more is done."""
        return ((self.id, self.record, self.record.outcome),)


class OpenDeletion(Protocol):
    """A deletion under way, of one id or of many."""

    @property
    def record(self) -> Record:
        """What has been tried."""
        ...

    def settled(self) -> Iterable[Settled]:
        """Return what became of each of its ids if nothing more is done."""
        ...


@attrs.define(eq=False)
class Tally:
    """The fold of results into a summary. Its state is what the fields say."""

    collect: Collect
    total: int = 0
    calls: int = 0
    refusals: int = 0
    retries: int = 0
    outcomes: Counter[Outcome] = attrs.Factory(Counter[Outcome])
    results: list[DeleteResult] = attrs.Factory(list[DeleteResult])

    def add_calls(self, record: Record) -> None:
        """Add the calls of a record, finished or not."""
        self.calls += record.calls
        self.refusals += record.refusals
        self.retries += max(0, record.attempts - 1)

    def add(self, record: Record, outcome: Outcome) -> None:
        """Add an id that is settled."""
        self.add_calls(record)
        self.outcomes[outcome] += 1

    def keeps(self, outcome: Outcome) -> bool:
        """Whether results of this outcome are kept."""
        return self.collect == "all" or (self.collect == "failures" and not outcome.ok)

    def summary(self, *, duplicates: int, elapsed: float) -> DeleteSummary:
        """Return it as a summary."""
        return DeleteSummary(
            total=self.total,
            **{outcome.value: self.outcomes[outcome] for outcome in Outcome},
            duplicates=duplicates,
            refusals=self.refusals,
            retries=self.retries,
            calls=self.calls,
            elapsed=elapsed,
            results=tuple(self.results),
        )


class Account:
    """Opens and settles the deletions of a run.

    Its state: the tally, and the deletions that are open.
    """

    def __init__(
        self,
        collect: Collect,
        stream: ResultStream,
        recorder: Recorder | None,
        *,
        now: Callable[[], float],
        on_failure: Callable[[BaseException], object],
    ) -> None:
        """Begin with what the runs before have finished.

        Args:
            collect: Which results the summary keeps.
            stream: Where results are handed over.
            recorder: What records them, if anything does.
            now: Returns the time on the loop's clock.
            on_failure: Called with what keeps `recorder` from recording an outcome.
        """
        self.recorder = recorder
        self._now = now
        self.stream = stream
        self._on_failure = on_failure
        self._tally = Tally(collect)
        self._open: dict[OpenDeletion, float] = {}  # and when they were opened
        for record, result in recorder.finished() if recorder is not None else ():
            self._tally.total += 1
            self._tally.add(record, result.outcome)
            if self._tally.keeps(result.outcome):
                self._tally.results.append(result)
        self.finished = self._tally.total
        """How many ids the runs before have finished."""

    def begin(self) -> None:
        """Begin to record; raises `JournalError`."""
        if self.recorder is not None:
            self.recorder.take()

    def close(self) -> None:
        """Record nothing more."""
        if self.recorder is not None:
            self.recorder.close()

    def open(self, deletion: OpenDeletion, ids: int = 1) -> None:
        """Count `ids` more ids, which are open until `deletion` is settled."""
        self._tally.total += ids
        self._open[deletion] = self._now()

    def open_one(self, id_: str) -> Deletion:
        """Open the deletion of an id, which goes on from what the runs before tried."""
        if (recorder := self.recorder) is None:
            deletion = Deletion(id=id_)
        else:
            deletion = Deletion(id=id_, record=recorder.recall(id_), on_begin=lambda: recorder.begin(id_))
        self.open(deletion)
        return deletion

    def settle(self, deletion: OpenDeletion) -> None:
        """Account for a deletion as far as it has come. Only the first time counts."""
        if (opened := self._open.pop(deletion, None)) is None:
            return
        elapsed = self._now() - opened
        for id_, record, outcome in deletion.settled():
            self._tally.add(record, outcome)
            if self._tally.keeps(outcome) or self.stream.fetched or self.recorder is not None:
                self._hand_over(record, record.result(id_, elapsed, outcome))

    def _hand_over(self, record: Record, result: DeleteResult) -> None:
        if result.error is not None:
            detached(result.error)
        if self._tally.keeps(result.outcome):
            self._tally.results.append(result)
        self.stream.put(result)
        if self.recorder is not None and record.begun:
            try:
                self.recorder.end(record, result)
            except JournalError as exc:
                self._on_failure(exc)

    def settle_all(self) -> None:
        """Account for all that is open."""
        for deletion in list(self._open):
            self.settle(deletion)

    def summary(self, *, duplicates: int, elapsed: float) -> DeleteSummary:
        """Return the summary at this moment, with the calls made so far for what is open.

        Args:
            duplicates: How many ids were dropped because they had been named before.
            elapsed: Seconds that this run took.
        """
        tally = copy(self._tally)
        for deletion in self._open:
            tally.add_calls(deletion.record)
        before = 0.0 if self.recorder is None else self.recorder.elapsed
        return tally.summary(duplicates=duplicates, elapsed=before + elapsed)
