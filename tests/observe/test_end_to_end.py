"""Both observers against the simulator's own log: every attempt once, every id once."""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from opentelemetry import context, propagate
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from otel_sdk import Sdk, parent_id, span_id
from prometheus_client import CollectorRegistry
from raw import Answer, answering, head
from scrape import NO_LABELS, labelled, scraped
from support import APP, session, slow_at_times

import aionorth
from aionorth.observe import PrometheusObserver
from aionorth.simulator import Arrival, CutBody, ErrorIn200, Reset, ServerError, Simulator

FAULTS = {Reset(after_effect=True): 0.05, Reset(): 0.03, ServerError(): 0.03, ErrorIn200(): 0.02, CutBody(): 0.02}


@pytest.fixture
def sdk() -> Sdk:
    return Sdk()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture(
    params=[pytest.param(False, marks=pytest.mark.slow), True], ids=["alone", "beside the instrumentation of aiohttp"]
)
def instrumented(request: pytest.FixtureRequest, sdk: Sdk) -> Iterator[None]:
    instrumentor = AioHttpClientInstrumentor()
    if request.param:
        instrumentor.instrument(tracer_provider=sdk.tracer_provider, meter_provider=sdk.meter_provider)
    yield
    if request.param:
        instrumentor.uninstrument()


@asynccontextmanager
async def observed(
    sdk: Sdk, registry: CollectorRegistry, platform: Simulator, **options: Any
) -> AsyncIterator[aionorth.NorthSession]:
    observers = [PrometheusObserver(registry), sdk.observer()]
    async with session(platform, observers=observers, **options) as north:
        yield north


def attempts(sdk: Sdk) -> list[ReadableSpan]:
    return [span for span in sdk.spans() if span.kind is SpanKind.CLIENT]


def operation(arrival: Arrival) -> str:
    if arrival.path.endswith("/login"):
        return "login"
    return "delete_subscription" if arrival.method == "DELETE" else "probe"


@pytest.mark.usefixtures("instrumented")
async def test_every_attempt_and_every_id_of_a_rough_purge_is_counted_once(
    sdk: Sdk, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    async with Simulator(calls=30, period=20.0, chances=FAULTS, seed=13, latency=slow_at_times) as platform:
        ids = platform.add_subscriptions(300)
        async with observed(sdk, registry, platform, flow_control=aionorth.FlowControl(50, 20.0)) as north:
            before = context.get_current()
            summary = await north.delete_subscriptions([*ids, "nobody", ids[0]])
            assert context.get_current() is before
            now = await asyncio.to_thread(scraped, registry)  # as what serves the metrics does
            assert now["aionorth_slots_in_use"][NO_LABELS] == north.flow.in_use > 0
            assert now["aionorth_calls_limit"][NO_LABELS] == north.flow.in_force
        arrivals = platform.arrivals
    assert summary.pending == 0
    assert summary.refusals > 0
    found = scraped(registry)

    calls = Counter[str]()
    for labels, value in found["aionorth_calls_total"].items():
        calls[dict(labels)["operation"]] += int(value)
    assert calls == Counter(map(operation, arrivals))
    assert found["aionorth_refusals_total"][NO_LABELS] == sum(arrival.refused for arrival in arrivals) > 0
    outcomes = {labelled(kind="subscriptions", outcome=name): n for name, n in outcomes_of(summary).items()}
    assert found["aionorth_ids_total"] == outcomes
    assert sum(outcomes.values()) == 301
    again = sum((span.attributes or {}).get("http.request.resend_count", 0) != 0 for span in attempts(sdk))
    assert sum(found["aionorth_retries_total"].values()) == again > 0
    assert found["aionorth_retries_total"][labelled(error_type="1010009")] > 0
    assert labelled(error_type="other") not in found["aionorth_retries_total"]
    assert found["aionorth_call_duration_seconds_count"][NO_LABELS] == len(arrivals)
    assert found["aionorth_queue_wait_seconds_count"][NO_LABELS] == len(arrivals)
    assert found["aionorth_token_obtained_total"][NO_LABELS] == calls["login"]

    assert len(attempts(sdk)) == len(arrivals) == sum(point.count for point in sdk.durations())
    statuses = Counter((span.attributes or {}).get("http.response.status_code") for span in attempts(sdk))
    whole = Counter(arrival.status for arrival in arrivals)
    assert {status: statuses[status] for status in (204, 403, 503)} == {
        status: whole[status] for status in (204, 403, 503)
    }
    (run,) = sdk.spans("delete_subscriptions")
    deletions = [span for span in attempts(sdk) if span.name.startswith("DELETE ")]
    assert {parent_id(span) for span in deletions} == {span_id(run)}
    assert sum(event.name == "aionorth.refused" for span in deletions for event in span.events) == summary.refusals
    assert any(event.name == "aionorth.paused" for event in run.events)
    refused = [span for span in attempts(sdk) if (span.attributes or {}).get("error.type") == "1010009"]
    assert len(refused) == sum(arrival.refused for arrival in arrivals)
    assert {span.status.status_code for span in refused} == {StatusCode.ERROR}
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    shown = "".join(span.to_json() for span in sdk.spans())
    assert not [id_ for id_ in [*ids, "nobody"] if id_ in shown]


def outcomes_of(summary: aionorth.DeleteSummary) -> dict[str, int]:
    return {outcome.value: n for outcome in aionorth.Outcome if (n := summary.count(outcome))}


async def test_a_single_call_is_a_span_with_its_attempts_below_it(sdk: Sdk, registry: CollectorRegistry) -> None:
    async with Simulator() as platform:
        (id_,) = platform.add_subscriptions(1)
        platform.script(Reset(after_effect=True), method="DELETE")
        async with observed(sdk, registry, platform) as north:
            with sdk.tracer_provider.get_tracer("service").start_as_current_span("request"):
                await north.delete_subscription(id_)
        assert len(attempts(sdk)) == len(platform.arrivals) == 3
    lost, there = (span for span in attempts(sdk) if span.name.startswith("DELETE "))
    (request,), (single,) = sdk.spans("request"), sdk.spans("delete_subscription")
    assert (parent_id(lost), parent_id(there)) == (span_id(single), span_id(single))
    assert parent_id(single) == span_id(request)
    assert (single.kind, single.status.status_code) == (SpanKind.INTERNAL, StatusCode.UNSET)
    assert (lost.attributes or {})["error.type"] == "ReplyLostError"
    assert (there.attributes or {})["http.request.resend_count"] == 1


async def test_calls_that_are_cancelled_leave_no_span_open_and_no_context(
    sdk: Sdk, caplog: pytest.LogCaptureFixture
) -> None:
    async with Simulator(latency=lambda _: (0.0, 20.0)) as platform:
        ids = platform.add_subscriptions(40)
        observer = sdk.observer()
        async with session(platform, observers=[observer], token=platform.issue_token()) as north:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(north.delete_subscription(ids[0]), 5)
            assert not observer._open
            run = asyncio.ensure_future(north.delete_subscriptions(ids, grace=1))
            await asyncio.sleep(5)
            run.cancel()
            await asyncio.wait([run])
            assert not observer._open
            async with north.delete_subscriptions(ids, grace=1) as run_:
                await anext(run_)
            assert not observer._open
            async for _ in north.list_subscriptions():
                break
            gc.collect()
            await asyncio.sleep(1)
            assert not observer._open
        assert len(attempts(sdk)) == len(platform.arrivals)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_other_calls_of_the_service_keep_their_own_spans(sdk: Sdk, registry: CollectorRegistry) -> None:
    """What is suppressed is our own attempt, not what else the service does meanwhile."""
    instrumentor = AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=sdk.tracer_provider)
    try:
        async with Simulator(latency=lambda _: (0.0, 5.0)) as platform, aiohttp.ClientSession() as http:
            ids = platform.add_subscriptions(3)
            async with observed(sdk, registry, platform, token=platform.issue_token()) as north:
                run = asyncio.ensure_future(north.delete_subscriptions(ids))
                await asyncio.sleep(1)
                async with http.get(platform.url):
                    pass
                await run
    finally:
        instrumentor.uninstrument()
    ours = [
        span for span in attempts(sdk) if span.instrumentation_scope and span.instrumentation_scope.name == "aionorth"
    ]
    theirs = [span for span in attempts(sdk) if span not in ours]
    assert (len(ours), [span.name for span in theirs]) == (3, ["GET"])


async def test_a_session_of_ones_own_can_pass_the_trace_on(sdk: Sdk) -> None:
    async def start(_: Any, __: Any, parameters: aiohttp.TraceRequestStartParams) -> None:
        propagate.inject(parameters.headers)

    traces = aiohttp.TraceConfig()
    traces.on_request_start.append(start)
    options: dict[str, Any] = {"app_id": APP, "token": "t", "observers": [sdk.observer()]}
    async with (
        answering(Answer(head(204))) as platform,
        aiohttp.ClientSession(trace_configs=[traces]) as http,
        aionorth.NorthSession(platform.url, http=http, **options) as north,
    ):
        await north.delete_subscription("one")
    (attempt,) = attempts(sdk)
    assert f"-{span_id(attempt):016x}-".encode() in platform.requests[0].lower().partition(b"traceparent: ")[2]
