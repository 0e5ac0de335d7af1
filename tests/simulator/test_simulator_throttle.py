"""Each way of counting, compared with a literal reading of its definition."""

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionorth.simulator import MODELS, Throttle

PERIOD = 8.0

# Eighths of a second and a period that is a power of two: no arithmetic rounds, so boundaries are hit exactly.
moments = st.lists(st.integers(0, 40 * 8), min_size=1, max_size=80).map(lambda ticks: [t / 8 for t in sorted(ticks)])
thresholds = st.integers(1, 6) | st.integers(7, 25)

BURSTS = {"small-burst", "two-limits"}
"""The models that accept only a tenth of the threshold at once."""


def at_once(calls: int) -> int:
    return math.ceil(calls / 10)


Verdicts = list[tuple[float, bool]]


def fixed(before: Verdicts, now: float, calls: int) -> bool:
    return sum(accepted for at, accepted in before if at // PERIOD == now // PERIOD) < calls


def sliding(before: Verdicts, now: float, calls: int) -> bool:
    return sum(accepted for at, accepted in before if now - PERIOD <= at) < calls


def sliding_refusals(before: Verdicts, now: float, calls: int) -> bool:
    return sum(now - PERIOD <= at for at, _ in before) < calls


def bucket(before: Verdicts, now: float, calls: int, *, capacity: int | None = None) -> bool:
    rate, capacity = Fraction(calls) / Fraction(PERIOD), capacity or calls
    tokens, then = Fraction(capacity), Fraction(0)
    for at, accepted in before:
        tokens = min(Fraction(capacity), tokens + (Fraction(at) - then) * rate) - accepted
        then = Fraction(at)
    return min(Fraction(capacity), tokens + (Fraction(now) - then) * rate) >= 1


def small_burst(before: Verdicts, now: float, calls: int) -> bool:
    return bucket(before, now, calls, capacity=at_once(calls))


def two_limits(before: Verdicts, now: float, calls: int) -> bool:
    last = sum(accepted for at, accepted in before if Fraction(now) - Fraction(at) <= Fraction(PERIOD) / 60)
    return sliding(before, now, calls) and last < at_once(calls)


def counter(before: Verdicts, now: float, calls: int) -> bool:
    window = now // PERIOD
    previous = sum(accepted for at, accepted in before if at // PERIOD == window - 1)
    current = sum(accepted for at, accepted in before if at // PERIOD == window)
    left = 1 - (Fraction(now) / Fraction(PERIOD) - int(window))
    return previous * left + current < calls


ORACLES: dict[str, Callable[[Verdicts, float, int], bool]] = {
    "fixed": fixed,
    "sliding": sliding,
    "sliding-refusals": sliding_refusals,
    "bucket": bucket,
    "counter": counter,
    "small-burst": small_burst,
    "two-limits": two_limits,
}


def filled(model: str, calls: int = 4) -> Throttle:
    throttle = MODELS[model](calls, PERIOD)
    assert [throttle.admit(PERIOD) for _ in range(calls)] == [None] * calls
    return throttle


def test_every_model_has_an_oracle() -> None:
    assert ORACLES.keys() == MODELS.keys()


@pytest.mark.parametrize("model", MODELS)
@given(times=moments, calls=thresholds)
def test_a_model_decides_as_its_definition_says(model: str, times: list[float], calls: int) -> None:
    throttle = MODELS[model](calls, PERIOD)
    verdicts: Verdicts = []
    for now in times:
        accepted = throttle.admit(now) is None
        assert accepted is ORACLES[model](verdicts, now, calls)
        verdicts.append((now, accepted))


@pytest.mark.parametrize("model", MODELS)
@given(times=moments, calls=thresholds)
def test_after_the_wait_of_a_refusal_a_call_is_accepted(model: str, times: list[float], calls: int) -> None:
    throttle = MODELS[model](calls, PERIOD)
    for now in times:
        wait = throttle.admit(now)
        if wait is not None:
            break
    else:
        return
    assert 0 <= wait <= 2 * PERIOD
    assert throttle.admit(now + wait + 1e-6) is None


@pytest.mark.slow
@pytest.mark.parametrize("model", [model for model in MODELS if model != "sliding-refusals"])
@given(times=moments, calls=thresholds)
def test_the_wait_of_a_refusal_is_no_longer_than_needed(model: str, times: list[float], calls: int) -> None:
    throttle = MODELS[model](calls, PERIOD)
    for now in times:
        wait = throttle.admit(now)
        if wait is not None:
            assert throttle.admit(max(now, math.nextafter(now + wait - 1e-6, 0))) is not None
            return


@pytest.mark.parametrize("model", sorted(MODELS.keys() - BURSTS))
def test_the_whole_threshold_may_be_spent_at_once(model: str) -> None:
    assert filled(model).admit(PERIOD) is not None


@pytest.mark.parametrize("model", sorted(BURSTS))
def test_a_tenth_of_the_threshold_may_be_spent_at_once_and_the_whole_of_it_over_a_period(model: str) -> None:
    throttle = MODELS[model](100, 60)
    assert [throttle.admit(0) is None for _ in range(11)] == [True] * 10 + [False]
    assert [throttle.admit(0.6 * number) for number in range(2, 92)] == [None] * 90


def test_two_limits_refuse_what_exceeds_the_period_though_it_is_spread() -> None:
    throttle = MODELS["two-limits"](100, 60)
    assert [throttle.admit(0.5 * number) for number in range(100)] == [None] * 100
    assert throttle.admit(50) == 10
    assert throttle.admit(60.1) is None


def test_a_sliding_window_still_counts_a_call_exactly_one_period_ago() -> None:
    throttle = filled("sliding")
    assert throttle.admit(2 * PERIOD) == 0
    assert throttle.admit(math.nextafter(2 * PERIOD, math.inf)) is None


def test_a_caller_that_keeps_calling_stays_locked_out_where_refusals_count() -> None:
    throttle = filled("sliding-refusals")
    assert all(throttle.admit(PERIOD + second) is not None for second in range(100))


def test_a_caller_that_keeps_calling_loses_nothing_where_refusals_do_not_count() -> None:
    throttle = filled("sliding")
    verdicts = [throttle.admit(PERIOD + second) is None for second in range(1, 10)]
    assert verdicts == [False] * 8 + [True]


def test_a_fixed_window_lets_two_thresholds_through_around_its_boundary() -> None:
    throttle = MODELS["fixed"](4, PERIOD)
    assert [throttle.admit(PERIOD - 0.5) for _ in range(4)] == [None] * 4
    assert [throttle.admit(PERIOD) for _ in range(4)] == [None] * 4


def test_rounding_does_not_make_a_bucket_refuse() -> None:
    throttle = MODELS["bucket"](100, 60)
    now = 0.0
    for _ in range(100):
        assert throttle.admit(now) is None
    for _ in range(10_000):
        now += 0.6
        assert throttle.admit(now) is None


def test_a_window_counter_forgets_a_window_before_the_last() -> None:
    throttle = filled("counter")
    assert [throttle.admit(3 * PERIOD) for _ in range(4)] == [None] * 4


@pytest.mark.parametrize("model", sorted(MODELS.keys() - BURSTS))
def test_a_lower_threshold_applies_to_calls_already_counted(model: str) -> None:
    throttle = MODELS[model](4, PERIOD)
    for _ in range(3):
        throttle.admit(PERIOD)
    throttle.calls = 1
    wait = throttle.admit(PERIOD)
    if model == "bucket":  # whose one token left is worth one call under any threshold
        assert wait is None
        wait = throttle.admit(PERIOD)
    assert wait is not None
    assert throttle.admit(PERIOD + wait + 1e-6) is None


@pytest.mark.parametrize("model", sorted(MODELS.keys() - BURSTS))
def test_a_higher_threshold_applies_at_once(model: str) -> None:
    throttle = filled(model)
    throttle.calls = 8
    if model != "bucket":  # which has to refill first
        assert throttle.admit(PERIOD) is None
    assert throttle.admit(PERIOD * 1.5) is None
