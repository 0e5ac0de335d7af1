"""One run of the memory benchmark, in a process of its own: `python -m benchmarks.memory_run URL IDS`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

from aionorth import DeleteSummary, NorthSession
from benchmarks.memory import peak
from benchmarks.unthrottled import APP, NEVER_BINDS, TOKEN, subscription_ids


async def drawn(count: int) -> AsyncIterator[str]:
    """Ids from an async generator, as a database cursor would be."""
    for id_ in subscription_ids(count):
        yield id_


async def delete(url: str, count: int) -> DeleteSummary:
    """Delete so many ids with the default number of workers, keeping the failures."""
    async with NorthSession(url, app_id=APP, token=TOKEN, flow_control=NEVER_BINDS) as north:
        summary = await north.delete_subscriptions(drawn(count), collect="failures")
    summary.raise_for_failures()
    return summary


if __name__ == "__main__":
    ended = asyncio.run(delete(sys.argv[1], int(sys.argv[2])))
    print(json.dumps({"peak": peak(), "seconds": ended.elapsed, "deleted": ended.deleted}))
