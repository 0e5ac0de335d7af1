"""What many apps cost: 1 to 1,000 of them in one process, and a fleet of four workers under taskiq.

Each app deletes its own subscriptions, at 100 calls in a period of 10 s; its first call is a login. The platform is a
process of its own, and counts refusals. In one process the apps' state is in memory. The fleet shares a Redis server
that the benchmark starts, with an append-only file: flow control, tokens, tasks and journals are there.

* *All at once*: each app has 16 workers. *16 in all*: 16 workers take one app after the other, one call at a time,
  twice: each time half of its ids, so that they need not wait for its window.
* CPU a call is that of the client's process, or of the four workers together; the platform's is not in it.
* Memory an app is what the peak of the process is above what it was after a warm-up, divided by the apps.

What could mislead:

* Client, platform and Redis share the machine's processors. Where calls a second reach what these can do, the platform
  is as much a part of it as the client.
* A period is six times shorter than the platform's, so calls come six times as fast as in production.
* One app makes fewer calls than many, and the CPU of a call is measured over these. So it makes more than its share.
* The first burst needs most connections and memory, as each app may make 100 calls at once.
* Nothing is deleted by the fleet for the first period and time-out, and a little longer: its server is new to the apps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import attrs

from benchmarks.apps_run import SECRET, TIMEOUT, name_of, sockets
from benchmarks.harness import ROOT, PremiseError, Record
from benchmarks.shared import redis_server

CALLS = 100
PERIOD = 10.0
WORKERS = 16
LOOK = 0.1
"""Seconds from one count of a process's sockets to the next."""
FLEET = 4
"""Worker processes."""

IDS = {1: 300, 10: 300, 100: 150, 1000: 150}
"""How many ids each app has, by the number of apps in one process."""
FLEET_APPS, FLEET_IDS = 100, 150

MAX_MEMORY = 100.0
"""The bar: KiB an app, with 1,000 of them and 16 workers in all."""
MAX_CONNECTIONS = 64
"""The bar: connections to the platform, likewise."""
MAX_CPU = 1.1
"""The bar: CPU a call with 1,000 apps, likewise, as a multiple of that with one."""

OURS = "aionorth"


@attrs.frozen(kw_only=True)
class Run:
    """What it took to delete everything."""

    apps: int
    deletes: int
    seconds: float
    cpu: float
    """CPU seconds."""
    refusals: int
    logins: int
    connections: int | None = None
    memory: float | None = None
    """KiB an app."""
    redis: dict[str, float] = attrs.field(factory=dict[str, float])

    @property
    def cost(self) -> float:
        """CPU µs a call."""
        return self.cpu / (self.deletes + self.logins) * 1e6


class _Process:
    """A child process that reads and writes lines of JSON."""

    def __init__(self, **job: object) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "benchmarks.apps_run"]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)  # noqa: S603 - our own
        self.write(job)

    def write(self, value: object) -> None:
        assert self.process.stdin is not None
        print(json.dumps(value), file=self.process.stdin, flush=True)

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise PremiseError("a process ended before it was done")
        found: dict[str, Any] = json.loads(line)
        return found

    def read_counting(self) -> tuple[dict[str, Any], int]:
        """Return what it writes, and how many sockets it had at most until then."""
        most, stdout = 0, self.process.stdout
        assert stdout is not None
        while not select.select([stdout], [], [], LOOK)[0]:
            most = max(most, sockets(self.process.pid))
        return self.read(), most

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def _platform(apps: int, ids: int) -> Generator[tuple[str, _Process]]:
    process = _Process(serve=True, apps=apps, ids=ids, calls=CALLS, period=PERIOD)
    try:
        yield process.read()["url"], process
    finally:
        process.end()


def _checked(report: dict[str, Any], apps: int, ids: int) -> dict[str, Any]:
    if report["left"] or report["deletes"] - report["refusals"] < apps * ids:
        raise PremiseError(f"of {apps * ids:,} subscriptions {report['left']:,} are left")
    return report


def measure(apps: int, ids: int, *, in_all: bool = False) -> Run:
    """Let one process delete what so many apps have."""
    with _platform(apps, ids) as (url, platform), ExitStack() as stack:
        client = _Process(
            serve=False, url=url, apps=apps, ids=ids, workers=WORKERS, in_all=in_all, calls=CALLS, period=PERIOD
        )
        stack.callback(client.end)
        found, most = client.read_counting()
        platform.write(None)
        report = _checked(platform.read(), apps, ids)
    return Run(
        apps=apps,
        deletes=report["deletes"],
        seconds=report["seconds"],
        cpu=found["cpu"],
        refusals=report["refusals"],
        logins=report["logins"],
        connections=most - found["idle"],
        memory=found["memory"],
    )


def _settings(directory: Path, url: str, apps: int) -> None:
    """Write the profiles of so many apps."""
    secret = directory / "secret"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(0o600)
    file = directory / "aionorth" / "config.toml"
    file.parent.mkdir()
    shared = f'url = "{url}"\nsecret_file = "{secret}"\ncalls = {CALLS}\nperiod = {PERIOD}\ntimeout = {TIMEOUT}\n'
    profiles = (f'[profiles.{name}]\napp_id = "{name}"\n{shared}' for name in map(name_of, range(apps)))
    file.write_text("\n".join(profiles), encoding="utf-8")
    file.chmod(0o600)


async def _deleted_by_fleet(redis: str, apps: int, ids: int) -> dict[str, float]:
    """Have a fleet delete everything; return what the server says of it, and how long it took."""
    from redis.asyncio import Redis  # noqa: PLC0415 - one benchmark of many needs it

    from aionorth.fleet import Fleet, Part  # noqa: PLC0415 - as above
    from aionorth.items import Kind  # noqa: PLC0415 - as above

    client: Any = cast("Any", Redis).from_url(redis)  # partly untyped
    before = await client.info()
    began = time.monotonic()
    async with Fleet(redis) as fleet:
        names = [name_of(number) for number in range(apps)]
        parts = [
            Part.of_ids([f"{name}-{one}" for one in range(ids)], Kind.SUBSCRIPTIONS, profile=name) for name in names
        ]
        run = await fleet.submit(parts)
        connections = 0
        while not (status := await fleet.status(run)).settled:
            connections = max(connections, (await client.info("clients"))["connected_clients"])
            await asyncio.sleep(1)
        if not status.ok:
            raise PremiseError(f"not all was deleted: {status}")
    after = await client.info()
    await client.aclose()
    calls = apps * ids
    return {
        "seconds": time.monotonic() - began,
        "commands a call": (after["total_commands_processed"] - before["total_commands_processed"]) / calls,
        "CPU µs a call": sum(after[one] - before[one] for one in ("used_cpu_sys", "used_cpu_user")) / calls * 1e6,
        "bytes an id": (after["used_memory"] - before["used_memory"]) / calls,
        "connections": connections,
    }


def measure_fleet(apps: int, ids: int) -> Run:
    """Let four workers under taskiq delete what so many apps have."""
    with TemporaryDirectory() as directory, _platform(apps, ids) as (url, platform):
        options = ["--appendonly", "yes", "--appendfsync", "always"]
        with redis_server(directory, *options) as redis:
            _settings(Path(directory), url, apps)
            environment = os.environ | {"XDG_CONFIG_HOME": directory, "AIONORTH_REDIS_URL": redis}
            command = [sys.executable, "-m", "taskiq", "worker", "aionorth.fleet:broker", "--workers", "1"]
            command += ["--max-async-tasks", str(apps), "--log-level", "WARNING"]
            workers = [
                subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)  # noqa: S603 - our own
                for _ in range(FLEET)
            ]
            try:
                time.sleep(PERIOD / 2)  # they import, and say that they are there
                began = [_cpu_of(worker.pid) for worker in workers]
                found = asyncio.run(_deleted_by_fleet(redis, apps, ids))
                cpu = sum(_cpu_of(worker.pid) for worker in workers) - sum(began)
            finally:
                for worker in workers:
                    worker.terminate()
                for worker in workers:
                    worker.wait()
        platform.write(None)
        report = _checked(platform.read(), apps, ids)
    return Run(
        apps=apps,
        deletes=report["deletes"],
        seconds=report["seconds"],
        cpu=cpu,
        refusals=report["refusals"],
        logins=report["logins"],
        redis=found,
    )


def _cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_cpu_of(int(child)) for child in children)


def main(arguments: Sequence[str], record: Record) -> None:
    """Measure, print and check the bars."""
    argparse.ArgumentParser(prog="python -m benchmarks apps").parse_args(arguments)
    if not Path("/proc/self/status").exists():
        raise PremiseError("memory and connections are counted by what Linux shows in /proc")
    header = ["", *(f"{one:>12}" for one in ("deletes", "a second", "CPU µs a call", "KiB an app", "connections"))]
    table = record.table(
        f"{CALLS} calls in {PERIOD:g} s an app, {WORKERS} workers an app or in all",
        [f"{'apps':26}", *header[1:], "refusals", "logins"],
    )
    runs: dict[str, Run] = {}
    for apps, ids in IDS.items():
        runs[f"{apps:,}, one process"] = measure(apps, ids)
        _row(record, table, runs)
    runs["1,000, 16 workers in all"] = measure(1000, IDS[1000], in_all=True)
    _row(record, table, runs)
    runs[f"{FLEET_APPS}, {FLEET} workers, taskiq"] = measure_fleet(FLEET_APPS, FLEET_IDS)
    _row(record, table, runs)
    *_, fleet = runs.values()
    shown = record.table("what the Redis server of the fleet had to do", [f"{'':18}", "figure"])
    for name, value in fleet.redis.items():
        shown.row(name, f"{value:,.1f}")
    print()
    check(record, runs)
    _draw(record, [run for name, run in runs.items() if name.endswith("one process")])


def _row(record: Record, table: Any, runs: dict[str, Run]) -> None:  # noqa: ANN401 - of the harness
    *_, (name, run) = runs.items()
    record.samples[name] = attrs.asdict(run)
    table.row(
        name,
        f"{run.deletes:,}",
        f"{run.deletes / run.seconds:,.0f}",
        f"{run.cost:,.0f}",
        "-" if run.memory is None else f"{run.memory:,.0f}",
        "-" if run.connections is None else f"{run.connections:,}",
        str(run.refusals),
        str(run.logins),
    )


def check(record: Record, runs: dict[str, Run]) -> None:
    """Check the bars."""
    for name, run in runs.items():
        record.check(f"{name}: {run.refusals} refusals, allowed 0", met=not run.refusals)
        record.check(f"{name}: {run.logins:,} logins, allowed {run.apps:,}", met=run.logins == run.apps)
    one, many = runs["1, one process"], runs["1,000, 16 workers in all"]
    assert many.memory is not None
    assert many.connections is not None
    bar = f"1,000 apps take {many.memory:.0f} KiB each, allowed {MAX_MEMORY:g}"
    record.check(bar, met=many.memory <= MAX_MEMORY)
    bar = f"16 workers in all have {many.connections} connections, allowed {MAX_CONNECTIONS}"
    record.check(bar, met=many.connections <= MAX_CONNECTIONS)
    ratio = many.cost / one.cost
    record.check(
        f"a call of 1,000 apps costs {ratio:.2f} times one of one app, allowed {MAX_CPU}", met=ratio <= MAX_CPU
    )


def _draw(record: Record, runs: Sequence[Run]) -> None:
    from benchmarks import pictures  # noqa: PLC0415 - takes long to import

    panels = {
        "CPU µs a call": {OURS: {run.apps: run.cost for run in runs}},
        "KiB an app": {OURS: {run.apps: run.memory or 0.0 for run in runs}},
        "calls a second": {OURS: {run.apps: run.deletes / run.seconds for run in runs}},
    }
    record.draw("growth", "What many apps in one process cost", pictures.lines(panels, ours=OURS, x_label="apps"))
