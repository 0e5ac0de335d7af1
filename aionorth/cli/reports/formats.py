"""The report of a purge, written to a file from its journal: JSON Lines or CSV for programs, a page for people.

The first two have every id, in the plan's order and unchanged. A spreadsheet may take an id for a formula or a number,
but with a quote before it, it would be another id; and ids are made by the platform. The text of a reply may come from
anyone, and no program matches on it. So in a CSV file an apostrophe stands before each part of it that a spreadsheet
would calculate.
"""

from __future__ import annotations

import csv
import json
import os
import re
import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from aionorth.cli.output.messages import ProblemError, told
from aionorth.cli.reports.account import PENDING, is_pending
from aionorth.cli.reports.timeline import outcome_at
from aionorth.common import files
from aionorth.common.times import utc
from aionorth.errors import NorthApiError, NorthError
from aionorth.purge.journal import History

COLUMNS = (
    *("id", "outcome"),
    *("error_type", "error_status", "error_code", "error_description", "error_remedy"),
    *("attempts", "refusals", "calls", "elapsed", "began_at", "ended_at"),
)
"""The columns of a CSV file."""

_FORMULA = re.compile(r"""(^|[,;\t-\r\x1c-\x1e\x85\u2028\u2029])(?=[\s"]*[=+\-@＝＋－＠])|^(?=[\t\r])""")  # noqa: RUF001
"""Where an apostrophe belongs. A spreadsheet may take other separators than a comma, and then ignores quotes."""


class ReportError(NorthError):
    """A report cannot be written. What it would say is in the journal all the same."""


def check_report(path: str, suffix: str = "") -> None:
    """Check that a report can be written to `path`, before anything is sent; raises `ProblemError` where it cannot.

    A file that is there already stays as it is until `write_report` replaces it. Without a `suffix`, which names the
    format, that of `path` does so.
    """
    if path == "-":
        raise ProblemError(
            "a report goes to a file, and - is none: name one; 'aionorth report JOURNAL' and 'aionorth fleet report "
            "RUN' write to stdout"
        )
    if suffix and _suffix(path) in _WRITERS and _suffix(path) != suffix:
        raise ProblemError(f"{path} is named like a report of another format: let it end in {suffix}")
    if (suffix or _suffix(path)) not in _WRITERS:
        raise ProblemError(f"{path} is no name for a report: let it end in {_SUFFIXES}")
    try:
        descriptor, unseen, _ = _create(path)
    except ReportError as exc:
        raise ProblemError(str(exc)) from exc
    except (OSError, ValueError) as exc:
        raise ProblemError(
            f"the report {path} cannot be written ({_reason(exc)}): name a file in a directory that exists and that "
            "you may write to"
        ) from exc
    os.close(descriptor)
    files.drop_unseen(unseen)


def write_report(path: str, history: History, *, now: datetime, suffix: str = "") -> None:
    """Write the report of `history` to `path`, in the format that `suffix` names, or that of `path`.

    `now` is aware: the times on a page are in its time zone. See `writing`.
    """
    with writing(path) as file:
        _WRITERS[suffix or _suffix(path)](file, history, now)


@contextmanager
def writing(path: str) -> Generator[TextIO, None, None]:
    """Yield the file of the report `path`, which gets its name once the block has ended well.

    A file that is there is replaced; readers of `path` see the old one or the whole new one. Raises `ReportError` where
    it cannot be written, with the old file as it was.
    """
    with naming(path):
        descriptor, unseen, target = _create(path)
        try:
            # Ids come from files, and may hold halves of characters.
            with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:  # noqa: PTH123 - a descriptor
                yield file
                file.flush()
                os.fsync(descriptor)
                if files.RENAMES_OPEN_FILES:
                    files.put_in_place(descriptor, unseen, target)
            if not files.RENAMES_OPEN_FILES:
                files.put_in_place(descriptor, unseen, target)
        except BaseException:
            files.drop_unseen(unseen)
            raise


@contextmanager
def naming(path: str) -> Generator[None, None, None]:
    """Raise `ReportError`, which names the report, where the block cannot write it."""
    try:
        yield
    except (OSError, ValueError) as exc:
        raise ReportError(
            f"the report {path} cannot be written ({_reason(exc)}); what it would have said is in the journal"
        ) from exc


def _create(path: str) -> tuple[int, str, str]:
    """Create the file of the report `path`, readable by its owner only, or as the one was that it replaces.

    Returns:
        Its descriptor, its temporary name, and where `path` leads.
    """
    target = files.check_way(path)
    try:
        state = os.lstat(target)
    except FileNotFoundError:
        if os.path.exists(path):  # noqa: PTH110 - what has no name, as the pipe to which /dev/stdout may lead
            raise _irreplaceable(path) from None
        mode = 0o600  # as a journal, whose ids it has
    else:
        if not stat.S_ISREG(state.st_mode):
            raise _irreplaceable(path)
        files.check_owner(state, path)
        mode = stat.S_IMODE(state.st_mode)
    descriptor, unseen = files.create_unseen(target, mode)
    return descriptor, unseen, target


def _irreplaceable(path: str) -> ReportError:
    return ReportError(f"{path} is not a file that can be replaced: name another one for the report")


# --- The formats

Row = dict[str, Any]
"""What there is to say of an id, as JSON-ready values."""

Rows = Callable[[Iterable[Row]], None]
"""Writes rows to a file."""


def lines_to(file: TextIO) -> Rows:
    """Return what writes rows to `file` as JSON Lines."""
    return lambda rows: file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def table_to(file: TextIO, *before: str) -> Rows:
    """Return what writes rows to `file` as a CSV file, whose header it begins with; its first columns are `before`."""
    table = csv.DictWriter(file, [*before, *COLUMNS])
    table.writeheader()

    def write(rows: Iterable[Row]) -> None:
        for row in rows:
            error: dict[str, Any] = row.pop("error") or {}
            table.writerow(row | {f"error_{name}": defused(value) for name, value in error.items()})

    return write


def _write_lines(file: TextIO, history: History, _: datetime) -> None:
    lines_to(file)(rows_of(history))


def _write_table(file: TextIO, history: History, _: datetime) -> None:
    table_to(file)(rows_of(history))


def defused(value: object) -> object:
    """Return a cell with an apostrophe before each place from which a spreadsheet would calculate."""
    return _FORMULA.sub(r"\1'", value) if isinstance(value, str) else value


def _write_page(file: TextIO, history: History, now: datetime) -> None:
    from aionorth.cli.reports.page import render  # noqa: PLC0415 - its templates take their time to import

    file.write(render(history, now=now))


_WRITERS: dict[str, Callable[[TextIO, History, datetime], None]] = {
    ".jsonl": _write_lines,
    ".csv": _write_table,
    ".html": _write_page,
}

_SUFFIXES = ".jsonl, .csv or .html"


def rows_of(history: History, **before: str) -> Iterator[Row]:
    """Yield a row for each id, with the same values `before` it in each."""
    for entry in history.entries.values():
        result = entry.result()
        yield {
            **before,
            "id": entry.id,
            "outcome": PENDING if is_pending(entry, history) else result.outcome.value,
            "error": None if result.error is None else _error(result.error),
            "attempts": result.attempts,
            "refusals": entry.refusals,
            "calls": entry.all_calls,
            "elapsed": round(entry.elapsed, 3),
            "began_at": None if entry.began_at is None else utc(entry.began_at),
            "ended_at": None if (ended_at := outcome_at(entry)) is None else utc(ended_at),
        }


def _error(error: NorthError) -> dict[str, Any]:
    reply = error if isinstance(error, NorthApiError) else None
    return {
        "type": type(error).__name__,
        "status": reply and reply.status,
        "code": reply and reply.code,
        "description": (reply.description if reply else told(str(error))) or None,
        "remedy": reply and (told(reply.remedy) or None),
    }


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()


def _reason(exc: Exception) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
