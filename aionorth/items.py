"""What the platform has: the kinds of resource, the items that it lists, and whose they are."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import attrs

from aionorth.common.text import visible, without_userinfo


class Kind(enum.StrEnum):
    """What is deleted. All else that differs between kinds stands in the table of resources."""

    id_name: str
    """What the platform calls the id."""

    SUBSCRIPTIONS = "subscriptions", "subscription_id"
    PACKAGES = "packages", "file_id"

    def __new__(cls, value: str, id_name: str = "id") -> Self:
        """Make a member of its value and the name of its id."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.id_name = id_name
        return member


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
        known = (visible(self.subscription_id), self.notify_type, self.callback_url)
        return without_userinfo("  ".join(filter(None, known)))


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
        day = None if self.upload_time is None else f"{self.upload_time:%Y-%m-%d}"
        known = (
            visible(self.file_id),
            self.name,
            self.version,
            self.device_type,
            self.model,
            self.manufacturer_name,
            day,
        )
        return without_userinfo("  ".join(filter(None, known)))


@attrs.frozen(kw_only=True)
class Target:
    """What is deleted, and where."""

    kind: Kind
    url: str
    """The platform's base URL."""
    app_id: str
    authorized_app_id: str | None = None
    """The app whose subscriptions they are, where it is another one."""

    def __str__(self) -> str:
        of = self.app_id if self.authorized_app_id is None else f"{self.authorized_app_id} (as {self.app_id})"
        return f"{self.kind.value} of {of} at {self.url}"
