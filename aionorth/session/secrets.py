"""The app's secret, from the environment or a file. No message, repr or traceback shows it."""

from __future__ import annotations

import os
import shlex
import stat

from aionorth.auth.sources import Secret
from aionorth.common.files import check_owner
from aionorth.session.profiles import problems
from aionorth.wire.checks import check_string

SECRET = "AIONORTH_SECRET"  # noqa: S105 - the name of the variable

MAX_BYTES = 4096
"""How many bytes of a secret's file are read: more than the longest secret has."""


def usable(text: str, where: str) -> Secret:
    """Return `text` as a secret; raises `ArgumentError`, naming `where` it is from, if it is none."""
    secret = Secret(text)
    del text  # a traceback of what follows must not show it
    if not secret.value:
        raise problems(f"{where} is empty: it must hold the app's secret")
    if secret.value != secret.value.strip():
        raise problems(f"{where} has blanks or a line end around it: give the secret without")
    if len(secret.value.splitlines()) > 1:
        raise problems(f"{where} has several lines: it must hold the app's secret and nothing else")
    check_string(secret.value, where)
    return secret


def from_file(file: str, where: str) -> Secret:
    """Return the secret in `file`, less one line end; `where` names the setting that names the file.

    Raises `SettingsError` for what is no file, and for one that is another user's, or that others can read or write to.
    """
    try:
        # A fifo without a writer would hold up an open that blocks.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise problems(f"{file} cannot be read: {reason}; {where} must be a file with the secret") from exc
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise problems(f"{file} is not a regular file; {where} must be a file with the secret")
        check_owner(state, file)
        if os.name == "posix" and (others := state.st_mode & (stat.S_IRWXG | stat.S_IRWXO)):
            whom = "every user" if others & stat.S_IRWXO else "its group"
            raise problems(f"{file} holds a secret and is open to {whom}: chmod 600 {shlex.quote(file)}")
        return usable(_text(os.read(descriptor, MAX_BYTES), file), file)
    except OSError as exc:
        raise problems(
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
    raise problems(f"{file} is not UTF-8 text: it must hold the app's secret")
