"""Flow control: no more calls than the platform allows, however it counts. The only user of `aiolimiter`.

What gives the guarantee is the window (`aionorth.flow.window`). Before it stands a token bucket, which shapes the flow.
A token bucket alone gives no guarantee: it starts full and refills meanwhile, so its worst minute holds 199 calls of an
allowed 100.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator

from aiolimiter import AsyncLimiter

from aionorth.errors import OutageError
from aionorth.flow.local import LocalWindow, WindowAccess
from aionorth.flow.outage import longest_wait
from aionorth.flow.settings import FlowControl, FlowState, Limits
from aionorth.flow.turns import Turns
from aionorth.flow.window import Ending, Permit

_log = logging.getLogger("aionorth")

SHORTEST_PAUSE = 1 / 16
"""The first pause after a refusal is drawn from up to this part of a period; it doubles four times, to a whole one."""

FULL_SPEED = 1 / 120
"""The part of a period over which as many calls as the limit are spread at the least. Nothing shows beforehand that the
platform accepts so many: if it refuses one, not many should have been sent after it."""

SHORTEST_GAP = 1e-3
"""Seconds. Calls that are closer than timers are precise are not spread."""

LARGEST_LOT = 64
"""How many tokens of the bucket are taken at once at most."""

SLOW_START = 8
SLOW_START_PART = 12
"""Until as many calls as the limit have been sent, no more are in flight than the first, or the limit over the second.
If the platform refuses one of them, it refuses those that it counts after it too, and slow ones add up."""


class SlowStart:
    """How many calls may be in flight while nothing shows that the platform accepts as many as the limit."""

    def __init__(self, limit: int) -> None:
        self._in_flight = 0
        self._left = limit
        self._most = max(SLOW_START, limit // SLOW_START_PART)

    @property
    def full(self) -> bool:
        """Whether a call has to end before another one is sent."""
        return self._left > 0 and self._in_flight >= self._most

    def begin(self) -> None:
        """Count a call in."""
        if self._left:
            self._in_flight += 1
            self._left -= 1

    def end(self, *, sent: bool) -> None:
        """Count a call out."""
        if self._left:
            self._in_flight -= 1
            self._left += not sent


class Bucket:
    """The token bucket. Tokens are taken from it in lots, of an eighth of it at most, and kept until they are used.

    One call in so many goes the long way: that is a third of what flow control costs a call that waits for nothing.
    """

    def __init__(self, settings: FlowControl) -> None:
        burst = min(settings.burst or settings.limit, settings.limit)
        self._limiter = AsyncLimiter(burst, settings.period * burst / settings.limit)
        self._lot = next(lot for lot in range(max(1, min(burst // 8, LARGEST_LOT)), 0, -1) if burst % lot == 0)
        self._unused = 0

    def acquire_now(self) -> bool:
        """Take a token if one is at hand; returns whether one was."""
        if at_hand := self._unused > 0:
            self._unused -= 1
        return at_hand

    async def acquire(self) -> None:
        """Take a token, once there is one."""
        if not self.acquire_now():
            await self._limiter.acquire(self._lot)
            self._unused += self._lot - 1

    def give_back(self) -> None:
        """Keep a token that was not used: the limiter takes none back."""
        self._unused += 1


class Limiter:
    """Flow control of one app in one event loop, shared by all of its calls.

    One call at a time stands at the head of each queue (`aionorth.flow.turns`). There it waits for all that must be so
    before it may go: no pause in force, a token of the bucket, and then a permit of the window, which looks at the
    pause once more.
    """

    def __init__(
        self,
        settings: FlowControl,
        pauses: Callable[[float, float], Iterator[float]],
        window: Callable[[Limits], WindowAccess] = LocalWindow,
        *,
        timeout: float = 30.0,
    ) -> None:
        """Begin with all slots free, as far as is known.

        Args:
            settings: The app's flow control.
            pauses: Gives growing waits from a first and a longest one, in seconds.
            window: Makes the window that keeps to some limits.
            timeout: Seconds that a call may take.
        """
        self.settings = settings
        self._loop = asyncio.get_running_loop()
        self._pauses = pauses
        self._timeout = timeout
        self._began = self._loop.time()
        self._turns = Turns()
        self._slow_start = SlowStart(settings.limit)
        self._bucket = Bucket(settings)
        self._refusals = 0
        self._silent_since: float | None = None
        self._last_fault = ""
        self._window = window(self._limits())
        self._window.changed = self._turns.wake

    def _limits(self) -> Limits:
        limit, period = self.settings.limit, self.settings.period
        # With a burst of one the window spreads the calls too: its other users have buckets of their own.
        gap = period / limit if self.settings.burst == 1 else period * FULL_SPEED / limit
        gap = gap if gap >= SHORTEST_GAP else 0.0
        return Limits(
            limit=limit, period=period, gap=gap, timeout=self._timeout, pause=self._pause, probe_wait=self._probe_wait
        )

    def _pause(self, pauses: int) -> float:
        longest = self.settings.period
        return next(self._pauses(min(longest * SHORTEST_PAUSE * 2**pauses, longest), longest))

    def _probe_wait(self, probes: int) -> float:
        half = longest_wait(probes) / 2
        return half + next(self._pauses(half, half))

    def tighten(self, settings: FlowControl) -> None:
        """Keep within `settings` as well from now on."""
        self.settings = self.settings.stricter(settings)
        # aiolimiter does not honour a changed rate, so there is a new bucket. It starts full, but the window holds.
        self._bucket = Bucket(self.settings)
        self._window.keep_to(self._limits())

    def outlast(self, timeout: float) -> None:
        """Allow for calls that take as long as this from now on, in seconds."""
        self._timeout = max(self._timeout, timeout)
        self._window.keep_to(self._limits())

    # --- One call's way through

    async def acquire(self, *, priority: bool = False, longest_outage: float = math.inf) -> Permit:
        """Wait until a call may be sent and return its permit, which `release` ends.

        While the platform does not answer, a permit is for a probe only: see `Permit.probe`.

        Args:
            priority: Whether it goes before bulk work that waits, as a single call does.
            longest_outage: Seconds for which the platform may be silent.

        Raises:
            OutageError: It has been silent for longer.
        """
        if not self._turns.waiting and (permit := self._acquire_now()) is not None:
            return permit
        async with self._turns.head(priority=priority):
            while self.paused_for:
                await self._turns.sleep(self.paused_for)
            bucket = self._bucket
            await bucket.acquire()
            try:
                permit = await self._permit(longest_outage, priority=priority)
            except BaseException:
                bucket.give_back()
                raise
            self._slow_start.begin()
            return permit

    def _acquire_now(self) -> Permit | None:
        """Return a permit where there is nothing to wait for."""
        if self._slow_start.full or not self._bucket.acquire_now():
            return None
        permit = self._window.acquire_now()
        if not isinstance(permit, Permit):
            self._bucket.give_back()
            return None
        self._slow_start.begin()
        return permit

    async def _permit(self, longest_outage: float, *, priority: bool) -> Permit:
        while True:
            if self._turns.gives_way(priority=priority) or self._slow_start.full:
                await self._turns.sleep(math.inf)
                continue
            wakings = self._turns.wakings
            answer = await self._window.acquire()
            self._watch()
            if isinstance(answer, Permit):
                return answer
            silent_for = self._window.view().silent_for
            # An outage that is older than this limiter may be over, and the next probe be the first to know.
            if self.held and min(silent_for, self._loop.time() - self._began) > longest_outage:
                raise OutageError(silent_for, self._last_fault)
            if wakings == self._turns.wakings:  # else something changed meanwhile that the answer may not know of
                await self._turns.sleep(answer)

    def release(
        self,
        permit: Permit,
        ending: Ending,
        *,
        counted_at: float | None = None,
        retry_after: float | None = None,
        unanswered: str | None = None,
    ) -> bool:
        """Say what became of a permit's call, once and for all.

        A call that was refused (1010009) pauses the app. Calls that were in flight when the pause began belong to the
        same episode: one pause, not one for each, and one reaction of the adaptive limit.

        Args:
            permit: What `acquire` returned.
            ending: What became of the call.
            counted_at: When the platform had counted it at the latest, on the loop's clock; now unless given. Where no
                reply came, that is its time-out.
            retry_after: Seconds that the platform asked to wait; kept to whatever the pause's own length.
            unanswered: How it ended, if without a word from the platform. Several in a row hold all calls.

        Returns:
            Whether a pause began.
        """
        now = self._loop.time()
        held_back = self._slow_start.full
        self._slow_start.end(sent=ending is not Ending.UNSENT)
        if ending is Ending.UNSENT:
            self._bucket.give_back()
        self._refusals += ending is Ending.REFUSED
        begins = self._window.release(
            permit, ending, max(now, counted_at or now), retry_after or 0.0, unanswered=unanswered is not None
        )
        self._last_fault = unanswered or self._last_fault
        self._watch()
        if held_back:
            self._turns.wake()
        return begins

    def _watch(self) -> None:
        """Report where an outage begins, and where it ends."""
        outage = self._window.outage
        if outage.certain and self._silent_since is None:
            silent_for = self._window.view().silent_for
            self._silent_since = self._loop.time() - silent_for
            _log.warning(
                "the platform has not answered for %.0f s (%s): all calls wait until it does; "
                "it is asked again and again, at least once a minute",
                silent_for,
                self._last_fault or "as another process has found",
            )
        elif not outage.held and self._silent_since is not None:
            _log.warning("the platform answers again, after %.0f s", self._loop.time() - self._silent_since)
            self._silent_since = None

    # --- What is known at this moment

    @property
    def held(self) -> bool:
        """Whether calls are held because the platform did not answer the last ones."""
        return self._window.outage.held

    @property
    def outages(self) -> int:
        """How many outages of the platform have been certain so far."""
        return self._window.outage.number

    @property
    def paused_for(self) -> float:
        """Seconds until the pause is over; 0 where none is in force."""
        return self._window.paused_for

    @property
    def idle_in(self) -> float:
        """Seconds until no call counts any more and no pause is in force, if none is made meanwhile."""
        return self._window.idle_in

    def state(self) -> FlowState:
        """Return flow control at this moment."""
        view, limit = self._window.view(), self.settings.limit
        return FlowState(
            limit=limit,
            period=self.settings.period,
            in_use=view.in_use,
            next_slot=view.next_slot,
            waiting=self._turns.waiting,
            paused_for=view.paused_for,
            refusals=self._refusals,
            learned_limit=view.limit if view.limit is not None and view.limit < limit else None,
            gap=view.gap,
            silent_for=view.silent_for,
            next_probe=view.next_probe,
            store_reached=self._window.reached,
        )

    async def close(self) -> None:
        """Let go of the window; no call may follow."""
        await self._window.close()
