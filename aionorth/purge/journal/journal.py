"""The record of a purge: JSON Lines, append-only, so that it can go on after whatever ended it.

The ids that are to be deleted, a line before the first attempt at each, a line with its outcome. Each line is handed to
the operating system whole before what it announces is done: a process that is killed loses nothing that it knew. The
file gets its name once the ids and the first run's beginning are in it.

======================================================  ========================================================
``{"aionorth": "journal", "version": 2, "kind": …}``    the first line: what, whose, and how many ids will follow
``{"ids": [...]}``                                      ids to delete, some hundred a line
``{"run": time}``                                       a run begins; times are seconds since 1970
``{"begin": id, "at": time}``                           the first attempt of this run at an id is about to be sent
``{"end": id, "at": time, "outcome": …, "calls": …}``   its outcome, and what it took over all runs
======================================================  ========================================================

In each line the last field is ``"crc"``: the CRC-32 of all bytes of the line before it, as eight hexadecimal digits. So
no bit that flips makes it another id. Version 1 had none; a journal goes on in the version in which it was begun.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import attrs

from aionorth import errors
from aionorth.bulk.caller import Deletion
from aionorth.common import files
from aionorth.common.files import StrPath, UntrustedFileError
from aionorth.common.text import shown
from aionorth.errors import CODES, BulkError, JournalError, NorthApiError, NorthError
from aionorth.models import DeleteResult, Kind, Outcome, Target

try:
    import fcntl
except ImportError:  # pragma: no cover - not a POSIX system
    fcntl = None  # type: ignore[assignment]

VERSION = 2
WITHOUT_CHECKSUMS = 1
"""The version before."""
IDS_A_LINE = 500

LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
"""Times before this, from 1970 on, and the days around them, are in the calendar."""

MOST = 10**9
"""More than a journal counts of anything."""

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
        """Take note of an outcome, as a line of a journal tells it; raises `ValueError` or its like for none."""
        self.in_flight = False
        self.outcome = Outcome(_text(line["outcome"]))
        self.error = _error_from_dict(line["error"]) if "error" in line else None
        self.calls = _count(line["calls"])
        self.attempts = _count(line["attempts"])
        self.refusals = _count(line["refusals"])
        self.elapsed = _seconds(line["elapsed"])
        self.in_doubt = _yes(line.get("in_doubt", False))
        self.reply_lost = _yes(line.get("reply_lost", False))
        self.ended_at = _seconds(line["at"])

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

    def __init__(self, file: io.FileIO, path: str, history: History, clock: Clock, version: int = VERSION) -> None:
        """For `create` and `reopen`."""
        self.path = path
        self.history = history
        self._file = file
        self._clock = clock
        self._version = version
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

        A kill leaves no file, or one to go on with. Raises `JournalError` where there is such a file already, or where
        it cannot be written.
        """
        path = os.fspath(path)
        entries = {id_: Entry(id_) for id_ in ids}
        history = History(target=target, selection=selection, duplicates=duplicates, entries=entries, runs=[])
        about = attrs.asdict(target) | {"selection": selection, "total": len(entries), "duplicates": duplicates}
        listed = list(entries)
        lines = [{"ids": listed[at : at + IDS_A_LINE]} for at in range(0, len(listed), IDS_A_LINE)]
        file, unseen, place = _new(path)
        try:
            journal = cls(file, path, history, clock)
            journal._write({"aionorth": "journal", "version": VERSION, **about}, *lines, journal._begin_run())
            try:
                os.fsync(file.fileno())  # a machine that loses power shall not leave the name without the ids
                files.give_name(file.fileno(), unseen, place)
            except OSError as exc:
                raise _not_created(path, exc) from exc
        except BaseException:
            file.close()
            files.drop_unseen(unseen)
            raise
        return journal

    @classmethod
    def reopen(cls, path: StrPath, *, clock: Clock = time.time) -> Journal:
        """Go on with a journal.

        Raises `JournalError` where it is none, is damaged, is not to be trusted, or another process is at work on it.
        """
        path = os.fspath(path)
        file = _opened(path, to_write=True)
        try:
            _lock(file, path)
            content = _content(file, path)
            history, whole, version = _read(content, path)
            journal = cls(file, path, history, clock, version)
            if whole < len(content):  # a torn last line: what it would have said was not known yet
                file.truncate(whole)
            journal._size = whole
            journal._write_bytes(b"" if content[:whole].endswith(b"\n") else b"\n")
            journal._write(journal._begin_run())
        except BaseException:
            file.close()
            raise
        return journal

    def release(self) -> None:
        """End the lock until `take`: a run that has not begun, and perhaps never will, is not at work."""
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def take(self) -> None:
        """Lock the file again; raises `JournalError` where another process is, or has been, at work on it."""
        _lock(self._file, self.path)
        self._see_that_it_is_there()
        if os.fstat(self._file.fileno()).st_size != self._size:
            raise JournalError(f"another process has been at work on {self.path} in the meantime: resume it")

    def _begin_run(self) -> dict[str, Any]:
        """Note that a run begins; returns the line that says so."""
        self.history.runs.append(now := self._clock())
        return {"run": round(now, 3)}

    def close(self) -> None:
        """Close the file, and end the lock, which a child of this process may have inherited."""
        if not self._file.closed:
            self.release()
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
        texts = [json.dumps(line, separators=(",", ":")).encode() for line in lines]
        if self._version != WITHOUT_CHECKSUMS:
            texts = [_sealed(text) for text in texts]
        self._write_bytes(b"".join(text + b"\n" for text in texts))

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
    """Read a journal, also one that a run is at work on.

    Raises `JournalError` where it is none, is damaged, or is not to be trusted.
    """
    path = os.fspath(path)
    with _opened(path, to_write=False) as file:
        return _read(_content(file, path), path)[0]


def check_new(path: StrPath) -> None:
    """Raise `JournalError` if no journal can be created as `path`, because there is a file, or for another reason."""
    file, unseen, _ = _new(os.fspath(path))
    files.drop_unseen(unseen)
    file.close()


# --- Reading


def _read(content: bytes, path: str) -> tuple[History, int, int]:
    """Return the history that `content` tells, how many of its bytes are whole lines, and the version of these."""
    *lines, last = content.split(b"\n")  # what is behind the last line end: nothing, or a line that a kill tore
    if not lines and last and (last.startswith(_BEGINNING) or _BEGINNING.startswith(last)):
        raise _broken_off(path)  # as a kill could leave it while files were not created whole
    history, total, version = _about(lines[0] if lines else last, path)
    parse = _parsed if version == WITHOUT_CHECKSUMS else _unsealed
    whole = len(content)
    if _is_torn(last, version):
        whole -= len(last)
    else:  # nothing but its line end is missing
        lines.append(last)
    for number, line in enumerate(lines[1:], 2):
        try:
            _take(parse(line), history)
        except (IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as exc:
            raise _damaged(path, f"line {number} is not one of a journal") from exc
    if not history.runs:
        raise _broken_off(path)
    if len(history.entries) != total:
        raise _damaged(path, f"it has {len(history.entries):,} of the {total:,} ids of its first line")
    return history, whole, version


def _broken_off(path: str) -> JournalError:
    return JournalError(f"{path} breaks off before its first call: nothing was sent; begin anew, with another file")


def _damaged(path: str, how: str) -> JournalError:
    return JournalError(f"{path} is damaged: {how}; begin anew, with another file")


def _is_torn(last: bytes, version: int) -> bool:
    """Whether what stands behind the last line end is the beginning of a line."""
    if version != WITHOUT_CHECKSUMS:
        # Behind a checksum nothing but a line end is ever written: then it is that which is damaged.
        return _SEAL.search(last) is None
    try:
        _parsed(last)
    except (RecursionError, ValueError):
        return True
    return False


def _take(line: dict[str, Any], history: History) -> None:
    """Add to `history` what a line tells; raises `ValueError` or its like for one that is none."""
    match line:
        case {"ids": [*ids]} if not history.runs:
            for id_ in ids:
                history.entries[_text(id_)] = Entry(id_)
        case {"run": moment}:
            history.runs.append(_seconds(moment))
            history.ends.append(moment)
        case {"begin": id_, "at": moment}:
            history.entries[id_].begin(_seconds(moment))
            history.ends[-1] = moment
        case {"end": id_, "at": moment}:
            history.entries[id_].end(line)
            history.ends[-1] = moment
        case _:
            raise ValueError("not a line of a journal")


def _about(first: bytes, path: str) -> tuple[History, int, int]:
    """Return what the first line of a journal tells: a history without entries, how many will follow, the version."""
    try:
        line = _parsed(first)
    except (RecursionError, ValueError):
        line = {}
    if line.get("aionorth") != "journal":
        raise JournalError(f"{path} is not a journal of aionorth{'' if first else ': it is empty'}")
    version = line.get("version")
    if type(version) is not int or version not in {VERSION, WITHOUT_CHECKSUMS}:
        raise JournalError(f"{path} was written by another version of aionorth: resume it with that")
    try:
        if version != WITHOUT_CHECKSUMS:
            _unsealed(first)
        elif "crc" in line:
            raise ValueError("its version is another one")  # noqa: TRY301 - as for all that is wrong with it
        target = Target(
            kind=Kind(_text(line["kind"])),
            url=_text(line["url"]),
            app_id=_text(line["app_id"]),
            authorized_app_id=None if (other := line["authorized_app_id"]) is None else _text(other),
        )
        selection, duplicates = _text(line.get("selection", "")), _count(line["duplicates"])
        history = History(target=target, selection=selection, duplicates=duplicates, entries={}, runs=[])
        return history, _count(line["total"]), version
    except (KeyError, TypeError, ValueError) as exc:
        raise _damaged(path, "its first line is not that of a journal") from exc


_BEGINNING = b'{"aionorth":"journal",'


def _parsed(line: bytes) -> dict[str, Any]:
    """Return what a line says; raises `ValueError`, or `RecursionError`, for one that says nothing."""
    content = json.loads(line)
    if not isinstance(content, dict):
        raise ValueError("not an object")  # noqa: TRY004 - a value like any other that is none
    return cast("dict[str, Any]", content)


# --- Checksums

_SEAL = re.compile(rb',"crc":"[0-9a-f]{8}"\}')  # nowhere else in a line: quotes within its texts are escaped
_SEAL_LENGTH = 18


def _seal(body: bytes) -> bytes:
    return b',"crc":"%08x"}' % zlib.crc32(body)


def _sealed(line: bytes) -> bytes:
    """Return a line, which is an object with at least one field, with its checksum as the last."""
    body = line[:-1]
    return body + _seal(body)


def _unsealed(line: bytes) -> dict[str, Any]:
    """Return what a line says; raises `ValueError` where it is not as it was written."""
    if line[-_SEAL_LENGTH:] != _seal(line[:-_SEAL_LENGTH]):
        raise ValueError("its checksum is another one")
    return _parsed(line)


# --- Values: whatever a file may hold, nothing else comes in


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - as above
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise ValueError("not a count")
    return value


def _seconds(value: object) -> float:
    if type(value) not in {int, float} or not 0 <= cast("float", value) < LATEST:
        raise ValueError("not a time")
    return cast("float", value)


def _yes(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")  # noqa: TRY004 - as above
    return value


def _error_to_dict(error: NorthError) -> dict[str, Any]:
    if isinstance(error, NorthApiError):
        said = {"status": error.status, "code": error.code, "description": error.description}
    else:
        said = {"message": shown(str(error))}
    return {"type": type(error).__name__} | said


def _error_from_dict(said: dict[str, Any]) -> NorthError:
    kind = getattr(errors, _text(said["type"]), None)
    if not isinstance(kind, type) or not issubclass(kind, NorthError) or issubclass(kind, BulkError):
        kind = NorthError
    if "status" in said:
        code = None if said["code"] is None else _text(said["code"])
        api_error = kind if issubclass(kind, NorthApiError) else CODES.get(code or "", NorthApiError)
        return api_error(_count(said["status"]), code, _text(said["description"]))
    message = shown(_text(said["message"]))
    return NorthError(message) if issubclass(kind, NorthApiError) else kind(message)


# --- The file


def _new(path: str) -> tuple[io.FileIO, str, str]:
    """Return a file that is to be the journal `path`, locked, its temporary name, and where `path` is."""
    try:
        directory, name = os.path.split(path)
        place = os.path.join(files.check_way(directory or os.curdir), name)  # noqa: PTH118 - as it was given
        if _is_there(place):
            raise _exists_already(path)
        descriptor, unseen = files.create_unseen(place)
    except (OSError, ValueError) as exc:
        raise _not_created(path, exc) from exc
    file = io.FileIO(descriptor, "r+")
    try:
        _lock(file, path)
    except BaseException:
        file.close()
        files.drop_unseen(unseen)
        raise
    return file, unseen, place


def _is_there(path: str) -> bool:
    """Whether `path` is the name of something; raises `OSError` or `ValueError` where nothing can be named so."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _not_created(path: str, exc: Exception) -> JournalError:
    if isinstance(exc, FileExistsError):
        return _exists_already(path)
    return JournalError(f"{path} cannot be created ({_reason(exc)}): name another file for the journal")


def _exists_already(path: str) -> JournalError:
    try:
        read(path)
    except JournalError as exc:
        return JournalError(f"{path} exists already: name another file for the journal ({exc})")
    return JournalError(f"{path} exists already: resume it, or name another file for the journal")


def _opened(path: str, *, to_write: bool) -> io.FileIO:
    """Open a journal; raises `JournalError` for what is no file, and for what others may have put there or written."""

    def opener(path: str, flags: int) -> int:
        if to_write:
            flags |= os.O_APPEND
        # A FIFO must not hold it up.
        flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        return os.open(files.check_way(path), flags)

    try:
        file = io.FileIO(path, "r+" if to_write else "r", opener=opener)
        try:
            files.check_own(_regular(file, path), path)
        except BaseException:
            file.close()
            raise
    except UntrustedFileError as exc:
        raise JournalError(f"{path} is not to be trusted: {_reason(exc)}") from exc
    except (OSError, ValueError) as exc:
        raise _not_opened(path, exc, "written to" if to_write else "read") from exc
    return file


def _regular(file: io.FileIO, path: str) -> os.stat_result:
    state = os.fstat(file.fileno())
    if not stat.S_ISREG(state.st_mode):
        raise JournalError(f"{path} is not a regular file: name the journal of a run")
    return state


def _not_opened(path: str, exc: Exception, how: str = "read") -> JournalError:
    return JournalError(f"{path} cannot be {how} ({_reason(exc)}): name the journal of a run")


def _content(file: io.FileIO, path: str) -> bytes:
    try:
        return file.readall()
    except OSError as exc:
        raise _not_opened(path, exc) from exc


def _lock(file: io.FileIO, path: str) -> None:
    if fcntl is None:  # pragma: no cover - not a POSIX system
        raise JournalError("journals need a system with file locks (fcntl): run without one")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}:
            raise JournalError(f"another process is at work on {path}: wait for its end") from exc
        raise JournalError(
            f"{path} cannot be locked ({_reason(exc)}), as on a file system without locks: "
            "have the journal on a local disk"
        ) from exc


def _reason(exc: Exception) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
