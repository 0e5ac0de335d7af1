"""The command line, `aionorth`: the library's bulk runs with settings from the environment and a display.

It needs the extra ``aionorth[cli]``; importing this package does not.
"""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable

_EXTRA = ("jinja2", "platformdirs", "portalocker", "rich", "typer")


def main() -> None:
    """Run the command line on ``sys.argv`` and exit: the entry point."""
    # Imports take a while, and their callbacks may swallow a KeyboardInterrupt: the deletion would begin all the same.
    # So until all is imported SIGINT ends the process at once, as it does other programs.
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a parent may have it ignored
    if is_default:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from importlib.util import find_spec  # noqa: PLC0415 - not before SIGINT is seen to

    if missing := next((name for name in _EXTRA if find_spec(name) is None), None):
        sys.stderr.write(f"aionorth: the command line needs {missing}: pip install 'aionorth[cli]'\n")
        sys.exit(2)
    from aionorth.cli.program import program  # noqa: PLC0415 - the extra is installed

    made = program()
    try:
        if is_default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _run(made)
    finally:
        if is_default:  # or a signal while Python ends would show a traceback
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run(program: Callable[..., object]) -> None:
    """Run `program`, and report what its commands do not report themselves."""
    from aionorth.cli.output.messages import OutputError, drop_output, in_words, say  # noqa: PLC0415 - as above

    for stream in (sys.stdout, sys.stderr):  # a character that the encoding lacks must not lose the account of a run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        program(prog_name="aionorth")
    except KeyboardInterrupt:  # before a command has begun
        sys.exit(130)
    except RuntimeError as exc:  # typer puts what completes words into the home directory
        if "home directory" not in str(exc):
            raise
        say("aionorth: there is no home directory, where a shell looks for completion: set HOME")
        sys.exit(2)
    except OSError as exc:  # mostly help on a full disk
        if exc.filename is None:
            drop_output(sys.stdout)
            exc = OutputError(exc)
        say(f"aionorth: {in_words(exc)}")
        sys.exit(1)
