"""How tasks are spread among workers that live, and taken from those that do not."""

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fleets import LEASE, client
from processes import RedisServer
from taskiq import AckableMessage

from aionorth.fleet import streams
from aionorth.fleet.stored import PREFIX
from aionorth.fleet.streams import GROUP, FleetBroker, left_alone_for

QUEUE = f"{PREFIX}:tasks"


class Consumer:
    """A worker that takes tasks and keeps them. Its state: these."""

    def __init__(self, url: str, lease: float) -> None:
        self.broker = FleetBroker(url, lease=lease)
        self.tasks = dict[str, AckableMessage]()
        self.at = dict[str, float]()
        self.listening: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        async for one in self.broker.listen():
            self.tasks[one.data.decode()] = one
            self.at[one.data.decode()] = time.monotonic()

    async def die(self) -> None:
        """Give no more signs of life, as a process that is killed; its tasks stay its own."""
        assert self.listening is not None
        self.listening.cancel()
        await asyncio.wait({self.listening})

    async def ack(self, name: str, *, back: bool = False, alone_for: float = 0.0) -> None:
        async def ended() -> None:
            left_alone_for.set(alone_for if back else None)
            await self.tasks[name].ack()  # type: ignore[misc]

        await asyncio.create_task(ended())


@asynccontextmanager
async def consuming(url: str, number: int = 1, *, lease: float = LEASE) -> AsyncIterator[list[Consumer]]:
    consumers = [Consumer(url, lease) for _ in range(number)]
    for one in consumers:
        await one.broker.startup()
        one.listening = asyncio.create_task(one.listen())
    async with client(url) as redis:
        await until_async(lambda: redis.xinfo_consumers(QUEUE, GROUP), lambda found: len(found) >= number)
    try:
        yield consumers
    finally:
        for one in consumers:
            await one.die()
            await one.broker.shutdown()


async def send(url: str, *names: str) -> None:
    """Send tasks, all in one moment."""
    async with client(url) as redis:
        pipe = redis.pipeline(transaction=True)
        for name in names:
            pipe.xadd(QUEUE, {"data": name})
        await pipe.execute()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what another connection does has no event
            await asyncio.sleep(0.01)


async def until_async(look: Callable[[], Any], is_so: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so(await look()):  # noqa: ASYNC110 - a server has no event
            await asyncio.sleep(0.01)


def test_each_worker_that_lives_takes_its_share(fleet_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "OVER_SHARE", 60)

    async def main() -> None:
        async with consuming(fleet_server.url, 3) as consumers:
            await send(fleet_server.url, *map(str, range(10)))
            await until(lambda: sum(len(one.tasks) for one in consumers) == 10)
            assert sorted(len(one.tasks) for one in consumers) in ([2, 4, 4], [3, 3, 4])

    asyncio.run(main())


def test_a_worker_takes_more_than_its_share_after_a_while(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url) as (one,), client(fleet_server.url) as redis:
            for number in range(4):  # they live, and take nothing: they may be full
                await redis.xgroup_createconsumer(QUEUE, GROUP, f"full{number}")
            await send(fleet_server.url, *map(str, range(5)))
            await until(lambda: len(one.tasks) == 5)

    asyncio.run(main())


def test_the_task_of_a_dead_worker_is_taken_after_the_lease_and_not_before(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url) as (first,):
            await send(fleet_server.url, "a", "b")
            await until(lambda: len(first.tasks) == 2)
            await first.die()
            async with consuming(fleet_server.url) as (second,):
                await until(lambda: len(second.tasks) == 2)
            for name in "ab":
                assert LEASE * 0.95 < second.at[name] - first.at[name] < LEASE + 5

    asyncio.run(main())


@pytest.mark.slow
def test_workers_that_reach_for_the_same_tasks_get_each_once(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url) as (first,):
            await send(fleet_server.url, *map(str, range(12)))
            await until(lambda: len(first.tasks) == 12)
            await first.die()
            async with consuming(fleet_server.url, 4) as others:
                await until(lambda: sum(len(one.tasks) for one in others) >= 12)
                await asyncio.sleep(LEASE)
                taken = [name for one in others for name in one.tasks]
                assert sorted(taken, key=int) == [str(number) for number in range(12)]

    asyncio.run(main())


@pytest.mark.slow
def test_tasks_that_a_worker_is_at_work_on_for_longer_than_the_lease_stay_its_own(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url, lease=1.0) as (first,):
            await send(fleet_server.url, "a", "b")
            await until(lambda: len(first.tasks) == 2)
            async with consuming(fleet_server.url, lease=1.0) as (second,):
                await asyncio.sleep(2.0)
                assert second.tasks == {}

    asyncio.run(main())


def test_a_worker_that_was_stopped_for_long_does_not_take_its_own_task_again(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url, lease=5.0) as (one,), client(fleet_server.url) as redis:
            await send(fleet_server.url, "a")
            await until(lambda: "a" in one.tasks)
            at, ((id_, _),) = one.at["a"], await redis.xrange(QUEUE)
            await redis.xclaim(QUEUE, GROUP, one.broker.consumer_name, 0, [id_], idle=60_000)
            await asyncio.sleep(0.5)
            assert one.at["a"] == at

    asyncio.run(main())


def test_a_task_that_is_handed_back_is_taken_at_once(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url, lease=60) as (first,):
            await send(fleet_server.url, "a")
            await until(lambda: len(first.tasks) == 1)
            first.listening.cancel()  # type: ignore[union-attr]
            async with consuming(fleet_server.url, lease=60) as (second,):
                await first.ack("a", back=True)
                await until(lambda: "a" in second.tasks)

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # redis-py may forget a connection that it was about to make
def test_one_who_is_cancelled_at_any_moment_takes_no_more(
    fleet_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Python 3.12 `asyncio.wait_for`, with which redis-py sends, may end as if it was not cancelled."""
    monkeypatch.setattr(streams, "SETTLING", 0.0)

    async def main() -> None:
        chance = random.Random(5)
        one = Consumer(fleet_server.url, lease=60)
        await one.broker.startup()
        for number in range(200):
            await send(fleet_server.url, str(number))
            listening = asyncio.create_task(one.listen())
            for _ in range(chance.randrange(60)):
                await asyncio.sleep(0)
            taken = list(one.tasks)
            listening.cancel()
            await asyncio.wait({listening})
            assert listening.cancelled()
            assert list(one.tasks) == taken
            for name in taken:
                await one.ack(name)
            one.tasks.clear()
        await one.broker.shutdown()

    asyncio.run(main())
    gc.collect()  # while such a connection is no error


@pytest.mark.slow
def test_who_hands_a_task_back_leaves_it_to_others_for_a_while_and_takes_new_ones(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url, lease=60) as (one,):
            await send(fleet_server.url, "a", "b")
            await until(lambda: len(one.tasks) == 2)
            at = time.monotonic()
            for name in "ab":
                await one.ack(name, back=True, alone_for=3.0)
            await send(fleet_server.url, "c")
            await until(lambda: min(one.at[name] for name in "ab") > at)
            assert one.at["c"] - at < 2
            assert min(one.at[name] for name in "ab") - at > 2.9

    asyncio.run(main())


def test_tasks_that_were_handed_back_come_after_those_of_dead_workers(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url) as (one,), client(fleet_server.url) as redis:
            unfit = [str(number) for number in range(30)]
            await send(fleet_server.url, *unfit, "lost")
            await until(lambda: len(one.tasks) == 31)
            at = time.monotonic()
            ids = {fields["data"]: id_ for id_, fields in await redis.xrange(QUEUE)}
            one.broker._held.discard(ids["lost"])
            await redis.xclaim(QUEUE, GROUP, "dead", 0, [ids["lost"]], idle=60_000)
            for name in unfit:
                await one.ack(name, back=True)
            await until(lambda: one.at["lost"] > at)
            assert sum(one.at[name] > at for name in unfit) <= 3

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("looked_at", [3, 10_000])
def test_all_idle_tasks_are_seen_however_many_one_look_sees(
    fleet_server: RedisServer, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(streams, "LOOKED_AT", looked_at)

    async def main() -> None:
        async with consuming(fleet_server.url) as (first,):
            await send(fleet_server.url, *map(str, range(20)))
            await until(lambda: len(first.tasks) == 20)
            for name in first.tasks:
                await first.ack(name, back=True, alone_for=60.0)
            async with consuming(fleet_server.url) as (second,):
                await until(lambda: len(second.tasks) == 20)

    asyncio.run(main())


@pytest.mark.slow
def test_a_server_that_is_away_is_said_once(fleet_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url) as (one,):
            await send(fleet_server.url, "a")
            await until(lambda: "a" in one.tasks)
            await asyncio.to_thread(fleet_server.stop)
            await asyncio.sleep(2)
            await asyncio.to_thread(fleet_server.start)
            await until(lambda: "can be reached again" in caplog.text)

    asyncio.run(main())
    said = [one.message for one in caplog.records if "Redis server" in one.message and one.levelname == "WARNING"]
    assert [one.partition(":")[0] for one in said] == [
        "the fleet's Redis server cannot be reached",
        "the fleet's Redis server can be reached again",
    ]


def test_a_task_that_ends_in_an_error_nobody_expects_is_not_gone(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url) as (one,), client(fleet_server.url) as redis:
            await send(fleet_server.url, "a")
            await until(lambda: "a" in one.tasks)
            await one.tasks["a"].ack()  # type: ignore[misc]  # as taskiq does whatever has become of it
            ((_, who, idle, _),) = [
                tuple(found.values()) for found in await redis.xpending_range(QUEUE, GROUP, "-", "+", 9)
            ]
            assert who == one.broker.consumer_name
            assert idle > LEASE * 1000  # anybody may take it

    asyncio.run(main())


def test_a_task_that_is_done_is_gone(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url) as (one,), client(fleet_server.url) as redis:
            await send(fleet_server.url, "a", "b")
            await until(lambda: len(one.tasks) == 2)
            await one.ack("a")
            assert [fields["data"] for _, fields in await redis.xrange(QUEUE)] == ["b"]
            assert (await redis.xpending(QUEUE, GROUP))["pending"] == 1
            await one.ack("b")
            assert await redis.xlen(QUEUE) == 0
            assert (await redis.xpending(QUEUE, GROUP))["pending"] == 0

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("back", [False, True])
def test_a_worker_says_nothing_of_a_task_that_another_one_has_taken(fleet_server: RedisServer, *, back: bool) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url) as (first,):
            await send(fleet_server.url, "a")
            await until(lambda: len(first.tasks) == 1)
            await first.die()
            async with consuming(fleet_server.url) as (second,), client(fleet_server.url) as redis:
                await until(lambda: "a" in second.tasks)
                began = time.monotonic()
                (before,) = await redis.xpending_range(QUEUE, GROUP, "-", "+", 10)
                await first.ack("a", back=back)
                (after,) = await redis.xpending_range(QUEUE, GROUP, "-", "+", 10)
                assert before["consumer"] == after["consumer"] == second.broker.consumer_name
                passed = (time.monotonic() - began) * 1000
                assert after["time_since_delivered"] <= before["time_since_delivered"] + passed + 10

    asyncio.run(main())


@pytest.mark.slow
def test_a_server_that_comes_back_has_its_tasks_done_by_whom_they_were(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url, 2, lease=1.0) as (first, second):
            await send(fleet_server.url, "a", "b")
            await until(lambda: len(first.tasks) + len(second.tasks) == 2)
            await asyncio.to_thread(fleet_server.stop)
            await asyncio.sleep(1.5)
            await asyncio.to_thread(fleet_server.start)
            await asyncio.sleep(1.5)
            assert len(first.tasks) + len(second.tasks) == 2
            await send(fleet_server.url, "c")
            await until(lambda: "c" in first.tasks or "c" in second.tasks)

    asyncio.run(main())


def test_workers_take_tasks_from_a_server_that_has_lost_all_it_had(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url) as (one,), client(fleet_server.url) as redis:
            await redis.flushall()
            await send(fleet_server.url, "a")
            await until(lambda: "a" in one.tasks)

    asyncio.run(main())


def test_workers_that_have_been_gone_for_long_are_forgotten_and_their_tasks_are_not(
    fleet_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "FORGOTTEN_AFTER", 0.1)

    async def main() -> None:
        async with consuming(fleet_server.url) as (first,), client(fleet_server.url) as redis:
            await send(fleet_server.url, "a")
            await until(lambda: "a" in first.tasks)
            await first.die()
            await redis.xgroup_createconsumer(QUEUE, GROUP, "gone")
            await asyncio.sleep(0.15)
            async with consuming(fleet_server.url) as (second,):
                await until(lambda: "a" in second.tasks)
                names = {one["name"] for one in await redis.xinfo_consumers(QUEUE, GROUP)}
                assert names == {first.broker.consumer_name, second.broker.consumer_name}

    asyncio.run(main())


def test_a_worker_ends_though_the_server_is_away(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with consuming(fleet_server.url) as (one,):
            await send(fleet_server.url, "a")
            await until(lambda: "a" in one.tasks)
            await asyncio.to_thread(fleet_server.stop)
            await asyncio.wait_for(one.die(), 2)
            await asyncio.wait_for(one.ack("a", back=True), 2)

    asyncio.run(main())
