"""What a fleet keeps in Redis: runs, their parts, who is at work on which, and how far each is.

All keys of a run share the tag ``{PREFIX:RUN}``:

==================  ======================================================================================
the run itself      hash: when it was made, and whether it is cancelled
``:parts``          hash: of each part what it is, as JSON
``:journal:N``      list: the lines of its journal
``:owners``         hash: which worker is at work on it, and until when that counts
``:states``         hash: how far it is, as JSON
==================  ======================================================================================
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import attrs

from aionorth.common.arguments import argument
from aionorth.errors import ArgumentError, StoreError, StoreUnavailableError, detached
from aionorth.fleet.runs import DamagedError, NoRunError, Part, PartState, PartStatus, RunStatus
from aionorth.fleet.stored import PREFIX, part_status, reading, root_of, run_status, state_text
from aionorth.purge.journal import lines
from aionorth.stores.redis import PASSING, login_fault
from aionorth.stores.redis_client import Connections, cancellable, connect
from aionorth.stores.redis_url import wrong_with_url

LEASE = 15.0
"""Seconds after its last sign of life from which on a worker counts as dead."""

BEATS = 3
"""How many signs of life a worker gives in that time."""

KEPT = 90 * 24 * 3600
"""Seconds for which all of a run is kept after its last sign of life."""

RENEWED = 3600
"""Seconds after which the next sign of life makes that time begin anew: so much shorter it may be."""

RETRY = 0.5
"""Seconds after which a server that cannot be reached is tried again."""

LINES_AT_ONCE = 200

OTHERS, OF_ANOTHER_LENGTH, DONE = range(3)
"""What comes of adding lines to a journal: it is another worker's, it has another length, or they are added."""

_NOW = "local time = redis.call('TIME'); local now = time[1] + time[2] / 1e6\n"
_OWNER = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
local holder, till = string.match(held or '', '^(%S+) (%d+%.%d+)$')  -- as OWNER in aionorth.fleet.stored
if not holder then holder, till = '', 0 end  -- nobody, as where it cannot be read
"""
# The number of journals decides how long it takes: that is too long for each sign of life.
_RENEW = """
local function renew(run, seconds)
  for _, key in ipairs({'', ':parts', ':owners', ':states'}) do redis.call('EXPIRE', run .. key, seconds) end
  for number = 0, redis.call('HLEN', run .. ':parts') - 1 do
    redis.call('EXPIRE', run .. ':journal:' .. number, seconds)
  end
end
"""
# KEYS: all runs.
_NAMES = f"""
local kept = {{}}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if redis.call('EXISTS', '{{{PREFIX}:' .. name .. '}}') == 1 then
    kept[#kept + 1] = name
  else
    redis.call('ZREM', KEYS[1], name)
  end
end
return kept
"""
# KEYS: owners. ARGV: the part, who, seconds.
_TAKE = f"""{_NOW}{_OWNER}
if holder ~= ARGV[2] and tonumber(till) > now then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. string.format('%.6f', now + ARGV[3]))
return 1
"""
# KEYS: owners, states, the run. ARGV: the part, who, seconds, the state, seconds to keep.
_BEAT = f"""{_NOW}{_OWNER}{_RENEW}
if holder ~= ARGV[2] then return -1 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. string.format('%.6f', now + ARGV[3]))
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
if redis.call('TTL', KEYS[1]) < ARGV[5] - {RENEWED} then renew(KEYS[3], ARGV[5]) end
return redis.call('HEXISTS', KEYS[3], 'cancelled')
"""
# KEYS: owners, the journal. ARGV: the part, who, seconds, how many lines there must be, the lines.
_APPEND = f"""{_NOW}{_OWNER}
local length = redis.call('LLEN', KEYS[2])
if holder ~= ARGV[2] then return {{{OTHERS}, length}} end
if length ~= tonumber(ARGV[4]) then return {{{OF_ANOTHER_LENGTH}, length}} end
for at = 5, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[at]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. string.format('%.6f', now + ARGV[3]))
return {{{DONE}, length}}
"""


def check_url(url: object) -> str:
    """Return the URL of one Redis server; raise `ArgumentError`, which shows nothing of it, for another one."""
    wrong = wrong_with_url(url, several=False)
    if not isinstance(url, str) or not url.lower().startswith(("redis://", "rediss://", "unix://")):
        wrong = "it must be that of one server: begin it with redis://, rediss:// (TLS) or unix://"
    if wrong:
        del url
        raise ArgumentError(f"the fleet's Redis URL (AIONORTH_REDIS_URL): {wrong}")
    return cast("str", url)


def check_name(name: str) -> str:
    """Return the name of a run; raise `ArgumentError` for one that no shell and no key takes as it is."""
    if not _is_name(name):
        raise ArgumentError(
            f"{argument('name')}={name!r}: give at most 100 letters, digits, hyphens, underscores and dots, a letter "
            "or a digit first"
        )
    return name


_is_name = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,99}").fullmatch


class FleetStore:
    """The runs of a fleet on a Redis server. State: the client and its connections."""

    def __init__(self, url: str, *, lease: float = LEASE) -> None:
        self.lease = lease
        client = connect(check_url(url))
        del url
        if client is None:
            raise ArgumentError(
                "the fleet's Redis URL (AIONORTH_REDIS_URL) has an option that cannot be used so: check its value"
            )
        self.client: Any = client  # partly untyped
        self._connections = Connections(client)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._connections.close()

    @asynccontextmanager
    async def _reached(self) -> AsyncGenerator[None]:
        """Raise what `reached` does, and have the next calls connect anew: all others may have been cut off, too."""
        generation = self._connections.generation
        with cancellable():
            try:
                async with reached():
                    yield
            except StoreUnavailableError:
                await self._connections.renew(generation)
                raise

    # --- Runs

    async def add(self, parts: Sequence[Part], name: str | None) -> str:
        """Keep a new run and return its name; raise `ArgumentError` where there is one of that name."""
        given, name = name is not None, check_name(_new_name() if name is None else name)
        async with self._reached():
            while not await self.client.hsetnx(root_of(name), "made_at", str(time.time())):
                if given:
                    raise ArgumentError(f"there is a run {name} already: give it another name")
                name = _new_name()
            root = root_of(name)
            await self.client.expire(root, KEPT)
            for number, part in enumerate(parts):
                journal = [part.first_line(part.target), *(line.decode() for line in lines.of_ids(part.ids))]
                pipe = self.client.pipeline(transaction=True)
                for at in range(0, len(journal), LINES_AT_ONCE):
                    pipe.rpush(f"{root}:journal:{number}", *journal[at : at + LINES_AT_ONCE])
                pipe.expire(f"{root}:journal:{number}", KEPT)
                pipe.hset(f"{root}:parts", str(number), part.to_json())
                await pipe.execute()
            await self.client.expire(f"{root}:parts", KEPT)
            await self.client.hset(root, "whole", "1")
            await self.client.zadd(f"{PREFIX}:runs", {name: time.time()})
        return name

    async def names(self) -> list[str]:
        """Return the names of all runs, the oldest first."""
        async with self._reached():
            return [str(one) for one in await self._eval(_NAMES, [f"{PREFIX}:runs"])]

    async def status(self, run: str) -> RunStatus:
        """Return how far a run is.

        Raises:
            NoRunError: There is none of that name.
            DamagedError: It cannot be read.
        """
        missing = NoRunError(f"there is no run {run!r}")
        if not _is_name(run):
            raise missing
        root = root_of(run)
        with reading(run, "one of its keys"):
            async with self._reached():
                pipe = self.client.pipeline(transaction=True)
                for key in ("", ":parts", ":owners", ":states"):
                    pipe.hgetall(root + key)
                pipe.time()
                about, parts, owners, states, now = await _replies(pipe)
        if not about:
            raise missing
        at = now[0] + now[1] / 1e6
        return run_status(run, about, parts=parts, owners=owners, states=states, now=at)

    async def part(self, run: str, number: int) -> PartStatus | None:
        """Return how far a part of a run has come; None where it is not kept any more. Raises `DamagedError`."""
        with reading(run, "one of its keys"):
            async with self._reached():
                pipe = self.client.pipeline(transaction=True)
                pipe.hget(f"{root_of(run)}:parts", str(number))
                pipe.hget(f"{root_of(run)}:states", str(number))
                part, state = await _replies(pipe)
        return None if part is None else part_status(run, number, part, state)

    async def set_waiting(self, run: str, status: PartStatus) -> None:
        """Note that a part waits for a worker."""
        text = state_text(attrs.evolve(status, state=PartState.WAITING, cause="", declined={}, declined_since=0.0))
        async with self._reached():
            await self.client.hset(f"{root_of(run)}:states", str(status.number), text)

    async def set_sent(self, run: str, *, sent: bool = True) -> None:
        """Note whether workers have been told of all parts of a run."""
        async with self._reached():
            if sent:
                await self.client.hset(root_of(run), "sent", "1")
            else:
                await self.client.hdel(root_of(run), "sent")

    async def renew(self, run: str) -> None:
        """Keep all of a run for as long as after a sign of life."""
        async with self._reached():
            await self._eval(f"{_RENEW} renew(KEYS[1], ARGV[1])", [root_of(run)], KEPT)

    async def set_cancelled(self, run: str, *, cancelled: bool) -> None:
        """Have workers end their work on a run, or not any more."""
        async with self._reached():
            if cancelled:
                await self.client.hset(root_of(run), "cancelled", "1")
            else:
                await self.client.hdel(root_of(run), "cancelled")

    # --- One part

    async def take(self, run: str, number: int, who: str) -> bool:
        """Take a part for a worker; return whether that was possible."""
        async with self._reached():
            return bool(await self._eval(_TAKE, [f"{root_of(run)}:owners"], number, who, self.lease))

    async def beat(self, run: str, status: PartStatus, who: str, *, last: bool = False) -> bool | None:
        """Give a sign of life, the `last` one that others need not wait after, and say how far the part is.

        Returns:
            Whether the run is cancelled; None where the part is not this worker's any more.
        """
        root = root_of(run)
        keys = [f"{root}:owners", f"{root}:states", root]
        async with self._reached():
            said = await self._eval(
                _BEAT, keys, status.number, who, 0 if last else self.lease, state_text(status), KEPT
            )
        return None if said < 0 else bool(said)

    async def journal(self, run: str, number: int) -> AsyncIterator[list[str]]:
        """Yield the lines of a part's journal, some at a time."""
        key, at = f"{root_of(run)}:journal:{number}", 0
        while True:
            async with self._reached():
                some = await self.client.lrange(key, at, at + LINES_AT_ONCE - 1)
            if not some:
                return
            at += len(some)
            yield some

    async def set_first_line(self, run: str, number: int, line: str) -> None:
        """Replace the first line of a journal: the app is known now."""
        async with self._reached():
            await self.client.lset(f"{root_of(run)}:journal:{number}", 0, line)

    async def append(self, run: str, number: int, who: str, length: int, more: Sequence[str]) -> tuple[int, int]:
        """Add lines to a journal that is this worker's and has `length` lines.

        Returns:
            `OTHERS`, `OF_ANOTHER_LENGTH` or `DONE`; and the length before.
        """
        root = root_of(run)
        keys = [f"{root}:owners", f"{root}:journal:{number}"]
        async with self._reached():
            said, had = await self._eval(_APPEND, keys, number, who, self.lease, length, *more)
        return int(said), int(had)

    async def _eval(self, script: str, keys: Sequence[str], *arguments: object) -> Any:  # noqa: ANN401 - a script's own
        # By its text: a server that has taken another's place knows no script by its hash.
        return await self.client.eval(script, len(keys), *keys, *arguments)

    # --- The server

    async def misgivings(self) -> list[str]:
        """Return what about the server may lose what is kept there, in words."""
        async with self._reached():
            info = await self.client.info()
        said = list[str]()
        if not info.get("aof_enabled"):
            said.append("it has no append-only file: set appendonly yes")
        if str(info.get("maxmemory_policy", "noeviction")) != "noeviction":
            said.append("it removes keys when memory is short: set maxmemory-policy noeviction")
        return said


@asynccontextmanager
async def reached() -> AsyncGenerator[None]:
    """Raise `StoreUnavailableError` where the server cannot be reached, `StoreError` where it refuses.

    That is `DamagedError` where a key has a value of another type than a fleet gives it.
    """
    from redis.exceptions import (  # noqa: PLC0415 - optional, and slow to import
        AuthenticationError,
        AuthorizationError,
        OutOfMemoryError,
        ReadOnlyError,
        RedisError,
        ResponseError,
    )

    try:
        with cancellable():
            yield
    except asyncio.CancelledError as exc:
        raise detached(exc)  # noqa: B904 - redis-py's frames hold the password
    except (AuthenticationError, AuthorizationError) as exc:
        raise StoreError(f"the fleet's Redis server refuses: {login_fault(str(exc))}") from detached(exc)
    except ResponseError as exc:
        if isinstance(exc, (OutOfMemoryError, ReadOnlyError)) or PASSING.search(str(exc)):
            raise StoreUnavailableError(f"the fleet's Redis server cannot be used now: {exc}") from detached(exc)
        if "WRONGTYPE" in str(exc):
            raise DamagedError(f"what the fleet's Redis server keeps is damaged: {exc}") from detached(exc)
        raise StoreError(f"the fleet's Redis server refuses: {exc}") from detached(exc)
    except (RedisError, OSError) as exc:
        raise StoreUnavailableError(f"the fleet's Redis server cannot be reached: {exc}") from detached(exc)


async def _replies(pipe: Any) -> list[Any]:  # noqa: ANN401 - partly untyped
    """Return the replies to the commands of a pipeline; raise the first that is an error.

    Where redis-py raises it, the error says which command it is of and, in older versions, no more.
    """
    replies: list[Any] = await pipe.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _new_name() -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
