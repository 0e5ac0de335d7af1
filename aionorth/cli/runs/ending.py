"""How a run's end is reported: on stdout, in messages and in a file."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import attrs

from aionorth.cli.output.messages import ExitCode, complain, in_words, log_only, put, remark, say
from aionorth.cli.parser import option
from aionorth.cli.reports.formats import write_report
from aionorth.cli.runs.job import Ended, hangup_ignored
from aionorth.common.text import visible
from aionorth.errors import JournalError
from aionorth.purge.journal import read

_how = partial(option, rich_help_panel="How")


@attrs.frozen(kw_only=True)
class Output:
    """What a run writes at its end."""

    report: str | None = _how(
        "FILE",
        "Write a report of the whole purge at the end: .html for people, .csv or .jsonl for programs. A file that is "
        "there is replaced.",
    )
    json: bool = _how(None, "Print the result as one JSON object.", "--json", default=False)


def reported(ended: Ended, output: Output) -> ExitCode:
    """Report how a run ended, on stdout, in a file and in messages; return the exit code."""
    summary = "; ".join(" ".join(line.split()) for line in str(ended.summary).splitlines())
    log_only(f"ended with exit code {ended.exit_code}: {summary}")
    with hangup_ignored():
        try:
            if output.json:
                put(ended.as_json())
            elif ended.summary.total:
                put(ended.as_text())
        except OSError:
            say(f"{ended.summary}")  # the account of a run must not be lost
            exit_code = _in_messages_and_a_file(ended, output)
            if ended.interrupted:  # most likely by the terminal that has gone away
                return exit_code
            raise
        return _in_messages_and_a_file(ended, output)


def _in_messages_and_a_file(ended: Ended, output: Output) -> ExitCode:
    if ended.reason is not None:
        complain(f"aionorth: {ended.reason}")
    elif 0 < ended.summary.total == ended.summary.not_found:
        complain(f"aionorth: the platform knows none of these ids: are they {ended.kind.value} of this app?")
    if output.report is None:
        return ended.exit_code
    if ended.journal is None:
        remark("aionorth: no report is written: nothing was sent to delete anything")
        return ended.exit_code
    try:
        write_report(output.report, read(ended.journal), now=datetime.now().astimezone(), outages=ended.outages)
    except JournalError as exc:
        complain(f"aionorth: no report is written: {in_words(exc)}")
        return max(ended.exit_code, ExitCode.FAILED)
    remark(f"aionorth: the report is in {visible(output.report)}")
    return ended.exit_code
