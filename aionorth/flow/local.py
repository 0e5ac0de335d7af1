"""How an app's callers reach its window: a protocol, and the window that the sessions of one event loop share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Protocol

from aionorth.flow.outage import Outage
from aionorth.flow.settings import Limits
from aionorth.flow.window import Acquire, Ending, Permit, Release, View, Window


class WindowAccess(Protocol):
    """An app's window, wherever it is kept. In this process, one call at a time asks for a slot."""

    changed: Callable[[], None]
    """Called when a waiting call may go sooner, so that it tries again."""
    learned: Callable[[View], None]
    """Called when calls are accepted again after a pause."""

    def keep_to(self, limits: Limits) -> None:
        """Keep to `limits` from now on."""
        ...

    def acquire_now(self) -> Permit | float | None:
        """Return what `acquire` would; None if that has to wait for the store."""
        ...

    async def acquire(self, *, early: bool = False) -> Permit | float:
        """Return a permit, or the seconds after which to ask again.

        Args:
            early: Whether it is for a call that asks if an outage is over although no probe is due. Where calls are not
                held, the seconds are infinite.
        """
        ...

    def release(
        self, permit: Permit, ending: Ending, counted_at: float, retry_after: float, *, unanswered: int = 0
    ) -> bool:
        """Record the outcome of a permit's call, once.

        Args:
            permit: What `acquire` returned.
            ending: The outcome of its call. If that was not sent, its slot is free at once; else a period after
                `counted_at`.
            counted_at: The latest time at which the platform may have counted it, on the event loop's clock.
            retry_after: The minimum number of seconds for which a refusal pauses the app.
            unanswered: As how many unanswered calls it counts, if it was one.

        Returns:
            Whether a pause began.
        """
        ...

    @property
    def paused_for(self) -> float:
        """Seconds until the pause is over, as far as is known; 0 if none is in force."""
        ...

    @property
    def outage(self) -> Outage:
        """What is known of an outage of the platform. Its times are on the store's clock."""
        ...

    @property
    def reached(self) -> bool:
        """Whether the store in which the window is kept can be reached."""
        ...

    def view(self) -> View:
        """Return what is known at this moment."""
        ...

    @property
    def idle_in(self) -> float:
        """Seconds for which the window must be kept after its last user has gone, because calls still count."""
        ...

    async def close(self) -> None:
        """Report what has not been reported yet, and close."""
        ...


class LocalWindow:
    """The window of the sessions of one event loop, kept in this object."""

    def __init__(self, limits: Limits, window: Window | None = None) -> None:
        self.changed: Callable[[], None] = _nothing
        self.learned: Callable[[View], None] = _nothing
        self._limits = limits
        self._window = window or Window()
        self._now = asyncio.get_running_loop().time
        self._keys = count(1)

    def keep_to(self, limits: Limits) -> None:
        """See `WindowAccess.keep_to`. A longer period also applies to calls that count already."""
        self._window.delay(max(0.0, limits.hold - self._limits.hold))
        self._limits = limits

    def acquire_now(self, *, early: bool = False) -> Permit | float:
        """See `WindowAccess.acquire_now`."""
        key, now = str(next(self._keys)), self._now()
        if (wait := self._window.step(now, self._limits, ask=Acquire("", key, early))) > 0:
            return wait
        probe, start_by = self._window.outage.held and not early, now + self._limits.start_within
        return Permit(self._window.adaptive.episode, key, probe, start_by)

    async def acquire(self, *, early: bool = False) -> Permit | float:
        """See `WindowAccess.acquire`."""
        return self.acquire_now(early=early)

    def release(
        self, permit: Permit, ending: Ending, counted_at: float, retry_after: float, *, unanswered: int = 0
    ) -> bool:
        """See `WindowAccess.release`."""
        before = self._window.adaptive
        begins = ending is Ending.REFUSED and permit.episode == before.episode
        pause = self._limits.pause(before.pauses) if begins else 0.0
        probe_wait = self._limits.probe_wait(self._window.outage.probes) if unanswered else 0.0
        release = Release(permit, ending, counted_at, pause, retry_after, unanswered, probe_wait)
        self._window.step(self._now(), self._limits, (release,))
        if before.pauses and not self._window.adaptive.pauses:
            self.learned(self.view())
        self.changed()
        return begins

    @property
    def paused_for(self) -> float:
        """See `WindowAccess.paused_for`."""
        return max(0.0, self._window.adaptive.paused_until - self._now())

    @property
    def outage(self) -> Outage:
        """See `WindowAccess.outage`."""
        return self._window.outage

    @property
    def reached(self) -> bool:
        """See `WindowAccess.reached`: there is nothing to reach."""
        return True

    def view(self) -> View:
        """See `WindowAccess.view`."""
        return self._window.view(self._now(), self._limits)

    @property
    def idle_in(self) -> float:
        """See `WindowAccess.idle_in`."""
        return self._window.idle_in(self._now(), self._limits)

    async def close(self) -> None:
        """See `WindowAccess.close`: there is nothing to report."""


def _nothing(_: object = None) -> None:
    """Do nothing: nobody waits for it."""
