"""What becomes of a store when another server takes the place of its Redis server: real servers, real failovers."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from ports import free_port
from processes import Platform, RedisServer, Worker, in_service, put_in_service
from support import shown

from aionorth import RedisStore, StoreError
from aionorth.errors import StoreUnavailableError
from aionorth.flow.settings import CLOCK_TOLERANCE, Limits
from aionorth.flow.shared import CLOCK_ERROR, LONGEST_CLOCK_ERROR, Response, exchange
from aionorth.flow.window import Acquire
from aionorth.stores.base import StoredToken, StoreRetry
from aionorth.stores.redis import OpenRedisStore
from aionorth.stores.redis_client import MAX_CONNECTIONS, Connections, connect, join, leave

KEY = bytes(range(32))
PASSWORD, OTHER_PASSWORD = "hush-hush", "not-a-word"
APP = "app"
STATE = "{aionorth:app}:state"
LIMITS = Limits(limit=3, period=60.0, gap=0.0, timeout=30.0, pause=lambda _: 4.0)
FEARED_FOR = LIMITS.in_flight + LIMITS.period * (1 + CLOCK_TOLERANCE + 2 * CLOCK_ERROR)
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
        if "--sentinel" in options:
            self._command = [program, *options, "--port", str(self.port), "--bind", "127.0.0.1"]
        else:
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
        await self.has_caught_up()

    async def has_caught_up(self) -> None:
        async with self.client() as client:
            await until(lambda: client.info("replication"), lambda info: info.get("master_link_status") == "up")

    async def lead(self) -> None:
        """Become a primary."""
        await self.say("REPLICAOF", "NO", "ONE")


async def until(look: Callable[[], Any], is_so: Callable[[Any], bool], seconds: float = 60) -> None:
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
        self._url, self._stack, self._number = url, stack, 0

    async def new(self, app: str = APP) -> OpenRedisStore:
        self._number += 1  # those of one process share connections
        mark = "&" if "?" in self._url else "?"
        store = await RedisStore(f"{self._url}{mark}client_name=process-{self._number}").open(app)
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


@pytest.mark.slow
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
        await fresh._connections.close()
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


@pytest.mark.slow
def test_over_a_failover_that_loses_steps_nothing_is_refused_and_nothing_lost(start: Start) -> None:
    calls, period, timeout = 40, 2.0, 3.0
    old, new = start(), start()

    async def main() -> None:
        await new.follow(old)
        endpoint = Endpoint(old)
        async with endpoint.served() as url:
            await asyncio.to_thread(in_service, url, there.url)
            options: dict[str, Any] = {"store": url, "calls": calls, "period": period, "timeout": timeout}
            workers = [stack.enter_context(Worker(there, **options)) for _ in range(2)]
            for number, worker in enumerate(workers):
                await asyncio.to_thread(worker.ready)
                worker.write(there.ids[number :: len(workers)])
            await asyncio.sleep(2.5)
            await new.lead()  # what the old one is told from now on is lost
            await asyncio.sleep(1)
            endpoint.node = new
            await old.follow(new)
            lines = [await asyncio.to_thread(worker.read_rest) for worker in workers]
        arrivals = there.arrivals()
        assert not [arrival for arrival in arrivals if arrival.refused]
        assert not there.left
        assert sum(arrival.method == "DELETE" for arrival in arrivals) == len(there.ids)
        results = [one for line in lines for one in line if isinstance(one, list)]
        assert sorted(results) == sorted([one, "deleted"] for one in there.ids)
        received = sorted(arrival.received for arrival in arrivals)
        silent = max(later - earlier for earlier, later in pairwise(received))
        feared_for = timeout * 9 / 8 + period
        assert feared_for - 1 < silent < feared_for + HELD  # one that had lost nothing would go on at once

    with ExitStack() as stack:
        there = stack.enter_context(Platform(model="sliding-refusals", calls=calls, period=period, subscriptions=200))
        asyncio.run(main())


@pytest.mark.slow
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


# --- A Cluster

SLOTS = 16384


async def cluster(start: Start) -> list[Node]:
    """Start three primaries, and a replica of the one that keeps the app; return that one, the replica, the others."""
    nodes = []
    for _ in range(4):
        nodes.append(start_clustered(start))
        await nodes[-1].say("CLUSTER", "SET-CONFIG-EPOCH", len(nodes))
        await nodes[-1].say("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, await bus_of(nodes[0]))
    *primaries, replica = nodes
    for number, node in enumerate(primaries):
        await node.say("CLUSTER", "ADDSLOTSRANGE", number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1)
    slot = await replica.say("CLUSTER", "KEYSLOT", STATE)
    keeper = primaries.pop(slot * 3 // SLOTS)
    identity = await keeper.say("CLUSTER", "MYID")
    await until(lambda: replica.say("CLUSTER", "NODES"), lambda text: text.count(" connected") == len(nodes))
    await replica.say("CLUSTER", "REPLICATE", identity)
    await replica.has_caught_up()
    for node in nodes:
        await until(partial(node.say, "CLUSTER", "INFO"), lambda text: "cluster_state:ok" in text)
        await until(partial(node.say, "CLUSTER", "NODES"), lambda text: " slave " in text or ",slave " in text)
    return [keeper, replica, *primaries]


def start_clustered(start: Start) -> Node:
    bus = str(free_port())
    return start("--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000")


async def bus_of(node: Node) -> int:
    async with node.client() as client:
        return int((await client.config_get("cluster-port"))["cluster-port"])


def url_of(*nodes: Node) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def play_in_cluster(story: Callable[..., Any], start: Start) -> None:
    """Let a story happen to users of a Cluster that has known their app for long."""

    async def main() -> None:
        nodes = await cluster(start)
        async with AsyncExitStack() as stack:
            users = Users(url_of(*nodes[2:]), stack)
            await put_in_service(await users.new())
            await story(users, *nodes)

    asyncio.run(main())


@pytest.mark.slow
def test_in_a_cluster_every_app_has_its_store(start: Start) -> None:
    async def story(users: Users, *nodes: Node) -> None:
        for app in map(str, range(12)):
            one, other = await users.new(app=app), await users.new(app=app)
            await put_in_service(one)
            for key in "abc":
                assert not (await take(one, key)).wait
            assert (await take(other, "d")).wait > 0
            assert await one.lease_token(KEY, "one", 10)
            assert not await other.lease_token(KEY, "other", 10)
            await one.end_lease(KEY, "one", StoredToken("token", 0.0))
            stored = await other.read_token(KEY)
            assert stored is not None
            assert stored.text == "token"
        counts = [await node.say("DBSIZE") for node in nodes]
        assert all(counts)

    play_in_cluster(story, start)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True], ids=["and stays", "and is killed"])
def test_in_a_cluster_calls_go_on_after_a_primary_is_replaced(start: Start, *, killed: bool) -> None:
    async def story(users: Users, keeper: Node, replica: Node, *_: Node) -> None:
        store = await users.new()
        assert not (await take(store, "a")).wait
        if killed:
            keeper.kill()
        else:
            await replica.say("CLUSTER", "FAILOVER")
        await assert_goes_on(store, keeper, replica, killed=killed)
        newcomer = await StoreRetry().until(users.new)  # a node that has only heard that the old one leads no more
        assert_feared(await take(newcomer, "c"))  # says for a moment that nobody serves the slot

    play_in_cluster(story, start)


async def assert_goes_on(store: OpenRedisStore, old: Node, new: Node, *, killed: bool) -> None:
    """Assert that calls are held no longer than they may be; an old primary that stays up gives slots to its end."""
    asking = asyncio.ensure_future(held(store, "b")) if killed else None
    await until(lambda: leads(new), bool)
    if not killed:
        await until(lambda: leads(old), lambda still: not still)
    began = time.monotonic()
    assert_feared(await (asking or held(store, "b")))
    assert time.monotonic() - began < HELD


async def leads(node: Node) -> bool:
    from redis.exceptions import ConnectionError as Lost  # noqa: PLC0415 - optional

    async with node.client() as client:
        with suppress(Lost):  # it ends connections as it becomes the primary
            return bool((await client.info("replication"))["role"] == "master")
    return False


@pytest.mark.slow
def test_in_a_cluster_an_app_that_is_moved_is_found(start: Start) -> None:
    async def story(users: Users, keeper: Node, _: Node, goal: Node, other: Node) -> None:
        store = await users.new()
        assert not (await take(store, "a")).wait
        slot = await goal.say("CLUSTER", "KEYSLOT", STATE)
        source_id, goal_id = await keeper.say("CLUSTER", "MYID"), await goal.say("CLUSTER", "MYID")
        await goal.say("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        await keeper.say("CLUSTER", "SETSLOT", slot, "MIGRATING", goal_id)
        await keeper.say("MIGRATE", "127.0.0.1", goal.port, STATE, 0, 5000)
        assert_feared(await held(store, "b"))  # half way
        for node in (goal, keeper, other):
            await node.say("CLUSTER", "SETSLOT", slot, "NODE", goal_id)
        assert_feared(await held(store, "b"))
        assert await goal.say("EXISTS", STATE)

    play_in_cluster(story, start)


def test_one_node_of_a_cluster_is_refused_whatever_the_app(start: Start) -> None:
    async def main() -> None:
        await node.say("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS // 2)
        await until(partial(node.say, "CLUSTER", "NODES"), lambda text: "0-8192" in text)
        for app in "abcd":  # their slots are in both halves
            with pytest.raises(StoreError, match=r"part of a Redis Cluster; .* with redis\+cluster://") as caught:
                await RedisStore(node.url).open(app)
            assert not caught.value.retryable

    node = start_clustered(start)
    asyncio.run(main())


def test_one_server_is_no_cluster(start: Start) -> None:
    async def main() -> None:
        with pytest.raises(StoreError, match="it is no Redis Cluster; begin its URL with redis://") as caught:
            await RedisStore(url_of(node)).open(APP)
        assert not caught.value.retryable

    node = start()
    asyncio.run(main())


@pytest.mark.slow
def test_what_a_cluster_refuses_a_user_is_told_and_not_waited_for(start: Start) -> None:
    rights = ["reset", "on", "~{aionorth:*", "+info", "+time", "+@scripting", "+@hash", "+@string", "+@keyspace"]
    need = "the user needs INFO and TIME, .*, in a Cluster also CLUSTER SLOTS and COMMAND"

    async def main() -> None:
        await node.say("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        await until(partial(node.say, "CLUSTER", "INFO"), lambda text: "cluster_state:ok" in text)
        for more, words in (
            ((f">{PASSWORD}",), need),
            ((f">{PASSWORD}", "+cluster|slots"), need),
            ((f">{OTHER_PASSWORD}",), "check user and password"),
            ((f">{PASSWORD}", "+cluster|slots", "+command"), ""),
        ):
            await node.say("ACL", "SETUSER", "user", *rights, *more)
            store = RedisStore(url_of(node).replace("://", f"://user:{PASSWORD}@"))
            if not words:
                await (await store.open(APP)).close()
                return
            with pytest.raises(StoreError, match=words) as caught:
                await store.open(APP)
            assert not caught.value.retryable
            assert PASSWORD not in shown(caught.value)

    node = start_clustered(start)
    asyncio.run(main())


def test_a_cluster_that_is_not_there_is_named_and_its_password_is_not() -> None:
    with pytest.raises(StoreUnavailableError, match=r"ConnectionError: Error .* connecting to 127") as caught:
        asyncio.run(RedisStore(f"redis+cluster://user:{PASSWORD}@127.0.0.1:1,127.0.0.1:2").open(APP))
    assert PASSWORD not in shown(caught.value)


# --- Sentinels


def test_what_a_url_with_sentinels_says_goes_to_whom_it_concerns() -> None:
    hosts = "host,[::1]:7,host3:8"
    client: Any = connect(
        f"rediss+sentinel://me:p%40ss@{hosts}/my-service/3?sentinel_username=s&sentinel_password=%23&socket_timeout=2"
    )
    pool = client.connection_pool
    assert pool.service_name == "my-service"
    connection = pool.make_connection()
    said = connection.username, connection.password, connection.db, connection.socket_timeout
    assert said == ("me", "p@ss", 3, 2)
    assert "SSL" in type(connection).__name__
    sentinels = [one.connection_pool.make_connection() for one in pool.sentinel_manager.sentinels]
    assert [(one.host, one.port) for one in sentinels] == [("host", 26379), ("::1", 7), ("host3", 8)]
    for one in sentinels:
        assert (one.username, one.password, one.db, one.socket_timeout) == ("s", "#", 0, 2)
        assert "SSL" in type(one).__name__


class Watch:
    """A primary, a replica of it and a Sentinel; all want a password."""

    def __init__(self, start: Start, directory: Path) -> None:
        options = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
        self.nodes = [start(*options), start(*options)]
        for node in self.nodes:
            node.url = node.url.replace("://", f"://:{PASSWORD}@")
        file = directory / "sentinel.conf"
        file.write_text(
            f"sentinel monitor service 127.0.0.1 {self.nodes[0].port} 1\n"
            f"sentinel auth-pass service {PASSWORD}\n"
            "sentinel down-after-milliseconds service 500\n"
            "sentinel failover-timeout service 2000\n"
            f"requirepass {OTHER_PASSWORD}\n"
        )
        self._start = partial(start, str(file), "--sentinel")

    async def begin(self) -> None:
        await self.nodes[1].follow(self.nodes[0])
        self.sentinel = self._start()  # it looks at once, and then once in ten seconds
        self.address = f"127.0.0.1:1,127.0.0.1:{self.sentinel.port}"  # the first of them is down
        self.sentinel.url = self.sentinel.url.replace("://", f"://:{OTHER_PASSWORD}@")
        self.url = f"redis+sentinel://:{PASSWORD}@{self.address}/service/0?sentinel_password={OTHER_PASSWORD}"
        async with self.sentinel.client() as client:
            await until(client.sentinel_masters, lambda known: known["service"]["num-slaves"] == 1)


async def agreed(sentinel: Node) -> bool:
    """Whether the Sentinel begins a failover; it does not before it has looked at the replica again."""
    from redis.exceptions import ResponseError  # noqa: PLC0415 - optional

    try:
        await sentinel.say("SENTINEL", "FAILOVER", "service")
    except ResponseError as exc:
        assert "NOGOODSLAVE" in str(exc)  # noqa: PT017 - any other one fails the test
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True], ids=["and stays", "and is killed"])
def test_calls_go_on_at_the_primary_that_sentinels_name(start: Start, tmp_path: Path, *, killed: bool) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            await watch.begin()
            users = Users(watch.url, stack)
            store = await users.new()
            await put_in_service(store)
            assert not (await take(store, "a")).wait
            if killed:
                watch.nodes[0].kill()
            else:
                await until(lambda: agreed(watch.sentinel), bool)
            await assert_goes_on(store, *watch.nodes, killed=killed)
            assert_feared(await take(await users.new(), "c"))

    watch = Watch(start, tmp_path)
    asyncio.run(main())


@pytest.mark.slow
def test_what_is_wrong_with_sentinels_is_told_and_no_password_shown(start: Start, tmp_path: Path) -> None:
    async def error_of(url: str) -> StoreError:
        with pytest.raises(StoreError) as caught:
            await RedisStore(url).open(APP)
        assert PASSWORD not in shown(caught.value)
        assert OTHER_PASSWORD not in shown(caught.value)
        return caught.value

    async def main() -> None:
        await watch.begin()
        for wrong in (
            watch.url.replace("/service", "/other"),
            watch.url.replace("sentinel_password=", "sentinel_password=not-"),
            watch.url.partition("?")[0],
        ):
            assert "no Sentinel that can be reached names a primary of that service" in str(await error_of(wrong))
        wrong = watch.url.replace(f"//:{PASSWORD}", f"//:not-{PASSWORD}")
        assert "check user and password in the URL" in str(await error_of(wrong))
        assert "it is a Sentinel; begin its URL with redis+sentinel://" in str(await error_of(watch.sentinel.url))

    watch = Watch(start, tmp_path)
    asyncio.run(main())


# --- Connections that stores share


def test_stores_of_one_loop_share_few_connections(start: Start) -> None:
    node = start()

    async def main() -> None:
        store = RedisStore(node.url)
        opened = [await store.open(f"app-{number}") for number in range(40)]
        await asyncio.gather(*(one.read_token(b"") for one in opened for _ in range(5)))
        clients = {one._client for one in opened}
        assert len(clients) == 1
        info = await opened[0]._client.info("clients")
        assert info["connected_clients"] <= MAX_CONNECTIONS + 2
        for one in opened[1:]:
            await one.close()
        assert await opened[0].read_token(b"") is None
        await opened[0].close()
        await opened[0].close()

    asyncio.run(main())


def test_connections_are_not_given_up_under_the_hands_of_others(start: Start) -> None:
    async def main() -> None:
        connections = join(node.url)
        assert connections is not None
        under_way = asyncio.create_task(connections.client.blpop("list", timeout=10))
        await until(
            connections.client.client_list, lambda all_of_them: any(one["cmd"] == "blpop" for one in all_of_them)
        )
        before = {one["id"] for one in await connections.client.client_list()}
        await connections.renew(connections.generation)
        await connections.client.rpush("list", "there")
        assert list(await under_way) == ["list", "there"]
        await connections.client.ping()
        if hasattr(connections.client.connection_pool, "update_active_connections_for_reconnect"):  # newer redis-py
            assert not before & {one["id"] for one in await connections.client.client_list()}
        await leave(connections)

    node = start()
    asyncio.run(main())


def test_a_failure_that_many_see_gives_up_connections_once() -> None:
    async def main() -> None:
        class Client:
            closed = 0

            async def aclose(self) -> None:
                Client.closed += 1

        connections = Connections(cast("Any", Client()))
        seen = connections.generation
        await asyncio.gather(*(connections.renew(seen) for _ in range(10)))
        assert Client.closed == 1
        await connections.renew(connections.generation)
        assert Client.closed == 2

    asyncio.run(main())
