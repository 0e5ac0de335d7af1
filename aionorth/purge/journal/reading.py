"""Journals that are read: opened where they can be trusted."""

from __future__ import annotations

import io
import os
import stat

from aionorth.common import files
from aionorth.common.files import StrPath, UntrustedFileError
from aionorth.errors import JournalError
from aionorth.items import Target
from aionorth.purge.journal.history import FileReader, History, reason, unusable


def read(path: StrPath) -> History:
    """Read a journal, also one that a run is at work on.

    Raises:
        JournalError: It is none, is damaged, or is not to be trusted.
    """
    path = os.fspath(path)
    with opened(path, to_write=False) as file:
        return FileReader(file, path).read_all()


def target_of(path: StrPath) -> Target:
    """Return what a journal is about, from its beginning; raises `JournalError` as `read` does."""
    path = os.fspath(path)
    with opened(path, to_write=False) as file:
        reader = FileReader(file, path)
        while not reader.begun and reader.read_slice():
            pass
        return reader.history.target


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
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise JournalError(f"{path} is not a regular file: name the journal of a run")  # noqa: TRY301 - closed below
            files.check_own(state, path)
        except BaseException:
            file.close()
            raise
    except UntrustedFileError as exc:
        raise JournalError(f"{path} is not to be trusted: {reason(exc)}") from exc
    except (OSError, ValueError) as exc:
        raise unusable(path, exc, "written to" if to_write else "read") from exc
    return file
