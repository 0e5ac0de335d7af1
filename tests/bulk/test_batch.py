"""The one call for many ids: what can be done with its run, and what becomes of each id."""

import asyncio

import pytest
from support import session

from aionorth import BulkAbortedError, BulkDelete, Outcome, RetryPolicy, SubscriptionSelection
from aionorth.bulk.batch import Batch
from aionorth.bulk.observed import RunReport
from aionorth.bulk.record import Progress, Record
from aionorth.bulk.run import RunOptions
from aionorth.errors import AppNotAuthorizedError, FlowControlError, NorthError, NotFoundError, ReplyLostError
from aionorth.events import Observers
from aionorth.items import Kind
from aionorth.simulator import Delay, ErrorIn200, Reset, Simulator
from aionorth.wire.requests import Request, delete_matching_subscriptions

REQUEST = delete_matching_subscriptions("deviceAdded", None)
IDS = ["a", "b", "c"]


def batch(*ends: NorthError | None) -> BulkDelete:
    """A run whose attempts end so."""

    async def send(request: Request, progress: Progress) -> None:
        assert request is REQUEST
        for end in ends:
            progress.begin()
            await asyncio.sleep(1)
            progress.end(end)
        if ends[-1] is not None:
            raise ends[-1]

    return BulkDelete(
        Batch(IDS, REQUEST, send=send),
        RunOptions(),
        now=asyncio.get_running_loop().time,
        report=RunReport(Observers(), Kind.SUBSCRIPTIONS),
    )


async def test_the_calls_are_counted_once_and_the_outcome_is_that_of_each_id() -> None:
    summary = await batch(FlowControlError(429), ReplyLostError("lost"), None)
    assert (summary.total, summary.deleted, summary.calls, summary.refusals, summary.retries) == (3, 3, 3, 1, 1)
    assert [(result.id, result.attempts) for result in summary.results] == [("a", 2), ("b", 0), ("c", 0)]


async def test_results_are_streamed() -> None:
    async with batch(NotFoundError(404)) as run:
        assert (run.expected, run.summary.total, run.summary.pending) == (3, 3, 3)
        assert [(result.id, result.outcome) async for result in run] == [(id_, Outcome.UNKNOWN) for id_ in IDS]
    assert run.summary.pending == 0


async def test_more_results_than_the_stream_has_places_come_through() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_subscriptions(200)
        plan = await north.plan(SubscriptionSelection(everything=True))
        async with north.purge(plan, batch=True, workers=2) as run:
            assert {result.id async for result in run} == set(ids)


async def test_what_ends_a_run_ends_this_one_too() -> None:
    with pytest.raises(BulkAbortedError) as caught:
        await batch(AppNotAuthorizedError(403, "100217"))
    assert caught.value.summary.failed == caught.value.summary.total == 3


async def test_a_call_that_has_begun_is_finished_when_the_run_is_stopped() -> None:
    async with batch(ReplyLostError("lost"), None) as run:
        await asyncio.sleep(0.5)
        run.stop()
        assert [result.outcome async for result in run] == [Outcome.DELETED] * 3


@pytest.mark.parametrize("entered", [False, True])
async def test_a_call_that_has_not_begun_is_not_made_when_the_run_is_stopped(*, entered: bool) -> None:
    run = batch(None)
    if not entered:
        run.stop()
    async with run:
        run.stop()
        assert [result.outcome async for result in run] == [Outcome.SKIPPED] * 3
    assert run.summary.calls == 0


@pytest.mark.parametrize("grace", [0.0, 3.0])
async def test_a_call_in_flight_gets_the_grace(grace: float) -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_subscriptions(3)
        plan = await north.plan(SubscriptionSelection(everything=True))
        platform.script(Delay(2.0), method="DELETE")
        async with north.purge(plan, batch=True, grace=grace) as run:
            await asyncio.sleep(1.0)
        assert run.summary.count(Outcome.DELETED if grace else Outcome.UNKNOWN) == 3


async def test_it_is_retried_as_any_call() -> None:
    async with Simulator() as platform, session(platform, retry=RetryPolicy(attempts=3, base=0.1)) as north:
        platform.add_subscriptions(3)
        plan = await north.plan(SubscriptionSelection(everything=True))
        platform.script(Reset(), method="DELETE")
        platform.script(ErrorIn200("1010009"), method="DELETE")
        summary = await north.purge(plan, batch=True)
        assert (summary.deleted, summary.calls, summary.refusals, summary.retries) == (3, 3, 1, 1)


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (Record(), Outcome.SKIPPED),
        (Record().sent, Outcome.UNKNOWN),
        (Record().sent.answered, Outcome.DELETED),
        (Record().sent.failed(NotFoundError(404)), Outcome.UNKNOWN),
        (Record().sent.failed(NotFoundError(404)).sent, Outcome.UNKNOWN),
        (Record().sent.failed(ReplyLostError("lost")), Outcome.UNKNOWN),
        (Record().sent.failed(AppNotAuthorizedError(403)), Outcome.FAILED),
    ],
)
def test_a_404_says_nothing_of_any_id(record: Record, outcome: Outcome) -> None:
    async def send(*_: object) -> None: ...

    assert [share[2] for share in Batch(IDS, REQUEST, send=send).shares(record)] == [outcome] * 3
