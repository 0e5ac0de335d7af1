"""Ids from a file: one a line, read whole, every one checked before anything is sent."""

from __future__ import annotations

import sys
from pathlib import Path

from aionorth.api import check_id
from aionorth.cli.exits import ProblemError
from aionorth.cli.terminal import on_terminal, say
from aionorth.errors import InvalidIdError

STDIN = "-"

MOST_NAMED = 5
"""How many unusable ids a message names."""


def read_ids(source: str, name: str) -> list[str]:
    """Return the ids in the file `source`, or on standard input for ``-``, in their order, duplicates included.

    Blank lines and the whitespace around an id do not count, nor does a byte order mark. `name` is what the platform
    calls such an id. Raises `ProblemError` for what cannot be read, or is no id.
    """
    label = "standard input" if source == STDIN else source
    try:
        content = _stdin() if source == STDIN else Path(source).read_bytes()
    except OSError as exc:
        raise ProblemError(
            f"{label} cannot be read: {exc.strerror}; give --ids-file a text file with one id per line, or - for "
            "standard input"
        ) from exc
    except ValueError as exc:  # a NUL in the path
        raise ProblemError(f"{label} cannot be the path of a file: {exc}") from exc
    return parse_ids(content, name, label)


def parse_ids(content: bytes, name: str, label: str) -> list[str]:
    """Return the ids in `content`; `label` is what messages call the file. Raises `ProblemError` as `read_ids` does."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ProblemError(
            f"{label}, line {line}: not UTF-8 text (byte 0x{content[exc.start]:02x}); save it as UTF-8, one id per line"
        ) from exc
    ids: list[str] = []
    bad: list[str] = []
    # Not splitlines(): it also splits where no editor counts a line.
    for number, entry in enumerate(text.split("\n"), 1):
        if id_ := entry.strip():
            if (fault := _fault(id_, name)) is None:
                ids.append(id_)
            else:
                bad.append(f"{label}, line {number}: {fault}")
    if bad:
        more = [f"and {len(bad) - MOST_NAMED:,} more"] if len(bad) > MOST_NAMED else []
        raise ProblemError("\n".join([*bad[:MOST_NAMED], *more, "nothing was sent"]))
    return ids


def _fault(id_: str, name: str) -> str | None:
    """Tell why `id_` cannot be an id; None where it can."""
    try:
        check_id(id_, name)
    except InvalidIdError as exc:
        return str(exc)
    return None


def _stdin() -> bytes:
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - so it is where a parent closed it
        raise ProblemError("standard input is closed; give --ids-file a file instead of -")
    if on_terminal(sys.stdin):
        say("reading ids from the terminal, one per line; Ctrl-D ends them")
    return sys.stdin.buffer.read()
