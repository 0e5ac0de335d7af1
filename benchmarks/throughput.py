"""What aionorth costs compared with other clients, without flow control: calls a second and CPU time per call.

All delete over loopback from a server in another process that answers everything ``204`` at once, under asyncio's own
event loop and, if they use an event loop, under uvloop:

* a bare aiohttp loop: as many tasks that take ids from one iterator, build the URL, send the same headers and read the
  reply. It uses aiohttp as aionorth does: no cookie jar, no limit on connections, an URL that is encoded already, the
  same time-outs. So the difference is aionorth's own: flow control, token, retries, dropping duplicates, counting
  outcomes.
* httpx, with the same loop around it.
* the vendor's current SDK, huaweicloudsdkiotda: `IoTDAClient` in as many threads, and `IoTDAAsyncClient`, which has
  eight threads of its own, with as many futures outstanding. It uses a newer edition of the platform's interface, which
  has no such subscriptions: it deletes OTA packages by their ids, one by one.

What could mislead:

* The platform accepts 100 calls a minute. The calls a second measured here are what a client could do, nothing more.
* A slow server would hide a slow client. Plain sockets at the same concurrency check that the server can do at least
  twice what any client does. Each has one request outstanding, which is no more than the clients have.
* Other programs on the machine disturb the clients. So they take turns in short rounds, the order rotates, and every
  ratio is taken within a round. The spread of the ratios shows how quiet the machine was.
* Server and client share the machine, and on few cores disturb each other. CPU time per call is that of the client's
  process only, but includes the kernel's work for its sockets, and waking the server is part of that.
* Connections are opened and code is warmed up in a round that does not count.
* The SDK signs each request with HMAC-SHA256, because its platform demands it. That is in its figures.
"""

# pyright: reportMissingTypeStubs=false
# The vendor's SDK has no types.

from __future__ import annotations

import argparse
import asyncio
import gc
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import attrs
import httpx
import uvloop
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkiotda.v5 import DeleteOtaPackageRequest, IoTDAAsyncClient, IoTDAClient
from yarl import URL

from aionorth import NorthSession
from benchmarks import pictures
from benchmarks.harness import PremiseError, Record, Spread, at_least_one, turns
from benchmarks.light_server import HOST, REPLY, LightServer, light_server
from benchmarks.unthrottled import APP, HEADERS, NEVER_BINDS, TOKEN, subscription_ids

CONCURRENCIES = (1, 16, 64)
WITH_BAR = frozenset({16, 64})
MIN_RATIO = 0.95
"""The bar: aionorth's calls a second as a part of the bare loop's."""
MAX_CPU = 1.10
"""The bar: its CPU time per call as a multiple of the bare loop's."""
MIN_OF_VENDOR = 10.0
"""The bar: its calls a second as a multiple of those of the vendor's faster client."""
SERVER_MARGIN = 2.0
"""How many times as fast as the fastest client the server must be."""

ROUNDS = 63
ROUNDS_OF_ONE = 27
"""Rounds with a single call in flight, for which no bar is set."""

PATH = "/iocm/app/sub/v1.2.0/subscriptions/"
TIMEOUT = 30.0
CONNECT_TIMEOUT = 10.0

LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


# --- The clients

Client = Callable[[int], Awaitable[int]]
"""Makes so many calls; returns how many it reports."""


async def _share(calls: int, concurrency: int, delete: Callable[[str], Awaitable[int]]) -> int:
    """Delete so many ids with `concurrency` tasks, and return how many; each reply must be a 204."""

    async def work(ids: Iterator[str]) -> int:
        done = 0
        for id_ in ids:
            if (status := await delete(id_)) != 204:
                raise PremiseError(f"the server answered {status}")
            done += 1
        return done

    ids = subscription_ids(calls)
    return sum(await asyncio.gather(*(work(ids) for _ in range(concurrency))))


@asynccontextmanager
async def with_aionorth(url: str, concurrency: int) -> AsyncGenerator[Client]:
    """The library's bulk run."""
    async with NorthSession(url, app_id=APP, token=TOKEN, flow_control=NEVER_BINDS) as north:

        async def delete(calls: int) -> int:
            run = north.delete_subscriptions(subscription_ids(calls), workers=concurrency, collect="failures")
            summary = await run
            summary.raise_for_failures()
            return summary.calls

        yield delete


@asynccontextmanager
async def with_aiohttp(url: str, concurrency: int) -> AsyncGenerator[Client]:
    """A loop around aiohttp that does only what is necessary."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT, sock_connect=CONNECT_TIMEOUT)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:

        async def delete(id_: str) -> int:
            target = URL(f"{url}{PATH}{quote(id_, safe='')}", encoded=True)
            async with http.delete(target, headers=HEADERS, allow_redirects=False, timeout=timeout) as response:
                await response.read()
                return response.status

        yield lambda calls: _share(calls, concurrency, delete)


@asynccontextmanager
async def with_httpx(url: str, concurrency: int) -> AsyncGenerator[Client]:
    """The same loop around httpx."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    timeout = httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT)
    async with httpx.AsyncClient(limits=limits, timeout=timeout, headers=HEADERS) as http:

        async def delete(id_: str) -> int:
            return (await http.delete(f"{url}{PATH}{quote(id_, safe='')}")).status_code

        yield lambda calls: _share(calls, concurrency, delete)


def _vendors(kind: Any, url: str, concurrency: int) -> Any:  # noqa: ANN401 - the SDK has no types
    credentials = BasicCredentials("access-key", "secret-key", "project")
    settings = HttpConfig(pool_maxsize=concurrency, timeout=(CONNECT_TIMEOUT, TIMEOUT))
    return kind.new_builder().with_http_config(settings).with_credentials(credentials).with_endpoint(url).build()


@asynccontextmanager
async def with_vendor(url: str, concurrency: int) -> AsyncGenerator[Client]:
    """The vendor's client in threads."""
    client = _vendors(IoTDAClient, url, concurrency)

    def delete(id_: str) -> bool:
        return bool(client.delete_ota_package(DeleteOtaPackageRequest(package_id=id_)).status_code == 204)

    with ThreadPoolExecutor(concurrency) as threads:

        async def delete_all(calls: int) -> int:
            return sum(
                threads.map(delete, subscription_ids(calls))
            )  # blocks the event loop, which has nothing else to do

        yield delete_all


@asynccontextmanager
async def with_vendors_async(url: str, concurrency: int) -> AsyncGenerator[Client]:
    """The vendor's asynchronous client."""
    client = _vendors(IoTDAAsyncClient, url, concurrency)

    async def delete_all(calls: int) -> int:
        outstanding: deque[Any] = deque()
        done = 0

        def take() -> bool:
            return bool(outstanding.popleft().result().status_code == 204)

        for id_ in subscription_ids(calls):
            if len(outstanding) == concurrency:
                done += take()
            outstanding.append(client.delete_ota_package_async(DeleteOtaPackageRequest(package_id=id_)))
        while outstanding:
            done += take()
        return done

    yield delete_all


@attrs.frozen
class Contender:
    """How a client takes part."""

    open: Callable[[str, int], AbstractAsyncContextManager[Client]]
    calls: int
    """Calls in one of its rounds."""
    every: int = 1
    """It takes part in one of this many rounds."""
    on_any_loop: bool = True
    """Whether it uses the event loop, and so runs under uvloop too."""


OURS = "aionorth"
BARE = "aiohttp"
VENDORS = ("vendor's SDK", "vendor's SDK, async")

CONTENDERS = {
    OURS: Contender(with_aionorth, 400),
    BARE: Contender(with_aiohttp, 400),
    "httpx": Contender(with_httpx, 100, every=9),
    VENDORS[0]: Contender(with_vendor, 150, every=9, on_any_loop=False),
    VENDORS[1]: Contender(with_vendors_async, 150, every=9, on_any_loop=False),
}


# --- The server's own rate


def server_rate(server: LightServer, concurrency: int, calls: int = 20_000) -> float:
    """Return the calls a second of plain sockets with one request outstanding on each; blocks the event loop."""
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
    """What one round of one client cost, per call."""

    seconds: float
    cpu: float
    """CPU seconds of the client's process."""


async def cost(client: Client, server: LightServer, calls: int) -> Cost:
    """Run one round, and check that client and server agree on the number of calls."""
    before = server.answered()
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    reported = await client(calls)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    answered = server.answered() - before
    if not reported == answered == calls:
        raise PremiseError(f"of {calls} calls the client reported {reported}, and the server answered {answered}")
    return Cost(wall / calls, cpu / calls)


async def rounds(
    server: LightServer, concurrency: int, contenders: Mapping[str, Contender], number: int
) -> list[dict[str, Cost]]:
    """Let the contenders take turns; return the costs of each round."""
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(contender.open(server.url, concurrency))
            for name, contender in contenders.items()
        }
        for name, contender in contenders.items():  # warms up
            await cost(clients[name], server, contender.calls)
        return [
            {
                name: await cost(clients[name], server, contenders[name].calls)
                for name in order
                if count % contenders[name].every == 0
            }
            for count, order in enumerate(turns(list(contenders), number))
        ]


# --- The tables


def main(arguments: Sequence[str], record: Record) -> None:
    """Measure, print and check the bars."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks throughput")
    parser.add_argument(
        "--rounds", type=at_least_one, default=ROUNDS, help="rounds of each kind (default: %(default)s)"
    )
    number: int = parser.parse_args(arguments).rounds
    found: dict[tuple[str, int], list[dict[str, Cost]]] = {}
    with light_server() as server:
        server_rates = {concurrency: server_rate(server, concurrency) for concurrency in CONCURRENCIES}
        record.samples["server"] = server_rates
        for loop, factory in LOOPS.items():
            contenders = {name: each for name, each in CONTENDERS.items() if each.on_any_loop or loop == "asyncio"}
            for concurrency in CONCURRENCIES:
                with asyncio.Runner(loop_factory=factory) as runner:
                    count = min(number, ROUNDS_OF_ONE) if concurrency == 1 else number
                    of_all = runner.run(rounds(server, concurrency, contenders, count))
                found[loop, concurrency] = of_all
                _table(record, f"{loop}, concurrency {concurrency}", of_all)
                check_server(server_rates[concurrency], of_all, concurrency)
    print()
    for (loop, concurrency), of_all in found.items():
        if concurrency in WITH_BAR:
            check(record, f"{loop}, concurrency {concurrency}", of_all)
    _draw(record, found)


def _table(record: Record, where: str, of_all: Sequence[Mapping[str, Cost]]) -> None:
    table = record.table(
        f"{where}: {len(of_all)} rounds, medians (minimum to maximum); ratios to aiohttp within a round",
        ["client", *(f"{header:>24}" for header in ("calls/s", "ratio of calls/s", "CPU µs", "ratio of CPU"))],
        least_width=20,
    )
    for name in CONTENDERS:
        costs = [(each[name], each[BARE]) for each in of_all if name in each]
        if costs:
            table.row(
                name,
                f"{Spread.of(1 / own.seconds for own, _ in costs):.0f}",
                f"{Spread.of(bare.seconds / own.seconds for own, bare in costs):.3f}",
                f"{Spread.of(own.cpu * 1e6 for own, _ in costs):.0f}",
                f"{Spread.of(own.cpu / bare.cpu for own, bare in costs):.3f}",
            )
            record.samples[f"{where}, {name}"] = [(own.seconds, own.cpu) for own, _ in costs]


def check_server(rate: float, of_all: Sequence[Mapping[str, Cost]], concurrency: int) -> None:
    """Raise `PremiseError` if a server with so many calls a second may have slowed a client down."""
    names = {name for each in of_all for name in each}
    fastest = max(1 / Spread.of(each[name].seconds for each in of_all if name in each).median for name in names)
    if rate < SERVER_MARGIN * fastest:
        raise PremiseError(
            f"at concurrency {concurrency} the server does {rate:.0f} calls a second and a client {fastest:.0f}: "
            f"the server must be {SERVER_MARGIN:g} times as fast"
        )


def check(record: Record, where: str, of_all: Sequence[Mapping[str, Cost]]) -> None:
    """Check the bars of the rounds of one kind."""
    rate = Spread.of(each[BARE].seconds / each[OURS].seconds for each in of_all).median
    bar = f"{where}: {rate:.3f} of bare aiohttp's calls a second, at least {MIN_RATIO:g}"
    record.check(bar, met=rate >= MIN_RATIO)
    cpu = Spread.of(each[OURS].cpu / each[BARE].cpu for each in of_all).median
    record.check(f"{where}: {cpu:.3f} of bare aiohttp's CPU a call, at most {MAX_CPU:g}", met=cpu <= MAX_CPU)
    with_vendors = [each for each in of_all if VENDORS[0] in each]
    if with_vendors:
        times = Spread.of(min(each[name].seconds for name in VENDORS) / each[OURS].seconds for each in with_vendors)
        bar = f"{where}: {times.median:.1f} times the calls a second of the faster of the vendor's clients"
        record.check(f"{bar}, at least {MIN_OF_VENDOR:g}", met=times.median >= MIN_OF_VENDOR)


def _draw(record: Record, found: Mapping[tuple[str, int], Sequence[Mapping[str, Cost]]]) -> None:
    panels = {
        f"{concurrency} in flight": {
            (name if loop == "asyncio" else f"{name}, {loop}"): Spread.of(
                each[name].cpu * 1e6 for each in of_all if name in each
            ).median
            for (loop, of), of_all in found.items()
            if of == concurrency
            for name in CONTENDERS
            if any(name in each for each in of_all)
        }
        for concurrency in CONCURRENCIES
    }
    svg = pictures.bars(panels, ours=OURS, label="CPU µs per call")
    record.draw("cpu", "CPU time per call, without flow control; medians", svg)
