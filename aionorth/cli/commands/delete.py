"""The commands that delete: ``aionorth delete KIND``, one for each kind, and ``aionorth resume``."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from aionorth.cli import settings
from aionorth.cli.commands.options import ENVIRONMENT, EXIT_CODES, Batch, How, Ids, Output
from aionorth.cli.commands.purge import Request, check_files, purge, resume_purge
from aionorth.cli.kinds import KINDS, Conditions
from aionorth.cli.output.exits import reported
from aionorth.cli.output.terminal import noted
from aionorth.cli.parser import GroupedCommand, GroupedCommands, bundled
from aionorth.cli.runs.journals import list_journals
from aionorth.cli.settings.given import Given

_HELP = f"""Find subscriptions or version packages, show them, have it confirmed, and delete them.

What is selected is listed, and shown with what stays and why; on a terminal you are asked to type its number. Then
each is deleted by a call of its own, as fast as flow control allows. What becomes of each id is recorded in a journal,
so that 'aionorth resume' can go on after a kill or a crash. Ctrl-C finishes the calls in flight and says how to resume;
a second one stops at once.

\b
Examples:
  aionorth delete subscriptions --callback-host old.example.com --dry-run
  aionorth delete packages --keep-latest 2 --older-than 90d --report purge.html
  aionorth delete subscriptions --ids-file ids.txt

{ENVIRONMENT}

{EXIT_CODES}
"""

RESUME_HELP = f"""Resume a deletion from its journal, after whatever ended it.

What the journal knows to be gone is not called again; all else is. An id that was in flight when the process was
killed may have been deleted by that call: if the platform does not know it now, it counts as gone, not as not found.

The URL and the app are yours to say, as for the deletion: a journal of others is refused.

\b
Examples:
  aionorth resume                  which runs could be resumed
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


def _delete(
    *,
    which: Conditions,
    ids: Ids,
    how: How,
    batch: Batch = Batch(),  # noqa: B008 - it is frozen
    output: Output,
    given: Given,
) -> None:
    with reported(), noted() as notes:
        which.check(ids)
        check_files(how.journal, output.report, ids.ids_file, ids.exclude_file)
        connection = settings.resolve(given, stdin_is_data=ids.read_stdin)
        selection = which.selection(ids)
        request = Request(selection=selection, how=how, output=output, batch=batch.batch, options=given.as_typed())
        raise typer.Exit(asyncio.run(purge(request, connection.session(), connection.workers, notes)))


for _kind, _row in KINDS.items():
    delete.command(_kind.value, help=_row.help, short_help=f"Delete {_row.noun}s.", cls=GroupedCommand)(
        bundled(_delete, which=_row.options, batch=Batch if _row.batch else None)
    )


@bundled
def resume(
    journal: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="The journal of the run to resume; without it, those with something left are listed.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Output,
    given: Given,
) -> None:
    """Resume a deletion."""
    with reported(), noted() as notes:
        if journal is None:
            raise typer.Exit(list_journals())
        check_files(None, output.report, journal)
        connection = settings.resolve(given)
        work = resume_purge(journal, output, connection.session(), connection.workers, notes, options=given.as_typed())
        raise typer.Exit(asyncio.run(work))
