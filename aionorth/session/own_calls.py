"""Calls of the application's own, through the same token and the same flow control as those of the library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from aionorth.bulk.retry import RetryPolicy
from aionorth.common.headers import Headers
from aionorth.errors import NorthApiError
from aionorth.session.lifecycle import Session
from aionorth.wire.body import parsed
from aionorth.wire.own import Params, own_call


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
