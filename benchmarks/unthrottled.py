"""What the benchmarks without flow control share."""

from __future__ import annotations

from collections.abc import Iterator

from aionorth import FlowControl

NEVER_BINDS = FlowControl(calls=1_000_000, period=1.0)
"""A million calls a second: hundreds of times what such a client can do."""

APP = "demo-app"
TOKEN = "0123456789abcdef" * 2

HEADERS = {"Content-Type": "application/json", "app_key": APP, "Authorization": f"Bearer {TOKEN}"}
"""The headers of a client written by hand."""


def subscription_ids(count: int) -> Iterator[str]:
    """Return ids as long as the platform's; an iterator, so that no client sees them beforehand and none is kept."""
    return (f"{number:032x}" for number in range(count))
