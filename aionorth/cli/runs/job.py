"""A bulk run from the command line: started, shown, stopped by signals."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType

import attrs

from aionorth.bulk.run import BulkDelete
from aionorth.cli.output.display import View
from aionorth.cli.output.progress import Meter, Moment
from aionorth.cli.output.summary import Ended
from aionorth.cli.output.terminal import Notes, say
from aionorth.errors import BulkAbortedError
from aionorth.models import Kind
from aionorth.session.north import NorthSession

DRAIN_TIMEOUT = 0.5
"""Seconds for calls in flight after the second signal; after the first they have all the time they need."""

REFRESH = 0.2
"""Seconds from one look at the run to the next."""

NOTE_SHOWN = 15.0
"""Seconds for which the display shows the library's latest message."""


@attrs.frozen(kw_only=True)
class Job:
    """A run that has not begun yet."""

    kind: Kind
    run: BulkDelete
    distinct: int
    """How many different ids it is about."""
    journal: str | None = None
    """Where it is recorded."""
    options: Sequence[str] = ()
    """The options of the connection, for the command that resumes it."""


async def carry_out(job: Job, north: NorthSession, view: View, notes: Notes) -> Ended:
    """Carry `job` out in an open session, from the main thread: it is shown in `view`, and signals stop it."""
    run = job.run
    notes.latest = None
    before = run.summary
    calls, ids = Meter(north.flow.period, before.calls), Meter(north.flow.period, before.total)
    work = asyncio.create_task(_whole(run))
    interrupts = Interrupts(drain=run.stop, cancel=work.cancel)
    with on_signals(interrupts.received), view:
        while True:
            ended, summary = work.done(), run.summary
            moment = Moment(
                summary=summary,
                flow=north.flow,
                distinct=job.distinct,
                rate=calls.rate(summary.elapsed, summary.calls),
                pace=ids.pace(summary.elapsed, summary.total - summary.pending),
                stopping=interrupts.count > 0,
                ended=ended,
                note="" if ended else _note(notes),
            )
            view.show(moment)
            if ended:
                break
            await asyncio.wait({work}, timeout=REFRESH)
    return Ended(
        kind=job.kind,
        summary=run.summary,
        interrupted=interrupts.count > 0,
        cause=None if work.cancelled() else work.result(),
        journal=job.journal,
        options=job.options,
    )


async def _whole(run: BulkDelete) -> BaseException | None:
    """Await `run`; return what ended it early."""
    try:
        await run
    except BulkAbortedError as exc:
        return exc.__cause__
    return None


def _note(notes: Notes) -> str:
    record = notes.latest
    return record.getMessage() if record is not None and time.time() - record.created < NOTE_SHOWN else ""


# --- Signals


@contextmanager
def on_signals(callback: Callable[[], object]) -> Generator[None, None, None]:
    """While the block runs, call `callback` in the running loop at each SIGINT and SIGTERM; for the main thread."""
    loop = asyncio.get_running_loop()

    # Not loop.add_signal_handler(), which Windows does not have.
    def received(_: int, __: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)

    before = {number: signal.signal(number, received) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Interrupts:
    """What signals do to a run: the first drains it, each further one cancels it. State: how many there were."""

    def __init__(self, *, drain: Callable[[], object], cancel: Callable[[], object]) -> None:
        self._drain = drain
        self._cancel = cancel
        self.count = 0
        """Signals received so far."""

    def received(self) -> None:
        """React to a signal."""
        self.count += 1
        if self.count == 1:
            say("finishing what has been begun, retries included; Ctrl-C again stops at once")
            self._drain()
        else:
            self._cancel()
