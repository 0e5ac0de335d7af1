"""Which devices and device groups are to be deleted, and what goes along with a gateway. Nothing here sends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import attrs

from aionorth.common.arguments import argument
from aionorth.errors import ArgumentError
from aionorth.items import Device, DeviceGroup, Kind
from aionorth.purge.selections import EXCLUDED, Selection, glob, like, named, one_of, text
from aionorth.wire.requests import check_cascade
from aionorth.wire.resources import DEVICE_STATUSES, DEVICES, NODE_TYPES

BEFORE_EXCLUDED = "an excluded device is behind it"
"""Why a gateway is kept that would take an excluded device along."""


def _aware(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not (isinstance(value, datetime) and value.tzinfo is not None):
        raise ArgumentError(
            f"{named(owner, field)}={value!r}: give a datetime with a time zone, as in datetime(2026, 3, 1, tzinfo=UTC)"
        )


def _choice(_: object, __: object, value: Any) -> None:  # noqa: ANN401 - it may be anything
    check_cascade(DEVICES, value)


@attrs.frozen(kw_only=True)
class DeviceSelection(Selection[Device]):
    """Which devices are to be deleted.

    By status, device type, node type, gateway and time of registration the platform itself filters. With `cascade` all
    devices are listed nevertheless, because whatever is behind a gateway goes with it.
    """

    kind: ClassVar[Kind] = Kind.DEVICES

    cascade: bool = attrs.field(validator=_choice)
    """Whether the devices behind a gateway are deleted with it. It has no default: the platform's own takes them along,
    what a caller may not expect."""
    status: str | None = attrs.field(default=None, validator=one_of(DEVICE_STATUSES))
    """``ONLINE``, ``OFFLINE``, ``INACTIVE`` or ``ABNORMAL``."""
    device_type: str | None = attrs.field(default=None, validator=text)
    model: str | None = attrs.field(default=None, validator=text)
    manufacturer_name: str | None = attrs.field(default=None, validator=text)
    name: str | None = attrs.field(default=None, validator=glob)
    """Only names like this glob: ``*`` stands for anything, ``?`` for one character."""
    node_type: str | None = attrs.field(default=None, validator=one_of(NODE_TYPES))
    """``ENDPOINT``, ``GATEWAY`` or, as the platform spells it, ``UNKNOW``."""
    gateway_id: str | None = attrs.field(default=None, validator=text)
    """Only devices behind this gateway, not the gateway itself."""
    registered_before: datetime | None = attrs.field(default=None, validator=_aware)
    """Only what was registered before this time. What has no readable time of registration is kept."""
    registered_after: datetime | None = attrs.field(default=None, validator=_aware)
    """Only what was registered at this time or after it; as above."""
    not_seen_since: datetime | None = attrs.field(default=None, validator=_aware)
    """Only what the platform has not changed its record of since this time (``lastModifiedTime``; it lists no other
    sign of life). What has no readable one is kept."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        after, before = self.registered_after, self.registered_before
        if after is not None and before is not None and after >= before:
            names = (argument(f"DeviceSelection.{name}") for name in ("registered_after", "registered_before"))
            raise ArgumentError(
                f"{next(names)}={after.isoformat()} is not earlier than {next(names)}={before.isoformat()}: no device "
                "is registered after the one and before the other; correct them"
            )

    @property
    def only_ids(self) -> bool:
        """As in `Selection`; but what goes along with gateways has to be listed."""
        return super().only_ids and not self.cascade

    @property
    def depends_on_all(self) -> bool:
        """See `Selection.depends_on_all`: a gateway may be kept for the sake of what is behind it."""
        return self.cascade

    def filters(self) -> dict[str, str | None]:
        """The conditions by which the platform itself filters, its times in whole seconds; none with `cascade`."""
        if self.cascade:
            return {}
        return {
            name: _stamp(value, up=name == "registered_before") if isinstance(value, datetime) else value
            for name, value in super().filters().items()
        }

    def in_words(self) -> str:
        """As in `Selection`."""
        return f"{super().in_words()}{', and what is behind a gateway with it' if self.cascade else ''}"

    def choose(self, listed: Sequence[Device], now: datetime) -> dict[str, str]:
        """Return why each of `listed` that is kept is kept, by id."""
        kept = super().choose(listed, now)
        gateways = _gateways(listed)
        for id_ in [id_ for id_, reason in kept.items() if reason is EXCLUDED] if self.cascade else ():
            for gateway in _above(id_, gateways):
                kept.setdefault(gateway, BEFORE_EXCLUDED)
        return kept

    def in_order(self, delete: Sequence[Device]) -> tuple[Device, ...]:
        """Return `delete` with each device before its gateway, so that it does not go along before its own call."""
        gateways = _gateways(delete) if self.cascade else {}
        return tuple(sorted(delete, key=lambda one: -sum(1 for _ in _above(one.id, gateways))))

    def along(self, listed: Sequence[Device], delete: Sequence[Device]) -> Mapping[str, str]:
        """Return the ids of what is behind gateways in `delete` without being selected itself, with its gateway's."""
        gateways = _gateways(listed) if self.cascade else {}
        chosen = {one.id for one in delete}
        takers = {id_: next((above for above in _above(id_, gateways) if above in chosen), None) for id_ in gateways}
        return {id_: taker for id_, taker in takers.items() if taker is not None and id_ not in chosen}

    def _reason(self, one: Device) -> str | None:
        # The platform's filtering is not relied on, as in `PackageSelection`.
        other = self._differs(one, "status", "device_type", "model", "manufacturer_name", "node_type")
        if other is not None:
            return other
        if self.gateway_id is not None and one.behind != self.gateway_id:
            return "not behind that gateway"
        if self.name is not None and not like(one.name, self.name):
            return "another name"
        return self._time_reason(one)

    def _time_reason(self, one: Device) -> str | None:
        before, after, since = self.registered_before, self.registered_after, self.not_seen_since
        if (before or after) and one.created is None:
            return "its time of registration cannot be read"
        if one.created is not None and before is not None and one.created >= before:
            return "registered later"
        if one.created is not None and after is not None and one.created < after:
            return "registered earlier"
        if since is None:
            return None
        if one.last_modified is None:
            return "when it was last seen cannot be read"
        return "seen since" if one.last_modified >= since else None


@attrs.frozen(kw_only=True)
class DeviceGroupSelection(Selection[DeviceGroup]):
    """Which device groups are to be deleted. The devices in a group stay."""

    kind: ClassVar[Kind] = Kind.DEVICE_GROUPS

    name: str | None = attrs.field(default=None, validator=glob)
    """Only names like this glob: ``*`` stands for anything, ``?`` for one character."""
    empty: bool | None = attrs.field(default=None, validator=attrs.validators.in_((None, True)))
    """True: only groups without a device. One whose number of devices cannot be read is kept."""

    def _reason(self, one: DeviceGroup) -> str | None:
        if self.name is not None and not like(one.name, self.name):
            return "another name"
        if self.empty and one.members != 0:
            return "how many devices are in it is not said" if one.members is None else "devices are in it"
        return None


def _stamp(time: datetime, *, up: bool) -> str:
    """Return a time as the platform's filters have it, rounded so that they let through all that may be selected."""
    seconds = math.ceil(time.timestamp()) if up else math.floor(time.timestamp())
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%SZ}"


def _gateways(devices: Iterable[Device]) -> dict[str, str]:
    """Return the gateway of each device that is behind one."""
    return {one.id: one.behind for one in devices if one.behind is not None}


def _above(id_: str, gateways: Mapping[str, str]) -> Iterator[str]:
    """Yield the gateways that a device is behind, the nearest first. A circle, which cannot be, ends it."""
    seen = {id_}
    while (above := gateways.get(id_)) is not None and above not in seen:
        seen.add(above)
        yield above
        id_ = above
