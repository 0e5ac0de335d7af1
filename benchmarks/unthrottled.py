"""What the benchmarks share in which flow control must not bind."""

from __future__ import annotations

from collections.abc import Iterator

from aionorth import FlowControl

NEVER_BINDS = FlowControl(calls=1_000_000, period=1.0)
"""A million calls a second: hundreds of times what a client of this kind does."""

APP = "demo-app"
TOKEN = "0123456789abcdef" * 2

HEADERS = {"Content-Type": "application/json", "app_key": APP, "Authorization": f"Bearer {TOKEN}"}
"""What a client sends that does by hand what aionorth does."""


def subscription_ids(count: int) -> Iterator[str]:
    """Ids as long as the platform's; an iterator, so that no client can look at them beforehand and none is kept."""
    return (f"{number:032x}" for number in range(count))
