"""Proxies: which are used, which are refused, and what is said of those that fail."""

import base64
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from certificates import Ca
from proxy import proxying
from raw import Answer, answering, head, reply
from support import APP, session, shown
from yarl import URL

import aionorth
from aionorth.simulator import Simulator
from aionorth.wire.tls import Tls
from aionorth.wire.transport.addresses import ConnectionOptions, Proxy, environment_proxy
from aionorth.wire.transport.faults import translated

ONCE = aionorth.RetryPolicy(attempts=1)


@pytest.fixture(scope="module")
def ca() -> Ca:
    return Ca()


@pytest.fixture
def ca_file(ca: Ca, tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_bytes(ca.cert)
    return tmp_path / "ca.pem"


@pytest.mark.parametrize("named", ["http://me:p%40ss@{}", "me:p%40ss@{}", "http://{}", "{}"])
async def test_the_proxy_of_the_environment_is_used_with_its_password(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering(Answer(head(204))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", named.format(proxy.url.removeprefix("http://")))
        async with aionorth.NorthSession("http://127.0.0.9:1", app_id=APP, token="t0ken", trust_env=True) as north:
            await north.delete_subscription("one")
        (request,) = proxy.requests
        assert request.startswith(b"DELETE http://127.0.0.9:1/iocm/app/sub/v1.2.0/subscriptions/one HTTP/1.1\r\n")
        credentials = base64.b64encode(b"me:p@ss")
        assert (b"Proxy-Authorization: Basic " + credentials in request) == ("me:" in named)
        assert b"Authorization: Bearer t0ken" in request


async def test_a_host_that_no_proxy_names_is_reached_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator() as platform:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", platform.url.removeprefix("http://"))
        async with session(platform, trust_env=True) as north:
            await north.delete_subscription("one", missing_ok=True)


@pytest.mark.parametrize(
    "named",
    [
        "http://user:hush/hush@host:3128",
        "http://user:12/hush@host:3128",
        "http://user:hush#hush@host:3128",
        "user:hush?hush@host:3128",
        "http://user:hush@:3128",
        "http://user:hush@host:port",
        "http://user:hush@[::1",
        "socks5://user:hush@host:1080",
        "http://",
        "nonsense-hush",
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_that_cannot_be_used_is_refused_without_showing_it(
    variable: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, named)
    with pytest.raises(aionorth.ArgumentError, match=rf"variable {variable} cannot be used: name it as in") as caught:
        aionorth.NorthSession("https://server:8743", app_id=APP, token="t0ken", trust_env=True)
    assert "hush" not in shown(caught.value)


@pytest.mark.parametrize(
    ("host", "no_proxy", "proxied"),
    [
        ("10.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "example.com, 10.1.2.0/24", False),
        ("10.1.2.3", "10.9.9.9/8", False),
        ("[fd00::7]", "fd00::/8", False),
        ("10.1.2.3", "192.168.0.0/16,fd00::/8", True),
        ("10.1.2.3", "10.0.0.0/99", True),
        ("server.example.com", "10.0.0.0/8", True),
        ("server.example.com", "example.com", False),
        ("server.example.com", ".example.com", False),
        ("server.example.com", "*", False),
        ("10.1.2.3", "", True),
    ],
)
def test_no_proxy_takes_names_and_networks(
    host: str, no_proxy: str, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (environment_proxy(URL(f"https://{host}:8743")) is not None) == proxied


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_tunnel_through_a_proxy_carries_nothing_from_netrc(
    scheme: str, ca: Ca, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hush\ndefault login me password hush\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    context = ca.serving("platform", tmp_path)
    async with Simulator(tls=context) as platform, proxying(tls=context if scheme == "https" else None) as proxy:
        url = platform.url
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://{proxy.address}")
        async with session(platform, trust_env=True, ca_file=ca_file) as north:
            for id_ in platform.add_subscriptions(2):
                await north.delete_subscription(id_)
    assert proxy.heads[0].startswith(f"CONNECT {url.removeprefix('https://')} HTTP/1.1\r\n".encode())
    assert b"Authorization" not in b"".join(proxy.heads)


@pytest.mark.parametrize(
    ("named", "options", "said"),
    [
        ("http://{}", {"status": "407 Sign In"}, "HTTP 407; it asks for user and password: HTTPS_PROXY takes http://"),
        ("http://me:hush@{}", {"status": "407 Sign In"}, "HTTP 407; it does not accept the user and password in HTTPS"),
        ("http://{}", {"status": "403 Forbidden"}, "HTTP 403; may it connect to the platform?"),
        ("https://{}", {}, "failed: wrong version number; check HTTPS_PROXY: one that is itself reached without TLS"),
        ("http://{}", {"tls": True}, "is the proxy in HTTPS_PROXY to be named with https://?"),
        ("https://{}", {"tls": "other"}, "the proxy's certificate was refused: unable to get local issuer"),
        ("http://me:hush@127.0.0.1:1", {}, "cannot connect to the proxy 127.0.0.1:1: Connection refused"),
    ],
)
async def test_what_is_wrong_with_a_proxy_is_said_of_the_proxy_and_once(
    named: str, options: dict[str, Any], said: str, ca: Ca, ca_file: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    if "tls" in options:
        options = {"tls": (Ca() if options["tls"] == "other" else ca).serving("proxy", tmp_path)}
    async with proxying(**options) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", named.format(proxy.address))
        url = "https://127.0.0.9:8743"
        async with aionorth.NorthSession(
            url, app_id=APP, secret="s", trust_env=True, retry=ONCE, ca_file=ca_file
        ) as north:
            with pytest.raises(aionorth.NorthError) as caught:
                await north.delete_subscription("one")
            checkup = await north.check()
    assert said in str(caught.value)
    assert "hush" not in shown(caught.value)
    (failed,) = (finding for finding in checkup.findings.values() if finding.verdict == "failed")
    assert failed.words == str(caught.value)


def not_found(host: str) -> aiohttp.ClientConnectorDNSError:
    fields: dict[str, Any] = dict.fromkeys(ConnectionKey._fields) | {"host": host, "port": 3128}
    return aiohttp.ClientConnectorDNSError(ConnectionKey(**fields), socket.gaierror(socket.EAI_NONAME, "no such name"))


def connected(*, trust_env: bool = True) -> ConnectionOptions:
    return ConnectionOptions(tls=Tls(), http=None, connect_timeout=10, timeout=30, trust_env=trust_env)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("proxy.invalid", "no such host: proxy.invalid, the proxy; check https_proxy"),
        ("server.invalid", "no such host: server.invalid; check the base URL"),
    ],
)
def test_a_name_that_is_not_found_is_the_proxys_or_the_platforms(host: str, said: str) -> None:
    exc = not_found(host)
    options = connected()
    error = translated(
        exc, options, Proxy(URL("http://proxy.invalid:3128"), "https_proxy"), timeout=1, https=True, reached=False
    )
    assert type(error) is aionorth.HostNotFoundError
    assert str(error) == said


async def test_a_proxy_that_wants_a_password_of_a_plain_call_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(Answer(reply(407, b"<html>sign in</html>"))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with aionorth.NorthSession("http://127.0.0.9:1", app_id=APP, token="t0ken", trust_env=True) as north:
            with pytest.raises(aionorth.NorthApiError, match="asks for a user and password, or does not accept those"):
                await north.delete_subscription("one")


@pytest.mark.parametrize(
    ("status", "said"),
    [(407, "correct them in the variable that names it"), (403, "check host, port and path"), (503, "try again later")],
)
async def test_a_proxys_own_reply_to_a_plain_call_names_the_proxy(
    status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering(Answer(reply(status, b"<html>no</html>"))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with aionorth.NorthSession("http://127.0.0.9:1", app_id=APP, token="t0ken", trust_env=True) as north:
            words = (await north.check()).url.words
    address = proxy.url.removeprefix("http://")
    assert words.startswith(f"HTTP {status}, through the proxy {address} of HTTP_PROXY: ")
    assert said in words
    assert ("check host" in words) == (status == 403)


async def test_a_check_says_which_proxy_it_went_through(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator() as platform, session(platform, trust_env=True) as north:
        words = (await north.check()).url.words
        assert words == "the platform answers, without a proxy: HTTP_PROXY and NO_PROXY name none for it"
    async with answering(Answer(reply(200, b'{"totalCount": 0}', "Content-Type: application/json"))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with aionorth.NorthSession("http://127.0.0.9:1", app_id=APP, token="t0ken", trust_env=True) as north:
            words = (await north.check()).url.words
    assert words == f"the platform answers, through the proxy {proxy.url.removeprefix('http://')} of HTTP_PROXY"


def unreached(exc: Exception, proxy: Proxy | None, *, trust_env: bool) -> aionorth.NorthError:
    return translated(exc, connected(trust_env=trust_env), proxy, timeout=9, https=True, reached=False)


def test_a_proxy_that_does_not_answer_is_named_with_its_scheme() -> None:
    proxy = Proxy(URL("https://proxy.example:3128"), "HTTPS_PROXY")
    error = unreached(aiohttp.ConnectionTimeoutError(), proxy, trust_env=True)
    assert type(error) is aionorth.ProxyError
    assert "through the proxy proxy.example:3128; check HTTPS_PROXY: it says that the proxy itself is" in str(error)


@pytest.mark.parametrize(("variable", "hinted"), [("HTTPS_PROXY", True), ("HTTP_PROXY", False)])
def test_a_proxy_that_is_named_and_not_used_is_a_remedy(
    variable: str, hinted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://proxy.example:3128")
    for exc in (aiohttp.ConnectionTimeoutError(), not_found("server.invalid")):
        hint = "if only the proxy that HTTPS_PROXY names leads out, give trust_env"
        assert (hint in str(unreached(exc, None, trust_env=False))) == hinted


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there_is_named_without_its_password(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", "http://user:hush@127.0.0.1:1")
    url = f"{scheme}://127.0.0.9:8743"
    async with aionorth.NorthSession(url, app_id=APP, token="t0ken", trust_env=True, retry=ONCE) as north:
        with pytest.raises(aionorth.NorthConnectionError, match=r"127\.0\.0\.1:1") as caught:
            await north.delete_subscription("one")
        assert "hush" not in shown(caught.value) + repr(vars(north)) + repr(vars(north._transport))
