"""Progress of a run, reported to a function."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from support import deletes, session

import aionorth
from aionorth.bulk.observed import RunReport
from aionorth.bulk.pool import Pool
from aionorth.bulk.record import Progress
from aionorth.bulk.run import BulkDelete, RunOptions
from aionorth.events import Observers
from aionorth.items import Kind
from aionorth.simulator import Simulator
from aionorth.wire.requests import delete
from aionorth.wire.resources import SUBSCRIPTIONS


async def test_progress_is_reported_after_ids_have_settled_and_at_the_end() -> None:
    reports: list[tuple[float, aionorth.DeleteSummary]] = []
    async with Simulator(latency=lambda _: (1.0, 0.0)) as platform:
        async with session(platform, token=platform.issue_token()) as north:
            now = asyncio.get_running_loop().time
            began = now()

            def report(summary: aionorth.DeleteSummary) -> None:
                reports.append((round(now() - began, 1), summary))

            summary = await north.delete_subscriptions(platform.add_subscriptions(8), workers=4, progress=report)
    assert [(when, one.deleted, one.expected, one.results) for when, one in reports] == [
        (1.0, 1, 8, ()),
        (1.1, 4, 8, ()),
        (2.0, 5, 8, ()),
        (2.0, 8, 8, ()),
    ]
    assert len(summary.results) == 8


async def settling(number: int, seconds: float, reports: list[aionorth.DeleteSummary]) -> aionorth.DeleteSummary:
    """Delete so many ids, one after the other, in so many seconds, without a platform."""

    async def send(_: object, progress: Progress) -> None:
        await asyncio.sleep(seconds / number)
        progress.begin()
        progress.end(None)

    pool = Pool((f"id-{n}" for n in range(number)), check=str, build=lambda id_: delete(SUBSCRIPTIONS, id_),
                send=send, workers=1)  # fmt: skip
    options = RunOptions(progress=reports.append, collect="none")
    report = RunReport(Observers(), Kind.SUBSCRIPTIONS)
    return await BulkDelete(pool, options, now=asyncio.get_running_loop().time, report=report)


@pytest.mark.slow
async def test_progress_is_reported_at_most_ten_times_a_second() -> None:
    reports: list[aionorth.DeleteSummary] = []
    summary = await settling(5_000, 2.0, reports)
    assert 18 <= len(reports) <= 22
    times = [report.elapsed for report in reports[:-1]]
    assert all(later - earlier > 0.099 for earlier, later in itertools.pairwise(times))
    assert reports[-1] == summary


async def test_nothing_is_reported_while_nothing_settles() -> None:
    reports: list[aionorth.DeleteSummary] = []
    await settling(3, 300.0, reports)
    assert [report.deleted for report in reports] == [1, 2, 3]


async def test_an_empty_run_reports_its_end() -> None:
    reports: list[aionorth.DeleteSummary] = []
    async with Simulator() as platform, session(platform) as north:
        await north.delete_upgrade_packages([], progress=reports.append)
    assert [report.total for report in reports] == [0]


async def test_purges_and_their_continuation_report_progress(tmp_path: Path) -> None:
    first: list[aionorth.DeleteSummary] = []
    second: list[aionorth.DeleteSummary] = []
    async with Simulator(latency=lambda _: (1.0, 0.0)) as platform, session(platform) as north:
        plan = await north.plan(aionorth.PackageSelection(ids=platform.add_packages(6)))
        file = tmp_path / "purge.jsonl"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(north.purge(plan, journal=file, workers=2, progress=first.append).wait(), 2.5)
        summary = await north.resume(file, progress=second.append)
    assert (first[-1].expected, first[-1].total, first[-1].pending) == (6, 6, 0)
    assert first[-1].skipped > 0
    assert second[-1].deleted == summary.deleted == 6


async def test_the_end_of_a_cancelled_run_is_reported_before_its_caller_goes_on() -> None:
    reports: list[aionorth.DeleteSummary] = []
    async with Simulator(latency=lambda _: (1.0, 0.0)) as platform, session(platform) as north:
        run = north.delete_subscriptions(platform.add_subscriptions(8), workers=4, progress=reports.append)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run.wait(), 0.5)
        assert (reports[-1].skipped, reports[-1].pending) == (run.summary.skipped, 0)


async def test_a_progress_function_that_raises_ends_the_run_and_is_not_called_again() -> None:
    reports: list[aionorth.DeleteSummary] = []

    def broken(summary: aionorth.DeleteSummary) -> None:
        reports.append(summary)
        raise ZeroDivisionError("no bar")

    async with Simulator(latency=lambda _: (1.0, 0.0)) as platform:
        async with session(platform, token=platform.issue_token()) as north:
            run = north.delete_subscriptions(platform.add_subscriptions(12), workers=4, progress=broken)
            with pytest.raises(aionorth.BulkAbortedError, match="no bar") as caught:
                await run
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    summary = caught.value.summary
    assert (summary.total, summary.pending, summary.deleted) == (12, 0, len(deletes(platform)))
    assert summary.skipped > 0
    assert len(reports) == 1


async def test_one_that_raises_at_the_end_is_not_overlooked() -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("no bar")

    async with Simulator() as platform, session(platform) as north:
        with pytest.raises(aionorth.BulkAbortedError, match="no bar"):
            await north.delete_subscriptions([], progress=broken)


async def ill_suited(_: object) -> None: ...


@pytest.mark.parametrize("progress", [True, "print", ill_suited])
async def test_a_progress_that_cannot_be_called_is_refused_before_anything_is_sent(progress: Any) -> None:
    async with Simulator() as platform, session(platform) as north:
        with pytest.raises(aionorth.ArgumentError, match=r"progress=.*give a function, not async"):
            north.delete_subscriptions(["one"], progress=progress)
        assert not platform.arrivals
