"""The way to the platform: the only user of aiohttp's client."""
