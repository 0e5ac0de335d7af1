"""A store for processes on several hosts: a Redis server, reached with redis-py.

The rules of the window are scripts that the server runs, each in one step and by the server's clock (`exchange.lua`).
What refusals teach is worked out here, by the same code as everywhere, and put in place if nobody else was faster.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from aionorth.errors import ArgumentError, SessionStateError, StoreError
from aionorth.learning import Facts, Lesson
from aionorth.ledger import Terms, View
from aionorth.shared import LONGEST_LEASE, Answer, Ask, End, Shelved, Word, forgotten_after, grace, taught, token_name

if TYPE_CHECKING:
    from cryptography.fernet import Fernet
    from redis.asyncio import Redis

T = TypeVar("T")

TIMEOUT = 5.0
"""Seconds that the server gets for an answer."""

TOKEN_KEPT = 24 * 3600.0
"""Seconds. How long a token is valid stands in it; this is when it is cleared away."""

CLOCK_SLACK = 0.25
"""Seconds by which the server's clock may disagree with our own measure of the time; beyond that it was set, unless the
question was on its way for so long."""

# KEYS of each: the token, its lease.
READ_SHELF = """
local kept, now = redis.call('HMGET', KEYS[1], 'text', 'obtained_at'), redis.call('TIME')
return {kept[1], tostring(now[1] + now[2] / 1e6 - (kept[2] or 0))}
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


def _usable_url(_: object, __: object, url: str) -> None:
    if not isinstance(url, str) or not url.lower().startswith(("redis://", "rediss://", "unix://")):
        raise ArgumentError("RedisStore.url: give a URL, as str, that begins with redis://, rediss:// (TLS) or unix://")


def _usable_prefix(_: object, __: object, prefix: str) -> None:
    if not isinstance(prefix, str) or not prefix or {"{", "}"} & set(prefix):
        raise ArgumentError(f"RedisStore.prefix={prefix!r}: give a str, not empty and without braces")


@attrs.frozen
class RedisStore:
    """Shares an app's flow control and token between hosts, through a Redis server (from 6.2 on).

    All that an app's processes need is kept under ``{PREFIX:APP}`` for an hour after its last call. The token is sealed
    with a key that only whoever knows the app's secret can derive.
    """

    url: str = attrs.field(repr=False, validator=_usable_url)
    """As in ``rediss://user:password@host:6379/0``; the password goes nowhere else."""
    prefix: str = attrs.field(default="aionorth", validator=_usable_prefix)

    def __attrs_post_init__(self) -> None:
        if missing := [name for name in ("redis", "cryptography") if find_spec(name) is None]:
            raise ArgumentError(f"RedisStore needs {' and '.join(missing)}: install aionorth[redis]")

    async def open(self, app: str) -> OpenRedisStore:
        """Connect; raises `StoreError`."""
        from redis.asyncio import Redis  # noqa: PLC0415 - optional, and slow to import
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - as above
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above

        try:
            client = cast("Any", Redis).from_url(  # partly untyped
                self.url,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=Retry(NoBackoff(), 0),  # tried again by whoever knows what for
                decode_responses=True,
            )
        except ValueError:
            # Without its cause, which might show the password.
            raise ArgumentError("RedisStore.url cannot be read: check its port and its options") from None
        store = OpenRedisStore(client, f"{{{self.prefix}:{app}}}", _machine_clock)
        try:
            await store.begin()
        except TypeError:  # from redis-py, which hands the URL's options on to a connection of its own
            await store.close()
            raise ArgumentError("RedisStore.url has an option that there is not") from None
        except BaseException:
            await store.close()
            raise
        return store


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
        self._there: float = 0.0  # what it showed when we last asked
        self._asked = self._told = 0.0  # what ours showed before and after

    async def begin(self) -> None:
        """See whether the server is there; raises `StoreError`."""
        # What is to be kept there must be allowed: a replica that cannot be written to is of no use.
        await self._reached(self._client.set(f"{self._root}:probe", "", px=1))
        await self.read_token(b"")

    async def _reached(self, answer: Awaitable[T]) -> T:
        from redis.exceptions import AuthenticationError, RedisError  # noqa: PLC0415 - optional, and slow to import

        try:
            return await answer
        except (RedisError, OSError, TimeoutError) as exc:
            where = "the store of flow control on the Redis server"
            if self._closed:
                raise SessionStateError("the session is closed") from exc
            remedy = "; check user and password in the URL" if isinstance(exc, AuthenticationError) else ""
            raise StoreError(f"{where} cannot be used: {type(exc).__name__}: {exc}{remedy}") from exc
        finally:
            if self._closed:  # redis-py has connected again, for a question from before or after
                await self._client.aclose()

    # --- Flow control

    async def exchange(self, terms: Terms, ends: Sequence[End], ask: Ask | None, now: float) -> Answer:
        """See `Store.exchange`."""
        if ask is not None and any(end.word is Word.REFUSED for end in ends):
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
        question = {
            "slack": CLOCK_SLACK,
            "ask": ask is not None,
            "asker": "" if ask is None else ask.asker,
            "key": uuid.uuid4().hex if ask is None else ask.key,
            "limit": terms.limit,
            "gap": terms.gap,
            "hold": terms.hold,
            "timeout": terms.timeout,
            "grace": grace(terms.period),
            "nothing": Lesson().to_json(),
        }
        keep = forgotten_after(terms)
        began, put_right = self._clock(), False
        while True:
            asked = self._clock()
            latest = self._there + asked - self._asked
            question |= {
                "keep": int(keep * 1000),
                "birth": self._birth if asked - self._told < keep else "",  # after that it has rightly been forgotten
                "clock": self._corrections,
                "steps": self._steps,
                "earliest": self._there + asked - self._told,
                "latest": latest,
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
            answer = self._exchange_script(self._keys, [json.dumps(question)])
            said = json.loads(await self._reached(cast("Awaitable[str]", answer)))
            told = self._clock()
            if "off" not in said:
                self._birth, self._corrections = str(said["birth"]), int(said["clock"])
                self._steps = int(said["steps"])
                self._there, self._asked, self._told = float(said["now"]), asked, told
                return _Told(said, Lesson.from_json(said["lesson"]) if said["lesson"] else Lesson())
            put_right = not latest <= said["now"] <= latest + told - asked

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
        )


def _machine_clock() -> float:
    """Seconds since the machine was started; where that can be had, with the time that it has slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


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
    except InvalidToken:  # not ours: as good as none
        return None
