"""The app's access token: obtained on first use, renewed in time, one flight at a time.

Where several calls need a new token, one obtains it and the others wait for the outcome; where the one is cancelled, or
its connection fails, the next takes over. How a token is obtained is the caller's business, because it takes a
session's connection and the app's flow control.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

import attrs

from aionorth.auth.cache import Found, Obtain, Shelf, obtained
from aionorth.errors import (
    ArgumentError,
    InvalidTokenError,
    NorthApiError,
    NorthError,
    NotFoundError,
    TokenEvictedError,
)
from aionorth.wire import replies as api
from aionorth.wire.replies import Reply, Request, Token, fits_header, read_token

RENEW_AT = 0.8
"""The part of its lifetime after which a token is renewed: 48 minutes of the platform's 60."""

SHORT_LIFE = 60.0
"""Seconds; a token that is refused though it was accepted before, and is younger, was evicted in a duel."""

MOST_EVICTIONS = 3
"""How many tokens in a row may be evicted young before the duel is called one."""

_log = logging.getLogger("aionorth")

GivenToken = str | Callable[[], Awaitable[str]]
"""An access token, or an async function that returns one and is asked again when the platform refuses it."""


@attrs.frozen
class Secret:
    """A string that shows itself to nobody who merely prints what he finds."""

    value: str = attrs.field(repr=False)


@attrs.define(eq=False)
class LiveToken:
    """A token in use."""

    token: Token
    obtained_at: float
    renew_at: float
    """When it is to be renewed; it is used once all the same, however short its life."""
    used: bool = False
    proven: bool = False
    """Whether the platform has accepted it."""


class TokenKeeper:
    """Keeps one app's token for all calls that share it."""

    def __init__(self, shelf: Shelf | None = None) -> None:
        """`shelf` is where the app's other processes find the token."""
        self._loop = asyncio.get_running_loop()
        self._shelf = shelf
        self._flight = asyncio.Lock()
        self._landed: int = 0  # flights that have ended
        self._verdict: NorthError | None = None  # what the platform said against the last one, as it would to all
        self._live: LiveToken | None = None
        self._stale = True  # whether the platform has refused the token, or there never was one
        self._unproven = 0  # tokens in a row that were refused without ever being accepted
        self._evictions = 0  # tokens in a row that were accepted and refused soon after

    def current(self, now: float) -> LiveToken | None:
        """Return the token if it can be used as it is, else None: then `renewed` gets one."""
        live = self._live
        if live is None or self._stale or (live.used and now >= live.renew_at):
            return None
        return live

    async def renewed(self, obtain: Obtain) -> None:
        """Return once there is a token to be used.

        Raises what `obtain` raised. Where the platform said no, it has said so to every call that waited for it; where
        something else failed, the next of them tries by means of its own.
        """
        landed = self._landed
        async with self._flight:
            if self.current(self._loop.time()) is not None:
                return
            if self._landed != landed and self._verdict is not None:
                raise self._verdict
            before = None if self._stale else self._live
            self._verdict = None
            try:
                found = await self._obtained(obtain, before)
            except NorthError as exc:
                if self._goes_on_with(before, exc):
                    return
                raise self._failed(exc) from exc.__cause__
            finally:
                self._landed += 1
            if not self._stale:  # the one before lived as long as it should
                self._evictions = 0
            obtained_at = self._loop.time() - found.age
            self._live = LiveToken(found.token, obtained_at, obtained_at + RENEW_AT * found.token.lifetime)
            self._stale = False

    async def _obtained(self, obtain: Obtain, before: LiveToken | None) -> Found:
        if self._shelf is None:
            return await obtained(obtain, before.token if before is not None else None)
        refused = self._live.token.access if self._live is not None and self._stale else None
        return await self._shelf.renewed(obtain, refused=refused, part=RENEW_AT)

    def _goes_on_with(self, live: LiveToken | None, error: NorthError) -> bool:
        """Put the renewal off, where the token is still good and the trouble may pass; tell whether that is so."""
        if live is None or not error.retryable:
            return False
        left = live.obtained_at + live.token.lifetime - self._loop.time()
        live.renew_at = self._loop.time() + left / 4
        return left > 0

    def _failed(self, error: NorthError) -> NorthError:
        """Make of `error` what ends a run: without a token nothing can succeed."""
        if isinstance(error, NotFoundError):  # must not be taken for word of what was to be deleted
            text = "no access token: there is no such call; check the base URL"
            error = NorthApiError(error.status, error.code, text)
        error.ends_run = True
        if isinstance(error, NorthApiError) and not error.retryable:
            self._verdict = error
        return error

    def accepted(self, live: LiveToken) -> None:
        """Take note that the platform accepted a call with this token."""
        live.proven = True
        self._unproven = 0

    def refused(self, live: LiveToken, error: InvalidTokenError) -> None:
        """Take note that the platform refused this token (1010005); raises where a further one would not help."""
        if live is not self._live or self._stale:
            return  # another call has seen to it
        self._stale = True
        if live.proven:
            young = self._loop.time() - live.obtained_at < SHORT_LIFE
            self._evictions = self._evictions + 1 if young else 1
        else:
            self._unproven += 1
        _log.warning("the platform refused the access token (%s)", error.code)
        if self._evictions >= MOST_EVICTIONS or (self._evictions and self._unproven > 1):
            self._give_up(TokenEvictedError(error.status, error.code, error.description))
        if self._unproven > 1:
            self._give_up(error)

    def _give_up(self, error: InvalidTokenError) -> None:
        # Forgotten, so that a later run with the same keeper starts afresh.
        self._evictions = self._unproven = 0
        error.ends_run = True
        raise error


def given(token: GivenToken) -> Obtain:
    """Return how to obtain a token that the user brings."""
    if isinstance(token, str):
        ready = Token(_usable(token))
        asked = False

        async def once(_: Token | None) -> Token:
            nonlocal asked
            if asked:
                raise InvalidTokenError(403, "1010005", "the access token passed as token= was refused or has expired.")
            asked = True
            return ready

        return once
    if not callable(token):
        raise ArgumentError("token must be a str, or an async function that returns one")

    async def ask(_: Token | None) -> Token:
        answer = token()
        if not inspect.isawaitable(answer):
            raise ArgumentError("token must be an *async* function; what it returned cannot be awaited")
        return Token(_usable(await answer))

    return ask


def _usable(token: object) -> str:
    """Return an access token that can stand in a header."""
    if not isinstance(token, str) or not fits_header(token):
        del token  # a traceback must not show it
        raise ArgumentError(
            "the access token, passed as token= or returned by its function, must be a non-empty str of printable "
            "ASCII characters: strip the line end of one read from a file"
        )
    return token


def by_login(app_id: str, secret: Secret, send: Callable[[Request], Awaitable[Reply]]) -> Obtain:
    """Return how to obtain a token with the app's secret: by refresh, and where that cannot be or fails, by login."""

    async def obtain(before: Token | None) -> Token:
        if before is not None and before.refresh is not None:
            try:
                return read_token(await send(api.refresh_token(app_id, secret.value, before.refresh)))
            except NorthError as exc:  # an unusable refresh token is answered like a wrong secret: login tells which
                _log.info("refreshing the access token failed (%s); logging in", type(exc).__name__)
        return read_token(await send(api.login(app_id, secret.value)))

    return obtain
