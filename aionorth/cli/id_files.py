"""Ids from a file: one a line, read whole, every one checked before anything is sent."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from aionorth.cli.output.messages import ProblemError, on_terminal, say
from aionorth.common.text import shown
from aionorth.wire.checks import id_fault

STDIN = "-"

MAX_NAMED = 5
"""How many unusable ids a message names."""


def read_ids(source: str, name: str, column: str | None = None, *, option: str = "--ids-file") -> list[str]:
    """Return the ids in a file, in their order, duplicates included.

    Blank lines, whitespace around an id, and a byte order mark do not count.

    Args:
        source: The file, or ``-`` for standard input.
        name: What an id is called, as in ``file_id``.
        column: The column of a CSV file that has the ids; without it they stand one a line.
        option: The option that named the file, for messages.

    Raises:
        ProblemError: The file cannot be read, or something in it is no id.
    """
    label = "standard input" if source == STDIN else source
    try:
        content = _stdin() if source == STDIN else Path(source).read_bytes()
    except OSError as exc:
        raise ProblemError(
            f"{label} cannot be read: {exc.strerror}; give {option} a text file with one id per line, or - for "
            "standard input"
        ) from exc
    except ValueError as exc:  # a NUL in the path
        raise ProblemError(f"{label} cannot be the path of a file: {exc}") from exc
    return parse_ids(content, name, label, column)


def parse_ids(content: bytes, name: str, label: str, column: str | None = None) -> list[str]:
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
    for number, entry in _entries(text, label, column):
        if id_ := entry.strip():
            if (fault := _looks(id_, name, in_column=column is not None) or id_fault(id_, name)) is None:
                ids.append(id_)
            else:
                bad.append(f"{label}, line {number}: {fault}")
    if bad:
        more = [f"and {len(bad) - MAX_NAMED:,} more"] if len(bad) > MAX_NAMED else []
        raise ProblemError(*bad[:MAX_NAMED], *more, "nothing was sent")
    return ids


def _entries(text: str, label: str, column: str | None) -> Iterable[tuple[int, str]]:
    """Return what may be an id, and on which line it ends."""
    if column is None:
        # Not splitlines(): it also splits where no editor counts a line.
        return enumerate(text.split("\n"), 1)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        names = [name.strip() for name in next(rows, list[str]())]
        if names.count(column) != 1:
            raise ProblemError(
                f"{label} has {'several columns' if column in names else 'no column'} {column!r} in its first line, "
                f"which reads: {shown(', '.join(names))}; nothing was sent"
            )
        at = names.index(column)
        return [(rows.line_num, row[at]) for row in rows if len(row) > at]
    except csv.Error as exc:
        raise ProblemError(f"{label} is no CSV file: {exc}; nothing was sent") from exc


def _looks(entry: str, name: str, *, in_column: bool) -> str | None:
    """Say what an entry looks like that is no id; None where it may be one, or where the fault is plain to see."""
    if entry[0] in "{[" or re.search(r'[}\]],?$|"[,:]$', entry):
        key = re.sub("_(.)", lambda found: found[1].upper(), name)  # as in the platform's JSON: fileId
        return f"{entry[:20]!r} looks like JSON: extract the ids, as with jq -r .{key}, or jq -r '.[]' from a mere list"
    if entry == "null":
        return "'null' is what jq prints where there is no such key: name the one that has the id"
    if entry.startswith("#") and not in_column:
        return f"{entry[:20]!r} looks like a comment: a file of ids has none"
    if any(separator in entry for separator in ",;") and not in_column:
        return f"{entry[:20]!r} looks like a row of a CSV file: name the column that has the ids with --csv-column"
    if entry[0] == entry[-1] == '"':
        return f"{entry[:20]!r} is in quotes: take them away; jq leaves them out with -r"
    return None


def _stdin() -> bytes:
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - so it is where a parent closed it
        raise ProblemError("standard input is closed; give --ids-file a file instead of -")
    if on_terminal(sys.stdin):
        say("reading ids from the terminal, one per line; Ctrl-D ends them")
    return sys.stdin.buffer.read()
