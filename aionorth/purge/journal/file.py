"""The file that a journal is kept in: created whole, opened where it can be trusted, locked while a run is at work."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress

from aionorth.common import files, locks
from aionorth.common.files import StrPath
from aionorth.common.locks import LockError
from aionorth.errors import JournalError
from aionorth.purge.journal.history import FileReader, Reader, reason
from aionorth.purge.journal.reading import opened, read
from aionorth.purge.journal.sync import Syncing

_log = logging.getLogger("aionorth")


class JournalFile:
    """A file that this process adds lines to. It is locked until `close`.

    Its state: the size that the file must have, whether writing to it has failed, and, from `take` on, how much of it
    is on the disk.
    """

    def __init__(self, file: io.FileIO, path: str) -> None:
        """For `created` and `open`."""
        self.name = path
        self._file = file
        self._size = 0
        self._broken = False
        self._syncing: Syncing | None = None

    @classmethod
    def open(cls, path: str) -> tuple[JournalFile, FileReader]:
        """Open and lock a file, and return it with what reads it. Raises `JournalError`."""
        file = opened(path, to_write=True)
        try:
            _lock(file, path)
            medium = cls(file, path)
            medium._size = os.fstat(file.fileno()).st_size
            return medium, FileReader(file, path)
        except BaseException:
            file.close()
            raise

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self._size

    def mend(self, reader: Reader) -> None:
        """Remove a torn last line, or add the line end that the last one lacks."""
        if reader.whole < self._size:  # torn: what it would have said was not known yet
            self._file.truncate(reader.whole)
        self._size = reader.whole
        self.write(b"\n" if reader.lacks_line_end else b"")

    def release(self) -> None:
        """End the lock until `take`.

        It is ended explicitly: a child of this process may have inherited the file, and with it the lock.
        """
        locks.unlock(self._file)

    def take(self) -> None:
        """Lock the file again; raises `JournalError` where another process is, or has been, at work on it."""
        _lock(self._file, self.name)
        self.check()
        if os.fstat(self._file.fileno()).st_size != self._size:
            raise JournalError(f"another process has been at work on {self.name} in the meantime: resume it")
        loop = asyncio.get_running_loop()
        self._syncing = Syncing(lambda: loop.run_in_executor(None, _sync, self._file))

    def check(self) -> None:
        """Raise `JournalError` where somebody has removed or cut the file."""
        state = os.fstat(self._file.fileno())
        if not state.st_nlink or state.st_size < self._size:
            self._broken = True
            raise JournalError(f"{self.name} has been removed or cut by somebody else while it was written to")

    def write(self, data: bytes) -> None:
        """Hand lines to the operating system; raises `JournalError`."""
        if self._broken:  # after half a line nothing must follow
            raise JournalError(f"{self.name} could not be written to before: see what it said then")
        try:
            while data:
                written = self._file.write(data)
                self._size += written
                data = data[written:]
        except (OSError, ValueError) as exc:
            self._broken = True
            raise JournalError(f"{self.name} cannot be written to ({reason(exc)}): make room, then resume it") from exc

    def written(self) -> None:
        """Have what was written on the disk within a second."""
        if self._syncing is not None:
            self._syncing.written()

    async def permanent(self) -> None:
        """Wait until all that was written so far is on the disk; raises `JournalError`."""
        assert self._syncing is not None, "a run takes its journal"
        try:
            await self._syncing.wait()
        except (OSError, ValueError) as exc:
            self._broken = True
            raise JournalError(f"{self.name} cannot be brought to the disk ({reason(exc)}): resume it") from exc

    def close(self) -> None:
        """End the lock, and close the file once the rest is on the disk."""
        self.release()
        if self._syncing is None or not self._syncing.close():
            self._file.close()
            return
        try:
            asyncio.get_running_loop().run_in_executor(None, _close, self._file, self.name)
        except RuntimeError:  # the loop has ended or is about to, and has no threads any more
            _close(self._file, self.name)


@contextmanager
def created(path: str) -> Generator[JournalFile, None, None]:
    """Create a locked file, which gets its name once the block has ended, with all that was written to it by then.

    Raises `JournalError`. A block that raises leaves no file.
    """
    file, unseen, place = _new(path)
    try:
        try:
            yield JournalFile(file, path)
        except JournalError as exc:
            if isinstance(exc.__cause__, OSError):  # from writing: there is nothing yet to resume
                raise _not_created(path, exc.__cause__) from exc
            raise
        try:
            os.fsync(file.fileno())  # a machine that loses power must not leave the name without the content
            files.give_name(file.fileno(), unseen, place)
            files.sync_directory(os.path.dirname(place))  # noqa: PTH120 - as it was given
        except OSError as exc:
            raise _not_created(path, exc) from exc
    except BaseException:
        file.close()
        files.drop_unseen(unseen)
        raise


def check_new(path: StrPath) -> None:
    """Raise `JournalError` if no journal can be created as `path`, because there is a file, or for another reason."""
    file, unseen, _ = _new(os.fspath(path))
    file.close()
    files.drop_unseen(unseen)


# --- The file


def _sync(file: io.FileIO) -> None:
    getattr(os, "fdatasync", os.fsync)(file.fileno())


def _close(file: io.FileIO, name: str) -> None:
    try:
        _sync(file)
    except OSError as exc:
        _log.warning("the end of %s may be lost if the machine loses power (%s)", name, exc.strerror)
    finally:
        file.close()


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
    room = "make room, or " if getattr(exc, "errno", None) in {errno.ENOSPC, errno.EDQUOT} else ""
    return JournalError(f"{path} cannot be created ({reason(exc)}): {room}name another file for the journal")


def _exists_already(path: str) -> JournalError:
    try:
        read(path)
    except JournalError as exc:
        return JournalError(f"{path} exists already: name another file for the journal ({exc})")
    return JournalError(f"{path} exists already: resume it, or name another file for the journal")
