"""Sessions that share connections, and those that do not."""

import asyncio
import gc
import os
import ssl
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from certificates import Ca, unsealed
from cryptography.hazmat.primitives.asymmetric import ec
from raw import Answer, answering, head
from support import APP, session
from yarl import URL

import aionorth
from aionorth.simulator import Simulator
from aionorth.wire.tls import Tls
from aionorth.wire.transport.pools import Pool, Way

ONCE = aionorth.RetryPolicy(attempts=1)


def north_of(url: str, app_id: str = APP, **options: Any) -> aionorth.NorthSession:
    return aionorth.NorthSession(url, app_id=app_id, token="t0ken", retry=ONCE, **options)


async def test_sessions_to_one_platform_share_a_connection_which_ends_with_the_last_of_them() -> None:
    async with answering(Answer(head(204))) as platform:
        async with north_of(platform.url, "first") as first:
            await first.delete_subscription("one")
            async with north_of(f"{platform.url}/", "second", timeout=5, connect_timeout=5) as second:
                await second.delete_subscription("two")
            await first.delete_subscription("three")
        assert platform.connections == 1
        assert [b"app_key: first" in request for request in platform.requests] == [True, False, True]
        async with north_of(platform.url) as later:
            await later.delete_subscription("four")
        assert platform.connections == 2


async def test_connections_are_no_more_than_the_calls_in_flight_at_once() -> None:
    async with answering(Answer(head(204))) as platform, AsyncExitStack() as stack:
        norths = [await stack.enter_async_context(north_of(platform.url, f"app {number}")) for number in range(50)]
        remaining = iter(norths)

        async def work() -> None:
            for north in remaining:
                await north.delete_subscriptions(["one", "two", "three"], workers=1)

        await asyncio.gather(*(work() for _ in range(4)))
        assert len(platform.requests) == 150
        assert platform.connections <= 4


async def test_closing_a_session_breaks_off_its_own_calls_and_no_others() -> None:
    async with Simulator(latency=lambda _: (1.0, 1.0)) as platform:
        token = platform.issue_token()
        ids = platform.add_subscriptions(2)
        async with session(platform, token=token, retry=ONCE) as other:
            mine = session(platform, token=token, retry=ONCE)
            await mine.__aenter__()
            lost, kept = (
                asyncio.create_task(north.delete_subscription(id_))
                for north, id_ in zip((mine, other), ids, strict=True)
            )
            await asyncio.sleep(1.5)
            await mine.close()
            await asyncio.sleep(0)
            assert not kept.done()
            with pytest.raises(aionorth.ReplyLostError, match="the session was closed"):
                await lost
            assert (await kept).ok
            assert not platform.subscription_ids()


async def test_a_session_that_was_closed_has_no_call_in_flight_also_where_the_pool_was_lent() -> None:
    async with Simulator(latency=lambda _: (1.0, 1.0)) as platform, aiohttp.ClientSession() as http:
        north = session(platform, token=platform.issue_token(), retry=ONCE, http=http)
        await north.__aenter__()
        call = asyncio.create_task(north.delete_subscription("one"))
        await asyncio.sleep(0.5)
        await north.close()
        await asyncio.sleep(0)
        with pytest.raises(aionorth.ReplyLostError, match="the session was closed"):
            await call
        assert not http.closed


async def test_a_cancelled_close_leaves_nothing_open() -> None:
    async with Simulator(latency=lambda _: (1.0, 1.0)) as platform:
        north = session(platform, token=platform.issue_token(), retry=ONCE)
        await north.__aenter__()
        call = asyncio.create_task(north.delete_subscription("one"))
        await asyncio.sleep(0.5)
        closing = asyncio.create_task(north.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([call, closing])
        assert closing.cancelled()
        with pytest.raises(aionorth.ReplyLostError):
            await call
        await asyncio.sleep(0.1)
        assert not open_pools()


def open_pools() -> list[Pool]:
    return [one for one in gc.get_objects() if isinstance(one, Pool) and not one.connector.closed]


@asynccontextmanager
async def never_shaking_hands() -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """Accept connections and say nothing."""
    accepted: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        await reader.read()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", accepted
    finally:
        server.close()


@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_a_call_that_ends_while_it_connects_leaves_the_others_alone(how: str) -> None:
    async with never_shaking_hands() as (url, accepted), north_of(url, "other", timeout=3) as other:
        north = north_of(url)
        await north.__aenter__()
        call = asyncio.create_task(north.delete_subscription("one"))
        kept = asyncio.create_task(other.delete_subscription("two"))
        await asyncio.sleep(1)
        assert len(accepted) == 2
        if how == "cancel":
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
        await north.close()
        await asyncio.sleep(0)
        assert call.done()
        assert not kept.done()
        with pytest.raises(aionorth.ReplyTimeoutError, match="within 3 s"):
            await kept
    if how == "close":
        with pytest.raises(aionorth.ReplyLostError, match="the session was closed"):
            await call
    await asyncio.sleep(0.1)
    assert not open_pools()


# --- TLS, proxies, loops


@pytest.fixture(scope="module")
def ca() -> Ca:
    return Ca()


@pytest.fixture
def tls_files(ca: Ca, tmp_path: Path) -> dict[str, Any]:
    """The options of a session with a CA and a client certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "ca.pem").write_bytes(ca.cert)
    (tmp_path / "own.pem").write_bytes(ca.issue("client", key))
    (tmp_path / "own.key").write_bytes(unsealed(key))
    return {"ca_file": tmp_path / "ca.pem", "client_cert": (tmp_path / "own.pem", tmp_path / "own.key")}


def counted_handshakes(context: ssl.SSLContext) -> list[object]:
    handshakes: list[object] = []
    context.sni_callback = lambda connection, _, __: handshakes.append(connection)
    return handshakes


def renewed(options: dict[str, Any]) -> dict[str, Any]:
    """Replace the certificate by another one of the same length, as what renews certificates does."""
    certificate: Path = options["client_cert"][0]
    new = certificate.with_name("new.pem")
    new.write_bytes(certificate.read_bytes())
    os.utime(new, ns=(certificate.stat().st_mtime_ns,) * 2)
    new.replace(certificate)
    return options


@pytest.mark.parametrize(
    ("changed", "handshakes"),
    [
        (lambda options: options, 1),
        (lambda options: options | {"client_cert": list(map(str, options["client_cert"]))}, 1),
        (lambda options: options | {"unsafe_accept_any_host_name": True}, 2),
        (lambda options: options | {"tls_relaxed_x509": True}, 2),
        (lambda options: {"ca_file": options["ca_file"]}, 2),
        (renewed, 2),
    ],
    ids=["same", "same-as-str", "host-name", "relaxed", "without-certificate", "renewed"],
)
async def test_a_handshake_is_made_once_for_each_of_the_tls_settings(
    changed: Callable[[dict[str, Any]], dict[str, Any]],
    handshakes: int,
    ca: Ca,
    tls_files: dict[str, Any],
    tmp_path: Path,
) -> None:
    context = ca.serving("platform", tmp_path)
    made = counted_handshakes(context)
    async with Simulator(tls=context) as platform:
        token = platform.issue_token()
        async with session(platform, token=token, **tls_files) as first:
            await first.delete_subscription("one", missing_ok=True)
            async with session(platform, token=token, **changed(tls_files)) as second:
                await second.delete_subscription("two", missing_ok=True)
                await first.delete_subscription("three", missing_ok=True)
        assert len(made) == handshakes


async def test_a_call_over_tls_that_is_broken_off_leaves_no_connection_open(
    ca: Ca, tls_files: dict[str, Any], tmp_path: Path
) -> None:
    context = ca.serving("platform", tmp_path)
    async with Simulator(tls=context, latency=lambda _: (1.0, 1.0)) as platform:
        north = session(platform, token=platform.issue_token(), retry=ONCE, **tls_files)
        await north.__aenter__()
        call = asyncio.create_task(north.delete_subscription("one"))
        await asyncio.sleep(0.5)
        await north.close()
        with pytest.raises(aionorth.ReplyLostError):
            await call


def test_the_system_certificates_are_loaded_once_and_freed_with_the_last_session() -> None:
    settings = Tls(any_host_name=True, relaxed_x509=True)  # which no other test has
    context = settings.context()
    assert Tls(any_host_name=True, relaxed_x509=True).context() is context
    assert Tls(any_host_name=True).context() is not context
    freed = weakref.ref(context)
    del context
    assert freed() is None


async def test_a_proxy_has_connections_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(Answer(head(204))) as platform, answering(Answer(head(204))) as proxy:
        async with north_of(platform.url) as direct:
            await direct.delete_subscription("one")
            monkeypatch.setenv("HTTP_PROXY", f"http://me:hush@{proxy.url.removeprefix('http://')}")
            for _ in range(2):
                async with north_of(platform.url, trust_env=True) as north, north_of(platform.url, trust_env=True):
                    await north.delete_subscription("two")
        assert (platform.connections, len(platform.requests)) == (1, 1)
        assert (proxy.connections, len(proxy.requests)) == (2, 2)


def test_each_event_loop_has_pools_of_its_own_which_end_with_it() -> None:
    way = Way(URL("http://127.0.0.1:1"), None, None)

    async def join() -> Pool:
        pool = Pool.join(way)
        assert Pool.join(way) is pool
        return pool

    with asyncio.Runner() as one, asyncio.Runner() as two:
        first, second = one.run(join()), two.run(join())
        assert first is not second
    ended = weakref.ref(first), weakref.ref(second)
    del first, second  # as sessions do that were not closed
    assert [pool() for pool in ended] == [None, None]


# --- What is known of a platform, and who watches the calls


async def test_a_session_knows_that_the_platform_was_reached_by_another() -> None:
    async with answering(Answer(head(204)), Answer(b"", "closes")) as platform, north_of(platform.url) as first:
        await first.delete_subscription("one")
        async with north_of(platform.url, "second") as second:
            with pytest.raises(aionorth.ReplyLostError, match="the reply was lost: ServerDisconnectedError"):
                await second.delete_subscription("two")


async def test_what_instruments_aiohttp_sees_the_calls_of_the_sessions_that_are_opened_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []

    async def started(_: Any, __: Any, parameters: aiohttp.TraceRequestStartParams) -> None:
        seen.append(parameters.url.name)

    traces = aiohttp.TraceConfig()
    traces.on_request_start.append(started)
    made = aiohttp.ClientSession.__init__

    def instrumented(self: aiohttp.ClientSession, **options: Any) -> None:
        made(self, **options, trace_configs=[traces])

    async with answering(Answer(head(204))) as platform, north_of(platform.url) as before:
        await before.delete_subscription("one")
        monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
        async with north_of(platform.url) as after:
            await after.delete_subscription("two")
            await before.delete_subscription("three")
        assert platform.connections == 1
    assert seen == ["two"]
