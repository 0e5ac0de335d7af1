"""SIGINT and SIGTERM as calls in the event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

from aionorth.cli.output.terminal import say

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_signals(callback: Callable[[], object]) -> Generator[None, None, None]:
    """While the block runs, call `callback` in the running loop at each SIGINT and SIGTERM; for the main thread."""
    loop = asyncio.get_running_loop()

    # Not loop.add_signal_handler(), which Windows does not have.
    def received(_: int, __: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)

    before = {number: signal.signal(number, received) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Interrupts:
    """What signals do to a run: the first drains it, each further one cancels it."""

    def __init__(self, *, drain: Callable[[], object], cancel: Callable[[], object]) -> None:
        self._drain = drain
        self._cancel = cancel
        self.count = 0
        """Signals received so far."""

    def received(self) -> None:
        """Take note of a signal."""
        self.count += 1
        if self.count == 1:
            say("finishing what has been begun, retries included; Ctrl-C again stops at once")
            self._drain()
        else:
            self._cancel()
