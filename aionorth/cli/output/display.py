"""A run on stderr: a live view on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aionorth.cli.output.progress import Moment, flow_in_words
from aionorth.cli.output.terminal import on_terminal, say
from aionorth.common.text import visible
from aionorth.flow.limiter import FlowState
from aionorth.models import Outcome

WIDEST_BAR = 40
WIDEST_NOTE = 72
"""Columns. What is narrower than the terminal survives when the terminal is made narrower."""

NARROWEST_BAR = 8

LINES_EVERY = 10.0
"""Seconds from one line to the next where there is no terminal."""

_COLOURS = {
    Outcome.DELETED: "green",
    Outcome.GONE: "yellow",
    Outcome.FAILED: "red",
    Outcome.UNKNOWN: "red",
    Outcome.SKIPPED: "yellow",
}


class View(Protocol):
    """Shows a run while it goes on."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        """End."""

    def show(self, moment: Moment) -> None:
        """Show the run as it is now."""


class _Log:
    """Shows something as lines of a log: there is nothing to begin or to end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        pass


class _Screen:
    """Shows something in a few lines of a terminal that are drawn anew."""

    def __init__(self, console: Console, *, transient: bool) -> None:
        # Stderr goes through the view, and so above it; stdout stays what it is.
        self._live = Live(
            console=console, auto_refresh=False, transient=transient, redirect_stdout=False, redirect_stderr=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        with suppress(OSError):  # as below
            self._live.stop()

    def _draw(self, content: RenderableType) -> None:
        with suppress(OSError):  # a terminal that has gone away ends the view, not the run
            self._live.update(content, refresh=True)


class Lines(_Log):
    """Shows a run as lines of a log."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last: float | None = None

    def show(self, moment: Moment) -> None:
        """Write a line if it is time for one; none for the end, which the summary tells."""
        if moment.ended or (self._last is not None and moment.summary.elapsed < self._last + LINES_EVERY):
            return
        self._last = moment.summary.elapsed
        counts = ", ".join(text for _, text in moment.counts())
        flow = [_rate(moment), moment.flow_control(), moment.lesson()]
        parts = [moment.progress(), counts, *flow, moment.remaining(), moment.note]
        say(visible(f"{self._title}: " + "; ".join(part for part in parts if part)))


class LiveView(_Screen):
    """Shows a run in a few lines of a terminal that are drawn anew some times a second.

    It is drawn by whoever calls `show`, in the event loop: there is no thread to contend with.
    """

    def __init__(self, title: str, console: Console, *, transient: bool) -> None:
        self._title = title
        self._console = console
        super().__init__(console, transient=transient)

    def show(self, moment: Moment) -> None:
        """Draw the view anew."""
        self._draw(self._drawn(moment))

    def _drawn(self, moment: Moment) -> RenderableType:
        progress = moment.progress()
        room = self._console.width - len(progress) - 2
        line = Table.grid(padding=(0, 1, 0, 0))
        if room >= NARROWEST_BAR:
            bar = ProgressBar(total=1.0, completed=moment.share, width=min(room, WIDEST_BAR), complete_style="cyan")
            line.add_row(bar, Text(progress, no_wrap=True))
        else:
            line.add_row(Text(progress))
        counts = [Text(text, _COLOURS.get(outcome, "") if outcome else "dim") for outcome, text in moment.counts()]
        lines: list[RenderableType] = [
            Text(visible(self._title), "bold", no_wrap=True, overflow="ellipsis"),
            line,
            Text(" · ").join(counts),
            Text(f"{_rate(moment)} · {moment.flow_control()}", "yellow" if moment.flow.paused_for else ""),
            Text(moment.remaining()),
        ]
        if lesson := moment.lesson():
            lines.append(Text(lesson, "yellow", no_wrap=True, overflow="ellipsis"))
        if moment.note:
            note = Text(visible(moment.note), "dim", no_wrap=True, overflow="ellipsis")
            note.truncate(WIDEST_NOTE, overflow="ellipsis")
            lines.append(note)
        return Group(*lines)


class Finding(Protocol):
    """Shows how far a listing is."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        """End."""

    def show(self, listed: int, flow: FlowState) -> None:
        """Show that so many have been listed."""


class FindingLines(_Log):
    """Shows a listing as lines of a log."""

    def __init__(self) -> None:
        self._next = time.monotonic() + LINES_EVERY

    def show(self, listed: int, flow: FlowState) -> None:
        """Write a line if it is time for one."""
        if time.monotonic() >= self._next:
            self._next += LINES_EVERY
            say(_finding(listed, flow))


class FindingLive(_Screen):
    """Shows a listing in a line of a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, transient=True)

    def show(self, listed: int, flow: FlowState) -> None:
        """Draw the line anew."""
        self._draw(Text(_finding(listed, flow), no_wrap=True, overflow="ellipsis"))


def _finding(listed: int, flow: FlowState) -> str:
    return f"Finding out what there is: {listed:,} listed · {flow_in_words(flow)}"


def finding_view() -> Finding:
    """Return the view of a listing that suits stderr."""
    console = Console(stderr=True, highlight=False)
    return FindingLines() if not on_terminal(sys.stderr) or console.is_dumb_terminal else FindingLive(console)


def _rate(moment: Moment) -> str:
    return f"{moment.rate:,.0f} calls a minute"


def view_of(title: str) -> View:
    """Return the view that suits stderr."""
    console = Console(stderr=True, highlight=False)
    if not on_terminal(sys.stderr) or console.is_dumb_terminal:
        return Lines(title)
    # Where the summary is about to take its place the view need not stay.
    return LiveView(title, console, transient=on_terminal(sys.stdout))
