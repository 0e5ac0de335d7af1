"""A run or a listing on stderr while it goes on: drawn in place on a terminal, in lines of a log elsewhere."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Self

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


class View(ABC):
    """Shows what is going on, under a title, from when it is entered until it is left."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        pass

    @abstractmethod
    def show(self, state: Moment | Listing) -> None:
        """Show the state as it is now."""


class Lines(View):
    """Shows it as lines of a log. State: when the next line is due."""

    def __init__(self, title: str, *, first_after: float = 0.0) -> None:
        self._title = title
        self._due = first_after

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, state: Moment | Listing) -> None:
        """Write a line if one is due; none for the end, which the summary reports."""
        if not state.ended and state.elapsed >= self._due:
            self._due = state.elapsed + LINES_EVERY
            say(visible(f"{self._title}: {state.line()}"))


class LiveView(View):
    """Shows it in a few lines of a terminal, drawn anew at each call: in the event loop, without a thread."""

    def __init__(self, title: str, console: Console, *, transient: bool) -> None:
        self._title = title
        self._console = console
        # Stderr goes through the view, and so above it; stdout stays what it is.
        self._live = Live(
            console=console, auto_refresh=False, transient=transient, redirect_stdout=False, redirect_stderr=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # as below
            self._live.stop()

    def show(self, state: Moment | Listing) -> None:
        """Draw the view anew."""
        with suppress(OSError):  # a terminal that has gone away ends the view, not the run
            self._live.update(drawn(self._title, state, self._console.width), refresh=True)


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


def view_of(title: str, *, brief: bool = False) -> View:
    """Return the view that suits stderr.

    A `brief` one is of something that often ends at once: no line before the first ten seconds, and nothing stays.
    """
    console = Console(stderr=True, highlight=False)
    if not on_terminal(sys.stderr) or console.is_dumb_terminal:
        return Lines(title, first_after=LINES_EVERY if brief else 0.0)
    # Where the summary is about to take its place the view need not stay.
    return LiveView(title, console, transient=brief or on_terminal(sys.stdout))
