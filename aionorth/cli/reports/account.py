"""The account of a purge as text and as JSON, from its journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import attrs

from aionorth.cli.output.messages import in_words, told
from aionorth.common.text import shortened, visible
from aionorth.common.times import duration, utc
from aionorth.errors import NorthError
from aionorth.models import DeleteResult, DeleteSummary, Outcome
from aionorth.purge.journal import Entry, History, Run, RunState

STATES: Mapping[RunState, str] = {
    RunState.COMPLETE: "it went through all ids",
    RunState.INTERRUPTED: "interrupted",
    RunState.FAILED: "ended early",
    RunState.AT_WORK: "a run is at work",
    RunState.NO_END: "no end is recorded: killed, or of an older version",
}
"""What has become of a run, in words."""


PENDING = "pending"
"""What is said of an id, where an outcome would be, while it is pending."""


def is_pending(entry: Entry, history: History) -> bool:
    """Whether an id has no outcome yet, or is tried again: while more is done, nothing has become of it."""
    return history.unfinished and (entry.outcome in {None, Outcome.SKIPPED} or entry.in_flight)


def fate(entry: Entry, history: History) -> Outcome:
    """Return what has become of an id so far; one that is pending counts as one that was not attempted."""
    return Outcome.SKIPPED if is_pending(entry, history) else entry.final_outcome()


def summary_of(history: History) -> DeleteSummary:
    """Return the summary of all runs, with the results of the ids that are not known to be gone."""
    entries = history.entries.values()
    settled = [one for one in entries if not is_pending(one, history)]
    counts = Counter(entry.final_outcome() for entry in settled)
    return DeleteSummary(
        total=len(entries),
        expected=len(entries),
        **{outcome.value: counts[outcome] for outcome in Outcome},
        duplicates=history.duplicates,
        refusals=sum(entry.refusals for entry in entries),
        retries=sum(max(0, entry.attempts + entry.in_flight - 1) for entry in entries if entry.all_calls > 1),
        calls=sum(entry.all_calls for entry in entries),
        elapsed=history.elapsed,
        results=tuple(entry.result() for entry in settled if not entry.final_outcome().ok),
    )


def as_counts(summary: DeleteSummary) -> dict[str, Any]:
    """Return a summary as `DeleteSummary.to_dict` does, with the options that people type in its messages."""
    return attrs.evolve(summary, results=()).to_dict() | {"results": [as_result(one) for one in summary.results]}


def as_result(result: DeleteResult) -> dict[str, Any]:
    """Return a result as `DeleteResult.to_dict` does, with the options that people type in its message."""
    return result.to_dict() | {"error": _error(result.error)}


def _error(error: NorthError | None) -> dict[str, Any] | None:
    return None if error is None else error.to_dict() | {"message": told(error)}


def how_ended(run: Run) -> str:
    """Say what has become of a run."""
    why = "" if run.cause is None else f": {shortened(in_words(run.cause))}"
    return f"{STATES[run.state]}{why}"


def in_lines(history: History) -> Iterator[str]:
    """Yield what there is to say of the purge as a whole and of each of its runs, but for what `summary_of` has."""
    yield f"{len(history.entries):,} {visible(str(history.target))}"
    if history.selection:
        yield f"  selected: {shortened(visible(history.selection))}"
    for number, run in enumerate(history.each_run(), 1):
        until = " to" if run.ended is not None else ", now" if run.state is RunState.AT_WORK else ", last sign of life"
        lasted = duration(run.last - run.began)
        yield f"  run {number}: {_local(run.began)}{until} {_local(run.last)}, {lasted}: {visible(how_ended(run))}"
    if outages := history.outages:
        times = "once" if len(outages) == 1 else f"{len(outages):,} times"
        still = ", and still is" if history.silent else ""
        yield f"  the platform was silent {times}, for {how_long_silent(history)} in all{still}"


def silence(history: History) -> float:
    """Return for how many seconds in all the platform answered no call."""
    return sum(one.end - one.start for one in history.outages)


def how_long_silent(history: History) -> str:
    """Say for how long in all the platform answered no call: at least so long, where a run was killed meanwhile."""
    ends = history.outages[:-1] if history.silent else history.outages
    return f"{'at least ' if any(one.open for one in ends) else ''}{duration(silence(history))}"


def as_dict(history: History) -> dict[str, Any]:
    """Return the account as JSON-ready values; ``results`` has every id that is not known to be gone."""
    runs = [
        {
            "state": run.state.value,
            "began_at": utc(run.began),
            "ended_at": None if run.ended is None else utc(run.ended),
            "last_sign_at": utc(run.last),
            "error": _error(run.cause),
        }
        for run in history.each_run()
    ]
    summary = summary_of(history)
    open_ = [as_result(one.result()) for one in history.entries.values() if is_pending(one, history)]
    return {
        **attrs.asdict(history.target),
        "kind": history.target.kind.value,
        "selection": history.selection,
        "state": runs[-1]["state"] if runs else None,
        **(counted := as_counts(summary)),
        "pending": summary.pending,
        "results": [*counted["results"], *(one | {"outcome": PENDING} for one in open_)],
        "runs": runs,
        "outages": [
            {
                "began_at": utc(one.start),
                "ended_at": None if one.open else utc(one.end),
                "last_sign_at": utc(one.end),
            }
            for one in history.outages
        ],
    }


def _local(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"
