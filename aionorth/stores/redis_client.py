"""Connections to Redis: how redis-py is told of them, and those that the stores of one event loop share.

An app makes few calls, and a process may have a thousand apps: each with connections of its own would be more than a
server takes.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from aionorth.stores.redis_url import read_url

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

TIMEOUT = 5.0
"""Seconds that the server gets for an answer."""

PORT, SENTINEL_PORT = 6379, 26379

MAX_CONNECTIONS = 64
"""How many connections to one server an event loop has at most, unless the URL says otherwise."""


@contextmanager
def cancellable() -> Generator[None]:
    """Have a call of redis-py that was cancelled end so; raises `asyncio.CancelledError`.

    redis-py sends with `asyncio.wait_for`, which before Python 3.12 takes no notice of being cancelled at the moment at
    which it ends.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()  # who cleans up after having been cancelled may call, too
    try:
        yield
    except Exception:  # of a connection that is lost, say
        if task.cancelling() > before:
            raise asyncio.CancelledError from None
        raise
    if task.cancelling() > before:
        raise asyncio.CancelledError


async def drop_idle(pool: Any) -> None:  # noqa: ANN401 - redis-py is optional, and its pools partly untyped
    """Close the connections of a pool that nobody uses, and forget them.

    redis-py's own `disconnect` leaves them where others find them, and closes them under these.
    """
    available: list[Any] = pool._available_connections  # noqa: SLF001 - there is no public way
    idle = [available.pop() for _ in range(len(available))]
    await asyncio.gather(*(connection.disconnect() for connection in idle), return_exceptions=True)


class Connections:
    """A client that is shared, until the last user leaves.

    Its state: how many users there are, and how often all connections have been given up.
    """

    def __init__(self, client: Redis | RedisCluster) -> None:
        self.client: Any = client  # partly untyped
        sentinels = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
        self._clients = [self.client, *(sentinels.sentinels if sentinels else ())]
        self.users = 0
        self.generation = 0

    async def renew(self, generation: int) -> None:
        """Give up all connections, unless that was done since this `generation` of them: the next are new ones."""
        if generation != self.generation:
            return
        self.generation += 1
        for client in self._clients:
            if (pool := getattr(client, "connection_pool", None)) is None:  # a Cluster's has some for each node
                await client.aclose()
                continue
            # One that is in use is given up by its user: closed meanwhile, redis-py writes to nothing and raises that.
            if hasattr(pool, "update_active_connections_for_reconnect"):  # else their next users find out
                await pool.update_active_connections_for_reconnect()
            await drop_idle(pool)

    async def close(self) -> None:
        """Let go of all connections."""
        from redis.exceptions import RedisError  # noqa: PLC0415 - optional, and slow to import

        for client in self._clients:
            with suppress(RedisError, OSError):  # it is let go of all the same
                await client.aclose()


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Connections]] = weakref.WeakKeyDictionary()


def join(url: str) -> Connections | None:
    """Return the connections of this event loop for a URL, to be left by `leave`; None as `connect`."""
    of_loop = _shared.setdefault(asyncio.get_running_loop(), {})
    if (found := of_loop.get(url)) is None:
        if (client := connect(url)) is None:
            return None
        found = of_loop[url] = Connections(client)
    found.users += 1
    return found


async def leave(connections: Connections) -> None:
    """Leave connections; the last user closes them."""
    connections.users -= 1
    if connections.users > 0:
        return
    of_loop = _shared.get(asyncio.get_running_loop(), {})
    for url in [url for url, one in of_loop.items() if one is connections]:
        del of_loop[url]
    await connections.close()


def connect(text: str) -> Redis | RedisCluster | None:
    """Return a client for a URL that can be read; None where redis-py cannot use it, whose error would show it."""
    from redis.asyncio import Redis, RedisCluster, Sentinel  # noqa: PLC0415 - optional, and slow to import
    from redis.asyncio.cluster import ClusterNode  # noqa: PLC0415 - as above
    from redis.asyncio.retry import Retry  # noqa: PLC0415 - as above
    from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
    from redis.exceptions import RedisClusterException, RedisError  # noqa: PLC0415 - as above

    given: dict[str, Any] = {
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "retry": Retry(NoBackoff(), 0),  # tried again where it is known what for
        "decode_responses": True,
        "encoding_errors": "replace",  # what is damaged need not be text
    }
    url = read_url(text)
    assert url is not None
    try:
        pool = _pool_class().from_url(url.server, **given)
        client = cast("Any", Redis).from_pool(pool)
        pool.make_connection()  # else the options are only looked at when it is needed
        if url.kind == "cluster":
            nodes = [ClusterNode(host, port or PORT) for host, port, _ in map(_options, url.others)]
            client = RedisCluster.from_url(url.server, startup_nodes=nodes, **given)
        elif url.kind == "sentinel":
            sentinels = [_options(one) for one in url.others]
            client = cast("Any", Sentinel)(
                [(host, port or SENTINEL_PORT) for host, port, _ in sentinels],
                sentinel_kwargs=given | sentinels[0][2],
                **given | _options(url.server)[2],
            ).master_for(url.service)
    except (ValueError, TypeError, RedisError, RedisClusterException):
        return None
    return cast("Redis | RedisCluster", client)


@cache
def _pool_class() -> Any:  # noqa: ANN401 - redis-py is optional, and so is known here only
    """Return a pool in which who finds all connections in use waits: each is free again within the time-out.

    That of redis-py waits with `asyncio.Condition`, which on Python 3.11 loses the wake-up of one who is cancelled.
    """
    from redis.asyncio import ConnectionPool  # noqa: PLC0415 - optional, and slow to import

    class Pool(ConnectionPool):  # type: ignore[type-arg, unused-ignore]
        """Its state: those that are taken, and how many more may be."""

        def __init__(self, *, max_connections: int = MAX_CONNECTIONS, **options: object) -> None:
            if max_connections < 1:
                raise ValueError("max_connections")
            cast("Any", super()).__init__(max_connections=sys.maxsize, **options)
            self._free = asyncio.Semaphore(max_connections)
            self._taken = set[object]()

        async def get_connection(self, *command: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's own
            await self._free.acquire()
            try:
                connection = await cast("Any", super()).get_connection(*command, **options)
            except BaseException:  # it may have been released, as one that was not taken
                self._free.release()
                raise
            self._taken.add(connection)
            return connection

        async def release(self, connection: Any) -> None:  # noqa: ANN401 - as above
            try:
                await super().release(connection)
            finally:
                if connection in self._taken:
                    self._taken.remove(connection)
                    self._free.release()

    return Pool


def _options(url: str) -> tuple[str, int, dict[str, Any]]:
    """Return host, port and what else redis-py reads in the URL of one server."""
    from redis.asyncio.connection import SSLConnection, parse_url  # noqa: PLC0415 - optional, and slow to import

    options: dict[str, Any] = dict(parse_url(url))
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    return options.pop("host"), options.pop("port", 0), options
