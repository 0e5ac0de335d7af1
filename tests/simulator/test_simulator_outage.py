"""Outages and rejected ids, as a client of the simulator meets them."""

import asyncio
import math
from typing import Any

import aiohttp
import pytest
from support import APP, session

import aionorth
from aionorth.simulator import OutageKind, Rejection, Reset, ServerError, Simulator
from aionorth.simulator.replies import REJECTIONS

KINDS: list[OutageKind] = ["refused", "hangs", "503", "502"]
ONE = "/iocm/app/sub/v1.2.0/subscriptions/s1"


async def delete(platform: Simulator, url: str) -> int:
    headers = {"app_key": APP, "Authorization": f"Bearer {platform.issue_token()}"}
    async with aiohttp.ClientSession() as http, http.delete(url + ONE, headers=headers) as reply:
        return reply.status


@pytest.mark.parametrize(
    "kind", ["hangs", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "hangs")]
)
async def test_a_purge_outlives_an_outage_of_each_kind(kind: OutageKind) -> None:
    loop = asyncio.get_running_loop()
    async with Simulator() as platform, session(platform) as north:
        ids, began = platform.add_subscriptions(300), loop.time()
        platform.outage(seconds=600, kind=kind, after=60)
        summary = await north.delete_subscriptions(ids)
        took = loop.time() - began
        assert not platform.subscription_ids()
    assert summary.deleted + summary.gone == 300
    assert summary.refusals == 0
    assert 660 < took < 960


@pytest.mark.parametrize(("kind", "status"), [("503", 503), ("502", 502)])
async def test_a_call_in_an_outage_is_neither_counted_nor_carried_out(kind: OutageKind, status: int) -> None:
    async with Simulator(calls=1) as platform:
        ids = platform.add_subscriptions(["s1"])
        platform.outage(seconds=10, kind=kind)
        assert [await delete(platform, platform.url) for _ in range(3)] == [status] * 3
        assert platform.subscription_ids() == set(ids)
        await asyncio.sleep(10)
        assert await delete(platform, platform.url) == 204
    assert [arrival.status for arrival in platform.arrivals] == [status] * 3 + [204]


async def test_a_platform_that_refuses_connections_comes_back_at_the_same_port() -> None:
    async with Simulator() as platform:
        platform.add_subscriptions(["s1"])
        url = platform.url
        platform.outage(seconds=10)
        with pytest.raises(aiohttp.ClientConnectorError):
            await delete(platform, url)
        assert not platform.arrivals
        await asyncio.sleep(10)
        assert await delete(platform, url) == 204


async def test_a_call_that_hangs_is_reset_when_the_outage_ends() -> None:
    loop = asyncio.get_running_loop()
    async with Simulator() as platform:
        platform.add_subscriptions(["s1"])
        began = loop.time()
        platform.outage(seconds=10, kind="hangs")
        assert await delete(platform, platform.url) == 204  # aiohttp repeats a DELETE whose connection is reset
        assert loop.time() - began == pytest.approx(10, abs=0.1)
    assert [(arrival.status, arrival.fault) for arrival in platform.arrivals] == [(None, Reset()), (204, None)]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_platform_can_be_closed_in_an_endless_outage(kind: OutageKind) -> None:
    async with Simulator() as platform:
        platform.outage(seconds=math.inf, kind=kind)
        await asyncio.sleep(1)
        call = asyncio.ensure_future(delete(platform, platform.url))
        await asyncio.sleep(1)
    await asyncio.gather(call, return_exceptions=True)
    async with Simulator() as platform:
        platform.add_subscriptions(["s1"])
        assert await delete(platform, platform.url) == 204


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"seconds": 0}, "more than 0 seconds, not 0"),
        ({"seconds": math.nan}, "more than 0 seconds, not nan"),
        ({"seconds": 1, "kind": "504"}, "one of refused, hangs, 503, 502, not '504'"),
        ({"seconds": 1, "after": -1}, "0 or more seconds from now, not -1"),
        ({"seconds": 10, "after": 59}, "away for a part of that time already"),
    ],
)
async def test_an_outage_that_cannot_be_is_refused(arguments: dict[str, Any], complaint: str) -> None:
    async with Simulator() as platform:
        platform.outage(seconds=10, kind="503", after=60)
        with pytest.raises(ValueError, match=complaint):
            platform.outage(**arguments)


async def test_a_platform_that_has_not_been_started_has_no_outage() -> None:
    with pytest.raises(RuntimeError, match="not been started"):
        Simulator().outage(seconds=1)


async def test_rejected_ids_fail_with_the_code_and_the_others_are_deleted() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_subscriptions(20)
        platform.reject(ids[:3])
        platform.reject(ids[3:5], code="50400")
        summary = await north.delete_subscriptions(ids[3:])
        assert (summary.deleted, summary.failed) == (15, 2)
        assert {
            result.error.code for result in summary.failures if isinstance(result.error, aionorth.NorthApiError)
        } == {"50400"}
        with pytest.raises(aionorth.AppNotAuthorizedError):
            await north.delete_subscription(ids[0])
        platform.reject(ids, code=None)
        assert (await north.delete_subscriptions(ids[:5])).deleted == 5


@pytest.mark.parametrize("code", REJECTIONS)
async def test_a_rejected_id_gets_the_documented_status(code: str) -> None:
    async with Simulator() as platform:
        platform.add_subscriptions(["s1"])
        platform.reject(["s1"], code=code)
        assert await delete(platform, platform.url) == REJECTIONS[code].status
        assert platform.subscription_ids() == {"s1"}
        assert (platform.arrivals[0].code, platform.arrivals[0].fault) == (code, Rejection(code))


async def test_a_scripted_fault_comes_before_a_rejection() -> None:
    async with Simulator() as platform:
        platform.add_subscriptions(["s1"])
        platform.reject(["s1"])
        platform.script(ServerError())
        assert [await delete(platform, platform.url) for _ in range(2)] == [503, 403]


@pytest.mark.parametrize(
    ("ids", "code", "complaint"),
    [
        ("s1", "100217", r"not one string: \['s1'\]"),
        (["s1"], "4711", "code must be one of 100217, .*, not '4711'"),
        (["s1"], "1010009", "for flow control there is throttle"),
        ([""], "100217", "not an id: ''"),
    ],
)
def test_a_rejection_that_cannot_be_is_refused(ids: Any, code: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Simulator().reject(ids, code=code)
