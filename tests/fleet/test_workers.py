"""What a worker does with a part, whatever becomes of it, of the server and of the run meanwhile."""

import asyncio
import logging
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
from fleets import LEASE, RUN, client, part, write_as_one_that_dies
from processes import RedisServer, served_before
from redis.asyncio import Redis

from aionorth import ArgumentError, FlowControl, NorthSession, Outcome, RedisStore, SubscriptionSelection
from aionorth.errors import StoreUnavailableError
from aionorth.fleet import Fleet, Part, PartState, PartStatus, worker
from aionorth.fleet.fleet import in_one_line
from aionorth.fleet.journal import JournalInRedis, read_history
from aionorth.fleet.store import FleetStore
from aionorth.fleet.worker import Worker
from aionorth.purge.journal import Journal
from aionorth.simulator import Simulator
from aionorth.stores.redis import OpenRedisStore

APP, SECRET = "demo-app", "hush-hush-of-the-app"
PERIOD = 0.4


class Place:
    """A platform with subscriptions, a Redis server, and workers that have the settings for it in a profile ``p``."""

    def __init__(self, url: str, platform: Simulator, ids: Sequence[str], config: Path) -> None:
        self.url = url
        self.platform = platform
        self.ids = ids
        self.config = config
        self.store = FleetStore(url, lease=LEASE)

    def write_profile(self, *, url: str = "", app_id: str = APP) -> None:
        secret = self.config.with_name("secret")
        secret.write_text(SECRET)
        secret.chmod(0o600)
        self.config.write_text(
            f'[profiles.p]\nurl = "{url or self.platform.url}"\napp_id = "{app_id}"\nsecret_file = "{secret}"\n'
            f"period = {PERIOD}\ntimeout = {PERIOD * 5}\n"
        )
        self.config.chmod(0o600)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        one = Worker(self.url, lease=LEASE)
        await one.open()
        try:
            yield one
        finally:
            await one.close()

    async def let_die(self, *, begun: int, gone: int) -> None:
        """Let a worker take the part, begin so many ids, delete so many, and die."""
        assert await self.store.take(RUN, 0, "dead")
        medium = JournalInRedis(self.store, RUN, 0, "dead")
        journal = Journal.resumed(medium, await medium.read())
        await write_as_one_that_dies(medium, journal, self.ids[:begun], gone)

    async def status(self) -> PartStatus:
        (status,) = (await self.store.status(RUN)).parts
        return status

    async def outcomes(self) -> list[Outcome]:
        """Return each id's outcome, and see that it is true."""
        results = list((await read_history(self.store, RUN, 0)).results())
        there = self.platform.subscription_ids()
        assert [one.id for one in results] == list(self.ids)
        assert [one for one in results if one.outcome.ok == (one.id in there)] == []
        return [one.outcome for one in results]

    def deletes(self) -> int:
        return sum(one.method == "DELETE" for one in self.platform.arrivals)


@pytest.fixture
def play(fleet_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Plays a story in such a place, on a server that has served the app before."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(worker, "DRAIN", 2.0)
    (tmp_path / "aionorth").mkdir()

    def played(story: Callable[[Place], Any], number: int = 10, **options: Any) -> None:
        async def main() -> None:
            async with Simulator({APP: SECRET}, calls=100, period=PERIOD, **options) as platform:
                ids = platform.add_subscriptions(number)
                place = Place(fleet_server.url, platform, ids, tmp_path / "aionorth" / "config.toml")
                place.write_profile()
                await served_before(fleet_server.url, platform.url)
                try:
                    async with asyncio.timeout(60):
                        await story(place)
                finally:
                    await place.store.close()

        asyncio.run(main())

    return played


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what a platform sees has no event
        await asyncio.sleep(0.01)


def slow(_: Any) -> tuple[float, float]:
    return 0.0, 0.3


Play = Callable[..., None]


def test_a_part_is_done_and_its_journal_says_so(play: Play) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        async with place.worker() as one:
            assert await one.do(RUN, 0)
            assert await one.do(RUN, 0)
            assert await one.do("of-nobody", 0)
        assert await place.outcomes() == [Outcome.DELETED] * 10
        status = await place.status()
        assert (status.state, status.calls, status.gone) == (PartState.COMPLETE, 10, 10)
        history = await read_history(place.store, RUN, 0)
        assert (history.target.url, history.target.app_id) == (place.platform.url, APP)
        assert len(place.platform.arrivals) == 11

    play(story)


def test_nothing_secret_is_kept_on_the_server(play: Play) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        async with place.worker() as one:
            assert await one.do(RUN, 0)
        token = place.platform._platform.app(APP).access_token
        assert token
        async with Redis.from_url(place.url) as redis:  # type: ignore[no-untyped-call, unused-ignore]
            await redis.config_set("rdbcompression", "no")
            kept = b"".join([key + (await redis.dump(key) or b"") async for key in redis.scan_iter()])
        assert place.ids[0].encode() in kept
        for secret in (SECRET, token):
            assert secret.encode() not in kept

    play(story)


def test_a_run_that_is_cancelled_before_is_not_begun(play: Play) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        await place.store.set_cancelled(RUN, cancelled=True)
        async with place.worker() as one:
            assert await one.do(RUN, 0)
        assert (await place.status()).state is PartState.CANCELLED
        assert place.platform.arrivals == ()

    play(story)


@pytest.mark.slow
def test_a_run_that_is_cancelled_ends_soon_and_is_resumed(play: Play) -> None:
    async def story(place: Place) -> None:
        async with Fleet(place.url) as fleet, place.worker() as one:
            await fleet.submit([part(place.ids)], name=RUN)
            doing = asyncio.create_task(one.do(RUN, 0))
            await until(lambda: place.deletes() >= 16)
            await fleet.cancel(RUN)
            assert await doing
            status = await place.status()
            assert (status.state, status.outcomes[Outcome.SKIPPED] > 0) == (PartState.CANCELLED, True)
            assert place.deletes() < 40
            await place.outcomes()
            (left,) = await fleet.resume(RUN)
            assert (left.number, (await place.status()).state) == (0, PartState.WAITING)
            async with client(place.url) as redis:
                assert await redis.xlen("aionorth-fleet:tasks") == 2
            assert await one.do(RUN, 0)
            assert (await fleet.wait(RUN)).ok
            assert set(await place.outcomes()) == {Outcome.DELETED}
            assert await fleet.resume(RUN) == []

    play(story, number=40, latency=slow)


@pytest.mark.slow
def test_a_run_that_is_resumed_while_its_worker_ends_is_handed_to_another_one(play: Play) -> None:
    async def story(place: Place) -> None:
        async with Fleet(place.url) as fleet, place.worker() as one:
            await fleet.submit([part(place.ids)], name=RUN)
            doing = asyncio.create_task(one.do(RUN, 0))
            await until(lambda: place.deletes() >= 16)
            await fleet.cancel(RUN)
            await asyncio.sleep(LEASE / 3 * 1.2)  # it has heard of it, and waits for replies
            assert await fleet.resume(RUN) == []
            assert not await doing
            assert (await place.status()).state is PartState.WAITING
            assert await one.do(RUN, 0)
            assert (await fleet.status(RUN)).ok

    play(story, number=40, latency=slow)


@pytest.mark.slow
def test_a_worker_that_ends_hands_its_parts_back_at_once(play: Play) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        async with place.worker() as one, place.worker() as other:
            doing = asyncio.create_task(one.do(RUN, 0))
            await until(lambda: place.deletes() >= 16)
            one.end()
            assert not await doing
            began = time.monotonic()
            assert (await place.status()).state is PartState.WAITING
            assert await other.do(RUN, 0)
            assert time.monotonic() - began < 60
        assert set(await place.outcomes()) == {Outcome.DELETED}
        assert place.deletes() == len(place.ids)

    play(story, number=40, latency=slow)


def test_what_a_dead_worker_had_in_flight_is_asked_for_again_and_nothing_else(play: Play) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        await place.let_die(begun=4, gone=2)
        async with NorthSession.from_profile("p", store=RedisStore(place.url)) as north:
            for id_ in place.ids[:3]:
                await north.delete_subscription(id_)
        async with place.worker() as one:
            began = time.monotonic()
            assert await one.do(RUN, 0)
            assert time.monotonic() - began < 10
        assert await place.outcomes() == [*[Outcome.DELETED] * 2, Outcome.GONE, *[Outcome.DELETED] * 7]
        asked = Counter(one.resource for one in place.platform.arrivals if one.method == "DELETE")
        assert [id_ for id_ in place.ids if asked[id_] > 1] == [place.ids[2]]

    play(story)


@pytest.mark.slow
def test_a_worker_waits_for_a_part_that_another_one_has_and_keeps_the_message(play: Play) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        assert await place.store.take(RUN, 0, "another")
        working = PartStatus(number=0, part=part(place.ids), state=PartState.AT_WORK)
        async with place.worker() as one, place.worker() as other:
            doing, waiting = asyncio.create_task(one.do(RUN, 0)), asyncio.create_task(other.do(RUN, 0))
            for _ in range(12):
                await asyncio.sleep(LEASE / 6)
                await place.store.beat(RUN, working, "another")
            assert not doing.done()
            other.end()
            assert not await waiting
            await place.store.beat(RUN, working, "another", last=True)
            assert await doing
        assert set(await place.outcomes()) == {Outcome.DELETED}

    play(story)


@pytest.mark.slow
def test_a_worker_that_has_lost_its_part_leaves_it_to_the_other(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        async with place.worker() as one, client(place.url) as redis:
            doing = asyncio.create_task(one.do(RUN, 0))
            await until(lambda: place.deletes() >= 16)
            await redis.hset(f"{{aionorth-fleet:{RUN}}}:owners", "0", f"another {time.time() + 60}")
            assert not await doing
            assert (await place.status()).state is PartState.AT_WORK
        assert "part 0 of run a-run is another worker's by now" in caplog.text
        assert place.deletes() < 40

    play(story, number=40, latency=slow)


async def until_settled(one: Worker) -> None:
    while not await one.do(RUN, 0):
        pass


@pytest.mark.slow
def test_a_server_that_is_away_fails_no_part(play: Play, fleet_server: RedisServer) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        async with place.worker() as one:
            fleet_server.stop()
            assert not await one.do(RUN, 0)
            await asyncio.to_thread(fleet_server.start)
            doing = asyncio.create_task(until_settled(one))
            await until(lambda: place.deletes() >= 1)
            await asyncio.to_thread(fleet_server.restart)
            await doing
        with suppress(StoreUnavailableError):
            await place.status()  # by a connection from before
        assert set(await place.outcomes()) <= {Outcome.DELETED, Outcome.GONE}
        assert (await place.status()).state is PartState.COMPLETE

    play(story, number=60)


def test_the_last_word_on_a_part_is_said_once_the_server_can_be_reached(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter(range(3))
    beat = FleetStore.beat

    async def at_times(*given: Any, last: bool = False) -> bool | None:
        if last and next(failures, None) is not None:
            raise StoreUnavailableError("it is away")
        return await beat(*given, last=last)

    async def story(place: Place) -> None:
        monkeypatch.setattr(FleetStore, "beat", at_times)
        await place.store.add([part(place.ids)], RUN)
        async with place.worker() as one:
            assert await one.do(RUN, 0)
        assert (await place.status()).state is PartState.COMPLETE

    play(story)


@pytest.mark.slow
def test_a_worker_ends_though_the_server_is_away(
    play: Play, fleet_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "DRAIN", 0.2)

    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        async with place.worker() as one:
            doing = asyncio.create_task(one.do(RUN, 0))
            await until(lambda: place.deletes() >= 16)
            fleet_server.stop()
            one.end()
            assert not await asyncio.wait_for(doing, 10)

    play(story, number=40, latency=slow)


def test_a_part_has_as_many_calls_in_flight_as_its_profile_says(play: Play) -> None:
    async def story(place: Place) -> None:
        async with place.worker() as one:
            await place.store.add([part(place.ids)], RUN)
            profile = place.config.read_text()
            place.config.write_text(f"{profile}workers = 'two'\n")
            assert await one.do(RUN, 0)
            status = await place.status()
            assert (status.state, place.deletes()) == (PartState.FAILED, 0)
            assert "workers in profile 'p'" in status.cause
            place.config.write_text(f"{profile}workers = 1\n")
            await place.store.set_waiting(RUN, status)
            assert await one.do(RUN, 0)
        at = [one.received for one in place.platform.arrivals if one.method == "DELETE"]
        assert len(at) == 4
        assert min(after - before for before, after in pairwise(at)) >= 0.05

    play(story, number=4, latency=lambda _: (0.0, 0.05))


@pytest.mark.parametrize("wrong", ["no profile", "no secret", "no setting", "variable"])
def test_a_part_for_which_a_worker_lacks_settings_fails_and_can_be_resumed(
    play: Play, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    async def story(place: Place) -> None:
        async with Fleet(place.url) as fleet, place.worker() as one:
            await fleet.submit([part(place.ids)], name=RUN)
            if wrong == "no profile":
                place.config.unlink()
                words = "profile"
            elif wrong == "no secret":
                place.config.with_name("secret").unlink()
                words = "secret"
            elif wrong == "no setting":  # whose variable would be refused
                place.config.write_text('[profiles.p]\nurl = "http://platform.example"\n')
                words = f"profile 'p' of {place.config} has no app_id, and no secret_file: add what is missing"
            else:
                monkeypatch.setenv("AIONORTH_APP_ID", "another")
                words = "AIONORTH_APP_ID is set in the worker's environment and would come before profile 'p'"
            assert await one.do(RUN, 0)
            status = await place.status()
            assert status.state is PartState.FAILED
            assert words in status.cause
            assert place.platform.arrivals == ()
            monkeypatch.delenv("AIONORTH_APP_ID", raising=False)
            place.write_profile()
            assert len(await fleet.resume(RUN)) == 1
            assert await one.do(RUN, 0)
            assert (await fleet.status(RUN)).ok

    play(story)


def test_what_others_have_put_into_a_part_forges_no_line_of_a_worker_s_log(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(place: Place) -> None:
        async with place.worker() as one:
            forged = attrs.evolve(part(place.ids), profile="100 %s\n[ERROR] forged \x1b[31mred")
            await place.store.add([forged], RUN)
            assert await one.do(RUN, 0)

    log = logging.getLogger("aionorth")
    log.addFilter(in_one_line)
    try:
        play(story)
        log.warning("obtained %s", "a token", extra={"app_id": "100%"})
    finally:
        log.removeFilter(in_one_line)
    first, last = caplog.messages
    assert first.startswith(f"part 0 of run {RUN}, of 100 %s [ERROR] forged \\x1b[31mred: on {socket.gethostname()}: ")
    assert first.isprintable()
    assert last == "100%: obtained a token"


def test_a_part_for_which_one_worker_lacks_settings_is_left_to_the_others(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(place: Place) -> None:
        names = {"first", "second"}

        async def living() -> set[str]:
            return names

        await place.store.add([part(place.ids)], RUN)
        first, second = (Worker(place.url, lease=LEASE, name=one, living=living) for one in ("first", "second"))
        profile = place.config.read_text()
        place.config.write_text("")
        assert not await first.do(RUN, 0)  # and so it is handed back
        status = await place.status()
        assert (status.state, list(status.declined)) == (PartState.WAITING, ["first"])
        assert [first.leaves_alone_for(RUN, 0), second.leaves_alone_for(RUN, 0)] == [5, 0]
        assert not await first.do(RUN, 0)
        assert first.leaves_alone_for(RUN, 0) == 10  # it asks less and less often
        assert status.cause.startswith(f"on {socket.gethostname()}: {place.config} has no profile 'p'")
        place.config.write_text(profile)
        place.config.with_name("secret").unlink()
        assert not await second.do(RUN, 0)  # nobody is left who might have settings, but somebody may come back
        assert (await place.status()).state is PartState.WAITING
        monkeypatch.setattr(worker, "GRACE", 0.0)
        assert await second.do(RUN, 0)
        status = await place.status()
        assert (status.state, list(status.declined)) == (PartState.FAILED, ["first", "second"])
        assert "has no profile 'p'" in status.cause
        assert "secret" in status.cause
        place.write_profile()
        async with Fleet(place.url) as fleet:
            assert len(await fleet.resume(RUN)) == 1
        status = await place.status()
        assert (status.declined, status.cause) == ({}, "")
        assert await first.do(RUN, 0)
        assert first.leaves_alone_for(RUN, 0) == 0
        assert (await place.store.status(RUN)).ok
        for one in (first, second):
            await one.close()

    play(story)


def test_a_part_that_another_worker_settles_just_before_it_is_taken_stays_so(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        take = FleetStore.take

        async def taken(store: FleetStore, run: str, number: int, who: str) -> bool:
            monkeypatch.undo()
            assert await take(store, run, number, "another")
            status = PartStatus(number=0, part=part(place.ids), state=PartState.COMPLETE, calls=10)
            await store.beat(run, status, "another", last=True)
            return await take(store, run, number, who)

        async with place.worker() as one:
            monkeypatch.setattr(FleetStore, "take", taken)
            assert await one.do(RUN, 0)
        status = await place.status()
        assert (status.state, status.calls) == (PartState.COMPLETE, 10)

    play(story)


@pytest.mark.slow
def test_a_worker_says_how_long_flow_control_holds_a_part_up(play: Play) -> None:
    async def story(place: Place) -> None:
        place.config.write_text(f"{place.config.read_text()}calls = 20\n")
        await place.store.add([part(place.ids)], RUN)
        async with place.worker() as one:
            doing = asyncio.create_task(one.do(RUN, 0))
            found = PartStatus(number=0, part=part())
            while not found.next_call and not doing.done():
                found = await place.status()
                await asyncio.sleep(0.05)
            await doing
            assert 0 < found.next_call <= PERIOD * 1.5
            assert (await place.status()).next_call == 0

    play(story, number=100)


def test_a_part_of_a_plan_is_done_by_whom_has_a_profile_of_its_app(play: Play) -> None:
    async def story(place: Place) -> None:
        flow = FlowControl(calls=100, period=PERIOD)
        async with NorthSession(place.platform.url, app_id=APP, secret=SECRET, flow_control=flow) as north:
            plan = await north.plan(SubscriptionSelection(ids=place.ids))
        await asyncio.sleep(PERIOD * 1.1)  # for calls of which the fleet does not know
        await place.store.add([Part.of_plan(plan)], RUN)
        async with place.worker() as one:
            assert await one.do(RUN, 0)
            assert (await place.status()).state is PartState.COMPLETE
            place.write_profile(url="http://other.example")
            await place.store.add([Part.of_plan(plan)], "another")
            assert await one.do("another", 0)
        (status,) = (await place.store.status("another")).parts
        assert status.state is PartState.FAILED
        assert f"no profile of this worker has the app {APP} at {place.platform.url}: add one" in status.cause

    play(story)


def test_a_profile_of_another_app_is_mended_as_long_as_no_id_was_tried(play: Play) -> None:
    async def story(place: Place) -> None:
        async with Fleet(place.url) as fleet, place.worker() as one:
            await fleet.submit([part(place.ids)], name=RUN)
            place.write_profile(app_id="another")
            await served_before(place.url, place.platform.url, "another")
            assert await one.do(RUN, 0)
            assert "AppId or secret is not right" in (await place.status()).cause
            place.write_profile()
            await fleet.resume(RUN)
            assert await one.do(RUN, 0)
            assert (await fleet.status(RUN)).ok
            place.write_profile(app_id="another")  # by now the ids are those of the app that was asked
            await place.store.set_waiting(RUN, await place.status())
            assert await one.do(RUN, 0)
            assert (await read_history(place.store, RUN, 0)).target.app_id == APP

    play(story)


@pytest.mark.parametrize("where", ["before the run", "within it"])
def test_of_an_error_that_nobody_expects_its_name_is_told_and_where_it_was_raised(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    def broken(*_: Any, **__: Any) -> NorthSession:
        raise LookupError(f"the {SECRET}")

    async def story(place: Place) -> None:
        if where == "before the run":
            monkeypatch.setattr(worker, "_session", broken)
        else:
            monkeypatch.setattr(OpenRedisStore, "replace", broken)
        await place.store.add([part(place.ids)], RUN)
        async with place.worker() as one:
            assert await one.do(RUN, 0)
        status = await place.status()
        assert (status.state, status.cause) == (PartState.FAILED, f"on {socket.gethostname()}: LookupError")

    with caplog.at_level(logging.DEBUG):
        play(story)
    assert SECRET not in caplog.text
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    assert re.search(r"LookupError in broken \(test_workers\.py:\d+\) < \w+ \(\w+\.py:\d+\)", told[0])


def test_a_cancelled_part_of_a_worker_that_died_is_as_its_journal_says(play: Play) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        await place.let_die(begun=3, gone=1)
        await place.store.beat(RUN, attrs.evolve(await place.status(), state=PartState.AT_WORK), "dead", last=True)
        await place.store.set_cancelled(RUN, cancelled=True)
        async with place.worker() as one:
            assert await one.do(RUN, 0)
        status = await place.status()
        assert (status.state, status.uncounted, status.calls) == (PartState.CANCELLED, False, 3)
        assert status.counts() == Counter(deleted=1, unknown=2, skipped=7)

    play(story)


def test_what_a_server_refuses_is_tried_again_by_another_worker(play: Play) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        async with place.worker() as one, client(place.url) as redis:
            await redis.set(f"{{aionorth-fleet:{RUN}}}:owners", "x")
            assert not await one.do(RUN, 0)
            await redis.delete(f"{{aionorth-fleet:{RUN}}}:owners")
            assert await one.do(RUN, 0)

    play(story)


def test_a_part_that_cannot_be_read_is_left_alone_for_longer_each_time(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(place: Place) -> None:
        await place.store.add([part(place.ids)], RUN)
        async with place.worker() as one, client(place.url) as redis:
            await redis.hset(f"{{aionorth-fleet:{RUN}}}:states", "0", "nonsense")
            for seconds in (5, 10):
                assert not await one.do(RUN, 0)
                assert one.leaves_alone_for(RUN, 0) == seconds
            await redis.hdel(f"{{aionorth-fleet:{RUN}}}:states", "0")
            assert await one.do(RUN, 0)
            assert one.leaves_alone_for(RUN, 0) == 0

    monkeypatch.setattr(worker, "RETRY", 0.0)
    play(story)


def test_a_submission_that_is_broken_off_is_resumed_or_refused_as_a_whole(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("it is away")

    async def story(place: Place) -> None:
        async with Fleet(place.url) as fleet, place.worker() as one, client(place.url) as redis:
            with monkeypatch.context() as patch:
                patch.setattr(fleet, "_send", cut)
                with pytest.raises(StoreUnavailableError):
                    await fleet.submit([part(place.ids)], name=RUN)
            assert (await place.status()).state is PartState.WAITING
            assert [left.number for left in await fleet.resume(RUN)] == [0]
            assert await fleet.resume(RUN) == []
            assert await one.do(RUN, 0)
            assert (await fleet.status(RUN)).ok
            with monkeypatch.context() as patch:  # the second part's ids do not arrive
                patch.setattr(Part, "to_json", lambda self: "{}" if self.profile == "p" else 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    await fleet.submit([part(place.ids), part(["x"], profile="q")], name="another")
            with pytest.raises(ArgumentError, match=r"another: its submission .* was broken off .*: submit it anew"):
                await redis.hset("{aionorth-fleet:another}:parts", "0", part(place.ids).to_json())
                await fleet.resume("another")

    play(story)
