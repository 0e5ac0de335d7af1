"""A plan: what will be deleted, what is kept and why. It is made by listing what there is, and choosing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import attrs

from aionorth.common.text import visible
from aionorth.common.times import duration
from aionorth.errors import ArgumentError
from aionorth.items import Target
from aionorth.purge.listing import Reading, list_items
from aionorth.purge.selections import EXCLUDED, BatchDelete, Selection
from aionorth.wire.replies import Send
from aionorth.wire.resources import RESOURCES, Item, Resource

T = TypeVar("T", bound=Item)

NAMED = 3
"""How many of those that take others along the text of a plan names."""


@attrs.frozen(kw_only=True)
class Kept(Generic[T]):
    """What is kept, and why."""

    item: T
    reason: str


@attrs.frozen(kw_only=True)
class Plan(Generic[T]):
    """What will be deleted and what is kept. What happens on the platform later does not change it."""

    target: Target
    selection: str = ""
    """The conditions, in words."""
    delete: tuple[T, ...] = attrs.field(repr=False)
    """What will be deleted; where only ids were given, all that is known of an item is its id."""
    keep: tuple[Kept[T], ...] = attrs.field(default=(), repr=False)
    """What was listed and is kept."""
    along: Mapping[str, tuple[T, ...]] = attrs.field(factory=dict[str, tuple[T, ...]], repr=False)
    """What goes along without having been selected itself, by the id of what it goes with: devices behind a gateway."""
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
        return len(self.delete) + sum(map(len, self.along.values()))

    def reasons(self) -> list[tuple[str, int]]:
        """Why items are kept, and how many for each reason, the commonest first."""
        return Counter(kept.reason for kept in self.keep).most_common()

    def size(self) -> str:
        """As in ``1,204 calls, about 12 min 3 s``."""
        return f"{self.calls:,} call{'' if self.calls == 1 else 's'}, about {duration(self.seconds)}"

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-ready values."""
        return self.target.to_dict() | {
            "selection": self.selection,
            "calls": self.calls,
            "seconds": round(self.seconds, 3),
            "delete": [_to_dict(item) for item in self.delete],
            "keep": [_to_dict(kept.item) | {"reason": kept.reason} for kept in self.keep],
            "along": [_to_dict(item) | {"with": id_} for id_, items in self.along.items() for item in items],
            "absent": list(self.absent),
            "excluded_absent": list(self.excluded_absent),
            "complete": self.complete,
            "duplicates": self.duplicates,
            "batch": None if self.batch is None else attrs.asdict(self.batch),
        }

    def __str__(self) -> str:
        listed = self.number + len(self.keep)
        of = f"{self.number:,} of {listed:,}" if self.keep else f"{self.number:,}"
        rows = [(len(self.delete), f"to delete: {self.size()}")]
        rows += [(self.number - len(self.delete), f"to go along with {self._gateways()}")] if self.along else []
        rows += [(number, f"to stay: {reason}") for reason, number in self.reasons()]
        rows += [(len(self.absent), "named, but not among what the platform listed")] if self.absent else []
        rows += [(len(self.excluded_absent), "excluded, but not there anyway")] if self.excluded_absent else []
        width = max(len(f"{number:,}") for number, _ in rows)
        head = [f"{of} {self.target}", *([f"  selected: {self.selection}"] if self.selection else [])]
        notes = [] if self.complete else ["  There may be more: the list changed while it was read, or was not whole."]
        return "\n".join([*head, *(f"  {number:>{width},} {text}" for number, text in rows), *notes])

    def _gateways(self) -> str:
        """What takes others along, as in ``gw-1 (5), gw-2 (5), gw-3 (2) and 7 more``."""
        counts = sorted(((len(items), id_) for id_, items in self.along.items()), reverse=True)
        named = ", ".join(f"{visible(id_)} ({number:,})" for number, id_ in counts[:NAMED])
        return named + (f" and {len(counts) - NAMED:,} more" if len(counts) > NAMED else "")


def _to_dict(item: Any) -> dict[str, Any]:  # noqa: ANN401 - an item of any kind
    known = attrs.asdict(item, filter=lambda field, value: field.name != "fields" and value is not None)
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in known.items()}


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
    if not isinstance(selection, Selection):
        raise ArgumentError(f"selection={selection!r}: give a selection, as in SubscriptionSelection(…)")
    if now is not None and now.tzinfo is None:
        raise ArgumentError(f"now={now!r} has no time zone: give it one, as in datetime.now(UTC)")
    resource, other = RESOURCES[selection.kind], selection.authorized_app_id
    target = Target(kind=selection.kind, url=url, app_id=app_id, authorized_app_id=other, cascade=selection.cascade)
    if selection.only_ids:
        return _of_ids(selection, target, resource)
    reading = Reading()
    listed: list[Any] = []
    async for item in list_items(resource, send, selection.filters(), reading, authorized_app_id=other):
        listed.append(item)
        on_listed(len(listed))
    return planned(selection, target, listed, now or datetime.now(UTC), reading)


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
    going = {one.id for items in along.values() for one in items}
    return Plan(
        target=target,
        selection=selection.in_words(),
        delete=delete,
        keep=tuple(Kept(item=one, reason=kept[one.id]) for one in listed if one.id in kept and one.id not in going),
        along=along,
        absent=tuple(dict.fromkeys(id_ for id_ in named if id_ not in ids and id_ not in selection.exclude)),
        excluded_absent=tuple(sorted(selection.exclude - ids)),
        duplicates=len(named) - len(set(named)),
        complete=reading.complete,
        batch=selection.batch_delete(listed, delete, divided=reading.divided) if reading.complete else None,
    )
