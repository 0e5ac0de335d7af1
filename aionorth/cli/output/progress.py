"""What is going on, in words and on stderr: drawn in place on a terminal, in lines of a log elsewhere."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aionorth.cli.output.messages import ending_output, is_quiet, on_terminal, remark, told
from aionorth.common.text import shortened, visible
from aionorth.common.times import MINUTE, duration
from aionorth.flow.settings import FlowState
from aionorth.models import DeleteSummary, Outcome

SAMPLES = 60
"""How many samples a `Meter` takes in a period."""

SETTLING = 10.0
"""Seconds after which a pace is known well enough."""


WIDEST_BAR = 40
WIDEST_NOTE = 72
"""Columns. What is narrower than the terminal survives when the terminal is made narrower."""

NARROWEST_BAR = 8

LONGEST_FAILURE = 200
"""Characters of the last failure that a line of a log has."""

LINES_EVERY = 10.0
"""Seconds from one line to the next where there is no terminal."""

COLOURS = {
    Outcome.DELETED: "green",
    Outcome.GONE: "yellow",
    Outcome.FAILED: "red",
    Outcome.UNKNOWN: "red",
    Outcome.SKIPPED: "yellow",
}


@attrs.frozen(kw_only=True)
class Moment:
    """A run at one moment: all that a display shows."""

    summary: DeleteSummary
    flow: FlowState
    distinct: int
    """How many different ids the input has."""
    rate: float = 0.0
    """Calls a minute: at present, or of the whole run once it has ended."""
    pace: float | None = None
    """Ids a second that got their outcome, at present; None while it is too early to know."""
    stopping: bool = False
    """Whether the run has been asked to stop."""
    ended: bool = False
    earlier: float = 0.0
    """Seconds that the runs before this one took."""
    note: str = ""
    """The library's latest message, while it is new."""

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self.summary.elapsed

    @property
    def share(self) -> float:
        """The part of the ids that has its outcome, from 0 to 1."""
        return self._settled / self.distinct if self.distinct else 1.0

    @property
    def silent(self) -> bool:
        """Whether there is an outage: neither a rate nor a time left means anything."""
        return self.flow.silent_for > 0 and not self.ended

    @property
    def _settled(self) -> int:
        return self.summary.total - self.summary.pending

    def line(self) -> str:
        """Return all of it in one line of a log."""
        counts = ", ".join(text for _, text in self.counts())
        going = [self.silence()] if self.silent else [self.calls_a_minute(), self.flow_control(), self.advice()]
        if not self.silent:
            going += [self.remaining(), self.note]
        parts = [self.progress(), counts, *going, shortened(self.failure(), LONGEST_FAILURE)]
        return "; ".join(part for part in parts if part)

    def progress(self) -> str:
        """Return a text as in ``1,204 of 3,000 (40 %)``; 100 % is not said before it is true."""
        return f"{self._settled:,} of {self.distinct:,} ({math.floor(100 * self.share)} %)"

    def counts(self) -> list[tuple[Outcome | None, str]]:
        """Return the outcomes so far and, with None, the ids in work, as in ``9 not found``. Zeros are left out."""
        counts: list[tuple[Outcome | None, str]] = [
            (outcome, f"{self.summary.count(outcome):,} {outcome.value.replace('_', ' ')}")
            for outcome in Outcome
            if self.summary.count(outcome) or outcome is Outcome.DELETED
        ]
        return [*counts, (None, f"{self.summary.pending:,} in work")] if self.summary.pending else counts

    def silence(self) -> str:
        """Return what there is to know of an outage."""
        return f"{silence_in_words(self.flow)}; nothing is lost"

    def failure(self) -> str:
        """Return why the last id failed of those that did; empty where none did, or it is not known."""
        failed = {Outcome.FAILED, Outcome.UNKNOWN}
        last = next((result for result in reversed(self.summary.results) if result.outcome in failed), None)
        return "" if last is None or last.error is None else f"last failure: {told(last.error)}"

    def calls_a_minute(self) -> str:
        """Return the rate as in ``98 calls a minute``."""
        return f"{self.rate:,.0f} calls a minute"

    def flow_control(self) -> str:
        """Return a text as in ``96 of 100 calls used, next slot in 12 s``."""
        return flow_in_words(self.flow, ended=self.ended)

    def advice(self) -> str:
        """Return what refusals have shown about the limit, and what to do about it; empty where there were none."""
        flow = self.flow
        in_a_period = "a minute" if flow.period == MINUTE else f"in {flow.period:g} s"
        if (limit := flow.learned_limit) is not None:
            return f"the platform seems to allow about {limit:,} calls {in_a_period}; set --calls {limit}"
        return "the calls are spread evenly after a refusal" if flow.gap else ""

    def remaining(self) -> str:
        """Return about how long it will take from here on."""
        if self.ended:
            return f"ended after {duration(self.elapsed - self.earlier)}"
        if self.stopping:
            return "finishing what has been begun, retries included"
        open_ = self.distinct - self._settled
        waiting = min(open_, self.flow.waiting) if open_ <= self.summary.pending else 0
        if open_ <= self.summary.pending and not waiting:
            return "the last calls are under way" if self.summary.pending else "all are accounted for"
        if not self.flow.store_reached:
            return "time left unknown until the store can be reached"
        left = self.flow.time_for(waiting or open_)
        if self.pace:  # which depends on other users of the app's calls too
            left = max(left, open_ / self.pace)
        elif self.flow.free and self.pace is not None:
            return "time left unknown until a call succeeds"
        if left < 1 and not self.summary.calls:
            return "the first call is under way"
        return f"about {duration(max(1.0, left))} left"


@attrs.frozen(kw_only=True)
class Listing:
    """A listing at one moment."""

    listed: int
    flow: FlowState
    elapsed: float
    """Seconds since it began."""
    ended: bool = False
    note: str = ""
    """The library's latest message, if nothing was listed since."""

    def line(self) -> str:
        """Return all of it in one line."""
        return " · ".join(part for part in (f"{self.listed:,} listed", self.flow_control(), self.remark()) if part)

    def flow_control(self) -> str:
        """Return the state of flow control; empty while it does not matter, because the platform is silent."""
        return "" if self.flow.silent_for else flow_in_words(self.flow)

    def remark(self) -> str:
        """Return what may explain that it takes long."""
        return silence_in_words(self.flow) if self.flow.silent_for else self.note


def silence_in_words(flow: FlowState) -> str:
    """Return a text as in ``the platform has not answered for 3 min 10 s; next try in 40 s``."""
    upcoming = f"next try in {math.ceil(flow.next_probe)} s" if flow.next_probe else "trying now"
    silent_for = round(flow.silent_for)
    words = f" for {silent_for} s" if silent_for < MINUTE else f" for {duration(silent_for)}"
    return f"the platform has not answered{words if silent_for else ''}; {upcoming}"


def flow_in_words(flow: FlowState, *, ended: bool = False) -> str:
    """Return a text as in ``96 of 100 calls used, next slot in 12 s``, or ``refused by the platform, paused 8.0 s``."""
    if not flow.store_reached:
        return "the store of flow control cannot be reached, calls are held"
    if flow.paused_for > 0:
        return f"refused by the platform, paused {seconds(flow.paused_for)}"
    used = f"{flow.in_use:,} of {flow.in_force:,} calls used"
    if flow.free or ended:
        return used
    if flow.next_slot == math.inf:
        return f"{used}, next slot with the next reply"
    return f"{used}, next slot in {seconds(flow.next_slot)}"


def seconds(value: float) -> str:
    """Return a short time as in ``0.4 s``, ``12 s``."""
    return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"  # noqa: PLR2004 - from 10 s on whole ones will do


ROUND_TRIPS = 1.05
"""Periods in which a pace is measured. Where calls go out in bursts, there is one a period and a round trip: in one
period alone there may be none."""


class Meter:
    """Measures how fast a count grows, over the last period or so. State: its samples in that time."""

    def __init__(self, period: float, before: int = 0) -> None:
        """`before` is the count at the start."""
        self._period = period
        self._samples: deque[tuple[float, int]] = deque()
        self._before = before

    def rate(self, elapsed: float, count: int) -> float:
        """Return the growth a minute, at `elapsed` seconds; nothing is extrapolated."""
        return self._grown(elapsed, count, self._period) * MINUTE / self._period

    def pace(self, elapsed: float, count: int) -> float | None:
        """Return the growth a second, over the part of the last period that was seen; None while that is too short."""
        grown = self._grown(elapsed, count, ROUND_TRIPS * self._period)
        seen = min(elapsed - self._samples[0][0], self._period)
        return grown / seen if seen >= min(SETTLING, self._period / 2) else None

    def _grown(self, elapsed: float, count: int, span: float) -> int:
        samples, count = self._samples, count - self._before
        while samples and samples[0][0] < elapsed - span:
            samples.popleft()
        if not samples or elapsed - samples[-1][0] >= self._period / SAMPLES:
            samples.append((elapsed, count))
        return count - samples[0][1]


# --- On stderr

Show = Callable[[Moment | Listing], None]
"""Shows the state as it is now."""


_every: ContextVar[float] = ContextVar("every", default=LINES_EVERY)


@contextmanager
def lines_every(seconds: float) -> Generator[None, None, None]:
    """Let lines be so many seconds apart in the block; with 0 there are none."""
    before = _every.set(seconds)
    try:
        yield
    finally:
        _every.reset(before)


@contextmanager
def in_lines(title: str, *, brief: bool = False) -> Generator[Show, None, None]:
    """Show what is going on as lines of a log; none for the end, which the summary reports."""
    every = _every.get() or math.inf
    due = every if brief or math.isinf(every) else 0.0

    def show(state: Moment | Listing) -> None:
        nonlocal due
        if not state.ended and state.elapsed >= due:
            due = state.elapsed + every
            remark(visible(f"{title}: {state.line()}"))

    yield show


@contextmanager
def in_place(title: str, console: Console, *, transient: bool) -> Generator[Show, None, None]:
    """Show it in a few lines of a terminal, drawn anew each time: in the event loop, without a thread."""
    # Stderr goes through the view, and so above it; stdout stays what it is.
    live = Live(console=console, auto_refresh=False, transient=transient, redirect_stdout=False, redirect_stderr=True)

    def show(state: Moment | Listing) -> None:
        view = drawn(title, state, console.width)
        # A line of its own for the cursor: behind a line as wide as the terminal the ^C of a Ctrl-C would begin another
        # one, and the view, drawn anew, would leave one of its own above.
        with ending_output(sys.__stderr__):  # a terminal that has gone away ends the view, not the run
            live.update(view if state.ended else Group(view, ""), refresh=True)

    with ending_output(sys.__stderr__):
        live.start()
    try:
        yield show
    finally:
        with ending_output(sys.__stderr__):
            live.stop()


def drawn(title: str, state: Moment | Listing, width: int) -> RenderableType:
    """Return what a terminal of so many columns shows."""
    if isinstance(state, Listing):
        known = " · ".join(part for part in (f"{state.listed:,} listed", state.flow_control()) if part)
        remark = Text(state.remark(), "yellow") if state.flow.silent_for else _cut(state.remark(), "dim")
        return Group(_cut(f"{title}: {known}"), remark)
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
    ]
    if state.silent:
        lines.append(Text(state.silence(), "yellow"))
    else:
        going = f"{state.calls_a_minute()} · {state.flow_control()}"
        lines += [Text(going, "yellow" if state.flow.paused_for else ""), Text(state.remaining())]
    if failure := state.failure():
        lines.append(_cut(failure, "red"))
    if not state.silent and (advice := state.advice()):
        lines.append(Text(advice, "yellow"))  # whole: its remedy comes last
    if state.note and not state.silent:
        note = _cut(state.note, "dim")
        note.truncate(WIDEST_NOTE, overflow="ellipsis")
        lines.append(note)
    return Group(*lines)


def _cut(text: str, style: str = "") -> Text:
    return Text(visible(text), style, no_wrap=True, overflow="ellipsis")


def view_of(title: str, *, brief: bool = False) -> AbstractContextManager[Show]:
    """Return the view that suits stderr.

    A `brief` one is of something that often ends at once: the first line comes later, and nothing stays.
    """
    console = Console(stderr=True, highlight=False)
    if is_quiet() or not on_terminal(sys.stderr) or console.is_dumb_terminal:
        return in_lines(title, brief=brief)
    # Where the summary is about to take its place the view need not stay.
    return in_place(title, console, transient=brief or on_terminal(sys.stdout))
