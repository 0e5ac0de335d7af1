"""The journal that a run writes to, wherever it is kept: what the runs before did, and what this one does."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

from aionorth.bulk.record import UNTRIED, Record
from aionorth.common.files import StrPath
from aionorth.errors import JournalError
from aionorth.events import Event, Observers
from aionorth.items import Target
from aionorth.models import DeleteResult
from aionorth.purge.journal import lines
from aionorth.purge.journal.entries import Entry, Unfinished
from aionorth.purge.journal.file import JournalFile, created
from aionorth.purge.journal.history import SLICE, FileReader, Reader
from aionorth.purge.journal.standing import Standing

_log = logging.getLogger("aionorth")

Clock = Callable[[], float]
"""Returns the time in seconds since 1970."""

SIGN = 10.0
"""Seconds after which a run that waits for the platform to answer records that it still does."""

READ_AT_ONCE = 4 * SLICE
"""Bytes of a journal that are read when it is opened. The rest is read when the run begins, a slice at a time."""


class Medium(Protocol):
    """Where a journal is kept: lines are added to it, by one process at a time. All raise `JournalError`."""

    @property
    def name(self) -> str:
        """How messages name it."""
        ...

    def write(self, data: bytes) -> None:
        """Add whole lines."""

    def mend(self, reader: Reader) -> None:
        """Leave whole lines only of what was read."""

    def check(self) -> None:
        """See that nobody else has written to it, or cut it: what is not recorded is not done."""

    def written(self) -> None:
        """Have what was written made permanent soon; nobody waits for it."""

    async def permanent(self) -> None:
        """Wait until all that was written so far would be there after a power cut."""

    def release(self) -> None:
        """End the lock until `take`: a run that has not begun, and perhaps never will, is not at work."""

    def take(self) -> None:
        """Lock it again, for a run, where nobody has been at work on it meanwhile."""

    def close(self) -> None:
        """End the lock; what was written is made permanent soon."""


class Journal:  # more than 15 methods: most are what a run asks of its recorder
    """A journal that this process is at work on, one process at a time.

    Its state: what reads its file, as long as that is not done; what the runs before did; the ids that have begun and
    not ended; where the purge stands; the event loop of the run that has taken it; and the timer for the next sign of
    life in an outage.
    """

    def __init__(self, medium: Medium, target: Target, *, clock: Clock = time.time, duplicates: int = 0) -> None:
        """Begin a journal whose first lines are written to `medium` by the caller."""
        self.target = target
        self.duplicates = duplicates
        self.elapsed = 0.0
        """Seconds that the runs before took."""
        self.observers = Observers()
        """Whose events say when an outage begins and ends; listened to while the run is at work."""
        self._medium = medium
        self._clock = clock
        self._version = lines.VERSION
        self._unread: FileReader | None = None
        self._entries: Mapping[str, Entry] = {}
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sign: asyncio.TimerHandle | None = None
        self._begun = set[str]()
        now = round(clock(), 3)
        self._standing = Standing(began=now, run_began=now)

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
        ids = ids if isinstance(ids, (list, tuple)) else list(ids)
        with created(os.fspath(path)) as medium:
            journal = cls(medium, target, clock=clock, duplicates=duplicates)
            medium.write(lines.first(target, total=len(ids), selection=selection, duplicates=duplicates))
            for line in lines.of_ids(ids):
                medium.write(line)
            journal._write({"run": journal._standing.run_began})
        return journal

    @classmethod
    def open(cls, path: StrPath, *, clock: Clock = time.time) -> Journal:
        """Open a journal to resume its purge. A small one is read now, of a large one only the beginning.

        Raises:
            JournalError: It is none, is damaged, is not to be trusted, or another process is at work on it.
        """
        medium, reader = JournalFile.open(os.fspath(path))
        try:
            unread = True
            while unread and (medium.size <= READ_AT_ONCE or not reader.begun):
                unread = reader.read_slice()
            if not unread:
                return cls.resumed(medium, reader, clock=clock)
            journal = cls(medium, reader.history.target, clock=clock, duplicates=reader.history.duplicates)
            journal._unread = reader
        except BaseException:
            medium.close()
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

    @classmethod
    def resumed(cls, medium: Medium, reader: Reader, *, clock: Clock = time.time) -> Journal:
        """Resume a journal that was read whole, wherever it is kept: another run begins."""
        history = reader.history
        journal = cls(medium, history.target, clock=clock, duplicates=history.duplicates)
        journal._resume(reader)
        return journal

    @property
    def name(self) -> str:
        """How messages name it; the path of a file."""
        return self._medium.name

    @property
    def ready(self) -> bool:
        """Whether it is known what the runs before did."""
        return self._unread is None

    def reading(self) -> Iterator[float]:
        """Read what the runs before did; yields, after each slice, which part has been read."""
        if (reader := self._unread) is None:
            return
        while reader.read_slice():
            yield reader.part
        self._unread = None
        self._resume(reader)

    def _resume(self, reader: Reader) -> None:
        """Note what was read, and that another run begins."""
        history = reader.history
        self._entries, self._version, self.elapsed = history.entries, reader.version, history.elapsed
        self._medium.mend(reader)
        now = round(self._clock(), 3)
        self._standing = Standing(began=history.runs[0] if history.runs else now, run_began=now)
        self._write({"run": now})

    def release(self) -> None:
        """End the lock until `take`: a run that has not begun, and perhaps never will, is not at work."""
        self._medium.release()

    def take(self) -> None:
        """Lock it again; raises `JournalError` where another process is, or has been, at work on it."""
        self._medium.take()
        self._loop = asyncio.get_running_loop()
        self.observers.add([self])

    def close(self) -> None:
        """End the lock; the rest is made permanent."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None:
            self.observers.remove([self])
        if self._sign is not None:
            self._sign.cancel()
        self._medium.close()

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
        self._medium.check()
        self._write(*({"begin": id_, "at": now} for id_ in ids))
        self._begun.update(ids)

    async def on_disk(self) -> None:
        """Wait until all that was recorded so far is permanent."""
        await self._medium.permanent()

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
        self._record(self._standing.outage(event, round(self._clock(), 3)))

    def _record(self, outage: Mapping[str, Any] | None) -> None:
        """Record what there is to say of an outage, again and again while it lasts: a kill leaves what was known."""
        if outage is None or not self.ready:
            return
        try:
            self._write_of_run(outage)
        except JournalError as exc:  # it ends the run before the next call
            _log.warning("%s", exc)
            return
        if self._loop is not None:
            if self._sign is not None:
                self._sign.cancel()
            self._sign = self._loop.call_later(SIGN, self._give_sign)

    def _give_sign(self) -> None:
        self._record(self._standing.silence(round(self._clock(), 3)))

    def _write_of_run(self, *of: Mapping[str, Any]) -> None:
        if self._version == lines.VERSION:  # or the version that began the journal could not read it any more
            self._medium.check()
            self._write_at_leisure(*of)

    def _write_at_leisure(self, *of: Mapping[str, Any]) -> None:
        """Write lines that need to be permanent within a second only."""
        self._write(*of)
        self._medium.written()

    def _write(self, *of: Mapping[str, Any]) -> None:
        self._medium.write(b"".join(lines.encode(line, self._version) for line in of))
