"""What was written to a file is brought to the disk, so that a machine that loses power still has it."""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import Sequence

_log = logging.getLogger("aionorth")

LAG = 0.5
"""Seconds after which what nobody waits for is brought to the disk."""


def sync(file: io.FileIO) -> None:
    """Bring what was written to `file` to the disk; raises `OSError`."""
    getattr(os, "fdatasync", os.fsync)(file.fileno())


class Syncing:
    """Brings a file to the disk from an event loop, in a thread, so that the loop goes on meanwhile.

    One call of the system is under way at a time. It serves all that was written before it began; whoever writes while
    it is under way waits for the next one.

    Its state: whether a call is under way, and who waits for it; who waits for the next one; whether something was
    written since the last one began, and the timer for it; and the error after which nothing more can be relied on.
    """

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._under_way = False
        self._waiting: Sequence[asyncio.Future[None]] = ()
        self._next: list[asyncio.Future[None]] = []
        self._written = False
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None

    def written(self) -> None:
        """Note that something was written: it is on the disk within a second."""
        self._written = True
        if self._timer is None:
            self._timer = self._loop.call_later(LAG, self._due)

    async def wait(self) -> None:
        """Wait until all that was written so far is on the disk.

        Raises `OSError` where the system could not do so. It says so once, so from then on every wait raises it.
        """
        if self._error is not None:
            raise self._error
        waiter = self._loop.create_future()
        self._next.append(waiter)
        if not self._under_way:
            self._begin()
        await waiter

    def close(self, name: str) -> None:
        """Bring the rest to the disk, then close the file, both in a thread. Failures are logged, with its `name`."""
        if self._timer is not None:
            self._timer.cancel()
        failed, self._error = self._error, self._error or ValueError("it is closed")
        if failed is not None or not (self._written or self._under_way or self._next):
            self._file.close()
            return
        try:
            self._loop.run_in_executor(None, _close, self._file, name)
        except RuntimeError:  # the loop is about to end, and has no threads any more
            _close(self._file, name)

    def _due(self) -> None:
        self._timer = None
        if self._written and not self._under_way:
            self._begin()

    def _begin(self) -> None:
        self._waiting, self._next = self._next, []
        self._under_way, self._written = True, False
        self._loop.run_in_executor(None, sync, self._file).add_done_callback(self._ended)

    def _ended(self, done: asyncio.Future[None]) -> None:
        self._under_way = False
        try:
            done.result()
        except (OSError, ValueError) as exc:  # ValueError: the file was closed
            self._error = self._error or exc
        for waiter in [*self._waiting, *(self._next if self._error else ())]:
            if waiter.done():  # it was cancelled
                continue
            if self._error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(self._error)
        if self._error is None and (self._next or (self._written and self._timer is None)):
            self._begin()


def _close(file: io.FileIO, name: str) -> None:
    try:
        sync(file)
    except OSError as exc:
        _log.warning("the end of %s may be lost if the machine loses power (%s)", name, exc.strerror)
    finally:
        file.close()
