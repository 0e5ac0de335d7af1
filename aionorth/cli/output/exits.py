"""How a command ends: its exit codes, and one message in place of a traceback."""

from __future__ import annotations

import enum
from collections.abc import Generator
from contextlib import contextmanager

import typer

from aionorth.cli.output.terminal import OutputError, say
from aionorth.common.text import visible
from aionorth.errors import (
    AppFrozenError,
    AppNotFoundError,
    ArgumentError,
    CredentialsError,
    InvalidTokenError,
    JournalError,
    NorthConnectionError,
    NorthError,
    StoreError,
)


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
    INTERRUPTED = 130
    """Ended by SIGINT or SIGTERM; what a shell calls 128 + 2."""


EXIT_CODES = """\b
Exit codes:
  0    all ids are gone from the platform
  1    some are not, or the run ended early
  2    something is missing or cannot be used; nothing was deleted
  3    the platform refused the app or its secret
  130  interrupted; the messages before it say how far the run came"""

_REFUSALS = (CredentialsError, InvalidTokenError, AppNotFoundError, AppFrozenError)


class ProblemError(Exception):
    """What the user has to put right before anything can be sent; each line names the input and the remedy."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(visible, lines)))


def code_of(cause: BaseException) -> ExitCode:
    """Return the exit code of a run that `cause` ended early."""
    return ExitCode.REFUSED if isinstance(cause, _REFUSALS) else ExitCode.FAILED


def in_words(error: BaseException) -> str:
    """Return the message for `error`, with a remedy where the library leaves it to its user."""
    text = str(error) or type(error).__name__
    if isinstance(error, ProblemError):
        return text  # whose lines stay lines
    if isinstance(error, OSError):
        text = error.strerror or text
        if error.filename is not None and not isinstance(error, OutputError):
            text = f"{error.filename}: {text}"
    elif isinstance(error, StoreError):
        what = "check AIONORTH_REDIS_URL, or redis_url in the profile; " if "Redis" in text else ""
        text = f"{text.removesuffix('.')}; {what}or, while nothing else uses this app, do without: --store memory"
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
