"""What the benchmarks share: spreads, turns, tables, bars and pictures, and a description of the machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self, TypeVar

import attrs

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
"""The directory in which `python -m benchmarks` can be run."""

PACKAGES = (
    "aionorth",
    "aiohttp",
    "aiohttp-retry",
    "aiolimiter",
    "attrs",
    "backoff",
    "httpx",
    "huaweicloudsdkiotda",
    "limits",
    "pyrate-limiter",
    "throttled-py",
    "uvloop",
    "yarl",
)
"""The packages whose versions are kept with the figures."""


class PremiseError(Exception):
    """A premise of the figures did not hold: nothing can be concluded from them."""


@attrs.frozen
class Spread:
    """Repeated measurements of one thing, summarised."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Summarise `values`, at least one."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.minimum:{spec}} to {self.maximum:{spec}})"


def turns(things: Sequence[T], rounds: int) -> Iterator[list[T]]:
    """Yield the order of `things` in each round: the first of a round is the last of the next."""
    for number in range(rounds):
        first = number % len(things)
        yield [*things[first:], *things[:first]]


def at_least_one(text: str) -> int:
    """Read a positive number from the command line."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


class Table:
    """A table that prints each row as soon as it is known. Mutable: its rows."""

    def __init__(self, title: str, headers: Sequence[str], *, least_width: int = 7) -> None:
        self._widths = [max(len(header), least_width) for header in headers]
        self.title = title
        self.headers = [header.strip() for header in headers]
        self.rows: list[list[str]] = []
        print(f"\n{title}\n")
        self._print(headers)
        self._print(["-" * width for width in self._widths])

    def row(self, *cells: str) -> None:
        """Print one row: the first cell aligned to the left, the others to the right."""
        self.rows.append([cell.strip() for cell in cells])
        self._print(cells)

    def _print(self, cells: Sequence[str]) -> None:
        first, *others = (
            f"{cell:{side}{width}}"
            for cell, width, side in zip(cells, self._widths, "<" + ">" * len(cells), strict=False)
        )
        print("  ".join((first, *others)).rstrip(), flush=True)


@attrs.frozen
class Bar:
    """A limit that a figure was checked against."""

    bar: str
    """The limit and the figure, in words."""
    met: bool


@attrs.frozen
class Picture:
    """A picture of the figures."""

    name: str
    title: str
    svg: str


class Record:
    """The results of one benchmark. Tables and bars are printed as they come.

    Mutable: the tables, bars, samples and pictures so far.
    """

    def __init__(self, benchmark: str) -> None:
        self.benchmark = benchmark
        self.machine = machine()
        """Described before anything is measured."""
        self.tables: list[Table] = []
        self.bars: list[Bar] = []
        self.samples: dict[str, object] = {}
        """Every single measurement, by names that the benchmark chooses."""
        self.pictures: list[Picture] = []

    def table(self, title: str, headers: Sequence[str], *, least_width: int = 7) -> Table:
        """Begin a table; the first one is printed after the description of the machine."""
        if not self.tables:
            print(json.dumps(self.machine), flush=True)
        self.tables.append(Table(title, headers, least_width=least_width))
        return self.tables[-1]

    def check(self, bar: str, *, met: bool) -> None:
        """Record a bar, described in words with the figure, and whether it was met."""
        print(f"{'PASS' if met else 'FAIL'}  {bar}", flush=True)
        self.bars.append(Bar(bar, met))

    def draw(self, name: str, title: str, svg: str) -> None:
        """Add a picture; `name` distinguishes it from the others of this benchmark."""
        self.pictures.append(Picture(f"{self.benchmark}-{name}", title, svg))

    @property
    def missed(self) -> list[str]:
        """The bars missed so far."""
        return [bar.bar for bar in self.bars if not bar.met]

    @property
    def exit_code(self) -> int:
        """0 if every bar was met, else 1."""
        return 1 if self.missed else 0


def machine() -> dict[str, object]:
    """Describe the machine, the versions of packages, and the load before the measurement."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "versions": {package: found for package in PACKAGES if (found := _version(package))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
