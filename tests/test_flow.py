import asyncio
import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import fullest_window, run

from aionorth.errors import ArgumentError
from aionorth.flow import CLOCK_TOLERANCE, FlowControl, FlowRuntime
from aionorth.retry import growing_waits

LATEST = 15.0
"""Seconds after which a call is answered or given up."""


def runtime(settings: FlowControl | None = None) -> FlowRuntime:
    """Flow control with pauses that chance does not shorten."""
    return FlowRuntime(
        settings or FlowControl(), lambda first, longest: growing_waits(first, longest, lambda wait: wait)
    )


async def call(flow: FlowRuntime, log: list[tuple[float, float]], latency: float) -> None:
    """One call as flow control sees it; logs when it was sent and when it ended, however it ended."""
    loop = asyncio.get_running_loop()
    with await flow.acquire() as slot:
        sent = loop.time()
        slot.counted_by = sent + LATEST
        try:
            await asyncio.sleep(latency)
        except asyncio.CancelledError:
            log.append((sent, slot.counted_by))
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


async def test_all_calls_of_a_period_may_go_at_once_and_the_next_a_period_after_their_replies() -> None:
    loop = asyncio.get_running_loop()
    flow = runtime(FlowControl(100, 60.0))
    log: list[tuple[float, float]] = []
    start = loop.time()
    await asyncio.gather(*(call(flow, log, 0.5) for _ in range(200)))
    sent = [round(when - start, 3) for when, _ in log]
    assert sent == [0.0] * 100 + [round(0.5 + 60 * (1 + CLOCK_TOLERANCE), 3)] * 100


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
        with await flow.acquire() as slot:
            slot.counted_by = asyncio.get_running_loop().time()
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
    with await flow.acquire():
        pass  # given back unused
    with await flow.acquire():
        assert loop.time() - start == pytest.approx(free_at, abs=1e-3)


async def test_a_refusal_pauses_every_caller_once_for_all_calls_in_flight() -> None:
    loop = asyncio.get_running_loop()
    flow = runtime(FlowControl(100, 64.0))
    slots = [await flow.acquire() for _ in range(16)]
    start = loop.time()
    begun = [flow.refused(slot) for slot in slots]
    assert begun == [True] + [False] * 15
    assert flow.state().paused_for == pytest.approx(1.0)
    assert flow.state().refusals == 16
    for slot in slots:
        slot.__exit__(None, None, None)
    waiting = [asyncio.create_task(call(flow, [], 0.0)) for _ in range(5)]
    await asyncio.sleep(0.99)
    assert flow.state().in_use == 0
    await asyncio.gather(*waiting)
    assert loop.time() - start == pytest.approx(1.0, abs=0.01)


async def test_pauses_grow_over_consecutive_refusals_up_to_a_period_and_start_over_after_a_success() -> None:
    flow = runtime(FlowControl(100, 64.0))
    pauses: list[float] = []
    for _ in range(9):
        with await flow.acquire() as slot:
            flow.refused(slot)
            pauses.append(round(flow.paused_for, 6))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0]
    with await flow.acquire() as slot:
        flow.accepted(slot)
    with await flow.acquire() as slot:
        flow.refused(slot)
        assert flow.paused_for == pytest.approx(1.0)


async def test_a_success_from_before_the_pause_does_not_end_the_growth() -> None:
    flow = runtime(FlowControl(100, 64.0))
    early = await flow.acquire()
    with await flow.acquire() as slot:
        flow.refused(slot)
    early.__exit__(None, None, None)
    flow.accepted(early)
    with await flow.acquire() as slot:
        flow.refused(slot)
        assert flow.paused_for == pytest.approx(2.0)


async def test_after_a_pause_one_call_tries_alone_before_all_go() -> None:
    loop = asyncio.get_running_loop()
    flow = runtime(FlowControl(100, 64.0))
    with await flow.acquire() as slot:
        flow.refused(slot)
    sent: list[float] = []

    async def user() -> None:
        with await flow.acquire() as slot:
            sent.append(loop.time())
            await asyncio.sleep(0.25)
        flow.accepted(slot)

    start = loop.time()
    await asyncio.gather(*(user() for _ in range(4)))
    assert [round(when - start, 2) for when in sent] == [1.0, 1.25, 1.25, 1.25]


async def test_retry_after_is_never_undercut() -> None:
    flow = FlowRuntime(FlowControl(100, 64.0), lambda first, longest: growing_waits(first, longest, lambda _: 0.0))
    with await flow.acquire() as slot:
        flow.refused(slot, retry_after=90.0)
    assert flow.paused_for == pytest.approx(90.0)


async def test_a_pause_that_begins_while_a_call_waits_for_its_slot_holds_it() -> None:
    loop = asyncio.get_running_loop()
    flow = runtime(FlowControl(2, 64.0))
    log: list[tuple[float, float]] = []
    start = loop.time()
    await call(flow, log, 0.0)
    with await flow.acquire() as last:
        last.counted_by = loop.time()
        waiting = asyncio.create_task(call(flow, log, 0.0))
        await asyncio.sleep(63.0)
    flow.refused(last, retry_after=30.0)
    await waiting
    assert log[-1][0] - start == pytest.approx(93.0, abs=0.01)


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
    slot = await flow.acquire()
    slot.counted_by = asyncio.get_running_loop().time()
    second = await flow.acquire()
    second.counted_by = 0.0
    state = flow.state()
    assert (state.limit, state.in_use, state.free, state.next_slot) == (2, 2, 0, float("inf"))
    slot.__exit__(None, None, None)
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
