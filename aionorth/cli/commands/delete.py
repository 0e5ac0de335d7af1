"""The commands that delete: ``aionorth delete KIND``, one for each kind."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import typer

from aionorth.cli import settings
from aionorth.cli.kinds import KINDS, Conditions, Ids
from aionorth.cli.output.logs import Messages
from aionorth.cli.output.messages import (
    EXIT_CODES,
    ExitCode,
    Notes,
    ProblemError,
    put,
    refuse_useless,
    remark,
)
from aionorth.cli.parser import GroupedCommand, GroupedCommands, command
from aionorth.cli.runs import unlisted
from aionorth.cli.runs.ending import Output
from aionorth.cli.runs.options import Bounds, How, check_files
from aionorth.cli.runs.purging import SETTLE_TIME, planned, purge
from aionorth.cli.settings.given import ENVIRONMENT, Given
from aionorth.errors import TooManyResultsError
from aionorth.items import Target
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
        if how.out is not None:
            refuse_useless(
                "with --out, which ends once the plan is kept: what is for the deletion goes to 'aionorth apply'",
                dry_run=how.dry_run,
                yes=how.yes,
                journal=how.journal,
                max_failures=bounds.max_failures,
                report=output.report,
                missing_ok=output.missing_ok,
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
