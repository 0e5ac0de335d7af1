"""What a journal says: the history of a purge, read from its lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from aionorth.bulk.record import Record
from aionorth.errors import JournalError, NorthError
from aionorth.models import DeleteResult, Kind, Outcome, Target
from aionorth.purge.journal import lines
from aionorth.purge.journal.lines import count, flag, optional_text, seconds, text


@attrs.frozen(eq=False)
class Entry:
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
        began_at = at if self.began_at is None else self.began_at
        if not self.in_flight:
            return attrs.evolve(self, began_at=began_at, in_flight=True)
        # Begun twice: a kill cut the first one short.
        return attrs.evolve(self, calls=self.calls + 1, attempts=self.attempts + 1, ambiguous=True, reply_lost=True)

    def ended(self, line: Mapping[str, Any]) -> Entry:
        """Return the entry after a line with an outcome; raises one of `MALFORMED` for another line."""
        outcome = Outcome(text(line["outcome"]))
        sent = outcome is not Outcome.SKIPPED  # else it had begun, and the run ended before its call
        return Entry(
            id=self.id,
            outcome=outcome,
            error=lines.error_from_dict(line["error"]) if "error" in line else None,
            calls=count(line["calls"]),
            attempts=count(line["attempts"]),
            refusals=count(line["refusals"]),
            elapsed=seconds(line["elapsed"]),
            ambiguous=flag(line.get("in_doubt", False)),
            reply_lost=flag(line.get("reply_lost", False)),
            began_at=self.began_at if sent else None,
            ended_at=seconds(line["at"]) if sent else None,
        )

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


@attrs.frozen(kw_only=True, eq=False)
class History:
    """A journal, read."""

    target: Target
    selection: str = ""
    """Which were selected, in words."""
    duplicates: int
    """Ids that were named more than once."""
    entries: dict[str, Entry]
    """By id, in the plan's order."""
    runs: list[float]
    """When each run began, in seconds since 1970."""
    ends: list[float] = attrs.field(factory=list[float])
    """When the last line of each run that was read was written."""

    @property
    def elapsed(self) -> float:
        """Seconds that the runs that were read took, as far as the journal knows."""
        return sum(max(0.0, end - began) for began, end in zip(self.runs, self.ends, strict=False))

    @property
    def gone(self) -> int:
        """How many ids are known not to be on the platform any more."""
        return sum(entry.gone for entry in self.entries.values())

    def results(self) -> Iterator[DeleteResult]:
        """Yield what became of every id, as far as the journal knows."""
        return (entry.result() for entry in self.entries.values())


@attrs.frozen
class Parsed:
    """A journal's content, parsed."""

    history: History
    whole: int
    """How many of its bytes are whole lines."""
    version: int


def parse(content: bytes, path: str) -> Parsed:
    """Parse the content of a journal; raises `JournalError`, which names its `path`, where it is none or damaged."""
    *whole_lines, last = content.split(b"\n")  # after the last line end: nothing, or a line that a kill tore
    if not whole_lines and last and (last.startswith(lines.BEGINNING) or lines.BEGINNING.startswith(last)):
        raise _broken_off(path)  # as a kill could leave it while files were not created whole
    history, total, version = _about(whole_lines[0] if whole_lines else last, path)
    whole = len(content)
    if lines.is_torn(last, version):
        whole -= len(last)
    else:  # nothing but its line end is missing
        whole_lines.append(last)
    for number, line in enumerate(whole_lines[1:], 2):
        try:
            _take(lines.decode(line, version), history)
        except lines.MALFORMED as exc:
            raise _damaged(path, f"line {number} is not one of a journal") from exc
    if not history.runs:
        raise _broken_off(path)
    if len(history.entries) != total:
        raise _damaged(path, f"it has {len(history.entries):,} of the {total:,} ids of its first line")
    return Parsed(history, whole, version)


def _take(line: dict[str, Any], history: History) -> None:
    """Add to `history` what a line says; raises one of `MALFORMED` for one that is none."""
    match line:
        case {"ids": [*ids]} if not history.runs:
            for id_ in ids:
                history.entries[text(id_)] = Entry(id_)
        case {"run": moment}:
            history.runs.append(seconds(moment))
            history.ends.append(moment)
        case {"begin": id_, "at": moment}:
            history.entries[id_] = history.entries[id_].begun(seconds(moment))
            history.ends[-1] = moment
        case {"end": id_, "at": moment}:
            history.entries[id_] = history.entries[id_].ended(line)
            history.ends[-1] = moment
        case _:
            raise ValueError("not a line of a journal")


def _about(first: bytes, path: str) -> tuple[History, int, int]:
    """Return what the first line of a journal says: a history without entries, how many will follow, the version."""
    try:
        line = lines.decode(first, lines.WITHOUT_CHECKSUMS)
    except lines.MALFORMED:
        line = {}
    if line.get("aionorth") != "journal":
        raise JournalError(f"{path} is not a journal of aionorth{'' if first else ': it is empty'}")
    version = line.get("version")
    if type(version) is not int or version not in lines.VERSIONS:
        raise JournalError(f"{path} was written by another version of aionorth: resume it with that")
    try:
        if "crc" in line and version == lines.WITHOUT_CHECKSUMS:
            raise ValueError("its version is another one")
        lines.decode(first, version)
        target = Target(
            kind=Kind(text(line["kind"])),
            url=text(line["url"]),
            app_id=text(line["app_id"]),
            authorized_app_id=optional_text(line["authorized_app_id"]),
        )
        selection, duplicates = text(line.get("selection", "")), count(line["duplicates"])
        history = History(target=target, selection=selection, duplicates=duplicates, entries={}, runs=[])
        return history, count(line["total"]), version
    except lines.MALFORMED as exc:
        raise _damaged(path, "its first line is not that of a journal") from exc


def _broken_off(path: str) -> JournalError:
    return JournalError(f"{path} breaks off before its first call: nothing was sent; begin anew, with another file")


def _damaged(path: str, how: str) -> JournalError:
    return JournalError(f"{path} is damaged: {how}; begin anew, with another file")
