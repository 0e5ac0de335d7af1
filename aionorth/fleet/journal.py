"""The journal of a part, kept in Redis: the lines of a journal's file, added by the one worker that owns it."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, deque

import attrs

from aionorth.errors import JournalError, StoreUnavailableError
from aionorth.fleet.runs import DamagedError, PartState, PartStatus
from aionorth.fleet.store import DONE, OTHERS, RETRY, FleetStore
from aionorth.purge.journal.history import History, Reader
from aionorth.purge.journal.sync import Syncing

ANEW = "submit its ids anew"
"""What to do about a journal that is damaged."""

REMEMBERED = 1000
"""How many of the last lines are kept, in case the server forgets them."""


class JournalInRedis:
    """Where the journal of a part is kept while this worker is at work on it.

    A line is in it once the server has said so. Lines that the server forgot, as it may when its machine loses power,
    are added anew: this worker knows them.

    Its state: how many lines the server has, the last of them, those that it has not got yet, what sends these, and
    why no more can be added.
    """

    def __init__(self, store: FleetStore, run: str, number: int, who: str) -> None:
        self.name = f"the journal of part {number} of run {run}"
        self._store = store
        self._place = (run, number, who)
        self._length = 0
        self._last: deque[str] = deque(maxlen=REMEMBERED)
        self._next = list[str]()
        self._syncing = Syncing(lambda: asyncio.ensure_future(self._send()))
        self._error: JournalError | None = None

    async def read(self) -> Reader:
        """Read all of it; raises `JournalError` where it is damaged, or has gone."""
        reader, run, number = Reader(self.name, with_run=False, anew=ANEW), *self._place[:2]
        self._length = 0
        try:
            async for some in self._store.journal(run, number):
                self._length += len(some)
                reader.feed("".join(some).encode())
                await asyncio.sleep(0)
        except DamagedError as exc:
            raise JournalError(f"{self.name} is damaged: {exc}; {ANEW}") from exc
        if not self._length:
            raise JournalError(f"{self.name} is gone from Redis; {ANEW}")
        reader.feed(b"")
        return reader

    def mend(self, reader: Reader) -> None:
        """There are whole lines only."""

    def check(self) -> None:
        """Raise `JournalError` where nothing can be added any more."""
        if self._error is not None:
            raise self._error

    def write(self, data: bytes) -> None:
        """Have lines sent, with what is sent next."""
        self.check()
        self._next += data.decode().splitlines(keepends=True)

    def written(self) -> None:
        """Have them sent soon."""
        self._syncing.written()

    async def permanent(self) -> None:
        """Wait until the server has all that was written so far, for as long as that takes."""
        await self._syncing.wait()

    def release(self) -> None:
        """It stays this worker's."""

    def take(self) -> None:
        """It is this worker's already."""

    def close(self) -> None:
        """It is closed by who opened it, once all is sent."""

    async def _send(self) -> None:
        more, self._next = self._next, []
        run, number, who = self._place
        while more:
            try:
                said, length = await self._store.append(run, number, who, self._length, more)
            except StoreUnavailableError:
                await asyncio.sleep(RETRY)  # whether they have arrived shows next time
                continue
            if said == OTHERS:
                self._error = JournalError(f"another worker is at work on {self.name}: it goes on there")
                raise self._error
            forgotten = self._length - length
            if said == DONE or forgotten == -len(more):
                break
            if not 0 < forgotten <= len(self._last):
                self._error = JournalError(
                    f"{self.name} has {length:,} lines, not {self._length:,}: Redis has lost some"
                )
                raise self._error
            more = [*list(self._last)[-forgotten:], *more]
            for _ in range(forgotten):
                self._last.pop()
            self._length = length
        self._length += len(more)
        self._last += more


async def read_history(store: FleetStore, run: str, number: int) -> History:
    """Read the journal of a part, also while a worker is at work on it."""
    return (await JournalInRedis(store, run, number, "").read()).history


async def counted(store: FleetStore, run: str, status: PartStatus) -> PartStatus:
    """Return the status of a part, whose worker has died, as its journal says: it may even be complete."""
    try:
        history = await read_history(store, run, status.number)
    except JournalError:  # a report says so
        return status
    entries = history.entries.values()
    if history.gone == len(entries):
        status = attrs.evolve(status, state=PartState.COMPLETE, cause="")
    return attrs.evolve(
        status,
        outcomes=Counter(entry.final_outcome() for entry in entries),
        calls=sum(entry.all_calls for entry in entries),
        refusals=sum(entry.refusals for entry in entries),
    )


async def count(store: FleetStore, run: str, number: int) -> None:
    """Have the status of a part, whose worker has died, say what its journal says, unless a worker has it by now."""
    who = uuid.uuid4().hex
    if not await store.take(run, number, who):
        return
    status = await store.part(run, number)
    if status is not None and status.state is PartState.AT_WORK:
        status = await counted(store, run, attrs.evolve(status, state=PartState.LOST))
        await store.beat(run, status, who, last=True)
