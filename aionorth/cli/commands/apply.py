"""``aionorth apply``: a deletion by a plan that was kept."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any

import attrs
import typer

from aionorth.cli import plan_files, settings
from aionorth.cli.kinds import KINDS
from aionorth.cli.output.logs import Messages
from aionorth.cli.output.messages import EXIT_CODES, ExitCode, ProblemError, remark
from aionorth.cli.parser import command, option
from aionorth.cli.runs.ending import Output
from aionorth.cli.runs.options import Bounds, How, check_files
from aionorth.cli.runs.purging import planned, purge
from aionorth.cli.settings.given import Given
from aionorth.common.durations import in_any_unit
from aionorth.common.text import visible
from aionorth.common.times import duration, in_whole_units
from aionorth.purge.plan import Plan
from aionorth.purge.selections import EXCLUDED, Selection
from aionorth.session.north import NorthSession

HELP = f"""Carry out a plan that 'aionorth delete KIND --out FILE' kept: it is shown, confirmed and deleted.

What it names is deleted and nothing else, whatever has happened on the platform since. Where gateways take along what
is behind them, all devices are listed again, and what goes along is counted anew. The URL and the app are yours
to say, as for the deletion: a plan for others is refused. So is one that is too old.

Rows can be taken out of a .csv plan by any editor or spreadsheet; one that was added, or whose id was changed, is
refused. What else a plan says of an item is shown and not checked: the id is what is deleted.

\b
Examples:
  aionorth delete packages --older-than 90d --out plan.csv
  aionorth apply plan.csv --dry-run
  aionorth apply plan.csv
  aionorth apply plan.json --yes --max-age 2d --report purge.html

{EXIT_CODES}
"""

MAX_AGE = timedelta(hours=24)

CLOCKS_APART = timedelta(minutes=1)
"""How far in the future a plan may have been made: by a machine whose clock is ahead."""


@attrs.frozen(kw_only=True)
class Ages:
    """How old a plan may be."""

    max_age: timedelta = option(  # noqa: RUF009 - a field
        "AGE",
        "Refuse a plan that was made longer ago: 24h, 2d, 90min. [default: 24h]",
        default=MAX_AGE,
        converter=in_any_unit,
        rich_help_panel="How",
    )


@partial(command, without={"out", "cascade"})
def apply(
    plan: Annotated[str, typer.Argument(metavar="FILE", help="The plan, .json or .csv.", show_default=False)],
    *,
    how: How,
    ages: Ages,
    bounds: Bounds,
    output: Output,
    given: Given,
    messages: Messages,
) -> ExitCode:
    """Carry out a plan."""
    with messages.noted() as notes:
        check_files(how.journal, output.report, plan)
        kept = [plan_files.read(plan)]  # handed on, because it may name a million
        check_age(plan, kept[0].made_at, ages.max_age, datetime.now(UTC))
        connection = settings.resolve(given)

        async def find(north: NorthSession) -> Plan[Any]:
            adopted = north.adopt(kept.pop())
            # What goes along may be more by now, or what was taken out of the plan.
            return await planned(_again(adopted), notes, north) if adopted.target.cascade else adopted

        return asyncio.run(purge(find, connection, notes, how=how, bounds=bounds, output=output, given=given))


def _again(plan: Plan[Any]) -> Selection[Any]:
    """Return the selection of what `plan` deletes, which never takes along what it excluded."""
    conditions: dict[str, Any] = {
        "ids": [one.id for one in plan.delete],
        "exclude": [kept.item.id for kept in plan.keep if kept.reason == EXCLUDED],
        "cascade": plan.target.cascade,
        "authorized_app_id": plan.target.authorized_app_id,
    }
    return KINDS[plan.target.kind].selection(**conditions)


def check_age(path: str, made_at: datetime | None, longest: timedelta, now: datetime) -> None:
    """Raise `ProblemError` where the plan in the file `path` is too old, or of the future; else say how old it is."""
    if made_at is None:
        raise ProblemError(f"{path} does not say when it was made: make it anew")
    when = f"{path} was made at {made_at.astimezone():%Y-%m-%d %H:%M:%S %z}"
    if made_at > now + CLOCKS_APART:
        raise ProblemError(f"{when}, which is in the future: put the clock right, or make the plan anew")
    if now - made_at > longest:
        raise ProblemError(
            f"{when}, longer ago than {in_whole_units(longest)}: make it anew, or say how old it may be with --max-age"
        )
    ago = duration(max(0.0, (now - made_at).total_seconds()))
    remark(f"aionorth: the plan {visible(when)}, {ago} ago")
