"""How close aionorth comes to the fastest schedule, and whether the platform ever refuses it.

1,000 subscriptions are deleted, from a platform that lets through 100 calls in 60 s and counts them in one of five
ways. Time is virtual, sockets and HTTP are real. Beside aionorth runs what one would write by hand: aiohttp,
`AsyncLimiter(100, 60)` and `backoff` around each call.

What could mislead:

* Refusals are read from the platform's log: a client that hides them gains nothing.
* The lower bound holds for a client that does not know how the platform counts, and so keeps within every closed
  window of 60 s. Who knew that the platform counts by clock minutes, and when they begin, could spend two minutes'
  calls in one instant and be done up to a minute earlier.
* Every run begins at another point of the clock minute, drawn from its seed.
* Latency is the platform's only chance. Losses and other callers of the same app are not measured here.
* The clock does not advance while code runs: the CPU time of either client is not in these figures.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence

import aiohttp
import attrs
import backoff
from aiolimiter import AsyncLimiter

from aionorth import FlowControl, NorthSession
from aionorth.bulk import WORKERS
from aionorth.simulator import MODELS, Simulator
from aionorth.simulator.virtual_time import VirtualTimeLoop
from benchmarks.harness import PremiseError, Spread, Table, Verdict

CALLS = 1_000
THRESHOLD = 100
PERIOD = 60.0
SEEDS = (1, 2, 3)

LONGEST = 555.0
"""The bar: virtual seconds that aionorth may take where its lower bound is 540 s."""

WITHOUT_BAR = frozenset({"counter"})
"""A platform that estimates its window from two minutes' counts refuses even clients that keep to the threshold."""

POOLS = (1, 2, 4, 8, 16, 32, 64, 100)
"""The numbers of workers compared: more than the threshold cannot be in flight."""

APP = "demo-app"
PATH = "/iocm/app/sub/v1.2.0/subscriptions/"


def lower_bound(calls: int) -> float:
    """Seconds below which no client can be that keeps to the threshold in every closed window of one period.

    The first of each `THRESHOLD` calls is a period after the first of those before: of 1,000 calls at 100 in 60 s the
    last hundred begins 9 periods after the first, at 540 s. Round trips are not in it.
    """
    return (calls - 1) // THRESHOLD * PERIOD


# --- The clients

Client = Callable[[Simulator, Sequence[str], int], Awaitable[None]]
"""Deletes all the subscriptions named, with so many workers."""


async def with_aionorth(platform: Simulator, ids: Sequence[str], workers: int) -> None:
    """Delete with aionorth, a token given: exactly one call per id is needed."""
    settings = FlowControl(calls=THRESHOLD, period=PERIOD)
    async with NorthSession(platform.url, app_id=APP, token=platform.issue_token(), flow_control=settings) as north:
        (await north.delete_subscriptions(ids, workers=workers)).raise_for_failures()


class _RefusedError(Exception):
    """The platform refused the call: 1010009."""


async def with_limiter_alone(platform: Simulator, ids: Sequence[str], workers: int) -> None:
    """Delete as written by hand: each attempt passes the limiter, each refusal is backed off from, with full jitter."""
    limiter = AsyncLimiter(THRESHOLD, PERIOD)
    headers = {"app_key": APP, "Authorization": f"Bearer {platform.issue_token()}"}

    async with aiohttp.ClientSession(platform.url, headers=headers) as http:

        @backoff.on_exception(backoff.expo, _RefusedError, jitter=backoff.full_jitter, max_value=PERIOD)
        async def delete(id_: str) -> None:
            async with limiter, http.delete(PATH + id_) as response:
                await response.read()
                if response.status == 403:
                    raise _RefusedError
                response.raise_for_status()

        async def work(queue: Iterator[str]) -> None:
            for id_ in queue:
                await delete(id_)

        queue = iter(ids)
        await asyncio.gather(*(work(queue) for _ in range(workers)))


# --- One run


@attrs.frozen
class Run:
    """What came of one run."""

    seconds: float
    """Virtual seconds from before the client's first call until after its last reply."""
    refusals: int
    """Calls that the platform refused for flow control, by its own log."""
    calls: int
    """Calls to delete that reached the platform."""


def slow_at_times(rng: random.Random) -> tuple[float, float]:
    """Draw a call's latency: 20 ms there and back, for one call in ten up to 4 s; it is counted anywhere on the way."""
    trip = rng.uniform(0.02, 4.0) if rng.random() < 0.1 else 0.02
    part = rng.random()
    return trip * part, trip * (1 - part)


async def _measured(client: Client, model: str, seed: int, calls: int, workers: int) -> Run:
    random.seed(seed)  # backoff draws its jitter from there, for both clients
    loop = asyncio.get_running_loop()
    async with Simulator(model=model, calls=THRESHOLD, period=PERIOD, latency=slow_at_times, seed=seed) as platform:
        await asyncio.sleep(random.uniform(0, PERIOD))
        ids = platform.add_subscriptions(calls)
        began = loop.time()
        await client(platform, ids, workers)
        seconds = loop.time() - began
        if left := platform.subscription_ids():
            raise PremiseError(f"the client says it is done, and the platform still has {len(left)} subscriptions")
        deletes = [arrival for arrival in platform.arrivals if arrival.method == "DELETE"]
        return Run(seconds, sum(arrival.refused for arrival in deletes), len(deletes))


def measure(client: Client, model: str, seed: int, *, calls: int = CALLS, workers: int = WORKERS) -> Run:
    """Let `client` delete so many subscriptions from a platform that counts by `model`, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_measured(client, model, seed, calls, workers))


def check(verdict: Verdict, model: str, runs: Sequence[Run], *, calls: int = CALLS, longest: float = LONGEST) -> None:
    """Hold the runs against a platform that counts by `model` to the bars: no refusal, no detour, and in time."""
    refusals = sum(run.refusals for run in runs)
    verdict.check(f"{model}: {refusals} refusals, allowed 0", met=not refusals)
    verdict.check(f"{model}: every run took exactly {calls:,} calls", met={run.calls for run in runs} == {calls})
    slowest = max(run.seconds for run in runs)
    verdict.check(f"{model}: slowest run {slowest:.1f} s, allowed {longest:g} s", met=slowest <= longest)


# --- The tables


def main(arguments: Sequence[str]) -> int:
    """Measure, print and hold against the bars; returns the exit code."""
    argparse.ArgumentParser(prog="python -m benchmarks schedule").parse_args(arguments)
    logging.getLogger("aionorth").setLevel(logging.ERROR)  # its warnings of refusals are counted here, not read
    runs = _by_model()
    _by_workers()
    print()
    verdict = Verdict()
    for model in MODELS:
        if model not in WITHOUT_BAR:
            check(verdict, model, runs[model])
    return verdict.exit_code


def _by_model() -> dict[str, list[Run]]:
    bound = lower_bound(CALLS)
    table = Table(
        f"{CALLS:,} deletes, {THRESHOLD} calls per {PERIOD:g} s, {WORKERS} workers: virtual seconds, multiple of the "
        f"lower bound ({bound:g} s), refusals",
        ["the platform counts", "seed", "aionorth", "x", "refusals", "AsyncLimiter alone", "x", "refusals"],
    )
    runs: dict[str, list[Run]] = {}
    for model in MODELS:
        for seed in SEEDS:
            ours, theirs = measure(with_aionorth, model, seed), measure(with_limiter_alone, model, seed)
            runs.setdefault(model, []).append(ours)
            cells = (f"{run.seconds:.1f} {run.seconds / bound:.3f} {run.refusals}".split() for run in (ours, theirs))
            table.row(model, str(seed), *(cell for three in cells for cell in three))
    return runs


def _by_workers() -> None:
    bound = lower_bound(CALLS)
    table = Table(
        "aionorth by number of workers, sliding window: virtual seconds, median (least to most) of the seeds",
        ["workers", f"{'virtual seconds':>22}", "x median"],
    )
    for workers in POOLS:
        seconds = Spread.of(measure(with_aionorth, "sliding", seed, workers=workers).seconds for seed in SEEDS)
        table.row(str(workers), f"{seconds:.1f}", f"{seconds.median / bound:.3f}")
