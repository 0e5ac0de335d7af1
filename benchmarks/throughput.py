"""What aionorth costs beside bare aiohttp, where flow control never binds: calls a second and CPU time per call.

Both delete the same ids over loopback from a server in another process that answers everything ``204`` at once. The
bare loop is as many tasks that take ids from one iterator, build the URL, send the same headers and read the reply. It
is given what aionorth gives aiohttp too: no cookie jar, no bound on connections, an URL that need not be encoded again,
the same time-outs. So what differs is aionorth's own: flow control, token, retries, duplicates, accounts.

What could mislead:

* The platform takes 100 calls a minute. The calls a second measured here are what the client could do, nothing more.
* A slow server would hide a slow client. That the server can do at least twice what either client does is checked with
  plain sockets at the same concurrency, one request outstanding on each, which is no more than the clients ask of it.
* Other programs on the machine: the clients take turns in short rounds, the order alternates, and the ratio is taken
  within each round of both. The spread of the ratios tells how quiet it was.
* Server and client share the machine, and on few cores disturb each other. CPU time per call is the client process's
  alone, but the kernel's work for its sockets is in it, and waking the server is part of that.
* Connections are made and code is warmed up in a round that does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from urllib.parse import quote

import aiohttp
import attrs
from yarl import URL

from aionorth import NorthSession
from benchmarks.harness import PremiseError, Record, Spread
from benchmarks.light_server import HOST, REPLY, LightServer, light_server
from benchmarks.unthrottled import APP, NEVER_BINDS, TOKEN, subscription_ids

CONCURRENCIES = (1, 16, 64)
WITH_BAR = frozenset({16, 64})
LEAST_RATIO = 0.90
"""The bar: aionorth's calls a second as a part of the bare loop's."""
SERVER_MARGIN = 2.0
"""How many times faster than the faster client the server must be."""

CALLS = 2_000
"""Calls in one round of one client."""
ROUNDS = 24

HEADERS = {"Content-Type": "application/json", "app_key": APP, "Authorization": f"Bearer {TOKEN}"}
PATH = "/iocm/app/sub/v1.2.0/subscriptions/"


# --- The clients

Client = Callable[[int, int], Awaitable[int]]
"""Makes so many calls with such concurrency; returns how many it says it has made."""


def with_aionorth(north: NorthSession) -> Client:
    """The library's bulk run."""

    async def delete(calls: int, concurrency: int) -> int:
        run = north.delete_subscriptions(subscription_ids(calls), workers=concurrency, collect="failures")
        summary = await run
        summary.raise_for_failures()
        return summary.calls

    return delete


def with_bare_aiohttp(http: aiohttp.ClientSession, url: str) -> Client:
    """A loop around aiohttp that does what must be done and nothing more."""
    timeout = aiohttp.ClientTimeout(total=30.0, sock_connect=10.0)

    async def work(ids: Iterator[str]) -> int:
        calls = 0
        for id_ in ids:
            target = URL(f"{url}{PATH}{quote(id_, safe='')}", encoded=True)
            async with http.delete(target, headers=HEADERS, allow_redirects=False, timeout=timeout) as response:
                await response.read()
                if response.status != 204:
                    raise PremiseError(f"the server answered {response.status}")
            calls += 1
        return calls

    async def delete(calls: int, concurrency: int) -> int:
        ids = subscription_ids(calls)
        return sum(await asyncio.gather(*(work(ids) for _ in range(concurrency))))

    return delete


# --- The server's own rate


def server_rate(server: LightServer, concurrency: int, calls: int = 20_000) -> float:
    """Calls a second of plain sockets that each have one request outstanding; blocking: call it while nothing runs."""
    lines = [
        f"DELETE {PATH}{0:032x} HTTP/1.1",
        f"Host: {HOST}:{server.port}",
        *(f"{k}: {v}" for k, v in HEADERS.items()),
    ]
    request = "\r\n".join([*lines, "", ""]).encode()
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection((HOST, server.port))) for _ in range(concurrency)]
        for connection in connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        for _ in range(rounds := calls // concurrency):
            for connection in connections:
                connection.sendall(request)
            for connection in connections:
                _receive(connection, len(REPLY))
        return rounds * concurrency / (time.perf_counter() - began)


def _receive(connection: socket.socket, size: int) -> None:
    while size:
        part = len(connection.recv(size))
        if not part:
            raise PremiseError("the server closed a connection")
        size -= part


# --- Rounds


@attrs.frozen
class Cost:
    """What one round of one client took, per call."""

    seconds: float
    cpu: float
    """CPU seconds of the client's process."""


async def cost(client: Client, server: LightServer, concurrency: int) -> Cost:
    """Run one round, and see that client and server agree on the number of calls."""
    before = server.answered()
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    said = await client(CALLS, concurrency)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    answered = server.answered() - before
    if not said == answered == CALLS:
        raise PremiseError(f"of {CALLS} calls the client says it has made {said}, and the server answered {answered}")
    return Cost(wall / CALLS, cpu / CALLS)


async def rounds(server: LightServer, concurrency: int) -> tuple[list[Cost], list[Cost]]:
    """Let aionorth and the bare loop take turns; returns the cost of their rounds, in the order of the rounds."""
    async with (
        NorthSession(server.url, app_id=APP, token=TOKEN, flow_control=NEVER_BINDS) as north,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        clients = [with_aionorth(north), with_bare_aiohttp(http, server.url)]
        costs: tuple[list[Cost], list[Cost]] = ([], [])
        for number in range(ROUNDS + 1):
            for which in (0, 1) if number % 2 else (1, 0):
                spent = await cost(clients[which], server, concurrency)
                if number:  # the first warms up
                    costs[which].append(spent)
    return costs


def main(arguments: Sequence[str], record: Record) -> None:
    """Measure, print and hold against the bar."""
    argparse.ArgumentParser(prog="python -m benchmarks throughput").parse_args(arguments)
    table = record.table(
        f"{ROUNDS} rounds of {CALLS:,} calls each: median (least to most)",
        [
            "concurrency",
            f"{'calls/s aionorth':>20}",
            f"{'calls/s bare':>21}",
            "server",
            f"{'ratio of calls/s':>22}",
            f"{'CPU µs aionorth':>17}",
            f"{'CPU µs bare':>17}",
            f"{'CPU µs above bare':>20}",
        ],
    )
    ratios: dict[int, Spread] = {}
    with light_server() as server:
        for concurrency in CONCURRENCIES:
            able = server_rate(server, concurrency)
            ours, bare = asyncio.run(rounds(server, concurrency))
            pairs = list(zip(ours, bare, strict=True))
            ratios[concurrency] = ratio = Spread.of(b.seconds / a.seconds for a, b in pairs)
            rates = [Spread.of(1 / spent.seconds for spent in costs) for costs in (ours, bare)]
            table.row(
                str(concurrency),
                f"{rates[0]:.0f}",
                f"{rates[1]:.0f}",
                f"{able:.0f}",
                f"{ratio:.3f}",
                f"{Spread.of(spent.cpu * 1e6 for spent in ours):.0f}",
                f"{Spread.of(spent.cpu * 1e6 for spent in bare):.0f}",
                f"{Spread.of((a.cpu - b.cpu) * 1e6 for a, b in pairs):.1f}",
            )
            if able < SERVER_MARGIN * (fastest := max(rate.median for rate in rates)):
                raise PremiseError(
                    f"at concurrency {concurrency} the server does {able:.0f} calls a second and a client "
                    f"{fastest:.0f}: the server must be {SERVER_MARGIN:g} times as fast"
                )
    print()
    for concurrency in sorted(WITH_BAR):
        ratio = ratios[concurrency]
        bar = f"concurrency {concurrency}: {ratio.median:.3f} of bare aiohttp's calls a second, at least {LEAST_RATIO}"
        record.check(bar, met=ratio.median >= LEAST_RATIO)
