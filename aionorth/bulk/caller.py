"""The one path of every call: a token, a permit from flow control, the exchange, and what follows its reply."""

from __future__ import annotations

import asyncio
import logging
import math

import attrs

from aionorth.auth.keeper import LiveToken, TokenKeeper
from aionorth.auth.sources import Obtain, Secret
from aionorth.bulk.decide import GiveUp, RenewToken, Requeue, Retry, ending_of, next_step, unanswered
from aionorth.bulk.observed import Attempt, Operation, logged
from aionorth.bulk.record import Progress, Record
from aionorth.bulk.retry import RetryPolicy
from aionorth.errors import (
    InvalidTokenError,
    NorthApiError,
    NorthConnectionError,
    NorthError,
    OutageError,
    SessionStateError,
)
from aionorth.events import Observers, Refused
from aionorth.flow.limiter import Limiter
from aionorth.flow.window import Ending, Permit
from aionorth.wire.checks import seconds
from aionorth.wire.replies import NO_CONTENT, Reply, read_error
from aionorth.wire.requests import Request, probe
from aionorth.wire.transport import Transport

FIRST_CONTACT = 60.0
"""Seconds for which a platform may be silent that has never answered: then the URL may be wrong."""

_log = logging.getLogger("aionorth")


@attrs.define(kw_only=True)
class _Call:
    """How one call is sent."""

    auth: tuple[TokenKeeper, Obtain] | None
    """Where its token comes from; None where it needs none."""
    priority: bool
    """Whether it goes before bulk work that waits."""
    policy: RetryPolicy
    timeout: float
    """Seconds that one attempt may take."""
    idempotent: bool = True
    """Whether it may be made again after an attempt that may have been carried out."""
    deadline: float = math.inf
    """When its last attempt may begin, on the loop's clock."""
    waited: float = 0.0
    """Seconds that its next attempt, or the last one, waited for flow control and for a token."""


class Caller:
    """Sends one app's requests through one transport. Its state: where the token comes from, set once."""

    def __init__(self, transport: Transport, flow: Limiter, policy: RetryPolicy, observers: Observers) -> None:
        self._app_id = observers.app_id
        self._observers = observers
        self._transport = transport
        self._flow = flow
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._auth: tuple[TokenKeeper, Obtain] | None = None
        self._secret: Secret | None = None

    def authenticate(self, tokens: TokenKeeper, obtain: Obtain, secret: Secret | None = None) -> None:
        """Send the token of `tokens`, which `obtain` renews, with calls that need one. `secret` is hidden in errors."""
        self._auth = tokens, obtain
        self._secret = secret

    def now(self) -> float:
        """Return the time on the loop's clock."""
        return self._loop.time()

    def check_loop(self) -> None:
        """Raise `SessionStateError` in another event loop than the session's."""
        if asyncio.get_running_loop() is not self._loop:
            raise SessionStateError("the session is another event loop's: open one in each loop, or call it in its own")

    async def send(
        self,
        request: Request,
        progress: Progress | None = None,
        *,
        authenticated: bool = True,
        priority: bool = True,
        timeout: float | None = None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None = None,
    ) -> Reply:
        """Send `request` until it succeeds or no attempt is left.

        Every attempt passes flow control anew. Between attempts the call holds neither a slot nor a connection.

        Args:
            request: The call.
            progress: Where the caller can see what has been tried, at any moment. For a deletion this is all there is
                to know: the reply of one that succeeded says nothing else.
            authenticated: Whether the token goes with it.
            priority: Whether it goes before bulk work that waits.
            timeout: Seconds that one attempt may take; the session's unless given.
            retry: How it is retried, where that differs from the session's policy: see `RetryPolicy.changed_by`.

        Returns:
            The reply that means success.

        Raises:
            NorthError: The last attempt's error, or what rules out another attempt.
        """
        self.check_loop()
        progress = progress or Progress()
        allowed = self._transport.timeout
        if timeout is not None:
            allowed = seconds("timeout", timeout)
            self._flow.outlast(allowed)
        call = _Call(
            auth=self._auth if authenticated else None,
            priority=priority,
            policy=self._policy if retry is None else self._policy.changed_by(retry),
            timeout=allowed,
            idempotent=request.idempotent,
        )
        operation = None
        if self._observers.all and priority and authenticated:
            operation = Operation(self._observers, request.operation, self._loop.time)
            progress.within = operation.number
        try:
            permit, live = await self._acquire(call)
            if progress.on_begin is not None:
                permit, live = await self._prepared(call, progress, permit, live)
            if call.policy.deadline is not None:
                call.deadline = self._loop.time() + call.policy.deadline
            while True:
                outages = self._flow.outages
                reply = await self._attempt(request, progress, permit, live, call)
                if isinstance(reply, Reply):
                    return reply
                failed_at = self._loop.time()
                permit, live = await self._acquire_again(
                    call, reply, progress, has_token=live is not None, outages=outages
                )
                if not priority and self._flow.outages > outages:
                    progress.forgive()
                    call.deadline += self._loop.time() - failed_at
        except NorthError as exc:
            progress.give_up(exc)
            raise
        finally:
            if operation is not None:
                operation.ended(progress.record)

    async def ask(self) -> None:
        """Where calls are held, ask the platform at once whether it answers again, not only when a probe is due.

        Raises:
            NorthError: The call's error, where that leaves calls held or is a refusal by flow control.
        """
        self.check_loop()
        if (permit := await self._flow.acquire_early()) is None:
            return
        # Without a token, which could not be obtained in an outage: to refuse that is an answer.
        call = _Call(auth=None, priority=True, policy=self._policy, timeout=self._transport.timeout)
        reply = await self._attempt(probe(), Progress(), permit, None, call)
        if isinstance(reply, NorthError) and (unanswered(reply) or ending_of(reply) is not Ending.ACCEPTED):
            raise reply

    # --- For calls that another client makes

    async def token(self) -> str:
        """Return the access token, a new one where it is due."""
        self.check_loop()
        assert self._auth is not None, "the session says where its token comes from"
        keeper, obtain = self._auth
        while (live := keeper.current(self._loop.time())) is None:
            await keeper.renewed(obtain)
        live.used = True
        return live.token.access

    async def acquire(self, timeout: float) -> Permit:  # noqa: ASYNC109 - of what follows
        """Wait until a call may be sent that begins within `timeout` seconds; `release` ends the permit."""
        self.check_loop()
        self._flow.outlast(timeout + self._transport.timeout)
        call = _Call(auth=self._auth, priority=True, policy=self._policy, timeout=timeout)
        permit, _ = await self._acquire(call)
        return permit

    def release(
        self, permit: Permit, ending: Ending, *, counted_at: float | None = None, retry_after: float | None = None
    ) -> None:
        """Release a permit of `acquire`, once: see `Limiter.release`."""
        if ending is Ending.REFUSED and self._observers.all:
            self._observers(Refused(app_id=self._app_id, operation="slot", retry_after=retry_after or 0.0))
        if self._flow.release(permit, ending, counted_at=counted_at, retry_after=retry_after):
            self._warn_of_pause()

    # --- One attempt after the other

    async def _acquire_again(
        self, call: _Call, error: NorthError, progress: Progress, *, has_token: bool, outages: int
    ) -> tuple[Permit, LiveToken | None]:
        """Wait until another attempt may be made, as `_acquire` does; raise what the call ends in where none may.

        There had been so many `outages` before the attempt that ended in `error`.
        """
        may_be_outage = not call.priority and unanswered(error) and not progress.halted
        if may_be_outage and (self._flow.held or call.policy.is_last(progress.record.faults)):
            permit, live = await self._acquire(call)
            if self._flow.outages > outages:
                return permit, live
            self._flow.release(permit, Ending.UNSENT)  # it was no outage but the call's own fault
        until = 0.0 if progress.halted else call.deadline
        await self._wait(call, error, progress.record, has_token=has_token, until=until)
        try:
            async with asyncio.timeout_at(None if call.deadline == math.inf else call.deadline):
                return await self._acquire(call)
        except TimeoutError:
            if call.priority or self._flow.outages == outages:
                raise error from None
        except OutageError:
            if call.priority:
                raise error from None
            raise
        return await self._acquire(call)  # the time of an outage does not count

    async def _wait(self, call: _Call, error: NorthError, record: Record, *, has_token: bool, until: float) -> None:
        """Wait for another attempt, which must begin before the time `until`; raise the error where none follows."""
        step = next_step(
            error,
            record,
            call.policy,
            idempotent=call.idempotent,
            has_token=has_token,
            paused_for=self._flow.paused_for,
            time_left=until - self._loop.time(),
        )
        match step:
            case GiveUp():
                raise step.error
            case Retry(wait):
                facts = self._observers.facts(code=error.code, attempt=record.calls)
                _log.info("another attempt in %.1f s, after: %s", wait, error, extra=facts)
                await asyncio.sleep(wait)
            case Requeue() | RenewToken():  # `_acquire` waits until the pause is over, and for the new token
                pass

    async def _acquire(self, call: _Call) -> tuple[Permit, LiveToken | None]:
        """Wait until a call may be sent; return its permit and the token to send it with."""
        auth, priority = call.auth, call.priority
        began = now = self._loop.time()
        outage, deadline = call.policy.outage, call.policy.deadline
        longest_outage = math.inf if outage is None else outage
        if priority and auth is not None and deadline is not None:
            longest_outage = min(longest_outage, deadline)
        if not self._transport.reached:
            longest_outage = min(longest_outage, FIRST_CONTACT)
        while True:
            if auth is not None and not self._flow.held and auth[0].current(now) is None:
                await auth[0].renewed(auth[1])
            permit = await self._flow.acquire(priority=priority, longest_outage=longest_outage)
            now = self._loop.time()
            live, call.waited = None if auth is None else auth[0].current(now), now - began
            if permit.probe:
                await self._probe(permit, live, call)
            elif auth is None:
                return permit, None
            # Check the token last: it may have been refused while the call queued. Then the permit is given back
            # unused, so that the login, which queues as well, need not wait for calls that cannot succeed.
            elif live is not None:
                live.used = True
                return permit, live
            else:
                self._flow.release(permit, Ending.UNSENT)

    async def _prepared(
        self, call: _Call, progress: Progress, permit: Permit, live: LiveToken | None
    ) -> tuple[Permit, LiveToken | None]:
        """Do what must be done before the first attempt; return the permit and the token to send it with.

        It may take long, as where the disk or the server of a journal hangs. Then it takes another permit.
        """
        try:
            await progress.prepare()
        except BaseException:
            self._flow.release(permit, Ending.UNSENT)
            raise
        if not self._flow.is_too_old(permit):
            return permit, live
        self._flow.release(permit, Ending.UNSENT)
        return await self._acquire(call)

    async def _probe(self, permit: Permit, live: LiveToken | None, call: _Call) -> None:
        """Make a call that only shows whether the platform answers. Releases `permit`."""
        call = attrs.evolve(call, priority=True, timeout=self._transport.timeout)
        reply = await self._attempt(probe(), Progress(), permit, live, call)
        if isinstance(reply, NorthError) and not isinstance(reply, NorthApiError) and reply.ends_run:
            raise reply

    async def _attempt(
        self, request: Request, progress: Progress, permit: Permit, live: LiveToken | None, call: _Call
    ) -> Reply | NorthError:
        """Make one attempt; return the reply that means success, or else the error. Releases `permit`."""
        ending, counted_at = Ending.UNSENT, None
        reply, error, started = None, None, None
        try:
            self._transport.check_open()
            progress.begin()
            started = self._report(request, progress, call)
            # Without a reply the call may still be on its way: its sender was cancelled, or the connection was lost.
            ending, counted_at = Ending.UNCONFIRMED, self._loop.time() + call.timeout
            token = live.token if live else None
            reply = await self._transport.exchange(request, self._app_id, token, counted_at, call.timeout)
            counted_at = None
            error = None if reply is NO_CONTENT else self._read(reply, request, live, call)
            ending = ending_of(error)
        except NorthError as exc:
            error = exc
            if progress.record.in_flight:
                ending = ending_of(exc)
            if isinstance(exc, NorthConnectionError):
                counted_at = None
        finally:
            if started is not None:
                started.ended(reply, error)
            pauses = self._flow.release(
                permit,
                ending,
                counted_at=counted_at,
                retry_after=None if error is None else error.retry_after,
                unanswered=str(error) if unanswered(error) and self._transport.is_open else None,
                last=unanswered(error) and not call.priority and call.policy.is_last(progress.record.faults + 1),
            )
        progress.end(error)
        if pauses:
            self._warn_of_pause()
        if live is not None and self._auth is not None:
            if isinstance(error, InvalidTokenError):
                self._auth[0].refused(live, error)  # it raises where a new one would not help
            elif ending is Ending.ACCEPTED and not live.was_accepted:
                self._auth[0].accepted(live)
        if error is not None:
            return error
        assert reply is not None
        return reply

    def _report(self, request: Request, progress: Progress, call: _Call) -> Attempt | None:
        """Report that an attempt is about to be sent, if anybody wants to know."""
        if not (self._observers.all or logged()):
            return None
        server, now = self._transport.server, self._loop.time
        return Attempt(self._observers, request, progress, server=server, waited=call.waited, now=now)

    def _read(self, reply: Reply, request: Request, live: LiveToken | None, call: _Call) -> NorthError | None:
        """Return the error that a reply is, with the secrets hidden that it may echo; None if it means success."""
        own = [] if self._secret is None else [self._secret.value]
        secrets = [*request.secrets, *own, *(live.token.secrets if live is not None else ())]
        return read_error(reply, success=request.success, any_body=request.own, secrets=secrets, whole=call.priority)

    def _warn_of_pause(self) -> None:
        _log.warning(
            "refused by flow control: another client uses this app (or did until a moment ago), its threshold is below "
            "%d calls in %g s, or it refuses bursts; all calls pause for %.1f s, and are spread evenly from then on",
            self._flow.settings.limit,
            self._flow.settings.period,
            max(0.1, self._flow.paused_for),
            extra=self._observers.facts(),
        )
