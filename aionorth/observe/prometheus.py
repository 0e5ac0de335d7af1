"""Events as metrics of Prometheus. The only user of prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import cache
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from aionorth.errors import ArgumentError, NorthError
from aionorth.events import (
    CallEnded,
    CallStarted,
    Event,
    IdSettled,
    Refused,
    SessionClosed,
    SessionOpened,
    TokenObtained,
)

if TYPE_CHECKING:
    from aionorth.flow.settings import FlowState

CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: a call is cut off after 30, unless told otherwise."""
WAIT_BUCKETS = (0.005, 0.05, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
"""Seconds: whoever finds all slots taken waits for about a period, and longer in a pause or an outage."""

MOST_CODES = 200
"""How many different codes have a time series of their own: a gateway may invent others without end."""
OTHER = "other"

_failed = ContextVar[dict[str, tuple[int | None, int, str]]]("aionorth_failed")
"""How the last attempt that failed did, by operation: what it belongs to, which attempt it was, and the error."""


class PrometheusObserver:
    """Counts and times what happens in sessions, as metrics of ``prometheus_client``.

    | metric | |
    |---|---|
    | ``aionorth_calls_total{operation,code}`` | attempts that have ended; ``code`` as below |
    | ``aionorth_retries_total{error_type}`` | attempts after the first, by what the one before ended in |
    | ``aionorth_ids_total{kind,outcome}`` | ids that bulk runs have settled |
    | ``aionorth_refusals_total`` | calls refused by flow control |
    | ``aionorth_token_obtained_total`` | new access tokens |
    | ``aionorth_call_duration_seconds`` | from sending a call to its reply, or to its loss |
    | ``aionorth_queue_wait_seconds`` | how long an attempt waited for flow control and for a token |
    | ``aionorth_slots_in_use`` | slots of flow control that are taken |
    | ``aionorth_calls_limit`` | calls that are made in a period at most: the limit, or the learned one |
    | ``aionorth_paused_seconds`` | how long the pause after a refusal will last |

    ``code`` is the platform's code, or else the HTTP status, or else the class of the error; ``error_type`` is the
    platform's code, or else that class.

    The last three are read when they are scraped. Where several apps have sessions, slots and limits are added up, and
    the longest pause counts. Where apps share a store, they include what other processes do. In prometheus_client's
    multiprocess mode these three are missing.

    One observer serves any number of sessions: make one in a process, and give it to each.
    """

    # Its state: the metrics, and flow control of the sessions that are open.

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Make the metrics and register them.

        Args:
            registry: Where; None means prometheus_client's own, from which ``start_http_server`` and the like serve.

        Raises:
            ArgumentError: The registry has metrics of these names: another observer's, which the sessions can share.
        """
        calls = Counter("aionorth_calls", "Attempts at calls", ("operation", "code"), registry=None)
        retries = Counter("aionorth_retries", "Attempts after the first", ("error_type",), registry=None)
        ids = Counter("aionorth_ids", "Ids settled by bulk runs", ("kind", "outcome"), registry=None)
        self._refusals = Counter("aionorth_refusals", "Calls refused by flow control", registry=None)
        self._tokens = Counter("aionorth_token_obtained", "New access tokens", registry=None)
        self._durations = Histogram(
            "aionorth_call_duration_seconds", "How long attempts took", buckets=CALL_BUCKETS, registry=None
        )
        self._waits = Histogram(
            "aionorth_queue_wait_seconds", "How long attempts waited", buckets=WAIT_BUCKETS, registry=None
        )
        # To look a counter up by its labels takes three times as long as to count.
        self._calls, self._retries, self._ids = cache(calls.labels), cache(retries.labels), cache(ids.labels)
        self._codes = set[str]()
        self._flows: list[Callable[[], FlowState]] = []  # those of sessions of one app are the same
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            CallStarted: self._call_started,
            CallEnded: self._call_ended,
            IdSettled: lambda event: self._ids(event.kind, event.result.outcome).inc(),
            Refused: lambda _: self._refusals.inc(),
            TokenObtained: lambda _: self._tokens.inc(),
            SessionOpened: lambda event: self._flows.append(event.flow),
            SessionClosed: lambda event: self._flows.remove(event.flow),
        }
        if registry is not None and not isinstance(registry, CollectorRegistry):
            raise ArgumentError(f"registry={registry!r}: give a prometheus_client.CollectorRegistry")
        metrics = (calls, retries, ids, self._refusals, self._tokens, self._durations, self._waits)
        try:
            (registry or REGISTRY).register(_Metrics(metrics, self._flow_states))
        except ValueError as exc:
            raise ArgumentError(
                f"the registry has these metrics already ({exc}): make one PrometheusObserver for it, and give that to "
                "each session"
            ) from None

    def __call__(self, event: Event) -> None:
        """Count `event`."""
        if (handler := self._handlers.get(type(event))) is not None:
            handler(event)

    # --- Calls

    def _call_started(self, event: CallStarted) -> None:
        self._waits.observe(event.waited)
        if event.attempt > 1:
            # All attempts at a call are made in the same task, one after the other.
            within, attempt, error = _failed.get({}).get(event.operation, (None, 0, OTHER))
            known = within == event.within and attempt == event.attempt - 1
            self._retries(error if known else OTHER).inc()

    def _call_ended(self, event: CallEnded) -> None:
        self._calls(event.operation, self._bounded(_code(event))).inc()
        self._durations.observe(event.duration)
        if event.error_type is not None:
            failed = event.within, event.attempt, self._bounded(event.error_type)
            _failed.set({**_failed.get({}), event.operation: failed})

    def _bounded(self, code: str) -> str:
        if code not in self._codes:
            if len(self._codes) >= MOST_CODES:
                return OTHER
            self._codes.add(code)
        return code

    # --- Flow control

    def _flow_states(self) -> Iterator[FlowState]:
        """Iterate over the flow control of each app. It is called by whatever thread serves the metrics."""
        for flow in set(self._flows):
            try:
                yield flow()
            except (NorthError, RuntimeError):  # it is being closed, or changes while it is read
                continue


class _Metrics(Collector):
    """All metrics at once, so that they are registered all or none."""

    def __init__(self, metrics: Iterable[Counter | Histogram], flow_states: Callable[[], Iterable[FlowState]]) -> None:
        self._metrics = metrics
        self._flow_states = flow_states

    def collect(self) -> Iterator[Metric]:
        """Iterate over the metrics with what they are now."""
        states = list(self._flow_states())
        for metric in self._metrics:
            yield from metric.collect()
        yield from _gauges(
            in_use=sum(state.in_use for state in states),
            limit=sum(state.in_force for state in states),
            paused=max((state.paused_for for state in states), default=0.0),
        )

    def describe(self) -> list[Metric]:
        """Return the metrics without what they are: for their names."""
        return [*chain.from_iterable(metric.describe() for metric in self._metrics), *_gauges(0, 0, 0.0)]


def _gauges(in_use: float, limit: float, paused: float) -> Iterator[Metric]:
    yield GaugeMetricFamily("aionorth_slots_in_use", "Slots of flow control that are taken", in_use)
    yield GaugeMetricFamily("aionorth_calls_limit", "Calls that are made in a period at most", limit)
    yield GaugeMetricFamily("aionorth_paused_seconds", "How long the pause after a refusal will last", paused)


def _code(event: CallEnded) -> str:
    if event.code is not None:
        return event.code
    if event.error_type is None or (event.status or 0) >= HTTPStatus.BAD_REQUEST:
        return str(event.status)
    return event.error_type
