"""How much more memory a run over a million ids takes than one over ten thousand.

Each run deletes with real HTTP calls over loopback, in a process of its own, ids that come from an async generator;
only failures are kept, of which there are none. Measured is the process's peak of resident memory. What a run must
remember of each id is that it was drawn, so that duplicates are dropped; nothing else may grow with their number.

What could mislead:

* A child starts with its parent's peak as its own, where it is started by fork. So this module imports next to nothing
  before the runs, and a child whose peak does not exceed the parent's is no measurement.
* The window of flow control holds the calls of one period, here of one second, in both runs.
* The peak holds whatever the allocator has not given back: it is what the machine must have, not what is in use.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.harness import ROOT, PremiseError, Record
from benchmarks.light_server import LightServer, light_server

FEW = 10_000
MANY = 1_000_000

MOST_MORE = 32.0
"""The bar: MiB that the larger run's peak may lie above the smaller one's."""


def peak() -> float:
    """The most memory that this process has had resident so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def measure(server: LightServer, ids: int) -> tuple[float, float]:
    """Delete so many ids in a process of its own; returns its peak in MiB and the seconds that the run took."""
    before = server.answered()
    command = [sys.executable, "-m", "benchmarks.memory_run", server.url, str(ids)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)  # noqa: S603 - our own
    if done.returncode:
        raise PremiseError(f"the run over {ids:,} ids failed:\n{done.stderr}")
    figures = json.loads(done.stdout)
    answered = server.answered() - before
    if not figures["deleted"] == answered == ids:
        raise PremiseError(f"of {ids:,} ids {figures['deleted']:,} were deleted, and the server answered {answered:,}")
    if figures["peak"] <= peak():
        raise PremiseError(f"the peak of {figures['peak']:.1f} MiB may be that of the process that started the run")
    return figures["peak"], figures["seconds"]


def main(arguments: Sequence[str], record: Record) -> None:
    """Measure, print and hold against the bar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory")
    parser.add_argument("--ids", type=int, default=MANY, help=f"ids in the larger run (default: {MANY:,})")
    many: int = parser.parse_args(arguments).ids
    if many <= FEW:
        parser.error(f"--ids must be more than the {FEW:,} of the smaller run")
    table = record.table(
        "peak resident memory of one bulk run, collect='failures'", ["      ids", "peak MiB", "seconds", "calls/s"]
    )
    peaks: list[float] = []
    with light_server() as server:
        for ids in (FEW, many):
            most, seconds = measure(server, ids)
            table.row(f"{ids:,}", f"{most:.1f}", f"{seconds:.1f}", f"{ids / seconds:.0f}")
            peaks.append(most)
    more = peaks[1] - peaks[0]
    print(f"\n{more * 2**20 / (many - FEW):.1f} bytes for each further id")
    record.check(f"{many:,} ids take {more:.1f} MiB more than {FEW:,}, allowed {MOST_MORE:g}", met=more <= MOST_MORE)
