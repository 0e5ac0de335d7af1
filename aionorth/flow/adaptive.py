"""The adaptive limit: how refusals change the limit. Pure: times are passed in, in seconds on one clock.

A refusal says that the platform counts otherwise than we do, that its threshold is lower, or that somebody else calls.
It does not say which. One reaction fits all three: pause, then spread the calls evenly over the period, and allow no
more of them than the platform has accepted in one. Spreading alone satisfies a platform that weighs two minutes'
counts.

Where it accepted only few calls before its first refusal, that is hardly its threshold. It refuses bursts, or somebody
else had spent the window just before. So the calls are spread, and the limit stays. One probe soon after tells the two
apart. A platform that refuses bursts accepts it while all of our calls still count, and then the others may follow. A
full window does not, and the next probe waits until the first of our calls counts no more; by then those of somebody
else do not either. Only what is refused in spite of this lowers the limit.

Only a call can show that the platform accepts more, and where it does not, that call is refused. After a first refusal
the limit soon grows back, because what it showed may be over. Later it grows slowly at first, and faster the longer
nothing is refused. Where growth is refused, the next waits much longer.

Calls that were in flight when a refusal came belong to the same episode, and an episode has one reaction. It is open
until a call that was sent after its pause is accepted. Until then one call probes after each pause, and the pauses
grow.
"""

from __future__ import annotations

from typing import Self

import attrs

from aionorth.flow import stored

FIRST_PROBE_INTERVAL = 2
"""Clean periods after which the limit grows where there was one refusal only."""

PROBE_INTERVAL = 4
"""Clean periods after which it grows where there were several, or is dropped where it has grown back."""

LONGEST_PROBE_INTERVAL = 16
"""Clean periods after which it grows again where growth was refused, or is dropped where bursts may have been."""

LEAST_PART = 0.5
"""The maximum part of the limit that one reaction may remove. A platform whose window was full before we came accepts
nothing at first, and that is not a threshold."""

AMBIGUOUS_PART = 1 / 4
"""Where less than this part of the limit was accepted before the first refusal, that is not taken for a threshold."""

SOONEST_PROBE = 1 / 30
"""The part of a period for which the pause lasts at least when bursts may be what the platform refuses. By then it
accepts a call again if it does, also where it counts the calls of a second or two by themselves."""

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
    """How many ended in the last period without being refused."""
    fullest: int
    """How many ended that way in the fullest period before the first refusal."""
    late: int
    """How many from before the episode's pause have been accepted since it began."""


@attrs.frozen(kw_only=True)
class AdaptiveLimit:  # more than 12 fields: a value that is stored whole
    """The limit learned from refusals so far. The defaults mean that there were none."""

    episode: int = 0
    """How many pauses have begun. A call whose permit has a smaller number was sent before the last of them."""
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
    probe_interval: int = FIRST_PROBE_INTERVAL
    """Clean periods after which it begins to grow."""
    clean_since: float = 0.0
    """Since when every call was accepted, while no episode is open."""
    first: bool = False
    """Whether the first episode is open: calls from before its pause may still turn out to have been accepted."""
    ambiguous: bool = False
    """Whether so little was accepted before the first refusal that bursts may be what the platform refuses."""
    refused_at: float = 0.0
    """When the last episode began."""
    decrease_factor: float = 0.0
    """The part of what was accepted to which the limit falls when the open episode ends; 0: it does not fall."""

    @property
    def in_force(self) -> bool:
        """Whether refusals have taught a limit."""
        return self.ceiling > 0

    @property
    def grows_at(self) -> float:
        """When it grows, or is dropped where it has grown back, if nothing is refused until then."""
        if self.limit == self.ceiling:
            interval = max(self.probe_interval, PROBE_INTERVAL)
        else:
            interval = 1 if self.grown_from else self.probe_interval
        return self.clean_since + self.period * interval

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
        measured = min(max(facts.fullest, facts.accepted, 1), ceiling)
        if self.pauses:  # the probe was refused
            if not self.ambiguous:
                return attrs.evolve(paused, limit=self.limit_now(facts.late), first=False)
            # So it is a window that is full: the next probe has no slot until the first of our calls counts no more.
            paused = attrs.evolve(paused, limit=min(self.limit, measured))
            if _is_few(measured, ceiling):
                return paused
            return attrs.evolve(paused, ambiguous=False, probe_interval=FIRST_PROBE_INTERVAL)
        soonest = now + max(pause, period * SOONEST_PROBE)
        if not self.in_force:
            # However little was accepted, it holds until the episode ends, unless bursts may be what is refused.
            ambiguous = _is_few(measured, ceiling)
            first = attrs.evolve(paused, ceiling=ceiling, period=period, refused_at=now, ambiguous=ambiguous)
            if ambiguous:
                # The spread is what satisfies a platform that refuses bursts, so it is kept for long.
                return attrs.evolve(first, limit=ceiling, paused_until=soonest, probe_interval=LONGEST_PROBE_INTERVAL)
            return attrs.evolve(first, limit=measured, first=measured < ceiling)
        if self.ambiguous and 0 < (passed := now - self.refused_at) < self.period:
            # The platform refuses bursts and allows fewer calls, too. What it allows in the time that has passed was
            # used up in the part of it without a pause.
            part = min((now - self.clean_since) / passed, DECREASE_FACTOR)
            limit = max(_least(self.limit), int(self.limit * part))
            paused = attrs.evolve(paused, probe_interval=FIRST_PROBE_INTERVAL, refused_at=now)
            return attrs.evolve(paused, limit=limit, paused_until=soonest)
        if self.grown_from:  # the growth was too much
            limit, interval = min(self.limit, self.grown_from), LONGEST_PROBE_INTERVAL
            factor = GROWTH_DECREASE_FACTOR
        else:
            limit, factor = max(1, self.limit - 1), DECREASE_FACTOR
            interval = PROBE_INTERVAL if self.limit == self.ceiling else max(self.probe_interval, PROBE_INTERVAL)
        return attrs.evolve(
            paused,
            limit=limit,
            probe_interval=interval,
            grown_from=0,
            step=1,
            ambiguous=False,
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
        elif self.ambiguous and self.pauses > 1:  # somebody else had filled the window, and that is over
            limit = self.ceiling
        else:
            limit = max(limit, _least(self.ceiling))
        ambiguous = self.ambiguous and self.pauses == 1 and limit == self.ceiling
        return attrs.evolve(
            self, pauses=0, clean_since=now, limit=limit, first=False, ambiguous=ambiguous, decrease_factor=0.0
        )

    def grown(self, now: float) -> AdaptiveLimit:
        """Return the limit after so much clean time; `self` where it does not grow yet."""
        if self.pauses or not self.in_force or now < self.grows_at:
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
        """Return no limit, with the number of the episode: permits have it."""
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


def _is_few(calls: int, ceiling: int) -> bool:
    """Return whether so many calls are too few to be taken for a threshold."""
    return calls < ceiling * AMBIGUOUS_PART


def _least(limit: int) -> int:
    """Return the minimum to which one reaction may reduce `limit`."""
    return max(1, int(limit * LEAST_PART))
