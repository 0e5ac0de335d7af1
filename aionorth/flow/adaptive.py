"""The adaptive limit: what refusals teach about flow control. Pure: times come in, in seconds on one clock.

A refusal says that the platform counts otherwise than we do, that its threshold is lower, or that somebody else calls.
It does not say which. One reaction fits all three: pause, then spread the calls evenly over the period, and allow no
more of them than the platform has accepted in one. Spreading alone satisfies a platform that weighs two minutes'
counts.

Only a call can show that the platform accepts more, and where it does not, that call is refused. So the limit grows
back slowly at first, and faster the longer nothing is refused. Where growth is refused, the next waits much longer.

Calls that were in flight when a refusal came belong to the same episode, and an episode has one reaction. It is open
until a call that was sent after its pause is accepted. Until then one call probes after each pause, and the pauses
grow.
"""

from __future__ import annotations

from typing import Self

import attrs

from aionorth.flow import stored

PROBE_INTERVAL = 4
"""Clean periods after which the limit first grows, or is dropped where it has grown back."""

LONGEST_PROBE_INTERVAL = 16
"""Clean periods after which it grows again where growth was refused."""

LEAST_PART = 0.5
"""No single reaction takes more than this part of the limit. A platform whose window was full before we came accepts
nothing at first, and that is not a threshold."""

GROWTH_DECREASE_FACTOR = 0.97
"""The part of what was accepted that remains where growth was refused. The rest is for other callers, and for the
chance by which one period accepts more than another."""

DECREASE_FACTOR = 0.9
"""The same where the limit had not grown. Then a bucket runs dry, or others call more, and the next period will accept
less than the last one did."""

PAUSE_ALLOWANCE = 1 / 16
"""The part of a period for which a pause counts as if calls had been accepted in it: the pause itself held them back.
A longer pause shows that the platform accepts none."""


@attrs.frozen(kw_only=True, eq=False)
class Facts:
    """What is known of the app's calls at one moment."""

    accepted: int
    """How many ended in the last period otherwise than by a refusal."""
    fullest: int
    """How many ended so in the fullest period before the first refusal."""
    late: int
    """How many from before the episode's pause were accepted since it began."""


@attrs.frozen(kw_only=True)
class AdaptiveLimit:  # more than 12 fields: a value that is stored whole
    """The limit that refusals have taught so far; the defaults say that there were none."""

    episode: int = 0
    """How many pauses have begun. A call whose permit bears a smaller number was sent before the last of them."""
    pauses: int = 0
    """How many of them belong to the open episode; 0 where none is open."""
    paused_until: float = 0.0
    ceiling: int = 0
    """The configured limit of the caller that was refused, up to which `limit` grows back; 0: nothing was refused."""
    period: float = 0.0
    """That caller's period, in seconds."""
    limit: int = 0
    """Calls that the platform seems to allow in a period: at least 1, at most `ceiling`."""
    grown_from: int = 0
    """The limit before it last grew; 0 where it has not grown since the last refusal."""
    step: int = 1
    """By how much it grows next."""
    probe_interval: int = PROBE_INTERVAL
    """Clean periods after which it begins to grow."""
    clean_since: float = 0.0
    """Since when every call was accepted, while no episode is open."""
    first: bool = False
    """Whether the first episode is open: calls from before its pause may still turn out to have been accepted."""
    refused_at: float = 0.0
    """When the open episode began."""
    decrease_factor: float = 0.0
    """The part of what was accepted to which the limit falls when the open episode ends; 0: it does not fall."""

    @property
    def in_force(self) -> bool:
        """Whether refusals have taught a limit."""
        return self.ceiling > 0

    def limit_now(self, late: int) -> int:
        """The limit in force, in calls per period."""
        return min(self.limit + late, self.ceiling) if self.first else self.limit

    def refused(self, now: float, pause: float, facts: Facts, *, ceiling: int, period: float) -> AdaptiveLimit:
        """Return the limit after a refusal that begins a pause.

        Args:
            now: The time.
            pause: How long the pause is, in seconds.
            facts: What is known of the app's calls.
            ceiling: The refused caller's configured limit.
            period: Its period, in seconds.
        """
        paused = attrs.evolve(self, episode=self.episode + 1, pauses=self.pauses + 1, paused_until=now + pause)
        if self.pauses:  # the probe was refused
            return attrs.evolve(paused, limit=self.limit_now(facts.late), first=False)
        if not self.in_force:
            # However little was accepted, it holds until the episode ends. Nothing accepted measures nothing.
            limit = min(max(facts.fullest, facts.accepted) or _least(ceiling), ceiling)
            return attrs.evolve(paused, ceiling=ceiling, period=period, limit=limit, first=limit < ceiling)
        if self.grown_from:  # the growth was too much
            limit, interval = min(self.limit, self.grown_from), LONGEST_PROBE_INTERVAL
            factor = GROWTH_DECREASE_FACTOR
        else:
            limit, interval, factor = max(1, self.limit - 1), self.probe_interval, DECREASE_FACTOR
        return attrs.evolve(
            paused,
            limit=limit,
            probe_interval=interval,
            grown_from=0,
            step=1,
            refused_at=now,
            decrease_factor=factor,
        )

    def accepted(self, now: float, facts: Facts) -> AdaptiveLimit:
        """Return the limit after the open episode: a call sent after its last pause was accepted."""
        limit = self.limit_now(facts.late)
        if self.decrease_factor:
            # Only now does the count show how long nothing was accepted.
            held_back = limit * min((now - self.refused_at) / self.period, PAUSE_ALLOWANCE)
            measured = int(self.decrease_factor * (facts.accepted + held_back)) + 1
            limit = max(_least(limit), min(measured, limit))
        else:
            limit = max(limit, _least(self.ceiling))
        return attrs.evolve(self, pauses=0, clean_since=now, limit=limit, first=False, decrease_factor=0.0)

    def grown(self, now: float) -> AdaptiveLimit:
        """Return the limit after so much clean time; `self` where it does not grow yet."""
        if self.pauses or not self.in_force:
            return self
        growing = self.step > 1 and self.limit < self.ceiling
        if now - self.clean_since < self.period * (1 if growing else self.probe_interval):
            return self
        if self.limit == self.ceiling:
            return self.dropped()
        return attrs.evolve(
            self,
            clean_since=now,
            grown_from=self.limit,
            limit=min(self.limit + self.step, self.ceiling),
            step=2 * self.step,
        )

    def dropped(self) -> AdaptiveLimit:
        """Return no limit, with the number of the episode: permits bear it."""
        return AdaptiveLimit(episode=self.episode)

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Return what `attrs.asdict` made, by this version or another one, as far as it is understood.

        Raises:
            ValueError: It cannot be such a limit.
        """
        limit = stored.fields(cls, values)
        if limit.in_force and (limit.limit < 1 or limit.period == 0):
            raise ValueError("the adaptive limit allows no calls")
        return limit


def _least(limit: int) -> int:
    """Return the least that one reaction leaves of `limit`."""
    return max(1, int(limit * LEAST_PART))
