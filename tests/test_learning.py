import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionorth.learning import LEAST_PART, LONGEST_PATIENCE, PATIENCE, Learning

PERIOD = 60.0

Event = tuple[float, str]
"""Seconds since the last one, and what happens."""

events = st.lists(st.tuples(st.floats(0, 300), st.sampled_from(["accepted", "before", "refused", "trial", "grow"])))


def happen(learning: Learning, sequence: list[Event], now: float = 0.0) -> list[int]:
    """Let events happen to `learning`; returns the limit after each."""
    limits: list[int] = []
    for wait, event in sequence:
        now += wait
        match event:
            case "accepted" | "before":
                learning.accepted(now, before=event == "before")
            case "refused" | "trial":
                learning.refused(now, trial=event == "trial")
            case _:
                learning.grow(now)
        limits.append(learning.limit)
    return limits


def clean_periods_until_forgotten(learning: Learning, now: float) -> int:
    """Let periods pass in which what may be sent is sent and accepted; returns how many it takes to forget."""
    for number in range(10_000):
        learning.accepted(now)
        if not learning.grow(now):
            return number
        now += PERIOD
    raise AssertionError("it never forgets")


@given(ceiling=st.integers(1, 1000), most=st.integers(0, 2000), accepted=st.integers(0, 1000), sequence=events)
def test_the_limit_is_never_above_the_ceiling_and_never_below_one(
    ceiling: int, most: int, accepted: int, sequence: list[Event]
) -> None:
    learning = Learning(ceiling, PERIOD, [0.0] * accepted, most)
    for limit in [learning.limit, *happen(learning, sequence)]:
        assert 1 <= limit <= ceiling
    assert learning.gap == PERIOD / learning.limit


@given(ceiling=st.integers(1, 1000), accepted=st.integers(0, 1000), sequence=events)
def test_whatever_happened_clean_periods_bring_it_back_to_the_ceiling(
    ceiling: int, accepted: int, sequence: list[Event]
) -> None:
    learning = Learning(ceiling, PERIOD, [0.0] * accepted, 0)
    happen(learning, sequence)
    now = 1 + sum(wait for wait, _ in sequence)
    # Twice the longest patience, and the doubling steps up to 1,000 between them.
    assert clean_periods_until_forgotten(learning, now) <= 2 * LONGEST_PATIENCE + 11
    assert learning.limit == ceiling


@given(sequence=events)
def test_the_same_happenings_teach_the_same(sequence: list[Event]) -> None:
    first, second = (happen(Learning(100, PERIOD, [0.0] * 70, 0), sequence) for _ in range(2))
    assert first == second


@given(sequence=events, wait=st.floats(0, 300))
def test_a_refusal_never_raises_the_limit_and_takes_no_more_than_its_part(sequence: list[Event], wait: float) -> None:
    learning = Learning(100, PERIOD, [0.0] * 70, 0)
    happen(learning, sequence)
    now = sum(wait for wait, _ in sequence) + wait
    before, held = learning.limit, learning._held
    learning.refused(now, trial=False)
    assert learning.limit <= before
    learning.accepted(now)
    assert learning.limit >= max(1, int(LEAST_PART * min(before - 1, held or before)))


def test_a_first_refusal_leaves_what_was_accepted_and_counts_replies_that_come_later() -> None:
    learning = Learning(100, PERIOD, [0.0] * 70, 0)
    assert learning.limit == 70
    learning.accepted(1.0, before=True)
    learning.accepted(1.0, before=True)
    assert learning.limit == 72
    learning.accepted(60.0)
    learning.accepted(60.0, before=True)  # the episode was over
    assert learning.limit == 72


def test_a_refusal_within_what_was_accepted_before_spreads_the_calls_and_takes_none() -> None:
    learning = Learning(100, PERIOD, [0.0] * 30, 100)
    assert learning.limit == 100
    assert learning.gap == pytest.approx(0.6)


def test_a_window_that_was_full_before_is_not_taken_for_a_threshold() -> None:
    assert Learning(100, PERIOD, [], 0).limit == 50
    assert Learning(1, PERIOD, [], 0).limit == 1


def test_the_limit_follows_what_is_accepted_when_refused_again() -> None:
    learning = Learning(100, PERIOD, [0.0] * 10, 100)
    for number in range(75):
        learning.accepted(30.0 + 0.6 * number)
    learning.refused(75.0, trial=False)
    assert learning.limit == 99
    learning.refused(76.0, trial=True)
    assert learning.limit == 99  # one reaction for one episode
    learning.accepted(78.0)
    assert learning.limit == int(0.98 * 76) + 1


def test_it_grows_after_clean_periods_first_by_one_then_faster() -> None:
    learning = Learning(100, PERIOD, [0.0] * 50, 0)
    limits: list[int] = []
    for number in range(PATIENCE + 7):
        learning.accepted(60.0 * number)
        learning.grow(60.0 * number)
        limits.append(learning.limit)
    assert limits == [50] * PATIENCE + [51, 53, 57, 65, 81, 100, 100]


def test_growth_that_is_refused_is_taken_back_and_waits_longer_each_time() -> None:
    learning = Learning(100, PERIOD, [0.0] * 50, 0)
    now = 0.0
    waits: list[float] = []
    for _ in range(5):
        began = now
        while learning.limit == 50:
            learning.accepted(now)
            now += PERIOD / 60
            learning.grow(now)
        waits.append(round((now - began) / PERIOD))
        learning.refused(now, trial=False)
        assert learning.limit == 50
        for _ in range(10):
            learning.accepted(now)
    assert waits == [4, 8, 16, 16, 16]


def test_nothing_grows_while_an_episode_goes_on() -> None:
    learning = Learning(100, PERIOD, [0.0] * 50, 0)
    assert learning.grow(10_000.0)
    assert learning.limit == 50


def test_a_tighter_ceiling_holds_at_once() -> None:
    learning = Learning(100, PERIOD, [0.0] * 80, 0)
    learning.tighten(30, 120.0)
    assert learning.limit == 30
    assert learning.gap == 4.0
    rng = random.Random(1)
    assert max(happen(learning, [(rng.uniform(0, 300), "accepted"), (1000.0, "grow")] * 50)) == 30
