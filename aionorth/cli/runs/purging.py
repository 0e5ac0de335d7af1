"""A purge from the command line: its plan is found, shown, confirmed and carried out."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs

from aionorth.cli import plan_files
from aionorth.cli.output.messages import (
    ExitCode,
    Notes,
    ProblemError,
    own_name,
    put,
    remark,
    say,
    typed,
    width_of,
)
from aionorth.cli.output.progress import Listing, view_of
from aionorth.cli.runs.confirm import can_ask, confirmed, described
from aionorth.cli.runs.ending import Output, reported
from aionorth.cli.runs.job import DRAIN_TIMEOUT, REFRESH, Ended, carry_out, on_signals
from aionorth.cli.runs.journals import new_journal, own_directory
from aionorth.cli.runs.options import Bounds, How
from aionorth.cli.settings import Connection
from aionorth.cli.settings.given import Given
from aionorth.models import DeleteSummary
from aionorth.purge.plan import Plan
from aionorth.purge.selections import Selection
from aionorth.session.north import NorthSession
from aionorth.wire.resources import RESOURCES

Find = Callable[[NorthSession], Awaitable[Plan[Any] | ExitCode]]
"""Makes the plan, or reads it; where there can be none it does all, and returns the exit code."""

SETTLE_TIME = 0.05
"""Seconds in which the loop notices connections that were closed while a person thought."""


async def purge(
    find: Find,
    connection: Connection,
    notes: Notes,
    *,
    how: How,
    bounds: Bounds,
    output: Output,
    given: Given,
    explicit: bool = False,
) -> ExitCode:
    """Find the plan, show it, have it confirmed and delete what it says; `explicit` is as for `_agreed`."""
    north = connection.session()
    directory = None if how.only_shown or how.journal is not None else own_directory()
    async with north:
        plan = await find(north)
        if isinstance(plan, ExitCode):
            return plan
        kind = plan.target.kind
        if how.only_shown:
            whole = "--json" if how.out is None else "the plan"
            shown = described(plan, width_of(sys.stdout), batch=how.batch and plan.batch is not None, whole=whole)
            put(json.dumps(plan.to_dict()) if output.json else shown)
        batch = _checked(plan, how)
        if how.only_shown:
            return _kept(plan, how)
        if not plan.delete:
            if not explicit:
                remark(str(plan))
            remark("aionorth: there is nothing to delete")
            return reported(Ended(kind=kind, summary=DeleteSummary(), absent=plan.absent), output)
        if not _agreed(plan, how, batch=batch, explicit=explicit):
            remark("aionorth: nothing was deleted")
            return ExitCode.FAILED
        await asyncio.sleep(SETTLE_TIME)
        journal = new_journal(directory, plan.target) if directory is not None else str(how.journal)
        run = north.purge(
            plan,
            journal=journal,
            batch=batch,
            workers=connection.workers,
            collect="failures",
            grace=DRAIN_TIMEOUT,
            max_failures=bounds.max_failures,
        )
        target, calls, along, absent = plan.target, plan.calls, len(plan.along), plan.absent
        bare = RESOURCES[kind].bare
        listed = any(one != bare(one.id) for one in plan.delete)
        del plan  # its run has what it needs, and it may name a million
        remark(f"aionorth: this run is recorded in {typed(journal)}")
        ended = await carry_out(
            run,
            north,
            notes,
            kind=kind,
            title=f"Deleting {target}",
            distinct=calls,
            journal=journal,
            options=[*given.as_typed(), *bounds.as_typed(), *output.as_typed()],
            absent=absent,
        )
        ended = attrs.evolve(ended, listed=listed)
        if not ended.summary.calls:  # nothing to resume, and perhaps the wrong platform
            ended = _without_journal(ended, journal)
        if along and ended.summary.ok:
            remark(f"aionorth: {along:,} more went along with a gateway, as planned")
        del run  # a report of many ids has use for their memory
    return reported(ended, output)


def _checked(plan: Plan[Any], how: How) -> bool:
    """Return whether the plan's batch call is to be made; raises `ProblemError` where a bound or `how` forbids all."""
    if how.max_delete is not None and plan.number > how.max_delete:
        remedy = "select fewer, or raise --max-delete" if how.only_shown else "look at them with --dry-run"
        raise ProblemError(
            f"{plan.number:,} {plan.target.kind.words} are selected, and --max-delete is {how.max_delete:,}: "
            f"nothing was deleted; {remedy}"
        )
    if how.batch and plan.batch is None and plan.calls > 1:  # for one item a call of its own does
        raise ProblemError(
            "--batch: no single call takes exactly what is selected, so nothing was deleted; leave it out. It "
            "filters by notify type and callback URL only, and must not take what could not be listed"
        )
    return how.batch and plan.batch is not None


def _kept(plan: Plan[Any], how: How) -> ExitCode:
    """Keep a plan that is not carried out now, if that is wanted; return the exit code."""
    if how.out is None:
        remark("aionorth: a dry run: nothing was deleted")
    else:
        plan_files.write(how.out, plan)
        to_go_on = f"{own_name()} apply {typed(how.out)}"
        remark(f"aionorth: nothing was deleted; the plan is in {typed(how.out)}; to carry it out: {to_go_on}")
    return ExitCode.TO_DO if how.detailed_exitcode and plan.delete else ExitCode.OK


def _without_journal(ended: Ended, journal: str) -> Ended:
    """Remove a journal that holds nothing but the plan; the same command makes another."""
    try:
        Path(journal).unlink(missing_ok=True)
    except OSError:  # then it stays, and can be resumed
        return ended
    remark("aionorth: nothing was sent to delete anything: no journal is kept")
    return attrs.evolve(ended, journal=None)


# --- Before a deletion


async def planned(selection: Selection[Any], notes: Notes, north: NorthSession) -> Plan[Any]:
    """List what there is, showing how far that is."""
    listed = 0

    def count(number: int) -> None:
        nonlocal listed
        listed = number
        notes.latest = None

    work = asyncio.ensure_future(north.plan(selection, on_listed=count))
    began = time.monotonic()
    with on_signals(work.cancel), view_of("Finding out what there is", brief=True) as show:
        while not (await asyncio.wait({work}, timeout=REFRESH))[0]:
            elapsed = time.monotonic() - began
            show(Listing(listed=listed, flow=north.flow, elapsed=elapsed, note=notes.recent(elapsed)))
    if work.cancelled():
        raise KeyboardInterrupt
    return work.result()


def _agreed(plan: Plan[Any], how: How, *, batch: bool, explicit: bool) -> bool:
    """Whether the deletion may go ahead, after a question where one is needed.

    What is `explicit`, a list of ids, needs none in a script.
    """
    if how.yes or (explicit and not can_ask()):
        return True
    if not can_ask():
        raise ProblemError(
            f"{plan.number:,} {plan.target.kind.words} are selected, and there is no terminal to ask on: nothing was "
            "deleted; look at them with --dry-run, then give --yes"
        )
    say(described(plan, width_of(sys.stderr), batch=batch))
    return confirmed(plan, batch=batch)
