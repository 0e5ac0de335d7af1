"""How close aionorth comes to the fastest schedule, how often the platform refuses it, and how it adapts.

1,000 subscriptions are deleted by a client that is configured for 100 calls in 60 s, from a platform that counts calls
in one of seven ways: alone and with that threshold; with a threshold that is really 50; beside another caller of the
same app that spends 30 calls a minute; and after one that has just spent 90 calls, and then stays away. Time is
virtual, sockets and HTTP are real. aionorth is compared with what people write instead: aiohttp with a limiter of
`benchmarks.rivals` and `backoff` around each call; a task for each id behind an `asyncio.Semaphore`, with `backoff`;
and aiohttp-retry.

What could mislead:

* Refusals are counted in the platform's log: a client cannot hide them.
* The lower bound holds for a client that does not know how the platform counts, and so keeps to the threshold in every
  closed window of 60 s. A client that knew that the platform counts by clock minutes, and when they begin, could spend
  two minutes' calls at once and finish up to a minute earlier. A token bucket that is full at first accepts another 100
  calls: with another caller, or with a threshold of 50, a client can be below the bound there.
* A platform that refuses bursts cannot be used up by the lower bound: alone, with 10 calls at once and the others 0.6 s
  apart, it takes 1.10 times as long.
* A client that hammers is fast where the platform does not count refused calls. So time alone says little, and a client
  counts as better only if it is not refused more often either.
* Every run begins at another point of the clock minute, drawn from its seed.
* The other caller calls every two seconds whatever happens, and does not repeat refused calls. A client that takes its
  calls without being refused itself gains time, so the refusals of the other caller are shown, too.
* Latency is the only chance in the platform. Lost replies are not measured here.
* The clock does not advance while code runs: no client's CPU time is in these figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import multiprocessing
import os
import random
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Self

import aiohttp
import aiohttp_retry
import attrs
import backoff

from aionorth import FlowControl, NorthSession
from aionorth.bulk.run import WORKERS
from aionorth.simulator import MODELS, Simulator
from aionorth.simulator.virtual_time import VirtualTimeLoop
from benchmarks import pictures
from benchmarks.harness import PremiseError, Record, Spread, at_least_one
from benchmarks.rivals import Aimd, Bucket, Cubic, Limiter, Limits, Pyrate, Throttled

CALLS = 1_000
THRESHOLD = 100
PERIOD = 60.0
SEEDS = 3
"""Runs of aionorth in each cell, each with a seed of its own."""
PEERS_SEEDS = 1
"""Runs of each of the others, with the first of those seeds: most of them are slow, and the whole benchmark should take
less than ten minutes. They are compared with aionorth's runs of the same seeds."""

MAX_SECONDS = 555.0
"""The bar: virtual seconds that aionorth may take where the lower bound is 540 s."""

POOLS = (1, 4, 16, 64)
"""The numbers of workers compared; no more calls than the threshold can be in flight."""

DRAWN = "sliding"
"""How the platform counts in the pictures over time: this favours none of the clients."""

SPENDERS = 8
"""How many calls are in flight at once of the caller that makes some just before."""

GIVEN_UP = 2.2
"""The multiple of the lower bound after which a run is given up."""

APP = "demo-app"
PATH = "/iocm/app/sub/v1.2.0/subscriptions/"


def lower_bound(calls: int, threshold: int = THRESHOLD) -> float:
    """Return the fewest seconds for a client that keeps to the threshold in every closed window of one period.

    Each group of `threshold` calls begins a period after the one before. Of 1,000 calls at 100 in 60 s the last hundred
    begins 9 periods after the first, at 540 s. Round trips are not included.
    """
    return (calls - 1) // threshold * PERIOD


@attrs.frozen(eq=False)
class Case:
    """A situation for clients that are configured for `THRESHOLD` calls, and the bars for aionorth in it."""

    name: str
    bars: tuple[float, float]
    """Two maxima for the mean of the runs: the multiple of the lower bound, and calls refused in 1,000."""
    other_bars: Mapping[str, tuple[float, float]] = attrs.field(factory=dict[str, tuple[float, float]])
    """The same for the ways of counting that have bars of their own."""
    threshold: int = THRESHOLD
    others: int = 0
    """Calls that another caller makes in a period."""
    spent: int = 0
    """Calls that another caller made just before."""

    @property
    def bound(self) -> float:
        """The lower bound in seconds, for the calls that are left to the client."""
        return lower_bound(self.spent + CALLS, self.threshold - self.others)

    def bars_for(self, model: str) -> tuple[float, float]:
        """Return the bars for a platform that counts by `model`."""
        return self.other_bars.get(model, self.bars)


ALONE = Case("alone", (1.02, 0), {"counter": (1.15, 10), "small-burst": (1.14, 6), "two-limits": (1.14, 6)})
"""The last three refuse even clients that keep to the threshold in every window, so they have bars of their own."""

CASES = (
    ALONE,
    Case("the threshold is really 50", (1.12, 10), threshold=50),
    Case("another caller spends 30 a minute", (1.12, 10), others=30),
    Case("used before", (1.12, 8), spent=90),
)

MAX_TAKEN = 0.05
"""The bar: the part of the other caller's calls that may be refused."""

LOCKED_OUT = frozenset({"sliding-refusals"})
"""The ways of counting without that bar: where refused calls count, a client that meets its bars alone cannot meet it.

Alone, its call 1,000 is sent by 550.8 s, 1.02 times the bound, and at least nine closed windows after its call 100. So
call 100 is sent by 10.8 s. Before its first refusal the client cannot know that it is not alone, so in this case too it
is first refused by then. From then on the window stays full: refused calls of the other caller replace its older calls
that leave the window, until the client's first call leaves it, 60 s after it was counted. That takes at least 49.2 s,
in which the other caller makes 24.6 calls. 5 % of its calls are 23.5 in a run of 1.12 times the bound, and fewer in a
quicker one. (By chance a gap in its calls can let it in earlier, where only one call was refused.) The part is shown,
without a bar."""


# --- The clients

Client = Callable[[Simulator, Sequence[str], int], Awaitable[None]]
"""Deletes the subscriptions with these ids, with so many workers."""


async def with_aionorth(platform: Simulator, ids: Sequence[str], workers: int) -> None:
    """Delete with aionorth and a token, so that exactly one call per id is needed."""
    settings = FlowControl(calls=THRESHOLD, period=PERIOD)
    async with NorthSession(platform.url, app_id=APP, token=platform.issue_token(), flow_control=settings) as north:
        (await north.delete_subscriptions(ids, workers=workers)).raise_for_failures()


class _RefusedError(Exception):
    """The platform refused the call: 1010009."""


_backed_off = backoff.on_exception(backoff.expo, _RefusedError, jitter=backoff.full_jitter, max_value=PERIOD)
"""Tries a refused call again, after a wait that grows, with full jitter."""


def _http(platform: Simulator) -> aiohttp.ClientSession:
    headers = {"app_key": APP, "Authorization": f"Bearer {platform.issue_token()}"}
    return aiohttp.ClientSession(platform.url, headers=headers)


async def _delete(http: aiohttp.ClientSession, id_: str) -> None:
    async with http.delete(PATH + id_) as response:
        await response.read()
        if response.status == 403:
            raise _RefusedError
        response.raise_for_status()


async def _share(ids: Sequence[str], workers: int, delete: Callable[[str], Awaitable[None]]) -> None:
    """Delete the ids with so many workers."""
    queue = iter(ids)

    async def work() -> None:
        for id_ in queue:
            await delete(id_)

    await asyncio.gather(*(work() for _ in range(workers)))


def by_hand(limiter_of: Callable[[], Limiter]) -> Client:
    """Return a client written by hand: a limiter before each attempt, and backoff after each refusal."""

    async def run(platform: Simulator, ids: Sequence[str], workers: int) -> None:
        limiter = limiter_of()
        loop = asyncio.get_running_loop()

        async with _http(platform) as http:

            @_backed_off
            async def delete(id_: str) -> None:
                await limiter.acquire()
                sent = loop.time()
                try:
                    await _delete(http, id_)
                except _RefusedError:
                    limiter.feedback(sent, refused=True)
                    raise
                limiter.feedback(sent, refused=False)

            await _share(ids, workers, delete)

    return run


async def with_semaphore(platform: Simulator, ids: Sequence[str], workers: int) -> None:
    """Delete with a task for each id, as many at a time as there are workers, and no limiter."""
    semaphore = asyncio.Semaphore(workers)

    async with _http(platform) as http:
        delete = _backed_off(_delete)

        async def in_turn(id_: str) -> None:
            async with semaphore:
                await delete(http, id_)

        await asyncio.gather(*map(in_turn, ids))


async def with_aiohttp_retry(platform: Simulator, ids: Sequence[str], workers: int) -> None:
    """Delete with aiohttp-retry, which tries a 403 again and waits up to a period."""
    options = aiohttp_retry.JitterRetry(attempts=len(ids), max_timeout=PERIOD, statuses={403})

    async with _http(platform) as http:
        retrying = aiohttp_retry.RetryClient(http, retry_options=options)

        async def delete(id_: str) -> None:
            async with retrying.delete(PATH + id_) as response:
                await response.read()
                response.raise_for_status()

        await _share(ids, workers, delete)


with_limiter_alone = by_hand(lambda: Bucket(THRESHOLD, PERIOD))

OURS = "aionorth"

CLIENTS: dict[str, Client] = {
    OURS: with_aionorth,
    "aiolimiter": with_limiter_alone,
    "aiolimiter, paced": by_hand(lambda: Bucket(THRESHOLD, PERIOD, smooth=True)),
    "pyrate-limiter": by_hand(lambda: Pyrate(THRESHOLD, PERIOD)),
    "limits": by_hand(lambda: Limits(THRESHOLD, PERIOD)),
    "throttled-py": by_hand(lambda: Throttled(THRESHOLD, PERIOD)),
    "Semaphore": with_semaphore,
    "aiohttp-retry": with_aiohttp_retry,
    "AIMD": by_hand(lambda: Aimd(THRESHOLD, PERIOD)),
    "CUBIC": by_hand(Cubic),
}


async def _call_beside(platform: Simulator, calls: int) -> None:
    """Call at even intervals without end, as another caller of the same app."""
    loop = asyncio.get_running_loop()

    async def call() -> None:
        # Flow control counts a call before its token is checked: this caller needs no valid token.
        async with http.get(PATH + "other", headers={"app_key": APP, "Authorization": "Bearer other"}) as response:
            await response.read()

    async with aiohttp.ClientSession(platform.url) as http, asyncio.TaskGroup() as group:
        due = loop.time() + random.uniform(0, PERIOD / calls)
        while True:
            await asyncio.sleep(due - loop.time())
            group.create_task(call())
            due += PERIOD / calls


async def _spend(platform: Simulator, calls: int) -> None:
    """Call as fast as the platform allows until it has accepted so many calls, as another caller of the same app."""

    async def call(_: str) -> None:
        while True:
            async with http.get(PATH + "other", headers={"app_key": APP, "Authorization": "Bearer other"}) as response:
                if b"1010009" not in await response.read():  # its token is not accepted, but its call is
                    return
            await asyncio.sleep(PERIOD / THRESHOLD)

    async with aiohttp.ClientSession(platform.url) as http:
        await _share([""] * calls, SPENDERS, call)


# --- One run


@attrs.frozen
class Run:
    """The outcome of one run."""

    seconds: float
    """Virtual seconds from before the client's first call until after its last reply; infinite: it was given up."""
    refusals: int
    """Calls that flow control refused, by the platform's log."""
    calls: int
    """Calls to delete that arrived at the platform."""
    taken: float = 0.0
    """The part of the other caller's calls that the platform refused."""
    accepted: tuple[float, ...] = ()
    """When the platform accepted a call, in virtual seconds since the client began."""
    refused: tuple[float, ...] = ()
    """When it refused one."""

    @property
    def refusal_rate(self) -> float:
        """Calls refused in 1,000."""
        return 1_000 * self.refusals / self.calls


def slow_at_times(rng: random.Random) -> tuple[float, float]:
    """Draw a call's latency: a round trip of 20 ms, in one call in ten up to 4 s, counted anywhere on the way."""
    trip = rng.uniform(0.02, 4.0) if rng.random() < 0.1 else 0.02
    part = rng.random()
    return trip * part, trip * (1 - part)


async def _measured(client: Client, model: str, seed: int, *, calls: int, workers: int, case: Case) -> Run:
    random.seed(seed)  # backoff draws its jitter from there, for all clients
    loop = asyncio.get_running_loop()
    simulator = Simulator(model=model, calls=case.threshold, period=PERIOD, latency=slow_at_times, seed=seed)
    async with simulator as platform:
        await asyncio.sleep(random.uniform(0, PERIOD))
        other = asyncio.create_task(_call_beside(platform, case.others)) if case.others else None
        if other is not None:
            await asyncio.sleep(PERIOD)  # the other caller starts first
        await _spend(platform, case.spent)
        ids = platform.add_subscriptions(calls)
        began = loop.time()
        given_up = asyncio.timeout(GIVEN_UP * case.bound)
        with contextlib.suppress(TimeoutError):
            async with given_up:
                await client(platform, ids, workers)
        seconds = math.inf if given_up.expired() else loop.time() - began
        if other is not None:
            other.cancel()
            await asyncio.wait([other])
        if (left := platform.subscription_ids()) and seconds < math.inf:
            raise PremiseError(f"the client says it is done, and the platform still has {len(left)} subscriptions")
        deletes = [arrival for arrival in platform.arrivals if arrival.method == "DELETE"]
        others = [arrival for arrival in platform.arrivals if arrival.method == "GET" and arrival.counted >= began]
        return Run(
            seconds,
            sum(arrival.refused for arrival in deletes),
            len(deletes),
            sum(arrival.refused for arrival in others) / len(others) if others else 0.0,
            tuple(arrival.counted - began for arrival in deletes if not arrival.refused),
            tuple(arrival.counted - began for arrival in deletes if arrival.refused),
        )


def measure(
    client: Client, model: str, seed: int, *, calls: int = CALLS, workers: int = WORKERS, case: Case = ALONE
) -> Run:
    """Run `client` in virtual time against a platform that counts by `model`."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_measured(client, model, seed, calls=calls, workers=workers, case=case))


def check(
    record: Record, model: str, runs: Sequence[Run], *, calls: int = CALLS, max_seconds: float = MAX_SECONDS
) -> None:
    """Check the bars of the runs where the platform counts by `model`: no refusal, no extra call, and in time."""
    refusals = sum(run.refusals for run in runs)
    record.check(f"{model}: {refusals} refusals, allowed 0", met=not refusals)
    record.check(f"{model}: every run took exactly {calls:,} calls", met={run.calls for run in runs} == {calls})
    slowest = max(run.seconds for run in runs)
    record.check(f"{model}: slowest run {slowest:.1f} s, allowed {max_seconds:g} s", met=slowest <= max_seconds)


def check_case(record: Record, case: Case, model: str, runs: Sequence[Run]) -> None:
    """Check the bars of the mean of the runs of `case` where the platform counts by `model`."""
    max_multiple, max_refused = case.bars_for(model)
    multiple = statistics.mean(run.seconds for run in runs) / case.bound
    refused = statistics.mean(run.refusal_rate for run in runs)
    what = f"{case.name}, {model}"
    record.check(f"{what}: {multiple:.3f} of the lower bound, allowed {max_multiple:g}", met=multiple <= max_multiple)
    record.check(f"{what}: {refused:.1f} of 1,000 calls refused, allowed {max_refused:g}", met=refused <= max_refused)
    if case.others and model not in LOCKED_OUT:
        taken = statistics.mean(run.taken for run in runs)
        record.check(
            f"{what}: {taken:.1%} of the other caller's calls refused, allowed {MAX_TAKEN:.0%}",
            met=taken <= MAX_TAKEN,
        )


@attrs.frozen
class Mean:
    """The means of one client's runs in one cell: seconds, calls refused in 1,000, part of the other's refused."""

    seconds: float
    refusals: float
    taken: float

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Self:
        """Return the means of `runs`."""
        return cls(
            statistics.mean(run.seconds for run in runs),
            statistics.mean(run.refusal_rate for run in runs),
            statistics.mean(run.taken for run in runs),
        )

    def ahead_of(self, other: Mean) -> bool:
        """Return whether it is faster without being refused more."""
        return self.seconds < other.seconds and self.refusals <= other.refusals


STAMPED_WHEN_SENT = "counts a call as of its sending, which saves a round trip a minute here; elsewhere it is refused"
SPREAD = "spreads the calls, or counts as this platform does; under other ways of counting that costs time or refusals"

EXPLAINED = {
    ("alone", "fixed"): {"pyrate-limiter": STAMPED_WHEN_SENT, "limits": STAMPED_WHEN_SENT},
    ("alone", "bucket"): {"pyrate-limiter": STAMPED_WHEN_SENT, "limits": STAMPED_WHEN_SENT},
    ("alone", "counter"): {"aiolimiter, paced": SPREAD, "throttled-py": SPREAD},
    ("alone", "small-burst"): {"aiolimiter, paced": SPREAD, "AIMD": SPREAD},
    ("used before", "fixed"): {"aiolimiter, paced": SPREAD},
    ("used before", "bucket"): {"aiolimiter, paced": SPREAD, "AIMD": SPREAD},
    ("used before", "counter"): {"aiolimiter, paced": SPREAD},
    ("used before", "small-burst"): {"aiolimiter, paced": SPREAD},
}
"""The clients that may be better than aionorth, where and why. It takes knowing how the platform counts to use this."""


def check_peers(record: Record, case: str, model: str, means: Mapping[str, Mean]) -> None:
    """Check the bar that no peer is better than aionorth, except for a known reason."""
    ours = means[OURS]
    known = EXPLAINED.get((case, model), {})
    ahead = {name: mean for name, mean in means.items() if mean.ahead_of(ours)}
    shown = ", ".join(
        f"{name} ({mean.seconds:.1f} s, {mean.refusals:.1f}{': ' + known[name] if name in known else ''})"
        for name, mean in ahead.items()
    )
    bar = f"{case}, {model}: ahead of {ours.seconds:.1f} s and {ours.refusals:.1f} of 1,000 refused: {shown or 'none'}"
    record.check(bar, met=ahead.keys() <= known.keys())


# --- The tables

Cells = dict[str, dict[str, list[Run]]]
"""The runs by way of counting, then by client."""


def main(arguments: Sequence[str], record: Record) -> None:
    """Measure, print and check the bars."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks schedule")
    description = f"runs of each client in each cell (default: {SEEDS} of {OURS}, {PEERS_SEEDS} of the others)"
    parser.add_argument("--seeds", type=at_least_one, help=description)
    number: int | None = parser.parse_args(arguments).seeds
    seeds, peers_seeds = (range(1, 1 + (number or default)) for default in (SEEDS, PEERS_SEEDS))
    # Time is virtual, so runs that share the machine do not disturb each other's figures. They sometimes wait for the
    # kernel, so more runs than processors keep these busy.
    processes = 2 * (os.cpu_count() or 1)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_quiet) as pool:
        pending = {case: _begin(pool, case, seeds, peers_seeds) for case in CASES}
        cells = {case: _table(record, case, of_case) for case, of_case in pending.items()}
        _by_workers(record, pool, seeds)
    print()
    means = {
        case: {
            model: {name: Mean.of(runs[: len(peers_seeds)]) for name, runs in clients.items()}
            for model, clients in models.items()
        }
        for case, models in cells.items()
    }
    for case, models in cells.items():
        for model, clients in models.items():
            if case is ALONE and model not in case.other_bars:
                check(record, model, clients[OURS])
            check_case(record, case, model, clients[OURS])
            check_peers(record, case.name, model, means[case][model])
    for case, models in cells.items():
        record.draw(*_curves(case, models[DRAWN]))
    record.draw(
        "all",
        f"Time and refusals of every client in every case, however the platform counts; runs: {len(peers_seeds)}",
        pictures.trade_off(
            {
                case.name: {
                    model: {name: (mean.seconds / case.bound, mean.refusals) for name, mean in clients.items()}
                    for model, clients in means[case].items()
                }
                for case in CASES
            },
            ours=OURS,
        ),
    )


def _quiet() -> None:
    logging.getLogger("aionorth").setLevel(logging.ERROR)  # refusals are counted here; their warnings are not needed


def _measure_named(name: str, model: str, seed: int, case: Case, workers: int) -> Run:
    return measure(CLIENTS[name], model, seed, workers=workers, case=case)


def _begin(
    pool: Executor, case: Case, seeds: Sequence[int], peers_seeds: Sequence[int]
) -> dict[str, dict[str, list[Future[Run]]]]:
    return {
        model: {
            name: [
                pool.submit(_measure_named, name, model, seed, case, WORKERS)
                for seed in (seeds if name == OURS else peers_seeds)
            ]
            for name in CLIENTS
        }
        for model in MODELS
    }


def _table(record: Record, case: Case, pending: Mapping[str, Mapping[str, Sequence[Future[Run]]]]) -> Cells:
    """Print the results of all clients in one case, and return them."""
    others = ", part of the other caller's calls refused" if case.others else ""
    table = record.table(
        f"{case.name}: {CALLS:,} deletes, {WORKERS} workers, means: "
        f"multiple of the lower bound ({case.bound:g} s), calls refused in 1,000{others}",
        ["", *MODELS],
        least_width=18,
    )
    cells: Cells = {model: {} for model in MODELS}
    for name in CLIENTS:
        shown: list[str] = []
        for model in MODELS:
            runs = cells[model][name] = [run.result() for run in pending[model][name]]
            record.samples[f"{case.name}, {model}, {name}"] = [
                (run.seconds, run.refusals, run.calls, run.taken) for run in runs
            ]
            mean = Mean.of(runs)
            multiple = f"{mean.seconds / case.bound:.3f}" if mean.seconds < math.inf else f"over {GIVEN_UP}"
            taken = f" {mean.taken:4.0%}" if case.others else ""
            shown.append(f"{multiple} {mean.refusals:5.1f}{taken}")
        table.row(name, *shown)
    return cells


def _by_workers(record: Record, pool: Executor, seeds: Sequence[int]) -> None:
    bound = lower_bound(CALLS)
    table = record.table(
        "aionorth by number of workers, alone, sliding window: virtual seconds, median (minimum to maximum)",
        ["workers", f"{'virtual seconds':>22}", "x median"],
    )
    for workers in POOLS:
        runs = [pool.submit(_measure_named, OURS, "sliding", seed, ALONE, workers) for seed in seeds]
        record.samples[f"{workers} workers"] = times = [run.result().seconds for run in runs]
        seconds = Spread.of(times)
        table.row(str(workers), f"{seconds:.1f}", f"{seconds.median / bound:.3f}")


def _curves(case: Case, clients: Mapping[str, Sequence[Run]]) -> tuple[str, str, str]:
    """Draw the first run of every client where the platform counts by `DRAWN`."""
    svg = pictures.schedules(
        {name: pictures.Schedule(runs[0].accepted, runs[0].refused, runs[0].seconds) for name, runs in clients.items()},
        at_once=case.threshold - case.others,
        period=PERIOD,
        calls=CALLS,
    )
    name = "-".join(case.name.split()[:3])
    above = "; a client above the dashed line takes the other caller's calls" if case.others else ""
    return name, f"{case.name}: calls accepted over time, and those refused, by a {DRAWN} window{above}", svg
