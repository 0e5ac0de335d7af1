"""A server on bare sockets, for replies that no HTTP library would send."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

import attrs

End = Literal["stays", "closes", "breaks"]


@attrs.frozen
class Answer:
    """The reply to a request, and what becomes of the connection after it."""

    data: bytes
    end: End = "stays"
    in_pieces: bool = False
    """Whether each byte is sent alone."""


@attrs.define
class Raw:
    """A running server."""

    url: str = ""
    requests: list[bytes] = attrs.Factory(list[bytes])
    """The heads of the requests that arrived."""
    connections: int = 0


@asynccontextmanager
async def answering(*answers: Answer) -> AsyncIterator[Raw]:
    """Answer the requests in turn; the last answer is repeated."""
    raw = Raw()
    tasks = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                answer = answers[min(len(raw.requests), len(answers) - 1)]
                raw.requests.append(head)
                for piece in map(bytes, zip(answer.data)) if answer.in_pieces else [answer.data]:
                    writer.write(piece)
                    await asyncio.sleep(0.001)
                await writer.drain()
                await asyncio.sleep(0.01)  # the reply should be read before the connection ends
                if answer.end == "breaks":
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                if answer.end != "stays":
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield raw
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def head(status: int, *lines: str, version: str = "1.1") -> bytes:
    """Return the head of a reply."""
    return "\r\n".join((f"HTTP/{version} {status} Some Reason", *lines, "", "")).encode("latin-1")


def reply(status: int, body: bytes = b"", *lines: str) -> bytes:
    """Return a well-formed reply."""
    return head(status, *lines, f"Content-Length: {len(body)}") + body
