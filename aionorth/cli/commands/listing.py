"""The commands that list: ``aionorth list KIND``, one for each kind."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TextIO

import attrs
import typer

from aionorth.cli import settings
from aionorth.cli.kinds import KINDS, Conditions, Ids
from aionorth.cli.output import table
from aionorth.cli.output.logs import Messages
from aionorth.cli.output.messages import ExitCode, Notes, ProblemError, on_terminal, put_line, remark
from aionorth.cli.output.progress import Listing, Show, in_lines, view_of
from aionorth.cli.parser import GroupedCommand, GroupedCommands, command, option
from aionorth.cli.runs.job import REFRESH, on_signals
from aionorth.cli.settings import Connection
from aionorth.cli.settings.given import ENVIRONMENT, Given
from aionorth.items import Target
from aionorth.purge.selections import Selection
from aionorth.session.north import NorthSession
from aionorth.wire.resources import RESOURCES

_EXIT_CODES = """\b
Exit codes:
  0    they were listed, if there are any
  1    the platform could not be reached, or did not list them
  2    something is missing or cannot be used; nothing was sent
  3    the platform refused the app or its secret
  130  interrupted"""

_HELP = f"""List what there is, or what the conditions of 'aionorth delete' select. Nothing is deleted.

On a terminal it is a table that fits its width: the ids are whole, other columns are cut, and what has no room is left
out. Elsewhere nothing is cut: each item is a line with tabs between its fields, and comes as soon as it is listed.

\b
Examples:
  aionorth list subscriptions --callback-host old.example.com
  aionorth list packages --keep-latest 2 --older-than 90d --csv > old.csv
  aionorth list subscriptions --ids > ids.txt
  aionorth delete subscriptions --ids-file ids.txt

{ENVIRONMENT}

{_EXIT_CODES}
"""

_form = partial(option, rich_help_panel="How it is written")


@attrs.frozen(kw_only=True)
class Form:
    """How what is listed is written."""

    as_json: bool = _form(None, "As JSON, an object a line, with all that is known of each.", "--json", default=False)
    as_csv: bool = _form(None, "As CSV, with the names of the columns in the first line.", "--csv", default=False)
    as_ids: bool = _form(None, "The ids alone, one a line: fit for --ids-file.", "--ids", default=False)


listing = typer.Typer(
    help=_HELP,
    short_help="List what an app has; nothing is deleted.",
    cls=GroupedCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _list(*, which: Conditions, ids: Ids, form: Form, given: Given, messages: Messages) -> ExitCode:
    with messages.noted() as notes:
        if sum(attrs.astuple(form)) > 1:
            raise ProblemError("--json, --csv and --ids contradict each other: give one of them")
        ids = attrs.evolve(ids, everything=not ids.any_given(which))
        ids.check(which)
        connection = settings.resolve(given, stdin_is_data=ids.read_stdin)
        return asyncio.run(_listed(ids.selection(which), connection, notes, form=form))


for _kind, _row in KINDS.items():
    _help = f"List {_row.noun}s: those that all the conditions given select, or all of them.\n\n{_EXIT_CODES}"
    listing.command(_kind.value, help=_help, short_help=f"List {_row.noun}s.", cls=GroupedCommand)(
        command(_list, which=_row.options, without={"everything"})
    )


async def _listed(selection: Selection[Any], connection: Connection, notes: Notes, *, form: Form) -> ExitCode:
    """List what is selected."""
    class_ = RESOURCES[selection.kind].bare("id").__class__
    all_fields = table.fields_of(class_)
    columns = KINDS[selection.kind].columns or all_fields
    write, head, rows = table.as_tabbed(columns), "", list[list[str]]()
    if form.as_json:
        write = table.as_json
    elif form.as_csv:
        write, head = table.as_csv(all_fields), table.csv_line(all_fields)
    elif form.as_ids:
        write = table.as_id
    in_table = on_terminal(sys.stdout) and not any(attrs.astuple(form))

    def take(item: Any) -> bool:  # noqa: ANN401 - an item
        if in_table:
            rows.append(table.cells(item, columns, brief=True))
            return True
        return put_line(write(item))

    async with connection.session() as north:
        if head and not put_line(head):
            return ExitCode.OK
        shown = not in_table and on_terminal(sys.stdout)  # then the lines themselves show how far it is
        number = await _drawn(north.list_selected(selection), north, notes, take, silent=shown)
    if rows:
        names = [name.replace("_", " ").upper() for name in columns]
        put_line("\n".join(table.fitted([names, *rows], shutil.get_terminal_size().columns)))
    _count(selection, number, connection.target_of(selection), counted=in_table)
    return ExitCode.OK


async def _drawn(
    items: AsyncIterator[Any],
    north: NorthSession,
    notes: Notes,
    take: Callable[[Any], bool],
    *,
    silent: bool,
) -> int:
    """Hand each of `items` to `take`, until that says that nobody wants more; return their number."""
    number = 0

    async def draw() -> None:
        nonlocal number
        async for item in items:
            number += 1
            notes.latest = None
            if not take(item):
                return

    work = asyncio.ensure_future(draw())
    began = time.monotonic()
    view: AbstractContextManager[Show] = nullcontext(lambda _: None)
    if not silent:
        view = in_lines("Listing", brief=True) if _is_pipe(sys.stdout) else view_of("Listing", brief=True)
    with on_signals(work.cancel), view as show:
        while not (await asyncio.wait({work}, timeout=REFRESH))[0]:
            elapsed = time.monotonic() - began
            show(Listing(listed=number, flow=north.flow, elapsed=elapsed, note=notes.recent(elapsed)))
    if work.cancelled():
        raise KeyboardInterrupt
    work.result()
    return number


def _is_pipe(stream: TextIO | None) -> bool:
    """Whether another program reads `stream`: it may write to the terminal, as head does, and tear a live view."""
    try:
        return stream is not None and stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _count(selection: Selection[Any], number: int, target: Target, *, counted: bool) -> None:
    """Say how many there are, where nobody counts lines, and how many of the ids given there are not."""
    if counted or not number:
        which = "" if selection.everything and not selection.exclude else f": {selection.in_words()}"
        remark(f"aionorth: {number:,} {target}{which}")
    if selection.ids is not None and (absent := len(set(selection.ids)) - number) > 0:
        remark(f"aionorth: of the ids given, {absent:,} {'is' if absent == 1 else 'are'} not there")
