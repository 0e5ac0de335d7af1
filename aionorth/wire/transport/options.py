"""How the platform is reached."""

from __future__ import annotations

import aiohttp
import attrs

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
