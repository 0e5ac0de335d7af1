"""Locks on open files, as a package has them for every system. A lock ends with `unlock`, or with the open file."""

from __future__ import annotations

import errno
import io
import os


class LockError(OSError):
    """A file cannot be locked, and not because another process has done so; `strerror` says why."""


def lock(file: io.FileIO | int) -> None:
    """Lock an open file.

    Raises:
        BlockingIOError: Another process has locked it.
        LockError: It cannot be locked.
    """
    try:
        import portalocker  # noqa: PLC0415 - optional, and slow to import where Redis is installed
    except ImportError as exc:
        raise LockError(errno.ENOSYS, "locks need the package portalocker: pip install 'aionorth[journal]'") from exc
    try:
        portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.AlreadyLocked as exc:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from exc
    except portalocker.LockException as exc:
        number = getattr(exc.__cause__, "errno", None) or errno.EIO
        raise LockError(number, os.strerror(number)) from exc


def unlock(file: io.FileIO) -> None:
    """End the lock on a file, also on what a child of this process has inherited of it."""
    import portalocker  # noqa: PLC0415 - as above

    portalocker.unlock(file)
