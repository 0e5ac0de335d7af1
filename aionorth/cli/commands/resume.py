"""The command ``aionorth resume``: a deletion goes on from its journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated

import typer

from aionorth.cli import settings
from aionorth.cli.output.logs import Messages
from aionorth.cli.output.messages import EXIT_CODES, ExitCode, Notes, remark
from aionorth.cli.parser import command
from aionorth.cli.runs.ending import Output, reported
from aionorth.cli.runs.job import DRAIN_TIMEOUT, carry_out
from aionorth.cli.runs.journals import list_journals
from aionorth.cli.runs.options import Bounds, check_files
from aionorth.cli.settings import Connection
from aionorth.cli.settings.given import Given
from aionorth.common.text import visible
from aionorth.purge.journal import target_of

HELP = f"""Resume a deletion from its journal, after whatever ended it.

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

SAID_EVERY = 1.0
"""Seconds between two messages of how much of a journal has been read."""


@command
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
    bounds: Bounds,
    output: Output,
    given: Given,
    messages: Messages,
) -> ExitCode:
    """Resume a deletion."""
    with messages.noted() as notes:
        if journal is None:
            return list_journals()
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
            on_read=_reading(journal),
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
            options=[*given.as_typed(), *bounds.as_typed()],
        )
    return reported(ended, output)


def _reading(journal: str) -> Callable[[float], None]:
    """Return what says now and then which part of a journal has been read."""
    said_at = time.monotonic()

    def read_so_far(part: float) -> None:
        nonlocal said_at
        if (now := time.monotonic()) - said_at >= SAID_EVERY:
            said_at = now
            remark(f"aionorth: reading {visible(journal)}: {100 * part:.0f} %")

    return read_so_far
