"""The way from a question to a finished deletion: find, show, confirm, delete, report; and to go on with one."""

from __future__ import annotations

import asyncio
import difflib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from aionorth.cli.commands.confirm import can_ask, confirmed, offer, sample
from aionorth.cli.commands.run import GRACE, REFRESH, Ended, Job, carry_out
from aionorth.cli.commands.selection import How, Output
from aionorth.cli.commands.signals import on_signals
from aionorth.cli.output.display import finding_view, view_of
from aionorth.cli.output.exits import ExitCode, ProblemError, in_words
from aionorth.cli.output.summary import as_json, as_text, plan_as_json
from aionorth.cli.output.terminal import Notes, put, resume_command, say
from aionorth.cli.reports.files import check_report, write_report
from aionorth.cli.settings.home import state_directory
from aionorth.common.files import check_own_directory
from aionorth.common.text import visible
from aionorth.errors import JournalError
from aionorth.models import DeleteSummary, Target
from aionorth.purge.journal import History, check_new, read
from aionorth.purge.plan import PackageSelection, Plan, SubscriptionSelection
from aionorth.session.north import NorthSession
from aionorth.wire.api import NOTIFY_TYPES

BREATH = 0.05
"""Seconds in which the loop hears of connections that were closed while a person thought."""


@attrs.frozen(kw_only=True)
class Wanted:
    """What a command is to do with what it selects."""

    selection: SubscriptionSelection | PackageSelection
    how: How
    output: Output
    batch: bool
    options: Sequence[str]
    """The options of the connection, to be given again where the run is gone on with."""


def check_files(journal: str | None, report: str | None, *sources: str | None) -> None:
    """Raise `ProblemError` for files that cannot be written, before anything is sent; the report replaces no source."""
    if report is not None:
        check_report(report)
        for other in (journal, *sources):
            if other is not None and os.path.realpath(other) == os.path.realpath(report):
                raise ProblemError(f"the report {report} would replace {other}: name another file for the report")
    if journal is not None:
        if os.path.lexists(journal):
            with suppress(JournalError):  # of what cannot be gone on with, the check below tells why
                read(journal)
                raise ProblemError(
                    f"{journal} exists already: go on with it by '{resume_command(journal)}', or name another file for "
                    "the journal"
                )
        check_new(journal)


async def purge(wanted: Wanted, north: NorthSession, workers: int, notes: Notes) -> ExitCode:
    """Find what is `wanted`, show it, have it confirmed and delete it."""
    how, output = wanted.how, wanted.output
    directory = None if how.dry_run or how.journal is not None else _own_directory()
    async with north:
        plan = await _planned(wanted.selection, north)
        if how.dry_run:
            put(plan_as_json(plan) if output.json else _in_words(plan))
        if how.max_delete is not None and plan.calls > how.max_delete:
            raise ProblemError(
                f"{plan.calls:,} {plan.target.kind.value} are selected, and --max-delete is {how.max_delete:,}: "
                "nothing was deleted; look at them with --dry-run"
            )
        if wanted.batch and plan.batch is None:
            raise ProblemError(
                "--batch: no single call takes exactly what is selected, so nothing was deleted; leave it out"
            )
        if how.dry_run:
            say("aionorth: a dry run: nothing was deleted")
            return ExitCode.OK
        if not plan.delete:
            say(f"aionorth: there is nothing to delete\n{plan}" if plan.keep or plan.absent else _NOTHING)
            _hint_at_notify_type(wanted.selection)
            return _told(Ended(kind=plan.target.kind, summary=DeleteSummary()), output)
        if not _agreed(plan, wanted):
            say("aionorth: nothing was deleted")
            return ExitCode.FAILED
        await asyncio.sleep(BREATH)
        journal = _new_journal(directory, plan.target) if directory is not None else str(how.journal)
        run = north.purge(plan, journal=journal, batch=wanted.batch, workers=workers, collect="failures", grace=GRACE)
        say(f"aionorth: this run is recorded in {visible(journal)}")
        job = Job(kind=plan.target.kind, run=run, distinct=plan.calls, journal=journal, options=wanted.options)
        ended = await carry_out(job, north, view_of(f"Deleting {plan.target}"), notes)
        if not ended.summary.calls:  # nothing to go on from, and perhaps the wrong platform
            ended = _unrecorded(ended, journal)
    return _told(ended, output)


def _unrecorded(ended: Ended, journal: str) -> Ended:
    """Remove a journal that holds nothing but the plan; the same command makes another."""
    try:
        Path(journal).unlink(missing_ok=True)
    except OSError:  # then it stays, and can be gone on with
        return ended
    say("aionorth: nothing was sent to delete anything: no journal is kept")
    return attrs.evolve(ended, journal=None)


async def go_on(
    journal: str, output: Output, north: NorthSession, workers: int, notes: Notes, *, options: Sequence[str]
) -> ExitCode:
    """Go on with a run from its journal."""
    async with north:
        history = read(journal)
        run = north.resume(journal, workers=workers, collect="failures", grace=GRACE)
        say(f"aionorth: {history.gone:,} of {len(history.entries):,} are known to be gone already")
        job = Job(kind=history.target.kind, run=run, distinct=len(history.entries), journal=journal, options=options)
        ended = await carry_out(job, north, view_of(f"Deleting {history.target}"), notes)
    return _told(ended, output)


_NOTHING = "aionorth: no ids: there is nothing to delete"


async def _planned(selection: SubscriptionSelection | PackageSelection, north: NorthSession) -> Plan[Any]:
    """List what there is, showing how far that is."""
    listed = 0

    def count(number: int) -> None:
        nonlocal listed
        listed = number

    work = asyncio.ensure_future(north.plan(selection, on_listed=count))
    view = finding_view()
    with on_signals(work.cancel), view:
        while not work.done():
            await asyncio.wait({work}, timeout=REFRESH)
            if not work.done():
                view.show(listed, north.flow)
    if work.cancelled():
        raise KeyboardInterrupt
    return work.result()


def _agreed(plan: Plan[Any], wanted: Wanted) -> bool:
    """Whether the deletion may go ahead, after asking where that is called for."""
    if wanted.how.yes or (wanted.selection.only_ids and not can_ask()):  # a list of ids is explicit enough for a script
        return True
    if not can_ask():
        raise ProblemError(
            f"{plan.calls:,} {plan.target.kind.value} are selected, and there is no terminal to ask on: nothing was "
            "deleted; look at them with --dry-run, then give --yes"
        )
    say(_in_words(plan))
    return confirmed(plan, batch=wanted.batch)


def _in_words(plan: Plan[Any]) -> str:
    parts = [str(plan), f"Those that go:\n{sample(plan)}" if plan.delete else "", offer(plan)]
    return "\n".join(part for part in parts if part)


def _told(ended: Ended, output: Output) -> ExitCode:
    """Tell how a run ended, on stdout, in a report and in words; return the exit code."""
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
    if output.report is not None and ended.journal is None:
        say("aionorth: no report is written: nothing was sent to delete anything")
    elif output.report is not None and ended.journal is not None:
        try:
            write_report(output.report, read(ended.journal), now=datetime.now().astimezone())
        except JournalError as exc:
            say(f"aionorth: no report is written: {in_words(exc)}")
            return max(ended.exit_code, ExitCode.FAILED)
        say(f"aionorth: the report is in {visible(output.report)}")
    return ended.exit_code


def _hint_at_notify_type(selection: SubscriptionSelection | PackageSelection) -> None:
    """Name the notify type that may have been meant, where the one asked for is not in the documents."""
    asked = selection.notify_type if isinstance(selection, SubscriptionSelection) else None
    if asked is not None and asked not in NOTIFY_TYPES:
        by_lower = {name.lower(): name for name in NOTIFY_TYPES}
        near = difflib.get_close_matches(asked.lower(), by_lower, n=1)
        meant = f"; did you mean {by_lower[near[0]]}?" if near else ""
        say(f"aionorth: the documents have no notify type {asked!r}{meant}")


def journals() -> list[tuple[Path, History]]:
    """Return the journals in the user's state directory that have something left to do, the newest first.

    What cannot be gone on with is left out, and that is said: one journal never hides the others.
    """
    found: list[tuple[Path, History]] = []
    for path in sorted(_directory().glob("*.jsonl"), reverse=True):
        try:
            history = read(path)
        except JournalError as exc:
            say(f"aionorth: left out: {in_words(exc)}")
            continue
        if history.gone < len(history.entries):
            found.append((path, history))
    return found


def list_journals() -> ExitCode:
    """Tell which runs could be gone on with."""
    found = journals()
    for path, history in found:
        began = datetime.fromtimestamp(history.runs[0]).astimezone()
        gone = f"{history.gone:,} of {len(history.entries):,} gone"
        put(f"{began:%Y-%m-%d %H:%M}  {gone}  {visible(str(history.target))}\n  {visible(str(path))}")
    if not found:
        where = visible(str(_directory()))
        say(f"aionorth: there is no run to go on with in {where}; name its journal, if it is elsewhere")
    return ExitCode.USAGE


def _directory() -> Path:
    return state_directory("journals", "name the journal's file") / "journals"


def _own_directory() -> Path:
    """Return the directory for journals that nobody names a file for; raises `ProblemError` where it cannot be used."""
    directory = _directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_own_directory(directory)
    except OSError as exc:
        raise ProblemError(f"{directory} cannot be used ({exc.strerror}): name a file with --journal") from exc
    return directory


def _new_journal(directory: Path, target: Target) -> str:
    """Return a file of its own in `directory`."""
    app = re.sub(r"[^0-9A-Za-z_-]+", "-", target.app_id)[:40]
    return str(directory / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{target.kind.value}-{app}.jsonl")
