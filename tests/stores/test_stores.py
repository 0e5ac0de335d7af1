"""What every store must do, asked of each: one step of flow control at a time, at moments of the test's choosing."""

import asyncio
import os
import random
import resource
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from permits import permit
from processes import RedisServer, put_in_service, redis_server
from support import fullest_window, run, shown

from aionorth import ArgumentError, FlowControl, MachineStore, RedisStore, StoreError
from aionorth.cli.settings import resolve
from aionorth.cli.settings.given import Given
from aionorth.common.waits import growing_waits
from aionorth.errors import StoreUnavailableError
from aionorth.flow.limiter import Limiter
from aionorth.flow.settings import CLOCK_TOLERANCE, Limits
from aionorth.flow.shared import CLOCK_ERROR, Response, SharedWindow, exchange
from aionorth.flow.window import FORGOTTEN_AFTER, Acquire, Ending, Permit, Release, Window
from aionorth.stores.base import Snapshot, Store, StoredToken, token_name
from aionorth.stores.machine import OpenMachineStore
from aionorth.stores.redis import LOOK, STATE_KEPT, OpenRedisStore
from aionorth.stores.redis_client import Connections, connect
from aionorth.stores.redis_clock import DELAYS

T = TypeVar("T")

PERIOD, TIMEOUT = 60.0, 30.0
IN_FLIGHT = TIMEOUT * 9 / 8
"""Seconds after which a call has been counted, from its permit: it may begin an eighth of a time-out later."""
HOLD = PERIOD * (1 + CLOCK_TOLERANCE + 2 * CLOCK_ERROR)
"""Seconds after which a slot is free in every store; a machine's has it free a little sooner."""
KEY = bytes(range(32))


class Clock:
    """A clock that is moved by hand; one that `ticks` goes by itself too, as that of a server does."""

    def __init__(self, *, ticks: bool = False) -> None:
        self._ticks = ticks
        self.now = 5000.0

    def _passed(self) -> float:
        return time.monotonic() if self._ticks else 0.0

    @property
    def now(self) -> float:
        return self._ahead + self._passed()

    @now.setter
    def now(self, value: float) -> None:
        self._ahead = value - self._passed()

    def __call__(self) -> float:
        return self.now


class Place(Protocol):
    """Where the window is kept, and its clock."""

    clock: Clock

    def was_disturbed(self) -> bool: ...
    async def open(self) -> Store: ...
    async def advance(self, seconds: float) -> None: ...
    async def tamper(self, seconds: float) -> None: ...


class MemoryPlace:
    """The window in memory, as the sessions of one event loop share it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.window = Window()

    def was_disturbed(self) -> bool:
        return False  # its clock is the test's

    async def open(self) -> Any:
        return self

    async def close(self) -> None: ...

    async def advance(self, seconds: float) -> None:
        self.clock.now += seconds

    def exchange(self, limits: Limits, released: Sequence[Release], ask: Acquire | None) -> Response:
        now = self.clock.now
        wait = self.window.step(now, limits, released, ask)
        adaptive = self.window.adaptive
        view = self.window.view(now, limits)
        return Response(view=view, episode=adaptive.episode, pauses=adaptive.pauses, wait=wait)


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
        self.clock = Clock(ticks=True)
        self.server = server
        self.begin()

    def begin(self) -> None:
        """Forget all there is, but that there was something."""

        async def clear() -> None:
            store = OpenRedisStore(Connections(self.client()), "{test:app}", self.clock)
            await store._client.flushall()
            await put_in_service(store)
            await store.close()

        asyncio.run(clear())
        self._began = time.time(), time.monotonic()

    def was_disturbed(self) -> bool:
        """Whether more time has passed than a test may take, or the server's clock, which is real, has jumped."""
        wall, steady = self._began
        return abs(time.time() - wall) > LAX or time.monotonic() - steady > LAX

    async def open(self) -> Store:
        return cast("Store", OpenRedisStore(Connections(self.client()), "{test:app}", self.clock))

    def client(self, *, decode_responses: bool = True) -> Any:
        from redis.asyncio import Redis  # noqa: PLC0415 - optional

        options: dict[str, Any] = {"decode_responses": decode_responses, "encoding_errors": "replace"}
        return Redis.from_url(self.server.url, **options)  # type: ignore[no-untyped-call, unused-ignore]

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


@pytest.fixture(params=["memory", "machine", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Each place where a window may be kept."""
    if request.param == "memory":
        return MemoryPlace()
    return MachinePlace(tmp_path) if request.param == "machine" else request.getfixturevalue("redis_place")


@pytest.fixture(params=["machine", "redis"])
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Each place where a store is."""
    return MachinePlace(tmp_path) if request.param == "machine" else request.getfixturevalue("redis_place")


@pytest.fixture
def redis_place(redis: RedisServer) -> RedisPlace:
    return RedisPlace(redis)


class User:
    """A process, as a store sees it."""

    def __init__(self, place: Any, store: Store, name: str, limits: Limits) -> None:
        self.place, self.store, self.name, self.limits = place, store, name, limits
        self.asked = 0

    async def ask(self, *released: Release, key: str | None = None) -> tuple[Response, Permit]:
        self.asked += key is None
        key = key or f"{self.name}{self.asked}"
        response = await self._exchange(released, Acquire(process=self.name, key=key))
        return response, Permit(response.episode, key)

    async def take(self, *released: Release) -> Permit:
        response, permit_ = await self.ask(*released)
        assert not response.wait, f"to wait {response.wait} s"
        return permit_

    async def wait(self, *released: Release) -> float:
        response, _ = await self.ask(*released)
        assert response.wait, "given"
        return response.wait

    def end(
        self,
        permit_: Permit,
        ending: Ending = Ending.ACCEPTED,
        *,
        ago: float = 0.0,
        pause: float = 0.0,
        retry_after: float = 0.0,
    ) -> Release:
        return Release(permit_, ending, self.place.clock.now - ago, pause, retry_after)

    async def tell(self, *released: Release) -> Response:
        return await self._exchange(released, None)

    async def _exchange(self, released: Sequence[Release], ask: Acquire | None) -> Response:
        if isinstance(self.place, MemoryPlace):
            return self.place.exchange(self.limits, released, ask)
        return await exchange(self.store, self.limits, released, ask, now=self.place.clock.now)


def limits(limit: int, *, gap: float = 0.0) -> Limits:
    return Limits(limit=limit, period=PERIOD, gap=gap, timeout=TIMEOUT, pause=lambda _: 4.0)


def play(
    place: Any,
    story: Callable[..., Awaitable[None]],
    *names: str,
    limit: int = 3,
    gap: float = 0.0,
    attempts: int = ATTEMPTS,
) -> None:
    """Let a story happen to users of one store, each with a connection of its own."""

    async def main() -> None:
        stores = [await place.open() for _ in names]
        try:
            users = [
                User(place, store, name, limits(limit, gap=gap)) for name, store in zip(names, stores, strict=True)
            ]
            await story(*users)
        finally:
            for store in stores:
                await store.close()

    for left in reversed(range(attempts)):
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
        await place.advance(IN_FLIGHT + HOLD - 5)
        assert 0 < await b.wait() <= 5 + LAX  # no sooner
        await place.advance(5)
        await b.take()  # no later

    play(place, story, "a", "b")


def test_a_slot_that_was_not_used_is_free_at_once(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        permit_ = await a.take()
        await b.wait()
        await a.tell(a.end(permit_, Ending.UNSENT))
        await b.take()

    play(place, story, "a", "b", limit=1)


def test_a_call_that_may_be_counted_later_than_it_ended_holds_its_slot_longer(place: Any) -> None:
    async def story(a: User) -> None:
        permit_ = await a.take()
        await place.advance(1)
        answer = await a.tell(a.end(permit_, Ending.UNCONFIRMED, ago=-29))
        assert answer.view.next_slot == about(HOLD + 29)
        assert await a.wait() == about(HOLD)  # no call waits longer before it asks again
        await place.advance(HOLD)
        assert await a.wait() == about(29)

    play(place, story, "a", limit=1)


def test_asking_again_with_the_same_key_takes_no_second_slot(place: Any) -> None:
    async def story(a: User) -> None:
        await a.ask(key="same")
        answer, _ = await a.ask(key="same")
        assert answer.wait == 0
        assert answer.view.in_use == 1

    play(place, story, "a")


def test_a_slot_that_is_asked_for_again_is_held_as_if_it_were_given_only_then(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        await a.ask(key="same")
        await place.advance(IN_FLIGHT + HOLD - 5)
        answer, _ = await a.ask(key="same")  # the first answer was lost, and for long no other came through
        assert answer.wait == 0
        await place.advance(10)
        assert await b.wait() > HOLD / 2

    play(place, story, "a", "b", limit=1)


def test_a_slot_that_was_given_before_a_pause_is_not_given_again_during_it(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        permit_ = await b.take()
        await a.ask(key="same")
        await b.tell(b.end(permit_, Ending.REFUSED, pause=4.0))
        answer, _ = await a.ask(key="same")
        assert answer.wait == about(4)
        assert answer.view.in_use == 1

    play(place, story, "a", "b")


def test_who_has_waited_longest_is_next_and_each_is_told_when_its_own_slot_comes_free(place: Any) -> None:
    async def story(a: User, b: User, c: User) -> None:
        for _ in range(3):
            permit_ = await a.take()
            await a.tell(a.end(permit_))
            await place.advance(10)
        assert [await user.wait() for user in (b, c, a)] == [about(HOLD - 30), about(HOLD - 20), about(HOLD - 10)]
        await place.advance(HOLD - 30)
        assert await c.wait() == about(10)  # the slot that is free now is b's
        await b.take()

    play(place, story, "a", "b", "c")


def test_the_turn_of_one_that_does_not_come_back_passes_to_the_next(place: Any) -> None:
    async def story(a: User, b: User, c: User) -> None:
        permit_ = await a.take()
        await a.tell(a.end(permit_))
        await b.wait()
        await c.wait()
        await place.advance(HOLD + 2)
        await c.take()

    play(place, story, "a", "b", "c", limit=1)


def test_whoever_is_behind_one_that_does_not_come_back_loses_no_period_by_it(place: Any) -> None:
    async def story(a: User, b: User, c: User) -> None:
        permit_ = await a.take()
        await a.tell(a.end(permit_))
        await b.wait()
        await place.advance(await c.wait())
        assert await c.wait() == about(1)  # from then on b's turn is over
        await place.advance(1)
        await c.take()

    play(place, story, "a", "b", "c", limit=1)


def test_a_process_with_a_larger_limit_does_not_wait_for_one_with_a_smaller(place: Any) -> None:
    async def story(small: User, large: User) -> None:
        large.limits = limits(6, gap=1)
        for _ in range(3):
            await small.take()
            await place.advance(1)
        assert await small.wait() > HOLD - 1
        await place.advance(10)
        await large.take()
        await place.advance(2)
        await large.take()
        assert await large.wait() > HOLD / 2

    play(place, story, "small", "large", limit=3, gap=1)


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
        answer = await a.tell(a.end(mine, Ending.REFUSED, pause=4.0))
        assert (answer.episode, answer.pauses, answer.view.paused_for) == (1, 1, about(4))
        answer = await b.tell(b.end(others, Ending.REFUSED, pause=50.0))
        assert (answer.episode, answer.view.paused_for) == (1, about(4))
        assert await b.wait() == about(4)

    play(place, story, "a", "b")


def test_a_refusal_told_with_an_ask_comes_before_it(place: Any) -> None:
    async def story(a: User) -> None:
        permit_ = await a.take()
        assert await a.wait(a.end(permit_, Ending.REFUSED, pause=4.0)) == about(4)

    play(place, story, "a")


def test_retry_after_is_never_undercut(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        mine, others = await a.take(), await b.take()
        await a.tell(a.end(mine, Ending.REFUSED, pause=4.0))
        await b.tell(b.end(others, Ending.REFUSED, retry_after=90.0))
        assert await a.wait() == about(90)

    play(place, story, "a", "b")


def test_after_a_pause_one_call_tries_alone_and_its_acceptance_ends_the_episode(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        for _ in range(10):
            permit_ = await a.take()
            await a.tell(a.end(permit_))
        permit_ = await a.take()
        answer = await a.tell(a.end(permit_, Ending.REFUSED, pause=4.0))
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
        permits = [await a.take() for _ in range(15)]
        for permit_ in permits[:11]:
            await a.tell(a.end(permit_))
        assert (await a.tell(a.end(permits[11], Ending.REFUSED, pause=4.0))).view.limit == 11
        assert (await a.tell(a.end(permits[12]), a.end(permits[13]))).view.limit == 13
        assert (await a.tell(a.end(permits[14], Ending.REFUSED, pause=4.0))).view.limit == 13

    play(place, story, "a", limit=20)


def test_what_was_learned_grows_back_and_is_forgotten(place: Any) -> None:
    async def story(a: User) -> None:
        permits = [await a.take() for _ in range(15)]
        for permit_ in permits[:14]:
            await a.tell(a.end(permit_))
        await a.tell(a.end(permits[14], Ending.REFUSED, pause=4.0))
        await place.advance(HOLD)
        limits = []
        for number in range(40):
            permit_ = await a.take()
            answer = await a.tell(a.end(permit_))
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


def test_what_was_learned_an_hour_ago_is_forgotten(place: Any) -> None:
    async def story(a: User) -> None:
        permit_ = await a.take()
        assert (await a.tell(a.end(permit_, Ending.REFUSED, pause=4.0))).view.limit is not None
        await place.advance(FORGOTTEN_AFTER + 1)
        answer = await a.tell()
        assert answer.view.limit is None
        assert (answer.episode, answer.pauses) == (1, 0)
        await a.take()

    play(place, story, "a")


def test_a_token_is_found_by_those_who_know_its_key(store_place: Any) -> None:
    place = store_place

    async def story(a: User, b: User) -> None:
        assert await a.store.read_token(KEY) is None
        assert await a.store.lease_token(KEY, "a", 10)
        await a.store.end_lease(KEY, "a", StoredToken("the token", 3.0))
        found = await b.store.read_token(KEY)
        assert found is not None
        assert (found.text, found.age) == ("the token", about(3))
        assert await b.store.read_token(bytes(32)) is None

    play(place, story, "a", "b")


def test_one_has_the_lease_until_it_gives_it_back_or_is_silent(store_place: Any) -> None:
    place = store_place

    async def story(a: User, b: User) -> None:
        assert await a.store.lease_token(KEY, "a", 0.3)
        assert await a.store.lease_token(KEY, "a", 0.3)  # longer
        assert not await b.store.lease_token(KEY, "b", 10)
        await b.store.end_lease(KEY, "b", StoredToken("stolen", 0.0))
        assert await b.store.read_token(KEY) is None
        await a.store.end_lease(KEY, "a", None)
        assert await b.store.lease_token(KEY, "b", 0.3)
        await place.advance(0.4)
        if isinstance(place, RedisPlace):
            await asyncio.sleep(0.4)  # a key's expiry goes by the server's own clock
        assert await a.store.lease_token(KEY, "a", 10)

    play(place, story, "a", "b")


def test_a_document_that_somebody_else_has_replaced_is_not_replaced_again(store_place: Any) -> None:
    place = store_place

    async def story(a: User, b: User) -> None:
        seen = await a.store.read(clock_error=0.1)
        await b.take()
        assert not await a.store.replace(seen, "late", keep=0.0)
        assert (await b.tell()).view.in_use == 1
        seen = await a.store.read(clock_error=0.1)
        assert seen.document != "late"

    play(place, story, "a", "b")


def test_a_step_that_somebody_else_comes_in_between_is_made_again(store_place: Any) -> None:
    place = store_place

    async def story(a: User, b: User) -> None:
        read, others = a.store.read, 0

        async def overtaken(*, clock_error: float) -> Snapshot:
            nonlocal others
            snapshot = await read(clock_error=clock_error)
            if others < 2:
                others += 1
                await b.take()
            return snapshot

        a.store.read = overtaken  # type: ignore[method-assign]
        await a.take()
        assert (await a.tell()).view.in_use == 3
        assert await b.wait() > 0

    play(place, story, "a", "b")


def test_what_is_known_after_a_loss_is_shown_alike_everywhere(place: Any) -> None:
    async def story(a: User, b: User) -> None:
        await a.take()
        await lose(place)
        response, _ = await a.ask()
        for seen in (response, await b.tell()):
            assert seen.view.next_slot == seen.view.unknown_for == about(IN_FLIGHT + HOLD)
        assert response.wait == about(IN_FLIGHT + HOLD)

    play(place, story, "a", "b")


async def lose(place: Any) -> None:
    """Let a place lose what it knows, in the way in which it notices."""
    if isinstance(place, MemoryPlace):
        place.window = Window()
        place.window.lose(place.clock.now)
    elif isinstance(place, MachinePlace):
        for file in place.file.parent.iterdir():
            file.unlink()
    else:
        await empty(place)


# --- A machine


def test_the_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    async def main() -> None:
        store = await MachineStore(tmp_path / "new" / "flow").open("app")
        await exchange(store, limits(1), now=0.0)
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
        permit_ = await a.take()
        await a.tell(a.end(permit_))
        await a.store.lease_token(KEY, "a", 10)
        await a.store.end_lease(KEY, "a", StoredToken("the token", 0.0))
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
        assert await a.wait() == about(IN_FLIGHT + HOLD)
        assert await b.wait() > IN_FLIGHT + HOLD - 1
        await place.advance(IN_FLIGHT + HOLD)
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


def opened_in(directory: Path) -> None:
    async def main() -> None:
        store = await MachineStore(directory).open("app")
        await exchange(store, limits(1), now=0.0)
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702, 0o720])
@pytest.mark.parametrize("there_before", [True, False])
def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path, mode: int, there_before: bool) -> None:
    directory = tmp_path / "flow"
    if there_before:
        opened_in(directory)
    else:
        directory.mkdir()
    before = sorted(directory.iterdir())
    directory.chmod(mode)
    remedy = r"cannot be used: .*flow: other users can write to it: chmod go-w .*; or give a directory of your own"
    with pytest.raises(StoreError, match=remedy):
        opened_in(directory)
    assert sorted(directory.iterdir()) == before
    assert directory.stat().st_mode & 0o7777 == mode
    directory.chmod(0o755)
    opened_in(directory)


BESIDE = ["", "-wal", "-shm", "-journal"]


@pytest.mark.parametrize("suffix", BESIDE)
@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "directory", "pipe", "open to others"])
def test_what_is_planted_beside_the_file_is_refused_and_left_alone(tmp_path: Path, suffix: str, kind: str) -> None:
    directory, precious = tmp_path / "flow", tmp_path / "precious"
    directory.mkdir(mode=0o700)
    planted = directory / f"app.sqlite3{suffix}"
    precious.write_text("precious")
    precious.chmod(0o644)
    words = "it is a link"
    if kind == "link":
        planted.symlink_to(precious)
    elif kind == "dangling link":
        planted.symlink_to(tmp_path / "nowhere")
    elif kind == "hard link":
        planted.hardlink_to(precious)
        words = "it has another name elsewhere"
    elif kind == "directory":
        planted.mkdir()
        words = "it is not a regular file"
    elif kind == "pipe":
        os.mkfifo(planted)
        words = "it is not a regular file"
    else:
        planted.write_bytes(b"")
        planted.chmod(0o602)
        words = "other users can write to it: chmod go-w"
    with pytest.raises(StoreError, match=f"{planted.name}: {words}.*; remove it if you do not need it"):
        opened_in(directory)
    assert precious.read_text() == "precious"
    assert precious.stat().st_mode & 0o777 == 0o644
    assert sorted(tmp_path.iterdir()) == [directory, precious]


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_what_is_planted_while_the_store_is_in_use_is_refused_too(tmp_path: Path, suffix: str) -> None:
    place = MachinePlace(tmp_path)

    async def story(a: User, _b: User) -> None:
        await a.take()
        beside = tmp_path / f"app.sqlite3{suffix}"
        beside.unlink()
        beside.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreError, match="it is a link"):
            await a.ask()
        assert not (tmp_path / "elsewhere").exists()

    play(place, story, "a", "b")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can play two users")
@pytest.mark.parametrize("name", [".", *(f"app.sqlite3{suffix}" for suffix in BESIDE)])
def test_what_another_user_owns_is_refused(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "flow"
    directory.mkdir(mode=0o700)
    (directory / name).touch(mode=0o600)
    os.chown(directory / name, 65534, 65534)
    with pytest.raises(StoreError, match=r"it belongs to another user \(uid 65534\)"):
        opened_in(directory)
    os.chown(directory / name, 0, 0)
    opened_in(directory)


def test_nothing_is_made_through_a_link_of_others(tmp_path: Path) -> None:
    shared, private = tmp_path / "shared", tmp_path / "private"
    private.mkdir()
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "link").symlink_to(private)
    with pytest.raises(StoreError, match="is a link that another user may have put there"):
        opened_in(shared / "link" / "flow")
    assert list(private.iterdir()) == []
    (tmp_path / "own").symlink_to(private)
    opened_in(tmp_path / "own" / "flow")


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o000, 0o077])
def test_all_directories_that_are_made_are_for_their_owner_only_whatever_the_mask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        opened_in(tmp_path / "state" / "aionorth" / "flow")
        opened_in(tmp_path / "state" / "aionorth" / "flow")
    finally:
        os.umask(before)
    for made in ("state", "state/aionorth", "state/aionorth/flow"):
        assert (tmp_path / made).stat().st_mode & 0o777 == 0o700


def test_a_file_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    opened_in(tmp_path)
    (tmp_path / "app.sqlite3").chmod(0o644)
    opened_in(tmp_path)
    assert (tmp_path / "app.sqlite3").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("names", ["a", "ab"])
@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_when_somebody_removes_what_is_beside_the_file_no_slot_is_given(
    tmp_path: Path, suffix: str, names: str
) -> None:
    place = MachinePlace(tmp_path)

    async def story(a: User, *others: User) -> None:
        await a.take()
        (tmp_path / f"app.sqlite3{suffix}").unlink()
        for user in (a, *others):
            try:
                assert await user.wait() > IN_FLIGHT + HOLD - 1
            except StoreError as exc:  # what is still open goes with none that are made now
                assert_ends_the_run(exc, "remove it and the files beside it")

    play(place, story, *names)


WRONG_TEXTS: list[Any] = ["not json", "[]", "null", b"\xff\xfe", "[" * 100_000, "{", "{}", '{"at": "x"}']


async def once_stepped(directory: Path) -> OpenMachineStore:
    """A store that knows a slot, and has given it a call that waits."""
    store = OpenMachineStore(directory / "app.sqlite3", Clock())
    await store.begin()
    for asker in "abc":
        await exchange(store, limits(2), acquire=Acquire(process=asker, key=asker), now=5000.0)
    await store.lease_token(KEY, "a", 10)
    await store.end_lease(KEY, "a", StoredToken("text", 0.0))
    return store


async def damaged(directory: Path, *statements: Any, reopened: bool) -> StoreError | None:
    """What the store says of an exchange, once another process has done something to its file."""
    store = await once_stepped(directory)
    try:
        if reopened:
            await store.close()
        db = sqlite3.connect(directory / "app.sqlite3")
        for statement, *values in statements:
            db.execute(statement, values)
        db.commit()
        db.close()
        if reopened:
            store = OpenMachineStore(directory / "app.sqlite3", Clock())
            await store.begin()
        await exchange(store, limits(2), acquire=Acquire(process="b", key="b2"), now=5000.0)
        await store.lease_token(KEY, "a", 10)
        await store.end_lease(KEY, "a", StoredToken("text", 0.0))
    except StoreError as exc:
        return exc
    finally:
        await store.close()
    return None


def assert_ends_the_run(error: StoreError | None, *words: str) -> None:
    assert error is not None
    assert error.ends_run
    assert not error.retryable
    for word in (*words, "the store of flow control"):
        assert word in str(error)


@pytest.mark.parametrize("reopened", [True, False])
@pytest.mark.parametrize("text", WRONG_TEXTS)
def test_a_document_that_is_damaged_ends_the_run(tmp_path: Path, text: Any, reopened: bool) -> None:
    error = asyncio.run(damaged(tmp_path, ("UPDATE flow SET document = ?", text), reopened=reopened))
    assert_ends_the_run(error, "app.sqlite3", "remove it and the files beside it once no process has used it")


@pytest.mark.parametrize("value", [None, b"abc"])
@pytest.mark.parametrize("column", ["flow.at", "flow.version"])
def test_a_column_that_is_damaged_ends_the_run(tmp_path: Path, column: str, value: Any) -> None:
    table, column = column.split(".")
    error = asyncio.run(damaged(tmp_path, (f"UPDATE {table} SET {column} = ?", value), reopened=False))
    assert_ends_the_run(error, "app.sqlite3", "remove it")


@pytest.mark.parametrize("value", [None, "abc", b"abc", 9e999])
@pytest.mark.parametrize("column", ["leases.until", "tokens.obtained_at", "tokens.text"])
def test_what_is_damaged_and_can_be_done_without_is(tmp_path: Path, column: str, value: Any) -> None:
    table, column = column.split(".")
    insert = ("INSERT INTO leases VALUES (?, 'other', 0)", token_name(KEY))
    update = (f"UPDATE {table} SET {column} = ?", value)
    assert asyncio.run(damaged(tmp_path, insert, update, reopened=False)) is None


@pytest.mark.parametrize("reopened", [True, False])
@pytest.mark.parametrize("table", ["flow", "tokens", "leases"])
def test_a_table_that_is_not_there_is_told_and_not_waited_for(tmp_path: Path, table: str, reopened: bool) -> None:
    error = asyncio.run(damaged(tmp_path, (f"DROP TABLE {table}",), reopened=reopened))
    assert_ends_the_run(error, f"no such table: {table}", "app.sqlite3", "remove it")


@pytest.mark.parametrize("reopened", [True, False])
@pytest.mark.parametrize("change", ["ADD COLUMN other", "RENAME COLUMN document TO other"])
def test_another_schema_is_told_and_not_waited_for(tmp_path: Path, change: str, reopened: bool) -> None:
    error = asyncio.run(damaged(tmp_path, (f"ALTER TABLE flow {change}",), reopened=reopened))
    assert_ends_the_run(error, "column", "app.sqlite3", "remove it")


@pytest.mark.parametrize("left", [0, 100, 5000])
def test_a_log_that_was_cut_is_told_with_its_cause(tmp_path: Path, left: int) -> None:
    async def main() -> StoreError:
        store, other = await once_stepped(tmp_path), await once_stepped(tmp_path)
        os.truncate(tmp_path / "app.sqlite3-wal", left)
        try:
            with pytest.raises(StoreError) as caught:
                for _ in range(10):
                    for one in (store, other):
                        await exchange(one, limits(2), now=5000.0)
            return caught.value
        finally:
            await store.close()
            await other.close()

    error = asyncio.run(main())
    assert_ends_the_run(error, "remove it and the files beside it")
    assert "rollback" not in str(error)
    assert any(words in str(error) for words in ("disk I/O error", "malformed", "not a database"))


def test_a_file_that_cannot_be_written_to_is_told_and_not_waited_for(tmp_path: Path) -> None:
    async def main() -> StoreError:
        store = await once_stepped(tmp_path)
        assert store._db is not None
        store._db.execute("PRAGMA query_only = ON")  # root could write to any file
        try:
            with pytest.raises(StoreError) as caught:
                await exchange(store, limits(2), now=5000.0)
            return caught.value
        finally:
            await store.close()

    assert_ends_the_run(asyncio.run(main()), "attempt to write a readonly database; see that you can write to it")


def test_what_others_hold_or_fill_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aionorth.stores.machine.LOCK_TIMEOUT", 0.01)

    async def main() -> None:
        store = await once_stepped(tmp_path)
        assert store._db is not None
        other = sqlite3.connect(tmp_path / "app.sqlite3", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match=r"app\.sqlite3, cannot be used: database is locked"):
            await exchange(store, limits(2), now=5000.0)
        other.execute("ROLLBACK")
        await exchange(store, limits(2), now=5000.0)
        other.close()
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreUnavailableError, match="database or disk is full; make room on its disk"):
            await store.end_lease(KEY, "a", None)
            await store.lease_token(KEY, "a", 10)
            await store.end_lease(KEY, "a", StoredToken("text" * 10_000, 0.0))
        store._db.execute("PRAGMA max_page_count = 10000")
        await store.end_lease(KEY, "a", StoredToken("text" * 10_000, 0.0))
        assert await store.read_token(KEY) is not None
        await store.close()

    asyncio.run(main())


def test_too_many_open_files_are_waited_for(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main() -> None:
        store = await once_stepped(tmp_path)
        (tmp_path / "app.sqlite3-wal").unlink()  # so that it is opened anew
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest - 8, hard))
        try:
            with pytest.raises(StoreUnavailableError, match=r"Too many open files|unable to open database file"):
                await exchange(store, limits(2), now=5000.0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        answer = await exchange(store, limits(2), now=5000.0)
        assert answer.view.unknown_for > 0
        await store.close()

    asyncio.run(main())


@pytest.mark.slow
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


def test_a_file_of_the_version_before_is_begun_anew_as_one_that_was_lost(tmp_path: Path) -> None:
    place = MachinePlace(tmp_path)
    db = sqlite3.connect(tmp_path / "app.sqlite3")
    db.execute("CREATE TABLE flow (at REAL, not_before REAL, most INTEGER, late INTEGER, lesson TEXT)")
    db.execute("CREATE TABLE slots (key TEXT PRIMARY KEY, free_at REAL, flies_until REAL, refused INTEGER)")
    db.execute("CREATE INDEX slots_by_time ON slots (free_at)")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()

    async def open_only() -> None:
        await (await place.open()).close()

    async def story(a: User) -> None:
        assert await a.wait() == about(IN_FLIGHT + HOLD)
        await place.advance(IN_FLIGHT + HOLD)
        await a.take()

    asyncio.run(open_only())  # a process that makes no call must not use up what shows that something is lost
    play(place, story, "a")


def test_what_another_process_writes_at_this_moment_is_not_yet_to_come(tmp_path: Path) -> None:
    place = MachinePlace(tmp_path)

    async def story(a: User, b: User) -> None:
        store, other = cast("OpenMachineStore", a.store), cast("OpenMachineStore", b.store)
        await a.take()
        await store.lease_token(KEY, "a", 10)
        await store.end_lease(KEY, "a", StoredToken("the token", 0.0))
        document = (await other.read(clock_error=0.0)).document
        assert document is not None
        overtaken = False

        def clock() -> float:
            nonlocal overtaken
            now = place.clock.now
            if not overtaken:  # the process stands still for a moment, just when it looks at the clock
                overtaken = True
                place.clock.now += 1
                assert other._replace(other._read(), document.replace('"at":5000.0', f'"at":{place.clock.now}'))
            return now

        store._clock = clock
        assert (await a.tell()).view.next_slot == float("inf")  # the call is still in flight
        assert overtaken
        assert await store.read_token(KEY) is not None

    play(place, story, "a", "b", limit=1)


# --- Redis


def test_redis_keys_expire(redis_place: RedisPlace) -> None:
    async def story(a: User) -> None:
        await a.take()
        client = there.client()
        keys = [key async for key in client.scan_iter("*")]
        assert keys
        assert all(key.startswith("{test:app}:") for key in keys)
        assert all([STATE_KEPT - 60 < await client.ttl(key) <= STATE_KEPT for key in keys])
        await client.aclose()

    there = redis_place
    play(there, story, "a")


@pytest.mark.parametrize("jump", [-7200.0, -3.0, 3.0, 7200.0])
def test_a_redis_whose_clock_is_set_does_no_harm(redis_place: RedisPlace, jump: float) -> None:
    place = redis_place

    async def story(a: User, b: User) -> None:
        permit_ = await a.take()
        await a.tell(a.end(permit_))
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
        assert await b.wait() == about(IN_FLIGHT + HOLD)
        assert await a.wait() == about(IN_FLIGHT + HOLD)
        await place.advance(IN_FLIGHT + HOLD)
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
        assert await b.wait() == about(IN_FLIGHT + HOLD)
        await a.tell()
        await place.advance(IN_FLIGHT + HOLD)
        await b.take()
        await a.take()

    play(place, story, "a", "b")


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[RedisPlace]:
    """A Redis of the test's own, which can be stopped; it goes on from the snapshot that it finds."""
    with redis_server(tmp_path) as server:
        yield RedisPlace(server)


async def empty(place: RedisPlace) -> None:
    client = place.client()
    await client.flushall()
    await client.aclose()


async def copy(place: RedisPlace) -> None:
    client = place.client()
    await client.save()
    await client.aclose()


async def restart(place: RedisPlace) -> None:
    place.server.restart()


async def delete_state(place: RedisPlace) -> None:
    client = place.client()
    await client.delete("{test:app}:state")
    await client.aclose()


async def nothing(_: RedisPlace) -> None: ...


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [(nothing, empty), (nothing, restart), (copy, restart), (nothing, delete_state)],
    ids=["emptied", "restarted without its data", "restarted from an older copy", "evicted"],
)
@pytest.mark.parametrize("living", [False, True], ids=["nobody is left", "others are left"])
def test_whatever_a_redis_has_lost_a_fresh_process_fears_that_all_slots_are_taken(
    own_place: RedisPlace, before: Callable[..., Any], after: Callable[..., Any], living: bool
) -> None:
    place = own_place

    async def story(a: User, b: User) -> None:
        await b.tell()
        permits = [await a.take()]
        await before(place)
        permits += [await a.take() for _ in range(2)]
        await a.tell(*map(a.end, permits))
        if not living:
            await a.store.close()
            await b.store.close()
        await after(place)
        fresh = [User(place, await place.open(), name, limits(3)) for name in ("fresh", "later")]
        if living and after is restart:
            with pytest.raises(StoreUnavailableError):  # its connection is lost
                await b.tell()
        answer, _ = await fresh[0].ask()
        assert answer.wait > 0
        assert IN_FLIGHT + HOLD - 3 < answer.wait == answer.view.unknown_for <= IN_FLIGHT + HOLD
        await place.advance(IN_FLIGHT + HOLD - 10)
        for user in fresh + ([b] if living and after is not empty and after is not delete_state else []):
            assert 7 < await user.wait() <= 10
        await place.advance(10)
        await fresh[1].take()
        await fresh[0].take()
        for user in fresh:
            await user.store.close()

    play(place, story, "a", "b", attempts=1)


def test_what_an_app_left_idle_for_long_is_begun_at_once(redis_place: RedisPlace) -> None:
    place = redis_place

    async def story(a: User) -> None:
        for _ in range(3):
            await a.take()
        await place.advance(20 * 24 * 3600)
        user = User(place, await place.open(), "fresh", limits(3))
        await user.take()
        await user.store.close()
        await a.take()

    play(place, story, "a")


def test_a_call_that_may_take_longer_waits_longer_for_what_is_lost(redis_place: RedisPlace) -> None:
    place = redis_place

    async def story(a: User, patient: User) -> None:
        patient.limits = Limits(limit=3, period=PERIOD, gap=0.0, timeout=200.0, pause=lambda _: 4.0)
        await empty(place)
        await a.wait()
        await place.advance(IN_FLIGHT + HOLD)
        await a.take()
        assert await patient.wait() == about(200 * 9 / 8 - IN_FLIGHT)

    play(place, story, "a", "patient")


def test_a_user_who_may_not_ask_for_a_redis_run_is_told_what_it_needs(redis: RedisServer) -> None:
    async def main(*rights: str) -> None:
        place = RedisPlace.__new__(RedisPlace)
        place.server = redis
        client = place.client()
        await client.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">hush-hush", *rights)
        await client.aclose()
        store = await RedisStore(redis.url.replace("://", "://limited:hush-hush@")).open("app")
        await exchange(store, limits(1), now=0.0)
        await store.close()

    for rights in (
        ("~*", "+@all", "-info"),
        ("~*", "+@all", "-time"),
        ("~other*", "+@all"),
        ("~*", "+@all", "-eval"),
    ):
        with pytest.raises(StoreError, match=r"; the user needs INFO and TIME, scripts, and all keys") as caught:
            asyncio.run(main(*rights))
        assert_ends_the_run(caught.value)
        assert "hush-hush" not in shown(caught.value)
    asyncio.run(
        main("~{aionorth:app}:*", "+set", "+info", "+time", "+@scripting", "+@hash", "+@sortedset", "+del", "+expire")
    )


WAYS: dict[str, Callable[[random.Random], int]] = {
    "forwards": lambda _: 1,
    "back": lambda _: -1,
    "to and fro": lambda rng: rng.choice([-1, 1]),
    "forwards, then far back": lambda rng: rng.choice([1, 1, 1, -3]),
}


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(0.05, marks=pytest.mark.slow),
        0.119,  # just below the slack
        pytest.param(0.249, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_a_clock_that_is_set_a_little_again_and_again_lets_no_more_calls_through(
    redis_place: RedisPlace, way: str, step: float
) -> None:
    place, limit = redis_place, 4

    async def story(*users: User) -> None:
        rng = random.Random(f"{way} {step}")
        log: list[tuple[float, float]] = []
        began = place.clock.now
        for user in users:
            await user.tell()
        while len(log) < 20:
            await place.set_clock(WAYS[way](rng) * step)
            user = rng.choice(users)
            answer, permit_ = await user.ask()
            if answer.wait == 0:
                sent = place.clock.now
                await place.advance(rng.choice([0.0, 0.01, 1.0]))
                log.append((sent, place.clock.now))
                await user.tell(user.end(permit_))
            else:
                await place.advance(1e-3 + min(answer.wait, rng.choice([answer.wait, 7.0, 20.0])))
        assert fullest_window(log, PERIOD) <= limit
        assert place.clock.now - began < 7 * PERIOD  # five would do: it costs little

    play(place, story, "a", "b", limit=limit)


def test_a_network_that_has_become_slow_is_no_clock_that_was_set(redis_place: RedisPlace) -> None:
    place = redis_place

    async def story(a: User, b: User) -> None:
        client = cast("Any", cast("OpenRedisStore", a.store)._client)
        await a.take()
        evaluate, asked = client.eval, 0

        async def slow(script: str, *arguments: Any) -> Any:
            nonlocal asked
            if script != LOOK:
                return await evaluate(script, *arguments)
            asked += 1
            await place.advance(2.0)
            answer = await evaluate(script, *arguments)
            await place.advance(1.0)
            return answer

        client.eval = slow
        for _ in range(5):
            await a.tell()
        assert asked <= 5 + DELAYS + 1
        await b.take()

    play(place, story, "a", "b")


USUAL = {"state": "hash", "token": "hash", "lease": "string"}
UNUSUAL = [(key, kind) for key, usual in USUAL.items() for kind in ("string", "hash", "list", "zset") if kind != usual]


@pytest.mark.parametrize(("key", "kind"), UNUSUAL)
def test_a_redis_key_of_another_type_is_told_and_not_waited_for(redis_place: RedisPlace, key: str, kind: str) -> None:
    place = redis_place

    async def story(a: User, b: User) -> None:
        for user in (a, b):
            await user.ask()
        await a.store.lease_token(KEY, "a", 10)
        await a.store.end_lease(KEY, "a", StoredToken("text", 0.0))
        client = place.client()
        name = f"{{test:app}}:{key}" + (f":{token_name(KEY)}" if key in {"token", "lease"} else "")
        await client.delete(name)
        put = {"string": ("SET", name, "7"), "hash": ("HSET", name, "a", "b"), "list": ("RPUSH", name, "7")}
        await client.execute_command(*put.get(kind, ("ZADD", name, 7, "a")))
        await client.aclose()
        with pytest.raises(StoreError) as caught:
            await a.ask()
            await a.store.read_token(KEY)
            await a.store.lease_token(KEY, "a", 10)
        assert_ends_the_run(caught.value, "WRONGTYPE", "remove all keys that begin with {test:app};")

    play(place, story, "a", "b", limit=1)


@pytest.mark.parametrize("text", WRONG_TEXTS)
def test_a_document_in_redis_that_is_damaged_ends_the_run(redis_place: RedisPlace, text: Any) -> None:
    place = redis_place

    async def story(a: User) -> None:
        await a.take()
        client = place.client()
        await client.hset("{test:app}:state", "document", text)
        await client.aclose()
        with pytest.raises(StoreError) as caught:
            await a.ask()
        assert_ends_the_run(caught.value, "is damaged", "remove all keys that begin with {test:app};")

    play(place, story, "a")


@pytest.mark.parametrize("value", ["", "abc", b"\xff", "nan", "inf"])
@pytest.mark.parametrize("field", ["offset", "born", "corrections", "writes"])
def test_a_number_in_redis_that_is_none_is_told_and_not_waited_for(
    redis_place: RedisPlace, field: str, value: Any
) -> None:
    place = redis_place

    async def story(a: User) -> None:
        await a.take()
        client = place.client()
        await client.hset("{test:app}:state", field, value)
        await client.aclose()
        with pytest.raises(StoreError) as caught:
            await a.ask()
        assert_ends_the_run(caught.value, "is damaged", "remove all keys that begin with {test:app};")

    play(place, story, "a")


@pytest.mark.parametrize(
    ("field", "value"), [("obtained_at", "abc"), ("obtained_at", ""), ("text", "x"), ("text", b"\xff")]
)
def test_a_token_in_redis_that_is_damaged_is_none(redis_place: RedisPlace, field: str, value: Any) -> None:
    place = redis_place

    async def story(a: User) -> None:
        await a.store.lease_token(KEY, "a", 10)
        await a.store.end_lease(KEY, "a", StoredToken("text", 0.0))
        client = place.client()
        await client.hset(f"{{test:app}}:token:{token_name(KEY)}", field, value)
        assert await a.store.read_token(KEY) is None
        await client.hdel(f"{{test:app}}:token:{token_name(KEY)}", field)
        await client.aclose()
        assert await a.store.read_token(KEY) is None
        await a.store.lease_token(KEY, "a", 10)
        await a.store.end_lease(KEY, "a", StoredToken("another", 0.0))
        found = await a.store.read_token(KEY)
        assert found is not None
        assert found.text == "another"

    play(place, story, "a")


def test_what_a_redis_may_get_over_is_waited_for(own_place: RedisPlace) -> None:
    place = own_place

    async def story(a: User) -> None:
        client = place.client()
        await a.take()

        async def waited_for(words: str) -> None:
            with pytest.raises(StoreUnavailableError, match=words):
                await a.tell()

        await client.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailableError, match=r"OOM|OutOfMemory"):
            await a.store.lease_token(KEY, "a", 10)
        await client.config_set("maxmemory", 0)
        await client.execute_command("REPLICAOF", "127.0.0.1", "1")
        await client.config_set("replica-serve-stale-data", "no")
        await waited_for("MasterDown|MASTERDOWN")
        await client.config_set("replica-serve-stale-data", "yes")
        await waited_for("ReadOnly|READONLY")
        await client.execute_command("REPLICAOF", "NO", "ONE")
        await client.config_set("min-replicas-to-write", 1)
        await waited_for("NOREPLICAS")
        await client.config_set("min-replicas-to-write", 0)
        await client.aclose()
        await a.tell()
        place.server.stop()
        await waited_for("ConnectionError")
        place.server.start()
        await a.tell()

    play(place, story, "a")


def test_a_redis_that_has_evicted_the_entry_forgets_no_slot_and_holds_none_longer(redis_place: RedisPlace) -> None:
    place = redis_place

    async def story(a: User, b: User) -> None:
        await a.take()
        await place.advance(1000)
        for _ in range(2):
            await a.take()
        await b.take()
        assert await b.wait() > 0
        client = place.client()
        await client.delete("{test:app}:state")
        await client.aclose()
        assert await a.wait() > HOLD - LAX
        await place.advance(IN_FLIGHT + HOLD + 2)
        for _ in range(3):
            await a.take()  # b's turn is over

    play(place, story, "a", "b")


def test_a_token_in_redis_is_sealed(redis_place: RedisPlace) -> None:
    there = redis_place

    async def story(a: User) -> None:
        await a.store.lease_token(KEY, "a", 10)
        await a.store.end_lease(KEY, "a", StoredToken("the very token", 0.0))
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


PASSWORD = "hush-hush"
SHAPES = [
    *(
        f"redis://user:{PASSWORD}{mark}{rest}@host:6379/0"
        for mark in "#/?@[] \t\n\x00\ud800\u202e"
        for rest in ("", "12")
    ),
    *(f"redis://{scheme}12{mark}{PASSWORD}@host" for scheme in ("", ":", "user:") for mark in "#/?"),
    f"redis://user:{PASSWORD}",
    f"redis://user:{PASSWORD}/0",
    f"redis://user:12/{PASSWORD}%40host",
    f"redis://user:12?{PASSWORD}%40host",
    f"redis://host/{PASSWORD}",
    f"redis://host:99999/0?password={PASSWORD}",
    f"redis://host?password={PASSWORD}#12",
    f"redis://host?password={PASSWORD}&12",
    f"redis://host?password={PASSWORD}&db=x",
    f"redis://host?password={PASSWORD}&ssl_cert_reqs=none",
    f"redis://host?password={PASSWORD}&credential_provider=x",
    f"redis://host?password={PASSWORD}&decode_responses=x",
    f"rediss://:{PASSWORD}@host?ssl_cert_reqs=x",
    f"rediss://:{PASSWORD}@[::1",
    f"redis://:{PASSWORD}\u2100@host",
    f"redis://{PASSWORD}\u2100",
    f"unix://:{PASSWORD}/12@/socket",
    f"unix://:{PASSWORD}@host/socket",
    f"unix://:{PASSWORD}@",
    f"unix:///socket@{PASSWORD}",
    *(
        f"redis+{kind}://user:{PASSWORD}{mark}{rest}@host:6379,host2/{service}"
        for kind, service in (("cluster", ""), ("sentinel", "service"))
        for mark in "#/?@[] \t\n\x00\ud800\u202e"
        for rest in ("", "12")
    ),
    f"redis+cluster://user:{PASSWORD}",
    f"redis+cluster://:{PASSWORD}@host/0",
    f"redis+cluster://:{PASSWORD}@host,",
    f"redis+cluster://:{PASSWORD}@host?db=1",
    f"redis+cluster://:{PASSWORD}@host?sentinel_password=x",
    f"redis+cluster://:{PASSWORD}@host,:{PASSWORD}@host2",
    f"redis+sentinel://:{PASSWORD}@host",
    f"redis+sentinel://:{PASSWORD}@host/",
    f"redis+sentinel://:{PASSWORD}@host,host:99999/service",
    f"redis+sentinel://user:12/{PASSWORD}%40host",
    f"redis+sentinel://host/service?sentinel_password={PASSWORD}&sentinel_db=1",
    f"redis+sentinel://host/service?sentinel_password={PASSWORD}#12",
    f"redis+unix://:{PASSWORD}@/socket",
    f"http://:{PASSWORD}@host",
    f" redis://:{PASSWORD}@host",
]


@pytest.mark.parametrize("url", SHAPES)
def test_a_url_by_which_a_part_of_the_password_could_be_shown_is_refused(url: str) -> None:
    with pytest.raises(ArgumentError, match=r"RedisStore\.url: ") as caught:
        asyncio.run(RedisStore(url).open("app"))
    assert PASSWORD not in shown(caught.value)
    assert caught.value.__context__ is None


MARKS = st.sampled_from("#/?@:[]%&=+ \\.~\n\x00\u202e\ud800\u2100é") | st.sampled_from("0123456789abcdefABCDEF")


@given(
    st.text(MARKS, min_size=1, max_size=12),
    st.sampled_from(["redis://user:{}@host.example:6379/3", "unix://user:{}@/socket?db=3"]),
)
def test_a_password_is_read_as_it_stands_or_refused(password: str, url: str) -> None:
    parse = pytest.importorskip("redis.asyncio.connection").parse_url
    special = {*"#/?@[] \u2100"} & {*password} or not password.isprintable()
    if special:
        with pytest.raises(ArgumentError, match="percent-encoded") as caught:
            RedisStore(url.format(password))
        assert len(password) < 4 or password not in shown(caught.value)
        RedisStore(url.format(quote(password, safe="", errors="replace")))
    else:
        store = RedisStore(url.format(password))
        read = parse(store.url)
        assert (read["username"], read["password"]) == ("user", unquote(password))
        assert read.get("path", "/socket") == "/socket"
        assert (read.get("host", "host.example"), read.get("port", 6379), read["db"]) == ("host.example", 6379, 3)
        assert repr(store) == "RedisStore(prefix='aionorth')"


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://host",
        "rediss://host:6379/0",
        "REDIS://user@host/",
        "redis://:p%40s%2Fs@[::1]:6379/15",
        "redis://user:!$'()*+,;=~p:q@host_1:6379",
        "redis://host?db=2&password=hush%23&socket_timeout=1.5&client_name=me",
        "rediss://host?ssl_ca_certs=/etc/ssl/ca.pem&ssl_check_hostname=no",
        "unix:///run/redis.sock?db=2",
        "unix://user:pass@/run/redis.sock",
        "redis+cluster://host",
        "REDISS+cluster://user:p%40s%2Fs@[::1]:7000,host-2,10.0.0.3:7002?client_name=me&socket_timeout=1.5",
        "redis+sentinel://host/service",
        "rediss+sentinel://user:pass@host:26379,host2/my.service-1/2?ssl_ca_certs=/ca.pem&sentinel_password=hush%23",
    ],
)
def test_a_url_of_any_usual_shape_is_taken(url: str) -> None:
    store = RedisStore(url)
    assert store.url == url
    assert connect(store.url) is not None
    assert store == RedisStore(url, "aionorth")
    assert hash(store) == hash(RedisStore(url))


def test_a_redis_that_refuses_the_password_ends_the_run_and_shows_none(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        place = RedisPlace(server)

        async def main() -> StoreError:
            client = place.client()
            await client.execute_command("ACL", "SETUSER", "user", "reset", "on", f">{PASSWORD}", "~*", "+@all")
            store = await RedisStore(server.url.replace("://", f"://user:{PASSWORD}@")).open("app")
            await client.execute_command("ACL", "SETUSER", "user", "resetpass", ">other")
            await client.execute_command("CLIENT", "KILL", "USER", "user")
            await client.aclose()
            try:
                for _ in range(3):
                    with suppress(StoreUnavailableError):  # the connection is lost, and made anew
                        await exchange(store, limits(1), now=0.0)
            except StoreError as exc:
                return exc
            finally:
                await store.close()
            raise AssertionError("it was heard")

        error = asyncio.run(main())
    assert_ends_the_run(error, "AuthenticationError", "check user and password in the URL")
    assert PASSWORD not in shown(error)
    assert error.__cause__ is not None


async def test_sentinels_that_cannot_be_reached_end_in_an_error_that_shows_no_password() -> None:
    url = f"redis+sentinel://:{PASSWORD}@127.0.0.1:1,127.0.0.1:2/service?sentinel_password={PASSWORD}"
    with pytest.raises(StoreUnavailableError, match="no Sentinel that can be reached") as caught:
        await RedisStore(url).open("app")
    assert PASSWORD not in shown(caught.value)


def test_one_who_is_cancelled_while_redis_hears_the_password_shows_none() -> None:
    async def main() -> BaseException:
        heard = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while PASSWORD.encode() not in await reader.read(1000):
                pass
            heard.set()
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            opening = asyncio.create_task(RedisStore(f"redis://:{PASSWORD}@127.0.0.1:{port}").open("app"))
            await heard.wait()
            opening.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await opening
            return caught.value

    assert PASSWORD not in shown(asyncio.run(main()))


def test_what_a_server_says_gives_a_terminal_no_orders() -> None:
    async def main() -> StoreError:
        async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(1000):
                writer.write(b"-ERR \x1b[2Jno\tway " + b"x" * 5000 + b"\r\n")
            writer.close()

        async with await asyncio.start_server(rude, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(StoreError) as caught:
                await RedisStore(f"redis://127.0.0.1:{port}").open("app")
            return caught.value

    error = asyncio.run(main())
    assert str(error).isprintable()
    assert len(str(error)) < 1200


@pytest.mark.parametrize("prefix", ["", "a}b", 3])
def test_a_prefix_that_cannot_be_is_refused(prefix: Any) -> None:
    with pytest.raises(ArgumentError, match=r"RedisStore\.prefix="):
        RedisStore("redis://host", prefix)


@pytest.mark.parametrize("directory", ["", None, 3])
def test_a_directory_that_is_none_is_refused(directory: Any) -> None:
    with pytest.raises(ArgumentError, match=r"MachineStore\.directory="):
        MachineStore(directory)


def test_a_store_without_a_directory_is_the_command_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name in ("URL", "APP_ID", "SECRET"):
        monkeypatch.setenv(f"AIONORTH_{name}", "https://platform.example")
    store = MachineStore()
    assert store.directory == tmp_path / "aionorth" / "flow"
    assert store == resolve(Given()).store


def test_without_the_command_lines_extra_a_store_needs_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(ArgumentError, match=r"pip install 'aionorth\[cli\]', or give MachineStore a directory"):
        MachineStore()


def test_without_a_home_a_store_needs_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_state_path", lambda _: Path("~/nowhere"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    with pytest.raises(
        ArgumentError, match=r"there is no home directory for the app's store: set HOME, or .*, or give"
    ):
        MachineStore()


def test_a_directory_may_begin_with_the_home() -> None:
    assert MachineStore("~/flow").directory == Path.home() / "flow"


# --- Several processes at once, in virtual time


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_no_window_of_a_period_holds_more_than_the_limit_whoever_dies(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    log: list[tuple[float, float]] = []
    limit = rng.randint(2, 12)

    async def process(number: int) -> int:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(rng.uniform(0, 20))
        store = OpenMachineStore(tmp_path / "app.sqlite3", loop.time)
        await store.begin()
        flow = Limiter(FlowControl(limit, 10.0), growing_waits, lambda limits: SharedWindow(store, limits), timeout=5.0)
        made = 0

        async def worker() -> None:
            nonlocal made
            for _ in range(8):
                with await permit(flow) as slot:
                    sent = slot.sent(until=loop.time() + 5.0)
                    try:
                        await asyncio.sleep(rng.uniform(0, 4.5))
                    except asyncio.CancelledError:
                        log.append((sent, sent + 5.0))
                        raise
                    log.append((sent, loop.time()))
                made += 1

        workers = [asyncio.create_task(worker()) for _ in range(3)]
        if number == 0:
            await asyncio.sleep(15)
            flow._window.release = lambda *_: False  # type: ignore[method-assign]  # it dies: nobody hears of it
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
