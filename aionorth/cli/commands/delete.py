"""The commands that delete: `aionorth delete subscriptions`, `aionorth delete packages` and `aionorth resume`."""

from __future__ import annotations

import asyncio

import typer

from aionorth.cli import settings
from aionorth.cli.commands.bundles import bundled
from aionorth.cli.commands.grouped import GroupedCommand, GroupedCommands
from aionorth.cli.commands.help import ENVIRONMENT, EXIT_CODES
from aionorth.cli.commands.purge import Wanted, check_files, go_on, list_journals, purge
from aionorth.cli.commands.selection import Batch, How, Ids, JournalFile, Output, Packages, Subscriptions
from aionorth.cli.output.exits import reported
from aionorth.cli.output.terminal import noted
from aionorth.cli.settings.options import Given

_HELP = f"""Find subscriptions or version packages, show them, have it confirmed, and delete them.

What is selected is listed, and shown with what stays and why; on a terminal you are asked to type its number. Then
each is deleted by a call of its own, as fast as flow control allows. What becomes of each id is recorded in a journal,
so that 'aionorth resume' can go on after a kill or a crash. Ctrl-C finishes the calls in flight and tells how to go on;
a second one stops at once.

\b
Examples:
  aionorth delete subscriptions --callback-host old.example.com --dry-run
  aionorth delete packages --keep-latest 2 --older-than 90d --report purge.html
  aionorth delete subscriptions --ids-file ids.txt

{ENVIRONMENT}

{EXIT_CODES}
"""

_SUBSCRIPTIONS_HELP = f"""Delete subscriptions: those that all the conditions given select.

\b
Examples:
  Everything that still calls the old host; look first:
    aionorth delete subscriptions --callback-host old.example.com --dry-run
    aionorth delete subscriptions --callback-host old.example.com
  All of one notify type, in one call if there is one that takes exactly these:
    aionorth delete subscriptions --notify-type deviceAdded --batch
  From a script, at most 500, with a report:
    aionorth delete subscriptions --callback-url 'https://old*' --yes \\
      --max-delete 500 --report purge.csv
  Ids from a file, or from a column of a CSV file; a list of ids is not looked
  up before, and ids that the platform does not know count as gone:
    aionorth delete subscriptions --ids-file ids.txt
    aionorth delete subscriptions --ids-file list.csv --csv-column sub_id

\b
With --json, "results" names every id that is not known to be gone:
  aionorth delete subscriptions --ids-file ids.txt --json > result.json
  jq -r '.results[].id' result.json > ids-left.txt

{EXIT_CODES}
"""

_PACKAGES_HELP = f"""Delete version packages: those that all the conditions given select.

\b
Examples:
  All but the two newest of each kind; look first:
    aionorth delete packages --keep-latest 2 --dry-run
    aionorth delete packages --keep-latest 2
  What is older than 90 days, but never the newest of its kind:
    aionorth delete packages --older-than 90d --keep-latest 1
  Firmware of one model, by name, but for one file:
    aionorth delete packages --file-type firmwarePackage --model WM-1 \\
      --name 'beta-*' --exclude 5fa1c2
  Ids from a file, or from standard input:
    aionorth delete packages --ids-file ids.txt
    aionorth delete packages --ids-file - --json < ids.txt > result.json

{EXIT_CODES}
"""

RESUME_HELP = f"""Go on with a deletion from its journal, after whatever ended it.

What the journal knows to be gone is not called again; all else is. An id that was in flight when the process was
killed may have been deleted by that call: if the platform does not know it now, it counts as gone, not as not found.

The URL and the app are yours to say, as for the deletion: a journal of others is refused.

\b
Examples:
  aionorth resume                  which runs could be gone on with
  aionorth resume purge.jsonl
  aionorth resume purge.jsonl --report purge.html

{EXIT_CODES}
"""

delete = typer.Typer(
    help=_HELP,
    short_help="Find, show, confirm and delete subscriptions or packages.",
    cls=GroupedCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@delete.command(help=_SUBSCRIPTIONS_HELP, short_help="Delete subscriptions.", cls=GroupedCommand)
@bundled
def subscriptions(
    *, which: Subscriptions, ids: Ids, how: How, batch: Batch = False, output: Output, given: Given
) -> None:
    """Delete subscriptions."""
    _delete(which, ids, how, output, given, batch=batch)


@delete.command(help=_PACKAGES_HELP, short_help="Delete version packages.", cls=GroupedCommand)
@bundled
def packages(*, which: Packages, ids: Ids, how: How, output: Output, given: Given) -> None:
    """Delete version packages."""
    _delete(which, ids, how, output, given)


def _delete(
    which: Subscriptions | Packages, ids: Ids, how: How, output: Output, given: Given, *, batch: bool = False
) -> None:
    with reported(), noted() as notes:
        which.check(ids)
        check_files(how.journal, output.report, ids.ids_file, ids.exclude_file)
        connection = settings.resolve(given, stdin_is_data=ids.read_stdin)
        wanted = Wanted(selection=which.selection(ids), how=how, output=output, batch=batch, options=given.as_typed())
        raise typer.Exit(asyncio.run(purge(wanted, connection.session(), connection.workers, notes)))


@bundled
def resume(journal: JournalFile = None, *, output: Output, given: Given) -> None:
    """Go on with a deletion."""
    with reported(), noted() as notes:
        if journal is None:
            raise typer.Exit(list_journals())
        check_files(None, output.report, journal)
        connection = settings.resolve(given)
        work = go_on(journal, output, connection.session(), connection.workers, notes, options=given.as_typed())
        raise typer.Exit(asyncio.run(work))
