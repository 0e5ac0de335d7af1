"""How the platform is reached: the base URL, the proxy, time-outs, what a session of the user's own must not add."""

from __future__ import annotations

import netrc
import os
import unicodedata
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import aiohttp
import attrs
from yarl import URL

from aionorth.common.arguments import argument
from aionorth.errors import ArgumentError
from aionorth.wire.checks import seconds
from aionorth.wire.tls import Tls


def _seconds(_: object, field: attrs.Attribute[float], value: object) -> None:
    seconds(field.name, value)


@attrs.frozen(kw_only=True, eq=False)
class ConnectionOptions:
    """How the platform is reached. Times are in seconds."""

    tls: Tls
    http: aiohttp.ClientSession | None
    """A session to send through, which is the caller's to close."""
    connect_timeout: float = attrs.field(validator=_seconds)
    timeout: float = attrs.field(validator=_seconds)
    """For one exchange in all, the connection included."""
    trust_env: bool
    """Whether to use the proxy that the environment names."""


def check_url(url: object) -> URL:
    """Return the base URL, or raise `ArgumentError`, which does not show a password in it."""
    example = "give it as in 'https://server:8743'"
    if not isinstance(url, str):
        raise ArgumentError(f"{argument('url')} is not a str but {type(url).__name__}: {example}")
    if "@" in unicodedata.normalize("NFKC", unquote(url)):
        raise ArgumentError(
            f"{argument('url')} has a user or password in it, which the platform does not use: {example}"
        )
    if not url.isprintable() or " " in url or "\\" in url:
        # Parsers drop some of these, and find another host than a reader does.
        raise ArgumentError(f"{argument('url')} {url!r} has blanks, line ends or the like in it: {example}")
    try:
        parsed = URL(url)
        host = parsed.host
    except ValueError as exc:
        raise ArgumentError(f"{argument('url')} {url!r} cannot be read ({exc}): {example}") from exc
    if parsed.scheme not in {"http", "https"} or not host:
        raise ArgumentError(f"{argument('url')} {url!r} is not an http or https URL: {example}")
    if parsed.query_string or parsed.fragment:
        raise ArgumentError(f"{argument('url')} {url!r} has a query or fragment: {example}")
    return parsed


def check_lent(http: object, url: URL) -> None:
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
    variable: str
    """Which variable names it."""

    @property
    def address(self) -> tuple[str | None, int | None]:
        """Host and port."""
        return self.url.raw_host, self.url.port


def environment_proxy(url: URL) -> Proxy | None:
    """Return the proxy that the environment names for `url`; raises `ArgumentError` where it cannot be used.

    Nothing else is taken from the environment: a password in a netrc file is not for the platform.
    """
    proxies = getproxies()
    named, variable = proxies.get(url.scheme), f"{url.scheme}_proxy"  # the one in small letters comes first
    variable = variable if os.environ.get(variable) else variable.upper()
    if not named or proxy_bypass(f"{url.host}:{url.port}") or _in_network(url.host or "", proxies.get("no", "")):
        return None
    try:
        proxy = URL(named if "://" in named else f"http://{named}")
        # An unescaped / in a password makes what is before it look like a host, and what is behind it like a path.
        cut_off = "@" in f"{proxy.path_qs}{proxy.fragment}"
        a_word = "://" not in named and proxy.explicit_port is None  # which may be anything
        usable = proxy.scheme in {"http", "https"} and proxy.host and not cut_off and not a_word
    except ValueError:
        proxy, usable = URL(), False
    if usable:
        return Proxy(proxy, variable)
    del named, proxy, proxies  # a traceback must not show them
    raise ArgumentError(
        f"the proxy in the environment variable {variable} cannot be used: name it as in http://host:3128 or "
        "http://user:password@host:3128 (or https://, but not socks), with : / ? # and @ in user and password as "
        f"%3A, %2F, %3F, %23 and %40; or leave {argument('trust_env')} out"
    )


def _in_network(host: str, no_proxy: str) -> bool:
    """Whether `host` is an address in one of the networks of a NO_PROXY, of which Python reads names only."""
    with suppress(ValueError):
        address = ip_address(host)
        for entry in no_proxy.split(","):
            with suppress(ValueError):
                if "/" in entry and address in ip_network(entry.strip(), strict=False):
                    return True
    return False
