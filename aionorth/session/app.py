"""What the callers of one app share: its flow control and its token.

Sessions of one event loop that name the same base URL and app find the same `App` here. Where its state is in memory,
it outlives the last of them until its calls no longer count on the platform: a session opened in the meantime
continues from there. Where it is in a store, other processes share it too.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import warnings
from functools import partial

import attrs

from aionorth.auth.cache import TokenCache, derived_key
from aionorth.auth.keeper import TokenKeeper
from aionorth.auth.sources import Secret
from aionorth.common.waits import growing_waits
from aionorth.errors import ArgumentError, NorthWarning
from aionorth.events import Observers
from aionorth.flow.limiter import Limiter
from aionorth.flow.local import LocalWindow
from aionorth.flow.shared import SharedWindow
from aionorth.session.options import SessionOptions
from aionorth.stores.base import Store


class App:
    """One app's shared state in one event loop: its flow control, and a token keeper for each secret."""

    def __init__(self, name: str, options: SessionOptions, store: Store | None) -> None:
        self._name = name
        self._flow_control = options.flow_control
        self._stores = options.store
        self._store = store
        self.observers = Observers(options.app_id)
        """Those of all of its sessions."""
        window = LocalWindow if store is None else partial(SharedWindow, store, observers=self.observers)
        self.flow = Limiter(
            options.flow_control,
            growing_waits,
            window,
            timeout=options.connection.timeout,
            observers=self.observers,
        )
        self._tokens: dict[tuple[Secret, bool], TokenKeeper] = {}
        self.forgetting: asyncio.TimerHandle | None = None

    @property
    def shared(self) -> bool:
        """Whether other processes may share it."""
        return self._store is not None

    def keeper(self, secret: Secret, *, share: bool) -> TokenKeeper:
        """Return the keeper of the token that `secret` obtains; a wrong secret must not find the right one's.

        With `share` the token is cached in the store, if there is one.
        """
        store = self._store if share else None
        key = secret, store is not None
        if (keeper := self._tokens.get(key)) is None:
            # A lambda, because a partial shows its arguments, and with them the secret, in its repr.
            cache = None
            if store is not None:
                cache = TokenCache(store, lambda: derived_key(secret.value, self._name), self.observers.app_id)
            keeper = self._tokens[key] = TokenKeeper(cache, self.observers)
        return keeper

    def reconcile(self, options: SessionOptions) -> None:
        """Adapt to the options of a further session: where flow control differs, the stricter holds, with a warning.

        Raises `ArgumentError` if the session has another store.
        """
        if options.store != self._stores:
            raise ArgumentError("sessions of the same app must have the same store=: elsewhere they could not agree")
        self.flow.outlast(options.connection.timeout)
        if options.flow_control != self._flow_control:
            self.flow.tighten(options.flow_control)
            holds = self.flow.settings
            warnings.warn(
                f"sessions of the same app have different flow control ({self._flow_control} and "
                f"{options.flow_control}); {holds.limit} calls in {holds.period:g} s hold for all of them",
                NorthWarning,
                stacklevel=4,
            )


@attrs.define(eq=False)
class _Place:
    """Where the sessions of an app meet. `sessions` counts those that have the app, and those that wait for it."""

    opening: asyncio.Task[App]
    sessions: int = 0


_Key = tuple[asyncio.AbstractEventLoop, str, str]
_apps: dict[_Key, _Place] = {}
_lock = threading.Lock()  # event loops may be in several threads


async def join(options: SessionOptions) -> App:
    """Return the `App` that this loop's sessions of this app share; a session that joins leaves it with `leave`.

    Raises `StoreError` where its store cannot be used, and `ArgumentError` where other sessions have another one.
    """
    key = _key(options)
    with _lock:
        for closed in [other for other in _apps if other[0].is_closed()]:
            del _apps[closed]
        if (place := _apps.get(key)) is None:
            place = _apps[key] = _Place(asyncio.ensure_future(_opened(options)))
    place.sessions += 1
    try:
        app = await asyncio.shield(place.opening)  # others may wait for it too
        app.reconcile(options)
    except BaseException:
        await _left(key, place)
        raise
    if app.forgetting is not None:
        app.forgetting.cancel()
    return app


async def leave(options: SessionOptions) -> None:
    """Give up a session's share; the app is forgotten once it has no session and none of its calls counts any more."""
    key = _key(options)
    if (place := _apps.get(key)) is not None:
        await _left(key, place)


def _key(options: SessionOptions) -> _Key:
    return asyncio.get_running_loop(), options.base_url, options.app_id


async def _opened(options: SessionOptions) -> App:
    name = hashlib.sha256(f"{options.base_url}\n{options.app_id}".encode()).hexdigest()[:32]
    return App(name, options, None if options.store is None else await options.store.open(name))


async def _left(key: _Key, place: _Place) -> None:
    place.sessions -= 1
    opening = place.opening
    if opening.done() and (opening.cancelled() or opening.exception()):
        _forget(key, place)
    elif place.sessions:
        return
    elif not opening.done():  # the session that asked for it was cancelled
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
