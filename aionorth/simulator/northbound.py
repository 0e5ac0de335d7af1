"""The northbound calls, as pure functions from a request to its effect on the platform and a reply.

Where the platform's documents are silent, the reading is the one that is least comfortable for a client:

- A trailing slash makes no difference, so an empty id names the whole collection, and deleting it deletes everything.
- An empty query parameter is as good as none, so an empty filter filters nothing.
- An app that names itself in ``appId`` is refused like any other, unless it has been authorized to.
- A fileId is malformed if it is longer than 256 characters or has one that cannot be printed; no other shape is known.
- A query value longer than 256 characters is bad input, a callback URL too, although subscribing allows it 1,024.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from urllib.parse import urlsplit

from aionorth.simulator import replies
from aionorth.simulator.replies import NO_CONTENT, Reply
from aionorth.simulator.requests import Call, Route, Router, read_form, read_json
from aionorth.simulator.state import LONGEST_ID, App, Platform, Record, Tokens, subscription, well_formed

LOGIN = "/iocm/app/sec/v1.1.0/login"
REFRESH = "/iocm/app/sec/v1.1.0/refreshToken"
SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
PACKAGES = "/iodm/northbound/v1.5.0/category"

MOST_SUBSCRIPTIONS = 1_000
LONGEST_CALLBACK = 1_024
DEFAULT_PAGE_SIZE = 10
LARGEST_PACKAGE_PAGE = 100

FILE_TYPES = ("firmwarePackage", "softwarePackage")
SUBSCRIPTION_FILTERS = ("notifyType", "callbackUrl", "channel")
PACKAGE_FILTERS = {
    "fileType": "fileType",
    "deviceType": "deviceType",
    "model": "model",
    "manufacturerName": "manufacturerName",
    "manufactureName": "manufacturerName",  # so spelled in one place of the documents
    "version": "version",
}


class Rejected(Exception):  # noqa: N818 - names what the platform does, and never leaves this module
    """The call is not carried out; ``reply`` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.code)
        self.reply = reply


def perform(platform: Platform, call: Call) -> Reply:
    """Check who calls, carry the call out and answer it."""
    try:
        app = _app_by_secret(platform, call) if call.route.takes_secret else _app_by_token(platform, call)
        _check_query(call)
        return call.route.operation(platform, app, call)
    except Rejected as rejected:
        return rejected.reply


def _app_by_secret(platform: Platform, call: Call) -> App:
    """Find the app whose secret the body tells."""
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
    """Find the app whose access token the call carries."""
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


def _owner(platform: Platform, caller: App, app_id: str | None) -> App:
    """Tell whose subscriptions the call is about: the caller's own, or those of the app that it names."""
    if app_id is None:
        return caller
    owner = platform.apps.get(app_id)
    if owner is None or caller.app_id not in owner.authorized:
        raise Rejected(replies.NOT_AUTHORIZED)
    return owner


def _login(platform: Platform, app: App, _call: Call) -> Reply:
    return _handed_out(platform, platform.issue(app))


def _refresh(platform: Platform, app: App, call: Call) -> Reply:
    assert call.fields is not None, "without a body, nobody has proved anything"
    if not call.fields.get("refreshToken"):
        raise Rejected(replies.PARAMETER_EMPTY)
    token = call.text("refreshToken")
    if token is None:
        raise Rejected(replies.INPUT_INVALID)
    if not app.redeem(token, platform.now()):
        raise Rejected(replies.LOGIN_REFUSED)
    return _handed_out(platform, platform.issue(app))


def _handed_out(platform: Platform, tokens: Tokens) -> Reply:
    lifetime = int(platform.token_lifetime)
    return replies.result(
        {
            "accessToken": tokens.access,
            "tokenType": "bearer",
            "refreshToken": tokens.refresh,
            "expiresIn": str(lifetime) if platform.quoted_expires_in else lifetime,
            "scope": "default",
        }
    )


def _subscribe(platform: Platform, app: App, call: Call) -> Reply:
    notify_type, callback_url = call.text("notifyType"), call.text("callbackUrl")
    if notify_type is None or callback_url is None:
        raise Rejected(replies.INPUT_INVALID)
    owner = _owner(platform, app, call.text("appId"))
    if not _is_callback(callback_url):
        raise Rejected(replies.CALLBACK_ILLEGAL)
    if _matching(owner.subscriptions, {"notifyType": notify_type, "callbackUrl": callback_url}):
        raise Rejected(replies.ALREADY_SUBSCRIBED)
    subscription_id = platform.new_subscription_id()
    created = owner.subscriptions[subscription_id] = subscription(subscription_id, notify_type, callback_url)
    return replies.result(_shown(created), status=201)


def _list_subscriptions(platform: Platform, app: App, call: Call) -> Reply:
    owner = _owner(platform, app, call.query.get("appId"))
    page_no, page_size = _page(call)
    found = _matching(owner.subscriptions, _filters(call, ("notifyType",)))
    if len(found) > MOST_SUBSCRIPTIONS:
        raise Rejected(replies.TOO_MANY_SUBSCRIPTIONS)
    shown = [_shown(one) for one in islice(found, page_no * page_size, (page_no + 1) * page_size)]
    return replies.result(
        {"pageNo": page_no, "pageSize": page_size, "totalCount": len(found), "subscriptions": shown},
    )


def _get_subscription(platform: Platform, app: App, call: Call) -> Reply:
    found = _owner(platform, app, call.query.get("appId")).subscriptions.get(call.resource or "")
    if found is None:
        raise Rejected(replies.SUBSCRIPTION_NOT_FOUND)
    return replies.result(_shown(found))


def _delete_subscription(platform: Platform, app: App, call: Call) -> Reply:
    owner = _owner(platform, app, call.query.get("appId"))
    if owner.subscriptions.pop(call.resource or "", None) is None:
        raise Rejected(replies.SUBSCRIPTION_NOT_FOUND)
    return NO_CONTENT


def _delete_subscriptions(platform: Platform, app: App, call: Call) -> Reply:
    owner = _owner(platform, app, call.query.get("appId"))
    found = _matching(owner.subscriptions, _filters(call, SUBSCRIPTION_FILTERS))
    if not found:
        raise Rejected(replies.SUBSCRIPTION_NOT_FOUND)
    for one in found:
        del owner.subscriptions[one["subscriptionId"]]
    return NO_CONTENT


def _list_packages(_platform: Platform, app: App, call: Call) -> Reply:
    page_no, page_size = _page(call)
    filters = {PACKAGE_FILTERS[name]: value for name, value in _filters(call, PACKAGE_FILTERS).items()}
    if page_size > LARGEST_PACKAGE_PAGE or filters.get("fileType", FILE_TYPES[0]) not in FILE_TYPES:
        raise Rejected(replies.BAD_REQUEST)
    found = _matching(app.packages, filters)
    if page_no and page_no * page_size >= len(found):
        raise Rejected(replies.PAGE_OUT_OF_RANGE)
    data = found[page_no * page_size : (page_no + 1) * page_size]
    return replies.result({"data": data, "pageNo": page_no, "pageSize": page_size, "totalCount": len(found)})


def _get_package(_platform: Platform, app: App, call: Call) -> Reply:
    found = app.packages.get(_file_id(call))
    if found is None:
        raise Rejected(replies.PACKAGE_NOT_FOUND)
    return replies.result(found)


def _delete_package(platform: Platform, app: App, call: Call) -> Reply:
    if app.packages.pop(_file_id(call), None) is None:
        raise Rejected(replies.PACKAGE_NOT_FOUND)
    return Reply(platform.package_status)


def _file_id(call: Call) -> str:
    if call.resource is None or not well_formed(call.resource):
        raise Rejected(replies.BAD_REQUEST)
    return call.resource


def _page(call: Call) -> tuple[int, int]:
    """Return the number and size of the page that is asked for."""
    page_no, page_size = call.query.get("pageNo", "0"), call.query.get("pageSize", str(DEFAULT_PAGE_SIZE))
    if not all(number.isascii() and number.isdecimal() for number in (page_no, page_size)) or not int(page_size):
        raise Rejected(call.route.malformed)
    return int(page_no), int(page_size)


def _filters(call: Call, names: Iterable[str]) -> dict[str, str]:
    return {name: call.query[name] for name in names if name in call.query}


def _matching(records: Mapping[str, Record], filters: Mapping[str, str]) -> list[Record]:
    if not filters:
        return list(records.values())
    return [one for one in records.values() if all(one[name] == value for name, value in filters.items())]


def _shown(one: Record) -> Record:
    """Return a subscription as the platform shows it, which is without its channel."""
    return {name: value for name, value in one.items() if name != "channel"}


def _is_callback(url: str) -> bool:
    """Tell whether the platform could push to this: a web address with its port."""
    try:
        parts = urlsplit(url)
        return (
            len(url) <= LONGEST_CALLBACK
            and parts.scheme in {"http", "https"}
            and None not in (parts.hostname, parts.port)
        )
    except ValueError:  # a port that is not a number
        return False


ROUTER = Router(
    collections={
        ("POST", LOGIN): Route(_login, reads=read_form, takes_secret=True),
        ("POST", REFRESH): Route(_refresh, reads=read_json, takes_secret=True),
        ("POST", SUBSCRIPTIONS): Route(_subscribe, reads=read_json),
        ("GET", SUBSCRIPTIONS): Route(_list_subscriptions),
        ("DELETE", SUBSCRIPTIONS): Route(_delete_subscriptions),
        ("GET", PACKAGES): Route(_list_packages, malformed=replies.BAD_REQUEST),
    },
    items={
        ("GET", SUBSCRIPTIONS): Route(_get_subscription),
        ("DELETE", SUBSCRIPTIONS): Route(_delete_subscription),
        ("GET", PACKAGES): Route(_get_package, malformed=replies.BAD_REQUEST),
        ("DELETE", PACKAGES): Route(_delete_package, malformed=replies.BAD_REQUEST),
    },
)
"""The calls that are played; whatever else arrives finds no route."""
