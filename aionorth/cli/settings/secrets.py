"""The app's secret, from the keyboard. No message, repr or traceback shows it."""

from __future__ import annotations

import getpass
import sys
import warnings

from aionorth.auth.sources import Secret
from aionorth.cli.output.messages import ProblemError, on_terminal, say
from aionorth.common.text import visible
from aionorth.session.secrets import SECRET, usable


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
