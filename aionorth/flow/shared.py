"""An app's window as one process sees it through a store that others share.

Each step reads the window from the store, changes it, and writes it back if no other process has written meanwhile
(compare and set), or starts again. Everything goes by the store's clock. The process reports the outcomes of its calls
as soon as it can, and asks for slots. While the store cannot be reached the process holds its calls and tries again: no
call is sent without the store.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count

import attrs

from aionorth.common.waits import growing_waits
from aionorth.errors import StoreError
from aionorth.events import Observers
from aionorth.flow.outage import Outage
from aionorth.flow.settings import Limits
from aionorth.flow.window import Acquire, Ending, Permit, Release, View, Window, forgotten_after
from aionorth.stores.base import Store, StoreRetry

FINAL_REPORT_TIMEOUT = 2.0
"""Seconds that a closed window gets for reporting the outcomes of its calls. Slots whose calls are not reported by then
come free as those of a dead process do."""

REPORT_DELAY = 1 / 200
"""The part of a period for which calls that have ended are collected before they are reported. Their slots come free a
period after their replies anyway. What others wait for is reported at once: an unused slot, a refusal, the end of a
probe."""

FIRST_RETRY = 0.002
LONGEST_RETRY = 0.05
"""Seconds. If another process wrote in between, the step is repeated after waits that grow from one to the other."""

CLOCK_ERROR = 1 / 500
"""The part of a period by which a store's clock may be set without being noticed. It may be set so far in one direction
and then in the other, so slots are held longer by twice as much. A larger part would cost more than the requests in
vain that a small one leads to."""

LONGEST_CLOCK_ERROR = 0.25
"""Seconds."""

_log = logging.getLogger("aionorth")


@attrs.frozen(kw_only=True, eq=False)
class Response:
    """The result of a step."""

    view: View = attrs.field(factory=View)
    episode: int = 0
    """How many pauses have begun."""
    pauses: int = 0
    """How many of them belong to the open episode; 0 if none is open."""
    outage: Outage = attrs.field(factory=Outage)
    wait: float = 0.0
    """0 if the slot was given; else the seconds after which to ask again."""


async def exchange(
    store: Store, limits: Limits, released: Sequence[Release] = (), acquire: Acquire | None = None, *, now: float
) -> Response:
    """Make one step of the window in a store, atomically, even if a process dies.

    Args:
        store: Where the window is kept.
        limits: What this process keeps to.
        released: The outcomes of permits' calls; `counted` is on the process's clock.
        acquire: Who asks for a slot, if anyone does.
        now: The time on the process's clock. It only serves to tell how long ago each `counted` was.

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
        # The process read its clock before the store read its own, so no call seems to have been counted too early.
        by_its_clock = [one._replace(counted=snapshot.now - (now - one.counted)) for one in released]
        wait = window.step(snapshot.now, limits, by_its_clock, acquire)
        if await store.replace(snapshot, window.to_json(), keep=2 * forgotten_after(limits)):
            adaptive = window.adaptive
            view = window.view(snapshot.now, limits)
            return Response(
                view=view, episode=adaptive.episode, pauses=adaptive.pauses, outage=window.outage, wait=wait
            )
        await asyncio.sleep(next(waits))


class SharedWindow:  # more than 12 attributes: reports in transit need their own state
    """The window in a store.

    Its state: what has not been reported (`_released`), the tasks that report it, and what the store showed last
    (`_response`, at `_seen_at`), with what this process knows to have happened since.
    """

    def __init__(self, store: Store, limits: Limits, observers: Observers | None = None) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.learned: Callable[[View], None] = lambda _: None
        self._observers = Observers() if observers is None else observers
        self._store = store
        self._limits = limits
        self._now = asyncio.get_running_loop().time
        self._process = uuid.uuid4().hex
        self._closed = False
        self._released: dict[int, Release] = {}  # by number: what the store does not know yet
        self._numbers = count(1)
        self._exchanging = asyncio.Lock()
        self._reports = set[asyncio.Task[None]]()
        self._retry = StoreRetry(self._observers)
        self._response = Response()
        self._seen_at = self._now()

    def keep_to(self, limits: Limits) -> None:
        """See `WindowAccess.keep_to`."""
        self._limits = limits

    # --- One call's way

    def acquire_now(self) -> None:
        """See `WindowAccess.acquire_now`: only the store can tell."""

    async def acquire(self, *, early: bool = False) -> Permit | float:
        """See `WindowAccess.acquire`."""
        start_within = self._limits.start_within
        acquire = Acquire(self._process, uuid.uuid4().hex, early)
        try:
            while True:
                acquire, asked_at = acquire._replace(start_within=start_within), self._now()
                response = await self._retry.until(partial(self._exchange, acquire))
                if response.wait > 0:
                    return response.wait
                now, probe = self._now(), response.outage.held and not early
                if now < asked_at + start_within:
                    start_by = min(asked_at + start_within, now + self._limits.start_within)
                    return Permit(response.episode, acquire.key, probe, start_by)
                # The process or the store was suspended, or the store is slow.
                start_within = min(2 * (now - asked_at), self._limits.timeout)
                if probe:  # or the next one would not be due before this one could have ended
                    self.release(Permit(response.episode, acquire.key, probe), Ending.UNSENT, now, 0.0)
                    acquire = acquire._replace(key=uuid.uuid4().hex)
        except asyncio.CancelledError:  # the slot may or may not have been given
            self.release(Permit(self._response.episode, acquire.key), Ending.UNSENT, self._now(), 0.0)
            raise

    def release(
        self, permit: Permit, ending: Ending, counted_at: float, retry_after: float, *, unanswered: int = 0
    ) -> bool:
        """See `WindowAccess.release`. A pause takes effect here at once, elsewhere as soon as the store knows of it."""
        pause, known = 0.0, self._response
        begins = ending is Ending.REFUSED and permit.episode == known.episode
        if begins:
            pause = self._limits.pause(known.pauses)
            known = attrs.evolve(known, episode=known.episode + 1, pauses=known.pauses + 1)
        if ending is Ending.REFUSED:
            paused_for = max(self.paused_for, pause, retry_after) + self._now() - self._seen_at
            self._response = attrs.evolve(known, view=attrs.evolve(known.view, paused_for=paused_for))
        number = next(self._numbers)
        probe_wait = self._limits.probe_wait(known.outage.probes) if unanswered else 0.0
        self._released[number] = Release(
            permit, ending, counted_at, pause, retry_after, unanswered, probe_wait, self._process, number
        )
        urgent = known.pauses > 0 or unanswered > 0 or known.outage.held or ending in {Ending.UNSENT, Ending.REFUSED}
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

    async def _exchange(self, acquire: Acquire | None) -> Response:
        async with self._exchanging:
            if acquire is None and not self._released:
                return self._response  # another call's exchange has reported them
            released = dict(self._released)
            probing, held = self._response.pauses > 0, self._response.outage.held
            response = await exchange(self._store, self._limits, list(released.values()), acquire, now=self._now())
            for number in released:
                del self._released[number]
            self._see(response)
            answers_again = (probing and not response.pauses) or (held and not response.outage.held)
            if answers_again or any(one.ending is Ending.UNSENT for one in released.values()):
                self.changed()
            return response

    def _see(self, response: Response) -> None:
        if response.view.unknown_for > 0 and not self._response.view.unknown_for:
            _log.warning(
                "the store of flow control is new to this app, was started anew or has lost data: it cannot show which "
                "calls were sent last, and these may count still, so for %d s none is sent",
                math.ceil(response.view.unknown_for),
                extra=self._observers.facts(),
            )
        known, paused_for = self._response, self.paused_for
        self._response, self._seen_at = response, self._now()
        if known.pauses and not response.pauses:
            self.learned(response.view)
        if any(one.ending is Ending.REFUSED for one in self._released.values()):  # which the store does not know yet
            view = attrs.evolve(response.view, paused_for=paused_for)
            self._response = attrs.evolve(response, view=view, episode=known.episode, pauses=known.pauses)

    # --- What is known

    @property
    def paused_for(self) -> float:
        """See `WindowAccess.paused_for`."""
        return max(0.0, self._response.view.paused_for - (self._now() - self._seen_at))

    @property
    def outage(self) -> Outage:
        """See `WindowAccess.outage`: as the store showed it last."""
        return self._response.outage

    @property
    def reached(self) -> bool:
        """See `WindowAccess.reached`."""
        return not self._retry.lost

    def view(self) -> View:
        """See `WindowAccess.view`: as the store showed it last."""
        view = self._response.view
        passed = self._now() - self._seen_at
        return attrs.evolve(
            view,
            next_slot=max(0.0, view.next_slot - passed),
            paused_for=self.paused_for,
            silent_for=view.silent_for and view.silent_for + passed,
            next_probe=max(0.0, view.next_probe - passed),
        )

    @property
    def idle_in(self) -> float:
        """See `WindowAccess.idle_in`: what still counts is in the store."""
        return 0.0

    async def close(self) -> None:
        """See `WindowAccess.close`."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(FINAL_REPORT_TIMEOUT):
                    await self._report_all()
        except StoreError as exc:
            _log.warning(
                "%s; what became of the last calls is not handed over, and others wait for them longer",
                exc,
                extra=self._observers.facts(),
            )
        finally:
            self._closed = True
            self.changed()  # the calls that wait for a slot would wait for ever
            for report in self._reports:
                report.cancel()
            await self._store.close()
