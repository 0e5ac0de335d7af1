"""One run of the memory benchmark, in a process of its own: `python -m benchmarks.memory_run CLIENT IDS WORKERS [URL]`.

Without a URL aiohttp's part is cut out: a request is answered ``204`` after one pass of the event loop.
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

    def release(self) -> None: ...


async def _answered_at_once(*_: object, **__: object) -> _NoContent:
    """Stand in for `aiohttp.ClientSession.request`, as far as a client looks at what comes back."""
    await asyncio.sleep(0)
    return _NoContent()


async def _drawn(count: int) -> AsyncIterator[str]:
    """Ids from an async generator, as a database cursor would be."""
    for id_ in subscription_ids(count):
        yield id_


class Slices:
    """The CPU seconds of a run, slice by slice, and of bare workers that made as many requests just before each.

    The machine is now fast and now slow, for seconds on end: only what was taken side by side can be compared.
    """

    def __init__(self, url: str, count: int, workers: int) -> None:
        self._url = url
        self._count = count
        self._workers = workers
        self._began = 0.0
        self.run: list[float] = []
        self.bare: list[float] = []

    async def ids(self) -> AsyncIterator[str]:
        """The ids of the run; bare workers are at work each time before a slice of them."""
        for number, id_ in enumerate(subscription_ids(self._count)):
            if number % SLICE == 0:
                await self._compare(min(SLICE, self._count - number))
            yield id_

    async def _compare(self, count: int) -> None:
        self._look(self.run)
        if (done := await with_workers(self._url, count, self._workers)) != count:
            raise PremiseError(f"bare workers were to make {count:,} calls and made {done:,}")
        self._look(self.bare)

    def _look(self, spent_on: list[float]) -> None:
        spent = time.process_time()
        spent_on.append(spent - self._began)
        self._began = spent

    def begin(self) -> None:
        """Begin with the run."""
        self._began = time.process_time()

    def end(self) -> None:
        """Take the last slice in; what came before the first id is part of the first."""
        self._look(self.run)
        before = self.run.pop(0)
        self.run[0] += before


async def with_aionorth(url: str, ids: AsyncIterator[str], workers: int) -> int:
    """Delete the ids, keeping the failures; returns how many are deleted."""
    async with NorthSession(url, app_id=APP, token=TOKEN, flow_control=NEVER_BINDS) as north:
        summary = await north.delete_subscriptions(ids, workers=workers, collect="failures")
    summary.raise_for_failures()
    return summary.deleted


async def _request(http: aiohttp.ClientSession, base: URL, id_: str) -> bool:
    url = base.with_path(f"{SUBSCRIPTIONS.path}/{quote(id_, safe='')}", encoded=True)
    return (await http.request("DELETE", url, headers=dict(HEADERS))).status == _NoContent.status


async def with_workers(url: str, count: int, workers: int) -> int:
    """As many workers that draw as many ids, make the same requests, and do nothing else: a run without the library."""
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
    """A task for each id, gathered, as many at work at once as there are workers."""
    semaphore = asyncio.Semaphore(workers)
    base = URL(url)

    async def delete(id_: str) -> bool:
        async with semaphore:
            return await _request(http, base, id_)

    async with aiohttp.ClientSession() as http:
        return sum(await asyncio.gather(*(delete(id_) for id_ in subscription_ids(count))))


WARM_UP = 500
"""Ids of a run before the one that is measured."""


async def _aionorth(count: int, workers: int) -> None:
    slices = Slices(NOWHERE, count, workers)
    await with_aionorth(NOWHERE, _drawn(WARM_UP), workers)
    slices.begin()
    deleted = await with_aionorth(NOWHERE, slices.ids(), workers)
    slices.end()
    _tell(deleted, run=slices.run, bare=slices.bare)


async def _gather(count: int, workers: int) -> None:
    _tell(await with_gather(NOWHERE, count, workers))


async def _real(url: str, count: int, workers: int) -> None:
    _tell(await with_aionorth(url, _drawn(count), workers))


def _tell(deleted: int, **slices: list[float]) -> None:
    print(json.dumps({"deleted": deleted, "peak": peak(), **slices}))


NOWHERE = "http://127.0.0.1"


def main(name: str, count: str, workers: str, url: str | None = None) -> None:
    """Run one client and print what it took."""
    if url is not None:
        asyncio.run(_real(url, int(count), int(workers)))
        return
    client = {"aionorth": _aionorth, "gather": _gather}[name]
    with mock.patch.object(aiohttp.ClientSession, "request", _answered_at_once):
        asyncio.run(client(int(count), int(workers)))


if __name__ == "__main__":
    main(*sys.argv[1:])
