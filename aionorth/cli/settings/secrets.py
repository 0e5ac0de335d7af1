"""The app's secret: from the environment, a file or the keyboard. No message, repr or traceback shows it."""

from __future__ import annotations

import getpass
import os
import shlex
import stat
import sys
import warnings

from aionorth.auth.sources import Secret
from aionorth.cli.output.messages import ProblemError, on_terminal, say
from aionorth.common.files import check_owner
from aionorth.common.text import visible
from aionorth.wire.checks import check_string

SECRET = "AIONORTH_SECRET"  # noqa: S105 - the name of the variable

MAX_BYTES = 4096
"""How many bytes of a secret's file are read: more than the longest secret has."""


def usable(text: str, where: str) -> Secret:
    """Return `text` as a secret; raises `ProblemError` or `ArgumentError`, naming `where` it is from, if it is none."""
    secret = Secret(text)
    del text  # a traceback of what follows must not show it
    if not secret.value:
        raise ProblemError(f"{where} is empty: it must hold the app's secret")
    if secret.value != secret.value.strip():
        raise ProblemError(f"{where} has blanks or a line end around it: give the secret without")
    check_string(secret.value, where)
    return secret


def from_file(file: str, where: str) -> Secret:
    """Return the secret in `file`, less one line end; `where` names the setting that names the file.

    Raises `ProblemError` for what is no file, and for one that is another user's, or that others can read or write to.
    """
    try:
        # A fifo without a writer would hold up an open that blocks.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise ProblemError(f"{file} cannot be read: {reason}; {where} must be a file with the secret") from exc
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise ProblemError(f"{file} is not a regular file; {where} must be a file with the secret")
        check_owner(state, file)
        if os.name == "posix" and (others := state.st_mode & (stat.S_IRWXG | stat.S_IRWXO)):
            whom = "every user" if others & stat.S_IRWXO else "its group"
            raise ProblemError(f"{file} holds a secret and is open to {whom}: chmod 600 {shlex.quote(file)}")
        return usable(_text(os.read(descriptor, MAX_BYTES), file), file)
    except OSError as exc:
        raise ProblemError(
            f"{file} cannot be used: {exc.strerror}; {where} must be a file of your own with the secret"
        ) from exc
    finally:
        os.close(descriptor)


def _text(content: bytes, file: str) -> str:
    """Return the text of a secret's file less one line end."""
    text = content.decode("utf-8-sig", "replace")
    readable = "\ufffd" not in text
    if readable:
        return text.removesuffix("\n").removesuffix("\r")
    del content, text  # as above
    raise ProblemError(f"{file} is not UTF-8 text: it must hold the app's secret")


def can_be_typed(*, stdin_is_data: bool) -> bool:
    """Whether somebody at a terminal can be asked, also where stdin is data."""
    return on_terminal(sys.stderr) and (stdin_is_data or on_terminal(sys.stdin))


def typed_in(app_id: str) -> Secret:
    """Ask for the secret at the terminal, without echo; raises `ProblemError` where that cannot be."""
    try:
        with warnings.catch_warnings():
            # Without a terminal getpass would read a line from stdin, which may be an id, and echo it.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return usable(getpass.getpass(f"Secret of {visible(app_id)} (not shown): "), "the secret typed in")
    except (KeyboardInterrupt, EOFError) as exc:
        say("")  # ends the line of the prompt
        if isinstance(exc, KeyboardInterrupt):
            raise
        raise ProblemError("no secret was typed in") from None
    except (getpass.GetPassWarning, OSError) as exc:
        raise ProblemError(f"there is no terminal to type the secret at: set {SECRET} or {SECRET}_FILE") from exc
