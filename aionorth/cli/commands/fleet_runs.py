"""The commands about runs of a fleet: ``aionorth fleet status``, ``report``, ``cancel`` and ``resume``."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import attrs
import typer

from aionorth.cli.commands.report import Formats
from aionorth.cli.fleet import ENVIRONMENT, on_fleet, to_type
from aionorth.cli.fleet.view import MAX_PARTS, detailed, in_columns, runs_table, watch, width
from aionorth.cli.output.messages import ExitCode, ProblemError, complain, own_name, put, remark, say, told, typed
from aionorth.cli.parser import command, option
from aionorth.cli.runs.options import check_reports
from aionorth.common.text import many, visible
from aionorth.common.times import utc
from aionorth.fleet.runs import DamagedError, NoRunError, RunStatus
from aionorth.models import Outcome

if TYPE_CHECKING:
    from aionorth.fleet import Fleet

_CODES_OF_RUN = """\b
Exit codes:
  0  it was done, or there was nothing to do
  2  something is missing or cannot be used: no such run, say"""

Name = Annotated[str, typer.Argument(metavar="RUN", help="The name of the run.", show_default=False)]


STATUS = f"""Say how far runs are: all that are kept, or one with its parts.

Parts that failed, or whose worker shows no sign of life, come first. DONE says how many of its ids a part has called;
the others are still to come. A run is kept for 90 days after its last sign of life.

\b
Examples:
  aionorth fleet status
  aionorth fleet status 20261104-021205-3fa9
  aionorth fleet status 20261104-021205-3fa9 --watch
  aionorth fleet status 20261104-021205-3fa9 --json

{ENVIRONMENT}

\b
Exit codes:
  0    all ids are gone, or the run goes on
  1    it has ended, and some are not known to be gone, or not all of it was kept;
       without RUN: one of those that are kept cannot be read
  2    something is missing or cannot be used: no such run, say
  5    it has ended, and the platforms know not one of its ids
  130  --watch was interrupted; the run goes on"""


@attrs.frozen(kw_only=True)
class View:
    """How it is shown."""

    watch: bool = option(None, "Follow the run until it has ended.", "--watch", default=False)
    json: bool = option(
        None, "Print the run as one JSON object; without RUN one for each run, a line each.", "--json", default=False
    )


@command
def status(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="The name of a run.", show_default=False)] = None,
    *,
    view: View,
) -> ExitCode:
    """Say how far runs are."""
    if run is None:
        if view.watch:
            raise ProblemError("--watch follows one run: name it; without --watch all runs are listed")
        return _list_runs(as_json=view.json)

    async def look(fleet: Fleet) -> RunStatus:
        return await (watch(lambda: fleet.status(run)) if view.watch else fleet.status(run))

    try:
        found = on_fleet(look)
    except KeyboardInterrupt:
        say(f"aionorth: the run goes on\nto end it: {to_type('cancel', run)}")
        return ExitCode.INTERRUPTED
    put(json.dumps(found.to_dict()) if view.json else detailed(found, width(), MAX_PARTS))
    if not found.settled:
        return ExitCode.OK
    if found.whole and found.outcomes[Outcome.NOT_FOUND] == found.total:
        complain("aionorth: the platforms know none of these ids: are they of these kinds, and of these apps?")
        return ExitCode.NONE_KNOWN
    return ExitCode.OK if found.ok else ExitCode.FAILED


def _list_runs(*, as_json: bool) -> ExitCode:
    runs, damaged = on_fleet(_each_run)
    if as_json:
        for one in runs:
            about, states = one.to_dict(), Counter(part.state.value for part in one.parts)
            del about["parts"]
            put(json.dumps(about | {"submitted_at": utc(one.made_at), "states": states}))
    elif runs:
        put(runs_table(runs))
    elif not damaged:
        remark(f"aionorth: there are no runs; this begins one: {own_name()} fleet submit MANIFEST")
    for exc in damaged:
        complain(f"aionorth: {told(exc)}")
    return ExitCode.FAILED if damaged else ExitCode.OK


async def _each_run(fleet: Fleet) -> tuple[list[RunStatus], list[DamagedError]]:
    """Return how far each run is, the latest first, and what is wrong with those that cannot be read."""
    runs, damaged = list[RunStatus](), list[DamagedError]()
    for name in reversed(await fleet.runs()):
        try:
            runs.append(await fleet.status(name))
        except DamagedError as exc:
            damaged.append(exc)
        except NoRunError:  # it is not kept any more
            pass
    return runs, damaged


REPORT = f"""Report what a run came to, from the journals of its parts.

Nothing is sent to a platform. It can be done at any time: also while workers are at work on it. Without a format the
account goes to stdout. All formats are written in one reading of the journals.

\b
Examples:
  aionorth fleet report 20261104-021205-3fa9
  aionorth fleet report 20261104-021205-3fa9 --html purge.html --csv purge.csv

{ENVIRONMENT}

\b
Exit codes:
  0  it was written, whatever became of the ids
  1  a journal cannot be read, or a file could not be written after all
  2  something is missing or cannot be used: no such run or directory, say"""


@command
def report(run: Name, *, formats: Formats) -> ExitCode:
    """Report what a run came to."""
    from aionorth.cli.fleet.report import Account, write_reports  # noqa: PLC0415 - its templates take their time

    check_reports(formats.files)
    account, now = Account(as_json=formats.json), datetime.now().astimezone()
    found = on_fleet(lambda fleet: write_reports(fleet, run, formats.files, account.add, now))
    for path, _ in formats.files:
        remark(f"aionorth: the report is in {typed(path)}")
    if formats.json:
        put(json.dumps(account.to_dict(found)))
    elif not formats.files:
        put(account.in_lines(found))
    elif not found.whole:
        say(f"aionorth: {run}: {found.lack}")
    elif not found.settled:
        who = "workers are" if found.at_work else "no worker is"
        say(f"aionorth: {who} at work on it now: the report says how far it has come")
    for one, exc in account.damaged:
        of = f"{many(one.part.total, 'id')} of {visible(one.part.app)} ({one.part.kind.words})"
        complain(f"aionorth: what became of {of} is not known: {told(exc)}")
    return ExitCode.FAILED if account.damaged else ExitCode.OK


CANCEL = f"""End the work on a run: no new calls begin, and calls in flight are finished.

Every id keeps its outcome, and what is left is never tried unless the run is resumed.

\b
Examples:
  aionorth fleet cancel 20261104-021205-3fa9

{ENVIRONMENT}

{_CODES_OF_RUN}"""


@command
def cancel(run: Name) -> ExitCode:
    """End the work on a run."""

    async def do(fleet: Fleet) -> RunStatus:
        if not (found := await fleet.status(run)).settled or not found.whole:  # its submission may be under way
            await fleet.cancel(run)
        return found

    found = on_fleet(do)
    if not found.whole:
        remark(f"aionorth: {run}: {found.lack}")
    elif found.settled:
        remark(f"aionorth: nobody is at work on {run}: it has ended")
    else:
        remark(f"aionorth: the work on {run} ends within some seconds\nto go on with it: {to_type('resume', run)}")
    return ExitCode.OK


RESUME = f"""Go on with what is left of a run that was cancelled, or of which parts failed.

It prints the parts that go on. What is known to be gone is not called again; all else is.

\b
Examples:
  aionorth fleet resume 20261104-021205-3fa9

{ENVIRONMENT}

{_CODES_OF_RUN}"""


@command
def resume(run: Name) -> ExitCode:
    """Go on with a run."""
    parts = on_fleet(lambda fleet: fleet.resume(run))
    if not parts:
        remark(f"aionorth: nothing of {run} is cancelled or has failed\nhow far it is: {to_type('status', run)}")
        return ExitCode.OK
    rows = [["APP", "KIND", "LEFT"]]
    rows += [[one.part.app, one.part.kind.words, f"{one.part.total - one.gone:,}"] for one in parts]
    put(in_columns(rows, width()))
    go = "goes" if len(parts) == 1 else "go"
    number = many(len(parts), "part")
    remark(f"aionorth: {number} of {run} {go} on\nhow far it is: {to_type('status', run)} --watch")
    return ExitCode.OK
