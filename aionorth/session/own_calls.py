"""Calls of the application's own, through the same token and the same flow control as those of the library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs

from aionorth.bulk.caller import Caller
from aionorth.bulk.retry import RetryPolicy
from aionorth.common.headers import Headers
from aionorth.errors import NorthApiError, ReplyTimeoutError, SessionStateError
from aionorth.flow.window import Ending, Permit
from aionorth.session.lifecycle import Session
from aionorth.wire.body import parsed
from aionorth.wire.checks import seconds
from aionorth.wire.own import Params, own_call
from aionorth.wire.replies import LONGEST_RETRY_AFTER


@attrs.frozen(eq=False)
class NorthReply:
    """The reply to a call that succeeded."""

    status: int
    """The HTTP status."""
    headers: Mapping[str, str] = attrs.field(repr=False)
    """Its headers, read-only. Upper and lower case of their names are the same."""
    body: bytes = attrs.field(repr=False)
    """Its body, empty where there is none."""
    _charset: str | None = attrs.field(default=None, repr=False)

    def json(self) -> Any:  # noqa: ANN401 - any JSON at all
        """Return what the body holds as JSON, whatever its Content-Type says.

        Raises:
            NorthApiError: It is not JSON. The call succeeded all the same.
        """
        content = parsed(self.body, self._charset)
        if content is None and self.body.strip() != b"null":
            raise NorthApiError(
                self.status, None, f"the call succeeded, but its reply of {len(self.body)} bytes is no JSON"
            )
        return content


@attrs.define(eq=False)
class _Lent:
    """A permit that is lent to another client's call. Its state: the permit; None once it has ended."""

    caller: Caller
    permit: Permit | None

    def end(self, ending: Ending, *, counted_at: float | None = None, retry_after: float | None = None) -> bool:
        """Release the permit, unless that was done before; return whether it was not."""
        permit, self.permit = self.permit, None
        if permit is not None:
            self.caller.release(permit, ending, counted_at=counted_at, retry_after=retry_after)
        return permit is not None


class Slot:
    """A place in flow control for one call of another client: see `NorthSession.slot`."""

    def __init__(self, lent: _Lent) -> None:
        self._lent = lent

    def refused(self, retry_after: float | None = None) -> None:
        """Report that the platform's flow control refused the call (1010009, or a 429): all calls of the app pause.

        Another attempt at the call takes another slot, which is given when the pause is over.

        Args:
            retry_after: The Retry-After of the reply in seconds, if it had one.

        Raises:
            ArgumentError: `retry_after` is no such number.
            SessionStateError: The block has ended, or this was reported already.
        """
        if retry_after is not None:
            retry_after = min(seconds("retry_after", retry_after, zero=True), LONGEST_RETRY_AFTER)
        if not self._lent.end(Ending.REFUSED, retry_after=retry_after):
            raise SessionStateError(
                "this slot has ended: a slot is for one call, and is refused once, inside its block"
            )


class OwnCalls(Session):
    """A session through which an application makes calls of its own."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None = None,
        template: str | None = None,
    ) -> NorthReply:
        """Make any call of the platform, with the token, flow control, errors and retries of all other calls.

        It has priority over waiting bulk work, as single calls have. A call that was refused by flow control, or
        because its token had expired, was certainly not carried out: it is made again, as long as the policy's deadline
        allows, whatever the method and whatever `retry`.

        Args:
            method: GET, HEAD, PUT, DELETE or OPTIONS, which are retried as deletions are; POST or PATCH, which are
                retried only where the call was certainly not carried out (`NorthError.not_done`).
            path: The path after the base URL, as in ``/iocm/app/cmd/v1.4.0/deviceCommands``, without a query. An id in
                it that may have other characters than letters, digits, ``-`` and ``_`` must be percent-encoded, with
                ``urllib.parse.quote(id, safe="")``. A segment by which a proxy may find another resource, such as
                ``..``, is refused.
            params: The query: each value a str, int, bool (sent as ``true`` or ``false``), None (left out), or a list
                of them.
            json: The body, whatever `json.dumps` takes; None sends none.
            timeout: Seconds that one attempt may take; the session's unless given.
            retry: True retries POST and PATCH as the other methods are, also where they may have been carried out;
                False makes one attempt; a `RetryPolicy` holds in the place of the session's.
            template: The path with names in the place of ids, for metrics. Unless given, each segment that is neither
                a plain word nor a version is replaced by ``{id}``.

        Returns:
            The reply: its status is from 200 to 299, and its body carries no error code.

        Raises:
            ArgumentError: An argument cannot be used, or it is a deletion of all subscriptions: nothing was sent.
            NorthApiError: The platform refused; the class depends on the code.
            NorthConnectionError: The platform could not be reached.
            ReplyLostError: The reply to the last attempt was lost: whether the call was carried out is unknown.
        """
        request = own_call(method, path, params=params, body=json, template=template, repeat=retry is True)
        reply = await self._opened().send(request, timeout=timeout, retry=retry)
        return NorthReply(reply.status, Headers(reply.headers.items()), reply.body, reply.charset)

    @asynccontextmanager
    async def slot(self, *, timeout: float | None = None) -> AsyncGenerator[Slot]:  # noqa: ASYNC109 - of the block
        """Wait for a place in flow control for one call that another client makes in the ``async with`` block.

        One slot is for one call: a client that retries by itself needs one for each attempt. The call has priority over
        waiting bulk work. It counts until a period after the block ends. Where the block ends in an exception or is
        cancelled, the call may still be on its way, so it counts as if it had ended the session's `timeout` later. A
        block that ends without an exception, and without `Slot.refused`, says that the platform accepted the call.

        While the platform is down, this waits until it answers again.

        Args:
            timeout: Seconds that the block may take; the session's unless given.

        Raises:
            ArgumentError: `timeout` is no such number.
            OutageError: The platform has not answered any call for longer than the session's `RetryPolicy` allows.
            ReplyTimeoutError: The block took longer than `timeout`.
            NorthError: There is no valid token, and none was to be had.
        """
        caller, allowed = self._opened(), self._transport.timeout if timeout is None else seconds("timeout", timeout)
        lent = _Lent(caller, await caller.acquire(allowed))
        within = asyncio.timeout(allowed)
        try:
            async with within:
                yield Slot(lent)
        except TimeoutError as exc:
            if not within.expired():
                raise
            raise ReplyTimeoutError(f"the call in a slot took longer than {allowed:g} s") from exc
        else:
            lent.end(Ending.ACCEPTED)
        finally:
            lent.end(Ending.UNCONFIRMED, counted_at=caller.now() + self._transport.timeout)

    async def access_token(self) -> str:
        """Return the access token for the header of a call that another client makes: ``Authorization: Bearer …``.

        It is renewed where that is due, so ask for it before each call. The call also needs the header ``app_key``.

        Raises:
            NorthError: There is none, and none was to be had.
        """
        return await self._opened().token()
