"""The resources of the platform as a table: one row for each kind.

A row holds everything in which the kinds differ: paths, parameters, error codes, how items are listed and written. The
calls themselves are written once, in `northbound`. A new kind needs a row here, which `Simulator` then serves, and
methods of `Simulator` that add its items and return their ids.
"""

import random
import uuid
from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlsplit

import attrs

from aionorth.simulator import replies
from aionorth.simulator.replies import Reply
from aionorth.simulator.state import Record

LONGEST_CALLBACK = 1_024


@attrs.frozen(kw_only=True)
class Listing:
    """How the items of a collection are listed."""

    rows: str
    """The field of the reply that holds the rows."""
    filters: Mapping[str, str]
    """The query parameters that filter, each with the field of a record that it must equal."""
    choices: Mapping[str, Collection[str]] = attrs.field(factory=dict[str, Collection[str]])
    """The only values that some fields can be filtered by."""
    page_size: int = 10
    """How many rows a page has where the query does not say."""
    largest_page_size: int | None = None
    """``None``: a page may have any size."""
    limit: int | None = None
    """With more results than this the platform lists none at all. ``None``: it always lists them."""
    past_the_end: Reply | None = None
    """The reply where a page lies behind the last one. ``None``: such a page is empty."""


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
    written: Callable[[Record], Mapping[str, object]] = lambda record: record
    """Returns an item as the platform writes it in replies."""
    deleted: int
    """The HTTP status of a successful deletion."""
    not_found: Reply
    """The reply where there is no such item."""
    malformed: Reply
    """The reply to bad input."""
    malformed_id: Reply
    """The reply to something that cannot be an id."""
    app_parameter: str | None = None
    """The parameter that names another app, one that has authorized the caller. ``None``: there is none."""
    batch_filters: tuple[str, ...] | None = None
    """The query parameters that filter what a deletion of the collection deletes. ``None``: there is no such call."""
    creation: Creation | None = None
    """``None``: items cannot be created by a call."""


def _without_channel(subscription: Record) -> Record:
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
    new_id=lambda chance: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
    listing=Listing(rows="subscriptions", filters={"notifyType": "notifyType"}, limit=1_000),
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
            "fileType": "fileType",
            "deviceType": "deviceType",
            "model": "model",
            "manufacturerName": "manufacturerName",
            "manufactureName": "manufacturerName",  # so spelled in one place of the documents
            "version": "version",
        },
        choices={"fileType": ("firmwarePackage", "softwarePackage")},
        largest_page_size=100,
        past_the_end=replies.PAGE_OUT_OF_RANGE,
    ),
    deleted=200,
    not_found=replies.PACKAGE_NOT_FOUND,
    malformed=replies.BAD_REQUEST,
    malformed_id=replies.BAD_REQUEST,
)

RESOURCES = (SUBSCRIPTIONS, PACKAGES)
"""All rows: `Simulator` serves them."""
