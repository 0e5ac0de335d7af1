"""Which of what the platform lists is to be deleted, and why the rest is kept. Nothing here sends."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit

import attrs

from aionorth.common.arguments import argument
from aionorth.common.text import many, visible, without_userinfo
from aionorth.common.times import in_whole_units
from aionorth.errors import ArgumentError
from aionorth.items import Kind, Subscription, UpgradePackage
from aionorth.wire.checks import LONGEST_STRING, check_id, check_string, id_fault, whole_field
from aionorth.wire.resources import FILE_TYPES, RESOURCES, Item

T_co = TypeVar("T_co", bound=Item, covariant=True)

LONGEST_AGE = timedelta(days=36_525)

EXCLUDED = "excluded"
"""Why an item is kept that `Selection.exclude` names."""

UNSENDABLE = "its id cannot be sent in a call"
"""Why an item is kept that no call can name."""


def _ids(ids: Iterable[str] | None) -> tuple[str, ...] | None:
    if isinstance(ids, (str, bytes)):
        raise ArgumentError(f"ids={ids!r}: give several ids, for one id [id]")
    return None if ids is None else tuple(check_id(id_, "id") for id_ in ids)


def _excluded(ids: Iterable[str]) -> frozenset[str]:
    return frozenset(_ids(ids) or ())


def named(owner: object, field: attrs.Attribute[Any]) -> str:
    """Return the name of a field for messages."""
    return argument(f"{type(owner).__name__}.{field.name}")


def text(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate a field: None, or a String(256)."""
    if value is not None:
        check_string(value, named(owner, field))


def glob(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate a field: None, or a glob."""
    if value is not None and (not isinstance(value, str) or not value):
        raise ArgumentError(f"{named(owner, field)}={value!r}: give a glob, as in 'https://old.*'")


def _host_glob(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not value or "/" in value or re.search(r"^[^:]*:\d+$|^\[.*\]", value):
        raise ArgumentError(
            f"{named(owner, field)}={value!r}: give the host alone, without scheme, port, path or "
            "brackets, as in 'old.example.com'; for all of a URL there is "
            f"{argument('callback_url')}"
        )


def one_of(values: Sequence[str]) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return a validator: None, or one of `values`."""

    def check(owner: object, field: attrs.Attribute[Any], value: object) -> None:
        if value is not None and value not in values:
            raise ArgumentError(f"{named(owner, field)}={value!r}: give {', '.join(values[:-1])} or {values[-1]}")

    return check


def _positive(_: object, __: object, value: timedelta | None) -> None:
    if value is not None and not (isinstance(value, timedelta) and timedelta() < value < LONGEST_AGE):
        raise ArgumentError(f"{argument('older_than')}={value!r}: give a timedelta above 0, and less than 100 years")


@attrs.frozen(kw_only=True)
class BatchDelete:
    """The platform's one call, with these filters, that would delete exactly what a plan deletes."""

    notify_type: str | None = None
    callback_url: str | None = None

    def takes_exactly(self, delete: Sequence[Any], keep: Sequence[Any]) -> bool:
        """Whether it deletes all of `delete` and nothing of `keep`."""
        return all(_deletes(self, one) for one in delete) and not any(_deletes(self, one) for one in keep)

    def __str__(self) -> str:
        filters = (("notify type", self.notify_type), ("callback URL", self.callback_url))
        return " and ".join(f"{name} {without_userinfo(value)}" for name, value in filters if value is not None)


@attrs.frozen(kw_only=True)
class Selection(Generic[T_co]):
    """What all selections have in common. An item is selected if all conditions hold for it."""

    kind: ClassVar[Kind]

    ids: tuple[str, ...] | None = attrs.field(default=None, converter=_ids, repr=False)
    """Only these ids. Where this is the only condition, nothing is listed: the ids are used as they are."""
    exclude: frozenset[str] = attrs.field(default=frozenset(), converter=_excluded, repr=False)
    """Never these ids."""
    everything: bool = False
    """Must be true where no condition is given: then everything is selected."""
    authorized_app_id: str | None = attrs.field(default=None, validator=text)
    """The app whose resources they are, where it is another one that has authorized this one."""
    cascade: bool | None = attrs.field(default=None, init=False)
    """Whether what is behind a resource is deleted with it; None for kinds that have no such choice."""

    def __attrs_post_init__(self) -> None:
        if not (self.everything or self.ids is not None or self.conditions()):
            raise ArgumentError(
                f"a selection without a condition selects everything: say {argument('everything')}=True if you mean it"
            )

    def conditions(self) -> dict[str, object]:
        """The conditions given, other than `ids`, by name."""
        common = {field.name for field in attrs.fields(Selection)}
        given = attrs.asdict(self, recurse=False)
        return {name: value for name, value in given.items() if name not in common and value is not None}

    def filters(self) -> dict[str, str | None]:
        """The conditions by which the platform itself filters."""
        return {name: getattr(self, name) for name in RESOURCES[self.kind].listing.filters}

    @property
    def only_ids(self) -> bool:
        """Whether ids are the only condition, or there are none, so that nothing has to be listed."""
        return self.ids is not None and not (self.ids and self.conditions())

    @property
    def depends_on_all(self) -> bool:
        """Whether an item is selected or not for the sake of others that are listed."""
        return False

    def in_words(self) -> str:
        """The conditions, as in ``callback host old.example.com, 1,204 ids``."""
        words = [f"{name.replace('_', ' ')}{_shown(value)}" for name, value in self.conditions().items()]
        words += [] if self.ids is None else [many(len(self.ids), "id")]
        words += [f"but for {len(self.exclude):,} excluded"] if self.exclude else []
        return ", ".join(words or ["everything"])

    def choose(self, listed: Sequence[Any], now: datetime) -> dict[str, str]:  # noqa: ARG002 - for those that look at times
        """Return why each of `listed` that is kept is kept, by id."""
        named = None if self.ids is None else frozenset(self.ids)
        reasons = ((one.id, self._common_reason(one.id, named) or self._reason(one)) for one in listed)
        return {id_: reason for id_, reason in reasons if reason is not None}

    def in_order(self, delete: Sequence[Any]) -> tuple[Any, ...]:
        """Return `delete` in the order in which it is to be deleted."""
        return tuple(delete)

    def along(self, listed: Sequence[Any], delete: Sequence[Any]) -> Mapping[str, str]:  # noqa: ARG002 - as above
        """Return the ids of what goes along without being selected itself, and the id in `delete` that it goes with."""
        return {}

    def _common_reason(self, id_: str, named: frozenset[str] | None) -> str | None:
        if id_ in self.exclude:
            return EXCLUDED
        if id_fault(id_) is not None:
            return UNSENDABLE
        return "not among the ids given" if named is not None and id_ not in named else None

    def _reason(self, one: Any) -> str | None:  # noqa: ANN401 - an item of the kind
        raise NotImplementedError

    def _differs(self, one: Any, *names: str) -> str | None:  # noqa: ANN401 - as above
        """Return in which of these conditions `one` differs; None where it meets them all."""
        for name in names:
            wanted, value = getattr(self, name), getattr(one, name)
            if wanted is not None and value != wanted:
                what = name.replace("_", " ")
                return f"its {what} is not said" if value is None else f"another {what}"
        return None

    def batch_delete(self, listed: Sequence[Any], delete: Sequence[Any], *, divided: bool) -> BatchDelete | None:  # noqa: ARG002 - for kinds with such a call
        """Return the platform's one call that deletes `delete` and nothing else of what was listed, if there is one.

        `divided` is as in a `Reading`.
        """
        return None

    def unlisted_batch(self) -> BatchDelete | None:
        """Return the platform's one call that deletes what this selects, without a list of it, if there is one."""
        return None


@attrs.frozen(kw_only=True)
class SubscriptionSelection(Selection[Subscription]):
    """Which subscriptions are to be deleted."""

    kind: ClassVar[Kind] = Kind.SUBSCRIPTIONS

    notify_type: str | None = attrs.field(default=None, validator=text)
    """Only this notify type, as in ``deviceDataChanged``; the platform itself filters by it."""
    callback_url: str | None = attrs.field(default=None, validator=glob)
    """Only callback URLs like this glob: ``*`` stands for anything, ``?`` for one character."""
    callback_host: str | None = attrs.field(default=None, validator=_host_glob)
    """Only callback URLs of this host, a glob too; case does not matter."""

    def _reason(self, one: Subscription) -> str | None:
        if self.notify_type is not None and one.notify_type != self.notify_type:
            return "another notify type"
        if self.callback_host is not None and not like(_host(one.callback_url), self.callback_host.lower()):
            return "another callback host"
        if self.callback_url is not None and not like(one.callback_url, self.callback_url):
            return "another callback URL"
        return None

    def batch_delete(
        self, listed: Sequence[Subscription], delete: Sequence[Subscription], *, divided: bool
    ) -> BatchDelete | None:
        """Return the narrowest call of that kind; see `Selection.batch_delete`."""
        if len(delete) == 1:  # then the usual call does
            return None
        chosen = {one.id for one in delete}
        facts = {(one.notify_type, one.callback_url) for one in listed if one.id in chosen}
        types, urls = {type_ for type_, _ in facts}, {url for _, url in facts}
        notify_type = _filter(types.pop()) if len(types) == 1 else None
        url = _filter(urls.pop()) if len(urls) == 1 else None
        for batch in (
            BatchDelete(notify_type=notify_type, callback_url=url),
            BatchDelete(notify_type=notify_type),
            BatchDelete(callback_url=url),
        ):
            if batch.notify_type is None and (divided or self.notify_type is not None):
                continue  # there may be some of other types that were not listed
            if batch != BatchDelete() and chosen == {one.id for one in listed if _deletes(batch, one)}:
                return batch
        return None

    def unlisted_batch(self) -> BatchDelete | None:
        """Return the call whose filters are all that this selects by; see `Selection.unlisted_batch`.

        It takes the callback URL as it is. A ``?`` in it is then no sign of a glob, but the beginning of its query.
        """
        filters = [value for value in (self.notify_type, self.callback_url) if value is not None]
        others = len(self.conditions()) > len(filters) or self.ids is not None or self.exclude
        if not filters or others or "*" in (self.callback_url or "") or None in map(_filter, filters):
            return None
        return BatchDelete(notify_type=self.notify_type, callback_url=self.callback_url)


@attrs.frozen(kw_only=True)
class PackageSelection(Selection[UpgradePackage]):
    """Which version packages are to be deleted. By the first five, the platform itself filters."""

    kind: ClassVar[Kind] = Kind.PACKAGES

    file_type: str | None = attrs.field(default=None, validator=one_of(FILE_TYPES))
    """``firmwarePackage`` or ``softwarePackage``."""
    device_type: str | None = attrs.field(default=None, validator=text)
    model: str | None = attrs.field(default=None, validator=text)
    manufacturer_name: str | None = attrs.field(default=None, validator=text)
    version: str | None = attrs.field(default=None, validator=text)
    name: str | None = attrs.field(default=None, validator=glob)
    """Only names like this glob: ``*`` stands for anything, ``?`` for one character."""
    older_than: timedelta | None = attrs.field(default=None, validator=_positive)
    """Only what was uploaded longer ago than this. What has no readable upload time is kept."""
    keep_latest: int | None = attrs.field(default=None, validator=whole_field)
    """Keep the newest so many, by upload time, for each file type, device type, model and manufacturer.

    They are taken from all that the other conditions but ``ids``, ``exclude`` and ``older_than`` select. Those as new
    as the last of them are kept too, and so is what has no readable upload time."""

    authorized_app_id: None = attrs.field(default=None, init=False)

    @property
    def depends_on_all(self) -> bool:
        """See `Selection.depends_on_all`."""
        return self.keep_latest is not None

    def choose(self, listed: Sequence[UpgradePackage], now: datetime) -> dict[str, str]:
        """Return why each of `listed` that is kept is kept, by id."""
        kept = super().choose(listed, now)
        latest = self._latest([one for one in listed if self._reason(one) is None])
        for one in listed:
            if one.id not in kept and (reason := self._age_reason(one, now, latest)) is not None:
                kept[one.id] = reason
        return kept

    def _reason(self, one: UpgradePackage) -> str | None:
        # The platform's filtering is not relied on: an edition that does not know a parameter lists everything.
        if (other := self._differs(one, *self.filters())) is not None:
            return other
        return "another name" if self.name is not None and not like(one.name, self.name) else None

    def _latest(self, packages: Iterable[UpgradePackage]) -> set[str]:
        if self.keep_latest is None:
            return set()
        groups = defaultdict[tuple[str | None, ...], list[tuple[datetime, str]]](list)
        for one in packages:
            if one.upload_time is not None:
                alike = one.file_type, one.device_type, one.model, one.manufacturer_name
                groups[alike].append((one.upload_time, one.id))
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
            return f"uploaded less than {in_whole_units(self.older_than)} ago"
        return None


def _shown(value: object) -> str:
    match value:
        case True:  # the condition is said by its name
            return ""
        case timedelta():
            return f" {in_whole_units(value)}"
        case datetime():
            return f" {value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        case _:
            return f" {without_userinfo(visible(str(value)))}"


def like(text: str | None, glob: str) -> bool:
    """Whether `text` matches `glob`, in which only ``*`` and ``?`` are special. A missing text matches none."""
    return bool(text) and fnmatchcase(text or "", glob.replace("[", "[[]"))


def _host(url: str | None) -> str:
    try:
        return (urlsplit(url or "").hostname or "").lower()
    except ValueError:
        return ""


def _filter(value: str | None) -> str | None:
    """Return `value` if the platform can filter by it; None for what is too long, or written out with a backslash."""
    return None if value is None or len(value) > LONGEST_STRING or "\\" in value else value


def _deletes(batch: BatchDelete, one: Subscription) -> bool:
    return batch.notify_type in {None, one.notify_type} and batch.callback_url in {None, one.callback_url}
