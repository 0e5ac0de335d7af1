"""What the commands that begin runs have in common: bounds of a run, and the check of its files."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial

import attrs

from aionorth.cli.output.messages import ProblemError, resume_command
from aionorth.cli.parser import option
from aionorth.cli.reports.formats import check_report
from aionorth.errors import JournalError
from aionorth.purge.journal import check_new, read

_how = partial(option, rich_help_panel="How")


@attrs.frozen(kw_only=True)
class Bounds:
    """What ends a run before all ids are done."""

    max_failures: int | None = _how("N", "End the run once this many ids have failed.", min=1)

    def as_typed(self) -> list[str]:
        """Return the options as they could be typed again."""
        return [] if self.max_failures is None else ["--max-failures", str(self.max_failures)]


def check_files(journal: str | None, report: str | None, *sources: str | None) -> None:
    """Check that the files can be written, before anything is sent.

    Raises:
        ProblemError: One cannot be written, or the report would replace the journal or a source.
    """
    if report is not None:
        check_report(report)
        for other in (journal, *sources):
            if other is not None and os.path.realpath(other) == os.path.realpath(report):
                raise ProblemError(f"the report {report} would replace {other}: name another file for the report")
    if journal is not None:
        if os.path.lexists(journal):
            with suppress(JournalError):  # of what cannot be resumed, the check below says why
                read(journal)
                raise ProblemError(
                    f"{journal} exists already: resume it by '{resume_command(journal)}', or name another file for "
                    "the journal"
                )
        check_new(journal)
