"""One exchange, whole: send a request, read its reply to the end. The only user of aiohttp's client.

Whatever aiohttp raises is translated here. The line that matters most runs between an error after which the call was
certainly not sent (`NorthConnectionError`) and one after which it may have been carried out (`ReplyLostError`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys

import aiohttp
import aiohttp.connector
import attrs
from aiohttp.tracing import Trace
from yarl import URL

from aionorth._version import __version__
from aionorth.api import NO_CONTENT, Reply, Request, Token
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
from aionorth.watchdog import Watchdog

LONGEST_BODY = 8 * 1024 * 1024
"""Bytes of a reply that are read; a longer one is not the platform's."""

_NO_SUCH_HOST = {socket.EAI_NONAME} | ({socket.EAI_NODATA} if sys.platform == "linux" else set())
_USER_AGENT = f"aionorth/{__version__} aiohttp/{aiohttp.__version__} Python/{sys.version_info[0]}.{sys.version_info[1]}"

StrPath = str | os.PathLike[str]


@attrs.frozen(kw_only=True)
class Tls:
    """How the platform is verified, and how it verifies us."""

    ca_file: StrPath | None = None
    client_cert: tuple[StrPath, StrPath] | None = None
    any_host_name: bool = False

    def context(self) -> ssl.SSLContext:
        """Build the context; raises `ArgumentError` where a file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, TypeError, ValueError) as exc:
            raise ArgumentError(f"ca_file {str(self.ca_file)!r} cannot be used: {exc}") from exc
        if self.client_cert is not None:
            try:
                cert, key = self.client_cert
                # Without a password callable OpenSSL would ask for one on the terminal.
                context.load_cert_chain(cert, key, password=lambda: "")
            except (OSError, TypeError, ValueError) as exc:
                raise ArgumentError(
                    f"client_cert={self.client_cert!r} cannot be used ({exc}): "
                    "give two PEM files, certificate and key, the key without a passphrase"
                ) from exc
        if self.any_host_name:
            context.check_hostname = False  # the certificate itself is still verified
        return context


def check_url(url: object) -> URL:
    """Return the base URL, or raise `ArgumentError`."""
    example = "give it as in 'https://server:8743'"
    if isinstance(url, str) and "@" in url:
        raise ArgumentError(f"the base URL has a user or password in it, which the platform does not use: {example}")
    try:
        parsed = URL(url) if isinstance(url, str) else None
    except ValueError as exc:
        raise ArgumentError(f"the base URL {url!r} cannot be read ({exc}): {example}") from exc
    if parsed is None or parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ArgumentError(f"the base URL {url!r} is not an http or https URL: {example}")
    if parsed.query_string or parsed.fragment:
        raise ArgumentError(f"the base URL {url!r} has a query or fragment: {example}")
    return parsed


class _Connector(aiohttp.TCPConnector):
    """A pool that discards a kept-alive connection on which something came unasked, a second reply or a late 408.

    aiohttp would take it for the reply to the next request.
    """

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
        if http is not None and not isinstance(http, aiohttp.ClientSession):
            raise ArgumentError(f"http={http!r}: give an aiohttp.ClientSession")
        self._base = str(url).rstrip("/")
        self._origin = url.origin()
        self._prefix = url.raw_path.rstrip("/")
        self._own = http is None
        self._ssl = tls.context() if url.scheme == "https" and http is None else None
        self._trust_env = trust_env
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
                connector=_Connector(limit=0, ssl=self._ssl if self._ssl is not None else True),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": _USER_AGENT},
                trust_env=self._trust_env,
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
                    timeout=self._timeout,
                    middlewares=_ONE_ATTEMPT,
                )
                body = b"" if response.content.at_eof() else await _read(response)
            finally:
                self._watchdog.over(task)
            self.reached = True
            if not body and response.status == NO_CONTENT.status:
                return NO_CONTENT
            content_type = response.content_type if body else ""
            headers = response.headers
            return Reply(response.status, body, content_type, headers.get("Retry-After"), headers.get("Date"))
        # aiohttp's frames hold the request's headers, and with them the token; so does what it says of a reply.
        except (NorthError, asyncio.CancelledError) as exc:
            raise detached(exc) from exc.__cause__
        except (aiohttp.ClientError, OSError, ValueError) as exc:  # asyncio's TimeoutError is an OSError
            raise self._translated(exc) from (None if isinstance(exc, aiohttp.ClientResponseError) else detached(exc))

    def _url(self, target: str) -> URL:
        if "?" in target:
            return URL(f"{self._base}{target}", encoded=True)
        return self._origin.with_path(self._prefix + target, encoded=True)  # much cheaper than parsing the whole

    @staticmethod
    def _headers(request: Request, app_id: str, token: Token | None) -> dict[str, str]:
        if token is None:
            return {"Content-Type": request.content_type}
        return {"Content-Type": request.content_type, "app_key": app_id, "Authorization": f"Bearer {token.access}"}

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
            case ValueError():  # as where `http` has credentials of its own for this host
                return ArgumentError(f"aiohttp cannot send this request: {exc}")
            case _:
                return self._lost(exc)

    def _unconnected(self, exc: aiohttp.ClientConnectorError) -> NorthError:
        match exc:
            case aiohttp.ClientConnectorDNSError(os_error=cause) if cause.errno in _NO_SUCH_HOST and not self.reached:
                return HostNotFoundError(f"no such host: {exc.host}; check the base URL")
            case aiohttp.ClientConnectorDNSError(os_error=cause):
                return NorthConnectionError(f"the host name {exc.host} cannot be looked up now: {cause.strerror}")
            case aiohttp.ClientConnectorCertificateError(certificate_error=cause) if "match" in str(cause):
                return TlsError(
                    f"the platform's certificate is for another host name: {cause}; use the name that it is for"
                )
            case aiohttp.ClientConnectorCertificateError(certificate_error=cause):
                return TlsError(f"the platform's certificate was refused: {cause}; give its CA as ca_file")
            case aiohttp.ClientSSLError(os_error=cause):
                return TlsError(f"TLS with {exc.host}:{exc.port} failed: {cause}; does it speak plain http?")
            case _:
                why = exc.os_error.strerror or exc.os_error
                return NorthConnectionError(f"cannot connect to {exc.host}:{exc.port}: {why}")

    def _lost(self, exc: Exception) -> NorthError:
        if self.reached:
            return ReplyLostError(f"the reply was lost: {_cause_name(exc)}")
        if (alert := _tls_alert(exc)) is not None:
            return TlsError(f"the platform refused TLS: {alert}; does it ask for a client_cert?")
        # In TLS 1.3 a refused client certificate shows only after the handshake, and often as a mere disconnection.
        hint = "does it ask for another client_cert, or for one?" if self._base.startswith("https:") else "is it https?"
        return ReplyLostError(f"the platform broke the connection off: {_cause_name(exc)}; {hint}")


def _cause_name(exc: BaseException) -> str:
    return type(exc.__cause__ or exc).__name__


def _tls_alert(exc: BaseException) -> str | None:
    """Return the TLS alert behind `exc`, if there is one."""
    link: BaseException | None = exc
    while link is not None:
        if isinstance(link, ssl.SSLError) and "ALERT" in (link.reason or ""):
            return link.reason
        link = link.__cause__ or link.__context__
    return None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the body to its end, bounded: a page without end must not fill the memory."""
    chunks: list[bytes] = []
    size = 0
    async with response:
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > LONGEST_BODY:
                raise ReplyLostError(f"HTTP {response.status} with a body of more than {LONGEST_BODY} bytes")
    return b"".join(chunks)


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
