"""Events as a real text exposition, read back by the parser of prometheus_client."""

import asyncio
from typing import Any

import pytest
from hand_made import ended, started
from prometheus_client import CollectorRegistry, Counter
from scrape import NO_LABELS, labelled, scraped
from support import APP

import aionorth
from aionorth import events
from aionorth.items import Kind
from aionorth.models import DeleteResult
from aionorth.observe import PrometheusObserver


def flow(**known: Any) -> aionorth.FlowState:
    state = {"limit": 100, "period": 60.0, "in_use": 0, "next_slot": 0.0, "waiting": 0, "paused_for": 0.0}
    return aionorth.FlowState(**state | {"refusals": 0} | known)


def opened(app_id: str = APP, **known: Any) -> events.SessionOpened:
    return events.SessionOpened(app_id=app_id, flow=lambda: flow(**known))


def test_the_metrics_have_the_documented_names_and_labels() -> None:
    registry = CollectorRegistry()
    observe = PrometheusObserver(registry)
    for event in (
        started(1),
        ended(1, error_type="100501", code="100501", status=503),
        started(2, attempt=2),
        ended(2),
        events.Refused(app_id=APP, operation="login", retry_after=0.0),
        events.TokenObtained(app_id=APP, lifetime=3600.0, age=0.0),
        events.IdSettled(
            app_id=APP,
            run=9,
            kind=Kind.PACKAGES,
            result=DeleteResult(id="f1", outcome=aionorth.Outcome.DELETED, attempts=1),
        ),
    ):
        observe(event)
    found = {name: [sorted(dict(labels)) for labels in values] for name, values in scraped(registry).items()}
    found = {name: labels for name, labels in found.items() if not name.endswith("_created")}
    assert {name: labels[0] for name, labels in found.items()} == {
        "aionorth_calls_total": ["code", "operation"],
        "aionorth_retries_total": ["error_type"],
        "aionorth_ids_total": ["kind", "outcome"],
        "aionorth_refusals_total": [],
        "aionorth_token_obtained_total": [],
        "aionorth_call_duration_seconds_bucket": ["le"],
        "aionorth_call_duration_seconds_count": [],
        "aionorth_call_duration_seconds_sum": [],
        "aionorth_queue_wait_seconds_bucket": ["le"],
        "aionorth_queue_wait_seconds_count": [],
        "aionorth_queue_wait_seconds_sum": [],
        "aionorth_slots_in_use": [],
        "aionorth_calls_limit": [],
        "aionorth_paused_seconds": [],
    }


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ({"status": 204}, "204"),
        ({"status": 200, "code": "100501", "error_type": "100501"}, "100501"),
        ({"status": 502, "error_type": "GatewayError"}, "502"),
        ({"status": 200, "error_type": "ReplyLostError"}, "ReplyLostError"),
        ({"status": None, "error_type": "ReplyTimeoutError"}, "ReplyTimeoutError"),
    ],
)
def test_a_call_is_counted_by_code_or_status_or_class(reply: dict[str, Any], code: str) -> None:
    registry = CollectorRegistry()
    observe = PrometheusObserver(registry)
    observe(started(1))
    observe(ended(1, **reply))
    calls = scraped(registry)["aionorth_calls_total"]
    assert calls == {labelled(operation="delete_subscription", code=code): 1.0}


def test_durations_and_waits_are_in_buckets_of_seconds() -> None:
    registry = CollectorRegistry()
    observe = PrometheusObserver(registry)
    for number, (waited, duration) in enumerate([(0.0, 0.004), (59.0, 0.02), (290.0, 29.0)]):
        observe(started(number, waited=waited))
        observe(ended(number, waited=waited, duration=duration))
    found = scraped(registry)
    durations, waits = found["aionorth_call_duration_seconds_bucket"], found["aionorth_queue_wait_seconds_bucket"]
    assert [durations[labelled(le=le)] for le in ("0.005", "0.01", "0.025", "10.0", "30.0", "+Inf")] == [
        1,
        1,
        2,
        2,
        3,
        3,
    ]
    assert [waits[labelled(le=le)] for le in ("0.005", "30.0", "60.0", "300.0", "+Inf")] == [1, 1, 2, 3, 3]
    assert found["aionorth_call_duration_seconds_sum"][NO_LABELS] == pytest.approx(29.024)


async def test_a_retry_is_counted_by_what_the_attempt_before_it_ended_in() -> None:
    """Two workers of one run at once: each retry belongs to the error of its own task."""
    registry = CollectorRegistry()
    observe = PrometheusObserver(registry)

    async def worker(number: int, error: str) -> None:
        for attempt in (1, 2, 3):
            observe(started(number + attempt, 7, attempt=attempt))
            await asyncio.sleep(1)
            observe(ended(number + attempt, 7, attempt=attempt, error_type=error, status=None))
            await asyncio.sleep(1)
            observe(started(number + attempt + 10, operation="probe"))
            observe(ended(number + attempt + 10, operation="probe", error_type="OutageError", status=None))

    await asyncio.gather(worker(100, "1010009"), worker(200, "ReplyLostError"))
    retries = scraped(registry)["aionorth_retries_total"]
    assert retries == {labelled(error_type="1010009"): 2.0, labelled(error_type="ReplyLostError"): 2.0}


def test_codes_without_end_do_not_make_time_series_without_end() -> None:
    registry = CollectorRegistry()
    observe = PrometheusObserver(registry)
    for number in range(1000):
        observe(ended(number, code=f"{number}", error_type=f"{number}", status=500))
    calls = scraped(registry)["aionorth_calls_total"]
    assert sum(calls.values()) == 1000
    assert len(calls) == 201
    assert calls[labelled(operation="delete_subscription", code="other")] == 800


# --- Flow control, when it is scraped


def test_flow_control_is_read_when_it_is_scraped() -> None:
    registry = CollectorRegistry()
    observe = PrometheusObserver(registry)
    state: dict[str, Any] = {"in_use": 3, "learned_limit": 50, "paused_for": 0.0}

    def now() -> aionorth.FlowState:
        return flow(**state)

    observe(events.SessionOpened(app_id=APP, flow=now))
    assert gauges(registry) == (3.0, 50.0, 0.0)
    state |= {"in_use": 7, "learned_limit": None, "paused_for": 12.5}
    assert gauges(registry) == (7.0, 100.0, 12.5)
    observe(events.SessionClosed(app_id=APP, flow=now))
    assert gauges(registry) == (0.0, 0.0, 0.0)


def test_apps_are_added_up_and_sessions_of_one_app_are_not() -> None:
    registry = CollectorRegistry()
    observe = PrometheusObserver(registry)
    shared = opened("a", in_use=3, paused_for=5.0)
    for event in (shared, shared, opened("b", in_use=4, limit=20, paused_for=9.0)):
        observe(event)
    assert gauges(registry) == (7.0, 120.0, 9.0)
    observe(events.SessionClosed(app_id="a", flow=shared.flow))
    assert gauges(registry) == (7.0, 120.0, 9.0)
    observe(events.SessionClosed(app_id="a", flow=shared.flow))
    assert gauges(registry) == (4.0, 20.0, 9.0)


def test_an_app_whose_flow_control_cannot_be_read_does_not_hide_the_others() -> None:
    def closed() -> aionorth.FlowState:
        raise aionorth.SessionStateError("the session is not open")

    registry = CollectorRegistry()
    observe = PrometheusObserver(registry)
    observe(events.SessionOpened(app_id="a", flow=closed))
    observe(opened("b", in_use=4))
    observe(ended(1))
    assert gauges(registry) == (4.0, 100.0, 0.0)
    assert sum(scraped(registry)["aionorth_calls_total"].values()) == 1


def gauges(registry: CollectorRegistry) -> tuple[float, ...]:
    found = scraped(registry)
    names = ("aionorth_slots_in_use", "aionorth_calls_limit", "aionorth_paused_seconds")
    return tuple(found[name][NO_LABELS] for name in names)


# --- Registries


def test_a_second_observer_of_one_registry_is_refused_with_the_remedy() -> None:
    registry = CollectorRegistry()
    PrometheusObserver(registry)
    with pytest.raises(aionorth.ArgumentError, match="make one PrometheusObserver for it, and give that to each"):
        PrometheusObserver(registry)
    PrometheusObserver(CollectorRegistry())


def test_an_observer_that_is_refused_leaves_nothing_in_the_registry() -> None:
    registry = CollectorRegistry()
    Counter("aionorth_retries", "Of somebody else", registry=registry)
    with pytest.raises(aionorth.ArgumentError, match="aionorth_retries"):
        PrometheusObserver(registry)
    assert set(scraped(registry)) <= {"aionorth_retries_total", "aionorth_retries_created"}


def test_what_is_no_registry_is_refused() -> None:
    with pytest.raises(aionorth.ArgumentError, match=r"give a prometheus_client\.CollectorRegistry"):
        PrometheusObserver("metrics")  # type: ignore[arg-type]
