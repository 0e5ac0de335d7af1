"""Failures that end a run before its input does."""

import json

import attrs
import pytest
from support import session

import aionorth
from aionorth import AppKeyMissingError, BulkAbortedError, Outcome, TooManyFailuresError
from aionorth.bulk.failures import ALIKE, Failures
from aionorth.simulator import CannedReply, Simulator

IDS = [f"id{number}" for number in range(200)]


def refused(status: int, code: str, times: int = 1000) -> tuple[CannedReply, int]:
    return CannedReply(status, json.dumps({"error_code": code, "error_desc": "no"}).encode()), times


async def aborted(
    platform: Simulator, *replies: tuple[CannedReply, int], max_failures: int | None = None
) -> BulkAbortedError:
    platform.add_subscriptions(ids=IDS)
    async with session(platform) as north:
        for reply, times in replies:
            platform.script(reply, method="DELETE", times=times)
        with pytest.raises(BulkAbortedError) as caught:
            await north.delete_subscriptions(IDS, workers=4, max_failures=max_failures)
    return caught.value


@pytest.mark.parametrize(("status", "code"), [(401, "APIG.0301"), (403, "999999")])
async def test_an_unknown_refusal_of_the_first_twenty_ids_ends_the_run(status: int, code: str) -> None:
    async with Simulator() as platform:
        error = await aborted(platform, refused(status, code))
    assert isinstance(error.__cause__, TooManyFailuresError)
    assert f"the first 20 ids all failed alike, and so would the others: HTTP {status}, code {code}: no" in str(error)
    assert ALIKE <= error.summary.failed <= ALIKE + 3
    assert error.summary.skipped == len(IDS) - error.summary.failed


async def test_a_refusal_of_some_ids_is_their_own() -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_subscriptions(ids=IDS)
        platform.script(refused(403, "999999")[0], method="DELETE", times=19)
        summary = await north.delete_subscriptions(IDS, workers=1)
    assert (summary.failed, summary.deleted) == (19, len(IDS) - 19)


async def test_a_header_that_is_dropped_on_the_way_ends_the_run_at_once() -> None:
    async with Simulator() as platform:
        error = await aborted(platform, refused(401, "100025"))
    assert isinstance(error.__cause__, AppKeyMissingError)
    assert "underscores_in_headers on" in str(error)
    assert error.summary.failed <= 4


async def test_a_run_ends_after_as_many_failures_as_it_may_have() -> None:
    async with Simulator() as platform:
        error = await aborted(platform, refused(400, "7", times=3), max_failures=3)
    assert "3 ids have failed, as many as were allowed; the last: HTTP 400, code 7" in str(error)
    assert 3 <= error.summary.failed <= 6
    assert error.summary.pending == 0


@pytest.mark.parametrize("number", [0, -1, 1.5, "3"])
async def test_a_number_of_failures_that_cannot_be_is_refused(number: object) -> None:
    async with Simulator() as platform, session(platform) as north:
        with pytest.raises(aionorth.ArgumentError, match="max_failures="):
            north.delete_subscriptions(IDS, max_failures=number)  # type: ignore[arg-type]


def test_twenty_refusals_that_differ_are_not_alike() -> None:
    failures = Failures()
    for number in range(2 * ALIKE):
        error = aionorth.NorthApiError(403, str(number % 2))
        assert failures.add(aionorth.DeleteResult("a", Outcome.FAILED, error, 1, 0, 0.0)) is None


def test_codes_with_a_meaning_of_their_own_are_not_counted_as_alike() -> None:
    failures = Failures()
    for _ in range(2 * ALIKE):
        error = aionorth.BadRequestError(403, "120015")
        assert failures.add(aionorth.DeleteResult("a", Outcome.FAILED, error, 1, 0, 0.0)) is None
    assert attrs.asdict(failures) == {"maximum": None, "failed": 40, "settled": 40, "alike": None}
