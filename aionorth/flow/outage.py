"""Outages: calls keep failing without a word from the platform. Pure: times come in, in seconds on one clock.

A call fails so where it finds no connection, where no reply comes, and where a gateway replies in the platform's place
or the platform says that it is congested. One such call says nothing: it may be that call's own fault. Several in a row
make an outage likely. So does one to which no attempt is left: before it is given up, it should be known whose fault it
is. Then all calls are held, and one at a time a probe is sent, a call that changes nothing. If the platform answers it,
it was no outage: what failed has failed by its own fault. If not, the outage is certain, and probes follow after
growing waits until one is answered.
"""

from __future__ import annotations

import attrs

HELD_AFTER = 5
"""Calls in a row without a word from the platform after which the others are held."""

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
"""Seconds between probes at most: they double from the first to the longest, and are drawn from their upper half."""

PROBE_MARGIN = 1.0
"""Seconds after its time-out at which a probe of which nobody has said how it ended is taken for lost."""

ASK_AGAIN = 5.0
"""Seconds after which a process that is held asks again at the latest: another one's probe may have been answered."""


@attrs.frozen(kw_only=True)
class Outage:
    """What is known of an outage; the defaults say that there is none."""

    number: int = 0
    """How many outages have been certain so far."""
    unanswered: int = 0
    """Calls in a row that ended without a word from the platform."""
    since: float = 0.0
    """When the first of them ended."""
    probes: int = 0
    """Probes in a row that ended so too."""
    next_probe: float = 0.0
    """When the next probe may be sent, while calls are held."""

    @property
    def held(self) -> bool:
        """Whether calls are held and only probes are sent."""
        return self.unanswered >= HELD_AFTER

    @property
    def certain(self) -> bool:
        """Whether a probe was not answered either."""
        return self.probes > 0

    def call_unanswered(self, now: float, weight: int = 1) -> Outage:
        """Return what is known after another call without a word from the platform, which counts as so many."""
        since = self.since if self.unanswered else now
        next_probe = self.next_probe if self.held else now
        return attrs.evolve(self, unanswered=self.unanswered + weight, since=since, next_probe=next_probe)

    def probe_begun(self, ends_by: float) -> Outage:
        """Return what is known while a probe is on its way, which has ended by `ends_by` at the latest."""
        return attrs.evolve(self, next_probe=ends_by + PROBE_MARGIN)

    def probe_ended(self, now: float, wait: float, *, unanswered: bool) -> Outage:
        """Return what is known after a probe that brought no word: unanswered, or not sent after all.

        Args:
            now: The time.
            wait: Seconds until the next probe.
            unanswered: Whether it was sent.
        """
        if not self.held or not unanswered:
            return attrs.evolve(self, next_probe=now)
        number = self.number + (not self.certain)
        return attrs.evolve(self, number=number, probes=self.probes + 1, next_probe=now + wait)

    def answered(self) -> Outage:
        """Return what is known after a word from the platform."""
        return Outage(number=self.number) if self.unanswered else self


def longest_wait(probes: int) -> float:
    """Return the longest wait, in seconds, after so many probes in a row that were not answered."""
    return min(FIRST_WAIT * 2.0 ** min(probes, 16), LONGEST_WAIT)
