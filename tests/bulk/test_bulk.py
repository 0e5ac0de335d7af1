import asyncio
import itertools
import random
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import assert_reconciled, deletes, run, session, slow_at_times

import aionorth
from aionorth.bulk.observed import RunReport
from aionorth.bulk.pool import Pool
from aionorth.bulk.record import Progress
from aionorth.bulk.run import BulkDelete, RunOptions
from aionorth.common.arguments import renamed
from aionorth.events import Observers
from aionorth.items import Kind
from aionorth.simulator import CannedReply, CutBody, Delay, ErrorIn200, HtmlPage, Reset, ServerError, Simulator
from aionorth.wire.requests import Request, delete
from aionorth.wire.resources import SUBSCRIPTIONS

QUICK = aionorth.RetryPolicy(attempts=3, base=1.0, longest=4.0)


class Passes:
    """Counts the passes of the event loop while it is entered."""

    def __init__(self) -> None:
        self.count = 0

    async def __aenter__(self) -> Self:
        self._counting = asyncio.create_task(self._keep_counting())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._counting.cancel()

    async def _keep_counting(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.count += 1


async def as_they_come(ids: list[str], pause: float = 0.0) -> AsyncIterator[str]:
    for id_ in ids:
        if pause:
            await asyncio.sleep(pause)
        yield id_


# --- Whole runs


@pytest.mark.parametrize("form", [list, tuple, iter, lambda ids: (id_ for id_ in ids), as_they_come, dict.fromkeys])
async def test_ids_come_from_any_iterable(form: Any) -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_subscriptions(30)
        summary = await north.delete_subscriptions(form(ids))
        assert summary.deleted == summary.total == summary.calls == 30
        assert summary.ok
        assert not platform.subscription_ids()


async def test_version_packages_are_deleted_in_bulk() -> None:
    async with Simulator() as platform, session(platform) as north:
        summary = await north.delete_upgrade_packages([*platform.add_packages(5), "none"])
        assert (summary.deleted, summary.not_found, summary.ok) == (5, 1, True)


async def test_duplicates_are_dropped_and_counted() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_subscriptions(10)
        summary = await north.delete_subscriptions(ids + ids[:4] + ids[:1])
        assert (summary.total, summary.deleted, summary.duplicates, summary.calls) == (10, 10, 5, 10)
        assert len(deletes(platform)) == 10


async def test_an_empty_input_is_an_empty_run() -> None:
    async with Simulator() as platform, session(platform) as north:
        summary = await north.delete_subscriptions([])
        assert (summary.total, summary.ok) == (0, True)
        assert not platform.arrivals


@pytest.mark.parametrize(("collect", "results"), [("all", 4), ("failures", 1), ("none", 0)])
async def test_collect_decides_what_is_kept_and_counts_stay_whole(collect: Any, results: int) -> None:
    async with Simulator() as platform, session(platform, retry=QUICK) as north:
        ids = platform.add_subscriptions(3)
        platform.script(ErrorIn200("120015"), method="DELETE", path="bad")
        summary = await north.delete_subscriptions([*ids, "bad"], collect=collect)
        assert (summary.total, summary.deleted, summary.failed) == (4, 3, 1)
        assert len(summary.results) == results


async def test_results_are_streamed_as_they_come_about() -> None:
    async with Simulator(latency=lambda _: (1.0, 0.0)) as platform, session(platform) as north:
        ids = platform.add_subscriptions(20)
        loop = asyncio.get_running_loop()
        seen: list[tuple[str, float]] = []
        async with north.delete_subscriptions(ids, workers=4) as bulk:
            async for result in bulk:
                seen.append((result.id, loop.time()))
                assert bulk.summary.total == bulk.summary.deleted + bulk.summary.pending
        assert {id_ for id_, _ in seen} == set(ids)
        assert len({round(when) for _, when in seen}) == 5
        assert bulk.summary.deleted == 20


async def test_a_slow_consumer_holds_up_the_drawing_and_loses_nothing() -> None:
    drawn = 0

    def ids() -> Iterator[str]:
        nonlocal drawn
        for id_ in there:
            drawn += 1
            yield id_

    async with Simulator() as platform, session(platform) as north:
        there = platform.add_subscriptions(60)
        fetched = 0
        async with north.delete_subscriptions(ids(), workers=4) as bulk:
            async for _ in bulk:
                fetched += 1
                assert drawn <= fetched + 8
                await asyncio.sleep(1)
        assert fetched == 60


async def test_a_summary_reads_as_a_table_and_as_json() -> None:
    async with Simulator() as platform, session(platform, retry=QUICK) as north:
        ids = platform.add_subscriptions(3)
        platform.script(ErrorIn200("120015", "Bad request error."), method="DELETE", path=ids[0])
        summary = await north.delete_subscriptions([*ids, "none"])
    text = str(summary)
    assert "deleted    2" in text
    assert "total      4" in text
    assert "1 failed: HTTP 200, code 120015: Bad request error." in text
    as_dict = summary.to_dict()
    assert {name: as_dict[name] for name in ("total", "deleted", "not_found", "failed", "ok", "calls")} == {
        "total": 4,
        "deleted": 2,
        "not_found": 1,
        "failed": 1,
        "ok": False,
        "calls": 4,
    }
    (failed,) = [result for result in as_dict["results"] if result["outcome"] == "failed"]
    assert failed["error"]["code"] == "120015"
    with pytest.raises(aionorth.BulkFailedError, match="of 4 ids, 1 failed") as caught:
        summary.raise_for_failures()
    assert caught.value.summary is summary
    aionorth.DeleteSummary(total=1, not_found=1).raise_for_failures()


async def test_errors_that_are_kept_have_no_traceback() -> None:
    async with Simulator() as platform, session(platform, retry=aionorth.RetryPolicy(attempts=1)) as north:
        platform.script(Reset(), method="DELETE")
        (result,) = (await north.delete_subscriptions(["one"])).results
        link: BaseException | None = result.error
        assert link is not None
        while link is not None:
            assert link.__traceback__ is None
            link = link.__cause__ or link.__context__


# --- Bad input


@pytest.mark.parametrize("bad", ["", "..", "x" * 257, None, 3, b"one"])
async def test_a_collection_with_a_bad_id_is_refused_before_anything_is_sent(bad: Any) -> None:
    async with Simulator() as platform, session(platform) as north:
        with pytest.raises(aionorth.InvalidIdError, match=r"ids\[2\]"):
            north.delete_subscriptions([*platform.add_subscriptions(2), bad])
        assert not platform.arrivals


async def test_a_bad_id_in_a_stream_is_skipped_with_its_reason_and_the_run_goes_on() -> None:
    async with Simulator() as platform, session(platform) as north:
        first, second = platform.add_subscriptions(2)
        summary = await north.delete_subscriptions(iter([first, "", second, ""]))
        assert (summary.total, summary.deleted, summary.skipped, summary.duplicates) == (3, 2, 1, 1)
        assert isinstance(summary.failures[0].error, aionorth.InvalidIdError)


async def test_a_stream_that_yields_no_strings_ends_the_run_with_all_results_so_far() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids: list[Any] = [*platform.add_subscriptions(5), None, "never"]
        with pytest.raises(aionorth.BulkAbortedError, match="not a str but NoneType") as caught:
            await north.delete_subscriptions(iter(ids))
        assert caught.value.summary.deleted == caught.value.summary.total == 5


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_an_input_that_raises_ends_the_run_with_all_results_so_far(kind: str) -> None:
    def broken() -> Iterator[str]:
        yield from ids
        raise OSError("the file went away")

    async def broken_async() -> AsyncIterator[str]:
        for id_ in ids:
            yield id_
        raise OSError("the file went away")

    async with Simulator(latency=lambda _: (1.0, 0.0)) as platform, session(platform) as north:
        ids = platform.add_subscriptions(25)
        with pytest.raises(aionorth.BulkAbortedError, match="the file went away") as caught:
            await north.delete_subscriptions(broken() if kind == "sync" else broken_async())
        assert caught.value.summary.deleted == caught.value.summary.total == 25
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        ("sub-1", {}, r"\[id\]"),
        (b"sub-1", {}, r"\[id\]"),
        (5, {}, r"\[id\]"),
        ([], {"workers": 0}, "workers=0"),
        ([], {"workers": True}, "workers=True"),
        ([], {"collect": "some"}, "collect='some'"),
        ([], {"grace": -1}, "grace=-1"),
        ([], {"authorized_app_id": ""}, "authorized_app_id"),
    ],
)
async def test_an_unusable_argument_is_named(ids: Any, options: dict[str, Any], message: str) -> None:
    async with Simulator() as platform, session(platform) as north:
        with pytest.raises(aionorth.ArgumentError, match=message):
            north.delete_subscriptions(ids, **options)


async def test_a_run_is_used_once_and_as_meant() -> None:
    async with Simulator() as platform, session(platform) as north:
        bulk = north.delete_subscriptions([])
        with pytest.raises(aionorth.SessionStateError, match="async with"):
            async for _ in bulk:
                pass
        await bulk
        with pytest.raises(aionorth.SessionStateError, match="only once"):
            await bulk


async def test_a_run_that_cannot_begin_has_ended() -> None:
    async with Simulator() as platform, session(platform) as north:
        bulk = north.delete_subscriptions(["one"])
        with pytest.raises(aionorth.SessionStateError, match="another event loop's"):
            await asyncio.to_thread(asyncio.run, _entered(bulk))
        assert [result async for result in bulk] == []
        assert repr(bulk) == "<a bulk run of subscriptions, cancelled: 0 of 1 settled in 0.0 s>"
        assert not platform.arrivals


async def _entered(bulk: BulkDelete) -> None:
    async with bulk:
        pass


async def test_a_run_that_is_never_awaited_warns() -> None:
    async with Simulator() as platform, session(platform) as north:
        with pytest.warns(RuntimeWarning, match="never awaited"):
            north.delete_subscriptions(["one"])
        assert not platform.arrivals


# --- The end of a run


async def test_what_can_never_succeed_ends_the_run_and_the_rest_is_skipped() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_subscriptions(100)
        with pytest.raises(aionorth.BulkAbortedError, match="authorized_app_id") as caught:
            await north.delete_subscriptions(ids, authorized_app_id="unknown", workers=8)
        summary = caught.value.summary
        assert summary.total == 100
        assert 1 <= summary.failed <= 8
        assert summary.failed + summary.skipped == 100
        assert isinstance(caught.value.__cause__, aionorth.AppNotAuthorizedError)
        renamed_text = renamed(caught.value.marked, lambda name, _: name.upper())
        assert renamed_text.endswith("Leave AUTHORIZED_APP_ID out unless that app has authorized this one.")


async def test_an_aborted_stream_yields_every_result_and_then_raises() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_subscriptions(50)
        seen = set[str]()
        with pytest.raises(aionorth.BulkAbortedError):
            async with north.delete_subscriptions(ids, authorized_app_id="unknown") as bulk:
                async for result in bulk:
                    seen.add(result.id)
        assert seen == set(ids)


async def test_stopping_finishes_what_was_begun_and_skips_the_rest() -> None:
    async with Simulator(latency=lambda _: (1.0, 1.0)) as platform, session(platform, retry=QUICK) as north:
        ids = platform.add_subscriptions(200)
        bulk = north.delete_subscriptions(ids, workers=10)
        task = asyncio.create_task(asyncio.wait_for(bulk, None))
        await asyncio.sleep(7.0)
        platform.script(Reset(after_effect=True), method="DELETE", times=5)
        bulk.stop()
        summary = await task
        assert 10 <= summary.deleted + summary.gone <= 40
        assert summary.deleted + summary.gone + summary.skipped == summary.total == 200
        assert_reconciled(platform, summary, ids=ids, existed=set(ids), there_now=platform.subscription_ids())


async def test_a_run_stopped_before_it_begins_skips_everything() -> None:
    async with Simulator() as platform, session(platform) as north:
        bulk = north.delete_subscriptions(["a", "b"])
        bulk.stop()
        assert (await bulk).skipped == 2
        assert not platform.arrivals


async def test_leaving_early_gives_calls_in_flight_their_grace() -> None:
    async with Simulator(latency=lambda _: (1.0, 1.0)) as platform, session(platform) as north:
        ids = platform.add_subscriptions(60)
        async with north.delete_subscriptions(ids, workers=5, grace=10.0) as bulk:
            async for _ in bulk:
                break
        sent = len(deletes(platform))
        assert bulk.summary.deleted == sent
        assert bulk.summary.skipped == 60 - sent
        await asyncio.sleep(100)
        assert len(deletes(platform)) == sent


async def test_calls_still_out_when_the_grace_ends_are_unknown() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_subscriptions(20)
        platform.script(Delay(20.0), method="DELETE", times=3)
        loop = asyncio.get_running_loop()
        async with north.delete_subscriptions(ids, workers=3, grace=2.0) as bulk:
            await asyncio.sleep(1.0)
            start = loop.time()
        assert loop.time() - start == pytest.approx(2.0, abs=0.01)
        assert (bulk.summary.unknown, bulk.summary.skipped) == (3, 17)
        assert north.flow.in_use == 1 + 3  # they may have been counted


async def test_cancelling_a_run_propagates_and_leaves_an_exact_summary() -> None:
    async with Simulator(latency=lambda _: (1.0, 1.0)) as platform, session(platform) as north:
        ids = platform.add_subscriptions(100)
        bulk = north.delete_subscriptions(as_they_come(ids), workers=6)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7.0):
                await bulk
        assert bulk.summary.pending == 0
        assert bulk.summary.deleted == len(deletes(platform)) > 0
        assert bulk.summary.total == bulk.summary.deleted + bulk.summary.skipped


async def test_a_second_cancellation_ends_the_grace_at_once() -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.script(Delay(30.0), method="DELETE", times=4)
        bulk = north.delete_subscriptions(platform.add_subscriptions(10), workers=4, grace=20.0)
        task = asyncio.create_task(asyncio.wait_for(bulk, None))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
        assert task.cancelled()
        assert (bulk.summary.unknown, bulk.summary.skipped, bulk.summary.pending) == (4, 6, 0)


async def test_an_endless_input_can_be_left() -> None:
    async with Simulator() as platform, session(platform) as north:
        async with north.delete_subscriptions(str(number) for number in itertools.count()) as bulk:
            async for _ in bulk:
                if bulk.summary.not_found >= 30:
                    break
        assert bulk.summary.pending == 0
        assert bulk.summary.total < 200


async def test_an_input_that_waits_for_ever_can_be_cancelled() -> None:
    async def ids() -> AsyncIterator[str]:
        yield "one"
        await asyncio.Event().wait()

    async with Simulator() as platform, session(platform) as north:
        bulk = north.delete_subscriptions(ids())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                await bulk
        assert (bulk.summary.total, bulk.summary.not_found) == (1, 1)


async def test_a_collection_that_changes_meanwhile_does_not_change_the_run() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = set(platform.add_subscriptions(60))
        async with north.delete_subscriptions(ids, workers=4) as bulk:
            async for result in bulk:
                ids.discard(result.id)
        assert bulk.summary.deleted == bulk.summary.total == 60


async def test_an_input_that_was_cancelled_ends_the_run_and_is_said_so() -> None:
    async def ids() -> AsyncIterator[str]:
        yield "one"
        producer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        producer.cancel()
        yield await producer

    async with Simulator() as platform, session(platform) as north:
        with pytest.raises(aionorth.BulkAbortedError, match="cancelled") as caught:
            await north.delete_subscriptions(ids())
        assert caught.value.summary.total == 1
        assert caught.value.summary.pending == 0


async def test_an_id_drawn_while_the_run_is_stopped_is_skipped() -> None:
    def ids() -> Iterator[str]:
        yield first
        bulk.stop()
        yield second

    async with Simulator() as platform, session(platform) as north:
        first, second = platform.add_subscriptions(2)
        bulk = north.delete_subscriptions(ids(), workers=1)
        summary = await bulk
        assert (summary.deleted, summary.skipped) == (1, 1)
        assert platform.subscription_ids() == {second}


async def test_ids_that_come_to_nothing_do_not_hold_up_the_loop() -> None:
    unspread = aionorth.FlowControl(1_000_000)  # while the other task runs the clock hardly does
    async with Simulator() as platform, session(platform, flow_control=unspread) as north:
        async with Passes() as passes:
            summary = await north.delete_subscriptions(itertools.chain(["one"] * 10_000, ("" for _ in range(10_000))))
        assert (summary.not_found, summary.skipped, summary.duplicates) == (1, 1, 19_998)
        assert passes.count > 20


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_it_works_with_eager_tasks() -> None:
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - not in 3.11
    async with Simulator(latency=lambda _: (1.0, 1.0)) as platform, session(platform) as north:
        ids = platform.add_subscriptions(60)
        async with north.delete_subscriptions(ids, workers=8, grace=10.0) as bulk:
            async for _ in bulk:
                break
        assert bulk.summary.deleted == len(deletes(platform))
        assert bulk.summary.unknown == 0


async def test_an_input_that_has_halted_once_is_drawn_from_as_fast_as_before() -> None:
    async def ids() -> AsyncIterator[str]:
        await asyncio.sleep(0)  # all workers wait for it meanwhile
        for number in range(800):
            yield f"id-{number}"

    async def send(_: Request, progress: Progress) -> None:
        progress.begin()
        await asyncio.sleep(0)
        progress.end(None)

    pool = Pool(ids(), check=str, build=partial(delete, SUBSCRIPTIONS), send=send, workers=40)
    async with Passes() as passes:
        summary = await BulkDelete(
            pool,
            RunOptions(workers=40),
            now=asyncio.get_running_loop().time,
            report=RunReport(Observers(), Kind.SUBSCRIPTIONS),
        )
    assert summary.deleted == 800
    assert passes.count < 200  # a draw a pass would take 800


async def test_a_session_closed_during_a_run_ends_it() -> None:
    async with Simulator(latency=lambda _: (1.0, 1.0)) as platform:
        ids = platform.add_subscriptions(40)
        north = session(platform, token=platform.issue_token())
        await north.__aenter__()
        bulk = north.delete_subscriptions(ids, workers=4)
        task = asyncio.ensure_future(bulk)
        await asyncio.sleep(5.5)
        await north.close()
        with pytest.raises(aionorth.BulkAbortedError, match="closed") as caught:
            await task
        assert caught.value.summary.calls == len(deletes(platform))
        assert_reconciled(
            platform, caught.value.summary, ids=ids, existed=set(ids), there_now=platform.subscription_ids()
        )


# --- The two promises, over real sockets


@given(
    seed=st.integers(0, 2**32),
    model=st.sampled_from(["fixed", "sliding", "sliding-refusals", "bucket"]),
    calls=st.integers(2, 20),
    workers=st.integers(1, 20),
    number=st.integers(1, 60),
    given_token=st.booleans(),
)
def test_alone_it_is_never_refused_whatever_way_the_platform_counts(
    seed: int, model: str, calls: int, workers: int, number: int, given_token: bool
) -> None:
    async def main() -> None:
        rng = random.Random(seed)
        async with Simulator(model=model, calls=calls, period=10.0, latency=slow_at_times, seed=seed) as platform:
            await asyncio.sleep(rng.uniform(0, 10))  # somewhere within a clock minute
            ids = platform.add_subscriptions(number)
            options = {"token": platform.issue_token()} if given_token else {}
            async with session(platform, flow_control=aionorth.FlowControl(calls, 10.0), **options) as north:
                with_cuts = north.delete_subscriptions(ids[: number // 3], workers=workers, grace=0.0)
                try:
                    async with asyncio.timeout(rng.uniform(0, 15)):
                        await with_cuts
                except TimeoutError:
                    pass
                summary = await north.delete_subscriptions(ids, workers=workers)
            assert summary.ok
            assert not any(arrival.refused for arrival in platform.arrivals)
            assert not platform.subscription_ids()

    run(main())


FAULTS = [
    Reset(),
    Reset(after_effect=True),
    CutBody(),
    HtmlPage(502),
    HtmlPage(502, after_effect=True),
    HtmlPage(200, after_effect=True),
    ServerError(),
    ServerError(500, "50252", after_effect=True),
    Delay(40.0),
    Delay(40.0, after_effect=True),
    ErrorIn200("1010009"),
    CannedReply(404, b"<html>nothing here</html>"),
]


@given(
    seed=st.integers(0, 2**32),
    faults=st.lists(st.sampled_from(FAULTS), max_size=4, unique=True),
    workers=st.integers(1, 12),
    number=st.integers(1, 40),
    missing=st.integers(0, 10),
    end=st.sampled_from(["whole", "cancel", "stop", "leave", "evict"]),
    cut=st.floats(0, 60),
    threshold=st.sampled_from([5, 100]),
)
def test_every_id_ends_in_exactly_one_truthful_outcome(
    seed: int,
    faults: list[Any],
    workers: int,
    number: int,
    missing: int,
    end: str,
    cut: float,
    threshold: int,
) -> None:
    async def main() -> None:
        async with Simulator(
            latency=slow_at_times, seed=seed, calls=threshold, period=10.0, chances=dict.fromkeys(faults, 0.12)
        ) as platform:
            there = platform.add_subscriptions(number)
            ids = there + [f"missing-{n}" for n in range(missing)]
            random.Random(seed).shuffle(ids)
            async with session(platform, retry=QUICK, flow_control=aionorth.FlowControl(10, 10.0)) as north:
                bulk = north.delete_subscriptions(ids, workers=workers, grace=cut / 10)
                asyncio.get_running_loop().call_later(cut, {"stop": bulk.stop, "evict": platform.evict}.get(end, int))
                try:
                    async with asyncio.timeout(cut if end == "cancel" else None):
                        if end == "leave":
                            async with bulk:
                                async for _ in bulk:
                                    if bulk.summary.elapsed > cut:
                                        break
                        else:
                            await bulk
                except TimeoutError:
                    pass
                summary = bulk.summary
                there_now = platform.subscription_ids()
            assert summary.total == len(ids)
            assert_reconciled(platform, summary, ids=ids, existed=set(there), there_now=there_now)
            if end in {"whole", "stop", "evict"}:
                assert summary.calls == len(deletes(platform))
            assert summary.refusals == sum(arrival.code == "1010009" for arrival in deletes(platform)) or end != "whole"

    run(main())


async def test_a_run_that_has_not_begun_says_so_where_a_coroutine_was_expected() -> None:
    async with Simulator() as platform, session(platform) as north:
        run = north.delete_subscriptions(["one"])
        with pytest.raises(TypeError, match="not begun: await it"):
            asyncio.create_task(run)  # type: ignore[arg-type]  # noqa: RUF006 - as a beginner does
        assert (await run).not_found == 1
        assert repr(run) == "<a bulk run of subscriptions, finished: 1 of 1 settled in 0.0 s>"
