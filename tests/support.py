"""Helpers for several test files."""

import asyncio
import random
import traceback
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import aionorth
from aionorth.simulator import Simulator
from aionorth.simulator.virtual_time import VirtualTimeLoop

T = TypeVar("T")

APP = "demo-app"
SECRET = "demo-secret"
TESTS = Path(__file__).parent


def run(main: Awaitable[T]) -> T:
    """Run `main` in virtual time; for property tests, which cannot be async functions."""

    async def wrapped() -> T:
        return await main

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(wrapped())


def session(platform: Simulator, **options: Any) -> aionorth.NorthSession:
    """Return a session for the simulator's first app; without `token=` it logs in."""
    if "token" not in options:
        options.setdefault("secret", SECRET)
    return aionorth.NorthSession(platform.url, app_id=APP, **options)


def slow_at_times(rng: random.Random) -> tuple[float, float]:
    """Draw a latency: round trips of 20 ms, one in ten up to 4 s; the platform counts the call anywhere on the way."""
    trip = rng.uniform(0.02, 4.0) if rng.random() < 0.1 else 0.02
    part = rng.random()
    return trip * part, trip * (1 - part)


def fullest_window(calls: Iterable[tuple[float, float]], period: float) -> int:
    """Return how many of `calls`, each (sent, answered), a server can count in one closed window of `period` seconds.

    A server counts a call at some time between its sending and its reply; here at the worst time.
    """
    calls = list(calls)
    return max(
        (sum(sent <= start + period and answered >= start for sent, answered in calls) for _, start in calls), default=0
    )


def deletes(platform: Simulator) -> list[Any]:
    """Return the arrivals of delete calls."""
    return [arrival for arrival in platform.arrivals if arrival.method == "DELETE"]


def assert_reconciled(
    platform: Simulator,
    summary: aionorth.DeleteSummary,
    *,
    ids: Sequence[str],
    existed: set[str],
    there_now: set[str],
) -> None:
    """Check a summary with all results against the platform's log and what is left there."""
    results = {result.id: result for result in summary.results}
    arrived = Counter(arrival.resource for arrival in deletes(platform))
    assert summary.pending == 0
    assert len(summary.results) == len(results) == summary.total
    assert set(results) <= set(ids)
    assert Counter(result.outcome for result in summary.results) == Counter(
        {outcome: summary.count(outcome) for outcome in aionorth.Outcome if summary.count(outcome)}
    )
    for id_, result in results.items():
        match result.outcome:
            case aionorth.Outcome.DELETED:
                assert id_ in existed
                assert id_ not in there_now
            case aionorth.Outcome.NOT_FOUND:
                assert id_ not in existed
            case aionorth.Outcome.GONE:
                assert id_ not in there_now
                assert result.attempts > 1
            case aionorth.Outcome.FAILED:
                assert result.error is not None
            case aionorth.Outcome.UNKNOWN:
                assert result.attempts > 0
            case aionorth.Outcome.SKIPPED:
                assert arrived[id_] == 0
                assert (id_ in there_now) == (id_ in existed)
                assert result.attempts == 0


def shown(error: BaseException) -> str:
    """Return what a crash reporter shows of an error and its causes: local variables of all frames but the tests'."""
    texts: list[str] = []
    links: list[BaseException | None] = [error]
    while links:
        if (link := links.pop()) is None:
            continue
        stack = traceback.TracebackException.from_exception(link, capture_locals=True).stack
        texts += [str(frame.locals) for frame in stack if not Path(frame.filename).is_relative_to(TESTS)]
        texts += [repr(link), str(link), repr(link.args)]
        links += [link.__cause__, link.__context__]
    return "\n".join(texts)
