"""What refusals teach about flow control. Pure: every moment is handed in, in seconds on one clock.

A refusal says that the platform counts otherwise than we do, that its threshold is lower, or that somebody else calls;
it does not say which. One reaction fits all three: pause, then spread the calls evenly over the period, which alone
satisfies a platform that weighs two minutes' counts, and allow no more of them than it has accepted in a period.
Whether it would accept more, only asking tells, and an answer of no is a refusal: so the limit grows back slowly at
first, faster the longer nothing is refused, and where more proves too much, it waits much longer before it grows again.

Calls that were in flight when a refusal came belong to its episode, and there is one reaction to an episode. It is open
until a call that was sent after its pause is accepted; until then one call tries after each pause, and the pauses grow.
"""

from __future__ import annotations

import json
from typing import Self

import attrs

PATIENCE = 4
"""Clean periods after which the limit first grows, or is forgotten where it has grown back."""

LONGEST_PATIENCE = 16
"""Clean periods after which it grows again where growing was refused."""

LEAST_PART = 0.5
"""No single reaction takes more than this part of the limit: a platform whose window was full before we came accepts
nothing at first, and that is no threshold."""

KEPT = 0.97
"""The part of what was accepted that the limit is brought down to where growth was refused: the rest is for whoever
else calls, and for the chance by which one period accepts more than another."""

KEPT_OTHERWISE = 0.9
"""The same where the limit had not grown: then a bucket is running dry, or others call more, and what was accepted in
the last period is more than will be in the next."""

MADE_UP = 1 / 16
"""The part of a period for which a pause counts as if calls had been accepted in it. Longer, it is a platform that
accepts none."""


@attrs.frozen(kw_only=True, eq=False)
class Facts:
    """What is known of the app's calls at one moment."""

    accepted: int
    """How many ended in the last period otherwise than by a refusal."""
    most: int
    """How many ended so in the fullest period before there was a lesson."""
    late: int
    """How many from before the episode's pause were accepted since it began."""


@attrs.frozen(kw_only=True)
class Lesson:
    """What has been learned so far; its defaults are nothing."""

    episode: int = 0
    """How many pauses have begun. A call whose slot bears a smaller number was sent before the last of them."""
    pauses: int = 0
    """How many of them belong to the episode that is open; 0 where none is."""
    paused_until: float = 0.0
    ceiling: int = 0
    """The configured limit of whoever learned this, up to which the learned one grows back; 0: nothing is learned."""
    period: float = 0.0
    """Its period, in seconds."""
    limit: int = 0
    """Calls that the platform seems to allow in a period: at least 1, at most `ceiling`."""
    held: int = 0
    """The limit that held before it was last grown; 0 where it has not grown since the last refusal."""
    step: int = 1
    """By how much it grows next."""
    patience: int = PATIENCE
    """Clean periods after which it next begins to grow."""
    clean_since: float = 0.0
    """From when on every call was accepted, while no episode is open."""
    first: bool = False
    """Whether the first episode is open: calls of before its pause may still turn out to have been accepted."""
    refused_at: float = 0.0
    """When the open episode began."""
    kept: float = 0.0
    """The part of what was accepted that the limit is to be brought down to once the open episode ends; 0: none."""

    @property
    def learned(self) -> bool:
        """Whether anything is."""
        return self.ceiling > 0

    def limit_now(self, late: int) -> int:
        """The limit in force, of those that call so often."""
        return min(self.limit + late, self.ceiling) if self.first else self.limit

    def gap_now(self, late: int) -> float:
        """Seconds from each call to the next; 0 where nothing is learned."""
        return self.period / self.limit_now(late) if self.learned else 0.0

    def refused(self, now: float, pause: float, facts: Facts, *, ceiling: int, period: float) -> Lesson:
        """Begin a pause of so many seconds; whoever was refused believes in `ceiling` calls in a `period`."""
        paused = attrs.evolve(self, episode=self.episode + 1, pauses=self.pauses + 1, paused_until=now + pause)
        if self.pauses:  # it was the one call that tried
            return attrs.evolve(paused, limit=self.limit_now(facts.late), first=False)
        if not self.learned:
            # However little, until the episode ends: more would only be refused again. Nothing is no measure.
            limit = min(max(facts.most, facts.accepted) or _least(ceiling), ceiling)
            return attrs.evolve(paused, ceiling=ceiling, period=period, limit=limit, first=limit < ceiling)
        if self.held:  # the growth was too much
            limit, patience, kept = min(self.limit, self.held), LONGEST_PATIENCE, KEPT
        else:
            limit, patience, kept = max(1, self.limit - 1), self.patience, KEPT_OTHERWISE
        return attrs.evolve(paused, limit=limit, patience=patience, held=0, step=1, refused_at=now, kept=kept)

    def accepted(self, now: float, facts: Facts) -> Lesson:
        """End the open episode: a call sent after its last pause was accepted."""
        limit = self.limit_now(facts.late)
        if self.kept:
            # Only now does the count tell how long nothing was accepted. The pause itself held calls back.
            held_back = limit * min((now - self.refused_at) / self.period, MADE_UP)
            limit = _within(int(self.kept * (facts.accepted + held_back)) + 1, limit)
        else:
            limit = max(limit, _least(self.ceiling))
        return attrs.evolve(self, pauses=0, clean_since=now, limit=limit, first=False, kept=0.0)

    def grown(self, now: float) -> Lesson:
        """Return what it is after so many clean periods: `self` where there is nothing to grow yet."""
        if self.pauses or not self.learned:
            return self
        growing = self.step > 1 and self.limit < self.ceiling
        if now - self.clean_since < self.period * (1 if growing else self.patience):
            return self
        if self.limit == self.ceiling:
            return Lesson(episode=self.episode)
        return attrs.evolve(
            self,
            clean_since=now,
            held=self.limit,
            limit=min(self.limit + self.step, self.ceiling),
            step=2 * self.step,
        )

    def to_json(self) -> str:
        """Return it as text, for a store that is elsewhere."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` made, of this version or another one, as far as it is understood."""
        known = attrs.fields_dict(cls)
        return cls(**{name: value for name, value in json.loads(text).items() if name in known})


def _within(count: int, limit: int) -> int:
    """Return a limit of `count`, but neither above `limit` nor too far below it."""
    return max(_least(limit), min(count, limit))


def _least(limit: int) -> int:
    """Return the least that one reaction leaves of `limit`."""
    return max(1, int(limit * LEAST_PART))
