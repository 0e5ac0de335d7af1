"""One run of the memory benchmark, in a process of its own: `python -m benchmarks.memory_run CLIENT IDS WORKERS [URL]`.

Without a URL it runs without aiohttp's part: a request is answered ``204`` after one pass of the event loop.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from unittest import mock
from urllib.parse import quote

import aiohttp
from yarl import URL

from aionorth import FlowControl, NorthSession
from aionorth.wire.resources import SUBSCRIPTIONS
from benchmarks.harness import PremiseError
from benchmarks.memory import SLICE, peak
from benchmarks.unthrottled import APP, HEADERS, TOKEN, subscription_ids

SHORT_WINDOW = FlowControl(calls=100_000, period=0.1)
"""As many calls a second as in other benchmarks, but with a short period. The window holds the calls of one period, and
its memory is not what is measured."""


class _NoContent:
    status = 204

    def release(self) -> None: ...


async def _answered_at_once(*_: object, **__: object) -> _NoContent:
    """Replace `aiohttp.ClientSession.request`, as far as a client uses its result."""
    await asyncio.sleep(0)
    return _NoContent()


async def _drawn(count: int) -> AsyncIterator[str]:
    """Yield ids from an async generator, like a database cursor."""
    for id_ in subscription_ids(count):
        yield id_


class Slices:
    """Measures the CPU seconds of a run slice by slice, and of bare workers with the same requests before each slice.

    A machine can be slow for seconds at a time, so only measurements next to each other can be compared. Mutable: these
    measurements, and when the current one began.
    """

    def __init__(self, url: str, count: int, workers: int) -> None:
        self._url = url
        self._count = count
        self._workers = workers
        self._began = 0.0
        self.run: list[float] = []
        self.bare: list[float] = []

    async def ids(self) -> AsyncIterator[str]:
        """Yield the ids of the run; before each slice of them the bare workers run."""
        for number, id_ in enumerate(subscription_ids(self._count)):
            if number % SLICE == 0:
                await self._compare(min(SLICE, self._count - number))
            yield id_

    async def _compare(self, count: int) -> None:
        self._measure(self.run)
        if (done := await with_workers(self._url, count, self._workers)) != count:
            raise PremiseError(f"the bare workers should make {count:,} calls and made {done:,}")
        self._measure(self.bare)

    def _measure(self, spent_on: list[float]) -> None:
        spent = time.process_time()
        spent_on.append(spent - self._began)
        self._began = spent

    def begin(self) -> None:
        """Start the clock."""
        self._began = time.process_time()

    def end(self) -> None:
        """Stop the clock; the time before the first id is part of the first slice."""
        self._measure(self.run)
        before = self.run.pop(0)
        self.run[0] += before


async def with_aionorth(url: str, ids: AsyncIterator[str], workers: int) -> int:
    """Delete the ids, keeping only failures; return how many were deleted."""
    async with NorthSession(url, app_id=APP, token=TOKEN, flow_control=SHORT_WINDOW) as north:
        summary = await north.delete_subscriptions(ids, workers=workers, collect="failures")
    summary.raise_for_failures()
    return summary.deleted


async def _request(http: aiohttp.ClientSession, base: URL, id_: str) -> bool:
    url = base.with_path(f"{SUBSCRIPTIONS.path}/{quote(id_, safe='')}", encoded=True)
    return (await http.request("DELETE", url, headers=dict(HEADERS))).status == _NoContent.status


async def with_workers(url: str, count: int, workers: int) -> int:
    """Make the same requests with as many workers that do nothing else; return how many succeeded."""
    base = URL(url)

    async def work() -> int:
        done = 0
        async for id_ in ids:
            done += await _request(http, base, id_)
        return done

    async with aiohttp.ClientSession() as http:
        ids = _drawn(count)
        return sum(await asyncio.gather(*(work() for _ in range(workers))))


async def with_gather(url: str, count: int, workers: int) -> int:
    """Make them with a task for each id, gathered, `workers` at a time; return how many succeeded."""
    semaphore = asyncio.Semaphore(workers)
    base = URL(url)

    async def delete(id_: str) -> bool:
        async with semaphore:
            return await _request(http, base, id_)

    async with aiohttp.ClientSession() as http:
        return sum(await asyncio.gather(*(delete(id_) for id_ in subscription_ids(count))))


WARM_UP = 500
"""Ids of the run before the measured one."""


async def _aionorth(count: int, workers: int) -> None:
    slices = Slices(NOWHERE, count, workers)
    await with_aionorth(NOWHERE, _drawn(WARM_UP), workers)
    slices.begin()
    deleted = await with_aionorth(NOWHERE, slices.ids(), workers)
    slices.end()
    _report(deleted, run=slices.run, bare=slices.bare)


async def _gather(count: int, workers: int) -> None:
    _report(await with_gather(NOWHERE, count, workers))


async def _real(url: str, count: int, workers: int) -> None:
    _report(await with_aionorth(url, _drawn(count), workers))


def _report(deleted: int, **slices: list[float]) -> None:
    print(json.dumps({"deleted": deleted, "peak": peak(), **slices}))


NOWHERE = "http://127.0.0.1"


def main(name: str, count: str, workers: str, url: str | None = None) -> None:
    """Run one client and print what it used."""
    if url is not None:
        asyncio.run(_real(url, int(count), int(workers)))
        return
    client = {"aionorth": _aionorth, "gather": _gather}[name]
    with mock.patch.object(aiohttp.ClientSession, "request", _answered_at_once):
        asyncio.run(client(int(count), int(workers)))


if __name__ == "__main__":
    main(*sys.argv[1:])
