"""Where an access token comes from: the app's secret, or the user."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable

import attrs

from aionorth.errors import ArgumentError, InvalidTokenError, NorthError
from aionorth.wire.checks import fits_header
from aionorth.wire.replies import Send, Token, read_token
from aionorth.wire.requests import login, refresh_token

_log = logging.getLogger("aionorth")

GivenToken = str | Callable[[], Awaitable[str]]
"""An access token, or an async function that returns one. It is called again when the platform refuses the token."""

Obtain = Callable[[Token | None], Awaitable[Token]]
"""Obtains a token, given the previous one; None if that was refused, or if there was none."""


@attrs.frozen
class Secret:
    """A string that its repr does not show."""

    value: str = attrs.field(repr=False)


def by_login(app_id: str, secret: Secret, send: Send) -> Obtain:
    """Return how to obtain a token with the app's secret: by refresh, or by login if that is impossible or fails."""

    async def obtain(before: Token | None) -> Token:
        if before is not None and before.refresh is not None:
            try:
                return read_token(await send(refresh_token(app_id, secret.value, before.refresh)))
            except NorthError as exc:  # maybe a wrong secret, which has the same reply: the login will show
                facts = {"app_id": app_id, "code": exc.code}
                _log.info("refreshing the access token failed (%s); logging in", type(exc).__name__, extra=facts)
        return read_token(await send(login(app_id, secret.value)))

    return obtain


def given(token: GivenToken) -> Obtain:
    """Return how to obtain a given token, a str or an async function; raises `ArgumentError` for anything else."""
    if isinstance(token, str):
        ready = Token(_usable(token))
        used = False

        async def once(_: Token | None) -> Token:
            nonlocal used
            if used:
                raise InvalidTokenError(403, "1010005", "the access token passed as token= was refused or has expired.")
            used = True
            return ready

        return once
    if not callable(token):
        raise ArgumentError("token must be a str, or an async function that returns one")

    async def called(_: Token | None) -> Token:
        result = token()
        if not inspect.isawaitable(result):
            raise ArgumentError("token must be an *async* function; what it returned cannot be awaited")
        return Token(_usable(await result))

    return called


def _usable(token: object) -> str:
    """Return an access token that is valid in a header."""
    if not isinstance(token, str) or not fits_header(token):
        del token  # a traceback must not show it
        raise ArgumentError(
            "the access token, passed as token= or returned by its function, must be a non-empty str of printable "
            "ASCII characters: strip the line end of one read from a file"
        )
    return token
