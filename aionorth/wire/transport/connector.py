"""A connection pool that reads replies as servers mean them, where aiohttp would lose or misread them."""

from __future__ import annotations

import asyncio
import re
import ssl
from functools import partial
from typing import Any

import aiohttp
import aiohttp.connector
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

LONGEST_HEAD = 64 * 1024
"""Bytes of a reply's head that are held back until it is whole; a longer one goes to aiohttp, which refuses it."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_INTERIM = re.compile(rb"\s*HTTP/1\.[01] 1(?!01)\d\d\b")
_NO_CONTENT = re.compile(rb"\s*HTTP/1\.[01] 204\b")
_LENGTH = re.compile(rb"(?<=\n)(?:content-length|transfer-encoding)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE)
"""The lines of a head that give the length of the body."""


def _plain(line: bytes) -> bytes:
    """Return a line of a head in its normal form."""
    name, _, value = line.partition(b":")
    return b"%s: %s" % (name.strip().lower(), value.strip())


class Protocol(ResponseHandler):
    """Reads replies as aiohttp does, except for three things that servers on the way do to them.

    * A 204 has no body, whatever its head says and whatever follows it: a chunked end, a body, a second Content-Length.
      aiohttp would take that for the beginning of another reply, and lose the 204.
    * A length that is given twice, and the same, is a length.
    * A body that ends with the connection is broken if the connection is. aiohttp would take it as whole.
    """

    _head: bytes | None = None
    """What has arrived of a reply's head, until it is whole; then None."""

    def set_response_params(self, **options: Any) -> None:  # noqa: ANN401 - as overridden
        """Expect a reply."""
        self._head = b""
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """Handle what has arrived."""
        while self._head is not None and data:
            data, self._head = self._head + data, None
            if (end := _HEAD_END.search(data)) is not None:
                head, rest = data[: end.end()], data[end.end() :]
                if _INTERIM.match(head):  # the final head is yet to come
                    super().data_received(head)
                    data, self._head = rest, b""
                else:
                    data = self._tidied(head, rest)
            elif len(data) < LONGEST_HEAD:
                self._head = data
                return
        if data:
            super().data_received(data)

    def _tidied(self, head: bytes, rest: bytes) -> bytes:
        """Return what aiohttp is to see of a reply that begins with `head`."""
        lengths = _LENGTH.findall(head)
        said = set(map(_plain, lengths))
        if _NO_CONTENT.match(head):
            if rest or not said <= {b"content-length: 0"}:
                self.force_close()  # where the next reply begins is not known
            return _LENGTH.sub(b"", head)
        if len(lengths) > len(said) == 1:
            return _LENGTH.sub(b"", head, count=len(lengths) - 1) + rest
        return head + rest

    def connection_lost(self, exc: BaseException | None) -> None:
        """Handle the end of the connection, with `exc` where it broke."""
        if exc is not None and self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError("the connection broke"), exc)
        super().connection_lost(exc)


class Connector(aiohttp.TCPConnector):
    """A pool that discards a kept-alive connection on which something arrived unasked, a second reply or a late 408.

    aiohttp would take that for the reply to the next request.
    """

    def __init__(self, *, ssl: ssl.SSLContext | bool) -> None:
        super().__init__(limit=0, ssl=ssl)  # pyright: ignore[reportUnknownMemberType] - an option of it is half typed
        protocol: type[ResponseHandler] = Protocol
        self._factory = partial(protocol, loop=asyncio.get_running_loop())

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as overridden
    ) -> aiohttp.connector.Connection:
        """Return a connection on which nothing has arrived yet."""
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
