"""The broker of a fleet: tasks in a Redis stream, spread among the workers that live, taken from those that do not.

taskiq's own broker for streams looks for the tasks of dead workers only after it has got a new one, and takes a task
from whoever is at work on it for long. This one gives signs of life for the tasks that it holds, and so can take them
from a dead worker soon; and it takes no more than its share, so that each app's window is full.
"""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq import AckableMessage
from taskiq_redis import RedisStreamBroker

from aionorth.fleet.store import BEATS, LEASE, RETRY, check_url, reached
from aionorth.fleet.stored import PREFIX
from aionorth.stores.redis_client import TIMEOUT, cancellable, drop_idle

_log = logging.getLogger("aionorth")

BLOCK = 1.0
"""Seconds that one look for new tasks takes where there are none."""

AT_ONCE = 0.001
"""The shortest time that a look can take."""

OVER_SHARE = 1.0
"""Seconds after which a worker that has its share takes another task all the same: the others may be full."""

SETTLING = 2.0
"""Seconds that a worker gives others, which start at the same time, before it takes its first task."""

LOOKED_AT = 10_000
"""How many idle tasks one look sees."""

FORGIVEN_AFTER = 600.0
"""Seconds after which a task that was handed back, and left alone for long enough, is one like any other."""

FORGOTTEN_AFTER = 24 * 3600.0
"""Seconds after which a worker that is gone, and has no task, is not listed any more."""

GROUP = "workers"

left_alone_for: ContextVar[float | None] = ContextVar("left_alone_for", default=60.0)
"""Seconds for which this worker leaves the task under way, which is not done, to others; None where it is done. Unless
that is said, it is not: it ended in an error that nobody expects."""

# KEYS: the stream. ARGV: group, milliseconds, consumer, ids of messages.
_MINE = """
local function mine(id) return #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[3]) > 0 end
"""
# Says that the tasks are not idle, or have been idle for so long that anybody may take them.
_TOUCH = f"""{_MINE}
for at = 4, #ARGV do
  if mine(ARGV[at]) then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[at], 'IDLE', ARGV[2], 'JUSTID')
  end
end
"""
_DONE = f"""{_MINE}
if mine(ARGV[4]) then
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[4])
  redis.call('XDEL', KEYS[1], ARGV[4])
end
"""
_FORGET = """
for _, one in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  if one[4] == 0 and one[6] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], one[2])
  end
end
"""


class _Client(Redis):
    """A client whose calls end as cancelled where they are: one that ends should take no more tasks."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's own
        with cancellable():
            return await cast("Any", super()).execute_command(*args, **options)


async def _end_with_parent() -> None:
    """End this process once taskiq's first one is gone: it was killed, and nobody else would end this one."""
    if (parent := multiprocessing.parent_process()) is None:
        return
    while parent.is_alive():  # noqa: ASYNC110 - another process
        await asyncio.sleep(BLOCK)
    _log.warning("the process that started this worker is gone: it ends")
    os.kill(os.getpid(), signal.SIGTERM)


class FleetBroker(RedisStreamBroker):
    """Hands tasks to workers.

    Its state: the ids of the messages that this process holds, those that it has handed back with the time until which
    it leaves them alone, those that were idle when it looked, when it looks again and from where on, whether the server
    is away, and whether it takes no more.
    """

    def __init__(self, url: str, *, lease: float = LEASE) -> None:
        super().__init__(
            check_url(url),
            queue_name=f"{PREFIX}:tasks",
            consumer_group_name=GROUP,
            consumer_id="0",
            socket_timeout=BLOCK + TIMEOUT,
            socket_connect_timeout=TIMEOUT,
        )
        self._lease = lease
        self._held = set[str]()
        self._aside = dict[str, float]()
        self._idle = deque[str]()
        self._look_at, self._look_from = 0.0, "-"
        self._is_away = False
        self._ended = False
        self.on_end: Callable[[], object] = lambda: None
        """Called when no more tasks are taken, because the process is about to end."""

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield tasks, those of dead workers first, as long as this worker has less than its share."""
        redis = _Client(connection_pool=self.connection_pool)
        beside = [asyncio.create_task(self._give_signs(redis)), asyncio.create_task(_end_with_parent())]
        loop = asyncio.get_running_loop()
        look_for_dead_at = 0.0
        joined = False
        try:
            while True:
                found = list[tuple[bytes, dict[bytes, bytes]]]()
                try:
                    if not joined:
                        await self._join(redis)
                        joined = True
                    if await self._has_its_share(redis):
                        await asyncio.sleep(OVER_SHARE)
                    found = await self._tasks(redis, of_the_dead=loop.time() >= look_for_dead_at)
                except (RedisError, OSError) as exc:
                    await self._lost(exc)
                    joined = False  # the server may have lost all that it had
                    # The others must get the time to say that they live.
                    look_for_dead_at = loop.time() + self._lease
                    await asyncio.sleep(RETRY)
                else:
                    if self._is_away:
                        _log.warning("the fleet's Redis server can be reached again")
                    self._is_away = False
                for id_, fields in found:
                    name = id_.decode()
                    self._held.add(name)
                    yield AckableMessage(data=fields[b"data"], ack=partial(self._let_go, redis, name))
        finally:
            for task in beside:
                task.cancel()
            self._ended = True
            self.on_end()

    async def _join(self, redis: Redis) -> None:
        """Be one of the group's workers, so that each can tell its share."""
        with cancellable():
            await self._declare_consumer_group()
        await redis.xgroup_createconsumer(self.queue_name, GROUP, self.consumer_name)
        await self._eval(redis, _FORGET, int(FORGOTTEN_AFTER * 1000))
        await asyncio.sleep(SETTLING)

    async def _tasks(self, redis: Redis, *, of_the_dead: bool) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Return one task of the dead, where it is to look for these, and one new one, if there are such."""
        found = await self._of_the_dead(redis) if of_the_dead else []
        # The new one is taken all the same: this worker may be fit for none of those that were handed back.
        return found + await self._new(redis, AT_ONCE if found else BLOCK)

    async def _of_the_dead(self, redis: Redis) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Return a task of a worker that shows no sign of life, if there is one."""
        now = asyncio.get_running_loop().time()
        if now >= self._look_at:
            await self._look(redis, now)
            self._look_at = now + BLOCK
        idle = int(self._lease * 1000)
        while self._idle:
            id_ = self._idle.popleft()
            # Those that it holds are idle if this process was stopped.
            if id_ in self._held or self._aside.get(id_, 0.0) > now:
                continue
            claimed: Any = await redis.xclaim(self.queue_name, GROUP, self.consumer_name, idle, [id_])
            if found := [one for one in claimed if one[1]]:
                return found
        return []

    async def _look(self, redis: Redis, now: float) -> None:
        """See which tasks are idle. Those that this worker has handed back come last: it may not be fit for them."""
        pending: Any = await redis.xpending_range(
            self.queue_name, GROUP, self._look_from, "+", count=LOOKED_AT, idle=int(self._lease * 1000)
        )
        ids = [one["message_id"].decode() for one in pending]
        self._look_from = f"({ids[-1]}" if len(ids) == LOOKED_AT else "-"
        self._aside = {id_: until for id_, until in self._aside.items() if until > now - FORGIVEN_AFTER}
        self._idle = deque(sorted(ids, key=lambda id_: self._aside.get(id_, 0.0)))

    async def _new(self, redis: Redis, wait: float) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Wait so many seconds for a new task."""
        streams: Any = {self.queue_name: ">"}
        reply = await redis.xreadgroup(GROUP, self.consumer_name, streams, count=1, block=int(wait * 1000))
        return cast("Any", reply)[0][1] if reply else []

    async def _has_its_share(self, redis: Redis) -> bool:
        """Whether this worker holds as many of all tasks as fall to each that lives."""
        all_tasks: int = await redis.xlen(self.queue_name)
        share = math.ceil(all_tasks / max(len(await self._living(redis)), 1))
        return len(self._held) >= share > 0

    async def living(self) -> Collection[str]:
        """Return the names of the workers that live; raises `StoreError`."""
        async with reached():
            return await self._living(_Client(connection_pool=self.connection_pool))

    async def _living(self, redis: Redis) -> list[str]:
        consumers: Any = await redis.xinfo_consumers(self.queue_name, GROUP)
        return [one["name"].decode() for one in consumers if one["idle"] < self._lease * 1000]

    async def _give_signs(self, redis: Redis) -> None:
        """Say, again and again, that this worker is at work on the tasks that it holds."""
        wait = self._lease / BEATS
        while True:
            await asyncio.sleep(wait)
            wait = self._lease / BEATS
            try:
                if self._held:
                    await self._eval(redis, _TOUCH, 0, *self._held)
            except (RedisError, OSError) as exc:
                await self._lost(exc)
                wait = RETRY

    async def _let_go(self, redis: Redis, id_: str) -> None:
        """Let go of a task: it is done, or another worker is to do it."""
        self._held.discard(id_)  # first: no sign of life must follow
        if (seconds := left_alone_for.get()) is not None:
            self._aside[id_] = asyncio.get_running_loop().time() + seconds
        script, idle = (_DONE, 0) if seconds is None else (_TOUCH, int(self._lease * 1000) + 1)
        while True:
            try:
                await self._eval(redis, script, idle, id_)
            except (RedisError, OSError) as exc:
                await self._lost(exc)
                if self._ended:  # it is found to be idle
                    return
                await asyncio.sleep(RETRY)
            else:
                return

    async def _lost(self, error: Exception) -> None:
        """Say once that the server is away, and connect anew: other connections may have been cut off, too."""
        level = logging.DEBUG if self._is_away else logging.WARNING
        _log.log(level, "the fleet's Redis server cannot be reached: %s", error)
        self._is_away = True
        await self.renew()

    async def renew(self) -> None:
        """Have the next calls connect anew."""
        await drop_idle(self.connection_pool)

    async def _eval(self, redis: Redis, script: str, milliseconds: int, *ids: str) -> None:
        given = (self.queue_name, GROUP, milliseconds, self.consumer_name, *ids)
        await cast("Any", redis).eval(script, 1, *given)
