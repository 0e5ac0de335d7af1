import asyncio
import random
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from permits import permit
from support import fullest_window, run, slow_at_times

from aionorth.common.waits import growing_waits
from aionorth.errors import ArgumentError
from aionorth.flow.limiter import SLOW_START, Limiter
from aionorth.flow.settings import CLOCK_TOLERANCE, FlowControl
from aionorth.flow.turns import MAX_IN_A_ROW
from aionorth.simulator import virtual_time
from aionorth.simulator.throttle import MODELS

EACH_MODEL = [name if name == "sliding-refusals" else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
"""The fast tests have one, in which refused calls count too."""

LATEST = 15.0
"""Seconds after which a call is answered or given up."""


@pytest.fixture(autouse=True, scope="module")
def no_wait_for_sockets() -> Iterator[None]:
    """There are none here: the clock need not wait for them before it jumps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(virtual_time, "KERNEL_DELAY", 0.0)
        yield


def runtime(settings: FlowControl | None = None) -> Limiter:
    """Flow control with pauses that chance does not shorten."""
    return Limiter(settings or FlowControl(), lambda first, longest: growing_waits(first, longest, lambda wait: wait))


async def call(flow: Limiter, log: list[tuple[float, float]], latency: float) -> None:
    """One call as flow control sees it; logs when it was sent and when it ended, however it ended."""
    loop = asyncio.get_running_loop()
    with await permit(flow) as slot:
        sent = slot.sent(until=loop.time() + LATEST)
        try:
            await asyncio.sleep(latency)
        except asyncio.CancelledError:
            log.append((sent, sent + LATEST))
            raise
        log.append((sent, loop.time()))


@given(
    seed=st.integers(0, 2**32),
    calls=st.integers(1, 12),
    burst=st.none() | st.integers(1, 12),
    number=st.integers(1, 80),
    cut_off=st.floats(0, 0.5),
)
def test_no_window_of_a_period_ever_holds_more_than_the_limit(
    seed: int, calls: int, burst: int | None, number: int, cut_off: float
) -> None:
    rng = random.Random(seed)
    log: list[tuple[float, float]] = []

    async def main() -> None:
        flow = runtime(FlowControl(calls, 10.0, burst))

        async def user() -> None:
            await asyncio.sleep(rng.uniform(0, 30))
            for _ in range(rng.randint(1, 3)):
                try:
                    async with asyncio.timeout(rng.uniform(0, 20) if rng.random() < cut_off else None):
                        await call(flow, log, rng.choice([0.0, 0.02, 0.02, rng.uniform(0, 12)]))
                except TimeoutError:
                    pass

        await asyncio.gather(*(user() for _ in range(number)))
        assert flow.state().waiting == 0

    run(main())
    assert fullest_window(log, 10.0) <= calls


async def test_a_limiter_that_stamps_slots_when_calls_are_sent_would_break_the_window() -> None:
    """The check above can fail: it does for the obvious window."""
    loop = asyncio.get_running_loop()
    log: list[tuple[float, float]] = []
    sent: list[float] = []
    for latency in (3.0, 0.0, 0.0, 0.0):
        if len(sent) >= 2:
            await asyncio.sleep(max(0.0, sent[-2] + 10.0 - loop.time()))
        sent.append(loop.time())
        log.append((loop.time(), loop.time() + latency))
    assert fullest_window(log, 10.0) > 2


async def test_a_full_window_takes_half_a_sixtieth_of_a_period_and_the_next_calls_go_a_period_after_its_replies() -> (
    None
):
    loop = asyncio.get_running_loop()
    flow = runtime(FlowControl(100, 60.0))
    log: list[tuple[float, float]] = []
    start = loop.time()
    await asyncio.gather(*(call(flow, log, 0.03) for _ in range(200)))
    sent = [when - start for when, _ in log]
    first = [0.005 * n for n in range(100)]
    assert sent == pytest.approx(first + [when + 0.03 + 60 * (1 + CLOCK_TOLERANCE) for when in first], abs=1e-3)


async def test_only_so_many_calls_are_in_flight_before_as_many_as_the_limit_have_been_sent() -> None:
    flow = runtime()
    log: list[tuple[float, float]] = []
    for _ in range(2):
        await asyncio.gather(*(call(flow, log, 5.0) for _ in range(100)))
        await asyncio.sleep(70)

    def most_in_flight(calls: list[tuple[float, float]]) -> int:
        return max(sum(sent <= other < ended for sent, ended in calls) for other, _ in calls)

    assert most_in_flight(log[:100]) == SLOW_START
    assert most_in_flight(log[100:]) > SLOW_START


async def test_a_burst_of_one_spreads_the_calls_evenly() -> None:
    loop = asyncio.get_running_loop()
    flow = runtime(FlowControl(100, 60.0, burst=1))
    log: list[tuple[float, float]] = []
    start = loop.time()
    await asyncio.gather(*(call(flow, log, 0.0) for _ in range(10)))
    assert [round(when - start, 2) for when, _ in log] == pytest.approx([0.6 * n for n in range(10)], abs=0.01)


async def test_headroom_is_left_to_other_callers() -> None:
    flow = runtime(FlowControl(100, 60.0, headroom=0.29))
    assert flow.state().limit == 71
    assert FlowControl(1, headroom=0.9).limit == 1


async def test_waiters_are_served_first_come_first_served() -> None:
    flow = runtime(FlowControl(3, 10.0))
    served: list[int] = []

    async def user(number: int) -> None:
        with await permit(flow) as slot:
            slot.sent()
            served.append(number)
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(user(number))
    assert served == list(range(20))


async def test_a_cancelled_call_holds_its_slot_and_one_that_was_never_sent_does_not() -> None:
    flow = runtime(FlowControl(1, 10.0))
    loop = asyncio.get_running_loop()
    start = loop.time()
    log: list[tuple[float, float]] = []
    first = asyncio.create_task(call(flow, log, 5.0))
    await asyncio.sleep(1)
    queued = asyncio.create_task(call(flow, log, 0.0))
    await asyncio.sleep(1)
    queued.cancel()
    first.cancel()
    await asyncio.wait([first, queued])
    free_at = LATEST + 10 * (1 + CLOCK_TOLERANCE)  # it may be counted as late as a call that times out
    assert flow.state().next_slot == pytest.approx(free_at - 2, abs=1e-3)
    with await permit(flow):
        pass  # given back unused
    with await permit(flow):
        assert loop.time() - start == pytest.approx(free_at + 10 / 120, abs=1e-3)  # a gap after the unused one


async def test_a_refusal_pauses_every_caller_once_for_all_calls_in_flight() -> None:
    loop = asyncio.get_running_loop()
    flow = runtime(FlowControl(100, 64.0))
    slots = [await permit(flow) for _ in range(8)]
    start = loop.time()
    for slot in slots:
        slot.refused()
    begun = [slot.release() for slot in slots]
    assert begun == [True] + [False] * 7
    assert flow.state().paused_for == pytest.approx(4.0)
    assert flow.state().refusals == 8
    waiting = [asyncio.create_task(call(flow, [], 0.0)) for _ in range(5)]
    await asyncio.sleep(3.99)
    assert flow.state().in_use == 8
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert loop.time() - start == pytest.approx(4.0, abs=0.01)
    await asyncio.gather(*waiting)


async def test_pauses_grow_over_consecutive_refusals_up_to_a_period_and_start_over_after_a_success() -> None:
    flow = runtime(FlowControl(100, 64.0))
    pauses: list[float] = []
    for _ in range(9):
        with await permit(flow) as slot:
            slot.refused()
        pauses.append(round(flow.paused_for, 6))
    assert pauses == [4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0, 64.0, 64.0]
    with await permit(flow) as slot:
        slot.accepted()
    with await permit(flow) as slot:
        slot.refused()
    assert flow.paused_for == pytest.approx(4.0)


async def test_a_success_from_before_the_pause_does_not_end_the_growth() -> None:
    flow = runtime(FlowControl(100, 64.0))
    early = await permit(flow)
    with await permit(flow) as slot:
        slot.refused()
    early.accepted()
    early.release()
    with await permit(flow) as slot:
        slot.refused()
    assert flow.paused_for == pytest.approx(8.0)


async def test_after_a_pause_one_call_tries_alone_before_the_others_go_a_gap_apart() -> None:
    loop = asyncio.get_running_loop()
    flow = runtime(FlowControl(100, 64.0))
    with await permit(flow) as slot:
        slot.refused()
    sent: list[float] = []

    async def user() -> None:
        with await permit(flow) as slot:
            sent.append(loop.time())
            await asyncio.sleep(2.0)
            slot.accepted()

    start = loop.time()
    await asyncio.gather(*(user() for _ in range(4)))
    gap = flow.state().gap
    assert gap == 64.0 / 100
    assert [when - start for when in sent] == pytest.approx([4.0, 6.0, 6.0 + gap, 6.0 + 2 * gap], abs=0.01)


async def test_retry_after_is_never_undercut() -> None:
    flow = Limiter(FlowControl(100, 64.0), lambda first, longest: growing_waits(first, longest, lambda _: 0.0))
    with await permit(flow) as slot:
        slot.refused(retry_after=90.0)
    assert flow.paused_for == pytest.approx(90.0)


async def test_a_pause_that_begins_while_a_call_waits_for_its_slot_holds_it() -> None:
    loop = asyncio.get_running_loop()
    flow = runtime(FlowControl(3, 64.0))
    log: list[tuple[float, float]] = []
    slots = [await permit(flow) for _ in range(3)]
    start = loop.time()
    for slot in slots[:2]:
        slot.sent()
        slot.release()
    waiting = asyncio.create_task(call(flow, log, 0.0))
    await asyncio.sleep(50.0)
    slots[-1].refused(retry_after=40.0)
    slots[-1].release()
    await waiting
    assert log[-1][0] - start == pytest.approx(90.0, abs=0.01)


async def test_tightening_holds_at_once_for_calls_that_count_already() -> None:
    flow = runtime(FlowControl(4, 10.0))
    log: list[tuple[float, float]] = []
    loop = asyncio.get_running_loop()
    for _ in range(4):
        await call(flow, log, 0.0)
        await asyncio.sleep(1.0)
    flow.tighten(FlowControl(2, 20.0))
    assert flow.state().limit == 2
    assert flow.state().free == 0
    await asyncio.gather(*(call(flow, log, 0.0) for _ in range(4)))
    assert fullest_window(log[2:], 20.0) <= 2
    assert loop.time() == pytest.approx(log[0][0] + 43.0, abs=0.2)


async def test_tightening_while_a_call_waits_leaves_the_new_bucket_in_force() -> None:
    flow = runtime(FlowControl(16, 10.0))
    log: list[tuple[float, float]] = []
    calls = [asyncio.create_task(call(flow, log, 0.0)) for _ in range(17)]
    await asyncio.sleep(3)  # the last one has the old bucket's leave and waits for a slot
    flow.tighten(FlowControl(16, 10.0, burst=1))
    await asyncio.gather(*calls)
    await asyncio.sleep(20)
    await asyncio.gather(*(call(flow, log, 0.0) for _ in range(5)))
    sent = [when for when, _ in log[-5:]]
    assert [round(when - sent[0], 2) for when in sent] == pytest.approx([0.625 * n for n in range(5)], abs=0.01)


async def test_the_state_is_a_frozen_snapshot() -> None:
    flow = runtime(FlowControl(2, 10.0))
    slot = await permit(flow)
    slot.sent()
    await permit(flow)
    state = flow.state()
    assert (state.limit, state.in_use, state.free, state.next_slot) == (2, 2, 0, float("inf"))
    slot.release()
    assert flow.state().next_slot == pytest.approx(10.01)
    assert state.next_slot == float("inf")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        state.in_use = 0  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    "options",
    [
        {"calls": 0},
        {"calls": 2.5},
        {"calls": True},
        {"period": 0},
        {"period": float("inf")},
        {"period": "60"},
        {"burst": 0},
        {"headroom": 1},
        {"headroom": -0.1},
    ],
)
def test_settings_that_cannot_be_are_named(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(ArgumentError, match=f"FlowControl.{name}="):
        FlowControl(**options)  # type: ignore[arg-type]  # that is the point


# --- What refusals teach


class Platform:
    """Counts calls as a platform would, without sockets."""

    def __init__(self, model: str, calls: int, period: float, seed: int) -> None:
        self.throttle = MODELS[model](calls, period)
        self.rng = random.Random(seed)
        self.refused = 0
        self.log: list[tuple[float, float]] = []

    def admits(self) -> bool:
        admitted = self.throttle.admit(asyncio.get_running_loop().time()) is None
        self.refused += not admitted
        return admitted

    async def call(self, flow: Limiter, *, priority: bool = False) -> float:
        """Call until it is accepted; returns when the call that was accepted was sent."""
        loop = asyncio.get_running_loop()
        while True:
            with await permit(flow, priority=priority) as slot:
                sent = slot.sent(until=loop.time() + LATEST)
                before, after = slow_at_times(self.rng)
                await asyncio.sleep(before)
                admitted = self.admits()
                await asyncio.sleep(after)
                slot.accepted() if admitted else slot.refused()
            self.log.append((sent, loop.time()))
            if admitted:
                return sent

    async def work(self, flow: Limiter, seconds: float) -> int:
        """Call with 16 workers for so many seconds; returns how many calls were accepted."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        accepted = 0

        async def worker() -> None:
            nonlocal accepted
            while loop.time() < end:
                await self.call(flow)
                accepted += 1

        await asyncio.gather(*(worker() for _ in range(16)))
        return accepted


def learner(settings: FlowControl | None = None) -> Limiter:
    rng = random.Random(7)
    return Limiter(
        settings or FlowControl(),
        lambda first, longest: growing_waits(first, longest, lambda wait: rng.uniform(0, wait)),
    )


@pytest.mark.parametrize("model", EACH_MODEL)
@pytest.mark.parametrize("threshold", [10, 50])
async def test_a_lower_threshold_is_learned_and_nearly_used_up(model: str, threshold: int) -> None:
    flow = learner()
    platform = Platform(model, threshold, 60.0, seed=threshold)
    await platform.work(flow, 300)
    refused = platform.refused
    accepted = await platform.work(flow, 420)
    assert flow.state().learned_limit == pytest.approx(threshold, rel=0.2, abs=4)  # it may be asking for more
    # A platform that accepts one call at once refuses what a slow call delays into the next one's time.
    assert accepted >= (0.75 if (model, threshold) == ("small-burst", 10) else 0.85) * threshold * 7
    assert platform.refused - refused <= 12
    assert fullest_window(platform.log, 60.0) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("model", EACH_MODEL)
async def test_a_threshold_that_recovers_is_used_again(model: str) -> None:
    flow = learner(FlowControl(50))
    platform = Platform(model, 15, 60.0, seed=3)
    await platform.work(flow, 600)
    platform.throttle.calls = 50
    await platform.work(flow, 60 * 30)  # the longest patience, and the doubling steps
    assert flow.state().in_force >= 42  # a window counter refuses now and then what is within its threshold
    assert await platform.work(flow, 300) >= 212
    assert fullest_window(platform.log, 60.0) <= 50


@pytest.mark.slow
@pytest.mark.parametrize("model", EACH_MODEL)
async def test_a_window_that_was_full_before_we_came_is_got_over(model: str) -> None:
    flow = learner()
    platform = Platform(model, 100, 60.0, seed=100)
    for _ in range(100):
        platform.throttle.admit(asyncio.get_running_loop().time())
    await platform.work(flow, 60 * 10)
    assert platform.refused <= 40
    assert await platform.work(flow, 300) >= 450


@pytest.mark.slow
@pytest.mark.parametrize("model", ["small-burst", "two-limits"])
async def test_where_bursts_are_refused_the_calls_are_only_spread(model: str) -> None:
    flow = learner()
    platform = Platform(model, 100, 60.0, seed=1)
    assert await platform.work(flow, 600) >= 970
    assert platform.refused <= 8
    assert flow.state().learned_limit is None
    assert fullest_window(platform.log, 60.0) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("model", EACH_MODEL)
async def test_a_window_that_somebody_else_had_nearly_filled_costs_no_more_than_that_window(model: str) -> None:
    flow = learner()
    platform = Platform(model, 100, 60.0, seed=4)
    spent = 0
    while spent < 90:
        spent += platform.admits()
        await asyncio.sleep(0.1)
    platform.refused = 0
    assert await platform.work(flow, 600) >= 850  # at most 910, where they count for a period
    assert platform.refused <= 12


@pytest.mark.slow
async def test_what_was_learned_is_told_and_forgotten() -> None:
    flow = learner()
    platform = Platform("sliding", 50, 60.0, seed=1)
    state = flow.state()
    assert (state.limit, state.in_force, state.learned_limit, state.gap) == (100, 100, None, 0.0)
    await platform.work(flow, 100)
    state = flow.state()
    assert state.limit == 100
    assert state.learned_limit == state.in_force == 50
    assert state.gap == 60.0 / 50
    assert state.free == max(0, 50 - state.in_use)
    platform.throttle.calls = 1000
    await platform.work(flow, 60 * 20)
    state = flow.state()
    assert (state.in_force, state.learned_limit, state.gap) == (100, None, 0.0)


async def test_a_warning_says_the_new_limit_and_when_it_grows(caplog: pytest.LogCaptureFixture) -> None:
    flow = learner()
    await Platform("sliding", 50, 60.0, seed=1).work(flow, 90)
    (warning,) = [record.message for record in caplog.records if record.name == "aionorth"]
    assert "about 50 of 100 in 60 s are made from now on, and more after 120 s without a refusal" in warning


@pytest.mark.slow
async def test_the_same_chance_teaches_the_same() -> None:
    states = []
    for _ in range(2):
        flow = learner()
        platform = Platform("counter", 60, 60.0, seed=5)
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(60 - start % 60)
        began = asyncio.get_running_loop().time()
        await platform.work(flow, 600)
        sent = [round(when - began, 3) for when, _ in platform.log]
        states.append((flow.state().learned_limit, flow.state().refusals, sent))
    assert states[0] == states[1]


async def test_tightening_holds_for_what_was_learned() -> None:
    flow = learner()
    await Platform("sliding", 50, 60.0, seed=1).work(flow, 100)
    flow.tighten(FlowControl(20))
    state = flow.state()
    assert (state.limit, state.in_force, state.gap) == (20, 20, 3.0)


# --- Single calls before bulk work


async def test_a_single_call_goes_ahead_of_bulk_work_that_waits() -> None:
    flow = runtime(FlowControl(4, 10.0))
    order: list[str] = []

    async def user(name: str, *, priority: bool) -> None:
        with await permit(flow, priority=priority) as slot:
            slot.sent()
            order.append(name)

    bulk = [asyncio.create_task(user(f"bulk {number}", priority=False)) for number in range(10)]
    await asyncio.sleep(5)
    assert len(order) == 4
    await asyncio.gather(*(user(f"single {number}", priority=True) for number in range(2)))
    assert order[4:] == ["single 0", "single 1"]
    await asyncio.gather(*bulk)
    assert order[6:] == [f"bulk {number}" for number in range(4, 10)]


async def test_bulk_work_advances_however_many_single_calls_there_are() -> None:
    loop = asyncio.get_running_loop()
    flow = runtime(FlowControl(10, 10.0))
    made = {True: 0, False: 0}

    async def user(*, priority: bool) -> None:
        while loop.time() < end:
            with await permit(flow, priority=priority) as slot:
                slot.sent()
                made[priority] += 1

    end = loop.time() + 200
    await asyncio.gather(*(user(priority=number % 2 == 0) for number in range(20)))
    assert 1 / MAX_IN_A_ROW <= made[False] / made[True] <= 1.5 / MAX_IN_A_ROW


async def test_a_single_call_that_is_given_up_lets_bulk_work_go_on() -> None:
    flow = runtime(FlowControl(1, 10.0))
    log: list[tuple[float, float]] = []
    await call(flow, log, 0.0)
    bulk = asyncio.create_task(call(flow, log, 0.0))
    await asyncio.sleep(1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await permit(flow, priority=True)
    await bulk
    assert log[1][0] - log[0][0] == pytest.approx(10.01, abs=0.01)
    assert flow.state().waiting == 0
