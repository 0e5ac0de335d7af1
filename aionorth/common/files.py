"""Files that must be trusted, and files that appear whole or not at all.

A file that holds secrets, or that is believed, is refused if another user could have put it there. All checks but those
of links need a POSIX system; on Windows, where the user's own directories are closed to others, they find nothing.

A file that must be whole gets its name only when its content is complete. A process that is killed before leaves
nothing, or, where a file cannot be without a name, a temporary one that the next writer in the directory removes.
"""

from __future__ import annotations

import errno
import os
import secrets
import shlex
import stat
import sys
from contextlib import suppress
from pathlib import Path

from aionorth.common import locks

StrPath = str | os.PathLike[str]

MAX_LINKS = 40
"""Links on the way to a file that are followed, as in Linux."""

_WRITERS = stat.S_IWGRP | stat.S_IWOTH


class UntrustedFileError(OSError):
    """A file or directory that another user owns, can write to, or may have linked to; `strerror` says which."""

    def __init__(self, reason: str, path: StrPath) -> None:
        super().__init__(errno.EPERM, reason, os.fspath(path))


def check_own(state: os.stat_result, path: StrPath, *, private: bool = False) -> None:
    """Raise `UntrustedFileError` unless the file with this `state` is the user's own, and writable by no other user.

    With `private` it must not be readable by others either.
    """
    if os.name != "posix":
        return
    check_owner(state, path)
    name = shlex.quote(os.fspath(path))
    if state.st_mode & _WRITERS:
        raise UntrustedFileError(f"other users can write to it: chmod go-w {name}", path)
    if private and state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UntrustedFileError(f"other users can read it: chmod 600 {name}", path)


def check_owner(state: os.stat_result, path: StrPath) -> None:
    """Raise `UntrustedFileError` unless the file with this `state` is the user's own."""
    if not is_own(state):
        raise UntrustedFileError(f"it belongs to another user (uid {state.st_uid})", path)


def is_own(state: os.stat_result) -> bool:
    """Whether the file with this `state` belongs to the user, as far as the system says."""
    return sys.platform == "win32" or state.st_uid == os.geteuid()


def check_own_directory(path: StrPath) -> None:
    """Raise `UntrustedFileError` unless `path` is the user's own directory, and writable by no other user."""
    check_way(path)
    state = Path(path).stat()
    if not stat.S_ISDIR(state.st_mode):
        raise UntrustedFileError("it is not a directory", path)
    check_own(state, path)


def check_own_file(path: StrPath) -> None:
    """Raise `UntrustedFileError` if `path` exists and is not a regular file of the user's own."""
    try:
        state = Path(path).lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(state.st_mode):
        raise UntrustedFileError("it is a link", path)
    if not stat.S_ISREG(state.st_mode):
        raise UntrustedFileError("it is not a regular file", path)
    check_own(state, path)


def check_way(path: StrPath) -> str:
    """Return `path` with its links resolved, to be opened with ``O_NOFOLLOW``: then no later link is followed.

    Raises:
        UntrustedFileError: A link on the way to it, or at its end, may be another user's: one that neither the user nor
            root owns, or one in a directory in which other users can write.
    """
    at, *rest = map(Path, Path(path).absolute().parts)
    links = 0
    while rest:
        directory, name = at, rest.pop(0)
        at = directory.parent if str(name) == ".." else directory / name
        try:
            state = at.lstat()
        except OSError:
            return os.fspath(at.joinpath(*rest))  # opening it will say what is wrong
        if not stat.S_ISLNK(state.st_mode):
            continue
        writers = stat.S_IWOTH if is_own(state) else _WRITERS
        trusted = is_own(state) or state.st_uid == 0
        if os.name == "posix" and not (trusted and not directory.stat().st_mode & writers):
            raise UntrustedFileError(f"{at} is a link that another user may have put there", path)
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
        at, *steps = map(Path, (directory / at.readlink()).parts)
        rest = steps + rest
    return os.fspath(at)


# --- Whole or not at all


RENAMES_OPEN_FILES = sys.platform != "win32"
"""Whether a file that is open can get another name, and lose one."""


def create_unseen(path: StrPath, mode: int = 0o600, *, locked: bool = False) -> tuple[int, str]:
    """Create a file in the directory of `path`, which gets that name by `give_name` or `put_in_place`.

    It is open for reading and appending, and locked where it can be.

    Args:
        path: The name that it is to get.
        mode: Its permissions.
        locked: Whether it must be locked.

    Returns:
        Its descriptor, and its temporary name, which is empty where the system can have a file without one.

    Raises:
        OSError: It cannot be created, or, as a `LockError`, locked.
    """
    directory = os.path.dirname(path) or os.curdir  # noqa: PTH120 - Path would lose a ".."
    _remove_leftovers(directory)
    while True:
        descriptor, name = _created(directory, _temporary_name(path), mode)
        try:
            locks.lock(descriptor)
        except OSError:
            if locked and not _lost(descriptor, name):
                os.close(descriptor)
                drop_unseen(name)
                raise
        if not _lost(descriptor, name):
            return descriptor, name
        os.close(descriptor)  # another process removed it as a leftover before it was locked


def _created(directory: str, name: str, mode: int) -> tuple[int, str]:
    """Create a file in `directory`, without a name where that can be; returns its descriptor, and its name."""
    flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)
    if sys.platform == "linux" and hasattr(os, "O_TMPFILE") and os.access(_DESCRIPTORS, os.X_OK):
        with suppress(OSError):  # the file system cannot do that, or the attempt below says what is wrong
            return os.open(directory, flags | os.O_TMPFILE, mode), ""
    return os.open(name, flags | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode), name


def _lost(descriptor: int, name: str) -> bool:
    return bool(name) and not os.fstat(descriptor).st_nlink


def give_name(descriptor: int, name: str, path: StrPath) -> None:
    """Name the file that `create_unseen` returned `path`; raises `FileExistsError` where that exists."""
    if not name:
        os.link(f"{_DESCRIPTORS}/{descriptor}", path, src_dir_fd=descriptor)  # or it would be a link to a link
        return
    try:
        os.link(name, path)
    except FileExistsError:
        raise
    except OSError:
        # The file system has no hard links: the name is reserved first, and a kill in between leaves an empty file.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        Path(name).replace(path)
    else:
        drop_unseen(name)


def put_in_place(descriptor: int, name: str, path: StrPath) -> None:
    """Name the file that `create_unseen` returned `path`; one that exists is replaced.

    Where open files cannot be renamed it must have been closed.
    """
    if not name:
        try:
            give_name(descriptor, name, path)
        except FileExistsError:
            name = _temporary_name(path)
            give_name(descriptor, "", name)
        else:
            return
    try:
        Path(name).replace(path)
    except OSError:
        drop_unseen(name)
        raise


def sync_directory(path: StrPath) -> None:
    """Bring the names in a directory to the disk, where the system can do so for directories."""
    try:
        descriptor = os.open(path or os.curdir, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except PermissionError:  # as for a directory that may be written to, but not read
        return
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in {errno.EINVAL, errno.EBADF}:  # a file system that cannot do that
            raise
    finally:
        os.close(descriptor)


def drop_unseen(name: str) -> None:
    """Remove the temporary name of what `create_unseen` returned, if it has one."""
    if name:
        with suppress(OSError):
            Path(name).unlink()


_DESCRIPTORS = "/proc/self/fd"


def _temporary_name(path: StrPath) -> str:
    return os.path.join(os.path.dirname(path), f".aionorth-{secrets.token_hex(8)}.tmp")  # noqa: PTH118, PTH120 - as above


def _remove_leftovers(directory: str) -> None:
    """Remove the files that killed processes have left in `directory`: those that no process has locked."""
    with suppress(OSError):
        for entry in Path(directory).glob(".aionorth-*.tmp"):
            with suppress(OSError):
                descriptor = os.open(entry, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
                try:
                    state = os.fstat(descriptor)
                    if not stat.S_ISREG(state.st_mode) or not is_own(state):
                        continue
                    locks.lock(descriptor)
                    if RENAMES_OPEN_FILES:
                        entry.unlink()
                finally:
                    os.close(descriptor)
                if not RENAMES_OPEN_FILES:  # where no file is removed that another process has open
                    entry.unlink()
