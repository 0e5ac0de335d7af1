"""What follows an attempt that failed: a pure decision. `Caller` carries it out."""

from __future__ import annotations

import math

import attrs

from aionorth.bulk.record import Record
from aionorth.bulk.retry import RetryPolicy
from aionorth.errors import (
    ArgumentError,
    CongestionError,
    FlowControlError,
    InvalidTokenError,
    NorthError,
    NotFoundError,
)
from aionorth.flow.outage import LONGEST_WAIT
from aionorth.flow.window import Ending


@attrs.frozen
class Retry:
    """Wait for `wait` seconds, then try again. It costs one of the policy's attempts."""

    wait: float


@attrs.frozen
class Requeue:
    """Queue again at once: the pause after a refusal is waited out in flow control's queue. It costs no attempt."""


@attrs.frozen
class RenewToken:
    """Try again with a new token. It costs no attempt."""


@attrs.frozen
class GiveUp:
    """Make no further attempt."""

    error: NorthError


Step = Retry | Requeue | RenewToken | GiveUp


def next_step(
    error: NorthError,
    record: Record,
    policy: RetryPolicy,
    *,
    idempotent: bool = True,
    has_token: bool = True,
    paused_for: float = 0.0,
    time_left: float = math.inf,
) -> Step:
    """Decide what follows an attempt.

    Args:
        error: What the attempt ended in.
        record: What has been tried, this attempt included.
        policy: How faults are retried.
        idempotent: Whether the call may be made again although an attempt may have been carried out.
        has_token: Whether the call was sent with a token. Then another one may help.
        paused_for: Seconds until flow control's pause is over.
        time_left: Seconds in which a further attempt may begin; 0 means that none may.
    """
    step: Step = GiveUp(error)
    ready_in = 0.0
    if error.ends_run:
        return step
    match error:
        case FlowControlError():
            step, ready_in = Requeue(), paused_for
        case InvalidTokenError() if has_token:
            step = RenewToken()
        case _ if not (idempotent or error.not_done):
            pass
        case _ if error.retryable and (wait := policy.wait_after(record.faults)) is not None:
            asked = error.retry_after or 0.0
            # Who does not answer need not know when the platform does: it is probed as often as that.
            ready_in = max(wait, min(asked, LONGEST_WAIT) if unanswered(error) else asked)
            step = Retry(ready_in)
        case _:
            pass
    return step if ready_in < time_left else GiveUp(error)


def unanswered(error: NorthError | None) -> bool:
    """Return whether the platform did not answer a call: no reply, a gateway's, or congestion."""
    return error is not None and error.retryable and (error.code is None or isinstance(error, CongestionError))


def ending_of(error: NorthError | None) -> Ending:
    """Return what flow control learns from a reply that was read as `error`, or as a success where that is None."""
    match error:
        case None | NotFoundError():
            return Ending.ACCEPTED
        case FlowControlError():
            return Ending.REFUSED
        case ArgumentError():
            return Ending.UNSENT
        case _:  # a code means that the platform has answered, so that flow control has accepted the call
            return Ending.UNCONFIRMED if error.code is None else Ending.ACCEPTED
