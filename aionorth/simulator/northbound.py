"""The northbound calls, as pure functions from a request to its effect on the platform and a reply.

Where the platform's documents are silent, the reading is the one that is least comfortable for a client:

- A trailing slash makes no difference. So an empty id names the whole collection, and deleting it deletes everything.
- An empty query parameter counts as none. So an empty filter filters nothing.
- An app that names itself in a query is refused like any other, unless it has authorized itself.
- A fileId is malformed if it is longer than 256 characters or has one that cannot be printed; no other shape is known.
- A query value longer than 256 characters is bad input. That goes for a callback URL too, although subscribing allows
  it 1,024.
- A device that is directly connected, a gateway too, has its own id as its gatewayId. So a list of what has a gateway's
  id as its gatewayId has the gateway too; and what ``cascade=false`` leaves gets its own id there.
- What is behind a device goes with it, whatever its nodeType and however far behind it is; no reply tells what went.
- The name of a device or a device group matches where it contains the value of the filter. startTime and endTime are
  themselves in the range between them. With a gatewayId and no pageNo there is the first page only.
- Values of ``cascade``, ``sort``, ``status`` and ``nodeType`` in other letters than the documented ones are bad input.
- Bad input is 100022 in calls on devices and device groups. For groups it comes in a 200, as their other errors do.
- Deleting a device group leaves its devices. The list of its members names only devices that there still are.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TypeVar

import attrs

from aionorth.simulator import replies
from aionorth.simulator.replies import Reply
from aionorth.simulator.requests import Call, Route, Routes, read_form, read_json
from aionorth.simulator.resources import Filter, Listing, Resource
from aionorth.simulator.state import LONGEST_ID, App, Platform, Record, Records, well_formed

T = TypeVar("T")

LOGIN = "/iocm/app/sec/v1.1.0/login"
REFRESH = "/iocm/app/sec/v1.1.0/refreshToken"


class Rejected(Exception):  # noqa: N818 - names what the platform does, and never leaves this module
    """The call is not carried out; ``reply`` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.code)
        self.reply = reply


def routes_of(resources: Iterable[Resource]) -> Routes:
    """Return the routes of all calls that are simulated: login, refresh, and those on ``resources``."""
    routes: dict[tuple[str, str, bool], Route] = {
        ("POST", LOGIN, False): Route(_issue_tokens, replies.INPUT_INVALID, reads=read_form, takes_secret=True),
        ("POST", REFRESH, False): Route(_refresh, replies.INPUT_INVALID, reads=read_json, takes_secret=True),
    }
    for resource in resources:
        calls, path = ResourceCalls(resource), resource.collection
        route = partial(Route, malformed=resource.malformed, errors_in_200=resource.errors_in_200)
        routes["GET", path, False] = route(calls.list_page)
        routes["GET", path, True] = route(calls.get)
        routes["DELETE", path, True] = route(calls.delete)
        if resource.batch_filters is not None:
            routes["DELETE", path, False] = route(calls.delete_batch)
        if resource.creation is not None:
            routes["POST", path, False] = route(calls.create, reads=read_json)
        if resource.members is not None:
            routes["GET", resource.members.path, False] = route(calls.list_members)
    return routes


def perform(platform: Platform, call: Call) -> Reply:
    """Check who calls, carry the call out and return the reply."""
    try:
        app = _app_by_secret(platform, call) if call.route.takes_secret else _app_by_token(platform, call)
        _check_query(call)
        return call.route.operation(platform, app, call)
    except Rejected as rejected:
        return call.route.documented(rejected.reply)


def _app_by_secret(platform: Platform, call: Call) -> App:
    """Return the app whose secret is in the body."""
    if call.fields is None:
        raise Rejected(replies.INPUT_INVALID)
    if not call.fields.get("appId") or not call.fields.get("secret"):
        raise Rejected(replies.PARAMETER_EMPTY)
    for name in ("appId", "secret"):
        value = call.text(name)
        if value is None or len(value) > LONGEST_ID:
            raise Rejected(replies.INPUT_INVALID)
    app = platform.apps.get(call.app_id or "")
    if app is None or app.secret != call.fields["secret"]:
        raise Rejected(replies.LOGIN_REFUSED)
    return app


def _app_by_token(platform: Platform, call: Call) -> App:
    """Return the app whose access token the call carries."""
    if call.app_id is None:
        raise Rejected(replies.APP_KEY_MISSING)
    app = platform.apps.get(call.app_id)
    scheme, _, token = call.authorization.partition(" ")
    if app is None or scheme != "Bearer" or not app.accepts(token, platform.now()):
        raise Rejected(replies.TOKEN_INVALID)
    return app


def _check_query(call: Call) -> None:
    if any(len(value) > LONGEST_ID for value in call.query.values()):
        raise Rejected(call.route.malformed)


def _issue_tokens(platform: Platform, app: App, _call: Call) -> Reply:
    tokens, lifetime = platform.issue(app), int(platform.token_lifetime)
    return replies.result(
        {
            "accessToken": tokens.access,
            "tokenType": "bearer",
            "refreshToken": tokens.refresh,
            "expiresIn": str(lifetime) if platform.quoted_expires_in else lifetime,
            "scope": "default",
        }
    )


def _refresh(platform: Platform, app: App, call: Call) -> Reply:
    assert call.fields is not None, "the app was found by its secret in the body"
    if not call.fields.get("refreshToken"):
        raise Rejected(replies.PARAMETER_EMPTY)
    token = call.text("refreshToken")
    if token is None:
        raise Rejected(replies.INPUT_INVALID)
    if not app.redeem(token, platform.now()):
        raise Rejected(replies.LOGIN_REFUSED)
    return _issue_tokens(platform, app, call)


@attrs.frozen
class ResourceCalls:
    """The calls on one kind of resource, as its row describes them. Each is the operation of a `Route`."""

    resource: Resource

    def list_page(self, platform: Platform, caller: App, call: Call) -> Reply:
        """List a page of the items that match the filters of the query."""
        listing, owner = self.resource.listing, self._owner(platform, caller, call.query.get)
        filters = [(listing.filters[name], value) for name, value in call.query.items() if name in listing.filters]
        if not all(filter_.accepts(value) for filter_, value in filters):
            raise Rejected(call.route.malformed)
        if listing.needs and call.query.keys().isdisjoint(listing.needs):
            raise Rejected(call.route.malformed)
        found = _matching(owner.records[self.resource.name], filters)
        if (field := listing.newest_by) is not None:
            found.sort(key=lambda record: record[field])
            if _choice(call, "sort", "DESC", "ASC") == "DESC":
                found.reverse()
        return _page(call, listing, found, lambda record: self.resource.written(record, owner))

    def list_members(self, platform: Platform, caller: App, call: Call) -> Reply:
        """List a page of the members of the item that the query names."""
        members = self.resource.members
        assert members is not None, "else there is no route here"
        owner = self._owner(platform, caller, call.query.get)
        if (item_id := call.query.get(members.parameter)) is None:
            raise Rejected(call.route.malformed)
        return _page(call, members.listing, members.of(self._item(owner, item_id), owner), str)

    def get(self, platform: Platform, caller: App, call: Call) -> Reply:
        """Return one item."""
        owner = self._owner(platform, caller, call.query.get)
        return replies.result(self.resource.written(self._item(owner, call.item_id or ""), owner))

    def delete(self, platform: Platform, caller: App, call: Call) -> Reply:
        """Delete one item, and what is behind it unless the query says otherwise."""
        owner = self._owner(platform, caller, call.query.get)
        records = owner.records[self.resource.name]
        item_id = self._item(owner, call.item_id or "")[self.resource.id_field]
        gone = {item_id}
        if (behind := self.resource.behind) is not None:
            if _choice(call, "cascade", "true", "false") == "true":
                while more := {id_ for id_, record in records.items() if record[behind] in gone} - gone:
                    gone |= more
            else:
                records |= {
                    id_: {**record, behind: id_} for id_, record in records.items() if record[behind] == item_id
                }
        for id_ in gone:
            del records[id_]
        return Reply(self.resource.deleted)

    def delete_batch(self, platform: Platform, caller: App, call: Call) -> Reply:
        """Delete every item that matches the filters of the query: all of them where it has none."""
        records = self._owner(platform, caller, call.query.get).records[self.resource.name]
        names = self.resource.batch_filters or ()
        found = _matching(records, [(Filter(name), call.query[name]) for name in names if name in call.query])
        if not found:
            raise Rejected(self.resource.not_found)
        for record in found:
            del records[record[self.resource.id_field]]
        return Reply(self.resource.deleted)

    def create(self, platform: Platform, caller: App, call: Call) -> Reply:
        """Create an item from the fields of the body."""
        creation = self.resource.creation
        assert creation is not None, "else there is no route here"
        texts = {name: call.text(name) for name in creation.fields}
        fields = {name: text for name, text in texts.items() if text is not None}
        if len(fields) < len(texts):
            raise Rejected(call.route.malformed)
        owner = self._owner(platform, caller, call.text)
        records = owner.records[self.resource.name]
        if (problem := creation.check(fields)) is not None:
            raise Rejected(problem)
        if _matching(records, [(Filter(name), text) for name, text in fields.items()]):
            raise Rejected(creation.conflict)
        item_id = self.resource.new_id(platform.chance)
        record = records[item_id] = {self.resource.id_field: item_id, **fields, **creation.constants}
        return replies.result(self.resource.written(record, owner), status=201)

    def _owner(self, platform: Platform, caller: App, value_of: Callable[[str], str | None]) -> App:
        """Return the app whose items a call is about: the caller, or an app that has authorized the caller.

        ``value_of`` returns the value of the parameter that names such an app.
        """
        parameter = self.resource.app_parameter
        app_id = value_of(parameter) if parameter else None
        owner = caller if app_id is None else platform.apps.get(app_id)
        if owner is None:
            raise Rejected(self.resource.unknown_app)
        if app_id is not None and caller.app_id not in owner.authorized:
            raise Rejected(replies.NOT_AUTHORIZED)
        return owner

    def _item(self, owner: App, item_id: str) -> Record:
        """Return the item of that id."""
        if not well_formed(item_id, self.resource.longest_id):
            raise Rejected(self.resource.malformed_id)
        if (record := owner.records[self.resource.name].get(item_id)) is None:
            raise Rejected(self.resource.not_found)
        return record


def _page(call: Call, listing: Listing, found: Sequence[T], written: Callable[[T], object]) -> Reply:
    """Return the page of ``found`` that the query asks for, each as ``written``."""
    page_no = _number(call, "pageNo", 0)
    page_size = _number(call, "pageSize", listing.page_size)
    if page_size == 0 or (listing.largest_page_size is not None and page_size > listing.largest_page_size):
        raise Rejected(call.route.malformed)
    if listing.limit is not None and len(found) > listing.limit:
        raise Rejected(replies.TOO_MANY_RESULTS)
    start = page_no * page_size
    if listing.past_the_end is not None and page_no and start >= len(found):
        raise Rejected(listing.past_the_end)
    rows = [written(one) for one in found[start : start + page_size]]
    return replies.result({"pageNo": page_no, "pageSize": page_size, "totalCount": len(found), listing.rows: rows})


def _number(call: Call, name: str, default: int) -> int:
    """Return the value of a query parameter, which must be a number without a sign."""
    text = call.query.get(name, str(default))
    if not (text.isascii() and text.isdecimal()):
        raise Rejected(call.route.malformed)
    return int(text)


def _choice(call: Call, name: str, default: str, other: str) -> str:
    """Return the value of a query parameter, which must be one of two."""
    value = call.query.get(name, default)
    if value not in {default, other}:
        raise Rejected(call.route.malformed)
    return value


def _matching(records: Records, filters: Collection[tuple[Filter, str]]) -> list[Record]:
    if not filters:
        return list(records.values())
    return [
        record for record in records.values() if all(one.matches(record[one.field], value) for one, value in filters)
    ]
