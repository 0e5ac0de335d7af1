"""The processes of the benchmark `shared`: a platform and its clients. Each reads its job from standard input."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any

from aionorth import FlowControl, MachineStore, NorthSession, RedisStore
from aionorth.simulator import Simulator

SECRET = "demo-secret"  # noqa: S105 - the simulator's own
TIMEOUT = 10.0
"""The time-out of a call in seconds: on a busy machine a process may have to wait for a processor."""


def _latency(rng: random.Random) -> tuple[float, float]:
    return rng.uniform(0.0, 0.01), rng.uniform(0.0, 0.01)


async def _line() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def serve(job: dict[str, Any]) -> None:
    """Run a platform that counts refused calls too; print what arrived after reading a line."""
    simulator = Simulator(
        model="sliding-refusals", calls=job["calls"], period=job["period"], latency=_latency, seed=job["seed"]
    )
    async with simulator as platform:
        print(json.dumps({"url": platform.url, "ids": platform.add_subscriptions(job["ids"])}), flush=True)
        await _line()
        arrivals = [[one.method, one.received, one.refused] for one in platform.arrivals]
        print(json.dumps({"arrivals": arrivals, "left": len(platform.subscription_ids())}), flush=True)


async def delete(job: dict[str, Any]) -> None:
    """Open a session, print that it is ready, and delete the ids of the next line."""
    where = str(job["store"])
    store = RedisStore(where) if where.startswith("redis://") else MachineStore(where)
    settings = FlowControl(calls=job["calls"], period=job["period"])
    async with NorthSession(
        job["url"], app_id="demo-app", secret=SECRET, flow_control=settings, store=store, timeout=TIMEOUT
    ) as north:
        print("ready", flush=True)
        ids = json.loads(await _line())
        summary = await north.delete_subscriptions(ids, workers=job["workers"])
        print(json.dumps({"deleted": summary.deleted, "total": summary.total}), flush=True)


if __name__ == "__main__":
    job = json.loads(sys.stdin.readline())
    asyncio.run(serve(job) if job.pop("serve") else delete(job))
