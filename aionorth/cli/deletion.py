"""A bulk run from the command line: started, shown, stopped by signals, and brought to an exit code."""

from __future__ import annotations

import asyncio
import enum
import logging
import time

import attrs

from aionorth.bulk import WORKERS, BulkDelete
from aionorth.cli.display import View
from aionorth.cli.exits import ExitCode, code_of, in_words
from aionorth.cli.progress import Meter, Moment
from aionorth.cli.signals import Interrupts, on_signals
from aionorth.cli.terminal import Notes
from aionorth.errors import BulkAbortedError
from aionorth.models import DeleteSummary
from aionorth.session import NorthSession

GRACE = 0.5
"""Seconds that calls in flight are given at the second signal; the first has given them all the time they needed."""

REFRESH = 0.2
"""Seconds from one look at the run to the next."""

NEWS = 15.0
"""Seconds for which the display shows what the library had to say."""


class Kind(enum.StrEnum):
    """What is deleted."""

    SUBSCRIPTIONS = "subscriptions"
    PACKAGES = "packages"

    @property
    def id_name(self) -> str:
        """What the platform calls its id."""
        return "subscription_id" if self is Kind.SUBSCRIPTIONS else "file_id"


@attrs.frozen(kw_only=True)
class Job:
    """What a run is to delete."""

    kind: Kind
    ids: list[str] = attrs.field(repr=False)
    authorized_app_id: str | None = None
    workers: int = WORKERS

    def run(self, north: NorthSession) -> BulkDelete:
        """Return the library's bulk run. Its summary keeps the failures only: the display asks for it all the time."""
        if self.kind is Kind.PACKAGES:
            return north.delete_upgrade_packages(self.ids, workers=self.workers, collect="failures", grace=GRACE)
        return north.delete_subscriptions(
            self.ids,
            authorized_app_id=self.authorized_app_id,
            workers=self.workers,
            collect="failures",
            grace=GRACE,
        )


@attrs.frozen(kw_only=True)
class Ended:
    """How a run ended."""

    kind: Kind
    summary: DeleteSummary
    interrupted: bool = False
    cause: BaseException | None = None
    """What ended it early, where something did."""

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
        """Why it ended early, for people; None where it did not."""
        if self.cause is not None:
            return f"the run ended early: {in_words(self.cause)}"
        return "the run was interrupted; the same command takes up what is left" if self.interrupted else None


async def carry_out(job: Job, north: NorthSession, view: View, notes: Notes) -> Ended:
    """Carry `job` out in an open session, from the main thread: it is shown in `view`, and signals stop it."""
    run = job.run(north)
    notes.latest = None
    distinct = len(set(job.ids))
    meter = Meter(north.flow.period)
    work = asyncio.create_task(_whole(run))
    interrupts = Interrupts(drain=run.stop, cancel=work.cancel)
    with on_signals(interrupts.received), view:
        while True:
            ended, summary = work.done(), run.summary
            moment = Moment(
                summary=summary,
                flow=north.flow,
                distinct=distinct,
                rate=meter.rate(summary.elapsed, summary.calls),
                stopping=interrupts.count > 0,
                ended=ended,
                note="" if ended else _news(notes),
            )
            view.show(moment)
            if ended:
                break
            await asyncio.wait({work}, timeout=REFRESH)
    cause = None if work.cancelled() else work.result()
    return Ended(kind=job.kind, summary=run.summary, interrupted=interrupts.count > 0, cause=cause)


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
