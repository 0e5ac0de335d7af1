"""A ledger that processes and hosts share, and what the place where it is kept must be able to do.

All that is decided is decided at that place, in one step, by its clock. What a process of its own has to add stands
here: it hands over what became of its calls as soon as it can, asks for slots, and while the place cannot be reached it
holds its calls and tries again: it never goes on unlimited.

A slot is taken before its call is sent and handed back with the time that has passed since its reply. A process that
dies in between needs nobody to clean up after it: its slots come free when its calls cannot count any more, a period
after they would have timed out.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

import attrs

from aionorth.common.waits import growing_waits
from aionorth.errors import StoreError
from aionorth.flow.learning import Facts, Lesson
from aionorth.flow.ledger import Ending, Permit, Terms, View

T = TypeVar("T")

FIRST_WAIT = 0.05
LONGEST_WAIT = 2.0
"""Seconds. While the store cannot be reached it is tried again after waits that grow from the one to the other."""

LAST_CHANCE = 2.0
"""Seconds that a ledger which is closed gets for handing over what became of its calls. What is not handed over by
then comes free as the slots of a dead process do."""

GRACE = 1 / 60
"""The part of a period for which the turn of a process that waits is kept after it should have come back for it."""

LONGEST_GRACE = 1.0
"""Seconds."""

FORGOTTEN_AFTER = 3600.0
"""Seconds for which a store keeps what an app's callers know when none of them calls, or longer where a slot is held
longer. What refusals taught an hour ago is out of date."""

LONGEST_LEASE = 60.0
"""Seconds for which the right to log in may be had without saying that one still wants it."""

LARGEST = 2**53
"""The largest number that a store's text may hold: from there on a float does not tell one from the next."""

_log = logging.getLogger("aionorth")


@attrs.frozen(kw_only=True, eq=False)
class End:
    """What became of a slot."""

    grant: Permit
    word: Ending
    counted: float
    """When the platform had counted the call at the latest, on the clock of the process."""
    pause: float = 0.0
    """How long the pause is to be if this refusal begins one, in seconds."""
    retry_after: float = 0.0
    """Seconds that the platform asked to wait."""


@attrs.frozen(kw_only=True, eq=False)
class Ask:
    """A process asks for a slot. Asked again with the same key, a store that gave it one gives it anew.

    It has not been used then; where a pause has begun meanwhile it is taken back.
    """

    asker: str
    key: str


@attrs.frozen(kw_only=True, eq=False)
class Answer:
    """What a store says."""

    view: View
    episode: int
    """How many pauses have begun."""
    pauses: int
    """How many of them belong to the episode that is open; 0 where none is."""
    wait: float | None = None
    """None if the slot asked for was given; else how many seconds to wait before asking again."""
    unknown_for: float = 0.0
    """Seconds for which no slot is given because any of them may have been taken before what the store knows of."""


@attrs.frozen(eq=False)
class Shelved:
    """A token on the shelf."""

    text: str = attrs.field(repr=False)
    age: float
    """Seconds since it was obtained."""


class Store(Protocol):
    """One app's place. All methods raise `StoreError`, and `SessionStateError` once it is closed.

    What waiting may mend is a `StoreUnavailableError`: the place is out of reach, busy or full. That it is damaged, or
    that nobody may use it so, is another `StoreError`.
    """

    async def exchange(self, terms: Terms, ends: Sequence[End], ask: Ask | None, now: float) -> Answer:
        """Take note of what became of slots, then give one if one is asked for and free.

        Nothing comes in between, neither of another process nor of one that dies. `now` is what the clock of the
        process shows; only what has passed since `End.counted` is of use, to a store that has a clock of its own. Of
        those that wait, the one that has waited longest has the next slot: each is told to come back when the slot
        comes free that will be its own.
        """
        ...

    async def read_token(self, key: bytes) -> Shelved | None:
        """Return the token that whoever knows `key` has shelved; None if there is none."""
        ...

    async def lease_token(self, key: bytes, holder: str, seconds: float) -> bool:
        """Give `holder`, and nobody else, the right to obtain a token for so many seconds, or for so many more.

        `seconds` are at most `LONGEST_LEASE`. Returns False where somebody else has it.
        """
        ...

    async def end_lease(self, key: bytes, holder: str, token: Shelved | None) -> None:
        """Give the right back, and shelve the token that was obtained; nothing, where the lease is lost."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


class Stores(Protocol):
    """Where there is a store for each app."""

    async def open(self, app: str) -> Store:
        """Return the app's; raises `StoreError` where it cannot be used. `app` is fit for the name of a file."""
        ...


def token_name(key: bytes) -> str:
    """Return under which name a store keeps the token of whoever knows `key`."""
    return hashlib.sha256(key).hexdigest()[:32]


def taught(lesson: Lesson, ends: Sequence[End], facts: Facts, now: float, terms: Terms) -> Lesson:
    """Return what a lesson becomes by what became of some slots, and by the time."""
    for end in ends:
        if end.word is Ending.REFUSED:
            if end.grant.episode == lesson.episode:
                lesson = lesson.refused(now, end.pause, facts, ceiling=terms.limit, period=terms.period)
            until = max(lesson.paused_until, now + end.retry_after) if end.retry_after else lesson.paused_until
            lesson = attrs.evolve(lesson, paused_until=until)
        elif end.word is Ending.ACCEPTED and lesson.pauses and end.grant.episode == lesson.episode:
            lesson = lesson.accepted(now, facts)
    return lesson.grown(now)


def recalled(text: object) -> Lesson:
    """Return the lesson that a store has kept as text; raises `ValueError` where that is none."""
    try:
        lesson = Lesson.from_json(text)  # type: ignore[arg-type]  # what it is shows here
    except (TypeError, AttributeError, RecursionError) as exc:
        raise ValueError("it is not the text of an object") from exc
    for name, default in attrs.asdict(Lesson()).items():
        value = getattr(lesson, name)
        fits = type(value) is type(default) or (type(default) is float and type(value) is int)
        if not fits or not 0 <= value <= LARGEST:
            raise ValueError(f"{name} is none of a lesson's")
    if lesson.learned and (lesson.limit < 1 or lesson.period == 0):
        raise ValueError("it allows no calls")
    return lesson


def is_late(end: End, lesson: Lesson) -> bool:
    """Whether a call from before the open episode's pause turns out to have been accepted."""
    return end.word is Ending.ACCEPTED and lesson.pauses > 0 and end.grant.episode < lesson.episode


def forgotten_after(terms: Terms) -> float:
    """Seconds for which a store keeps what an app's callers know when none of them calls."""
    return max(FORGOTTEN_AFTER, 2 * (terms.timeout + terms.hold))


def grace(period: float) -> float:
    """Seconds for which the turn of a process that waits is kept."""
    return min(GRACE * period, LONGEST_GRACE)


class Reach:
    """Reaches a store, as often as it takes."""

    def __init__(self) -> None:
        self.lost = False
        """Whether it could not be reached when it was last tried."""

    async def until(self, exchange: Callable[[], Awaitable[T]]) -> T:
        """Return what comes of an exchange, once the store can be reached; raises what no waiting can mend."""
        waits = growing_waits(FIRST_WAIT, LONGEST_WAIT)
        while True:
            try:
                result = await exchange()
            except StoreError as exc:
                known, self.lost = self.lost, True
                if not exc.retryable:
                    raise
                if not known:
                    _log.warning("%s; until it can be reached again no call is sent", exc)
                await asyncio.sleep(next(waits))
            else:
                if self.lost:
                    _log.warning("the store of flow control can be reached again")
                self.lost = False
                return result


class SharedLedger:
    """The ledger of an app as one process sees it through a `Store`."""

    def __init__(self, store: Store, terms: Terms) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._store = store
        self._terms = terms
        self._now = asyncio.get_running_loop().time
        self._asker = uuid.uuid4().hex
        self._asked = 0
        self._ends: dict[str, End] = {}  # what the store does not know yet, by the slots' keys
        self._exchanging = asyncio.Lock()
        self._courier: asyncio.Task[None] | None = None
        self._closed = False
        self._reach = Reach()
        self._told = False  # that no slot is given because the store does not know which are taken
        self._view = View()
        self._viewed = self._now()
        self._episode = 0
        self._pauses = 0
        self._paused_until = 0.0

    def agree(self, terms: Terms) -> None:
        """See `Ledger.agree`."""
        self._terms = terms

    # --- One call's way

    def take_now(self, now: float) -> None:
        """See `Ledger.take_now`."""

    async def take(self) -> Permit | float:
        """See `Ledger.take`."""
        self._asked += 1
        ask = Ask(asker=self._asker, key=f"{self._asker}-{self._asked}")
        try:
            while True:
                asked = self._now()
                answer = await self._reach.until(lambda: self._exchange(ask))
                assert answer is not None
                if answer.wait is not None:
                    return answer.wait
                if self._now() - asked < self._terms.timeout:
                    return Permit(answer.episode, ask.key)
                # We stood still, and the slot may be somebody else's before long.
        except asyncio.CancelledError:  # nobody knows whether it was given
            self.release(Permit(self._episode, ask.key), Ending.UNSENT, now := self._now(), now, 0.0)
            raise

    def release(self, permit: Permit, ending: Ending, now: float, counted_at: float, retry_after: float) -> bool:
        """See `Ledger.release`. A pause holds here at once, and for the others as soon as the store knows."""
        pause = 0.0
        begins = ending is Ending.REFUSED and permit.episode == self._episode
        if begins:
            pause = self._terms.pause(self._pauses)
            self._episode += 1
            self._pauses += 1
        if ending is Ending.REFUSED:
            self._paused_until = max(self._paused_until, now + max(pause, retry_after))
        self._ends[permit.key] = End(
            grant=permit, word=ending, counted=counted_at, pause=pause, retry_after=retry_after
        )
        if not self._closed and (self._courier is None or self._courier.done()):
            self._courier = asyncio.ensure_future(self._carry())
        return begins

    # --- To the store and back

    async def _carry(self) -> None:
        try:
            await self._deliver()
        except StoreError:
            self.changed()  # whoever waits for a slot asks again, and is told

    async def _deliver(self) -> None:
        while self._ends:
            await self._reach.until(lambda: self._exchange(None))

    async def _exchange(self, ask: Ask | None) -> Answer | None:
        async with self._exchanging:
            if ask is None and not self._ends:
                return None  # they went along with somebody's ask
            ends = dict(self._ends)
            answer = await self._store.exchange(self._terms, list(ends.values()), ask, self._now())
            for key in ends:
                del self._ends[key]
            tried = self._pauses > 0
            self._see(answer)
            if (tried and not answer.pauses) or any(end.word is Ending.UNSENT for end in ends.values()):
                self.changed()
            return answer

    def _see(self, answer: Answer) -> None:
        self._view, self._viewed = answer.view, self._now()
        if answer.unknown_for > 0 and not self._told:
            _log.warning(
                "the store of flow control is new to this app, was started anew or has lost data: it cannot show which "
                "calls were sent last, so for %d s, a period and a time-out, none is sent",
                math.ceil(answer.unknown_for),
            )
        self._told = answer.unknown_for > 0
        if not any(end.word is Ending.REFUSED for end in self._ends.values()):  # of which the store does not know yet
            self._episode, self._pauses = answer.episode, answer.pauses
            self._paused_until = self._viewed + answer.view.paused_for

    # --- What is known

    def paused_for(self, now: float) -> float:
        """See `Ledger.paused_for`."""
        return max(0.0, self._paused_until - now)

    def view(self, now: float) -> View:
        """See `Ledger.view`: as the store told it last."""
        next_slot = max(0.0, self._view.next_slot - (now - self._viewed))
        paused_for, reached = self.paused_for(now), not self._reach.lost
        return attrs.evolve(self._view, next_slot=next_slot, paused_for=paused_for, reached=reached)

    def idle_in(self, now: float) -> float:  # noqa: ARG002 - as the protocol
        """See `Ledger.idle_in`: what still counts stands in the store."""
        return 0.0

    async def close(self) -> None:
        """See `Ledger.close`."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_CHANCE):
                    await self._deliver()
        except StoreError as exc:
            _log.warning("%s; what became of the last calls is not handed over, and others wait for them longer", exc)
        finally:
            self._closed = True
            self.changed()  # those that wait for a slot wait in vain
            if self._courier is not None:
                self._courier.cancel()
            await self._store.close()
