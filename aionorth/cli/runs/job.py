"""A bulk run from the command line: started, shown, stopped by signals, and how it ended."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import attrs
from rich.text import Text

from aionorth.bulk.run import BulkDelete
from aionorth.cli.output.messages import (
    ExitCode,
    Notes,
    code_of,
    in_words,
    on_terminal,
    resume_command,
    say,
    told,
    width_of,
    wrapped,
)
from aionorth.cli.output.progress import COLOURS, Meter, Moment, view_of
from aionorth.cli.reports.account import as_counts
from aionorth.common.text import visible
from aionorth.common.times import MINUTE
from aionorth.errors import BulkAbortedError
from aionorth.items import Kind
from aionorth.models import DeleteSummary, Outcome
from aionorth.session.north import NorthSession

DRAIN_TIMEOUT = 0.5
"""Seconds for calls in flight after the second signal; after the first they have all the time they need."""

REFRESH = 0.2
"""Seconds from one look at the run to the next."""

NOTE_SHOWN = 5.0
"""Seconds for which the display shows the library's latest message."""

MAX_EXAMPLES = 3
"""How many of the ids that the platform did not know a message names."""

MAX_IDS = 10
"""How many of the ids that failed the text names; JSON names them all."""


HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""The signal that a terminal sends when it goes away; None on systems without it."""


@attrs.frozen(kw_only=True)
class Ended:
    """How a run ended."""

    kind: Kind
    summary: DeleteSummary
    interrupted: bool = False
    cause: BaseException | None = None
    """What ended it early; None where nothing did."""
    journal: str | None = None
    """Where it is recorded."""
    options: Sequence[str] = ()
    """The options of the connection, for the command that resumes it."""
    absent: Sequence[str] = ()
    """Ids that were named, and not called because the platform did not list them."""
    examples: Sequence[str] = ()
    """Some of the ids that the platform did not know when they were called."""
    listed: bool = False
    """Whether the platform listed those that were called, so that it did know them."""
    missing_ok: bool = False
    """Whether it is fine if it knew none of them."""
    reported: bool = True
    """Whether the reports that were wanted are written."""

    @property
    def unknown(self) -> int:
        """How many ids the platform did not know."""
        return self.summary.not_found + len(self.absent)

    @property
    def named(self) -> int:
        """How many ids there were."""
        return self.summary.total + len(self.absent)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command."""
        return self._code_of_run if self.reported else max(self._code_of_run, ExitCode.FAILED)

    @property
    def _code_of_run(self) -> ExitCode:
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.cause is not None:
            return code_of(self.cause)
        if not self.summary.ok:
            return ExitCode.FAILED
        # One that is gone after a lost reply may have been there; beside others that were not, that is no sign of it.
        none_known = 0 < self.unknown == self.named - self.summary.gone and not (self.listed and self.summary.total)
        return ExitCode.NONE_KNOWN if none_known and not self.missing_ok else ExitCode.OK

    @property
    def reason(self) -> str | None:
        """What to say of an end that leaves something to be done; None where there is nothing."""
        if self.cause is not None:
            said = f"the run ended early: {in_words(self.cause)}"
            if skipped := self.summary.skipped:
                them = "was skipped: it was" if skipped == 1 else "were skipped: they were"
                said += f"\n{skipped:,} of {self.summary.total:,} {them} never attempted"
        elif self.interrupted:
            said = "the run was interrupted"
        elif self.summary.ok:
            return None
        else:
            said = "some are not known to be gone"
        return said if self.journal is None else f"{said}\nto go on: {resume_command(self.journal, self.options)}"

    def as_json(self) -> str:
        """Return it as a JSON object on one line; ``results`` holds every id that is not known to be gone."""
        content: dict[str, Any] = {
            "kind": self.kind.value,
            **as_counts(self.summary),
            "interrupted": self.interrupted,
            "journal": self.journal,
            "error": None if self.cause is None else {"type": type(self.cause).__name__, "message": told(self.cause)},
            "exit_code": int(self.exit_code),
        }
        return json.dumps(content)

    def as_text(self) -> Text:
        """Return the summary as a table, and after it the first of the ids that failed."""
        text, width = Text(), width_of(sys.stdout)
        colours = {outcome.value: colour for outcome, colour in COLOURS.items()}
        for line in told(str(self.summary)).splitlines():
            name, _, number = line.rpartition(" ")
            happened = number.strip() != "0"
            text.append(wrapped(visible(line), width) + "\n", colours.get(name.strip(), "") if happened else "dim")
        failed = [result for result in self.summary.failures if result.outcome is not Outcome.SKIPPED]
        for result in failed[:MAX_IDS]:
            text.append(visible(f"{result.outcome.value:<8} {result.id}") + "\n")
        if len(failed) > MAX_IDS:
            text.append(f"and {len(failed) - MAX_IDS:,} more; --json names them all\n")
        text.rstrip()
        return text


async def carry_out(
    run: BulkDelete,
    north: NorthSession,
    notes: Notes,
    *,
    kind: Kind,
    title: str,
    distinct: int,
    journal: str | None = None,
    options: Sequence[str] = (),
    absent: Sequence[str] = (),
) -> Ended:
    """Carry `run` out in an open session, from the main thread: it is shown, and signals stop it.

    The first signal drains it, each further one cancels it.

    Args:
        run: A run that has not begun.
        north: Its session.
        notes: Where the library's messages are kept for the display.
        kind: What is deleted.
        title: What the display calls it.
        distinct: How many different ids it is about.
        journal: As in `Ended`.
        options: As in `Ended`.
        absent: As in `Ended`.
    """
    notes.latest = None
    before, interrupts = run.summary, 0
    calls, ids = Meter(north.flow.period, before.calls), Meter(north.flow.period, before.total - before.pending)
    examples: list[str] = []
    work = asyncio.create_task(_whole(run, examples))

    def interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1 and not north.flow.silent_for:
            say(f"finishing what has been begun, retries included; {another_signal()} stops at once")
            run.stop()
        else:
            work.cancel()

    with on_signals(interrupt), view_of(title) as show:
        while True:
            ended, summary, flow = work.done(), run.summary, north.flow
            if flow.silent_for:  # what was measured before and meanwhile says nothing of how fast it will be after it
                calls = Meter(flow.period, summary.calls)
                ids = Meter(flow.period, summary.total - summary.pending)
                if interrupts:  # what has been begun cannot be finished now
                    work.cancel()
            moment = Moment(
                summary=summary,
                flow=flow,
                distinct=distinct,
                rate=_average(before, summary) if ended else calls.rate(summary.elapsed, summary.calls),
                pace=ids.pace(summary.elapsed, summary.total - summary.pending),
                stopping=interrupts > 0,
                ended=ended,
                earlier=before.elapsed,
                note="" if ended else notes.recent(NOTE_SHOWN),
            )
            show(moment)
            if ended:
                break
            await asyncio.wait({work}, timeout=REFRESH)
    return Ended(
        kind=kind,
        summary=run.summary,
        interrupted=interrupts > 0,
        cause=None if work.cancelled() else work.result(),
        journal=journal,
        options=options,
        absent=absent,
        examples=examples,
    )


def another_signal() -> str:
    """Return what a second signal is called by whoever may send it."""
    return "Ctrl-C again" if on_terminal(sys.stdin) else "a second signal"


def _average(before: DeleteSummary, summary: DeleteSummary) -> float:
    """Return the calls a minute of the run that came after `before`."""
    took = summary.elapsed - before.elapsed
    return (summary.calls - before.calls) * MINUTE / took if took else 0.0


async def _whole(run: BulkDelete, examples: list[str]) -> BaseException | None:
    """Carry `run` out, and put some ids that the platform does not know into `examples`; return what ended it early."""
    try:
        async with run:
            async for result in run:
                if result.outcome is Outcome.NOT_FOUND and len(examples) < MAX_EXAMPLES:
                    examples.append(result.id)
    except BulkAbortedError as exc:
        return exc.__cause__
    return None


@contextmanager
def on_signals(callback: Callable[[], object]) -> Generator[None, None, None]:
    """While the block runs, call `callback` in the running loop at each SIGINT and SIGTERM, and at the first SIGHUP.

    For the main thread. What a parent has ignored, as nohup does, stays so.
    """
    loop = asyncio.get_running_loop()

    # Not loop.add_signal_handler(), which Windows does not have.
    def received(number: int, _: FrameType | None) -> None:
        if number == HANGUP:  # a shell that goes away sends one too, after the terminal
            signal.signal(number, signal.SIG_IGN)
        loop.call_soon_threadsafe(callback)

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM, HANGUP) if number is not None]
    before = {
        number: signal.signal(number, received) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not signal.SIG_IGN:  # after a SIGHUP what is left is to be done undisturbed
                signal.signal(number, handler)


@contextmanager
def hangup_ignored() -> Generator[None, None, None]:
    """Let the block end although the terminal may go away: it is short, and what it writes must be whole."""
    before = None if HANGUP is None else signal.signal(HANGUP, signal.SIG_IGN)
    try:
        yield
    finally:
        if HANGUP is not None:
            signal.signal(HANGUP, before)
