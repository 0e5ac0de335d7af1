"""Runs as tasks, and where they are meanwhile."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import pytest
from support import session

import aionorth
from aionorth.simulator import CannedReply, Simulator


def slow(latency: float = 1.0) -> Simulator:
    return Simulator(latency=lambda _: (latency, 0.0))


async def test_wait_makes_a_task_of_a_run() -> None:
    async with Simulator() as platform, session(platform) as north:
        run = north.delete_subscriptions(platform.add_subscriptions(3))
        waiting = run.wait()
        assert inspect.iscoroutine(waiting)
        assert (await asyncio.create_task(waiting)).deleted == 3
        with pytest.raises(aionorth.SessionStateError, match="only once"):
            await run.wait()


async def test_runs_are_tasks_of_a_task_group() -> None:
    async with Simulator() as platform, session(platform) as north:
        subscriptions = north.delete_subscriptions(platform.add_subscriptions(3))
        packages = north.delete_upgrade_packages(platform.add_packages(2))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run.wait()) for run in (subscriptions, packages)]
        assert [task.result().deleted for task in tasks] == [3, 2]


async def test_a_run_that_cannot_continue_raises_from_wait_too() -> None:
    async with Simulator() as platform, session(platform, secret="wrong") as north:
        with pytest.raises(aionorth.BulkAbortedError) as caught:
            await asyncio.wait_for(north.delete_subscriptions(["one"]).wait(), 60)
        assert caught.value.summary.skipped == 1


@pytest.mark.parametrize("as_task", [asyncio.ensure_future, lambda run: asyncio.create_task(run.wait())])
@pytest.mark.parametrize(("grace", "deleted", "unknown"), [(5.0, 8, 0), (0.1, 4, 4)])
async def test_cancelling_the_task_gives_the_calls_in_flight_their_grace(
    as_task: Callable[[Awaitable[object]], asyncio.Task[object]], grace: float, deleted: int, unknown: int
) -> None:
    async with slow() as platform, session(platform, token=platform.issue_token()) as north:
        run = north.delete_subscriptions(platform.add_subscriptions(20), workers=4, grace=grace)
        task = as_task(run)
        await asyncio.sleep(1.5)  # four are done, four are in flight
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (run.summary.deleted, run.summary.unknown, run.summary.skipped) == (deleted, unknown, 12)


async def test_wait_for_ends_a_run_that_takes_too_long() -> None:
    async with slow() as platform, session(platform, token=platform.issue_token()) as north:
        run = north.delete_subscriptions(platform.add_subscriptions(20), workers=4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run.wait(), 1.5)
        assert (run.summary.deleted, run.summary.skipped, run.summary.pending) == (8, 12, 0)


async def test_a_summary_says_how_many_are_expected_while_the_run_goes_on() -> None:
    async with slow() as platform, session(platform, token=platform.issue_token()) as north:
        ids = platform.add_subscriptions(8)
        run = north.delete_subscriptions([*ids, *ids[:2]], workers=4, collect="none")
        assert (run.summary.expected, run.expected) == (10, 10)
        task = asyncio.create_task(run.wait())
        await asyncio.sleep(1.5)
        assert (run.summary.expected, run.summary.deleted, run.summary.pending) == (10, 4, 4)
        assert run.summary.to_dict()["expected"] == 10
        summary = await task
        assert (summary.expected, summary.total, run.expected, summary.duplicates) == (8, 8, 8, 2)


async def test_nobody_knows_how_many_a_stream_has() -> None:
    async with Simulator() as platform, session(platform) as north:
        run = north.delete_subscriptions(iter(platform.add_subscriptions(3)))
        assert (await run.wait()).expected is None
        assert "finished: 3 settled in" in repr(run)


async def test_a_runs_repr_says_where_it_is() -> None:
    async with slow() as platform, session(platform, token=platform.issue_token()) as north:
        run = north.delete_upgrade_packages(ids := platform.add_packages(9), workers=4)
        assert "a bulk run of packages, not begun" in repr(run)
        task = asyncio.create_task(run.wait())
        await asyncio.sleep(1.5)
        assert repr(run) == "<a bulk run of packages, running: 4 of 9 settled in 1.5 s>"
        run.stop()
        assert repr(run) == "<a bulk run of packages, ending: 4 of 9 settled in 1.5 s>"
        await task
        assert repr(run) == "<a bulk run of packages, finished: 9 of 9 settled in 2.0 s>"
        assert not any(id_ in repr(run) for id_ in ids)


async def test_the_repr_of_a_run_that_did_not_come_to_its_end_says_so() -> None:
    async with slow() as platform, session(platform, token=platform.issue_token()) as north:
        ids = platform.add_subscriptions(8)
        cancelled = north.delete_subscriptions(ids, workers=4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(cancelled.wait(), 0.5)
        assert "cancelled: 8 of 8 settled in 1.0 s" in repr(cancelled)
        platform.script(CannedReply(403, b'{"error_code":"100217","error_desc":"no"}'), method="DELETE", path=ids[5])
        aborted = north.delete_subscriptions(ids[5:], workers=1)
        with pytest.raises(aionorth.BulkAbortedError):
            await aborted
        assert "ended early: 3 of 3 settled" in repr(aborted)
