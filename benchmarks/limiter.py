"""What an acquisition costs, free and contended, and how that grows with those who want one.

*Free*: so many workers take and give back slots that are never short. *Contended*: so many waiters come at once for
slots of which there are `CALLS` in a period, and each takes one; time is virtual, so that their waiting takes none, and
what is measured is CPU time alone: of everything that happens until the last has had its slot. Beside aionorth's flow
control: `aiolimiter.AsyncLimiter`, which it is built on, and pyrate-limiter, on its own clock where nothing waits.

What could mislead:

* They do not do the same. aionorth's slots are held until a period after they were given back, its queue is served
  first come, first served, and it learns from refusals. An `AsyncLimiter` forgets whom it has let through.
* With pyrate-limiter every waiter wakes up whenever a slot comes free, and all but one go back to sleep. Where there
  are so many that this outlasts anybody's patience it is left out, and the table has a dash.
* A task costs something itself. What as many tasks cost that take no slot is measured in every round, and taken off.
* Virtual time costs something itself: a pass of the event loop for each moment at which something is due. All pay it.
* Nothing of HTTP is in these figures. A call takes some hundred µs.

What one step of the window costs by the limit and the store is measured beside it, in `benchmarks.window_step`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
import pyrate_limiter
from aiolimiter import AsyncLimiter

from aionorth import FlowControl
from aionorth.common.waits import growing_waits
from aionorth.flow.limiter import Limiter
from aionorth.flow.window import Ending
from aionorth.simulator.virtual_time import VirtualTimeLoop
from benchmarks import pictures, window_step
from benchmarks.harness import PremiseError, Record, Spread, at_least_one, turns
from benchmarks.rivals import Pyrate

CALLS = 100
PERIOD = 1.0
"""The contended limit."""
PLENTY = 10_000_000
"""The free limit, in a period: never reached."""

ROUNDS: Mapping[int, int] = {1: 5, 1_000: 5, 10_000: 3, 100_000: 1}
"""How many rounds are measured with how many workers or waiters."""
LEAST = 20_000
"""Acquisitions in a free round, by all workers together, at least; a contended one has a tenth of them at least, where
that does not take too many runs."""
LEAST_EACH = 10
"""Acquisitions of each worker in a free round at least, lest the cost of its task hide theirs."""
MOST_TIMES = 50
"""How often a contended run of few is repeated in a round at most."""
FLATTEST = 2.0
"""The bar: how many times the cost for the fewest aionorth's for the most may be, free and contended."""

Acquire = Callable[[], Awaitable[object]]
"""Takes a slot and gives it back."""


def ours(calls: int, period: float) -> Acquire:
    """The library's flow control, as a call passes it; all that these benchmarks know of how it is made."""
    flow = Limiter(FlowControl(calls=calls, period=period), growing_waits)

    async def acquire() -> None:
        permit = await flow.acquire()
        flow.release(permit, Ending.UNCONFIRMED)

    return acquire


def aiolimiters(calls: int, period: float) -> Acquire:
    """An `AsyncLimiter`."""
    return AsyncLimiter(calls, period).acquire


def pyrates(calls: int, period: float) -> Acquire:
    """pyrate-limiter with its bucket in memory, as its documentation begins."""
    return pyrate_limiter.Limiter(pyrate_limiter.Rate(calls, int(period * 1000))).try_acquire_async


def pyrates_in_virtual_time(calls: int, period: float) -> Acquire:
    """The same on the loop's clock."""
    return Pyrate(calls, period).acquire


@attrs.frozen
class Kind:
    """One limiter."""

    free: Callable[[int, float], Acquire]
    contended: Callable[[int, float], Acquire]
    most: int = max(ROUNDS)
    """The most waiters that it is measured with."""


OURS = "aionorth"
KINDS = {
    OURS: Kind(ours, ours),
    "aiolimiter": Kind(aiolimiters, aiolimiters),
    "pyrate-limiter": Kind(pyrates, pyrates_in_virtual_time, most=10_000),
}


async def _free(limiter: Callable[[int, float], Acquire], workers: int, each: int) -> float:
    """CPU seconds of a worker that takes `each` slots, of which there are plenty."""
    acquire = limiter(PLENTY, PERIOD)

    async def work() -> None:
        for _ in range(each):
            await acquire()

    return await _timed(work, workers)


async def _contended(limiter: Callable[[int, float], Acquire], waiters: int) -> float:
    """CPU seconds of each of so many waiters, who take a slot each."""
    loop = asyncio.get_running_loop()
    acquire = limiter(CALLS, PERIOD)
    began = loop.time()
    spent = await _timed(acquire, waiters)
    least = (waiters // CALLS - 2) * PERIOD  # an AsyncLimiter gives two periods' slots in its first
    if loop.time() - began < least:
        raise PremiseError(f"{waiters:,} waiters were through after {loop.time() - began:g} s, which is no limit")
    return spent


async def _timed(work: Callable[[], Awaitable[object]], count: int) -> float:
    """CPU seconds of each of `count` tasks that do `work` at once."""
    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(_as_coroutine(work))
    return (time.process_time() - began) / count


async def _as_coroutine(work: Callable[[], Awaitable[object]]) -> None:
    await work()


async def _for_nothing(count: int) -> float:
    """CPU seconds of each of as many tasks, which take none."""

    async def nothing() -> None:
        pass

    return await _timed(nothing, count)


def measure(kind: Kind, count: int, *, contended: bool) -> float:
    """CPU seconds of an acquisition by one of `count`, less what the tasks cost themselves."""
    gc.collect()
    if contended:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            times = max(1, min(LEAST // 10 // count, MOST_TIMES))
            spent = sum(runner.run(_contended(kind.contended, count)) for _ in range(times))
            return (spent - sum(runner.run(_for_nothing(count)) for _ in range(times))) / times
    with asyncio.Runner() as runner:
        each = max(LEAST_EACH, LEAST // count)
        return (runner.run(_free(kind.free, count, each)) - runner.run(_for_nothing(count))) / each


def main(arguments: Sequence[str], record: Record) -> None:
    """Measure, print and hold against the bars."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks limiter")
    parser.add_argument(
        "--most", type=at_least_one, default=max(ROUNDS), help="workers or waiters (default: %(default)s)"
    )
    most: int = parser.parse_args(arguments).most
    if most < (least := sorted(ROUNDS)[2]):
        parser.error(f"--most must be {least:,} or more: else there is no growth to see")
    medians = {
        name: _table(record, name, most, contended=contended)
        for name, contended in (("free", False), ("contended", True))
    }
    print()
    for name, by_kind in medians.items():
        check(record, name, by_kind[OURS])
    window_step.table(record)
    svg = pictures.lines(medians, ours=OURS, x_label="workers or waiters", y_label="CPU µs per acquisition")
    record.draw("growth", "What an acquisition costs, by how many want one; medians", svg)


def check(record: Record, name: str, medians: Mapping[int, float]) -> None:
    """Hold the cost by number of workers against the bar that it does not grow."""
    few, *_, many = sorted(medians)[1:]  # a single one waits for nobody, and bears alone what is done once
    growth = medians[many] / medians[few]
    told = f"{name}: {growth:.2f} times as dear for {many:,} as for {few:,}, at most {FLATTEST:g}"
    record.check(told, met=growth <= FLATTEST)


def _table(record: Record, name: str, most: int, *, contended: bool) -> dict[str, dict[int, float]]:
    """Print what comes of all kinds; returns the medians in µs."""
    table = record.table(
        f"{name}: CPU µs per acquisition, median (least to most)",
        ["waiters" if contended else "workers", "rounds", *(f"{kind:>24}" for kind in KINDS)],
        least_width=8,
    )
    medians: dict[str, dict[int, float]] = {kind: {} for kind in KINDS}
    for count, rounds in ROUNDS.items():
        if count > most:
            continue
        taking_part = [kind for kind, each in KINDS.items() if count <= each.most]
        samples: dict[str, list[float]] = {kind: [] for kind in taking_part}
        for order in turns(taking_part, rounds):
            for kind in order:
                samples[kind].append(measure(KINDS[kind], count, contended=contended) * 1e6)
        record.samples[f"{name}, {count}"] = samples
        for kind in taking_part:
            medians[kind][count] = Spread.of(samples[kind]).median
        told = (f"{Spread.of(samples[kind]):.1f}" if kind in samples else "-" for kind in KINDS)
        table.row(f"{count:,}", str(rounds), *told)
    return medians
