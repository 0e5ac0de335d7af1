"""An app's window as one process sees it through a store that others share.

Each step reads the window from the store, changes it, and puts it back where nobody else was faster; else it begins
again. Everything goes by the store's clock. The process reports what became of its calls as soon as it can, and asks
for slots. While the store cannot be reached it holds its calls and tries again: it never goes on without.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count

import attrs

from aionorth.common.waits import growing_waits
from aionorth.errors import StoreError
from aionorth.flow.local import warn_of_limit
from aionorth.flow.settings import Limits
from aionorth.flow.window import Acquire, Ending, Permit, Release, View, Window, forgotten_after
from aionorth.stores.base import Store, StoreRetry

LAST_CHANCE = 2.0
"""Seconds that a closed window gets for handing over what became of its calls. What is not handed over by then comes
free as the slots of a dead process do."""

REPORT_DELAY = 1 / 200
"""The part of a period for which calls that have ended are collected before they are reported. Their slots come free a
period after their replies anyway. What others wait for is reported at once: a slot unused, a refusal, a probe's end."""

FIRST_RETRY = 0.002
LONGEST_RETRY = 0.05
"""Seconds. A step that another process came in between is made again after waits that grow from one to the other."""

CLOCK_ERROR = 1 / 500
"""The part of a period by which a store's clock may be set without anybody noticing. It may be as much to the one side
and then as much to the other, so slots are held for twice as long. That costs more than a question asked in vain."""

LONGEST_CLOCK_ERROR = 0.25
"""Seconds."""

_log = logging.getLogger("aionorth")


@attrs.frozen(kw_only=True, eq=False)
class Response:
    """What became of a step."""

    view: View = attrs.field(factory=View)
    episode: int = 0
    """How many pauses have begun."""
    pauses: int = 0
    """How many of them belong to the open episode; 0 where none is open."""
    wait: float = 0.0
    """0 if the slot asked for was given; else after how many seconds to ask again."""


async def exchange(
    store: Store, limits: Limits, released: Sequence[Release] = (), ask: Acquire | None = None, *, now: float
) -> Response:
    """Make one step of the window in a store; nothing comes in between, no other process and none that dies.

    Args:
        store: Where the window is kept.
        limits: What this process keeps to.
        released: What became of permits; `counted` is on the process's clock.
        ask: For whom a slot is asked for, if one is.
        now: What the process's clock shows. Only what has passed since `counted` is of use, by the store's clock.

    Raises:
        StoreError: The store cannot be reached or used, or what it keeps is damaged.
    """
    clock_error = 0.0 if store.steady else min(limits.period * CLOCK_ERROR, LONGEST_CLOCK_ERROR)
    limits = attrs.evolve(limits, clock_error=clock_error)
    waits = growing_waits(FIRST_RETRY, LONGEST_RETRY)
    while True:
        snapshot = await store.read(clock_error=clock_error)
        try:
            window = Window() if snapshot.document is None else Window.from_json(snapshot.document)
        except ValueError as exc:
            raise store.damaged_because(str(exc)) from exc
        if snapshot.lost:
            window.lose(snapshot.now)
        # The process looked at its clock before the store did, so nothing seems to have been counted too early.
        there = [one._replace(counted=snapshot.now - (now - one.counted)) for one in released]
        wait = window.step(snapshot.now, limits, there, ask)
        if await store.replace(snapshot, window.to_json(), keep=2 * forgotten_after(limits)):
            adaptive = window.adaptive
            view = window.view(snapshot.now, limits)
            return Response(view=view, episode=adaptive.episode, pauses=adaptive.pauses, wait=wait)
        await asyncio.sleep(next(waits))


class SharedWindow:  # more than 12 attributes: what is on its way between a process and a store takes this much
    """The window in a store.

    Its state: what has not been reported (`_released`), the tasks that report it, and what the store said last
    (`_response`, at `_seen_at`), with what this process knows to have happened since.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._store = store
        self._limits = limits
        self._now = asyncio.get_running_loop().time
        self._process = uuid.uuid4().hex
        self._closed = False
        self._released: dict[int, Release] = {}  # what the store does not know yet, by their numbers
        self._numbers = count(1)
        self._exchanging = asyncio.Lock()
        self._reports = set[asyncio.Task[None]]()
        self._retry = StoreRetry()
        self._response = Response()
        self._seen_at = self._now()

    def keep_to(self, limits: Limits) -> None:
        """See `WindowAccess.keep_to`."""
        self._limits = limits

    # --- One call's way

    def acquire_now(self) -> None:
        """See `WindowAccess.acquire_now`: only the store can tell."""

    async def acquire(self) -> Permit | float:
        """See `WindowAccess.acquire`."""
        ask = Acquire(self._process, uuid.uuid4().hex)
        try:
            while True:
                asked_at = self._now()
                response = await self._retry.until(lambda: self._exchange(ask))
                if response.wait > 0:
                    return response.wait
                if self._now() - asked_at < self._limits.timeout:
                    return Permit(response.episode, ask.key)
                # The process stood still, and before long the slot may be another's.
        except asyncio.CancelledError:  # nobody knows whether it was given
            self.release(Permit(self._response.episode, ask.key), Ending.UNSENT, self._now(), 0.0)
            raise

    def release(self, permit: Permit, ending: Ending, counted_at: float, retry_after: float) -> bool:
        """See `WindowAccess.release`. A pause holds here at once, and for the others as soon as the store knows."""
        pause, known = 0.0, self._response
        begins = ending is Ending.REFUSED and permit.episode == known.episode
        if begins:
            pause = self._limits.pause(known.pauses)
            known = attrs.evolve(known, episode=known.episode + 1, pauses=known.pauses + 1)
        if ending is Ending.REFUSED:
            paused_for = max(self.paused_for, pause, retry_after) + self._now() - self._seen_at
            self._response = attrs.evolve(known, view=attrs.evolve(known.view, paused_for=paused_for))
        number = next(self._numbers)
        self._released[number] = Release(permit, ending, counted_at, pause, retry_after, self._process, number)
        urgent = known.pauses > 0 or ending in {Ending.UNSENT, Ending.REFUSED}
        if not self._closed and (urgent or all(report.done() for report in self._reports)):
            report = asyncio.ensure_future(self._report(0.0 if urgent else self._limits.period * REPORT_DELAY))
            self._reports.add(report)
            report.add_done_callback(self._reports.discard)
        return begins

    # --- To the store and back

    async def _report(self, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            await self._report_all()
        except StoreError:
            self.changed()  # the call that waits for a slot asks again, and meets the error

    async def _report_all(self) -> None:
        while self._released:
            await self._retry.until(lambda: self._exchange(None))

    async def _exchange(self, ask: Acquire | None) -> Response:
        async with self._exchanging:
            if ask is None and not self._released:
                return self._response  # they went along with another call's question
            released = dict(self._released)
            probing = self._response.pauses > 0
            response = await exchange(self._store, self._limits, list(released.values()), ask, now=self._now())
            for number in released:
                del self._released[number]
            self._see(response)
            if (probing and not response.pauses) or any(one.ending is Ending.UNSENT for one in released.values()):
                self.changed()
            return response

    def _see(self, response: Response) -> None:
        if response.view.unknown_for > 0 and not self._response.view.unknown_for:
            _log.warning(
                "the store of flow control is new to this app, was started anew or has lost data: it cannot show which "
                "calls were sent last, so for %d s, a period and a time-out, none is sent",
                math.ceil(response.view.unknown_for),
            )
        known, paused_for = self._response, self.paused_for
        self._response, self._seen_at = response, self._now()
        if known.pauses and not response.pauses:
            warn_of_limit(response.view, self._limits)
        if any(one.ending is Ending.REFUSED for one in self._released.values()):  # of which the store does not know yet
            view = attrs.evolve(response.view, paused_for=paused_for)
            self._response = attrs.evolve(response, view=view, episode=known.episode, pauses=known.pauses)

    # --- What is known

    @property
    def paused_for(self) -> float:
        """See `WindowAccess.paused_for`."""
        return max(0.0, self._response.view.paused_for - (self._now() - self._seen_at))

    @property
    def reached(self) -> bool:
        """See `WindowAccess.reached`."""
        return not self._retry.lost

    def view(self) -> View:
        """See `WindowAccess.view`: as the store showed it last."""
        view = self._response.view
        next_slot = max(0.0, view.next_slot - (self._now() - self._seen_at))
        return attrs.evolve(view, next_slot=next_slot, paused_for=self.paused_for)

    @property
    def idle_in(self) -> float:
        """See `WindowAccess.idle_in`: what still counts stands in the store."""
        return 0.0

    async def close(self) -> None:
        """See `WindowAccess.close`."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_CHANCE):
                    await self._report_all()
        except StoreError as exc:
            _log.warning("%s; what became of the last calls is not handed over, and others wait for them longer", exc)
        finally:
            self._closed = True
            self.changed()  # the calls that wait for a slot wait in vain
            for report in self._reports:
                report.cancel()
            await self._store.close()
