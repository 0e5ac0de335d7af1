"""Faults as they are on the wire, through a bare socket, so that no client library repairs anything."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
import attrs
import pytest
import trustme
from yarl import URL

from aionorth.simulator import (
    CannedReply,
    CutBody,
    Delay,
    ErrorIn200,
    Fault,
    HtmlPage,
    Reset,
    ServerError,
    Simulator,
    WrongContentType,
)

LOGIN = "/iocm/app/sec/v1.1.0/login"
PACKAGES = "/iodm/northbound/v1.5.0/category"
PACKAGE = f"{PACKAGES}/f1"


@attrs.frozen
class Exchange:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error_code(self) -> object:
        return json.loads(self.body)["error_code"]


async def exchange(
    platform: Simulator,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    body: str = "",
    tls: ssl.SSLContext | None = None,
) -> Exchange:
    """Send one request on a connection of its own, and return all that comes back until the server closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(platform.url).port, ssl=tls)
    try:
        sent = {"Host": "x", "Connection": "close", "Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n{body}".encode())
        received = await reader.read()
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)
    head, _, content = received.decode().partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    return Exchange(int(status.split()[1]), dict(line.split(": ", 1) for line in lines), content.encode())


async def login(platform: Simulator, tls: ssl.SSLContext | None = None) -> dict[str, str]:
    """Return the headers of a caller that is logged in."""
    form = "appId=demo-app&secret=demo-secret"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await exchange(platform, "POST", LOGIN, headers, body=form, tls=tls)
    return {"app_key": "demo-app", "Authorization": f"Bearer {json.loads(answer.body)['accessToken']}"}


async def delete_with(fault: Fault) -> tuple[Exchange, bool]:
    """Delete a package with a fault; return the exchange, and whether the package is gone."""
    async with Simulator(package_status=204) as platform:
        platform.add_packages(["f1"])
        headers = await login(platform)
        platform.script(fault)
        answer = await exchange(platform, "DELETE", PACKAGE, headers)
        assert platform.arrivals[-1].fault == fault
        assert platform.arrivals[-1].status == answer.status
        return answer, not platform.package_ids()


both = pytest.mark.parametrize("after_effect", [False, True])


@both
async def test_a_reset_sends_no_reply(*, after_effect: bool) -> None:
    async with Simulator() as platform:
        platform.add_packages(["f1"])
        headers = await login(platform)
        platform.script(Reset(after_effect=after_effect))
        with pytest.raises(ConnectionResetError):
            await exchange(platform, "DELETE", PACKAGE, headers)
        assert (not platform.package_ids()) is after_effect
        assert (platform.arrivals[-1].status, platform.arrivals[-1].code) == (None, None)
        assert platform.arrivals[-1].fault == Reset(after_effect=after_effect)


@both
async def test_a_delay_delays_the_effect_or_only_the_reply(*, after_effect: bool) -> None:
    async with Simulator() as platform:
        platform.add_packages(["f1"])
        headers = await login(platform)
        platform.script(Delay(30, after_effect=after_effect))
        loop = asyncio.get_running_loop()
        sent = loop.time()
        deletion = asyncio.create_task(exchange(platform, "DELETE", PACKAGE, headers))
        await asyncio.sleep(15)
        assert (not platform.package_ids()) is after_effect
        assert (await deletion).status == 200
        assert loop.time() - sent == pytest.approx(30, abs=0.1)
        assert not platform.package_ids()


@both
async def test_a_cut_body_is_shorter_than_promised(*, after_effect: bool) -> None:
    answer, gone = await delete_with(CutBody(after_effect=after_effect))
    assert answer.status == 200
    assert 0 < len(answer.body) < int(answer.headers["Content-Length"])
    assert answer.headers["Connection"] == "keep-alive"
    assert gone is after_effect


async def test_a_cut_body_is_half_of_what_would_have_been_sent() -> None:
    async with Simulator() as platform:
        platform.add_packages(["f1"])
        headers = await login(platform)
        whole = await exchange(platform, "GET", PACKAGES, headers)
        platform.script(CutBody())
        cut = await exchange(platform, "GET", PACKAGES, headers)
        assert cut.status == 200
        assert cut.headers["Content-Length"] == whole.headers["Content-Length"]
        assert cut.body == whole.body[: len(whole.body) // 2]


@both
async def test_an_html_page_says_nothing_about_the_call(*, after_effect: bool) -> None:
    answer, gone = await delete_with(HtmlPage(504, after_effect=after_effect))
    assert (answer.status, answer.headers["Content-Type"]) == (504, "text/html")
    assert b"<h1>504 Gateway Timeout</h1>" in answer.body
    assert gone is after_effect


@both
async def test_a_server_error_carries_a_code(*, after_effect: bool) -> None:
    answer, gone = await delete_with(ServerError(after_effect=after_effect))
    assert (answer.status, answer.error_code) == (503, "100501")
    assert gone is after_effect


async def test_a_wrong_content_type_changes_nothing_else() -> None:
    async with Simulator() as platform:
        headers = await login(platform)
        platform.script(WrongContentType("text/plain"))
        answer = await exchange(platform, "GET", PACKAGE, headers)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "text/plain")
        assert answer.error_code == "123002"


async def test_an_error_in_a_200_means_that_nothing_was_done() -> None:
    answer, gone = await delete_with(ErrorIn200())
    assert (answer.status, answer.error_code) == (200, "50252")
    assert not gone


@both
async def test_a_canned_reply_is_sent_as_it_is(*, after_effect: bool) -> None:
    headers = (("Content-Type", "application/json"), ("Retry-After", "7"))
    answer, gone = await delete_with(CannedReply(429, b'{"half', headers, after_effect=after_effect))
    assert (answer.status, answer.body, answer.headers["Retry-After"]) == (429, b'{"half', "7")
    assert gone is after_effect


async def test_a_fault_is_logged_with_the_code_of_the_reply() -> None:
    async with Simulator() as platform:
        headers = await login(platform)
        for fault in [ServerError(500, "100023"), ErrorIn200("100001"), CutBody()]:
            platform.script(fault)
            await exchange(platform, "GET", PACKAGE, headers)
        assert [(one.status, one.code) for one in platform.arrivals[1:]] == [
            (500, "100023"),
            (200, "100001"),
            (404, "123002"),
        ]


async def test_a_scripted_fault_concerns_only_the_calls_that_match() -> None:
    async with Simulator() as platform:
        headers = await login(platform)
        platform.script(HtmlPage(502), method="DELETE", path="/a b", times=2)
        wanted = f"{PACKAGES}/a%20b"
        calls = [("GET", wanted), ("DELETE", PACKAGE), ("DELETE", wanted), ("DELETE", wanted), ("DELETE", wanted)]
        statuses = [(await exchange(platform, method, path, headers)).status for method, path in calls]
        assert statuses == [404, 404, 502, 502, 404]


async def test_of_several_scripted_faults_the_first_comes_first() -> None:
    async with Simulator() as platform:
        headers = await login(platform)
        for status in (502, 504):
            platform.script(HtmlPage(status))
        statuses = [(await exchange(platform, "GET", PACKAGE, headers)).status for _ in range(3)]
        assert statuses == [502, 504, 404]


async def test_a_fault_can_be_scripted_for_a_login() -> None:
    async with Simulator() as platform:
        platform.script(ServerError(500, "50252"), path="/login")
        answer = await exchange(platform, "POST", LOGIN)
        assert (answer.status, answer.error_code) == (500, "50252")


async def test_a_refused_call_has_no_fault_but_the_next_accepted_one_has() -> None:
    async with Simulator(calls=2, period=60) as platform:
        headers = await login(platform)
        await exchange(platform, "GET", PACKAGE, headers)
        platform.script(HtmlPage(502))
        assert (await exchange(platform, "GET", PACKAGE, headers)).error_code == "1010009"
        await asyncio.sleep(61)
        assert (await exchange(platform, "GET", PACKAGE, headers)).status == 502


async def test_chance_draws_faults_by_their_probability_except_for_logins() -> None:
    async with Simulator(calls=None, chances={HtmlPage(502): 0.3, HtmlPage(504): 0.2}, seed=3) as platform:
        for _ in range(20):
            headers = await login(platform)
        statuses = [(await exchange(platform, "GET", PACKAGE, headers)).status for _ in range(400)]
        assert 90 < statuses.count(502) < 150
        assert 50 < statuses.count(504) < 110
        assert statuses.count(404) == 400 - statuses.count(502) - statuses.count(504)


async def test_the_same_seed_draws_the_same_faults() -> None:
    async def statuses(seed: int) -> list[int]:
        async with Simulator(chances={HtmlPage(502): 0.5}, seed=seed) as platform:
            headers = await login(platform)
            return [(await exchange(platform, "GET", PACKAGE, headers)).status for _ in range(30)]

    assert await statuses(1) == await statuses(1)
    assert await statuses(1) != await statuses(2)


async def test_a_scripted_fault_comes_before_a_drawn_one() -> None:
    async with Simulator(chances={HtmlPage(502): 1.0}) as platform:
        headers = await login(platform)
        platform.script(HtmlPage(504))
        assert (await exchange(platform, "GET", PACKAGE, headers)).status == 504
        assert (await exchange(platform, "GET", PACKAGE, headers)).status == 502


def test_a_fault_for_no_call_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Simulator().script(Reset(), times=0)


# TLS


@attrs.frozen
class Contexts:
    server: ssl.SSLContext
    client: ssl.SSLContext
    """Trusts the server and has a certificate of its own."""
    stranger: ssl.SSLContext
    """Trusts the server, but has no certificate."""


@pytest.fixture(scope="module")
def contexts() -> Contexts:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client, stranger = ssl.create_default_context(), ssl.create_default_context()
    authority.issue_cert("client.example").configure_cert(client)
    for context in (server, client, stranger):
        authority.configure_trust(context)
    return Contexts(server, client, stranger)


async def test_https_serves_a_client_with_a_certificate(contexts: Contexts) -> None:
    async with Simulator(tls=contexts.server) as platform, aiohttp.ClientSession() as http:
        assert platform.url.startswith("https://")
        form = {"appId": "demo-app", "secret": "demo-secret"}
        async with http.post(platform.url + LOGIN, data=form, ssl=contexts.client) as response:
            assert response.status == 200


async def test_https_refuses_a_client_without_a_certificate(contexts: Contexts) -> None:
    async with Simulator(tls=contexts.server) as platform, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            await http.get(platform.url, ssl=contexts.stranger)
        assert not platform.arrivals


async def test_a_reset_under_tls_sends_no_close_notify(contexts: Contexts) -> None:
    async with Simulator(tls=contexts.server) as platform:
        headers = await login(platform, contexts.client)
        platform.script(Reset())
        with pytest.raises(ConnectionResetError):
            await exchange(platform, "GET", PACKAGE, headers, tls=contexts.client)


async def test_closing_does_not_wait_for_close_notify(contexts: Contexts) -> None:
    loop = asyncio.get_running_loop()
    platform = Simulator(tls=contexts.server)
    await platform.start()
    port: Any = URL(platform.url).port
    transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port, ssl=contexts.client)
    transport.pause_reading()
    began = loop.time()
    await platform.close()
    assert loop.time() - began < 0.5
    transport.abort()
    await asyncio.sleep(0)
