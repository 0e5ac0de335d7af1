"""The values that a run returns: outcomes, the result for one id, and the summary."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import attrs

from aionorth.common.arguments import Message, marked
from aionorth.common.text import many
from aionorth.common.times import duration
from aionorth.errors import BulkFailedError, NorthApiError, NorthError

Collect = Literal["all", "failures", "none"]
"""Which results a summary keeps. Its counts include those that it does not keep."""


class Outcome(enum.StrEnum):
    """What became of one id. Each distinct id that a run takes from its input ends in exactly one of these."""

    DELETED = "deleted"
    """The platform confirmed that it deleted it."""
    NOT_FOUND = "not_found"
    """The platform has no such id, and no earlier attempt of this client can be the reason."""
    GONE = "gone"
    """It is not there now. Whether this client deleted it is unknown: an earlier attempt had no clear reply, or, with
    ``cascade``, a gateway may have taken it along."""
    FAILED = "failed"
    """Not deleted, as far as is known: the platform refused (`DeleteResult.error`) or could not be reached."""
    UNKNOWN = "unknown"
    """A call was sent whose reply was lost, and no attempt was left to find out."""
    SKIPPED = "skipped"
    """Never attempted: the run ended before, or it cannot be an id."""

    @property
    def ok(self) -> bool:
        """Whether the id is known not to be on the platform any more."""
        return self in _NOT_THERE


_NOT_THERE = frozenset({Outcome.DELETED, Outcome.NOT_FOUND, Outcome.GONE})


@attrs.frozen
class DeleteResult:
    """What became of one id."""

    id: str
    outcome: Outcome
    error: NorthError | None = None
    """The error of the last call, where that did not delete it. Without a traceback."""
    attempts: int = 0
    """Calls sent for this id that count against `RetryPolicy.attempts`."""
    refusals: int = 0
    """Calls sent for this id that flow control refused (1010009)."""
    elapsed: float = 0.0
    """Seconds from the start of work on this id to its outcome, waiting included."""

    @property
    def ok(self) -> bool:
        """Whether the id is known not to be on the platform any more."""
        return self.outcome.ok

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "id": self.id,
            "outcome": self.outcome.value,
            "error": None if self.error is None else self.error.to_dict(),
            "attempts": self.attempts,
            "refusals": self.refusals,
            "elapsed": round(self.elapsed, 3),
        }


@attrs.frozen(kw_only=True)
class DeleteSummary:  # more than 12 fields: one a count
    """What became of the ids of a bulk run. At any moment `total` is the sum of the six outcomes and of `pending`."""

    total: int = 0
    """Distinct ids taken from the input."""
    expected: int | None = None
    """What `total` will be in the end, as far as is known: a duplicate counts until it is dropped. None for a stream,
    and for a journal that was not read yet."""
    deleted: int = 0
    not_found: int = 0
    gone: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0
    duplicates: int = 0
    """Ids dropped because they had already been in the input."""
    refusals: int = 0
    """Delete calls refused by flow control (1010009)."""
    retries: int = 0
    """Attempts after the first, not counting those after refusals and renewed tokens."""
    calls: int = 0
    """Delete calls made, successful or not: one that found no connection counts, a login does not."""
    elapsed: float = 0.0
    """Seconds since the run began, or that it took."""
    results: tuple[DeleteResult, ...] = attrs.field(default=(), repr=False)
    """The results kept (``collect=``), in the order in which they became known."""

    @property
    def pending(self) -> int:
        """Ids taken whose outcome is still open; 0 once the run has ended."""
        return self.total - sum(self.count(outcome) for outcome in Outcome)

    @property
    def ok(self) -> bool:
        """Whether every id taken is known not to be on the platform any more."""
        return self.total == self.deleted + self.not_found + self.gone

    @property
    def failures(self) -> tuple[DeleteResult, ...]:
        """Of the results kept, those that are FAILED, UNKNOWN or SKIPPED."""
        return tuple(result for result in self.results if not result.ok)

    def count(self, outcome: Outcome) -> int:
        """How many ids ended in `outcome`."""
        number: int = getattr(self, outcome.value)
        return number

    def raise_for_failures(self) -> None:
        """Raise `BulkFailedError` unless `ok`."""
        if not self.ok:
            raise BulkFailedError(f"{self._in_words()}\n{self._reasons()}".rstrip(), self)

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON-ready values, the results kept among them."""
        names = [field.name for field in attrs.fields(DeleteSummary) if field.name != "results"]
        counts = {name: getattr(self, name) for name in names} | {"elapsed": round(self.elapsed, 3)}
        return counts | {"ok": self.ok, "results": [result.to_dict() for result in self.results]}

    def __str__(self) -> str:
        rows = [(outcome.value.replace("_", " "), self.count(outcome)) for outcome in Outcome]
        rows += [("pending", self.pending)] if self.pending else []
        rows += [("total", self.total)]
        width = max(len(f"{number:,}") for _, number in rows)
        table = "\n".join(f"{name:<10} {number:>{width},}" for name, number in rows)
        line = (
            f"{many(self.calls, 'delete call')} in {duration(self.elapsed)}, {self.refusals:,} of them refused; "
            f"{many(self.retries, 'retry', 'retries')}, {many(self.duplicates, 'duplicate')} dropped"
        )
        return Message(f"{table}\n{line}\n{self._reasons()}".rstrip())

    def _in_words(self) -> str:
        bad = {name: self.count(name) for name in Outcome if not name.ok and self.count(name)}
        return f"of {many(self.total, 'id')}, " + ", ".join(f"{number:,} {name.value}" for name, number in bad.items())

    def _reasons(self) -> str:
        """The failures kept that have an error of their own: one line for those that are alike, the commonest first.

        Its arguments are marked.
        """
        groups = [
            group
            for group in failure_groups(self.failures)
            if (error := group.example.error) is not None and not (group.outcome is Outcome.SKIPPED and error.ends_run)
        ]
        more = [f"and {len(groups) - MAX_REASONS:,} more reasons"] if len(groups) > MAX_REASONS else []
        return "\n".join([*(marked(str(group)) for group in groups[:MAX_REASONS]), *more])


MAX_REASONS = 10
"""How many different reasons for failure the text of a summary lists."""

SAMPLES = 3
"""How many of its results a group of failures keeps."""


@attrs.frozen(kw_only=True)
class FailureGroup:
    """Failures that are alike: of one outcome, one class of error, one HTTP status and one code of the platform."""

    outcome: Outcome
    count: int
    samples: tuple[DeleteResult, ...]
    """The first of them."""
    same_words: bool
    """Whether all their errors have the same text."""

    @property
    def example(self) -> DeleteResult:
        """The first of them."""
        return self.samples[0]

    def __str__(self) -> str:
        """One line: how many, their outcome, the error of the first of them, and what to do about it."""
        lead = f"{self.count:,} {self.outcome.value}"
        if self.example.error is None:
            return lead
        said = " ".join(self.example.error.marked.split())
        return Message(f"{lead}{'' if self.same_words else ', for example'}: {said}")


def failure_groups(results: Iterable[DeleteResult]) -> list[FailureGroup]:
    """Group the results that are FAILED, UNKNOWN or SKIPPED and alike, the largest group first."""
    counts: Counter[tuple[object, ...]] = Counter()
    samples: dict[tuple[object, ...], list[DeleteResult]] = {}
    differing: set[tuple[object, ...]] = set()
    for result in results:
        if result.ok:
            continue
        error = result.error
        said = (error.status, error.code) if isinstance(error, NorthApiError) else ()
        alike = (result.outcome, type(error), *said)
        counts[alike] += 1
        first = samples.setdefault(alike, [])
        if len(first) < SAMPLES:
            first.append(result)
        if str(error) != str(first[0].error):
            differing.add(alike)
    return [
        FailureGroup(
            outcome=samples[alike][0].outcome,
            count=count,
            samples=tuple(samples[alike]),
            same_words=alike not in differing,
        )
        for alike, count in counts.most_common()
    ]
