"""A store for processes on several hosts: a Redis server, reached with redis-py.

The rules of the window are scripts that the server runs, each in one step and by the server's clock (`exchange.lua`).
What refusals teach is worked out here, by the same code as everywhere, and put in place if nobody else was faster.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import attrs

from aionorth.common.text import shown
from aionorth.errors import ArgumentError, SessionStateError, StoreError, StoreUnavailableError, detached
from aionorth.flow.learning import Facts, Lesson
from aionorth.flow.ledger import CLOCK_TOLERANCE, Ending, Terms, View
from aionorth.flow.shared import (
    LONGEST_LEASE,
    Answer,
    Ask,
    End,
    Shelved,
    forgotten_after,
    grace,
    recalled,
    taught,
    token_name,
)

if TYPE_CHECKING:
    from cryptography.fernet import Fernet
    from redis.asyncio import Redis

T = TypeVar("T")

TIMEOUT = 5.0
"""Seconds that the server gets for an answer."""

TOKEN_KEPT = 24 * 3600.0
"""Seconds. How long a token is valid stands in it; this is when it is cleared away."""

STATE_KEPT = 30 * 24 * 3600.0
"""Seconds after its last call for which an app's state is kept. Where there is none it may have been lost."""

CLOCK_SLACK = 1 / 500
"""The part of a period by which the server's clock may disagree with our own measure of the time; beyond that it was
set, unless the question was on its way for so long. What goes unnoticed may be as much to the one side and then as much
to the other, so slots are held for twice as long. That one more question is asked in vain costs less."""

LONGEST_CLOCK_SLACK = 0.25
"""Seconds."""

DELAYS = 3
"""How often in a row a question may have been on its way for longer than the slack. Then the clock is put right: it may
have been set, and is behind rather than ahead."""

SEPARATORS = "#, /, ?, @, [, ], blanks"
"""What must be percent-encoded in a user name, a password or an option. Unencoded, a part of it is taken for the host,
the port or the path, and these are shown."""

_USER = r"[^@/?#\[\]\s]*"
_OPTION = r"[a-z_]+=[^&=@?#\s]*"
URL = re.compile(
    rf"(?:rediss?://(?:{_USER}@)?(?:[^@/?#\[\]\s:]+|\[[0-9a-f:.]+\])?(?::[0-9]+)?(?:/[0-9]*)?"
    rf"|unix://(?:{_USER}@)?/[^@?#\s]+)"
    rf"(?:\?{_OPTION}(?:&{_OPTION})*)?",
    re.IGNORECASE,
)
"""What a URL must look like."""

OPTIONS = frozenset({
    "client_name", "db", "health_check_interval", "max_connections", "password", "protocol", "socket_connect_timeout",
    "socket_keepalive", "socket_timeout", "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile",
    "ssl_check_hostname", "ssl_ciphers", "ssl_keyfile", "ssl_password", "username",
})  # fmt: skip
"""What may follow its question mark; redis-py would take more, of which the store could not be used."""

PASSING = re.compile(
    r"(?:^|-)(?:BUSY|LOADING|READONLY|OOM|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MISCONF|NOREPLICAS|UNKILLABLE)\b"
    "|max number of clients"
)
"""A server's errors that may be over after a while, though nobody has seen to the store. Those of a script's commands
come with more before the code."""

# KEYS of each: the token, its lease.
READ_SHELF = """
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


def _wrong_with_url(url: object) -> str:
    """Return why a URL cannot be used, and shows nothing of it; nothing, where it can be."""
    if not isinstance(url, str) or not url.lower().startswith(("redis://", "rediss://", "unix://")):
        return "give a URL, as str, that begins with redis://, rediss:// (TLS) or unix://"
    query: str | None = None
    with suppress(ValueError):  # it shows a part of what it cannot read
        parts = urlsplit(url)
        if url.isprintable() and URL.fullmatch(url) is not None and (parts.port or 0) >= 0:
            query = parts.query
    if query is None:
        return (
            "it cannot be read: check that it is like redis://user:password@host:6379/0 or unix://user:password@/path, "
            f"and write {SEPARATORS} in user, password and options percent-encoded (# is %23, / %2F, ? %3F, @ %40)"
        )
    if not {option.partition("=")[0] for option in query.split("&") if option} <= OPTIONS:
        return f"it has an option that there is not: there are {', '.join(sorted(OPTIONS))}"
    return ""


@attrs.frozen(init=False)
class RedisStore:
    """Shares an app's flow control and token between hosts, through a Redis server (from 6.2 on).

    All that an app's processes need is kept under ``{PREFIX:APP}`` for 30 days after its last call. The token is sealed
    with a key that only whoever knows the app's secret can derive.

    Where the server has nothing of an app, or was started anew, calls may have been sent just before of which it knows
    nothing: then no call is sent for a period and a time-out, with a warning that says so.
    """

    url: str = attrs.field(repr=False)
    """As in ``rediss://user:password@host:6379/0``; the password goes nowhere else."""
    prefix: str

    def __init__(self, url: str, prefix: str = "aionorth") -> None:
        """Raises `ArgumentError`, which shows nothing of the URL."""
        object.__setattr__(self, "prefix", prefix)  # first: whoever shows this frame shows what there is so far
        if wrong := _wrong_with_url(url):
            del url  # a traceback must not show it
            raise ArgumentError(f"RedisStore.url: {wrong}")
        if not isinstance(prefix, str) or not prefix or {"{", "}"} & set(prefix):
            del url
            raise ArgumentError(f"RedisStore.prefix={prefix!r}: give a str, not empty and without braces")
        if missing := [name for name in ("redis", "cryptography") if find_spec(name) is None]:
            del url
            raise ArgumentError(f"RedisStore needs {' and '.join(missing)}: install aionorth[redis]")
        object.__setattr__(self, "url", url)

    async def open(self, app: str) -> OpenRedisStore:
        """Connect; raises `StoreError`."""
        client = self._client()
        if client is None:
            raise ArgumentError(
                "RedisStore.url: an option cannot be used so: check its value; ssl_ goes with rediss://"
            )
        store = OpenRedisStore(client, f"{{{self.prefix}:{app}}}", _machine_clock)
        try:
            await store.begin()
        except BaseException:
            await store.close()
            raise
        return store

    def _client(self) -> Redis | None:
        """Return a client; None where redis-py cannot use the URL, whose error would show it."""
        from redis.asyncio import Redis  # noqa: PLC0415 - optional, and slow to import
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - as above
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
        from redis.exceptions import RedisError  # noqa: PLC0415 - as above

        try:
            client = cast("Any", Redis).from_url(  # partly untyped
                self.url,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=Retry(NoBackoff(), 0),  # tried again by whoever knows what for
                decode_responses=True,
                encoding_errors="replace",  # what is damaged need not be text
            )
            client.connection_pool.make_connection()  # it would only be told of the options when it is needed
        except (ValueError, TypeError, RedisError):
            return None
        return cast("Redis", client)


class OpenRedisStore:
    """An app's keys on a server."""

    def __init__(self, client: Redis, root: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._root = root
        self._clock = clock
        self._keys = [f"{root}:{name}" for name in ("state", "slots", "flying", "refused", "waiting", "due")]
        self._exchange_script = client.register_script(_source("exchange.lua"))
        self._learn_script = client.register_script(_source("learn.lua"))
        self._read_script = client.register_script(READ_SHELF)
        self._lease_script = client.register_script(LEASE)
        self._end_script = client.register_script(END_LEASE)
        self._closed = False
        self._birth = ""  # which run of the app's clock the next belong to
        self._corrections: int = 0
        self._steps: int = 0  # how many the app has made on it
        self._least = self._most = 0.0  # by how much it is ahead of ours
        self._told = 0.0  # what ours showed when we were last told

    async def begin(self) -> None:
        """See whether the server is there; raises `StoreError`."""
        # What is to be done there must be allowed: a replica that cannot be written to is of no use.
        await self._reached(self._client.set(f"{self._root}:probe", "", px=1))
        await self._reached(cast("Any", self._client).info("server"))
        await self.read_token(b"")

    async def _reached(self, answer: Awaitable[T]) -> T:
        from redis.exceptions import RedisError  # noqa: PLC0415 - optional, and slow to import

        try:
            return await answer
        except asyncio.CancelledError as exc:
            raise detached(exc)  # noqa: B904 - redis-py's frames hold the password
        except (RedisError, OSError) as exc:
            if self._closed:
                raise SessionStateError("the session is closed") from detached(exc)
            raise _store_error(self._root, exc) from detached(exc)
        finally:
            if self._closed:  # redis-py has connected again, for a question from before or after
                await self._client.aclose()

    # --- Flow control

    async def exchange(self, terms: Terms, ends: Sequence[End], ask: Ask | None, now: float) -> Answer:
        """See `Store.exchange`."""
        if ask is not None and any(end.word is Ending.REFUSED for end in ends):
            await self.exchange(terms, ends, None, now)  # the pause comes before the next slot
            ends = ()
        told = await self._touch(terms, ends, ask, now)
        while (lesson := taught(told.lesson, ends, told.facts, told.now, terms)) != told.lesson:
            began = lesson.episode != told.lesson.episode
            forgotten = told.lesson.learned and not lesson.learned
            not_before = told.now + lesson.gap_now(0)
            answer = self._learn_script(
                self._keys[:1], [told.version, lesson.to_json(), int(began), int(forgotten), not_before]
            )
            replaced = await self._reached(cast("Awaitable[int]", answer))
            told = await self._touch(terms, (), ask, now)
            if replaced:
                ends = ()
        return told.answer(asked=ask is not None)

    async def _touch(self, terms: Terms, ends: Sequence[End], ask: Ask | None, now: float) -> _Told:
        slack = min(terms.period * CLOCK_SLACK, LONGEST_CLOCK_SLACK)
        question = {
            "ask": ask is not None,
            "asker": "" if ask is None else ask.asker,
            "key": uuid.uuid4().hex if ask is None else ask.key,
            "limit": terms.limit,
            "gap": terms.gap,
            "hold": terms.hold + 2 * slack,
            "timeout": terms.timeout,
            "grace": grace(terms.period),
            "nothing": Lesson().to_json(),
            "keep": forgotten_after(terms),
            "kept": int(max(STATE_KEPT, 2 * forgotten_after(terms))),
            "birth": self._birth,
            "clock": self._corrections,
            "steps": self._steps,
        }
        began, delays, put_right = self._clock(), 0, False
        while True:
            asked = self._clock()
            latest = self._most + asked
            question |= {
                "earliest": self._least + asked,
                "latest": latest,
                "slack": slack + self._drift(asked),
                "put_right": put_right,
                "ends": [
                    {
                        "key": end.grant.key,
                        "episode": end.grant.episode,
                        "word": end.word.value,
                        "ago": now + asked - began - end.counted,
                    }
                    for end in ends
                ],
            }
            answer = await self._reached(
                cast("Awaitable[str]", self._exchange_script(self._keys, [json.dumps(question)]))
            )
            told = self._clock()
            try:
                said = json.loads(answer)
                if "off" not in said:
                    self._keep_step(said, asked, told)
                    return _Told(said, recalled(said["lesson"]))
            except ValueError as exc:
                raise _damaged(self._root, str(exc)) from exc
            delays += 1
            put_right = delays >= DELAYS or not latest <= said["now"] <= latest + told - asked

    def _drift(self, now: float) -> float:
        """Seconds by which the server's clock and ours may have come apart since we were last told, as clocks do."""
        return (now - self._told) * CLOCK_TOLERANCE

    def _keep_step(self, said: dict[str, Any], asked: float, told: float) -> None:
        """Take note of which step the app has made, and of how far its clock is ahead of ours.

        The server looked at it between `asked` and `told`. What is known already is only made more precise, so that a
        clock that is set a little, again and again, does not move it.
        """
        birth, corrections, drift = str(said["birth"]), int(said["clock"]), self._drift(told)
        least, most = said["now"] - told, said["now"] - asked
        if birth == self._birth:
            before, after = self._least - drift, self._most + drift
            if corrections != self._corrections:
                before = -math.inf
            least, most = min(max(before, least), after), max(min(after, most), before)
        self._least, self._most, self._told = least, most, told
        self._birth, self._corrections, self._steps = birth, corrections, int(said["steps"])

    # --- The token

    async def read_token(self, key: bytes) -> Shelved | None:
        """See `Store.read_token`."""
        answer = self._read_script(self._token_keys(key))
        sealed, age = await self._reached(cast("Awaitable[tuple[str | None, str]]", answer))
        return None if sealed is None else _unsealed(key, sealed, max(0.0, float(age)))

    async def lease_token(self, key: bytes, holder: str, seconds: float) -> bool:
        """See `Store.lease_token`."""
        answer = self._lease_script(self._token_keys(key), [holder, int(min(seconds, LONGEST_LEASE) * 1000)])
        return bool(await self._reached(cast("Awaitable[int]", answer)))

    async def end_lease(self, key: bytes, holder: str, token: Shelved | None) -> None:
        """See `Store.end_lease`."""
        shelved: list[str | float] = ["", 0] if token is None else [_sealed(key, token.text), token.age]
        await self._reached(cast("Awaitable[Any]", self._end_script(self._token_keys(key), [holder, *shelved])))

    def _token_keys(self, key: bytes) -> list[str]:
        name = token_name(key)
        return [f"{self._root}:token:{name}", f"{self._root}:lease:{name}"]

    async def close(self) -> None:
        """See `Store.close`."""
        self._closed = True
        await self._client.aclose()


@attrs.frozen
class _Told:
    """What the server said."""

    said: dict[str, Any]
    lesson: Lesson
    """What refusals have taught."""

    @property
    def now(self) -> float:
        """What the app's clock showed."""
        return float(self.said["now"])

    @property
    def version(self) -> int:
        """Of the lesson."""
        return int(self.said["version"])

    @property
    def facts(self) -> Facts:
        """What is known of the app's calls."""
        return Facts(accepted=self.said["accepted"], most=self.said["most"], late=self.said["late"])

    def answer(self, *, asked: bool) -> Answer:
        """Return what the ledger needs of it."""
        lesson, wait = self.lesson, self.said["wait"]
        return Answer(
            view=View(
                in_use=self.said["in_use"],
                next_slot=self.said["next_slot"],
                paused_for=max(0.0, lesson.paused_until - self.now),
                limit=self.said["limit"] if lesson.learned else None,
                gap=lesson.gap_now(self.said["late"]),
            ),
            episode=lesson.episode,
            pauses=lesson.pauses,
            wait=wait if asked and wait > 0 else None,
            unknown_for=self.said["unknown_for"],
        )


def _machine_clock() -> float:
    """Seconds since the machine was started; where that can be had, with the time that it has slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _store_error(root: str, error: Exception) -> StoreError:
    """Return what to tell of an error of redis-py, and what to do about it."""
    from redis import exceptions  # noqa: PLC0415 - optional, and slow to import

    text = str(error)
    said, remedy = f"{type(error).__name__}: {shown(text).removesuffix('.')}", ""
    kind: type[StoreError] = StoreError
    passing = (
        exceptions.ConnectionError,
        exceptions.TimeoutError,
        exceptions.OutOfMemoryError,
        exceptions.ReadOnlyError,
        exceptions.ClusterDownError,
        exceptions.TryAgainError,
        OSError,
    )
    if isinstance(error, (exceptions.AuthenticationError, exceptions.AuthorizationError)):
        remedy = "; check user and password in the URL"
    elif isinstance(error, passing) or PASSING.search(text):
        kind = StoreUnavailableError
    elif isinstance(error, exceptions.NoPermissionError) or "The user executing the script can't" in text:
        remedy = f"; the user needs INFO and TIME, scripts, and all keys that begin with {root}"
    elif "WRONGTYPE" in text or "script" in text:
        return _damaged(root, said)
    return kind(f"the store of flow control on the Redis server cannot be used: {said}{remedy}")


def _damaged(root: str, reason: str) -> StoreError:
    remedy = f"remove all keys that begin with {root}; then no call is sent for a period and a time-out"
    return StoreError(f"the store of flow control on the Redis server is damaged: {reason}; {remedy}")


def _source(name: str) -> str:
    from importlib.resources import files  # noqa: PLC0415 - slow to import

    return files("aionorth.stores").joinpath(name).read_text()


def _fernet(key: bytes) -> Fernet:
    from cryptography.fernet import Fernet  # noqa: PLC0415 - optional, and slow to import

    return Fernet(base64.urlsafe_b64encode(key))


def _sealed(key: bytes, text: str) -> str:
    return _fernet(key).encrypt(text.encode()).decode()


def _unsealed(key: bytes, sealed: str, age: float) -> Shelved | None:
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - optional, and slow to import

    try:
        return Shelved(_fernet(key).decrypt(sealed.encode()).decode(), age)
    except (InvalidToken, ValueError):  # not ours: as good as none
        return None
