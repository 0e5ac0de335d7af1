"""The journal that a run writes to: created whole, opened where it can be trusted, locked while the run is at work."""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from aionorth.bulk.record import UNTRIED, Record
from aionorth.common import files, locks
from aionorth.common.files import StrPath
from aionorth.common.locks import LockError
from aionorth.errors import JournalError
from aionorth.events import Event, Observers
from aionorth.items import Target
from aionorth.models import DeleteResult
from aionorth.purge.journal import lines
from aionorth.purge.journal.entries import Entry, Unfinished
from aionorth.purge.journal.history import SLICE, Reader, reason
from aionorth.purge.journal.reading import opened, read
from aionorth.purge.journal.standing import Standing
from aionorth.purge.journal.sync import Syncing

_log = logging.getLogger("aionorth")

IDS_A_LINE = 500

Clock = Callable[[], float]
"""Returns the time in seconds since 1970."""


READ_AT_ONCE = 4 * SLICE
"""Bytes of a journal that are read when it is opened. The rest is read when the run begins, a slice at a time."""


class Journal:  # more than 12 attributes and 15 methods: half of these are what a run asks of its recorder
    """A journal that this process is at work on. One process at a time: the file is locked until `close`.

    Its state: what reads it, as long as that is not done; what the runs before did; the ids that have begun and not
    ended; where the purge stands; the size that the file must have, whether writing to it has failed, whether it is
    closed, and, from `take` on, how much of it is on the disk.
    """

    def __init__(self, file: io.FileIO, path: str, target: Target, *, clock: Clock, duplicates: int = 0) -> None:
        """For `create` and `open`."""
        self.path = path
        self.target = target
        self.duplicates = duplicates
        self.elapsed = 0.0
        """Seconds that the runs before took."""
        self._file = file
        self._clock = clock
        self._version = lines.VERSION
        self._reader: Reader | None = None
        self._entries: Mapping[str, Entry] = {}
        self._size = 0
        self._broken = False
        self._closed = False
        self._begun = set[str]()
        now = round(clock(), 3)
        self._standing = Standing(began=now, run_began=now)
        self.observers = Observers()
        """Whose events say when an outage begins and ends; listened to while the run is at work."""
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
        ids = ids if isinstance(ids, (list, tuple)) else list(ids)
        about = target.to_dict() | {"selection": selection, "total": len(ids), "duplicates": duplicates}
        file, unseen, place = _new(path)
        try:
            journal = cls(file, path, target, clock=clock, duplicates=duplicates)
            journal._write({"aionorth": "journal", "version": lines.VERSION, **about})
            for at in range(0, len(ids), IDS_A_LINE):
                journal._write({"ids": ids[at : at + IDS_A_LINE]})
            journal._write({"run": journal._standing.run_began})
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
    def open(cls, path: StrPath, *, clock: Clock = time.time) -> Journal:
        """Open a journal to resume its purge. A small one is read now, of a large one only the beginning.

        Raises:
            JournalError: It is none, is damaged, is not to be trusted, or another process is at work on it.
        """
        path = os.fspath(path)
        file = opened(path, to_write=True)
        try:
            _lock(file, path)
            size = os.fstat(file.fileno()).st_size
            reader = Reader(file, path)
            unread = True
            while unread and (size <= READ_AT_ONCE or not reader.begun):
                unread = reader.read_slice()
            history = reader.history
            journal = cls(file, path, history.target, clock=clock, duplicates=history.duplicates)
            journal._reader, journal._size = reader, size
            if not unread:
                journal._resume()
        except BaseException:
            file.close()
            raise
        return journal

    @classmethod
    def reopen(cls, path: StrPath, *, clock: Clock = time.time) -> Journal:
        """Open a journal as `open` does, and read all of it now."""
        journal = cls.open(path, clock=clock)
        try:
            for _ in journal.reading():
                pass
        except BaseException:
            journal.close()
            raise
        return journal

    @property
    def ready(self) -> bool:
        """Whether it is known what the runs before did."""
        return self._reader is None

    def reading(self) -> Iterator[float]:
        """Read what the runs before did; yields, after each slice, which part has been read."""
        if self._reader is None:
            return
        while self._reader.read_slice():
            yield min(1.0, self._file.tell() / max(self._size, 1))
        self._resume()

    def _resume(self) -> None:
        """Note what was read, and that another run begins."""
        assert self._reader is not None
        reader, self._reader = self._reader, None
        history = reader.history
        self._entries, self._version, self.elapsed = history.entries, reader.version, history.elapsed
        if reader.whole < self._size:  # a torn last line: what it would have said was not known yet
            self._file.truncate(reader.whole)
        self._size = reader.whole
        self._write_bytes(b"\n" if reader.lacks_line_end else b"")
        now = round(self._clock(), 3)
        self._standing = Standing(began=history.runs[0], run_began=now)
        self._write({"run": now})

    def release(self) -> None:
        """End the lock until `take`: a run that has not begun, and perhaps never will, is not at work.

        It is ended explicitly: a child of this process may have inherited the file, and with it the lock.
        """
        locks.unlock(self._file)

    def take(self) -> None:
        """Lock the file again; raises `JournalError` where another process is, or has been, at work on it."""
        _lock(self._file, self.path)
        self._check_file()
        if os.fstat(self._file.fileno()).st_size != self._size:
            raise JournalError(f"another process has been at work on {self.path} in the meantime: resume it")
        self._syncing = Syncing(self._file)
        self.observers.add([self])

    def close(self) -> None:
        """End the lock, and close the file once the rest is on the disk."""
        if self._closed:
            return
        self._closed = True
        if self._syncing is not None:
            self.observers.remove([self])
        self.release()
        if self._syncing is None:
            self._file.close()
        else:
            self._syncing.close(self.path)

    # --- What the runs before did

    def finished(self) -> Iterator[Entry]:
        """Yield, and forget, what became of the ids that are known to be gone."""
        left, gone = dict[str, Entry](), 0
        for entry in self._entries.values():
            if entry.gone:
                gone += 1
                yield entry
            else:
                left[entry.id] = entry
        self._entries, self._standing.gone = left, gone

    def unfinished(self) -> Unfinished:
        """Return the other ids, as far as they will be known when they are iterated."""
        return Unfinished(lambda: self._entries)

    def recall(self, id_: str) -> Record:
        """Return what the runs before tried for an id."""
        entry = self._entries.get(id_)
        return UNTRIED if entry is None else entry.record()

    # --- What this run does

    def begin(self, *ids: str) -> None:
        """Record that the first attempt at each of `ids` is about to be sent."""
        now = round(self._clock(), 3)
        self._check_file()
        self._write(*({"begin": id_, "at": now} for id_ in ids))
        self._begun.update(ids)

    async def on_disk(self) -> None:
        """Wait until all that was recorded so far is on the disk."""
        assert self._syncing is not None, "a run takes its journal"
        try:
            await self._syncing.wait()
        except (OSError, ValueError) as exc:
            self._broken = True
            raise JournalError(f"{self.path} cannot be brought to the disk ({reason(exc)}): resume it") from exc

    def end(self, record: Record, result: DeleteResult) -> None:
        """Record what became of an id; of one that has not begun, nothing."""
        if result.id not in self._begun:
            return
        self._begun.remove(result.id)
        if self._standing.gone is not None:
            self._standing.gone += result.ok
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
        self._write_at_leisure(line)

    def run_ended(self, *, stopped: bool, cause: BaseException | None) -> None:
        """Record how the run ended. Where that cannot be written, the last line says when it was alive."""
        with suppress(JournalError):
            self._write_of_run(*self._standing.end(round(self._clock(), 3), stopped=stopped, cause=cause))

    def __call__(self, event: Event) -> None:
        """Record, as an observer, when an outage begins and when it is over."""
        line = self._standing.outage(event, round(self._clock(), 3))
        if line is None or not self.ready:
            return
        try:
            self._write_of_run(line)
        except JournalError as exc:  # it ends the run before the next call
            _log.warning("%s", exc)

    def _write_of_run(self, *of: Mapping[str, Any]) -> None:
        if self._version == lines.VERSION:  # or the version that began the journal could not read it any more
            self._check_file()
            self._write_at_leisure(*of)

    def _write_at_leisure(self, *of: Mapping[str, Any]) -> None:
        """Write lines that need to be on the disk within a second only."""
        self._write(*of)
        if self._syncing is not None:
            self._syncing.written()

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
            raise JournalError(f"{self.path} cannot be written to ({reason(exc)}): make room, then resume it") from exc


def check_new(path: StrPath) -> None:
    """Raise `JournalError` if no journal can be created as `path`, because there is a file, or for another reason."""
    file, unseen, _ = _new(os.fspath(path))
    file.close()
    files.drop_unseen(unseen)


# --- The file


@contextmanager
def locked(path: str) -> Generator[io.FileIO, None, None]:
    """Keep runs from a journal while the block runs; raises `JournalError` where one is at work on it."""
    with opened(path, to_write=os.access(path, os.W_OK)) as file:
        _lock(file, path)
        yield file


def _lock(file: io.FileIO, path: str) -> None:
    """Lock a journal; raises `JournalError` where another process has done so."""
    try:
        locks.lock(file)
    except BlockingIOError as exc:
        raise JournalError(f"another process is at work on {path}: wait for its end") from exc
    except LockError as exc:
        raise _not_locked(path, exc) from exc


def _not_locked(path: str, exc: LockError) -> JournalError:
    said = f"{path} cannot be locked ({reason(exc)})"
    if isinstance(exc.__cause__, ImportError):  # which says what to do
        return JournalError(said)
    return JournalError(f"{said}, as on a file system without locks: have the journal on a local disk")


# --- Creation


def _new(path: str) -> tuple[io.FileIO, str, str]:
    """Return a file that is to be the journal `path`, locked, its temporary name, and where `path` is."""
    try:
        directory, name = os.path.split(path)
        place = os.path.join(files.check_way(directory or os.curdir), name)  # noqa: PTH118 - as it was given
        with suppress(FileNotFoundError):
            os.lstat(place)  # it also says which names nothing can have
            raise FileExistsError
        descriptor, unseen = files.create_unseen(place, locked=True)
    except LockError as exc:
        raise _not_locked(path, exc) from exc
    except (OSError, ValueError) as exc:
        raise _not_created(path, exc) from exc
    return io.FileIO(descriptor, "r+"), unseen, place


def _not_created(path: str, exc: Exception) -> JournalError:
    if isinstance(exc, FileExistsError):
        return _exists_already(path)
    return JournalError(f"{path} cannot be created ({reason(exc)}): name another file for the journal")


def _exists_already(path: str) -> JournalError:
    try:
        read(path)
    except JournalError as exc:
        return JournalError(f"{path} exists already: name another file for the journal ({exc})")
    return JournalError(f"{path} exists already: resume it, or name another file for the journal")
