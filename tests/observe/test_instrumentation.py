"""Beside `opentelemetry-instrumentation-aiohttp-client`, and with nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.instrumentation import _semconv
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from otel_sdk import Sdk
from support import deletes, session

import aionorth
from aionorth.simulator import Fault, Reset, ServerError, Simulator

ONCE = aionorth.RetryPolicy(attempts=1)


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sdk]:
    """An SDK that aiohttp is instrumented for, by the stable conventions."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    monkeypatch.setattr(_semconv._OpenTelemetrySemanticConventionStability, "_initialized", False)
    found, instrumentor = Sdk(), AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=found.tracer_provider, meter_provider=found.meter_provider)
    yield found
    instrumentor.uninstrument()


def errors(spans: list[ReadableSpan]) -> list[Any]:
    return [(span.attributes or {}).get("error.type") for span in spans]


@pytest.mark.parametrize(
    ("fault", "options", "error"),
    [
        (Reset(after_effect=True), {}, "ConnectionResetError"),
        (Reset(after_effect=False), {}, "ConnectionResetError"),
        (ServerError(), {}, "503"),
        (None, {"timeout": 1.0}, "TimeoutError"),
    ],
)
async def test_spans_of_aiohttp_name_the_real_cause(
    fault: Fault | None, options: dict[str, Any], error: str, sdk: Sdk
) -> None:
    latency = iter([0.0, 0.0 if fault else 30.0])
    async with Simulator(latency=lambda _: (0.0, next(latency))) as platform:
        async with session(platform, token=platform.issue_token(), retry=ONCE, **options) as north:
            first, second = platform.add_subscriptions(2)
            await north.delete_subscription(first)  # so that the connection of the second is a kept-alive one
            if fault is not None:
                platform.script(fault, method="DELETE", path=second)
            with pytest.raises(aionorth.NorthError):
                await north.delete_subscription(second)
        assert errors(sdk.spans()) == [None, error]
        assert len(deletes(platform)) == 2
