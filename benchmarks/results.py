"""Results as files: JSON with every sample, pictures, and one page made of both."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import attrs

from benchmarks.harness import Record

HERE = Path(__file__).resolve().parent
DIRECTORY = HERE / "results"
"""Where results are written by default."""

PAGE = "index.html"
DIGITS = 6
"""Significant digits of a sample; no measurement here is more precise."""


def write(record: Record, directory: Path, *, seconds: float, failure: str | None = None) -> None:
    """Write the results of a benchmark that took `seconds`; `failure` says why nothing can be concluded, if so."""
    found = {
        "benchmark": record.benchmark,
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "failure": failure,
        "machine": record.machine,
        "bars": [attrs.asdict(bar) for bar in record.bars],
        "tables": [{"title": t.title, "headers": t.headers, "rows": t.rows} for t in record.tables],
        "pictures": [{"name": picture.name, "title": picture.title} for picture in record.pictures],
        "samples": _rounded(record.samples),
    }
    # One line for each key: short, and readable in a diff.
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
    (directory / f"{record.benchmark}.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    for picture in record.pictures:
        (directory / f"{picture.name}.svg").write_text(picture.svg, encoding="utf-8")


def write_page(directory: Path, names: list[str]) -> Path:
    """Write the page of the results in `directory`, in the order of `names`, and return its path."""
    import jinja2  # noqa: PLC0415 - the process of the memory benchmark must stay small

    files = [directory / f"{name}.json" for name in names]
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    template = jinja2.Template((HERE / "page.html").read_text(encoding="utf-8"), autoescape=True, trim_blocks=True)

    def picture(name: str) -> str:
        svg = (directory / f"{name}.svg").read_bytes()
        return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"

    page = directory / PAGE
    page.write_text(template.render(results=found, picture=picture), encoding="utf-8")
    return page


def _rounded(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {str(key): _rounded(each) for key, each in cast("dict[object, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in cast("list[object]", value)]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None  # JSON has no other numbers
    return value
