"""The simulator as a client sees it: calls, errors, tokens, flow control and the log."""

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from calling import CREDENTIALS, LOGIN, REFRESH, Caller, calling
from yarl import URL

from aionorth.simulator import MODELS, Arrival, Delay, Simulator

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
PACKAGES = "/iodm/northbound/v1.5.0/category"

CALLBACK = "https://127.0.0.1:443/callback"
TWO_APPS = {"ours": "s1", "theirs": "s2"}


# Tokens


@pytest.mark.parametrize(("quoted", "expires_in"), [(False, 3600), (True, "3600")])
async def test_a_login_returns_the_five_documented_fields(*, quoted: bool, expires_in: object) -> None:
    async with Simulator(quoted_expires_in=quoted) as platform, calling(platform) as call:
        tokens = dict(call.tokens)
        assert tokens.pop("accessToken") != tokens.pop("refreshToken")
        assert tokens == {"tokenType": "bearer", "expiresIn": expires_in, "scope": "default"}


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ({"data": {"appId": "demo-app", "secret": "wrong"}}, (401, "100208")),
        ({"data": {"appId": "nobody", "secret": "demo-secret"}}, (401, "100208")),
        ({"data": {"appId": "demo-app", "secret": ""}}, (400, "102202")),
        ({"data": {"secret": "demo-secret"}}, (400, "102202")),
        ({"data": {"appId": "demo-app", "secret": "x" * 257}}, (400, "50400")),
        ({"json": CREDENTIALS}, (400, "50400")),
        ({"data": b"\xff", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, (400, "50400")),
        ({}, (400, "50400")),
    ],
)
async def test_a_login_is_refused(body: dict[str, Any], verdict: tuple[int, str]) -> None:
    async with Simulator() as platform, aiohttp.ClientSession() as http:
        call = Caller(http, platform.url, {})
        assert (await call("POST", LOGIN, **body)).verdict == verdict


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ({"json": {**CREDENTIALS, "refreshToken": "wrong"}}, (401, "100208")),
        ({"json": {**CREDENTIALS, "secret": "wrong", "refreshToken": "wrong"}}, (401, "100208")),
        ({"json": {**CREDENTIALS, "refreshToken": ""}}, (400, "102202")),
        ({"json": CREDENTIALS}, (400, "102202")),
        ({"json": {**CREDENTIALS, "refreshToken": 5}}, (400, "50400")),
        ({"json": {**CREDENTIALS, "appId": 5}}, (400, "50400")),
        ({"json": ["no", "object"]}, (400, "50400")),
        ({"data": "{cut", "headers": {"Content-Type": "application/json"}}, (400, "50400")),
        ({"data": {**CREDENTIALS, "refreshToken": "wrong"}}, (400, "50400")),
    ],
)
async def test_a_refresh_is_refused(body: dict[str, Any], verdict: tuple[int, str]) -> None:
    async with Simulator() as platform, calling(platform) as call:
        assert (await call("POST", REFRESH, **body)).verdict == verdict


async def test_a_refresh_rotates_both_tokens() -> None:
    async with Simulator() as platform, calling(platform) as call:
        old = call.tokens
        new = await call.refresh(old["refreshToken"])
        assert new.status == 200
        assert new.value.keys() == old.keys()
        assert (await call("GET", PACKAGES)).verdict == (403, "1010005")
        assert (await call.refresh(old["refreshToken"])).verdict == (401, "100208")
        call.take("demo-app", new.value)
        assert (await call("GET", PACKAGES)).status == 200


async def test_a_new_login_invalidates_the_old_token() -> None:
    async with Simulator() as platform, calling(platform) as first, calling(platform) as second:
        assert (await first("GET", PACKAGES)).verdict == (403, "1010005")
        assert (await second("GET", PACKAGES)).status == 200


async def test_a_new_login_leaves_older_refresh_tokens_valid() -> None:
    async with Simulator() as platform, calling(platform) as first, calling(platform):
        assert (await first.refresh(first.tokens["refreshToken"])).status == 200


async def test_tokens_expire() -> None:
    async with Simulator(token_lifetime=3600) as platform, calling(platform) as call:
        await asyncio.sleep(3590)
        assert (await call("GET", PACKAGES)).status == 200
        await asyncio.sleep(11)
        assert (await call("GET", PACKAGES)).verdict == (403, "1010005")
        await asyncio.sleep(24 * 3600)
        assert (await call.refresh(call.tokens["refreshToken"])).verdict == (401, "100208")


async def test_an_eviction_leaves_the_refresh_token_valid() -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.evict()
        assert (await call("GET", PACKAGES)).verdict == (403, "1010005")
        assert (await call.refresh(call.tokens["refreshToken"])).status == 200


async def test_expired_tokens_are_all_invalid() -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.expire_tokens()
        assert (await call("GET", PACKAGES)).verdict == (403, "1010005")
        assert (await call.refresh(call.tokens["refreshToken"])).verdict == (401, "100208")


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"app_key": None}, (401, "100025")),
        ({"app_key": ""}, (401, "100025")),
        ({"app_key": "nobody"}, (403, "1010005")),
        ({"Authorization": None}, (403, "1010005")),
        ({"Authorization": "Bearer wrong"}, (403, "1010005")),
        ({"Authorization": "Bearer "}, (403, "1010005")),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", PACKAGES), ("DELETE", f"{SUBSCRIPTIONS}/s1")])
async def test_a_call_without_valid_credentials_is_refused(
    method: str, path: str, changed: dict[str, str | None], verdict: tuple[int, str]
) -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.add_subscriptions(["s1"])
        headers = {name: value for name, value in {**call.headers, **changed}.items() if value is not None}
        assert (await call(method, path, headers=headers)).verdict == verdict
        assert platform.subscription_ids() == {"s1"}


async def test_a_token_without_its_scheme_is_refused() -> None:
    async with Simulator() as platform, calling(platform) as call:
        headers = {**call.headers, "Authorization": call.tokens["accessToken"]}
        assert (await call("GET", PACKAGES, headers=headers)).verdict == (403, "1010005")


async def test_one_app_cannot_use_the_token_of_another() -> None:
    async with Simulator(TWO_APPS) as platform, calling(platform, "ours", "s1") as call:
        headers = {**call.headers, "app_key": "theirs"}
        assert (await call("GET", PACKAGES, headers=headers)).verdict == (403, "1010005")


# Subscriptions


async def test_a_subscription_is_deleted_once() -> None:
    async with Simulator() as platform, calling(platform) as call:
        kept, gone = platform.add_subscriptions(2)
        answer = await call("DELETE", f"{SUBSCRIPTIONS}/{gone}")
        assert (answer.status, answer.value) == (204, "")
        assert platform.subscription_ids() == {kept}
        assert (await call("DELETE", f"{SUBSCRIPTIONS}/{gone}")).verdict == (404, "100225")


async def test_a_subscription_is_shown() -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.add_subscriptions(["s1"], notify_type="deviceAdded", callback_url="http://h:80/")
        shown = {"subscriptionId": "s1", "notifyType": "deviceAdded", "callbackUrl": "http://h:80/"}
        assert (await call("GET", f"{SUBSCRIPTIONS}/s1")).value == shown
        listed = (await call("GET", SUBSCRIPTIONS)).value
        assert listed == {"pageNo": 0, "pageSize": 10, "totalCount": 1, "subscriptions": [shown]}
        assert (await call("GET", f"{SUBSCRIPTIONS}/s2")).verdict == (404, "100225")


async def test_subscriptions_are_listed_page_by_page() -> None:
    async with Simulator() as platform, calling(platform) as call:
        added = platform.add_subscriptions(25)
        platform.add_subscriptions(5, notify_type="deviceAdded")
        listed: list[str] = []
        for page_no in range(4):
            path = f"{SUBSCRIPTIONS}?notifyType=deviceDataChanged&pageNo={page_no}&pageSize=10"
            page = (await call("GET", path)).value
            assert (page["pageNo"], page["pageSize"], page["totalCount"]) == (page_no, 10, 25)
            listed += [one["subscriptionId"] for one in page["subscriptions"]]
        assert listed == added


async def test_more_than_a_thousand_subscriptions_cannot_be_listed() -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.add_subscriptions(1000)
        assert (await call("GET", SUBSCRIPTIONS)).value["totalCount"] == 1000
        platform.add_subscriptions(1, notify_type="deviceAdded")
        assert (await call("GET", SUBSCRIPTIONS)).verdict == (400, "100224")
        assert (await call("GET", f"{SUBSCRIPTIONS}?notifyType=deviceAdded")).value["totalCount"] == 1


@pytest.mark.parametrize("query", ["pageNo=-1", "pageNo=x", "pageSize=0", "pageSize=1.5", "notifyType=" + "x" * 257])
async def test_bad_queries_for_subscriptions_are_refused(query: str) -> None:
    async with Simulator() as platform, calling(platform) as call:
        assert (await call("GET", f"{SUBSCRIPTIONS}?{query}")).verdict == (400, "50400")


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", set[str]()),
        ("?notifyType=deviceAdded", {"data"}),
        ("?callbackUrl=http%3A%2F%2Fh%3A80%2F%3Fa%3D1%262", {"data", "added"}),
        ("?notifyType=deviceAdded&callbackUrl=http%3A%2F%2Fh%3A80%2F%3Fa%3D1%262", {"data", "added"}),
        ("?channel=mqtt", {"data", "added"}),
        ("?notifyType=", set[str]()),
        ("?unheardOf=1", set[str]()),
    ],
)
async def test_a_batch_deletion_deletes_what_its_filters_match_and_everything_without_any(
    query: str, left: set[str]
) -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.add_subscriptions(["data"])
        platform.add_subscriptions(["added"], notify_type="deviceAdded")
        platform.add_subscriptions(
            ["other"], notify_type="deviceAdded", callback_url="http://h:80/?a=1&2", channel="mqtt"
        )
        answer = await call("DELETE", SUBSCRIPTIONS + query)
        assert (answer.status, answer.value) == (204, "")
        assert platform.subscription_ids() == left


async def test_a_batch_deletion_that_matches_nothing_is_a_404() -> None:
    async with Simulator() as platform, calling(platform) as call:
        assert (await call("DELETE", SUBSCRIPTIONS)).verdict == (404, "100225")
        platform.add_subscriptions(["s1"])
        assert (await call("DELETE", f"{SUBSCRIPTIONS}?notifyType=deviceAdded")).verdict == (404, "100225")
        assert platform.subscription_ids() == {"s1"}


async def test_an_empty_id_deletes_every_subscription() -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.add_subscriptions(3)
        assert (await call("DELETE", f"{SUBSCRIPTIONS}/")).status == 204
        assert not platform.subscription_ids()


async def test_subscribing_creates_a_subscription() -> None:
    async with Simulator() as platform, calling(platform) as call:
        answer = await call("POST", SUBSCRIPTIONS, json={"notifyType": "deviceAdded", "callbackUrl": CALLBACK})
        assert answer.status == 201
        (created,) = platform.subscription_ids()
        assert answer.value == {"subscriptionId": created, "notifyType": "deviceAdded", "callbackUrl": CALLBACK}


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ({"notifyType": "deviceDataChanged", "callbackUrl": CALLBACK}, (409, "100227")),
        ({"notifyType": "deviceAdded", "callbackUrl": "https://host/without/port"}, (400, "100222")),
        ({"notifyType": "deviceAdded", "callbackUrl": "https://host:port/"}, (400, "100222")),
        ({"notifyType": "deviceAdded", "callbackUrl": "ftp://host:21/"}, (400, "100222")),
        ({"notifyType": "deviceAdded", "callbackUrl": "http://h:80/" + "x" * 1024}, (400, "100222")),
        ({"notifyType": "deviceAdded"}, (400, "50400")),
        ({"notifyType": 5, "callbackUrl": CALLBACK}, (400, "50400")),
        ([], (400, "50400")),
        ({"notifyType": "deviceAdded", "callbackUrl": CALLBACK, "appId": "other"}, (403, "100217")),
    ],
)
async def test_subscribing_is_refused(body: object, verdict: tuple[int, str]) -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.add_subscriptions(["s1"], callback_url=CALLBACK)
        assert (await call("POST", SUBSCRIPTIONS, json=body)).verdict == verdict
        assert platform.subscription_ids() == {"s1"}


@pytest.mark.parametrize("owner", ["theirs", "ours", "nobody"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SUBSCRIPTIONS),
        ("DELETE", SUBSCRIPTIONS),
        ("GET", f"{SUBSCRIPTIONS}/s1"),
        ("DELETE", f"{SUBSCRIPTIONS}/s1"),
    ],
)
async def test_an_app_that_has_not_authorized_the_caller_cannot_be_named(method: str, path: str, owner: str) -> None:
    async with Simulator(TWO_APPS) as platform, calling(platform, "ours", "s1") as call:
        for app_id in TWO_APPS:
            platform.add_subscriptions(["s1"], app_id=app_id)
        assert (await call(method, f"{path}?appId={owner}")).verdict == (403, "100217")
        assert platform.subscription_ids("ours") == platform.subscription_ids("theirs") == {"s1"}


async def test_an_authorized_caller_deletes_for_the_owner() -> None:
    async with Simulator(TWO_APPS) as platform, calling(platform, "ours", "s1") as call:
        for app_id in TWO_APPS:
            platform.add_subscriptions(["s1"], app_id=app_id)
        platform.authorize(owner="theirs", caller="ours")
        assert (await call("DELETE", f"{SUBSCRIPTIONS}/s1?appId=theirs")).status == 204
        assert platform.subscription_ids("theirs") == set()
        assert platform.subscription_ids("ours") == {"s1"}


async def test_an_authorization_is_not_mutual() -> None:
    async with Simulator(TWO_APPS) as platform, calling(platform, "theirs", "s2") as call:
        platform.authorize(owner="theirs", caller="ours")
        assert (await call("GET", f"{SUBSCRIPTIONS}?appId=ours")).verdict == (403, "100217")


# Version packages


@pytest.mark.parametrize("status", [200, 204])
async def test_a_package_is_deleted_once(status: int) -> None:
    async with Simulator(package_status=status) as platform, calling(platform) as call:
        kept, gone = platform.add_packages(2)
        answer = await call("DELETE", f"{PACKAGES}/{gone}")
        assert (answer.status, answer.value) == (status, "")
        assert platform.package_ids() == {kept}
        assert (await call("DELETE", f"{PACKAGES}/{gone}")).verdict == (404, "123002")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("file_id", ["x" * 257, "a%00b", "a%0Ab"])
async def test_a_malformed_file_id_is_a_bad_request(method: str, file_id: str) -> None:
    async with Simulator() as platform, calling(platform) as call:
        assert (await call(method, f"{PACKAGES}/{file_id}")).verdict == (400, "120015")


async def test_a_package_is_shown() -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.add_packages(["f1"], name="fw.zip", version="V2.0", model="M", manufacturer_name="Maker")
        shown = {
            "fileId": "f1",
            "name": "fw.zip",
            "version": "V2.0",
            "fileType": "firmwarePackage",
            "deviceType": "WaterMeter",
            "model": "M",
            "manufacturerName": "Maker",
            "protocolType": "CoAP",
            "description": "",
            "date": "2015-12-12",
            "uploadTime": "20151212T121212Z",
        }
        assert (await call("GET", f"{PACKAGES}/f1")).value == shown
        listed = (await call("GET", PACKAGES)).value
        assert listed == {"data": [shown], "pageNo": 0, "pageSize": 10, "totalCount": 1}
        assert (await call("GET", f"{PACKAGES}/f2")).verdict == (404, "123002")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("fileType=softwarePackage", ["soft"]),
        ("deviceType=Meter", ["firm"]),
        ("model=M2", ["soft"]),
        ("manufacturerName=B%C3%BCro%20%26%20Co", ["soft"]),
        ("manufactureName=B%C3%BCro+%26+Co", ["soft"]),
        ("version=V1.0", ["firm", "soft"]),
        ("version=V1.0&model=M1", ["firm"]),
        ("version=V9", []),
        ("version=", ["firm", "soft"]),
    ],
)
async def test_packages_are_filtered(query: str, found: list[str]) -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.add_packages(["firm"], device_type="Meter", model="M1")
        platform.add_packages(["soft"], file_type="softwarePackage", model="M2", manufacturer_name="Büro & Co")
        listed = (await call("GET", f"{PACKAGES}?{query}")).value
        assert [one["fileId"] for one in listed["data"]] == found
        assert listed["totalCount"] == len(found)


async def test_packages_are_listed_page_by_page() -> None:
    async with Simulator() as platform, calling(platform) as call:
        added = platform.add_packages(250)
        pages = [(await call("GET", f"{PACKAGES}?pageSize=100&pageNo={number}")).value for number in range(3)]
        assert [one["fileId"] for page in pages for one in page["data"]] == added
        assert {page["totalCount"] for page in pages} == {250}
        assert (await call("GET", f"{PACKAGES}?pageSize=100&pageNo=3")).verdict == (400, "123029")


async def test_the_first_page_of_nothing_is_empty() -> None:
    async with Simulator() as platform, calling(platform) as call:
        listed = (await call("GET", f"{PACKAGES}?pageNo=0&pageSize=100")).value
        assert listed == {"data": [], "pageNo": 0, "pageSize": 100, "totalCount": 0}
        assert (await call("GET", f"{PACKAGES}?pageNo=1")).verdict == (400, "123029")


@pytest.mark.parametrize(
    "query", ["pageSize=0", "pageSize=101", "pageSize=x", "pageNo=-1", "fileType=hardware", "model=" + "x" * 257]
)
async def test_bad_queries_for_packages_are_refused(query: str) -> None:
    async with Simulator() as platform, calling(platform) as call:
        assert (await call("GET", f"{PACKAGES}?{query}")).verdict == (400, "120015")


# Ids and paths


@pytest.mark.parametrize("path", [SUBSCRIPTIONS, PACKAGES])
@pytest.mark.parametrize(
    ("wire", "identifier"),
    [("a%2Fb", "a/b"), ("a%3Fb%23c", "a?b#c"), ("100%25", "100%"), ("a+b", "a+b"), ("a%20b", "a b"), ("%C3%A9", "é")],
)
async def test_an_id_is_one_segment_whatever_characters_it_has(path: str, wire: str, identifier: str) -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.add_subscriptions([identifier, "a"])
        platform.add_packages([identifier, "a"])
        assert (await call("DELETE", f"{path}/{wire}")).status in {200, 204}
        left = platform.subscription_ids() if path == SUBSCRIPTIONS else platform.package_ids()
        assert left == {"a"}
        assert platform.arrivals[-1].path == f"{path}/{wire}"
        assert platform.arrivals[-1].resource == identifier


@pytest.mark.parametrize(
    ("wire", "left"),
    [
        ("x%2F%2E%2E%2F%2E%2E%2Fsubscriptions", set[str]()),
        ("x/../../subscriptions", set[str]()),
        ("..%5C..%5Csubscriptions", {"a", "a b"}),
        ("%2E/a", {"a b"}),
        ("/a", {"a b"}),
        ("x%2F..%2Fa", {"a b"}),
        ("a%20b", {"a"}),
        ("a%2520b", {"a", "a b"}),
        ("a%2F", {"a", "a b"}),
        ("%2E%2E/" * 9, {"a", "a b"}),
    ],
)
async def test_a_proxy_that_tidies_paths_resolves_dots(wire: str, left: set[str]) -> None:
    async with Simulator(tidy_paths=True) as platform, calling(platform) as call:
        platform.add_subscriptions(["a", "a b"])
        await call("DELETE", f"{SUBSCRIPTIONS}/{wire}")
        assert platform.subscription_ids() == left


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("DELETE", PACKAGES),
        ("DELETE", f"{PACKAGES}/"),
        ("PUT", SUBSCRIPTIONS),
        ("DELETE", f"{SUBSCRIPTIONS}/a/b"),
        ("DELETE", "/iocm/app/sub/v1.1.0/subscriptions/a"),
        ("GET", LOGIN),
    ],
)
async def test_a_call_that_is_not_simulated_gets_a_plain_404_page(method: str, path: str) -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.add_subscriptions(["a"])
        answer = await call(method, path)
        assert answer.verdict == (404, None)
        assert "<html>" in answer.value
        assert platform.arrivals[-1].app_id == "demo-app"
        assert platform.subscription_ids() == {"a"}


def test_ids_that_cannot_be_are_refused() -> None:
    platform = Simulator()
    for identifier in ["", "x" * 257, "a\nb"]:
        with pytest.raises(ValueError, match="not an id"):
            platform.add_packages([identifier])
        with pytest.raises(ValueError, match="not an id"):
            platform.add_subscriptions([identifier])


def test_the_same_seed_makes_the_same_ids() -> None:
    one, same, other = Simulator(seed=1), Simulator(seed=1), Simulator(seed=2)
    ids = one.add_packages(5) + one.add_subscriptions(5)
    assert same.add_packages(5) + same.add_subscriptions(5) == ids
    assert len({*ids, *other.add_packages(5), *other.add_subscriptions(5)}) == 20


@pytest.mark.parametrize(
    "options",
    [
        {"apps": {}},
        {"model": "magic"},
        {"calls": 0},
        {"period": 0},
        {"package_status": 404},
        {"chances": {Delay(1): 0.6, Delay(2): 0.6}},
        {"chances": {Delay(1): -0.1}},
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        Simulator(**options)


# Flow control


@pytest.mark.parametrize("model", MODELS)
async def test_a_call_above_the_threshold_is_refused_and_has_no_effect(model: str) -> None:
    calls = 30 if model in {"small-burst", "two-limits"} else 3  # these accept a tenth of the calls at once
    async with Simulator(calls=calls, model=model) as platform, calling(platform) as call:
        (file_id,) = platform.add_packages(1)
        for _ in range(2):
            assert (await call("GET", PACKAGES)).status == 200
        answer = await call("DELETE", f"{PACKAGES}/{file_id}")
        assert answer.verdict == (403, "1010009")
        assert answer.value == {"error_code": "1010009", "error_desc": "app throttle exceed."}
        assert "Retry-After" not in answer.headers
        assert platform.package_ids() == {file_id}
        assert [arrival.refused for arrival in platform.arrivals] == [False, False, False, True]


async def test_calls_are_counted_before_their_token_is_checked() -> None:
    async with Simulator(calls=2) as platform, calling(platform) as call:
        wrong = {"app_key": "demo-app", "Authorization": "Bearer wrong"}
        assert (await call("GET", PACKAGES, headers=wrong)).verdict == (403, "1010005")
        assert (await call("GET", PACKAGES, headers=wrong)).verdict == (403, "1010009")


async def test_a_call_of_an_unknown_app_is_not_counted() -> None:
    async with Simulator(calls=2) as platform, calling(platform) as call:
        for _ in range(5):
            assert (await call("GET", PACKAGES, headers={"app_key": "nobody"})).verdict == (403, "1010005")
            assert (await call.login("nobody")).verdict == (401, "100208")
            assert (await call("GET", "/")).status == 404
        assert (await call("GET", PACKAGES)).status == 200


async def test_each_app_has_a_threshold_of_its_own() -> None:
    async with (
        Simulator(TWO_APPS, calls=2) as platform,
        calling(platform, "ours", "s1") as ours,
        calling(platform, "theirs", "s2") as theirs,
    ):
        assert [(await ours("GET", PACKAGES)).status for _ in range(2)] == [200, 403]
        assert (await theirs("GET", PACKAGES)).status == 200


@pytest.mark.parametrize(("counted", "status"), [(True, 403), (False, 200)])
async def test_login_and_refresh_may_or_may_not_count(*, counted: bool, status: int) -> None:
    async with Simulator(calls=2, count_tokens=counted) as platform, calling(platform) as call:
        assert (await call.refresh(call.tokens["refreshToken"])).status == 200
        assert (await call.login()).status == status


async def test_calls_are_accepted_again_after_the_period() -> None:
    async with Simulator(calls=2, period=60, retry_after=True) as platform, calling(platform) as call:
        await asyncio.sleep(20.5)
        assert (await call("GET", PACKAGES)).status == 200
        refusal = await call("GET", PACKAGES)
        assert (refusal.status, refusal.headers["Retry-After"]) == (403, "40")
        await asyncio.sleep(39)
        assert (await call("GET", PACKAGES)).status == 403
        await asyncio.sleep(1)
        assert (await call("GET", PACKAGES)).status == 200


async def test_an_operator_may_set_another_threshold() -> None:
    async with Simulator(calls=1) as platform, calling(platform) as call:
        assert (await call("GET", PACKAGES)).status == 403
        platform.throttle(3)
        assert [(await call("GET", PACKAGES)).status for _ in range(3)] == [200, 200, 403]
        platform.throttle(None)
        assert {(await call("GET", PACKAGES)).status for _ in range(20)} == {200}
        platform.throttle(1)
        assert [(await call("GET", PACKAGES)).status for _ in range(2)] == [200, 403]


# Latency, the log, and the end


async def test_latency_passes_before_the_count_and_after_the_effect() -> None:
    async with Simulator(latency=lambda _: (2.0, 3.0)) as platform, calling(platform) as call:
        loop = asyncio.get_running_loop()
        platform.add_packages(["f1"])
        sent = loop.time()
        deletion = asyncio.create_task(call("DELETE", f"{PACKAGES}/f1"))
        await asyncio.sleep(1.5)
        assert platform.package_ids() == {"f1"}
        await asyncio.sleep(1)
        assert platform.package_ids() == set()
        assert platform.arrivals[-1].status is None
        assert (await deletion).status == 200
        assert loop.time() - sent == pytest.approx(5, abs=0.1)
        arrival = platform.arrivals[-1]
        assert arrival.counted - arrival.received == pytest.approx(2, abs=0.01)


async def test_latency_is_drawn_from_seeded_chance() -> None:
    async def times(seed: int) -> list[float]:
        def latency(chance: random.Random) -> tuple[float, float]:
            return chance.uniform(0, 10), 0.0

        async with Simulator(latency=latency, seed=seed) as platform, calling(platform) as call:
            for _ in range(3):
                await call("GET", PACKAGES)
            return [round(arrival.counted - arrival.received, 1) for arrival in platform.arrivals]

    assert await times(1) == await times(1)
    assert await times(1) != await times(2)


async def test_the_log_has_all_about_an_arrival() -> None:
    async with Simulator() as platform, calling(platform) as call:
        fault = Delay(1)
        platform.script(fault, method="DELETE", path="a b")
        await call("DELETE", f"{SUBSCRIPTIONS}/a%20b?appId=")
        login, deletion = platform.arrivals
        assert login == Arrival(login.received, login.counted, "demo-app", "POST", LOGIN, None, 200)
        assert deletion == Arrival(
            received=deletion.received,
            counted=deletion.counted,
            app_id="demo-app",
            method="DELETE",
            path=f"{SUBSCRIPTIONS}/a%20b?appId=",
            resource="a b",
            status=404,
            code="100225",
            fault=fault,
            refused=False,
        )


async def test_the_log_is_in_the_order_of_counting() -> None:
    delays = iter([0.0, 5.0, 1.0])
    async with Simulator(latency=lambda _: (next(delays), 0.0)) as platform, calling(platform) as call:
        await asyncio.gather(call("GET", f"{PACKAGES}/late"), call("GET", f"{PACKAGES}/early"))
        assert [arrival.counted for arrival in platform.arrivals] == sorted(a.counted for a in platform.arrivals)
        assert platform.arrivals[1].received >= platform.arrivals[2].received - 0.1


async def test_the_log_forgets_the_oldest_arrivals_beyond_its_limit() -> None:
    async with Simulator(log_limit=2) as platform, calling(platform) as call:
        for number in range(4):
            await call("GET", f"{PACKAGES}/f{number}")
        assert [arrival.resource for arrival in platform.arrivals] == ["f2", "f3"]


async def test_a_forgotten_arrival_stays_forgotten_when_its_reply_is_sent() -> None:
    async with Simulator(log_limit=1) as platform, calling(platform) as call:
        platform.script(Delay(10), path="slow")
        slow = asyncio.create_task(call("GET", f"{PACKAGES}/slow"))
        await asyncio.sleep(1)
        await call("GET", f"{PACKAGES}/quick")
        assert (await slow).status == 404
        assert [arrival.resource for arrival in platform.arrivals] == ["quick"]


async def test_a_call_takes_effect_after_its_caller_has_gone() -> None:
    async with Simulator() as platform, calling(platform) as call:
        platform.add_packages(["f1"])
        platform.script(Delay(10))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call("DELETE", f"{PACKAGES}/f1"), 1)
        assert platform.package_ids() == {"f1"}
        await asyncio.sleep(20)
        assert platform.package_ids() == set()
        assert platform.arrivals[-1].status is None


async def test_closing_waits_neither_for_delayed_calls_nor_for_open_connections() -> None:
    loop = asyncio.get_running_loop()
    platform = Simulator(latency=lambda _: (0.0, 0.0), calls=None)
    await platform.start()
    async with calling(platform) as call:
        await call("GET", PACKAGES)
        platform.add_packages(["f1"])
        platform.script(Delay(1000), times=5)
        calls = [asyncio.create_task(call("DELETE", f"{PACKAGES}/f1")) for _ in range(5)]
        await asyncio.sleep(1)
        began = loop.time()
        await platform.close()
        assert loop.time() - began < 0.5
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, aiohttp.ClientError) for outcome in outcomes)
        with pytest.raises(aiohttp.ClientConnectionError):
            await call("GET", PACKAGES)
        assert [arrival.status for arrival in platform.arrivals[-5:]] == [None] * 5
        assert platform.package_ids() == {"f1"}


async def test_closing_does_not_wait_for_half_a_request() -> None:
    async with Simulator() as platform:
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(platform.url).port)
        writer.write(f"POST {LOGIN} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nappId=".encode())
        await asyncio.sleep(1)
        await platform.close()
        with suppress(ConnectionError):
            assert not await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_simulator_has_an_address_only_between_start_and_close() -> None:
    platform = Simulator()
    with pytest.raises(RuntimeError, match="not been started"):
        _ = platform.url
    await platform.close()
    async with platform:
        assert platform.url.startswith("http://127.0.0.1:")
        with pytest.raises(RuntimeError, match="started already"):
            await platform.start()
    with pytest.raises(RuntimeError, match="not been started"):
        _ = platform.url


async def test_a_simulator_keeps_its_state_when_started_again() -> None:
    platform = Simulator()
    platform.add_packages(["f1"])
    for _ in range(2):
        async with platform, calling(platform) as call:
            assert (await call("GET", f"{PACKAGES}/f1")).status == 200


async def test_secrets_and_tokens_are_in_no_repr() -> None:
    async with Simulator() as platform, calling(platform) as call:
        shown = repr(platform.arrivals) + repr(platform._platform.apps)
        for secret in ["demo-secret", call.tokens["accessToken"], call.tokens["refreshToken"]]:
            assert secret not in shown


async def test_virtual_time_stands_still_while_the_threads_of_the_executor_end() -> None:
    class Slow(ThreadPoolExecutor):
        def shutdown(self, *args: Any, **options: Any) -> None:
            time.sleep(0.05)
            super().shutdown(*args, **options)

    loop = asyncio.get_running_loop()
    loop.set_default_executor(Slow())
    await asyncio.to_thread(int)
    other_timer = asyncio.create_task(asyncio.sleep(300))
    now = loop.time()
    await loop.shutdown_default_executor()
    assert loop.time() - now < 1
    other_timer.cancel()
