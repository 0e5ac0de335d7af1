"""What a worker does with a part: it takes it, resumes its journal, says how far it is, and lets go of it."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path

import attrs

from aionorth.bulk.run import BulkDelete, RunOptions
from aionorth.errors import (
    ArgumentError,
    BulkAbortedError,
    NorthError,
    SettingsError,
    StoreError,
    StoreUnavailableError,
)
from aionorth.fleet.journal import JournalInRedis, counted
from aionorth.fleet.runs import DamagedError, Part, PartState, PartStatus
from aionorth.fleet.store import BEATS, LEASE, RETRY, FleetStore
from aionorth.models import Outcome
from aionorth.purge.journal import Journal
from aionorth.session import profiles, settings
from aionorth.session.north import NorthSession
from aionorth.session.settings import KEYS, variable
from aionorth.stores.redis import RedisStore

_log = logging.getLogger("aionorth")

DRAIN = 5.0
"""Seconds that a run gets to end by itself; then its calls in flight get as many."""

FIRST_ASIDE, LONGEST_ASIDE = 5.0, 300.0
"""Seconds for which a worker leaves a part to others for which it lacks settings: twice as long each time."""

GRACE = 120.0
"""Seconds for which a part waits at least for a worker that has the settings for it."""

LOOK = 1.0
"""Seconds between two looks whether a part is free."""


class Worker:
    """Does parts, any number of them at once, for one process.

    Its state: the fleet's store, how often it has declined which part, and whether it is about to end.
    """

    def __init__(
        self,
        url: str,
        *,
        lease: float = LEASE,
        name: str = "",
        living: Callable[[], Awaitable[Collection[str]]] | None = None,
    ) -> None:
        """Make one that `living` lists under this name among the workers that live; without, it is the only one."""
        self._name = name
        self._living = living
        self._store = FleetStore(url, lease=lease)
        self._flow_store = RedisStore(url)
        self._declines = Counter[tuple[str, int]]()
        self._ending = asyncio.Event()

    async def open(self) -> None:
        """Say what about the server may lose something; raise `StoreError` where it cannot be reached."""
        for one in await self._store.misgivings():
            _log.warning("the fleet's Redis server may lose journals: %s", one)

    def end(self) -> None:
        """Have all parts at work handed back soon."""
        self._ending.set()

    async def close(self) -> None:
        """Let go of the store."""
        await self._store.close()

    async def do(self, run: str, number: int) -> bool:
        """Do a part as far as it can be done.

        Returns:
            Whether it is settled; else another worker must be told of it.
        """
        who, taken = uuid.uuid4().hex, False
        try:
            while (status := await self._store.part(run, number)) is not None and not status.state.settled:
                if taken:
                    if await self._do(run, status, who):
                        break
                    return False
                if taken := await self._store.take(run, number, who):
                    continue  # how far it is by now
                # Its worker lives, or has died just now. Even if it lives, this may be the only message about it.
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._ending.wait()
                if self._ending.is_set():
                    return False
        except StoreError as exc:
            _log.warning("part %d of run %s is handed back: %s", number, run, exc)
            if isinstance(exc, DamagedError):
                self._declines[run, number] += 1  # until somebody mends it, it is tried less and less often
            await asyncio.sleep(RETRY)
            return False
        if status is None:
            _log.warning("part %d of run %s is not kept any more", number, run)
        del self._declines[run, number]
        return True

    async def _do(self, run: str, status: PartStatus, who: str) -> bool:
        """Do a part that was taken, and give signs of life; return whether it is settled."""
        work = _Work(self._store, self._flow_store, run, status, who)
        stopped = await self._sign(run, work.status(PartState.AT_WORK), who)
        task = asyncio.create_task(work.carry_out())
        ending = asyncio.create_task(self._ending.wait())
        try:
            while stopped is False:
                every = self._store.lease / BEATS
                await asyncio.wait({task, ending}, timeout=every, return_when=asyncio.FIRST_COMPLETED)
                if task.done() or ending.done():
                    break
                stopped = await self._sign(run, work.status(PartState.AT_WORK), who)
        finally:
            await work.stop(task)
            ending.cancel()
        if stopped is not None:
            state = PartState.CANCELLED if stopped else PartState.WAITING if ending.done() else PartState.COMPLETE
            last = work.status(state, task)
            if status.state is PartState.AT_WORK and not work.begun:  # the numbers are those of a worker that died
                last = await counted(self._store, run, last)
            if last.state is PartState.FAILED:
                last = await self._failed(run, last, declined=work.lacks_settings)
            stopped = await self._sign_off(run, last, who)
            if stopped is False and last.state is PartState.CANCELLED:  # it was resumed in the meantime
                last = attrs.evolve(last, state=PartState.WAITING)
                await self._sign_off(run, last, who)
            if stopped is not None:
                return last.state.settled
        _log.warning("part %d of run %s is another worker's by now", status.number, run)
        return False

    def leaves_alone_for(self, run: str, number: int) -> float:
        """Return for how many seconds it leaves a part to others that it has handed back."""
        declines = self._declines[run, number]
        return min(FIRST_ASIDE * 2 ** min(declines - 1, 10), LONGEST_ASIDE) if declines else 0.0

    async def _failed(self, run: str, status: PartStatus, *, declined: bool) -> PartStatus:
        """Say where and why a part could not go on; return its status: it failed, or waits for another worker."""
        status = attrs.evolve(status, cause=f"on {socket.gethostname()}: {status.cause}")
        status = await self._declined(run, status) if declined else status
        again = status.state is PartState.WAITING and self._declines[run, status.number] > 1
        level = logging.DEBUG if again else logging.WARNING
        _log.log(level, "part %d of run %s, of %s: %s", status.number, run, status.part.app, status.cause)
        return status

    async def _declined(self, run: str, status: PartStatus) -> PartStatus:
        """Return the status of a part for which this worker lacks settings: it waits where another one may have them.

        That is one that lives, or one that is back soon: its host may have been started anew.
        """
        self._declines[run, status.number] += 1
        since = status.declined_since or time.time()
        declined = {**status.declined, self._name: status.cause}
        cause = "; ".join(dict.fromkeys(declined.values()))
        waits = False
        if self._living is not None:
            waits = time.time() < since + GRACE or bool(set(await self._living()) - declined.keys())
        state = PartState.WAITING if waits else PartState.FAILED
        return attrs.evolve(status, state=state, cause=cause, declined=declined, declined_since=since)

    async def _sign(self, run: str, status: PartStatus, who: str) -> bool | None:
        """Give a sign of life, as `FleetStore.beat` does; a server that is away gets the next one."""
        try:
            return await self._store.beat(run, status, who)
        except StoreError as exc:
            _log.debug("%s", exc)  # the broker says that the server is away
            return False

    async def _sign_off(self, run: str, status: PartStatus, who: str) -> bool | None:
        """Give the last sign of life, once the server can be reached; who is to end does not wait for that."""
        while True:
            try:
                return await self._store.beat(run, status, who, last=True)
            except StoreUnavailableError as exc:
                if self._ending.is_set():
                    raise
                _log.debug("%s", exc)
                await asyncio.sleep(RETRY)


class _Work:
    """The work on one part. Its state: the session while it is open, and the run once it has begun."""

    def __init__(self, store: FleetStore, flow_store: RedisStore, run: str, status: PartStatus, who: str) -> None:
        self._store = store
        self._flow_store = flow_store
        self._run = run
        self._status = status
        self._medium = JournalInRedis(store, run, status.number, who)
        self._north: NorthSession | None = None
        self._bulk: BulkDelete | None = None
        self.lacks_settings = False
        """Whether this worker has no settings, or unusable ones, for the app."""

    @property
    def begun(self) -> bool:
        """Whether it goes by the part's journal."""
        return self._bulk is not None

    async def carry_out(self) -> None:
        """Resume the part's journal; raises `NorthError`."""
        try:
            self._north, workers = _session(self._status.part, self._flow_store)
        except ArgumentError:
            self.lacks_settings = True
            raise
        async with self._north as north:
            self._bulk = north.resume_from(await self._journal(north), RunOptions(workers=workers, collect="none"))
            try:
                await self._bulk
            finally:
                self._north = None
                await self._medium.permanent()

    async def stop(self, task: asyncio.Task[None]) -> None:
        """Have `carry_out` end soon, if it has not."""
        if self._bulk is not None:
            self._bulk.stop()
            await asyncio.wait({task}, timeout=DRAIN)
        while not task.done():  # where the server is away, the next worker will not know of the last outcomes
            task.cancel()
            await asyncio.wait({task}, timeout=2 * DRAIN)
        if not task.cancelled():
            task.exception()  # asyncio would complain of one that nobody looks at

    def status(self, state: PartState, ended: asyncio.Task[None] | None = None) -> PartStatus:
        """Return how far the part is, in that `state` unless what `ended` says otherwise."""
        found = self._status
        if self._bulk is not None:
            summary = self._bulk.summary
            outcomes = Counter({one: count for one in Outcome if (count := getattr(summary, one.value))})
            found = attrs.evolve(found, outcomes=outcomes, calls=summary.calls, refusals=summary.refusals)
        found = attrs.evolve(found, next_call=0.0, silent_for=0.0)
        error = None if ended is None or ended.cancelled() else ended.exception()
        if isinstance(error, StoreUnavailableError) or isinstance(error and error.__cause__, StoreUnavailableError):
            return attrs.evolve(found, state=PartState.WAITING, cause="")
        if found.gone == found.part.total:
            return attrs.evolve(found, state=PartState.COMPLETE, cause="")
        if self._bulk is not None and self._north is not None and state is PartState.AT_WORK:
            flow = self._north.flow
            next_call = 0.0 if flow.next_slot == math.inf else max(flow.next_slot, flow.paused_for)
            silent_for = max(flow.silent_for, 0.0)  # a server's clock may be set back
            return attrs.evolve(found, state=state, cause="", next_call=next_call, silent_for=silent_for)
        if error is None or state is not PartState.COMPLETE:
            return attrs.evolve(found, state=state, cause="")
        first = error.__cause__ or error if isinstance(error, BulkAbortedError) else error
        if not isinstance(first, NorthError):  # its text may be anybody's, and hold a secret
            _log.error(
                "part %d of run %s ended in an error that nobody expects; please report it: %s in %s",
                found.number,
                self._run,
                type(first).__name__,
                _frames(first),
            )
        cause = str(error) if isinstance(first, NorthError) else type(first).__name__
        return attrs.evolve(found, state=PartState.FAILED, cause=cause)

    async def _journal(self, north: NorthSession) -> Journal:
        """Return the part's journal. The first worker of a part that tries one of its ids says whose it is."""
        part, number = self._status.part, self._status.number
        reader = await self._medium.read()
        known = reader.history.target
        untried = (one.final_outcome() is Outcome.SKIPPED for one in reader.history.entries.values())
        mended = not part.url and (known.url, known.app_id) != (north.url, north.app_id)
        if mended and (not known.url or all(untried)):
            target = attrs.evolve(part.target, url=north.url, app_id=north.app_id)
            await self._store.set_first_line(self._run, number, part.first_line(target))
            reader = await self._medium.read()
        return Journal.resumed(self._medium, reader)


def _frames(error: BaseException) -> str:
    """Return where an error was raised, as in ``exchange (shared.py:96) < acquire (shared.py:144)``: no values."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{one.name} ({Path(one.filename).name}:{one.lineno})" for one in reversed(frames))


def _session(part: Part, store: RedisStore) -> tuple[NorthSession, int]:
    """Return a session for a part, with this worker's own settings, and how many calls it may have in flight.

    Raises `SettingsError`.
    """
    name = part.profile or _profile_of(part.url, part.app_id)
    if not name:
        return NorthSession.from_env(store=store), settings.workers(None)
    if there := [one for key in ("url", "app_id", "secret", "secret_file") if (one := variable(key)) in os.environ]:
        said = f"{there[0]} is set in the worker's environment and would come before profile {name!r}"
        raise SettingsError(f"{said}: start it without, or the work of every app would be done as one")
    profile = profiles.load(name, KEYS)
    if missing := [key for key in ("url", "app_id", "secret_file") if not profile.values.get(key)]:
        raise SettingsError(
            f"profile {name!r} of {profile.file} has no {', and no '.join(missing)}: add what is missing"
        )
    return NorthSession.from_profile(name, store=store), settings.workers(name)


def _profile_of(url: str, app_id: str) -> str:
    """Return the profile that has this URL and app; an empty string where these are the environment's, or not known."""
    if not url or (os.environ.get(variable("url")), os.environ.get(variable("app_id"))) == (url, app_id):
        return ""
    fault = ""
    for name in profiles.names():
        try:
            values = profiles.load(name, KEYS).values
        except SettingsError as exc:  # it may be another app's
            fault = fault or f", or correct this: {exc}"
            continue
        if (str(values.get("url", "")).rstrip("/"), values.get("app_id")) == (url.rstrip("/"), app_id):
            return name
    raise SettingsError(f"no profile of this worker has the app {app_id} at {url}: add one{fault}")
