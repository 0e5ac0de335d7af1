"""Pools of connections, one for all sessions of an event loop that reach a platform in the same way."""

from __future__ import annotations

import asyncio
import ssl
from weakref import WeakValueDictionary

import attrs
from yarl import URL

from aionorth.wire.transport.addresses import Proxy
from aionorth.wire.transport.connector import Connector


@attrs.frozen
class Way:
    """How a platform is reached."""

    origin: URL
    tls: ssl.SSLContext | None
    """Which sessions with the same TLS settings have in common."""
    proxy: Proxy | None


class Pool:
    """The connections of the sessions that share them.

    Its state: how many sessions there are, and whether a reply ever came, so that name, port and certificates are
    right.
    """

    def __init__(self, way: Way) -> None:
        self.connector = Connector(ssl=way.tls if way.tls is not None else True)
        self.reached = False
        self._sessions = 0

    @classmethod
    def join(cls, way: Way) -> Pool:
        """Return the pool of the running loop for `way`; a session that joins leaves it with `leave`."""
        key = asyncio.get_running_loop(), way
        if (pool := _pools.get(key)) is None or pool.connector.closed:
            pool = _pools[key] = cls(way)
        pool._sessions += 1
        return pool

    async def leave(self) -> None:
        """Give up a session's share. The last one closes the connections, none of which is in use."""
        self._sessions -= 1
        if not self._sessions:
            await self.connector.close()


# Weak: sessions that were never closed, and their loop, must not be kept alive.
_pools: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, Way], Pool] = WeakValueDictionary()
