"""A store for processes on several hosts: a Redis server, a Cluster, or what Sentinels watch, reached with redis-py.

The document lies in a hash, together with what its clock goes by (`aionorth.stores.redis_clock`). Two small scripts
read it with the server's time, and replace it where nobody else was faster.
"""

from __future__ import annotations

import asyncio
import base64
import re
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from aionorth.common.arguments import argument
from aionorth.common.text import shown
from aionorth.errors import ArgumentError, SessionStateError, StoreError, StoreUnavailableError, detached
from aionorth.stores.base import LONGEST_LEASE, Snapshot, StoredToken, token_name
from aionorth.stores.redis_client import Connections, cancellable, join, leave
from aionorth.stores.redis_clock import AppClock, Entry, Look, Moment
from aionorth.stores.redis_url import wrong_with_url

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

T = TypeVar("T")

TOKEN_KEPT = 24 * 3600.0
"""Seconds. How long a token is valid stands in it; this is when it is cleared away."""

STATE_KEPT = 30 * 24 * 3600.0
"""Seconds after its last call for which an app's document is kept. Where there is none it may have been lost."""

PASSING = re.compile(
    r"(?:^|-)(?:BUSY|LOADING|READONLY|OOM|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|MISCONF|NOREPLICAS|UNKILLABLE)\b"
    "|max number of clients"
)
"""A server's errors that may be over after a while, though nobody has seen to the store. Those of a script's commands
come with more before the code."""

UNUSABLE = "the store of flow control on the Redis server cannot be used"

# A server that becomes a replica and then the primary again may have lost something without having been started anew.
# It shows which history it goes on from; zeros where it has always been a primary.
RUN = """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
local before = string.match(redis.call('INFO', 'replication'), 'master_replid2:(%w+)') or ''
if string.find(before, '[^0]') then run = run .. '-' .. before end
"""
# KEYS: the entry.
LOOK_ONLY = "return {redis.call('HGETALL', KEYS[1]), redis.call('TIME'), run}"
LOOK = RUN + LOOK_ONLY
# ARGV: the version to be replaced, the run of the server that showed it, seconds to keep the new entry, its fields and
# values. Where somebody else was faster, or this is another server by now, it is a look, too.
REPLACE = f"""{RUN}
if (redis.call('HGET', KEYS[1], 'version') or '') == ARGV[1] and run == ARGV[2] then
  redis.call('HSET', KEYS[1], unpack(ARGV, 4))
  redis.call('EXPIRE', KEYS[1], ARGV[3])
  return false
end
{LOOK_ONLY}"""
# KEYS of each: the token, its lease.
READ_STORED = """
local kept, now = redis.call('HMGET', KEYS[1], 'text', 'obtained_at'), redis.call('TIME')
local obtained_at = tonumber(kept[2])
return {obtained_at and kept[1] or false, tostring(now[1] + now[2] / 1e6 - (obtained_at or 0))}
"""
LEASE = """
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""
END_LEASE = f"""
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return end
redis.call('DEL', KEYS[2])
if ARGV[2] == '' then return end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'text', ARGV[2], 'obtained_at', string.format('%.3f', now[1] + now[2] / 1e6 - ARGV[3]))
redis.call('PEXPIRE', KEYS[1], {int(TOKEN_KEPT * 1000)})
"""


@attrs.frozen(init=False)
class RedisStore:
    """Shares an app's flow control and token between hosts, through a Redis server (from 6.2 on).

    All that an app's processes need is kept under ``{PREFIX:APP}`` for 30 days after its last call. The token is sealed
    with a key that only those can derive who know the app's secret.

    Where the server has nothing of an app, was started anew, or is another one since a failover, calls may have been
    sent just before of which it knows nothing: then no call is sent for a period and an eighth more than a time-out,
    with a warning that says so.
    """

    url: str = attrs.field(repr=False)
    """As in ``rediss://user:password@host:6379/0``; the password goes nowhere else.

    For a Redis Cluster as in ``redis+cluster://user:password@host:6379,host:6379``, for a primary that Sentinels name
    as in ``redis+sentinel://user:password@host:26379,host:26379/service/0``; with TLS they begin with ``rediss+``.
    """
    prefix: str

    def __init__(self, url: str, prefix: str = "aionorth") -> None:
        """Raises `ArgumentError`, which shows nothing of the URL."""
        object.__setattr__(self, "prefix", prefix)  # first: a traceback may show what there is so far
        if wrong := wrong_with_url(url):
            del url  # a traceback must not show it
            raise ArgumentError(f"{argument('RedisStore.url')}: {wrong}")
        if not isinstance(prefix, str) or not prefix or {"{", "}"} & set(prefix):
            del url
            raise ArgumentError(f"RedisStore.prefix={prefix!r}: give a str, not empty and without braces")
        if missing := [name for name in ("redis", "cryptography") if find_spec(name) is None]:
            del url
            raise ArgumentError(f"RedisStore needs {' and '.join(missing)}: install aionorth[redis]")
        object.__setattr__(self, "url", url)

    async def open(self, app: str) -> OpenRedisStore:
        """Connect; raises `StoreError`."""
        connections = join(self.url)
        if connections is None:
            raise ArgumentError(
                f"{argument('RedisStore.url')}: an option cannot be used so: check its value; ssl_ goes with rediss://"
            )
        store = OpenRedisStore(connections, f"{{{self.prefix}:{app}}}", _machine_clock)
        try:
            try:
                await store.begin()
            except StoreUnavailableError:
                if connections.users == 1:
                    raise
                await store.begin()  # the others may still have been connected to a server that is the primary no more
        except BaseException:
            await store.close()
            raise
        return store


@attrs.frozen(kw_only=True, eq=False)
class _Snapshot(Snapshot):
    moment: Moment


class OpenRedisStore:
    """An app's keys on a server.

    Its state: whether it is closed, the app's clock, and the look that a vain `replace` has brought.
    """

    steady = False

    def __init__(self, connections: Connections, root: str, clock: Callable[[], float]) -> None:
        self._connections = connections
        self._client = connections.client
        self._root = root
        self._process_clock = clock
        self._closed = False
        self._app_clock = AppClock()
        self._look: Look | None = None

    async def begin(self) -> None:
        """See whether the server is there; raises `StoreError`."""
        if hasattr(self._client, "connection_pool"):  # not that of a Cluster, which would not do with another server
            info = await self._reached(self._client.info("server"))
            mode = info.get("redis_mode", info.get("server_mode"))
            if mode in {"cluster", "sentinel"}:
                what = "part of a Redis Cluster" if mode == "cluster" else "a Sentinel"
                remedy = f"begin its URL with redis+{mode}:// or, with TLS, rediss+{mode}://"
                raise StoreError(f"{UNUSABLE}: it is {what}; {remedy}")
        # What is to be done there must be allowed: a replica that cannot be written to is of no use.
        await self._reached(self._client.set(f"{self._root}:probe", "", px=1))
        await self._run(LOOK, [f"{self._root}:state"])
        await self.read_token(b"")

    async def _run(self, script: str, keys: list[str], *arguments: str | float) -> Any:  # noqa: ANN401 - a script's own
        # By its text: a server that has taken another's place knows no script by its hash.
        return await self._reached(self._client.eval(script, len(keys), *keys, *arguments))

    async def _reached(self, answer: Awaitable[T]) -> T:
        from redis.exceptions import RedisClusterException, RedisError  # noqa: PLC0415 - optional, and slow to import

        generation = self._connections.generation
        with cancellable():
            try:
                return await answer
            except asyncio.CancelledError as exc:
                raise detached(exc)  # noqa: B904 - redis-py's frames hold the password
            except (RedisError, RedisClusterException, OSError) as exc:
                if self._closed:
                    raise SessionStateError("the session is closed") from detached(exc)
                error = _store_error(self._root, exc)
                if error.retryable:  # the next attempt connects anew: by then another server may be the primary
                    await self._connections.renew(generation)
                raise error from detached(exc)

    # --- The document

    async def read(self, *, clock_error: float) -> Snapshot:
        """See `Store.read`."""
        delays, look = 0, self._look
        self._look = None
        while True:
            look = look or await self._looked(LOOK)
            assert look is not None
            if (moment := self._app_clock.read(look, clock_error, delays)) is not None:
                entry = look.entry
                return _Snapshot(
                    document=entry.document, version=entry.version, now=moment.now, lost=moment.lost, moment=moment
                )
            delays, look = delays + 1, None

    async def replace(self, snapshot: Snapshot, document: str, *, keep: float) -> bool:
        """See `Store.replace`."""
        moment = cast("_Snapshot", snapshot).moment
        entry = attrs.evolve(moment.entry, version=uuid.uuid4().hex, document=document, writes=moment.entry.writes + 1)
        kept = int(max(STATE_KEPT, keep))
        self._look = await self._looked(REPLACE, snapshot.version, entry.run, kept, *entry.fields())
        if self._look is None:
            self._app_clock.wrote(moment, entry)
        return self._look is None

    async def _looked(self, script: str, *arguments: str | float) -> Look | None:
        """Return what a script shows of the entry; None where it shows nothing, because it has replaced it."""
        asked = self._process_clock()
        reply = await self._run(script, [f"{self._root}:state"], *arguments)
        answered = self._process_clock()
        if reply is None:
            return None
        fields, (seconds, micros), run = reply
        try:
            entry = Entry.from_fields(fields)
        except ValueError as exc:
            raise self.damaged_because(str(exc)) from exc
        wall = int(seconds) + int(micros) / 1e6
        return Look(entry=entry, run=run, wall=wall, asked=asked, answered=answered)

    # --- The token

    async def read_token(self, key: bytes) -> StoredToken | None:
        """See `Store.read_token`."""
        sealed, age = await self._run(READ_STORED, self._token_keys(key))
        return None if sealed is None else _unsealed(key, sealed, max(0.0, float(age)))

    async def lease_token(self, key: bytes, holder: str, seconds: float) -> bool:
        """See `Store.lease_token`."""
        milliseconds = int(min(seconds, LONGEST_LEASE) * 1000)
        return bool(await self._run(LEASE, self._token_keys(key), holder, milliseconds))

    async def end_lease(self, key: bytes, holder: str, token: StoredToken | None) -> None:
        """See `Store.end_lease`."""
        sealed = "" if token is None else _fernet(key).encrypt(token.text.encode()).decode()
        await self._run(END_LEASE, self._token_keys(key), holder, sealed, 0 if token is None else token.age)

    def _token_keys(self, key: bytes) -> list[str]:
        name = token_name(key)
        return [f"{self._root}:token:{name}", f"{self._root}:lease:{name}"]

    def damaged_because(self, reason: str) -> StoreError:
        """See `Store.damaged_because`."""
        return _damaged(self._root, reason)

    async def close(self) -> None:
        """See `Store.close`."""
        if not self._closed:
            self._closed = True
            await leave(self._connections)


def _machine_clock() -> float:
    """Seconds since the machine was started; where that can be had, with the time that it has slept."""
    if sys.platform == "linux":
        seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
    else:
        seconds = time.monotonic()
    return seconds


def _store_error(root: str, error: Exception) -> StoreError:
    """Return what to tell of an error of redis-py, and what to do about it."""
    from redis import exceptions  # noqa: PLC0415 - optional, and slow to import

    cause = error.__cause__ or error.__context__
    if isinstance(error, exceptions.RedisClusterException) and isinstance(
        cause, (exceptions.RedisError, exceptions.RedisClusterException)
    ):
        return _store_error(root, cause)  # whatever a node has said, redis-py calls it no Cluster
    text = str(error)
    said, remedy = f"{type(error).__name__}: {shown(text).removesuffix('.')}", ""
    kind: type[StoreError] = StoreError
    passing = (
        exceptions.ConnectionError,
        exceptions.TimeoutError,
        exceptions.OutOfMemoryError,
        exceptions.ReadOnlyError,
        exceptions.AskError,
        exceptions.ClusterError,
        exceptions.RedisClusterException,
        exceptions.TryAgainError,
        OSError,
    )
    if isinstance(error, (exceptions.AuthenticationError, exceptions.AuthorizationError)):
        said = login_fault(said)
    elif type(error).__name__ == "MasterNotFoundError":  # before redis-py 7.4 it has the Sentinels' password
        said, kind = "no Sentinel that can be reached names a primary of that service", StoreUnavailableError
        error.args = (said,)
        remedy = (
            "; check the service's name, addresses and TLS in the URL, and sentinel_password if the Sentinels want one"
        )
    elif "cluster support disabled" in text:
        said, remedy = "it is no Redis Cluster", "; begin its URL with redis:// or, with TLS, rediss://"
    elif isinstance(error, passing) or PASSING.search(text):
        kind = StoreUnavailableError
    elif isinstance(error, exceptions.NoPermissionError) or "The user executing the script can't" in text:
        remedy = f"; the user needs INFO and TIME, scripts, and all keys that begin with {root}"
        remedy += ", in a Cluster also CLUSTER SLOTS and COMMAND"
    elif "WRONGTYPE" in text or "script" in text:
        return _damaged(root, said)
    return kind(f"{UNUSABLE}: {said}{remedy}")


def login_fault(said: str) -> str:
    """Return what to tell of a refused login to a server that `said` so."""
    if "HELLO must be called" in said or "NOAUTH" in said or "Authentication required" in said:
        return "it wants a password, and the URL has none: write it as in redis://user:password@host:6379/0"
    return f"{said}; check user and password in the URL"


def _damaged(root: str, reason: str) -> StoreError:
    remedy = f"remove all keys that begin with {root}; then none is sent until no earlier call counts any more"
    return StoreError(f"the store of flow control on the Redis server is damaged: {reason}; {remedy}")


def _fernet(key: bytes) -> Fernet:
    from cryptography.fernet import Fernet  # noqa: PLC0415 - optional, and slow to import

    return Fernet(base64.urlsafe_b64encode(key))


def _unsealed(key: bytes, sealed: str, age: float) -> StoredToken | None:
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - optional, and slow to import

    try:
        return StoredToken(_fernet(key).decrypt(sealed.encode()).decode(), age)
    except (InvalidToken, ValueError):  # not ours: as good as none
        return None
