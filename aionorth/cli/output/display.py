"""A run or a listing on stderr while it goes on: drawn in place on a terminal, in lines of a log elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aionorth.cli.output.progress import Listing, Moment
from aionorth.cli.output.terminal import on_terminal, say
from aionorth.common.text import visible
from aionorth.models import Outcome

WIDEST_BAR = 40
WIDEST_NOTE = 72
"""Columns. What is narrower than the terminal survives when the terminal is made narrower."""

NARROWEST_BAR = 8

LINES_EVERY = 10.0
"""Seconds from one line to the next where there is no terminal."""

COLOURS = {
    Outcome.DELETED: "green",
    Outcome.GONE: "yellow",
    Outcome.FAILED: "red",
    Outcome.UNKNOWN: "red",
    Outcome.SKIPPED: "yellow",
}


Show = Callable[[Moment | Listing], None]
"""Shows the state as it is now."""


@contextmanager
def in_lines(title: str, *, first_after: float = 0.0) -> Generator[Show, None, None]:
    """Show what is going on as lines of a log; none for the end, which the summary reports."""
    due = first_after

    def show(state: Moment | Listing) -> None:
        nonlocal due
        if not state.ended and state.elapsed >= due:
            due = state.elapsed + LINES_EVERY
            say(visible(f"{title}: {state.line()}"))

    yield show


@contextmanager
def in_place(title: str, console: Console, *, transient: bool) -> Generator[Show, None, None]:
    """Show it in a few lines of a terminal, drawn anew each time: in the event loop, without a thread."""
    # Stderr goes through the view, and so above it; stdout stays what it is.
    live = Live(console=console, auto_refresh=False, transient=transient, redirect_stdout=False, redirect_stderr=True)

    def show(state: Moment | Listing) -> None:
        with suppress(OSError):  # a terminal that has gone away ends the view, not the run
            live.update(drawn(title, state, console.width), refresh=True)

    live.start()
    try:
        yield show
    finally:
        with suppress(OSError):  # as above
            live.stop()


def drawn(title: str, state: Moment | Listing, width: int) -> RenderableType:
    """Return what a terminal of so many columns shows."""
    if isinstance(state, Listing):
        return _cut(f"{title}: {state.line()}")
    progress = state.progress()
    free = width - len(progress) - 2
    line = Table.grid(padding=(0, 1, 0, 0))
    if free >= NARROWEST_BAR:
        bar = ProgressBar(total=1.0, completed=state.share, width=min(free, WIDEST_BAR), complete_style="cyan")
        line.add_row(bar, Text(progress, no_wrap=True))
    else:
        line.add_row(Text(progress))
    counts = [Text(text, COLOURS.get(outcome, "") if outcome else "dim") for outcome, text in state.counts()]
    lines: list[RenderableType] = [
        _cut(title, "bold"),
        line,
        Text(" · ").join(counts),
        Text(f"{state.calls_a_minute()} · {state.flow_control()}", "yellow" if state.flow.paused_for else ""),
        Text(state.remaining()),
    ]
    if advice := state.advice():
        lines.append(_cut(advice, "yellow"))
    if state.note:
        note = _cut(state.note, "dim")
        note.truncate(WIDEST_NOTE, overflow="ellipsis")
        lines.append(note)
    return Group(*lines)


def _cut(text: str, style: str = "") -> Text:
    return Text(visible(text), style, no_wrap=True, overflow="ellipsis")


def view_of(title: str, *, brief: bool = False) -> AbstractContextManager[Show]:
    """Return the view that suits stderr.

    A `brief` one is of something that often ends at once: no line before the first ten seconds, and nothing stays.
    """
    console = Console(stderr=True, highlight=False)
    if not on_terminal(sys.stderr) or console.is_dumb_terminal:
        return in_lines(title, first_after=LINES_EVERY if brief else 0.0)
    # Where the summary is about to take its place the view need not stay.
    return in_place(title, console, transient=brief or on_terminal(sys.stdout))
