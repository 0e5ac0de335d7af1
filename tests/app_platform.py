"""A second platform with many apps, on bare sockets, with its own reading of the documents and of flow control."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic
from urllib.parse import parse_qs

import attrs

LOGIN = "/iocm/app/sec/v1.1.0/login"
GONE = {"error_code": "100225", "error_desc": "The resource is not found"}


def reply(status: str, body: Mapping[str, object] | None = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    kind = "Content-Type: application/json\r\n" if content else ""
    return f"HTTP/1.1 {status}\r\n{kind}Content-Length: {len(content)}\r\n\r\n".encode() + content


@attrs.define
class App:
    """State: its secret and token, its subscriptions, when its calls came, and how many were refused."""

    secret: str
    ids: set[str]
    token: str = ""
    logins: int = 0
    calls: list[float] = attrs.Factory(list[float])
    refused: int = 0
    deleted: Counter[str] = attrs.Factory(Counter[str])
    """How often each was asked to be deleted."""


@attrs.define
class AppPlatform:
    """Takes at most `calls` of an app in any `period`, logins included; a refused one counts, too."""

    apps: Mapping[str, App]
    calls: int
    period: float
    loses: float
    """The part of the replies to deletions that are lost, after the deletion."""
    chance: random.Random = attrs.Factory(lambda: random.Random(15))
    url: str = ""
    tasks: set[asyncio.Task[None]] = attrs.Factory(set[asyncio.Task[None]])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in lines if line)
                body = await reader.readexactly(int(fields.get("content-length", "0")))
                method, path, _ = head.split(" ")
                if (answer := self.answer(method, path, fields, body.decode())) is None:
                    return  # the connection is closed without a reply
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    def answer(self, method: str, path: str, fields: Mapping[str, str], body: str) -> bytes | None:
        form = parse_qs(body) if path == LOGIN else {}
        app = self.apps[form["appId"][0] if form else fields["app_key"]]
        now = monotonic()
        app.calls.append(now)
        if len(app.calls) > self.calls and now - app.calls[-self.calls - 1] <= self.period:
            app.refused += 1
            return reply("403 Forbidden", {"error_code": "1010009", "error_desc": "app throttle exceed"})
        if form:
            assert form["secret"] == [app.secret]
            app.logins += 1
            app.token = f"t0ken-{self.chance.getrandbits(64):x}"
            tokens = {"accessToken": app.token, "refreshToken": f"{app.token}-r", "tokenType": "bearer"}
            return reply("200 OK", tokens | {"expiresIn": 3600, "scope": "default"})
        if fields["authorization"] != f"bearer {app.token}":
            return reply("403 Forbidden", {"error_code": "1010005", "error_desc": "access_token is invalid"})
        assert method == "DELETE"
        id_ = path.partition("?")[0].rpartition("/")[2]
        app.deleted[id_] += 1
        answer = reply("204 No Content") if id_ in app.ids else reply("404 Not Found", GONE)
        app.ids.discard(id_)
        return None if self.chance.random() < self.loses else answer


@asynccontextmanager
async def app_platform(
    apps: Mapping[str, App], *, calls: int, period: float, loses: float
) -> AsyncIterator[AppPlatform]:
    platform = AppPlatform(apps, calls, period, loses)
    server = await asyncio.start_server(platform.serve, "127.0.0.1", 0)
    platform.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield platform
    finally:
        server.close()
        for task in platform.tasks:
            task.cancel()
        if platform.tasks:
            await asyncio.wait(platform.tasks)
