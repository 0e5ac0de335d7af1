"""What a journal says: the history of a purge, read from its lines."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from aionorth.errors import JournalError, NorthError
from aionorth.items import Kind, Target
from aionorth.models import DeleteResult, Outcome
from aionorth.purge.journal import lines
from aionorth.purge.journal.entries import OUTCOMES, Entries, Entry, from_line
from aionorth.purge.journal.lines import count, flag, optional_text, seconds, text
from aionorth.purge.journal.standing import RECORDED, RunState

SLICE = 1 << 16
"""Bytes of a journal that are read at once: some hundred lines, and a few milliseconds."""


@attrs.frozen(kw_only=True)
class Stop:
    """How a run ended."""

    at: float
    """When, in seconds since 1970."""
    state: RunState
    began: float
    """When the first run of the purge began."""
    gone: int | None
    """How many ids were known to be gone at the end, over all runs."""
    cause: NorthError | None
    """What ended it early."""


def state_of(stop: Stop | None, *, at_work: bool) -> RunState:
    """Return what has become of a run that ended so, or whose end nobody has recorded."""
    if at_work:
        return RunState.AT_WORK
    return RunState.NO_END if stop is None else stop.state


@attrs.frozen(kw_only=True)
class Run:
    """A run, as far as its journal shows."""

    began: float
    """When it began, in seconds since 1970."""
    last: float
    """When it ended or, where that is not recorded, was last known to be at work."""
    state: RunState
    cause: NorthError | None
    """What ended it early."""

    @property
    def ended(self) -> float | None:
        """When it ended, where that is recorded."""
        return self.last if self.state in RECORDED.values() else None


@attrs.frozen(kw_only=True)
class Outage:
    """A time in which the platform answered no call, in seconds since 1970."""

    start: float
    end: float
    """When it answered again, or the run ended."""
    open: bool = False
    """Whether neither is recorded: then it lasted at least until `end`, when it was last known to be silent."""


@attrs.frozen(kw_only=True, eq=False)
class History:
    """A journal, read."""

    target: Target
    selection: str = ""
    """Which were selected, in words."""
    duplicates: int
    """Ids that were named more than once."""
    entries: Mapping[str, Entry]
    """By id, in the plan's order."""
    runs: list[float]
    """When each run began, in seconds since 1970."""
    ends: list[float] = attrs.field(factory=list[float])
    """When the last line of each run that was read was written; of one at work on it, when `read_now` read it."""
    stops: list[Stop | None] = attrs.field(factory=list[Stop | None])
    """How each run that was read ended; None where nobody has recorded it."""
    outages: list[Outage] = attrs.field(factory=list[Outage])
    """In order of time."""
    at_work: bool = False
    """Whether a process had locked the journal when it was read; known where `read_now` read it."""
    awaits_worker: bool = False
    """Whether a worker of a fleet is to go on with it, and none is at work on it."""

    @property
    def unfinished(self) -> bool:
        """Whether more will be done, so that ids without an outcome are pending."""
        return self.at_work or self.awaits_worker

    def each_run(self) -> list[Run]:
        """Return what is known of each run."""
        if not self.runs:
            return []
        *earlier, last = self.stops
        states = [*(state_of(stop, at_work=False) for stop in earlier), state_of(last, at_work=self.at_work)]
        return [
            Run(began=began, last=max(began, end), state=state, cause=None if stop is None else stop.cause)
            for began, end, stop, state in zip(self.runs, self.ends, self.stops, states, strict=True)
        ]

    @property
    def elapsed(self) -> float:
        """Seconds that the runs that were read took, as far as the journal knows."""
        return sum(run.last - run.began for run in self.each_run())

    @property
    def gone(self) -> int:
        """How many ids are known not to be on the platform any more."""
        return sum(entry.gone for entry in self.entries.values())

    @property
    def silent(self) -> bool:
        """Whether a run is at work that waits for the platform to answer."""
        last = self.outages[-1] if self.at_work and self.outages else None
        return last is not None and last.open and last.end >= self.runs[-1]

    def results(self) -> Iterator[DeleteResult]:
        """Yield what became of every id, as far as the journal knows."""
        return (entry.result() for entry in self.entries.values())


class Reader:
    """Reads a journal, bit by bit; raises `JournalError`, which names it, where it is none or damaged.

    Its state: the history so far, what the first line says of all that follows, how many lines and bytes of whole lines
    there were, and the beginning of the next line.
    """

    def __init__(self, name: str, *, with_run: bool = True, anew: str = "begin anew, with another file") -> None:
        """Make the reader of one journal.

        Args:
            name: Its name.
            with_run: Whether that of a purge that no run has begun is none, as a file.
            anew: What to do where it is damaged.
        """
        self._name = name
        self._with_run = with_run
        self._anew = anew
        self._entries = Entries()
        self._history: History | None = None
        self.total = 0
        """How many ids there are, once the first line was read."""
        self._numbered = 0
        self._rest = b""
        self.version = lines.VERSION
        self.whole = 0
        self.lacks_line_end = False
        """Whether the last line has everything but its line end."""

    @property
    def begun(self) -> bool:
        """Whether the first line was read."""
        return self._history is not None

    @property
    def history(self) -> History:
        """What was read, from the first line on."""
        assert self._history is not None
        return self._history

    def feed(self, data: bytes) -> bool:
        """Take the next bytes of it, of which none mean its end; return whether it goes on."""
        if not data:
            self._end()
            return False
        if end := data.rfind(b"\n") + 1:
            whole, self._rest = self._rest + data[:end], data[end:]
            self._take(whole)
        else:
            self._rest += data
        return True

    def _take(self, data: bytes) -> None:
        """Take the lines of `data`."""
        for fields in lines.split(data):
            self._numbered += 1
            line, history = fields[0], self._history
            try:
                if history is None:
                    self._history, self.total, self.version = _about(line[:-1], self._name, self._entries, self._anew)
                elif not (self.version != lines.WITHOUT_CHECKSUMS and _take_usual(fields, history, self._entries)):
                    _take(lines.decode(line[:-1], self.version), history, self._entries)
            except lines.MALFORMED as exc:
                whole = "those before it are whole, a JSON object each"
                how = f"line {self._numbered} is not one of a journal ({whole})"
                raise _damaged(self._name, how, self._anew) from exc
            self.whole += len(line)

    def _end(self) -> None:
        last, history = self._rest, self._history
        if history is None:
            if last and (last.startswith(lines.BEGINNING) or lines.BEGINNING.startswith(last)):
                raise _broken_off(self._name, self._anew)  # as a kill could leave it while files were not created whole
            _about(last, self._name, self._entries, self._anew)
            raise _broken_off(self._name, self._anew)
        if not lines.is_torn(last, self.version):
            self._take(last + b"\n")
            self.whole -= 1
            self.lacks_line_end = True
        if self._with_run and not history.runs:
            raise _broken_off(self._name, self._anew)
        if len(history.entries) != self.total:
            how = f"it has {len(history.entries):,} of the {self.total:,} ids of its first line"
            raise _damaged(self._name, how, self._anew)


class FileReader(Reader):
    """Reads a journal from a file, slice by slice."""

    def __init__(self, file: io.FileIO, path: str) -> None:
        super().__init__(path)
        self._file = file

    @property
    def part(self) -> float:
        """Which part of the file has been read, from 0 to 1."""
        return min(1.0, self._file.tell() / max(os.fstat(self._file.fileno()).st_size, 1))

    def read_slice(self) -> bool:
        """Read the next slice; return False once the journal was read whole."""
        try:
            data = self._file.read(SLICE)
        except OSError as exc:
            raise unusable(self._name, exc, "read") from exc
        return self.feed(data)

    def read_all(self, on_read: Callable[[float], object] = lambda _: None) -> History:
        """Read all of it; `on_read` is called with the part that has been read after each slice."""
        while self.read_slice():
            on_read(self.part)
        return self.history


def _take_usual(fields: lines.Fields, history: History, entries: Entries) -> bool:
    """Do as `_take` does, for a line that begins or ends an id, or return False where anything about it is special."""
    line, what, id_, at, outcome, calls, attempts, refusals, elapsed, checksum = fields
    if not what or (what == b"end") is not bool(outcome) or not lines.is_intact(line, checksum):
        return False
    name, moment = id_.decode(), float(at)
    if not outcome:
        entries.begin(name, moment)
    else:
        became, began_at = OUTCOMES[outcome.decode()], entries.began_at(name)
        if began_at is None or became is Outcome.SKIPPED:
            return False
        entries.put_usual(name, became, (int(calls), int(attempts), int(refusals)), (float(elapsed), began_at, moment))
    history.ends[-1] = moment
    return True


def _take(line: dict[str, Any], history: History, entries: Entries) -> None:
    """Add to `history` what a line says; raises one of `MALFORMED` for one that is none."""
    match line:
        case {"end": id_, "at": moment}:
            entries.put(from_line(id_, entries.began_at(id_), line))
            history.ends[-1] = moment
        case {"begin": id_, "at": moment}:
            entries.begin(id_, seconds(moment))
            history.ends[-1] = moment
        case {"ids": [*ids]} if not history.runs:
            for id_ in ids:
                entries.add(text(id_))
        case {"run": moment}:
            history.runs.append(seconds(moment))
            history.ends.append(moment)
            history.stops.append(None)
        case {"stop": moment, "how": _} if history.runs:
            history.stops[-1] = stop_from(line)
            history.ends[-1] = moment
        case {"outage": start, "until": end} if history.runs:
            is_open = flag(line.get("open", False))
            outage = Outage(start=min(seconds(start), seconds(end)), end=end, open=is_open)
            if history.outages and outage.start <= history.outages[-1].end:  # more of it
                outage = attrs.evolve(outage, start=min(outage.start, history.outages.pop().start))
            history.outages.append(outage)
            history.ends[-1] = end
        case _:
            raise ValueError("not a line of a journal")


def stop_from(line: Mapping[str, Any]) -> Stop:
    """Return the end of a run that a line says; raises one of `MALFORMED` for one that is none."""
    return Stop(
        at=seconds(line["stop"]),
        state=RECORDED[line["how"]],
        began=seconds(line["began"]),
        gone=count(line["gone"]) if "gone" in line else None,
        cause=lines.error_from_dict(line["error"]) if "error" in line else None,
    )


def _about(first: bytes, path: str, entries: Entries, anew: str) -> tuple[History, int, int]:
    """Return what a first line says: a history with these `entries`, how many ids will follow, the version."""
    try:
        line = lines.decode(first, lines.WITHOUT_CHECKSUMS)
    except lines.MALFORMED:
        line = {}
    if line.get("aionorth") != "journal":
        raise JournalError(f"{path} is not a journal of aionorth{'' if first else ': it is empty'}")
    version = line.get("version")
    if type(version) is not int or version not in lines.VERSIONS:
        raise JournalError(f"{path} was written by another version of aionorth: use that for it")
    try:
        if "crc" in line and version == lines.WITHOUT_CHECKSUMS:
            raise ValueError("its version is another one")
        lines.decode(first, version)
        target = Target(
            kind=Kind(text(line["kind"])),
            url=text(line["url"]),
            app_id=text(line["app_id"]),
            authorized_app_id=optional_text(line["authorized_app_id"]),
            cascade=flag(line["cascade"]) if "cascade" in line else None,
        )
        selection, duplicates = text(line.get("selection", "")), count(line["duplicates"])
        history = History(target=target, selection=selection, duplicates=duplicates, entries=entries, runs=[])
        return history, count(line["total"]), version
    except lines.MALFORMED as exc:
        raise _damaged(path, "its first line is not that of a journal", anew) from exc


def unusable(path: str, exc: Exception, how: str) -> JournalError:
    """Return the error for a file that cannot be read or written to."""
    return JournalError(f"{path} cannot be {how} ({reason(exc)}): name the journal of a run")


def reason(exc: Exception) -> str:
    """Return why a file cannot be used, in the system's words."""
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)


def _broken_off(path: str, anew: str) -> JournalError:
    return JournalError(
        f"{path} breaks off before its first call: nothing was sent, so there is nothing to resume or report; to "
        f"delete, {anew}"
    )


def _damaged(path: str, how: str, anew: str) -> JournalError:
    return JournalError(
        f"{path} is damaged: {how}; it can neither be resumed nor reported: put back a whole copy of it, or, to "
        f"delete what is left, {anew}"
    )
