"""One exchange, whole: send a request, read its reply to the end. The only user of aiohttp's client.

Whatever aiohttp raises is translated here. The line that matters most runs between an error after which the call was
certainly not sent (`NorthConnectionError`) and one after which it may have been carried out (`ReplyLostError`).
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import sys
import unicodedata
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import aiohttp
import aiohttp.connector
import attrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace
from yarl import URL

from aionorth import __version__
from aionorth.common.text import without_userinfo
from aionorth.errors import (
    ArgumentError,
    HostNotFoundError,
    NorthConnectionError,
    NorthError,
    ReplyLostError,
    ReplyTimeoutError,
    SessionStateError,
    TlsError,
    detached,
)
from aionorth.wire import tls
from aionorth.wire.replies import NO_CONTENT, Reply, Request, Token
from aionorth.wire.tls import Tls
from aionorth.wire.watchdog import Watchdog

LONGEST_BODY = 8 * 1024 * 1024
"""Bytes of a reply that are read; a longer one is not the platform's."""

_NO_SUCH_HOST = {socket.EAI_NONAME} | ({socket.EAI_NODATA} if sys.platform == "linux" else set())
_NO_SUCH_HOST_BY_ARES = {1, 4, 8}  # no data, not found, no name
_USER_AGENT = f"aionorth/{__version__} aiohttp/{aiohttp.__version__} Python/{sys.version_info[0]}.{sys.version_info[1]}"


def check_url(url: object) -> URL:
    """Return the base URL, or raise `ArgumentError`, which does not show a password in it."""
    example = "give it as in 'https://server:8743'"
    if not isinstance(url, str):
        raise ArgumentError(f"the base URL is not a str but {type(url).__name__}: {example}")
    if "@" in unicodedata.normalize("NFKC", unquote(url)):
        raise ArgumentError(f"the base URL has a user or password in it, which the platform does not use: {example}")
    if not url.isprintable() or " " in url or "\\" in url:
        # Parsers drop some of these, and find another host than the one that is seen.
        raise ArgumentError(f"the base URL {url!r} has blanks, line ends or the like in it: {example}")
    try:
        parsed = URL(url)
        host = parsed.host
    except ValueError as exc:
        raise ArgumentError(f"the base URL {url!r} cannot be read ({exc}): {example}") from exc
    if parsed.scheme not in {"http", "https"} or not host:
        raise ArgumentError(f"the base URL {url!r} is not an http or https URL: {example}")
    if parsed.query_string or parsed.fragment:
        raise ArgumentError(f"the base URL {url!r} has a query or fragment: {example}")
    return parsed


LONGEST_HEAD = 64 * 1024
"""Bytes of a reply's head that are waited for; what to say of a longer one is left to aiohttp."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_INTERIM = re.compile(rb"\s*HTTP/1\.[01] 1(?!01)\d\d\b")
_NO_CONTENT = re.compile(rb"\s*HTTP/1\.[01] 204\b")
_LENGTH = re.compile(rb"(?<=\n)(?:content-length|transfer-encoding)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE)
"""The lines of a head that say how long the body is."""


def _plain(line: bytes) -> bytes:
    """Return a line of a head as all would write it."""
    name, _, value = line.partition(b":")
    return b"%s: %s" % (name.strip().lower(), value.strip())


class _Protocol(ResponseHandler):
    """Reads replies as aiohttp does, but for what servers on the way do to them.

    A 204 has no body, whatever its head says of one and whatever follows it: a chunked end, a body, a second
    Content-Length. aiohttp would take that for the beginning of another reply, and lose the 204 for it. Of any reply, a
    length that is said twice is said. And a body that goes on until the connection ends is broken where the connection
    is: aiohttp would take it as whole.
    """

    _head: bytes | None = None
    """What has come of a reply's head while that is not whole; None once it is."""

    def set_response_params(self, **options: Any) -> None:  # noqa: ANN401 - as overridden
        """Expect a reply."""
        self._head = b""
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        while self._head is not None and data:
            data, self._head = self._head + data, None
            if (end := _HEAD_END.search(data)) is not None:
                head, rest = data[: end.end()], data[end.end() :]
                if _INTERIM.match(head):  # the head that counts is yet to come
                    super().data_received(head)
                    data, self._head = rest, b""
                else:
                    data = self._tidied(head, rest)
            elif len(data) < LONGEST_HEAD:
                self._head = data
                return
        if data:
            super().data_received(data)

    def _tidied(self, head: bytes, rest: bytes) -> bytes:
        """Return what aiohttp is to see of a reply that begins with `head`."""
        lengths = _LENGTH.findall(head)
        said = set(map(_plain, lengths))
        if _NO_CONTENT.match(head):
            if rest or not said <= {b"content-length: 0"}:
                self.force_close()  # nobody knows where the next reply will begin
            return _LENGTH.sub(b"", head)
        if len(lengths) > len(said) == 1:
            return _LENGTH.sub(b"", head, count=len(lengths) - 1) + rest
        return head + rest

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take note that the connection has ended, with `exc` where it broke."""
        if exc is not None and self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError("the connection broke"), exc)
        super().connection_lost(exc)


class _Connector(aiohttp.TCPConnector):
    """A pool that discards a kept-alive connection on which something came unasked, a second reply or a late 408.

    aiohttp would take it for the reply to the next request.
    """

    def __init__(self, *, ssl: ssl.SSLContext | bool) -> None:
        super().__init__(limit=0, ssl=ssl)  # pyright: ignore[reportUnknownMemberType] - an option of it is half typed
        protocol: type[ResponseHandler] = _Protocol
        self._factory = partial(protocol, loop=asyncio.get_running_loop())

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as overridden
    ) -> aiohttp.connector.Connection:
        """Return a connection on which nothing has come yet."""
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()


def _check_lent(http: object, url: URL) -> None:
    """Raise `ArgumentError` if `http` cannot be used: it must not bring credentials of its own to the platform."""
    if not isinstance(http, aiohttp.ClientSession):
        raise ArgumentError(f"http={http!r}: give an aiohttp.ClientSession")
    if http.auth is not None or "Authorization" in http.headers:
        raise ArgumentError("http= has credentials of its own, which are not the platform's: make it without")
    if http.trust_env and _is_in_netrc(url.host or ""):
        raise ArgumentError(
            f"http= has trust_env=True, by which aiohttp would send the platform the password that a netrc file has "
            f"for {url.host}: make it without, and give it the proxy as proxy="
        )


def _is_in_netrc(host: str) -> bool:
    import netrc  # noqa: PLC0415 - hardly anybody needs it

    try:
        file = os.environ.get("NETRC") or str(Path.home() / ("_netrc" if os.name == "nt" else ".netrc"))
        return netrc.netrc(file).authenticators(host) is not None
    except (OSError, RuntimeError, UnicodeError, netrc.NetrcParseError):
        return False


@attrs.frozen
class Proxy:
    """The proxy that the environment names."""

    url: URL = attrs.field(repr=False)
    """With the user and password that the proxy wants, if any."""


def _proxy(url: URL) -> Proxy | None:
    """Return the proxy that the environment names for `url`; raises `ArgumentError` where it cannot be used.

    That is all that is taken from the environment: a password in a netrc file is none for the platform.
    """
    named = getproxies().get(url.scheme)
    if not named or proxy_bypass(f"{url.host}:{url.port}"):
        return None
    try:
        proxy = URL(named if "://" in named else f"http://{named}")
        # Behind an unescaped / in a password comes what looks like a path, and before it like a host.
        usable = proxy.scheme in {"http", "https"} and proxy.host and "@" not in f"{proxy.path_qs}{proxy.fragment}"
    except ValueError:
        proxy, usable = URL(), False
    if usable:
        return Proxy(proxy)
    del named, proxy  # a traceback must not show them
    raise ArgumentError(
        f"the proxy in the environment variable {url.scheme.upper()}_PROXY (or {url.scheme}_proxy) cannot be used: "
        "name it as in http://host:3128 or http://user:password@host:3128, with : / ? # and @ in user and password as "
        "%3A, %2F, %3F, %23 and %40; or leave trust_env out"
    )


class Transport:
    """The way to one platform: a connection pool and what is needed to fill it."""

    def __init__(
        self,
        url: URL,
        *,
        tls: Tls,
        http: aiohttp.ClientSession | None,
        connect_timeout: float,
        timeout: float,
        trust_env: bool,
    ) -> None:
        if http is not None:
            _check_lent(http, url)
        self._base = str(url).rstrip("/")
        self._origin = url.origin()
        self._prefix = url.raw_path.rstrip("/")
        self._own = http is None
        self._ssl = tls.context() if url.scheme == "https" and http is None else None
        self._proxy = _proxy(url) if trust_env else None
        self.timeout = timeout
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_timeout
        )  # the watchdog sees to the total
        self._watchdog: Watchdog | None = None
        self._http = http
        self.reached = False
        """Whether a reply ever came, so that name, port and certificates are right."""

    async def open(self) -> None:
        """Make the pool. It has no bound of its own: the workers are one, and what holds a slot must not queue."""
        self._watchdog = Watchdog()
        if self._own:
            self._http = aiohttp.ClientSession(
                connector=_Connector(ssl=self._ssl if self._ssl is not None else True),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": _USER_AGENT},
            )

    @property
    def connections(self) -> int | None:
        """How many connections the pool allows; None where it has no bound."""
        connector = None if self._http is None else self._http.connector
        if connector is None:
            return None
        return min((limit for limit in (connector.limit, connector.limit_per_host) if limit), default=None)

    async def close(self) -> None:
        """Close the pool, unless it was the user's own."""
        if self._watchdog is not None:
            self._watchdog.close()
        if self._own and (http := self._http) is not None:
            self._http = None
            await http.close()

    def check_open(self) -> None:
        """Raise `SessionStateError` where the pool has been closed."""
        if self._http is None or (not self._own and self._http.closed):
            raise SessionStateError("the session, or the aiohttp session it was given, is closed")

    async def exchange(self, request: Request, app_id: str, token: Token | None, until: float) -> Reply:
        """Send `request` once and return its reply, whatever its status; no redirect is followed.

        It is cut off at the time `until`, on the loop's clock. With a `token` go the two headers that identify the app.
        Raises `NorthConnectionError` where the request was not sent, and `ReplyLostError` where it may have been and no
        whole reply came.
        """
        assert self._http is not None, "the session opens its transport"
        assert self._watchdog is not None
        try:
            task = self._watchdog.watch(until)
            try:
                response = await self._http.request(
                    request.method,
                    self._url(request.target),
                    data=request.body,
                    headers=self._headers(request, app_id, token),
                    allow_redirects=False,
                    raise_for_status=False,
                    proxy=self._proxy.url if self._proxy is not None else None,
                    timeout=self._timeout,
                    middlewares=_ONE_ATTEMPT,
                )
                self.reached = True
                if response.status == NO_CONTENT.status:
                    return NO_CONTENT
                body, whole = await _read(response, breaks_show=self._own)
            finally:
                self._watchdog.over(task)
            headers = response.headers
            return Reply(
                response.status,
                body,
                response.content_type if body else "",
                headers.get("Retry-After"),
                headers.get("Date"),
                response.charset if body else None,
                whole,
            )
        # aiohttp's frames hold the request's headers, and with them the token; so does what it says of a reply. What it
        # says of a URL may have a proxy's password in it.
        except (NorthError, asyncio.CancelledError) as exc:
            raise detached(exc) from exc.__cause__
        except (aiohttp.ClientResponseError, ValueError) as exc:
            error, cause = self._translated(exc), None
        except (aiohttp.ClientError, OSError) as exc:  # asyncio's TimeoutError is an OSError
            error, cause = self._translated(exc), detached(exc)
        raise error from cause  # here, where what aiohttp raised is not its context

    def _url(self, target: str) -> URL:
        if "?" in target:
            return URL(f"{self._base}{target}", encoded=True)
        return self._origin.with_path(self._prefix + target, encoded=True)  # much cheaper than parsing the whole

    @staticmethod
    def _headers(request: Request, app_id: str, token: Token | None) -> dict[str, str]:
        headers = {"Content-Type": request.content_type, "Accept-Encoding": "identity"}
        if token is not None:
            headers |= {"app_key": app_id, "Authorization": f"Bearer {token.access}"}
        return headers

    def _translated(self, exc: Exception) -> NorthError:
        if isinstance(exc, aiohttp.ClientConnectorError):
            return self._unconnected(exc)
        match exc:
            case aiohttp.ConnectionTimeoutError():
                return NorthConnectionError(f"no connection within {self._timeout.sock_connect:g} s")
            case aiohttp.ClientHttpProxyError():
                return NorthConnectionError(f"the proxy refused the connection: HTTP {exc.status}")
            case TimeoutError():
                return ReplyTimeoutError(f"no reply within {self.timeout:g} s")
            case ValueError():  # as where `http` names a proxy that cannot be used
                error = ArgumentError(f"aiohttp cannot send this request: {without_userinfo(str(exc))}")
                error.ends_run = True  # nor any other
                return error
            case _:
                return self._lost(exc)

    def _unconnected(self, exc: aiohttp.ClientConnectorError) -> NorthError:
        match exc:
            case aiohttp.ClientConnectorDNSError(os_error=cause) if _is_no_such_host(cause) and not self.reached:
                return HostNotFoundError(f"no such host: {exc.host}; check the base URL")
            case aiohttp.ClientConnectorDNSError(os_error=cause):
                return NorthConnectionError(f"the host name {exc.host} cannot be looked up now: {cause.strerror}")
            case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.CertificateError() as cause):
                return TlsError(tls.refused_certificate(cause))
            case aiohttp.ClientSSLError(os_error=ssl.SSLError() as cause):
                return TlsError(f"TLS with {exc.host}:{exc.port} failed: {tls.failed(cause)}")
            case aiohttp.ClientConnectorError(os_error=ConnectionResetError()) if self._base.startswith("https:"):
                return NorthConnectionError(
                    f"{exc.host}:{exc.port} closed the connection during the TLS handshake: is it the platform's port, "
                    "does it accept connections from here, does it ask for a client_cert?"
                )
            case _:
                why = exc.os_error.strerror or str(exc.os_error) or type(exc.os_error).__name__
                return NorthConnectionError(f"cannot connect to {exc.host}:{exc.port}: {why}")

    def _lost(self, exc: Exception) -> NorthError:
        if self.reached:
            return ReplyLostError(f"the reply was lost: {_cause_name(exc)}")
        if (alert := tls.alert(exc)) is not None:
            return TlsError(f"the platform refused TLS: {tls.failed(alert)}")
        # In TLS 1.3 a refused client certificate shows only after the handshake, and often as a mere disconnection.
        hint = "does it ask for another client_cert, or for one?" if self._base.startswith("https:") else "is it https?"
        return ReplyLostError(f"the platform broke the connection off: {_cause_name(exc)}; {hint}")


def _is_no_such_host(cause: OSError) -> bool:
    """Whether a look-up has found that there is no such host. Only the system's resolver says so by an errno."""
    if cause.errno is not None:
        return cause.errno in _NO_SUCH_HOST
    ares = cause.__cause__  # what aiodns raised, where that is installed
    return ares is not None and not _NO_SUCH_HOST_BY_ARES.isdisjoint(ares.args[:1])


def _cause_name(exc: BaseException) -> str:
    return type(exc.__cause__ or exc).__name__


async def _read(response: aiohttp.ClientResponse, *, breaks_show: bool) -> tuple[bytes, bool | None]:
    """Read the body to its end, bounded: a page without end must not fill the memory.

    Returns what came of it, and whether that is all; None where that is not known. `breaks_show` tells whether a
    connection that breaks shows in a body that goes on until its end, as with `_Protocol`.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async with response:
            async for chunk in response.content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size > LONGEST_BODY:
                    return b"".join(chunks), False
    except (aiohttp.ClientError, ConnectionError):
        return b"".join(chunks), False
    return b"".join(chunks), _has_known_end(response, breaks_show=breaks_show) or None


def _has_known_end(response: aiohttp.ClientResponse, *, breaks_show: bool) -> bool:
    """Whether a body that has come to an end is known to be whole; where a server breaks down the connection ends too.

    A compressed one is not: aiohttp does not look whether that was the end of what was compressed.
    """
    headers = response.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        return False
    if "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower():
        return True
    closes = response.version == aiohttp.HttpVersion10 or "close" in headers.get("Connection", "").lower()
    return (closes and breaks_show) or response.status == HTTPStatus.NOT_MODIFIED


async def _one_attempt(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request a second time on its own.

    It repeats a DELETE whose kept-alive connection broke. That would pass flow control by, and turn a deletion whose
    reply was lost into a 404. It repeats after two kinds of error only, and this hides them in a third.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise aiohttp.ClientConnectionError from exc


_ONE_ATTEMPT = (_one_attempt,)
