"""What the platform has, as a table: one row for each kind of resource.

All that differs between kinds stands in their rows. Requests, replies, lists, plans and sessions read it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Generic, Protocol, TypeVar

import attrs

from aionorth import errors
from aionorth.errors import (
    DeviceGroupNotFoundError,
    DeviceNotFoundError,
    NorthApiError,
    NotFoundError,
    PackageNotFoundError,
    SubscriptionNotFoundError,
)
from aionorth.items import Device, DeviceGroup, Kind, Subscription, UpgradePackage
from aionorth.wire.body import count, fields_of, shown_text, text, time
from aionorth.wire.checks import LONGEST_STRING

SUCCESS = frozenset({int(HTTPStatus.OK), int(HTTPStatus.NO_CONTENT)})
"""The documents name one of the two for each call. Editions differ in which, so both count."""

PAGE_SIZE = 100
"""Items in a page of a list: the maximum that the platform allows for version packages."""

NOTIFY_TYPES = (
    "deviceAdded",
    "bindDevice",
    "deviceInfoChanged",
    "deviceDataChanged",
    "deviceDatasChanged",
    "deviceCapabilitiesChanged",
    "deviceCapabilitiesAdded",
    "deviceCapabilitiesDeleted",
    "deviceDeleted",
    "messageConfirm",
    "commandRsp",
    "ruleEvent",
    "deviceDesiredPropertiesModifyStatusChanged",
    "swUpgradeStateChangeNotify",
    "swUpgradeResultNotify",
    "fwUpgradeStateChangeNotify",
    "fwUpgradeResultNotify",
)
"""The notify types in the documents; an edition may have others."""

FILE_TYPES = ("firmwarePackage", "softwarePackage")
"""The documents' file types of version packages."""

NODE_TYPES = ("ENDPOINT", "GATEWAY", "UNKNOW")
"""The documents' node types of devices, spelt as they spell them."""

DEVICE_STATUSES = ("ONLINE", "OFFLINE", "INACTIVE", "ABNORMAL")
"""The documents' statuses of devices."""


class Item(Protocol):
    """What has an id."""

    @property
    def id(self) -> str:
        """Its id."""
        ...


T = TypeVar("T", bound=Item)


@attrs.frozen(kw_only=True)
class Listing:
    """How the platform lists a kind of resource, page by page, at its path. Pages count from 0."""

    rows: str
    """The name of the list in a reply."""
    filters: Mapping[str, str]
    """What the platform filters by: our names, and those of its query parameters."""
    order: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Query parameters that ask for the oldest first, where there are any: then what is new does not move the rest."""
    page_size: int = PAGE_SIZE
    divided_by: tuple[str, tuple[str, ...]] | None = None
    """The filter, and its values, by which a list is read in parts when it is too long for the platform."""


def _template(row: Resource[Any]) -> str:
    return f"{row.path}/{{{row.id_parameter}}}"


@attrs.frozen(kw_only=True, eq=False)
class Resource(Generic[T]):
    """A kind of resource: how the platform deletes, shows and lists it."""

    kind: Kind
    singular: str
    """What one of them is called in the names of operations."""
    path: str
    """Where one of them is found, but for its id."""
    id_parameter: str
    """What the documents call the id in its path."""
    template: str = attrs.field(init=False, default=attrs.Factory(_template, takes_self=True))
    """The path of one of them, with that name in the place of its id."""
    id_length: int = LONGEST_STRING
    success: frozenset[int] = SUCCESS
    """The statuses of a call that succeeded."""
    not_found: Mapping[str, type[NotFoundError]]
    """The platform's error codes that mean "not there", and the error that each of them is."""
    other_app: str | None = None
    """The query parameter that names another app, which has authorized this one; None where there is no such call."""
    cascade: str | None = None
    """The query parameter of a deletion that says whether what is behind the resource goes with it, if there is one."""
    listing: Listing
    read: Callable[[Mapping[str, Any]], T | None]
    """Makes an item of the fields of a reply; None where they name no id."""
    bare: Callable[[str], T]
    """Makes an item of which nothing but its id is known."""


_NO_FIELDS: Mapping[str, Any] = {}
"""Those of an item of which nothing but its id is known: one for all, because there may be a million of them."""


def _subscription(fields: Mapping[str, Any]) -> Subscription | None:
    if (id_ := text(fields.get("subscriptionId"))) is None:
        return None
    return Subscription(
        subscription_id=id_,
        notify_type=shown_text(fields.get("notifyType")),
        callback_url=shown_text(fields.get("callbackUrl")),
        fields=fields,
    )


def _package(fields: Mapping[str, Any]) -> UpgradePackage | None:
    if (id_ := text(fields.get("fileId"))) is None:
        return None
    return UpgradePackage(
        file_id=id_,
        name=shown_text(fields.get("name")),
        version=shown_text(fields.get("version")),
        file_type=shown_text(fields.get("fileType")),
        device_type=shown_text(fields.get("deviceType")),
        model=shown_text(fields.get("model")),
        manufacturer_name=shown_text(fields.get("manufacturerName")) or shown_text(fields.get("manufactureName")),
        protocol_type=shown_text(fields.get("protocolType")),
        description=shown_text(fields.get("description")),
        upload_time=time(fields.get("uploadTime")),
        fields=fields,
    )


def _device(fields: Mapping[str, Any]) -> Device | None:
    if (id_ := text(fields.get("deviceId"))) is None:
        return None
    info = fields_of(fields.get("deviceInfo"))
    return Device(
        device_id=id_,
        gateway_id=text(fields.get("gatewayId")),
        node_type=shown_text(fields.get("nodeType")),
        name=shown_text(info.get("name")),
        status=shown_text(info.get("status")),
        device_type=shown_text(info.get("deviceType")),
        model=shown_text(info.get("model")),
        manufacturer_name=shown_text(info.get("manufacturerName")),
        node_id=shown_text(info.get("nodeId")),
        created=time(fields.get("createTime")),
        last_modified=time(fields.get("lastModifiedTime")),
        fields=fields,
    )


def _device_group(fields: Mapping[str, Any]) -> DeviceGroup | None:
    if (id_ := text(fields.get("id"))) is None:
        return None
    return DeviceGroup(
        dev_group_id=id_,
        name=shown_text(fields.get("name")),
        description=shown_text(fields.get("description")),
        members=count(fields.get("curDevNum")),
        max_members=count(fields.get("maxDevNum")),
        creator=shown_text(fields.get("creator")),
        fields=fields,
    )


SUBSCRIPTIONS = Resource(
    kind=Kind.SUBSCRIPTIONS,
    singular="subscription",
    path="/iocm/app/sub/v1.2.0/subscriptions",
    id_parameter="subscriptionId",
    not_found={"100225": SubscriptionNotFoundError},
    other_app="appId",
    listing=Listing(
        rows="subscriptions",
        filters={"notify_type": "notifyType"},
        divided_by=("notify_type", NOTIFY_TYPES),
    ),
    read=_subscription,
    bare=lambda id_: Subscription(subscription_id=id_, fields=_NO_FIELDS),
)
"""Documented: 204 for a deletion, 200 for the rest."""

PACKAGES = Resource(
    kind=Kind.PACKAGES,
    singular="upgrade_package",
    path="/iodm/northbound/v1.5.0/category",
    id_parameter="fileId",
    not_found={"123002": PackageNotFoundError},
    listing=Listing(
        rows="data",
        filters={
            "file_type": "fileType",
            "device_type": "deviceType",
            "model": "model",
            "manufacturer_name": "manufacturerName",
            "version": "version",
        },
    ),
    read=_package,
    bare=lambda id_: UpgradePackage(file_id=id_, fields=_NO_FIELDS),
)
"""Documented: 200 for each call."""

DEVICES = Resource(
    kind=Kind.DEVICES,
    singular="device",
    path="/iocm/app/dm/v1.4.0/devices",
    id_parameter="deviceId",
    not_found={"100403": DeviceNotFoundError},
    other_app="appId",
    cascade="cascade",
    listing=Listing(
        rows="devices",
        filters={
            "status": "status",
            "device_type": "deviceType",
            "node_type": "nodeType",
            "gateway_id": "gatewayId",
            "registered_after": "startTime",
            "registered_before": "endTime",
        },
        order={"sort": "ASC"},
        page_size=250,
    ),
    read=_device,
    bare=lambda id_: Device(device_id=id_, fields=_NO_FIELDS),
)
"""Documented: 204 for a deletion, 200 for the rest."""

DEVICE_GROUPS = Resource(
    kind=Kind.DEVICE_GROUPS,
    singular="device_group",
    path="/iocm/app/devgroup/v1.3.0/devGroups",
    id_parameter="devGroupId",
    id_length=50,
    not_found={"100603": DeviceGroupNotFoundError},
    other_app="accessAppId",
    listing=Listing(rows="list", filters={}, page_size=500),
    read=_device_group,
    bare=lambda id_: DeviceGroup(dev_group_id=id_, fields=_NO_FIELDS),
)
"""Documented: 200 for each call, also for one that finds no such group: the reply's code says so."""

RESOURCES: Mapping[Kind, Resource[Any]] = {row.kind: row for row in (SUBSCRIPTIONS, PACKAGES, DEVICES, DEVICE_GROUPS)}

CODES: Mapping[str, type[NorthApiError]] = errors.CODES | {
    code: error for row in RESOURCES.values() for code, error in row.not_found.items()
}
"""The platform's error codes that have a class of their own: those of every call, and what the rows add."""
