"""Another client's calls pass the session's flow control in slots, with the session's token."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import pytest
from small_platform import small_platform
from support import APP, session

import aionorth
from aionorth.simulator import Simulator

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
ONE_CALL = aionorth.FlowControl(calls=1, period=10.0)
TWO_CALLS = aionorth.FlowControl(calls=2, period=10.0)

Get = Callable[[str, dict[str, str]], Awaitable[int]]


@asynccontextmanager
async def opened(flow_control: aionorth.FlowControl = ONE_CALL, **options: Any) -> AsyncIterator[aionorth.NorthSession]:
    """A session with a platform that is not there."""
    options = {"app_id": APP, "token": "t0ken", "flow_control": flow_control, "timeout": 20.0, **options}
    async with aionorth.NorthSession("http://127.0.0.1:9", **options) as north:
        yield north


async def test_a_slot_counts_until_a_period_after_its_block() -> None:
    async with opened() as north:
        async with north.slot():
            await asyncio.sleep(3.0)
            assert north.flow.in_use == 1
        assert north.flow.next_slot == pytest.approx(10.0, abs=0.1)
        began = asyncio.get_running_loop().time()
        async with north.slot():
            assert asyncio.get_running_loop().time() - began == pytest.approx(10.0, abs=0.1)


async def test_a_block_that_ends_in_an_exception_counts_until_the_session_s_time_out_after_it() -> None:
    async with opened() as north:
        with pytest.raises(ZeroDivisionError):
            async with north.slot():
                raise ZeroDivisionError
        assert north.flow.next_slot == pytest.approx(20.0 + 10.0, abs=0.1)


async def test_a_block_that_is_cancelled_counts_until_the_session_s_time_out_after_it() -> None:
    async def call(north: aionorth.NorthSession) -> None:
        async with north.slot():
            await asyncio.sleep(15.0)

    async with opened() as north:
        task = asyncio.ensure_future(call(north))
        await asyncio.sleep(2.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert north.flow.next_slot == pytest.approx(20.0 + 10.0, abs=0.1)


async def test_a_call_that_is_cancelled_while_it_waits_for_a_slot_takes_none() -> None:
    async def call(north: aionorth.NorthSession) -> None:
        async with north.slot():
            await asyncio.sleep(1.0)

    async with opened() as north:
        await call(north)
        task = asyncio.ensure_future(call(north))
        await asyncio.sleep(2.0)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(8.1)
        assert north.flow.in_use == 0


@pytest.mark.parametrize("allowed", [None, 2.0, 100.0])
async def test_a_block_has_a_time_out(allowed: float | None) -> None:
    now = asyncio.get_running_loop().time
    async with opened(TWO_CALLS) as north:
        began = now()
        with pytest.raises(aionorth.ReplyTimeoutError):
            async with north.slot(timeout=allowed):
                await asyncio.sleep(1000.0)
        assert now() - began == pytest.approx(allowed or 20.0, abs=0.1)
        assert north.flow.in_use == 1
        await asyncio.sleep(20.0)
        assert north.flow.in_use == 1
        await asyncio.sleep(10.2)
        assert north.flow.in_use == 0


async def test_the_block_s_own_time_out_is_raised_as_it_is() -> None:
    async with opened() as north:
        with pytest.raises(TimeoutError) as caught:
            async with north.slot(), asyncio.timeout(1.0):
                await asyncio.sleep(5.0)
        assert not isinstance(caught.value, aionorth.NorthError)


async def test_a_refusal_that_is_reported_pauses_the_app_at_once() -> None:
    async with opened(TWO_CALLS) as north:
        with pytest.raises(ZeroDivisionError):
            async with north.slot() as slot:
                slot.refused(retry_after=7.0)
                assert north.flow.paused_for == pytest.approx(7.0, abs=0.1)
                raise ZeroDivisionError
        assert north.flow.refusals == 1
        began = asyncio.get_running_loop().time()
        async with north.slot():
            assert asyncio.get_running_loop().time() - began >= 7.0


async def test_a_refusal_is_reported_once_and_inside_the_block() -> None:
    async with opened(TWO_CALLS) as north:
        async with north.slot() as slot:
            for nonsense in (-1.0, float("nan"), "7"):
                with pytest.raises(aionorth.ArgumentError, match="retry_after"):
                    slot.refused(nonsense)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            slot.refused()
            with pytest.raises(aionorth.SessionStateError):
                slot.refused()
        async with north.slot() as slot:
            pass
        with pytest.raises(aionorth.SessionStateError):
            slot.refused()
        assert north.flow.refusals == 1


async def test_a_slot_needs_an_open_session_and_a_sound_time_out() -> None:
    async with opened() as north:
        for nonsense in (0, -1.0, float("inf"), "5"):
            with pytest.raises(aionorth.ArgumentError, match="timeout"):
                await north.slot(timeout=nonsense).__aenter__()  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(aionorth.SessionStateError):
        await north.slot().__aenter__()
    with pytest.raises(aionorth.SessionStateError):
        await north.access_token()


async def test_a_slot_goes_before_bulk_work_that_waits() -> None:
    async with (
        Simulator(calls=10, period=10.0) as platform,
        session(platform, flow_control=aionorth.FlowControl(calls=10, period=10.0)) as north,
    ):
        run = asyncio.ensure_future(north.delete_subscriptions(platform.add_subscriptions(100)))
        await asyncio.sleep(5.0)
        began = asyncio.get_running_loop().time()
        async with north.slot():
            assert asyncio.get_running_loop().time() - began < 6.0
        assert (await run).deleted == 100
        assert not north.flow.refusals


async def test_a_slot_waits_for_the_end_of_an_outage() -> None:
    async with small_platform() as platform:
        url = f"http://127.0.0.1:{platform.port}"
        async with aionorth.NorthSession(url, app_id=APP, token="t0ken") as north:
            await north.delete_subscription("first")
            await platform.become("503")
            run = asyncio.ensure_future(north.delete_subscriptions([str(n) for n in range(20)]))
            await asyncio.sleep(60.0)
            assert north.flow.silent_for
            asyncio.get_running_loop().call_later(100.0, setattr, platform, "state", "up")
            began = asyncio.get_running_loop().time()
            async with north.slot():
                assert asyncio.get_running_loop().time() - began > 99.0
                assert not north.flow.silent_for
            assert (await run).deleted == 20


async def test_the_access_token_is_one_that_the_platform_accepts_and_is_renewed_in_time() -> None:
    async with Simulator(token_lifetime=100.0) as platform, session(platform) as north:
        seen = set[str]()
        async with aiohttp.ClientSession() as http:
            for _ in range(8):
                async with north.slot():
                    token = await north.access_token()
                    headers = {"app_key": APP, "Authorization": f"Bearer {token}"}
                    async with http.get(platform.url + SUBSCRIPTIONS, headers=headers) as response:
                        assert response.status == 200
                seen.add(token)
                await asyncio.sleep(30.0)
        assert 2 <= len(seen) <= 4


# --- All kinds of callers at once

CALLS, PERIOD = 100, 6.0


@asynccontextmanager
async def with_aiohttp(url: str) -> AsyncIterator[Get]:
    async with aiohttp.ClientSession(url) as http:

        async def get(path: str, headers: dict[str, str]) -> int:
            async with http.get(path, headers=headers) as response:
                await response.read()
                return response.status

        yield get


@asynccontextmanager
async def with_httpx(url: str) -> AsyncIterator[Get]:
    httpx = pytest.importorskip("httpx")
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:

        async def get(path: str, headers: dict[str, str]) -> int:
            return int((await http.get(path, headers=headers)).status_code)

        yield get


async def several(times: int, at_once: int, call: Callable[[], Awaitable[object]]) -> None:
    async def some() -> None:
        for _ in range(times // at_once):
            await call()

    await asyncio.gather(*(some() for _ in range(at_once)))


async def seconds_of(platform: Simulator, *work: Awaitable[object]) -> float:
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*work)
    assert not any(arrival.refused for arrival in platform.arrivals)
    return asyncio.get_running_loop().time() - began


@pytest.mark.slow
@pytest.mark.parametrize("client", [with_httpx, with_aiohttp])
async def test_a_purge_own_calls_and_another_client_share_the_rate_of_one_caller(client: Any) -> None:
    options: Any = {"model": "sliding-refusals", "calls": CALLS, "period": PERIOD, "latency": lambda _: (0.01, 0.01)}
    flow_control = aionorth.FlowControl(calls=CALLS, period=PERIOD)
    async with Simulator(**options) as platform, session(platform, flow_control=flow_control) as north:
        alone = await seconds_of(platform, north.delete_subscriptions(platform.add_subscriptions(1000)))

    async with (
        Simulator(**options) as platform,
        session(platform, flow_control=flow_control) as north,
        client(platform.url) as get,
    ):

        async def other() -> None:
            async with north.slot():
                headers = {"app_key": APP, "Authorization": f"Bearer {await north.access_token()}"}
                assert await get(SUBSCRIPTIONS, headers) == 200

        together = await seconds_of(
            platform,
            north.delete_subscriptions(platform.add_subscriptions(500)),
            several(300, 4, partial(north.request, "GET", SUBSCRIPTIONS)),
            several(200, 4, other),
        )
        assert len(platform.arrivals) == 1 + 500 + 300 + 200
        assert north.flow.refusals == 0
    assert together == pytest.approx(alone, rel=0.03)
