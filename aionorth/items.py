"""What the platform has: the kinds of resource, the items that it lists, and whose they are."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import attrs

from aionorth.common.text import many, visible, without_userinfo


class Kind(enum.StrEnum):
    """What is deleted. All else that differs between kinds stands in the table of resources."""

    id_name: str
    """What the platform calls the id."""

    SUBSCRIPTIONS = "subscriptions", "subscription_id"
    PACKAGES = "packages", "file_id"
    DEVICES = "devices", "device_id"
    DEVICE_GROUPS = "device-groups", "dev_group_id"

    def __new__(cls, value: str, id_name: str = "id") -> Self:
        """Make a member of its value and the name of its id."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.id_name = id_name
        return member

    @property
    def words(self) -> str:
        """Its items, in a sentence: ``device groups``."""
        return self.value.replace("-", " ")


def _in_words(id_: str, *known: str | None) -> str:
    return without_userinfo("  ".join(filter(None, (visible(id_), *known))))


def _day(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%Y-%m-%d}"


@attrs.frozen(kw_only=True)
class Subscription:
    """A subscription, as the platform lists it. What a reply does not contain is None."""

    subscription_id: str
    notify_type: str | None = None
    callback_url: str | None = None
    fields: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False)
    """All fields of the reply, under the platform's names, including those that are unknown here."""

    @property
    def id(self) -> str:
        """The subscriptionId."""
        return self.subscription_id

    def in_words(self) -> str:
        """As in ``sub-1  deviceAdded  https://server:443/callback``; a password in the URL is left out."""
        return _in_words(self.subscription_id, self.notify_type, self.callback_url)


@attrs.frozen(kw_only=True)
class UpgradePackage:
    """A version package, as the platform lists it. What a reply does not contain, or not readably, is None."""

    file_id: str
    name: str | None = None
    version: str | None = None
    file_type: str | None = None
    """``firmwarePackage`` or ``softwarePackage``."""
    device_type: str | None = None
    model: str | None = None
    manufacturer_name: str | None = None
    protocol_type: str | None = None
    description: str | None = None
    upload_time: datetime | None = None
    """When it was uploaded, with a time zone: UTC where the platform names none."""
    fields: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False)
    """All fields of the reply, under the platform's names, including those that are unknown here."""

    @property
    def id(self) -> str:
        """The fileId."""
        return self.file_id

    def in_words(self) -> str:
        """As in ``file-1  meter.zip  V1.2  WM-1  Acme  2026-03-01``."""
        return _in_words(
            self.file_id,
            self.name,
            self.version,
            self.device_type,
            self.model,
            self.manufacturer_name,
            _day(self.upload_time),
        )


@attrs.frozen(kw_only=True)
class Device:
    """A device, as the platform lists it. What a reply does not contain, or not readably, is None."""

    device_id: str
    gateway_id: str | None = None
    """The gateway that it is connected through; for one that is connected directly None, or its own id."""
    node_type: str | None = None
    """``ENDPOINT``, ``GATEWAY`` or, as the platform spells it, ``UNKNOW``."""
    name: str | None = None
    status: str | None = None
    """``ONLINE``, ``OFFLINE``, ``INACTIVE`` or ``ABNORMAL``."""
    device_type: str | None = None
    model: str | None = None
    manufacturer_name: str | None = None
    node_id: str | None = None
    """What it calls itself, such as a serial number."""
    created: datetime | None = None
    """When it was registered, with a time zone: UTC where the platform names none."""
    last_modified: datetime | None = None
    """When the platform last changed what it knows of it."""
    fields: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False)
    """All fields of the reply, under the platform's names, including those that are unknown here."""

    @property
    def id(self) -> str:
        """The deviceId."""
        return self.device_id

    @property
    def behind(self) -> str | None:
        """The id of the gateway that it is behind; None for one that is connected directly."""
        return None if self.gateway_id == self.device_id else self.gateway_id

    def in_words(self) -> str:
        """As in ``dev-1  meter 7  OFFLINE  WaterMeter  WM-1  Acme  behind gw-1  2026-03-01``."""
        return _in_words(
            self.device_id,
            self.name,
            self.status,
            self.device_type,
            self.model,
            self.manufacturer_name,
            self.behind and f"behind {visible(self.behind)}",
            _day(self.created),
        )


@attrs.frozen(kw_only=True)
class DeviceGroup:
    """A group of devices, as the platform lists it. What a reply does not contain is None."""

    dev_group_id: str
    name: str | None = None
    description: str | None = None
    members: int | None = None
    """How many devices are in it."""
    max_members: int | None = None
    creator: str | None = None
    fields: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False)
    """All fields of the reply, under the platform's names, including those that are unknown here."""

    @property
    def id(self) -> str:
        """The devGroupId."""
        return self.dev_group_id

    def in_words(self) -> str:
        """As in ``group-1  meters of May  12 devices``."""
        members = None if self.members is None else many(self.members, "device")
        return _in_words(self.dev_group_id, self.name, members)


@attrs.frozen(kw_only=True)
class Target:
    """What is deleted, and where."""

    kind: Kind
    url: str
    """The platform's base URL."""
    app_id: str
    authorized_app_id: str | None = None
    """The app whose resources they are, where it is another one."""
    cascade: bool | None = None
    """Whether the devices behind a gateway go with it; None for kinds that have no such choice."""

    def to_dict(self) -> dict[str, Any]:
        """The target as JSON-ready values; ``cascade`` only where the kind has it."""
        known = attrs.asdict(self) | {"kind": self.kind.value}
        return {name: value for name, value in known.items() if name != "cascade" or value is not None}

    def __str__(self) -> str:
        of = self.app_id if self.authorized_app_id is None else f"{self.authorized_app_id} (as {self.app_id})"
        return f"{self.kind.words} of {of} at {self.url}"
