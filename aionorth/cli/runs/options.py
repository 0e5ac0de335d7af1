"""What the commands that begin runs have in common: bounds of a run, and the check of its files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import attrs

from aionorth.cli import plan_files
from aionorth.cli.output.messages import ProblemError, resume_command
from aionorth.cli.parser import option
from aionorth.cli.reports.formats import check_report
from aionorth.cli.settings import options_for
from aionorth.errors import JournalError
from aionorth.purge.journal import check_new, overview_of
from aionorth.session.value_types import WHOLE, whole

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
        "After a plan that is only shown or kept, end with exit code 4 where there is something to delete.",
        "--detailed-exitcode",
        default=False,
    )
    yes: bool = _how(None, "Do not ask: for scripts.", "--yes", default=False)
    cascade: bool | None = _how(
        None,
        "Whether the devices behind a gateway are deleted with it; one of the two must be said.",
        "--cascade/--no-cascade",
    )
    max_delete: int | None = _how(
        "N", "Refuse to delete more than this, before the first deletion.", converter=whole(0).parsed
    )
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
                "--detailed-exitcode says whether a plan has something to delete: give --dry-run with it, or, to "
                "'aionorth delete', --out"
            )

    @property
    def only_shown(self) -> bool:
        """Whether nothing is to be deleted now."""
        return self.dry_run or self.out is not None


@attrs.frozen(kw_only=True)
class Bounds:
    """What ends a run before all ids are done."""

    max_failures: int | None = _how("N", "End the run once this many ids have failed.", converter=WHOLE.parsed)

    def as_typed(self) -> list[str]:
        """Return the options as they could be typed again."""
        return [] if self.max_failures is None else ["--max-failures", str(self.max_failures)]


def check_files(
    journal: str | None, reports: Iterable[str] | None, *sources: str | None, out: str | None = None
) -> None:
    """Check that the files can be written, before anything is sent; `out` is where a plan is to be kept.

    Raises:
        ProblemError: One cannot be written, or a report or the plan would replace the journal, a source or another one.
    """
    if out is not None:
        plan_files.check_writable(out)
        _check_apart("plan", out, journal, *sources)
    check_reports([(path, "") for path in reports or ()], journal, out, *sources)
    if journal is not None:
        if os.path.lexists(journal):
            with suppress(JournalError):  # of what cannot be resumed, the check below says why
                to_go_on = resume_command(journal, options_for(overview_of(journal).target))
                raise ProblemError(
                    f"{journal} exists already: resume it by '{to_go_on}', or name another file for the journal"
                )
        check_new(journal)


def check_reports(files: Iterable[tuple[str, str]], *others: str | None) -> None:
    """Check that reports can be written: for each its file, and the suffix of its format or "" for that of its name.

    Raises:
        ProblemError: One cannot be written, or would replace another one or one of the `others`.
    """
    taken = [other for other in others if other is not None]
    for path, suffix in files:
        check_report(path, suffix)
        _check_apart("report", path, *taken)
        taken.append(path)


def _check_apart(what: str, path: str, *others: str | None) -> None:
    for other in others:
        if other is not None and os.path.realpath(other) == os.path.realpath(path):
            raise ProblemError(f"the {what} {path} would replace {other}: name another file for the {what}")
