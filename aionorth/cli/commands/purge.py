"""The steps of a deletion: find, show, confirm, delete, report; and to resume one from its journal."""

from __future__ import annotations

import asyncio
import difflib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from aionorth.cli.commands.options import How, Output
from aionorth.cli.output.display import view_of
from aionorth.cli.output.exits import ExitCode, ProblemError, in_words
from aionorth.cli.output.progress import Listing
from aionorth.cli.output.summary import Ended, as_json, as_text, plan_as_json
from aionorth.cli.output.terminal import Notes, put, resume_command, say
from aionorth.cli.reports.formats import check_report, write_report
from aionorth.cli.runs.confirm import can_ask, confirmed, offer, sample
from aionorth.cli.runs.job import DRAIN_TIMEOUT, REFRESH, Job, carry_out, on_signals
from aionorth.cli.runs.journals import new_journal, own_directory
from aionorth.common.text import visible
from aionorth.errors import JournalError
from aionorth.models import DeleteSummary
from aionorth.purge.journal import check_new, read
from aionorth.purge.plan import Plan
from aionorth.purge.selections import Selection
from aionorth.session.north import NorthSession
from aionorth.wire.resources import NOTIFY_TYPES

SETTLE_TIME = 0.05
"""Seconds in which the loop notices connections that were closed while a person thought."""


@attrs.frozen(kw_only=True)
class Request:
    """What a command is to delete, and how."""

    selection: Selection[Any]
    how: How
    output: Output
    batch: bool
    options: Sequence[str]
    """The options of the connection, for the command that resumes the run."""


def check_files(journal: str | None, report: str | None, *sources: str | None) -> None:
    """Check that the files can be written, before anything is sent.

    Raises:
        ProblemError: One cannot be written, or the report would replace the journal or a source.
    """
    if report is not None:
        check_report(report)
        for other in (journal, *sources):
            if other is not None and os.path.realpath(other) == os.path.realpath(report):
                raise ProblemError(f"the report {report} would replace {other}: name another file for the report")
    if journal is not None:
        if os.path.lexists(journal):
            with suppress(JournalError):  # of what cannot be resumed, the check below says why
                read(journal)
                raise ProblemError(
                    f"{journal} exists already: resume it by '{resume_command(journal)}', or name another file for "
                    "the journal"
                )
        check_new(journal)


async def purge(request: Request, north: NorthSession, workers: int, notes: Notes) -> ExitCode:
    """Find what is requested, show it, have it confirmed and delete it."""
    how, output = request.how, request.output
    directory = None if how.dry_run or how.journal is not None else own_directory()
    async with north:
        plan = await _planned(request.selection, north)
        if how.dry_run:
            put(plan_as_json(plan) if output.json else _in_words(plan))
        if how.max_delete is not None and plan.calls > how.max_delete:
            raise ProblemError(
                f"{plan.calls:,} {plan.target.kind.value} are selected, and --max-delete is {how.max_delete:,}: "
                "nothing was deleted; look at them with --dry-run"
            )
        if request.batch and plan.batch is None:
            raise ProblemError(
                "--batch: no single call takes exactly what is selected, so nothing was deleted; leave it out"
            )
        if how.dry_run:
            say("aionorth: a dry run: nothing was deleted")
            return ExitCode.OK
        if not plan.delete:
            nothing = "aionorth: no ids: there is nothing to delete"
            say(f"aionorth: there is nothing to delete\n{plan}" if plan.keep or plan.absent else nothing)
            _hint_at_notify_type(request.selection)
            return _reported(Ended(kind=plan.target.kind, summary=DeleteSummary()), output)
        if not _agreed(plan, request):
            say("aionorth: nothing was deleted")
            return ExitCode.FAILED
        await asyncio.sleep(SETTLE_TIME)
        journal = new_journal(directory, plan.target) if directory is not None else str(how.journal)
        run = north.purge(
            plan, journal=journal, batch=request.batch, workers=workers, collect="failures", grace=DRAIN_TIMEOUT
        )
        say(f"aionorth: this run is recorded in {visible(journal)}")
        job = Job(kind=plan.target.kind, run=run, distinct=plan.calls, journal=journal, options=request.options)
        ended = await carry_out(job, north, view_of(f"Deleting {plan.target}"), notes)
        if not ended.summary.calls:  # nothing to resume, and perhaps the wrong platform
            ended = _without_journal(ended, journal)
    return _reported(ended, output)


def _without_journal(ended: Ended, journal: str) -> Ended:
    """Remove a journal that holds nothing but the plan; the same command makes another."""
    try:
        Path(journal).unlink(missing_ok=True)
    except OSError:  # then it stays, and can be resumed
        return ended
    say("aionorth: nothing was sent to delete anything: no journal is kept")
    return attrs.evolve(ended, journal=None)


async def resume_purge(
    journal: str, output: Output, north: NorthSession, workers: int, notes: Notes, *, options: Sequence[str]
) -> ExitCode:
    """Resume a run from its journal."""
    async with north:
        history = read(journal)
        run = north.resume(journal, workers=workers, collect="failures", grace=DRAIN_TIMEOUT)
        say(f"aionorth: {history.gone:,} of {len(history.entries):,} are known to be gone already")
        job = Job(kind=history.target.kind, run=run, distinct=len(history.entries), journal=journal, options=options)
        ended = await carry_out(job, north, view_of(f"Deleting {history.target}"), notes)
    return _reported(ended, output)


# --- Before a deletion


async def _planned(selection: Selection[Any], north: NorthSession) -> Plan[Any]:
    """List what there is, showing how far that is."""
    listed = 0

    def count(number: int) -> None:
        nonlocal listed
        listed = number

    work = asyncio.ensure_future(north.plan(selection, on_listed=count))
    view, began = view_of("Finding out what there is", brief=True), time.monotonic()
    with on_signals(work.cancel), view:
        while not (await asyncio.wait({work}, timeout=REFRESH))[0]:
            view.show(Listing(listed=listed, flow=north.flow, elapsed=time.monotonic() - began))
    if work.cancelled():
        raise KeyboardInterrupt
    return work.result()


def _hint_at_notify_type(selection: Selection[Any]) -> None:
    """Name the notify type that may have been meant, where the one requested is not in the documents."""
    requested: str | None = getattr(selection, "notify_type", None)
    if requested is not None and requested not in NOTIFY_TYPES:
        by_lower = {name.lower(): name for name in NOTIFY_TYPES}
        near = difflib.get_close_matches(requested.lower(), by_lower, n=1)
        meant = f"; did you mean {by_lower[near[0]]}?" if near else ""
        say(f"aionorth: the documents have no notify type {requested!r}{meant}")


def _agreed(plan: Plan[Any], request: Request) -> bool:
    """Whether the deletion may go ahead, after a question where one is needed."""
    by_script = request.selection.only_ids and not can_ask()  # for which a list of ids is explicit enough
    if request.how.yes or by_script:
        return True
    if not can_ask():
        raise ProblemError(
            f"{plan.calls:,} {plan.target.kind.value} are selected, and there is no terminal to ask on: nothing was "
            "deleted; look at them with --dry-run, then give --yes"
        )
    say(_in_words(plan))
    return confirmed(plan, batch=request.batch)


def _in_words(plan: Plan[Any]) -> str:
    parts = [str(plan), f"Those that go:\n{sample(plan)}" if plan.delete else "", offer(plan)]
    return "\n".join(part for part in parts if part)


# --- After it


def _reported(ended: Ended, output: Output) -> ExitCode:
    """Report how a run ended, on stdout, in a file and in messages; return the exit code."""
    try:
        if output.json:
            put(as_json(ended))
        elif ended.summary.total:
            put(as_text(ended))
    except OSError:
        say(f"{ended.summary}")  # the account of a run must not be lost
        raise
    if ended.reason is not None:
        say(f"aionorth: {ended.reason}")
    elif 0 < ended.summary.total == ended.summary.not_found:
        say(f"aionorth: the platform knows none of these ids: are they {ended.kind.value} of this app?")
    if output.report is None:
        return ended.exit_code
    if ended.journal is None:
        say("aionorth: no report is written: nothing was sent to delete anything")
        return ended.exit_code
    try:
        write_report(output.report, read(ended.journal), now=datetime.now().astimezone())
    except JournalError as exc:
        say(f"aionorth: no report is written: {in_words(exc)}")
        return max(ended.exit_code, ExitCode.FAILED)
    say(f"aionorth: the report is in {visible(output.report)}")
    return ended.exit_code
