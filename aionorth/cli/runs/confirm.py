"""The question before a deletion. The answer is a number, which nobody types by habit."""

from __future__ import annotations

import math
import signal
import sys
from typing import Any, TextIO

from aionorth.cli.output.messages import cut, on_terminal, width_of, wrapped
from aionorth.common.text import visible, visible_lines
from aionorth.purge.plan import Plan

SAMPLE = 5
"""How many of the items that go are shown."""


ROOM = 16
"""Columns beside an id that say what it is; with fewer, that is below the id."""


def sample(plan: Plan[Any], width: float = math.inf, whole: str = "--dry-run --json") -> str:
    """Return the first items that go, in lines no wider than so many columns, and how many more there are.

    `whole` names them all.
    """
    lines: list[str] = []
    for item in plan.delete[:SAMPLE]:
        id_, _, known = visible(item.in_words()).partition("  ")
        parted = width < len(f"  {id_}  ") + min(ROOM, len(known))
        lines += [f"  {id_}", cut(f"    {known}", width)] if parted else [cut(f"  {id_}  {known}".rstrip(), width)]
    if (more := len(plan.delete) - SAMPLE) > 0:
        lines.append(f"  and {more:,} more; {whole} names them all")
    return "\n".join(lines)


def described(plan: Plan[Any], width: float, *, batch: bool = False, whole: str = "--dry-run --json") -> str:
    """Return what `plan` would do, with a sample of what goes, and what `--batch` does where it can be used.

    Lines are no wider than so many columns; `whole` is as for `sample`.
    """
    parts = [plan.in_words(batch=batch)]
    if plan.delete:
        parts.append(f"Those that go:\n{sample(plan, width, whole)}")
    if plan.batch is not None:
        filters = visible(str(plan.batch))
        parts += (
            [f"The call deletes by {filters}.", "It also takes what was created since this list was made."]
            if batch
            else [
                f"One call would do: --batch deletes by {filters}.",
                "It would also take what was created since this list was made.",
            ]
        )
    return wrapped("\n".join(parts), width)


_KEYBOARD, _SCREEN = ("CONIN$", "CONOUT$") if sys.platform == "win32" else ("/dev/tty", "/dev/tty")


def can_ask() -> bool:
    """Whether somebody can be asked: one of the streams is a terminal."""
    try:
        with open(_KEYBOARD):  # noqa: PTH123 - a device
            return any(map(on_terminal, (sys.stdin, sys.stdout, sys.stderr)))
    except OSError:
        return False


def confirmed(plan: Plan[Any], *, batch: bool) -> bool:
    """Ask on the terminal whether `plan` is to be carried out; return True only if its number is typed."""
    how = f"by one call that takes all with {visible(str(plan.batch))}" if batch else f"in {plan.size()}"
    how = f"They will be deleted {how}."
    if plan.along:
        how = f"{len(plan.delete):,} will be deleted in {plan.size()}, and {len(plan.along):,} go along with them."
    answer = asked(plan.in_words(batch=batch), how, str(plan.number))
    return answer.replace(",", "") == str(plan.number)


def asked(what: str, how: str, word: str, *, otherwise: str = "nothing was deleted") -> str:
    """Ask on the terminal for `word`, and return what was typed.

    `what` is shown where messages do not go there, and `otherwise` where the question is interrupted.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio wants it for itself
    try:
        # The terminal is there also where standard input has ids or messages go to a file.
        with open(_KEYBOARD, encoding="utf-8") as keyboard, open(_SCREEN, "w", encoding="utf-8") as tty:  # noqa: PTH123 - devices
            screen = sys.stderr if on_terminal(sys.stderr) else tty
            if screen is not sys.stderr:
                print(visible_lines(what), file=screen)
            width = width_of(screen)
            print(wrapped(f"Nothing brings them back. {how}", width, ""), file=screen)
            _drop_typed(keyboard)  # what was typed before the question is no answer to it
            question = wrapped(f"Type {word} to delete them, anything else to leave them:", width, "")
            print(question, end=" ", file=screen, flush=True)
            answer = ""
            try:
                answer = keyboard.readline()
            except KeyboardInterrupt:
                print(f"\naionorth: {otherwise}", end="", file=screen)
                raise
            finally:
                if not answer.endswith("\n"):
                    print(file=screen)  # the terminal's own line end was not typed
    finally:
        signal.signal(signal.SIGINT, before)
    return answer.strip()


def _drop_typed(keyboard: TextIO) -> None:
    """Drop what has been typed and not been read."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - there only

        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        import termios  # noqa: PLC0415 - there only

        termios.tcflush(keyboard, termios.TCIFLUSH)
