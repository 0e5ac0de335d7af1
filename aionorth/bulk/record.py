"""What has been tried for one call, as a value; and the call under way, which replaces that value step by step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property

import attrs

from aionorth.errors import ArgumentError, FlowControlError, InvalidTokenError, NorthError, NotFoundError
from aionorth.models import DeleteResult, Outcome


@attrs.frozen(kw_only=True, slots=False)
class Record:
    """What has been tried so far: enough, at any moment, to say truthfully what became of the call.

    Each step returns another record. `sent` and `answered` keep it: nearly all calls take just these two steps from the
    same beginning, and share two values.
    """

    calls: int = 0
    """Calls sent, over all runs."""
    refusals: int = 0
    """Calls that flow control refused."""
    token_refusals: int = 0
    """Calls that were refused because of their token."""
    faults: int = 0
    """Attempts of this run that ended in any other error."""
    begun: bool = False
    """Whether an attempt was made in this run."""
    in_flight: bool = False
    """Whether a call was sent and has not ended. It stays so where the call is cancelled."""
    succeeded: bool = False
    """Whether the last attempt succeeded."""
    ambiguous: bool = False
    """Whether an attempt may have been carried out although no reply says so, or another call have done the same."""
    reply_lost: bool = False
    """Whether an attempt may have been sent and left no reply."""
    error: NorthError | None = None
    """The error of the last attempt, where it did not succeed."""
    earlier: Outcome = Outcome.SKIPPED
    """The outcome of the runs before. It stands until a call is sent."""

    # --- Steps

    @cached_property
    def sent(self) -> Record:
        """The record of a call that is being sent."""
        return attrs.evolve(self, calls=self.calls + 1, begun=True, in_flight=True)

    @cached_property
    def answered(self) -> Record:
        """The record after a reply that means success."""
        return attrs.evolve(self, in_flight=False, succeeded=True)

    @cached_property
    def cascaded(self) -> Record:
        """The record of something that may go along with another deletion of the run."""
        return attrs.evolve(self, ambiguous=True)

    def failed(self, error: NorthError) -> Record:
        """Return the record after an attempt that ended in `error`, by a reply, without one, or before it was sent."""
        unsendable = self.in_flight and isinstance(error, ArgumentError)  # not sent, so not counted
        refused = isinstance(error, FlowControlError)
        token_refused = isinstance(error, InvalidTokenError)
        return attrs.evolve(
            self,
            calls=self.calls - unsendable,
            refusals=self.refusals + refused,
            token_refusals=self.token_refusals + token_refused,
            faults=self.faults + (not refused and not token_refused),
            in_flight=False,
            ambiguous=self.ambiguous or not error.not_done,
            reply_lost=self.reply_lost or error.reply_lost,
            error=error,
        )

    def forgiven(self) -> Record:
        """Return the record after an outage: it uses up no attempts."""
        return attrs.evolve(self, faults=0)

    def given_up(self, error: NorthError) -> Record:
        """Return the record after `error` has ruled out any further attempt."""
        return attrs.evolve(self, error=error)

    # --- What it comes to

    @property
    def attempts(self) -> int:
        """Calls that count against the policy's attempts."""
        return self.calls - self.refusals - self.token_refusals

    @property
    def outcome(self) -> Outcome:
        """What became of a deletion if nothing more is done about it. It never claims more than is known."""
        if self.succeeded:
            return Outcome.DELETED
        if not (self.begun and self.calls):
            return self.earlier
        if isinstance(self.error, NotFoundError) and not self.in_flight:
            return Outcome.GONE if self.ambiguous else Outcome.NOT_FOUND
        return Outcome.UNKNOWN if self.in_flight or self.reply_lost else Outcome.FAILED

    def result(self, id_: str, elapsed: float, outcome: Outcome | None = None) -> DeleteResult:
        """Return the result of the deletion of `id_`, with its own outcome or the one given."""
        outcome = outcome or self.outcome
        error = None if outcome is Outcome.DELETED else self.error
        return DeleteResult(id_, outcome, error, self.attempts, self.refusals, elapsed)


UNTRIED = Record()


@attrs.define(eq=False, kw_only=True)
class Progress:
    """A call in progress.

    Its state: the record, which each step replaces, so that it is true at any moment, also after a cancellation; and
    whether no further attempt may begin. A call in flight is awaited all the same.
    """

    record: Record = UNTRIED
    halted: bool = False
    on_begin: Callable[[], Awaitable[object]] | None = None
    """Awaited before the first attempt is sent. Where it raises, or is cancelled, nothing is sent."""
    within: int | None = None
    """The number of the run or of the single call that it belongs to, for events."""

    async def prepare(self) -> None:
        """Do what must be done before an attempt is sent."""
        if self.on_begin is not None and not self.record.begun:
            await self.on_begin()

    def begin(self) -> None:
        """Record that an attempt is about to be sent."""
        self.record = self.record.sent

    def end(self, error: NorthError | None) -> None:
        """Record what the attempt ended in; None means success."""
        self.record = self.record.answered if error is None else self.record.failed(error)

    def forgive(self) -> None:
        """Record that the last attempts failed because of an outage of the platform."""
        self.record = self.record.forgiven()

    def give_up(self, error: NorthError) -> None:
        """Record that no further attempt is made, because of `error`."""
        self.record = self.record.given_up(error)
