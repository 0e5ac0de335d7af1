"""What the callers of one app must agree on: its flow control and its token.

Sessions of one event loop that name the same base URL and app find the same `App` here. Where it is kept in memory it
outlives the last of them until its calls no longer count on the platform: a session opened in the meantime goes on
where that one stopped. In a store it is there for other processes too.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import warnings
from functools import partial

import attrs

from aionorth.auth.cache import Shelf, derived_key
from aionorth.auth.keeper import Secret, TokenKeeper
from aionorth.common.waits import growing_waits
from aionorth.errors import ArgumentError, NorthWarning
from aionorth.flow.limiter import FlowControl, FlowRuntime, in_memory
from aionorth.flow.shared import SharedLedger, Store, Stores


@attrs.frozen(kw_only=True, eq=False)
class Wishes:
    """What a session wants of its app."""

    flow_control: FlowControl
    timeout: float
    """Seconds that one of its calls may take."""
    store: Stores | None
    """Where the app's callers agree; None means in memory."""


class App:
    """One app's shared state in one event loop."""

    def __init__(self, name: str, wishes: Wishes, store: Store | None) -> None:
        self._name = name
        self._wishes = wishes
        self._store = store
        ledger = in_memory if store is None else partial(SharedLedger, store)
        self.flow = FlowRuntime(wishes.flow_control, growing_waits, ledger, timeout=wishes.timeout)
        self._tokens: dict[tuple[Secret, bool], TokenKeeper] = {}
        self.forgetting: asyncio.TimerHandle | None = None

    @property
    def shared(self) -> bool:
        """Whether other processes may share it."""
        return self._store is not None

    def keeper(self, secret: Secret, *, share: bool) -> TokenKeeper:
        """Return the keeper of the token that `secret` obtains; a wrong secret must not find the right one's.

        To `share` it is to keep it in the store, if there is one.
        """
        store = self._store if share else None
        key = secret, store is not None
        if (keeper := self._tokens.get(key)) is None:
            # No partial: what that shows of itself is the secret.
            shelf = None if store is None else Shelf(store, lambda: derived_key(secret.value, self._name))
            keeper = self._tokens[key] = TokenKeeper(shelf)
        return keeper

    def keep_within(self, wishes: Wishes) -> None:
        """Take a further session's wishes into account: where flow control differs, the stricter holds, with a warning.

        Raises `ArgumentError` if it wants to agree with others elsewhere.
        """
        if wishes.store != self._wishes.store:
            raise ArgumentError("sessions of the same app must have the same store=: elsewhere they could not agree")
        self.flow.outlast(wishes.timeout)
        if wishes.flow_control != self._wishes.flow_control:
            self.flow.tighten(wishes.flow_control)
            holds = self.flow.settings
            warnings.warn(
                f"sessions of the same app have different flow control ({self._wishes.flow_control} and "
                f"{wishes.flow_control}); {holds.limit} calls in {holds.period:g} s hold for all of them",
                NorthWarning,
                stacklevel=4,
            )


@attrs.define(eq=False)
class _Place:
    """Where the sessions of an app meet, from when the first of them asks for it."""

    opening: asyncio.Task[App]
    sessions: int = 0
    """Those that have it, and those that wait for it to open."""


_Key = tuple[asyncio.AbstractEventLoop, str, str]
_apps: dict[_Key, _Place] = {}
_lock = threading.Lock()  # event loops may live in several threads


async def join(url: str, app_id: str, wishes: Wishes) -> App:
    """Return the `App` that this loop's sessions of this app share; a session that joins leaves again with `leave`.

    Raises `StoreError` where its store cannot be used.
    """
    key = asyncio.get_running_loop(), url, app_id
    with _lock:
        for closed in [other for other in _apps if other[0].is_closed()]:
            del _apps[closed]
        if (place := _apps.get(key)) is None:
            place = _apps[key] = _Place(asyncio.ensure_future(_opened(url, app_id, wishes)))
    place.sessions += 1
    try:
        app = await asyncio.shield(place.opening)  # others may wait for it too
        app.keep_within(wishes)
    except BaseException:
        await _left(key, place)
        raise
    if app.forgetting is not None:
        app.forgetting.cancel()
    return app


async def _opened(url: str, app_id: str, wishes: Wishes) -> App:
    name = hashlib.sha256(f"{url}\n{app_id}".encode()).hexdigest()[:32]
    return App(name, wishes, None if wishes.store is None else await wishes.store.open(name))


async def leave(url: str, app_id: str) -> None:
    """Give up a session's share; the app is forgotten once it has no session and none of its calls counts any more."""
    key = asyncio.get_running_loop(), url, app_id
    if (place := _apps.get(key)) is not None:
        await _left(key, place)


async def _left(key: _Key, place: _Place) -> None:
    place.sessions -= 1
    opening = place.opening
    if opening.done() and (opening.cancelled() or opening.exception()):
        _forget(key, place)
    elif place.sessions:
        return
    elif not opening.done():  # whoever asked for it was cancelled
        _forget(key, place)
        opening.cancel()
        await asyncio.wait([opening])
    elif (app := opening.result()).shared:
        _forget(key, place)
        await app.flow.close()
    else:
        _forget_when_idle(key, place, app)


def _forget_when_idle(key: _Key, place: _Place, app: App) -> None:
    if place.sessions:
        return
    if (seconds := app.flow.idle_in) > 0:
        app.forgetting = key[0].call_later(seconds, _forget_when_idle, key, place, app)
    else:
        _forget(key, place)


def _forget(key: _Key, place: _Place) -> None:
    with _lock:
        if _apps.get(key) is place:
            del _apps[key]
