"""A plan: what will be deleted, what is kept and why. It is made by listing what there is, and choosing."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import attrs

from aionorth.common.text import many, visible
from aionorth.common.times import duration
from aionorth.errors import ArgumentError
from aionorth.items import Kind, Target
from aionorth.purge.listing import Reading, list_items
from aionorth.purge.plan_files import FLAT, from_plain, to_plain
from aionorth.purge.selections import EXCLUDED, UNSENDABLE, BatchDelete, Selection
from aionorth.wire.checks import check_id
from aionorth.wire.replies import Send
from aionorth.wire.resources import RESOURCES, Item, Resource

T = TypeVar("T", bound=Item)

_log = logging.getLogger("aionorth")

NAMED = 3
"""How many of those that take others along the text of a plan names."""


@attrs.frozen(kw_only=True)
class Kept(Generic[T]):
    """What is kept, and why."""

    item: T = attrs.field(metadata=FLAT)
    reason: str


@attrs.frozen(kw_only=True)
class Along(Generic[T]):
    """What goes along with something else that is deleted."""

    item: T = attrs.field(metadata=FLAT)
    goes_with: str
    """The id of that: of a gateway that a device is behind."""


@attrs.frozen(kw_only=True)
class Plan(Generic[T]):
    """What will be deleted and what is kept. What happens on the platform later does not change it."""

    target: Target = attrs.field(metadata=FLAT)
    selection: str = ""
    """The conditions, in words."""
    made_at: datetime | None = None
    """When it was made, with a time zone: before the platform was asked what it has."""
    delete: tuple[T, ...] = attrs.field(repr=False)
    """What will be deleted; where only ids were given, all that is known of an item is its id."""
    keep: tuple[Kept[T], ...] = attrs.field(default=(), repr=False)
    """What was listed and is kept."""
    along: tuple[Along[T], ...] = attrs.field(default=(), repr=False)
    """What goes along with something to be deleted, without having been selected itself: devices behind a gateway."""
    absent: tuple[str, ...] = attrs.field(default=(), repr=False)
    """The ids that were named and are not among what the platform listed."""
    complete: bool = True
    """Whether the platform listed all that it said it has."""
    excluded_absent: tuple[str, ...] = attrs.field(default=(), repr=False)
    """The ids that were excluded and are not among what the platform listed."""
    duplicates: int = 0
    """How many of the ids given had been named before."""
    seconds: float = 0.0
    """About how long the deletion takes at the present flow control."""
    batch: BatchDelete | None = None
    """The one call that would delete exactly this, where there is one. It also deletes what has been created since."""

    @property
    def calls(self) -> int:
        """How many calls the deletion takes: one for each item."""
        return len(self.delete)

    @property
    def number(self) -> int:
        """How many items will be deleted, those that go along included."""
        return len(self.delete) + len(self.along)

    def reasons(self) -> list[tuple[str, int]]:
        """Why items are kept, and how many for each reason, the commonest first."""
        return Counter(kept.reason for kept in self.keep).most_common()

    def size(self) -> str:
        """As in ``1,204 calls, about 12 min 3 s``."""
        return f"{many(self.calls, 'call')}, about {duration(self.seconds)}"

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-ready values, of which `from_dict` makes it again."""
        return {**to_plain(self), "calls": self.calls, "seconds": round(self.seconds, 3)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Plan[Any]:
        """Return the plan that `to_dict` made `content` of; `NorthSession.purge` carries it out.

        `made_at` says how old it is. `NorthSession.adopt` says how long it takes now.

        Raises:
            ArgumentError: It is none, or what it deletes was changed; the message says where.
        """
        if not isinstance(content, Mapping):
            raise ArgumentError("that is no plan: give what Plan.to_dict() returned, an object")
        plain = dict(content)
        calls, kind = plain.pop("calls", None), from_plain(Kind, plain.get("kind"), "plan.kind", Kind)
        resource = RESOURCES[kind]
        plan: Plan[Any] = from_plain(cls, plain, "plan", resource.bare("id").__class__)
        for one in plan.delete:
            check_id(one.id, f"plan.delete: {kind.id_name}", resource.id_length)
        if calls != plan.calls and not (calls == 1 and plan.batch is not None):  # what one batch call takes
            raise ArgumentError(
                f"plan.calls is {calls!r}, and plan.delete has {plan.calls:,}: the plan was changed; make it anew"
            )
        if plan.along and not plan.target.cascade:
            raise ArgumentError(
                f"plan.along has {len(plan.along):,}, and plan.cascade is {plan.target.cascade!r}: nothing goes along "
                "without it; make the plan anew"
            )
        if plan.batch is not None and not plan.batch.takes_exactly(plan.delete, [kept.item for kept in plan.keep]):
            raise ArgumentError("plan.batch would not delete exactly what plan.delete has: make the plan anew")
        return plan

    def __str__(self) -> str:
        return self.in_words()

    def in_words(self, *, batch: bool = False) -> str:
        """The plan in some lines, as it is carried out by one call for each item, or by its `batch` call."""
        size = "1 call" if batch and self.batch is not None else self.size()
        listed = self.number + len(self.keep)
        of = f"{self.number:,} of {listed:,}" if self.keep else f"{self.number:,}"
        rows = [(len(self.delete), f"to delete: {size}")]
        rows += [(len(self.along), f"to go along with {self._gateways()}")] if self.along else []
        rows += [(number, f"to stay: {reason}") for reason, number in self.reasons()]
        rows += [(self.duplicates, "dropped: named more than once")] if self.duplicates else []
        rows += [(len(self.absent), "named, but not among what the platform listed")] if self.absent else []
        rows += [(len(self.excluded_absent), "excluded, but not there anyway")] if self.excluded_absent else []
        width = max(len(f"{number:,}") for number, _ in rows)
        head = [f"{of} {self.target}", *([f"  selected: {self.selection}"] if self.selection else [])]
        notes = [] if self.complete else ["  There may be more: the list changed while it was read, or was not whole."]
        return "\n".join([*head, *(f"  {number:>{width},} {text}" for number, text in rows), *notes])

    def _gateways(self) -> str:
        """What takes others along, as in ``gw-1 (5), gw-2 (5), gw-3 (2) and 7 more``."""
        counts = Counter(one.goes_with for one in self.along)
        named = ", ".join(f"{visible(id_)} ({number:,})" for id_, number in counts.most_common(NAMED))
        return named + (f" and {len(counts) - NAMED:,} more" if len(counts) > NAMED else "")


def _check(selection: object, now: datetime | None) -> None:
    if not isinstance(selection, Selection):
        raise ArgumentError(f"selection={selection!r}: give a selection, as in SubscriptionSelection(…)")
    if now is not None and now.tzinfo is None:
        raise ArgumentError(f"now={now!r} has no time zone: give it one, as in datetime.now(UTC)")


async def list_selected(selection: Selection[T], send: Send, *, now: datetime) -> AsyncIterator[T]:
    """Yield what `selection` selects of what there is, at once where that depends on nothing else that is listed."""
    _check(selection, now)
    kind, unsendable = selection.kind.words, list[str]()
    async for item, reason in _judged(selection, send, now):
        if reason is None:
            yield item
        elif reason == UNSENDABLE:
            unsendable.append(item.id)
    if unsendable:
        ids = many(len(unsendable), "id")
        _log.warning("left out of the list of %s: %s that cannot be sent in a call, as %r", kind, ids, unsendable[0])


async def _judged(selection: Selection[T], send: Send, now: datetime) -> AsyncIterator[tuple[T, str | None]]:
    """Yield what is listed, each with the reason for which it is not selected, if there is one."""
    other, named = selection.authorized_app_id, None if selection.ids is None else frozenset(selection.ids)
    items = list_items(RESOURCES[selection.kind], send, selection.filters(), Reading(), authorized_app_id=other)
    if selection.depends_on_all:
        listed = [item async for item in items]
        kept = selection.choose(listed, now)
        for item in listed:
            yield item, kept.get(item.id)
        return
    conditions = attrs.evolve(selection, ids=None, everything=True)
    async for item in items:
        if named is None or item.id in named:
            yield item, conditions.choose([item], now).get(item.id)


async def make_plan(
    selection: Selection[T],
    send: Send,
    *,
    url: str,
    app_id: str,
    now: datetime | None = None,
    on_listed: Callable[[int], object],
) -> Plan[T]:
    """List what there is, and return the plan that `selection` makes of it; see `NorthSession.plan`."""
    _check(selection, now)
    made_at = datetime.now(UTC)
    resource, other = RESOURCES[selection.kind], selection.authorized_app_id
    target = Target(kind=selection.kind, url=url, app_id=app_id, authorized_app_id=other, cascade=selection.cascade)
    if selection.only_ids:
        return attrs.evolve(_of_ids(selection, target, resource), made_at=made_at)
    reading = Reading()
    listed: list[Any] = []
    async for item in list_items(resource, send, selection.filters(), reading, authorized_app_id=other):
        listed.append(item)
        on_listed(len(listed))
    return attrs.evolve(planned(selection, target, listed, now or made_at, reading), made_at=made_at)


def _of_ids(selection: Selection[T], target: Target, resource: Resource[Any]) -> Plan[T]:
    """Return the plan of a selection of mere ids. There may be a million, so it has no use for sets of them."""
    named, exclude, bare = selection.ids or (), selection.exclude, resource.bare
    distinct = dict.fromkeys(named)
    return Plan(
        target=target,
        selection=selection.in_words(),
        delete=tuple(bare(id_) for id_ in distinct if id_ not in exclude),
        keep=tuple(Kept(item=bare(id_), reason=EXCLUDED) for id_ in distinct if id_ in exclude),
        excluded_absent=tuple(sorted(id_ for id_ in exclude if id_ not in distinct)),
        duplicates=len(named) - len(distinct),
    )


def planned(selection: Selection[T], target: Target, listed: Sequence[T], now: datetime, reading: Reading) -> Plan[T]:
    """Return the plan that `selection` makes of all that was `listed`, without how long it takes."""
    kept = selection.choose(listed, now)
    ids = {one.id for one in listed}
    named = selection.ids or ()
    delete = selection.in_order([one for one in listed if one.id not in kept])
    along = selection.along(listed, delete)
    return Plan(
        target=target,
        selection=selection.in_words(),
        delete=delete,
        keep=tuple(Kept(item=one, reason=kept[one.id]) for one in listed if one.id in kept and one.id not in along),
        along=tuple(Along(item=one, goes_with=along[one.id]) for one in listed if one.id in along),
        absent=tuple(dict.fromkeys(id_ for id_ in named if id_ not in ids and id_ not in selection.exclude)),
        excluded_absent=tuple(sorted(selection.exclude - ids)),
        duplicates=len(named) - len(set(named)),
        complete=reading.complete,
        batch=selection.batch_delete(listed, delete, divided=reading.divided) if reading.complete else None,
    )
