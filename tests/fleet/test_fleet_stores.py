"""What a fleet keeps in Redis of its runs: who may be at work on what, until when, and what is said of it."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from fleets import IDS, LEASE, RUN, at_work, client, opened, part, taken, write_as_one_that_dies
from processes import RedisServer, redis_server
from support import shown

from aionorth import ArgumentError, Outcome, StoreError
from aionorth.errors import StoreUnavailableError
from aionorth.fleet import Fleet, PartState
from aionorth.fleet import store as fleet_store
from aionorth.fleet.runs import DamagedError
from aionorth.fleet.store import KEPT, OTHERS, RENEWED, FleetStore
from aionorth.fleet.stored import PREFIX
from aionorth.stores.redis import RedisStore

PASSWORD = "hush-hush"
ROOT = f"{{{PREFIX}:{RUN}}}"


def test_one_worker_has_a_part_until_its_lease_is_over(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store:
            await store.add([part(), part()], RUN)
            assert await store.take(RUN, 0, "a")
            assert await store.take(RUN, 0, "a")
            assert not await store.take(RUN, 0, "b")
            assert await store.take(RUN, 1, "b")
            await asyncio.sleep(LEASE * 1.1)
            assert await store.take(RUN, 0, "b")
            assert await store.beat(RUN, at_work(), "a") is None
            assert await store.beat(RUN, at_work(), "b") is False

    asyncio.run(main())


def test_a_sign_of_life_renews_the_lease_and_the_last_one_ends_it(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with opened(fleet_server.url, lease=60) as store, client(fleet_server.url) as redis:
            await store.add([part()], RUN)
            assert await store.take(RUN, 0, "a")
            _, before = (await redis.hget(f"{{{PREFIX}:{RUN}}}:owners", "0")).split()
            await asyncio.sleep(0.02)
            assert await store.beat(RUN, at_work(), "a") is False
            _, after = (await redis.hget(f"{{{PREFIX}:{RUN}}}:owners", "0")).split()
            assert float(after) >= float(before) + 0.02
            assert not await store.take(RUN, 0, "b")
            assert await store.beat(RUN, at_work(), "a", last=True) is False
            assert await store.take(RUN, 0, "b")

    asyncio.run(main())


def test_what_a_sign_of_life_says_is_what_the_status_shows(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store:
            await store.add([part(), part(["b"])], RUN)
            await store.take(RUN, 0, "a")
            outcomes = Counter({Outcome.DELETED: 2, Outcome.SKIPPED: 2})
            await store.beat(RUN, at_work(outcomes=outcomes, calls=3, refusals=1), "a")
            first, second = (await store.status(RUN)).parts
            assert (first.state, first.outcomes, first.calls, first.refusals) == (PartState.AT_WORK, outcomes, 3, 1)
            assert (first.part.ids, first.part.total, second.part.total) == ((), len(IDS), 1)
            assert second.state is PartState.WAITING
            await asyncio.sleep(LEASE * 1.1)
            first, second = (await store.status(RUN)).parts
            assert (first.state, first.outcomes) == (PartState.LOST, outcomes)
            failed = attrs.evolve(at_work(), state=PartState.FAILED, cause="why")
            await store.beat(RUN, failed, "a", last=True)
            first, _ = (await store.status(RUN)).parts
            assert (first.state, first.cause) == (PartState.FAILED, "why")
            await store.set_waiting(RUN, failed)
            first, _ = (await store.status(RUN)).parts
            assert (first.state, first.cause) == (PartState.WAITING, "")

    asyncio.run(main())


def test_workers_hear_that_a_run_is_cancelled_and_that_it_is_not_any_more(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store:
            await store.add([part(), part()], RUN)
            await store.take(RUN, 0, "a")
            await store.set_cancelled(RUN, cancelled=True)
            assert await store.beat(RUN, at_work(), "a") is True
            status = await store.status(RUN)
            assert status.cancelled
            assert [one.state for one in status.parts] == [PartState.AT_WORK, PartState.CANCELLED]
            await store.set_cancelled(RUN, cancelled=False)
            assert await store.beat(RUN, at_work(), "a") is False
            assert [one.state for one in (await store.status(RUN)).parts] == [PartState.AT_WORK, PartState.WAITING]

    asyncio.run(main())


async def cancelled_after_a_death(store: FleetStore, fleet: Fleet) -> None:
    """Submit a run whose worker says that it has deleted one id, and then no more; cancel it."""
    await fleet.submit([part()], name=RUN)
    await store.take(RUN, 0, "a")
    await store.beat(RUN, at_work(calls=1, outcomes=Counter({Outcome.DELETED: 1})), "a")
    await asyncio.sleep(2 * store.lease)
    await fleet.cancel(RUN)


def test_a_run_that_is_cancelled_is_settled_though_the_worker_of_a_part_is_lost(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with opened(fleet_server.url, lease=0.01) as store, Fleet(fleet_server.url) as fleet:
            await cancelled_after_a_death(store, fleet)
            (ended,) = (await store.status(RUN)).parts
            assert (ended.state, ended.gone, ended.uncounted) == (PartState.CANCELLED, 1, True)
            await store.set_cancelled(RUN, cancelled=False)
            assert [one.number for one in await fleet.resume(RUN)] == [0]
            assert await store.beat(RUN, at_work(), "a") is None  # it lives after all, and the part is not its own now
            assert (await store.status(RUN)).parts[0].state is PartState.WAITING

    asyncio.run(main())


def test_what_the_journal_of_a_worker_that_died_says_is_what_a_cancelled_run_came_to(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with taken(fleet_server.url) as (store, medium, journal), Fleet(fleet_server.url) as fleet:
            await store.set_sent(RUN)
            await write_as_one_that_dies(medium, journal, IDS[:3], gone=2)
            await store.beat(RUN, at_work(calls=1, outcomes=Counter({Outcome.DELETED: 1})), "me")  # its last one
            await asyncio.sleep(LEASE * 1.1)
            assert (await fleet.status(RUN)).counts()["deleted"] == 1  # another worker may go on with it
            await fleet.cancel(RUN)
            for _ in range(2):
                status = await asyncio.wait_for(fleet.wait(RUN), 1)
                assert status.counts() == Counter(deleted=2, unknown=1, skipped=1)
                assert (status.parts[0].state, status.parts[0].calls) == (PartState.CANCELLED, 3)
            assert str(status) == f"{RUN}: 4 ids in 1 part (1 cancelled): 2 deleted, 1 unknown, 1 skipped"
            assert [one.gone for one in await fleet.resume(RUN)] == [2]
            ((status_of_part, history),) = [one async for one in fleet.histories(RUN)]
            assert (status_of_part.state, history.unfinished) == (PartState.WAITING, True)

    asyncio.run(main())


@pytest.mark.parametrize("gone", [2, len(IDS)])
def test_a_run_is_resumed_from_what_the_journal_of_a_worker_that_died_says(
    fleet_server: RedisServer, gone: int
) -> None:
    async def main() -> None:
        async with taken(fleet_server.url) as (store, medium, journal), Fleet(fleet_server.url) as fleet:
            await store.set_sent(RUN)
            await write_as_one_that_dies(medium, journal, IDS, gone)
            await store.beat(RUN, at_work(calls=1, outcomes=Counter({Outcome.DELETED: 1})), "me")  # its last one
            await asyncio.sleep(LEASE * 1.1)
            assert [one.gone for one in await fleet.resume(RUN)] == ([] if gone == len(IDS) else [gone])
            await fleet.cancel(RUN)  # before a worker has come to it
            status = await asyncio.wait_for(fleet.wait(RUN), 1)
            assert (status.counts()["deleted"], status.counts()["unknown"]) == (gone, len(IDS) - gone)
            assert status.ok == (gone == len(IDS)) == (status.parts[0].state is PartState.COMPLETE)

    asyncio.run(main())


def test_the_journal_of_a_worker_that_died_may_be_damaged(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with opened(fleet_server.url, lease=0.01) as store, Fleet(fleet_server.url) as fleet:
            await cancelled_after_a_death(store, fleet)
            async with client(fleet_server.url) as redis:
                await redis.delete(f"{ROOT}:journal:0")
            assert (await asyncio.wait_for(fleet.wait(RUN), 1)).counts()["deleted"] == 1

    asyncio.run(main())


STATE = {"state": "at_work", "outcomes": {"deleted": 1}, "calls": 1, "refusals": 0, "cause": "", "declined": {}}
STATE |= {"declined_since": 0.0, "next_call": 0.0, "silent_for": 0.0}


@pytest.mark.parametrize(
    ("key", "field", "value", "what"),
    [
        ("", "made_at", None, "when it was submitted"),
        ("", "made_at", "yesterday", "when it was submitted"),
        ("", "made_at", "1e300", "when it was submitted"),
        (":parts", "0", None, "its parts"),
        (":parts", "0", "{nonsense", "part 0"),
        (":parts", "0", "[]", "part 0"),
        (":parts", "0", "{}", "part 0"),
        (":parts", "0", part().to_json().replace("subscriptions", "widgets"), "part 0"),
        (":parts", "0", part().to_json().replace('"total": 4', '"total": "4"'), "part 0"),
        (":parts", "2", part().to_json(), "part 1"),
        (":states", "0", "nonsense", "how far part 0 is"),
        (":states", "0", "null", "how far part 0 is"),
        (":states", "0", json.dumps(STATE | {"state": "flying"}), "how far part 0 is"),
        (":states", "0", json.dumps(STATE | {"outcomes": {"deleted": "1"}}), "how far part 0 is"),
        (":states", "0", json.dumps(STATE | {"outcomes": {"flown": 1}}), "how far part 0 is"),
        (":states", "0", json.dumps(STATE | {"outcomes": 1}), "how far part 0 is"),
        (":states", "0", json.dumps(STATE | {"calls": None}), "how far part 0 is"),
    ],
)
def test_what_of_a_run_cannot_be_read_is_named(
    fleet_server: RedisServer, key: str, field: str, value: str | None, what: str
) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store, client(fleet_server.url) as redis:
            await store.add([part()], RUN)
            await redis.hset(f"{ROOT}:states", "0", json.dumps(STATE))
            assert (await store.status(RUN)).parts[0].gone == 1
            if value is None:
                await redis.hdel(ROOT + key, field)
            else:
                await redis.hset(ROOT + key, field, value)
            with pytest.raises(DamagedError) as caught:
                await store.status(RUN)
            said = (
                f"run {RUN} is damaged: {what} cannot be read from the fleet's Redis server; restore it from a backup"
            )
            assert str(caught.value).startswith(said)

    asyncio.run(main())


@pytest.mark.parametrize("key", ["", ":parts", ":owners", ":states"])
def test_a_key_that_has_another_type_is_damage(fleet_server: RedisServer, key: str) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store, client(fleet_server.url) as redis:
            await store.add([part()], RUN)
            await redis.set(ROOT + key, "x")
            with pytest.raises(DamagedError, match=f"run {RUN} is damaged: one of its keys cannot be read"):
                await store.status(RUN)

    asyncio.run(main())


@pytest.mark.parametrize("owner", ["nonsense", "", "b", "b soon", "b 1e99", "b 1.0 c", "b nan"])
def test_an_owner_that_cannot_be_read_is_nobody(fleet_server: RedisServer, owner: str) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store, client(fleet_server.url) as redis:
            await store.add([part()], RUN)
            await store.take(RUN, 0, "a")
            await store.beat(RUN, at_work(), "a")
            await redis.hset(f"{ROOT}:owners", "0", owner)
            assert (await store.status(RUN)).parts[0].state is PartState.LOST
            assert await store.beat(RUN, at_work(), "a") is None
            assert await store.append(RUN, 0, "a", 2, ["x\n"]) == (OTHERS, 2)
            assert await store.take(RUN, 0, "c")
            assert (await store.status(RUN)).parts[0].state is PartState.AT_WORK

    asyncio.run(main())


def test_a_name_that_is_none_is_refused_before_anything_is_kept(fleet_server: RedisServer) -> None:
    names = ["a b", "a/b", "{a}", "a:b", "ä", "...", "*", "a\nb", "a\x00", "日本", "-", "a}:x{"]

    async def main() -> None:
        async with opened(fleet_server.url) as store, client(fleet_server.url) as redis:
            for name in names:
                with pytest.raises(ArgumentError, match="letters, digits, hyphens, underscores and dots"):
                    await store.add([part()], name)
                with pytest.raises(ArgumentError, match="there is no run"):
                    await store.status(name)
            assert await redis.keys() == []

    asyncio.run(main())


def test_runs_have_names_of_their_own_and_the_oldest_comes_first(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store, client(fleet_server.url) as redis:
            await store.add([part()], "z_1.a-b")
            with pytest.raises(ArgumentError, match=r"there is a run z_1\.a-b already"):
                await store.add([part(["x"])], "z_1.a-b")
            assert (await store.status("z_1.a-b")).total == len(IDS)
            others = [await store.add([part()], None) for _ in range(20)]
            assert len(set(others)) == 20
            assert await store.names() == ["z_1.a-b", *others]
            await redis.delete(ROOT.replace(RUN, "z_1.a-b"))  # as after its time
            assert await store.names() == others
            assert await redis.zrange(f"{PREFIX}:runs", 0, -1) == others

    asyncio.run(main())


def test_two_runs_that_are_submitted_in_one_second_have_two_names(
    fleet_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = iter(["same", "same", "same", "another"])
    monkeypatch.setattr(fleet_store, "_new_name", lambda: next(names))

    async def main() -> None:
        async with opened(fleet_server.url) as store:
            assert [await store.add([part()], None) for _ in range(2)] == ["same", "another"]

    asyncio.run(main())


def test_who_looks_at_runs_by_a_clock_that_is_ahead_takes_none_away(
    fleet_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store:
            await store.add([part()], RUN)
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda: KEPT * 1000.0)
                assert await store.names() == [RUN]
            assert await store.names() == [RUN]

    asyncio.run(main())


def test_all_of_a_run_is_kept_for_as_long_after_a_sign_of_life(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with Fleet(fleet_server.url) as fleet, client(fleet_server.url) as redis:
            store = fleet._store
            await fleet.submit([part(), part(profile="q")], name=RUN)
            assert await store.take(RUN, 0, "a")

            async def sign() -> None:
                await store.beat(RUN, at_work(), "a")

            async def resume() -> None:
                await fleet.resume(RUN)

            await sign()
            keys = [key async for key in redis.scan_iter(f"{ROOT}*")]
            assert len(keys) == 6
            for renew in (sign, resume):
                for key in keys:
                    await redis.expire(key, KEPT - RENEWED - 60)
                await renew()
                assert [key for key in keys if not KEPT - 60 < await redis.ttl(key) <= KEPT] == []

    asyncio.run(main())


def test_nothing_of_a_run_is_kept_for_ever(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store, client(fleet_server.url) as redis:
            await store.add([part(), part()], RUN)
            await store.take(RUN, 0, "a")
            await store.beat(RUN, at_work(), "a")
            await store.append(RUN, 0, "a", 2, ["x\n"])
            await store.set_waiting(RUN, at_work(1))
            keys = [key async for key in redis.scan_iter() if not key.endswith(":runs")]
            assert len(keys) == 6
            assert [key for key in keys if not KEPT - 60 < await redis.ttl(key) <= KEPT] == []
            for key in keys:
                await redis.delete(key)
            assert await store.part(RUN, 0) is None

    asyncio.run(main())


@pytest.mark.parametrize(
    "url",
    [
        f"redis+cluster://:{PASSWORD}@h:1,h:2",
        f"redis+sentinel://:{PASSWORD}@h:1/service/0",
        f"http://:{PASSWORD}@h",
        f"redis://:{PASSWORD}#@h",
        f"redis://:{PASSWORD}@h/0?ssl_cert_reqs=no",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_shown(url: str) -> None:
    for made in (FleetStore, Fleet):
        with pytest.raises(ArgumentError, match="the fleet's Redis URL") as caught:
            made(url)
        assert PASSWORD not in str(caught.value)
        assert PASSWORD not in str(caught.value.__cause__)


def test_a_server_that_is_away_is_named_and_its_password_is_not(fleet_server: RedisServer) -> None:
    async def main() -> None:
        url = fleet_server.url.replace("://", f"://:{PASSWORD}@")
        async with opened(url) as store, client(fleet_server.url) as redis:
            await redis.config_set("requirepass", "another one")
            with pytest.raises(StoreError, match="invalid username-password pair") as caught:
                await store.names()
            assert PASSWORD not in shown(caught.value)
            fleet_server.stop()
            with pytest.raises(StoreUnavailableError, match="cannot be reached") as caught:
                await store.names()
            assert PASSWORD not in shown(caught.value)

    asyncio.run(main())


def test_what_a_server_that_wants_a_password_wants_is_said(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with client(fleet_server.url) as redis:
            await redis.config_set("requirepass", PASSWORD)
        async with opened(fleet_server.url) as store:
            with pytest.raises(StoreError, match="it wants a password, and the URL has none: write it as in redis://"):
                await store.names()
        with pytest.raises(StoreError, match="it wants a password, and the URL has none: write it as in redis://"):
            await RedisStore(fleet_server.url).open("app")
        fleet_server.stop()  # it forgets that

    asyncio.run(main())


def test_after_one_failure_all_connections_are_new_ones(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store:
            await asyncio.gather(*(store.names() for _ in range(20)))
            await asyncio.to_thread(fleet_server.restart)
            with suppress(StoreUnavailableError):  # some versions of redis-py see that the connection has ended
                await store.names()
            async with client(fleet_server.url) as redis:
                while (await redis.info("persistence"))["loading"]:  # noqa: ASYNC110 - a server has no event
                    await asyncio.sleep(0.01)
            await asyncio.gather(*(store.names() for _ in range(20)))

    asyncio.run(main())


def test_a_call_that_is_cancelled_at_any_moment_ends_so(fleet_server: RedisServer) -> None:
    """Before Python 3.12 `asyncio.wait_for`, with which redis-py sends, may end as if it was not cancelled."""

    async def main() -> None:
        chance = random.Random(5)
        flow = await RedisStore(fleet_server.url).open("an-app")
        async with opened(fleet_server.url) as store:

            def look() -> Coroutine[Any, Any, object]:
                return flow.read(clock_error=0.0)

            def names() -> Coroutine[Any, Any, object]:
                return store.names()

            for call in (look, names):
                cancelled, end = 0, time.monotonic() + 30
                while cancelled < 300:
                    task = asyncio.create_task(call())
                    for _ in range(chance.randrange(9)):
                        await asyncio.sleep(0)
                    if task.cancel():
                        cancelled += 1
                        await asyncio.wait({task})
                        assert task.cancelled()
                    assert time.monotonic() < end
        await flow.close()

    asyncio.run(main())


def test_a_call_does_not_take_a_connection_that_is_being_given_up(fleet_server: RedisServer) -> None:
    async def main() -> None:
        chance = random.Random(6)
        async with opened(fleet_server.url) as store:

            async def call(later: int) -> None:
                for _ in range(later):
                    await asyncio.sleep(0)
                await store.names()

            for _ in range(100):
                await asyncio.gather(*(call(0) for _ in range(10)))
                connections = store._connections
                calls = [call(chance.randrange(12)) for _ in range(10)]
                await asyncio.gather(connections.renew(connections.generation), *calls)

    asyncio.run(main())


def test_a_call_that_is_cancelled_ends_so_where_its_connection_is_lost_too(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store, client(fleet_server.url) as redis:
            for _ in range(50):
                tasks = [asyncio.create_task(store.take(RUN, number, "me")) for number in range(8)]
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                killing = asyncio.create_task(redis.client_kill_filter(_type="normal", skipme=True))
                cancelled = [task for task in tasks if task.cancel()]
                await asyncio.wait([*tasks, killing])
                assert [task for task in cancelled if not task.cancelled()] == []
                for task in tasks:
                    assert task.cancelled() or task.exception() is None or isinstance(task.exception(), StoreError)

    asyncio.run(main())


@pytest.mark.slow
def test_no_caller_waits_for_a_connection_for_ever_though_others_are_cancelled(fleet_server: RedisServer) -> None:
    """On Python 3.11 a wake-up of `asyncio.Condition` is lost, if who is woken up is cancelled."""

    async def main() -> None:
        chance = random.Random(7)
        async with opened(f"{fleet_server.url}?max_connections=2") as store:
            for _ in range(400):
                tasks = [asyncio.create_task(store.names()) for _ in range(12)]
                await asyncio.sleep(chance.random() * 0.003)
                for task in tasks:
                    if chance.random() < 0.5:
                        task.cancel()
                _, left = await asyncio.wait(tasks, timeout=10)
                assert not left

    asyncio.run(main())


def test_what_about_a_server_may_lose_journals_is_told(fleet_server: RedisServer, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(fleet_server.url) as store:
            assert await store.misgivings() == []
        async with opened(other.url) as store, client(other.url) as redis:
            await redis.config_set("maxmemory-policy", "allkeys-lru")
            first, second = await store.misgivings()
            assert "set appendonly yes" in first
            assert "set maxmemory-policy noeviction" in second

    with redis_server(tmp_path) as other:
        asyncio.run(main())


def test_a_submission_that_was_broken_off_is_resumed(
    fleet_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with Fleet(fleet_server.url) as fleet, client(fleet_server.url) as redis:
            send = fleet._send

            async def broken_off(run: str, number: int) -> None:
                if number == 2:
                    raise KeyError("broken off")
                await send(run, number)

            monkeypatch.setattr(fleet, "_send", broken_off)
            with pytest.raises(KeyError):
                await fleet.submit([part(profile=one) for one in "abc"], name="half")
            monkeypatch.undo()
            assert not (await fleet.status("half")).sent
            assert [one.number for one in await fleet.resume("half")] == [0, 1, 2]
            assert (await fleet.status("half")).sent
            assert not await fleet.resume("half")
            assert await redis.xlen("aionorth-fleet:tasks") == 5
            await fleet.cancel("half")
            monkeypatch.setattr(fleet, "_send", broken_off)
            with pytest.raises(KeyError):
                await fleet.resume("half")
            monkeypatch.undo()
            assert [one.number for one in await fleet.resume("half")] == [0, 1, 2]

    asyncio.run(main())


def test_an_app_s_ids_of_one_kind_are_one_part(fleet_server: RedisServer) -> None:
    async def main() -> None:
        async with Fleet(fleet_server.url) as fleet:
            with pytest.raises(ArgumentError, match="two parts are subscriptions of p: make one of them"):
                await fleet.submit([part(), part(["other"])])
            assert await fleet.runs() == []

    asyncio.run(main())
