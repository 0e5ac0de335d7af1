"""The one path that every call takes: token, flow control, exchange, and what its reply calls for."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator
from typing import Protocol

import attrs

from aionorth.auth.keeper import LiveToken, TokenKeeper
from aionorth.auth.sources import Obtain, Secret
from aionorth.bulk.retry import RetryPolicy
from aionorth.errors import (
    ArgumentError,
    FlowControlError,
    InvalidTokenError,
    NorthConnectionError,
    NorthError,
    NotFoundError,
    SessionStateError,
)
from aionorth.flow.limiter import FlowRuntime
from aionorth.flow.window import Ending, Permit
from aionorth.models import DeleteResult, Outcome
from aionorth.wire.replies import NO_CONTENT, Reply, read_error
from aionorth.wire.requests import Request
from aionorth.wire.transport import Transport

_log = logging.getLogger("aionorth")

DELETED = Outcome.DELETED  # CPython 3.11 is slow at looking up an enum's member


@attrs.define(eq=False, kw_only=True)
class Attempts:
    """What has been done so far about one request: enough, at any moment, to say truthfully what became of it."""

    started: float | None = None
    """When it was taken up, on the loop's clock."""
    calls: int = 0
    """Calls sent."""
    refusals: int = 0
    """Calls refused by flow control."""
    token_refusals: int = 0
    """Calls refused for their token."""
    in_flight: bool = False
    """Whether a call was sent and has not ended; it stays so where the call is cancelled."""
    doubt: bool = False
    """Whether an attempt may have taken effect without a clear word about it."""
    reply_lost: bool = False
    """Whether an attempt may have been sent and left no reply."""
    error: NorthError | None = None
    """What the last attempt ended in, where it did not succeed."""
    waits: Iterator[float] | None = None
    """The waits between its attempts that are left, once there was need of one."""
    succeeded: bool = False
    """Whether the last attempt did."""
    begun: bool = False
    """Whether an attempt was made in this run: `calls` may have some from a run before."""
    halted: bool = False
    """Set from outside: a call in flight is awaited, but no further one begins."""

    def begin(self) -> None:
        """Take note that the first attempt is about to be sent; raises where that may not be."""
        self.begun = True

    @property
    def attempts(self) -> int:
        """Calls that count against the policy's attempts."""
        return self.calls - self.refusals - self.token_refusals


class Recorder(Protocol):
    """Keeps a record of a run outside of the process."""

    def begun(self, *ids: str) -> None:
        """Record that the first attempt at each of `ids` is about to be sent."""
        ...


@attrs.define(eq=False)
class Deletion(Attempts):
    """One id on its way to its outcome."""

    id: str
    request: Request | None
    """None where there is nothing to send, as for an id that cannot be one."""
    settled: bool = False
    """Whether the run has booked it."""
    recorder: Recorder | None = None
    """Who is to hear of it."""
    by_batch: bool = False
    """Whether a call was sent for it that is booked with another id."""
    for_many: bool = False
    """Whether its call is one for many: then a 404 says that nothing matched, not that this id is not there."""

    def begin(self) -> None:
        """See `Attempts.begin`."""
        if self.recorder is not None:
            self.recorder.begun(self.id)
        self.begun = True

    def follow(self, first: Deletion) -> None:
        """Let what became of `first`, whose call was sent for this id too, have become of this one."""
        self.request = None  # nothing is left to send
        self.begun = self.by_batch = first.begun
        self.for_many = True
        self.in_flight = first.in_flight
        self.doubt = first.doubt
        self.reply_lost = first.reply_lost
        self.succeeded = first.succeeded
        self.error = first.error

    def final_outcome(self) -> Outcome:
        """What became of the id if nothing more is done about it. It never claims more than is known."""
        if self.succeeded:
            return DELETED
        if not self.calls and not self.by_batch:
            return Outcome.SKIPPED
        found_none = isinstance(self.error, NotFoundError) and not self.in_flight
        if found_none and self.begun and not self.for_many:
            return Outcome.GONE if self.doubt else Outcome.NOT_FOUND
        return Outcome.UNKNOWN if self.in_flight or self.reply_lost or found_none else Outcome.FAILED

    def result(self, now: float) -> DeleteResult:
        """The final outcome, and what led to it."""
        outcome = self.final_outcome()
        error = None if outcome is DELETED else self.error
        elapsed = 0.0 if self.started is None else now - self.started
        return DeleteResult(self.id, outcome, error, self.attempts, self.refusals, elapsed)


def _is_platforms_word(error: NorthError) -> bool:
    """Whether the platform itself said so, which it does only to calls that flow control has let through."""
    return not isinstance(error, FlowControlError) and (error.code is not None or isinstance(error, NotFoundError))


class Caller:
    """Sends one app's requests through one transport."""

    def __init__(self, app_id: str, transport: Transport, flow: FlowRuntime, policy: RetryPolicy) -> None:
        self._app_id = app_id
        self._transport = transport
        self._flow = flow
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._auth: tuple[TokenKeeper, Obtain] | None = None
        self._secret: Secret | None = None

    def authenticate(self, tokens: TokenKeeper, obtain: Obtain, secret: Secret | None = None) -> None:
        """Give the calls that need one the token of `tokens`, which `obtain` renews; with `secret`, if it logs in."""
        self._auth = tokens, obtain
        self._secret = secret

    def now(self) -> float:
        """The time on the loop's clock."""
        return self._loop.time()

    def check_loop(self) -> None:
        """Raise `SessionStateError` in another event loop than the session's."""
        if asyncio.get_running_loop() is not self._loop:
            raise SessionStateError("the session is another event loop's: open one in each loop, or call it in its own")

    async def send(
        self, request: Request, record: Attempts, *, authenticated: bool = True, ahead: bool = True
    ) -> Reply:
        """Send `request` until it succeeds or no attempt is left, and return its reply; raises the last one's error.

        Every attempt passes flow control anew. A refusal pauses the app and costs no attempt; a refused token is
        renewed and costs none either; a fault costs one and is followed by a wait of this call's own, during which it
        holds neither slot nor connection. A single call goes `ahead` of bulk work that waits.
        """
        self.check_loop()
        auth = self._auth if authenticated else None
        record.started = self._loop.time()
        permit, live = await self._turn(auth, ahead=ahead)
        deadline = self._loop.time() + (self._policy.deadline or math.inf)
        while True:
            reply, error = await self._attempt(request, record, permit, live)
            if error is None:
                record.succeeded = True
                return reply
            record.doubt |= not error.not_done
            record.reply_lost |= error.reply_lost
            record.error = error
            wait = self._wait_after(error, record, auth, live)
            ready_in = self._flow.paused_for if isinstance(error, FlowControlError) else wait
            if record.halted or self._loop.time() + ready_in >= deadline:
                raise error
            if wait:
                _log.info("another attempt in %.1f s, after: %s", wait, error)
                await asyncio.sleep(wait)
            try:
                async with asyncio.timeout_at(None if deadline == math.inf else deadline):
                    permit, live = await self._turn(auth, ahead=ahead)
            except TimeoutError:
                raise error from None

    async def _attempt(
        self, request: Request, record: Attempts, permit: Permit, live: LiveToken | None
    ) -> tuple[Reply, NorthError | None]:
        """Make one call; return its reply, and the error that it says or that came of it. Releases `permit`."""
        ending, counted_at = Ending.UNSENT, None
        reply, error = NO_CONTENT, None
        try:
            self._transport.check_open()
            if not record.begun:
                record.begin()
            record.calls += 1
            record.in_flight = True
            # Without a reply the call may still be on its way: its sender was cancelled, or the connection was lost.
            ending, counted_at = Ending.UNCONFIRMED, self._loop.time() + self._transport.timeout
            reply = await self._transport.exchange(request, self._app_id, live.token if live else None, counted_at)
            counted_at = None
            error, ending = self._heard(reply, request, live)
        except NorthError as exc:
            error = exc
            if isinstance(exc, ArgumentError):
                record.calls -= 1  # what cannot be sent at all is no call
                ending = Ending.UNSENT
            elif isinstance(exc, NorthConnectionError):
                counted_at = None
        finally:
            begins = self._flow.release(
                permit, ending, counted_at=counted_at, retry_after=error.retry_after if error is not None else None
            )
        record.in_flight = False
        if isinstance(error, FlowControlError):
            record.refusals += 1
            if begins:
                self._warn_of_pause()
        return reply, error

    def _wait_after(
        self,
        error: NorthError,
        record: Attempts,
        auth: tuple[TokenKeeper, Obtain] | None,
        live: LiveToken | None,
    ) -> float:
        """Book what an attempt ended in; return how long this call waits before its next, or raise if there is none."""
        match error:
            case FlowControlError():  # the pause is waited out in the queue
                pass
            case InvalidTokenError() if auth is not None and live is not None:
                record.token_refusals += 1
                auth[0].refused(live, error)
            case _:
                record.waits = record.waits or self._policy.waits()
                backed_off = next(record.waits, None) if error.retryable else None
                if backed_off is None:
                    raise error
                return max(backed_off, error.retry_after or 0.0)
        return 0.0

    async def _turn(self, auth: tuple[TokenKeeper, Obtain] | None, *, ahead: bool) -> tuple[Permit, LiveToken | None]:
        """Wait until a call may be sent; return its permit and the token to send it with."""
        if auth is None:
            return await self._flow.acquire(ahead=ahead), None
        tokens, obtain = auth
        while True:
            if tokens.current(self._loop.time()) is None:
                await tokens.renewed(obtain)
            permit = await self._flow.acquire(ahead=ahead)
            # The token is looked at last: it may have been refused while the call queued. Then the permit is given back
            # unused, so that the login, which queues as well, need not wait for calls that cannot succeed.
            if (live := tokens.current(self._loop.time())) is not None:
                live.used = True
                return permit, live
            self._flow.release(permit, Ending.UNSENT)

    def _secrets(self, request: Request, live: LiveToken | None) -> list[str]:
        """Return what the reply may echo and nobody is to read."""
        own = [] if self._secret is None else [self._secret.value]
        return [*request.secrets, *own, *(live.token.secrets if live is not None else ())]

    def _heard(self, reply: Reply, request: Request, live: LiveToken | None) -> tuple[NorthError | None, Ending]:
        """Read a reply; tell the token's keeper what it means for it. Returns its error and the call's ending."""
        error = read_error(reply, success=request.success, secrets=self._secrets(request, live) if reply.body else ())
        if isinstance(error, FlowControlError):
            return error, Ending.REFUSED
        if error is not None and not _is_platforms_word(error):
            return error, Ending.UNCONFIRMED
        if live is not None and not live.proven and self._auth and not isinstance(error, InvalidTokenError):
            self._auth[0].accepted(live)
        return error, Ending.ACCEPTED

    def _warn_of_pause(self) -> None:
        _log.warning(
            "refused by flow control: another client uses this app (or did until a moment ago), "
            "or its threshold is below %d calls in %g s; all calls pause for %.1f s",
            self._flow.settings.limit,
            self._flow.settings.period,
            max(0.1, self._flow.paused_for),
        )
