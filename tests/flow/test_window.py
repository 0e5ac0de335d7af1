import json
import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionorth.flow.settings import BUCKETS, Limits
from aionorth.flow.window import Acquire, Ending, Permit, Release, Window

PERIOD, TIMEOUT = 60.0, 30.0

Event = tuple[float, str, Ending]
"""Seconds since the last one, which process acts, and what became of its last call, if it has one."""

events = st.lists(st.tuples(st.floats(0, 90), st.sampled_from("abc"), st.sampled_from(Ending)), min_size=1, max_size=60)


def limits(limit: int) -> Limits:
    return Limits(limit=limit, period=PERIOD, gap=0.0, timeout=TIMEOUT, pause=lambda _: 4.0)


def play(window: Window, sequence: list[Event], limit: int, *, through_json: bool) -> tuple[Window, list[float]]:
    """Let processes take and release permits; returns the window and the waits they met."""
    now, waits, held = 1000.0, list[float](), dict[str, Permit]()
    for number, (wait, process, ending) in enumerate(sequence):
        now += wait
        released = []
        if (permit := held.pop(process, None)) is not None:
            released.append(Release(permit=permit, ending=ending, counted=now, pause=4.0))
        ask = Acquire(process=process, key=f"{process}{number}")
        waits.append(window.step(now, limits(limit), released, ask))
        if not waits[-1]:
            held[process] = Permit(window.adaptive.episode, ask.key)
        if through_json:
            window = Window.from_json(window.to_json())
    return window, waits


@given(sequence=events, limit=st.sampled_from([1, 3, 20, 1000]))
def test_a_window_that_is_written_and_read_after_each_step_does_the_same(sequence: list[Event], limit: int) -> None:
    one, waits = play(Window(), sequence, limit, through_json=False)
    other, waits_through_json = play(Window(), sequence, limit, through_json=True)
    assert waits == waits_through_json
    assert json.loads(one.to_json()) == json.loads(other.to_json())


@given(sequence=events, limit=st.sampled_from([1, 3, 20, 1000]), later=st.floats(-10, 10_000))
def test_a_window_is_not_changed_by_being_viewed(sequence: list[Event], limit: int, later: float) -> None:
    window, _ = play(Window(), sequence, limit, through_json=False)
    before = window.to_json()
    window.view(window.at + later, limits(limit))
    assert window.to_json() == before


@pytest.mark.parametrize("limit", [100, 6_000, 60_000])
def test_the_size_of_a_full_window_has_a_bound_whatever_the_limit(limit: int) -> None:
    window = Window(at=1000.0)
    ended = [
        Release(permit=Permit(0, str(number)), ending=Ending.ACCEPTED, counted=1000.0 - PERIOD * number / limit)
        for number in range(limit)
    ]
    window.step(1000.0, limits(limit), ended)
    assert window.view(1000.0, limits(limit)).in_use == limit
    assert len(window.slots.ended) <= BUCKETS + 1
    assert len(window.to_json()) < 10_000


@pytest.mark.parametrize("limit", [100, BUCKETS + 1, 6_000])
def test_a_slot_never_comes_free_early_and_at_most_a_150th_of_a_period_late(limit: int) -> None:
    for counted in (1000.0, 1000.3, 1000.399999, 1000.4, 1017.77):
        window = Window(at=counted)
        window.step(counted, limits(limit), [Release(permit=Permit(0, "a"), ending=Ending.ACCEPTED, counted=counted)])
        ((free_at, calls, _),) = window.slots.ended
        assert calls == 1
        late = free_at - counted - limits(limit).hold
        assert -1e-9 <= late <= 1e-9 + (PERIOD / BUCKETS if limit > BUCKETS else 0.0)


def test_calls_that_are_only_in_flight_leave_it_open_when_a_slot_comes_free() -> None:
    window = Window()
    for number in range(2):
        assert window.step(1000.0, limits(2), ask=Acquire(process="a", key=str(number))) == 0
    view = window.view(1000.0, limits(2))
    assert (view.in_use, view.next_slot) == (2, math.inf)
    late = window.view(1000.0 + limits(2).in_flight, limits(2))  # by now they have ended, though nobody has said so
    assert late.next_slot == pytest.approx(limits(2).hold)


def test_a_loss_is_shown_as_it_is_kept_to() -> None:
    window = Window(at=1000.0)
    window.lose(1000.0)
    wait = window.step(1000.0, limits(3), ask=Acquire(process="a", key="1"))
    view = window.view(1000.0, limits(3))
    assert wait == view.next_slot == view.unknown_for == pytest.approx(limits(3).in_flight + limits(3).hold)


def test_a_loss_is_feared_by_a_clock_that_is_far_behind_too() -> None:
    window = Window(at=10_000.0)
    window.lose(2_800.0)
    wait = window.step(2_800.0, limits(3), ask=Acquire(process="a", key="1"))
    assert wait == pytest.approx(limits(3).in_flight + limits(3).hold)


@pytest.mark.parametrize(("back", "held"), [(0.4, False), (5.0, True)])
def test_a_clock_that_goes_back_further_than_it_may_be_off_was_started_anew(back: float, held: bool) -> None:
    set_by_hand = attrs.evolve(limits(1), clock_error=0.12)
    window = Window()
    permit = Permit(0, "1")
    assert window.step(1000.0, set_by_hand, ask=Acquire(process="a", key="1")) == 0
    window.step(1001.0, set_by_hand, [Release(permit=permit, ending=Ending.ACCEPTED, counted=960.0)])
    free_in = window.view(1001.0 - back, set_by_hand).next_slot
    assert free_in == pytest.approx(set_by_hand.hold if held else 960.0 + set_by_hand.hold - (1001.0 - back))


WRONG_NUMBERS: list[Any] = [None, "abc", True, [], 1e300, float("inf"), float("nan")]
COUNTS = ("fullest", "late", "adaptive.episode", "adaptive.limit", "adaptive.pauses")
NUMBERS = [*COUNTS, "at", "not_before", "adaptive.paused_until", "adaptive.period", "turns.b", "slots.in_flight.b.0"]
NUMBERS += ["slots.in_flight.b.1", "slots.ended.0.0", "slots.ended.0.1", "slots.ended.0.2"]


def a_document() -> Any:
    """A window's state with something in each field."""
    window = Window(at=5000.0, turns={"b": 5060.0})
    window.slots.take("b", 5030.0, 5090.0)
    window.slots.end("a", 5055.0, refused=False, quantum=0.0)
    return json.loads(window.to_json())


def with_value(document: Any, path: str, value: object) -> str:
    """The text of a document with another value at a place."""
    at, (*steps, last) = document, path.split(".")
    for step in steps:
        at = at[int(step) if step.isdigit() else step]
    at[int(last) if last.isdigit() else last] = value
    return json.dumps(document)


WRONG_STATES: list[Any] = ["not json", "[]", "7", "null", "[" * 100_000, "{", "{}"]
WRONG_STATES += [with_value(a_document(), name, "x") for name in a_document()]
WRONG_STATES += [with_value(a_document(), path, value) for path in NUMBERS for value in WRONG_NUMBERS]
WRONG_STATES += [with_value(a_document(), path, value) for path in COUNTS for value in (-1, 0.5)]
WRONG_STATES += [with_value(a_document(), "adaptive.ceiling", 3), with_value(a_document(), "adaptive.first", 1)]


@pytest.mark.parametrize("text", WRONG_STATES)
def test_a_state_that_is_damaged_is_refused(text: str) -> None:
    assert Window.from_json(json.dumps(a_document()))
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong, it says what
        Window.from_json(text)


# --- Early calls, in an outage


def of_outage(ended: list[Permit], now: float, unanswered: int = 1) -> list[Release]:
    """What is reported of calls that were not answered at `now`."""
    return [Release(permit, Ending.UNCONFIRMED, now, unanswered=unanswered, probe_wait=40.0) for permit in ended]


def in_outage(now: float) -> Window:
    """A window since whose first probe, which was not answered at `now` either, nothing has happened."""
    window = Window(at=now)
    window.step(now, limits(10), of_outage([Permit(0, str(number)) for number in range(5)], now))
    assert window.step(now, limits(10), ask=Acquire("a", "probe")) == 0
    window.step(now, limits(10), of_outage([Permit(0, "probe", probe=True)], now))
    assert window.view(now, limits(10)).next_probe == 40.0
    return window


def test_an_early_call_takes_a_slot_and_leaves_the_next_probe_where_it_is() -> None:
    window = in_outage(1000.0)
    probe = Acquire("a", "1")
    assert window.step(1001.0, limits(10), ask=probe) > 0
    assert window.step(1001.0, limits(10), ask=Acquire("b", "early", early=True)) == 0
    assert window.view(1001.0, limits(10)).in_use == 7
    assert window.view(1001.0, limits(10)).next_probe == 39.0
    before = window.outage.probes
    window.step(1002.0, limits(10), of_outage([Permit(0, "early")], 1002.0))
    assert window.view(1002.0, limits(10)).next_probe == 38.0
    assert window.outage.probes == before
    assert window.step(1040.0, limits(10), ask=probe) == 0


def test_an_early_call_that_is_answered_ends_the_outage() -> None:
    window = in_outage(1000.0)
    assert window.step(1001.0, limits(10), ask=Acquire("b", "early", early=True)) == 0
    window.step(1002.0, limits(10), [Release(Permit(0, "early"), Ending.ACCEPTED, 1002.0)])
    assert not window.outage.held
    assert window.step(1002.0, limits(10), ask=Acquire("a", "1")) == 0


def test_an_early_call_waits_for_a_free_slot() -> None:
    window = in_outage(1000.0)
    wait = window.step(1001.0, limits(6), ask=Acquire("b", "early", early=True))
    assert wait == pytest.approx(59.0, abs=0.1)
    assert window.step(1001.0 + wait, limits(6), ask=Acquire("b", "early", early=True)) == 0


def test_an_early_call_gets_no_slot_where_there_is_no_outage() -> None:
    window = Window()
    assert window.step(1000.0, limits(10), ask=Acquire("b", "early", early=True)) == math.inf
    assert window.view(1000.0, limits(10)).in_use == 0
