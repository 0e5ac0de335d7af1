"""The way to the platform: the only user of aiohttp's client."""

from aionorth.wire.transport.addresses import ConnectionOptions, check_url, environment_proxy
from aionorth.wire.transport.client import Transport

__all__ = ["ConnectionOptions", "Transport", "check_url", "environment_proxy"]
