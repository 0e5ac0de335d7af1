"""Replies, read: into the error that they are, a token, items or a page of items. Nothing here sends or waits."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import attrs

from aionorth.common.arguments import argument
from aionorth.common.headers import NO_HEADERS, Headers
from aionorth.common.text import hidden, hidden_bytes, shortened, visible
from aionorth.errors import (
    FlowControlError,
    GatewayError,
    InvalidTokenError,
    NorthApiError,
    NorthError,
    NotFoundError,
    ReplyLostError,
    ServerError,
    TlsError,
)
from aionorth.wire.body import count, error_code, fields_of, http_date, parsed
from aionorth.wire.checks import fits_header
from aionorth.wire.requests import Request
from aionorth.wire.resources import CODES, SUCCESS, Item, Resource

TOKEN_LIFETIME = 3600.0
"""Seconds an access token is valid by the documents; used where a login reply does not say, or says nonsense."""

LONGEST_RETRY_AFTER = 3600.0
"""Seconds. A Retry-After of more is cut to this: after an hour a call shows whether it still holds."""

LONGEST_TYPE = 100
"""Characters of a Content-Type that are shown."""

T = TypeVar("T", bound=Item)


@attrs.frozen(eq=False)
class Reply:
    """One reply, read to its end."""

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    content_type: str = ""
    retry_after: str | None = None
    date: str | None = None
    """The time by the server's clock, as its header has it."""
    charset: str | None = None
    """Of the body, where the reply names one."""
    whole: bool | None = True
    """Whether the body is whole: None where only the end of the connection says so, False where it is cut."""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    """All of them; their names in whatever case."""


NO_CONTENT = Reply(204)
"""The usual reply to a deletion. There is nothing in it to be read."""

Send = Callable[[Request], Awaitable[Reply]]
"""Makes a call: returns its reply, or raises the error that it is."""


@attrs.frozen(eq=False)
class Page(Generic[T]):
    """One page of a list."""

    items: list[T]
    rows: int
    """How many entries it has, including those without an id."""
    total: int | None
    """How many items all pages hold; None where the reply does not say."""


@attrs.frozen
class Token:
    """An access token and what came with it. `lifetime` is in seconds, infinite where it is not known."""

    access: str = attrs.field(repr=False)
    refresh: str | None = attrs.field(default=None, repr=False)
    lifetime: float = math.inf

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown."""
        return (self.access,) if self.refresh is None else (self.access, self.refresh)


def read_error(
    reply: Reply,
    *,
    success: frozenset[int] = SUCCESS,
    any_body: bool = False,
    secrets: Collection[str] = (),
    whole: bool = False,
    now: datetime | None = None,
) -> NorthError | None:
    """Read a reply into the error that it is.

    A code counts whatever the status, a 200 included. The exception is 429, which is flow control whatever its code. An
    unknown code counts less than the status does. Without a code:

    * A success is one only if its body is empty or JSON. A proxy's page in a 200 does not say that the platform has
      deleted anything: the reply is lost.
    * A 404 or 410 is the platform's only if its body is empty. A page, or JSON without a code, comes from a gateway
      that does not know the path, as with a wrong base URL.

    A reply that says "deleted" or "not there" counts only if it is known to be whole: the missing rest may have said
    otherwise.

    Args:
        reply: The reply.
        success: The statuses that mean success for this call.
        any_body: Whether a success may have a body that is not JSON. A page of HTML is a proxy's all the same.
        secrets: What the reply may echo. None of it is shown in the error.
        whole: Whether the error holds the headers and the beginning of the body.
        now: The time against which a Retry-After date is read; the present one unless given.

    Returns:
        The error; None for a success.
    """
    if not reply.body and reply.whole and reply.status in success:
        return None
    reply = attrs.evolve(reply, content_type=hidden(reply.content_type, secrets))
    content = parsed(reply.body, reply.charset)
    fields = fields_of(content)
    code = error_code(fields, reply.body, reply.charset)
    cut = reply.whole is False or (reply.whole is None and content is None)
    if code is None and reply.status == HTTPStatus.BAD_REQUEST:
        for page, error in _PAGES.items():
            if page in reply.body:
                return TlsError(error)
    if code is None and reply.status in success and not cut:
        good = content is not None or (any_body and not _is_page(reply))
        return None if good else _lost(reply, "with a body that is not the platform's")
    kind, description = _by_status(reply) if code is None else (_by_code(code, reply.status), "")
    if cut and not _holds_although_cut(kind, code, reply.status):
        return _lost(reply, "and broke off before its end")
    said = fields.get("error_desc") or fields.get("error_msg") or ""
    return kind(
        reply.status,
        None if code is None else hidden(code, secrets),
        description or hidden(str(said), secrets),
        retry_after=_seconds(reply.retry_after, now or datetime.now(UTC)) if reply.retry_after else None,
        date=reply.date,
        headers=_hidden_headers(reply, secrets) if whole else NO_HEADERS,
        body=hidden_bytes(reply.body, secrets) if whole else b"",
    )


def _hidden_headers(reply: Reply, secrets: Collection[str]) -> Headers:
    return Headers((name, hidden(value, secrets)) for name, value in reply.headers.items())


def _holds_although_cut(kind: type[NorthApiError], code: str | None, status: int) -> bool:
    """Whether a reply of which the end is missing is still known to be an error of this class."""
    if code is not None:
        return not issubclass(kind, NotFoundError)
    return status >= HTTPStatus.MULTIPLE_CHOICES and issubclass(kind, (FlowControlError, ServerError))


_SPEAKS_TLS = "that port speaks TLS: let the base URL begin with https://"

_PAGES = {
    b"No required SSL certificate was sent": (
        f"the server before the platform asks for a client certificate: give {argument('client_cert')}"
    ),
    b"The SSL certificate error": (
        f"the server before the platform does not accept the client certificate: give a {argument('client_cert')} that "
        "is valid and of a CA that it knows"
    ),
    b"The plain HTTP request was sent to HTTPS port": _SPEAKS_TLS,
    b"speaking plain HTTP to an SSL-enabled server port": _SPEAKS_TLS,  # Apache
    b"combination of host and port requires TLS": _SPEAKS_TLS,  # Tomcat
    b"Client sent an HTTP request to an HTTPS server": _SPEAKS_TLS,  # Go
}
"""What pages for bad requests, nginx's if nothing else is said, say about TLS, and what it means."""


def _is_page(reply: Reply) -> bool:
    return "html" in reply.content_type.lower() or reply.body.lstrip()[:1] == b"<"


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
        case HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return NorthApiError, (
                "the proxy asks for a user and password, or does not accept those that it was given: correct them in "
                "the variable that names it"
            )
        case status if status < HTTPStatus.MULTIPLE_CHOICES:
            return GatewayError, f"{description}, and not a status that the platform has for this call"
        case status if status < HTTPStatus.BAD_REQUEST:
            return NorthApiError, "a redirect, which is not followed: check the base URL"
        case status:
            return _trouble(status) or NorthApiError, description


def _trouble(status: int) -> type[ServerError] | None:
    """Return the error that a status stands for, of the platform or of a gateway; None where it stands for none."""
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
    fields = _fields(reply)
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


def read_page(resource: Resource[T], reply: Reply) -> Page[T]:
    """Read a page of a list; raises `ReplyLostError` where it is none."""
    content = _fields(reply)
    rows, total = resource.listing.rows, count(content.get("totalCount"))
    listed: Sequence[object] = content.get(rows) or ()
    if not isinstance(listed, Sequence) or (rows not in content and total != 0):
        raise ReplyLostError(f"HTTP {reply.status} without a list {rows!r} in it{_shape(reply)}")
    items = [item for entry in listed if (item := resource.read(fields_of(entry))) is not None]
    return Page(items, len(listed), total)


def read_one(resource: Resource[T], reply: Reply) -> T:
    """Read one resource; raises `ReplyLostError` where the reply names none."""
    if (item := resource.read(_fields(reply))) is None:
        raise ReplyLostError(f"HTTP {reply.status} without an id in it{_shape(reply)}")
    return item


def _fields(reply: Reply) -> dict[str, Any]:
    return fields_of(parsed(reply.body, reply.charset))


def _shape(reply: Reply) -> str:
    """Describe a body without quoting it: a gateway's page may show the request, with the token in it."""
    kind = shortened(visible(reply.content_type), LONGEST_TYPE) or "no Content-Type"
    return f" ({kind}, {len(reply.body)} bytes)"


def _seconds(retry_after: str, now: datetime) -> float | None:
    """Return a Retry-After header, a number or a date, in seconds from `now`; None where it cannot be read."""
    try:
        seconds = float(retry_after)
    except ValueError:
        if (date := http_date(retry_after)) is None:
            return None
        seconds = (date - now).total_seconds()
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None
