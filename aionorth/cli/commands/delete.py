"""The commands ``aionorth delete KIND``, one for each kind."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import typer

from aionorth.cli import plan_files, settings
from aionorth.cli.kinds import KINDS, Conditions, Ids
from aionorth.cli.output.logs import Messages
from aionorth.cli.output.messages import (
    EXIT_CODES,
    ExitCode,
    Notes,
    ProblemError,
    own_name,
    put,
    remark,
    say,
)
from aionorth.cli.output.progress import Listing, view_of
from aionorth.cli.parser import GroupedCommand, GroupedCommands, command, option
from aionorth.cli.runs import unlisted
from aionorth.cli.runs.confirm import can_ask, confirmed, described
from aionorth.cli.runs.ending import Output, reported
from aionorth.cli.runs.job import DRAIN_TIMEOUT, REFRESH, Ended, carry_out, on_signals
from aionorth.cli.runs.journals import new_journal, own_directory
from aionorth.cli.runs.options import Bounds, check_files
from aionorth.cli.settings import Connection
from aionorth.cli.settings.given import ENVIRONMENT, Given
from aionorth.common.text import visible
from aionorth.errors import TooManyResultsError
from aionorth.items import Target
from aionorth.models import DeleteSummary
from aionorth.purge.plan import Plan
from aionorth.purge.selections import Selection
from aionorth.session.north import NorthSession

_HELP = f"""Find what an app has on the platform, show it, have it confirmed, and delete it.

What is selected is listed, and shown with what stays and why; on a terminal you are asked to type its number. Then
each is deleted by a call of its own, as fast as flow control allows. What becomes of each id is recorded in a journal,
so that 'aionorth resume' can go on after a kill or a crash. Ctrl-C finishes the calls in flight and says how to resume;
a second one stops at once.

\b
Examples:
  aionorth delete subscriptions --callback-host old.example.com --dry-run
  aionorth delete packages --keep-latest 2 --older-than 90d --report purge.html
  aionorth delete subscriptions --ids-file ids.txt
  aionorth delete packages --older-than 90d --out plan.csv
  aionorth apply plan.csv

{ENVIRONMENT}

{EXIT_CODES}
"""

Find = Callable[[NorthSession], Awaitable[Plan[Any] | ExitCode]]
"""Makes the plan, or reads it; where there can be none it does all, and returns the exit code."""

SETTLE_TIME = 0.05
"""Seconds in which the loop notices connections that were closed while a person thought."""

_how = partial(option, rich_help_panel="How")


@attrs.frozen(kw_only=True)
class How:
    """How a deletion proceeds."""

    dry_run: bool = _how(None, "Show what would be deleted, and end.", "--dry-run", default=False)
    out: str | None = _how(
        "FILE",
        "Keep the plan in this file and end; 'aionorth apply FILE' carries it out. Let it end in .json, or in .csv to "
        "take rows out of it in an editor or a spreadsheet. A file that is there is replaced.",
    )
    detailed_exitcode: bool = _how(
        None,
        "After --dry-run or --out, end with exit code 4 where there is something to delete.",
        "--detailed-exitcode",
        default=False,
    )
    yes: bool = _how(None, "Do not ask: for scripts.", "--yes", default=False)
    cascade: bool | None = _how(
        None,
        "Whether the devices behind a gateway are deleted with it; one of the two must be said.",
        "--cascade/--no-cascade",
    )
    max_delete: int | None = _how("N", "Refuse to delete more than this, before the first deletion.", min=0)
    journal: str | None = _how(
        "FILE", "Record the run in this new file. [default: a file in the user's state directory]"
    )
    batch: bool = _how(
        None,
        "Delete by the platform's batch call, where one takes exactly what is selected; it also takes what was created "
        "since it was listed.",
        "--batch",
        default=False,
    )

    def __attrs_post_init__(self) -> None:
        if self.detailed_exitcode and not self.only_shown:
            raise ProblemError(
                "--detailed-exitcode says whether a plan has something to delete: give --dry-run with it, or --out"
            )

    @property
    def only_shown(self) -> bool:
        """Whether nothing is to be deleted now."""
        return self.dry_run or self.out is not None


delete = typer.Typer(
    help=_HELP,
    short_help="Find, show, confirm and delete what an app has.",
    cls=GroupedCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _delete(
    *, which: Conditions, ids: Ids, how: How, bounds: Bounds, output: Output, given: Given, messages: Messages
) -> ExitCode:
    with messages.noted() as notes:
        ids.check(which)
        if KINDS[which.kind].cascade and how.cascade is None:
            raise ProblemError(
                "say whether the devices behind a gateway are to be deleted with it: give --cascade, or --no-cascade "
                "to keep them"
            )
        check_files(how.journal, output.report, ids.ids_file, ids.exclude_file, out=how.out)
        connection = settings.resolve(given, stdin_is_data=ids.read_stdin)
        selection = ids.selection(which, cascade=bool(how.cascade))
        find = partial(_found, selection, notes, target=connection.target_of(selection), how=how, output=output)
        explicit = selection.only_ids
        return asyncio.run(
            purge(find, connection, notes, how=how, bounds=bounds, output=output, given=given, explicit=explicit)
        )


for _kind, _row in KINDS.items():
    delete.command(_kind.value, help=_row.help, short_help=f"Delete {_row.noun}s.", cls=GroupedCommand)(
        command(_delete, which=_row.options, without=_row.without)
    )


async def purge(
    find: Find,
    connection: Connection,
    notes: Notes,
    *,
    how: How,
    bounds: Bounds,
    output: Output,
    given: Given,
    explicit: bool = False,
) -> ExitCode:
    """Find the plan, show it, have it confirmed and delete what it says; `explicit` is as for `_agreed`."""
    north = connection.session()
    directory = None if how.only_shown or how.journal is not None else own_directory()
    async with north:
        plan = await find(north)
        if isinstance(plan, ExitCode):
            return plan
        kind = plan.target.kind
        if how.only_shown:
            put(json.dumps(plan.to_dict()) if output.json else described(plan, batch=how.batch))
        if how.max_delete is not None and plan.number > how.max_delete:
            raise ProblemError(
                f"{plan.number:,} {kind.value} are selected, and --max-delete is {how.max_delete:,}: "
                "nothing was deleted; look at them with --dry-run"
            )
        if how.batch and plan.batch is None:
            raise ProblemError(
                "--batch: no single call takes exactly what is selected, so nothing was deleted; leave it out"
            )
        if how.only_shown:
            return _kept(plan, how)
        if not plan.delete:
            nothing = "aionorth: no ids: there is nothing to delete"
            remark(f"aionorth: there is nothing to delete\n{plan}" if plan.keep or plan.absent else nothing)
            return reported(Ended(kind=kind, summary=DeleteSummary(), absent=plan.absent), output)
        if not _agreed(plan, how, explicit=explicit):
            remark("aionorth: nothing was deleted")
            return ExitCode.FAILED
        await asyncio.sleep(SETTLE_TIME)
        journal = new_journal(directory, plan.target) if directory is not None else str(how.journal)
        run = north.purge(
            plan,
            journal=journal,
            batch=how.batch,
            workers=connection.workers,
            collect="failures",
            grace=DRAIN_TIMEOUT,
            max_failures=bounds.max_failures,
        )
        target, calls, along, absent = plan.target, plan.calls, len(plan.along), plan.absent
        del plan  # its run has what it needs, and it may name a million
        remark(f"aionorth: this run is recorded in {visible(journal)}")
        ended = await carry_out(
            run,
            north,
            notes,
            kind=kind,
            title=f"Deleting {target}",
            distinct=calls,
            journal=journal,
            options=[*given.as_typed(), *bounds.as_typed()],
            absent=absent,
        )
        if not ended.summary.calls:  # nothing to resume, and perhaps the wrong platform
            ended = _without_journal(ended, journal)
        if along and ended.summary.ok:
            remark(f"aionorth: {along:,} more went along with a gateway, as planned")
        del run  # a report of many ids has use for their memory
    return reported(ended, output)


def _kept(plan: Plan[Any], how: How) -> ExitCode:
    """Keep a plan that is not carried out now, if that is wanted; return the exit code."""
    if how.out is None:
        say("aionorth: a dry run: nothing was deleted")
    else:
        plan_files.write(how.out, plan)
        to_go_on = f"{own_name()} apply {visible(shlex.quote(how.out))}"
        say(f"aionorth: nothing was deleted; the plan is in {visible(how.out)}; to carry it out: {to_go_on}")
    return ExitCode.TO_DO if how.detailed_exitcode and plan.delete else ExitCode.OK


def _without_journal(ended: Ended, journal: str) -> Ended:
    """Remove a journal that holds nothing but the plan; the same command makes another."""
    try:
        Path(journal).unlink(missing_ok=True)
    except OSError:  # then it stays, and can be resumed
        return ended
    remark("aionorth: nothing was sent to delete anything: no journal is kept")
    return attrs.evolve(ended, journal=None)


# --- Before a deletion


async def planned(selection: Selection[Any], notes: Notes, north: NorthSession) -> Plan[Any]:
    """List what there is, showing how far that is."""
    listed = 0

    def count(number: int) -> None:
        nonlocal listed
        listed = number
        notes.latest = None

    work = asyncio.ensure_future(north.plan(selection, on_listed=count))
    began = time.monotonic()
    with on_signals(work.cancel), view_of("Finding out what there is", brief=True) as show:
        while not (await asyncio.wait({work}, timeout=REFRESH))[0]:
            elapsed = time.monotonic() - began
            show(Listing(listed=listed, flow=north.flow, elapsed=elapsed, note=notes.recent(elapsed)))
    if work.cancelled():
        raise KeyboardInterrupt
    return work.result()


async def _found(
    selection: Selection[Any], notes: Notes, north: NorthSession, *, target: Target, how: How, output: Output
) -> Plan[Any] | ExitCode:
    """Return the plan, or where the platform refuses to list, how a deletion without a list ended."""
    try:
        return await planned(selection, notes, north)
    except TooManyResultsError as exc:
        if not how.batch:
            return unlisted.refused(selection, exc)
        what = unlisted.checked(
            selection, target, exc, max_delete=how.max_delete, journal=how.journal, report=output.report, out=how.out
        )
    if how.dry_run:
        put(what.as_json() if output.json else str(what))
        remark("aionorth: a dry run: nothing was deleted")
        return ExitCode.TO_DO if how.detailed_exitcode else ExitCode.OK
    if not unlisted.agreed(what, yes=how.yes):
        remark("aionorth: nothing was deleted")
        return ExitCode.FAILED
    await asyncio.sleep(SETTLE_TIME)
    return await unlisted.carry_out(what, north, as_json=output.json)


def _agreed(plan: Plan[Any], how: How, *, explicit: bool) -> bool:
    """Whether the deletion may go ahead, after a question where one is needed.

    What is `explicit`, a list of ids, needs none in a script.
    """
    if how.yes or (explicit and not can_ask()):
        return True
    if not can_ask():
        raise ProblemError(
            f"{plan.number:,} {plan.target.kind.value} are selected, and there is no terminal to ask on: nothing was "
            "deleted; look at them with --dry-run, then give --yes"
        )
    say(described(plan, batch=how.batch))
    return confirmed(plan, batch=how.batch)
