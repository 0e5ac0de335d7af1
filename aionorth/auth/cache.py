"""An app's token, cached in the store for its other processes: one login serves all, so none evicts another's token.

A process that needs a token reads the cache first. If that has none that is fresh enough, it takes the lease, which one
process at a time can hold. Then it reads again, obtains a token and caches it. The holder renews its lease, so the
lease of a dead process soon expires.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress

import attrs

from aionorth.auth.sources import Obtain
from aionorth.common.waits import growing_waits
from aionorth.errors import SessionStateError, StoreError
from aionorth.events import Observers
from aionorth.stores.base import Store, StoredToken, StoreRetry
from aionorth.wire.checks import fits_header
from aionorth.wire.replies import Token

_log = logging.getLogger("aionorth")

LEASE = 15.0
"""Seconds for which a lease is taken at a time."""

FIRST_WAIT = 0.1
LONGEST_WAIT = 2.0
"""Seconds. While another process logs in, the cache is read after waits that grow from one to the other."""


def derived_key(secret: str, app: str) -> bytes:
    """Derive a key from the secret; it names and seals the cached token. Takes about 50 ms."""
    return hashlib.scrypt(secret.encode(), salt=f"aionorth {app}".encode(), n=2**14, r=8, p=1, dklen=32)


@attrs.frozen(eq=False)
class ObtainedToken:
    """A token, and how old it is in seconds."""

    token: Token
    age: float = 0.0

    @property
    def spent(self) -> float:
        """The fraction of its lifetime that has passed; 1 or more if it has expired."""
        return self.age / self.token.lifetime

    def entry(self) -> StoredToken:
        """The token as a store keeps it."""
        return StoredToken(json.dumps([self.token.access, self.token.refresh, self.token.lifetime]), self.age)

    @classmethod
    def from_entry(cls, entry: StoredToken) -> ObtainedToken | None:
        """Return the token of a cache entry; None if it holds none that could be sent."""
        try:
            access, refresh, lifetime = json.loads(entry.text)
            usable = fits_header(access) and (refresh is None or isinstance(refresh, str)) and lifetime > 0
            return cls(Token(access, refresh, float(lifetime)), entry.age) if usable else None
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            return None


async def obtained(obtain: Obtain, before: Token | None, observers: Observers) -> ObtainedToken:
    """Obtain a token. Its age counts from before the call, because the platform's clock may have started then."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    token = await obtain(before)
    _log.info("obtained an access token", extra=observers.facts())
    return ObtainedToken(token, loop.time() - began)


class TokenCache:
    """The cache of one app's token, for processes that know its secret."""

    def __init__(self, store: Store, key: Callable[[], bytes], app_id: str = "") -> None:
        """`key` derives the key. It is slow, and called once, in a thread. The log names the app by `app_id`."""
        self._store = store
        # Flow control, which uses the same store, reports where it is lost.
        self._observers = Observers(app_id)
        self._retry = StoreRetry(self._observers)
        self._derive = key
        self._key: bytes | None = None
        self._holder = uuid.uuid4().hex

    async def renewed(self, obtain: Obtain, *, refused: str | None, max_spent: float) -> ObtainedToken:
        """Return a token that is fresh enough, from the cache or newly obtained.

        While the store cannot be reached this waits.

        Args:
            obtain: How to obtain a token.
            refused: The access token that the platform has refused, which must not be returned.
            max_spent: The fraction of its lifetime from which on a token must not be returned.

        Raises:
            NorthError: What `obtain` raises.
            StoreError: The store cannot be used.
        """
        if self._key is None:
            self._key = await asyncio.to_thread(self._derive)
        key = self._key

        async def cached() -> ObtainedToken | None:
            entry = await self._retry.until(lambda: self._store.read_token(key))
            found = None if entry is None else ObtainedToken.from_entry(entry)
            return None if found is None or found.token.access == refused else found

        waits = growing_waits(FIRST_WAIT, LONGEST_WAIT)
        while (found := await cached()) is None or found.spent >= max_spent:
            if await self._retry.until(lambda: self._store.lease_token(key, self._holder, LEASE)):
                holding, new = asyncio.ensure_future(self._hold(key)), None
                try:
                    found = await cached()  # another process may have cached one before the lease was ours
                    if found is None or found.spent >= max_spent:
                        before = found.token if found is not None and found.spent < 1 else None
                        found = new = await obtained(obtain, before, self._observers)
                finally:
                    holding.cancel()
                    # If this fails the lease expires by itself, and the other processes log in again.
                    with suppress(StoreError, SessionStateError):
                        await self._store.end_lease(key, self._holder, None if new is None else new.entry())
                if new is not None:
                    return new
                break
            await asyncio.sleep(next(waits))
        _log.info("took the access token from the store", extra=self._observers.facts())
        return found

    async def _hold(self, key: bytes) -> None:
        """Keep renewing the lease."""
        while True:
            await asyncio.sleep(LEASE / 3)
            with suppress(StoreError, SessionStateError):
                await self._store.lease_token(key, self._holder, LEASE)
