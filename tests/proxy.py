"""A small real proxy, which tunnels what CONNECT asks for."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs


@attrs.define
class Proxy:
    """A proxy that runs. Its state: the heads of the requests that came."""

    address: str
    heads: list[bytes] = attrs.Factory(list[bytes])


@asynccontextmanager
async def proxying(*, tls: ssl.SSLContext | None = None, status: str = "200 OK") -> AsyncIterator[Proxy]:
    """Serve a proxy on 127.0.0.1, behind TLS where a context is given; it answers each CONNECT with `status`."""
    tasks = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        back = None
        try:
            if await reader.read(1) != b"C":  # no request: a client that speaks TLS
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            head = b"C" + await reader.readuntil(b"\r\n\r\n")
            proxy.heads.append(head)
            writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
            if status.startswith("200"):
                host, _, port = head.split()[1].decode().rpartition(":")
                there, back = await asyncio.open_connection(host, int(port))
                await asyncio.gather(_copy(reader, back), _copy(there, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            for end in filter(None, (writer, back)):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    host, port = server.sockets[0].getsockname()
    proxy = Proxy(f"{host}:{port}")
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # as SSLError is
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()
