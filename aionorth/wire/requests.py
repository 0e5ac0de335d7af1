"""The platform's calls as requests that are ready to be sent. Nothing here sends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import attrs

from aionorth.common.arguments import argument
from aionorth.errors import ArgumentError
from aionorth.wire.checks import check_string, path_segment
from aionorth.wire.resources import SUBSCRIPTIONS, SUCCESS, Resource

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
LOGIN = "/iocm/app/sec/v1.1.0/login"
REFRESH = "/iocm/app/sec/v1.1.0/refreshToken"


@attrs.frozen(eq=False)
class Request:
    """One call, ready to be sent but for the app's headers. `target` is percent-encoded: path and query."""

    operation: str
    """What it does, as in ``delete_subscription``."""
    template: str = attrs.field(repr=False)
    """Its path with names in the place of ids."""
    method: str
    target: str
    body: bytes | None = attrs.field(default=None, repr=False)
    content_type: str = JSON
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    """What is secret in the body. A reply may echo it."""
    success: frozenset[int] = attrs.field(default=SUCCESS, repr=False)
    """The statuses of a reply that mean success."""
    own: bool = attrs.field(default=False, repr=False)
    """Whether it is the session's user's own: then the reply is for the user, all of it."""
    idempotent: bool = attrs.field(default=True, repr=False)
    """Whether it may be sent again after an attempt that may have been carried out."""


def delete(
    resource: Resource[Any], id_: str, *, authorized_app_id: str | None = None, cascade: bool | None = None
) -> Request:
    """Build the call that deletes one resource, of another app if `authorized_app_id` is given.

    `cascade` is as in a `Target`. Raises `InvalidIdError` for what cannot be an id.
    """
    cascades = check_cascade(resource, cascade)
    query = {} if resource.cascade is None else {resource.cascade: str(cascades).lower()}
    return _of_one("delete", "DELETE", resource, id_, _app(resource, authorized_app_id) | query)


def check_cascade(resource: Resource[Any], cascade: object) -> bool | None:
    """Return `cascade` if it is what deletions of `resource` need; else raise `ArgumentError`.

    The platform's own default takes along what is behind a gateway. So none is assumed.
    """
    if resource.cascade is None:
        if cascade is not None:
            raise ArgumentError(
                f"{argument('cascade')}={cascade!r}: leave it out, nothing is behind {resource.kind.words}"
            )
        return None
    if not isinstance(cascade, bool):
        raise ArgumentError(
            f"{argument('cascade')}={cascade!r}: give True to delete the devices behind a gateway with it, or False to "
            "keep them"
        )
    return cascade


def get(resource: Resource[Any], id_: str, *, authorized_app_id: str | None = None) -> Request:
    """Build the call that returns one resource; see `delete`."""
    return _of_one("get", "GET", resource, id_, _app(resource, authorized_app_id))


def list_page(
    resource: Resource[Any],
    page_no: int,
    filters: Mapping[str, str | None] | None = None,
    *,
    authorized_app_id: str | None = None,
    page_size: int | None = None,
) -> Request:
    """Build the call that returns one page of a list. Pages count from 0.

    `filters` has our names, as `Listing.filters` does; those that are None are left out.
    """
    listing = resource.listing
    given = {listing.filters[name]: value for name, value in (filters or {}).items() if value is not None}
    page = {"pageNo": str(page_no), "pageSize": str(page_size or listing.page_size)}
    query = _query(_app(resource, authorized_app_id) | given | {**listing.order, **page})
    operation = f"list_{resource.singular}s"
    return Request(operation, resource.path, "GET", f"{resource.path}{query}", success=resource.success)


def delete_matching_subscriptions(
    notify_type: str | None, callback_url: str | None, authorized_app_id: str | None = None
) -> Request:
    """``DELETE /iocm/app/sub/v1.2.0/subscriptions`` with at least one filter: 204.

    The platform takes a call without one for all subscriptions, so none is built.
    """
    filters = {"notifyType": notify_type, "callbackUrl": callback_url}
    check_filters(*filters.values())
    given = {name: check_string(value, argument(name)) for name, value in filters.items() if value is not None}
    query = _query(_app(SUBSCRIPTIONS, authorized_app_id) | given)
    path = SUBSCRIPTIONS.path
    return Request("delete_subscriptions", path, "DELETE", f"{path}{query}", success=SUBSCRIPTIONS.success)


def check_filters(*filters: object) -> None:
    """Raise `ArgumentError` where a batch delete with these filters would delete every subscription."""
    given = [value for value in filters if value is not None]
    if not given or not all(isinstance(value, str) and value.strip() for value in given):
        raise ArgumentError(
            f"a batch delete without a filter deletes every subscription: give a {argument('notify_type')}"
        )


def probe() -> Request:
    """Build a call that changes nothing, to see whether the platform answers: a list of one subscription at most."""
    return attrs.evolve(list_page(SUBSCRIPTIONS, 0, page_size=1), operation="probe")


def login(app_id: str, secret: str) -> Request:
    """``POST /iocm/app/sec/v1.1.0/login``: 200 and a token. It makes the app's previous access token invalid."""
    body = urlencode({"appId": app_id, "secret": secret}).encode()
    return Request("login", LOGIN, "POST", LOGIN, body, FORM, (secret,))


def refresh_token(app_id: str, secret: str, token: str) -> Request:
    """``POST /iocm/app/sec/v1.1.0/refreshToken``: 200 and a new token."""
    body = json.dumps({"appId": app_id, "secret": secret, "refreshToken": token}).encode()
    return Request("refresh_token", REFRESH, "POST", REFRESH, body, JSON, (secret, token))


def _of_one(verb: str, method: str, resource: Resource[Any], id_: str, query: Mapping[str, str]) -> Request:
    segment = path_segment(id_, resource.kind.id_name, resource.id_length)
    target = f"{resource.path}/{segment}{_query(query)}"
    return Request(f"{verb}_{resource.singular}", resource.template, method, target, success=resource.success)


def _app(resource: Resource[Any], authorized_app_id: str | None) -> dict[str, str]:
    if authorized_app_id is None:
        return {}
    if resource.other_app is None:
        raise ArgumentError(
            f"{argument('authorized_app_id')}={authorized_app_id!r}: leave it out, {resource.kind.words} are one's own"
        )
    return {resource.other_app: authorized_app_id}


def _query(parameters: Mapping[str, str]) -> str:
    return f"?{urlencode(parameters, quote_via=quote, safe='')}" if parameters else ""
