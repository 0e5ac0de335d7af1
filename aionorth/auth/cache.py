"""An app's token where its other processes find it: one login for all of them, and nobody's token evicted.

Whoever needs a token looks on the shelf first. Whoever finds none that will do takes the lease, which one process at a
time can have, looks again, obtains a token and shelves it. A lease lasts as long as its holder keeps saying so: that
of a process that has died ends soon.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import attrs

from aionorth.common.waits import growing_waits
from aionorth.errors import SessionStateError, StoreError
from aionorth.flow.shared import Reach, Shelved, Store
from aionorth.wire.replies import Token, fits_header

_log = logging.getLogger("aionorth")

LEASE = 15.0
"""Seconds for which a lease is had at a time."""

FIRST_LOOK = 0.1
LONGEST_LOOK = 2.0
"""Seconds. While another process logs in the shelf is looked at after waits that grow from the one to the other."""

Obtain = Callable[[Token | None], Awaitable[Token]]
"""Obtains a token, given the one before; None where that one was refused or never was."""


def derived_key(secret: str, app: str) -> bytes:
    """Return what only whoever knows the secret can have: the name and the seal of its token. It takes some 50 ms."""
    return hashlib.scrypt(secret.encode(), salt=f"aionorth {app}".encode(), n=2**14, r=8, p=1, dklen=32)


@attrs.frozen(eq=False)
class Found:
    """A token, and how old it is in seconds."""

    token: Token
    age: float = 0.0

    @property
    def lived(self) -> float:
        """The part of its life that is over; 1 or more where it is expired."""
        return self.age / self.token.lifetime

    @property
    def shelved(self) -> Shelved:
        """The same, as a store keeps it."""
        return Shelved(json.dumps([self.token.access, self.token.refresh, self.token.lifetime]), self.age)


def _found(shelved: Shelved) -> Found | None:
    """Return the token of an entry; None where there is none in it that could be sent."""
    try:
        access, refresh, lifetime = json.loads(shelved.text)
        usable = fits_header(access) and (refresh is None or isinstance(refresh, str)) and lifetime > 0
        return Found(Token(access, refresh, float(lifetime)), shelved.age) if usable else None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


async def obtained(obtain: Obtain, before: Token | None) -> Found:
    """Obtain a token; its life is counted from before it was asked for."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    token = await obtain(before)
    _log.info("obtained an access token")
    return Found(token, loop.time() - began)


class Shelf:
    """The shelf of one app's token, for those who know its secret."""

    def __init__(self, store: Store, key: Callable[[], bytes]) -> None:
        """`key` takes its time; it is called in a thread, once."""
        self._store = store
        self._reach = Reach()
        self._derive = key
        self._key: bytes | None = None
        self._holder = uuid.uuid4().hex

    async def renewed(self, obtain: Obtain, *, refused: str | None, part: float) -> Found:
        """Return a token that has lived for less than `part` of its life, and is not the one that was `refused`.

        Raises what `obtain` raises, and `StoreError`. While the store cannot be reached it waits.
        """
        if self._key is None:
            self._key = await asyncio.to_thread(self._derive)
        key = self._key

        async def look() -> Found | None:
            shelved = await self._reach.until(lambda: self._store.read_token(key))
            found = None if shelved is None else _found(shelved)
            return None if found is None or found.token.access == refused else found

        looks = growing_waits(FIRST_LOOK, LONGEST_LOOK)
        while (found := await look()) is None or found.lived >= part:
            if await self._reach.until(lambda: self._store.lease_token(key, self._holder, LEASE)):
                async with self._leased(key) as shelve:
                    found = await look()  # somebody may have shelved one before we had the lease
                    if found is None or found.lived >= part:
                        found = await obtained(obtain, found.token if found is not None and found.lived < 1 else None)
                        shelve(found)
                        return found
                break
            await asyncio.sleep(next(looks))
        _log.info("took the access token from the store")
        return found

    @asynccontextmanager
    async def _leased(self, key: bytes) -> AsyncGenerator[Callable[[Found], None]]:
        """Keep the lease meanwhile; then give it back, and with it a token, if there is one to be shelved."""
        new: list[Found] = []
        keeping = asyncio.ensure_future(self._keep(key))
        try:
            yield new.append
        finally:
            keeping.cancel()
            # If this fails the lease ends by itself, and the others log in again.
            with suppress(StoreError, SessionStateError):
                await self._store.end_lease(key, self._holder, new[0].shelved if new else None)

    async def _keep(self, key: bytes) -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            with suppress(StoreError, SessionStateError):
                await self._store.lease_token(key, self._holder, LEASE)
