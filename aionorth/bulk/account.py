"""The account of a run: what has become of each id, counted, recorded and delivered once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from functools import partial
from typing import Protocol

import attrs

from aionorth.bulk.failures import Failures
from aionorth.bulk.observed import RunReport
from aionorth.bulk.record import UNTRIED, Progress, Record
from aionorth.bulk.results import ResultStream
from aionorth.bulk.seen import SeenIds
from aionorth.errors import JournalError, NorthError, detached
from aionorth.models import Collect, DeleteResult, DeleteSummary, Outcome

Settled = tuple[str, Record, Outcome]
"""An id, its record and its outcome."""

AT_ONCE = 1024
"""How many ids of the runs before are taken over before the event loop gets its turn."""

Share = Callable[[Record], Iterable[Settled]]
"""Returns the outcome of a call for each of its ids."""


class Finished(Protocol):
    """What became of an id that needs no further call."""

    @property
    def calls(self) -> int:
        """As in `Record`."""
        ...

    @property
    def refusals(self) -> int:
        """As in `Record`."""
        ...

    @property
    def attempts(self) -> int:
        """As in `Record`."""
        ...

    def final_outcome(self) -> Outcome:
        """Return what became of it."""
        ...

    def result(self) -> DeleteResult:
        """Return that as a result."""
        ...


class Recorder(Protocol):
    """Records a run outside of the process, and knows what the runs before did. Raises `JournalError`."""

    @property
    def elapsed(self) -> float:
        """Seconds that the runs before took."""
        ...

    @property
    def ready(self) -> bool:
        """Whether it is known what the runs before did."""
        ...

    def reading(self) -> Iterator[float]:
        """Find that out, step by step; yields, after each, which part is done."""
        ...

    def finished(self) -> Iterator[Finished]:
        """Yield, once, what became of the ids that need no further call."""
        ...

    def recall(self, id_: str) -> Record:
        """Return what the runs before tried for another id."""
        ...

    def take(self) -> None:
        """Begin to record this run, and keep others from it."""

    def begin(self, *ids: str) -> None:
        """Record that the first attempt at each of `ids` is about to be sent."""

    async def on_disk(self) -> None:
        """Wait until all that was recorded so far would be there after a power cut."""

    def end(self, record: Record, result: DeleteResult) -> None:
        """Record what became of an id; of one that was not recorded to begin, nothing."""

    def run_ended(self, *, stopped: bool, cause: BaseException | None) -> None:
        """Record how this run ended: `stopped` before it was through, or early because of a `cause`, if any."""

    def close(self) -> None:
        """Record nothing more."""


async def announce(recorder: Recorder, *ids: str) -> None:
    """Have it recorded, for good, that the first attempt at each of `ids` is about to be sent."""
    recorder.begin(*ids)
    await recorder.on_disk()


@attrs.define(eq=False)
class Tally:
    """Accumulates results into a summary. All of its fields are state."""

    collect: Collect
    duplicates: int
    total: int = 0
    calls: int = 0
    refusals: int = 0
    retries: int = 0
    outcomes: Counter[Outcome] = attrs.Factory(Counter[Outcome])
    results: list[DeleteResult] = attrs.Factory(list[DeleteResult])

    def add_calls(self, record: Record | Finished) -> None:
        """Add the calls of a record, settled or not."""
        self.calls += record.calls
        self.refusals += record.refusals
        if record.calls > 1:
            self.retries += max(0, record.attempts - 1)

    def add(self, record: Record | Finished, outcome: Outcome) -> None:
        """Add an id that is settled."""
        self.add_calls(record)
        self.outcomes[outcome] += 1

    def keeps(self, outcome: Outcome) -> bool:
        """Whether results of this outcome are kept."""
        return self.collect == "all" or (self.collect == "failures" and not outcome.ok)

    def keep(self, result: DeleteResult) -> None:
        """Keep a result, if it is one to be kept."""
        if self.keeps(result.outcome):
            self.results.append(result)

    def summary(
        self, unsettled: Iterable[Record], elapsed: float, expected: int | None, *, results: bool
    ) -> DeleteSummary:
        """Return the summary at this moment, with the calls made so far for what is not settled."""
        so_far = copy(self)
        for record in unsettled:
            so_far.add_calls(record)
        return DeleteSummary(
            total=self.total,
            expected=expected,
            **{outcome.value: self.outcomes[outcome] for outcome in Outcome},
            duplicates=self.duplicates,
            refusals=so_far.refusals,
            retries=so_far.retries,
            calls=so_far.calls,
            elapsed=elapsed,
            results=tuple(self.results) if results else (),
        )


class Account:
    """Opens and settles the calls of a run.

    Its state: the tally, the ids that were named, the calls that are open, with the time since when, and what is called
    after ids have settled.
    """

    def __init__(
        self,
        tally: Tally,
        recorder: Recorder | None,
        *,
        places: int,
        now: Callable[[], float],
        on_failure: Callable[[NorthError], object],
        max_failures: int | None = None,
        report: RunReport,
    ) -> None:
        """Begin with nothing.

        `places` are those of the stream of results; `on_failure` is called with what ends the run: `recorder` cannot
        record, or too many ids have failed; `report` reports what is settled.
        """
        self._report = report
        self.stream = ResultStream(places)
        self.recorder = recorder
        self._now = now
        self._on_failure = on_failure
        self._failures = Failures(max_failures)
        self._tally = tally
        self._duplicates_before = tally.duplicates
        self._seen = SeenIds()
        self._open: dict[Progress, tuple[float, str | Share]] = {}
        self.finished = 0
        self.on_settled: Callable[[], object] = lambda: None

    def take_over(self) -> Iterator[None]:
        """Account for what the runs before have finished; yields now and then, so that others have their turn."""
        tally = self._tally
        for one in self.recorder.finished() if self.recorder is not None else ():
            outcome = one.final_outcome()
            tally.total += 1
            tally.add(one, outcome)
            if tally.keeps(outcome):
                tally.results.append(one.result())
            if tally.total % AT_ONCE == 0:
                yield
        self.finished = tally.total

    def open_one(self, id_: str, *, cascade: bool = False) -> Progress | None:
        """Open the call for an id, with the record of the runs before; return None for a duplicate.

        With `cascade` it may go along with another one: if it is not there, it is GONE, not NOT_FOUND.
        """
        if not self._seen.add(id_):
            self._tally.duplicates += 1
            return None
        recorder = self.recorder
        record = UNTRIED if recorder is None else recorder.recall(id_)
        progress = Progress(
            record=record.cascaded if cascade else record,
            on_begin=None if recorder is None else partial(announce, recorder, id_),
            within=self._report.number,
        )
        self.open(progress, id_)
        return progress

    def open(self, progress: Progress, ids: str | Share, number: int = 1) -> None:
        """Count so many ids more, one or those of a share. They are open until their call is settled."""
        self._tally.total += number
        self._open[progress] = self._now(), ids

    def settle(self, progress: Progress) -> None:
        """Settle a call with its current record. Later calls do nothing."""
        if progress not in self._open:
            return
        since, ids = self._open.pop(progress)
        if isinstance(ids, str):
            self._settle_one(ids, progress.record, progress.record.outcome, since)
        else:
            for id_, record, outcome in ids(progress.record):
                self._settle_one(id_, record, outcome, since)
        self.on_settled()

    def _settle_one(self, id_: str, record: Record, outcome: Outcome, since: float) -> None:
        self._tally.add(record, outcome)
        wanted = self.recorder is not None or self._report.number is not None
        if wanted or not outcome.ok or self._tally.keeps(outcome) or self.stream.fetched:
            self._hand_over(record, record.result(id_, self._now() - since, outcome))

    def _hand_over(self, record: Record, result: DeleteResult) -> None:
        if result.error is not None:
            detached(result.error)
        if record.begun and (cause := self._failures.add(result)) is not None:
            self._on_failure(cause)
        self._tally.keep(result)
        self._report.settled(result)
        self.stream.put(result)
        if self.recorder is not None:
            try:
                self.recorder.end(record, result)
            except JournalError as exc:
                self._on_failure(exc)

    def settle_all(self) -> None:
        """Account for all that is open."""
        for progress in list(self._open):
            self.settle(progress)

    def expected(self, size: int) -> int:
        """Return how many distinct ids there are with an input of that size, less the duplicates found in it so far."""
        return self.finished + size - (self._tally.duplicates - self._duplicates_before)

    def summary(self, elapsed: float, expected: int | None, *, results: bool = True) -> DeleteSummary:
        """Return the summary at this moment, with the results kept or without; `elapsed` are seconds of this run."""
        before = 0.0 if self.recorder is None else self.recorder.elapsed
        records = (progress.record for progress in self._open)
        return self._tally.summary(records, before + elapsed, expected, results=results)
