"""What a fleet does, as values: the parts of a run, and how far each of them is."""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import attrs

from aionorth.common.arguments import argument
from aionorth.common.text import many
from aionorth.errors import ArgumentError, StoreError
from aionorth.items import Kind, Target
from aionorth.models import Outcome
from aionorth.purge.journal import lines
from aionorth.purge.plan import Plan
from aionorth.session.profiles import check_name
from aionorth.wire.checks import check_id, optional_string
from aionorth.wire.requests import delete
from aionorth.wire.resources import RESOURCES

NOT_WHOLE = (
    "its submission is under way, or was broken off before all of it was kept, and then nothing of it is deleted: "
    "submit it anew, under another name"
)
COUNTED_ANEW = "what goes along must be counted right before, so a fleet does not delete that: do it in one process"


class NoRunError(ArgumentError):
    """There is no run of that name; `Fleet.runs` returns those that are kept."""


class DamagedError(StoreError):
    """What the server keeps is not what a fleet has written there."""


@attrs.frozen(kw_only=True)
class Part:
    """The part of a run that is one app's work on one kind. One worker is at work on it at a time.

    The workers know the app by the name of a profile, or by the platform's URL and the app's id: of those whose
    profiles have them.
    """

    kind: Kind
    profile: str = ""
    """The name of the workers' profile; empty for the settings of their environment."""
    url: str = ""
    """The platform's base URL, where that is known already."""
    app_id: str = ""
    authorized_app_id: str | None = None
    """The app whose resources they are, where it is another one."""
    cascade: bool | None = None
    """False for devices, so that gateways do not take along what is behind them; None for other kinds."""
    selection: str = ""
    """How they were selected, in words."""
    duplicates: int = 0
    """How many ids were named more than once."""
    total: int = 0
    """How many ids it has."""
    ids: tuple[str, ...] = attrs.field(default=(), repr=False)
    """These, where it is submitted; what says how far it is has them not."""

    @classmethod
    def of_ids(
        cls,
        ids: Iterable[str],
        kind: Kind,
        *,
        profile: str = "",
        authorized_app_id: str | None = None,
        cascade: bool | None = None,
    ) -> Self:
        """Return a part that deletes these ids.

        Args:
            ids: Duplicates are dropped and counted.
            kind: What they are.
            profile: The name of the app's profile on the workers; empty for the settings of their environment.
            authorized_app_id: The app whose resources they are, where it is another one.
            cascade: False for devices; nothing for other kinds.

        Raises:
            ArgumentError: An id cannot be sent, there can be no such profile, or `cascade` or `authorized_app_id` does
                not go with the kind.
        """
        resource = RESOURCES[kind]
        if profile:
            check_name(profile)
        if resource.cascade is not None and cascade is not False:
            raise ArgumentError(
                f"{argument('cascade')}={cascade!r}: give False, which keeps what is behind a gateway; {COUNTED_ANEW}"
            )
        named = [check_id(id_, kind.id_name, resource.id_length) for id_ in ids]
        distinct = tuple(dict.fromkeys(named))
        if not distinct:
            raise ArgumentError(f"{argument('ids')}: there are none, of {kind.words} for profile {profile!r}")
        other = optional_string(authorized_app_id, "authorized_app_id")
        delete(resource, distinct[0], authorized_app_id=other, cascade=cascade)  # raises where the kind has no such
        return cls(
            kind=kind,
            profile=profile,
            authorized_app_id=authorized_app_id,
            cascade=cascade,
            duplicates=len(named) - len(distinct),
            total=len(distinct),
            ids=distinct,
        )

    @classmethod
    def of_plan(cls, plan: Plan[Any]) -> Self:
        """Return a part that carries out a plan.

        Raises:
            ArgumentError: It deletes nothing, or gateways with what is behind them.
        """
        target = plan.target
        if target.cascade:
            raise ArgumentError(f"the plan takes along what is behind gateways: {COUNTED_ANEW}")
        ids = tuple(dict.fromkeys(one.id for one in plan.delete))
        if not ids:
            raise ArgumentError("the plan deletes nothing")
        return cls(
            kind=target.kind,
            url=target.url,
            app_id=target.app_id,
            authorized_app_id=target.authorized_app_id,
            cascade=target.cascade,
            selection=plan.selection,
            duplicates=plan.duplicates + len(plan.delete) - len(ids),
            total=len(ids),
            ids=ids,
        )

    @property
    def app(self) -> str:
        """Which app it is, for people."""
        known = self.profile or self.app_id or "(environment)"
        of = known if self.authorized_app_id is None else f"{self.authorized_app_id} (as {known})"
        return of if self.profile or not self.url else f"{of} at {self.url}"

    @property
    def target(self) -> Target:
        """What it deletes, and where, as far as that is known."""
        return Target(
            kind=self.kind,
            url=self.url,
            app_id=self.app_id,
            authorized_app_id=self.authorized_app_id,
            cascade=self.cascade,
        )

    def first_line(self, target: Target) -> str:
        """Return the first line of its journal, about this `target`."""
        return lines.first(target, total=self.total, selection=self.selection, duplicates=self.duplicates).decode()

    def to_json(self) -> str:
        """Return it as a fleet's store keeps it."""
        return json.dumps(attrs.asdict(self, filter=lambda field, _: field.name != "ids"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return a part that a store kept; raises `ValueError`, `KeyError` or `TypeError` for what is none."""
        fields = json.loads(text)
        return cls(
            kind=Kind(fields["kind"]),
            profile=lines.text(fields["profile"]),
            url=lines.text(fields["url"]),
            app_id=lines.text(fields["app_id"]),
            authorized_app_id=lines.optional_text(fields["authorized_app_id"]),
            cascade=None if fields["cascade"] is None else lines.flag(fields["cascade"]),
            selection=lines.text(fields["selection"]),
            duplicates=lines.count(fields["duplicates"]),
            total=lines.count(fields["total"]),
        )


def check_parts(parts: Sequence[Part]) -> None:
    """Raise `ArgumentError` where there are no parts, or two are of the same app and kind."""
    if not parts:
        raise ArgumentError("there is nothing to do: give at least one part")
    seen = set[tuple[object, ...]]()
    for one in parts:
        if (key := (one.profile, one.url, one.app_id, one.kind, one.authorized_app_id)) in seen:
            raise ArgumentError(f"two parts are {one.kind.words} of {one.app}: make one of them")
        seen.add(key)


class PartState(enum.StrEnum):
    """How far a part is."""

    WAITING = "waiting"
    """No worker has come to it, or the one that was at work has handed it back."""
    AT_WORK = "at_work"
    LOST = "lost"
    """Its worker shows no sign of life; another one takes over."""
    COMPLETE = "complete"
    """It went through all of its ids."""
    CANCELLED = "cancelled"
    """Its run was, and nobody is at work on it."""
    FAILED = "failed"
    """It could not go on; `PartStatus.cause` says why."""

    @property
    def in_words(self) -> str:
        """The state, for people."""
        return self.value.replace("_", " ")

    @property
    def settled(self) -> bool:
        """Whether nothing happens any more unless the run is resumed."""
        return self in {PartState.COMPLETE, PartState.CANCELLED, PartState.FAILED}


@attrs.frozen(kw_only=True)
class PartStatus:
    """How far a part of a run is."""

    number: int
    part: Part
    state: PartState = PartState.WAITING
    outcomes: Counter[Outcome] = attrs.field(factory=Counter[Outcome])
    """How many ids have which outcome, as far as a worker has said."""
    calls: int = 0
    refusals: int = 0
    cause: str = ""
    """Why it could not go on."""
    declined: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Which workers lack settings for it, and which. It waits for others, and fails where there are none for long."""
    declined_since: float = 0.0
    """When the first of them did, in seconds since 1970; 0 where none has."""
    next_call: float = 0.0
    """Seconds from the worker's last sign of life until flow control allows the next call; 0 where it allows one."""
    silent_for: float = 0.0
    """Seconds for which the platform had not answered then, during an outage; else 0."""
    uncounted: bool = False
    """Whether its worker has died, so that the numbers are those of that one's last sign of life, and the journal knows
    more."""

    @property
    def gone(self) -> int:
        """How many ids are known not to be on the platform any more."""
        return sum(count for outcome, count in self.outcomes.items() if outcome.ok)

    def counts(self) -> Counter[str]:
        """Return how many ids have which outcome, by its value, or are ``pending``: together as many as there are."""
        counts = Counter({"pending": 0} | {outcome.value: self.outcomes[outcome] for outcome in Outcome})
        skipped = counts[Outcome.SKIPPED.value] + self.part.total - self.outcomes.total()
        counts[Outcome.SKIPPED.value], counts["pending"] = (skipped, 0) if self.state.settled else (0, skipped)
        return counts

    def to_dict(self) -> dict[str, Any]:
        """The status as JSON-ready values."""
        return {
            "part": self.number,
            "app": self.part.app,
            "kind": self.part.kind.value,
            "state": self.state.value,
            "total": self.part.total,
            **self.counts(),
            "calls": self.calls,
            "refusals": self.refusals,
            "cause": self.cause or None,
            "next_call": round(self.next_call, 1),
            "silent_for": round(self.silent_for, 1),
        }


@attrs.frozen(kw_only=True)
class RunStatus:
    """How far a run is."""

    run: str
    """Its name."""
    made_at: float
    """When it was submitted, in seconds since 1970."""
    cancelled: bool = False
    whole: bool = True
    """Whether all of its parts are kept; a run of which some are not must be submitted anew."""
    sent: bool = True
    """Whether workers have been told of all parts; a submission that was broken off has to be resumed."""
    parts: Sequence[PartStatus] = ()

    @property
    def settled(self) -> bool:
        """Whether nothing happens any more unless the run is resumed, or the rest of it is kept."""
        return not self.whole or all(one.state.settled for one in self.parts)

    @property
    def at_work(self) -> bool:
        """Whether a worker is at work on a part of it."""
        return any(one.state is PartState.AT_WORK for one in self.parts)

    @property
    def lack(self) -> str:
        """What there is to know, and to do, where not all of it is kept; empty where all is."""
        return "" if self.whole else NOT_WHOLE

    @property
    def ok(self) -> bool:
        """Whether all ids are known not to be on the platform any more."""
        return self.whole and all(one.gone == one.part.total for one in self.parts)

    @property
    def total(self) -> int:
        """How many ids it has."""
        return sum(one.part.total for one in self.parts)

    def count(self, value: Callable[[PartStatus], int]) -> int:
        """Return the sum of a count over all parts."""
        return sum(map(value, self.parts))

    @property
    def outcomes(self) -> Counter[Outcome]:
        """How many ids have which outcome, as far as workers have said."""
        return sum((one.outcomes for one in self.parts), Counter[Outcome]())

    def counts(self) -> Counter[str]:
        """Return the sum of the counts of all parts, zeros among them: see `PartStatus.counts`."""
        counts = Counter[str]()
        for one in self.parts:
            counts.update(one.counts())
        return counts

    def to_dict(self) -> dict[str, Any]:
        """The status as JSON-ready values."""
        return {
            "run": self.run,
            "whole": self.whole,
            "cancelled": self.cancelled,
            "settled": self.settled,
            "total": self.total,
            **self.counts(),
            "calls": self.count(lambda one: one.calls),
            "refusals": self.count(lambda one: one.refusals),
            "parts": [one.to_dict() for one in self.parts],
        }

    def __str__(self) -> str:
        states = Counter(one.state for one in self.parts)
        said = ", ".join(f"{states[state]:,} {state.in_words}" for state in PartState if states[state])
        known = ((name, count) for name, count in self.counts().items() if count and name != "pending")
        counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in known)
        number = f"{many(self.total, 'id')} in {many(len(self.parts), 'part')}"
        return f"{self.run}: {number} ({said}): {counts or self.lack or 'nothing yet'}"
