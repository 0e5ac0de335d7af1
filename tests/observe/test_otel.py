"""Events as spans and a metric of the real OpenTelemetry SDK."""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from hand_made import TEMPLATE, ended, started
from opentelemetry import context, trace
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled
from opentelemetry.trace import SpanKind, StatusCode
from otel_sdk import Sdk, parent_id, span_id
from support import APP

from aionorth import events
from aionorth.items import Kind
from aionorth.models import Outcome

CALL = f"DELETE {TEMPLATE}"


@pytest.fixture
def sdk() -> Sdk:
    return Sdk()


def begun(number: int) -> events.OperationStarted:
    return events.OperationStarted(app_id=APP, number=number, operation="delete_subscription")


def done(number: int, error: str | None = None) -> events.OperationEnded:
    return events.OperationEnded(
        app_id=APP, number=number, operation="delete_subscription", error_type=error, duration=1.0
    )


# --- Spans


def test_an_attempt_has_the_stable_attributes_of_http(sdk: Sdk) -> None:
    observe = sdk.observer()
    for event in (started(1, attempt=3), ended(1, attempt=3)):
        observe(event)
    (span,) = sdk.spans()
    assert (span.name, span.kind, span.status.status_code) == (CALL, SpanKind.CLIENT, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        "http.request.method": "DELETE",
        "url.template": TEMPLATE,
        "server.address": "iot.example.com",
        "server.port": 8743,
        "http.request.resend_count": 2,
        "http.response.status_code": 204,
    }


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ({"status": 403, "code": "1010009", "error_type": "1010009"}, "1010009"),
        ({"status": 200, "code": "100501", "error_type": "100501"}, "100501"),
        ({"status": None, "error_type": "ReplyTimeoutError"}, "ReplyTimeoutError"),
    ],
)
def test_an_attempt_that_failed_says_why(reply: dict[str, Any], error: str, sdk: Sdk) -> None:
    observe = sdk.observer()
    for event in (started(1), ended(1, **reply)):
        observe(event)
    (span,) = sdk.spans()
    assert span.attributes is not None
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert span.attributes["error.type"] == error
    assert span.attributes.get("http.response.status_code") == reply["status"]
    assert "http.request.resend_count" not in span.attributes


def test_a_single_call_is_below_its_caller_and_its_attempts_are_below_it(sdk: Sdk) -> None:
    observe = sdk.observer()
    tracer = sdk.tracer_provider.get_tracer("service")
    with tracer.start_as_current_span("request"):
        observe(begun(1))
        for attempt, error in ((1, "ReplyLostError"), (2, None)):
            observe(started(10 + attempt, 1, attempt=attempt))
            observe(ended(10 + attempt, 1, attempt=attempt, error_type=error))
        observe(done(1))
    first, second, operation, request = sdk.spans()
    assert [span.name for span in (first, second, operation, request)] == [CALL, CALL, "delete_subscription", "request"]
    assert operation.kind is SpanKind.INTERNAL
    assert [parent_id(span) for span in (first, second, operation)] == [
        span_id(operation),
        span_id(operation),
        span_id(request),
    ]


async def test_a_run_is_below_its_caller_and_what_its_workers_do_is_below_it(sdk: Sdk) -> None:
    observe = sdk.observer()

    async def worker(number: int) -> None:
        observe(started(number, 1))
        await asyncio.sleep(number)
        observe(ended(number, 1))

    with sdk.tracer_provider.get_tracer("service").start_as_current_span("request"):
        observe(events.RunStarted(app_id=APP, run=1, kind=Kind.SUBSCRIPTIONS, expected=3))
    await asyncio.gather(*map(worker, (2, 3, 4)))
    counts = {Outcome.DELETED: 2, Outcome.GONE: 1}
    run: dict[str, Any] = {"app_id": APP, "run": 1, "kind": Kind.SUBSCRIPTIONS, "counts": counts, "elapsed": 4.0}
    observe(events.RunEnded(**run, error_type="CredentialsError"))
    request, *attempts, whole = sdk.spans()
    assert [parent_id(span) for span in attempts] == [span_id(whole)] * 3
    assert (whole.name, whole.kind, parent_id(whole)) == ("delete_subscriptions", SpanKind.INTERNAL, span_id(request))
    assert whole.status.status_code is StatusCode.ERROR
    assert dict(whole.attributes or {}) == {
        "aionorth.ids.expected": 3,
        "aionorth.ids.deleted": 2,
        "aionorth.ids.gone": 1,
        "error.type": "CredentialsError",
    }


def test_refusals_are_on_the_attempt_and_pauses_and_outages_on_what_goes_on_in_the_app(sdk: Sdk) -> None:
    observe = sdk.observer()
    for event in (
        begun(1),
        attrs.evolve(begun(2), app_id="another"),
        started(3, 1),
        events.Refused(app_id=APP, operation="delete_subscription", retry_after=5.0),
        events.Paused(app_id=APP, seconds=7.5),
        ended(3, 1, status=403, code="1010009", error_type="1010009"),
        events.Held(app_id=APP, silent_for=0.0, reason="no reply"),
        events.Released(app_id=APP, silent_for=60.0),
        events.Refused(app_id=APP, operation="login", retry_after=0.0),
        done(1),
        attrs.evolve(done(2), app_id="another"),
    ):
        observe(event)
    attempt, operation, another = sdk.spans()
    assert [(event.name, dict(event.attributes or {})) for event in attempt.events] == [
        ("aionorth.refused", {"aionorth.operation": "delete_subscription", "aionorth.retry_after": 5.0})
    ]
    assert [(event.name, dict(event.attributes or {})) for event in operation.events] == [
        ("aionorth.paused", {"aionorth.pause": 7.5}),
        ("aionorth.held", {"aionorth.reason": "no reply"}),
        ("aionorth.released", {"aionorth.silent_for": 60.0}),
        ("aionorth.refused", {"aionorth.operation": "login", "aionorth.retry_after": 0.0}),
    ]
    assert not another.events


def test_what_began_before_the_observer_came_does_no_harm(sdk: Sdk) -> None:
    observe = sdk.observer()
    for event in (started(3, 1), ended(3, 1), ended(4, 1), done(1)):
        observe(event)
    assert [span.name for span in sdk.spans()] == [CALL]
    assert sum(point.count for point in sdk.durations()) == 2


# --- The metric


def test_durations_are_in_the_buckets_of_the_conventions_by_what_came_of_the_call(sdk: Sdk) -> None:
    observe = sdk.observer()
    replies: list[dict[str, Any]] = [{"duration": 0.02}, {"duration": 3.0}, {"status": None, "error_type": "TlsError"}]
    for number, fields in enumerate(replies):
        observe(started(number))
        observe(ended(number, **fields))
    known: dict[str, str | int] = {"http.request.method": "DELETE", "url.template": TEMPLATE}
    known |= {"server.address": "iot.example.com", "server.port": 8743}
    good, bad = sorted(sdk.durations(), key=lambda point: -point.count)
    assert dict(good.attributes or {}) == known | {"http.response.status_code": 204}
    assert dict(bad.attributes or {}) == known | {"error.type": "TlsError"}
    assert (good.count, good.sum, bad.count) == (2, 3.02, 1)
    bounds = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
    assert tuple(good.explicit_bounds) == bounds


# --- The context


def test_an_attempt_is_the_current_span_while_it_is_made_and_other_http_spans_are_suppressed(sdk: Sdk) -> None:
    observe = sdk.observer()
    before = context.get_current()
    assert is_http_instrumentation_enabled()
    observe(started(1))
    assert not is_http_instrumentation_enabled()
    current = trace.get_current_span()
    observe(ended(1))
    assert span_id(sdk.spans()[0]) == current.get_span_context().span_id
    assert context.get_current() == before
    assert is_http_instrumentation_enabled()


def test_two_observers_of_one_session_leave_the_context_as_it_was(sdk: Sdk) -> None:
    other = Sdk()
    observers = [sdk.observer(), other.observer()]
    before = context.get_current()
    for event in (begun(1), started(2, 1), ended(2, 1), done(1)):
        for observe in observers:
            observe(event)
    assert context.get_current() == before
    for one in (sdk, other):
        attempt, operation = one.spans()
        assert parent_id(attempt) == span_id(operation)


def test_an_attempt_that_ends_in_another_context_is_ended_and_nothing_is_logged(
    sdk: Sdk, caplog: pytest.LogCaptureFixture
) -> None:
    observe = sdk.observer()
    inside = contextvars.copy_context()
    inside.run(observe, started(1))
    observe(ended(1))
    inside.copy().run(observe, ended(1))
    assert [span.name for span in sdk.spans()] == [CALL]
    assert not trace.get_current_span().get_span_context().is_valid
    assert not caplog.records


async def test_a_generator_that_is_given_up_in_another_task_leaves_no_context_and_no_span(
    sdk: Sdk, caplog: pytest.LogCaptureFixture
) -> None:
    observe = sdk.observer()

    async def pages() -> AsyncIterator[int]:
        observe(begun(1))
        observe(started(2, 1))
        try:
            yield 1
        finally:
            observe(ended(2, 1))
            observe(done(1))

    generator = pages()
    await asyncio.create_task(_first(generator))
    await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]
    assert [span.name for span in sdk.spans()] == [CALL, "delete_subscription"]
    assert not trace.get_current_span().get_span_context().is_valid
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def _first(generator: AsyncIterator[int]) -> int:
    return await anext(generator)
