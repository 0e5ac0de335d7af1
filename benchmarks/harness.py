"""What the benchmarks share: spreads, tables, bars, and the line that says where figures were taken."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Self

import attrs

PACKAGES = ("aionorth", "aiohttp", "aiolimiter", "attrs", "backoff", "yarl")
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


class Table:
    """A table that prints each row as it is known."""

    def __init__(self, title: str, headers: Sequence[str], *, least_width: int = 7) -> None:
        self._widths = [max(len(header), least_width) for header in headers]
        print(f"\n{title}\n")
        self.row(*headers)
        self.row(*("-" * width for width in self._widths))

    def row(self, *cells: str) -> None:
        """Print one row: the first cell to the left, the others to the right."""
        first, *others = (
            f"{cell:{side}{width}}"
            for cell, width, side in zip(cells, self._widths, "<" + ">" * len(cells), strict=False)
        )
        print("  ".join((first, *others)).rstrip(), flush=True)


class Verdict:
    """The bars of one benchmark: each is printed as it is checked, and any that is missed makes the exit code 1."""

    def __init__(self) -> None:
        self.missed: list[str] = []
        """The bars missed so far."""

    def check(self, bar: str, *, met: bool) -> None:
        """Take note of one bar, said in words with the figure that it was held against."""
        print(f"{'PASS' if met else 'FAIL'}  {bar}", flush=True)
        if not met:
            self.missed.append(bar)

    @property
    def exit_code(self) -> int:
        """0 where every bar was met."""
        return 1 if self.missed else 0


def machine(benchmark: str) -> str:
    """One line of JSON: what was measured, on what, with which versions, and how busy the machine was before."""
    return json.dumps(
        {
            "benchmark": benchmark,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
            "cpus": os.cpu_count(),
            "load": [round(load, 2) for load in os.getloadavg()],
            "versions": {package: version(package) for package in PACKAGES},
        }
    )
