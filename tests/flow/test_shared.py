"""A process's side of a shared ledger and a shared token, in virtual time."""

import asyncio
import gc
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from permits import permit
from support import SECRET, session, shown

from aionorth import ArgumentError, BulkAbortedError, FlowControl, MachineStore, NorthSession, StoreError
from aionorth.auth.cache import LEASE, TokenCache
from aionorth.auth.keeper import RENEW_AT, TokenKeeper
from aionorth.common.waits import growing_waits
from aionorth.errors import CredentialsError, InvalidTokenError, NorthConnectionError, StoreUnavailableError
from aionorth.flow.limiter import Limiter
from aionorth.flow.outage import HELD_AFTER
from aionorth.flow.shared import FINAL_REPORT_TIMEOUT, SharedWindow
from aionorth.flow.window import Ending
from aionorth.simulator import Simulator
from aionorth.stores.base import Snapshot, StoredToken
from aionorth.stores.machine import OpenMachineStore
from aionorth.wire.replies import Token

KEY = bytes(32)


class Flaky:
    """A machine's store that cannot be reached whenever that is wanted."""

    def __init__(self, store: OpenMachineStore) -> None:
        self.store = store
        self.down = False
        self.damaged = False
        self.closed = False
        self.tried = 0

    def _try(self) -> None:
        self.tried += 1
        if self.down:
            raise StoreUnavailableError("the store cannot be used: gone fishing")
        if self.damaged:
            raise StoreError("damaged beyond repair")

    @property
    def steady(self) -> bool:
        return self.store.steady

    async def read(self, *, clock_error: float) -> Snapshot:
        self._try()
        return await self.store.read(clock_error=clock_error)

    async def replace(self, snapshot: Snapshot, document: str, *, keep: float) -> bool:
        return await self.store.replace(snapshot, document, keep=keep)

    def damaged_because(self, reason: str) -> StoreError:
        return self.store.damaged_because(reason)

    async def read_token(self, key: bytes) -> StoredToken | None:
        self._try()
        return await self.store.read_token(key)

    async def lease_token(self, key: bytes, holder: str, seconds: float) -> bool:
        self._try()
        return await self.store.lease_token(key, holder, seconds)

    async def end_lease(self, key: bytes, holder: str, token: StoredToken | None) -> None:
        self._try()
        await self.store.end_lease(key, holder, token)

    async def close(self) -> None:
        self.closed = True
        await self.store.close()


OPENED: list[OpenMachineStore] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        store = OPENED.pop()
        store._thread.shutdown()
        store._close()


async def opened(directory: Path) -> Flaky:
    store = OpenMachineStore(directory / "app.sqlite3", asyncio.get_running_loop().time)
    await store.begin()
    OPENED.append(store)
    return Flaky(store)


def flow_of(store: Flaky, calls: int = 3, period: float = 10.0, timeout: float = 5.0) -> Limiter:
    settings = FlowControl(calls, period)
    return Limiter(settings, growing_waits, lambda limits: SharedWindow(store, limits), timeout=timeout)


async def call(flow: Limiter, latency: float = 0.1) -> None:
    loop = asyncio.get_running_loop()
    with await permit(flow) as slot:
        slot.sent(until=loop.time() + 5.0)
        await asyncio.sleep(latency)


# --- Flow control


async def test_calls_are_held_while_the_store_cannot_be_reached(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    store = await opened(tmp_path)
    flow = flow_of(store, calls=100)
    await call(flow)
    store.down = True
    start = loop.time()
    calls = [asyncio.create_task(call(flow)) for _ in range(5)]
    await asyncio.sleep(60)
    assert not any(one.done() for one in calls)
    assert 20 < store.tried < 200  # it is tried again, but not all the time
    assert not flow.state().store_reached
    store.down = False
    await asyncio.gather(*calls)
    assert 60 < loop.time() - start < 66
    assert flow.state().store_reached
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "gone fishing; until it can be reached again no call is sent" in caplog.text
    await flow.close()


async def test_what_became_of_calls_is_handed_over_once_the_store_can_be_reached(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    flow = flow_of(store)
    for _ in range(3):
        await call(flow)
    with await permit(flow) as slot:
        slot.refused(retry_after=30.0)
        store.down = True
    await asyncio.sleep(5)
    store.down = False
    await asyncio.sleep(5)
    other = flow_of(await opened(tmp_path))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(15):
            await other.acquire()
    await other.acquire()
    await flow.close()
    await other.close()


async def test_closing_does_not_wait_for_ever_for_a_store_that_is_gone(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    store = await opened(tmp_path)
    flow = flow_of(store)
    slot = await permit(flow)
    slot.sent()
    store.down = True
    slot.release()
    start = loop.time()
    await flow.close()
    assert loop.time() - start == pytest.approx(FINAL_REPORT_TIMEOUT, abs=0.1)
    assert store.closed


async def test_one_who_is_cancelled_while_asking_leaves_no_slot_behind(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    flow = flow_of(store, calls=1)
    for passes in range(12):
        asking = asyncio.create_task(flow.acquire())
        for _ in range(passes):
            await asyncio.sleep(0)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            flow.release(await asking, Ending.UNSENT)
    async with asyncio.timeout(5):
        await call(flow)
    await flow.close()


@pytest.mark.parametrize(
    ("period", "longest", "late", "latency"),
    [(10.0, 5.0, 20.0, 1.0), (4.0, 30.0, 29.0, 6.0)],
    ids=["later than the slot is free", "while the call could still last as long"],
)
async def test_a_slot_whose_answer_came_too_late_is_asked_for_again(
    tmp_path: Path, period: float, longest: float, late: float, latency: float
) -> None:
    loop = asyncio.get_running_loop()
    store = await opened(tmp_path)
    flow, other = (flow_of(one, 1, period, longest) for one in (store, await opened(tmp_path)))
    replace, slow = store.replace, True

    async def stopped(snapshot: Snapshot, document: str, *, keep: float) -> bool:
        nonlocal slow
        done = await replace(snapshot, document, keep=keep)
        if slow:
            slow = False
            await asyncio.sleep(late)  # as if the process had stood still
        return done

    async def sent(flow: Limiter, latency: float) -> float:
        await call(flow, latency)
        return loop.time()

    store.replace = stopped  # type: ignore[method-assign]
    first, second = await asyncio.gather(sent(flow, latency), sent(other, 1.0))
    assert abs(first - second) >= period
    await flow.close()
    await other.close()


@pytest.mark.parametrize("late", [0.6, 2.0], ids=["as late as a call may begin", "later, again and again"])
async def test_the_slot_of_a_process_that_dies_is_held_as_long_as_a_call_that_began_late_may_count(
    tmp_path: Path, late: float
) -> None:
    loop, timeout, period = asyncio.get_running_loop(), 5.0, 10.0
    store = await opened(tmp_path)
    dying, other = (flow_of(one, 1, period, timeout) for one in (store, await opened(tmp_path)))
    replace = store.replace

    async def slow(snapshot: Snapshot, document: str, *, keep: float) -> bool:
        done = await replace(snapshot, document, keep=keep)
        await asyncio.sleep(late)
        return done

    store.replace = slow  # type: ignore[method-assign]
    permit = await dying.acquire()
    assert loop.time() < permit.start_by
    counted = permit.start_by + timeout  # its call begins at the last moment, and is counted at the last moment
    await call(other, latency=0.0)
    assert counted + period <= loop.time() < counted + period + 1 + late
    dying.release(permit, Ending.UNSENT)
    await dying.close()
    await other.close()


async def test_in_an_outage_a_slow_store_loses_no_probe(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    store = await opened(tmp_path)
    flow, replace = flow_of(store, calls=20), store.replace

    async def slow(snapshot: Snapshot, document: str, *, keep: float) -> bool:
        done = await replace(snapshot, document, keep=keep)
        await asyncio.sleep(1.0)  # more than an eighth of the time-out
        return done

    for _ in range(HELD_AFTER):
        flow.release(await flow.acquire(), Ending.UNCONFIRMED, unanswered="no reply")
    await asyncio.sleep(0.1)
    assert flow.held
    store.replace = slow  # type: ignore[method-assign]
    began = loop.time()
    for _ in range(3):
        permit = await flow.acquire()
        assert permit.probe
        flow.release(permit, Ending.UNCONFIRMED, unanswered="no reply")
    assert loop.time() - began < 30
    await flow.close()


@pytest.mark.parametrize("broken", [1, 3])
async def test_what_is_reported_twice_counts_once(tmp_path: Path, broken: int) -> None:
    store = await opened(tmp_path)
    flow = flow_of(store, calls=10)
    replace, left = store.replace, broken

    async def broken_off(snapshot: Snapshot, document: str, *, keep: float) -> bool:
        nonlocal left
        done = await replace(snapshot, document, keep=keep)
        if left and '"ended":[[' in document:
            left -= 1
            raise StoreUnavailableError("the connection broke")  # after it was done
        return done

    store.replace = broken_off  # type: ignore[method-assign]
    await asyncio.gather(*(call(flow) for _ in range(5)))
    await asyncio.sleep(2)
    assert left == 0
    assert flow.state().in_use == 5
    asking = asyncio.create_task(flow.acquire())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    await asyncio.sleep(1)
    assert flow.state().in_use == 5
    await flow.close()


async def test_a_store_that_no_waiting_can_mend_ends_the_waiting_at_once(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    store = await opened(tmp_path)
    flow = flow_of(store)
    await asyncio.gather(*(call(flow) for _ in range(2)))
    with await permit(flow) as slot:
        slot.sent(until=loop.time() + 5.0)
        await asyncio.sleep(3)
        waiting = asyncio.create_task(call(flow))  # for most of a period
        await asyncio.sleep(3)
        store.damaged = True
        start = loop.time()
    with pytest.raises(StoreError, match="damaged beyond repair"):
        await waiting
    assert loop.time() - start < 0.1
    assert not flow.state().store_reached
    await flow.close()
    assert loop.time() - start < 0.1
    assert store.closed


async def test_a_run_ends_with_the_store_and_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    async with Simulator() as platform:
        ids = platform.add_subscriptions(30)
        async with session(platform, store=OnTheLoop(tmp_path), flow_control=FlowControl(10, 60.0)) as north:
            deleting = asyncio.create_task(_deleted(north, ids))
            await asyncio.sleep(20)
            (file,) = tmp_path.glob("*.sqlite3")
            db = sqlite3.connect(file)
            db.execute("DROP TABLE flow")
            db.commit()
            db.close()
            with pytest.raises(BulkAbortedError) as caught:
                await deleting
            ended = loop.time()
        assert isinstance(caught.value.__cause__, StoreError)
        for text in (str(caught.value), str(caught.value.__cause__)):
            assert f"{file}, cannot be used: no such table: flow; remove it and the files beside it" in text
        assert caught.value.summary.deleted == 9  # and a login
        assert caught.value.summary.skipped + caught.value.summary.failed == 21
        assert loop.time() - ended < FINAL_REPORT_TIMEOUT
        assert "what became of the last calls is not handed over" not in caplog.text


async def _deleted(north: NorthSession, ids: list[str]) -> None:
    await north.delete_subscriptions(ids)


async def test_what_is_not_handed_over_to_a_store_that_broke_at_the_end_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await opened(tmp_path)
    flow = flow_of(store)
    with await permit(flow) as slot:
        slot.sent()
        store.damaged = True
    await flow.close()
    assert "damaged beyond repair; what became of the last calls is not handed over" in caplog.text
    assert store.closed
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_that_nothing_is_sent_because_the_store_has_lost_its_data_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    flow = flow_of(await opened(tmp_path), calls=2)
    await call(flow)
    assert caplog.text == ""
    for number in range(2):
        for file in tmp_path.iterdir():
            file.unlink()
        start = loop.time()
        await asyncio.gather(*(call(flow) for _ in range(4)))
        assert loop.time() - start >= 15
        assert [record.levelname for record in caplog.records] == ["WARNING"] * (number + 1)
    assert "the store of flow control is new to this app, was started anew or has lost data" in caplog.text
    assert "and these may count still, so for 16 s none is sent" in caplog.text
    await flow.close()


async def test_the_state_is_told_as_the_store_told_it_last(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    flow = flow_of(store)
    for _ in range(3):
        await call(flow)
    await asyncio.sleep(1)
    state = flow.state()
    assert (state.limit, state.in_use, state.free, state.learned_limit) == (3, 3, 0, None)
    assert state.next_slot == pytest.approx(10.01 - 1 - 0.2 - 10 / 60, abs=0.2)
    first = await permit(flow)
    second = await permit(flow)
    first.refused()
    second.refused()
    assert first.release()
    assert not second.release()
    assert flow.state().refusals == 2
    await asyncio.sleep(10)
    assert flow.state().gap == pytest.approx(10 / 3)
    await flow.close()


# --- The token


class Login:
    """Hands out tokens, a second each."""

    def __init__(self, lifetime: float = 3600.0) -> None:
        self.lifetime = lifetime
        self.before: list[str | None] = []
        self.error: Exception | None = None

    async def __call__(self, before: Token | None) -> Token:
        self.before.append(None if before is None else before.access)
        await asyncio.sleep(1)
        if self.error is not None:
            raise self.error
        return Token(f"token {len(self.before)}", "refresh", self.lifetime)


def keeper_of(store: Flaky) -> TokenKeeper:
    return TokenKeeper(TokenCache(store, lambda: KEY))


def token_of(keeper: TokenKeeper) -> str:
    live = keeper.current(asyncio.get_running_loop().time())
    assert live is not None
    live.used = True
    return live.token.access


async def test_one_login_serves_all_processes(tmp_path: Path) -> None:
    log_in = Login()
    keepers = [keeper_of(await opened(tmp_path)) for _ in range(4)]
    await asyncio.gather(*(keeper.renewed(log_in) for keeper in keepers))
    assert [token_of(keeper) for keeper in keepers] == ["token 1"] * 4
    assert log_in.before == [None]


async def test_one_renewal_in_time_serves_all_processes(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    log_in = Login()
    keepers = [keeper_of(await opened(tmp_path)) for _ in range(3)]
    for keeper in keepers:
        await keeper.renewed(log_in)
        token_of(keeper)
    await asyncio.sleep(3600 * RENEW_AT)
    assert [keeper.current(loop.time()) for keeper in keepers] == [None] * 3
    await asyncio.gather(*(keeper.renewed(log_in) for keeper in keepers))
    assert [token_of(keeper) for keeper in keepers] == ["token 2"] * 3
    assert log_in.before == [None, "token 1"]


async def test_a_token_that_another_process_has_replaced_is_not_replaced_again(tmp_path: Path) -> None:
    log_in = Login()
    first, second = keeper_of(await opened(tmp_path)), keeper_of(await opened(tmp_path))
    await first.renewed(log_in)
    await second.renewed(log_in)
    for keeper in (first, second):
        live = keeper.current(0.0)
        assert live is not None
        keeper.accepted(live)
        keeper.refused(live, InvalidTokenError(403, "1010005", ""))
        await keeper.renewed(log_in)
        assert token_of(keeper) == "token 2"
    assert log_in.before == [None, None]


async def test_the_lease_of_a_process_that_died_ends_soon(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    store = await opened(tmp_path)
    assert await store.lease_token(KEY, "dead", LEASE)
    start = loop.time()
    await keeper_of(store).renewed(Login())
    assert LEASE <= loop.time() - start < LEASE + 4


async def test_a_login_that_takes_long_keeps_its_lease(tmp_path: Path) -> None:
    log_in = Login()
    first, second = keeper_of(await opened(tmp_path)), keeper_of(await opened(tmp_path))

    async def slow(before: Token | None) -> Token:
        await asyncio.sleep(10 * LEASE)
        return await log_in(before)

    await asyncio.gather(first.renewed(slow), second.renewed(slow))
    assert (token_of(first), token_of(second)) == ("token 1", "token 1")


async def test_a_login_that_fails_leaves_the_lease_to_the_next(tmp_path: Path) -> None:
    log_in = Login()
    log_in.error = CredentialsError(401, "100208", "no")
    store = await opened(tmp_path)
    with pytest.raises(CredentialsError):
        await keeper_of(store).renewed(log_in)
    log_in.error = NorthConnectionError("no")
    with pytest.raises(NorthConnectionError):
        await keeper_of(store).renewed(log_in)
    log_in.error = None
    await keeper_of(store).renewed(log_in)
    assert await store.lease_token(KEY, "anybody", 1)


async def test_a_token_waits_for_the_store(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    store.down = True
    keeper = keeper_of(store)
    renewing = asyncio.create_task(keeper.renewed(Login()))
    await asyncio.sleep(30)
    assert not renewing.done()
    store.down = False
    await renewing
    assert token_of(keeper) == "token 1"


@pytest.mark.parametrize(
    "text",
    [
        "", "not json", "7", "null", "[]", "{}", '["access"]', '["access", null, 60, 1]', "[null, null, 60]",
        '["", null, 60]',
        '["a\\nb", null, 60]', '["gr\u00fc\u00df", null, 60]', '["access", 7, 60]', '["access", null, null]',
        '["access", null, "60"]', '["access", null, 0]', '["access", null, -1]', '["access", null, NaN]',
        f'["access", null, 1{"0" * 400}]', "[" * 100_000, '{"a": 1, "b": 2, "c": 3}', '"abc"',
    ],
)  # fmt: skip
async def test_an_entry_in_which_there_is_no_token_is_replaced(tmp_path: Path, text: str) -> None:
    log_in = Login()
    store = await opened(tmp_path)
    await store.lease_token(KEY, "other", 10)
    await store.end_lease(KEY, "other", StoredToken(text, 1.0))
    first, second = keeper_of(store), keeper_of(store)
    await first.renewed(log_in)
    await second.renewed(log_in)
    assert (token_of(first), token_of(second)) == ("token 1", "token 1")
    assert log_in.before == [None]


async def test_a_token_does_not_wait_for_a_store_that_no_waiting_can_mend(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    store.damaged = True
    with pytest.raises(StoreError, match="damaged beyond repair"):
        await keeper_of(store).renewed(Login())


# --- Sessions


async def test_sessions_one_after_the_other_go_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with Simulator(model="sliding-refusals", calls=10, period=10.0) as platform:
        ids = platform.add_subscriptions(20)
        start = loop.time()
        for part in (ids[:8], ids[8:]):
            options = {"store": OnTheLoop(tmp_path), "flow_control": FlowControl(10, 10.0)}
            async with session(platform, **options) as north:
                (await north.delete_subscriptions(part)).raise_for_failures()
        assert [arrival for arrival in platform.arrivals if arrival.refused] == []
        assert len([arrival for arrival in platform.arrivals if arrival.method == "POST"]) == 1
        assert loop.time() - start >= 20


class OnTheLoop(MachineStore):
    """A machine's store by the clock of the running loop, which is virtual here."""

    async def open(self, app: str) -> OpenMachineStore:
        store = OpenMachineStore(self.directory / f"{app}.sqlite3", asyncio.get_running_loop().time)
        await store.begin()
        return store


async def test_a_token_that_is_not_to_be_shared_is_not(tmp_path: Path) -> None:
    async with Simulator() as platform:
        for share in (True, False, True):
            async with session(platform, store=OnTheLoop(tmp_path), share_token=share) as north:
                await north.delete_subscription(platform.add_subscriptions(1)[0])
        # The second login made the first token invalid, and the third session found that out.
        assert len([arrival for arrival in platform.arrivals if arrival.method == "POST"]) == 3


async def test_a_wrong_secret_does_not_find_the_right_ones_token(tmp_path: Path) -> None:
    async with Simulator() as platform:
        async with session(platform, store=OnTheLoop(tmp_path)) as north:
            await north.delete_subscription(platform.add_subscriptions(1)[0])
        async with session(platform, store=OnTheLoop(tmp_path), secret="wrong") as north:
            with pytest.raises(CredentialsError):
                await north.delete_subscription(platform.add_subscriptions(1)[0])


async def test_a_call_that_is_cancelled_while_the_tokens_key_is_derived_shows_no_secret(tmp_path: Path) -> None:
    async with Simulator() as platform, session(platform, store=OnTheLoop(tmp_path)) as north:
        deleting = asyncio.create_task(north.delete_subscription("any"))
        for _ in range(3):
            await asyncio.sleep(0)
        deleting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await deleting
        assert "to_thread" in str(caught.getrepr())
        assert SECRET not in shown(caught.value)


async def test_sessions_of_one_app_agree_in_one_place(tmp_path: Path) -> None:
    async with Simulator() as platform, session(platform, store=OnTheLoop(tmp_path)):
        with pytest.raises(ArgumentError, match="must have the same store="):
            async with session(platform):
                pass
        async with session(platform, store=OnTheLoop(tmp_path)):
            pass


async def test_a_store_that_cannot_be_used_is_told_when_the_session_is_entered(tmp_path: Path) -> None:
    (tmp_path / "flow").write_text("")
    async with Simulator() as platform:
        for _ in range(2):
            with pytest.raises(StoreError, match="cannot be used"):
                async with session(platform, store=OnTheLoop(tmp_path / "flow")):
                    pass
        (tmp_path / "flow").unlink()
        async with session(platform, store=OnTheLoop(tmp_path / "flow")) as north:
            await north.delete_subscription(platform.add_subscriptions(1)[0])
        assert len(platform.arrivals) == 2


async def test_a_session_that_is_cancelled_while_it_opens_leaves_nothing_open(tmp_path: Path) -> None:
    stores: list[Flaky] = []

    class Slow(OnTheLoop):
        async def open(self, app: str) -> OpenMachineStore:
            store = Flaky(await super().open(app))
            stores.append(store)
            try:
                await asyncio.sleep(0.5)
            except BaseException:
                await store.close()
                raise
            return store  # type: ignore[return-value]

    async def enter(platform: Simulator) -> None:
        async with session(platform, store=Slow(tmp_path)):
            pass

    async with Simulator() as platform:
        for cancelled in (1, 2):  # of the two that ask for it
            first, second = asyncio.create_task(enter(platform)), asyncio.create_task(enter(platform))
            await asyncio.sleep(0.3)
            for task in (first, second)[:cancelled]:
                task.cancel()
            outcomes = await asyncio.gather(first, second, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes].count(asyncio.CancelledError) == cancelled
            assert stores.pop().closed
            assert not stores


@pytest.mark.slow
@pytest.mark.parametrize("when", [0.0, 0.05, 0.15, 1.0])
async def test_calls_of_a_session_that_is_closed_end_soon(tmp_path: Path, when: float) -> None:
    loop = asyncio.get_running_loop()
    errors: list[object] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    async with Simulator(latency=lambda _: (0.05, 0.05)) as platform:
        ids = platform.add_subscriptions(9)
        north = session(platform, store=OnTheLoop(tmp_path), flow_control=FlowControl(3, 6.0))
        await north.__aenter__()
        run = asyncio.ensure_future(north.delete_subscriptions(ids))
        await asyncio.sleep(when)
        start = loop.time()
        await north.close()
        with pytest.raises(BulkAbortedError, match=r"closed|not open") as caught:
            await run
        assert loop.time() - start <= 2  # the bucket has its next leave by then
        summary = caught.value.summary
        assert summary.deleted + summary.skipped + summary.unknown == len(ids)
    del run
    gc.collect()
    assert errors == []


@pytest.mark.parametrize("store", ["redis", Path("flow"), MachineStore])
async def test_what_is_no_store_is_refused(store: Any) -> None:
    async with Simulator() as platform:
        with pytest.raises(ArgumentError, match=r"store=.*: give a MachineStore or a RedisStore"):
            session(platform, store=store)


async def test_whether_to_share_the_token_is_yes_or_no() -> None:
    async with Simulator() as platform:
        with pytest.raises(ArgumentError, match="share_token='no': give True or False"):
            session(platform, share_token="no")
