"""How far runs of a fleet are, for people: a table of runs, one of parts, and a view that follows a run."""

from __future__ import annotations

import asyncio
import math
import shutil
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.live import Live
from rich.text import Text

from aionorth.cli.output.messages import ending_output, on_terminal, own_name, remark, wrapped
from aionorth.cli.output.progress import LINES_EVERY, Meter
from aionorth.cli.output.table import fitted
from aionorth.common.text import many, shortened, shown, visible
from aionorth.common.times import MINUTE, duration
from aionorth.errors import JournalError, StoreUnavailableError
from aionorth.fleet.runs import Part, PartState, PartStatus, RunStatus
from aionorth.models import Outcome

LOOK_EVERY = 2.0
"""Seconds from one look at a run that is watched to the next."""

MAX_PARTS = 20
"""How many parts a terminal is shown, at most; a file or a pipe gets all."""

LONG_WAIT = 10.0
"""Seconds without a call from which on that is said: workers say how far they are every few seconds."""

MAX_CAUSES, LONGEST_CAUSE = 5, 400

AROUND = 12
"""Lines of a terminal that are not for the table of a run that is watched."""

Damaged = list[tuple[PartStatus, JournalError]]
"""The parts whose journals are damaged, and how they are."""

FIRST = (
    *(PartState.FAILED, PartState.LOST, PartState.CANCELLED),
    *(PartState.AT_WORK, PartState.WAITING, PartState.COMPLETE),
)
"""In which order parts are shown: first those that somebody may have to do something about."""


def kinds_of(parts: Sequence[Part]) -> str:
    """Return what parts delete, as in ``1,200 subscriptions and 300 device groups of 4 apps``."""
    counts = Counter[str]()
    for part in parts:
        counts[part.kind.words.removesuffix("s")] += part.total
    *others, last = [many(count, kind) for kind, count in counts.items()] or ["no ids"]
    kinds = f"{', '.join(others)} and {last}" if others else last
    apps = many(len({part.app for part in parts}), "app")
    # A profile's name does not say whether a plan is of the same app.
    unclear = any(part.profile for part in parts) and any(part.url and not part.profile for part in parts)
    return f"{kinds} of {'at most ' if unclear else ''}{apps}"


def silences_of(parts: Sequence[float]) -> str:
    """Return for how many parts the platform was silent, given for how many seconds in each; empty where in none."""
    if not (silent := [one for one in parts if one]):
        return ""
    longest = ("" if len(silent) == 1 else "up to ") + duration(max(silent))
    return f"the platform was silent for {longest} in {len(silent):,} of {many(len(parts), 'part')}"


def ids_of(damaged: Damaged) -> int:
    """Return how many ids these parts have."""
    return sum(status.part.total for status, _ in damaged)


def not_known(damaged: Damaged) -> str:
    """Say of how many ids it is not known what became of them; nothing where there are none."""
    if not damaged:
        return ""
    journals = "the journal of one part" if len(damaged) == 1 else f"the journals of {len(damaged):,} parts"
    return f"what became of {many(ids_of(damaged), 'id')} is not known: {journals} cannot be read"


def width() -> int | None:
    """Return how many columns stdout has; None where it is no terminal, so that nothing is cut."""
    return shutil.get_terminal_size().columns if on_terminal(sys.stdout) else None


def in_columns(rows: Iterable[Sequence[str]], columns: int | None) -> str:
    """Return rows as a table, cut to so many columns; to any number with None."""
    short = [[shortened(visible(first), max((columns or sys.maxsize) // 3, 12)), *rest] for first, *rest in rows]
    return "\n".join(fitted(short, columns or sys.maxsize))


# --- Runs


def runs_table(runs: Iterable[RunStatus]) -> str:
    """Return runs as a table."""
    rows = [["RUN", "STATE", "GONE", "OF", "PARTS", "PARTS FAILED", "SUBMITTED"]]
    for one in runs:
        gone, failed = one.count(lambda part: part.gone), sum(part.state is PartState.FAILED for part in one.parts)
        at = f"{datetime.fromtimestamp(one.made_at).astimezone():%Y-%m-%d %H:%M}"
        rows.append([one.run, _state_of(one), f"{gone:,}", f"{one.total:,}", f"{len(one.parts):,}", f"{failed:,}", at])
    return "\n".join(fitted(rows, width() or sys.maxsize))


def _state_of(status: RunStatus) -> str:
    if not status.settled:
        if status.cancelled:
            return "ending"
        states = {one.state for one in status.parts}
        return next(one.in_words for one in (PartState.AT_WORK, PartState.LOST, PartState.WAITING) if one in states)
    return "all gone" if status.ok else "cancelled" if status.cancelled else "some left"


# --- A run


def done(status: PartStatus) -> int:
    """Return how many ids have an outcome of a call."""
    return status.outcomes.total() - status.outcomes[Outcome.SKIPPED]


def _share(part: int, whole: int) -> str:
    """Return a part in per cent; 100 % is not said before it is true."""
    return f"{math.floor(100 * part / whole) if whole else 100} %"


def summary(status: RunStatus) -> list[str]:
    """Return how far a run is, in lines: the ids, their outcomes, the parts by state."""
    tried, outcomes = status.count(done), status.outcomes
    head = f"{status.run}: {tried:,} of {many(status.total, 'id')} done ({_share(tried, status.total)})"
    known = [one for one in Outcome if outcomes[one] and one is not Outcome.SKIPPED]
    counts = ", ".join(f"{outcomes[one]:,} {one.value.replace('_', ' ')}" for one in known)
    parts = f"  {many(len(status.parts), 'part')}: {states_of(status)}"
    return [head, *([f"  {counts}"] if counts else []), parts]


def states_of(status: RunStatus) -> str:
    """Return how many parts are in which state, as in ``1 failed, 12 complete``."""
    states = Counter(one.state for one in status.parts)
    return ", ".join(f"{states[state]:,} {state.in_words}" for state in FIRST if states[state])


def detailed(status: RunStatus, columns: int | None, most: int) -> str:
    """Return how far a run is: a summary, a table, and why some parts could not go on.

    With a number of `columns` it is for a terminal: the table is cut, and has at most so many parts.
    """
    parts = sorted(status.parts, key=lambda one: (FIRST.index(one.state), one.gone == one.part.total, one.number))
    most = len(parts) if columns is None else most
    rows = [["APP", "KIND", "DONE", "STATE", "OF", "FAILED", "UNKNOWN", "CALLS"]]
    for one in parts[:most]:
        about = (one.part.kind.words, _share(done(one), one.part.total), one.state.in_words)
        counts = (one.part.total, one.outcomes[Outcome.FAILED], one.outcomes[Outcome.UNKNOWN], one.calls)
        rows.append([one.part.app, *about, *map("{:,}".format, counts)])
    more = [f"and {len(parts) - most:,} more; --json has them all"] if len(parts) > most else []
    wide = columns or math.inf
    head, tail = ([wrapped(one, wide) for one in some] for some in (summary(status), [*more, *_remarks(status)]))
    return "\n".join([*head, in_columns(rows, columns), *tail])


def _causes(status: RunStatus) -> list[str]:
    """Say why parts could not go on, or do not."""
    by_cause: dict[str, list[PartStatus]] = {}
    for one in status.parts:
        if one.cause:
            waits = "" if one.state.settled else "; it waits for a worker that has what is missing"
            by_cause.setdefault(f"{shortened(shown(one.cause), LONGEST_CAUSE)}{waits}", []).append(one)
    said = [f"{_apps(parts)}: {cause}" for cause, parts in list(by_cause.items())[:MAX_CAUSES]]
    if len(by_cause) > MAX_CAUSES:
        said.append(f"and {len(by_cause) - MAX_CAUSES:,} more causes; --json has them all")
    if silent := [one for one in status.parts if one.state is PartState.AT_WORK and one.silent_for]:
        longest = max(one.silent_for for one in silent)
        said.append(f"{_apps(silent)}: the platform has not answered for {duration(longest)}")
    if (wait := next_call(status)) > LONG_WAIT:
        said.append(f"flow control allows the next call in about {duration(wait)}")
    return said


def _remarks(status: RunStatus) -> list[str]:
    """Say why parts could not go on, or do not, and what to do."""
    said = _causes(status)
    lost = [one for one in status.parts if one.state is PartState.LOST]
    untaken = [one for one in status.parts if one.state is PartState.WAITING and not one.declined]
    if not status.whole:
        said.append(status.lack)
    elif status.settled and not status.ok:
        said.append(f"to go on with what is left: {own_name()} fleet resume {status.run}")
    elif not status.sent:
        said.append("its submission is under way, or was broken off")
        said.append(f"to go on where it was broken off: {own_name()} fleet resume {status.run}")
    elif lost:
        said.append(f"{_apps(lost)}: the worker shows no sign of life; one that lives goes on with it within seconds")
        said += [] if status.at_work else [f"to start one: {own_name()} fleet worker"]
    elif untaken and not status.at_work:
        said.append(f"no worker is at work on it\nto start one: {own_name()} fleet worker")
    return said


def _in_a_line(text: str) -> str:
    return "; ".join(text.splitlines())


def _apps(parts: Sequence[PartStatus]) -> str:
    """Return the app of the first part, and how many others there are."""
    others = len({one.part.app for one in parts}) - 1
    return f"{visible(parts[0].part.app)}{f' and {others:,} more' if others else ''}"


def next_call(status: RunStatus) -> float:
    """Return the seconds until flow control allows any part at work a call, as its worker has said of late."""
    return min((one.next_call for one in status.parts if one.state is PartState.AT_WORK), default=0.0)


# --- A run that is watched


async def watch(look: Callable[[], Awaitable[RunStatus]]) -> RunStatus:
    """Show how far a run is, on stderr, until it is settled; return how it ended."""
    status, began, note = await look(), time.monotonic(), ""
    meter = Meter(MINUTE, status.count(done))
    with _view() as show:
        while not status.settled:
            pace = meter.pace(time.monotonic() - began, status.count(done))
            silent = any(one.silent_for for one in status.parts)  # then the pace says nothing of what is to come
            left = (status.total - status.count(done)) / pace if pace and not silent else None
            show(status, note or ("" if left is None else f"about {duration(max(left + next_call(status), 1.0))} left"))
            await asyncio.sleep(LOOK_EVERY)
            try:
                status, note = await look(), ""
            except StoreUnavailableError as exc:  # as after a restart
                note = f"{str(exc).removesuffix('.')}; trying again"
    return status


@contextmanager
def _view() -> Generator[Callable[[RunStatus, str], None], None, None]:
    """Yield what shows how far a run is: drawn in place on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True, highlight=False)
    if not on_terminal(sys.stderr) or console.is_dumb_terminal:
        due = 0.0

        def say_now_and_then(status: RunStatus, note: str) -> None:
            nonlocal due
            if time.monotonic() >= due:
                due = time.monotonic() + LINES_EVERY
                said = [*map(str.strip, summary(status)), *map(_in_a_line, _remarks(status)), visible(note)]
                remark("aionorth: " + "; ".join(filter(None, said)))

        yield say_now_and_then
        return
    live = Live(console=console, auto_refresh=False, transient=on_terminal(sys.stdout), redirect_stdout=False)

    def draw(status: RunStatus, note: str) -> None:
        text = detailed(status, console.width, max(min(MAX_PARTS, console.height - AROUND), 1))
        with ending_output(sys.__stderr__):  # a terminal that has gone away
            live.update(Text("\n".join(filter(None, [text, visible(note)]))), refresh=True)

    with ending_output(sys.__stderr__):
        live.start()
    try:
        yield draw
    except BaseException:
        live.transient = False  # what it has come to would not be shown otherwise
        raise
    finally:
        with ending_output(sys.__stderr__):
            live.stop()
