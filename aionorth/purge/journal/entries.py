"""What a journal says of its ids: one entry each, and which of them are left to do."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from aionorth.bulk.record import Record
from aionorth.errors import NorthError
from aionorth.models import DeleteResult, Outcome
from aionorth.purge.journal import lines
from aionorth.purge.journal.lines import count, flag, seconds


class Entry(NamedTuple):
    """What a journal knows of one id. Each line about it makes another entry."""

    id: str
    outcome: Outcome | None = None
    """The last outcome; None before there is one."""
    error: NorthError | None = None
    calls: int = 0
    """Calls made, over all runs, except one that is in flight."""
    attempts: int = 0
    refusals: int = 0
    elapsed: float = 0.0
    """Seconds that the last run took over it."""
    ambiguous: bool = False
    """Whether an attempt may have been carried out although no reply says so."""
    reply_lost: bool = False
    began_at: float | None = None
    """When its first attempt was sent, in seconds since 1970; None where none was."""
    ended_at: float | None = None
    """When it got its last outcome."""
    in_flight: bool = False
    """Whether it has begun and not ended: so it is while a run is at it, and stays where the run was killed."""

    def begun(self, at: float) -> Entry:
        """Return the entry after a run's first attempt is about to be sent."""
        if not self.in_flight:
            return self._replace(began_at=at if self.began_at is None else self.began_at, in_flight=True)
        # Begun twice: a kill cut the first one short.
        return self._replace(calls=self.calls + 1, attempts=self.attempts + 1, ambiguous=True, reply_lost=True)

    def ended(self, line: Mapping[str, Any]) -> Entry:
        """Return the entry after a line with an outcome; raises one of `MALFORMED` for another line."""
        return from_line(self.id, self.began_at, line)

    @property
    def all_calls(self) -> int:
        """Calls made, with the one in flight, which a kill may have cut short."""
        return self.calls + self.in_flight

    @property
    def gone(self) -> bool:
        """Whether it is known not to be on the platform any more: then it is not called again."""
        return not self.in_flight and self.outcome is not None and self.outcome.ok

    def final_outcome(self) -> Outcome:
        """Return what became of the id, as far as the journal knows."""
        if self.in_flight:
            return Outcome.UNKNOWN
        return self.outcome or Outcome.SKIPPED

    def result(self) -> DeleteResult:
        """Return the entry as a run's result; an attempt that a kill cut short counts, and has left no error."""
        error = None if self.in_flight else self.error
        attempts = self.attempts + self.in_flight
        return DeleteResult(self.id, self.final_outcome(), error, attempts, self.refusals, self.elapsed)

    def record(self) -> Record:
        """Return the record that a further run continues."""
        return Record(
            calls=self.all_calls,
            refusals=self.refusals,
            token_refusals=self.calls - self.attempts - self.refusals,
            ambiguous=self.ambiguous or self.in_flight,
            reply_lost=self.reply_lost or self.in_flight,
            error=self.error,
            earlier=self.final_outcome(),
        )


def from_line(id_: str, began_at: float | None, line: Mapping[str, Any]) -> Entry:
    """Return the entry after a line with an outcome; raises one of `MALFORMED` for another line."""
    outcome = OUTCOMES[line["outcome"]]
    return Entry(
        id_,
        outcome,
        lines.error_from_dict(line["error"]) if "error" in line else None,
        count(line["calls"]),
        count(line["attempts"]),
        count(line["refusals"]),
        seconds(line["elapsed"]),
        flag(line.get("in_doubt", False)),
        flag(line.get("reply_lost", False)),
        *_times(outcome, began_at, seconds(line["at"])),
    )


def _times(outcome: Outcome, began_at: float | None, at: float) -> tuple[float | None, float | None]:
    """Return when an id that got its outcome `at` had begun and ended: never, where the run ended before its call."""
    return (None, None) if outcome is Outcome.SKIPPED else (began_at, at)


OUTCOMES = {outcome.value: outcome for outcome in Outcome}


class Entries(Mapping[str, Entry]):
    """What a journal knows of each id, in the plan's order.

    Its state: for each id its entry, or what takes much less memory, and the collector no time: of one that was never
    tried, None; of one under way for the first time, when it began; of one that ended without an error, as nearly all
    of a large journal, its fields in bytes.
    """

    def __init__(self) -> None:
        self._of: dict[str, Entry | bytes | float | None] = {}

    def __getitem__(self, id_: str) -> Entry:
        return self._entry(id_, self._of[id_])

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def add(self, id_: str) -> None:
        """Add an id that is to be deleted."""
        self._of[id_] = None

    def begin(self, id_: str, at: float) -> None:
        """Note that a run's first attempt is about to be sent; raises `KeyError` for an id that was not added."""
        self._of[id_] = at if (known := self._of[id_]) is None else self._entry(id_, known).begun(at)

    def began_at(self, id_: str) -> float | None:
        """Return when the first attempt at an id was sent; raises `KeyError` for an id that was not added."""
        known = self._of[id_]
        return known if known is None or isinstance(known, float) else self._entry(id_, known).began_at

    def put(self, entry: Entry) -> None:
        """Replace what is known of an id that was added."""
        self._of[entry.id] = entry

    def put_usual(self, id_: str, outcome: Outcome, counts: Iterable[int], times: tuple[float, float, float]) -> None:
        """Do as `put`, for an id that has no error: its calls, attempts and refusals, and `elapsed` to `ended_at`."""
        self._of[id_] = _USUAL.pack(_NUMBERS[outcome], *counts, *times)

    @staticmethod
    def _entry(id_: str, known: Entry | bytes | float | None) -> Entry:
        if isinstance(known, Entry):
            return known
        if not isinstance(known, bytes):
            return Entry(id_) if known is None else Entry(id_, began_at=known, in_flight=True)
        number, calls, attempts, refusals, elapsed, began_at, ended_at = _USUAL.unpack(known)
        return Entry(
            id_, _ORDER[int(number)], None, calls, attempts, refusals, elapsed, False, False, began_at, ended_at
        )


_USUAL = struct.Struct("=BIIIddd")
_ORDER = tuple(Outcome)
_NUMBERS = {outcome: number for number, outcome in enumerate(_ORDER)}


class Unfinished(Collection[str]):
    """The ids that a run has to call, known once its journal was read. It has no state of its own.

    Those that have failed come last. So a run that ends after so many failures gets further each time.
    """

    def __init__(self, entries: Callable[[], Mapping[str, Entry]]) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[str]:
        entries = self._entries()
        failed = [id_ for id_, entry in entries.items() if entry.outcome is Outcome.FAILED and not entry.in_flight]
        last = frozenset(failed)
        yield from (id_ for id_ in entries if id_ not in last)
        yield from failed

    def __len__(self) -> int:
        return len(self._entries())

    def __contains__(self, id_: object) -> bool:
        return id_ in self._entries()
