"""A caller of a platform that shares nothing with the client."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs
from yarl import URL

from aionorth.simulator import Simulator

LOGIN = "/iocm/app/sec/v1.1.0/login"
REFRESH = "/iocm/app/sec/v1.1.0/refreshToken"
CREDENTIALS = {"appId": "demo-app", "secret": "demo-secret"}


@attrs.frozen
class Answer:
    status: int
    code: str | None
    value: Any
    """The body: JSON if that is its content type, else text."""
    headers: Mapping[str, str]

    @property
    def verdict(self) -> tuple[int, str | None]:
        return self.status, self.code


@attrs.define
class Caller:
    http: aiohttp.ClientSession
    url: str
    headers: dict[str, str]
    tokens: Mapping[str, Any] = attrs.field(factory=dict)

    async def __call__(self, method: str, path: str, **options: Any) -> Answer:
        options.setdefault("headers", self.headers)
        async with self.http.request(method, URL(self.url + path, encoded=True), **options) as response:
            value: Any = await response.text()
            if value and response.content_type == "application/json":
                value = json.loads(value)
            code = value.get("error_code") if isinstance(value, dict) else None
            return Answer(response.status, code, value, response.headers)

    async def login(self, app_id: str = "demo-app", secret: str = "demo-secret") -> Answer:
        answer = await self("POST", LOGIN, data={"appId": app_id, "secret": secret}, headers={})
        if answer.status == 200:
            self.take(app_id, answer.value)
        return answer

    async def refresh(self, token: str) -> Answer:
        return await self("POST", REFRESH, json={**CREDENTIALS, "refreshToken": token}, headers={})

    def take(self, app_id: str, tokens: Mapping[str, Any]) -> None:
        self.tokens = tokens
        self.headers = {"app_key": app_id, "Authorization": f"Bearer {tokens['accessToken']}"}


@asynccontextmanager
async def calling(platform: Simulator, app_id: str = "demo-app", secret: str = "demo-secret") -> AsyncIterator[Caller]:
    """Yield a caller that is logged in."""
    async with aiohttp.ClientSession() as http:
        caller = Caller(http, platform.url, {})
        assert (await caller.login(app_id, secret)).status == 200
        yield caller
