"""The command ``aionorth resume``: a deletion goes on from its journal."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Annotated

import typer

from aionorth.cli import settings
from aionorth.cli.output.logs import Messages
from aionorth.cli.output.messages import (
    EXIT_CODES,
    ExitCode,
    Notes,
    ProblemError,
    refuse_useless,
    remark,
    resume_command,
)
from aionorth.cli.parser import command
from aionorth.cli.runs.ending import Output, reported
from aionorth.cli.runs.job import DRAIN_TIMEOUT, carry_out
from aionorth.cli.runs.journals import completed, find_journal, own_journals, own_place, put_journals, reading
from aionorth.cli.runs.options import Bounds, check_files
from aionorth.cli.settings import Connection
from aionorth.cli.settings.given import Given
from aionorth.purge.journal import target_of

_EXIT_CODES = "\n".join(line for line in EXIT_CODES.splitlines() if "--detailed-exitcode" not in line)

HELP = f"""Resume a deletion from its journal, after whatever ended it.

What the journal knows to be gone is not called again; all else is. An id that was in flight when the process was
killed may have been deleted by that call: if the platform does not know it now, it counts as gone, not as not found.

The URL and the app are yours to say, as for the deletion: a journal of others is refused.

\b
Examples:
  aionorth resume                  which runs could be resumed
  aionorth resume --last           the newest of them
  aionorth resume purge.jsonl
  aionorth resume purge.jsonl --report purge.html

{_EXIT_CODES}
"""


@command
def resume(
    journal: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="The journal of the run: its file, or its name in your own directory of journals. Without it, "
            "those there with something left are listed.",
            show_default=False,
            autocompletion=completed,
        ),
    ] = None,
    *,
    last: Annotated[
        bool, typer.Option("--last", help="Resume the newest one in your own directory that has something left.")
    ] = False,
    bounds: Bounds,
    output: Output,
    given: Given,
    messages: Messages,
) -> ExitCode:
    """Resume a deletion."""
    with messages.noted() as notes:
        if journal is not None and last:
            raise ProblemError(f"--last and {journal} contradict each other: give one of them")
        if journal is None and not last:
            refuse_useless(
                "where runs are only listed: name the journal of the one to resume, or give --last",
                max_failures=bounds.max_failures,
                report=output.report,
                missing_ok=output.missing_ok,
            )
        if journal is None:
            left = (one for one in own_journals() if not (one.finished or one.at_work))
            found = list(islice(left, 1)) if last else put_journals(left, as_json=output.json)
            if not found:
                remark(f"aionorth: there is no run to resume in {own_place()}; name its journal, if it is elsewhere")
            elif not (last or output.json):
                remark(f"to go on with the newest: {resume_command('--last', settings.options_for(found[0].target))}")
            if not (found and last):
                return ExitCode.OK
            journal = found[0].path
        journal = find_journal(journal)
        target_of(journal)  # what is wrong with it matters before the settings do
        check_files(None, output.report, journal)
        connection = settings.resolve(given)
        return asyncio.run(_resume(journal, connection, notes, bounds=bounds, output=output, given=given))


async def _resume(
    journal: str, connection: Connection, notes: Notes, *, bounds: Bounds, output: Output, given: Given
) -> ExitCode:
    """Resume a run from its journal."""
    async with connection.session() as north:
        target = target_of(journal)
        run = north.resume(
            journal,
            workers=connection.workers,
            collect="failures",
            grace=DRAIN_TIMEOUT,
            max_failures=bounds.max_failures,
            on_read=reading(journal),
        )
        await run.prepare()
        number = run.expected or 0
        remark(f"aionorth: {run.summary.total:,} of {number:,} are known to be gone already")
        ended = await carry_out(
            run,
            north,
            notes,
            kind=target.kind,
            title=f"Deleting {target}",
            distinct=number,
            journal=journal,
            options=[*given.as_typed(), *bounds.as_typed(), *output.as_typed()],
        )
    return reported(ended, output)
