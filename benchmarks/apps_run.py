"""The processes of the benchmark `apps`: a platform of many apps, and a client of them. Each reads its job first."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aionorth import FlowControl, NorthSession
from aionorth.simulator import Simulator

SECRET = "app-secret"  # noqa: S105 - the simulator's own
TIMEOUT = 10.0
"""Seconds of a call's time-out."""
WARM_UP, WARM_UP_IDS = "warm-up", 50
"""The app with which a client has made a few calls before anything is measured."""


def name_of(number: int) -> str:
    """Return the id of an app."""
    return f"app-{number:05}"


async def _line() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def serve(job: dict[str, Any]) -> None:
    """Run a platform; print what arrived after reading a line."""
    names = [WARM_UP, *map(name_of, range(job["apps"]))]
    simulator = Simulator(dict.fromkeys(names, SECRET), calls=job["calls"], period=job["period"], log_limit=None)
    async with simulator as platform:
        for name in names:
            platform.add_subscriptions([f"{name}-{number}" for number in range(job["ids"])], app_id=name)
        print(json.dumps({"url": platform.url}), flush=True)
        await _line()
        arrivals = [one for one in platform.arrivals if one.app_id != WARM_UP]
        deletes = [one.counted for one in arrivals if one.method == "DELETE"]
        report = {
            "deletes": len(deletes),
            "seconds": max(deletes) - min(deletes),
            "refusals": sum(one.refused for one in arrivals),
            "logins": sum(one.method == "POST" for one in arrivals),
            "left": sum(len(platform.subscription_ids(name)) for name in names[1:]),
        }
        print(json.dumps(report), flush=True)


def _status(name: str) -> int:
    """Return a size of this process in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _forget_peak() -> None:
    """Have the peak of this process's memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def sockets(process: int | str = "self") -> int:
    """Return how many sockets a process has open."""
    found, directory = 0, f"/proc/{process}/fd"
    for one in os.listdir(directory):  # noqa: PTH208 - names are enough
        try:
            found += os.readlink(f"{directory}/{one}").startswith("socket:")  # noqa: PTH115 - as above
        except OSError:  # closed meanwhile
            continue
    return found


async def delete(job: dict[str, Any]) -> None:
    """Delete what all apps have, in one process, all at once or by so many workers in all; print what it took."""
    apps, ids, workers = job["apps"], job["ids"], job["workers"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 65536)), hard))
    flow_control = FlowControl(calls=job["calls"], period=job["period"])

    def session(name: str) -> NorthSession:
        return NorthSession(job["url"], app_id=name, secret=SECRET, flow_control=flow_control, timeout=TIMEOUT)

    async def work(number: int, some: range, workers: int) -> int:
        name = name_of(number)
        summary = await sessions[number].delete_subscriptions(
            (f"{name}-{one}" for one in some), workers=workers, collect="failures"
        )
        summary.raise_for_failures()
        return summary.deleted

    async def in_turn(turns: Iterator[tuple[range, int]]) -> int:
        return sum([await work(number, some, 1) for some, number in turns])

    async with session(WARM_UP) as north:
        await north.delete_subscriptions([f"{WARM_UP}-{number}" for number in range(WARM_UP_IDS)])
    idle = sockets()
    before = _status("VmRSS")
    _forget_peak()
    cpu, began = time.process_time(), time.monotonic()
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(session(name_of(number))) for number in range(apps)]
        if job["in_all"]:
            halves = (range(ids // 2), range(ids // 2, ids))
            turns = itertools.product(halves, range(apps))  # by the second one, an app's window has room again
            deleted = sum(await asyncio.gather(*(in_turn(turns) for _ in range(workers))))
        else:
            deleted = sum(await asyncio.gather(*(work(number, range(ids), workers) for number in range(apps))))
        used = time.process_time() - cpu
        report = {
            "deleted": deleted,
            "seconds": time.monotonic() - began,
            "cpu": used,
            "memory": (_status("VmHWM") - before) / apps,
            "idle": idle,
        }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    job = json.loads(sys.stdin.readline())
    asyncio.run(serve(job) if job.pop("serve") else delete(job))
