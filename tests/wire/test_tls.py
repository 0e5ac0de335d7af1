"""TLS: each fault has its words."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from certificates import Ca, serving, unsealed
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from raw import Answer, answering, reply
from support import APP, session

import aionorth
from aionorth.simulator import Simulator
from aionorth.wire import tls

ONCE = aionorth.RetryPolicy(attempts=1)


@pytest.fixture(scope="module")
def ca() -> Ca:
    return Ca()


@pytest.fixture
def ca_file(ca: Ca, tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_bytes(ca.cert)
    return tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"days": (-2, -1)}, "has expired; have the platform's certificate renewed, or set this machine's clock, by"),
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


STRICT = bool(ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT)
"""Whether Python refuses what RFC 5280 does not allow: from 3.13 on."""


async def test_a_certificate_without_key_identifiers_is_refused_with_the_reason_or_taken(
    ca: Ca, ca_file: Path, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    context = serving(ca.issue("platform", key, identifiers=False), key, tmp_path / "own.pem")
    async with Simulator(tls=context) as platform:
        async with session(platform, ca_file=ca_file) as north:
            if STRICT:
                with pytest.raises(aionorth.TlsError, match=r"5280, .* or give tls_relaxed_x509, which takes this one"):
                    await north.delete_subscription("one")
            else:
                assert (await north.delete_subscription("one", missing_ok=True)).ok
        async with session(platform, ca_file=ca_file, tls_relaxed_x509=True) as north:
            assert (await north.delete_subscription("one", missing_ok=True)).ok


def test_what_is_relaxed_is_one_flag_and_nothing_else() -> None:
    usual, relaxed = tls.Tls().context(), tls.Tls(relaxed_x509=True).context()
    assert relaxed.verify_flags == usual.verify_flags & ~ssl.VERIFY_X509_STRICT
    assert (relaxed.verify_mode, relaxed.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert relaxed.security_level == usual.security_level
    assert (relaxed.verify_flags != usual.verify_flags) == STRICT


def test_a_relaxed_context_still_refuses_a_ca_that_is_not_known(ca: Ca, tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "other.pem").write_bytes(Ca().cert)
        async with Simulator(tls=ca.serving("platform", tmp_path)) as platform:
            async with session(platform, ca_file=tmp_path / "other.pem", tls_relaxed_x509=True) as north:
                with pytest.raises(aionorth.TlsError, match="give its CA as ca_file"):
                    await north.delete_subscription("one")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (68, "CA md too weak", "CA md too weak; OpenSSL refuses what is so weak"),
        (66, "EE certificate key too weak", "operator use SHA-256, and keys of at least 2,048 bits"),
        (9, "certificate is not yet valid", "set this machine's clock, by which it is 2026-01-02 03:04 UTC"),
        (10, "certificate has expired", "certificate renewed, or set this machine's clock, by which it is 2026-01-02"),
        (18, "self-signed certificate", "self-signed certificate; give its CA as ca_file; one that is self-signed is"),
        (19, "self-signed certificate in certificate chain", "give its CA as ca_file, with those between"),
        (20, "unable to get local issuer certificate", "give its CA as ca_file"),
        (79, "invalid CA certificate", "RFC 5280, as Python from 3.13 on demands, or give tls_relaxed_x509"),
        (85, "Missing Authority Key Identifier", "RFC 5280, as Python from 3.13 on demands, or give tls_relaxed_x509"),
        (86, "Missing Subject Key Identifier", "RFC 5280, as Python from 3.13 on demands, or give tls_relaxed_x509"),
        (92, "CA cert does not include key usage extension", "or give tls_relaxed_x509"),
        (26, "unsuitable certificate purpose", "it is not made for a server"),
        (23, "certificate revoked", "have the platform's operator put that right"),
        (62, "Hostname mismatch, certificate is not valid for 'a'.", "for another host name"),
        (64, "IP address mismatch, certificate is not valid for '::1'.", "only, give unsafe_accept_any_host_name"),
        (64, "IP address mismatch, certificate is not valid for '::1'.", "or have it issued for this address too"),
    ],
)
def test_each_fault_of_a_certificate_has_its_remedy(code: int, message: str, said: str) -> None:
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_code, cause.verify_message = code, message
    words = tls.refused_certificate(cause, now=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    assert said in str(aionorth.TlsError(words))


def test_a_client_certificate_that_cannot_be_used_is_refused_with_the_reason(ca: Ca, tmp_path: Path) -> None:
    key, weak = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 1024)
    for name, cert, its_key, said in (
        ("mismatch", ca.issue("app", ec.generate_private_key(ec.SECP256R1())), key, "the key is another certificate's"),
        ("weak", ca.issue("app", weak), weak, "have a certificate issued for one of 2,048 bits or more"),
        ("none", b"", key, "give two PEM files, certificate and key"),
    ):
        (tmp_path / f"{name}.pem").write_bytes(cert)
        (tmp_path / f"{name}.key").write_bytes(unsealed(its_key))
        with pytest.raises(aionorth.ArgumentError, match=said):
            tls.Tls(client_cert=(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")).context()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("alone", "certificate", "give a PEM file that also has its key, without a passphrase, or give the key's file"),
        ("none", None, "cannot be used (No such file or directory): "),
        ("text", b"text", "cannot be used: give a PEM file"),
    ],
)
def test_files_are_refused_without_words_of_pythons(name: str, content: Any, said: str, ca: Ca, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.pem"
    if content is not None:
        file.write_bytes(ca.cert if content == "certificate" else content)
    with pytest.raises(aionorth.ArgumentError) as caught:
        tls.Tls(client_cert=(file, file)).context()
    words = [str(caught.value)]
    assert f"client_cert {str(file)!r} cannot be used" in words[0]
    assert said in words[0]
    if content != "certificate":
        with pytest.raises(aionorth.ArgumentError, match="give a PEM file with one or more certificates") as caught:
            tls.Tls(ca_file=file).context()
        words.append(str(caught.value))
    assert not [one for one in words if "_ssl.c" in one or "Errno" in one or "Path" in one]


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
    assert said in str(aionorth.TlsError(tls.failed(cause)))


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
        ("You're speaking plain HTTP to an SSL-enabled server port.", "let the base URL begin with https://"),
        ("This combination of host and port requires TLS.", "let the base URL begin with https://"),
        ("Client sent an HTTP request to an HTTPS server.", "let the base URL begin with https://"),
    ],
)
async def test_what_servers_say_of_tls_in_a_page_is_heard(title: str, said: str) -> None:
    page = f"<html><head><title>{title}</title></head></html>".encode()
    async with (
        answering(Answer(reply(400, page, "Content-Type: text/html"))) as platform,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken") as north,
    ):
        with pytest.raises(aionorth.BulkAbortedError) as caught:
            await north.delete_subscriptions(["one", "two"], workers=1)
    assert isinstance(caught.value.__cause__, aionorth.TlsError)
    assert said in str(caught.value)
