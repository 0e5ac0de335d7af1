"""A plan: what will be deleted, what is kept, and why. A value; nothing here sends."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Generic, TypeVar

import attrs

from aionorth.common.text import without_userinfo
from aionorth.common.times import duration
from aionorth.models import Target
from aionorth.wire.resources import Item

T = TypeVar("T", bound=Item)


@attrs.frozen(kw_only=True)
class BatchDelete:
    """The platform's one call, with these filters, that would delete exactly what a plan deletes."""

    notify_type: str | None = None
    callback_url: str | None = None

    def __str__(self) -> str:
        filters = (("notify type", self.notify_type), ("callback URL", self.callback_url))
        return " and ".join(f"{name} {without_userinfo(value)}" for name, value in filters if value is not None)


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

    def reasons(self) -> list[tuple[str, int]]:
        """Why items are kept, and how many for each reason, the commonest first."""
        return Counter(kept.reason for kept in self.keep).most_common()

    def size(self) -> str:
        """As in ``1,204 calls, about 12 min 3 s``."""
        return f"{self.calls:,} call{'' if self.calls == 1 else 's'}, about {duration(self.seconds)}"

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-ready values."""
        return attrs.asdict(self.target) | {
            "kind": self.target.kind.value,
            "selection": self.selection,
            "calls": self.calls,
            "seconds": round(self.seconds, 3),
            "delete": [_to_dict(item) for item in self.delete],
            "keep": [_to_dict(kept.item) | {"reason": kept.reason} for kept in self.keep],
            "absent": list(self.absent),
            "excluded_absent": list(self.excluded_absent),
            "complete": self.complete,
            "duplicates": self.duplicates,
            "batch": None if self.batch is None else attrs.asdict(self.batch),
        }

    def __str__(self) -> str:
        listed = len(self.delete) + len(self.keep)
        of = f"{len(self.delete):,} of {listed:,}" if self.keep else f"{len(self.delete):,}"
        rows = [(len(self.delete), f"to delete: {self.size()}")]
        rows += [(number, f"to stay: {reason}") for reason, number in self.reasons()]
        rows += [(len(self.absent), "named, but not among what the platform listed")] if self.absent else []
        rows += [(len(self.excluded_absent), "excluded, but not there anyway")] if self.excluded_absent else []
        width = max(len(f"{number:,}") for number, _ in rows)
        head = [f"{of} {self.target}", *([f"  selected: {self.selection}"] if self.selection else [])]
        notes = [] if self.complete else ["  There may be more: the list changed while it was read, or was not whole."]
        return "\n".join([*head, *(f"  {number:>{width},} {text}" for number, text in rows), *notes])


def _to_dict(item: Any) -> dict[str, Any]:  # noqa: ANN401 - an item of any kind
    known = attrs.asdict(item, filter=lambda field, value: field.name != "fields" and value is not None)
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in known.items()}
