"""A bulk run from the command line: started, shown, stopped by signals, and brought to an exit code."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

import attrs

from aionorth.bulk.run import BulkDelete
from aionorth.cli.commands.signals import Interrupts, on_signals
from aionorth.cli.output.display import View
from aionorth.cli.output.exits import ExitCode, code_of, in_words
from aionorth.cli.output.progress import Meter, Moment
from aionorth.cli.output.terminal import Notes, resume_command
from aionorth.errors import BulkAbortedError
from aionorth.models import DeleteSummary, Kind
from aionorth.session.north import NorthSession

GRACE = 0.5
"""Seconds that calls in flight are given at the second signal; the first has given them all the time they needed."""

REFRESH = 0.2
"""Seconds from one look at the run to the next."""

NEWS = 15.0
"""Seconds for which the display shows what the library had to say."""


@attrs.frozen(kw_only=True)
class Job:
    """A run, not begun yet."""

    kind: Kind
    run: BulkDelete
    distinct: int
    """How many different ids it is about."""
    journal: str | None = None
    """Where it is recorded."""
    options: Sequence[str] = ()
    """The options of the connection, to be given again where it is gone on with."""


@attrs.frozen(kw_only=True)
class Ended:
    """How a run ended."""

    kind: Kind
    summary: DeleteSummary
    interrupted: bool = False
    cause: BaseException | None = None
    """What ended it early, where something did."""
    journal: str | None = None
    """Where it is recorded."""
    options: Sequence[str] = ()
    """As in `Job`."""

    @property
    def exit_code(self) -> ExitCode:
        """What to tell the shell."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.cause is not None:
            return code_of(self.cause)
        return ExitCode.OK if self.summary.ok else ExitCode.FAILED

    @property
    def reason(self) -> str | None:
        """What to say of an end that leaves something to be done; None where there is nothing."""
        if self.cause is not None:
            said = f"the run ended early: {in_words(self.cause)}"
        elif self.interrupted:
            said = "the run was interrupted"
        else:
            said = "" if self.summary.ok else "some are not known to be gone"
        if not said:
            return None
        return said if self.journal is None else f"{said}\nto go on: {resume_command(self.journal, self.options)}"


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
                note="" if ended else _news(notes),
            )
            view.show(moment)
            if ended:
                break
            await asyncio.wait({work}, timeout=REFRESH)
    cause = None if work.cancelled() else work.result()
    return Ended(
        kind=job.kind,
        summary=run.summary,
        interrupted=interrupts.count > 0,
        cause=cause,
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


def _news(notes: Notes) -> str:
    record: logging.LogRecord | None = notes.latest
    return record.getMessage() if record is not None and time.time() - record.created < NEWS else ""
