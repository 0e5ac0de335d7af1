"""How fast several processes are that share one app through a store, and whether the platform ever refuses them.

389 subscriptions are deleted, which with a login makes 390 calls. The platform is a process of its own; it accepts 100
calls in a period of 2.5 s and counts refused calls too. 1, 2, 4 or 8 processes share the work, through an SQLite file
and through a Redis server that the benchmark starts. Together they should be as fast as one.

What could mislead:

* A run on SQLite and one on Redis take place at the same time. Both mostly wait.
* Time is real and a period is 24 times shorter than the platform's, so the stores are used 24 times as often as in
  production, where their cost matters less.
* Nine processes share a few processors. Their waiting for a processor is in the figures.
* While a Redis server is new to an app nothing is sent for a period and more than a time-out, because the server may
  have lost its data. Here its data say that it has known each app for a long time.
* The rate is measured from the first deletion to the last, by the platform's log, so the start of the processes is not
  in it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier

import attrs

from aionorth.flow.window import Window
from aionorth.stores.redis import RedisStore
from benchmarks.harness import PremiseError, Record, Spread, turns

IDS = 389
"""With the login, ten calls fewer than fit into four periods. With more, a call that a busy machine delays could need a
fifth period, which makes the run a quarter longer."""
CALLS = 100
PERIOD = 2.5
WORKERS = 8
PROCESSES = (1, 2, 4, 8)
ROUNDS = 2
MIN_RATE = 0.95
"""The bar: the rate of several processes as a part of that of one."""


@attrs.frozen
class Run:
    """The outcome of one run."""

    seconds: float
    """From the first deletion's arrival to the last one's."""
    refusals: int
    logins: int


class _Process:
    """A child process that reads and writes lines."""

    def __init__(self, **job: object) -> None:
        command = [sys.executable, "-m", "benchmarks.shared_run"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)  # noqa: S603 - our own
        self.write(job)

    def write(self, value: object) -> None:
        assert self.process.stdin is not None
        print(json.dumps(value), file=self.process.stdin, flush=True)

    def read_line(self) -> str:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise PremiseError("a process ended before it was done")
        return line

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


async def _make_known(redis_url: str, platform_url: str) -> None:
    """Set the data of a Redis server as if it had known the app of a platform for a long time."""
    app = hashlib.sha256(f"{platform_url}\ndemo-app".encode()).hexdigest()[:32]
    store = await RedisStore(redis_url).open(app)
    snapshot = await store.read(clock_error=0.1)
    await store.replace(snapshot, Window(at=snapshot.now).to_json(), keep=0.0)
    await store.close()


def measure(store: str, processes: int, seed: int, *, ids: int = IDS, ready: Callable[[], object] = int) -> Run:
    """Let so many processes delete everything from a new platform; `ready` is called when all have started."""
    with ExitStack() as stack:

        def started(**job: object) -> _Process:
            process = _Process(calls=CALLS, period=PERIOD, **job)
            stack.callback(process.end)
            return process

        platform = started(serve=True, seed=seed, ids=ids)
        description = json.loads(platform.read_line())
        if store.startswith("redis"):
            asyncio.run(_make_known(store, description["url"]))
        workers = [started(serve=False, store=store, url=description["url"], workers=WORKERS) for _ in range(processes)]
        for worker in workers:
            worker.read_line()
        ready()
        for place, worker in enumerate(workers):
            worker.write(description["ids"][place::processes])
        deleted = sum(json.loads(worker.read_line())["deleted"] for worker in workers)
        platform.write(None)
        report = json.loads(platform.read_line())
    if deleted != ids or report["left"]:
        raise PremiseError(f"the processes say that they deleted {deleted} of {ids}; {report['left']} are left")
    deletes = [received for method, received, _ in report["arrivals"] if method == "DELETE"]
    return Run(
        seconds=max(deletes) - min(deletes),
        refusals=sum(refused for _, _, refused in report["arrivals"]),
        logins=sum(method == "POST" for method, _, _ in report["arrivals"]),
    )


@contextmanager
def redis_server(directory: str, *more: str) -> Generator[str]:
    """Run a Redis server with `more` options on a free port and yield its URL."""
    if (program := shutil.which("redis-server")) is None:
        raise PremiseError("redis-server is not installed (Debian: apt-get install redis-server)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", "", *more]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:  # noqa: S603 - our own
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise PremiseError("redis-server does not start") from None
                    time.sleep(0.01)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


def main(arguments: Sequence[str], record: Record) -> None:
    """Measure, print and check the bars."""
    argparse.ArgumentParser(prog="python -m benchmarks shared").parse_args(arguments)
    with TemporaryDirectory() as directory, redis_server(directory) as redis:
        stores = {"SQLite": str(Path(directory, "flow")), "Redis": redis}
        cases = [(store, processes) for store in stores for processes in PROCESSES]
        runs: dict[tuple[str, int], list[Run]] = {case: [] for case in cases}
        with ThreadPoolExecutor(len(stores)) as threads:
            for seed, order in enumerate(turns(PROCESSES, ROUNDS)):
                for processes in order:
                    all_ready = Barrier(len(stores), timeout=60).wait
                    side_by_side = {
                        store: threads.submit(measure, url, processes, seed, ready=all_ready)
                        for store, url in stores.items()
                    }
                    for store, run in side_by_side.items():
                        runs[store, processes].append(run.result())
    record.samples |= {
        f"{store} {number}": [attrs.asdict(run) for run in runs[store, number]] for store, number in cases
    }
    table = record.table(
        f"{IDS} deletes, {CALLS} calls per {PERIOD:g} s, {WORKERS} workers a process: {ROUNDS} rounds, median "
        "(minimum to maximum)",
        ["store", "processes", f"{'seconds':>22}", "rate of one", "refusals", "logins"],
    )
    for (store, number), of_case in runs.items():
        seconds = Spread.of(run.seconds for run in of_case)
        ratio = Spread.of(run.seconds for run in runs[store, 1]).median / seconds.median
        refusals, logins = sum(run.refusals for run in of_case), max(run.logins for run in of_case)
        table.row(store, str(number), f"{seconds:.1f}", f"{ratio:.3f}", str(refusals), str(logins))
        record.check(f"{store}, {number} at once: {refusals} refusals, allowed 0", met=not refusals)
        record.check(f"{store}, {number} at once: {logins} login, allowed 1", met=logins == 1)
        if number > 1:
            bar = f"{store}, {number} at once: {ratio:.3f} of the rate of one, at least {MIN_RATE}"
            record.check(bar, met=ratio >= MIN_RATE)
