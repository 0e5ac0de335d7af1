"""The command line, `aionorth`: the library's bulk runs with settings from the environment and a display.

It needs the extra ``aionorth[cli]``; importing this package does not.
"""

from __future__ import annotations

import sys

_EXTRA = frozenset({"rich", "typer"})


def main() -> None:
    """Run the command line on ``sys.argv`` and exit: the entry point."""
    try:
        from aionorth.cli.app import app  # noqa: PLC0415 - the extra may not be installed
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write("aionorth: the command line needs typer and rich: pip install 'aionorth[cli]'\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    app(prog_name="aionorth")
