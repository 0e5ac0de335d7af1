"""How a plan is made: list what there is, choose, and give each choice its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from aionorth.errors import ArgumentError
from aionorth.models import Target
from aionorth.purge.listing import Reading, list_items
from aionorth.purge.plan import Kept, Plan
from aionorth.purge.selections import Selection
from aionorth.wire.replies import Send
from aionorth.wire.resources import RESOURCES, Item

T = TypeVar("T", bound=Item)


async def make_plan(
    selection: Selection[T],
    send: Send,
    *,
    url: str,
    app_id: str,
    now: datetime | None = None,
    on_listed: Callable[[int], object],
) -> Plan[T]:
    """List what there is, and return the plan that `selection` makes of it.

    A selection of mere ids is planned without a call.

    Args:
        selection: What is to be deleted.
        send: Makes a call.
        url: The platform's base URL, for the plan's target.
        app_id: The app, for the plan's target.
        now: The time from which `older_than` counts back; the present one unless given.
        on_listed: Called with the number of items listed so far, after each.

    Raises:
        ArgumentError: An argument cannot be used.
        NorthError: A list cannot be read.
    """
    if not isinstance(selection, Selection):
        raise ArgumentError(f"selection={selection!r}: give a SubscriptionSelection or a PackageSelection")
    if now is not None and now.tzinfo is None:
        raise ArgumentError(f"now={now!r} has no time zone: give it one, as in datetime.now(UTC)")
    resource, other = RESOURCES[selection.kind], selection.authorized_app_id
    reading = Reading()
    listed: list[Any] = []
    if selection.only_ids:
        listed += map(resource.bare, dict.fromkeys(selection.ids or ()))
    else:
        async for item in list_items(resource, send, selection.filters(), reading, authorized_app_id=other):
            listed.append(item)
            on_listed(len(listed))
    target = Target(kind=selection.kind, url=url, app_id=app_id, authorized_app_id=other)
    now = now or datetime.now(UTC)
    return planned(selection, target, listed, now, complete=reading.complete, divided=reading.divided)


def planned(
    selection: Selection[T],
    target: Target,
    listed: Sequence[T],
    now: datetime,
    *,
    complete: bool = True,
    divided: bool = False,
) -> Plan[T]:
    """Return the plan that `selection` makes of all that was `listed`, without how long it takes.

    `complete` and `divided` are as in a `Reading`.
    """
    kept = selection.choose(listed, now)
    ids = {one.id for one in listed}
    named = selection.ids or ()
    delete = tuple(one for one in listed if one.id not in kept)
    return Plan(
        target=target,
        selection=selection.in_words(),
        delete=delete,
        keep=tuple(Kept(item=one, reason=kept[one.id]) for one in listed if one.id in kept),
        absent=tuple(dict.fromkeys(id_ for id_ in named if id_ not in ids and id_ not in selection.exclude)),
        excluded_absent=tuple(sorted(selection.exclude - ids)),
        duplicates=len(named) - len(set(named)),
        complete=complete,
        batch=selection.batch_delete(listed, delete, divided=divided) if complete else None,
    )
