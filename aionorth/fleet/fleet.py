"""A fleet as its users see it, and what its workers run."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Annotated, Self

import attrs
from taskiq import Context, SendTaskError, TaskiqDepends, TaskiqEvents, TaskiqState

from aionorth.common.text import shown
from aionorth.errors import ArgumentError, JournalError
from aionorth.fleet.journal import count, read_history
from aionorth.fleet.runs import Part, PartState, PartStatus, RunStatus, check_parts
from aionorth.fleet.store import FleetStore, reached
from aionorth.fleet.streams import FleetBroker, left_alone_for
from aionorth.fleet.worker import Worker
from aionorth.purge.journal import History
from aionorth.session.settings import variable

TASK = "aionorth.fleet:do"


def broker_of(url: str) -> FleetBroker:
    """Return a broker whose workers do the parts of runs."""
    broker = FleetBroker(url)

    async def begin(state: TaskiqState) -> None:
        logging.getLogger("aionorth").addFilter(in_one_line)
        state.worker = worker = Worker(url, name=broker.consumer_name, living=broker.living)
        await worker.open()
        broker.on_end = worker.end

    async def end(state: TaskiqState) -> None:
        await state.worker.close()

    async def do(run: str, number: int, context: Annotated[Context, TaskiqDepends()]) -> None:
        worker: Worker = context.state.worker
        settled = await worker.do(run, number)
        left_alone_for.set(None if settled else worker.leaves_alone_for(run, number))

    broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, begin)
    broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, end)
    broker.register_task(do, task_name=TASK)
    return broker


def in_one_line(record: logging.LogRecord) -> bool:
    """Have a line of the log begin with its app, as a worker has many, and stay one, whatever others put in."""
    app_id, text = getattr(record, "app_id", ""), record.getMessage()
    record.msg, record.args = shown(f"{app_id}: {text}" if app_id else text), ()
    return True


def url_of_environment() -> str:
    """Return ``AIONORTH_REDIS_URL``; raises `ArgumentError` where that is missing."""
    name = variable("redis_url")
    if not (url := os.environ.get(name)):
        raise ArgumentError(f"{name} is missing: set it, as in: export {name}=redis://host:6379/0")
    return url


def broker_of_environment() -> FleetBroker:
    """Return the broker of ``AIONORTH_REDIS_URL``; raises `ArgumentError` where that is missing or cannot be used."""
    return broker_of(url_of_environment())


class Fleet:
    """A fleet of workers that share a Redis server: ``async with Fleet("redis://host") as fleet``.

    Deletions are submitted to it as a run of parts, one for each app and kind, and done by whatever workers there are.
    Its state: its store and its broker.
    """

    def __init__(self, url: str) -> None:
        """Check the URL of the Redis server; raises `ArgumentError`, which shows nothing of it."""
        self._store = FleetStore(url)
        self._broker = broker_of(url)

    async def __aenter__(self) -> Self:
        """Connect to the server; raises `StoreError` where that cannot be done."""
        try:
            async with reached():
                await self._broker.startup()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._broker.shutdown()
        await self._store.close()

    async def submit(
        self,
        parts: Sequence[Part],
        *,
        name: str | None = None,
        on_kept: Callable[[str], object] = lambda _: None,
    ) -> str:
        """Have parts done, and return the name of the run. Nothing in it is secret.

        Args:
            parts: As `Part.of_ids` and `Part.of_plan` return them.
            name: The run's name; one with the time in it unless given.
            on_kept: Called with the run's name once all of it is kept. Workers delete from then on, so where the
                submission is broken off after that, `resume` goes on with it. Before that nothing is ever deleted.

        Raises:
            ArgumentError: There are none, two are of the same app and kind, or there is a run of that name already.
            StoreError: The server cannot be reached, or refuses.
        """
        check_parts(parts)
        run = await self._store.add(parts, name)
        on_kept(run)
        for number in range(len(parts)):
            await self._send(run, number)
        await self._store.set_sent(run)
        return run

    async def runs(self) -> list[str]:
        """Return the names of the runs that are kept, the oldest first."""
        return await self._store.names()

    async def status(self, run: str) -> RunStatus:
        """Return how far a run is.

        It goes by the last signs of life of workers. Where one has died and the run is cancelled, so that no other one
        goes on, it goes by the journal: that is read once, and its numbers are kept.

        Raises:
            ArgumentError: There is none of that name.
            StoreError: The server cannot be reached, or what it keeps of the run is damaged.
        """
        status = await self._store.status(run)
        return await self._counted(status) if status.cancelled else status

    async def wait(self, run: str, *, every: float = 2.0) -> RunStatus:
        """Wait until a run is settled, looking ``every`` so many seconds, and return how it ended."""
        while not (status := await self.status(run)).settled:  # noqa: ASYNC110 - on another machine
            await asyncio.sleep(every)
        return status

    async def cancel(self, run: str) -> None:
        """Have the work on a run ended: no new calls begin, and what has not begun stays. `resume` goes on with it."""
        await self._store.status(run)
        await self._store.set_cancelled(run, cancelled=True)

    async def resume(self, run: str) -> list[PartStatus]:
        """Have done what is left of a run that was cancelled, or of which parts failed; return these parts.

        Of a run whose submission was broken off, these are also the parts that wait, and of any run those whose worker
        shows no sign of life. Where not all of its parts are kept it raises `ArgumentError`.
        """
        before = await self._counted(await self._store.status(run))
        if not before.whole:
            raise ArgumentError(f"{run}: {before.lack}")
        await self._store.set_sent(run, sent=False)  # where this is broken off, the next one goes on with it
        await self._store.set_cancelled(run, cancelled=False)
        after = await self._store.status(run)  # a part that a worker settles later, it does not find cancelled
        ended = {
            one.number
            for status in (before, after)
            for one in status.parts
            if one.state.settled
            or one.state is PartState.LOST  # it may be that no worker is told of it any more
            or (one.state is PartState.WAITING and not before.sent)
        }
        left = [one for one in after.parts if one.number in ended and one.gone < one.part.total]
        for one in left:
            await self._store.set_waiting(run, one)
            await self._send(run, one.number)
        await self._store.set_sent(run)
        await self._store.renew(run)
        return left

    async def histories(
        self, run: str, *, on_damaged: Callable[[PartStatus, JournalError], object] | None = None
    ) -> AsyncIterator[tuple[PartStatus, History]]:
        """Yield each part of a run, with what its journal says: every id's outcome, and when.

        Args:
            run: The run's name.
            on_damaged: Called with each part whose journal is damaged, and how it is. Without it the first one raises.

        Raises:
            ArgumentError: There is no run of that name.
            JournalError: A journal is damaged.
            StoreError: As `status`.
        """
        status = await self.status(run)
        for one in status.parts:
            at_work = one.state is PartState.AT_WORK
            awaits_worker = status.whole and not one.state.settled and not at_work
            try:
                history = await read_history(self._store, run, one.number)
            except JournalError as exc:
                if on_damaged is None:
                    raise
                on_damaged(one, exc)
            else:
                yield one, attrs.evolve(history, at_work=at_work, awaits_worker=awaits_worker)

    async def _counted(self, status: RunStatus) -> RunStatus:
        """Return the status with the numbers of the journals of parts whose workers have died."""
        if not (lost := [one.number for one in status.parts if one.uncounted]):
            return status
        for number in lost:
            await count(self._store, status.run, number)
        return await self._store.status(status.run)

    async def _send(self, run: str, number: int) -> None:
        task = self._broker.find_task(TASK)
        assert task is not None, "broker_of has registered it"
        async with reached():
            try:
                await task.kiq(run, number)
            except SendTaskError:
                await self._broker.renew()  # the server was started anew, perhaps
                try:
                    await task.kiq(run, number)  # told twice, one worker does it and the other one waits for that
                except SendTaskError as exc:
                    raise exc.__cause__ or exc from None
