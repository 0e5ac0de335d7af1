"""Plans in files: JSON for programs, CSV to be edited in a spreadsheet. Both name the platform and the app.

A row of a CSV plan is one item. Each has the plan's target and time, and a check over them and the id: so rows can be
sorted and taken away, and any program may save the table again. An id that a person added, or a spreadsheet changed (a
long number), does not fit its check and is refused. It guards against accidents; it is no signature. The other columns
only say what an item is.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import stat
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, cast

import attrs

from aionorth.cli.id_files import MAX_NAMED
from aionorth.cli.output.messages import ProblemError
from aionorth.cli.output.table import cells, csv_line, fields_of
from aionorth.cli.reports.formats import defused
from aionorth.common import files
from aionorth.common.text import many
from aionorth.errors import ArgumentError
from aionorth.items import Kind, Target
from aionorth.purge.plan import Plan
from aionorth.purge.plan_files import from_plain
from aionorth.wire.resources import RESOURCES

ID, MADE_AT, CHECK = "id", "made_at", "check"
TARGET = tuple(field.name for field in attrs.fields(Target))
"""The columns of a CSV plan, beside those for a person: the fields of the items."""

TIME = "%Y-%m-%d %H:%M:%S UTC"
"""How a CSV plan writes a time: so that no spreadsheet takes it for one, and writes it otherwise."""

SEPARATORS = ",;\t"
"""Between which of them the cells stand is for the spreadsheet to choose."""

WORDS = {True: "yes", False: "no", None: ""}
"""How a CSV plan writes what is no text: spreadsheets have words of their own for true and false."""

_SUFFIXES = ".json or .csv"


def check_writable(path: str) -> None:
    """Check that a plan can be written to `path`, before anything is sent; raises `ProblemError` where it cannot."""
    if _suffix(path) not in _WRITERS:
        raise ProblemError(f"{path} is no name for a plan: let it end in {_SUFFIXES}")
    with _writing(path) as (descriptor, unseen, _):
        files.drop_unseen(unseen)
        os.close(descriptor)


def write(path: str, plan: Plan[Any]) -> None:
    """Write `plan` to `path`, whole or not at all, readable by the user only; a file that is there is replaced.

    Raises `ProblemError` where it cannot be written.
    """
    with _writing(path) as (descriptor, unseen, target):
        try:
            with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:  # noqa: PTH123 - a descriptor
                _WRITERS[_suffix(path)](file, plan)
                file.flush()
                os.fsync(descriptor)
                files.put_in_place(descriptor, unseen, target)
        except BaseException:
            files.drop_unseen(unseen)
            raise


@contextmanager
def _writing(path: str) -> Generator[tuple[int, str, str], None, None]:
    """Yield the descriptor and the temporary name of a new file, and where `path` leads."""
    try:
        target = files.check_way(path)
        files.check_own_file(target)
        yield (*files.create_unseen(target), target)
    except (OSError, ValueError) as exc:
        raise ProblemError(f"the plan {path} cannot be written ({_reason(exc)}): name another file") from exc


def read(path: str) -> Plan[Any]:
    """Return the plan in a file that `write` wrote, or that a person took rows out of.

    Raises:
        ProblemError: It cannot be read, another user may have written it, or it is no plan; the message says where.
    """
    if _suffix(path) not in _READERS:
        raise ProblemError(f"{path} is no name of a plan: it ends in {_SUFFIXES}; 'aionorth delete … --out' writes one")
    try:
        with open(files.check_way(path), "rb") as file:  # noqa: PTH123 - so that what is open is what was checked
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise ProblemError(f"{path} is not a file")
            files.check_own(state, path)
            text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ProblemError(f"{path} is not UTF-8 text: save it as UTF-8, or make the plan anew") from exc
    except (OSError, ValueError) as exc:
        raise ProblemError(f"the plan {path} cannot be used: {_reason(exc)}") from exc
    return _READERS[_suffix(path)](path, text)


# --- JSON


def _write_json(file: TextIO, plan: Plan[Any]) -> None:
    json.dump(plan.to_dict(), file)
    file.write("\n")


def _read_json(path: str, text: str) -> Plan[Any]:
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or not {"kind", "delete"} & content.keys():
            raise ProblemError(f"{path} is no plan: 'aionorth delete … --out' writes one")
        return Plan.from_dict(cast("dict[str, Any]", content))
    except ArgumentError as exc:
        raise ProblemError(f"{path}: {exc}. A plan to take rows out of is one that --out writes as .csv") from exc
    except (ValueError, RecursionError) as exc:
        raise ProblemError(f"{path} is no JSON: {exc}") from exc


# --- CSV


def _write_csv(file: TextIO, plan: Plan[Any]) -> None:
    class_ = RESOURCES[plan.target.kind].bare("id").__class__
    _, *others = fields_of(class_)
    made_at = "" if plan.made_at is None else plan.made_at.astimezone(UTC).strftime(TIME)
    bound = [WORDS.get(value, str(value)) for value in attrs.astuple(plan.target)]
    file.write("\ufeff")  # or Excel would not take it for UTF-8
    file.write(csv_line([ID, *others, *TARGET, MADE_AT, CHECK]) + "\r\n")
    for item in plan.delete:
        for_people = map(defused, cells(item, others))
        file.write(csv_line([item.id, *for_people, *bound, made_at, _check(item.id, *bound, made_at)]) + "\r\n")
    if not plan.delete:  # a row without an id says what nothing is to be deleted of
        file.write(csv_line(["", *("" for _ in others), *bound, made_at, _check("", *bound, made_at)]) + "\r\n")


def _check(*texts: str) -> str:
    """Return 16 letters over `texts`: no digits, which a spreadsheet could take for a number."""
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return digest.translate(str.maketrans("0123456789abcdef", "abcdefghijklmnop"))


def _read_csv(path: str, text: str) -> Plan[Any]:
    first = text.partition("\n")[0]
    separator = next((one for one in SEPARATORS if one in first), ",")
    cells: list[dict[str, str]] = []
    bad: list[str] = []
    bindings: dict[tuple[str, ...], None] = {}
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        missing = {ID, *TARGET, MADE_AT, CHECK}.difference(rows.fieldnames or ())
        if missing:
            raise ProblemError(f"{path} is no plan: its first line names no column {min(missing)!r}")
        for row in rows:
            id_, *bound, check = ((row[name] or "").strip() for name in (ID, *TARGET, MADE_AT, CHECK))
            if not id_ and not check:
                continue  # a spreadsheet leaves empty lines
            if check != _check(id_, *bound):
                bad.append(f"{path}, line {rows.line_num}: the row of {id_[:40]!r} is not one of the plan's")
            cells.append(row)
            bindings[tuple(bound)] = None
    except csv.Error as exc:
        raise ProblemError(f"{path} is no CSV file: {exc}") from exc
    if bad:
        more = [f"and {len(bad) - MAX_NAMED:,} more"] if len(bad) > MAX_NAMED else []
        remedy = (
            "rows can only be taken away; if none was added, a spreadsheet has changed one: make the plan anew and "
            "import all its columns as text. A list of your own goes to 'aionorth delete KIND --ids-file'"
        )
        raise ProblemError(*bad[:MAX_NAMED], *more, remedy)
    if len(bindings) != 1:
        what = "rows of several plans: apply one after the other" if bindings else "no rows: nothing is left to delete"
        raise ProblemError(f"{path} has {what}")
    return _of_rows(path, cells, *bindings)


def _of_rows(path: str, rows: Sequence[Mapping[str, str]], binding: tuple[str, ...]) -> Plan[Any]:
    """Return the plan of the rows that are left."""
    words = {word: value for value, word in WORDS.items()}
    *bound, made_at = (words.get(text, text) for text in binding)
    try:
        target: Target = from_plain(Target, dict(zip(TARGET, bound, strict=True)), path, Kind)
        time = None if made_at is None else datetime.strptime(str(made_at), TIME).replace(tzinfo=UTC)
    except ValueError as exc:  # an ArgumentError is one
        raise ProblemError(f"{path} is no plan: {exc}") from exc
    bare = RESOURCES[target.kind].bare
    rows = [row for row in rows if row[ID].strip()]
    distinct = {(id_ := row[ID].strip()): _described(bare(id_), row) for row in rows}
    return Plan(
        target=target,
        selection=f"{many(len(distinct), 'row')} of a plan",
        made_at=time,
        delete=tuple(distinct.values()),
        duplicates=len(rows) - len(distinct),
    )


def _described(item: Any, row: Mapping[str, str]) -> Any:  # noqa: ANN401 - an item
    """Return `item` with what its row says of it; without what a spreadsheet has made unreadable, such as a time."""
    known: dict[str, Any] = {}
    class_: Any = item.__class__
    for field in attrs.fields(attrs.resolve_types(class_)):
        if field.name in row and (cell := row[field.name] or ""):
            for plain in (cell, int(cell) if cell.isdecimal() else None):  # a cell is text, whatever it says
                with suppress(ArgumentError):
                    known.setdefault(field.name, from_plain(field.type, plain, field.name, None))
    return attrs.evolve(item, **known)


_WRITERS: dict[str, Callable[[TextIO, Plan[Any]], None]] = {".json": _write_json, ".csv": _write_csv}
_READERS: dict[str, Callable[[str, str], Plan[Any]]] = {".json": _read_json, ".csv": _read_csv}


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()


def _reason(exc: Exception) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
