"""The journal of a part in Redis: what is in it when, whatever happens between the worker and the server."""

import asyncio
import re
from pathlib import Path

import attrs
import pytest
from fleets import IDS, LEASE, RUN, between, client, lines_of, opened, part, taken
from processes import RedisServer

from aionorth import JournalError
from aionorth.bulk.record import UNTRIED
from aionorth.errors import CredentialsError, StoreUnavailableError
from aionorth.fleet import Fleet
from aionorth.fleet.journal import REMEMBERED, JournalInRedis, read_history
from aionorth.fleet.runs import Part
from aionorth.items import Kind
from aionorth.models import DeleteResult, Outcome
from aionorth.purge.journal import Journal, read

KEY = f"{{aionorth-fleet:{RUN}}}:journal:0"


def deleted(id_: str) -> DeleteResult:
    return DeleteResult(id=id_, outcome=Outcome.DELETED, attempts=1, elapsed=0.1)


def begun(lines: list[str]) -> list[str]:
    return [line.split('"')[3] for line in lines if line.startswith('{"begin"')]


async def cut(url: str, lines: int) -> None:
    """Have the server forget the last lines, as one may that comes back after a power cut."""
    async with client(url) as redis:
        await redis.ltrim(KEY, 0, -1 - lines)


def test_a_line_before_a_call_is_on_the_server_once_it_is_permanent(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with taken(fleet_server.url) as (_, __, journal):
            for id_ in IDS:
                journal.begin(id_)
                await journal.on_disk()
                assert begun(await lines_of(fleet_server.url))[-1] == id_

    asyncio.run(main())


def test_lines_of_many_at_once_arrive_in_the_order_in_which_they_were_written(fleet_server: RedisServer) -> None:
    async def call(journal: Journal, id_: str) -> None:
        journal.begin(id_)
        order.append(id_)
        await journal.on_disk()
        journal.end(UNTRIED, deleted(id_))

    order = list[str]()
    ids = [f"s{number}" for number in range(300)]

    async def main() -> None:
        async with opened(fleet_server.url) as store:
            await store.add([part(ids)], RUN)
            await store.take(RUN, 0, "me")
            medium = JournalInRedis(store, RUN, 0, "me")
            journal = Journal.resumed(medium, await medium.read())
            await asyncio.gather(*(call(journal, id_) for id_ in ids))
            await medium.permanent()
            assert begun(await lines_of(fleet_server.url)) == order
            history = await read_history(store, RUN, 0)
            assert history.gone == 300

    asyncio.run(main())


@pytest.mark.parametrize("lost", ["replies", "requests"])
def test_a_reply_or_request_that_is_lost_leaves_each_line_once(fleet_server: RedisServer, lost: str) -> None:
    async def main() -> None:
        async with between(fleet_server.port) as way, taken(way.url) as (_, medium, journal):
            for number, id_ in enumerate(IDS):
                setattr(way, lost, number)
                journal.begin(id_)
                await journal.on_disk()
                journal.end(UNTRIED, deleted(id_))
            await medium.permanent()
            assert (way.replies, way.requests) == (0, 0)
            assert begun(await lines_of(fleet_server.url)) == list(IDS)
            async with opened(fleet_server.url) as store:
                assert (await read_history(store, RUN, 0)).gone == len(IDS)

    asyncio.run(main())


@pytest.mark.parametrize("forgotten", [1, 3])
def test_a_server_that_forgot_lines_gets_them_again(fleet_server: RedisServer, forgotten: int) -> None:
    async def main() -> None:
        async with taken(fleet_server.url) as (_, __, journal):
            for id_ in IDS[:3]:
                journal.begin(id_)
                await journal.on_disk()
            before = await lines_of(fleet_server.url)
            await cut(fleet_server.url, forgotten)
            journal.begin(IDS[3])
            await journal.on_disk()
            after = await lines_of(fleet_server.url)
        assert after[:-1] == before
        assert begun(after) == list(IDS)

    asyncio.run(main())


def test_lines_are_sent_again_where_the_server_forgets_them_twice(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with taken(fleet_server.url) as (_, __, journal):
            for id_ in IDS[:2]:
                journal.begin(id_)
                await journal.on_disk()
            for id_ in IDS[2:]:
                await cut(fleet_server.url, 2)
                journal.begin(id_)
                await journal.on_disk()
        assert begun(await lines_of(fleet_server.url)) == list(IDS)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["gone", "more than is remembered", "longer"])
def test_where_lines_cannot_be_sent_again_the_run_ends(fleet_server: RedisServer, how: str) -> None:
    async def main() -> None:
        async with taken(fleet_server.url) as (_, __, journal), client(fleet_server.url) as redis:
            if how == "gone":  # its ids were written by another process
                await redis.delete(KEY)
            elif how == "longer":
                await redis.rpush(KEY, "x", "y")
            else:
                for number in range(REMEMBERED):
                    journal.begin(f"x{number}")
                await journal.on_disk()
                await cut(fleet_server.url, REMEMBERED + 1)
            journal.begin(IDS[0])
            with pytest.raises(JournalError, match=r"the journal of part 0 of run a-run has \d.*Redis has lost some"):
                await journal.on_disk()
            with pytest.raises(JournalError, match="Redis has lost some"):
                journal.begin(IDS[1])

    asyncio.run(main())


def test_a_worker_whose_part_another_one_has_taken_adds_nothing(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with taken(fleet_server.url) as (store, _, old):
            old.begin(IDS[0])
            await old.on_disk()
            assert not await store.take(RUN, 0, "other")
            await asyncio.sleep(LEASE * 1.1)
            assert await store.take(RUN, 0, "other")
            before = await lines_of(fleet_server.url)
            old.begin(IDS[1])
            with pytest.raises(JournalError, match="another worker is at work on the journal of part 0"):
                await old.on_disk()
            assert await lines_of(fleet_server.url) == before

    asyncio.run(main())


def test_who_has_lost_the_part_adds_nothing_that_was_under_way_either(fleet_server: RedisServer) -> None:
    """Its request did not arrive; in the meantime another worker took the part, and wrote as many lines."""

    async def main() -> None:
        async with between(fleet_server.port) as way, taken(way.url) as (_, __, old), opened(fleet_server.url) as store:
            way.requests = 1000
            old.begin(IDS[0])
            waiting = asyncio.ensure_future(old.on_disk())
            await asyncio.sleep(LEASE * 1.1)
            async with taken(fleet_server.url, "other") as (_, medium, new):
                new.begin(IDS[1])
                await medium.permanent()
                before = await lines_of(fleet_server.url)
                way.requests = 0
                with pytest.raises(JournalError, match="another worker"):
                    await waiting
                assert await lines_of(fleet_server.url) == before
                assert (await read_history(store, RUN, 0)).entries[IDS[0]].result().outcome is Outcome.SKIPPED

    asyncio.run(main())


def test_adding_lines_is_a_sign_of_life(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with taken(fleet_server.url) as (_, __, journal), client(fleet_server.url) as redis:
            for id_ in IDS:
                before = await redis.hget(f"{{aionorth-fleet:{RUN}}}:owners", "0")
                await asyncio.sleep(0.01)
                journal.begin(id_)
                await journal.on_disk()
                who, till = (await redis.hget(f"{{aionorth-fleet:{RUN}}}:owners", "0")).split()
                assert who == "me"
                assert float(till) >= float(before.split()[1]) + 0.01

    asyncio.run(main())


def test_a_server_that_is_away_is_waited_for(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with taken(fleet_server.url) as (_, __, journal):
            fleet_server.stop()
            journal.begin(IDS[0])
            waiting = asyncio.ensure_future(journal.on_disk())
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await asyncio.to_thread(fleet_server.start)
            await waiting
        assert begun(await lines_of(fleet_server.url)) == [IDS[0]]

    asyncio.run(main())


def test_a_server_without_memory_is_waited_for(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with taken(fleet_server.url) as (store, _, journal), client(fleet_server.url) as redis:
            await redis.config_set("maxmemory", 1)
            journal.begin(IDS[0])
            waiting = asyncio.ensure_future(journal.on_disk())
            await asyncio.sleep(0.2)
            assert not waiting.done()
            with pytest.raises(StoreUnavailableError, match="used memory"):
                await store.add([part()], "another")
            await redis.config_set("maxmemory", 0)
            await waiting
        assert begun(await lines_of(fleet_server.url)) == [IDS[0]]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("line", "is damaged: line 2 is not one of a journal .*, submit its ids anew"),
        ("first line", "is damaged: its first line is not that of a journal; .*, submit its ids anew"),
        ("cut", "is damaged: it has 0 of the 4 ids of its first line; .*, submit its ids anew"),
        ("type", "is damaged: what the fleet's Redis server keeps is damaged: WRONGTYPE .*; submit its ids anew"),
        ("gone", "is gone from Redis; submit its ids anew"),
    ],
)
def test_a_journal_that_is_damaged_is_named_and_the_others_are_read(
    fleet_server: RedisServer, how: str, words: str
) -> None:
    async def main() -> None:
        async with Fleet(fleet_server.url) as fleet, client(fleet_server.url) as redis:
            await fleet.submit([part(), part(["x"], profile="q")], name=RUN)
            if how == "line":
                await redis.lset(KEY, 1, "garbage\n")
            elif how == "first line":
                first = await redis.lindex(KEY, 0)
                await redis.lset(KEY, 0, first.replace("subscriptions", "packages"))
            elif how == "cut":
                await redis.ltrim(KEY, 0, 0)
            else:
                await redis.delete(KEY)
                if how == "type":
                    await redis.set(KEY, "x")
            damaged = list[tuple[int, str]]()
            read = fleet.histories(RUN, on_damaged=lambda one, exc: damaged.append((one.number, str(exc))))
            assert [(one.number, list(history.entries)) async for one, history in read] == [(1, ["x"])]
            ((number, said),) = damaged
            assert number == 0
            assert re.fullmatch(f"the journal of part 0 of run {RUN} {words}", said)
            with pytest.raises(JournalError, match=words):
                await anext(fleet.histories(RUN))

    asyncio.run(main())


def write_a_run(journal: Journal) -> None:
    """Write what a run writes that is stopped before its last id."""
    lost = attrs.evolve(UNTRIED, calls=2, ambiguous=True)
    error = CredentialsError(status=403, code="100208", description="no")
    journal.begin(*IDS[:3])
    journal.end(UNTRIED, deleted(IDS[0]))
    journal.end(lost, DeleteResult(id=IDS[1], outcome=Outcome.FAILED, attempts=2, elapsed=1.5, error=error))
    journal.run_ended(stopped=True, cause=None)


def test_the_account_of_a_journal_in_redis_is_that_of_one_in_a_file(fleet_server: RedisServer, tmp_path: Path) -> None:
    def clock() -> float:
        return 1_700_000_000.0

    async def main() -> None:
        one = Part(kind=Kind.SUBSCRIPTIONS, url="http://h", app_id="a", total=len(IDS), ids=IDS)
        in_file = Journal.create(file, one.target, IDS, clock=clock)
        in_file.take()
        write_a_run(in_file)
        in_file.close()
        async with opened(fleet_server.url) as store:
            await store.add([one], RUN)
            await store.take(RUN, 0, "me")
            medium = JournalInRedis(store, RUN, 0, "me")
            write_a_run(Journal.resumed(medium, await medium.read(), clock=clock))
            await medium.permanent()
            theirs, ours = await read_history(store, RUN, 0), read(file)
        assert await lines_of(fleet_server.url) == file.read_text().splitlines(keepends=True)
        assert [one.to_dict() for one in theirs.results()] == [one.to_dict() for one in ours.results()]
        assert (theirs.gone, theirs.target, theirs.each_run()) == (ours.gone, ours.target, ours.each_run())

    file = tmp_path / "journal.jsonl"
    asyncio.run(main())
