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
    return str(error) if isinstance(error, ProblemError) else visible(_in_words(error))


def _in_words(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, OSError):
        text = error.strerror or text
        return text if isinstance(error, OutputError) or error.filename is None else f"{error.filename}: {text}"
    if isinstance(error, StoreError):
        what = "check AIONORTH_REDIS_URL, or redis_url in the profile; " if "Redis" in text else ""
        return f"{text.removesuffix('.')}; {what}or, while nothing else uses this app, do without: --store memory"
    return f"{text}; check the URL and the network" if type(error) is NorthConnectionError else text


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
