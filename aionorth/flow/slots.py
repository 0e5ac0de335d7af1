"""The slots that calls hold: those in flight by their permits' keys, those that have ended by when they come free."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping


class Slots:
    """The taken slots. Times are seconds on the window's clock.

    Its state: `in_flight` and `ended`. `calls` and `refused` are the sums over `ended`.
    """

    __slots__ = ("calls", "ended", "in_flight", "refused")

    def __init__(
        self, in_flight: Mapping[str, tuple[float, float]] | None = None, ended: Iterable[tuple[float, int, int]] = ()
    ) -> None:
        self.in_flight = dict(in_flight or {})
        """By a permit's key: the latest time at which its call ends, and when its slot then comes free."""
        self.ended = sorted(ended)
        """Calls that have ended: when their slots come free, how many there are, and how many were refused."""
        self.calls = sum(calls for _, calls, _ in self.ended)
        self.refused = sum(refused for _, _, refused in self.ended)

    def take(self, key: str, ends_by: float, free_at: float) -> None:
        """Take a slot for a call that ends at `ends_by` at the latest."""
        self.in_flight[key] = ends_by, free_at

    def drop(self, key: str) -> bool:
        """Free the slot of a call in flight at once; return whether there was one."""
        return self.in_flight.pop(key, None) is not None

    def end(self, key: str, free_at: float, *, refused: bool, quantum: float) -> None:
        """Let the slot of a call come free at `free_at`.

        Slots that come free within the same `quantum` of seconds are stored as one entry that comes free at the end of
        the quantum; if it is 0, only those that come free at the same time are.
        """
        self.in_flight.pop(key, None)
        if quantum:
            free_at = math.ceil(free_at / quantum) * quantum
        ended = self.ended
        place = bisect_left(ended, (free_at,))
        if place < len(ended) and ended[place][0] == free_at:
            _, calls, calls_refused = ended[place]
            ended[place] = free_at, calls + 1, calls_refused + refused
        else:
            ended.insert(place, (free_at, 1, int(refused)))
        self.calls += 1
        self.refused += refused

    def forget(self, now: float) -> None:
        """Forget the slots that have come free: those of overdue calls once that of the oldest call in flight has."""
        if self.in_flight and next(iter(self.in_flight.values()))[1] <= now:
            self.forget_overdue(now)
        come_free = self.ended[: bisect_left(self.ended, (now, math.inf))]
        del self.ended[: len(come_free)]
        for _, calls, refused in come_free:
            self.calls -= calls
            self.refused -= refused

    def all_ended(self, free_at: float) -> Slots:
        """Return as many slots, all of calls that have ended, which come free at `free_at`."""
        return Slots(ended=[(free_at, self.in_use, self.refused)] if self.in_use else [])

    def forget_overdue(self, now: float) -> None:
        """Forget the slots of calls in flight that have come free, because nobody has reported that they ended."""
        for key in [key for key, (_, free_at) in self.in_flight.items() if free_at <= now]:
            del self.in_flight[key]

    def copy(self) -> Slots:
        """Return the same slots, which can be changed on their own."""
        return Slots(self.in_flight, self.ended)

    def delayed(self, seconds: float) -> Slots:
        """Return the same slots, except that each comes free `seconds` later."""
        in_flight = {key: (ends_by, free_at + seconds) for key, (ends_by, free_at) in self.in_flight.items()}
        return Slots(in_flight, [(free_at + seconds, calls, refused) for free_at, calls, refused in self.ended])

    @property
    def in_use(self) -> int:
        """How many slots are taken."""
        return len(self.in_flight) + self.calls

    def flying(self, now: float) -> int:
        """Return how many calls may still be in flight; the others have ended, though nobody has reported it."""
        return sum(ends_by > now for ends_by, _ in self.in_flight.values())

    def accepted(self, now: float) -> int:
        """Return how many calls have ended without being refused."""
        return self.in_use - self.flying(now) - self.refused

    def free_at(self, surplus: int) -> float:
        """Return when `surplus` + 1 slots have come free; infinite if fewer are taken."""
        slots = [(free_at, calls) for free_at, calls, _ in self.ended]
        slots += [(free_at, 1) for _, free_at in self.in_flight.values()]
        for free_at, calls in sorted(slots):
            surplus -= calls
            if surplus < 0:
                return free_at
        return math.inf
