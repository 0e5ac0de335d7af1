"""The HTTP server: requests in, replies out, whole or damaged."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

from aionorth.simulator.replies import Reply

CLOSING_TIMEOUT = 1.0
"""Seconds to wait for connections to end; every handler has been cancelled by then."""

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""The value of the socket option SO_LINGER with which closing a connection resets it: on, and no seconds."""

Answer = Callable[[web.BaseRequest, bytes], Awaitable[Reply | None]]
"""Returns the reply to a request and its whole body; ``None`` resets the connection."""


class HttpServer:
    """Serves HTTP at one address. When a caller goes away, its request is still answered to the end.

    Mutable: the server while it runs, the socket that holds its port while it refuses, the tasks that answer requests.
    """

    def __init__(self, answer: Answer, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._answer = answer
        self._host = host
        self._port = port
        self._tls = tls
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._url: str | None = None
        self._refusing: socket.socket | None = None
        self._handlers: set[asyncio.Task[object]] = set()

    @property
    def url(self) -> str:
        """See `Simulator.url`."""
        if self._url is None:
            raise RuntimeError("the simulator has not been started")
        return self._url

    async def start(self) -> None:
        """See `Simulator.start`."""
        if self._listener is not None:
            raise RuntimeError("the simulator has been started already")
        # aiohttp's low-level server leaves the path alone; its router would decode %2F before matching.
        self._server = web.Server(self._handle, access_log=None)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, self._host, self._port, ssl=self._tls)
        scheme = "https" if self._tls else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._url = f"{scheme}://{host}:{self._listener.sockets[0].getsockname()[1]}"

    async def refuse(self) -> None:
        """Refuse connections, and reset those that are open, until `accept`."""
        if self._listener is None or self._server is None or self._refusing is not None:
            return
        listening = self._listener.sockets[0]
        asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(3):  # asyncio forgets connections whose acceptance has begun when the server is closed
            await asyncio.sleep(0)
        address, self._refusing = listening.getsockname(), socket.socket(listening.family)
        self._listener.close()
        # Bound, but not listening: nobody else can take the port, and the kernel refuses whoever tries it.
        self._refusing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._refusing.bind(address)
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def accept(self) -> None:
        """Accept connections again, at the same port."""
        if self._refusing is None or self._server is None:
            return
        held, self._refusing = self._refusing, None
        self._listener = await asyncio.get_running_loop().create_server(self._server, sock=held, ssl=self._tls)

    async def close(self) -> None:
        """See `Simulator.close`."""
        if self._listener is None or self._server is None:
            return
        if self._refusing is not None:
            self._refusing.close()
            self._refusing = None
        self._listener.close()
        transports = [connection.transport for connection in self._server.connections]
        for handler in self._handlers:
            handler.cancel()
        self._server.pre_shutdown()
        await self._server.shutdown(CLOSING_TIMEOUT)
        for transport in transports:
            if transport is not None:
                # Closing would wait: with TLS for the peer's close_notify, with a slow reader for its last bytes.
                transport.abort()
        await asyncio.sleep(0)  # the loop closes the sockets of aborted transports in its next pass
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
            return web.Response()  # aiohttp needs one, although the connection is closed
        return _response(reply)


def _reset(request: web.BaseRequest) -> None:
    """Close the connection by a RST, and without the close_notify of TLS. Does nothing if the caller has gone."""
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        request.transport.abort()


def _response(reply: Reply) -> web.Response:
    if reply.sent is None:
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
    # The head is that of a whole reply.
    framing = (("Content-Length", str(len(reply.body))), ("Connection", "keep-alive"))
    response = web.Response(status=reply.status, body=reply.body[: reply.sent], headers=(*reply.headers, *framing))
    response.force_close()
    return response
