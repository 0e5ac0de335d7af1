"""What becomes of a store when another server takes the place of its Redis server: real servers, real failovers."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import RedisServer, put_in_service

from aionorth import RedisStore
from aionorth.errors import StoreUnavailableError
from aionorth.flow.settings import CLOCK_TOLERANCE, Limits
from aionorth.flow.shared import CLOCK_ERROR, LONGEST_CLOCK_ERROR, Response, exchange
from aionorth.flow.window import Acquire
from aionorth.stores.base import StoreRetry
from aionorth.stores.redis import OpenRedisStore

APP = "app"
STATE = "{aionorth:app}:state"
LIMITS = Limits(limit=3, period=60.0, gap=0.0, timeout=30.0, pause=lambda _: 4.0)
FEARED_FOR = LIMITS.timeout + LIMITS.period * (1 + CLOCK_TOLERANCE + 2 * CLOCK_ERROR)
"""Seconds for which all slots count as taken after a loss."""
LAX = 5.0
"""Seconds that a test may take in between."""
HELD = 5.0
"""Seconds for which calls may be held once the new primary answers."""


class Node(RedisServer):
    """A server among others."""

    def __init__(self, program: str, directory: Path, *options: str) -> None:
        super().__init__(directory, keeps=False)
        directory.mkdir()
        self._command[0] = program
        self._command += ["--repl-diskless-sync-delay", "0", "--shutdown-timeout", "0", *options]
        self.start()

    async def say(self, *words: Any) -> Any:
        async with self.client() as client:
            return await client.execute_command(*words)

    def client(self) -> Any:
        from redis.asyncio import Redis  # noqa: PLC0415 - optional

        return Redis.from_url(self.url, decode_responses=True)  # type: ignore[no-untyped-call, unused-ignore]

    async def follow(self, primary: "Node") -> None:
        """Become a replica, and wait until it has what the primary has."""
        await self.say("REPLICAOF", "127.0.0.1", primary.port)
        async with self.client() as client:
            await until(lambda: client.info("replication"), lambda info: info["master_link_status"] == "up")

    async def lead(self) -> None:
        """Become a primary."""
        await self.say("REPLICAOF", "NO", "ONE")


async def until(look: Callable[[], Any], is_so: Callable[[Any], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not is_so(await look()):  # noqa: ASYNC110 - a server has no event to be awaited
            await asyncio.sleep(0.02)


Start = Callable[..., Node]


@pytest.fixture(params=["redis", "valkey"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts servers, which end with the test."""
    program = f"{request.param}-server"
    if shutil.which(program) is None and not (request.param == "redis" and os.environ.get("CI")):
        pytest.skip(f"{program} is not installed (Debian: apt-get install {program})")
    with ExitStack() as stack:

        def started(*options: str) -> Node:
            node = Node(program, tmp_path / str(len(list(tmp_path.iterdir()))), *options)
            stack.callback(node.stop)
            return node

        yield started


class Endpoint:
    """The address that clients know, which leads each new connection to the server that is in charge.

    Like many a proxy it leaves connections alone that are there already. `answer` is what it says itself to a script.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.answer = b""
        self.connections = 0
        self._serving = set[asyncio.Task[None] | None]()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
            await asyncio.gather(*filter(None, self._serving))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._serving.add(asyncio.current_task())
        there, to = await asyncio.open_connection("127.0.0.1", self.node.port)
        back = asyncio.ensure_future(self._forward(there, writer))
        while words := await reader.read(65536):
            if self.answer and b"EVAL" in words:
                writer.write(self.answer)
            else:
                to.write(words)
        to.write_eof()
        await back
        for end in (to, writer):
            end.close()
            await end.wait_closed()

    @staticmethod
    async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while words := await reader.read(65536):
            writer.write(words)


class Users:
    """Processes, as a store sees them: each has a store of its own."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url, self._stack = url, stack

    async def new(self, url: str = "") -> OpenRedisStore:
        store = await RedisStore(url or self._url).open(APP)
        self._stack.push_async_callback(store.close)
        return store


async def take(store: OpenRedisStore, key: str) -> Response:
    return await exchange(store, LIMITS, (), Acquire("process", key), now=asyncio.get_running_loop().time())


async def held(store: OpenRedisStore, key: str) -> Response:
    """Ask for a slot as a session does: until the store can be used."""
    async with asyncio.timeout(30):
        return await StoreRetry().until(lambda: take(store, key))


def assert_feared(response: Response) -> None:
    assert FEARED_FOR - LAX < response.wait == response.view.unknown_for <= FEARED_FOR


def play(story: Callable[[Endpoint, Users], Any], node: Node) -> None:
    """Let a story happen to users of an endpoint, whose server has known their app for long."""

    async def main() -> None:
        endpoint = Endpoint(node)
        async with endpoint.served() as url, AsyncExitStack() as stack:  # its users are closed first
            users = Users(url, stack)
            await put_in_service(await users.new())
            await story(endpoint, users)

    asyncio.run(main())


def test_after_a_failover_calls_go_on_although_the_old_primary_stays_up(start: Start) -> None:
    old, new = start(), start()

    async def story(endpoint: Endpoint, users: Users) -> None:
        await new.follow(old)
        store = await users.new()
        assert not (await take(store, "a")).wait
        await new.lead()
        endpoint.node = new
        await old.follow(new)  # the connection to it is still there
        with pytest.raises(StoreUnavailableError, match="ReadOnlyError"):
            await take(store, "b")
        began = time.monotonic()
        assert_feared(await held(store, "b"))
        assert time.monotonic() - began < HELD

    play(story, old)


@pytest.mark.slow
def test_a_failover_that_drags_on_is_waited_for(start: Start) -> None:
    old, new = start(), start()

    async def story(endpoint: Endpoint, users: Users) -> None:
        await new.follow(old)
        store = await users.new()
        await old.follow(new)  # of two replicas none can be written to
        asking = asyncio.ensure_future(held(store, "a"))
        await asyncio.sleep(4)  # by now it tries again at its longest intervals
        assert not asking.done()
        endpoint.node = new
        await new.lead()
        began = time.monotonic()
        assert_feared(await asking)
        assert time.monotonic() - began < HELD

    play(story, old)


@pytest.mark.parametrize("living", [False, True], ids=["nobody is left", "others are left"])
def test_what_the_new_primary_lacks_may_be_all_slots(start: Start, *, living: bool) -> None:
    old, new = start(), start()

    async def story(endpoint: Endpoint, users: Users) -> None:
        await new.follow(old)
        store = await users.new()
        await new.lead()
        for key in "abc":  # the old one, which does not know yet, goes on alone
            assert not (await take(store, key)).wait
        await old.follow(new)
        endpoint.node = new
        if not living:
            await store.close()
        fresh = await users.new()
        assert_feared(await take(fresh, "d"))
        if living:
            assert_feared(await held(store, "e"))
        assert_feared(await take(fresh, "d"))

    play(story, old)


def test_what_the_old_primary_has_given_since_is_feared_from_when_its_users_come_over(start: Start) -> None:
    old, new = start(), start()

    async def story(endpoint: Endpoint, users: Users) -> None:
        await new.follow(old)
        late = await users.new()
        await new.lead()
        endpoint.node = new
        first = await users.new()
        assert_feared(await take(first, "a"))
        await asyncio.sleep(2)
        assert not (await take(late, "b")).wait  # by the old one
        await old.follow(new)
        feared = await held(late, "c")
        assert FEARED_FOR - 1 < feared.view.unknown_for <= FEARED_FOR
        assert (await take(first, "a")).view.unknown_for > FEARED_FOR - 1

    play(story, old)


def test_what_one_server_has_shown_is_not_replaced_on_another(start: Start) -> None:
    old, new = start(), start()

    async def story(endpoint: Endpoint, users: Users) -> None:
        await new.follow(old)
        store = await users.new()
        await take(store, "a")
        await until(lambda: new.say("HGET", STATE, "version"), bool)
        fresh = await users.new()
        await new.lead()
        await take(store, "b")
        await old.follow(new)  # and has forgotten the second one, too
        snapshot = await fresh.read(clock_error=LONGEST_CLOCK_ERROR)
        assert not snapshot.lost
        endpoint.node = new
        await fresh._disconnect()
        assert not await fresh.replace(snapshot, snapshot.document or "", keep=0)
        assert (await fresh.read(clock_error=LONGEST_CLOCK_ERROR)).lost

    play(story, old)


def test_a_primary_that_was_a_replica_meanwhile_may_have_lost_something(start: Start) -> None:
    one, other = start(), start()

    async def story(_: Endpoint, users: Users) -> None:
        await other.follow(one)
        store = await users.new()
        await other.lead()
        for key in "abc":
            assert not (await take(store, key)).wait
        await one.follow(other)
        await one.lead()  # the same run of the same server
        assert_feared(await take(await users.new(), "d"))

    play(story, one)


def test_a_primary_that_gets_a_replica_has_lost_nothing(start: Start) -> None:
    primary, replica = start(), start()

    async def story(_: Endpoint, users: Users) -> None:
        store = await users.new()
        await take(store, "a")
        await replica.follow(primary)
        assert not (await take(store, "b")).wait
        assert not (await take(await users.new(), "c")).wait

    play(story, primary)


@pytest.mark.parametrize(
    "code", ["READONLY", "MOVED 12 127.0.0.1:1", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "ASK 12 h:1"]
)
@pytest.mark.parametrize("form", ["-{} now\r\n", "-ERR Error running script: @user_script:3: -{} now\r\n"])
def test_a_connection_that_leads_to_the_wrong_server_is_made_anew(start: Start, code: str, form: str) -> None:
    async def story(endpoint: Endpoint, users: Users) -> None:
        store = await users.new()
        await take(store, "a")
        endpoint.answer = form.format(code).replace(":1 now", ":1").encode()
        before = endpoint.connections
        for made_anew in (0, 1, 2):
            with pytest.raises(StoreUnavailableError):
                await take(store, "b")
            assert endpoint.connections == before + made_anew
        endpoint.answer = b""
        assert not (await take(store, "b")).wait

    play(story, start())
