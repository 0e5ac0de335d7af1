"""One exchange, whole: send a request, read its reply to the end."""

from __future__ import annotations

import asyncio
import sys
from functools import cache
from http import HTTPStatus

import aiohttp
import attrs
from yarl import URL

from aionorth import __version__
from aionorth.errors import NorthError, SessionStateError, detached
from aionorth.wire.replies import NO_CONTENT, Reply, Token
from aionorth.wire.requests import Request
from aionorth.wire.transport.addresses import ConnectionOptions, check_lent, environment_proxy
from aionorth.wire.transport.faults import translated
from aionorth.wire.transport.pools import Pool, Way
from aionorth.wire.transport.timeout import SharedTimeout

LONGEST_BODY = 8 * 1024 * 1024
"""Bytes of a reply that are read; a longer one is not the platform's."""

_USER_AGENT = f"aionorth/{__version__} aiohttp/{aiohttp.__version__} Python/{sys.version_info[0]}.{sys.version_info[1]}"


class Transport:  # more than 12 attributes: a pool, and what is needed to use it
    """The way to one platform: a share of a connection pool, or a session that was lent, and what is needed to use it.

    Its state: while it is open, the aiohttp session that it sends through, its pool, unless that session was lent, and
    what times its exchanges; and whether a reply ever came, `_reached`.
    """

    def __init__(self, url: URL, options: ConnectionOptions) -> None:
        if options.http is not None:
            check_lent(options.http, url)
        self.server = url.host or "", url.port or 0
        """The platform's host and port."""
        self._base = str(url).rstrip("/")
        self._origin, self._prefix = url.origin(), url.raw_path.rstrip("/")
        self._https = url.scheme == "https"
        self._ssl = options.tls.context() if self._https and options.http is None else None
        self._proxy = environment_proxy(url) if options.trust_env else None
        self.timeout = options.timeout
        """Seconds that one exchange may take."""
        self._options = options
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=options.connect_timeout)
        self._http: aiohttp.ClientSession | None = None
        self._pool: Pool | None = None
        self._reached = False
        self._shared_timeout: SharedTimeout | None = None

    async def open(self) -> None:
        """Take a share of the pool.

        It has no limit of its own: the workers are one, and a call that has a slot must not queue. So the calls of one
        session cannot hold up those of another.
        """
        self._shared_timeout = SharedTimeout()
        if (lent := self._options.http) is not None:
            self._http = lent
            return
        self._pool = Pool.join(Way(self._origin, self._ssl, self._proxy))
        # A session of its own: what instruments aiohttp does it when a session is made.
        self._http = aiohttp.ClientSession(
            connector=self._pool.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": _USER_AGENT},
        )

    @property
    def reached(self) -> bool:
        """Whether a reply ever came, so that name, port and certificates are right."""
        return self._reached or (self._pool is not None and self._pool.reached)

    @property
    def connections(self) -> int | None:
        """How many connections the pool allows; None where it has no limit."""
        connector = None if self._http is None else self._http.connector
        if connector is None:
            return None
        return min((limit for limit in (connector.limit, connector.limit_per_host) if limit), default=None)

    async def close(self) -> None:
        """Break off the exchanges in flight, wait until they have ended, and leave the pool."""
        http, pool, shared_timeout = self._http, self._pool, self._shared_timeout
        self._http = self._pool = None
        try:
            if shared_timeout is not None:
                await shared_timeout.close()
        finally:
            if pool is not None:
                try:
                    if http is not None:
                        await http.close()
                finally:
                    await pool.leave()

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._http is not None and not self._http.closed

    def check_open(self) -> None:
        """Raise `SessionStateError` where requests cannot be sent."""
        if not self.is_open:
            raise SessionStateError("the session, or the aiohttp session it was given, is closed")

    async def exchange(
        self,
        request: Request,
        app_id: str,
        token: Token | None,
        until: float,
        timeout: float,  # noqa: ASYNC109
    ) -> Reply:
        """Send `request` once and return its reply, whatever its status; no redirect is followed.

        It is cut off at the time `until`, on the loop's clock, which is after `timeout` seconds. With a `token` go the
        two headers that identify the app.

        Raises:
            NorthConnectionError: The request was not sent.
            ReplyLostError: It may have been sent, and no whole reply came.
        """
        assert self._http is not None, "the session opens its transport"
        assert self._shared_timeout is not None
        try:
            # Not aiohttp's own time-out in all: it swallows a cancellation that comes at the same moment.
            task = self._shared_timeout.start(until)
            try:
                response = await self._http.request(
                    request.method,
                    self._url(request.target),
                    data=request.body,
                    headers=_headers(request, app_id, token),
                    allow_redirects=False,
                    raise_for_status=False,
                    proxy=self._proxy.url if self._proxy is not None else None,
                    timeout=self._timeout,
                    middlewares=(self._one_attempt,),
                )
                if not self._reached:
                    self._reached = True
                    if self._pool is not None:
                        self._pool.reached = True
                if response.status == NO_CONTENT.status:  # it has no body, whatever its head says
                    return attrs.evolve(NO_CONTENT, headers=response.headers) if request.own else NO_CONTENT
                body, whole = await _read(response, breaks_show=self._options.http is None)
            finally:
                self._shared_timeout.stop(task)
            headers = response.headers
            return Reply(
                response.status,
                body,
                response.content_type if body else "",
                headers.get("Retry-After"),
                headers.get("Date"),
                response.charset if body else None,
                whole,
                headers,
            )
        # Frames of aiohttp hold the request's headers, and with them the token; so do its errors about a reply. Those
        # about a URL may hold a proxy's password.
        except (NorthError, asyncio.CancelledError) as exc:
            raise detached(exc) from exc.__cause__
        except (aiohttp.ClientError, OSError, ValueError) as exc:  # asyncio's TimeoutError is an OSError
            error = translated(
                exc,
                self._options,
                self._proxy,
                timeout=timeout,
                https=self._https,
                reached=self.reached,
                closed=not self.is_open,
            )
            cause = None if isinstance(exc, (aiohttp.ClientResponseError, ValueError)) else detached(exc)
        raise error from cause  # here, where what aiohttp raised is not its context

    async def _one_attempt(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Keep aiohttp from sending a request a second time on its own, and let its tracing see why the first failed.

        It repeats a DELETE whose kept-alive connection broke. That would bypass flow control, and turn a deletion whose
        reply was lost into a 404. It repeats after two kinds of error only, and this hides them in a third.
        """
        assert self._shared_timeout is not None
        try:
            return await handler(request)
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError):
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
            cause = type(exc.__cause__ if isinstance(exc.__cause__, OSError) else exc)  # the system's says more
            raise _hiding(cause.__module__, cause.__name__)(str(exc)) from exc
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            self._shared_timeout.stop(task)  # raises `TimeoutError` if that is what it was
            raise

    def _url(self, target: str) -> URL:
        if "?" in target:
            return URL(f"{self._base}{target}", encoded=True)
        return self._origin.with_path(self._prefix + target, encoded=True)  # a tenth of a call cheaper than to parse it


def _headers(request: Request, app_id: str, token: Token | None) -> dict[str, str]:
    headers = {"Content-Type": request.content_type, "Accept-Encoding": "identity"}
    if token is not None:
        headers |= {"app_key": app_id, "Authorization": f"Bearer {token.access}"}
    return headers


async def _read(response: aiohttp.ClientResponse, *, breaks_show: bool) -> tuple[bytes, bool | None]:
    """Read the body to its end, up to a maximum: a page without end must not fill the memory.

    Returns what came of it, and whether that is all; None where that is not known. `breaks_show` says whether a broken
    connection shows in a body that ends with the connection, as it does with the connector of this package.
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
    """Whether a body that has ended is known to be whole; a server that breaks down ends the connection too.

    A compressed one is not: aiohttp does not check that the compressed data has ended.
    """
    headers = response.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        return False
    if "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower():
        return True
    closes = response.version == aiohttp.HttpVersion10 or "close" in headers.get("Connection", "").lower()
    return (closes and breaks_show) or response.status == HTTPStatus.NOT_MODIFIED or response.method == "HEAD"


@cache
def _hiding(module: str, name: str) -> type[aiohttp.ClientConnectionError]:
    """Return a class after which aiohttp does not repeat a request, named as its cause is for those who trace."""
    return type(name, (aiohttp.ClientConnectionError,), {"__module__": module})
