"""How much memory a run takes, and how much of each call's cost is the library's own, from a thousand ids to a million.

Each run deletes in a process of its own ids that come from an async generator; only failures are kept, of which there
are none. Beside it: a task for each id, gathered, and workers that do nothing but make requests.

* In the first table aiohttp is cut out: its `request` answers 204 after one pass of the event loop. What is left is the
  library's own, and a million ids take half a minute. Before each 10,000 ids of a run the bare workers draw as many
  from such a generator and make the same requests, with the same URLs and headers; the own cost of a call is what the
  run took beyond that: flow control, the token, the time-out, the reply's reading, duplicates, the account.
* In the second, real calls go over loopback to a server in another process. `--http` makes the full number of them, in
  minutes.

What could mislead:

* A child starts with its parent's peak as its own, where it is started by fork. So this module imports next to nothing
  before the runs, and a child whose peak does not exceed the parent's is no measurement.
* The window of flow control holds the calls of one period, here of a tenth of a second: the faster a run, the more of
  them.
* The peak holds whatever the allocator has not given back: it is what the machine must have, not what is in use.
* What a run must remember of each id is that it was drawn, so that duplicates are dropped. The others remember nothing,
  and drop none.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence

import attrs

from benchmarks.harness import ROOT, PremiseError, Record, Spread, turns
from benchmarks.light_server import LightServer, light_server

FEW = 10_000
MANY = 1_000_000
ROUNDS = 3
RUNS = {1_000: 3, FEW: 3, 100_000: 1}
"""How many runs over so many ids there are in a round; over `MANY` there is one in all.

Whatever the number, there is one with a task for each id, whose peak is all that is looked at.
"""
WORKERS = 64

MOST_MORE = 16.0
"""The bar: MiB that the largest run's peak may lie above that of the run over `FEW`."""
MOST_OWN = 15.0
"""The bar: µs of CPU time that the library may itself take for a call."""
FLATTEST = 1.25
"""The bar: how many times its least own cost its greatest may be, over the numbers of ids."""

OURS, GATHER = "aionorth", "gather"

SLICE = 10_000
"""Ids between two looks at the clock. A run has a multiple of them, or fewer than one slice."""


def peak() -> float:
    """The most memory that this process has had resident so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@attrs.frozen
class Taken:
    """What one run took."""

    peak: float
    """MiB."""
    deleted: int
    run: Sequence[float] = ()
    """CPU seconds of each slice of the run."""
    bare: Sequence[float] = ()
    """CPU seconds of the bare workers for as many calls as each slice has."""

    @property
    def slice(self) -> int:
        """Calls in a slice."""
        return min(SLICE, self.deleted)

    def costs(self) -> list[float]:
        """The CPU µs of a call, slice by slice."""
        return [run / self.slice * 1e6 for run in self.run]

    def own_costs(self) -> list[float]:
        """Of those, what the bare workers did not take."""
        return [(run - bare) / self.slice * 1e6 for run, bare in zip(self.run, self.bare, strict=True)]


def measure(client: str, ids: int, server: LightServer | None = None) -> Taken:
    """Let a client delete so many ids in a process of its own, for real where there is a server."""
    before = server.answered() if server else 0
    arguments = [client, str(ids), str(WORKERS), *([server.url] if server else [])]
    command = [sys.executable, "-m", "benchmarks.memory_run", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)  # noqa: S603 - our own
    if done.returncode:
        raise PremiseError(f"the run over {ids:,} ids failed:\n{done.stderr}")
    taken = Taken(**json.loads(done.stdout))
    if taken.deleted != ids:
        raise PremiseError(f"of {ids:,} ids {taken.deleted:,} were deleted")
    if server and (answered := server.answered() - before) != ids:
        raise PremiseError(f"{ids:,} ids were deleted, and the server answered {answered:,}")
    if taken.peak <= peak():
        raise PremiseError(f"the peak of {taken.peak:.1f} MiB may be that of the process that started the run")
    return taken


Runs = dict[str, list[Taken]]
"""The runs over one number of ids, by client."""


def costs(runs: Runs) -> Spread:
    """Return the CPU µs of a call of aionorth's."""
    return Spread.of(cost for run in runs[OURS] for cost in run.costs())


def own_costs(runs: Runs) -> Spread:
    """Return what of them is its own."""
    return Spread.of(cost for run in runs[OURS] for cost in run.own_costs())


def main(arguments: Sequence[str], record: Record) -> None:
    """Measure, print and hold against the bars."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory")
    rule = f"a multiple of {SLICE:,}, and more than the {max(RUNS):,} of the smaller runs"
    parser.add_argument("--ids", type=int, default=MANY, help=f"ids in the largest run: {rule} (default: %(default)s)")
    parser.add_argument("--http", action="store_true", help="real calls for so many ids too")
    given = parser.parse_args(arguments)
    many: int = given.ids
    if many <= max(RUNS) or many % SLICE:
        parser.error(f"--ids must be {rule}")
    runs = _without_http(record, many)
    _with_http(record, [FEW, 5 * FEW, *([many] if given.http else [])])
    print()
    check(record, runs)
    _draw(record, runs)


def _without_http(record: Record, many: int) -> dict[int, Runs]:
    # A million gathered tasks take gigabytes, and minutes: they are left out.
    found: dict[int, Runs] = {ids: {OURS: [], GATHER: [measure(GATHER, ids)]} for ids in RUNS}
    found[many] = {OURS: [measure(OURS, many)]}
    for order in turns(list(RUNS), ROUNDS):
        for ids in order:
            found[ids][OURS] += [measure(OURS, ids) for _ in range(RUNS[ids])]
    table = record.table(
        f"{WORKERS} workers, aiohttp cut out; medians (least to most)",
        [
            "      ids",
            *(f"{header:>24}" for header in ("peak MiB", "peak MiB, gather", "CPU µs a call", "own µs a call")),
        ],
    )
    for ids, runs in found.items():
        record.samples[f"{ids}, cut out"] = {name: [attrs.asdict(run) for run in each] for name, each in runs.items()}
        table.row(
            f"{ids:,}",
            f"{Spread.of(run.peak for run in runs[OURS]):.1f}",
            f"{Spread.of(run.peak for run in runs[GATHER]):.1f}" if GATHER in runs else "-",
            f"{costs(runs):.1f}",
            f"{own_costs(runs):.1f}",
        )
    return found


def _with_http(record: Record, sizes: Sequence[int]) -> None:
    table = record.table(f"{WORKERS} workers, real calls over loopback", ["      ids", "peak MiB"])
    with light_server() as server:
        for ids in sizes:
            run = measure(OURS, ids, server)
            record.samples[f"{ids}, real calls"] = attrs.asdict(run)
            table.row(f"{ids:,}", f"{run.peak:.1f}")


def check(record: Record, found: Mapping[int, Runs]) -> None:
    """Hold the runs by number of ids against the bars."""
    many = max(found)
    peaks = {ids: Spread.of(run.peak for run in runs[OURS]).median for ids, runs in found.items()}
    more = peaks[many] - peaks[FEW]
    told = f"{many:,} ids take {more:.1f} MiB more than {FEW:,} ({more * 2**20 / (many - FEW):.1f} bytes for each)"
    record.check(f"{told}, allowed {MOST_MORE:g} MiB", met=more <= MOST_MORE)
    own = {ids: own_costs(runs).median for ids, runs in found.items()}
    dearest = max(own, key=own.__getitem__)
    told = f"the library's own cost of a call is at most {own[dearest]:.1f} µs, with {dearest:,} ids"
    record.check(f"{told}, allowed {MOST_OWN:g} µs", met=own[dearest] <= MOST_OWN)
    growth = own[dearest] / min(own.values())
    record.check(f"that is {growth:.2f} times its least, allowed {FLATTEST:g}", met=growth <= FLATTEST)


def _draw(record: Record, found: Mapping[int, Runs]) -> None:
    # Imported here: see above.
    from benchmarks import pictures  # noqa: PLC0415

    peaks = {
        name: {ids: Spread.of(run.peak for run in runs[each]).median for ids, runs in found.items() if each in runs}
        for name, each in ((OURS, OURS), ("a task for each id", GATHER))
    }
    own = {OURS: {ids: own_costs(runs).median for ids, runs in found.items()}}
    panels = {"peak resident memory, MiB": peaks, "own cost of a call, CPU µs": own}
    record.draw("growth", "Memory and own cost by number of ids", pictures.lines(panels, ours=OURS, x_label="ids"))
