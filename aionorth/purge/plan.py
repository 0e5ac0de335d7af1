"""Which of what the platform lists is to be deleted: selections, and the plan that comes of one. Nothing here sends."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import attrs

from aionorth.common.text import visible, without_userinfo
from aionorth.errors import ArgumentError
from aionorth.models import Kind, Subscription, Target, UpgradePackage, duration
from aionorth.wire.checks import whole
from aionorth.wire.replies import FILE_TYPES, LONGEST_STRING, check_id, check_string, id_fault

Item = Subscription | UpgradePackage
T = TypeVar("T", bound=Subscription | UpgradePackage)


def _ids(ids: Iterable[str] | None) -> tuple[str, ...] | None:
    if isinstance(ids, (str, bytes)):
        raise ArgumentError(f"ids={ids!r}: give several ids, for one id [id]")
    return None if ids is None else tuple(check_id(id_, "id") for id_ in ids)


def _excluded(ids: Iterable[str]) -> frozenset[str]:
    return frozenset(_ids(ids) or ())


def _text(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        check_string(value, f"{type(owner).__name__}.{field.name}")


def _host_glob(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    _glob(owner, field, value)
    if isinstance(value, str) and ("/" in value or re.search(r"^[^:]*:\d+$|^\[.*\]", value)):
        raise ArgumentError(
            f"{type(owner).__name__}.{field.name}={value!r}: give the host alone, without scheme, port, path or "
            "brackets, as in 'old.example.com'; for all of a URL there is callback_url"
        )


def _file_type(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and value not in FILE_TYPES:
        raise ArgumentError(f"{type(owner).__name__}.{field.name}={value!r}: give {' or '.join(FILE_TYPES)}")


def _glob(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ArgumentError(f"{type(owner).__name__}.{field.name}={value!r}: give a glob, as in 'https://old.*'")


@attrs.frozen(kw_only=True)
class Selection:
    """What the two selections have in common. All conditions must hold for what is selected."""

    ids: tuple[str, ...] | None = attrs.field(default=None, converter=_ids, repr=False)
    """Only these ids. Where this is the only condition, nothing is listed: they are taken as they are."""
    exclude: frozenset[str] = attrs.field(default=frozenset(), converter=_excluded, repr=False)
    """Never these ids."""
    everything: bool = False
    """To be said where no condition is given: then all there are is selected."""

    def __attrs_post_init__(self) -> None:
        if not (self.everything or self.ids is not None or self.conditions()):
            raise ArgumentError(
                "a selection without a condition selects everything: say everything=True if you mean it"
            )

    def conditions(self) -> dict[str, object]:
        """The conditions given, other than `ids`, by name."""
        common = {field.name for field in attrs.fields(Selection)} | {"authorized_app_id"}
        given = attrs.asdict(self, recurse=False)
        return {name: value for name, value in given.items() if name not in common and value is not None}

    @property
    def only_ids(self) -> bool:
        """Whether it takes ids as they are, so that there is nothing to list."""
        return self.ids is not None and not self.conditions()

    def in_words(self) -> str:
        """The conditions, as in ``callback host old.example.com, 1,204 ids``."""
        words = [f"{name.replace('_', ' ')} {_shown(value)}" for name, value in self.conditions().items()]
        words += [] if self.ids is None else [f"{len(self.ids):,} ids"]
        words += [f"without {len(self.exclude):,} excluded"] if self.exclude else []
        return ", ".join(words or ["everything"])

    def _common_reason(self, id_: str, named: frozenset[str] | None) -> str | None:
        if id_ in self.exclude:
            return "excluded"
        if id_fault(id_) is not None:
            return "its id cannot be sent in a call"
        return "not among the ids given" if named is not None and id_ not in named else None


@attrs.frozen(kw_only=True)
class SubscriptionSelection(Selection):
    """Which subscriptions are to be deleted."""

    notify_type: str | None = attrs.field(default=None, validator=_text)
    """Only this notify type, as in ``deviceDataChanged``; the platform itself filters by it."""
    callback_url: str | None = attrs.field(default=None, validator=_glob)
    """Only callback URLs like this glob: ``*`` stands for anything, ``?`` for one character."""
    callback_host: str | None = attrs.field(default=None, validator=_host_glob)
    """Only callback URLs of this host, a glob too; upper and lower case are the same."""
    authorized_app_id: str | None = attrs.field(default=None, validator=_text)
    """The app whose subscriptions they are, where it is another one that has authorized this one."""

    def choose(self, listed: Sequence[Subscription], _: datetime) -> dict[str, str]:
        """Return why each of `listed` that stays does so, by id."""
        named = None if self.ids is None else frozenset(self.ids)
        reasons = ((one.id, self._common_reason(one.id, named) or self._reason(one)) for one in listed)
        return {id_: reason for id_, reason in reasons if reason is not None}

    def _reason(self, one: Subscription) -> str | None:
        if self.notify_type is not None and one.notify_type != self.notify_type:
            return "another notify type"
        if self.callback_host is not None and not _like(_host(one.callback_url), self.callback_host.lower()):
            return "another callback host"
        if self.callback_url is not None and not _like(one.callback_url, self.callback_url):
            return "another callback URL"
        return None


LONGEST_AGE = timedelta(days=36_525)


def _positive(_: object, __: object, value: timedelta | None) -> None:
    if value is not None and not (isinstance(value, timedelta) and timedelta() < value < LONGEST_AGE):
        raise ArgumentError(f"older_than={value!r}: give a timedelta above 0, and less than 100 years")


def _count(_: object, field: attrs.Attribute[Any], value: int | None) -> None:
    if value is not None:
        whole(field.name, value)


@attrs.frozen(kw_only=True)
class PackageSelection(Selection):
    """Which version packages are to be deleted. By the first five, the platform itself filters."""

    file_type: str | None = attrs.field(default=None, validator=_file_type)
    """``firmwarePackage`` or ``softwarePackage``."""
    device_type: str | None = attrs.field(default=None, validator=_text)
    model: str | None = attrs.field(default=None, validator=_text)
    manufacturer_name: str | None = attrs.field(default=None, validator=_text)
    version: str | None = attrs.field(default=None, validator=_text)
    name: str | None = attrs.field(default=None, validator=_glob)
    """Only names like this glob: ``*`` stands for anything, ``?`` for one character."""
    older_than: timedelta | None = attrs.field(default=None, validator=_positive)
    """Only what was uploaded longer ago than this. What has no readable upload time stays."""
    keep_latest: int | None = attrs.field(default=None, validator=_count)
    """Of all that the other conditions but `ids`, `exclude` and `older_than` select, the newest so many by upload time
    stay, for each file type, device type, model and manufacturer; so do those as new as the last of these, and what has
    no readable upload time."""

    authorized_app_id: None = attrs.field(default=None, init=False)

    def filters(self) -> dict[str, str | None]:
        """What the platform is to filter by, under its names."""
        return {
            "fileType": self.file_type,
            "deviceType": self.device_type,
            "model": self.model,
            "manufacturerName": self.manufacturer_name,
            "version": self.version,
        }

    def choose(self, listed: Sequence[UpgradePackage], now: datetime) -> dict[str, str]:
        """Return why each of `listed` that stays does so, by id."""
        named = None if self.ids is None else frozenset(self.ids)
        latest = self._latest([one for one in listed if self._reason(one) is None])
        reasons = (
            (one.id, self._common_reason(one.id, named) or self._reason(one) or self._age_reason(one, now, latest))
            for one in listed
        )
        return {id_: reason for id_, reason in reasons if reason is not None}

    def _reason(self, one: UpgradePackage) -> str | None:
        # The platform filters by the first five, and is not taken at its word: an edition that does not know one of
        # these parameters lists all there are.
        for name in ("file_type", "device_type", "model", "manufacturer_name", "version"):
            wanted, value = getattr(self, name), getattr(one, name)
            if wanted is not None and value != wanted:
                what = name.replace("_", " ")
                return f"its {what} is not said" if value is None else f"another {what}"
        return "another name" if self.name is not None and not _like(one.name, self.name) else None

    def _latest(self, packages: Iterable[UpgradePackage]) -> set[str]:
        if self.keep_latest is None:
            return set()
        groups = defaultdict[tuple[str | None, ...], list[tuple[datetime, str]]](list)
        for one in packages:
            if one.upload_time is not None:
                kind = one.file_type, one.device_type, one.model, one.manufacturer_name
                groups[kind].append((one.upload_time, one.id))
        latest = set[str]()
        for group in groups.values():
            times = sorted((time for time, _ in group), reverse=True)
            oldest = times[min(self.keep_latest, len(times)) - 1]
            latest.update(id_ for time, id_ in group if time >= oldest)
        return latest

    def _age_reason(self, one: UpgradePackage, now: datetime, latest: set[str]) -> str | None:
        if self.keep_latest is None and self.older_than is None:
            return None
        if one.upload_time is None:
            return "its upload time cannot be read"
        if one.id in latest:
            return (
                "the newest of its kind"
                if self.keep_latest == 1
                else f"among the {self.keep_latest} newest of its kind"
            )
        if self.older_than is not None and one.upload_time > now - self.older_than:
            return f"uploaded less than {in_days(self.older_than)} ago"
        return None


def _shown(value: object) -> str:
    return in_days(value) if isinstance(value, timedelta) else without_userinfo(visible(str(value)))


def in_days(time: timedelta) -> str:
    """Return a time as in ``90 days``, ``12 hours``."""
    seconds = time.total_seconds()
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size and not seconds % size:
            number = int(seconds // size)
            return f"{number:,} {unit}{'' if number == 1 else 's'}"
    return f"{seconds:g} seconds"


def _like(text: str | None, glob: str) -> bool:
    """Whether `text` is like `glob`, in which only ``*`` and ``?`` stand for others; what is not said is like none."""
    return bool(text) and fnmatchcase(text or "", glob.replace("[", "[[]"))


def _host(url: str | None) -> str:
    try:
        return (urlsplit(url or "").hostname or "").lower()
    except ValueError:
        return ""


@attrs.frozen(kw_only=True)
class BatchDelete:
    """The one call of the platform that would take exactly what a plan takes, by these filters."""

    notify_type: str | None = None
    callback_url: str | None = None

    def __str__(self) -> str:
        filters = (("notify type", self.notify_type), ("callback URL", self.callback_url))
        return " and ".join(f"{name} {without_userinfo(value)}" for name, value in filters if value is not None)


@attrs.frozen(kw_only=True)
class Kept(Generic[T]):
    """What stays, and why."""

    item: T
    reason: str


@attrs.frozen(kw_only=True)
class Plan(Generic[T]):
    """What will be deleted and what stays. It does not change; what happens on the platform meanwhile is not in it."""

    target: Target
    selection: str = ""
    """The conditions, in words."""
    delete: tuple[T, ...] = attrs.field(repr=False)
    """What will be deleted; where only ids were given, all that is known of an item is its id."""
    keep: tuple[Kept[T], ...] = attrs.field(default=(), repr=False)
    """What was listed and stays."""
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
    """The one call that would take exactly this, where there is one. It would also take what was created since."""

    @property
    def calls(self) -> int:
        """How many calls the deletion takes: one for each item."""
        return len(self.delete)

    def reasons(self) -> list[tuple[str, int]]:
        """Why what stays does so, and how much for each reason, the commonest first."""
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
        told = [] if self.complete else ["  There may be more: the list changed while it was read, or was not whole."]
        return "\n".join([*head, *(f"  {number:>{width},} {text}" for number, text in rows), *told])


def _to_dict(item: Item) -> dict[str, Any]:
    known = attrs.asdict(item, filter=lambda field, value: field.name != "fields" and value is not None)
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in known.items()}


def planned(
    selection: SubscriptionSelection | PackageSelection,
    target: Target,
    listed: Sequence[Any],
    now: datetime,
    *,
    complete: bool = True,
    by_type: bool = False,
) -> Plan[Any]:
    """Return the plan that `selection` makes of all that was `listed`; `seconds` is left to whoever knows it.

    `complete` and `by_type` are as in a `Reading`.
    """
    staying = selection.choose(listed, now)
    ids = {one.id for one in listed}
    named = selection.ids or ()
    delete = tuple(one for one in listed if one.id not in staying)
    return Plan(
        target=target,
        selection=selection.in_words(),
        delete=delete,
        keep=tuple(Kept(item=one, reason=staying[one.id]) for one in listed if one.id in staying),
        absent=tuple(dict.fromkeys(id_ for id_ in named if id_ not in ids and id_ not in selection.exclude)),
        excluded_absent=tuple(sorted(selection.exclude - ids)),
        duplicates=len(named) - len(set(named)),
        complete=complete,
        batch=_batch(selection, listed, delete, by_type=by_type) if complete else None,
    )


def bare(kind: Kind, id_: str) -> Item:
    """Return an item of which nothing but its id is known."""
    return Subscription(subscription_id=id_) if kind is Kind.SUBSCRIPTIONS else UpgradePackage(file_id=id_)


def _batch(
    selection: Selection, listed: Sequence[Item], delete: Sequence[Item], *, by_type: bool
) -> BatchDelete | None:
    """Return the narrowest batch delete that takes `delete` and nothing else of what was listed, if there is one."""
    if not isinstance(selection, SubscriptionSelection) or len(delete) == 1:  # where one call does, it is the usual one
        return None
    subscriptions = [one for one in listed if isinstance(one, Subscription)]
    chosen = {one.id for one in delete}
    facts = {(one.notify_type, one.callback_url) for one in subscriptions if one.id in chosen}
    types, urls = {type_ for type_, _ in facts}, {url for _, url in facts}
    notify_type = _filter(types.pop()) if len(types) == 1 else None
    url = _filter(urls.pop()) if len(urls) == 1 else None
    for batch in (
        BatchDelete(notify_type=notify_type, callback_url=url),
        BatchDelete(notify_type=notify_type),
        BatchDelete(callback_url=url),
    ):
        if batch.notify_type is None and (by_type or selection.notify_type is not None):
            continue  # of other types there may be some that were not listed
        if batch != BatchDelete() and chosen == {one.id for one in subscriptions if _takes(batch, one)}:
            return batch
    return None


def _filter(value: str | None) -> str | None:
    """Return `value` if the platform can filter by it; None for what is too long, or written out with a backslash."""
    return None if value is None or len(value) > LONGEST_STRING or "\\" in value else value


def _takes(batch: BatchDelete, one: Subscription) -> bool:
    return batch.notify_type in {None, one.notify_type} and batch.callback_url in {None, one.callback_url}
