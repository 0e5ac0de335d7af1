"""What the callers of one app must agree on: the slots of its window, the pause, and what refusals have taught.

`Ledger` is all that flow control knows of where these are kept. `MemoryLedger` keeps them for the sessions of one event
loop; `aionorth.flow.shared` keeps them where processes and hosts can share them.

The guarantee is the window's. A call takes one of `limit` slots before it is sent, and the slot comes free a period
after its *reply*. Wherever between sending and reply the platform counts a call, the call that reuses its slot is
counted at least a period later; so no stretch of one period ever holds more than `limit` of them, whether the platform
counts by clock minutes, by a sliding minute or by a bucket. Stamping slots when calls are *sent* does not give this: a
slow call is counted late, and the next minute's calls come too early. A call to which no reply came may still be on
its way, and is taken to be counted by the time at which it would have timed out.

The guarantee rests on premises: nobody else calls, the window was empty at first, the threshold is the one configured.
A refusal shows that one of them is false. What it teaches (`aionorth.flow.learning`) can only make the window narrower.
"""

from __future__ import annotations

import enum
import math
from bisect import insort
from collections import deque
from collections.abc import Callable
from typing import Protocol

import attrs

from aionorth.flow.learning import Facts, Lesson

CLOCK_TOLERANCE = 1e-3
"""How much longer than a period a slot is held. Two clocks that NTP is steering differ by up to a thousandth: 60 ms a
minute, more than a fast network's round trip makes up for."""


@attrs.frozen(kw_only=True)
class Terms:
    """What one process believes in and keeps to; what refusals have taught can only be stricter."""

    limit: int
    """Calls in a period."""
    period: float
    """Seconds."""
    gap: float
    """Seconds from each call to the next."""
    timeout: float
    """Seconds after which a call that was sent has been counted, if nothing is heard of it."""
    pause: Callable[[int], float] = attrs.field(eq=False)
    """From how many pauses an episode has had to how long the next one is, in seconds."""

    @property
    def hold(self) -> float:
        """Seconds from a call's reply until its slot comes free."""
        return self.period * (1 + CLOCK_TOLERANCE)


class Ending(enum.StrEnum):
    """What became of a permit's call."""

    UNSENT = "unsent"
    UNCONFIRMED = "unconfirmed"
    """It was sent, and the platform has not said whether it let it through."""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    """By flow control."""


@attrs.frozen
class Permit:
    """The permission to send one call: it holds one slot of the window until it is released."""

    episode: int
    """How many pauses had begun before."""
    key: str = ""
    """Which slot it is, where that matters."""


@attrs.frozen(kw_only=True, eq=False)
class View:
    """What is known of the ledger at one moment; times are seconds from then."""

    in_use: int = 0
    """Slots taken: calls in flight, and calls that ended less than a period ago."""
    next_slot: float = 0.0
    """Until the next slot comes free: 0 where one is free, infinite where only a reply can free one."""
    paused_for: float = 0.0
    """Until the pause is over; 0 where there is none."""
    limit: int | None = None
    """Calls that the platform seems to allow in a period; None where nothing has been learned."""
    gap: float = 0.0
    """From a call to the next, as learned."""
    reached: bool = True
    """Whether the store can be reached in which it is kept."""


class Ledger(Protocol):
    """Where an app's callers agree. One of this process's calls at a time asks for a slot: the head of its queue."""

    changed: Callable[[], None]
    """Called when whoever was told to wait may go sooner, and asks again."""

    def agree(self, terms: Terms) -> None:
        """Keep to `terms` from now on."""
        ...

    def take_now(self, now: float) -> Permit | float | None:
        """Take a slot or tell how many seconds to wait before asking again; None: only `take` can tell.

        The wait is infinite where only a reply can tell, and 0 seconds where it is worth asking at once.
        """
        ...

    async def take(self) -> Permit | float:
        """Do as `take_now`, wherever the ledger is."""
        ...

    def release(self, permit: Permit, ending: Ending, now: float, counted_at: float, retry_after: float) -> bool:
        """Take note of what became of a permit's call, once.

        Unsent, its slot is free at once; else the slot comes free a period after `counted_at`. `now` and `counted_at`
        are on the event loop's clock. A refusal pauses the app for `retry_after` seconds at least. Returns whether a
        pause began.
        """
        ...

    def paused_for(self, now: float) -> float:
        """Seconds until the pause is over, as far as is known; 0 where none is in force."""
        ...

    def view(self, now: float) -> View:
        """What is known at this moment."""
        ...

    def idle_in(self, now: float) -> float:
        """Seconds for which it must be kept when its users have gone, because calls of theirs still count."""
        ...

    async def close(self) -> None:
        """Hand over what has not been handed over yet, and let go."""
        ...


class MemoryLedger:
    """Keeps everything in this object, for the sessions of one event loop."""

    def __init__(self, terms: Terms, now: Callable[[], float]) -> None:
        self.changed: Callable[[], None] = _nobody
        self._now = now
        self._in_flight = 0
        self._ended: deque[float] = deque()  # when the calls of the last period were counted at the latest, sorted
        self._refused: deque[float] = deque()  # when those of them that were refused had been
        self._most = 0
        self._late = 0
        self._not_before = -math.inf
        self._lesson = Lesson()
        self._grant = Permit(0)
        self._gap = 0.0
        self._awaited = False  # whether somebody was told to wait for the end of a call
        self.agree(terms)

    def agree(self, terms: Terms) -> None:
        """See `Ledger.agree`."""
        self._terms = terms
        self._hold = terms.hold
        self._follow(self._lesson)

    def _follow(self, lesson: Lesson) -> None:
        """Let a lesson be in force."""
        self._lesson = lesson
        self._learned = lesson.learned
        learned = lesson.limit_now(self._late) if lesson.learned else self._terms.limit
        self._limit = min(learned, self._terms.limit)
        self._gap = max(self._terms.gap, self._terms.period / self._limit if lesson.learned else 0.0)
        if lesson.episode != self._grant.episode:
            self._grant = Permit(lesson.episode)

    # --- One call's way

    def take_now(self, now: float) -> Permit | float:
        """See `Ledger.take_now`."""
        lesson = self._lesson
        if now < lesson.paused_until:
            return lesson.paused_until - now
        if lesson.pauses and self._in_flight:
            self._awaited = True
            return math.inf  # after a pause one call tries alone whether the platform accepts calls again
        if now < self._not_before:
            return self._not_before - now
        if self._learned and (grown := lesson.grown(now)) is not lesson:
            if not grown.learned:
                self._most = 0  # it may have counted refused calls
            self._follow(grown)
        if wait := self._next_slot(now):
            self._awaited = True
            return wait
        self._in_flight += 1
        if self._gap:
            self._not_before = now + self._gap
        return self._grant

    async def take(self) -> Permit | float:
        """See `Ledger.take`."""
        return self.take_now(self._now())

    def release(self, permit: Permit, ending: Ending, now: float, counted_at: float, retry_after: float) -> bool:
        """See `Ledger.release`."""
        self._in_flight -= 1
        if ending is Ending.UNSENT:
            self._tell()
            return False
        if self._ended and self._ended[-1] > counted_at:  # after one without an answer
            insort(self._ended, counted_at)
        else:
            self._ended.append(counted_at)
        if ending is Ending.ACCEPTED and self._lesson.pauses:
            if permit.episode == self._lesson.episode:
                self._follow(self._lesson.accepted(now, self._facts(now)))
            else:  # a call from before the pause says nothing of what the platform accepts after it
                self._late += 1
                self._follow(self._lesson)
        begins = ending is Ending.REFUSED and self._refused_call(permit, now, retry_after)
        if self._awaited:
            self._tell()
        return begins

    def _tell(self) -> None:
        """Have whoever was told to wait ask again."""
        self._awaited = False
        self.changed()

    def _refused_call(self, permit: Permit, now: float, retry_after: float) -> bool:
        self._refused.append(now)
        if begins := permit.episode == self._lesson.episode:
            pause = self._terms.pause(self._lesson.pauses)
            facts = self._facts(now)
            self._late = 0
            self._follow(self._lesson.refused(now, pause, facts, ceiling=self._terms.limit, period=self._terms.period))
            self._not_before = max(self._not_before, now + self._gap)
        until = max(self._lesson.paused_until, now + retry_after)
        self._follow(attrs.evolve(self._lesson, paused_until=until))
        return begins

    # --- What is known

    def _facts(self, now: float) -> Facts:
        self._next_slot(now)  # it forgets the calls that no longer count
        while self._refused and self._refused[0] + self._hold <= now:
            self._refused.popleft()
        return Facts(accepted=len(self._ended) - len(self._refused), most=self._most, late=self._late)

    def _next_slot(self, now: float) -> float:
        """Seconds until a slot comes free: 0 if one is, infinite if only a reply can free one."""
        ended = self._ended
        if ended and ended[0] + self._hold <= now:
            self._most = max(self._most, len(ended))
            while ended and ended[0] + self._hold <= now:
                ended.popleft()
        surplus = self._in_flight + len(ended) - self._limit
        if surplus < 0:
            return 0.0
        # Under stricter terms more than one call may have to grow old before a slot is free.
        return ended[surplus] + self._hold - now if surplus < len(ended) else math.inf

    def paused_for(self, now: float) -> float:
        """See `Ledger.paused_for`."""
        return max(0.0, self._lesson.paused_until - now)

    def view(self, now: float) -> View:
        """See `Ledger.view`."""
        next_slot = self._next_slot(now)  # first: it forgets the calls that no longer count
        return View(
            in_use=self._in_flight + len(self._ended),
            next_slot=next_slot,
            paused_for=self.paused_for(now),
            limit=self._limit if self._lesson.learned else None,
            gap=self._gap if self._lesson.learned else 0.0,
        )

    def idle_in(self, now: float) -> float:
        """See `Ledger.idle_in`."""
        newest = self._ended[-1] + self._hold if self._ended else now
        out = now + self._hold if self._in_flight else now
        return max(newest, out, self._lesson.paused_until) - now

    async def close(self) -> None:
        """See `Ledger.close`: there is nothing to hand over."""


def _nobody() -> None:
    """Wait for nothing."""
