"""What a command says and how it ends: messages on stderr, results on stdout, one exit code, no traceback.

Text from others reaches a terminal only if visible.
"""

from __future__ import annotations

import enum
import logging
import math
import os
import re
import shlex
import shutil
import sys
import textwrap
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.text import Text

from aionorth.common.arguments import Message, renamed
from aionorth.common.text import visible, visible_lines
from aionorth.common.times import duration
from aionorth.errors import (
    AppFrozenError,
    AppNotFoundError,
    ArgumentError,
    CredentialsError,
    InvalidTokenError,
    JournalError,
    NorthConnectionError,
    NorthError,
    NorthWarning,
    OutageError,
    SettingsError,
    StoreError,
)

_log = logging.getLogger("aionorth")
_own_log = logging.getLogger("aionorth.cli")
"""What the commands themselves say. They show it, so the log only keeps it."""
_own_log.addHandler(logging.NullHandler())  # or Python would show it, too, where nothing keeps it

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def own_name() -> str:
    """Return how this command line is called: by its name where the shell finds it, else as it was called now."""
    called = sys.argv[0]
    by_path = Path(called).stem == "aionorth" and not shutil.which("aionorth")
    return typed(called) if by_path else "aionorth"


def typed(word: str) -> str:
    """Return a word, such as the path of a file, as it is typed at a shell. `wrapped` does not break it."""
    return visible(shlex.quote(word))


def resume_command(journal: str, options: Sequence[str] = ()) -> str:
    """Return what to type to resume a run, with the `options` that it was started with."""
    return f"{own_name()} resume {visible(shlex.join([journal, *options]))}"


def width_of(stream: TextIO | None) -> float:
    """Return how many columns the terminal has that `stream` is; infinite where it is none, or does not say."""
    if stream is None or not stream.isatty():
        return math.inf
    try:
        return os.get_terminal_size(stream.fileno()).columns or math.inf
    except (OSError, ValueError):
        return math.inf


def cut(text: str, width: float) -> str:
    """Return `text` no wider than so many columns."""
    return text if len(text) <= width else text[: int(width) - 1] + "…"


_QUOTED = r"""'[^']*'(?:"'"'[^']*')*"""
"""What `shlex.quote` makes of a word that needs it."""

_whole = re.compile(rf"(read -rs \w+ && )?export \w+(=({_QUOTED}|\S+))?|(?<!\S){_QUOTED}")
"""Matches what is copied as one piece though it has blanks: an export, and a word in quotes."""

_BLANK = "\0"
"""What stands for a blank at which no line is broken; `visible` leaves none in a text."""


def wrapped(text: str, width: float, hanging: str = "  ") -> str:
    """Return `text` with its lines broken between words to so many columns; what follows is indented by `hanging`.

    A line with a command stays as it is: it is copied, and a part of it might do something else. So does an object in
    JSON. Within another line, what matches `_whole` is not broken.
    """
    command = f"{own_name()} "
    return "\n".join(
        line if len(line) <= width or command in line or line.startswith("{") else _filled(line, int(width), hanging)
        for line in text.split("\n")
    )


def _filled(line: str, width: int, hanging: str) -> str:
    bare = line.lstrip()
    indent = line[: len(line) - len(bare)]
    return textwrap.fill(
        _whole.sub(lambda found: found[0].replace(" ", _BLANK), bare),
        width,
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_long_words=False,
        break_on_hyphens=False,
    ).replace(_BLANK, " ")


def say(text: str) -> None:
    """Write a message to stderr; it appears above a live view.

    Line ends are kept, so text from others must have gone through `visible` before it becomes part of a message.
    """
    with ending_output(sys.__stderr__):  # with stderr closed nobody can read it
        print(wrapped(visible_lines(text), width_of(sys.stderr)), file=sys.stderr, flush=True)  # noqa: T201 - a command line prints


def remark(text: str) -> None:
    """Write a message, as `say` does, that can be done without: ``--quiet`` leaves it out. It is logged."""
    _own_log.info("%s", text.removeprefix("aionorth: "))
    if not is_quiet():
        say(text)


def complain(text: str) -> None:
    """Write a message of something wrong, as `say` does. It is logged."""
    _own_log.error("%s", text.removeprefix("aionorth: "))
    say(text)


def log_only(text: str) -> None:
    """Log what stands on stdout."""
    _own_log.info("%s", text)


def is_quiet() -> bool:
    """Whether only errors and the result are to be written."""
    return _quiet.get()


class OutputError(OSError):
    """A result could not be written to standard output; the text says so, and why."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause.errno, f"standard output cannot be written to: {cause.strerror}")


def put(text: Text | str) -> None:
    """Write a result to stdout, in colour on a terminal.

    Line ends are kept, and lines are broken, as in `say`; a `Text` has lines that fit. A reader that has gone away, as
    in ``| head``, is no error.

    Raises:
        OutputError: The result cannot be written for another reason, such as a full disk.
    """
    shown = visible_lines(str(text))
    try:
        if isinstance(text, Text) and shown == text.plain and on_terminal(sys.stdout):
            Console(highlight=False, soft_wrap=True).print(text)
        else:
            print(wrapped(shown, width_of(sys.stdout)), flush=True)  # noqa: T201 - as above
    except OSError as exc:
        _give_up_output(exc)


def put_line(line: str) -> bool:
    """Write a line of a result to stdout as it is: text from others in it is visible. Returns whether anybody reads on.

    Raises:
        OutputError: As `put`.
    """
    try:
        print(line, flush=True)  # noqa: T201 - as above
    except OSError as exc:
        _give_up_output(exc)
        return False
    return True


def _give_up_output(cause: OSError) -> None:
    drop_output(sys.stdout)
    if not isinstance(cause, BrokenPipeError):
        raise OutputError(cause) from cause


def drop_output(stream: TextIO | None) -> None:
    """Drop what `stream` could not take, and what follows: it would raise again, at the latest when Python ends."""
    if stream is not None:  # as it is where a parent closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def ending_output(stream: TextIO | None) -> Generator[None, None, None]:
    """Let the block write to `stream` as long as that can be written to: a terminal may go away."""
    try:
        yield
    except OSError:
        with suppress(OSError, ValueError):  # no file, or a closed one
            drop_output(stream)


def on_terminal(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal; one that the parent process closed is None, and no terminal."""
    return stream is not None and stream.isatty()


class Notes(logging.Handler):
    """The library's log, for people: warnings are shown at once. State: the latest of the rest, for the display."""

    def __init__(self, shown: int = logging.WARNING) -> None:
        """`shown` is the level from which on a record is shown at once."""
        super().__init__(min(shown, logging.INFO))
        self._shown = shown
        self.latest: logging.LogRecord | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filterer.filter`."""
        return record.name != _own_log.name

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        if record.levelno < self._shown:
            self.latest = record
        elif not is_quiet():
            say(f"aionorth: {logged(record)}")

    def recent(self, seconds: float) -> str:
        """Return the latest message; empty where it is older than so many seconds, or there is none."""
        record = self.latest
        return logged(record) if record is not None and time.time() - record.created < seconds else ""


def logged(record: logging.LogRecord) -> str:
    """Return the message of `record` for people at a shell, in one line."""
    if isinstance(record.args, tuple):
        args = tuple(told(arg) if isinstance(arg, (NorthError, Message)) else arg for arg in record.args)
        return visible(str(record.msg) % args if args else str(record.msg))
    return visible(record.getMessage())


@contextmanager
def noted(
    *, quiet: bool = False, shown: int = logging.WARNING, file: logging.Handler | None = None
) -> Generator[Notes, None, None]:
    """Show the library's warnings, logged ones and Python's, as lines on stderr while the block runs.

    Args:
        quiet: Whether to show only errors: no warnings, and no remarks.
        shown: The level from which on what is logged is shown.
        file: Gets all that is logged, and what the command itself says.
    """
    notes = Notes(shown)
    level, propagate = _log.level, _log.propagate
    handlers = [notes] if file is None else [notes, file]
    for handler in handlers:
        _log.addHandler(handler)
    _log.setLevel(min(handler.level for handler in handlers))
    _log.propagate = False
    before = _quiet.set(quiet)
    try:
        with warnings.catch_warnings():
            as_usual = warnings.showwarning

            def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:  # noqa: ANN401 - Python's own
                if issubclass(category, NorthWarning):
                    remark(f"aionorth: {visible(str(message))}")
                else:
                    as_usual(message, category, *where, **more)

            warnings.showwarning = show
            warnings.simplefilter("always", NorthWarning)
            yield notes
    except (Exception, KeyboardInterrupt) as exc:  # it is reported after the block
        _own_log.error("%s", "interrupted" if isinstance(exc, KeyboardInterrupt) else in_words(exc))
        raise
    finally:
        _quiet.reset(before)
        for handler in handlers:
            _log.removeHandler(handler)
        _log.setLevel(level)
        _log.propagate = propagate


# --- How it ends


class ExitCode(enum.IntEnum):
    """The exit code of a command."""

    OK = 0
    """All gone."""
    FAILED = 1
    """Some ids failed, or the run ended early."""
    USAGE = 2
    """Something is missing or cannot be used; nothing was sent."""
    REFUSED = 3
    """The platform refused the app or its secret."""
    TO_DO = 4
    """There is something to delete: for a dry run that was asked to say so."""
    NONE_KNOWN = 5
    """The platform knew not one of the ids."""
    INTERRUPTED = 130
    """Ended by SIGINT, SIGTERM or SIGHUP; what a shell calls 128 + 2."""


EXIT_CODES = """\b
Exit codes:
  0    all ids are gone from the platform
  1    some are not, or the run ended early
  2    something is missing or cannot be used; nothing was deleted
  3    the platform refused the app or its secret
  4    there is something to delete: with --detailed-exitcode
  5    the platform knew not one of the ids; 0 with --missing-ok
  130  interrupted; the messages before it say how far the run came"""

_REFUSALS = (CredentialsError, InvalidTokenError, AppNotFoundError, AppFrozenError)


class ProblemError(Exception):
    """What the user has to put right before anything can be sent; each line names the input and the remedy."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(visible, lines)))


ALIKE = 0.75
"""From which part of equal characters on, by `difflib`, a word may be the one that was meant."""

OPTIONS: dict[str, list[str]] = {"RedisStore.url": ["AIONORTH_REDIS_URL"]}
"""The options of all commands, by the names that their settings have in the library. The parser enters them."""


SET_BY: dict[str, str] = {}
"""What set a setting that no option gave: its variable, or its key in a profile. `resolve` enters them."""


def option_of(argument: str, on: bool = True) -> str | None:  # noqa: FBT001, FBT002 - as `renamed` calls it
    """Return what gives an argument of the library, or switches it off; None where the command line does not.

    It is the option, unless something else has given it.
    """
    key = argument if argument in OPTIONS else argument.rpartition(".")[2]
    names = OPTIONS.get(key)
    return SET_BY.get(key) or (None if names is None else names[0 if on else -1])


def refuse_useless(where: str, **given: object) -> None:
    """Raise `ProblemError` if one of these options, by the names of their fields, is given `where` it has no effect."""
    useless = [option_of(name) or name for name, value in given.items() if value is not None and value is not False]
    if useless:
        raise ProblemError(f"{' and '.join(useless)} {'is' if len(useless) == 1 else 'are'} of no use {where}")


def told(message: BaseException | str) -> str:
    """Return a message of the library with the options that people type in the place of its arguments."""
    if isinstance(message, str):
        return renamed(message, option_of)
    return renamed(str(message), option_of) or type(message).__name__


def code_of(cause: BaseException) -> ExitCode:
    """Return the exit code of a run that `cause` ended early."""
    return ExitCode.REFUSED if isinstance(cause, _REFUSALS) else ExitCode.FAILED


def in_words(error: BaseException) -> str:
    """Return the message for `error`, with a remedy where the library leaves it to its user."""
    text = told(error)
    if isinstance(error, (ProblemError, SettingsError)):
        return text  # whose lines stay lines
    if isinstance(error, OSError):
        text = error.strerror or text
        if error.filename is not None and not isinstance(error, OutputError):
            text = f"{error.filename}: {text}"
    elif isinstance(error, StoreError):
        text = text.removesuffix(".")
        if "Redis" in text:
            text += "; check AIONORTH_REDIS_URL, or redis_url in the profile"
        text += f"; {'or, ' if '; ' in text else ''}while nothing else uses this app, do without: --store memory"
    elif isinstance(error, OutageError):
        reason = f" ({told(error.reason)})" if error.reason else ""
        text = (
            f"the platform has not answered any call for {duration(error.silent_for)}{reason}; check the URL and the "
            "network, or wait until it is back"
        )
    elif type(error) is NorthConnectionError:
        text += "; check the URL and the network"
    return visible(text)


@contextmanager
def reported() -> Generator[None, None, None]:
    """Turn what a user can do something about into one message and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        say("aionorth: interrupted")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except (ProblemError, ArgumentError, JournalError, StoreError) as exc:
        say(f"aionorth: {in_words(exc)}")
        raise typer.Exit(ExitCode.USAGE) from None
    except (NorthError, OSError) as exc:
        say(f"aionorth: {in_words(exc)}")
        raise typer.Exit(code_of(exc)) from None
