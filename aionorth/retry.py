"""How long to wait before trying again. The only user of `backoff`.

Its decorators do not fit: they sleep for one call where a refusal concerns the whole app, they know nothing of flow
control, and their coroutine detection warns on Python 3.14. What is used, `expo` and `full_jitter`, behaves the same in
backoff 2.2 and in its successor python-backoff 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from aionorth.checks import optional_seconds_field, seconds_field, whole_field

Jitter = Callable[[float], float]
"""From the longest wait to the wait, in seconds."""


def full_jitter(longest: float) -> float:
    """Draw a wait evenly from between 0 and `longest`."""
    import backoff  # noqa: PLC0415 - most runs need none of it, and its import takes its time

    return backoff.full_jitter(longest)


def growing_waits(first: float, longest: float, jitter: Jitter = full_jitter) -> Iterator[float]:
    """Waits in seconds that double from `first` up to `longest`, each passed through `jitter`; they never end."""
    import backoff  # noqa: PLC0415 - as above

    waits = backoff.expo(base=2, factor=first, max_value=longest)
    next(waits)  # both majors yield once before the first wait: None in the one, 0 in the other
    return (max(0.0, jitter(wait)) for wait in waits)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """What is done about faults: lost connections, time-outs, 500, 502, 503, 504 and congestion (100501).

    Flow control's refusals are not faults: they pause the app and use up none of the `attempts`. The deadline bounds
    both. It runs from the first attempt's sending, and no attempt begins after it; one that has begun may end after it.
    """

    attempts: int = attrs.field(default=6, validator=whole_field)
    """How often one call is tried in all; 1 means no retry."""
    base: float = attrs.field(default=1.0, validator=seconds_field)
    """The longest wait before the second attempt, in seconds; it doubles with each further one."""
    longest: float = attrs.field(default=60.0, validator=seconds_field)
    """No wait is longer than this, in seconds."""
    deadline: float | None = attrs.field(default=1800.0, validator=optional_seconds_field)
    """Seconds from the first sending after which no attempt begins; None means no deadline."""
    jitter: Jitter = full_jitter
    """Draws each wait from its longest; the default spreads it evenly between 0 and that."""

    def waits(self) -> Iterator[float]:
        """The waits between the attempts at one call, in seconds; it ends when no attempt is left."""
        growing = growing_waits(self.base, self.longest, self.jitter)
        return (wait for _, wait in zip(range(self.attempts - 1), growing, strict=False))
