"""The command ``aionorth report``: what a purge came to, from its journal, without the platform."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated

import attrs
import typer

from aionorth.cli.output.messages import ExitCode, ProblemError, put, resume_command, say, told
from aionorth.cli.parser import command, option
from aionorth.cli.reports.account import as_dict, in_lines, summary_of
from aionorth.cli.runs.ending import write_reports
from aionorth.cli.runs.journals import completed_all, find_journal, reading
from aionorth.cli.runs.options import check_reports
from aionorth.cli.settings import options_for
from aionorth.purge.journal import read_now

HELP = """Report what a deletion came to, from its journal.

Neither URL nor app nor secret is needed, and nothing is sent. It can be done at any time: also while a run is at work,
and of a run that was interrupted or killed. Without a format the account goes to stdout; of several journals one after
the other.

\b
Examples:
  aionorth report purge.jsonl
  aionorth report purge.jsonl --html purge.html --csv purge.csv
  aionorth report monday.jsonl tuesday.jsonl --json

\b
Exit codes:
  0    it was written, whatever became of the ids
  1    a file could not be written
  2    something is missing or cannot be used"""

_format = partial(option, rich_help_panel="Formats")


@attrs.frozen(kw_only=True)
class Formats:
    """Where to write what. A file that is there is replaced."""

    html: str | None = _format("FILE", "Write a page for people to this file; one that is there is replaced.")
    csv: str | None = _format("FILE", "Write every id, with what became of it, to this CSV file.")
    jsonl: str | None = _format("FILE", "Write the same as JSON Lines.")
    json: bool = _format(
        None,
        "Print the account as a JSON object on one line; of several journals a line each.",
        "--json",
        default=False,
    )

    @property
    def files(self) -> list[tuple[str, str]]:
        """The files, each with the suffix of its format."""
        wanted = ((self.html, ".html"), (self.csv, ".csv"), (self.jsonl, ".jsonl"))
        return [(path, suffix) for path, suffix in wanted if path is not None]


@command
def report(
    journals: Annotated[
        list[str],
        typer.Argument(
            metavar="JOURNAL",
            help="The journal of a deletion: its file, or its name in your own directory of journals.",
            show_default=False,
            autocompletion=completed_all,
        ),
    ],
    *,
    formats: Formats,
) -> ExitCode:
    """Report what deletions came to."""
    files = formats.files
    if files and len(journals) > 1:
        raise ProblemError(
            "a file is the report of one deletion, or its ids would be counted twice: name one journal for each"
        )
    paths = [find_journal(name) for name in journals]
    check_reports(files, *paths)
    written = True
    for path in paths:
        history = read_now(path, reading(path))
        if formats.json:
            put(json.dumps({"journal": path} | as_dict(history)))
        elif not files:
            put("\n".join([*in_lines(history), told(str(summary_of(history)))]))
            if history.gone < len(history.entries) and not history.at_work:
                say(f"to go on: {resume_command(path, options_for(history.target))}")
        if files and history.at_work:
            say("aionorth: a run is at work on it: the report says how far that has come")
        written = write_reports(history, files) and written
    return ExitCode.OK if written else ExitCode.FAILED
