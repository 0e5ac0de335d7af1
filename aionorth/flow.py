"""Flow control: no more calls than the platform allows, however it counts. The only user of `aiolimiter`.

The guarantee is the window's. A call takes one of `limit` slots before it is sent, and the slot comes free a period
after its *reply*. Wherever between sending and reply the platform counts a call, the call that reuses its slot is
counted at least a period later; so no stretch of one period ever holds more than `limit` of them, whether the platform
counts by clock minutes, by a sliding minute or by a bucket. Stamping slots when calls are *sent* does not give this: a
slow call is counted late, and the next minute's calls come too early. A call to which no reply came may still be on
its way, and is taken to be counted by the time at which it would have timed out. A token bucket alone gives no
guarantee either: it starts full and refills meanwhile, so its worst minute holds 199 calls of an allowed 100.

The guarantee rests on premises: nobody else calls, the window was empty at first, the threshold is the one configured.
A refusal shows that one of them is false. What it teaches (`aionorth.learning`) can only make the window narrower.
"""

from __future__ import annotations

import asyncio
import math
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import attrs
from aiolimiter import AsyncLimiter

from aionorth.checks import seconds_field, whole_field
from aionorth.errors import ArgumentError, NorthConnectionError
from aionorth.learning import Learning

CLOCK_TOLERANCE = 1e-3
"""How much longer than a period a slot is held. Two clocks that NTP is steering differ by up to a thousandth: 60 ms a
minute, more than a fast network's round trip makes up for."""

LARGEST_LOT = 64
"""The most leaves of the bucket that are taken at once."""

SHORTEST_PAUSE = 1 / 16
"""The first pause after a refusal is drawn from up to this part of a period; it doubles four times, to a whole one."""

FIRST_CALLS = 1 / 60
"""The part of a period over which the first calls are spread, as many as the limit. Nothing shows yet that the platform
accepts so many: if it refuses one, not many should have been sent after it."""

SHORTEST_GAP = 1e-3
"""Seconds. First calls that are closer than timers are precise are not spread."""

MOST_AHEAD = 4
"""How many calls in a row may go ahead of bulk work that waits before it has its turn."""


def _part(_: object, __: object, value: float) -> None:
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ArgumentError(f"FlowControl.headroom={value!r}: give a part, from 0 up to but not including 1")


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
        """Return settings that keep within both: the fewer calls in the longer period, the smaller burst."""
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
    """Seconds until the next slot comes free; 0 where one is free, infinite where every slot is a call in flight."""
    waiting: int
    """Calls waiting for their turn."""
    paused_for: float
    """Seconds until the pause that a refusal began is over; 0 where there is none."""
    refusals: int
    """Calls refused by the platform so far."""
    learned_limit: int | None = None
    """Calls that the platform seems to allow in a period, where refusals have taught that they are fewer than `limit`;
    they hold until the platform is seen to accept more."""
    gap: float = 0.0
    """Seconds from each call to the next, where refusals have taught to spread them; 0 where they need not be."""

    @property
    def in_force(self) -> int:
        """Calls in a period that are made at most: the learned limit, or else the one of the settings."""
        return self.limit if self.learned_limit is None else self.learned_limit

    @property
    def free(self) -> int:
        """Slots that a call could take now."""
        return max(0, self.in_force - self.in_use)

    def time_for(self, calls: int) -> float:
        """About how many seconds it takes until `calls` more calls have been sent, if nobody else sends any."""
        if (beyond := calls - self.free) <= 0:
            return self.paused_for
        first = self.period if self.free or self.next_slot == math.inf else self.next_slot
        return max(self.paused_for, first) + (beyond - 1) // self.in_force * self.period


class Slot:
    """The right to send one call; its place in the window is free a period after `with` ends, or at once if unsent."""

    __slots__ = ("_flow", "counted_by", "episode")

    def __init__(self, flow: FlowRuntime, episode: int) -> None:
        self._flow = flow
        self.episode = episode
        """Which pause, counted from the start, the call came after."""
        self.counted_by: float | None = None
        """Set just before the call is sent: when the platform has counted it at the latest, if we never hear of it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        # Without a reply the call may still be on its way: its sender was cancelled, or the connection was lost.
        self._flow.release(self, answered=kind is None or issubclass(kind, NorthConnectionError))


class FlowRuntime:
    """Flow control of one app in one event loop, shared by all of its calls.

    One call at a time stands at the head and waits there for all that must be so before it may go: no pause in force,
    the bucket's leave, a free slot, and still no pause. The others queue behind it in the order in which they came.
    Single calls have a queue and a head of their own, which goes ahead of bulk work, though not for ever.
    """

    def __init__(self, settings: FlowControl, pauses: Callable[[float, float], Iterator[float]]) -> None:
        """`pauses` gives growing waits from a first and a longest one, in seconds."""
        self._loop = asyncio.get_running_loop()
        self._pauses = pauses
        self._turn = asyncio.Lock()  # its waiters are served first come, first served
        self._turn_ahead = asyncio.Lock()  # as `_turn`, of single calls
        self._waiting = 0
        self._waiting_ahead = 0  # those of them that are single calls
        self._in_a_row = 0  # single calls that went ahead since bulk work last had its turn
        self._wakes: set[asyncio.Future[None]] = set()  # what the heads of the queues wait on
        self._in_flight = 0
        self._ended: deque[float] = deque()  # when the calls of the last period were counted at the latest, sorted
        self._paused_until = -math.inf
        self._episode = 0
        self._growing: Iterator[float] | None = None  # the pauses of the present run of refusals; None after a success
        self._refusals = 0
        self._most = 0  # how many calls have ended in one period
        self._learning: Learning | None = None  # from a refusal until what it taught is out of date
        self._gap = 0.0  # seconds from a call to the next
        self._not_before = -math.inf  # when the next may go for the gap's sake
        self._apply(settings)
        self._unproven = self._limit
        if (gap := settings.period * FIRST_CALLS / self._limit) >= SHORTEST_GAP:
            self._gap = gap

    def _apply(self, settings: FlowControl) -> None:
        self.settings = settings
        self._limit = settings.limit
        self._hold = settings.period * (1 + CLOCK_TOLERANCE)
        burst = min(settings.burst or self._limit, self._limit)
        # aiolimiter does not honour a changed rate, so changed settings take a new bucket. It starts full: no matter,
        # the window holds.
        self._bucket = AsyncLimiter(burst, settings.period * burst / self._limit)
        # Leaves of the bucket are taken in lots, of an eighth of it at most: one call in so many goes the long way.
        self._lot = next(lot for lot in range(max(1, min(burst // 8, LARGEST_LOT)), 0, -1) if burst % lot == 0)
        self._unspent = 0  # leaves that no call has used yet; the bucket takes none back

    def tighten(self, settings: FlowControl) -> None:
        """Keep within `settings` as well from now on."""
        self._apply(self.settings.stricter(settings))
        if self._learning is not None:
            self._learning.tighten(self._limit, self.settings.period)
            self._follow(self._learning)

    # --- One call's way through

    def try_acquire(self, now: float) -> Slot | None:
        """Return a slot as `acquire` would, if there is nothing to wait for; None if there is."""
        if self._waiting or not self._unspent or self._held_up_for(now):
            return None
        return self._taken(now)

    async def acquire(self, *, ahead: bool = False) -> Slot:
        """Wait until a call may be sent and return its slot, to be used in a `with` statement at once.

        A single call goes `ahead` of bulk work that waits.
        """
        self._waiting += 1
        self._waiting_ahead += ahead
        try:
            async with self._turn_ahead if ahead else self._turn:
                while self.paused_for:
                    await self._sleep(self.paused_for)
                if not self._unspent:
                    await self._bucket.acquire(self._lot)
                    self._unspent += self._lot
                # The pause is looked at again with the window: it may have begun while the call stood in the queue.
                while wait := self._gives_way(ahead) or self._held_up_for(self._loop.time()):
                    await self._sleep(wait)
                self._in_a_row = self._in_a_row + 1 if ahead else 0
                return self._taken(self._loop.time())
        finally:
            self._waiting -= 1
            self._waiting_ahead -= ahead
            if self._wakes:
                self._wake_heads()  # the other head may have given way to this call

    def _gives_way(self, ahead: bool) -> float:  # noqa: FBT001 - as `acquire`
        """Seconds that a head waits for the other's sake: 0, or infinite until that one has gone."""
        if ahead:
            others_turn = self._in_a_row >= MOST_AHEAD and self._waiting > self._waiting_ahead
        else:
            others_turn = self._in_a_row < MOST_AHEAD and self._waiting_ahead > 0
        return math.inf if others_turn else 0.0

    def _taken(self, now: float) -> Slot:
        self._unspent = max(0, self._unspent - 1)  # `tighten` may have voided the leave while the call waited
        self._in_flight += 1
        if self._gap:
            self._leave_gap(now)
        return Slot(self, self._episode)

    def _leave_gap(self, now: float) -> None:
        self._not_before = now + self._gap
        if self._learning is None:
            self._unproven -= 1
            if not self._unproven:
                self._gap = 0.0

    def release(self, slot: Slot, *, answered: bool = True) -> None:
        """End `slot`: start its period if the call was sent, however it ended, or give it back unused."""
        self._in_flight -= 1
        if slot.counted_by is None:
            self._unspent += 1
        else:
            now = self._loop.time()
            counted = now if answered else max(now, slot.counted_by)
            if self._ended and self._ended[-1] > counted:  # after one without an answer
                insort(self._ended, counted)
            else:
                self._ended.append(counted)
        self._wake_heads()

    def accepted(self, slot: Slot) -> None:
        """Take note that the platform let the call of `slot` through."""
        if self._learning is None:
            return
        # A call from before the pause says nothing of what the platform accepts after it.
        before = slot.episode != self._episode
        if not before:
            self._growing = None
        self._learning.accepted(self._loop.time(), before=before)
        self._follow(self._learning)
        self._wake_heads()

    def refused(self, slot: Slot, retry_after: float | None = None) -> bool:
        """Take note that the platform refused the call of `slot` (1010009), and pause the app.

        Calls that were in flight when the pause began belong to the same episode: one pause, not one for each, and one
        lesson. A `retry_after` in seconds is kept to whatever the pause's own length. Returns whether a new pause has
        begun.
        """
        self._refusals += 1
        now = self._loop.time()
        if begins := slot.episode == self._episode:
            self._episode += 1
            self._learn(now)
            if self._growing is None:
                self._growing = self._pauses(self.settings.period * SHORTEST_PAUSE, self.settings.period)
            self._paused_until = now + next(self._growing)
        self._paused_until = max(self._paused_until, now + (retry_after or 0.0))
        return begins

    def _learn(self, now: float) -> None:
        if self._learning is None:
            self._next_slot(now)  # it forgets the calls that no longer count
            accepted = list(self._ended)[:-1]  # but for the refused one, which ended last
            self._learning = Learning(self._limit, self.settings.period, accepted, self._most)
        else:
            self._learning.refused(now, trial=self._growing is not None)
        self._follow(self._learning)
        self._not_before = max(self._not_before, now + self._gap)

    def _follow(self, learning: Learning) -> None:
        self._limit = learning.limit
        self._gap = learning.gap

    def _grow(self, learning: Learning, now: float) -> None:
        if learning.grow(now):
            self._follow(learning)
        else:
            self._learning = None
            self._gap = 0.0
            self._most = 0  # it may have counted refused calls

    # --- What is known at this moment

    @property
    def paused_for(self) -> float:
        """Seconds until the pause is over; 0 where none is in force."""
        return max(0.0, self._paused_until - self._loop.time())

    def _held_up_for(self, now: float) -> float:
        """Seconds that the head must wait, as far as is known: 0 if it may go, infinite if only a reply can tell."""
        if now < self._paused_until:
            return self._paused_until - now
        if self._growing is not None and self._in_flight:
            return math.inf  # after a pause one call tries alone whether the platform accepts calls again
        if now < self._not_before:
            return self._not_before - now
        if self._learning is not None:
            self._grow(self._learning, now)
        return self._next_slot(now)

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
        # After `tighten` more than one call may have to grow old before a slot is free.
        return ended[surplus] + self._hold - now if surplus < len(ended) else math.inf

    @property
    def idle_in(self) -> float:
        """Seconds until no call counts any more and no pause is in force, if none is made meanwhile."""
        now = self._loop.time()
        newest = self._ended[-1] + self._hold if self._ended else now
        out = now + self._hold if self._in_flight else now
        return max(newest, out, self._paused_until) - now

    def state(self) -> FlowState:
        """Flow control at this moment."""
        next_slot = self._next_slot(self._loop.time())  # first: it forgets the calls that no longer count
        return FlowState(
            limit=self.settings.limit,
            period=self.settings.period,
            in_use=self._in_flight + len(self._ended),
            next_slot=next_slot,
            waiting=self._waiting,
            paused_for=self.paused_for,
            refusals=self._refusals,
            learned_limit=self._limit if self._limit < self.settings.limit else None,
            gap=0.0 if self._learning is None else self._gap,
        )

    # --- Waiting at the head of a queue

    async def _sleep(self, seconds: float) -> None:
        """Wait for `seconds`, or until something changes that may let a head go earlier."""
        wake = self._loop.create_future()
        self._wakes.add(wake)
        timer = None if seconds == math.inf else self._loop.call_later(seconds, _done, wake)
        try:
            await wake
        finally:
            self._wakes.discard(wake)
            if timer is not None:
                timer.cancel()

    def _wake_heads(self) -> None:
        for wake in self._wakes:
            _done(wake)


def _done(wake: asyncio.Future[None]) -> None:
    if not wake.done():
        wake.set_result(None)
