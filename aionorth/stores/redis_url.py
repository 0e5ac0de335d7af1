"""Which Redis URLs can be used: none by which a part of a password could be taken for what is shown.

Those of a Cluster, or of the Sentinels that know a primary, are taken apart into URLs that redis-py can read.
"""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import urlsplit

import attrs

SEPARATORS = "#, /, ?, @, [, ], blanks"
"""What must be percent-encoded in a user name, a password or an option. Unencoded, a part of it is taken for the host,
the port or the path, and these are shown."""

_USER = r"[^@/?#\[\]\s]*"
_OPTION = r"[a-z_]+=[^&=@?#\s]*"
URL = re.compile(
    rf"(?:rediss?://(?:{_USER}@)?(?:[^@/?#\[\]\s:]+|\[[0-9a-f:.]+\])?(?::[0-9]+)?(?:/[0-9]*)?"
    rf"|unix://(?:{_USER}@)?/[^@?#\s]+)"
    rf"(?:\?{_OPTION}(?:&{_OPTION})*)?",
    re.IGNORECASE,
)
"""What a URL must look like."""

SEVERAL = re.compile(
    rf"(?P<scheme>rediss?)\+(?P<kind>cluster|sentinel)://(?P<user>{_USER}@)?(?P<hosts>[^@/?#\s]+)"
    rf"(?:/(?P<service>[\w.-]*)(?P<db>/[0-9]+)?)?(?:\?(?P<query>{_OPTION}(?:&{_OPTION})*))?",
    re.IGNORECASE | re.ASCII,
)
"""What one that names several hosts must look like."""

OPTIONS = frozenset({
    "client_name", "db", "health_check_interval", "max_connections", "password", "protocol", "socket_connect_timeout",
    "socket_keepalive", "socket_timeout", "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile",
    "ssl_check_hostname", "ssl_ciphers", "ssl_keyfile", "ssl_password", "username",
})  # fmt: skip
"""What may follow its question mark; redis-py would take more, of which the store could not be used."""


SENTINEL = "sentinel_"
SENTINEL_OPTIONS = (f"{SENTINEL}username", f"{SENTINEL}password")
"""What may follow a question mark, too: user name and password for the Sentinels. They are not those of the servers."""

LIKE_ONE = "redis://user:password@host:6379/0 or unix://user:password@/path"
LIKE = (
    "redis://user:password@host:6379/0, unix://user:password@/path, redis+cluster://user:password@host:6379,host:6379 "
    "or redis+sentinel://user:password@host:26379,host:26379/service/0"
)

SCHEMES = ("unix://", *(f"redis{tls}{kind}://" for tls in ("", "s") for kind in ("", "+cluster", "+sentinel")))


@attrs.frozen
class ServerUrl:
    """What a URL says."""

    kind: str
    """``cluster``, ``sentinel``, or empty where there is one server."""
    server: str = attrs.field(repr=False)
    """The server's URL, or that of a node of the Cluster; of use for Sentinels but for its host."""
    others: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Those of further nodes, or of the Sentinels."""
    service: str = ""
    """By which name the Sentinels know the primary."""


def read_url(url: str) -> ServerUrl | None:
    """Return what a URL says; None where it cannot be read."""
    if not url.isprintable():
        return None
    if (several := SEVERAL.fullmatch(url)) is None:
        return ServerUrl("", url) if _can_be_read(url) else None
    scheme, kind, user, hosts, service, db, query = (part or "" for part in several.groups())
    kind = kind.lower()
    options = query.split("&")
    credentials = [one for one in options if kind == "sentinel" and one.partition("=")[0] in SENTINEL_OPTIONS]
    ours = [one for one in options if one not in credentials]
    servers = [f"{scheme}://{user}{host}{db}?{'&'.join(ours)}".rstrip("?") for host in hosts.split(",")]
    if (kind == "sentinel") != bool(service) or not all(hosts.split(",")) or not all(map(_can_be_read, servers)):
        return None
    if kind == "cluster":
        return None if db else ServerUrl(kind, servers[0], tuple(servers[1:]))
    theirs = [one for one in ours if not one.startswith(("username=", "password=", "db=", "client_name="))]
    theirs += [one.removeprefix(SENTINEL) for one in credentials]
    sentinels = [f"{scheme}://{host}?{'&'.join(theirs)}".rstrip("?") for host in hosts.split(",")]
    return ServerUrl(kind, servers[0], tuple(sentinels), service)


def wrong_with_url(url: object, *, several: bool = True) -> str:
    """Return why a URL cannot be used, without showing it; an empty text where it can be.

    It says how one of `several` servers is written, unless one server is wanted.
    """
    if not isinstance(url, str) or not url.lower().startswith(SCHEMES):
        return (
            "give a URL that begins with redis://, rediss:// (TLS) or unix://, for a Redis Cluster with "
            "redis+cluster:// or rediss+cluster://, for Sentinels with redis+sentinel:// or rediss+sentinel://"
        )
    if (read := read_url(url)) is None:
        return (
            f"it cannot be read: check that it is like {LIKE if several else LIKE_ONE}, with numbers for port and "
            f"database, and write {SEPARATORS} in user, password and options percent-encoded (# is %23, / %2F, ? %3F, "
            "@ %40)"
        )
    if not {option.partition("=")[0] for option in read.server.partition("?")[2].split("&") if option} <= OPTIONS:
        there_are = ", ".join(sorted(OPTIONS)) + (f", {', '.join(SENTINEL_OPTIONS)}" if read.kind == "sentinel" else "")
        return f"it has an option that there is not: there are {there_are}"
    return ""


def _can_be_read(url: str) -> bool:
    """Whether redis-py reads the URL of one server as it was meant."""
    with suppress(ValueError):  # it shows a part of what it cannot read
        return URL.fullmatch(url) is not None and (urlsplit(url).port or 0) >= 0
    return False
