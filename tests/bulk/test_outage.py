"""The platform is away for a while: what becomes of a run, and how often it is asked meanwhile."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
from small_platform import SmallPlatform, State, small_platform
from support import APP, SECRET

import aionorth
from aionorth.simulator import Simulator
from aionorth.stores.base import Store
from aionorth.stores.machine import OpenMachineStore

AWAY = 1800.0
IDS = [f"id{number}" for number in range(2000)]


@asynccontextmanager
async def away(platform: SmallPlatform, state: State, begins: float, seconds: float = AWAY) -> AsyncIterator[None]:
    """Take the platform away for a while, `begins` seconds from now."""

    async def outage() -> None:
        await asyncio.sleep(begins)
        await platform.become(state)
        await asyncio.sleep(seconds)
        await platform.become("up")

    task = asyncio.create_task(outage())
    try:
        yield
    finally:
        task.cancel()


def session(platform: SmallPlatform, host: str = "127.0.0.1", **options: object) -> aionorth.NorthSession:
    return aionorth.NorthSession(f"http://{host}:{platform.port}", app_id=APP, token="live-token", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "workers", "number"),
    [
        ("hangs", 16, 600),
        ("502", 1, 600),
        *(
            pytest.param(state, workers, number, marks=pytest.mark.slow)
            for state in ("refused", "hangs", "503", "502")
            for workers, number in ((1, 600), (16, 2000))
        ),
    ],
)
async def test_half_an_hour_without_the_platform_fails_no_id(state: State, workers: int, number: int) -> None:
    loop, ids = asyncio.get_running_loop(), IDS[:number]
    patient = aionorth.RetryPolicy(outage=12 * 3600.0)
    async with small_platform() as platform, session(platform, retry=patient) as north, away(platform, state, 300.0):
        began = loop.time()
        summary = await north.delete_subscriptions(ids, workers=workers)
        took = loop.time() - began
    assert summary.failed == summary.unknown == summary.skipped == 0
    assert summary.deleted + summary.gone == len(ids)
    assert took <= len(ids) * 0.6 + AWAY + 120
    meanwhile = [at for at, _ in platform.arrivals if began + 300 <= at < began + 300 + AWAY]
    assert len(meanwhile) <= 60
    noticed = 300 + 6 * 30  # where one call at a time waits for its time-out
    lines = [line for at, line in platform.arrivals if began + noticed <= at < began + 300 + AWAY]
    assert set(lines) <= {"GET /iocm/app/sub/v1.2.0/subscriptions?pageNo=0&pageSize=1"}


async def test_an_outage_is_reported_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "aionorth")
    states = list[aionorth.FlowState]()
    async with small_platform() as platform, session(platform) as north, away(platform, "502", 60.0, 600.0):
        run = asyncio.ensure_future(north.delete_subscriptions(IDS[:300]))
        while not run.done():
            states.append(north.flow)
            await asyncio.sleep(10)
        assert (await run).ok
    began, ended = [record.message for record in caplog.records]
    assert began.startswith("the platform has not answered (")  # for less than a second
    assert "(HTTP 502" in began
    assert ended.startswith("the platform answers again, after 10 min ")
    silent = [state for state in states if state.silent_for]
    assert 50 <= len(silent) <= 68
    assert all(0 < state.next_probe <= 91 for state in silent if state.next_probe)
    assert 580 <= max(state.silent_for for state in silent) <= 662


async def test_a_run_ends_where_the_platform_stays_away_for_longer_than_allowed() -> None:
    async with (
        small_platform() as platform,
        session(platform, retry=aionorth.RetryPolicy(outage=900.0)) as north,
        away(platform, "hangs", 60.0, math.inf),
    ):
        silence = r"not answered any call for 15 min \d+ s \(no .*try again"
        with pytest.raises(aionorth.BulkAbortedError, match=silence) as run:
            await north.delete_subscriptions(IDS, workers=4)
    summary = run.value.summary
    assert isinstance(run.value.__cause__, aionorth.OutageError)
    assert summary.deleted + summary.unknown + summary.skipped == len(IDS)
    assert summary.unknown <= 4
    assert summary.deleted >= 100


@pytest.mark.parametrize("workers", [1, 4])
async def test_an_id_that_alone_gets_no_reply_fails_by_its_own_fault(workers: int) -> None:
    async with small_platform() as platform, session(platform) as north:
        platform.silent_about = "id5"
        began = asyncio.get_running_loop().time()
        summary = await north.delete_subscriptions(IDS[:6], workers=workers)
        took = asyncio.get_running_loop().time() - began
    assert (summary.deleted, summary.unknown) == (5, 1)
    assert took < 600


async def test_a_single_call_is_held_no_longer_than_its_deadline() -> None:
    policy = aionorth.RetryPolicy(deadline=100.0)
    async with small_platform() as platform, session(platform, retry=policy) as north:
        await north.delete_subscription("one")
        await platform.become("503")
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(aionorth.CongestionError):
            await north.delete_subscription("two")
        assert loop.time() - began <= 130
        began = loop.time()
        with pytest.raises(aionorth.OutageError):
            await north.delete_subscription("three")
        assert loop.time() - began < 10
        await platform.become("up")
        await asyncio.sleep(north.flow.next_probe)
        await north.delete_subscription("three")


async def test_a_cancelled_probe_leaves_the_next_one_to_others() -> None:
    async with small_platform() as platform, session(platform) as north:
        await north.delete_subscription("one")
        await platform.become("hangs")
        run = asyncio.ensure_future(north.delete_subscriptions(IDS[:50]))
        await asyncio.sleep(45)
        assert north.flow.silent_for == 0
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        await platform.become("up")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await north.delete_subscription("two")
        assert loop.time() - began < 10


@attrs.frozen
class OneStore:
    """Gives every session the same file, as if each were another process of one app."""

    file: Path

    async def open(self, name: str) -> Store:
        store = OpenMachineStore(self.file, asyncio.get_running_loop().time)
        await store.begin()
        return store


@pytest.mark.slow
@pytest.mark.parametrize("state", ["refused", "hangs"])
async def test_four_processes_make_the_probes_of_one(state: State, tmp_path: Path) -> None:
    loop, hosts = asyncio.get_running_loop(), [f"127.0.0.{number}" for number in range(1, 5)]
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(small_platform())
        policy = aionorth.RetryPolicy(outage=None)
        sessions = [
            await stack.enter_async_context(
                session(platform, host=host, store=OneStore(tmp_path / "app.sqlite3"), retry=policy)
            )
            for host in hosts
        ]
        await stack.enter_async_context(away(platform, state, 60.0))
        began, ids = loop.time(), IDS[:200]
        runs = [north.delete_subscriptions(ids[number::4]) for number, north in enumerate(sessions)]
        summaries = await asyncio.gather(*(asyncio.ensure_future(run) for run in runs))
        took = loop.time() - began
    assert sum(summary.deleted + summary.gone for summary in summaries) == len(ids)
    assert sum(summary.refusals for summary in summaries) == 0
    assert took <= 2 * 60 + AWAY + 120
    meanwhile = [at for at, _ in platform.arrivals if began + 60 <= at < began + 60 + AWAY]
    assert len(meanwhile) <= 100  # up to 64 were on their way
    probes = [at for at in meanwhile if at > began + 160]
    assert len(probes) >= 10 or state == "refused"
    assert all(later - earlier > 15 for earlier, later in pairwise(probes))


@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("state", ["refused", "503"])
async def test_an_outage_fails_no_id_however_few_attempts_there_are(state: State, attempts: int) -> None:
    policy = aionorth.RetryPolicy(attempts=attempts)
    async with (
        small_platform() as platform,
        session(platform, retry=policy) as north,
        away(platform, state, 30.0, 300.0),
    ):
        summary = await north.delete_subscriptions(IDS[:200], workers=3)
    assert summary.deleted + summary.gone == summary.total == 200


async def test_a_process_that_begins_in_an_outage_asks_before_it_gives_up(tmp_path: Path) -> None:
    store = OneStore(tmp_path / "app.sqlite3")
    policy = aionorth.RetryPolicy(outage=100.0)
    async with small_platform() as platform:
        async with session(platform, store=store, retry=policy) as north:
            await north.delete_subscription("first")
            await platform.become("refused")
            with pytest.raises(aionorth.BulkAbortedError, match="not answered any call for 1"):
                await north.delete_subscriptions(IDS[:50])
        await platform.become("up")
        async with session(platform, store=store, retry=policy) as north:
            summary = await north.delete_subscriptions(IDS[:50])
        assert summary.deleted == 50


@pytest.mark.parametrize("begins", [0.0, 0.2], ids=["from the start", "in the middle"])
@pytest.mark.parametrize("credentials", [{"token": "live-token"}, {"secret": SECRET}], ids=["token", "secret"])
async def test_a_page_that_asks_to_come_back_in_an_hour_uses_up_no_id_and_is_not_waited_for_so_long(
    begins: float, credentials: dict[str, str]
) -> None:
    loop, ids = asyncio.get_running_loop(), IDS[:200]
    async with small_platform() as platform, AsyncExitStack() as stack:
        if not begins:
            await platform.become("maintenance")
        await stack.enter_async_context(away(platform, "maintenance", begins, 12.0))
        url = f"http://127.0.0.1:{platform.port}"
        north = await stack.enter_async_context(aionorth.NorthSession(url, app_id=APP, **credentials))  # type: ignore[arg-type]
        began = loop.time()
        assert (await north.delete_subscriptions(ids)).deleted == len(ids)
        assert loop.time() - began <= len(ids) * 0.6 + 12 + 60


# --- A check in an outage


@pytest.mark.parametrize(
    ("state", "said", "within"),
    [
        ("refused", "cannot connect to 127.0.0.2", 1),
        ("hangs", "no reply within 10 s", 11),
        ("502", "HTTP 502", 1),
        ("503", "100501", 1),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
async def test_a_check_in_an_outage_asks_at_once_and_moves_no_probe(
    state: State, said: str, within: float, shared: bool, tmp_path: Path
) -> None:
    loop, store = asyncio.get_running_loop(), OneStore(tmp_path / "app.sqlite3") if shared else None
    async with (
        small_platform() as platform,
        session(platform, host="127.0.0.1" if shared else "127.0.0.2", store=store, timeout=10.0) as north,
        session(platform, host="127.0.0.2", store=store, timeout=10.0) as other,
    ):
        await north.delete_subscription("first")
        await platform.become(state)
        run = asyncio.ensure_future(north.delete_subscriptions(IDS[:50]))
        await asyncio.sleep(300)
        await asyncio.sleep(north.flow.next_probe + 12)  # the next one after that is not due in the next ten seconds
        began, due = loop.time(), loop.time() + north.flow.next_probe
        checkup = await other.check()
        assert loop.time() - began <= within
        assert said in checkup.url.words + checkup.credentials.words
        assert loop.time() + other.flow.next_probe == pytest.approx(due, abs=0.1)
        await platform.become("up")
        began = loop.time()
        assert (await other.check()).ok
        assert loop.time() - began < 1
        assert (await run).ok
        assert loop.time() - began < 10


async def test_a_check_in_an_outage_does_not_wait_for_a_login_that_another_process_has_begun(tmp_path: Path) -> None:
    loop, store = asyncio.get_running_loop(), OneStore(tmp_path / "app.sqlite3")
    async with Simulator({APP: SECRET}) as platform:
        platform.outage(seconds=45.0, kind="502")
        urls = [platform.url, platform.url.replace("127.0.0.1", "localhost")]
        options: dict[str, Any] = {"store": store, "retry": aionorth.RetryPolicy(longest=1.0)}
        one, other = (aionorth.NorthSession(url, app_id=APP, secret=SECRET, **options) for url in urls)
        async with one as north, other:
            run = asyncio.ensure_future(north.delete_subscriptions(IDS[:5]))
            await asyncio.sleep(20)
            assert north.flow.silent_for
            began = loop.time()
            assert "HTTP 502" in (await other.check()).url.words
            assert loop.time() - began < 1
            assert (await run).not_found == 5
            assert (await other.check()).ok


async def test_a_check_makes_no_further_call_where_no_outage_is_known() -> None:
    async with small_platform() as platform, session(platform) as north:
        assert (await north.check()).ok
        assert north.flow.in_use == len(platform.arrivals) == 1
