"""How failed calls are retried: how often, and after which waits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import attrs

from aionorth.common.waits import Jitter, full_jitter, growing_waits
from aionorth.errors import ArgumentError
from aionorth.wire.checks import optional_seconds_field, seconds_field, whole_field


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How calls are retried after faults: lost connections, time-outs, 500, 502, 503, 504 and congestion (100501).

    Flow control's refusals are not faults: they pause the app and use up none of the `attempts`. The deadline bounds
    both. It runs from when the first attempt is sent. No attempt begins after it, but one that has begun may end later.
    """

    attempts: int = attrs.field(default=6, validator=whole_field)
    """The maximum number of attempts at one call; 1 means no retry."""
    base: float = attrs.field(default=1.0, validator=seconds_field)
    """The upper bound of the wait before the second attempt, in seconds; it doubles with each further attempt."""
    longest: float = attrs.field(default=60.0, validator=seconds_field)
    """No wait is longer than this, in seconds."""
    deadline: float | None = attrs.field(default=1800.0, validator=optional_seconds_field)
    """Seconds after the first attempt was sent from which no attempt begins; None means no deadline."""
    outage: float | None = attrs.field(default=1800.0, validator=optional_seconds_field)
    """Seconds for which a bulk run waits while the platform answers no call at all; None means for ever. Such an outage
    uses up no attempts, and the deadline of a call in a bulk run does not run meanwhile. If the platform has never
    answered, as with a wrong URL, it waits for at most a minute."""
    jitter: Jitter = full_jitter
    """Draws each wait, given its upper bound; the default is uniform between 0 and that."""

    def changed_by(self, retry: RetryPolicy | bool, /) -> RetryPolicy:  # noqa: FBT001 - as users give it
        """Return the policy of a call for which `retry` was given; with False it is attempted once.

        Raises `ArgumentError` for what is no such thing.
        """
        if isinstance(retry, RetryPolicy):
            return retry
        if not isinstance(retry, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArgumentError(f"retry={retry!r}: give True, False or a RetryPolicy")
        return self if retry else attrs.evolve(self, attempts=1)

    def waits(self) -> Iterator[float]:
        """The waits between the attempts at one call, in seconds; it ends when no attempt is left."""
        return islice(growing_waits(self.base, self.longest, self.jitter), self.attempts - 1)

    def wait_after(self, attempt: int) -> float | None:
        """Return the seconds to wait after an attempt, counted from 1, that failed; None after the last."""
        return next(islice(self.waits(), attempt - 1, None), None)

    def is_last(self, attempt: int) -> bool:
        """Return whether no attempt follows this one, counted from 1, if it fails."""
        return self.wait_after(attempt) is None
