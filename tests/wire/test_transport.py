"""The way to the platform: names, proxies, TLS, and what cannot be sent at all."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.resolver import AsyncResolver
from raw import Answer, answering, head, reply
from support import APP, session, shown

import aionorth
from aionorth.simulator import Simulator

ONCE = aionorth.RetryPolicy(attempts=1)


# --- What the environment has, and what it must not bring


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A password in the user's netrc file for the platform's host."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return "hush"


async def test_a_password_in_netrc_is_none_for_the_platform(netrc: str) -> None:
    login = reply(200, b'{"accessToken": "t0ken", "expiresIn": 3600}')
    async with (
        answering(Answer(login), Answer(head(204))) as platform,
        aionorth.NorthSession(platform.url, app_id=APP, secret="s3cret", trust_env=True) as north,
    ):
        assert (await north.delete_subscriptions(["one", "two"])).deleted == 2
        assert not any(b"Basic" in request for request in platform.requests)
        assert b"Authorization" not in platform.requests[0]
        assert netrc


@pytest.mark.parametrize("options", [{"trust_env": True}, {"headers": {"authorization": "Basic hush"}}])
async def test_ones_own_session_must_not_bring_credentials_either(netrc: str, options: dict[str, Any]) -> None:
    async with aiohttp.ClientSession(**options) as http:
        with pytest.raises(aionorth.ArgumentError, match=r"^http= has .*make it without") as caught:
            aionorth.NorthSession("http://127.0.0.1:1", app_id=APP, secret="s3cret", http=http)
        assert netrc not in shown(caught.value)


async def test_what_cannot_be_sent_at_all_ends_the_run_and_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "user:hush@host:3128")  # which aiohttp takes for a URL of the scheme user
    async with (
        aiohttp.ClientSession(trust_env=True) as http,
        aionorth.NorthSession("http://127.0.0.1:1", app_id=APP, token="t0ken", http=http) as north,
    ):
        with pytest.raises(aionorth.BulkAbortedError, match="aiohttp cannot send this request") as caught:
            await north.delete_subscriptions(["one", "two", "three"])
        summary = caught.value.summary
        assert (summary.calls, summary.skipped, summary.total) == (0, 3, 3)
        assert north.flow.in_use == 0
        assert "hush" not in shown(caught.value) + str(summary) + repr(summary.to_dict())


# --- Names


@pytest.mark.parametrize(
    "url",
    [
        "http://a\nb:1",
        "http://a\tb",
        "http://a\rb",
        "http://a b",
        "http://a\\b",
        "http://\u202eserver",
        " http://server",
        "http://a\u200bb",
        "http://a\x00",
    ],
)
def test_a_url_that_parsers_read_otherwise_is_refused(url: str) -> None:
    with pytest.raises(aionorth.ArgumentError, match="has blanks, line ends or the like in it") as caught:
        aionorth.NorthSession(url, app_id=APP, token="t0ken")
    assert str(caught.value).isprintable()


@asynccontextmanager
async def name_server(code: int) -> AsyncIterator[int]:
    """A real name server that answers each question with an error code; yields its port."""

    class Protocol(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            question = data[12 : data.index(b"\0", 12) + 5]
            header = data[:2] + bytes([0x81, 0x80 | code]) + b"\0\1\0\0\0\0\0\0"
            self.transport.sendto(header + question, addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def test_a_host_that_a_resolver_of_another_kind_does_not_find_ends_the_run() -> None:
    """In real time: the resolver has a thread of its own."""

    async def main() -> None:
        async with name_server(3) as port:
            resolver = AsyncResolver(nameservers=["127.0.0.1"], udp_port=port, tcp_port=port)
            connector = aiohttp.TCPConnector(resolver=resolver)
            async with (
                aiohttp.ClientSession(connector=connector) as http,
                aionorth.NorthSession("https://nowhere.example", app_id=APP, token="t", http=http, retry=ONCE) as north,
            ):
                with pytest.raises(aionorth.BulkAbortedError, match=r"no such host: nowhere\.example") as caught:
                    await north.delete_subscriptions(["one", "two"], workers=1)
                assert isinstance(caught.value.__cause__, aionorth.HostNotFoundError)

    asyncio.run(main())


# --- Another loop, another thread


def test_use_from_another_event_loop_is_refused_in_words() -> None:
    async def main() -> None:
        async with Simulator() as platform, session(platform, token=platform.issue_token()) as north:
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: north.delete_subscription("one"),
                lambda: north.get_subscription("one"),
                lambda: north.delete_subscriptions(["one"]),
                lambda: north.plan(aionorth.PackageSelection(everything=True)),
                north.check,
            ]
            for call in calls:

                async def awaited(call: Callable[[], Awaitable[object]] = call) -> object:
                    return await call()

                with pytest.raises(aionorth.SessionStateError, match="another event loop's"):
                    await asyncio.to_thread(lambda: asyncio.run(awaited()))

            assert not platform.arrivals

    asyncio.run(main())


# --- Nothing of a secret in a traceback


@pytest.mark.parametrize(
    "options",
    [
        {"token": "hush\n"},
        {"token": "hüsh-hush"},
        {"secret": "hush\ud800"},
        {"secret": "hush" * 100},
        {"url": "https://me:hush@server", "token": "t0ken"},
        {"url": "https://me:hu/sh@server", "secret": "hush"},
        {"url": "https://me:hush%40server", "token": "t0ken"},
        {"url": "https://me:hush\uff20server", "token": "t0ken"},
        {"url": b"https://me:hush@server", "token": "t0ken"},
        {"url": "https://xn--zzzzzz--.invalid", "secret": "hush"},
        {"secret": "hush", "timeout": 0},
        {"secret": "hush", "app_id": 5},
        {"secret": "hush", "ca_file": "/nowhere"},
        {"secret": "hush", "token": "hush"},
        {"secret": "hush", "url": "ftp://server"},
        {"secret": "hush", "retry": RuntimeError},
    ],
)
def test_what_the_constructor_refuses_is_in_no_frame(options: dict[str, Any]) -> None:
    arguments = {"url": "https://server:8743", "app_id": APP} | options
    with pytest.raises(aionorth.ArgumentError) as caught:
        aionorth.NorthSession(**arguments)
    assert "hush" not in shown(caught.value).replace("hüsh", "hush")
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [
        frame.locals for frame in frames.stack if Path(frame.filename).is_relative_to(Path(aionorth.__file__).parent)
    ]
    assert ours
    assert "hush" not in repr(ours).replace("hüsh", "hush")


# --- What those who trace aiohttp see


@pytest.mark.parametrize(
    ("answers", "cause"),
    [
        ([Answer(b"", "closes")], "ServerDisconnectedError"),
        ([Answer(b"", "breaks")], "ConnectionResetError"),
        ([Answer(head(204)), Answer(b"", "closes")], "ServerDisconnectedError"),
        ([Answer(head(204)), Answer(b"", "breaks")], "ConnectionResetError"),
        ([Answer(b"")], "TimeoutError"),
    ],
)
async def test_who_traces_aiohttp_is_told_why_a_reply_was_lost_and_each_request_is_sent_once(
    answers: list[Answer], cause: str
) -> None:
    causes: list[str] = []

    async def failed(_: Any, __: Any, parameters: aiohttp.TraceRequestExceptionParams) -> None:
        causes.append(type(parameters.exception).__qualname__)

    traces = aiohttp.TraceConfig()
    traces.on_request_exception.append(failed)
    async with (
        answering(*answers) as platform,
        aiohttp.ClientSession(trace_configs=[traces]) as http,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken", retry=ONCE, http=http, timeout=1) as north,
    ):
        for _ in answers[1:]:
            await north.delete_subscription("one")
        with pytest.raises(aionorth.ReplyLostError) as caught:
            await north.delete_subscription("two")
        assert causes == [cause]
        assert len(platform.requests) == len(answers)
        assert caught.value.__cause__ is not None


async def test_a_cancelled_call_is_a_cancelled_one_to_who_traces_aiohttp() -> None:
    causes: list[str] = []

    async def failed(_: Any, __: Any, parameters: aiohttp.TraceRequestExceptionParams) -> None:
        causes.append(type(parameters.exception).__qualname__)

    traces = aiohttp.TraceConfig()
    traces.on_request_exception.append(failed)
    async with (
        answering(Answer(b"")) as platform,
        aiohttp.ClientSession(trace_configs=[traces]) as http,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken", retry=ONCE, http=http) as north,
    ):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(north.delete_subscription("one"), 1)
    assert causes == ["CancelledError"]
