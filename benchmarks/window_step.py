"""What one step of the window costs, in each store, at limits from the platform's default to a thousand times that.

A window is nine tenths full of calls that ended at any time within the period. A step asks for a slot or gives it back
unused, so that the window stays as full as it is.

What could mislead: CPU time is this process's own. That of a Redis server is not in it, and neither is the waiting for
its answers. Whatever else the machine does is in SQLite's share, which works in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from aionorth import MachineStore, RedisStore
from aionorth.flow.local import LocalWindow
from aionorth.flow.settings import Limits
from aionorth.flow.shared import exchange
from aionorth.flow.window import Acquire, Ending, Permit, Release, Window
from aionorth.stores.base import Store, Stores
from benchmarks.harness import PremiseError, Record, Spread
from benchmarks.shared import redis_server

LIMITS = (100, 6_000, 60_000)
STEPS: Mapping[str, int] = {"memory": 2_000, "SQLite": 300, "Redis": 300}
ROUNDS = 5
PERIOD = 3600.0
"""Seconds. So long that no slot comes free while steps are made."""
GREATEST_GROWTH = 2.0
"""The bar: how many times the cost at the smallest limit another one's may be."""


def limits_of(limit: int) -> Limits:
    """Return limits of so many calls in a period."""
    return Limits(limit=limit, period=PERIOD, gap=0.0, timeout=30.0, pause=lambda _: 1.0)


def filled(limit: int, now: float) -> Window:
    """Return a window that is nine tenths full."""
    window, calls = Window(at=now), limit * 9 // 10
    ended = [
        Release(permit=Permit(0, str(number)), ending=Ending.ACCEPTED, counted=now - PERIOD * 0.9 * number / calls)
        for number in range(calls)
    ]
    window.step(now, limits_of(limit), ended)
    return window


async def in_memory(limit: int, steps: int) -> float:
    """Return the CPU seconds of a step in memory."""
    loop = asyncio.get_running_loop()
    place = LocalWindow(limits_of(limit), filled(limit, loop.time()))

    async def pair() -> None:
        permit = await place.acquire()
        if not isinstance(permit, Permit):
            raise PremiseError(f"no slot was free in a window that is nine tenths full: {permit} s to wait")
        place.release(permit, Ending.UNSENT, loop.time(), 0.0)

    return await _timed(pair, steps)


async def in_store(store: Store, limit: int, steps: int) -> float:
    """Return the CPU seconds of a step in a store."""
    loop = asyncio.get_running_loop()
    snapshot = await store.read(clock_error=0.1)
    await store.replace(snapshot, filled(limit, snapshot.now).to_json(), keep=0.0)
    limits = limits_of(limit)

    async def pair() -> None:
        response = await exchange(store, limits, acquire=Acquire(process="one", key="one"), now=loop.time())
        if response.wait:
            raise PremiseError(f"no slot was free in a window that is nine tenths full: {response.wait} s to wait")
        unused = Release(permit=Permit(response.episode, "one"), ending=Ending.UNSENT, counted=loop.time())
        await exchange(store, limits, [unused], now=loop.time())

    return await _timed(pair, steps)


async def _timed(pair: Callable[[], Awaitable[None]], steps: int) -> float:
    await pair()
    began = time.process_time()
    for _ in range(steps // 2):
        await pair()
    return (time.process_time() - began) / (steps // 2 * 2)


async def measure(directory: str, redis: str) -> dict[str, dict[int, list[float]]]:
    """Return the CPU microseconds of a step, by store and limit, one figure a round."""
    samples = {name: {limit: list[float]() for limit in LIMITS} for name in STEPS}
    stores: dict[str, Stores] = {"SQLite": MachineStore(Path(directory, "flow")), "Redis": RedisStore(redis)}
    for number in range(ROUNDS):
        for limit in LIMITS:
            samples["memory"][limit].append(await in_memory(limit, STEPS["memory"]) * 1e6)
            for name, stores_of_apps in stores.items():
                store = await stores_of_apps.open(f"app{limit}-{number}")
                try:
                    samples[name][limit].append(await in_store(store, limit, STEPS[name]) * 1e6)
                finally:
                    await store.close()
    return samples


def table(record: Record) -> None:
    """Measure, print and hold against the bar."""
    with TemporaryDirectory() as directory, redis_server(directory) as redis:
        samples = asyncio.run(measure(directory, redis))
    record.samples["window step"] = {
        name: {str(limit): of_limit for limit, of_limit in by_limit.items()} for name, by_limit in samples.items()
    }
    rows = record.table(
        f"one step of the window: CPU µs, median of {ROUNDS} rounds (least to most)",
        ["store", *(f"{f'limit {limit:,}':>24}" for limit in LIMITS)],
        least_width=8,
    )
    for name, by_limit in samples.items():
        rows.row(name, *(f"{Spread.of(by_limit[limit]):.1f}" for limit in LIMITS))
    for name, by_limit in samples.items():
        medians = [Spread.of(by_limit[limit]).median for limit in LIMITS]
        growth = max(medians) / min(medians)
        record.check(
            f"window step, {name}: at most {growth:.2f} times as dear at one limit as at another, allowed "
            f"{GREATEST_GROWTH:g}",
            met=growth <= GREATEST_GROWTH,
        )
