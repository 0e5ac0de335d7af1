"""An application's own calls go through the same token, flow control, errors and retries as the library's."""

import asyncio
import base64
import copy
import json
import math
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from support import APP, session

import aionorth
from aionorth.simulator import CannedReply, ServerError, Simulator
from aionorth.wire.own import own_call
from aionorth.wire.replies import Reply, read_error

QUICK = aionorth.RetryPolicy(attempts=3, base=1.0, jitter=lambda wait: wait)
COMMANDS = "/iocm/app/cmd/v1.4.0/deviceCommands"
SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"


# --- A server that fails once, in any way


def answered(status: int, body: str = "", **headers: str) -> web.Response:
    return web.Response(status=status, text=body, headers=headers)


def coded(status: int, code: str) -> web.Response:
    return answered(status, json.dumps({"error_code": code, "error_desc": "no"}))


async def fail(request: web.BaseRequest, fault: str) -> web.Response:
    match fault:
        case "refused":
            return coded(403, "1010009")
        case "token expired":
            return coded(403, "1010005")
        case "congestion":
            return coded(503, "100501")
        case "server error":
            return coded(500, "50252")
        case "gateway":
            return answered(502, "<html>")
        case "a page in a 200":
            return answered(200, "<html>")
        case "broken off":
            assert request.transport is not None
            request.transport.close()
        case "no reply":
            await asyncio.sleep(1000)
        case "bad request":
            return coded(400, "120015")
        case _:
            raise AssertionError(fault)
    return answered(500)


@asynccontextmanager
async def served(
    *faults: str, success: web.Response | None = None, **options: Any
) -> AsyncIterator[tuple[aionorth.NorthSession, list[web.BaseRequest]]]:
    """A session with a server that fails in these ways, one after the other, and then succeeds; and its requests."""
    requests: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        requests.append(request)
        if len(requests) <= len(faults):
            return await fail(request, faults[len(requests) - 1])
        return answered(200, '{"done": true}') if success is None else success

    async def token() -> str:
        return "t0ken"

    server = web.Server(answer)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with aionorth.NorthSession(url, app_id=APP, token=token, **{"retry": QUICK, **options}) as north:
        yield north, requests
    listener.close()
    await server.shutdown(0)


# --- Retries

NEVER_DONE = ["refused", "token expired"]
AMBIGUOUS = ["congestion", "server error", "gateway", "a page in a 200", "broken off", "no reply"]
FINAL = ["bad request"]
IDEMPOTENT = ["GET", "PUT", "DELETE", "OPTIONS"]
OTHERS = ["POST", "PATCH"]


@pytest.mark.parametrize("method", IDEMPOTENT + OTHERS)
@pytest.mark.parametrize("fault", NEVER_DONE + AMBIGUOUS + FINAL)
@pytest.mark.parametrize("retry", [None, True, False, QUICK])
async def test_a_call_is_made_again_only_where_that_is_safe_or_asked_for(method: str, fault: str, retry: Any) -> None:
    again = fault in NEVER_DONE or (
        fault in AMBIGUOUS and retry is not False and (method in IDEMPOTENT or retry is True)
    )
    async with served(fault) as (north, requests):
        if again:
            assert (await north.request(method, COMMANDS, retry=retry)).json() == {"done": True}
        else:
            with pytest.raises(aionorth.NorthError):
                await north.request(method, COMMANDS, retry=retry)
        assert [request.method for request in requests] == [method] * (2 if again else 1)


@pytest.mark.parametrize("method", IDEMPOTENT + OTHERS)
async def test_a_call_that_found_no_connection_is_made_again_whatever_its_method(method: str) -> None:
    async with Simulator() as platform:
        url = platform.url
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.method)
        return answered(200)

    async with aionorth.NorthSession(url, app_id=APP, token="t0ken", retry=QUICK) as north:
        call = asyncio.ensure_future(north.request(method, COMMANDS))
        await asyncio.sleep(0.5)
        port = int(url.rpartition(":")[2])
        server = web.Server(answer)
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", port)
        assert (await call).status == 200
        assert asked == [method]
    listener.close()
    await server.shutdown(0)


async def test_a_policy_of_its_own_bounds_the_attempts_of_one_call() -> None:
    async with served(*["server error"] * 9) as (north, requests):
        with pytest.raises(aionorth.ServerError):
            await north.request("GET", COMMANDS, retry=aionorth.RetryPolicy(attempts=2))
        assert len(requests) == 2
        with pytest.raises(aionorth.ServerError):
            await north.request("GET", COMMANDS)
        assert len(requests) == 2 + 3


# --- Time-outs


async def test_a_call_may_have_another_time_out_than_the_session() -> None:
    now = asyncio.get_running_loop().time
    async with served(*["no reply"] * 3) as (north, _):
        for timeout in (0.5, 5.0, 70.0):
            began = now()
            with pytest.raises(aionorth.ReplyTimeoutError, match=f"within {timeout:g} s"):
                await north.request("GET", COMMANDS, timeout=timeout, retry=False)
            assert now() - began == pytest.approx(timeout, abs=0.1)


async def test_a_short_time_out_runs_out_beside_a_long_one() -> None:
    now = asyncio.get_running_loop().time
    async with served("no reply", "no reply", timeout=100.0) as (north, _):
        began = now()
        long = asyncio.ensure_future(north.request("GET", COMMANDS, retry=False))
        await asyncio.sleep(1.0)
        with pytest.raises(aionorth.ReplyTimeoutError):
            await north.request("GET", COMMANDS, timeout=2.0, retry=False)
        assert now() - began == pytest.approx(3.0, abs=0.1)
        with pytest.raises(aionorth.ReplyTimeoutError):
            await long
        assert now() - began == pytest.approx(100.0, abs=0.1)


async def test_the_slot_of_a_call_cancelled_on_its_way_counts_until_that_calls_time_out() -> None:
    async with served("no reply", flow_control=aionorth.FlowControl(calls=1, period=10.0)) as (north, _):
        call = asyncio.ensure_future(north.request("GET", COMMANDS, timeout=200.0))
        await asyncio.sleep(1.0)
        call.cancel()
        await asyncio.wait([call])
        assert north.flow.next_slot == pytest.approx(199.0 + 10.0, abs=0.2)


# --- What goes over the wire


async def test_what_was_given_goes_over_the_wire() -> None:
    async with served() as (north, requests):
        params: Any = {"appId": "a&b", "pageNo": 0, "cascade": True, "no": False, "out": None, "id": ["x", 1, None]}
        await north.request("post", COMMANDS, params=params, json={"deviceId": "ä"})
    (request,) = requests
    assert request.method == "POST"
    assert request.raw_path == f"{COMMANDS}?appId=a%26b&pageNo=0&cascade=true&no=false&id=x&id=1"
    assert await request.json() == {"deviceId": "ä"}
    assert request.headers["app_key"] == APP
    assert request.headers["Authorization"] == "Bearer t0ken"
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a/v1.4.0/b", "/a/v1.4.0/b"),
        ("/a/one two", "/a/one%20two"),
        ("/a/one%20two", "/a/one%20two"),
        ("/a/x%2Fy", "/a/x%2Fy"),
        ("/a/x%3Fy", "/a/x%3Fy"),
        ("/a/50%", "/a/50%25"),
        ("/a/ä", "/a/%C3%A4"),
        ("/a/b..c", "/a/b%2E%2Ec"),
        ("/a/b:c@d,e", "/a/b%3Ac%40d%2Ce"),
    ],
)
async def test_a_path_reaches_the_platform_segment_by_segment(path: str, sent: str) -> None:
    async with served() as (north, requests):
        await north.request("GET", path)
    assert [request.raw_path for request in requests] == [sent]


NONSENSE: Sequence[Any] = [
    *(
        "",
        "iocm/app",
        "https://elsewhere/a",
        "//elsewhere/a",
        None,
        7,
        b"/a",
        "/",
        "/a/",
        "/a//b",
        " /a",
        "/a /b",
        "/a\n",
    ),
    *(
        "/a?b=c",
        "/a#b",
        "/a/..",
        "/a/../b",
        "/a/./b",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/a/%252e%252e/b",
        "/a/%25252e%25252e",
    ),
    *(
        "/a/x%2F..%2Fb",
        "/a/x\\..\\b",
        "/a/x%5C..%5Cb",
        "/a/%2F/b",
        "/a/%EF%BC%8E%EF%BC%8E/b",
        "/a/\u2024\u2024/b",
        "/a/b;c",
    ),
    *("/a/b%3Bc", "/a/%00", "/a/%ff", "/a/%0d%0aHost:x", "/a/{deviceId}", "/a/" + "x" * 257, "/a/\ud800", "/a/\u202e"),
]


@pytest.mark.parametrize("path", NONSENSE)
async def test_a_nonsense_path_is_refused_before_anything_is_sent(path: Any) -> None:
    async with served() as (north, requests):
        with pytest.raises(aionorth.ArgumentError, match="path="):
            await north.request("GET", path)
        assert not requests
        assert not north.flow.in_use


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": "FETCH"},
        {"method": None},
        {"params": "a=b"},
        {"params": {1: "x"}},
        {"params": {"": "x"}},
        {"params": {"a": 1.5}},
        {"params": {"a": {"b": 1}}},
        {"params": {"a": b"x"}},
        {"params": {"a": "\ud800"}},
        {"json": object()},
        {"json": math.nan},
        {"timeout": 0},
        {"timeout": math.inf},
        {"timeout": "5"},
        {"retry": 3},
        {"template": "devices"},
        {"template": "/a?b"},
    ],
)
async def test_a_nonsense_argument_is_refused_before_anything_is_sent(arguments: dict[str, Any]) -> None:
    async with served() as (north, requests):
        with pytest.raises(aionorth.ArgumentError):
            await north.request(**{"method": "GET", "path": COMMANDS, **arguments})
        assert not requests
        assert not north.flow.in_use


@pytest.mark.parametrize(
    "path",
    [
        SUBSCRIPTIONS,
        SUBSCRIPTIONS.replace("v1.2.0", "v1.1.0"),
        SUBSCRIPTIONS.upper(),
        SUBSCRIPTIONS.replace("subscriptions", "%73ubscriptions"),
        SUBSCRIPTIONS.replace("/sub/", "/sub%2F"),
        SUBSCRIPTIONS.replace("/subs", "%252Fsubs"),
        f"{SUBSCRIPTIONS}%3Fx",
        f"{SUBSCRIPTIONS}%3F/x",
    ],
)
@pytest.mark.parametrize("params", [None, {}, {"appId": "other"}, {"notifyType": " "}, {"notifyType": None}])
async def test_a_deletion_of_all_subscriptions_is_refused(path: str, params: Any) -> None:
    async with served() as (north, requests):
        with pytest.raises(aionorth.ArgumentError, match="every subscription"):
            await north.request("delete", path, params=params)
        assert not requests
        await north.request("DELETE", SUBSCRIPTIONS, params={"notifyType": "deviceAdded"})
        await north.request("DELETE", f"{SUBSCRIPTIONS}/one")
        assert len(requests) == 2


# --- Replies


async def test_a_reply_has_status_headers_body_and_what_it_holds_as_json() -> None:
    async with served(success=answered(201, '{"id": 1}', ETag="x")) as (north, _):
        reply = await north.request("POST", COMMANDS)
    assert (reply.status, reply.body, reply.json()) == (201, b'{"id": 1}', {"id": 1})
    assert reply.headers["etag"] == reply.headers["ETAG"] == "x"
    assert "eTaG" in reply.headers
    assert "X-None" not in reply.headers
    with pytest.raises(TypeError):
        reply.headers["etag"] = "y"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    with pytest.raises(AttributeError):
        reply.status = 200  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    assert repr(reply) == "NorthReply(status=201)"


async def test_a_reply_without_a_body_has_its_headers_too() -> None:
    async with served(success=answered(204, ETag="x")) as (north, _):
        reply = await north.request("DELETE", COMMANDS)
    assert (reply.status, reply.body, reply.headers["etag"]) == (204, b"", "x")
    with pytest.raises(aionorth.NorthApiError, match="no JSON"):
        reply.json()


async def test_a_head_call_succeeds_without_a_body() -> None:
    async with served(success=answered(200, Connection="close")) as (north, _):
        assert (await north.request("HEAD", COMMANDS)).body == b""


@pytest.mark.parametrize(("body", "content"), [("null", None), ("[1]", [1]), ('"ä"', "ä"), ("0", 0)])
async def test_any_json_can_be_read(body: str, content: Any) -> None:
    async with served(success=answered(200, body)) as (north, _):
        assert (await north.request("GET", COMMANDS)).json() == content


async def test_a_body_that_is_not_json_is_a_success_all_the_same() -> None:
    async with served(success=answered(200, "plain")) as (north, requests):
        reply = await north.request("GET", COMMANDS)
        assert len(requests) == 1
    assert reply.body == b"plain"
    with pytest.raises(aionorth.NorthApiError, match="no JSON"):
        reply.json()


async def test_an_error_in_a_200_is_an_error() -> None:
    async with served(success=answered(200, '{"error_code": "100203"}')) as (north, _):
        with pytest.raises(aionorth.AppNotFoundError):
            await north.request("GET", COMMANDS)


async def test_own_calls_log_in_and_pass_flow_control_on_the_platform() -> None:
    async with Simulator() as platform, session(platform) as north:
        body = {"notifyType": "deviceAdded", "callbackUrl": "https://h:443/cb"}
        created = await north.request("POST", SUBSCRIPTIONS, json=body)
        assert created.status == 201
        path = f"{SUBSCRIPTIONS}/{created.json()['subscriptionId']}"
        platform.script(ServerError(500, "50252"), method="DELETE")
        assert (await north.request("DELETE", path)).status == 204
        assert not platform.subscription_ids()
        assert north.flow.in_use == len(platform.arrivals) == 4
        platform.script(CannedReply(403, b'{"error_code":"1010009"}'), method="GET")
        await north.request("GET", SUBSCRIPTIONS, retry=False)
        assert north.flow.refusals == 1


# --- What a call is named in metrics


@pytest.mark.parametrize(
    ("path", "given", "template"),
    [
        (COMMANDS, None, COMMANDS),
        ("/iocm/app/dm/v1.4.0/devices/7c1-9", None, "/iocm/app/dm/v1.4.0/devices/{id}"),
        ("/iocm/app/dm/v1.4.0/devices/Meter", None, "/iocm/app/dm/v1.4.0/devices/{id}"),
        ("/iocm/app/dm/v1.4.0/devices/x%2Fy", None, "/iocm/app/dm/v1.4.0/devices/{id}"),
        (COMMANDS, "/commands/{deviceId}", "/commands/{deviceId}"),
    ],
)
def test_a_call_is_named_by_its_path_without_ids(path: str, given: str | None, template: str) -> None:
    request = own_call("GET", path, template=given)
    assert (request.operation, request.template) == ("request", template)


# --- Errors hold the reply


async def test_an_error_holds_the_headers_and_the_body_of_its_reply() -> None:
    reply = answered(409, '{"error_code": "100227", "error_desc": "there"}', X_Trace="7", ETag="x")
    async with served(success=reply) as (north, _):
        with pytest.raises(aionorth.NorthApiError) as caught:
            await north.request("POST", COMMANDS)
    error = caught.value
    assert (error.status, error.code) == (409, "100227")
    assert error.body == b'{"error_code": "100227", "error_desc": "there"}'
    assert error.headers["x_trace"] == error.headers["X_TRACE"] == "7"
    for other in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert (str(other), other.code, other.body) == (str(error), error.code, error.body)
        assert dict(other.headers) == dict(error.headers)
        assert other.headers["ETAG"] == "x"
    assert error.to_dict() == {"type": "NorthApiError", "message": str(error), "status": 409, "code": "100227"}
    assert "X_Trace" not in repr(error) + str(error)


async def test_an_error_holds_at_most_4_kib_of_a_body() -> None:
    async with served(success=answered(400, "x" * 100_000)) as (north, _):
        with pytest.raises(aionorth.NorthApiError) as caught:
            await north.request("POST", COMMANDS)
    assert 4000 <= len(caught.value.body) <= 4096


ECHOES: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda secret: secret.encode(),
    "percent-encoded": lambda secret: quote(secret, safe="").encode(),
    "as JSON": lambda secret: json.dumps(secret).encode(),
    "in base64": lambda secret: base64.b64encode(f"Bearer {secret}".encode()),
    "in UTF-16": lambda secret: secret.encode("utf-16"),
    "in GBK": lambda secret: secret.encode("gbk"),
    "across the end of what is kept": lambda secret: b"x" * 3970 + secret.encode(),
    "often": lambda secret: b" ".join([secret.encode()] * 1000),
}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("secret", ["t0ken-of-31-characters", "hüsh 中文 of an app"])
async def test_an_error_shows_no_secret_that_a_reply_echoes(echo: str, secret: str) -> None:
    body = ECHOES[echo](secret)
    reply = Reply(400, b'{"error_code": "1", "x": "' + body + b'"}', headers={"X-Echo": f"Bearer {quote(secret)}"})
    error = read_error(reply, secrets=[secret], whole=True)
    assert isinstance(error, aionorth.NorthApiError)
    assert len(error.body) <= 4096
    assert secret.encode()[:5] not in error.body
    assert body[:20] not in error.body or echo.startswith("across")
    assert error.headers["X-Echo"] == "Bearer (hidden)"
    assert b"(hidden)" in error.body


async def test_the_token_is_hidden_in_what_an_error_holds() -> None:
    async with served(success=answered(400, "Bearer t0ken", X_Echo="t0ken")) as (north, _):
        with pytest.raises(aionorth.NorthApiError) as caught:
            await north.request("POST", COMMANDS)
    assert caught.value.body == b"Bearer (hidden)"
    assert caught.value.headers["x_echo"] == "(hidden)"


async def test_the_errors_of_a_bulk_run_hold_no_replies() -> None:
    async with served(success=coded(400, "120015")) as (north, _):
        summary = await north.delete_upgrade_packages(["a"])
    error = summary.results[0].error
    assert isinstance(error, aionorth.BadRequestError)
    assert (error.body, dict(error.headers)) == (b"", {})


# --- Single calls of the library

Single = Callable[..., Awaitable[object]]

SINGLE: list[Callable[[aionorth.NorthSession], Single]] = [
    lambda north: partial(north.delete_subscription, "a"),
    lambda north: partial(north.delete_upgrade_package, "a"),
    lambda north: partial(north.get_subscription, "a"),
    lambda north: partial(north.get_upgrade_package, "a"),
]


@pytest.mark.parametrize("single", SINGLE)
async def test_a_single_call_has_a_time_out_and_retries_of_its_own(single: Callable[[Any], Single]) -> None:
    async with served(*["no reply"] * 20) as (north, requests):
        call, now = single(north), asyncio.get_running_loop().time
        began = now()
        with pytest.raises(aionorth.ReplyTimeoutError, match="within 5 s"):
            await call(timeout=5.0, retry=False)
        assert now() - began == pytest.approx(5.0, abs=0.1)
        assert len(requests) == 1
        with pytest.raises(aionorth.ReplyTimeoutError, match="within 30 s"):
            await call(retry=aionorth.RetryPolicy(attempts=2))
        assert len(requests) == 1 + 2
        for nonsense in ({"timeout": -1.0}, {"retry": "no"}):
            with pytest.raises(aionorth.ArgumentError, match=next(iter(nonsense))):
                await call(**nonsense)
        assert len(requests) == 1 + 2
