"""The question before a deletion. The answer is a number, which nobody types by habit."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TextIO

from aionorth.cli.output.terminal import cut, on_terminal
from aionorth.common.text import visible, visible_lines
from aionorth.purge.plan import Plan

SAMPLE = 5
"""How many of the items that go are shown."""


def sample(plan: Plan[Any]) -> str:
    """Return the first items that go, a line each, and how many more there are."""
    lines = [cut(f"  {visible(item.in_words())}") for item in plan.delete[:SAMPLE]]
    if (more := len(plan.delete) - SAMPLE) > 0:
        lines.append(f"  and {more:,} more; --dry-run --json names them all")
    return "\n".join(lines)


def offer(plan: Plan[Any]) -> str:
    """Return what `--batch` would do, where one call could delete all; else an empty text."""
    if plan.batch is None:
        return ""
    return (
        f"One call would do: --batch deletes by {visible(str(plan.batch))}.\n"
        "It would also take what was created since this list was made."
    )


def can_ask() -> bool:
    """Whether somebody can be asked: one of the streams is a terminal."""
    return any(map(on_terminal, (sys.stdin, sys.stdout, sys.stderr))) and _tty_exists()


def confirmed(plan: Plan[Any], *, batch: bool) -> bool:
    """Ask on the terminal whether `plan` is to be carried out; return True only if its number is typed."""
    import termios  # noqa: PLC0415 - not on every system, and of no use where there is no /dev/tty

    number = len(plan.delete)
    how = f"by one call that takes all with {visible(str(plan.batch))}" if batch else f"in {plan.size()}"
    with _terminal() as (keyboard, screen), _interruptible():
        if screen is not sys.stderr:
            print(visible_lines(str(plan)), file=screen)
        print(f"Nothing brings them back. They will be deleted {how}.", file=screen)
        termios.tcflush(keyboard, termios.TCIFLUSH)  # what was typed before the question is no answer to it
        print(f"Type {number} to delete them, anything else to leave them: ", end="", file=screen, flush=True)
        try:
            answer = keyboard.readline()
        except KeyboardInterrupt:
            print(file=screen)
            raise
        if not answer.endswith("\n"):
            print(file=screen)  # the terminal's own line end was not typed
    return answer.strip().replace(",", "") == str(number)


def _tty_exists() -> bool:
    try:
        with open("/dev/tty"):  # noqa: PTH123 - a device
            return True
    except OSError:
        return False


@contextmanager
def _terminal() -> Generator[tuple[TextIO, TextIO], None, None]:
    """The terminal's keyboard and screen, also where standard input has ids or messages go to a file."""
    with open("/dev/tty", encoding="utf-8") as keyboard, open("/dev/tty", "w", encoding="utf-8") as screen:  # noqa: PTH123 - a device
        yield keyboard, (sys.stderr if on_terminal(sys.stderr) else screen)


@contextmanager
def _interruptible() -> Generator[None, None, None]:
    """Let Ctrl-C raise `KeyboardInterrupt`, although asyncio wants it for itself."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
