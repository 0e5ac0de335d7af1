"""What the tests of the fleet share: a Redis server of their own, and a way to it on which replies are lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio import Redis

from aionorth.bulk.record import UNTRIED
from aionorth.errors import StoreError
from aionorth.fleet.journal import JournalInRedis
from aionorth.fleet.runs import Part, PartState, PartStatus
from aionorth.fleet.store import FleetStore
from aionorth.items import Kind
from aionorth.purge.journal import Journal

LEASE = 0.5
"""Seconds after which a worker counts as dead here: a test sleeps no longer than twice that."""

RUN = "a-run"
IDS = ("a1", "a2", "a3", "a4")


def client(url: str) -> Any:
    return Redis.from_url(url, decode_responses=True)  # type: ignore[no-untyped-call, unused-ignore]


def part(ids: Sequence[str] = IDS, **more: Any) -> Part:
    return Part.of_ids(ids, Kind.SUBSCRIPTIONS, **{"profile": "p"} | more)


def at_work(number: int = 0, **more: Any) -> PartStatus:
    return PartStatus(number=number, part=part(), state=PartState.AT_WORK, **more)


@asynccontextmanager
async def opened(url: str, *, lease: float = LEASE) -> AsyncIterator[FleetStore]:
    store = FleetStore(url, lease=lease)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def taken(url: str, who: str = "me") -> AsyncIterator[tuple[FleetStore, JournalInRedis, Journal]]:
    """A run of one part, taken by `who` and resumed, as a worker does."""
    async with opened(url) as store:
        with suppress(StoreError, ValueError):
            await store.add([part()], RUN)
        assert await store.take(RUN, 0, who)
        medium = JournalInRedis(store, RUN, 0, who)
        journal = Journal.resumed(medium, await medium.read())
        await medium.permanent()
        yield store, medium, journal


async def write_as_one_that_dies(medium: JournalInRedis, journal: Journal, begun: Sequence[str], gone: int) -> None:
    """Write what a worker writes that has begun these ids and, when it dies, deleted so many of them."""
    journal.begin(*begun)
    for id_ in begun[:gone]:
        journal.end(UNTRIED.sent.answered, UNTRIED.sent.answered.result(id_, 0.1))
    await medium.permanent()


async def lines_of(url: str, number: int = 0) -> list[str]:
    async with client(url) as redis:
        return [str(line) for line in await redis.lrange(f"{{aionorth-fleet:{RUN}}}:journal:{number}", 0, -1)]


class Between:
    """A way to a server. Its state: how many replies to scripts are lost next, and how many scripts before they arrive.

    What is lost takes its connection along, as a network that breaks does.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.replies = 0
        self.requests = 0
        self.url = ""
        self._tasks = set[asyncio.Task[Any]]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, to = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            while words := await reader.read(1 << 20):
                script = b"EVAL" in words
                if script and self.requests:
                    self.requests -= 1
                    return
                to.write(words)
                reply = await there.read(1 << 20)
                if script and self.replies:
                    self.replies -= 1
                    return
                writer.write(reply)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for end in (to, writer):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()


@asynccontextmanager
async def between(port: int) -> AsyncIterator[Between]:
    way = Between(port)
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    way.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    try:
        yield way
    finally:
        server.close()
        for task in way._tasks:
            task.cancel()
        if way._tasks:
            await asyncio.wait(way._tasks)
