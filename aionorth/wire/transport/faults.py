"""What aiohttp raises, translated.

The line that matters most runs between an error after which the call was certainly not sent (`NorthConnectionError`)
and one after which it may have been carried out (`ReplyLostError`).
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from http import HTTPStatus
from urllib.request import getproxies

import aiohttp

from aionorth.common.arguments import argument
from aionorth.common.text import without_userinfo
from aionorth.errors import (
    ArgumentError,
    HostNotFoundError,
    NorthConnectionError,
    NorthError,
    ProxyError,
    ReplyLostError,
    ReplyTimeoutError,
    TlsError,
)
from aionorth.wire import tls
from aionorth.wire.transport.addresses import ConnectionOptions, Proxy

_NO_SUCH_HOST = {socket.EAI_NONAME} | ({socket.EAI_NODATA} if sys.platform == "linux" else set())
_NO_SUCH_HOST_BY_ARES = {1, 4, 8}  # no data, not found, no name


def translated(
    exc: Exception,
    options: ConnectionOptions,
    proxy: Proxy | None,
    *,
    timeout: float,
    https: bool,
    reached: bool,
    closed: bool = False,
) -> NorthError:
    """Return the error that stands for one of aiohttp's, or of the system's.

    The call had `timeout` seconds, and went through `proxy` if there is one. `reached` says whether a reply ever came,
    so that name, port and certificates are right; `closed`, whether the session was closed, which cuts calls off.
    """
    match exc:
        case aiohttp.ClientProxyConnectionError():
            return _no_proxy(exc, proxy, reached=reached)
        case aiohttp.ClientConnectorError() if proxy is not None and (exc.host, exc.port) == proxy.address:
            return _no_proxy(exc, proxy, reached=reached)
        case aiohttp.ClientConnectorError():
            return _unconnected(exc, options, https=https, reached=reached)
        case aiohttp.ConnectionTimeoutError() if proxy is not None:
            host, port = proxy.address
            return ProxyError(
                f"no connection within {options.connect_timeout:g} s through the proxy {host}:{port}; check "
                f"{proxy.variable}: it says that the proxy itself is reached by {proxy.url.scheme}://"
            )
        case aiohttp.ConnectionTimeoutError():
            return NorthConnectionError(
                f"no connection within {options.connect_timeout:g} s{_unused_proxy(options, https=https)}"
            )
        case aiohttp.ClientHttpProxyError():
            return _refused_by_proxy(exc.status, proxy)
        case TimeoutError() if closed:
            return ReplyLostError("the reply was lost: the session was closed")
        case TimeoutError():
            return ReplyTimeoutError(f"no reply within {timeout:g} s")
        case ValueError():  # for example because `http` names a proxy that cannot be used
            error = ArgumentError(f"aiohttp cannot send this request: {without_userinfo(str(exc))}")
            error.ends_run = True  # it cannot send any other either
            return error
        case _:
            return _lost(exc, proxy, https=https, reached=reached)


def _unused_proxy(options: ConnectionOptions, *, https: bool) -> str:
    """Return what to do where perhaps only a proxy leads out, one that the environment names and nothing uses."""
    scheme = "https" if https else "http"
    if options.trust_env or options.http is not None or scheme not in getproxies():
        return ""
    return f"; if only the proxy that {scheme.upper()}_PROXY names leads out, give {argument('trust_env')}"


def _unconnected(
    exc: aiohttp.ClientConnectorError, options: ConnectionOptions, *, https: bool, reached: bool
) -> NorthError:
    match exc:
        case aiohttp.ClientConnectorDNSError(os_error=cause) if _is_no_such_host(cause) and not reached:
            return HostNotFoundError(
                f"no such host: {exc.host}; check the base URL{_unused_proxy(options, https=https)}"
            )
        case aiohttp.ClientConnectorDNSError(os_error=cause):
            return NorthConnectionError(f"the host name {exc.host} cannot be looked up now: {cause.strerror}")
        case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.CertificateError() as cause):
            return TlsError(tls.refused_certificate(cause, ca_file=options.tls.ca_file))
        case aiohttp.ClientSSLError(os_error=ssl.SSLError() as cause):
            return TlsError(f"TLS with {exc.host}:{exc.port} failed: {tls.failed(cause)}")
        case aiohttp.ClientConnectorError(os_error=ConnectionResetError()) if https:
            return NorthConnectionError(
                f"{exc.host}:{exc.port} closed the connection during the TLS handshake: is it the platform's port, "
                f"does it accept connections from here, does it ask for a {argument('client_cert')}?"
            )
        case _:
            return NorthConnectionError(f"cannot connect to {exc.host}:{exc.port}: {_system_words(exc)}")


def _no_proxy(exc: aiohttp.ClientConnectorError, proxy: Proxy | None, *, reached: bool) -> NorthError:
    check = "check the proxy" if proxy is None else f"check {proxy.variable}"
    match exc:
        case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.CertificateError() as cause):
            return TlsError(tls.refused_certificate(cause, whose="the proxy's"))
        case aiohttp.ClientSSLError(os_error=ssl.SSLError() as cause):
            reason = (cause.reason or str(cause)).replace("_", " ").lower()
            return TlsError(
                f"TLS with the proxy {exc.host}:{exc.port} failed: {reason}; {check}: one that is itself reached "
                "without TLS, as most are, is named with http://"
            )
        case aiohttp.ClientConnectorDNSError(os_error=cause) if _is_no_such_host(cause) and not reached:
            return HostNotFoundError(f"no such host: {exc.host}, the proxy; {check}")
        case _:
            return ProxyError(f"cannot connect to the proxy {exc.host}:{exc.port}: {_system_words(exc)}; {check}")


def _refused_by_proxy(status: int, proxy: Proxy | None) -> ProxyError:
    said, name = f"the proxy refused the connection: HTTP {status}", proxy.variable if proxy is not None else "its URL"
    if status != HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return ProxyError(f"{said}; may it connect to the platform? A host that NO_PROXY names is reached without it")
    if proxy is not None and proxy.url.user:
        return ProxyError(f"{said}; it does not accept the user and password in {name}: correct them")
    return ProxyError(f"{said}; it asks for user and password: {name} takes http://user:password@host:3128")


def _system_words(exc: aiohttp.ClientConnectorError) -> str:
    error = exc.os_error
    said = error.strerror or str(error) or type(error).__name__
    # Here asyncio says in its own words to what it could not connect, and that is said already.
    return os.strerror(error.errno) if error.errno and said.startswith("Connect call failed") else said


def _lost(exc: Exception, proxy: Proxy | None, *, https: bool, reached: bool) -> NorthError:
    if reached:
        return ReplyLostError(f"the reply was lost: {type(exc.__cause__ or exc).__name__}")
    if (alert := tls.alert(exc)) is not None:
        return TlsError(f"the platform refused TLS: {tls.failed(alert)}")
    # In TLS 1.3 a refused client certificate shows only after the handshake, and often as a mere disconnection.
    hint = "is it https? Then begin the URL with https://"
    if https:
        hint = f"does it ask for another {argument('client_cert')}, or for one?"
    if proxy is None:
        return ReplyLostError(f"the platform broke the connection off; {hint}")
    if proxy.url.scheme == "http":
        hint = f"is the proxy in {proxy.variable} to be named with https://? And the platform: {hint}"
    return ReplyLostError(f"the proxy or the platform broke the connection off; {hint}")


def _is_no_such_host(cause: OSError) -> bool:
    """Whether a look-up found that there is no such host. Only the system's resolver says so by an errno."""
    if cause.errno is not None:
        return cause.errno in _NO_SUCH_HOST
    ares = cause.__cause__  # what aiodns raised, where that is installed
    return ares is not None and not _NO_SUCH_HOST_BY_ARES.isdisjoint(ares.args[:1])
