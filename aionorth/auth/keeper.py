"""The app's access token in one process: obtained on first use, renewed in time, in a single flight.

If several calls need a new token, one obtains it and the others wait for the outcome. If that one is cancelled, or
its connection fails, the next takes over. How a token is obtained is up to the caller, because it takes a session's
connection and the app's flow control.
"""

from __future__ import annotations

import asyncio
import logging

import attrs

from aionorth.auth.cache import ObtainedToken, TokenCache, obtained
from aionorth.auth.sources import Obtain
from aionorth.errors import InvalidTokenError, NorthApiError, NorthError, NotFoundError, TokenEvictedError
from aionorth.events import Observers, TokenObtained
from aionorth.wire.replies import Token

RENEW_AT = 0.8
"""The part of its lifetime after which a token is renewed: 48 minutes of the platform's 60."""

SHORT_LIFE = 60.0
"""Seconds. A token that was accepted, and is refused at a lower age, was evicted by a competing login."""

MAX_EVICTIONS = 3
"""How many tokens in a row may be evicted at that age before competing logins are reported."""

_log = logging.getLogger("aionorth")


@attrs.define(eq=False)
class LiveToken:
    """A token in use."""

    token: Token
    obtained_at: float
    renew_at: float
    """When to renew it. It is used at least once even after that time, however short its lifetime."""
    used: bool = False
    was_accepted: bool = False
    """Whether the platform has accepted it."""


class TokenKeeper:
    """Keeps one app's token for all calls that share it.

    Its state is the token, `_live`, whether it is `_stale`, and what is known of the tokens before it:
    `_never_accepted` and `_evictions`. `_finished` and `_refusal` give waiting calls the result of a renewal.
    """

    def __init__(self, cache: TokenCache | None = None, observers: Observers | None = None) -> None:
        """`cache` is where the app's other processes find the token."""
        self._observers = observers = Observers() if observers is None else observers
        self._loop = asyncio.get_running_loop()
        self._cache = cache
        self._single_flight = asyncio.Lock()
        self._finished: int = 0  # renewals that have ended
        self._refusal: NorthError | None = None  # by the platform, of the last renewal: it would refuse others too
        self._live: LiveToken | None = None
        self._stale = True  # whether the platform has refused the token, or there never was one
        self._never_accepted = 0  # tokens in a row that were refused without ever being accepted
        self._evictions = 0  # tokens in a row that were accepted and refused soon after

    def current(self, now: float) -> LiveToken | None:
        """Return the token if it can be used as it is, else None: then `renewed` gets one."""
        live = self._live
        if live is None or self._stale or (live.used and now >= live.renew_at):
            return None
        return live

    async def renewed(self, obtain: Obtain) -> None:
        """Return once there is a usable token.

        Raises:
            NorthError: What `obtain` raised. A refusal by the platform is raised for every call that waited for it.
                After any other failure the next of them tries itself.
        """
        finished = self._finished
        async with self._single_flight:
            if self.current(self._loop.time()) is not None:
                return
            if self._finished != finished and self._refusal is not None:
                raise self._refusal
            before = None if self._stale else self._live
            self._refusal = None
            try:
                found = await self._obtained(obtain, before)
            except NorthError as exc:
                if self._keeps_using(before, exc):
                    return
                raise self._failed(exc) from exc.__cause__
            finally:
                self._finished += 1
            if not self._stale:  # the previous token lasted its full time
                self._evictions = 0
            obtained_at = self._loop.time() - found.age
            self._live = LiveToken(found.token, obtained_at, obtained_at + RENEW_AT * found.token.lifetime)
            self._stale = False
            if (observers := self._observers).all:
                token = TokenObtained(app_id=observers.app_id, lifetime=found.token.lifetime, age=found.age)
                observers(token)

    async def _obtained(self, obtain: Obtain, before: LiveToken | None) -> ObtainedToken:
        if self._cache is None:
            return await obtained(obtain, None if before is None else before.token, self._observers)
        refused = self._live.token.access if self._live is not None and self._stale else None
        return await self._cache.renewed(obtain, refused=refused, max_spent=RENEW_AT)

    def _keeps_using(self, live: LiveToken | None, error: NorthError) -> bool:
        """Postpone the renewal if the token is still valid and the error may be temporary; return whether it is so."""
        if live is None or not error.retryable:
            return False
        left = live.obtained_at + live.token.lifetime - self._loop.time()
        live.renew_at = self._loop.time() + left / 4
        return left > 0

    def _failed(self, error: NorthError) -> NorthError:
        """Make `error` one that ends a run: without a token nothing can succeed."""
        if isinstance(error, NotFoundError):  # must not be mistaken for "the resource is not there"
            text = "no access token: there is no such call; check the base URL"
            error = NorthApiError(error.status, error.code, text)
        error.ends_run = True
        if isinstance(error, NorthApiError) and not error.retryable:
            self._refusal = error
        return error

    def accepted(self, live: LiveToken) -> None:
        """Record that the platform accepted a call with this token."""
        live.was_accepted = True
        self._never_accepted = 0

    def refused(self, live: LiveToken, error: InvalidTokenError) -> None:
        """Record that the platform refused this token (1010005).

        Raises:
            InvalidTokenError: Another token would be refused too.
            TokenEvictedError: Another client keeps logging in.
        """
        if live is not self._live or self._stale:
            return  # another call has recorded it
        self._stale = True
        if live.was_accepted:
            young = self._loop.time() - live.obtained_at < SHORT_LIFE
            self._evictions = self._evictions + 1 if young else 1
        else:
            self._never_accepted += 1
        if self._evictions >= MAX_EVICTIONS or (self._evictions and self._never_accepted > 1):
            self._give_up(TokenEvictedError(error.status, error.code, error.description))
        if self._never_accepted > 1:
            self._give_up(error)
        said = "the platform refused the access token (%s), as after another login of the app: logging in anew"
        _log.warning(said, error.code, extra=self._observers.facts(code=error.code))

    def _give_up(self, error: InvalidTokenError) -> None:
        # Reset, so that a later run with the same keeper starts afresh.
        self._evictions = self._never_accepted = 0
        error.ends_run = True
        raise error
