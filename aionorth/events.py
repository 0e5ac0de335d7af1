"""What happens in a session, as values. Its observers are called with each of them, in order.

They hold no secret. Ids are in `IdSettled` only. Times are in seconds.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import attrs

from aionorth.errors import ArgumentError, NorthError
from aionorth.items import Kind
from aionorth.models import DeleteResult, Outcome

if TYPE_CHECKING:
    from aionorth.flow.settings import FlowState

_log = logging.getLogger("aionorth")


@attrs.frozen(kw_only=True)
class Event:
    """Something that has happened in a session."""

    app_id: str
    """The session's app."""


# --- The session


@attrs.frozen(kw_only=True)
class SessionOpened(Event):
    """A session is open."""

    flow: Callable[[], FlowState] = attrs.field(repr=False, eq=False)
    """Returns flow control of its app at this moment."""


@attrs.frozen(kw_only=True)
class SessionClosed(Event):
    """A session is closed."""

    flow: Callable[[], FlowState] = attrs.field(repr=False, eq=False)
    """What `SessionOpened` had."""


# --- Calls


@attrs.frozen(kw_only=True)
class CallEvent(Event):
    """Something about one attempt at one call of the platform."""

    number: int
    """Which attempt it is: no other one in this process has the same."""
    within: int | None
    """The number of the run or of the single call that it belongs to; None for what the session does for itself."""
    operation: str
    """What the call does, as in ``delete_subscription`` or ``login``."""
    method: str
    """``DELETE``, say."""
    url_template: str
    """Its path with names in the place of ids, as in ``/iocm/app/sub/v1.2.0/subscriptions/{subscriptionId}``."""
    server_address: str
    """The platform's host."""
    server_port: int
    attempt: int
    """Which attempt at this call it is, from 1."""
    waited: float
    """How long it waited for flow control and for a token."""


@attrs.frozen(kw_only=True)
class CallStarted(CallEvent):
    """An attempt at a call is about to be sent."""


@attrs.frozen(kw_only=True)
class CallEnded(CallEvent):
    """An attempt at a call has ended: with a reply, or without one."""

    status: int | None
    """The HTTP status; None where no reply came."""
    code: str | None
    """The platform's error code; None where the reply had none."""
    error_type: str | None
    """The platform's code, or else the name of the error's class; None where the call succeeded."""
    duration: float
    """From when it was sent."""


@attrs.frozen(kw_only=True)
class OperationStarted(Event):
    """A single call, which may take several attempts, begins."""

    number: int
    """Which one it is: no other operation, run or attempt in this process has the same."""
    operation: str


@attrs.frozen(kw_only=True)
class OperationEnded(Event):
    """A single call has ended."""

    number: int
    operation: str
    error_type: str | None
    """As in `CallEnded`."""
    duration: float


# --- Flow control


@attrs.frozen(kw_only=True)
class Refused(Event):
    """Flow control of the platform refused a call (1010009)."""

    operation: str
    retry_after: float
    """Seconds that the platform asked to wait; 0 where it named none."""


@attrs.frozen(kw_only=True)
class Paused(Event):
    """A refusal pauses all calls of the app."""

    seconds: float


@attrs.frozen(kw_only=True)
class LimitLearned(Event):
    """After a pause the platform accepts calls again, and fewer are made from now on."""

    limit: int
    """Calls in a period."""
    configured: int
    """How many there would be without refusals."""
    grows_in: float
    """After how many seconds without a refusal it grows."""


@attrs.frozen(kw_only=True)
class Held(Event):
    """The platform does not answer: no call is made until it does, except for probes."""

    silent_for: float
    reason: str
    """How the last calls ended."""


@attrs.frozen(kw_only=True)
class Released(Event):
    """The platform answers again."""

    silent_for: float
    """How long it did not."""


# --- Token and store


@attrs.frozen(kw_only=True)
class TokenObtained(Event):
    """There is a new access token: by a login, by a refresh, from the store, or from the caller's own function."""

    lifetime: float
    """For how long it is valid, from when it was issued."""
    age: float
    """How long ago it was issued."""


@attrs.frozen(kw_only=True)
class StoreLost(Event):
    """The store cannot be reached: calls wait until it can."""

    reason: str


@attrs.frozen(kw_only=True)
class StoreReached(Event):
    """The store can be reached again."""

    lost_for: float


# --- Bulk runs


@attrs.frozen(kw_only=True)
class RunEvent(Event):
    """Something about a bulk run."""

    run: int
    """Which one it is: no other operation, run or attempt in this process has the same."""
    kind: Kind


@attrs.frozen(kw_only=True)
class RunStarted(RunEvent):
    """A bulk run begins."""

    expected: int | None
    """How many ids it will settle; None where that is not known, as for a stream."""


@attrs.frozen(kw_only=True)
class IdSettled(RunEvent):
    """An id has its outcome, once and for all in this run."""

    result: DeleteResult


@attrs.frozen(kw_only=True)
class RunEnded(RunEvent):
    """A bulk run has ended. An attempt that was broken off with it may be reported after it."""

    counts: Mapping[Outcome, int]
    """How many ids ended so, in this run."""
    elapsed: float
    error_type: str | None
    """The class of the error that ended it early; None where it came to its end."""


Observer: TypeAlias = Callable[[Event], object]
"""Is called with each event, in order, by the code in which it happens. It must not block: the event loop waits."""

_numbers = itertools.count(1)


def next_number() -> int:
    """Return a number for a run, an operation or an attempt that no other one in this process has."""
    return next(_numbers)


class Observers:
    """The observers of one session, or of all sessions of one app. Its state: each session's observers."""

    def __init__(self, app_id: str = "", observers: Sequence[Observer] = ()) -> None:
        self.app_id = app_id
        self.all = list(observers)
        """While there is none, no event need be made."""
        self._failed = False

    def __call__(self, event: Event) -> None:
        """Call each with `event`, once, however many sessions have it. What one raises is logged, once."""
        for observer in {id(observer): observer for observer in self.all}.values():
            try:
                observer(event)
            except (Exception, asyncio.CancelledError):  # noqa: BLE001 - whatever it is, it must not harm the call
                if not self._failed:
                    self._failed = True
                    _log.exception(
                        "observer %r failed on %s; further errors are not shown",
                        observer,
                        type(event).__name__,
                        extra=self.facts(),
                    )

    def facts(self, **facts: object) -> dict[str, object]:
        """Return the attributes of a log record: the app, and `facts`."""
        return {"app_id": self.app_id, **facts}

    def add(self, observers: Sequence[Observer]) -> None:
        """Call `observers` too."""
        self.all.extend(observers)

    def remove(self, observers: Sequence[Observer]) -> None:
        """Take back what `add` did."""
        for observer in observers:
            del self.all[next(n for n, known in enumerate(self.all) if known is observer)]


def check_observers(value: Sequence[Observer]) -> tuple[Observer, ...]:
    """Return the observers as a tuple; raise `ArgumentError` where one cannot be called."""
    if not isinstance(value, Sequence):
        raise ArgumentError(f"observers={value!r}: give a list of functions that take one event each")
    for observer in value:
        if not callable(observer):
            raise ArgumentError(
                f"observers={value!r}: {observer!r} cannot be called; give functions that take an event"
            )
        if inspect.iscoroutinefunction(observer) or inspect.iscoroutinefunction(type(observer).__call__):
            raise ArgumentError(
                f"observers={value!r}: {observer!r} is an async function; events are reported synchronously, so give a "
                "usual function, which may put them into a queue"
            )
    return tuple(value)


def error_type(error: NorthError | None) -> str | None:
    """Return what a metric or a span calls an error: the platform's code, or else the name of its class."""
    return None if error is None else error.code or type(error).__name__
