"""The question before a deletion: shown in words, answered by typing a number that cannot be typed by habit."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from aionorth.cli.exits import ProblemError
from aionorth.cli.terminal import on_terminal, say
from aionorth.plan import Plan

SAMPLE = 5
"""How many of the items that go are shown."""


def sample(plan: Plan) -> str:
    """Return the first items that go, a line each, and how many more there are."""
    lines = [f"  {item.in_words()}" for item in plan.delete[:SAMPLE]]
    if (more := len(plan.delete) - SAMPLE) > 0:
        lines.append(f"  and {more:,} more; --dry-run --json names them all")
    return "\n".join(lines)


def offer(plan: Plan) -> str:
    """Return what one call would do, where one would; else nothing."""
    if plan.batch is None:
        return ""
    return (
        f"One call would do: --batch deletes by {plan.batch}.\n"
        "It would also take what was created since this list was made."
    )


def can_ask() -> bool:
    """Whether there is somebody to ask."""
    return on_terminal(sys.stderr) and (on_terminal(sys.stdin) or _tty_exists())


def confirmed(plan: Plan, *, batch: bool) -> bool:
    """Ask on the terminal whether `plan` is to be carried out; True only for its number, typed."""
    number = len(plan.delete)
    how = f"by one call that takes all with {plan.batch}" if batch else f"in {plan.size()}"
    say(f"Nothing brings them back. They will be deleted {how}.")
    with _keyboard() as keyboard, _interruptible():
        sys.stderr.write(f"Type {number} to delete them, anything else to leave them: ")
        sys.stderr.flush()
        answer = keyboard.readline()
    if not answer.endswith("\n"):
        say("")  # the terminal's own line end was not typed
    return answer.strip().replace(",", "") == str(number)


def _tty_exists() -> bool:
    try:
        with open("/dev/tty"):  # noqa: PTH123 - a device
            return True
    except OSError:
        return False


@contextmanager
def _keyboard() -> Generator[TextIO, None, None]:
    """The terminal's keyboard; standard input where it is one, which it is not where ids come from it."""
    if on_terminal(sys.stdin):
        yield sys.stdin
        return
    try:
        with open("/dev/tty", encoding="utf-8") as tty:  # noqa: PTH123 - as above
            yield tty
    except OSError as exc:
        raise ProblemError("there is no terminal to ask on: give --yes") from exc


@contextmanager
def _interruptible() -> Generator[None, None, None]:
    """Let Ctrl-C raise `KeyboardInterrupt`, although asyncio wants it for itself."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
