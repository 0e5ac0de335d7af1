"""What every store must do, asked of each: one step of flow control at a time, at moments of the test's choosing."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import pytest
from processes import RedisServer, redis_server
from support import fullest_window, run

from aionorth import ArgumentError, FlowControl, MachineStore, RedisStore, StoreError
from aionorth.flow import FlowRuntime
from aionorth.ledger import CLOCK_TOLERANCE, Grant, Terms
from aionorth.retry import growing_waits
from aionorth.shared import FORGOTTEN_AFTER, Answer, Ask, End, SharedLedger, Shelved, Store, Word
from aionorth.stores.machine import OpenMachineStore
from aionorth.stores.redis import OpenRedisStore

T = TypeVar("T")

PERIOD, TIMEOUT = 60.0, 30.0
HOLD = PERIOD * (1 + CLOCK_TOLERANCE)
KEY = bytes(range(32))


class Clock:
    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


class Place(Protocol):
    """Where a kind of store is, and its clock."""

    clock: Clock

    def was_disturbed(self) -> bool: ...
    async def open(self) -> Store: ...
    async def advance(self, seconds: float) -> None: ...
    async def tamper(self, seconds: float) -> None: ...


class MachinePlace:
    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.file = directory / "app.sqlite3"

    def was_disturbed(self) -> bool:
        return False  # its clock is the test's

    async def open(self) -> Store:
        store = OpenMachineStore(self.file, self.clock)
        await store.begin()
        return store

    async def advance(self, seconds: float) -> None:
        self.clock.now += seconds


class RedisPlace:
    """Time passes on the server for as long as a test takes, too: that is what `LAX` is for."""

    def __init__(self, server: RedisServer) -> None:
        self.clock = Clock()
        self.server = server
        self.begin()

    def begin(self) -> None:
        """Forget all there is."""

        async def clear() -> None:
            client = self.client()
            await client.flushall()
            await client.aclose()

        asyncio.run(clear())
        self._began = time.time(), time.monotonic()

    def was_disturbed(self) -> bool:
        """Whether more time has passed than a test may take, or the server's clock, which is real, has jumped."""
        wall, steady = self._began
        return abs(time.time() - wall) > LAX or time.monotonic() - steady > LAX

    async def open(self) -> Store:
        return cast("Store", OpenRedisStore(self.client(), "{test:app}", self.clock))

    def client(self, *, decode_responses: bool = True) -> Any:
        from redis.asyncio import Redis  # noqa: PLC0415 - optional

        return Redis.from_url(self.server.url, decode_responses=decode_responses)  # type: ignore[no-untyped-call, unused-ignore]

    async def advance(self, seconds: float) -> None:
        """Let time pass, for the server and for its users."""
        self.clock.now += seconds
        await self.set_clock(seconds)

    async def set_clock(self, seconds: float) -> None:
        """Set the server's clock, which is the app's but for an offset."""
        client = self.client()
        with suppress(Exception):
            if await client.exists("{test:app}:state"):
                await client.hincrbyfloat("{test:app}:state", "offset", -seconds)
        await client.aclose()


LAX = 0.5
"""Seconds that a test may take."""
ATTEMPTS = 5
"""How often one is tried that has failed after the machine held it up for longer than that."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["machine", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MachinePlace(tmp_path) if request.param == "machine" else request.getfixturevalue("redis_place")


@pytest.fixture
def redis_place(redis: RedisServer) -> RedisPlace:
    return RedisPlace(redis)


class User:
    """A process, as a store sees it."""

    def __init__(self, place: Any, store: Store, name: str, terms: Terms) -> None:
        self.place, self.store, self.name, self.terms = place, store, name, terms
        self.asked = 0

    async def ask(self, *ends: End, key: str | None = None) -> tuple[Answer, Grant]:
        self.asked += key is None
        key = key or f"{self.name}{self.asked}"
        answer = await self.store.exchange(self.terms, ends, Ask(asker=self.name, key=key), self.place.clock.now)
        return answer, Grant(answer.episode, key)

    async def take(self, *ends: End) -> Grant:
        answer, grant = await self.ask(*ends)
        assert answer.wait is None, f"to wait {answer.wait} s"
        return grant

    async def wait(self, *ends: End) -> float:
        answer, _ = await self.ask(*ends)
        assert answer.wait is not None, "given"
        return answer.wait

    def end(self, grant: Grant, word: Word = Word.ACCEPTED, *, ago: float = 0.0, **more: float) -> End:
        return End(grant=grant, word=word, counted=self.place.clock.now - ago, **more)

    async def tell(self, *ends: End) -> Answer:
        return await self.store.exchange(self.terms, ends, None, self.place.clock.now)


def terms(limit: int, *, gap: float = 0.0) -> Terms:
    return Terms(limit=limit, period=PERIOD, gap=gap, timeout=TIMEOUT, pause=lambda _: 4.0)


def play(place: Any, story: Callable[..., Awaitable[None]], *names: str, limit: int = 3, gap: float = 0.0) -> None:
    """Let a story happen to users of one store, each with a connection of its own."""

    async def main() -> None:
        stores = [await place.open() for _ in names]
        try:
            users = [User(place, store, name, terms(limit, gap=gap)) for name, store in zip(names, stores, strict=True)]
            await story(*users)
        finally:
            for store in stores:
                await store.close()

    for left in reversed(range(ATTEMPTS)):
        try:
            asyncio.run(main())
        except AssertionError:
            if not left or not place.was_disturbed():
                raise
            place.begin()
        else:
            return


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=LAX)


def test_slots_are_shared_and_come_free_a_period_after_the_reply(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        first, _, _ = await a.take(), await b.take(), await a.take()
        await place.advance(10)
        answer = await a.tell(a.end(first, ago=2))
        assert answer.view.in_use == 3
        assert answer.view.next_slot == about(HOLD - 2)
        assert await b.wait() == about(HOLD - 2)
        await place.advance(HOLD - 2)
        await b.take()
        assert (await b.tell()).view.in_use == 3

    play(place, story, "a", "b")


def test_what_a_dead_process_held_comes_free_when_it_cannot_count_any_more(place: Any) -> None:
    async def story(_dead: User, b: User) -> None:
        for _ in range(3):
            await _dead.take()
        await place.advance(TIMEOUT + HOLD - 5)
        assert 0 < await b.wait() <= 5 + LAX  # no sooner
        await place.advance(5)
        await b.take()  # no later

    play(place, story, "a", "b")


def test_a_slot_that_was_not_used_is_free_at_once(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        grant = await a.take()
        await b.wait()
        await a.tell(a.end(grant, Word.UNSENT))
        await b.take()

    play(place, story, "a", "b", limit=1)


def test_a_call_that_may_be_counted_later_than_it_ended_holds_its_slot_longer(place: Any) -> None:
    async def story(a: User) -> None:
        grant = await a.take()
        await place.advance(1)
        answer = await a.tell(a.end(grant, Word.UNHEARD, ago=-29))
        assert answer.view.next_slot == about(HOLD)  # told is the soonest that could be
        await place.advance(HOLD)
        assert await a.wait() == about(29)

    play(place, story, "a", limit=1)


def test_asking_again_with_the_same_key_takes_no_second_slot(place: Any) -> None:
    async def story(a: User) -> None:
        await a.ask(key="same")
        answer, _ = await a.ask(key="same")
        assert answer.wait is None
        assert answer.view.in_use == 1

    play(place, story, "a")


def test_a_slot_that_is_asked_for_again_is_held_as_if_it_were_given_only_then(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        await a.ask(key="same")
        await place.advance(TIMEOUT + HOLD - 5)
        answer, _ = await a.ask(key="same")  # the first answer was lost, and for long no other came through
        assert answer.wait is None
        await place.advance(10)
        assert await b.wait() > HOLD / 2

    play(place, story, "a", "b", limit=1)


def test_a_slot_that_was_given_before_a_pause_is_not_given_again_during_it(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        grant = await b.take()
        await a.ask(key="same")
        await b.tell(b.end(grant, Word.REFUSED, pause=4.0))
        answer, _ = await a.ask(key="same")
        assert answer.wait == about(4)
        assert answer.view.in_use == 1

    play(place, story, "a", "b")


def test_who_has_waited_longest_is_next_and_each_is_told_when_its_own_slot_comes_free(place: Any) -> None:
    async def story(a: User, b: User, c: User) -> None:
        for _ in range(3):
            grant = await a.take()
            await a.tell(a.end(grant))
            await place.advance(10)
        assert [await user.wait() for user in (b, c, a)] == [about(HOLD - 30), about(HOLD - 20), about(HOLD - 10)]
        await place.advance(HOLD - 30)
        assert await c.wait() == about(10)  # the slot that is free now is b's
        await b.take()

    play(place, story, "a", "b", "c")


def test_the_turn_of_one_that_does_not_come_back_passes_to_the_next(place: Any) -> None:
    async def story(a: User, b: User, c: User) -> None:
        grant = await a.take()
        await a.tell(a.end(grant))
        await b.wait()
        await c.wait()
        await place.advance(HOLD + 2)
        await c.take()

    play(place, story, "a", "b", "c", limit=1)


def test_whoever_is_behind_one_that_does_not_come_back_loses_no_period_by_it(place: Any) -> None:
    async def story(a: User, b: User, c: User) -> None:
        grant = await a.take()
        await a.tell(a.end(grant))
        await b.wait()
        await place.advance(await c.wait())
        assert await c.wait() == about(1)  # from then on b's turn is over
        await place.advance(1)
        await c.take()

    play(place, story, "a", "b", "c", limit=1)


def test_calls_keep_the_gap_whoever_makes_them(place: Any) -> None:
    async def story(a: User, b: User, c: User) -> None:
        await a.take()
        assert await b.wait() == about(10)
        assert await c.wait() == about(20)
        await place.advance(10)
        await b.take()
        assert await c.wait() == about(10)

    play(place, story, "a", "b", "c", limit=100, gap=10)


def test_a_refusal_pauses_all_and_is_one_episode_for_all_calls_in_flight(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        mine, others = await a.take(), await b.take()
        answer = await a.tell(a.end(mine, Word.REFUSED, pause=4.0))
        assert (answer.episode, answer.pauses, answer.view.paused_for) == (1, 1, about(4))
        answer = await b.tell(b.end(others, Word.REFUSED, pause=50.0))
        assert (answer.episode, answer.view.paused_for) == (1, about(4))
        assert await b.wait() == about(4)

    play(place, story, "a", "b")


def test_a_refusal_told_with_an_ask_comes_before_it(place: Any) -> None:
    async def story(a: User) -> None:
        grant = await a.take()
        assert await a.wait(a.end(grant, Word.REFUSED, pause=4.0)) == about(4)

    play(place, story, "a")


def test_retry_after_is_never_undercut(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        mine, others = await a.take(), await b.take()
        await a.tell(a.end(mine, Word.REFUSED, pause=4.0))
        await b.tell(b.end(others, Word.REFUSED, retry_after=90.0))
        assert await a.wait() == about(90)

    play(place, story, "a", "b")


def test_after_a_pause_one_call_tries_alone_and_its_acceptance_ends_the_episode(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        for _ in range(10):
            grant = await a.take()
            await a.tell(a.end(grant))
        grant = await a.take()
        answer = await a.tell(a.end(grant, Word.REFUSED, pause=4.0))
        assert (answer.view.limit, answer.view.gap) == (10, about(6.0))
        await place.advance(HOLD)
        trial = await a.take()
        assert await b.wait() == about(6)
        await place.advance(6)
        assert await b.wait() == about(6)  # the one is still in flight
        answer = await a.tell(a.end(trial))
        assert (answer.episode, answer.pauses) == (1, 0)
        await place.advance(6)
        await b.take()

    play(place, story, "a", "b", limit=20)


def test_acceptances_of_before_the_first_pause_count_for_the_limit(place: Any) -> None:
    async def story(a: User) -> None:
        grants = [await a.take() for _ in range(15)]
        for grant in grants[:11]:
            await a.tell(a.end(grant))
        assert (await a.tell(a.end(grants[11], Word.REFUSED, pause=4.0))).view.limit == 11
        assert (await a.tell(a.end(grants[12]), a.end(grants[13]))).view.limit == 13
        assert (await a.tell(a.end(grants[14], Word.REFUSED, pause=4.0))).view.limit == 13

    play(place, story, "a", limit=20)


def test_what_was_learned_grows_back_and_is_forgotten(place: Any) -> None:
    async def story(a: User) -> None:
        grants = [await a.take() for _ in range(15)]
        for grant in grants[:14]:
            await a.tell(a.end(grant))
        await a.tell(a.end(grants[14], Word.REFUSED, pause=4.0))
        await place.advance(HOLD)
        limits = []
        for number in range(40):
            grant = await a.take()
            answer = await a.tell(a.end(grant))
            limits.append(answer.view.limit)
            if number and answer.view.limit is None:
                break
            await place.advance(HOLD)
        seen = [limit for limit in limits if limit is not None]
        assert seen[0] == 14
        assert seen == sorted(seen)
        assert seen[-1] == 20
        assert limits[-1] is None

    play(place, story, "a", limit=20)


def test_what_was_learned_an_hour_ago_is_forgotten(tmp_path: Path) -> None:
    place = MachinePlace(tmp_path)  # a Redis server forgets by itself: test_redis_keys_expire

    async def story(a: User) -> None:
        grant = await a.take()
        assert (await a.tell(a.end(grant, Word.REFUSED, pause=4.0))).view.limit is not None
        await place.advance(FORGOTTEN_AFTER + 1)
        assert (await a.tell()).view.limit is None

    play(place, story, "a")


def test_a_token_is_found_by_those_who_know_its_key(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        assert await a.store.read_token(KEY) is None
        assert await a.store.lease_token(KEY, "a", 10)
        await a.store.end_lease(KEY, "a", Shelved("the token", 3.0))
        found = await b.store.read_token(KEY)
        assert found is not None
        assert (found.text, found.age) == ("the token", about(3))
        assert await b.store.read_token(bytes(32)) is None

    play(place, story, "a", "b")


def test_one_has_the_lease_until_it_gives_it_back_or_is_silent(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        assert await a.store.lease_token(KEY, "a", 0.3)
        assert await a.store.lease_token(KEY, "a", 0.3)  # longer
        assert not await b.store.lease_token(KEY, "b", 10)
        await b.store.end_lease(KEY, "b", Shelved("stolen", 0.0))
        assert await b.store.read_token(KEY) is None
        await a.store.end_lease(KEY, "a", None)
        assert await b.store.lease_token(KEY, "b", 0.3)
        await place.advance(0.4)
        if isinstance(place, RedisPlace):
            await asyncio.sleep(0.4)  # a key's expiry goes by the server's own clock
        assert await a.store.lease_token(KEY, "a", 10)

    play(place, story, "a", "b")


# --- A machine


def test_the_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    async def main() -> None:
        store = await MachineStore(tmp_path / "new" / "flow").open("app")
        await store.exchange(terms(1), (), None, 0.0)
        modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "new" / "flow").iterdir()}
        assert modes == {"app.sqlite3": 0o600, "app.sqlite3-wal": 0o600, "app.sqlite3-shm": 0o600}
        assert (tmp_path / "new" / "flow").stat().st_mode & 0o777 == 0o700
        await store.close()

    asyncio.run(main())


def test_after_the_machine_was_started_anew_every_slot_counts_for_a_period_more(
    tmp_path: Path,
) -> None:
    place = MachinePlace(tmp_path)

    async def story(a: User) -> None:
        grant = await a.take()
        await a.tell(a.end(grant))
        await a.store.lease_token(KEY, "a", 10)
        await a.store.end_lease(KEY, "a", Shelved("the token", 0.0))
        place.clock.now = 12.0
        assert await a.store.read_token(KEY) is None
        assert await a.wait() == about(HOLD)
        assert await a.store.read_token(KEY) is None
        await place.advance(HOLD)
        await a.take()

    play(place, story, "a", limit=1)


def test_a_file_that_somebody_removes_may_have_held_every_slot(tmp_path: Path) -> None:
    place = MachinePlace(tmp_path)

    async def story(a: User, b: User) -> None:
        await a.take()
        for file in list(tmp_path.iterdir()):
            file.unlink()
        assert await a.wait() == about(TIMEOUT + HOLD)
        assert await b.wait() > TIMEOUT + HOLD - 1
        await place.advance(TIMEOUT + HOLD)
        await a.take()

    play(place, story, "a", "b")


@pytest.mark.parametrize("content", [b"not a database, but long enough to look like a file of one\n" * 20, b""])
def test_a_file_that_is_no_store_is_named(tmp_path: Path, content: bytes) -> None:
    directory = tmp_path / "flow"
    directory.mkdir()
    (directory / "app.sqlite3").write_bytes(content)

    async def main() -> None:
        store = await MachineStore(directory).open("app")
        await store.close()

    if content:
        with pytest.raises(StoreError, match=r"app\.sqlite3.*cannot be used: file is not a database"):
            asyncio.run(main())
    else:
        asyncio.run(main())


def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        asyncio.run(MachineStore(tmp_path / "file" / "flow").open("app"))


def test_many_may_begin_a_file_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        for app in range(30):
            opened = await asyncio.gather(*(MachineStore(tmp_path).open(str(app)) for _ in range(8)))
            await asyncio.gather(*(store.close() for store in opened))

    asyncio.run(main())


def test_a_file_of_another_version_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        await (await MachineStore(tmp_path).open("app")).close()
        with sqlite3.connect(tmp_path / "app.sqlite3") as db:
            db.execute("PRAGMA user_version = 9")
        db.close()
        with pytest.raises(StoreError, match="another version of aionorth"):
            await MachineStore(tmp_path).open("app")

    asyncio.run(main())


# --- Redis


def test_redis_keys_expire(redis_place: RedisPlace) -> None:
    async def story(a: User) -> None:
        await a.take()
        client = there.client()
        keys = [key async for key in client.scan_iter("*")]
        assert len(keys) >= 3
        assert all(key.startswith("{test:app}:") for key in keys)
        assert all([3_500_000 < await client.pttl(key) <= 3_600_000 for key in keys])
        await client.aclose()

    there = redis_place
    play(there, story, "a")


@pytest.mark.parametrize("jump", [-7200.0, -3.0, 3.0, 7200.0])
def test_a_redis_whose_clock_is_set_does_no_harm(redis_place: RedisPlace, jump: float) -> None:
    place = redis_place

    async def story(a: User, b: User) -> None:
        grant = await a.take()
        await a.tell(a.end(grant))
        await b.tell()
        await place.advance(20)
        await place.set_clock(jump)
        assert await b.wait() == about(HOLD - 20)
        assert (await a.tell()).view.next_slot == about(HOLD - 20)
        await place.advance(HOLD - 20)
        await b.take()

    play(place, story, "a", "b", limit=1)


def test_what_a_redis_has_lost_may_all_have_been_taken_a_moment_before(redis_place: RedisPlace) -> None:
    place = redis_place

    async def story(a: User, b: User) -> None:
        await a.take()
        await b.tell()
        client = place.client()
        await client.flushall()
        await client.aclose()
        assert await b.wait() == about(TIMEOUT + HOLD)
        assert await a.wait() == about(TIMEOUT + HOLD)
        await place.advance(TIMEOUT + HOLD)
        await b.take()

    play(place, story, "a", "b")


def test_a_redis_that_goes_on_from_an_older_copy_has_lost_what_came_after_it(redis_place: RedisPlace) -> None:
    place = redis_place

    async def story(a: User, b: User) -> None:
        await a.take()
        client = place.client(decode_responses=False)
        keys = [key async for key in client.scan_iter("*")]
        copy = {key: await client.dump(key) for key in keys}
        for _ in range(2):
            await b.take()
        for key, content in copy.items():
            await client.restore(key, 3_600_000, content, replace=True)
        await client.aclose()
        assert await b.wait() == about(TIMEOUT + HOLD)
        await a.tell()
        await place.advance(TIMEOUT + HOLD)
        await b.take()
        await a.take()

    play(place, story, "a", "b")


@pytest.mark.parametrize("key", ["state", "slots", "flying", "refused", "waiting", "due"])
def test_a_redis_that_has_evicted_a_key_forgets_no_slot_and_holds_none_longer(
    redis_place: RedisPlace, key: str
) -> None:
    place = redis_place

    async def story(a: User, b: User) -> None:
        await a.take()
        await place.advance(1000)
        for _ in range(2):
            await a.take()
        await b.take()
        assert await b.wait() > 0
        client = place.client()
        await client.delete(f"{{test:app}}:{key}")
        await client.aclose()
        assert await a.wait() > HOLD - LAX
        await place.advance(TIMEOUT + HOLD + 2)
        for _ in range(3):
            await a.take()  # b's turn is over

    play(place, story, "a", "b")


def test_a_token_in_redis_is_sealed(redis_place: RedisPlace) -> None:
    there = redis_place

    async def story(a: User) -> None:
        await a.store.lease_token(KEY, "a", 10)
        await a.store.end_lease(KEY, "a", Shelved("the very token", 0.0))
        client = there.client()
        shown = [await client.hgetall(key) async for key in client.scan_iter("*token*")]
        for key in [key async for key in client.scan_iter("*token*")]:
            await client.hset(key, "text", "forged")
        await client.aclose()
        assert shown
        assert "very" not in str(shown)
        assert await a.store.read_token(KEY) is None

    play(there, story, "a")


def test_a_redis_that_is_not_there_is_named_and_its_password_is_not() -> None:
    store = RedisStore("redis://user:hush-hush@127.0.0.1:1/0")
    assert "hush" not in repr(store)
    with pytest.raises(StoreError, match="cannot be used: ConnectionError") as caught:
        asyncio.run(store.open("app"))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://host", "redis://:hush-hush@host:port/0", "host:6379", "redis://:hush-hush@host/0?colour=red", b"", None],
)
def test_a_url_that_cannot_be_is_refused_without_showing_it(url: Any) -> None:
    with pytest.raises(ArgumentError, match=r"RedisStore\.url") as caught:
        asyncio.run(RedisStore(url).open("app"))
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("prefix", ["", "a}b", 3])
def test_a_prefix_that_cannot_be_is_refused(prefix: Any) -> None:
    with pytest.raises(ArgumentError, match=r"RedisStore\.prefix="):
        RedisStore("redis://host", prefix)


@pytest.mark.parametrize("directory", ["", None, 3])
def test_a_directory_that_is_none_is_refused(directory: Any) -> None:
    with pytest.raises(ArgumentError, match=r"MachineStore\.directory="):
        MachineStore(directory)


def test_a_directory_may_begin_with_the_home() -> None:
    assert MachineStore("~/flow").directory == Path.home() / "flow"


# --- Several processes at once, in virtual time


@pytest.mark.parametrize("seed", range(5))
def test_no_window_of_a_period_holds_more_than_the_limit_whoever_dies(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    log: list[tuple[float, float]] = []
    limit = rng.randint(2, 12)

    async def process(number: int) -> int:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(rng.uniform(0, 20))
        store = OpenMachineStore(tmp_path / "app.sqlite3", loop.time)
        await store.begin()
        flow = FlowRuntime(
            FlowControl(limit, 10.0), growing_waits, lambda terms: SharedLedger(store, terms), timeout=5.0
        )
        made = 0

        async def worker() -> None:
            nonlocal made
            for _ in range(8):
                with await flow.acquire() as slot:
                    sent = loop.time()
                    slot.counted_by = sent + 5.0
                    try:
                        await asyncio.sleep(rng.uniform(0, 4.5))
                    except asyncio.CancelledError:
                        log.append((sent, slot.counted_by))
                        raise
                    log.append((sent, loop.time()))
                made += 1

        workers = [asyncio.create_task(worker()) for _ in range(3)]
        if number == 0:
            await asyncio.sleep(15)
            flow._ledger._hand_over = lambda *_: None  # type: ignore[attr-defined]  # it dies: nobody hears of it
            for one in workers:
                one.cancel()
            await asyncio.wait(workers)
            await store.close()
            return made
        await asyncio.gather(*workers)
        await flow.close()
        return made

    async def main() -> None:
        made = await asyncio.gather(*(process(number) for number in range(4)))
        assert made[1:] == [24, 24, 24]

    run(main())
    assert fullest_window(log, 10.0) <= limit
