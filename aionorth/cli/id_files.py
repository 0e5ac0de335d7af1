"""Ids from a file: one a line, read whole, every one checked before anything is sent.

A first line without a digit is taken for a header, and refused, if it alone reads like the name of an id (``fileId``,
``file id``), or if the others, two or more, all have digits and one length, and it has another: so it is with the ids
that platforms make. An id that looks like a header can be given below a header, as the column of a CSV file.

A blank, a comma, ``<``, ``>`` or ``|`` in a line shows that it is several ids, or prose, markup or a table. The command
line takes no id with one. The library does, as no document of the platform rules that out.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from aionorth.cli.output.messages import ALIKE, ProblemError, on_terminal, remark, say
from aionorth.common.text import many, shortened, shown
from aionorth.wire.checks import id_fault

STDIN = "-"

IDS_FILE, EXCLUDE_FILE = "--ids-file", "--exclude-file"

MAX_NAMED = 5
"""How many unusable ids a message names."""

LONGEST_CITED = 50
"""Characters of an unusable line that a message shows: an id of the usual length, and what follows it."""

DELIMITERS = {",": ",", ";": ";", "tab": "\t"}
"""What may stand between the columns of a CSV file, as it is typed and as it is."""

Fault = tuple[str, str]
"""What is wrong with an entry, and the remedy. Of several entries with the same remedy one is told."""

_not_in_an_id = re.compile(r"[ ,<>|]").search
_has_digit = re.compile(r"\d").search
_is_name = re.compile(r"(.*[\W_])?(?i:id|uuid|guid)s?|.*[a-z]I[Dd]s?").fullmatch
"""Matches what a column of ids may be called."""


def read_ids(
    source: str,
    name: str,
    column: str | None = None,
    *,
    delimiter: str | None = None,
    option: str = IDS_FILE,
    allow_empty: bool = False,
) -> list[str]:
    """Return the ids in a file, in their order, duplicates included.

    Blank lines, whitespace around an id, and a byte order mark do not count.

    Args:
        source: The file, or ``-`` for standard input.
        name: What an id is called, as in ``file_id``.
        column: The column of a CSV file that has the ids; without it they stand one a line.
        delimiter: One of `DELIMITERS`, as it is typed; unless given, that with which the first line has the column.
        option: The option that named the file, for messages.
        allow_empty: Whether it is fine that the file has no ids.

    Raises:
        ProblemError: The file cannot be read, something in it is no id, or nothing is.
    """
    label = "standard input" if source == STDIN else source
    try:
        if source == STDIN:
            content = read_stdin("ids, one per line,", f"give {option} a file")
        else:
            content = Path(source).read_bytes()
    except OSError as exc:
        raise ProblemError(
            f"{label} cannot be read: {exc.strerror}; give {option} a text file with one id per line, or - for "
            "standard input"
        ) from exc
    except ValueError as exc:  # a NUL in the path
        raise ProblemError(f"{label} cannot be the path of a file: {exc}") from exc
    ids = parse_ids(content, name, label, column, delimiter=delimiter, option=option)
    if not ids and not allow_empty:
        where = label if column is None else f"the column {column!r} of {label}"
        raise ProblemError(f"{where} has no ids: nothing was sent; add --allow-empty if that is to be no error")
    return ids


def parse_ids(
    content: bytes,
    name: str,
    label: str,
    column: str | None = None,
    *,
    delimiter: str | None = None,
    option: str = IDS_FILE,
) -> list[str]:
    """Return the ids in `content`; `label` is what messages call the file. Raises `ProblemError` as `read_ids` does."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ProblemError(
            f"{label}, line {line}: not UTF-8 text (byte 0x{content[exc.start]:02x}); save it as UTF-8, one id per line"
        ) from exc
    each = "line" if column is None else "row"
    ids: list[str] = []
    bad: list[tuple[int, Fault]] = []
    first, may_be_header = 0, column is None
    for number, entry in _entries(text, label, column, delimiter):
        if not (id_ := entry.strip()):
            continue
        looks = _looks(id_, text, name, option=option if column is None else None)
        if not ids:
            first, may_be_header = number, may_be_header and looks is None
        ids.append(id_)
        if fault := looks or not_one_id(id_, each) or _refused(id_):
            bad.append((number, fault))
            if _is_json(id_):
                break  # the lines below are of it too, and some of them look like something else
    if may_be_header and ids and _has_header(ids):
        bad = [(first, _looks_like_header(ids, option)), *(one for one in bad if one[0] != first)]
    if bad:
        more = [f"and {len(bad) - MAX_NAMED:,} more"] if len(bad) > MAX_NAMED else []
        said, told = list[str](), {""}
        for number, (what, remedy) in bad[:MAX_NAMED]:
            said.append(f"{label}, line {number}: {what}" + ("" if remedy in told else f": {remedy}"))
            told.add(remedy)
        raise ProblemError(*said, *more, "nothing was sent")
    return ids


def not_one_id(entry: str, each: str) -> Fault | None:
    """Return what shows that an entry is more than an id, as the module says; None where nothing does.

    `each` is what is to have one id, as in ``line``.
    """
    if (found := _not_in_an_id(entry)) is None:
        return None
    what = "a blank" if found[0] == " " else repr(found[0])
    return f"{_cited(entry)} has {what} in it", f"give one id per {each} and nothing else"


def _cited(entry: str) -> str:
    return repr(shortened(entry, LONGEST_CITED))


def _refused(id_: str) -> Fault | None:
    """Return why an id cannot be sent; None where it can."""
    what, colon, remedy = (id_fault(id_) or "").rpartition(": ")
    if not colon or "'" in remedy:  # it has no remedy; the colon, if any, is one in the id
        return (fault, "") if (fault := what + colon + remedy) else None
    return what, remedy


def _entries(text: str, label: str, column: str | None, delimiter: str | None) -> Iterable[tuple[int, str]]:
    """Return what may be an id, and on which line it ends."""
    if column is None:
        # Not splitlines(): it also splits where no editor counts a line.
        return enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1)
    if not text.strip():
        return ()
    try:
        rows = _rows(text, delimiter or _delimiter(text, label, column))
        names = rows.fieldnames or ()
        if list(names).count(column) != 1:
            raise ProblemError(
                f"{label} has {'several columns' if column in names else 'no column'} {column!r} in its first line, "
                f"which reads: {shown(', '.join(names))}{_meant(text, column, names)}; nothing was sent"
            )
        entries = [(rows.line_num, (row[column] or "").strip(), any(row.values())) for row in rows]
    except csv.Error as exc:
        raise ProblemError(f"{label} is no CSV file: {exc}; nothing was sent") from exc
    if blank := [number for number, entry, anything in entries if anything and not entry]:
        lack = f"{many(len(blank), 'row')} {'has' if len(blank) == 1 else 'have'}"
        remark(f"aionorth: {shown(label)}: {lack} no id in the column {column!r}, as line {blank[0]}: left out")
    return [(number, entry) for number, entry, _ in entries]


def _rows(text: str, delimiter: str) -> csv.DictReader[str]:
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=DELIMITERS[delimiter], strict=True)
    rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
    return rows


def _delimiter(text: str, label: str, column: str) -> str:
    """Return the delimiter with which the first line has the column; where none has, that which makes most columns."""
    names = {delimiter: _names(text, delimiter) for delimiter in DELIMITERS}
    fitting = [delimiter for delimiter in DELIMITERS if column in names[delimiter]]
    if any(names[delimiter] != names[fitting[0]] for delimiter in fitting):
        raise ProblemError(f"{label} has a column {column!r} with more than one delimiter: give --csv-delimiter")
    return fitting[0] if fitting else max(DELIMITERS, key=lambda delimiter: len(names[delimiter]))


def _names(text: str, delimiter: str) -> list[str]:
    with suppress(csv.Error):
        return list(_rows(text, delimiter).fieldnames or ())
    return []


def _meant(text: str, column: str, names: Sequence[str]) -> str:
    """Say what to do about a column that is not in `names` once: how it may be meant, if there is anything like it."""
    if column in names:
        return ""
    if fitting := [delimiter for delimiter in DELIMITERS if column in _names(text, delimiter)]:
        return f"; it has one with --csv-delimiter {shlex.quote(fitting[0])}"
    by_lower = {name.lower(): name for name in names}
    if near := get_close_matches(column.lower(), by_lower, 1, ALIKE):
        return f"; did you mean {shown(by_lower[near[0]])!r}?"
    if len(names) == 1:
        return "; give that name or, if it is an id, leave --csv-column out"
    return "; give one of these names or, if they are none, put a line with the names above it"


def _has_header(ids: Sequence[str]) -> bool:
    """Whether the first of these lines is a header, by the rule that the module begins with."""
    first, others = ids[0], ids[1:]
    if _has_digit(first) or _not_in_an_id(first.replace(" ", "")):  # a blank a header can have
        return False
    if _is_name(first):
        return not any(map(_is_name, others))
    length = len(ids[-1])
    return len(others) > 1 and length != len(first) and all(len(id_) == length and _has_digit(id_) for id_ in others)


def _looks_like_header(ids: Sequence[str], option: str) -> Fault:
    line = ids[0]
    if option == IDS_FILE:
        empty = " and --allow-empty if it is no error that there are no ids below it" if len(ids) == 1 else ""
        remedy = f"give --csv-column {shlex.quote(line)}{empty}"
        if_id = "put a line 'id' above it and --csv-column id"
    else:
        remedy, if_id = "take the line away", "give that with --exclude"
    return f"{line!r} looks like a header", remedy if _not_in_an_id(line) else f"{remedy}; if it is an id, {if_id}"


_is_quoted = re.compile(r'"[^",;\t]*",?').fullmatch
_is_braced = re.compile(r"\{[\w-]+\}").fullmatch
"""Matches a GUID as some write it."""


def _is_json(entry: str) -> bool:
    """Whether an entry is a line of JSON, and does not look like an id in quotes or braces."""
    if _is_quoted(entry) or _is_braced(entry):
        return False
    return entry[0] in "{[" or re.search(r'^"[^"]*"\s*:|[}\]],?$|"[,:]$', entry) is not None


def _looks(entry: str, text: str, name: str, option: str | None) -> Fault | None:
    """Say what an entry looks like that is no id; None where it may be one, or where the fault is plain to see.

    `text` is the whole file. `option` is what named it, None where the entry is from a column.
    """
    if _is_json(entry):
        return f"{_cited(entry)} looks like JSON", f"extract the ids, as with jq -r {_jq(text, name)}"
    if entry == "null":
        return "'null' is what jq prints where there is no such key", "name the one that has the id"
    if entry.startswith("#") and option is not None:
        return f"{_cited(entry)} looks like a comment", "a file of ids has none"
    if _is_quoted(entry):
        remedy = ", and --csv-column NAME reads those of a CSV file" if option == IDS_FILE else ""
        what = "them and the comma" if entry.endswith(",") else "them"
        return f"{_cited(entry)} is in quotes", f"take {what} away; jq leaves them out with -r{remedy}"
    if option is None:
        return None
    if re.fullmatch(r"[^,;\t]+[,;]", entry):
        return f"{_cited(entry)} has {entry[-1]!r} at its end", "take it away"
    if re.search(r"[,;\t]", entry):
        remedy = "give one id per line"
        remedy += (
            ", or name the column that has the ids with --csv-column"
            if option == IDS_FILE
            else ", as --csv-column is for --ids-file"
        )
        return f"{_cited(entry)} looks like a row of a CSV file", remedy
    return None


def _jq(text: str, name: str) -> str:
    """Return the filter with which jq extracts the ids from `text`; the plainest where it is not plain which."""
    keys = (re.sub("_(.)", lambda found: found[1].upper(), name), name, "id")  # fileId in the platform's JSON
    key = next((key for key in keys if f'"{key}"' in text), None)
    found: Any = None
    with suppress(ValueError, RecursionError):  # of an object a line, say
        found = json.loads(text)
    if isinstance(found, list) and key is not None:
        return f"'.[].{key}'"
    fields = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    lists = [name for name, value in fields.items() if isinstance(value, list)]
    in_list = len(lists) == 1 and key not in fields and lists[0].isidentifier()
    if key is None:
        return f"'.{lists[0]}[]'" if in_list else "'.[]'"
    return f"'.{lists[0]}[].{key}'" if in_list else f".{key}"


def read_stdin(what: str, instead: str) -> bytes:
    """Return what standard input has, which is `what`; raise `ProblemError`, with `instead`, where it is closed."""
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - so it is where a parent closed it
        raise ProblemError(f"standard input is closed; {instead} instead of -")
    if on_terminal(sys.stdin):
        say(f"reading {what} from the terminal; Ctrl-D ends that")
    return sys.stdin.buffer.read()
