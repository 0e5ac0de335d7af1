"""What a journal comes to: how far its purge is, and whether a run is at work on it. A large one need not be read."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs

from aionorth.common.files import StrPath
from aionorth.errors import JournalError
from aionorth.items import Target
from aionorth.purge.journal import lines
from aionorth.purge.journal.file import locked
from aionorth.purge.journal.history import SLICE, FileReader, History, Stop, state_of, stop_from, unusable
from aionorth.purge.journal.reading import opened
from aionorth.purge.journal.standing import RunState


@attrs.frozen(kw_only=True)
class Overview:
    """What a journal comes to."""

    path: str
    size: int
    """In bytes."""
    target: Target
    total: int
    """How many ids it has."""
    gone: int
    """How many of them are known not to be on the platform any more."""
    began: float
    """When its first run began, in seconds since 1970."""
    ended: float
    """When its last run ended or, where that is not recorded, was last known to be at work."""
    stop: Stop | None
    """How its last run ended."""
    at_work: bool = False
    """Whether a process has locked it."""

    @property
    def state(self) -> RunState:
        """What has become of the last run."""
        return state_of(self.stop, at_work=self.at_work)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.gone == self.total and not self.at_work


T = TypeVar("T", Overview, History)


def overview_of(path: StrPath, on_read: Callable[[float], object] = lambda _: None) -> Overview:
    """Return what a journal comes to: quickly if its last line is the end of a run, else by reading it whole.

    `on_read` is called with the part of it that has been read, from 0 to 1. Raises `JournalError` as `read` does; but
    in a large journal whose last line is the end of a run, damage before that is not seen.
    """
    return _settled(path, lambda file, name: _overview(file, name, on_read))


def read_now(path: StrPath, on_read: Callable[[float], object] = lambda _: None) -> History:
    """Read a journal as `read` does, and find out whether a run is at work on it; `on_read` as in `overview_of`.

    A run that is at work has lasted until now, and so has an outage that it is in.
    """
    history = _settled(path, lambda file, name: FileReader(file, name).read_all(on_read))
    if history.at_work and history.stops[-1] is None:
        history.ends[-1] = max(history.ends[-1], round(time.time(), 3))
        if history.silent:
            history.outages[-1] = attrs.evolve(history.outages[-1], end=history.ends[-1])
    return history


def remove_finished(path: StrPath) -> bool:
    """Remove a journal if there is nothing left to do; return whether that was so.

    Raises:
        JournalError: As `read`, or a process is at work on it.
        OSError: The system does not let it be removed.
    """
    name = os.fspath(path)
    with locked(name) as file:
        if finished := _overview(file, name).finished:
            Path(name).unlink()
    return finished


def _settled(path: StrPath, look: Callable[[io.FileIO, str], T]) -> T:
    """Return what `look` finds, with whether a run is at work. If one has ended meanwhile, it looks again."""
    name = os.fspath(path)
    while True:
        with opened(name, to_write=False) as file:
            before = _at_work(name)
            found = look(file, name)
        if (after := _at_work(name)) or not before:
            return attrs.evolve(found, at_work=after)


def _at_work(path: str) -> bool:
    """Whether a run is at work on a journal; where files cannot be locked, it is taken for granted."""
    try:
        with locked(path):
            return False
    except JournalError:
        return True


def _overview(file: io.FileIO, path: str, on_read: Callable[[float], object] = lambda _: None) -> Overview:
    reader, size = FileReader(file, path), os.fstat(file.fileno()).st_size
    while size > SLICE and not reader.begun and reader.read_slice():
        pass
    stop = _last_line(file, path, reader.version) if reader.begun else None
    if stop is not None and stop.gone is not None:
        gone, began, ended = stop.gone, stop.began, stop.at
    else:
        history = reader.read_all(on_read)
        stop, gone, began, ended = history.stops[-1], history.gone, history.runs[0], history.ends[-1]
    return Overview(
        path=path,
        size=size,
        target=reader.history.target,
        total=reader.total,
        gone=gone,
        began=began,
        ended=ended,
        stop=stop,
    )


def _last_line(file: io.FileIO, path: str, version: int) -> Stop | None:
    """Return what the last line says if it is the end of a run, and whole."""
    try:
        place = file.tell()
        file.seek(max(file.seek(0, os.SEEK_END) - SLICE, 0))
        *_, last, torn = (b"\n" + file.read(SLICE)).split(b"\n")
        file.seek(place)
    except OSError as exc:
        raise unusable(path, exc, "read") from exc
    try:
        return None if torn else stop_from(lines.decode(last, version))
    except lines.MALFORMED:
        return None
