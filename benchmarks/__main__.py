"""`python -m benchmarks NAME [options]` runs one benchmark; without a name, all of them are listed and run."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Sequence

from benchmarks.harness import PremiseError, machine

BENCHMARKS = {
    "schedule": "how close to the fastest schedule, and how often refused, under five ways of counting (virtual time)",
    "throughput": "calls a second and CPU time per call beside a bare aiohttp loop, where flow control does not bind",
    "memory": "peak memory of a run over a million ids beside one over ten thousand (--ids N for another number)",
}
"""The benchmarks by name, each with the line that introduces it; each is a module with a `main`."""

UNTRUSTWORTHY = 2
"""The exit code of a benchmark whose figures mean nothing, because what they rest on did not hold."""


def run(name: str, arguments: Sequence[str]) -> int:
    """Run one benchmark; returns its exit code: 0 where every bar was met."""
    # Imported here: the memory benchmark's own process must stay small.
    main: Callable[[Sequence[str]], int] = importlib.import_module(f"benchmarks.{name}").main
    print(machine(name), flush=True)
    try:
        return main(arguments)
    except PremiseError as exc:
        print(f"FAIL  nothing can be concluded: {exc}")
        return UNTRUSTWORTHY


def run_all() -> int:
    """List the benchmarks and run each in a process of its own; returns 1 where one of them failed."""
    width = max(map(len, BENCHMARKS))
    for name, line in BENCHMARKS.items():
        print(f"{name:<{width}}  {line}")
    failed: list[str] = []
    for name in BENCHMARKS:
        print(f"\n=== {name}", flush=True)
        command = [sys.executable, "-m", "benchmarks", name]
        if subprocess.run(command, check=False).returncode:  # noqa: S603 - this very program
            failed.append(name)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall passed")
    return 1 if failed else 0


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    match arguments:
        case []:
            return run_all()
        case [name, *rest] if name in BENCHMARKS:
            return run(name, rest)
        case _:
            print(f"usage: python -m benchmarks [{' | '.join(BENCHMARKS)}] [options]", file=sys.stderr)
            return UNTRUSTWORTHY


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
