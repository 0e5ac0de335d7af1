"""The record of a purge: JSON Lines, append-only, so that it can go on after whatever ended it.

The ids that are to be deleted, a line before the first attempt at each, a line with its outcome. Each line is handed to
the operating system whole before what it announces is done: a process that is killed loses nothing that it knew.

======================================================  ========================================================
``{"aionorth": "journal", "version": 1, "kind": …}``    the first line: what, whose, and how many ids will follow
``{"ids": [...]}``                                      ids to delete, some hundred a line
``{"run": time}``                                       a run begins; times are seconds since 1970
``{"begin": id, "at": time}``                           the first attempt of this run at an id is about to be sent
``{"end": id, "at": time, "outcome": …, "calls": …}``   its outcome, and what it took over all runs
======================================================  ========================================================
"""

from __future__ import annotations

import io
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from aionorth import errors
from aionorth.calls import Deletion
from aionorth.errors import CODES, JournalError, NorthApiError, NorthError
from aionorth.models import DeleteResult, Kind, Outcome, Target
from aionorth.transport import StrPath

try:
    import fcntl
except ImportError:  # pragma: no cover - not a POSIX system
    fcntl = None  # type: ignore[assignment]

VERSION = 1
IDS_A_LINE = 500

Clock = Callable[[], float]
"""Tells the time in seconds since 1970."""


@attrs.define(eq=False)
class Entry:
    """What a journal knows of one id."""

    id: str
    outcome: Outcome | None = None
    """The last outcome; None before there is one."""
    error: NorthError | None = None
    calls: int = 0
    """Calls made, over all runs, but for one that is in flight."""
    attempts: int = 0
    refusals: int = 0
    elapsed: float = 0.0
    """Seconds that the last run took over it."""
    in_doubt: bool = False
    """Whether an attempt may have taken effect without a clear word about it."""
    reply_lost: bool = False
    began_at: float | None = None
    """When its first attempt was sent, in seconds since 1970; None where none was."""
    ended_at: float | None = None
    """When it got its last outcome."""
    in_flight: bool = False
    """Whether it has begun and not ended: so it is while a run is at it, and stays where the run was killed."""

    def begin(self, at: float) -> None:
        """Take note that a run's first attempt is about to be sent."""
        if self.in_flight:  # begun twice: a kill cut the first one short
            self.calls += 1
            self.attempts += 1
            self.in_doubt = self.reply_lost = True
        self.in_flight = True
        self.began_at = at if self.began_at is None else self.began_at

    def end(self, line: Mapping[str, Any]) -> None:
        """Take note of an outcome, as a line of a journal tells it."""
        self.in_flight = False
        self.outcome = Outcome(line["outcome"])
        self.error = _error_from_dict(line["error"]) if "error" in line else None
        self.calls = int(line["calls"])
        self.attempts = int(line["attempts"])
        self.refusals = int(line["refusals"])
        self.elapsed = float(line["elapsed"])
        self.in_doubt = bool(line.get("in_doubt"))
        self.reply_lost = bool(line.get("reply_lost"))
        self.ended_at = float(line["at"])

    @property
    def all_calls(self) -> int:
        """Calls made, with the one in flight, which a kill may have cut short."""
        return self.calls + self.in_flight

    @property
    def gone(self) -> bool:
        """Whether it is known not to be on the platform any more: then it is not called again."""
        return not self.in_flight and self.outcome is not None and self.outcome.ok

    def final_outcome(self) -> Outcome:
        """What became of the id, as far as the journal tells."""
        if self.in_flight:
            return Outcome.UNKNOWN
        return self.outcome or Outcome.SKIPPED

    def result(self) -> DeleteResult:
        """The entry as a run's result; an attempt that a kill cut short counts, and has left no error."""
        error = None if self.in_flight else self.error
        attempts = self.attempts + self.in_flight
        return DeleteResult(self.id, self.final_outcome(), error, attempts, self.refusals, self.elapsed)


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
        """Seconds that the runs were at work, as far as the journal tells."""
        return sum(max(0.0, end - began) for began, end in zip(self.runs, self.ends, strict=False))

    @property
    def gone(self) -> int:
        """How many ids are known not to be on the platform any more."""
        return sum(entry.gone for entry in self.entries.values())

    def results(self) -> Iterator[DeleteResult]:
        """What became of every id, as far as the journal tells."""
        return (entry.result() for entry in self.entries.values())


class Journal:
    """A journal that this process is at work on. One process at a time: the file is locked until `close`."""

    def __init__(self, file: io.FileIO, path: str, history: History, clock: Clock) -> None:
        """For `create` and `reopen`."""
        self.path = path
        self.history = history
        self._file = file
        self._clock = clock
        self._broken = False
        self._size = 0

    @classmethod
    def create(
        cls,
        path: StrPath,
        target: Target,
        ids: Iterable[str],
        *,
        selection: str = "",
        duplicates: int = 0,
        clock: Clock = time.time,
    ) -> Journal:
        """Begin a journal in a new file, readable by its owner only, with the distinct `ids` that are to be deleted.

        Raises `JournalError` where there is such a file already, or where it cannot be written.
        """
        path = os.fspath(path)
        entries = {id_: Entry(id_) for id_ in ids}
        history = History(target=target, selection=selection, duplicates=duplicates, entries=entries, runs=[])
        try:
            file = open(path, "xb", buffering=0, opener=_owner_only)  # noqa: SIM115 - stays open as long as the journal
        except FileExistsError:
            raise JournalError(f"{path} exists already: resume it, or name another file for the journal") from None
        except (OSError, ValueError) as exc:
            raise JournalError(f"{path} cannot be created ({_reason(exc)}): name another file for the journal") from exc
        journal = cls(file, path, history, clock)
        about = attrs.asdict(target) | {"selection": selection, "total": len(entries), "duplicates": duplicates}
        listed = list(entries)
        lines = [{"ids": listed[at : at + IDS_A_LINE]} for at in range(0, len(listed), IDS_A_LINE)]
        try:
            journal._lock()
            # All in one go: hardly ever does a kill leave a file that breaks off before its first run.
            journal._write({"aionorth": "journal", "version": VERSION, **about}, *lines, journal._begin_run())
        except BaseException:
            file.close()
            Path(path).unlink()
            raise
        return journal

    @classmethod
    def reopen(cls, path: StrPath, *, clock: Clock = time.time) -> Journal:
        """Go on with a journal; raises `JournalError` where it is none, is damaged, or another process is at it."""
        path = os.fspath(path)
        try:
            file = open(path, "r+b", buffering=0, opener=_appending)  # noqa: SIM115 - as above
        except (OSError, ValueError) as exc:
            raise JournalError(f"{path} cannot be opened ({_reason(exc)}): name the journal of a run") from exc
        try:
            journal = cls(file, path, _NOTHING, clock)
            journal._lock()
            content = _regular(file, path).readall()
            journal.history, whole = _read(content, path)
            if whole < len(content):  # a torn last line: what it would have said was not known yet
                file.truncate(whole)
            journal._size = whole
            journal._write_bytes(b"" if content[:whole].endswith(b"\n") else b"\n")
            journal._write(journal._begin_run())
        except BaseException:
            file.close()
            raise
        return journal

    def _lock(self) -> None:
        if fcntl is None:  # pragma: no cover - not a POSIX system
            raise JournalError("journals need a system with file locks (fcntl): run without one")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise JournalError(f"another process is at work on {self.path}: wait for its end") from exc

    def _begin_run(self) -> dict[str, Any]:
        """Note that a run begins; returns the line that says so."""
        self.history.runs.append(now := self._clock())
        return {"run": round(now, 3)}

    def close(self) -> None:
        """Close the file, and end the lock, which a child of this process may have inherited."""
        if not self._file.closed:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()

    # --- What a run tells it

    def recall(self, deletion: Deletion) -> None:
        """Tell `deletion` what earlier runs did about its id, and that this journal is to hear of it."""
        entry = self.history.entries[deletion.id]
        deletion.recorder = self
        deletion.calls = entry.all_calls
        deletion.refusals = entry.refusals
        deletion.token_refusals = entry.calls - entry.attempts - entry.refusals
        deletion.doubt = entry.in_doubt or entry.in_flight
        deletion.reply_lost = entry.reply_lost or entry.in_flight
        deletion.by_batch = entry.began_at is not None and not deletion.calls
        deletion.error = entry.error

    def begun(self, *ids: str) -> None:
        """Record that the first attempt at each of `ids` is about to be sent."""
        now = self._clock()
        self._see_that_it_is_there()
        self._write(*({"begin": id_, "at": round(now, 3)} for id_ in ids))
        for id_ in ids:
            self.history.entries[id_].begin(now)

    def _see_that_it_is_there(self) -> None:
        """Raise `JournalError` where somebody has removed or cut the file: what is not recorded is not done."""
        state = os.fstat(self._file.fileno())
        if not state.st_nlink or state.st_size < self._size:
            self._broken = True
            raise JournalError(f"{self.path} has been removed or cut by somebody else while it was written to")

    def ended(self, deletion: Deletion, result: DeleteResult) -> None:
        """Record an outcome."""
        line: dict[str, Any] = {
            "end": result.id,
            "at": round(self._clock(), 3),
            "outcome": result.outcome.value,
            "calls": deletion.calls,
            "attempts": result.attempts,
            "refusals": result.refusals,
            "elapsed": round(result.elapsed, 3),
        }
        line |= {"in_doubt": True} if deletion.doubt or deletion.in_flight else {}
        line |= {"reply_lost": True} if deletion.reply_lost or deletion.in_flight else {}
        if result.error is not None:
            line["error"] = _error_to_dict(result.error)
        self._write(line)
        self.history.entries[result.id].end(line)

    def _write(self, *lines: dict[str, Any]) -> None:
        self._write_bytes(b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines))

    def _write_bytes(self, data: bytes) -> None:
        if self._broken:  # after half a line nothing must follow
            raise JournalError(f"{self.path} could not be written to before: see what it said then")
        try:
            while data:
                written = self._file.write(data)
                self._size += written
                data = data[written:]
        except (OSError, ValueError) as exc:
            self._broken = True
            raise JournalError(f"{self.path} cannot be written to ({_reason(exc)}): make room, then resume it") from exc


def read(path: StrPath) -> History:
    """Read a journal, also one that a run is at work on; raises `JournalError` where it is none, or damaged."""
    path = os.fspath(path)
    try:
        with open(path, "rb", buffering=0, opener=_not_waiting) as file:
            return _read(_regular(file, path).readall(), path)[0]
    except OSError as exc:
        raise JournalError(f"{path} cannot be read ({_reason(exc)}): name the journal of a run") from exc


# --- Reading


_NOTHING = History(target=Target(kind=Kind.PACKAGES, url="", app_id=""), duplicates=0, entries={}, runs=[])


def _read(content: bytes, path: str) -> tuple[History, int]:
    """Return the history that `content` tells, and how many of its bytes are whole lines."""
    lines = content.split(b"\n")
    last = lines.pop()  # what is behind the last line end: nothing, or a line that a kill tore
    parsed = [_parsed(line) for line in lines]
    whole = len(content) - len(last)
    if (torn := _parsed(last)) is not None:  # nothing but its line end is missing
        parsed.append(torn)
        whole = len(content)
    history, total = _about(parsed[0] if parsed else None, path)
    for number, line in enumerate(parsed[1:], 2):
        try:
            _take(line or {}, history)
        except (IndexError, KeyError, OverflowError, TypeError, ValueError) as exc:
            raise JournalError(f"{path} is damaged: line {number} is not one of a journal") from exc
    if not history.runs:
        raise JournalError(f"{path} breaks off before its first call: nothing was sent; begin anew, with another file")
    if len(history.entries) != total:
        raise JournalError(f"{path} is damaged: it has {len(history.entries):,} of the {total:,} ids of its first line")
    return history, whole


def _take(line: dict[str, Any], history: History) -> None:
    match line:
        case {"ids": [*ids]} if not history.runs:
            history.entries.update((id_, Entry(id_)) for id_ in map(str, ids))
        case {"run": moment}:
            history.runs.append(float(moment))
            history.ends.append(float(moment))
        case {"begin": id_, "at": moment}:
            history.entries[id_].begin(float(moment))
            history.ends[-1] = float(moment)
        case {"end": id_, "at": moment}:
            history.entries[id_].end(line)
            history.ends[-1] = float(moment)
        case _:
            raise ValueError("not a line of a journal")


def _about(line: dict[str, Any] | None, path: str) -> tuple[History, int]:
    """Return what the first line of a journal tells: a history without entries yet, and how many will follow."""
    if line is None or line.get("aionorth") != "journal":
        raise JournalError(f"{path} is not a journal of aionorth")
    if line.get("version") != VERSION:
        raise JournalError(f"{path} was written by another version of aionorth: resume it with that")
    try:
        target = Target(
            kind=Kind(line["kind"]),
            url=line["url"],
            app_id=line["app_id"],
            authorized_app_id=line["authorized_app_id"],
        )
        selection, duplicates = str(line.get("selection", "")), int(line["duplicates"])
        history = History(target=target, selection=selection, duplicates=duplicates, entries={}, runs=[])
        return history, int(line["total"])
    except (KeyError, TypeError, ValueError) as exc:
        raise JournalError(f"{path} is damaged: its first line is not that of a journal") from exc


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", content) if isinstance(content, dict) else None


def _error_to_dict(error: NorthError) -> dict[str, Any]:
    if isinstance(error, NorthApiError):
        said = {"status": error.status, "code": error.code, "description": error.description}
    else:
        said = {"message": str(error)}
    return {"type": type(error).__name__} | said


def _error_from_dict(said: dict[str, Any]) -> NorthError:
    kind = getattr(errors, str(said["type"]), None)
    if "status" in said:
        api_error = kind if isinstance(kind, type) and issubclass(kind, NorthApiError) else None
        return (api_error or CODES.get(said["code"], NorthApiError))(said["status"], said["code"], said["description"])
    other = kind if isinstance(kind, type) and issubclass(kind, NorthError) else NorthError
    return other(said["message"])


# --- The file


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_APPEND, 0o600)


def _appending(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_APPEND | getattr(os, "O_NONBLOCK", 0))  # a FIFO must not hold it up


def _not_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _regular(file: io.FileIO, path: str) -> io.FileIO:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise JournalError(f"{path} is not a regular file: name the journal of a run")
    return file


def _reason(exc: Exception) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
