"""The two streams: messages go to stderr, results to stdout. Text from others reaches a terminal only if visible."""

from __future__ import annotations

import logging
import math
import os
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from aionorth.common.text import visible, visible_lines
from aionorth.errors import NorthWarning

_log = logging.getLogger("aionorth")


def own_name() -> str:
    """Return how this command line is called: by its name where the shell finds it, else as it was called now."""
    called = sys.argv[0]
    by_path = Path(called).stem == "aionorth" and not shutil.which("aionorth")
    return visible(shlex.quote(called)) if by_path else "aionorth"


def resume_command(journal: str, options: Sequence[str] = ()) -> str:
    """Return what to type to resume a run, with the `options` that it was started with."""
    return f"{own_name()} resume {visible(shlex.join([journal, *options]))}"


def cut(text: str) -> str:
    """Return `text` no wider than the terminal that messages go to."""
    width = shutil.get_terminal_size().columns if on_terminal(sys.stderr) else math.inf
    return text if len(text) <= width else text[: int(width) - 1] + "…"


def say(text: str) -> None:
    """Write a message to stderr; it appears above a live view.

    Line ends are kept, so text from others must have gone through `visible` before it becomes part of a message.
    """
    with suppress(OSError):  # with stderr closed nobody can read it
        print(visible_lines(text), file=sys.stderr, flush=True)  # noqa: T201 - a command line prints


class OutputError(OSError):
    """A result could not be written to standard output; the text says so, and why."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause.errno, f"standard output cannot be written to: {cause.strerror}")


def put(text: Text | str) -> None:
    """Write a result to stdout, in colour on a terminal.

    Line ends are kept, as in `say`. A reader that has gone away, as in ``| head``, is no error.

    Raises:
        OutputError: The result cannot be written for another reason, such as a full disk.
    """
    shown = visible_lines(str(text))
    try:
        if isinstance(text, Text) and shown == text.plain and on_terminal(sys.stdout):
            Console(highlight=False, soft_wrap=True).print(text)
        else:
            print(shown, flush=True)  # noqa: T201 - as above
    except OSError as exc:
        drop_output()
        if not isinstance(exc, BrokenPipeError):
            raise OutputError(exc) from exc


def drop_output() -> None:
    """Drop what stdout could not take. Left in the buffer it would raise again when Python flushes it at exit."""
    if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] - None where a parent closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def on_terminal(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal; one that the parent process closed is None, and no terminal."""
    return stream is not None and stream.isatty()


class Notes(logging.Handler):
    """The library's log, for people: warnings are shown at once. State: the latest of the rest, for the display."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.latest: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        if record.levelno >= logging.WARNING:
            say(f"aionorth: {visible(record.getMessage())}")
        else:
            self.latest = record

    def recent(self, seconds: float) -> str:
        """Return the latest message; empty where it is older than so many seconds, or there is none."""
        record = self.latest
        return record.getMessage() if record is not None and time.time() - record.created < seconds else ""


@contextmanager
def noted() -> Generator[Notes, None, None]:
    """Show the library's warnings, logged ones and Python's, as lines on stderr while the block runs."""
    notes = Notes()
    level, propagate = _log.level, _log.propagate
    _log.addHandler(notes)
    _log.setLevel(logging.INFO)
    _log.propagate = False
    try:
        with warnings.catch_warnings():
            as_usual = warnings.showwarning

            def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:  # noqa: ANN401 - Python's own
                if issubclass(category, NorthWarning):
                    say(f"aionorth: {visible(str(message))}")
                else:
                    as_usual(message, category, *where, **more)

            warnings.showwarning = show
            warnings.simplefilter("always", NorthWarning)
            yield notes
    finally:
        _log.removeHandler(notes)
        _log.setLevel(level)
        _log.propagate = propagate
