"""The journal that a run writes to: created whole, opened where it can be trusted, locked while the run is at work."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import attrs

from aionorth.bulk.record import Record
from aionorth.common import files
from aionorth.common.files import StrPath, UntrustedFileError
from aionorth.errors import JournalError
from aionorth.models import DeleteResult, Target
from aionorth.purge.journal import lines
from aionorth.purge.journal.history import Entry, History, parse
from aionorth.purge.journal.sync import Syncing

try:
    import fcntl
except ImportError:  # pragma: no cover - not a POSIX system
    fcntl = None  # type: ignore[assignment]

IDS_A_LINE = 500

Clock = Callable[[], float]
"""Returns the time in seconds since 1970."""


class Journal:  # more than 15 methods: half of them are what a run asks of its recorder
    """A journal that this process is at work on. One process at a time: the file is locked until `close`.

    Its state: the history so far; the ids that have begun and not ended; the size that the file must have, whether
    writing to it has failed, whether it is closed, and, from `take` on, how much of it is on the disk.
    """

    def __init__(
        self, file: io.FileIO, path: str, history: History, *, clock: Clock, version: int = lines.VERSION, size: int = 0
    ) -> None:
        """For `create` and `reopen`."""
        self.path = path
        self.history = history
        self._file = file
        self._clock = clock
        self._version = version
        self._size = size
        self._broken = False
        self._closed = False
        self._begun = set[str]()
        self._syncing: Syncing | None = None

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
        """Begin a journal in a new file, readable by its owner only. A kill leaves no file, or one to resume.

        Args:
            path: Its name.
            target: What is deleted, and where.
            ids: The distinct ids that are to be deleted.
            selection: How they were selected, in words.
            duplicates: How many were named more than once.
            clock: Returns the time in seconds since 1970.

        Raises:
            JournalError: There is such a file already, or it cannot be written.
        """
        path = os.fspath(path)
        entries = {id_: Entry(id_) for id_ in ids}
        history = History(target=target, selection=selection, duplicates=duplicates, entries=entries, runs=[])
        about = attrs.asdict(target) | {"selection": selection, "total": len(entries), "duplicates": duplicates}
        listed = list(entries)
        of_ids = [{"ids": listed[at : at + IDS_A_LINE]} for at in range(0, len(listed), IDS_A_LINE)]
        file, unseen, place = _new(path)
        try:
            journal = cls(file, path, history, clock=clock)
            first = {"aionorth": "journal", "version": lines.VERSION, **about}
            journal._write(first, *of_ids, journal._begin_run())
            try:
                os.fsync(file.fileno())  # a machine that loses power must not leave the name without the ids
                files.give_name(file.fileno(), unseen, place)
                files.sync_directory(os.path.dirname(place))  # noqa: PTH120 - as it was given
            except OSError as exc:
                raise _not_created(path, exc) from exc
        except BaseException:
            file.close()
            files.drop_unseen(unseen)
            raise
        return journal

    @classmethod
    def reopen(cls, path: StrPath, *, clock: Clock = time.time) -> Journal:
        """Open a journal to resume its purge.

        Raises:
            JournalError: It is none, is damaged, is not to be trusted, or another process is at work on it.
        """
        path = os.fspath(path)
        file = _opened(path, to_write=True)
        try:
            _lock(file, path)
            content = _content(file, path)
            parsed = parse(content, path)
            if parsed.whole < len(content):  # a torn last line: what it would have said was not known yet
                file.truncate(parsed.whole)
            journal = cls(file, path, parsed.history, clock=clock, version=parsed.version, size=parsed.whole)
            journal._write_bytes(b"" if content[: parsed.whole].endswith(b"\n") else b"\n")
            journal._write(journal._begin_run())
        except BaseException:
            file.close()
            raise
        return journal

    def release(self) -> None:
        """End the lock until `take`: a run that has not begun, and perhaps never will, is not at work.

        It is ended explicitly: a child of this process may have inherited the file, and with it the lock.
        """
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def take(self) -> None:
        """Lock the file again; raises `JournalError` where another process is, or has been, at work on it."""
        _lock(self._file, self.path)
        self._check_file()
        if os.fstat(self._file.fileno()).st_size != self._size:
            raise JournalError(f"another process has been at work on {self.path} in the meantime: resume it")
        self._syncing = Syncing(self._file)

    def close(self) -> None:
        """End the lock, and close the file once the rest is on the disk."""
        if self._closed:
            return
        self._closed = True
        self.release()
        if self._syncing is None:
            self._file.close()
        else:
            self._syncing.close(self.path)

    # --- What the runs before did

    @property
    def elapsed(self) -> float:
        """Seconds that the runs before took."""
        return self.history.elapsed

    def finished(self) -> Iterator[tuple[Record, DeleteResult]]:
        """Yield what became of the ids that are known to be gone."""
        return ((entry.record(), entry.result()) for entry in self.history.entries.values() if entry.gone)

    def unfinished(self) -> tuple[str, ...]:
        """Return the other ids."""
        return tuple(entry.id for entry in self.history.entries.values() if not entry.gone)

    def recall(self, id_: str) -> Record:
        """Return what the runs before tried for an id."""
        return self.history.entries[id_].record()

    # --- What this run does

    def begin(self, *ids: str) -> None:
        """Record that the first attempt at each of `ids` is about to be sent."""
        now, entries = self._clock(), self.history.entries
        self._check_file()
        self._write(*({"begin": id_, "at": round(now, 3)} for id_ in ids))
        self._begun.update(ids)
        for id_ in ids:
            entries[id_] = entries[id_].begun(now)

    async def on_disk(self) -> None:
        """Wait until all that was recorded so far is on the disk."""
        assert self._syncing is not None, "a run takes its journal"
        try:
            await self._syncing.wait()
        except (OSError, ValueError) as exc:
            self._broken = True
            raise JournalError(f"{self.path} cannot be brought to the disk ({_reason(exc)}): resume it") from exc

    def end(self, record: Record, result: DeleteResult) -> None:
        """Record what became of an id; of one that has not begun, nothing."""
        if result.id not in self._begun:
            return
        self._begun.remove(result.id)
        line: dict[str, Any] = {
            "end": result.id,
            "at": round(self._clock(), 3),
            "outcome": result.outcome.value,
            "calls": record.calls,
            "attempts": result.attempts,
            "refusals": result.refusals,
            "elapsed": round(result.elapsed, 3),
        }
        line |= {"in_doubt": True} if record.ambiguous or record.in_flight else {}
        line |= {"reply_lost": True} if record.reply_lost or record.in_flight else {}
        if result.error is not None:
            line["error"] = lines.error_to_dict(result.error)
        self._write(line)
        if self._syncing is not None:
            self._syncing.written()
        self.history.entries[result.id] = self.history.entries[result.id].ended(line)

    def _begin_run(self) -> dict[str, Any]:
        """Note that a run begins; returns the line that says so."""
        self.history.runs.append(now := self._clock())
        return {"run": round(now, 3)}

    def _check_file(self) -> None:
        """Raise `JournalError` where somebody has removed or cut the file: what is not recorded is not done."""
        state = os.fstat(self._file.fileno())
        if not state.st_nlink or state.st_size < self._size:
            self._broken = True
            raise JournalError(f"{self.path} has been removed or cut by somebody else while it was written to")

    def _write(self, *of: Mapping[str, Any]) -> None:
        self._write_bytes(b"".join(lines.encode(line, self._version) for line in of))

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

    Raises:
        JournalError: It is none, is damaged, or is not to be trusted.
    """
    path = os.fspath(path)
    with _opened(path, to_write=False) as file:
        return parse(_content(file, path), path).history


def check_new(path: StrPath) -> None:
    """Raise `JournalError` if no journal can be created as `path`, because there is a file, or for another reason."""
    file, unseen, _ = _new(os.fspath(path))
    files.drop_unseen(unseen)
    file.close()


# --- The file


def _opened(path: str, *, to_write: bool) -> io.FileIO:
    """Open a journal; raises `JournalError` for what is no file, and for what others may have put there or written."""

    def opener(path: str, flags: int) -> int:
        if to_write:
            flags |= os.O_APPEND
        # A FIFO must not block.
        flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        return os.open(files.check_way(path), flags)

    try:
        file = io.FileIO(path, "r+" if to_write else "r", opener=opener)
        try:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise JournalError(f"{path} is not a regular file: name the journal of a run")  # noqa: TRY301 - closed below
            files.check_own(state, path)
        except BaseException:
            file.close()
            raise
    except UntrustedFileError as exc:
        raise JournalError(f"{path} is not to be trusted: {_reason(exc)}") from exc
    except (OSError, ValueError) as exc:
        raise _unusable(path, exc, "written to" if to_write else "read") from exc
    return file


def _content(file: io.FileIO, path: str) -> bytes:
    """Return all that is in a journal; raises `JournalError`."""
    try:
        return file.readall()
    except OSError as exc:
        raise _unusable(path, exc, "read") from exc


def _lock(file: io.FileIO, path: str) -> None:
    """Lock a journal; raises `JournalError` where another process has done so."""
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
    """Return why a file cannot be used, in the system's words."""
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)


def _unusable(path: str, exc: Exception, how: str) -> JournalError:
    return JournalError(f"{path} cannot be {how} ({_reason(exc)}): name the journal of a run")


# --- Creation


def _new(path: str) -> tuple[io.FileIO, str, str]:
    """Return a file that is to be the journal `path`, locked, its temporary name, and where `path` is."""
    try:
        directory, name = os.path.split(path)
        place = os.path.join(files.check_way(directory or os.curdir), name)  # noqa: PTH118 - as it was given
        with suppress(FileNotFoundError):
            os.lstat(place)  # it also says which names nothing can have
            raise FileExistsError
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
