"""A very light server in a process of its own: it answers every request ``204 No Content``, and counts them.

It has no paths, no tokens and no flow control, so that a measurement shows the client. `python -m
benchmarks.light_server` prints two ports. The first is that of the service; a connection to the second returns how many
requests have been answered. The server ends when its standard input does, and so with the process that started it.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import attrs

from benchmarks.harness import ROOT

HOST = "127.0.0.1"
END = b"\r\n\r\n"
"""The end of a request: a deletion has no body."""
REPLY = b"HTTP/1.1 204 No Content\r\n\r\n"


@attrs.define
class Counter:
    """How many requests have been answered."""

    answered: int = 0


class Replier(asyncio.Protocol):
    """Answers the requests of one connection, which may arrive in pieces or several at once."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._rest = b""  # the beginning of a request that has not arrived whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        *requests, self._rest = (self._rest + data).split(END)
        # Counted before it is answered: a client that has the reply finds it in the count.
        self._counter.answered += len(requests)
        self._transport.write(REPLY * len(requests))


class CountReporter(asyncio.Protocol):
    """Sends the count on each connection and closes it."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(str(self._counter.answered).encode())
        transport.close()


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    counter = Counter()
    service = await loop.create_server(lambda: Replier(counter), HOST, 0, backlog=1024)
    reporting = await loop.create_server(lambda: CountReporter(counter), HOST, 0)
    print(*(server.sockets[0].getsockname()[1] for server in (service, reporting)), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@attrs.frozen
class LightServer:
    """A running server, seen from the process that uses it."""

    port: int
    counter_port: int

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://{HOST}:{self.port}"

    def answered(self) -> int:
        """Return how many requests have been answered so far."""
        with socket.create_connection((HOST, self.counter_port)) as connection, connection.makefile() as count:
            return int(count.read())


@contextmanager
def light_server() -> Generator[LightServer]:
    """Run the server in another process."""
    command = [sys.executable, "-m", "benchmarks.light_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:  # noqa: S603 - our own
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin:
            service, reporting = process.stdout.readline().split()
            yield LightServer(int(service), int(reporting))


if __name__ == "__main__":
    asyncio.run(serve())
