"""The way to the platform: the only user of aiohttp's client."""

from aionorth.wire.transport.addresses import check_url
from aionorth.wire.transport.client import Transport
from aionorth.wire.transport.options import ConnectionOptions

__all__ = ["ConnectionOptions", "Transport", "check_url"]
