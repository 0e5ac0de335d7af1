import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionorth.flow.adaptive import (
    AMBIGUOUS_PART,
    DECREASE_FACTOR,
    FIRST_PROBE_INTERVAL,
    LEAST_PART,
    LONGEST_PROBE_INTERVAL,
    PAUSE_ALLOWANCE,
    PROBE_INTERVAL,
    SOONEST_PROBE,
    AdaptiveLimit,
    Facts,
)

PERIOD = 60.0

Event = tuple[float, str, int]
"""Seconds since the last one, what happens, and how many calls the platform has accepted in the last period."""

events = st.lists(
    st.tuples(st.floats(0, 300), st.sampled_from(["accepted", "refused", "grow"]), st.integers(0, 1000)), max_size=30
)


def facts(accepted: int, *, fullest: int = 0, late: int = 0) -> Facts:
    return Facts(accepted=accepted, fullest=fullest, late=late)


def refused(limit: AdaptiveLimit, now: float, seen: Facts, ceiling: int = 100) -> AdaptiveLimit:
    return limit.refused(now, 1.0, seen, ceiling=ceiling, period=PERIOD)


def first(accepted: int, *, fullest: int = 0, ceiling: int = 100) -> AdaptiveLimit:
    """What a first refusal teaches, once a call was accepted after it."""
    seen = facts(accepted, fullest=fullest)
    return refused(AdaptiveLimit(), 0.0, seen, ceiling).accepted(0.0, seen)


def happen(limit: AdaptiveLimit, sequence: list[Event], now: float = 0.0) -> list[AdaptiveLimit]:
    """Let events happen; returns the limit after each."""
    limits_after = [limit]
    for wait, event, accepted in sequence:
        now += wait
        match event:
            case "accepted":
                limit = limit.accepted(now, facts(accepted)) if limit.pauses else limit
            case "refused":
                limit = refused(limit, now, facts(accepted))
            case _:
                limit = limit.grown(now)
        limits_after.append(limit)
    return limits_after


def clean_periods_until_forgotten(limit: AdaptiveLimit, now: float) -> tuple[int, int]:
    """Let periods pass in which all is accepted; returns how many it takes to forget, and the limit before."""
    for number in range(100):
        if not (grown := limit.grown(now)).in_force:
            return number, limit.limit
        limit = grown
        now += PERIOD
    raise AssertionError("it never forgets")


@given(ceiling=st.integers(1, 1000), fullest=st.integers(0, 2000), accepted=st.integers(0, 1000), sequence=events)
def test_the_limit_is_never_above_the_ceiling_and_never_below_one(
    ceiling: int, fullest: int, accepted: int, sequence: list[Event]
) -> None:
    limit = refused(AdaptiveLimit(), 0.0, facts(accepted, fullest=fullest), ceiling)
    for after in happen(limit, sequence):
        if after.in_force:
            for late in (0, 5000):
                assert 1 <= after.limit_now(late) <= after.ceiling


@given(ceiling=st.integers(1, 1000), accepted=st.integers(0, 1000), sequence=events)
def test_whatever_happened_clean_periods_bring_it_back_to_the_ceiling(
    ceiling: int, accepted: int, sequence: list[Event]
) -> None:
    now = sum(wait for wait, _, _ in sequence)
    limit = happen(refused(AdaptiveLimit(), 0.0, facts(accepted), ceiling), sequence)[-1]
    if limit.pauses:
        limit = limit.accepted(now, facts(accepted))
    if limit.in_force:
        periods, grown_to = clean_periods_until_forgotten(limit, now)
        # Twice the longest probe interval, and the doubling steps up to 1,000 between them.
        assert periods <= 2 * LONGEST_PROBE_INTERVAL + 11
        assert grown_to == limit.ceiling


@given(sequence=events, accepted=st.integers(0, 1000))
def test_a_refusal_never_raises_the_limit_and_takes_no_more_than_its_part(sequence: list[Event], accepted: int) -> None:
    before = happen(first(70), sequence)[-1]
    if not before.in_force or before.pauses:
        return
    after = refused(before, 1e9, facts(accepted)).accepted(1e9, facts(accepted))
    assert (
        max(1, int(LEAST_PART * min(before.limit - 1, before.grown_from or before.limit)))
        <= after.limit
        <= before.limit
    )


def test_a_limit_of_the_version_before_can_be_read() -> None:
    stored = attrs.asdict(first(70))
    del stored["ambiguous"]
    assert AdaptiveLimit.from_dict(stored) == first(70)


@given(sequence=events)
def test_a_limit_survives_a_store(sequence: list[Event]) -> None:
    limit = happen(first(70), sequence)[-1]
    assert AdaptiveLimit.from_dict(json.loads(json.dumps(attrs.asdict(limit)))) == limit


def test_a_limit_of_another_version_is_understood_as_far_as_can_be() -> None:
    assert (
        AdaptiveLimit.from_dict({"episode": 3, "limit": 50, "ceiling": 100, "period": 60.0, "mood": "sour"}).limit == 50
    )


def test_a_first_refusal_leaves_what_was_accepted_and_counts_replies_that_come_later() -> None:
    limit = refused(AdaptiveLimit(), 0.0, facts(70))
    assert limit.limit_now(0) == 70
    assert limit.limit_now(2) == 72
    after = limit.accepted(5.0, facts(1, late=2))
    assert after.limit_now(0) == after.limit_now(9) == 72


def test_a_first_refusal_leaves_less_than_its_part_only_until_a_call_is_accepted() -> None:
    limit = refused(AdaptiveLimit(), 0.0, facts(30))
    assert limit.limit_now(3) == 33
    assert limit.accepted(61.0, facts(30, late=3)).limit == 50


def test_a_pause_that_held_calls_back_takes_nothing_off_the_limit_unless_it_was_long() -> None:
    limit = attrs.evolve(
        refused(attrs.evolve(first(50), grown_from=50, limit=51), 300.0, facts(50)), decrease_factor=1.0
    )
    assert limit.accepted(300.0 + PERIOD * PAUSE_ALLOWANCE, facts(47)).limit == 50
    assert limit.accepted(340.0, facts(27)).limit == 31


def test_a_call_that_tries_alone_and_is_refused_too_changes_nothing_but_the_pause() -> None:
    limit = refused(AdaptiveLimit(), 0.0, facts(70))
    again = refused(limit, 2.0, facts(0, late=3))
    assert (again.limit_now(9), again.pauses, again.episode, again.paused_until) == (73, 2, 2, 3.0)


def test_a_refusal_within_what_was_accepted_before_spreads_the_calls_and_takes_none() -> None:
    limit = first(30, fullest=100)
    assert limit.limit == 100


def test_a_window_that_was_full_before_is_not_taken_for_a_threshold() -> None:
    assert first(30).limit == 50
    assert first(0).limit == 100
    assert first(0, ceiling=1).limit == 1


def test_where_only_few_were_accepted_the_first_refusal_only_spreads_and_one_probe_goes_soon() -> None:
    few = int(100 * AMBIGUOUS_PART) - 1
    limit = AdaptiveLimit().refused(0.0, 0.1, facts(few), ceiling=100, period=PERIOD)
    assert (limit.limit, limit.paused_until) == (100, PERIOD * SOONEST_PROBE)
    assert refused(AdaptiveLimit(), 0.0, facts(few + 1)).limit == few + 1


def test_where_that_probe_is_accepted_calls_are_spread_for_long() -> None:
    limit = refused(AdaptiveLimit(), 0.0, facts(10)).accepted(3.0, facts(11))
    assert (limit.limit, limit.pauses) == (100, 0)
    assert limit.grown(3.0 + LONGEST_PROBE_INTERVAL * PERIOD - 1) is limit
    assert not limit.grown(3.0 + LONGEST_PROBE_INTERVAL * PERIOD).in_force


def test_where_that_probe_is_refused_the_next_waits_for_a_slot_and_the_limit_stays_in_the_end() -> None:
    limit = refused(refused(AdaptiveLimit(), 0.0, facts(10)), 3.0, facts(10, late=2))
    assert limit.limit_now(2) == 10
    assert limit.accepted(60.0, facts(1)).limit == 100


def test_where_calls_in_flight_turn_out_to_have_been_many_they_are_what_the_platform_allows() -> None:
    limit = refused(refused(AdaptiveLimit(), 0.0, facts(20)), 3.0, facts(50))
    assert limit.accepted(60.0, facts(1)).limit == 50
    assert limit.accepted(60.0, facts(1)).grown(60.0 + FIRST_PROBE_INTERVAL * PERIOD).limit == 51


@pytest.mark.parametrize(("seconds", "expected"), [(1.0, 50), (9.0, 75), (50.0, 90)])
def test_a_second_refusal_soon_after_shows_the_rate_that_the_platform_allows(seconds: float, expected: int) -> None:
    spread = refused(AdaptiveLimit(), 0.0, facts(10)).accepted(3.0, facts(11))
    limit = refused(spread, 3.0 + seconds, facts(20))
    assert limit.accepted(15.0, facts(20)).limit == expected
    assert refused(spread, 3.0 + PERIOD, facts(95)).limit == 99  # later it is a refusal as any other


def test_a_window_that_lets_the_first_probe_through_by_chance_is_got_over_too() -> None:
    spread = refused(AdaptiveLimit(), 0.0, facts(10)).accepted(3.0, facts(11))
    limit = refused(refused(spread, 4.0, facts(12)), 7.0, facts(12))
    assert limit.limit == 12
    assert limit.accepted(60.0, facts(1)).limit == 100


def test_the_limit_follows_what_is_accepted_when_refused_again() -> None:
    limit = refused(first(10, fullest=100), 75.0, facts(80))
    assert limit.limit == 99
    assert refused(limit, 76.0, facts(80)).limit == 99  # one reaction for one episode
    assert limit.accepted(78.0, facts(76)).limit == int(DECREASE_FACTOR * (76 + 99 * 3 / PERIOD)) + 1


def test_it_grows_after_clean_periods_first_by_one_then_faster() -> None:
    limit = first(50)
    limits: list[int] = []
    for number in range(FIRST_PROBE_INTERVAL + 7):
        limit = limit.grown(60.0 * number)
        limits.append(limit.limit)
    assert limits == [50] * FIRST_PROBE_INTERVAL + [51, 53, 57, 65, 81, 100, 100]


def test_it_grows_sooner_after_one_refusal_than_after_two() -> None:
    one = first(50)
    two = refused(one, 30.0, facts(50)).accepted(30.0, facts(50))
    waits = [
        next(number for number in range(20) if limit.grown(limit.clean_since + PERIOD * number) is not limit)
        for limit in (one, two)
    ]
    assert waits == [FIRST_PROBE_INTERVAL, PROBE_INTERVAL]


def test_growth_that_is_refused_is_taken_back_and_waits_longer_each_time() -> None:
    limit, now = first(50), 0.0
    waits: list[float] = []
    for _ in range(5):
        began = now
        while (grown := limit.grown(now)) is limit:
            now += PERIOD / 60
        waits.append(round((now - began) / PERIOD))
        limit = refused(grown, now, facts(50))
        assert limit.limit == 50
        limit = limit.accepted(now, facts(52))
    assert waits == [2, 16, 16, 16, 16]


def test_nothing_grows_while_an_episode_is_open() -> None:
    limit = refused(AdaptiveLimit(), 0.0, facts(50))
    assert limit.grown(10_000.0) is limit


def test_what_is_forgotten_leaves_the_number_of_the_episode() -> None:
    limit = attrs.evolve(first(50), limit=100)
    assert limit.grown(1e6) == AdaptiveLimit(episode=1)
