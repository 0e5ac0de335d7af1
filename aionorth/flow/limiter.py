"""Flow control: no more calls than the platform allows, however it counts. The only user of `aiolimiter`.

The window (`aionorth.flow.window`) gives the guarantee. A token bucket in front of it shapes the flow. A token bucket
alone gives no guarantee: it starts full and refills meanwhile, so its worst minute holds 199 calls of an allowed 100.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator

from aiolimiter import AsyncLimiter

from aionorth.common.times import duration
from aionorth.errors import OutageError
from aionorth.events import Held, LimitLearned, Observers, Paused, Released
from aionorth.flow.local import LocalWindow, WindowAccess
from aionorth.flow.outage import HELD_AFTER, longest_wait
from aionorth.flow.settings import FlowControl, FlowState, Limits
from aionorth.flow.turns import Turns
from aionorth.flow.window import Ending, Permit, View

_log = logging.getLogger("aionorth")

SHORTEST_PAUSE = 1 / 16
"""The first pause after a refusal is drawn from up to this part of a period; it doubles four times, to a whole one."""

FULL_SPEED = 1 / 120
"""The part of a period over which a full window of calls is spread, at least. Nothing shows beforehand that the
platform accepts so many: if it refuses one, not many should have been sent after it."""

SHORTEST_GAP = 1e-3
"""Seconds. A shorter gap is below the precision of timers, so calls are not spread."""

LARGEST_BATCH = 64
"""The maximum number of tokens that are taken from the bucket at once."""

SLOW_START = 8
SLOW_START_PART = 12
"""Until as many calls as the limit have been sent, at most this many are in flight: `SLOW_START`, or the limit divided
by `SLOW_START_PART`, whichever is larger. If the platform refuses one of them, it also refuses those that it counts
after it, and the slower its replies are, the more there are of them."""


class SlowStart:
    """How many calls may be in flight before the platform has shown that it accepts as many as the limit."""

    def __init__(self, limit: int) -> None:
        self._in_flight = 0
        self._left = limit
        self._maximum = max(SLOW_START, limit // SLOW_START_PART)

    @property
    def full(self) -> bool:
        """Whether a call has to end before another one is sent."""
        return self._left > 0 and self._in_flight >= self._maximum

    def begin(self) -> None:
        """Record that a call begins."""
        if self._left:
            self._in_flight += 1
            self._left -= 1

    def end(self, *, sent: bool) -> None:
        """Record that a call has ended, or was not sent after all."""
        if self._left:
            self._in_flight -= 1
            self._left += not sent


class Bucket:
    """The token bucket. Tokens are taken from it in batches, of at most an eighth of its size, and kept until used.

    Only one call per batch awaits the limiter, which is a third of what flow control costs a call that need not wait.
    """

    def __init__(self, settings: FlowControl) -> None:
        burst = min(settings.burst or settings.limit, settings.limit)
        self._limiter = AsyncLimiter(burst, settings.period * burst / settings.limit)
        self._batch = next(size for size in range(max(1, min(burst // 8, LARGEST_BATCH)), 0, -1) if burst % size == 0)
        self._unused = 0

    def acquire_now(self) -> bool:
        """Take a token that was kept, if there is one; return whether there was."""
        if kept := self._unused > 0:
            self._unused -= 1
        return kept

    async def acquire(self) -> None:
        """Take a token, once there is one."""
        if not self.acquire_now():
            await self._limiter.acquire(self._batch)
            self._unused += self._batch - 1

    def give_back(self) -> None:
        """Keep a token that was not used: `AsyncLimiter` cannot take it back."""
        self._unused += 1


class Limiter:
    """Flow control of one app in one event loop, shared by all of its calls.

    One call at a time stands at the head of each queue (`aionorth.flow.turns`). There it waits until it may go: no
    pause in force, a token from the bucket, then a permit from the window, which checks the pause once more.
    """

    def __init__(
        self,
        settings: FlowControl,
        pauses: Callable[[float, float], Iterator[float]],
        window: Callable[[Limits], WindowAccess] = LocalWindow,
        *,
        timeout: float = 30.0,
        observers: Observers | None = None,
    ) -> None:
        """Begin with all slots free, as far as is known.

        Args:
            settings: The app's flow control.
            pauses: Returns growing waits, given the first and the longest, in seconds.
            window: Makes the window, given the limits that it keeps to.
            timeout: Seconds that a call may take.
            observers: Who is called with what happens.
        """
        self._observers = Observers() if observers is None else observers
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
        self._window.learned = self._learned

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
        """From now on, also keep within `settings`."""
        self.settings = self.settings.stricter(settings)
        # aiolimiter does not honour a changed rate, so there is a new bucket. It starts full, but the window holds.
        self._bucket = Bucket(self.settings)
        self._window.keep_to(self._limits())

    def outlast(self, timeout: float) -> None:
        """From now on, allow for calls that take up to `timeout` seconds."""
        if timeout > self._timeout:
            self._timeout = timeout
            self._window.keep_to(self._limits())

    # --- One call's way through

    async def acquire(self, *, priority: bool = False, longest_outage: float = math.inf) -> Permit:
        """Wait until a call may be sent and return its permit, which `release` ends.

        While the platform does not answer, a permit is for a probe only: see `Permit.probe`.

        Args:
            priority: Whether it goes before waiting bulk work, as a single call does.
            longest_outage: Seconds for which the platform may leave every call unanswered.

        Raises:
            OutageError: It has answered none for longer.
        """
        if not self._turns.waiting and (permit := self._acquire_now()) is not None:
            return permit
        permit = await self._in_turn(longest_outage, priority=priority)
        assert permit is not None, "only an early call may get none"
        return permit

    async def acquire_early(self) -> Permit | None:
        """Wait until a call may be sent that asks if an outage is over although no probe is due; return its permit.

        It takes a slot like any other, but it is no probe: if it is not answered either, the next one is due when it
        was. An answer ends the outage.

        Returns:
            The permit; None where calls are not held.
        """
        return await self._in_turn(math.inf, priority=True, early=True)

    async def _in_turn(self, longest_outage: float, *, priority: bool, early: bool = False) -> Permit | None:
        async with self._turns.head(priority=priority):
            while self.paused_for:
                await self._turns.sleep(self.paused_for)
            bucket, permit = self._bucket, None
            await bucket.acquire()
            try:
                permit = await self._permit(longest_outage, priority=priority, early=early)
            finally:
                if permit is None:
                    bucket.give_back()
                else:
                    self._slow_start.begin()
            return permit

    def _acquire_now(self) -> Permit | None:
        """Return a permit if there is nothing to wait for, else None."""
        if self._slow_start.full or not self._bucket.acquire_now():
            return None
        permit = self._window.acquire_now()
        if not isinstance(permit, Permit):
            self._bucket.give_back()
            return None
        self._slow_start.begin()
        return permit

    async def _permit(self, longest_outage: float, *, priority: bool, early: bool) -> Permit | None:
        while True:
            if self._turns.gives_way(priority=priority) or self._slow_start.full:
                await self._turns.sleep(math.inf)
                continue
            wakings = self._turns.wakings
            response = await self._window.acquire(early=early)
            self._watch()
            if isinstance(response, Permit):
                return response
            if response == math.inf:  # an early call, and there is nothing that it could find out
                return None
            if self.held:
                silent_for = self._window.view().silent_for
                # An outage that is older than this limiter may be over, and the next probe be the first to know.
                if min(silent_for, self._loop.time() - self._began) > longest_outage:
                    raise OutageError(silent_for, self._last_fault)
            if wakings == self._turns.wakings:  # else the response may not reflect what has changed
                await self._turns.sleep(response)

    def is_too_old(self, permit: Permit) -> bool:
        """Whether no call must be sent any more with a permit."""
        return self._loop.time() >= permit.start_by

    def release(
        self,
        permit: Permit,
        ending: Ending,
        *,
        counted_at: float | None = None,
        retry_after: float | None = None,
        unanswered: str | None = None,
        last: bool = False,
    ) -> bool:
        """Release a permit, once, with the outcome of its call.

        A call that was refused (1010009) pauses the app. Calls that were in flight when the pause began belong to the
        same episode: one pause, not one for each, and one reaction of the adaptive limit.

        Args:
            permit: What `acquire` returned.
            ending: The outcome of the call.
            counted_at: The latest time at which the platform may have counted it, on the loop's clock; default: now. If
                no reply came, that is its time-out.
            retry_after: Seconds that the platform asked to wait; observed even if the pause itself is shorter.
            unanswered: How it ended, if the platform did not answer it. Several such calls in a row hold all calls.
            last: Whether no attempt at the call is left. Then one that was not answered holds them by itself.

        Returns:
            Whether a pause began.
        """
        now = self._loop.time()
        held_back = self._slow_start.full
        self._slow_start.end(sent=ending is not Ending.UNSENT)
        if ending is Ending.UNSENT:
            self._bucket.give_back()
        self._refusals += ending is Ending.REFUSED
        weight = 0 if unanswered is None else HELD_AFTER if last else 1
        begins = self._window.release(
            permit, ending, max(now, counted_at or now), retry_after or 0.0, unanswered=weight
        )
        self._last_fault = unanswered or self._last_fault
        if begins and self._observers.all:
            self._observers(Paused(app_id=self._observers.app_id, seconds=self.paused_for))
        self._watch()
        if held_back:
            self._turns.wake()
        return begins

    def _learned(self, view: View) -> None:
        """Report what refusals have taught, where that is fewer calls, once calls are accepted again."""
        limits, observers = self.settings, self._observers
        if view.limit is None or view.limit >= limits.limit:
            return
        _log.warning(
            "flow control: the platform accepts calls again; about %d of %d in %g s are made from now on, and more "
            "after %.0f s without a refusal",
            view.limit,
            limits.limit,
            limits.period,
            view.grows_in,
            extra=observers.facts(limit=view.limit),
        )
        if observers.all:
            limit = LimitLearned(
                app_id=observers.app_id, limit=view.limit, configured=limits.limit, grows_in=view.grows_in
            )
            observers(limit)

    def _watch(self) -> None:
        """Report when an outage begins, and when it ends."""
        outage, observers = self._window.outage, self._observers
        if outage.certain and self._silent_since is None:
            silent_for = self._window.view().silent_for
            self._silent_since = self._loop.time() - silent_for
            reason = self._last_fault or "as another process, or an earlier run, has found"
            _log.warning(
                "the platform has not answered%s (%s): all calls wait until it does; it is asked again and again, at "
                "least once a minute",
                f" for {duration(silent_for)}" if silent_for >= 1 else "",
                reason,
                extra=observers.facts(),
            )
            if observers.all:
                observers(Held(app_id=observers.app_id, silent_for=silent_for, reason=reason))
        elif not outage.held and self._silent_since is not None:
            silent_for, self._silent_since = self._loop.time() - self._silent_since, None
            _log.warning("the platform answers again, after %s", duration(silent_for), extra=observers.facts())
            if observers.all:
                observers(Released(app_id=observers.app_id, silent_for=silent_for))

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
        """Seconds until the pause is over; 0 if none is in force."""
        return self._window.paused_for

    @property
    def idle_in(self) -> float:
        """Seconds until no call counts any more and no pause is in force, if no further call is made."""
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
        """Close the window; no call may follow."""
        await self._window.close()
