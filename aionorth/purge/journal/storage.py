"""The file of a journal: opened where it can be trusted, and locked."""

from __future__ import annotations

import errno
import io
import os
import stat

from aionorth.common import files
from aionorth.common.files import UntrustedFileError
from aionorth.errors import JournalError

try:
    import fcntl
except ImportError:  # pragma: no cover - not a POSIX system
    fcntl = None  # type: ignore[assignment]


def opened(path: str, *, to_write: bool) -> io.FileIO:
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
            files.check_own(_regular(file, path), path)
        except BaseException:
            file.close()
            raise
    except UntrustedFileError as exc:
        raise JournalError(f"{path} is not to be trusted: {reason(exc)}") from exc
    except (OSError, ValueError) as exc:
        raise _unusable(path, exc, "written to" if to_write else "read") from exc
    return file


def content(file: io.FileIO, path: str) -> bytes:
    """Return all that is in a journal; raises `JournalError`."""
    try:
        return file.readall()
    except OSError as exc:
        raise _unusable(path, exc, "read") from exc


def lock(file: io.FileIO, path: str) -> None:
    """Lock a journal; raises `JournalError` where another process has done so."""
    if fcntl is None:  # pragma: no cover - not a POSIX system
        raise JournalError("journals need a system with file locks (fcntl): run without one")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}:
            raise JournalError(f"another process is at work on {path}: wait for its end") from exc
        raise JournalError(
            f"{path} cannot be locked ({reason(exc)}), as on a file system without locks: "
            "have the journal on a local disk"
        ) from exc


def unlock(file: io.FileIO) -> None:
    """End the lock, which a child of this process may have inherited."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_UN)


def reason(exc: Exception) -> str:
    """Return why a file cannot be used, in the system's words."""
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)


def _regular(file: io.FileIO, path: str) -> os.stat_result:
    state = os.fstat(file.fileno())
    if not stat.S_ISREG(state.st_mode):
        raise JournalError(f"{path} is not a regular file: name the journal of a run")
    return state


def _unusable(path: str, exc: Exception, how: str) -> JournalError:
    return JournalError(f"{path} cannot be {how} ({reason(exc)}): name the journal of a run")
