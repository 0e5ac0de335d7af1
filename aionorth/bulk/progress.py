"""Progress of a run, reported to a function of the caller's at a bounded rate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aionorth.models import DeleteSummary

INTERVAL = 0.1
"""Seconds between two reports, at least."""


class Reporter:
    """Reports after ids have settled.

    Its state: the function, which is dropped once it raises, the timer of the next report, and when the last one was.
    """

    def __init__(
        self,
        report: Callable[[DeleteSummary], object],
        summary: Callable[[], DeleteSummary],
        *,
        now: Callable[[], float],
        on_error: Callable[[Exception], object],
    ) -> None:
        """`on_error` is called with what `report` raises."""
        self._report: Callable[[DeleteSummary], object] | None = report
        self._summary = summary
        self._now = now
        self._on_error = on_error
        self._timer: asyncio.TimerHandle | None = None
        self._last = -INTERVAL

    def settled(self) -> None:
        """Report soon. However many ids settle until then, it is one report."""
        if self._timer is None and self._report is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, self._last + INTERVAL - self._now()), self.send)

    def send(self) -> None:
        """Report now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._report is None:
            return
        self._last = self._now()
        try:
            self._report(self._summary())
        except Exception as exc:  # noqa: BLE001 - it is the user's code, it may raise anything
            self._report = None
            self._on_error(exc)
