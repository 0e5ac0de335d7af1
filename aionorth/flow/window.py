"""The window: the rules by which an app's calls share its slots. They are the same in memory and in every store.

A call takes one of `limit` slots before it is sent, and the slot comes free a period after its *reply*. Wherever
between sending and reply the platform counts a call, the call that reuses its slot is counted at least a period later.
So no stretch of one period ever holds more than `limit` of them, whether the platform counts by clock minutes, by a
sliding minute or by a bucket. Slots that are stamped when calls are *sent* do not give this: a slow call is counted
late, and the next minute's calls come too early. A call to which no reply came may still be on its way: it is taken to
be counted when it would have timed out.

This holds while nobody else calls, the window was empty at first, and the threshold is the configured one. A refusal
shows that one of these is false. What it teaches, in `aionorth.flow.adaptive`, can only make the window narrower.

A process that dies needs no cleaning up: its slots come free when its calls cannot count any more.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

import attrs

from aionorth.flow.adaptive import AdaptiveLimit, Facts
from aionorth.flow.outage import ASK_AGAIN, Outage
from aionorth.flow.settings import Limits
from aionorth.flow.slots import Slots
from aionorth.flow.stored import count, fields, number

TURN_KEPT = 1 / 60
"""The part of a period for which a waiting process keeps its turn after it should have come back for it."""

LONGEST_TURN_KEPT = 1.0
"""Seconds."""

FORGOTTEN_AFTER = 3600.0
"""Seconds without a call after which what refusals taught is out of date; longer where slots are held longer."""


class Ending(enum.StrEnum):
    """What became of a permit's call."""

    UNSENT = "unsent"
    UNCONFIRMED = "unconfirmed"
    """It was sent, and the platform has not confirmed that it accepted it."""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    """By flow control."""


class Permit(NamedTuple):
    """The permission to send one call: it holds one slot of the window until it is released."""

    episode: int
    """How many pauses had begun before."""
    key: str
    """Which slot it is."""
    probe: bool = False
    """Whether it is for a probe only: the platform did not answer the last calls."""
    start_by: float = math.inf
    """When its call must have begun, on the event loop's clock. A slot that is never released is held for a call that
    begins by then: a later one might still be counted when the slot is another's."""


class Acquire(NamedTuple):
    """A process asks for a slot. One that got it already, and asks again with the same key, gets it anew.

    It has not used the slot then. Where a pause has begun meanwhile the slot is taken back.
    """

    process: str
    key: str
    early: bool = False
    """Whether its call asks if an outage is over although no probe is due. It gets a slot only where calls are held."""
    start_within: float = 0.0
    """Seconds within which its call begins, where that is longer than the limits say."""


class Release(NamedTuple):
    """What became of a permit's call."""

    permit: Permit
    ending: Ending
    counted: float
    """When the platform had counted the call at the latest, on the window's clock."""
    pause: float = 0.0
    """How long the pause is to be if this refusal begins one, in seconds."""
    retry_after: float = 0.0
    """Seconds that the platform asked to wait."""
    unanswered: int = 0
    """As how many calls without a word from the platform it counts, if it was one."""
    probe_wait: float = 0.0
    """Seconds until the next probe, if this was one that was not answered."""
    process: str = ""
    """The reporting process."""
    number: int = 0
    """The number of this report, from 1, so that a repeated one is ignored; 0: it is never repeated."""


@attrs.frozen(kw_only=True, eq=False)
class View:
    """What is known of the window at one moment; times are seconds from then."""

    in_use: int = 0
    """Slots taken: calls in flight, and calls that ended less than a period ago."""
    next_slot: float = 0.0
    """Until the next slot comes free: 0 where one is free, infinite where every slot is a call in flight."""
    paused_for: float = 0.0
    """Until the pause is over; 0 where there is none."""
    limit: int | None = None
    """Calls that the platform seems to allow in a period; None where there is no adaptive limit."""
    gap: float = 0.0
    """From a call to the next, by the adaptive limit."""
    silent_for: float = 0.0
    """Since the platform was silent first, while an outage is certain; 0 where none is."""
    next_probe: float = 0.0
    """Until the next probe, while an outage is certain."""
    grows_in: float = 0.0
    """Until the adaptive limit grows if nothing is refused."""
    unknown_for: float = 0.0
    """For which no slot is given, because calls from before the known history may still count."""


@attrs.define(kw_only=True, eq=False)
class Window:  # more than 15 methods: each is one rule, and a step applies them all to one state
    """An app's slots, at the moments it is asked. It has no clock: every method is given the time, in seconds.

    Only its own methods change its state. The state is what `to_json` writes.
    """

    at: float = 0.0
    """When it was last asked."""
    since: float | None = None
    """From when on all calls are known; earlier ones may have taken any slot. None: from the beginning."""
    not_before: float = 0.0
    """When the next call may be sent, by the gap."""
    slots: Slots = attrs.field(factory=Slots)
    fullest: int = 0
    """How many calls had ended in the fullest period before the first refusal."""
    late: int = 0
    """How many calls from before the open episode's pause were accepted since."""
    turns: dict[str, float] = attrs.field(factory=dict[str, float])
    """The processes that wait, in the order in which they came, and until when each keeps its turn."""
    known: dict[str, tuple[int, float]] = attrs.field(factory=dict[str, tuple[int, float]])
    """The processes, the number of the last release that each has reported, and until when it might report it again."""
    adaptive: AdaptiveLimit = attrs.field(factory=AdaptiveLimit)
    outage: Outage = attrs.field(factory=Outage)

    def step(self, now: float, limits: Limits, released: Sequence[Release] = (), ask: Acquire | None = None) -> float:
        """Take note of released permits, then give a slot if one is asked for and free.

        Of the processes that wait, the one that has waited longest has the next slot.

        Args:
            now: The time.
            limits: What the process that asks keeps to.
            released: What became of permits.
            ask: For whom a slot is asked for, if one is.

        Returns:
            0 where the slot was given; else after how many seconds to ask again, infinite for an early call where calls
            are not held.
        """
        self._advance(now, limits)
        if released:
            self._take_note(released, limits)
        if self.adaptive.in_force:
            self._grow()
        return 0.0 if ask is None else self._acquire(ask, limits)

    def lose(self, now: float) -> None:
        """Record that unknown calls may have been sent until `now`."""
        self.since = now

    def delay(self, seconds: float) -> None:
        """Delay when the taken slots come free."""
        self.slots = self.slots.delayed(seconds)

    # --- One step

    def _advance(self, now: float, limits: Limits) -> None:
        """Forget what is over by `now`."""
        if not 0 <= now - self.at <= FORGOTTEN_AFTER:
            self._jump(now, limits)
        self.at = now
        if self.turns:
            self.turns = {process: until for process, until in self.turns.items() if until > now}
        if (ended := self.slots.ended) and ended[0][0] <= now:
            self._forget()

    def _jump(self, now: float, limits: Limits) -> None:
        """Forget what is out of date after a long time, or by a clock that has started anew."""
        # A clock that can be set may be put right, to an earlier time, by as much as it may be off.
        started_anew = now < self.at - 4 * limits.clock_error
        if started_anew:  # every call may have ended just now
            self.slots = self.slots.all_ended(now + limits.hold)
            self.since = now if self.since == now or self._unknown_for(limits) else None
            self.turns, self.known = {}, {}
        if started_anew or now - self.at > forgotten_after(limits):
            self.not_before, self.fullest, self.late = 0.0, 0, 0
            self.adaptive = self.adaptive.dropped()
            self.outage = self.outage.answered()

    def _forget(self) -> None:
        """Forget the slots that have come free."""
        self.fullest = max(self.fullest, self.slots.calls)
        self.slots.forget(self.at)
        self.known = {process: (last, until) for process, (last, until) in self.known.items() if until > self.at}

    def _take_note(self, released: Sequence[Release], limits: Limits) -> None:
        """Record released permits, each once."""
        released = [release for release in released if not release.number or self._is_news(release, limits)]
        for release in released:
            self._end(release, limits)
            if self.outage.unanswered or release.unanswered:
                self._heed(release)
        if self.adaptive.pauses or any(release.ending is Ending.REFUSED for release in released):
            self._learn(released, limits)

    def _is_news(self, release: Release, limits: Limits) -> bool:
        """Whether a release has not been reported before; after so long a time it would make no difference."""
        last, _ = self.known.get(release.process, (0, 0.0))
        if release.number > last:
            self.known[release.process] = release.number, self.at + limits.in_flight + limits.hold
        return release.number > last

    def _end(self, release: Release, limits: Limits) -> None:
        free_at = release.counted + limits.hold
        if release.ending is Ending.UNSENT or free_at <= self.at:
            self.slots.drop(release.permit.key)
        else:
            refused = release.ending is Ending.REFUSED
            self.slots.end(release.permit.key, free_at, refused=refused, quantum=limits.quantum)
        if self.adaptive.pauses and release.ending is Ending.ACCEPTED:
            self.late += release.permit.episode < self.adaptive.episode

    def _heed(self, release: Release) -> None:
        """Record whether the platform has answered a call."""
        outage, now = self.outage, self.at
        if not release.unanswered and release.ending in {Ending.ACCEPTED, Ending.REFUSED}:
            if release.counted >= outage.since:
                self.outage = outage.answered()
        elif release.permit.probe:
            self.outage = outage.probe_ended(now, release.probe_wait, unanswered=release.unanswered > 0)
        elif release.unanswered:
            self.outage = outage.call_unanswered(now, release.unanswered)

    def _learn(self, released: Sequence[Release], limits: Limits) -> None:
        """Let the adaptive limit learn from what became of calls."""
        now, limit = self.at, self.adaptive
        for release in released:
            current = release.permit.episode == limit.episode
            if release.ending is Ending.REFUSED:
                if current:
                    facts = self._facts()
                    limit = limit.refused(now, release.pause, facts, ceiling=limits.limit, period=limits.period)
                if now + release.retry_after > limit.paused_until:
                    limit = attrs.evolve(limit, paused_until=now + release.retry_after)
            elif release.ending is Ending.ACCEPTED and limit.pauses and current:
                limit = limit.accepted(now, self._facts())
        before, self.adaptive = self.adaptive, limit
        if limit.episode != before.episode:
            self.late = 0
            self.not_before = max(self.not_before, now + self._gap(limits))

    def _grow(self) -> None:
        """Let the adaptive limit grow, if enough time has passed."""
        self.adaptive = self.adaptive.grown(self.at)
        if not self.adaptive.in_force:
            self.fullest = 0  # it may have counted refused calls

    def _acquire(self, ask: Acquire, limits: Limits) -> float:
        """Give the slot and return 0, or return after how many seconds to ask again."""
        now, adaptive = self.at, self.adaptive
        given = self.slots.drop(ask.key)  # and not used: it is given as of now, if at all
        if now < adaptive.paused_until:
            return adaptive.paused_until - now
        if ask.early and not self.outage.held:
            return math.inf
        if self.outage.held and not ask.early and now < self.outage.next_probe:
            return min(self.outage.next_probe - now, ASK_AGAIN)
        gap = self._gap(limits)
        if adaptive.pauses and self.slots.flying(now):
            return gap  # after a pause one call probes alone whether the platform accepts calls again
        if (not given or self._unknown_for(limits)) and (wait := self._wait(ask.process, gap, limits)) > 0:
            return wait
        ends_by = now + max(limits.in_flight, ask.start_within + limits.timeout)
        self.slots.take(ask.key, ends_by, ends_by + limits.hold)
        self.not_before = max(self.not_before, now + gap)
        if self.outage.held and not ask.early:
            self.outage = self.outage.probe_begun(ends_by)
        return 0.0

    def _wait(self, process: str, gap: float, limits: Limits) -> float:
        """Return how many seconds it takes until it is the turn of `process`; 0 where it is, which ends its waiting."""
        now, ahead = self.at, 0
        if self.turns:
            waiting = list(self.turns)
            ahead = waiting.index(process) if process in self.turns else len(waiting)
        free_in = min(self._free_in(ahead, limits), limits.hold)  # a call may end sooner than is known now
        opens = self.not_before if self.since is None else max(self.not_before, now + self._unknown_for(limits))
        wait = max(opens + ahead * gap - now, free_in)
        if wait > 0:
            self.turns[process] = now + wait + min(TURN_KEPT * limits.period, LONGEST_TURN_KEPT)
        elif self.turns:
            self.turns.pop(process, None)
        return wait

    # --- What is known

    def view(self, now: float, limits: Limits) -> View:
        """Return what is known at `now`. It changes nothing: when a window is looked at makes no difference to it."""
        return attrs.evolve(self, slots=self.slots.copy())._viewed(now, limits)  # noqa: SLF001 - its own class

    def _viewed(self, now: float, limits: Limits) -> View:
        self._advance(now, limits)
        self.slots.forget_overdue(now)
        adaptive, unknown_for, next_slot = self.adaptive, self._unknown_for(limits), self._free_in(0, limits)
        in_use, flying, limit = self.slots.in_use, self.slots.flying(now), self._limit(limits)
        if next_slot > 0 and flying >= limit:
            next_slot = math.inf  # only a reply can free one
        return View(
            in_use=in_use,
            next_slot=max(next_slot, unknown_for),
            paused_for=max(0.0, adaptive.paused_until - now),
            limit=limit if adaptive.in_force else None,
            gap=self._gap(limits) if adaptive.in_force else 0.0,
            silent_for=now - self.outage.since if self.outage.certain else 0.0,
            next_probe=max(0.0, self.outage.next_probe - now) if self.outage.certain else 0.0,
            grows_in=max(0.0, adaptive.grows_at - now) if adaptive.in_force else 0.0,
            unknown_for=unknown_for,
        )

    def idle_in(self, now: float, limits: Limits) -> float:
        """Return in how many seconds no call counts any more and no pause is in force, if no further call is made."""
        last = max((free_at for free_at, _, _ in self.slots.ended), default=now)
        in_flight = now + limits.hold if self.slots.in_flight else now
        return max(last, in_flight, self.adaptive.paused_until, now) - now

    def _limit(self, limits: Limits) -> int:
        adaptive = self.adaptive
        return min(adaptive.limit_now(self.late), limits.limit) if adaptive.in_force else limits.limit

    def _gap(self, limits: Limits) -> float:
        return max(limits.gap, limits.period / self._limit(limits)) if self.adaptive.in_force else limits.gap

    def _unknown_for(self, limits: Limits) -> float:
        return 0.0 if self.since is None else max(0.0, self.since + limits.in_flight + limits.hold - self.at)

    def _free_in(self, ahead: int, limits: Limits) -> float:
        """Return in how many seconds a slot comes free for a process that has so many others ahead of it."""
        limit = self._limit(limits)
        if self.slots.in_use + ahead < limit:
            return 0.0
        self.slots.forget_overdue(self.at)
        if (surplus := self.slots.in_use + ahead - limit) < 0:
            return 0.0
        free_at = self.slots.free_at(surplus)
        if free_at == math.inf:  # no call has it yet: a process ahead takes it, or lets its turn pass
            free_at = min(list(self.turns.values())[:ahead], default=math.inf)
        return free_at - self.at

    def _facts(self) -> Facts:
        return Facts(accepted=self.slots.accepted(self.at), fullest=self.fullest, late=self.late)

    # --- To a store and back

    def to_json(self) -> str:
        """Return the state as a JSON object."""
        slots = {"in_flight": self.slots.in_flight, "ended": self.slots.ended}
        parts = {"slots": slots, "adaptive": attrs.asdict(self.adaptive), "outage": attrs.asdict(self.outage)}
        state = attrs.asdict(self, recurse=False) | parts
        return json.dumps(state, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` wrote.

        Raises:
            ValueError: It is not a window's state.
        """
        try:
            state = cast("dict[str, Any]", json.loads(text))
            return cls(
                at=number(state["at"]),
                since=None if state["since"] is None else number(state["since"]),
                not_before=number(state["not_before"]),
                slots=_slots(**state["slots"]),
                fullest=count(state["fullest"]),
                late=count(state["late"]),
                turns={str(process): number(until) for process, until in state["turns"].items()},
                known={str(process): (count(last), number(until)) for process, (last, until) in state["known"].items()},
                adaptive=AdaptiveLimit.from_dict(state["adaptive"]),
                outage=fields(Outage, state.get("outage", {})),
            )
        except (AttributeError, KeyError, RecursionError, TypeError) as exc:
            raise ValueError(f"it is not the state of a window ({type(exc).__name__}: {exc})") from exc


def forgotten_after(limits: Limits) -> float:
    """Return after how many seconds without a call the learned limit is out of date."""
    return max(FORGOTTEN_AFTER, 2 * (limits.in_flight + limits.hold))


def _slots(in_flight: Mapping[str, tuple[float, float]], ended: Iterable[tuple[float, int, int]]) -> Slots:
    return Slots(
        {str(key): (number(ends_by), number(free_at)) for key, (ends_by, free_at) in in_flight.items()},
        [(number(free_at), count(calls), count(refused)) for free_at, calls, refused in ended],
    )
