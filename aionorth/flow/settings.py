"""The settings of flow control, its state at one moment, and the limits that the window keeps to."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import attrs

from aionorth.common.arguments import argument
from aionorth.errors import ArgumentError
from aionorth.wire.checks import seconds_field, whole_field

CLOCK_TOLERANCE = 1e-3
"""The part of a period for which a slot is held longer. NTP may make two clocks differ by a thousandth: 60 ms a
minute, longer than a round trip on a fast network."""

BUCKETS = 150
"""If the limit is larger, a period has this many parts, and slots that come free in the same part are counted together,
at its end. So the window's size has a bound whatever the limit."""


def _part(_: object, __: object, value: float) -> None:
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ArgumentError(
            f"{argument('FlowControl.headroom')}={value!r}: give a part, from 0 up to but not including 1"
        )


@attrs.frozen
class FlowControl:
    """The platform's flow control for one app: `calls` in any `period` seconds.

    The platform's default is 100 calls a minute; its operator can set another threshold.
    """

    calls: int = attrs.field(default=100, validator=whole_field)
    """The threshold: how many calls the platform accepts in a period."""
    period: float = attrs.field(default=60.0, validator=seconds_field)
    """The period, in seconds."""
    burst: int | None = attrs.field(default=None, validator=whole_field)
    """How many calls may go out at once; None means all that are free. 1 spreads them evenly over the period."""
    headroom: float = attrs.field(default=0.0, validator=_part)
    """The part of the threshold left to other callers of the same app: 0.2 leaves a fifth."""

    @property
    def limit(self) -> int:
        """How many calls may be made in a period: the threshold less the headroom, at least 1."""
        return max(1, math.floor(self.calls * (1 - self.headroom) + 1e-9))

    def stricter(self, other: FlowControl) -> FlowControl:
        """Return settings that keep within both: fewer calls, the longer period, the smaller burst."""
        bursts = [burst for burst in (self.burst, other.burst) if burst is not None]
        return FlowControl(
            calls=min(self.limit, other.limit), period=max(self.period, other.period), burst=min(bursts, default=None)
        )


@attrs.frozen(kw_only=True)
class FlowState:
    """Flow control at one moment."""

    limit: int
    """Calls allowed in a period by the settings."""
    period: float
    """The period, in seconds."""
    in_use: int
    """Slots taken: calls in flight, and calls answered less than a period ago."""
    next_slot: float
    """Seconds until the next slot comes free; 0 if one is free, infinite if every slot is a call in flight."""
    waiting: int
    """Calls waiting for their turn."""
    paused_for: float
    """Seconds until the pause that a refusal began is over; 0 if there is none."""
    refusals: int
    """Calls refused by the platform so far."""
    learned_limit: int | None = None
    """Calls that the platform seems to allow in a period, if refusals have shown fewer than `limit`; this holds until
    the platform is seen to accept more."""
    gap: float = 0.0
    """Seconds from each call to the next, if refusals have shown that calls must be spread; else 0."""
    silent_for: float = 0.0
    """Seconds for which the platform has not answered any call, during an outage; else 0."""
    next_probe: float = 0.0
    """Seconds until the next probe, during an outage. Calls are held until the platform answers."""
    store_reached: bool = True
    """Whether the store that the app's callers share can be reached; until it can, calls are held."""

    @property
    def in_force(self) -> int:
        """The maximum number of calls in a period: the learned limit if there is one, else that of the settings."""
        return self.limit if self.learned_limit is None else self.learned_limit

    @property
    def free(self) -> int:
        """Slots that a call could take now."""
        return 0 if self.next_slot else max(0, self.in_force - self.in_use)

    def time_for(self, calls: int) -> float:
        """About how many seconds it takes until `calls` more calls have been sent, if nobody else sends any."""
        if (beyond := calls - self.free) <= 0:
            return self.paused_for
        first = self.period if self.free or self.next_slot == math.inf else self.next_slot
        return max(self.paused_for, first) + (beyond - 1) // self.in_force * self.period


@attrs.frozen(kw_only=True, slots=False)
class Limits:
    """What one process keeps to; the adaptive limit can only be stricter."""

    limit: int
    """Calls in a period."""
    period: float
    """Seconds."""
    gap: float
    """Seconds from each call to the next."""
    timeout: float
    """Seconds after which a call that was sent has been counted, if no reply comes."""
    pause: Callable[[int], float] = attrs.field(eq=False)
    """Returns the length of the next pause in seconds, given how many the episode has had."""
    probe_wait: Callable[[int], float] = attrs.field(eq=False, default=lambda _: 0.0)
    """Returns the seconds until the next probe, given how many of the outage were not answered."""
    clock_error: float = 0.0
    """Seconds by which the store's clock may be wrong in either direction without being noticed."""

    @cached_property
    def hold(self) -> float:
        """Seconds from a call's reply until its slot comes free."""
        return self.period * (1 + CLOCK_TOLERANCE) + 2 * self.clock_error

    @cached_property
    def start_within(self) -> float:
        """Seconds after a permit was asked for within which its call begins; after that another permit is taken."""
        return self.timeout / 8

    @cached_property
    def in_flight(self) -> float:
        """Seconds after a permit was given after which its call has been counted, if no reply comes."""
        return self.start_within + self.timeout

    @cached_property
    def quantum(self) -> float:
        """Slots that come free within the same span of this many seconds are counted together; 0 if none are."""
        return self.period / BUCKETS if self.limit > BUCKETS else 0.0
