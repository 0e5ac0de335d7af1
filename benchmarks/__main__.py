"""`python -m benchmarks NAME [options]` runs one benchmark; without a name, all of them are listed and run."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import results
from benchmarks.harness import ROOT, PremiseError, Record

BENCHMARKS = {
    "schedule": "how close to the fastest schedule, and how often refused, beside ten other ways (virtual time)",
    "throughput": "calls a second and CPU time per call beside aiohttp, httpx and the vendor's SDK, unthrottled",
    "limiter": "the cost of an acquisition, free and contended, beside aiolimiter and pyrate-limiter",
    "shared": "processes that share one app through SQLite and Redis: their rate together, refusals, logins",
    "memory": "peak memory, and the library's own cost per call, from a thousand ids to a million",
    "startup": "how long `import aionorth` and `aionorth --help` take beside `import aiohttp`",
}
"""The benchmarks by name, each with the line that introduces it; each is a module with a `main`."""

UNTRUSTWORTHY = 2
"""The exit code of a benchmark whose figures mean nothing, because what they rest on did not hold."""


def run(name: str, arguments: Sequence[str], directory: Path) -> int:
    """Run one benchmark and write what it found; returns its exit code: 0 where every bar was met."""
    # Imported here: the memory benchmark's own process must stay small.
    main: Callable[[Sequence[str], Record], None] = importlib.import_module(f"benchmarks.{name}").main
    record = Record(name)
    print(json.dumps(record.machine), flush=True)
    began = time.monotonic()
    failure = None
    try:
        main(arguments, record)
    except PremiseError as exc:
        failure = str(exc)
        print(f"FAIL  nothing can be concluded: {exc}")
    results.write(record, directory, seconds=time.monotonic() - began, failure=failure)
    return UNTRUSTWORTHY if failure else record.exit_code


def run_all(directory: Path) -> int:
    """List the benchmarks and run each in a process of its own; returns 1 where one of them failed."""
    width = max(map(len, BENCHMARKS))
    for name, line in BENCHMARKS.items():
        print(f"{name:<{width}}  {line}")
    failed: list[str] = []
    for name in BENCHMARKS:
        print(f"\n=== {name}", flush=True)
        command = [sys.executable, "-m", "benchmarks", "--results", str(directory.resolve()), name]
        if subprocess.run(command, check=False, cwd=ROOT).returncode:  # noqa: S603 - this very program
            failed.append(name)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall passed")
    return 1 if failed else 0


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--results", type=Path, default=results.DIRECTORY, help="where to write (default: %(default)s)")
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="only this one")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="for the one named")
    given = parser.parse_args(arguments)
    directory: Path = given.results
    code = run_all(directory) if given.name is None else run(given.name, given.options, directory)
    print(f"the page: {results.write_page(directory, list(BENCHMARKS))}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
