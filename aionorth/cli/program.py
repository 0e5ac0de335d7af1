"""The commands under one name. Each stands in a module of its own in ``commands``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated

import typer

from aionorth import __version__
from aionorth.cli.commands import apply, check, delete, demo, fleet, journals, listing, report, resume, simulate
from aionorth.cli.output.messages import EXIT_CODES, put, reported
from aionorth.cli.parser import GroupedCommand, GroupedCommands
from aionorth.cli.settings.given import ENVIRONMENT

_HELP = f"""Delete subscriptions, version packages, devices and device groups from a Huawei-style IoT platform in bulk.

As fast as the app's flow control allows and never faster, with an account of every single id.

\b
Examples:
  aionorth demo
  aionorth check
  aionorth list subscriptions --callback-host old.example.com
  aionorth delete subscriptions --callback-host old.example.com --dry-run
  aionorth delete packages --keep-latest 2 --older-than 90d
  aionorth delete devices --no-cascade --model WM-1 --not-seen-since 180d
  aionorth delete subscriptions --ids-file ids.txt
  aionorth resume purge.jsonl
  aionorth report purge.jsonl --html purge.html
  aionorth fleet submit manifest.csv
  aionorth simulate

{ENVIRONMENT}

{EXIT_CODES}
"""

app = typer.Typer(
    help=_HELP,
    cls=GroupedCommands,
    no_args_is_help=True,
    rich_markup_mode=None,  # ids and secrets may hold [brackets]
    pretty_exceptions_enable=False,  # they show local variables
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer passes it so
    if wanted:
        with reported():
            put(f"aionorth {__version__}")
        raise typer.Exit


@app.callback()
def options_of_all(
    *,
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Take the options that belong to no command."""


app.add_typer(delete.delete, name="delete", rich_help_panel="On the platform")
app.add_typer(listing.listing, name="list", rich_help_panel="On the platform")
app.add_typer(fleet.fleet, name="fleet", rich_help_panel="A fleet of workers")
for _panel, _command, _help, _short_help in (
    ("On the platform", apply.apply, apply.HELP, "Carry out a plan that was kept."),
    ("On the platform", resume.resume, resume.HELP, "Resume a deletion from its journal."),
    ("From journals", report.report, report.HELP, "Report what a deletion came to, from its journal."),
    ("From journals", journals.journals, journals.HELP, "List the journals of deletions, and remove old ones."),
    ("On the platform", check.check, check.HELP, "Test URL, TLS, credentials and clock."),
    ("To try things", demo.demo, demo.HELP, "Watch a run against a simulated platform; about 20 seconds."),
    ("To try things", simulate.simulate, simulate.HELP, "Serve a simulated platform to try things on."),
):
    app.command(help=_help, short_help=_short_help, cls=GroupedCommand, rich_help_panel=_panel)(_command)


@functools.cache
def program() -> Callable[..., object]:
    """Return the program. Typer takes longer to make it than most commands take."""
    return typer.main.get_command(app)
