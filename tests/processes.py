"""Processes that share one app, a platform in a process of its own, and a Redis server."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import attrs
import pytest
from ports import free_port

from aionorth.flow.window import Window
from aionorth.stores.redis import OpenRedisStore, RedisStore

PROCESS_TIMEOUT = 120
"""Seconds after which a process counts as hanging."""

PLATFORM = """
import asyncio, json, sys
from aionorth.simulator import Simulator

async def main():
    options = json.loads(sys.argv[1])
    number = options.pop("subscriptions")
    latency = lambda chance: (chance.uniform(0.0, 0.01), chance.uniform(0.0, 0.01))
    async with Simulator(latency=latency, seed=5, **options) as platform:
        print(json.dumps({"url": platform.url, "ids": platform.add_subscriptions(number)}), flush=True)
        while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            arrivals = [[one.method, one.resource, one.received, one.refused] for one in platform.arrivals]
            print(json.dumps({"arrivals": arrivals, "left": sorted(platform.subscription_ids())}), flush=True)

asyncio.run(main())
"""

WORKER = """
import asyncio, json, sys, warnings
import aionorth

async def main():
    options = json.loads(sys.stdin.readline())
    where = options["store"]
    if where.startswith("redis"):
        store = aionorth.RedisStore(where)
    else:
        store = aionorth.MachineStore(where) if where else None
    flow = aionorth.FlowControl(calls=options["calls"], period=options["period"])
    async with aionorth.NorthSession(
        options["url"], app_id="demo-app", secret="demo-secret", flow_control=flow, store=store,
        timeout=options["timeout"],
    ) as north:
        print("ready", flush=True)
        ids = json.loads(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))
        async with north.delete_subscriptions(ids, workers=8) as run:
            async for result in run:
                print(json.dumps([result.id, result.outcome.value]), flush=True)
        print(json.dumps({"refusals": north.flow.refusals, "elapsed": run.summary.elapsed}), flush=True)

asyncio.run(main())
"""


@attrs.frozen
class Arrival:
    method: str
    resource: str | None
    received: float
    refused: bool


class Process:
    """A Python process that reads and writes lines of JSON."""

    def __init__(self, source: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", source, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def write(self, value: Any) -> None:
        assert self.process.stdin is not None
        print(json.dumps(value), file=self.process.stdin, flush=True)

    def read_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    def read_rest(self) -> list[Any]:
        """Read all lines until it ends."""
        assert self.process.stdout is not None
        lines = [json.loads(line) for line in self.process.stdout]  # `communicate` would miss what has been read ahead
        self.process.wait(PROCESS_TIMEOUT)
        return lines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Platform(Process):
    """A simulator in a process of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(PLATFORM, json.dumps(options))
        description = json.loads(self.read_line())
        self.url: str = description["url"]
        self.ids: list[str] = description["ids"]
        self.left: list[str] = []

    def arrivals(self) -> list[Arrival]:
        """Return all calls so far, and update `left`."""
        self.write(None)
        report = json.loads(self.read_line())
        self.left = report["left"]
        return [Arrival(*one) for one in report["arrivals"]]


class Worker(Process):
    """A process that deletes subscriptions: it opens its session, waits for ids, and writes each result."""

    def __init__(self, platform: Platform, *, store: str, calls: int, period: float, timeout: float) -> None:
        super().__init__(WORKER)
        self.write({"url": platform.url, "store": store, "calls": calls, "period": period, "timeout": timeout})

    def ready(self) -> None:
        assert self.read_line() == "ready\n"


class RedisServer:
    """A Redis server on a free port, which can be stopped and started again."""

    def __init__(self, directory: Path, *, keeps: bool) -> None:
        """When the server is stopped it `keeps` its data, or loses them."""
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(directory)]
        self._command += ["--save", "", "--appendonly", "yes" if keeps else "no"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        self.kill()
        raise AssertionError("redis-server does not start")

    def restart(self) -> None:
        """Stop it and start it at once; without `keeps` it loads the last snapshot, if any."""
        self.stop()
        self.start()

    def empty(self) -> None:
        """Have it run, with nothing in it."""
        from redis import BusyLoadingError, Redis  # noqa: PLC0415 - optional

        if self._process is None or self._process.poll() is not None:
            self.start()
        with Redis.from_url(self.url) as client:
            for _ in range(200):
                with suppress(BusyLoadingError):
                    client.flushall()
                    return
                time.sleep(0.05)
        raise AssertionError("redis-server does not load its data")

    def kill(self) -> None:
        """Give it no time to end."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)  # it brings its data to the disk


async def put_in_service(store: OpenRedisStore) -> None:
    """Let a Redis have served an app for so long that it need not fear for calls of before."""
    snapshot = await store.read(clock_error=0.1)
    await store.replace(snapshot, Window(at=snapshot.now).to_json(), keep=0.0)


async def served_before(redis_url: str, platform_url: str, app_id: str = "demo-app") -> None:
    """Do so for an app of a platform."""
    app = hashlib.sha256(f"{platform_url}\n{app_id}".encode()).hexdigest()[:32]
    store = await RedisStore(redis_url).open(app)
    await put_in_service(store)
    await store.close()


def in_service(redis_url: str, platform_url: str) -> None:
    """Do so for the demo app of a platform."""
    asyncio.run(served_before(redis_url, platform_url))


@contextmanager
def redis_server(directory: Path, *, keeps: bool = False) -> Iterator[RedisServer]:
    """Run a server; if none is installed the test is skipped, but never on CI."""
    if shutil.which("redis-server") is None and not os.environ.get("CI"):
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    server = RedisServer(directory, keeps=keeps)
    server.start()
    try:
        yield server
    finally:
        server.stop()
