"""The commands of a fleet of workers: ``aionorth fleet …``."""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from aionorth.cli.commands import fleet_runs
from aionorth.cli.commands.apply import Ages, check_age
from aionorth.cli.fleet import ENVIRONMENT, on_fleet, to_type
from aionorth.cli.fleet.manifest import named_again, read_parts
from aionorth.cli.fleet.view import MAX_PARTS, in_columns, kinds_of
from aionorth.cli.output.messages import ExitCode, ProblemError, complain, put, remark, say, width_of
from aionorth.cli.parser import GroupedCommand, GroupedCommands, command, option
from aionorth.cli.runs.confirm import asked, can_ask
from aionorth.common.text import many, visible
from aionorth.fleet.runs import Part
from aionorth.fleet.store import check_name
from aionorth.purge.plan import Plan
from aionorth.session.value_types import WHOLE

if TYPE_CHECKING:
    from aionorth.fleet import Fleet

HELP = f"""Delete what many apps have, by workers on any number of hosts that share a Redis server.

A run is submitted from manifests or kept plans, and has a part for each app and kind. Workers take the parts, with
settings and secrets of their own: profiles, files, environment. Redis has the ids, a journal of each part, flow control
and sealed tokens, and nothing else. Where a worker dies another one takes over its parts.

\b
Examples:
  aionorth fleet worker
  aionorth fleet submit manifest.csv
  aionorth fleet status
  aionorth fleet status 20261104-021205-3fa9 --watch
  aionorth fleet report 20261104-021205-3fa9 --html purge.html --csv purge.csv

{ENVIRONMENT}
"""

fleet = typer.Typer(
    help=HELP,
    short_help="Delete what many apps have, by workers on many hosts.",
    cls=GroupedCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
)

# --- Workers

WORKER = f"""Work on the runs of the fleet, until Ctrl-C or SIGTERM.

It needs the settings of each app: a profile of the name that the manifest has, or AIONORTH_URL, AIONORTH_APP_ID and
AIONORTH_SECRET for rows without one. With profiles, these three must not be set. Start as many workers as you like, on
as many hosts; one is enough for some hundred apps. When it ends it finishes the calls in flight and hands its parts
back, for other workers to go on with.

The same as: taskiq worker aionorth.fleet:broker, which has more options.

\b
Examples:
  aionorth fleet worker
  aionorth fleet worker --workers 4 --parts 500

{ENVIRONMENT}

\b
Exit codes:
  0  it was told to end
  1  it ended otherwise
  2  something is missing or cannot be used: the Redis server, say"""


@attrs.frozen(kw_only=True)
class Size:
    """How much a worker does at once."""

    workers: int = option("N", "Processes. [default: 1]", default=1, converter=WHOLE.parsed)
    parts: int = option("N", "Parts at once in each: apps, mostly. [default: 250]", default=250, converter=WHOLE.parsed)


@command
def worker(*, size: Size) -> ExitCode:
    """Work on the runs of the fleet."""
    on_fleet(lambda fleet: fleet.runs())  # so that what is wrong shows once, not again and again in each process
    from taskiq.cli.worker.args import WorkerArgs  # noqa: PLC0415 - it is installed
    from taskiq.cli.worker.run import run_worker  # noqa: PLC0415 - as above

    args = WorkerArgs("aionorth.fleet:broker", [], workers=size.workers, max_async_tasks=size.parts)
    return ExitCode.FAILED if run_worker(args) else ExitCode.OK


# --- Submitting

SUBMIT = f"""Have the fleet delete what manifests and plans name; print the name of the run.

A manifest is a CSV file with the columns profile, kind and id, and authorized_app_id where the resources are another
app's that has authorized this one. A profile is one of the workers'; without one the row is for the app of their
environment. Kinds are those of 'aionorth delete': subscriptions, packages, devices, device-groups. A plan is what
'aionorth delete KIND --out FILE' kept; the workers find the profile by its URL and app.

All rows are checked before anything is sent. Then you are asked to type the number of ids, and the workers begin.

\b
Examples:
  aionorth fleet submit manifest.csv
  aionorth fleet submit plan-a.json plan-b.csv --max-age 2d
  run=$(aionorth fleet submit manifest.csv --yes) && aionorth fleet status "$run" --watch

\b
A manifest:
  profile,kind,id
  meters,subscriptions,5f0c3f7a
  meters,packages,a91d
  valves,subscriptions,77b2e0c4

{ENVIRONMENT}

\b
Exit codes:
  0    it was submitted
  1    you did not confirm it; or the submission was broken off once the run was
       kept: its name is printed, and 'aionorth fleet resume' goes on with it
  2    something is missing or cannot be used; nothing was submitted
  130  interrupted; where the name of the run is printed, it is as with 1"""


@attrs.frozen(kw_only=True)
class Submission:
    """How a run is submitted."""

    name: str | None = option("NAME", "What the run is to be called. [default: a name with the time in it]")
    no_cascade: bool = option(
        None,
        "Keep the devices behind a gateway that is deleted: needed where a manifest has devices.",
        "--no-cascade",
        default=False,
    )
    yes: bool = option(None, "Do not ask: for scripts.", "--yes", default=False)
    json: bool = option(None, "Print the run and its parts as one JSON object.", "--json", default=False)


@command
def submit(
    manifests: Annotated[
        list[str],
        typer.Argument(
            metavar="MANIFEST",
            help="Manifests (.csv; - for standard input) or plans (.csv, .json).",
            show_default=False,
        ),
    ],
    *,
    submission: Submission,
    ages: Ages,
) -> ExitCode:
    """Submit a run."""
    now = datetime.now(UTC)

    def check_plan(path: str, plan: Plan[Any]) -> None:
        check_age(path, plan.made_at, ages.max_age, now)

    if submission.name is not None:
        check_name(submission.name)
    parts = read_parts(manifests, check_plan, cascade=not submission.no_cascade)

    if again := named_again(parts):
        are = "is" if len(again) == 1 else "are"
        remark(
            f"aionorth: {many(len(again), 'id')}, {visible(again[0])} first, {are} named for more than one profile or "
            "plan: if these are of the same app, each is called twice, and not found the second time; name them once"
        )
    code, run = _submit(parts, submission)
    if run:
        put(json.dumps(_submitted(run, parts)) if submission.json else run)
    return code


def _submit(parts: list[Part], submission: Submission) -> tuple[ExitCode, str]:
    """Submit a run if that is agreed to, and say so; return the exit code, and the run's name if all of it is kept.

    Raises:
        ProblemError: The server cannot be used, and nothing was submitted.
    """
    agreed, kept = False, list[str]()

    async def do(fleet: Fleet) -> None:
        nonlocal agreed
        if submission.name in await fleet.runs():
            raise ProblemError(f"there is a run {submission.name} already: give it another name")
        if agreed := submission.yes or _agreed(parts):
            await fleet.submit(parts, name=submission.name, on_kept=kept.append)

    try:
        on_fleet(do)
    except (ProblemError, KeyboardInterrupt) as exc:
        if agreed and not kept:
            anew = f"anew, under another name than {submission.name}" if submission.name else "anew"
            complain(f"aionorth: not all of it was kept, so nothing of it is deleted: submit it {anew}")
        if not kept:
            raise
        interrupted = isinstance(exc, KeyboardInterrupt)
        complain(
            f"aionorth: {'interrupted' if interrupted else exc}\nrun {kept[0]} is kept, and its ids may be deleted "
            f"already, but workers may not have been told of all parts\nto go on: {to_type('resume', kept[0])}"
        )
        return ExitCode.INTERRUPTED if interrupted else ExitCode.FAILED, kept[0]
    if not agreed:
        remark("aionorth: nothing was submitted")
        return ExitCode.FAILED, ""
    number = many(len(parts), "part")
    twice = sum(one.duplicates for one in parts)
    dropped = f"; {many(twice, 'duplicate')} dropped" if twice else ""
    follow = f"{to_type('status', kept[0])} --watch"
    remark(f"aionorth: submitted: {kinds_of(parts)}, in {number}{dropped}\nhow far it is: {follow}")
    return ExitCode.OK, kept[0]


def _submitted(run: str, parts: list[Part]) -> dict[str, Any]:
    about = [
        {"part": number, "app": one.app, "kind": one.kind.value, "total": one.total, "duplicates": one.duplicates}
        for number, one in enumerate(parts)
    ]
    return {"run": run, "total": sum(one.total for one in parts), "parts": about}


def _agreed(parts: list[Part]) -> bool:
    """Whether the deletion may go ahead: somebody types how many ids there are."""
    total, what = sum(one.total for one in parts), kinds_of(parts)
    if not can_ask():
        raise ProblemError(
            f"there is no terminal to ask on whether to delete {what}: nothing was submitted; give --yes"
        )
    rows = [["APP", "KIND", "IDS", "NAMED TWICE"]]
    rows += [[one.app, one.kind.words, f"{one.total:,}", f"{one.duplicates:,}"] for one in parts[:MAX_PARTS]]
    more = [f"and {len(parts) - MAX_PARTS:,} more"] if len(parts) > MAX_PARTS else []
    columns = width_of(sys.stderr)
    shown = "\n".join([what, in_columns(rows, None if columns == math.inf else int(columns)), *more])
    say(shown)
    how = "They will be deleted by the workers of the fleet."
    answer = asked(shown, how, str(total), otherwise="nothing was submitted")
    return answer.replace(",", "") == str(total)


for _name, _command, _help, _short_help in (
    ("worker", worker, WORKER, "Work on the runs of the fleet."),
    ("submit", submit, SUBMIT, "Have the fleet delete what manifests and plans name."),
    ("status", fleet_runs.status, fleet_runs.STATUS, "Say how far runs are."),
    ("report", fleet_runs.report, fleet_runs.REPORT, "Report what a run came to."),
    ("cancel", fleet_runs.cancel, fleet_runs.CANCEL, "End the work on a run."),
    ("resume", fleet_runs.resume, fleet_runs.RESUME, "Go on with what is left of a run."),
):
    fleet.command(_name, help=_help, short_help=_short_help, cls=GroupedCommand)(_command)
