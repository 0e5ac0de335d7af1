"""Items as rows: fitted to a terminal for people, whole for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
from rich.cells import cell_len, set_cell_size

from aionorth.cli.reports.formats import defused
from aionorth.common.text import visible, without_userinfo
from aionorth.purge.plan_files import to_plain

NARROWEST = 16
"""Characters below which a column of a terminal is not cut; rather the last ones are left out."""

BETWEEN = "  "


def fields_of(class_: Any) -> tuple[str, ...]:  # noqa: ANN401 - a class of items
    """Return the names of all fields of the items of a class, the id first."""
    return tuple(field.name for field in attrs.fields(class_) if field.name != "fields")


def cells(item: Any, names: Sequence[str], *, brief: bool = False) -> list[str]:  # noqa: ANN401 - an item
    """Return the fields of an item as people see them: passwords of URLs are left out, and so is what is not known.

    Times are in ISO 8601, or with `brief` to the minute.
    """
    return [_cell(getattr(item, name), brief=brief) for name in names]


def _cell(value: object, *, brief: bool) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%MZ}" if brief else value.isoformat()
    return "" if value is None else without_userinfo(visible(str(value)))


def fitted(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return rows as lines of columns no wider than a terminal of so many columns.

    The first column is never cut: it has the ids, which are to be copied. The last ones are left out if the others have
    no room even if they are cut.
    """
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    room = width + len(BETWEEN)
    while (
        len(widths) > 1
        and sum(min(one, NARROWEST) for one in widths[1:]) + widths[0] + len(BETWEEN) * len(widths) > room
    ):
        widths.pop()
    while len(widths) > 1 and sum(widths) + len(BETWEEN) * len(widths) > room:
        widths[max(range(1, len(widths)), key=widths.__getitem__)] -= 1
    return [BETWEEN.join(_cut(text, width) for text, width in zip(row, widths, strict=False)).rstrip() for row in rows]


def _cut(text: str, width: int) -> str:
    free = width - cell_len(text)
    return text + " " * free if free >= 0 else f"{set_cell_size(text, width - 1)}…"


# --- A line each, for programs


def as_json(item: Any) -> str:  # noqa: ANN401 - an item
    """Return an item as a JSON object on one line, with all that is known of it."""
    return json.dumps(to_plain(item))


def as_id(item: Any) -> str:  # noqa: ANN401 - an item
    """Return the id of an item."""
    id_: str = item.id
    return id_


def as_tabbed(names: Sequence[str]) -> Callable[[Any], str]:
    """Return what writes these fields of an item with tabs between them."""
    return lambda item: "\t".join(cells(item, names))


def as_csv(names: Sequence[str]) -> Callable[[Any], str]:
    """Return what writes these fields of an item as a line of a CSV file. No cell but the id can be a formula."""

    def line(item: Any) -> str:  # noqa: ANN401 - an item
        id_, *others = cells(item, names)
        return csv_line([id_, *map(defused, others)])

    return line


def csv_line(row: Sequence[object]) -> str:
    """Return a row of a CSV file, without its line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()
