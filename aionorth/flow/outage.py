"""Outages: calls remain unanswered by the platform. Pure: times are passed in, in seconds on one clock.

A call is unanswered if it finds no connection, if no reply comes, if a gateway replies in the platform's place, or if
the platform replies that it is congested. One unanswered call shows nothing: the fault may be its own. Several in a row
make an outage likely. So does one to which no attempt is left: before it is given up, it should be known whose fault it
is. Then all calls are held, and probes are sent one at a time: calls that change nothing. If the platform answers the
first probe, there was no outage, and the calls that failed did so through their own fault. If not, the outage is
certain, and further probes follow after growing waits until one is answered.

Who wants to know at once, as a check does, need not wait for a probe: it makes an early call. It moves no probe, and
its answer ends the outage as any does.
"""

from __future__ import annotations

import attrs

HELD_AFTER = 5
"""Unanswered calls in a row after which all others are held."""

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
"""Seconds. The upper bound of the wait between probes doubles from the first to the second of these; each wait is drawn
from between half of its bound and the whole."""

PROBE_MARGIN = 1.0
"""Seconds from a probe's time-out until it counts as lost, if nobody has reported how it ended."""

ASK_AGAIN = 5.0
"""The longest wait, in seconds, of a process whose calls are held: another's probe may have been answered meanwhile."""


@attrs.frozen(kw_only=True)
class Outage:
    """What is known of an outage; the defaults say that there is none."""

    number: int = 0
    """How many outages have been certain so far."""
    unanswered: int = 0
    """Unanswered calls in a row."""
    since: float = 0.0
    """When the first of them ended."""
    probes: int = 0
    """Unanswered probes in a row."""
    next_probe: float = 0.0
    """When the next probe may be sent, while calls are held."""

    @property
    def held(self) -> bool:
        """Whether calls are held and only probes are sent."""
        return self.unanswered >= HELD_AFTER

    @property
    def certain(self) -> bool:
        """Whether a probe was unanswered, too."""
        return self.probes > 0

    def call_unanswered(self, now: float, weight: int = 1) -> Outage:
        """Return what is known after another unanswered call, which counts as so many."""
        since = self.since if self.unanswered else now
        next_probe = self.next_probe if self.held else now
        return attrs.evolve(self, unanswered=self.unanswered + weight, since=since, next_probe=next_probe)

    def probe_begun(self, ends_by: float) -> Outage:
        """Return what is known while a probe is in flight that ends at `ends_by` at the latest."""
        return attrs.evolve(self, next_probe=ends_by + PROBE_MARGIN)

    def probe_ended(self, now: float, wait: float, *, unanswered: bool) -> Outage:
        """Return what is known after a probe that brought no answer: it was unanswered, or not sent after all.

        Args:
            now: The time.
            wait: Seconds until the next probe.
            unanswered: Whether it was sent, and not answered.
        """
        if not self.held or not unanswered:
            return attrs.evolve(self, next_probe=now)
        number = self.number + (not self.certain)
        return attrs.evolve(self, number=number, probes=self.probes + 1, next_probe=now + wait)

    def answered(self) -> Outage:
        """Return what is known after an answer from the platform."""
        return Outage(number=self.number) if self.unanswered else self


def longest_wait(probes: int) -> float:
    """Return the upper bound of the wait, in seconds, after so many unanswered probes in a row."""
    return min(FIRST_WAIT * 2.0 ** min(probes, 16), LONGEST_WAIT)
