"""A purge split into tasks for a fleet of workers, under taskiq. Needs `aionorth[fleet]`.

    taskiq worker --workers 4 --max-async-tasks 1 fleet:broker     # on as many hosts as there are
    python fleet.py ids.txt                                        # hands out the ids, waits, prints the outcomes

Both read AIONORTH_REDIS_URL; the workers also read AIONORTH_URL, AIONORTH_APP_ID and AIONORTH_SECRET. Start them in the
same directory, where journals/ is created, or set FLEET_JOURNALS to a directory that all hosts mount.

All workers share one app's flow control and token through Redis, and the tasks' journals through that directory. If a
worker dies, its task goes to another one, which resumes its journal.
"""

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

import aionorth

REDIS = os.environ["AIONORTH_REDIS_URL"]
JOURNALS = Path(os.environ.get("FLEET_JOURNALS", "journals"))
PERIOD = float(os.environ.get("AIONORTH_PERIOD", "60"))
TASK = 10
"""Ids in a task."""
GIVEN_UP_AFTER = 5 * PERIOD
"""Seconds after which a task is taken from its worker: longer than any task takes, however many workers there are."""

broker = RedisStreamBroker(
    REDIS,
    queue_name="aionorth-purge",
    consumer_id="0",
    xread_count=1,  # no worker holds tasks that another one could do
    idle_timeout=int(1000 * GIVEN_UP_AFTER),
    unacknowledged_lock_timeout=10,
).with_result_backend(RedisAsyncResultBackend(REDIS, result_ex_time=24 * 3600))


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_session(state: TaskiqState) -> None:
    """Open one session for all tasks of this worker."""
    state.north = aionorth.NorthSession(
        os.environ["AIONORTH_URL"],
        app_id=os.environ["AIONORTH_APP_ID"],
        secret=os.environ["AIONORTH_SECRET"],
        flow_control=aionorth.FlowControl(calls=100, period=PERIOD),
        store=aionorth.RedisStore(REDIS),
        timeout=PERIOD / 2,
    )
    await state.north.__aenter__()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_session(state: TaskiqState) -> None:
    """Close the session, which stores the outcome of the last calls."""
    await state.north.close()


@broker.task(task_name="purge")
async def purge(ids: list[str], context: Context = TaskiqDepends()) -> dict[str, str]:  # noqa: B008 - taskiq's convention
    """Delete subscriptions and return the outcome of each. A repeated task resumes its journal."""
    north: aionorth.NorthSession = context.state.north
    journal = JOURNALS / f"{context.message.task_id}.jsonl"
    if journal.exists():
        summary = await north.resume(journal)
    else:
        plan = await north.plan(aionorth.SubscriptionSelection(ids=ids))
        summary = await north.purge(plan, journal=journal)
    return {result.id: result.outcome.value for result in summary.results}


@broker.task(task_name="nothing")
async def nothing() -> None:
    """Do nothing."""


async def send_idle_tasks() -> None:
    """Send tasks that do nothing, without end."""
    while True:
        await asyncio.sleep(GIVEN_UP_AFTER / 5)
        await nothing.kiq()


async def main(file: str) -> None:
    """Split the ids into tasks, wait for all of them, and print the outcomes."""
    JOURNALS.mkdir(exist_ok=True)
    await broker.startup()
    ids = list(dict.fromkeys(Path(file).read_text(encoding="utf-8").split()))
    tasks = [await purge.kiq(ids[start : start + TASK]) for start in range(0, len(ids), TASK)]
    # A worker looks for the tasks of dead workers only after it has received a new one, so there is always a new one.
    idle_tasks = asyncio.create_task(send_idle_tasks())
    outcomes: Counter[str] = Counter()
    for task in tasks:
        result = await task.wait_result(check_interval=1.0)
        result.raise_for_error()
        outcomes.update(result.return_value.values())
    idle_tasks.cancel()
    sys.stdout.write("".join(f"{count:,} {outcome}\n" for outcome, count in outcomes.most_common()))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
