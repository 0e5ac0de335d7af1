"""The command ``aionorth journals``: the journals that no file was named for, and the removal of old ones."""

from __future__ import annotations

import sys
import time
from datetime import timedelta

import attrs

from aionorth.cli.output.messages import ExitCode, in_words, on_terminal, say
from aionorth.cli.parser import command, option
from aionorth.cli.runs.journals import own_journals, own_place, put_journals
from aionorth.common.durations import in_hours_or_more
from aionorth.common.times import in_whole_units
from aionorth.errors import JournalError
from aionorth.purge.journal import Overview, remove_finished

KEEP = timedelta(days=90)
"""For how long a finished journal is kept where no option says otherwise."""

HELP = """List the journals in your own directory of them, the newest first.

Each with when its first run began, how far it is, its size, how many ids are gone, and its file. Finished ones that
ended longer ago than --keep are offered for removal: a journal has all ids, and nobody else removes it. One that has
something left to do, or that a run is at work on, is never removed.

\b
Examples:
  aionorth journals
  aionorth journals --keep 30d --yes
  aionorth journals --json

\b
Exit codes:
  0    they were listed
  1    one could not be removed
  2    something is missing or cannot be used"""


@attrs.frozen(kw_only=True)
class Choices:
    """What is shown, and what goes."""

    keep: timedelta = option(  # noqa: RUF009 - a field
        "AGE",
        "Finished journals are old after this time: 90d, 12h, 2w. [default: 90d]",
        default=KEEP,
        converter=in_hours_or_more,
    )
    yes: bool = option(None, "Remove the old ones without a question: for scripts.", "--yes", default=False)
    json: bool = option(None, "Print one JSON object for each, a line each.", "--json", default=False)


@command
def journals(*, choices: Choices) -> ExitCode:
    """List the user's own journals, and have old ones removed."""
    listed = put_journals(own_journals(), as_json=choices.json, sizes=True)
    if not listed:
        say(f"aionorth: there are no journals in {own_place()}")
    before = time.time() - choices.keep.total_seconds()
    old = [one for one in listed if one.finished and one.ended < before]
    if not old:
        return ExitCode.OK
    number, them = (f"{len(old):,} finished journals", "them") if len(old) > 1 else ("1 finished journal", "it")
    about = f"{number} ended more than {in_whole_units(choices.keep)} ago"
    if not choices.yes:
        if choices.json or not (on_terminal(sys.stdin) and on_terminal(sys.stderr)):
            say(f"aionorth: {about}; --yes removes {them}")
            return ExitCode.OK
        if not _agreed(f"{about}. Remove {them}? [y/N] "):
            say("aionorth: nothing was removed")
            return ExitCode.OK
    return _removed(old)


def _agreed(question: str) -> bool:
    print(question, end="", file=sys.stderr, flush=True)  # noqa: T201 - a command line prints
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _removed(old: list[Overview]) -> ExitCode:
    """Remove journals, each after another look; say what has become of that."""
    removed = 0
    for one in old:
        try:
            removed += remove_finished(one.path)
        except (JournalError, OSError) as exc:
            say(f"aionorth: not removed: {in_words(exc)}")
    say(f"aionorth: {removed:,} of {len(old):,} removed")
    return ExitCode.OK if removed == len(old) else ExitCode.FAILED
