"""One run of the memory benchmark, in a process of its own: `python -m benchmarks.memory_run CLIENT IDS WORKERS [URL]`.

Without a URL aiohttp's part is cut out: a request is answered ``204`` after one pass of the event loop.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from unittest import mock

import aiohttp

from aionorth import FlowControl, NorthSession
from benchmarks.memory import peak
from benchmarks.unthrottled import APP, TOKEN, subscription_ids

NEVER_BINDS = FlowControl(calls=100_000, period=0.1)
"""As many calls a second as elsewhere, but of a short period: its window holds the calls of one, and grows with how
fast they are, which is not what is measured."""


class _NoBody:
    @staticmethod
    def at_eof() -> bool:
        return True


class _NoContent:
    status = 204
    content = _NoBody()


async def _answered_at_once(*_: object, **__: object) -> _NoContent:
    """Stand in for `aiohttp.ClientSession.request`, as far as a client looks at what comes back."""
    await asyncio.sleep(0)
    return _NoContent()


async def _drawn(count: int) -> AsyncIterator[str]:
    """Ids from an async generator, as a database cursor would be."""
    for id_ in subscription_ids(count):
        yield id_


async def with_aionorth(url: str, count: int, workers: int) -> int:
    """Delete so many ids, keeping the failures; returns how many are deleted."""
    async with NorthSession(url, app_id=APP, token=TOKEN, flow_control=NEVER_BINDS) as north:
        summary = await north.delete_subscriptions(_drawn(count), workers=workers, collect="failures")
    summary.raise_for_failures()
    return summary.deleted


async def _request(http: aiohttp.ClientSession, url: str) -> bool:
    return (await http.request("DELETE", url)).status == _NoContent.status


async def with_workers(url: str, count: int, workers: int) -> int:
    """As many workers that do nothing but make requests, each the same: what is left of a run without the library."""

    async def work() -> int:
        done = 0
        for _ in ids:
            done += await _request(http, url)
        return done

    async with aiohttp.ClientSession() as http:
        ids = subscription_ids(count)
        return sum(await asyncio.gather(*(work() for _ in range(workers))))


async def with_gather(url: str, count: int, workers: int) -> int:
    """A task for each id, gathered, as many at work at once as there are workers."""
    semaphore = asyncio.Semaphore(workers)

    async def delete(id_: str) -> bool:
        async with semaphore:
            return await _request(http, f"{url}/{id_}")

    async with aiohttp.ClientSession() as http:
        return sum(await asyncio.gather(*(delete(id_) for id_ in subscription_ids(count))))


WARM_UP = 500
"""Ids of a run before the one that is measured."""

Client = Callable[[str, int, int], Awaitable[int]]
"""Makes so many calls to a URL by so many workers; returns how many were answered well."""

CLIENTS: dict[str, Client] = {
    "aionorth": with_aionorth,
    "workers": with_workers,
    "gather": with_gather,
}


async def _timed(client: Client, url: str, count: int, workers: int, *, warm_up: int) -> None:
    await client(url, warm_up, workers)
    began, spent = time.perf_counter(), time.process_time()
    deleted = await client(url, count, workers)
    seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    print(json.dumps({"peak": peak(), "seconds": seconds, "cpu": cpu, "deleted": deleted}))


def main(name: str, count: str, workers: str, url: str | None = None) -> None:
    """Run one client and print what it took."""
    with mock.patch.object(aiohttp.ClientSession, "request", _answered_at_once if url is None else _REQUEST):
        warm_up = WARM_UP if url is None else 0  # a server would count it
        asyncio.run(_timed(CLIENTS[name], url or "http://127.0.0.1", int(count), int(workers), warm_up=warm_up))


_REQUEST = aiohttp.ClientSession.request

if __name__ == "__main__":
    main(*sys.argv[1:])
