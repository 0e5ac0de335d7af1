"""How long it takes to import `NorthSession`, compared with `import aiohttp`, and to run `aionorth --help`.

A program that deletes imports `NorthSession`; `import aionorth` alone imports very little.

Each import is timed in a fresh interpreter, without the start of that interpreter. `aionorth --help` is timed as a
whole process, and compared with an interpreter that does nothing. A warm-up round compiles everything to bytecode, in a
directory of its own: the environment may forbid Python to write bytecode next to the modules, and then packages that
pip has compiled would seem faster.

What could mislead:

* A program that imports aiohttp anyway pays only the difference, which is in the ratio.
* The versions of the packages matter, and so does the number of other packages in the environment.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory

import attrs

from benchmarks.harness import PremiseError, Record, Spread, at_least_one, turns

ROUNDS = 30
EVERY = 3
"""The others take part in one of this many rounds."""
MAX_RATIO = 1.25
"""The bar: the time to import aionorth as a multiple of that for aiohttp."""

OURS, BARE = "from aionorth import NorthSession", "import aiohttp"

_TIMED = """
import time
wall, cpu = time.perf_counter(), time.process_time()
{}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


@attrs.frozen
class Time:
    """How long a start took, in seconds."""

    wall: float
    cpu: float


def _run(bytecode: str, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = bytecode
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)  # noqa: S603 - our own
    if done.returncode:
        raise PremiseError(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def inside(bytecode: str, statement: str) -> Time:
    """Time a statement in a fresh interpreter, without the start of that."""
    wall, cpu = _run(bytecode, "-c", _TIMED.format(statement)).split()
    return Time(float(wall), float(cpu))


def outside(bytecode: str, *arguments: str) -> Time:
    """Time a whole process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    _run(bytecode, *arguments)
    ended, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return Time(ended - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


STARTS: dict[str, Callable[[str], Time]] = {
    BARE: lambda at: inside(at, BARE),
    OURS: lambda at: inside(at, OURS),
    "import httpx": lambda at: inside(at, "import httpx"),
    "import the vendor's SDK": lambda at: inside(at, "import huaweicloudsdkiotda.v5"),
    "python -c pass": lambda at: outside(at, "-c", "pass"),
    "aionorth --help": lambda at: outside(at, "-m", "aionorth", "--help"),
}


def main(arguments: Sequence[str], record: Record) -> None:
    """Measure, print and check the bar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks startup")
    parser.add_argument("--rounds", type=at_least_one, default=ROUNDS, help="rounds (default: %(default)s)")
    number: int = parser.parse_args(arguments).rounds
    with TemporaryDirectory() as bytecode:
        for start in STARTS.values():  # warms up
            start(bytecode)
        rounds = [
            {name: STARTS[name](bytecode) for name in order if name in {BARE, OURS} or count % EVERY == 0}
            for count, order in enumerate(turns(list(STARTS), number))
        ]
    table = record.table(
        f"{number} rounds, of all but the first two {len(rounds[::EVERY])}; medians (minimum to maximum)",
        ["", *(f"{header:>24}" for header in ("ms", "CPU ms", "ratio of CPU to aiohttp"))],
        least_width=len(OURS),
    )
    for name in STARTS:
        times = [(each[name], each[BARE]) for each in rounds if name in each]
        record.samples[name] = [attrs.astuple(own) for own, _ in times]
        table.row(
            name,
            f"{Spread.of(own.wall * 1e3 for own, _ in times):.0f}",
            f"{Spread.of(own.cpu * 1e3 for own, _ in times):.0f}",
            f"{Spread.of(own.cpu / bare.cpu for own, bare in times):.2f}",
        )
    print()
    check(record, rounds)


def check(record: Record, rounds: Sequence[dict[str, Time]]) -> None:
    """Check the bar of the ratio of CPU times; that of wall times means the same here, but is noisier."""
    ratio = Spread.of(each[OURS].cpu / each[BARE].cpu for each in rounds).median
    if ratio < 1:
        raise PremiseError(f"aionorth imports aiohttp, and cannot take {ratio:.3f} of its time: give more --rounds")
    record.check(
        f"importing aionorth takes {ratio:.3f} times import aiohttp's CPU, at most {MAX_RATIO:g}",
        met=ratio <= MAX_RATIO,
    )
