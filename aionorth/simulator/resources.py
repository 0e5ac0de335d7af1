"""The resources of the platform as a table: one row for each kind.

A row holds everything in which the kinds differ: paths, parameters, error codes, how items are listed and written. The
calls themselves are written once, in `northbound`. A new kind needs a row here, which `Simulator` then serves, and
methods of `Simulator` that add its items and return their ids.
"""

import operator
import random
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import attrs

from aionorth.simulator import replies
from aionorth.simulator.replies import Reply
from aionorth.simulator.state import LONGEST_ID, App, Record

LONGEST_CALLBACK = 1_024

TIME_FORMAT = "%Y%m%dT%H%M%SZ"
"""How the platform writes a time, in UTC. Times so written are in the order of their texts."""


@attrs.frozen
class Filter:
    """A query parameter that filters a list."""

    field: str
    """The field of a record that it is compared with."""
    matches: Callable[[Any, str], bool] = operator.eq
    """Compares that field with the value of the parameter."""
    accepts: Callable[[str], bool] = lambda _: True
    """Whether a value of the parameter is one; others are bad input."""


@attrs.frozen(kw_only=True)
class Listing:
    """How the items of a collection are listed."""

    rows: str
    """The field of the reply that holds the rows."""
    filters: Mapping[str, Filter] = attrs.field(factory=dict[str, Filter])
    """The query parameters that filter."""
    needs: Collection[str] = ()
    """Query parameters that must not all be missing."""
    newest_by: str | None = None
    """The field by which the items are sorted, newest first unless the query has ``sort=ASC``. ``None``: they are in
    the order in which they were added."""
    page_size: int = 10
    """How many rows a page has where the query does not say."""
    largest_page_size: int | None = None
    """``None``: a page may have any size."""
    limit: int | None = None
    """With more results than this the platform lists none at all. ``None``: it always lists them."""
    past_the_end: Reply | None = None
    """The reply where a page lies behind the last one. ``None``: such a page is empty."""


@attrs.frozen(kw_only=True)
class Members:
    """How the members of an item are listed: ids of items of another kind."""

    path: str
    parameter: str
    """The query parameter that names the item."""
    listing: Listing
    of: Callable[[Record, App], Sequence[str]]
    """Returns the members of an item of an app."""


@attrs.frozen(kw_only=True)
class Creation:
    """How an item is created by a POST to its collection."""

    fields: tuple[str, ...]
    """The fields that the body must have. No two items may agree in all of them."""
    constants: Mapping[str, str]
    """The fields that every item created this way has in common."""
    check: Callable[[Mapping[str, str]], Reply | None]
    """Returns the reply to ``fields`` that cannot be accepted, else ``None``."""
    conflict: Reply
    """The reply where there is such an item already."""


@attrs.frozen(kw_only=True)
class Resource:  # more than 12 attributes: it is a row of a table
    """One kind of resource."""

    name: str
    """The key under which an app keeps its items of this kind."""
    collection: str
    """The path of the collection; the path of an item has its id behind that."""
    id_field: str
    """The field of a record that holds its id."""
    new_id: Callable[[random.Random], str]
    """Makes an id of the shape that the platform uses."""
    listing: Listing
    written: Callable[[Record, App], Mapping[str, object]] = lambda record, _: record
    """Returns an item of an app as the platform writes it in replies."""
    deleted: int
    """The HTTP status of a successful deletion."""
    not_found: Reply
    """The reply where there is no such item."""
    malformed: Reply
    """The reply to bad input."""
    malformed_id: Reply
    """The reply to something that cannot be an id."""
    longest_id: int = LONGEST_ID
    errors_in_200: Collection[str] = ()
    """The codes of the errors that come with the status 200, whatever it is for other kinds."""
    app_parameter: str | None = None
    """The parameter that names another app, one that has authorized the caller. ``None``: there is none."""
    unknown_app: Reply = replies.NOT_AUTHORIZED
    """The reply where there is no such app."""
    behind: str | None = None
    """The field that holds the id of the item that an item is behind; its own id where it is behind none. Deleting an
    item deletes what is behind it too, unless the query has ``cascade=false``. ``None``: none is behind another."""
    members: Members | None = None
    """``None``: the items have no members."""
    batch_filters: tuple[str, ...] | None = None
    """The query parameters that filter what a deletion of the collection deletes. ``None``: there is no such call."""
    creation: Creation | None = None
    """``None``: items cannot be created by a call."""


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _without_channel(subscription: Record, _owner: App) -> Record:
    return {name: value for name, value in subscription.items() if name != "channel"}


def _check_callback(fields: Mapping[str, str]) -> Reply | None:
    """Accept only a web address with a port: the platform could not call any other."""
    url = fields["callbackUrl"]
    try:
        parts = urlsplit(url)
        fits = (
            len(url) <= LONGEST_CALLBACK
            and parts.scheme in {"http", "https"}
            and None not in (parts.hostname, parts.port)
        )
    except ValueError:  # a port that is not a number
        fits = False
    return None if fits else replies.CALLBACK_ILLEGAL


SUBSCRIPTIONS = Resource(
    name="subscriptions",
    collection="/iocm/app/sub/v1.2.0/subscriptions",
    id_field="subscriptionId",
    new_id=_uuid,
    listing=Listing(rows="subscriptions", filters={"notifyType": Filter("notifyType")}, limit=1_000),
    written=_without_channel,
    deleted=204,
    not_found=replies.SUBSCRIPTION_NOT_FOUND,
    malformed=replies.INPUT_INVALID,
    malformed_id=replies.SUBSCRIPTION_NOT_FOUND,
    app_parameter="appId",
    batch_filters=("notifyType", "callbackUrl", "channel"),
    creation=Creation(
        fields=("notifyType", "callbackUrl"),
        constants={"channel": "http"},
        check=_check_callback,
        conflict=replies.ALREADY_SUBSCRIBED,
    ),
)

PACKAGES = Resource(
    name="packages",
    collection="/iodm/northbound/v1.5.0/category",
    id_field="fileId",
    new_id=lambda chance: f"{chance.getrandbits(96):024x}",
    listing=Listing(
        rows="data",
        filters={
            "fileType": Filter("fileType", accepts={"firmwarePackage", "softwarePackage"}.__contains__),
            "deviceType": Filter("deviceType"),
            "model": Filter("model"),
            "manufacturerName": Filter("manufacturerName"),
            "manufactureName": Filter("manufacturerName"),  # so spelled in one place of the documents
            "version": Filter("version"),
        },
        largest_page_size=100,
        past_the_end=replies.PAGE_OUT_OF_RANGE,
    ),
    deleted=200,
    not_found=replies.PACKAGE_NOT_FOUND,
    malformed=replies.BAD_REQUEST,
    malformed_id=replies.BAD_REQUEST,
)


def _is_time(text: str) -> bool:
    with suppress(ValueError):
        # strptime alone accepts hours and minutes of one digit too.
        return datetime.strptime(text, TIME_FORMAT).strftime(TIME_FORMAT) == text  # noqa: DTZ007 - only its form counts
    return False


_BESIDE_DEVICE_INFO = ("deviceId", "gatewayId", "nodeType", "createTime", "lastModifiedTime")


def _device(record: Record, _owner: App) -> Mapping[str, object]:
    outer = {name: record[name] for name in _BESIDE_DEVICE_INFO}
    info = {name: value for name, value in record.items() if name not in outer}
    return {**outer, "deviceInfo": info, "services": None}


DEVICES = Resource(
    name="devices",
    collection="/iocm/app/dm/v1.4.0/devices",
    id_field="deviceId",
    new_id=_uuid,
    listing=Listing(
        rows="devices",
        filters={
            "gatewayId": Filter("gatewayId"),
            "nodeType": Filter("nodeType", accepts={"ENDPOINT", "GATEWAY", "UNKNOW"}.__contains__),
            "deviceType": Filter("deviceType"),
            "location": Filter("location"),
            "name": Filter("name", operator.contains),
            "status": Filter("status", accepts={"ONLINE", "OFFLINE", "INACTIVE", "ABNORMAL"}.__contains__),
            "startTime": Filter("createTime", operator.ge, _is_time),
            "endTime": Filter("createTime", operator.le, _is_time),
        },
        needs=("gatewayId", "pageNo"),
        newest_by="createTime",
        page_size=25,
        largest_page_size=250,
    ),
    written=_device,
    deleted=204,
    not_found=replies.DEVICE_NOT_FOUND,
    malformed=replies.QUERY_INVALID,
    malformed_id=replies.DEVICE_NOT_FOUND,
    app_parameter="appId",
    unknown_app=replies.APP_UNKNOWN,
    behind="gatewayId",
)


def _members(group: Record, owner: App) -> list[str]:
    devices = owner.records[DEVICES.name]
    return [device_id for device_id in group["members"] if device_id in devices]


def _group(record: Record, owner: App) -> Mapping[str, object]:
    fields = {name: value for name, value in record.items() if name != "members"}
    return {**fields, "appId": owner.app_id, "curDevNum": len(_members(record, owner))}


DEVICE_GROUPS = Resource(
    name="device groups",
    collection="/iocm/app/devgroup/v1.3.0/devGroups",
    id_field="id",
    new_id=_uuid,
    listing=Listing(
        rows="list", filters={"name": Filter("name", operator.contains)}, page_size=1, largest_page_size=500
    ),
    written=_group,
    deleted=200,
    not_found=replies.GROUP_NOT_FOUND,
    malformed=replies.QUERY_INVALID,
    malformed_id=replies.GROUP_NOT_FOUND,
    longest_id=50,
    errors_in_200=("100203", "100217", "100022"),
    app_parameter="accessAppId",
    unknown_app=replies.APP_UNKNOWN,
    members=Members(
        path="/iocm/app/dm/v1.2.0/devices/ids",
        parameter="devGroupId",
        listing=Listing(rows="deviceIds", largest_page_size=1_000),
        of=_members,
    ),
)

RESOURCES = (SUBSCRIPTIONS, PACKAGES, DEVICES, DEVICE_GROUPS)
"""All rows: `Simulator` serves them."""
