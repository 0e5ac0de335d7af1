"""These run with either major of backoff installed: see the step of that name in CI."""

from itertools import islice

import pytest

from aionorth.bulk.retry import RetryPolicy
from aionorth.common.waits import growing_waits
from aionorth.errors import ArgumentError


def unshortened(wait: float) -> float:
    return wait


def test_waits_double_up_to_the_longest() -> None:
    assert list(islice(growing_waits(0.5, 5.0, unshortened), 6)) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_waits_are_jittered_over_their_full_range() -> None:
    drawn = [next(growing_waits(8.0, 8.0)) for _ in range(400)]
    assert all(0 <= wait <= 8.0 for wait in drawn)
    assert min(drawn) < 1.0
    assert max(drawn) > 7.0


def test_there_is_one_wait_less_than_there_are_attempts() -> None:
    policy = RetryPolicy(attempts=4, base=1.0, longest=3.0, jitter=unshortened)
    assert list(policy.waits()) == [1.0, 2.0, 3.0]
    assert list(RetryPolicy(attempts=1).waits()) == []


def test_the_waits_of_one_call_do_not_use_up_those_of_another() -> None:
    policy = RetryPolicy(attempts=3, jitter=unshortened)
    assert list(policy.waits()) == list(policy.waits())


@pytest.mark.parametrize(
    "options",
    [{"attempts": 0}, {"attempts": 1.5}, {"attempts": None}, {"base": 0}, {"longest": -1}, {"deadline": 0}],
)
def test_settings_that_cannot_be_are_named(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(ArgumentError, match=f"RetryPolicy.{name}="):
        RetryPolicy(**options)  # type: ignore[arg-type]  # that is the point


def test_no_deadline_is_a_setting() -> None:
    assert RetryPolicy(deadline=None).deadline is None
