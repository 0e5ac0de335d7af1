"""How long it takes to resume a finished purge, and how much memory: `python -m benchmarks.memory_resume make|resume`.

``make PATH IDS`` writes a journal in which each id was deleted at once; ``resume PATH`` resumes it, which sends
nothing, and prints what that took. Each is a process of its own, for the sake of its peak.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from aionorth import NorthSession
from aionorth.bulk.record import UNTRIED
from aionorth.items import Kind, Target
from aionorth.purge.journal import Journal
from benchmarks.memory import peak
from benchmarks.unthrottled import APP, TOKEN, subscription_ids

NOWHERE = "http://127.0.0.1"


def make(path: str, count: str) -> None:
    """Write the journal of a purge of so many ids."""
    target = Target(kind=Kind.SUBSCRIPTIONS, url=NOWHERE, app_id=APP)
    journal = Journal.create(path, target, list(subscription_ids(int(count))))
    record = UNTRIED.sent.answered
    for id_ in subscription_ids(int(count)):
        journal.begin(id_)
        journal.end(record, record.result(id_, 0.025))
    journal.close()
    print(json.dumps({"size": Path(path).stat().st_size}))


async def resume(path: str) -> None:
    """Resume it, and print the ids deleted, the seconds, the longest that the event loop was held up, and the peak."""
    held = 0.0

    async def look() -> None:
        nonlocal held
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            held, last = max(held, time.perf_counter() - last), time.perf_counter()

    async with NorthSession(NOWHERE, app_id=APP, token=TOKEN) as north:
        looking = asyncio.create_task(look())
        await asyncio.sleep(0)
        began, cpu = time.perf_counter(), time.process_time()
        summary = await north.resume(path, collect="failures")
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        looking.cancel()
    print(json.dumps({"deleted": summary.deleted, "seconds": took, "cpu": cpu, "held": held, "peak": peak()}))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(*sys.argv[2:])
    else:
        asyncio.run(resume(sys.argv[2]))
