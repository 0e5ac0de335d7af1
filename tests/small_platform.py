"""A second platform, on bare sockets and with its own reading of the documents, that can be taken away for a while."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

import attrs
from ports import free_port

State = Literal["up", "refused", "hangs", "503", "502", "maintenance"]

GONE = b"HTTP/1.1 204 No Content\r\n\r\n"
PAGE = b"<html><body><h1>%s</h1></body></html>"


def reply(status: str, body: bytes, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


@attrs.define
class SmallPlatform:
    """Deletes what it is asked to delete, once; lists nothing. Its state is `state`; it logs what arrives."""

    port: int
    state: State = "up"
    deleted: dict[str, int] = attrs.Factory(dict[str, int])
    """How often each id was deleted, or asked for again afterwards."""
    arrivals: list[tuple[float, str]] = attrs.Factory(list[tuple[float, str]])
    """When each request came, and its first line; while `refused` nothing comes."""
    silent_about: str = ""
    """An id to which there is never a reply."""
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = attrs.Factory(set[asyncio.Task[None]])

    async def become(self, state: State) -> None:
        """Change its state; where it is refused from now on, connections that are open are closed."""
        self.state = state
        if state == "refused":
            self.close()
        elif self._server is None:
            self._server = await asyncio.start_server(self._serve, "0.0.0.0", self.port)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                if length := re.search(r"content-length: (\d+)", head, re.IGNORECASE):
                    await reader.readexactly(int(length[1]))
                self.arrivals.append((asyncio.get_running_loop().time(), f"{method} {path}"))
                if self.state == "hangs" or (self.silent_about and path.endswith(f"/{self.silent_about}")):
                    await asyncio.sleep(3600)
                await asyncio.sleep(0.02)
                writer.write(self._answer(method, path))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    def _answer(self, method: str, path: str) -> bytes:
        if self.state == "503":
            return reply("503 Service Unavailable", b'{"error_code": "100501", "error_desc": "busy"}')
        if self.state == "502":
            return reply("502 Bad Gateway", PAGE % b"502 Bad Gateway")
        if self.state == "maintenance":
            return reply("503 Service Unavailable", PAGE % b"Back in an hour", "Retry-After: 3600")
        if method == "POST":
            return reply("200 OK", b'{"accessToken": "t0", "refreshToken": "r0", "expiresIn": 3600}')
        if method == "GET":
            return reply("200 OK", b'{"totalCount": 0, "subscriptions": []}')
        id_ = path.rpartition("/")[2]
        self.deleted[id_] = self.deleted.get(id_, 0) + 1
        if self.deleted[id_] > 1:
            return reply("404 Not Found", b'{"error_code": "100225", "error_desc": "The resource is not found"}')
        return GONE


@asynccontextmanager
async def small_platform() -> AsyncIterator[SmallPlatform]:
    platform = SmallPlatform(free_port())
    await platform.become("up")
    try:
        yield platform
    finally:
        platform.close()
