"""What calls and bulk runs report to their session's observers, and attempts to the log as well."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import attrs

from aionorth.bulk.record import Progress, Record
from aionorth.errors import FlowControlError, NorthError
from aionorth.events import (
    CallEnded,
    CallStarted,
    IdSettled,
    Observers,
    OperationEnded,
    OperationStarted,
    Refused,
    RunEnded,
    RunStarted,
    error_type,
    next_number,
)
from aionorth.items import Kind
from aionorth.models import DeleteResult, Outcome
from aionorth.wire.replies import Reply
from aionorth.wire.requests import Request

CANCELLED = "CancelledError"
"""The error type of a call whose caller was cancelled."""

_log = logging.getLogger("aionorth")


def logged() -> bool:
    """Whether attempts are logged."""
    return _log.isEnabledFor(logging.DEBUG)


class Attempt:
    """Reports one attempt at a call. It has no state beyond what it began with."""

    def __init__(
        self,
        observers: Observers,
        request: Request,
        progress: Progress,
        *,
        server: tuple[str, int],
        waited: float,
        now: Callable[[], float],
    ) -> None:
        """Report that it is about to be sent to `server`, a host and a port, after it `waited` for so many seconds."""
        self._observers = observers
        self._now = now
        host, port = server
        self._started = CallStarted(
            app_id=observers.app_id,
            number=next_number(),
            within=progress.within,
            operation=request.operation,
            method=request.method,
            url_template=request.template,
            server_address=host,
            server_port=port,
            attempt=progress.record.calls,
            waited=waited,
        )
        self._began = now()
        observers(self._started)

    def ended(self, reply: Reply | None, error: NorthError | None) -> None:
        """Report how it ended: with neither, its caller was cancelled."""
        ended = CallEnded(
            **attrs.asdict(self._started),
            status=None if reply is None else reply.status,
            code=None if error is None else error.code,
            error_type=CANCELLED if reply is None and error is None else error_type(error),
            duration=self._now() - self._began,
        )
        if self._observers.all and isinstance(error, FlowControlError):
            self._observers(
                Refused(app_id=ended.app_id, operation=ended.operation, retry_after=error.retry_after or 0.0)
            )
        self._observers(ended)
        _log.debug(
            "%s (%s %s), attempt %d: %s after %.3f s; it had waited for %.3f s",
            ended.operation,
            ended.method,
            ended.url_template,
            ended.attempt,
            ended.error_type or f"HTTP {ended.status}",
            ended.duration,
            ended.waited,
            extra=self._observers.facts(
                operation=ended.operation,
                status=ended.status,
                code=ended.code,
                error_type=ended.error_type,
                attempt=ended.attempt,
                waited=ended.waited,
                duration=ended.duration,
            ),
        )


class Operation:
    """Reports one single call, whatever attempts it takes. It has no state beyond what it began with."""

    def __init__(self, observers: Observers, operation: str, now: Callable[[], float]) -> None:
        """Report that it begins."""
        self._observers = observers
        self._operation = operation
        self._now = now
        self._began = now()
        self.number = next_number()
        observers(OperationStarted(app_id=observers.app_id, number=self.number, operation=operation))

    def ended(self, record: Record) -> None:
        """Report how it ended, as its `record` says; one that has not was cancelled."""
        failed = None if record.succeeded or record.outcome is Outcome.GONE else error_type(record.error) or CANCELLED
        duration = self._now() - self._began
        self._observers(
            OperationEnded(
                app_id=self._observers.app_id,
                number=self.number,
                operation=self._operation,
                error_type=failed,
                duration=duration,
            )
        )


class RunReport:
    """Reports one run. Its state: how many ids have ended in each outcome."""

    def __init__(self, observers: Observers, kind: Kind) -> None:
        self._observers = observers
        self.kind = kind
        self.number = next_number() if observers.all else None
        """The run's; None where nobody observes."""
        self._counts = Counter[Outcome]()

    def started(self, expected: int | None) -> None:
        """Report that the run begins."""
        if self.number is not None:
            app_id = self._observers.app_id
            self._observers(RunStarted(app_id=app_id, run=self.number, kind=self.kind, expected=expected))

    def settled(self, result: DeleteResult) -> None:
        """Report that an id has its outcome."""
        if self.number is not None:
            self._counts[result.outcome] += 1
            app_id = self._observers.app_id
            self._observers(IdSettled(app_id=app_id, run=self.number, kind=self.kind, result=result))

    def ended(self, elapsed: float, cause: BaseException | None) -> None:
        """Report that the run has ended, early if there is a `cause`."""
        if self.number is not None:
            ended = RunEnded(
                app_id=self._observers.app_id,
                run=self.number,
                kind=self.kind,
                counts=dict(self._counts),
                elapsed=elapsed,
                error_type=None if cause is None else type(cause).__name__,
            )
            self._observers(ended)
