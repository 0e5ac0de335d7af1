"""The way to the platform: names, proxies, TLS, and what cannot be sent at all."""

import asyncio
import base64
import ipaddress
import socket
import ssl
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.resolver import AsyncResolver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from raw import Answer, answering, head, reply
from support import APP, session, shown

import aionorth
from aionorth.simulator import Simulator
from aionorth.wire import tls

ONCE = aionorth.RetryPolicy(attempts=1)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


# --- What the environment has, and what it must not bring


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
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_showing_it(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", named)
    with pytest.raises(aionorth.ArgumentError, match=r"HTTPS_PROXY .*cannot be used: name it as in") as caught:
        aionorth.NorthSession("https://server:8743", app_id=APP, token="t0ken", trust_env=True)
    assert "hush" not in shown(caught.value)


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


# --- TLS: each fault has its words


Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Ca:
    """A CA that also issues what no CA should."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
        self.cert = self.issue("CA", self.key, ca=True)

    def issue(
        self, name: str, key: Key, *, ca: bool = False, days: tuple[int, int] = (-1, 1), identifiers: bool = True
    ) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if ca:
            usage = [True, False, False, False, False, True, True, False, False]
            builder = builder.add_extension(x509.KeyUsage(*usage), critical=True)
        else:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        if identifiers:
            issuer = self.key.public_key()
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def ca() -> Ca:
    return Ca()


@pytest.fixture
def ca_file(ca: Ca, tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_bytes(ca.cert)
    return tmp_path / "ca.pem"


def serving(cert: bytes, key: Key, file: Path) -> ssl.SSLContext:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(cert + key.private_bytes(encoding, form, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(file)
    return context


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"days": (-2, -1)}, "has expired; have the platform's certificate renewed, or set this machine's clock"),
        ({"days": (1, 2)}, "is not yet valid; have the platform's certificate renewed, or set this machine's clock"),
    ],
)
async def test_a_certificate_out_of_its_time_is_no_matter_of_the_ca(
    options: dict[str, Any], said: str, ca: Ca, ca_file: Path, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    context = serving(ca.issue("platform", key, **options), key, tmp_path / "own.pem")
    async with Simulator(tls=context) as platform, session(platform, ca_file=ca_file) as north:
        with pytest.raises(aionorth.TlsError) as caught:
            await north.delete_subscription("one")
    assert said in str(caught.value)
    assert "ca_file" not in str(caught.value)


async def test_a_weak_key_is_said_to_be_one(ca: Ca, ca_file: Path, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)
    context = serving(ca.issue("platform", key), key, tmp_path / "own.pem")
    async with Simulator(tls=context) as platform, session(platform, ca_file=ca_file) as north:
        with pytest.raises(aionorth.TlsError, match="SHA-256, and keys of at least 2,048 bits"):
            await north.delete_subscription("one")


async def test_a_certificate_without_key_identifiers_is_refused_with_the_reason_or_taken(
    ca: Ca, ca_file: Path, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    context = serving(ca.issue("platform", key, identifiers=False), key, tmp_path / "own.pem")
    strict = bool(ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT)  # from Python 3.13 on
    async with Simulator(tls=context) as platform, session(platform, ca_file=ca_file) as north:
        if strict:
            with pytest.raises(aionorth.TlsError, match="Identifier; have the CA issue one that keeps to RFC 5280"):
                await north.delete_subscription("one")
        else:
            assert (await north.delete_subscription("one", missing_ok=True)).ok


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (68, "CA md too weak", "CA md too weak; OpenSSL refuses what is so weak"),
        (18, "self-signed certificate", "self-signed certificate; give its CA as ca_file"),
        (20, "unable to get local issuer certificate", "give its CA as ca_file"),
        (85, "Missing Authority Key Identifier", "RFC 5280"),
        (26, "unsuitable certificate purpose", "it is not made for a server"),
        (23, "certificate revoked", "have the platform's operator put that right"),
        (62, "Hostname mismatch, certificate is not valid for 'a'.", "for another host name"),
    ],
)
def test_each_fault_of_a_certificate_has_its_remedy(code: int, message: str, said: str) -> None:
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_code, cause.verify_message = code, message
    assert said in tls.refused_certificate(cause)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("WRONG_VERSION_NUMBER", "does it speak plain http?"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "turn on TLS 1.2 or 1.3"),
        ("UNSUPPORTED_PROTOCOL", "turn on TLS 1.2 or 1.3"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "no cipher in common"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "give client_cert"),
        ("TLSV1_ALERT_UNKNOWN_CA", "give a client_cert that is valid and of a CA that it knows"),
        ("TLSV1_UNRECOGNIZED_NAME", "knows no such host name"),
        ("DH_KEY_TOO_SMALL", "so weak"),
        ("SOMETHING_NEW", "something new: check that host and port are the platform's"),
    ],
)
def test_each_failure_of_tls_has_its_remedy(reason: str, said: str) -> None:
    cause = ssl.SSLError(1, f"[SSL: {reason}] words")
    cause.reason = reason
    assert said in tls.failed(cause)


@pytest.fixture
def listener() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Serve one connection by a function, in a thread; returns the port."""
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def listen(serve: Callable[[socket.socket], None]) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def accept() -> None:
            connection, _ = listening.accept()
            with connection:
                serve(connection)

        threads.append(threading.Thread(target=accept))
        threads[-1].start()
        port: int = listening.getsockname()[1]
        return port

    yield listen
    for thread in threads:
        thread.join()
    for listening in sockets:
        listening.close()


def failure(port: int, ca_file: Path) -> aionorth.NorthError:
    async def main() -> aionorth.NorthError:
        url = f"https://127.0.0.1:{port}"
        async with aionorth.NorthSession(url, app_id=APP, token="t0ken", retry=ONCE, ca_file=ca_file) as north:
            with pytest.raises(aionorth.NorthError) as caught:
                await north.delete_subscription("one")
            return caught.value

    return asyncio.run(main())


def test_a_peer_that_closes_during_the_handshake_is_said_to(listener: Any, ca_file: Path) -> None:
    error = failure(listener(lambda connection: connection.recv(10_000) and None), ca_file)
    assert type(error) is aionorth.NorthConnectionError
    assert "closed the connection during the TLS handshake: is it the platform's port" in str(error)


def test_a_server_of_plain_http_is_said_to_be_one(listener: Any, ca_file: Path) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    error = failure(listener(serve), ca_file)
    assert type(error) is aionorth.TlsError
    assert "does it speak plain http?" in str(error)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_server_of_old_tls_only_is_said_to_be_one(listener: Any, ca: Ca, ca_file: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    context = serving(ca.issue("platform", key), key, tmp_path / "own.pem")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1

    def serve(connection: socket.socket) -> None:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_side=True, do_handshake_on_connect=True)

    error = failure(listener(serve), ca_file)
    assert type(error) is aionorth.TlsError
    assert "turn on TLS 1.2 or 1.3" in str(error)
    assert "plain http" not in str(error)


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("400 No required SSL certificate was sent", "asks for a client certificate: give client_cert"),
        ("400 The SSL certificate error", "does not accept the client certificate"),
        ("400 The plain HTTP request was sent to HTTPS port", "let the base URL begin with https://"),
    ],
)
async def test_what_nginx_says_of_tls_in_a_page_is_heard(title: str, said: str) -> None:
    page = f"<html><head><title>{title}</title></head></html>".encode()
    async with (
        answering(Answer(reply(400, page, "Content-Type: text/html"))) as platform,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken") as north,
    ):
        with pytest.raises(aionorth.BulkAbortedError) as caught:
            await north.delete_subscriptions(["one", "two"], workers=1)
    assert isinstance(caught.value.__cause__, aionorth.TlsError)
    assert said in str(caught.value)


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
