"""How much memory a run takes, and how much of each call's cost is the library's own, for up to a million ids.

Each run is a process of its own. It deletes ids that come from an async generator, and keeps only failures, of which
there are none. It is compared with a task for each id, gathered, and with workers that do nothing but make requests.

* The first table is without aiohttp: its `request` is replaced by one that answers 204 after one pass of the event
  loop. The rest is the library's own, and a million ids take half a minute. Before each 10,000 ids of a run the bare
  workers draw as many from such a generator and make the same requests, with the same URLs and headers. The own cost
  of a call is what the run takes beyond that: flow control, the token, the time-out, reading the reply, dropping
  duplicates, counting outcomes.
* In the second table real calls go over loopback to a server in another process. `--http` adds a run over all ids,
  which takes minutes.
* In the third table the journals of finished purges are resumed: each is read, and nothing is sent.

What could mislead:

* A child that is started by fork begins with its parent's peak as its own. So this module imports very little before
  the runs, and a child whose peak does not exceed the parent's proves nothing.
* The window of flow control holds the calls of one period, here a tenth of a second: the faster a run, the more calls.
* The peak includes memory that the allocator has not returned: it is what the machine needs, not what is in use.
* A run must remember each id that was drawn, to drop duplicates. The others remember nothing, and drop none.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory

import attrs

from benchmarks.harness import ROOT, PremiseError, Record, Spread, turns
from benchmarks.light_server import LightServer, light_server

FEW = 10_000
MANY = 1_000_000
ROUNDS = 3
RUNS = {1_000: 3, FEW: 3, 100_000: 1}
"""How many runs a round has, by the number of ids; with `MANY` ids there is one run in all.

For each number there is one run with a task for each id, of which only the peak is used.
"""
WORKERS = 64

MAX_MORE_MEMORY = 16.0
"""The bar: how many MiB the peak of the largest run may exceed that of a run of `FEW` ids."""
MAX_OWN_COST = 15.0
"""The bar: µs of CPU time of a call that may be the library's own."""
MAX_GROWTH = 1.25
"""The bar: the maximum of the own costs for all numbers of ids, as a multiple of their minimum."""

RESUMED: Mapping[int, tuple[float, float]] = {200_000: (3.0, 150.0), 1_000_000: (15.0, 500.0)}
"""The bars: seconds that it may take to resume a finished purge of so many ids, and MiB of the peak."""

OURS, GATHER = "aionorth", "gather"

SLICE = 10_000
"""Ids between two readings of the clock. A run has a multiple of them, or less than one slice."""


def peak() -> float:
    """Return the peak of this process's resident memory so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@attrs.frozen
class Usage:
    """The memory and CPU time that one run used."""

    peak: float
    """MiB."""
    deleted: int
    run: Sequence[float] = ()
    """CPU seconds of each slice of the run."""
    bare: Sequence[float] = ()
    """CPU seconds of the bare workers for the same calls, by slice."""

    @property
    def slice(self) -> int:
        """Calls in a slice."""
        return min(SLICE, self.deleted)

    def costs(self) -> list[float]:
        """Return the CPU µs of a call, slice by slice."""
        return [run / self.slice * 1e6 for run in self.run]

    def own_costs(self) -> list[float]:
        """Return the part of them beyond the bare workers'."""
        return [(run - bare) / self.slice * 1e6 for run, bare in zip(self.run, self.bare, strict=True)]


def measure(client: str, ids: int, server: LightServer | None = None) -> Usage:
    """Let a client delete so many ids in a process of its own, with real calls if there is a server."""
    before = server.answered() if server else 0
    arguments = [client, str(ids), str(WORKERS), *([server.url] if server else [])]
    command = [sys.executable, "-m", "benchmarks.memory_run", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)  # noqa: S603 - our own
    if done.returncode:
        raise PremiseError(f"the run over {ids:,} ids failed:\n{done.stderr}")
    usage = Usage(**json.loads(done.stdout))
    if usage.deleted != ids:
        raise PremiseError(f"of {ids:,} ids {usage.deleted:,} were deleted")
    if server and (answered := server.answered() - before) != ids:
        raise PremiseError(f"{ids:,} ids were deleted, and the server answered {answered:,}")
    if usage.peak <= peak():
        raise PremiseError(f"the peak of {usage.peak:.1f} MiB may be that of the process that started the run")
    return usage


Runs = dict[str, list[Usage]]
"""The runs of one number of ids, by client."""


def costs(runs: Runs) -> Spread:
    """Return the CPU µs of a call with aionorth."""
    return Spread.of(cost for run in runs[OURS] for cost in run.costs())


def own_costs(runs: Runs) -> Spread:
    """Return the part of them that is the library's own."""
    return Spread.of(cost for run in runs[OURS] for cost in run.own_costs())


def main(arguments: Sequence[str], record: Record) -> None:
    """Measure, print and check the bars."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory")
    rule = f"a multiple of {SLICE:,}, and more than the {max(RUNS):,} of the smaller runs"
    parser.add_argument("--ids", type=int, default=MANY, help=f"ids in the largest run: {rule} (default: %(default)s)")
    parser.add_argument("--http", action="store_true", help="make real calls for that many ids too")
    options = parser.parse_args(arguments)
    many: int = options.ids
    if many <= max(RUNS) or many % SLICE:
        parser.error(f"--ids must be {rule}")
    runs = _without_aiohttp(record, many)
    _with_aiohttp(record, [FEW, 5 * FEW, *([many] if options.http else [])])
    resumed = _resumed(record)
    print()
    check(record, runs)
    check_resumed(record, resumed)
    _draw(record, runs)


def _without_aiohttp(record: Record, many: int) -> dict[int, Runs]:
    # A million gathered tasks would take gigabytes and minutes.
    found: dict[int, Runs] = {ids: {OURS: [], GATHER: [measure(GATHER, ids)]} for ids in RUNS}
    found[many] = {OURS: [measure(OURS, many)]}
    for order in turns(list(RUNS), ROUNDS):
        for ids in order:
            found[ids][OURS] += [measure(OURS, ids) for _ in range(RUNS[ids])]
    table = record.table(
        f"{WORKERS} workers, without aiohttp; medians (minimum to maximum)",
        [
            "      ids",
            *(f"{header:>24}" for header in ("peak MiB", "peak MiB, gather", "CPU µs a call", "own µs a call")),
        ],
    )
    for ids, runs in found.items():
        record.samples[f"{ids}, without aiohttp"] = {
            name: [attrs.asdict(run) for run in each] for name, each in runs.items()
        }
        table.row(
            f"{ids:,}",
            f"{Spread.of(run.peak for run in runs[OURS]):.1f}",
            f"{Spread.of(run.peak for run in runs[GATHER]):.1f}" if GATHER in runs else "-",
            f"{costs(runs):.1f}",
            f"{own_costs(runs):.1f}",
        )
    return found


def _with_aiohttp(record: Record, sizes: Sequence[int]) -> None:
    table = record.table(f"{WORKERS} workers, real calls over loopback", ["      ids", "peak MiB"])
    with light_server() as server:
        for ids in sizes:
            run = measure(OURS, ids, server)
            record.samples[f"{ids}, real calls"] = attrs.asdict(run)
            table.row(f"{ids:,}", f"{run.peak:.1f}")


@attrs.frozen
class Resumed:
    """What it took to resume a finished purge."""

    deleted: int
    seconds: float
    cpu: float
    """CPU seconds."""
    held: float
    """The longest time, in seconds, for which the event loop was held up."""
    peak: float
    """MiB."""


def measure_resume(ids: int) -> Resumed:
    """Make the journal of a purge of so many ids, and resume it, each in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory_resume"]
    with TemporaryDirectory() as directory:
        path = f"{directory}/journal.jsonl"
        subprocess.run([*command, "make", path, str(ids)], check=True, capture_output=True, cwd=ROOT)  # noqa: S603 - our own
        done = subprocess.run([*command, "resume", path], check=True, capture_output=True, text=True, cwd=ROOT)  # noqa: S603 - as above
    resumed = Resumed(**json.loads(done.stdout))
    if resumed.deleted != ids:
        raise PremiseError(f"of {ids:,} ids {resumed.deleted:,} were known to be deleted")
    return resumed


def _resumed(record: Record) -> dict[int, Resumed]:
    table = record.table("a finished purge, resumed", ["      ids", "seconds", "CPU s", "held up, ms", "peak MiB"])
    found: dict[int, Resumed] = {}
    for ids in RESUMED:
        found[ids] = one = measure_resume(ids)
        record.samples[f"{ids}, resumed"] = attrs.asdict(one)
        table.row(f"{ids:,}", f"{one.seconds:.1f}", f"{one.cpu:.1f}", f"{one.held * 1e3:.0f}", f"{one.peak:.1f}")
    return found


def check_resumed(record: Record, found: Mapping[int, Resumed]) -> None:
    """Check the bars of purges that are resumed, given by number of ids."""
    for ids, one in found.items():
        seconds, memory = RESUMED[ids]
        bar = f"a finished purge of {ids:,} ids is resumed in {one.seconds:.1f} s and {one.peak:.0f} MiB"
        met = one.seconds <= seconds and one.peak <= memory
        record.check(f"{bar}, allowed {seconds:g} s and {memory:g} MiB", met=met)


def check(record: Record, found: Mapping[int, Runs]) -> None:
    """Check the bars of the runs, given by number of ids."""
    many = max(found)
    peaks = {ids: Spread.of(run.peak for run in runs[OURS]).median for ids, runs in found.items()}
    more = peaks[many] - peaks[FEW]
    bar = f"{many:,} ids take {more:.1f} MiB more than {FEW:,} ({more * 2**20 / (many - FEW):.1f} bytes for each)"
    record.check(f"{bar}, allowed {MAX_MORE_MEMORY:g} MiB", met=more <= MAX_MORE_MEMORY)
    own = {ids: own_costs(runs).median for ids, runs in found.items()}
    worst = max(own, key=own.__getitem__)
    bar = f"the library's own cost of a call is at most {own[worst]:.1f} µs, with {worst:,} ids"
    record.check(f"{bar}, allowed {MAX_OWN_COST:g} µs", met=own[worst] <= MAX_OWN_COST)
    growth = own[worst] / min(own.values())
    record.check(f"that is {growth:.2f} times its minimum, allowed {MAX_GROWTH:g}", met=growth <= MAX_GROWTH)


def _draw(record: Record, found: Mapping[int, Runs]) -> None:
    from benchmarks import pictures  # noqa: PLC0415 - before the runs this process must stay small

    peaks = {
        name: {ids: Spread.of(run.peak for run in runs[each]).median for ids, runs in found.items() if each in runs}
        for name, each in ((OURS, OURS), ("a task for each id", GATHER))
    }
    own = {OURS: {ids: own_costs(runs).median for ids, runs in found.items()}}
    panels = {"peak resident memory, MiB": peaks, "own cost of a call, CPU µs": own}
    record.draw("growth", "Memory and own cost by number of ids", pictures.lines(panels, ours=OURS, x_label="ids"))
