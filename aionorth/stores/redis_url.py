"""Which Redis URLs can be used: none by which a part of a password could be taken for what is shown."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import urlsplit

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

OPTIONS = frozenset({
    "client_name", "db", "health_check_interval", "max_connections", "password", "protocol", "socket_connect_timeout",
    "socket_keepalive", "socket_timeout", "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile",
    "ssl_check_hostname", "ssl_ciphers", "ssl_keyfile", "ssl_password", "username",
})  # fmt: skip
"""What may follow its question mark; redis-py would take more, of which the store could not be used."""


def wrong_with_url(url: object) -> str:
    """Return why a URL cannot be used, without showing it; an empty text where it can be."""
    if not isinstance(url, str) or not url.lower().startswith(("redis://", "rediss://", "unix://")):
        return "give a URL, as str, that begins with redis://, rediss:// (TLS) or unix://"
    query: str | None = None
    with suppress(ValueError):  # it shows a part of what it cannot read
        parts = urlsplit(url)
        if url.isprintable() and URL.fullmatch(url) is not None and (parts.port or 0) >= 0:
            query = parts.query
    if query is None:
        return (
            "it cannot be read: check that it is like redis://user:password@host:6379/0 or unix://user:password@/path, "
            f"and write {SEPARATORS} in user, password and options percent-encoded (# is %23, / %2F, ? %3F, @ %40)"
        )
    if not {option.partition("=")[0] for option in query.split("&") if option} <= OPTIONS:
        return f"it has an option that there is not: there are {', '.join(sorted(OPTIONS))}"
    return ""
