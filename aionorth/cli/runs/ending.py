"""How a run's end is reported: on stdout, in messages and in a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import attrs

from aionorth.cli.output.messages import (
    ExitCode,
    complain,
    in_words,
    log_only,
    own_name,
    put,
    remark,
    say,
    told,
    typed,
)
from aionorth.cli.parser import option
from aionorth.cli.reports.formats import ReportError, write_report
from aionorth.cli.runs.job import MAX_EXAMPLES, Ended, hangup_ignored
from aionorth.common.text import visible
from aionorth.errors import JournalError
from aionorth.purge.journal import History, read

NOTEWORTHY = 0.1
"""The part of the ids from which on it is said that the platform did not know them."""

_how = partial(option, rich_help_panel="How")


@attrs.frozen(kw_only=True)
class Output:
    """What a run writes at its end, and how it is taken."""

    report: list[str] | None = _how(  # noqa: RUF009 - a field
        "FILE",
        "Write a report of the whole purge at the end: .html for people, .csv or .jsonl for programs. A file that is "
        "there is replaced. Can be repeated.",
    )
    json: bool = _how(None, "Print the result as one JSON object.", "--json", default=False)
    missing_ok: bool = _how(
        None, "End with exit code 0 although the platform knows none of the ids.", "--missing-ok", default=False
    )

    def as_typed(self) -> list[str]:
        """Return the options that the resumed run needs too, as they could be typed again."""
        return [word for path in self.report or () for word in ("--report", path)]


def reported(ended: Ended, output: Output) -> ExitCode:
    """Report how a run ended, on stdout, in a file and in messages; return the exit code."""
    ended = attrs.evolve(ended, missing_ok=output.missing_ok)
    with hangup_ignored():
        ended = attrs.evolve(ended, reported=_in_files(ended, output))
    summary = "; ".join(" ".join(line.split()) for line in told(str(ended.summary)).splitlines())
    log_only(f"ended with exit code {ended.exit_code}: {summary}")
    with hangup_ignored():
        try:
            if output.json:
                put(ended.as_json())
            elif ended.summary.total:
                put(ended.as_text())
        except OSError:
            say(told(str(ended.summary)))  # the account of a run must not be lost
            _in_messages(ended)
            if ended.interrupted:  # most likely by the terminal that has gone away
                return ended.exit_code
            raise
        _in_messages(ended)
    return ended.exit_code


def _in_messages(ended: Ended) -> None:
    if ended.reason is not None:
        complain(f"aionorth: {ended.reason}")
    elif ended.exit_code is ExitCode.NONE_KNOWN:
        lost = f" ({ended.summary.gone:,} of them after a lost reply)" if ended.summary.gone else ""
        complain(
            f"aionorth: the platform knows none of these ids{lost}{_examples(ended)}: are they "
            f"{ended.kind.words} of this app? --missing-ok takes that for a success"
        )
    elif ended.unknown >= NOTEWORTHY * ended.named > 0:
        said = f"the platform did not know {ended.unknown:,} of the {ended.named:,} ids{_examples(ended)}"
        remark(f"aionorth: {said}")


def _in_files(ended: Ended, output: Output) -> bool:
    """Write the reports that are wanted, before anything says how the run ended; return whether they are written."""
    if not output.report:
        return True
    if ended.journal is None:
        remark("aionorth: no report is written: nothing was sent to delete anything")
        return True
    try:
        history = read(ended.journal)
    except JournalError as exc:
        complain(f"aionorth: no report is written: {in_words(exc)}")
        return False
    if write_reports(history, [(path, "") for path in output.report]):
        return True
    remark(f"aionorth: another can be had by: {own_name()} report {typed(ended.journal)} --html FILE")
    return False


def _examples(ended: Ended) -> str:
    """Name some of the ids that the platform did not know; of those of the runs before none is at hand."""
    examples = [*ended.absent, *ended.examples][:MAX_EXAMPLES]
    return f", as {', '.join(map(visible, examples))}" if examples else ""


def write_reports(history: History, files: Sequence[tuple[str, str]]) -> bool:
    """Write reports of a journal: for each its file, and the suffix of its format or "" for that of its name.

    Says what has become of them, and returns whether all are written.
    """
    written = 0
    for path, suffix in files:
        try:
            write_report(path, history, now=datetime.now().astimezone(), suffix=suffix)
        except ReportError as exc:
            complain(f"aionorth: {in_words(exc)}")
        else:
            written += 1
            remark(f"aionorth: the report is in {typed(path)}")
    return written == len(files)
