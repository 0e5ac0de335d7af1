"""Files that hold secrets, or that are believed: what another user of the machine could have put there is refused.

All checks but those of links need a POSIX system; on others they find nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST_LINKS = 40
"""Links on the way to a file that are followed, as Linux has it."""

_WRITERS = stat.S_IWGRP | stat.S_IWOTH


class UntrustedFileError(OSError):
    """A file or directory that another user owns, can write to, or has put a link to; `strerror` says which."""

    def __init__(self, reason: str, path: str | os.PathLike[str]) -> None:
        super().__init__(errno.EPERM, reason, os.fspath(path))


def check_own(state: os.stat_result, path: str | os.PathLike[str], *, private: bool = False) -> None:
    """Raise `UntrustedFileError` unless what `state` tells of is the user's own and only the user can write to it.

    With `private` nobody else may be able to read it either.
    """
    if os.name != "posix":
        return
    if state.st_uid != os.geteuid():
        raise UntrustedFileError("it belongs to another user", path)
    if state.st_mode & _WRITERS:
        raise UntrustedFileError("other users can write to it: chmod go-w", path)
    if private and state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UntrustedFileError("other users can read it: chmod 600", path)


def check_own_directory(path: str | os.PathLike[str]) -> None:
    """Raise `UntrustedFileError` unless `path` is a directory of the user's own that only the user can write to."""
    check_way(path)
    state = Path(path).stat()
    if not stat.S_ISDIR(state.st_mode):
        raise UntrustedFileError("it is not a directory", path)
    check_own(state, path)


def check_own_file(path: str | os.PathLike[str]) -> None:
    """Raise `UntrustedFileError` if there is something at `path` that is not a plain file of the user's own."""
    try:
        state = Path(path).lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(state.st_mode):
        raise UntrustedFileError("it is a link", path)
    if not stat.S_ISREG(state.st_mode):
        raise UntrustedFileError("it is not a regular file", path)
    check_own(state, path)


def check_way(path: str | os.PathLike[str]) -> None:
    """Raise `UntrustedFileError` if a link on the way to `path`, or at its end, may be somebody else's.

    So is a link that another user owns (other than root), and any in a directory that others can write to.
    """
    todo = Path(os.path.abspath(path)).parts  # noqa: PTH100 - Path.absolute() leaves ".." in, resolve() follows links
    at, rest = Path(todo[0]), list(todo[1:])
    links = 0
    while rest:
        directory, at = at, at / rest.pop(0)
        try:
            state = at.lstat()
        except OSError:
            return  # what is not there, or cannot be looked at, is for whoever opens it to tell
        if not stat.S_ISLNK(state.st_mode):
            continue
        if os.name == "posix" and (state.st_uid not in {os.geteuid(), 0} or directory.stat().st_mode & _WRITERS):
            raise UntrustedFileError(f"{at} is a link that another user may have put there", path)
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
        target = directory / at.readlink()
        parts = Path(os.path.abspath(target)).parts  # noqa: PTH100 - as above
        at, rest = Path(parts[0]), [*parts[1:], *rest]
