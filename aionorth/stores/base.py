"""What a store must be able to do: keep a document under a version, tell the time, grant a lease."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import attrs

from aionorth.common.waits import growing_waits
from aionorth.errors import StoreError
from aionorth.events import Observers, StoreLost, StoreReached

T = TypeVar("T")

FIRST_WAIT = 0.05
LONGEST_WAIT = 2.0
"""Seconds. A store that cannot be reached is tried again after waits that grow from the one to the other."""

LONGEST_LEASE = 60.0
"""Seconds for which the lease may be had without saying that one still wants it."""

_log = logging.getLogger("aionorth")


@attrs.frozen(kw_only=True, eq=False)
class Snapshot:
    """An app's document as a store has it, and the store's time."""

    document: str | None
    """None where there is none yet, or none any more."""
    version: str
    """Another one with every document; empty where there is none."""
    now: float
    """Seconds on the store's clock."""
    lost: bool
    """Whether documents may be missing that were newer than this one."""


@attrs.frozen(eq=False)
class StoredToken:
    """A token as a store keeps it."""

    text: str = attrs.field(repr=False)
    age: float
    """Seconds since it was obtained."""


class Store(Protocol):
    """One app's place. All methods raise `StoreError`, and `SessionStateError` once it is closed.

    What waiting may mend is a `StoreUnavailableError`: the place is out of reach, busy or full. That it is damaged, or
    that nobody may use it so, is another `StoreError`.
    """

    @property
    def steady(self) -> bool:
        """Whether nobody can set its clock."""
        ...

    async def read(self, *, clock_error: float) -> Snapshot:
        """Return the document and the time.

        Args:
            clock_error: Seconds that the clock may have been set without anybody noticing. A store whose clock is
                `steady` does not need it.
        """
        ...

    async def replace(self, snapshot: Snapshot, document: str, *, keep: float) -> bool:
        """Put a document in the place of the one that `snapshot` shows.

        Args:
            snapshot: What `read` returned.
            document: The new document.
            keep: Seconds for which it is wanted, if nobody replaces it.

        Returns:
            False where another process was faster; then nothing has changed.
        """
        ...

    async def read_token(self, key: bytes) -> StoredToken | None:
        """Return the token that was stored under `key`; None if there is none."""
        ...

    async def lease_token(self, key: bytes, holder: str, seconds: float) -> bool:
        """Give `holder`, and nobody else, the right to obtain a token for so many seconds, or for so many more.

        Args:
            key: The token's.
            holder: Whose lease it is.
            seconds: At most `LONGEST_LEASE`.

        Returns:
            False where another holder has it.
        """
        ...

    async def end_lease(self, key: bytes, holder: str, token: StoredToken | None) -> None:
        """Give the lease back and store the token that was obtained; nothing where the lease is lost."""
        ...

    def damaged_because(self, reason: str) -> StoreError:
        """Return the error that says that the document is damaged, and what to do about it."""
        ...

    async def close(self) -> None:
        """Let go of the place."""
        ...


class Stores(Protocol):
    """Where there is a store for each app."""

    async def open(self, app: str) -> Store:
        """Return the app's store; `app` is fit for the name of a file. Raises `StoreError` where it cannot be used."""
        ...


def token_name(key: bytes) -> str:
    """Return the name under which a store keeps the token of `key`."""
    return hashlib.sha256(key).hexdigest()[:32]


class StoreRetry:
    """Uses a store again and again until it can be reached. Its state: since when it cannot."""

    def __init__(self, observers: Observers | None = None) -> None:
        self._observers = Observers() if observers is None else observers
        self._lost_since: float | None = None

    @property
    def lost(self) -> bool:
        """Whether it could not be reached when it was last tried."""
        return self._lost_since is not None

    async def until(self, use: Callable[[], Awaitable[T]]) -> T:
        """Return what `use` returns, once the store can be reached.

        Raises:
            StoreError: Of a kind that no waiting can mend.
        """
        waits = growing_waits(FIRST_WAIT, LONGEST_WAIT)
        while True:
            try:
                result = await use()
            except StoreError as exc:
                self._lose(exc)
                if not exc.retryable:
                    raise
                await asyncio.sleep(next(waits))
            else:
                if self._lost_since is not None:
                    self._reach(self._lost_since)
                return result

    def _lose(self, error: StoreError) -> None:
        if self._lost_since is not None:
            return
        observers, self._lost_since = self._observers, asyncio.get_running_loop().time()
        if not error.retryable:  # it ends the run
            return
        _log.warning("%s; until it can be reached again no call is sent", error, extra=observers.facts())
        if observers.all:
            observers(StoreLost(app_id=observers.app_id, reason=str(error)))

    def _reach(self, lost_since: float) -> None:
        observers, self._lost_since = self._observers, None
        _log.warning("the store of flow control can be reached again", extra=observers.facts())
        if observers.all:
            lost_for = asyncio.get_running_loop().time() - lost_since
            observers(StoreReached(app_id=observers.app_id, lost_for=lost_for))
