"""Flow control: no more calls than the platform allows, however it counts. The only user of `aiolimiter`.

What gives the guarantee is the window, in `aionorth.flow.ledger`. Before it stands a token bucket, which shapes the
flow. A
token bucket alone gives no guarantee: it starts full and refills meanwhile, so its worst minute holds 199 calls of an
allowed 100. Here is the queue before both.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator

import attrs

from aionorth.errors import ArgumentError
from aionorth.flow.ledger import Ending, Ledger, MemoryLedger, Permit, Terms
from aionorth.wire.checks import seconds_field, whole_field

LARGEST_LOT = 64
"""The most leaves of the bucket that are taken at once."""

SHORTEST_PAUSE = 1 / 16
"""The first pause after a refusal is drawn from up to this part of a period; it doubles four times, to a whole one."""

FULL_SPEED = 1 / 120
"""The part of a period over which as many calls as the limit are spread at the least. Nothing shows beforehand that the
platform accepts so many: if it refuses one, not many should have been sent after it."""

UNPROVEN = 8
UNPROVEN_PART = 12
"""Until as many calls as the limit have been sent, no more are in flight than the first, or the limit over the second.
If the platform refuses one of them, it refuses those that it counts after it too, and slow ones add up."""

SHORTEST_GAP = 1e-3
"""Seconds. Calls that are closer than timers are precise are not spread."""

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

    store_reached: bool = True
    """Whether the store can be reached in which the app's callers agree; until it can, calls are held."""

    @property
    def in_force(self) -> int:
        """Calls in a period that are made at most: the learned limit, or else the one of the settings."""
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


def in_memory(terms: Terms) -> Ledger:
    """Return a ledger for the sessions of the running event loop."""
    return MemoryLedger(terms, asyncio.get_running_loop().time)


class FlowRuntime:
    """Flow control of one app in one event loop, shared by all of its calls.

    One call at a time stands at the head and waits there for all that must be so before it may go: no pause in force,
    the bucket's leave, and then the ledger's, which looks at the pause once more. The others queue behind it in the
    order in which they came. Single calls have a queue and a head of their own, which goes ahead of bulk work, though
    not for ever.
    """

    def __init__(
        self,
        settings: FlowControl,
        pauses: Callable[[float, float], Iterator[float]],
        ledger: Callable[[Terms], Ledger] = in_memory,
        *,
        timeout: float = 30.0,
    ) -> None:
        """`pauses` gives growing waits from a first and a longest one, in seconds; `timeout` is a call's."""
        self._loop = asyncio.get_running_loop()
        self._pauses = pauses
        self._turn = asyncio.Lock()  # its waiters are served first come, first served
        self._turn_ahead = asyncio.Lock()  # as `_turn`, of single calls
        self._waiting = 0
        self._waiting_ahead = 0  # those of them that are single calls
        self._in_a_row = 0  # single calls that went ahead since bulk work last had its turn
        self._wakes: set[asyncio.Future[None]] = set()  # what the heads of the queues wait on
        self._wakings = 0
        self._refusals = 0
        self._in_flight = 0
        self._unproven = settings.limit  # calls to be sent until as many as the limit have been
        self._most_in_flight: float = max(UNPROVEN, settings.limit // UNPROVEN_PART)
        self._timeout = timeout
        self._shape(settings)
        self._ledger = ledger(self._terms())
        self._ledger.changed = self._wake_heads

    def _shape(self, settings: FlowControl) -> None:
        self.settings = settings
        limit = settings.limit
        burst = min(settings.burst or limit, limit)
        from aiolimiter import AsyncLimiter  # noqa: PLC0415 - its import reads package metadata, which takes its time

        # aiolimiter does not honour a changed rate, so changed settings take a new bucket. It starts full: no matter,
        # the window holds.
        self._bucket = AsyncLimiter(burst, settings.period * burst / limit)
        # Leaves of the bucket are taken in lots, of an eighth of it at most: one call in so many goes the long way.
        self._lot = next(lot for lot in range(max(1, min(burst // 8, LARGEST_LOT)), 0, -1) if burst % lot == 0)
        self._unspent = 0  # leaves that no call has used yet; the bucket takes none back

    def _terms(self) -> Terms:
        limit, period = self.settings.limit, self.settings.period
        # With a burst of one the ledger spreads the calls too: its other users have buckets of their own.
        gap = period / limit if self.settings.burst == 1 else period * FULL_SPEED / limit
        gap = gap if gap >= SHORTEST_GAP else 0.0
        return Terms(limit=limit, period=period, gap=gap, timeout=self._timeout, pause=self._pause)

    def _pause(self, pauses: int) -> float:
        longest = self.settings.period
        return next(self._pauses(min(longest * SHORTEST_PAUSE * 2**pauses, longest), longest))

    def tighten(self, settings: FlowControl) -> None:
        """Keep within `settings` as well from now on."""
        self._shape(self.settings.stricter(settings))
        self._ledger.agree(self._terms())

    def outlast(self, timeout: float) -> None:
        """Reckon with calls that take as long as this from now on, in seconds."""
        self._timeout = max(self._timeout, timeout)
        self._ledger.agree(self._terms())

    # --- One call's way through

    def try_acquire(self, now: float) -> Permit | None:
        """Return a permit as `acquire` would, if there is nothing to wait for; None if there is."""
        if self._waiting or not self._unspent or self._in_flight >= self._most_in_flight:
            return None
        grant = self._ledger.take_now(now)
        return self._taken(grant) if isinstance(grant, Permit) else None

    async def acquire(self, *, ahead: bool = False) -> Permit:
        """Wait until a call may be sent and return its permit, which `release` ends.

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
                while not isinstance(grant := await self._ask(ahead=ahead), Permit):
                    await self._sleep(grant)
                self._in_a_row = self._in_a_row + 1 if ahead else 0
                return self._taken(grant)
        finally:
            self._waiting -= 1
            self._waiting_ahead -= ahead
            if self._wakes:
                self._wake_heads()  # the other head may have given way to this call

    async def _ask(self, *, ahead: bool) -> Permit | float:
        """Ask for a slot once; returns the leave, or how many seconds to wait before asking again."""
        if self._gives_way(ahead=ahead) or self._in_flight >= self._most_in_flight:
            return math.inf
        if (answer := self._ledger.take_now(self._loop.time())) is None:
            wakings = self._wakings
            answer = await self._ledger.take()
            if wakings != self._wakings and not isinstance(answer, Permit):
                return 0.0  # something changed meanwhile that the answer may not know of
        return answer

    def _gives_way(self, *, ahead: bool) -> bool:
        """Whether a head waits until the other one has gone."""
        if ahead:
            return self._in_a_row >= MOST_AHEAD and self._waiting > self._waiting_ahead
        return self._in_a_row < MOST_AHEAD and self._waiting_ahead > 0

    def _taken(self, grant: Permit) -> Permit:
        if self._unspent:  # `tighten` may have voided the leave while the call waited
            self._unspent -= 1
        self._in_flight += 1
        self._unproven -= 1
        if not self._unproven:
            self._most_in_flight = math.inf
        return grant

    def release(
        self, permit: Permit, ending: Ending, *, counted_at: float | None = None, retry_after: float | None = None
    ) -> bool:
        """Say what became of a permit's call, once and for all.

        A call that was refused (1010009) pauses the app. Calls that were in flight when the pause began belong to the
        same episode: one pause, not one for each, and one lesson.

        Args:
            permit: What `acquire` returned.
            ending: What became of the call.
            counted_at: When the platform had counted it at the latest, on the loop's clock; now unless given. Where no
                reply came, that is its time-out.
            retry_after: Seconds that the platform asked to wait; kept to whatever the pause's own length.

        Returns:
            Whether a pause began.
        """
        now = self._loop.time()
        held_back = self._in_flight >= self._most_in_flight
        self._in_flight -= 1
        if ending is Ending.UNSENT:
            self._unproven += 1
            self._unspent += 1
        self._refusals += ending is Ending.REFUSED
        begins = self._ledger.release(permit, ending, now, max(now, counted_at or now), retry_after or 0.0)
        if held_back:
            self._wake_heads()
        return begins

    # --- What is known at this moment

    @property
    def paused_for(self) -> float:
        """Seconds until the pause is over; 0 where none is in force."""
        return self._ledger.paused_for(self._loop.time())

    @property
    def idle_in(self) -> float:
        """Seconds until no call counts any more and no pause is in force, if none is made meanwhile."""
        return self._ledger.idle_in(self._loop.time())

    def state(self) -> FlowState:
        """Flow control at this moment."""
        view = self._ledger.view(self._loop.time())
        limit = self.settings.limit
        return FlowState(
            limit=limit,
            period=self.settings.period,
            in_use=view.in_use,
            next_slot=view.next_slot,
            waiting=self._waiting,
            paused_for=view.paused_for,
            refusals=self._refusals,
            learned_limit=view.limit if view.limit is not None and view.limit < limit else None,
            gap=view.gap,
            store_reached=view.reached,
        )

    async def close(self) -> None:
        """Let go of the ledger; no call may follow."""
        await self._ledger.close()

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
        self._wakings += 1
        for wake in self._wakes:
            _done(wake)


def _done(wake: asyncio.Future[None]) -> None:
    if not wake.done():
        wake.set_result(None)
