"""What follows each error, before and after any number of attempts, and what has then become of the id."""

import math
from collections.abc import Iterator

import attrs
import pytest

from aionorth import Outcome, RetryPolicy, errors
from aionorth.bulk.decide import GiveUp, RenewToken, Requeue, Retry, Step, ending_of, next_step
from aionorth.bulk.record import Progress, Record
from aionorth.errors import BulkError, NorthApiError, NorthError
from aionorth.flow.window import Ending
from aionorth.models import DeleteSummary

POLICY = RetryPolicy(attempts=3, base=1.0, jitter=lambda wait: wait)
FIRST, MIDDLE, LAST = 1, 2, 3


@attrs.frozen
class Row:
    """What follows an error."""

    step: type[Step]
    outcome: Outcome
    """What has become of the id if nothing more is done, where no attempt before was ambiguous."""
    ambiguous: bool = False
    """Whether the attempt may have been carried out."""
    not_sent: bool = False
    """Whether it comes before a call is sent, so that nothing is known of the id but what was known before."""
    ending: Ending = Ending.UNCONFIRMED
    """What flow control learns from a reply that is read as this error."""


def api(step: type[Step], outcome: Outcome = Outcome.FAILED, *, ambiguous: bool = False) -> Row:
    """An error that carries a code of the platform."""
    return Row(step, outcome, ambiguous, ending=Ending.ACCEPTED)


TABLE: dict[type[NorthError], Row] = {
    NorthError: Row(GiveUp, Outcome.FAILED, ambiguous=True),
    errors.ArgumentError: Row(GiveUp, Outcome.SKIPPED, ending=Ending.UNSENT),
    errors.InvalidIdError: Row(GiveUp, Outcome.SKIPPED, ending=Ending.UNSENT),
    errors.SettingsError: Row(GiveUp, Outcome.SKIPPED, ending=Ending.UNSENT),
    errors.JournalError: Row(GiveUp, Outcome.SKIPPED, not_sent=True),
    errors.StoreError: Row(GiveUp, Outcome.SKIPPED, not_sent=True),
    errors.StoreUnavailableError: Row(GiveUp, Outcome.SKIPPED, not_sent=True),
    errors.SessionStateError: Row(GiveUp, Outcome.SKIPPED, not_sent=True),
    errors.NorthConnectionError: Row(Retry, Outcome.FAILED),
    errors.OutageError: Row(GiveUp, Outcome.FAILED),
    errors.HostNotFoundError: Row(GiveUp, Outcome.FAILED),
    errors.ProxyError: Row(Retry, Outcome.FAILED),
    errors.TlsError: Row(GiveUp, Outcome.FAILED),
    errors.ReplyLostError: Row(Retry, Outcome.UNKNOWN, ambiguous=True),
    errors.ReplyTimeoutError: Row(Retry, Outcome.UNKNOWN, ambiguous=True),
    errors.NorthApiError: api(GiveUp, ambiguous=True),
    errors.BadRequestError: api(GiveUp),
    errors.FlowControlError: Row(Requeue, Outcome.FAILED, ending=Ending.REFUSED),
    errors.InvalidTokenError: api(RenewToken),
    errors.TokenEvictedError: api(GiveUp),
    errors.AppNotAuthorizedError: api(GiveUp),
    errors.NotFoundError: api(GiveUp, Outcome.NOT_FOUND),
    errors.SubscriptionNotFoundError: api(GiveUp, Outcome.NOT_FOUND),
    errors.PackageNotFoundError: api(GiveUp, Outcome.NOT_FOUND),
    errors.DeviceNotFoundError: api(GiveUp, Outcome.NOT_FOUND),
    errors.DeviceGroupNotFoundError: api(GiveUp, Outcome.NOT_FOUND),
    errors.TooManyResultsError: api(GiveUp, ambiguous=True),
    errors.PageOutOfRangeError: api(GiveUp, ambiguous=True),
    errors.CredentialsError: api(GiveUp),
    errors.AppNotFoundError: api(GiveUp),
    errors.AppFrozenError: api(GiveUp),
    errors.ServerError: api(Retry, ambiguous=True),
    errors.CongestionError: api(Retry, ambiguous=True),
    errors.GatewayError: api(Retry, Outcome.UNKNOWN, ambiguous=True),
    errors.AppKeyMissingError: api(GiveUp),
    errors.TooManyFailuresError: Row(GiveUp, Outcome.FAILED, ambiguous=True),
    errors.BulkError: Row(GiveUp, Outcome.FAILED, ambiguous=True),
    errors.BulkFailedError: Row(GiveUp, Outcome.FAILED, ambiguous=True),
    errors.BulkAbortedError: Row(GiveUp, Outcome.FAILED, ambiguous=True),
}


def kinds(root: type[NorthError] = NorthError) -> Iterator[type[NorthError]]:
    """All classes of errors that the package's module of errors has."""
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from kinds(kind)


def made(kind: type[NorthError]) -> NorthError:
    if issubclass(kind, NorthApiError):
        return kind(400, "1")
    if issubclass(kind, errors.OutageError):
        return kind(1800.0, "no")
    return kind("no", DeleteSummary()) if issubclass(kind, BulkError) else kind("no")


def before(attempt: int, *, ambiguous: bool) -> Progress:
    """A call that has been attempted: certainly not carried out, or perhaps."""
    error: NorthError = errors.ServerError(503, "100501") if ambiguous else errors.NorthConnectionError("no")
    progress = Progress()
    if ambiguous and attempt == FIRST:  # in a run before
        progress = Progress(record=Record(calls=1, ambiguous=True, error=error, earlier=Outcome.FAILED))
    for _ in range(attempt - 1):
        progress.begin()
        progress.end(error)
    return progress


def test_every_error_has_a_row() -> None:
    assert set(TABLE) == set(kinds())


@pytest.mark.parametrize("ambiguous", [False, True])
@pytest.mark.parametrize("attempt", [FIRST, MIDDLE, LAST])
@pytest.mark.parametrize("kind", TABLE)
def test_an_error_is_followed_by_the_step_of_its_row(kind: type[NorthError], attempt: int, *, ambiguous: bool) -> None:
    row, error, progress = TABLE[kind], made(kind), before(attempt, ambiguous=ambiguous)
    known = progress.record
    if not row.not_sent:
        progress.begin()
    progress.end(error)
    record = progress.record

    expected: Step
    if row.step is GiveUp or (row.step is Retry and attempt == LAST):
        expected = GiveUp(error)
    else:
        expected = Retry(2.0 ** (attempt - 1)) if row.step is Retry else row.step()  # type: ignore[call-arg]
    assert next_step(error, record, POLICY) == expected

    outcome = row.outcome
    if outcome is Outcome.SKIPPED and known.calls:
        outcome = Outcome.FAILED  # earlier calls stay sent
    elif outcome is Outcome.NOT_FOUND and ambiguous:
        outcome = Outcome.GONE
    assert record.outcome is outcome
    assert record.ambiguous == (ambiguous or row.ambiguous)
    assert record.error is error
    assert not record.in_flight
    if not row.not_sent:
        assert ending_of(error) is row.ending


def test_a_success_is_a_deletion_whatever_came_before() -> None:
    for ambiguous in (False, True):
        progress = before(MIDDLE, ambiguous=ambiguous)
        progress.begin()
        progress.end(None)
        assert progress.record.outcome is Outcome.DELETED
        assert progress.record.result("a", 0.0).error is None
    assert ending_of(None) is Ending.ACCEPTED


def test_refusals_and_refused_tokens_cost_no_attempt() -> None:
    progress = Progress()
    for error in (errors.FlowControlError(429), errors.InvalidTokenError(403, "1010005")) * 5:
        progress.begin()
        progress.end(error)
    record = progress.record
    assert (record.calls, record.refusals, record.token_refusals, record.attempts) == (10, 5, 5, 0)
    fault = errors.ReplyLostError("no")
    assert next_step(fault, record.sent.failed(fault), POLICY) == Retry(1.0)


def test_a_run_has_all_attempts_of_the_policy_whatever_runs_before_it_took() -> None:
    fault = errors.ReplyLostError("no")
    resumed = Record(calls=50, ambiguous=True, reply_lost=True, error=fault, earlier=Outcome.UNKNOWN)
    assert resumed.outcome is Outcome.UNKNOWN
    assert next_step(fault, resumed.sent.failed(fault), POLICY) == Retry(1.0)


def test_a_call_in_flight_is_unknown_whatever_came_before() -> None:
    for record in (Record(), Record(calls=1, error=errors.NotFoundError(404), earlier=Outcome.UNKNOWN)):
        assert record.sent.outcome is Outcome.UNKNOWN


def test_a_wait_is_as_long_as_the_platform_asks_for_at_least() -> None:
    error = errors.ServerError(503, retry_after=7.0)
    assert next_step(error, Record().sent.failed(error), POLICY) == Retry(7.0)
    error = errors.ServerError(500, "100001", retry_after=1700.0)
    assert next_step(error, Record().sent.failed(error), POLICY) == Retry(1700.0)


@pytest.mark.parametrize(
    "error", [errors.ServerError(503, retry_after=1e4), errors.CongestionError(503, "100501", retry_after=1e4)]
)
def test_who_does_not_answer_is_asked_again_within_a_minute_whatever_it_says(error: NorthError) -> None:
    assert next_step(error, Record().sent.failed(error), POLICY, time_left=1800.0) == Retry(60.0)


def test_a_refused_login_has_no_token_to_renew() -> None:
    error = errors.InvalidTokenError(401)
    assert next_step(error, Record().sent.failed(error), POLICY, has_token=False) == GiveUp(error)


@pytest.mark.parametrize(
    ("error", "ready_in"),
    [
        (errors.NorthConnectionError("no"), 1.0),
        (errors.FlowControlError(429), 5.0),
        (errors.InvalidTokenError(403, "1010005"), 0.0),
    ],
)
def test_no_attempt_follows_that_could_not_begin_in_time(error: NorthError, ready_in: float) -> None:
    record = Record().sent.failed(error)
    for time_left in (0.0, ready_in, ready_in + 0.1, math.inf):
        step = next_step(error, record, POLICY, paused_for=5.0, time_left=time_left)
        assert (step == GiveUp(error)) == (time_left <= ready_in)


def test_an_error_that_ends_the_run_ends_the_call() -> None:
    error = errors.InvalidTokenError(403, "1010005")
    error.ends_run = True
    assert next_step(error, Record().sent.failed(error), POLICY) == GiveUp(error)


async def test_what_is_to_be_done_before_the_first_attempt_is_done_once() -> None:
    done: list[str] = []

    async def record() -> None:
        done.append("begun")

    progress = Progress(on_begin=record)
    for _ in range(3):
        await progress.prepare()
        progress.begin()
        progress.end(errors.NorthConnectionError("no"))
    assert done == ["begun"]


async def test_where_an_attempt_cannot_be_recorded_none_is_made() -> None:
    async def fail() -> None:
        raise errors.JournalError("full")

    progress = Progress(on_begin=fail)
    with pytest.raises(errors.JournalError):
        await progress.prepare()
    assert progress.record == Record()
