"""`python -m benchmarks NAME [options]` runs one benchmark; without a name, all of them are listed and run."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from benchmarks import results
from benchmarks.harness import ROOT, PremiseError, Record

BENCHMARKS = {
    "schedule": "how close to the fastest schedule, and how often refused, compared with nine others (virtual time)",
    "throughput": "calls a second and CPU time a call, unthrottled, compared with aiohttp, httpx and the vendor's SDK",
    "limiter": "the cost of an acquisition, free and contended, compared with aiolimiter and pyrate-limiter",
    "shared": "processes that share one app through SQLite and Redis: their rate together, refusals, logins",
    "apps": "what many apps cost: 1 to 1,000 in one process, and a fleet of four workers under taskiq",
    "memory": "peak memory, and the library's own cost per call, from a thousand ids to a million",
    "startup": "how long `from aionorth import NorthSession` and `aionorth --help` take, next to `import aiohttp`",
}
"""One line about each benchmark, by name. Each is a module with a function `main`."""

UNTRUSTWORTHY = 3
"""The exit code of a benchmark that can conclude nothing, because a premise did not hold."""
INTERRUPTED = 130


def run(name: str, arguments: Sequence[str], directory: Path) -> int:
    """Run one benchmark and write its results.

    Returns:
        The exit code: 0 if every bar was met.
    """
    # Imported here: the memory benchmark's own process must stay small.
    main: Callable[[Sequence[str], Record], None] = importlib.import_module(f"benchmarks.{name}").main
    record = Record(name)
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
    """List the benchmarks and run each in a process of its own.

    Returns:
        The highest of their exit codes.
    """
    print(listed())
    failed: dict[str, int] = {}
    for name in BENCHMARKS:
        print(f"\n=== {name}", flush=True)
        command = [sys.executable, "-m", "benchmarks", "--results", str(directory.resolve()), name]
        if code := subprocess.run(command, check=False, cwd=ROOT).returncode:  # noqa: S603 - this program itself
            failed[name] = code
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall passed")
    return max(failed.values(), default=0)


def listed() -> str:
    """Return the names of the benchmarks, each with the line about it."""
    width = max(map(len, BENCHMARKS))
    return "\n".join(f"{name:<{width}}  {line}" for name, line in BENCHMARKS.items())


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", epilog=listed(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=results.DIRECTORY, help="where to write (default: %(default)s)")
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="run only this one")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="its options")
    options = parser.parse_args(arguments)
    directory: Path = options.results
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=directory):
            pass
    except OSError as exc:
        parser.error(f"--results {directory}: nothing can be written there ({exc.strerror})")
    code = run_all(directory) if options.name is None else run(options.name, options.options, directory)
    print(f"the page: {results.write_page(directory, list(BENCHMARKS))}")
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
