"""What the benchmarks share: spreads, turns, tables, bars and pictures, and where figures were taken."""

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
"""From where `python -m benchmarks` finds itself."""

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
"""Whose versions go with the figures."""


class PremiseError(Exception):
    """Something that the figures rest on did not hold: they must not be read, neither as good nor as bad."""


@attrs.frozen
class Spread:
    """What repeated measurements of one thing came to."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Summarise `values`, at least one."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.least:{spec}} to {self.most:{spec}})"


def turns(things: Sequence[T], rounds: int) -> Iterator[list[T]]:
    """Return the order of `things` in each of so many rounds: whoever began a round ends the next."""
    for number in range(rounds):
        first = number % len(things)
        yield [*things[first:], *things[:first]]


def at_least_one(text: str) -> int:
    """Read a number of rounds or the like from the command line."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


class Table:
    """A table that prints each row as it is known."""

    def __init__(self, title: str, headers: Sequence[str], *, least_width: int = 7) -> None:
        self._widths = [max(len(header), least_width) for header in headers]
        self.title = title
        self.headers = [header.strip() for header in headers]
        self.rows: list[list[str]] = []
        print(f"\n{title}\n")
        self._print(headers)
        self._print(["-" * width for width in self._widths])

    def row(self, *cells: str) -> None:
        """Print one row: the first cell to the left, the others to the right."""
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
    """Something that a figure was held against."""

    bar: str
    """In words, with the figure."""
    met: bool


@attrs.frozen
class Picture:
    """A picture of the figures."""

    name: str
    title: str
    svg: str


class Record:
    """What one benchmark found. Tables and bars are printed as they come; any bar missed makes the exit code 1."""

    def __init__(self, benchmark: str) -> None:
        self.benchmark = benchmark
        self.machine = machine()
        """Taken before anything is measured."""
        self.tables: list[Table] = []
        self.bars: list[Bar] = []
        self.samples: dict[str, object] = {}
        """Every single measurement, under names of the benchmark's own."""
        self.pictures: list[Picture] = []

    def table(self, title: str, headers: Sequence[str], *, least_width: int = 7) -> Table:
        """Begin a table; the first one is preceded by what it was taken on."""
        if not self.tables:
            print(json.dumps(self.machine), flush=True)
        self.tables.append(Table(title, headers, least_width=least_width))
        return self.tables[-1]

    def check(self, bar: str, *, met: bool) -> None:
        """Take note of one bar, said in words with the figure that it was held against."""
        print(f"{'PASS' if met else 'FAIL'}  {bar}", flush=True)
        self.bars.append(Bar(bar, met))

    def draw(self, name: str, title: str, svg: str) -> None:
        """Take a picture in; `name` tells it from the benchmark's others."""
        self.pictures.append(Picture(f"{self.benchmark}-{name}", title, svg))

    @property
    def missed(self) -> list[str]:
        """The bars missed so far."""
        return [bar.bar for bar in self.bars if not bar.met]

    @property
    def exit_code(self) -> int:
        """0 where every bar was met."""
        return 1 if self.missed else 0


def machine() -> dict[str, object]:
    """What figures are taken on, with which versions, and how busy the machine was before."""
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
