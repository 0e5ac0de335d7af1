"""What a fleet is to delete, from files: tables of profile, kind and id, and plans that were kept."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from aionorth.cli import plan_files
from aionorth.cli.id_files import STDIN, not_one_id, read_stdin
from aionorth.cli.output.messages import ProblemError, told
from aionorth.common.text import shown
from aionorth.errors import ArgumentError
from aionorth.fleet.runs import Part, check_parts
from aionorth.items import Kind
from aionorth.purge.plan import Plan
from aionorth.session.profiles import check_name
from aionorth.wire.checks import check_id, check_string
from aionorth.wire.resources import RESOURCES

PROFILE, KIND, ID, AUTHORIZED = "profile", "kind", "id", "authorized_app_id"
COLUMNS = (PROFILE, KIND, ID, AUTHORIZED)
"""The columns of a manifest. The last one can be missing, and there may be others."""

ALIKE = 0.8
"""How like one of these the name of another column must not be: what is spelt wrongly would be left out."""

MAX_NAMED = 1000
"""How many bad rows are named; where there are more, something is wrong with all of them."""

Key = tuple[str, str, str]
"""Profile, kind and authorized app: the rows that have the same are one part."""


def read_parts(paths: Iterable[str], check_plan: Callable[[str, Plan[Any]], object], *, cascade: bool) -> list[Part]:
    """Return the parts that manifests and plans make: of each plan one, after those of the rows of all manifests.

    Args:
        paths: The files; ``-`` is a manifest on standard input.
        check_plan: Raises `ProblemError` where the plan in a file cannot be used.
        cascade: Whether devices may take along what is behind them.

    Raises:
        ProblemError: A file is none of these, or it has bad rows, which the message names.
    """
    rows: dict[Key, list[str]] = {}
    plans, bad = list[Part](), list[str]()
    for path in paths:
        try:
            with _open(path) as file:
                is_json = Path(path).suffix.lower() == ".json"
                header = "" if is_json else file.readline()
                separator = next((one for one in plan_files.SEPARATORS if one in header), ",")
                names = [name.strip().lower() for name in next(csv.reader([header], delimiter=separator), list[str]())]
                if is_json or (PROFILE not in names and plan_files.CHECK in names):
                    plans.append(_of_plan(path, check_plan))
                else:
                    name = "standard input" if path == STDIN else path
                    bad += _take(name, names, csv.reader(file, delimiter=separator, strict=True), rows)
        except UnicodeDecodeError as exc:
            raise ProblemError(f"{path} is not UTF-8 text: save it as UTF-8; nothing was submitted") from exc
        except csv.Error as exc:
            raise ProblemError(f"{path} is no CSV file: {exc}; nothing was submitted") from exc
        except OSError as exc:
            remedy = "name a manifest or a plan, or - for a manifest on standard input"
            raise ProblemError(f"{path} cannot be read: {exc.strerror}; {remedy}") from exc
    if bad:
        more = [f"and {len(bad) - MAX_NAMED:,} more"] if len(bad) > MAX_NAMED else []
        raise ProblemError(*bad[:MAX_NAMED], *more, "nothing was submitted")
    if cascade and any(RESOURCES[Kind(kind)].cascade is not None for _, kind, _ in rows):
        raise ProblemError(
            "there are devices, and a fleet does not delete what is behind a gateway with it: give --no-cascade to "
            "keep that"
        )
    parts = [*(_of_rows(*key, rows.pop(key)) for key in list(rows)), *plans]
    try:
        check_parts(parts)
    except ArgumentError as exc:
        raise ProblemError(f"{exc}; nothing was submitted") from exc
    return parts


def _open(path: str) -> TextIO:
    if path == STDIN:
        content = io.BytesIO(read_stdin("a manifest", "name a file"))
        return io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")  # noqa: PTH123 - as it is named


def named_again(parts: Iterable[Part]) -> list[str]:
    """Return the ids of a kind that are in several parts, whose profiles and plans may be of the same app."""
    named: dict[Kind, set[str]] = {}
    again: dict[Kind, dict[str, None]] = {}
    for one in parts:
        before = named.setdefault(one.kind, set())
        again.setdefault(one.kind, {}).update(dict.fromkeys(id_ for id_ in one.ids if id_ in before))
        before.update(one.ids)
    return [id_ for of_kind in again.values() for id_ in of_kind]


def _of_plan(path: str, check_plan: Callable[[str, Plan[Any]], object]) -> Part:
    if path == STDIN:
        raise ProblemError("standard input has a plan, not a manifest: name the file of a plan; nothing was submitted")
    plan = plan_files.read(path)
    check_plan(path, plan)
    try:
        return Part.of_plan(plan)
    except ArgumentError as exc:
        raise ProblemError(f"{path}: {told(exc)}; nothing was submitted") from exc


def _of_rows(profile: str, kind: str, authorized: str, ids: list[str]) -> Part:
    cascade = None if RESOURCES[Kind(kind)].cascade is None else False
    return Part.of_ids(ids, Kind(kind), profile=profile, authorized_app_id=authorized or None, cascade=cascade)


def _take(path: str, names: list[str], table: Any, rows: dict[Key, list[str]]) -> Iterator[str]:  # noqa: ANN401 - csv's
    """Add the rows of a manifest, below a header with these names, to `rows`; yield what is wrong with which line."""
    _check_header(path, names)
    profile, kind, id_, authorized = (
        names.index(one) if one in names else -1 for one in (PROFILE, KIND, ID, AUTHORIZED)
    )
    empty = True
    for row in table:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue  # a spreadsheet leaves such lines
        empty = False
        if len(cells) != len(names):
            yield f"{path}, line {table.line_num + 1}: it has {len(cells)} cells, and the first line {len(names)}"
            continue
        key = cells[profile], cells[kind], cells[authorized] if authorized >= 0 else ""
        if fault := _fault(*key) or _id_fault(cells[id_], key[1]):
            yield f"{path}, line {table.line_num + 1}: {fault}"
        else:
            rows.setdefault(key, []).append(cells[id_])
    if empty:
        yield f"{path} has no ids below its first line"


def _check_header(path: str, names: list[str]) -> None:
    """Raise `ProblemError` where a manifest cannot have a first line with these names."""
    if not any(names):
        raise ProblemError(f"{path} is empty: a manifest begins with the line {PROFILE},{KIND},{ID}")
    for name in (PROFILE, KIND, ID):
        if names.count(name) != 1:
            raise ProblemError(
                f"{path} has {'several columns' if name in names else 'no column'} {name!r} in its first line, which "
                f"reads: {shown(', '.join(names))}; a manifest has {PROFILE},{KIND},{ID}, a plan is written by "
                "'aionorth delete … --out'"
            )
    for name in set(names) - set(COLUMNS):
        if near := get_close_matches(name, COLUMNS, 1, ALIKE):
            raise ProblemError(
                f"{path} has a column {name!r}: is it {near[0]!r}? Name it so, or unlike that; nothing was submitted"
            )


@cache
def _fault(profile: str, kind: str, authorized: str) -> str:
    """Return what is wrong with the profile of a row, its kind or the app in it; empty where nothing is."""
    if kind not in set(Kind):
        return f"there is no kind {kind!r}: give {', '.join(Kind)}"
    if authorized and RESOURCES[Kind(kind)].other_app is None:
        return f"{AUTHORIZED} {authorized!r}: leave it out, {Kind(kind).words} are one's own"
    try:
        check_name(profile or "-")
        check_string(authorized or "-", AUTHORIZED)
    except ArgumentError as exc:
        return str(exc)
    return ""


def _id_fault(id_: str, kind: str) -> str:
    if fault := not_one_id(id_, "row"):
        return ": ".join(fault)
    try:
        check_id(id_, "id", RESOURCES[Kind(kind)].id_length)
    except ArgumentError as exc:
        return str(exc)
    return ""
