"""The simulator's socket: HTTP requests in, replies out, whole or damaged."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

from aionorth.simulator.replies import Reply

CLOSING_TIMEOUT = 1.0
"""Seconds to wait for connections that do not end when told to; every handler has been cancelled by then."""

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""The socket option SO_LINGER: on, with no time to linger, so that closing resets the connection."""

Answer = Callable[[web.BaseRequest, bytes], Awaitable[Reply | None]]
"""Answers a request, whose body is handed in whole; ``None`` resets the connection."""


class HttpServer:
    """Serves ``answer`` at an address. A caller that goes away does not stop the answering of its request."""

    def __init__(self, answer: Answer, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._answer = answer
        self._host = host
        self._port = port
        self._tls = tls
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._url: str | None = None
        self._handlers: set[asyncio.Task[object]] = set()

    @property
    def url(self) -> str:
        """Scheme, host and port; raises `RuntimeError` unless started."""
        if self._url is None:
            raise RuntimeError("the simulator has not been started")
        return self._url

    async def start(self) -> None:
        """Listen; raises `OSError` where the address is taken, `RuntimeError` where this server listens already."""
        if self._listener is not None:
            raise RuntimeError("the simulator has been started already")
        # aiohttp's low-level server leaves the path alone; its router would decode %2F before matching.
        self._server = web.Server(self._handle, access_log=None)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, self._host, self._port, ssl=self._tls)
        scheme = "https" if self._tls else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._url = f"{scheme}://{host}:{self._listener.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening, cancel whatever is being answered, and close every connection."""
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        transports = [connection.transport for connection in self._server.connections]
        for handler in self._handlers:
            handler.cancel()
        self._server.pre_shutdown()
        await self._server.shutdown(CLOSING_TIMEOUT)
        for transport in transports:
            if transport is not None:
                # A TLS connection would wait for its peer's farewell, a slow reader's for its last bytes to be read.
                transport.abort()
        await asyncio.sleep(0)  # the loop closes the sockets of aborted transports in its next turn
        self._listener = self._server = self._url = None

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        try:
            body = await request.read() if request.body_exists else b""
            reply = await self._answer(request, body)
        finally:
            self._handlers.discard(handler)
        if reply is None:
            _reset(request)
            return web.Response()  # aiohttp wants one, and finds nowhere to send it
        return _response(reply)


def _reset(request: web.BaseRequest) -> None:
    """Close the connection by a RST, and without the farewells of TLS; a caller that has gone needs none."""
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        request.transport.abort()


def _response(reply: Reply) -> web.Response:
    if reply.sent is None:
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
    # Nothing in the head may betray that the rest will never come.
    promises = (("Content-Length", str(len(reply.body))), ("Connection", "keep-alive"))
    response = web.Response(status=reply.status, body=reply.body[: reply.sent], headers=(*reply.headers, *promises))
    response.force_close()
    return response
