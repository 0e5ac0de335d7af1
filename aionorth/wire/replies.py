"""The platform's calls as pure functions: build a request, read a reply into a value or an error.

Nothing here sends, waits or remembers.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote, unquote, urlencode

import attrs

from aionorth.common.text import hidden, shortened, visible
from aionorth.errors import (
    CODES,
    ArgumentError,
    FlowControlError,
    GatewayError,
    InvalidIdError,
    InvalidTokenError,
    NorthApiError,
    NorthError,
    NotFoundError,
    ReplyLostError,
    ServerError,
    TlsError,
)
from aionorth.models import Subscription, UpgradePackage

LONGEST_STRING = 256
"""The documents' String(256): the most characters an id, an appId or a secret may have."""

TOKEN_LIFETIME = 3600.0
"""Seconds an access token lives by the documents; used where a login reply does not say, or says nonsense."""

LONGEST_RETRY_AFTER = 3600.0
"""Seconds; a Retry-After that asks for more is taken for this: after an hour it can be asked again."""

PAGE_SIZE = 100
"""Items asked for in one page: the most that the platform gives of version packages."""

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
PACKAGES = "/iodm/northbound/v1.5.0/category"

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

FIRST_YEAR = 2000
"""Nothing was uploaded before."""

LONGEST_TYPE = 100
"""Characters of a Content-Type that are shown."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

_is_plain = re.compile(r"[0-9A-Za-z_-]{1,256}").fullmatch
"""Tells ids in which there is nothing to check and nothing to encode."""

_SEPARATORS = re.compile(r"[/\\]")
_AFTER_SEGMENT = re.compile(r"[;?#\x00].*", re.DOTALL)
_STEPS = frozenset({"", ".", ".."})

_WRAPPERS = frozenset("\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a{}[]")
"""Quotes and braces. An id that begins or ends with one was cut out of something else, as JSON or a quoted list."""

_REPLACEMENT = "\ufffd"
"""What stands for bytes that could not be decoded."""

_SUCCESS = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})


@attrs.define(eq=False)  # not frozen: that would take longer than all else in building it
class Request:
    """One call, ready to be sent but for the app's headers. `target` is percent-encoded: path and query."""

    method: str
    target: str
    body: bytes | None = attrs.field(default=None, repr=False)
    content_type: str = JSON
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    """What is in the body that a reply may echo and nobody is to read."""


@attrs.frozen(eq=False)
class Reply:
    """One reply, read to its end."""

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    content_type: str = ""
    retry_after: str | None = None
    date: str | None = None
    """The time by the clock of whoever answered, as its header has it."""
    charset: str | None = None
    """Of the body, where the reply names one."""
    whole: bool | None = True
    """Whether the body is whole: None where nothing but the end of the connection says so, False where it is cut."""


NO_CONTENT = Reply(204)
"""The commonest reply by far, in which there is nothing to read."""


T = TypeVar("T")


@attrs.frozen(eq=False)
class Page(Generic[T]):
    """One page of a list."""

    items: list[T]
    rows: int
    """How many entries it has, those without an id among them."""
    total: int | None
    """How many items all pages hold; None where the reply does not say."""


@attrs.frozen
class Token:
    """An access token and what came with it. `lifetime` is in seconds; infinite where nobody said."""

    access: str = attrs.field(repr=False)
    refresh: str | None = attrs.field(default=None, repr=False)
    lifetime: float = math.inf

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody is to read."""
        return (self.access,) if self.refresh is None else (self.access, self.refresh)


# --- Requests


def check_id(value: object, name: str) -> str:
    """Return `value` if it can be an id in a path, else raise `InvalidIdError` with `name` in its message."""
    if not isinstance(value, str):
        raise InvalidIdError(f"{name} {value!r} is not a str but {type(value).__name__}: pass ids as str")
    if not value:
        raise InvalidIdError(f"{name} is empty: leave empty entries out")
    if len(value) > LONGEST_STRING:
        raise InvalidIdError(
            f"{name} {value[:20]!r}… has {len(value)} characters; the platform's ids have at most {LONGEST_STRING}"
        )
    if value != value.strip():
        raise InvalidIdError(f"{name} {value!r} has blanks or a line end around it: strip it")
    if not value.isprintable():
        raise InvalidIdError(f"{name} {value!r} has an invisible character in it: no id of the platform has")
    if _REPLACEMENT in value:
        raise InvalidIdError(f"{name} {value!r} was not decoded rightly: read it with the right encoding")
    if _has_step(value):
        raise InvalidIdError(
            f"{name} {value!r} has a step of a path in it, by which a proxy may find another resource: "
            "it cannot be an id"
        )
    if any(";" in reading for reading in _readings(value)):
        raise InvalidIdError(f"{name} {value!r} has a ';' in it, at which some servers end an id: it cannot be one")
    if value[0] in _WRAPPERS or value[-1] in _WRAPPERS:
        raise InvalidIdError(f"{name} {value!r} is in quotes or braces: give the id without them")
    return value


def _has_step(id_: str) -> bool:
    """Whether some server on the way may take a part of `id_` for a step in a path, and end at another resource.

    Proxies decode a path, some more than once, and tidy it up: ``x/../y`` becomes ``y``, and so does ``//y``. To some
    servers a backslash separates too, what follows a ``;`` is no part of a segment, and a character counts as what it
    looks like. So each reading of `id_` is looked at, and in it each segment. Bytes that are not UTF-8 have as many
    readings as there are servers.
    """
    readings = _readings(id_)
    segments = (segment for reading in readings for segment in _SEPARATORS.split(reading))
    return any(_AFTER_SEGMENT.sub("", segment).strip() in _STEPS for segment in segments) or (
        _REPLACEMENT not in id_ and any(_REPLACEMENT in reading for reading in readings)
    )


def _readings(id_: str) -> set[str]:
    """Return what servers on the way may read in `id_`, decoded as often as it can be."""
    readings, new = set[str](), {id_}
    while new:
        readings |= new
        new = {other for one in new for other in (unquote(one), unicodedata.normalize("NFKC", one))} - readings
    return readings


def id_fault(value: object, name: str = "id") -> str | None:
    """Tell what `check_id` has against an id; None where it has nothing."""
    try:
        check_id(value, name)
    except InvalidIdError as exc:
        return str(exc)
    return None


def check_string(value: object, name: str) -> str:
    """Return `value` if it is a non-empty String(256), else raise `ArgumentError`; never shows the value."""
    fits = isinstance(value, str) and 0 < len(value) <= LONGEST_STRING
    if not isinstance(value, str) or not fits or any("\ud800" <= char <= "\udfff" for char in value):
        del value  # a traceback must not show it
        raise ArgumentError(f"{name} must be a str of 1 to {LONGEST_STRING} characters that UTF-8 has")
    return value


def fits_header(value: str) -> bool:
    """Whether `value` can be the value of a header: not empty, and nothing but printable ASCII."""
    return value != "" and value.isascii() and value.isprintable()


def _segment(value: object, name: str) -> str:
    """Check an id, and percent-encode it so that it stays one segment of the path, dots included."""
    if isinstance(value, str) and _is_plain(value):
        return value  # as the platform's own ids are
    return quote(check_id(value, name), safe="").replace("..", "%2E%2E")


def delete_subscription(subscription_id: str, authorized_app_id: str | None = None) -> Request:
    """``DELETE /iocm/app/sub/v1.2.0/subscriptions/{subscriptionId}``: 204.

    `authorized_app_id` goes into the query as ``appId``: another app, whose subscription it is.
    """
    segment = _segment(subscription_id, "subscription_id")
    query = "" if authorized_app_id is None else _query({"appId": authorized_app_id})
    return Request("DELETE", f"{SUBSCRIPTIONS}/{segment}{query}")


def delete_upgrade_package(file_id: str) -> Request:
    """``DELETE /iodm/northbound/v1.5.0/category/{fileId}``: 200."""
    return Request("DELETE", f"{PACKAGES}/{_segment(file_id, 'file_id')}")


def delete_matching_subscriptions(
    notify_type: str | None, callback_url: str | None, authorized_app_id: str | None = None
) -> Request:
    """``DELETE /iocm/app/sub/v1.2.0/subscriptions`` with at least one filter: 204.

    The platform takes a call without one for all subscriptions, so none is made.
    """
    filters = {"notifyType": notify_type, "callbackUrl": callback_url}
    if not any(filters.values()) or any(value is not None and not value.strip() for value in filters.values()):
        raise ArgumentError("a batch delete without a filter deletes every subscription: give a notify_type")
    for name, value in filters.items():
        if value is not None:
            check_string(value, name)
    return Request("DELETE", f"{SUBSCRIPTIONS}{_query({'appId': authorized_app_id} | filters)}")


def get_subscription(subscription_id: str, authorized_app_id: str | None = None) -> Request:
    """``GET /iocm/app/sub/v1.2.0/subscriptions/{subscriptionId}``: 200."""
    segment = _segment(subscription_id, "subscription_id")
    return Request("GET", f"{SUBSCRIPTIONS}/{segment}{_query({'appId': authorized_app_id})}")


def get_upgrade_package(file_id: str) -> Request:
    """``GET /iodm/northbound/v1.5.0/category/{fileId}``: 200."""
    return Request("GET", f"{PACKAGES}/{_segment(file_id, 'file_id')}")


def list_subscriptions(page_no: int, notify_type: str | None = None, authorized_app_id: str | None = None) -> Request:
    """``GET /iocm/app/sub/v1.2.0/subscriptions``, one page: 200. Pages count from 0."""
    query = _query({"appId": authorized_app_id, "notifyType": notify_type} | _page(page_no, PAGE_SIZE))
    return Request("GET", f"{SUBSCRIPTIONS}{query}")


def list_upgrade_packages(page_no: int, filters: Mapping[str, str | None], *, page_size: int = PAGE_SIZE) -> Request:
    """``GET /iodm/northbound/v1.5.0/category``, one page: 200. `filters` has the platform's names."""
    return Request("GET", f"{PACKAGES}{_query({**filters} | _page(page_no, page_size))}")


def _page(page_no: int, page_size: int) -> dict[str, str | None]:
    return {"pageNo": str(page_no), "pageSize": str(page_size)}


def _query(parameters: Mapping[str, str | None]) -> str:
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"?{urlencode(given, quote_via=quote, safe='')}" if given else ""


def login(app_id: str, secret: str) -> Request:
    """``POST /iocm/app/sec/v1.1.0/login``: 200 and a token. It makes the app's previous access token invalid."""
    body = urlencode({"appId": app_id, "secret": secret}).encode()
    return Request("POST", "/iocm/app/sec/v1.1.0/login", body, FORM, (secret,))


def refresh_token(app_id: str, secret: str, token: str) -> Request:
    """``POST /iocm/app/sec/v1.1.0/refreshToken``: 200 and a new token."""
    body = json.dumps({"appId": app_id, "secret": secret, "refreshToken": token}).encode()
    return Request("POST", "/iocm/app/sec/v1.1.0/refreshToken", body, JSON, (secret, token))


# --- Replies


def read_error(reply: Reply, now: datetime | None = None, *, secrets: Iterable[str] = ()) -> NorthError | None:
    """Read a reply: None for a success, else the error that it is.

    A code counts in whatever status it comes, a 200 included, but for 429, which is flow control whatever its code. A
    code that is not known says less than the status does. Without a code:

    * A 200 or 204 is a success only if its body is empty or JSON. A proxy's page in a 200 is nobody's word that
      anything was deleted: the reply is lost.
    * A 404 or 410 is the platform's only if its body is empty. A page, or JSON without a code, is what a gateway says
      that was asked for a path it does not know, as with a wrong base URL.

    That something is gone, or was not there, is believed only of a reply that is known to be whole: of one that was cut
    the rest may have said otherwise.

    `now` is the time against which a Retry-After date is read; none of the call's `secrets` shows in the error.
    """
    if not reply.body and reply.whole and reply.status in _SUCCESS:
        return None
    reply = attrs.evolve(reply, content_type=hidden(reply.content_type, secrets))
    content = _parsed(reply)
    fields = _fields(content)
    code = _code(reply, fields)
    cut = reply.whole is False or (reply.whole is None and content is None)
    if code is None and reply.status == HTTPStatus.BAD_REQUEST:
        for page, error in _PAGES.items():
            if page in reply.body:
                return TlsError(error)
    if code is None and reply.status in _SUCCESS and not cut:
        return None if content is not None else _lost(reply, "with a body that is not the platform's")
    kind, description = _by_status(reply) if code is None else (_by_code(code, reply.status), "")
    if cut and (
        issubclass(kind, NotFoundError)
        or (code is None and (reply.status < HTTPStatus.MULTIPLE_CHOICES or not issubclass(kind, _SAID_BY_STATUS)))
    ):
        return _lost(reply, "and broke off before its end")
    said = fields.get("error_desc") or fields.get("error_msg") or ""
    return kind(
        reply.status,
        None if code is None else hidden(code, secrets),
        description or hidden(str(said), secrets),
        retry_after=_seconds(reply.retry_after, now or datetime.now(UTC)) if reply.retry_after else None,
        date=reply.date,
    )


_PAGES = {
    b"No required SSL certificate was sent": (
        "the server before the platform asks for a client certificate: give client_cert"
    ),
    b"The SSL certificate error": (
        "the server before the platform does not accept the client certificate: give a client_cert that is valid and "
        "of a CA that it knows"
    ),
    b"The plain HTTP request was sent to HTTPS port": "that port speaks TLS: let the base URL begin with https://",
}
"""What nginx's pages for bad requests say of TLS, and what it means."""

_SAID_BY_STATUS = (FlowControlError, ServerError)
"""Errors that a status tells whole, whatever its body says."""


def _lost(reply: Reply, why: str) -> ReplyLostError:
    return ReplyLostError(f"HTTP {reply.status} {why}{_shape(reply)}")


def _by_code(code: str, status: int) -> type[NorthApiError]:
    """Return the class of an error with a code, of the platform's or of a gateway's."""
    match status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return FlowControlError
        case _ if code in CODES:
            return CODES[code]
        case HTTPStatus.GONE:
            return NotFoundError
        case _:
            return _trouble(status) or NorthApiError


def _by_status(reply: Reply) -> tuple[type[NorthApiError], str]:
    """Return the class and the description of an error that carries no code."""
    description = f"a reply without the platform's error_code{_shape(reply)}"
    match reply.status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return FlowControlError, description
        case HTTPStatus.UNAUTHORIZED:
            return InvalidTokenError, description
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE if not reply.body:
            return NotFoundError, "there is no such resource"
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            return NorthApiError, f"{description}; it comes from something before the platform: check the base URL"
        case status if status < HTTPStatus.MULTIPLE_CHOICES:
            return GatewayError, f"{description}, and not a status that the platform has for this call"
        case status if status < HTTPStatus.BAD_REQUEST:
            return NorthApiError, "a redirect, which is not followed: check the base URL"
        case status:
            return _trouble(status) or NorthApiError, description


def _trouble(status: int) -> type[ServerError] | None:
    """Return which trouble of the platform's, or of the way to it, a status tells; None where it tells none."""
    match status:
        case HTTPStatus.INTERNAL_SERVER_ERROR | HTTPStatus.SERVICE_UNAVAILABLE:
            return ServerError
        case HTTPStatus.REQUEST_TIMEOUT | HTTPStatus.BAD_GATEWAY | HTTPStatus.GATEWAY_TIMEOUT:
            return GatewayError
        case _ if status > HTTPStatus.SERVICE_UNAVAILABLE:
            return GatewayError
        case _:
            return None


def read_token(reply: Reply) -> Token:
    """Read the reply to a login or refresh; raises `NorthApiError` where it holds no token."""
    fields = _fields(_parsed(reply))
    access, refresh = fields.get("accessToken"), fields.get("refreshToken")
    if not isinstance(access, str) or not fits_header(access):
        raise NorthApiError(reply.status, None, f"the reply to a login holds no accessToken{_shape(reply)}")
    try:
        lifetime = float(fields.get("expiresIn") or TOKEN_LIFETIME)  # a number in some editions, a string in others
    except (TypeError, ValueError, OverflowError):
        lifetime = TOKEN_LIFETIME
    if not 0 < lifetime < math.inf:
        lifetime = TOKEN_LIFETIME
    return Token(access, refresh if isinstance(refresh, str) and refresh else None, lifetime)


def read_subscription_page(reply: Reply) -> Page[Subscription]:
    """Read a page of subscriptions; raises `ReplyLostError` where it is none."""
    return _read_page(reply, "subscriptions", _subscription)


def read_upgrade_package_page(reply: Reply) -> Page[UpgradePackage]:
    """Read a page of version packages; raises `ReplyLostError` where it is none."""
    return _read_page(reply, "data", _upgrade_package)


def read_subscription(reply: Reply) -> Subscription:
    """Read one subscription; raises `ReplyLostError` where it is none."""
    return _read_one(reply, _subscription)


def read_upgrade_package(reply: Reply) -> UpgradePackage:
    """Read one version package; raises `ReplyLostError` where it is none."""
    return _read_one(reply, _upgrade_package)


def _read_page(reply: Reply, name: str, read: Callable[[dict[str, Any]], T | None]) -> Page[T]:
    content = _fields(_parsed(reply))
    total = _whole(content.get("totalCount"))
    listed: Sequence[Any] = content.get(name) or ()
    if not isinstance(listed, Sequence) or (name not in content and total != 0):
        raise ReplyLostError(f"HTTP {reply.status} without a list {name!r} in it{_shape(reply)}")
    items = [item for entry in listed if (item := read(_fields(entry))) is not None]
    return Page(items, len(listed), total)


def _read_one(reply: Reply, read: Callable[[dict[str, Any]], T | None]) -> T:
    if (item := read(_fields(_parsed(reply)))) is None:
        raise ReplyLostError(f"HTTP {reply.status} without an id in it{_shape(reply)}")
    return item


def _subscription(fields: dict[str, Any]) -> Subscription | None:
    if (id_ := _text(fields.get("subscriptionId"))) is None:
        return None
    return Subscription(
        subscription_id=id_,
        notify_type=_words(fields.get("notifyType")),
        callback_url=_words(fields.get("callbackUrl")),
        fields=fields,
    )


def _upgrade_package(fields: dict[str, Any]) -> UpgradePackage | None:
    if (id_ := _text(fields.get("fileId"))) is None:
        return None
    return UpgradePackage(
        file_id=id_,
        name=_words(fields.get("name")),
        version=_words(fields.get("version")),
        file_type=_words(fields.get("fileType")),
        device_type=_words(fields.get("deviceType")),
        model=_words(fields.get("model")),
        manufacturer_name=_words(fields.get("manufacturerName")) or _words(fields.get("manufactureName")),
        protocol_type=_words(fields.get("protocolType")),
        description=_words(fields.get("description")),
        upload_time=_time(_text(fields.get("uploadTime"))),
        fields=fields,
    )


def _text(value: object) -> str | None:
    """Return a field's text; numbers count as such. None for what is missing, empty or no text."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and value else None


def _words(value: object) -> str | None:
    """Return a field's text as it may be shown. An id is left as it is: changed, it would be another one."""
    return None if (text := _text(value)) is None else visible(text)


def _whole(value: object) -> int | None:
    """Return a count, a number in some editions and a string in others; None where it is none."""
    text = _text(value)
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,12}", text) else None


def _time(text: str | None) -> datetime | None:
    """Return a time as in ``20151212T121212Z``, or in another form of ISO 8601; None where it cannot be read."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    if time.year < FIRST_YEAR:  # as of a number that happens to look like a date
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


_CODE = re.compile(r'"error_code"\s*:\s*(?:"([^"\\]{1,64})"|(\d{1,10})(?=\s*[,}]))')
"""The code in an object that is not JSON, because of its prose or because its end is missing."""

_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')

_CHARSETS = re.compile(r"(ascii|big5|cp|euc|gb|iso8859|koi8|shift_jis|utf)[\w-]*")
"""Charsets of text, by Python's names; other codecs do other things, and some take their time."""


def _parsed(reply: Reply) -> Any:  # noqa: ANN401 - any JSON at all
    """Return what a body holds as JSON, whatever its Content-Type says; None where it is not JSON.

    Its prose need not be readable: bytes that cannot be decoded are replaced, control characters within strings are
    taken as they are, and so is a backslash that escapes nothing.
    """
    for text in _texts(reply):
        for candidate in (text, _ESCAPE.sub(_escaped, text)):
            try:
                return json.loads(candidate, strict=False)
            except (ValueError, RecursionError):
                continue
    return None


def _escaped(escape: re.Match[str]) -> str:
    return escape[0] if len(escape[0]) > 1 else r"\\"


def _texts(reply: Reply) -> Iterator[str]:
    """Yield the body as text, in the encodings that it may have, the likeliest first."""
    encoding = json.detect_encoding(reply.body)  # UTF-8, -16 or -32, by a byte order mark or by its zeros
    body = reply.body.rstrip(b"\0 \t\r\n") if encoding.startswith("utf-8") else reply.body
    with suppress(UnicodeDecodeError):
        yield body.decode(encoding)
        return
    with suppress(LookupError, UnicodeError):
        if reply.charset and _CHARSETS.fullmatch(name := codecs.lookup(reply.charset).name):
            yield body.decode(name, "replace")
    yield body.decode(encoding, "replace")
    yield body.decode("gb18030", "replace")  # in UTF-8 half a character of it may swallow the quote behind it


def _code(reply: Reply, fields: Mapping[str, Any]) -> str | None:
    """Return the error code of a reply; None where it carries none. What cannot be read around it does not hide it."""
    if fields:
        code = fields.get("error_code")
        return str(code).strip() or None if code else None
    if reply.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        for text in _texts(reply):
            if found := _CODE.search(text):
                return found[1] or found[2]
    return None


def _fields(content: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return the fields of a JSON object; none where `content` is something else."""
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def _shape(reply: Reply) -> str:
    """Describe a body without quoting it: a gateway's page may show the request, and with it the token."""
    kind = shortened(visible(reply.content_type), LONGEST_TYPE) or "no Content-Type"
    return f" ({kind}, {len(reply.body)} bytes)"


def _seconds(retry_after: str, now: datetime) -> float | None:
    """Return a Retry-After header, a number or a date, in seconds from `now`; None where it cannot be read."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            date = parsedate_to_datetime(retry_after)
        except (ValueError, OverflowError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None
