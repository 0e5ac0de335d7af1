import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionorth.flow.learning import KEPT_OTHERWISE, LEAST_PART, LONGEST_PATIENCE, MADE_UP, PATIENCE, Facts, Lesson

PERIOD = 60.0

Event = tuple[float, str, int]
"""Seconds since the last one, what happens, and how many calls the platform has accepted in the last period."""

events = st.lists(
    st.tuples(st.floats(0, 300), st.sampled_from(["accepted", "refused", "grow"]), st.integers(0, 1000)), max_size=30
)


def facts(accepted: int, *, most: int = 0, late: int = 0) -> Facts:
    return Facts(accepted=accepted, most=most, late=late)


def refused(lesson: Lesson, now: float, told: Facts, ceiling: int = 100) -> Lesson:
    return lesson.refused(now, 1.0, told, ceiling=ceiling, period=PERIOD)


def first(accepted: int, *, most: int = 0, ceiling: int = 100) -> Lesson:
    """What a first refusal teaches, once a call was accepted after it."""
    told = facts(accepted, most=most)
    return refused(Lesson(), 0.0, told, ceiling).accepted(0.0, told)


def happen(lesson: Lesson, sequence: list[Event], now: float = 0.0) -> list[Lesson]:
    """Let events happen; returns the lesson after each."""
    lessons = [lesson]
    for wait, event, accepted in sequence:
        now += wait
        match event:
            case "accepted":
                lesson = lesson.accepted(now, facts(accepted)) if lesson.pauses else lesson
            case "refused":
                lesson = refused(lesson, now, facts(accepted))
            case _:
                lesson = lesson.grown(now)
        lessons.append(lesson)
    return lessons


def clean_periods_until_forgotten(lesson: Lesson, now: float) -> tuple[int, int]:
    """Let periods pass in which all is accepted; returns how many it takes to forget, and the limit before."""
    for number in range(100):
        if not (grown := lesson.grown(now)).learned:
            return number, lesson.limit
        lesson = grown
        now += PERIOD
    raise AssertionError("it never forgets")


@given(ceiling=st.integers(1, 1000), most=st.integers(0, 2000), accepted=st.integers(0, 1000), sequence=events)
def test_the_limit_is_never_above_the_ceiling_and_never_below_one(
    ceiling: int, most: int, accepted: int, sequence: list[Event]
) -> None:
    lesson = refused(Lesson(), 0.0, facts(accepted, most=most), ceiling)
    for after in happen(lesson, sequence):
        if after.learned:
            for late in (0, 5000):
                assert 1 <= after.limit_now(late) <= after.ceiling
                assert after.gap_now(late) == PERIOD / after.limit_now(late)
        else:
            assert after.gap_now(0) == 0


@given(ceiling=st.integers(1, 1000), accepted=st.integers(0, 1000), sequence=events)
def test_whatever_happened_clean_periods_bring_it_back_to_the_ceiling(
    ceiling: int, accepted: int, sequence: list[Event]
) -> None:
    now = sum(wait for wait, _, _ in sequence)
    lesson = happen(refused(Lesson(), 0.0, facts(accepted), ceiling), sequence)[-1]
    if lesson.pauses:
        lesson = lesson.accepted(now, facts(accepted))
    if lesson.learned:
        periods, limit = clean_periods_until_forgotten(lesson, now)
        # Twice the longest patience, and the doubling steps up to 1,000 between them.
        assert periods <= 2 * LONGEST_PATIENCE + 11
        assert limit == lesson.ceiling


@given(sequence=events, accepted=st.integers(0, 1000))
def test_a_refusal_never_raises_the_limit_and_takes_no_more_than_its_part(sequence: list[Event], accepted: int) -> None:
    before = happen(first(70), sequence)[-1]
    if not before.learned or before.pauses:
        return
    after = refused(before, 1e9, facts(accepted)).accepted(1e9, facts(accepted))
    assert max(1, int(LEAST_PART * min(before.limit - 1, before.held or before.limit))) <= after.limit <= before.limit


@given(sequence=events)
def test_a_lesson_survives_a_store(sequence: list[Event]) -> None:
    lesson = happen(first(70), sequence)[-1]
    assert Lesson.from_json(lesson.to_json()) == lesson


def test_a_lesson_of_another_version_is_understood_as_far_as_can_be() -> None:
    assert Lesson.from_json('{"episode": 3, "limit": 50, "ceiling": 100, "mood": "sour"}').limit == 50


def test_a_first_refusal_leaves_what_was_accepted_and_counts_replies_that_come_later() -> None:
    lesson = refused(Lesson(), 0.0, facts(70))
    assert lesson.limit_now(0) == 70
    assert lesson.limit_now(2) == 72
    after = lesson.accepted(5.0, facts(1, late=2))
    assert after.limit_now(0) == after.limit_now(9) == 72


def test_a_first_refusal_leaves_less_than_its_part_only_until_a_call_is_accepted() -> None:
    lesson = refused(Lesson(), 0.0, facts(30))
    assert lesson.limit_now(3) == 33
    assert lesson.accepted(61.0, facts(30, late=3)).limit == 50


def test_a_pause_that_held_calls_back_takes_nothing_off_the_limit_unless_it_was_long() -> None:
    lesson = attrs.evolve(refused(attrs.evolve(first(50), held=50, limit=51), 300.0, facts(50)), kept=1.0)
    assert lesson.accepted(300.0 + PERIOD * MADE_UP, facts(47)).limit == 50
    assert lesson.accepted(340.0, facts(27)).limit == 31


def test_a_call_that_tries_alone_and_is_refused_too_changes_nothing_but_the_pause() -> None:
    lesson = refused(Lesson(), 0.0, facts(70))
    again = refused(lesson, 2.0, facts(0, late=3))
    assert (again.limit_now(9), again.pauses, again.episode, again.paused_until) == (73, 2, 2, 3.0)


def test_a_refusal_within_what_was_accepted_before_spreads_the_calls_and_takes_none() -> None:
    lesson = first(30, most=100)
    assert lesson.limit == 100
    assert lesson.gap_now(0) == pytest.approx(0.6)


def test_a_window_that_was_full_before_is_not_taken_for_a_threshold() -> None:
    assert first(0).limit == 50
    assert first(0, ceiling=1).limit == 1


def test_the_limit_follows_what_is_accepted_when_refused_again() -> None:
    lesson = refused(first(10, most=100), 75.0, facts(80))
    assert lesson.limit == 99
    assert refused(lesson, 76.0, facts(80)).limit == 99  # one reaction for one episode
    assert lesson.accepted(78.0, facts(76)).limit == int(KEPT_OTHERWISE * (76 + 99 * 3 / PERIOD)) + 1


def test_it_grows_after_clean_periods_first_by_one_then_faster() -> None:
    lesson = first(50)
    limits: list[int] = []
    for number in range(PATIENCE + 7):
        lesson = lesson.grown(60.0 * number)
        limits.append(lesson.limit)
    assert limits == [50] * PATIENCE + [51, 53, 57, 65, 81, 100, 100]


def test_growth_that_is_refused_is_taken_back_and_waits_longer_each_time() -> None:
    lesson, now = first(50), 0.0
    waits: list[float] = []
    for _ in range(5):
        began = now
        while (grown := lesson.grown(now)) is lesson:
            now += PERIOD / 60
        waits.append(round((now - began) / PERIOD))
        lesson = refused(grown, now, facts(50))
        assert lesson.limit == 50
        lesson = lesson.accepted(now, facts(52))
    assert waits == [4, 16, 16, 16, 16]


def test_nothing_grows_while_an_episode_is_open() -> None:
    lesson = refused(Lesson(), 0.0, facts(50))
    assert lesson.grown(10_000.0) is lesson


def test_what_is_forgotten_leaves_the_number_of_the_episode() -> None:
    lesson = attrs.evolve(first(50), limit=100)
    assert lesson.grown(1e6) == Lesson(episode=1)
