"""The app's access token: obtained on first use, renewed in time, one flight at a time.

Where several calls need a new token, one obtains it and the others wait for the outcome; where the one is cancelled,
the next takes over. How a token is obtained is the caller's business, because it takes a session's connection and the
app's flow control.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

import attrs

from aionorth import api
from aionorth.api import Reply, Request, Token, fits_header, read_token
from aionorth.errors import ArgumentError, InvalidTokenError, NorthError, TokenEvictedError

RENEW_AT = 0.8
"""The part of its lifetime after which a token is renewed: 48 minutes of the platform's 60."""

SHORT_LIFE = 300.0
"""Seconds; a token that is refused though it was accepted before, and is younger, was evicted in a duel."""

MOST_EVICTIONS = 3
"""How many tokens in a row may be evicted young before the duel is called one."""

_log = logging.getLogger("aionorth")

Obtain = Callable[[str | None], Awaitable[Token]]
"""Obtains a token, given the refresh token of the one before; None where that one was refused or never was."""

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
    proven: bool = False
    """Whether the platform has accepted it."""

    @property
    def access(self) -> str:
        """The access token."""
        return self.token.access


class TokenKeeper:
    """Keeps one app's token for all calls that share it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._flight = asyncio.Lock()
        self._flights: int = 0
        self._failure: NorthError | None = None  # what the last flight ended in
        self._live: LiveToken | None = None
        self._stale = True  # whether the platform has refused the token, or there never was one
        self._unproven = 0  # tokens in a row that were refused without ever being accepted
        self._evictions = 0  # tokens in a row that were accepted and refused soon after

    def current(self) -> LiveToken | None:
        """Return the token if it can be used as it is, else None: then `renewed` gets one."""
        live = self._live
        if live is None or self._stale or self._loop.time() >= live.obtained_at + RENEW_AT * live.token.lifetime:
            return None
        return live

    async def renewed(self, obtain: Obtain) -> None:
        """Return once there is a token to be used; raises what `obtain` raised, for every call that waited for it."""
        flights = self._flights
        async with self._flight:
            if self.current() is not None:
                return
            if self._flights != flights and self._failure is not None:
                raise self._failure
            self._flights += 1
            self._failure = None
            began = self._loop.time()  # the token's life is counted from before it was asked for
            refresh = None if self._stale or self._live is None else self._live.token.refresh
            try:
                token = await obtain(refresh)
            except NorthError as exc:
                exc.ends_run = True  # without a token nothing can succeed
                self._failure = exc
                raise
            if not self._stale:  # the one before lived as long as it should
                self._evictions = 0
            self._live = LiveToken(token, began)
            self._stale = False
            _log.info("obtained an access token")

    def accepted(self, live: LiveToken) -> None:
        """Take note that the platform accepted a call with this token."""
        if not live.proven:
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

        async def once(_: str | None) -> Token:
            nonlocal asked
            if asked:
                raise InvalidTokenError(403, "1010005", "the access token passed as token= was refused or has expired.")
            asked = True
            return ready

        return once
    if not callable(token):
        raise ArgumentError("token must be a str, or an async function that returns one")

    async def ask(_: str | None) -> Token:
        answer = token()
        if not inspect.isawaitable(answer):
            raise ArgumentError("token must be an *async* function; what it returned cannot be awaited")
        return Token(_usable(await answer))

    return ask


def _usable(token: object) -> str:
    """Return an access token that can stand in a header."""
    if not isinstance(token, str) or not fits_header(token):
        raise ArgumentError("the access token must be a non-empty str of printable ASCII characters")
    return token


def by_login(app_id: str, secret: Secret, send: Callable[[Request], Awaitable[Reply]]) -> Obtain:
    """Return how to obtain a token with the app's secret: by refresh, and where that cannot be or fails, by login."""

    async def obtain(refresh_token: str | None) -> Token:
        if refresh_token is not None:
            try:
                return read_token(await send(api.refresh_token(app_id, secret.value, refresh_token)))
            except NorthError as exc:  # an unusable refresh token is answered like a wrong secret: login tells which
                _log.info("refreshing the access token failed (%s); logging in", type(exc).__name__)
        return read_token(await send(api.login(app_id, secret.value)))

    return obtain
