"""Events as spans and metrics of OpenTelemetry. The only user of its API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs
from opentelemetry import context, metrics, trace
from opentelemetry.context import (
    _SUPPRESS_HTTP_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage] - the public way to it attaches for itself
    Context,
)
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider

from aionorth import __version__
from aionorth.events import (
    CallEnded,
    CallEvent,
    CallStarted,
    Event,
    Held,
    OperationEnded,
    OperationStarted,
    Paused,
    Refused,
    Released,
    RunEnded,
    RunStarted,
)

SCHEMA = "https://opentelemetry.io/schemas/1.27.0"
"""The semantic conventions that are kept to; those of HTTP are stable."""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds: those of the conventions."""

_Attributes: TypeAlias = Mapping[str, str | float]


@attrs.frozen(eq=False)
class _Open:
    """A span that has not ended."""

    span: Span
    app_id: str
    before: Context | None = None
    """For an attempt: the context that was current before it."""


class OpenTelemetryObserver:
    """Makes spans and metrics of what happens in sessions, by OpenTelemetry's API.

    * A span for each bulk run and each single call, below the span that is current where it begins. It is named after
      what it does, as in ``delete_subscription``.
    * Below it a client span for each attempt, by the semantic conventions of HTTP, as in
      ``DELETE /iocm/app/sub/v1.2.0/subscriptions/{subscriptionId}``. It is the current one while the attempt is made.
      ``error.type`` is the platform's code, or else the class of the error. ``url.full`` is left out: it has the id.
    * Span events: ``aionorth.refused`` on the attempt, and ``aionorth.paused``, ``aionorth.held`` and
      ``aionorth.released`` on the runs and single calls of the app that are going on.
    * The histogram ``http.client.request.duration``, with the buckets of the conventions.

    While an attempt is made, instrumentations of HTTP clients are suppressed as OpenTelemetry provides for it, so that
    ``opentelemetry-instrumentation-aiohttp-client`` makes no second span for it. So no trace context goes to the
    platform, unless an aiohttp session of your own (``http=``) has a ``TraceConfig`` whose ``on_request_start`` calls
    ``opentelemetry.propagate.inject(params.headers)``.

    No id of what is deleted is in a span. One observer serves any number of sessions.
    """

    # Its state: the spans that have not ended.

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        """Make the tracer and the meter.

        Args:
            tracer_provider: Where spans go; None means the global provider.
            meter_provider: Where the metric goes; None means the global provider.
        """
        self._tracer = trace.get_tracer("aionorth", __version__, tracer_provider, SCHEMA)
        self._durations = metrics.get_meter("aionorth", __version__, meter_provider, SCHEMA).create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._key = context.create_key("aionorth")  # under which a context has the number of its attempt
        self._open: dict[int, _Open] = {}
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            CallStarted: self._call_started,
            CallEnded: self._call_ended,
            OperationStarted: self._operation_started,
            OperationEnded: lambda event: self._end(event.number, event.error_type),
            RunStarted: self._run_started,
            RunEnded: self._run_ended,
            Refused: self._refused,
            Paused: lambda event: self._tell(event, "paused", {"aionorth.pause": event.seconds}),
            Held: lambda event: self._tell(event, "held", {"aionorth.reason": event.reason}),
            Released: lambda event: self._tell(event, "released", {"aionorth.silent_for": event.silent_for}),
        }

    def __call__(self, event: Event) -> None:
        """Make a span begin, end or have an event, as `event` says."""
        if (handler := self._handlers.get(type(event))) is not None:
            handler(event)

    # --- Runs and single calls

    def _operation_started(self, event: OperationStarted) -> None:
        self._open[event.number] = _Open(self._tracer.start_span(event.operation), event.app_id)

    def _run_started(self, event: RunStarted) -> None:
        known = {} if event.expected is None else {"aionorth.ids.expected": event.expected}
        self._open[event.run] = _Open(
            self._tracer.start_span(f"delete_{event.kind}".replace("-", "_"), attributes=known), event.app_id
        )

    def _run_ended(self, event: RunEnded) -> None:
        counts = {f"aionorth.ids.{outcome}": count for outcome, count in event.counts.items()}
        self._end(event.run, event.error_type, counts)

    def _end(self, number: int, error: str | None, attributes: _Attributes | None = None) -> None:
        if (open_ := self._open.pop(number, None)) is None:  # it began before this observer
            return
        span = open_.span
        span.set_attributes(attributes or {})
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)
        span.end()

    # --- Attempts

    def _call_started(self, event: CallStarted) -> None:
        before = around = context.get_current()
        if event.within is not None and (parent := self._open.get(event.within)) is not None:
            around = trace.set_span_in_context(parent.span, before)
        again: _Attributes = {"http.request.resend_count": event.attempt - 1} if event.attempt > 1 else {}
        span = self._tracer.start_span(
            f"{event.method} {event.url_template}", around, SpanKind.CLIENT, {**_attributes(event), **again}
        )
        current = trace.set_span_in_context(span, around)
        current = context.set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True, current)
        context.attach(context.set_value(self._key, event.number, current))
        self._open[event.number] = _Open(span, event.app_id, before)

    def _call_ended(self, event: CallEnded) -> None:
        reply: _Attributes = {} if event.status is None else {"http.response.status_code": event.status}
        error: _Attributes = {} if event.error_type is None else {"error.type": event.error_type}
        self._durations.record(event.duration, {**_attributes(event), **reply, **error})
        before = None if (open_ := self._open.get(event.number)) is None else open_.before
        self._end(event.number, event.error_type, reply)
        # Not by `detach`: a token is of no use where a call that is given up ends in another context than it began in.
        if before is not None and context.get_value(self._key) == event.number:
            context.attach(before)

    # --- What happens to them

    def _refused(self, event: Refused) -> None:
        attributes: _Attributes = {"aionorth.operation": event.operation, "aionorth.retry_after": event.retry_after}
        number = context.get_value(self._key)
        attempt = self._open.get(number) if isinstance(number, int) else None
        if attempt is None:
            self._tell(event, "refused", attributes)
        else:
            attempt.span.add_event("aionorth.refused", attributes)

    def _tell(self, event: Event, name: str, attributes: _Attributes) -> None:
        """Add a span event to each run and single call of the app."""
        for open_ in self._open.values():
            if open_.before is None and open_.app_id == event.app_id:
                open_.span.add_event(f"aionorth.{name}", attributes)


def _attributes(event: CallEvent) -> dict[str, str | float]:
    return {
        "http.request.method": event.method,
        "url.template": event.url_template,
        "server.address": event.server_address,
        "server.port": event.server_port,
    }
