"""Devices and device groups of the simulator, as its callers see them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone

import pytest
from calling import Caller, calling

from aionorth.simulator import Simulator

DEVICES = "/iocm/app/dm/v1.4.0/devices"
GROUPS = "/iocm/app/devgroup/v1.3.0/devGroups"
MEMBERS = "/iocm/app/dm/v1.2.0/devices/ids"

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def served(*apps: str) -> AsyncIterator[tuple[Simulator, Caller]]:
    """Yield a platform without flow control, and a caller that is logged in as the first of `apps`."""
    names = apps or ("demo-app",)
    async with (
        Simulator(dict.fromkeys(names, "demo-secret"), calls=None) as platform,
        calling(platform, names[0]) as call,
    ):
        yield platform, call


async def listed(call: Caller, query: str) -> list[str]:
    """Return the ids of the first page of devices."""
    answer = await call("GET", f"{DEVICES}?pageNo=0&{query}")
    assert answer.status == 200, answer
    return [row["deviceId"] for row in answer.value["devices"]]


def add_tree(platform: Simulator, app_id: str | None = None) -> None:
    """Add a gateway with a device and another gateway behind it, behind which there is one more; and a device alone."""
    platform.add_devices(["top", "alone"], app_id=app_id)
    platform.add_devices(["near", "middle"], gateway_id="top", app_id=app_id)
    platform.add_devices(["far"], gateway_id="middle", app_id=app_id)


# Devices


async def test_a_device_is_shown_as_documented() -> None:
    async with served() as (platform, call):
        platform.add_devices(
            ["d1"],
            gateway_id="g1",
            name="Meter 1",
            status="OFFLINE",
            device_type="GasMeter",
            model="GM-1",
            manufacturer_name="Maker",
            location="Here",
            registered=datetime(2026, 3, 1, 1, 0, 0, tzinfo=timezone(timedelta(hours=2))),
            last_modified=FIRST,
        )
        shown = {
            "deviceId": "d1",
            "gatewayId": "g1",
            "nodeType": "ENDPOINT",
            "createTime": "20260228T230000Z",
            "lastModifiedTime": "20260101T000000Z",
            "deviceInfo": {
                "nodeId": "node-d1",
                "name": "Meter 1",
                "manufacturerId": "Maker",
                "manufacturerName": "Maker",
                "deviceType": "GasMeter",
                "model": "GM-1",
                "location": "Here",
                "status": "OFFLINE",
                "statusDetail": "NONE",
            },
            "services": None,
        }
        answer = await call("GET", f"{DEVICES}/d1?select=imsi")
        assert (answer.status, answer.value) == (200, shown)
        page = (await call("GET", f"{DEVICES}?pageNo=0")).value
        assert page == {"totalCount": 1, "pageNo": 0, "pageSize": 25, "devices": [shown]}
        assert (await call("GET", f"{DEVICES}/d2")).verdict == (404, "100403")


async def test_a_device_without_a_gateway_is_its_own() -> None:
    async with served() as (platform, call):
        (device_id,) = platform.add_devices(1)
        row = (await call("GET", f"{DEVICES}/{device_id}")).value
        assert row["gatewayId"] == row["deviceId"] == device_id
        assert row["lastModifiedTime"] == row["createTime"]


@pytest.mark.parametrize(
    ("device_id", "query", "left"),
    [
        ("top", "", {"alone"}),
        ("top", "?cascade=true", {"alone"}),
        ("top", "?cascade=", {"alone"}),
        ("middle", "", {"top", "alone", "near"}),
        ("near", "", {"top", "alone", "middle", "far"}),
        ("alone", "", {"top", "near", "middle", "far"}),
        ("top", "?cascade=false", {"alone", "near", "middle", "far"}),
    ],
)
async def test_what_is_behind_a_device_goes_with_it_unless_the_caller_says_otherwise(
    device_id: str, query: str, left: set[str]
) -> None:
    async with served() as (platform, call):
        add_tree(platform)
        answer = await call("DELETE", f"{DEVICES}/{device_id}{query}")
        assert (answer.status, answer.value) == (204, "")
        assert platform.device_ids() == left


async def test_what_cascade_false_leaves_is_directly_connected() -> None:
    async with served() as (platform, call):
        add_tree(platform)
        await call("DELETE", f"{DEVICES}/top?cascade=false")
        rows = (await call("GET", f"{DEVICES}?pageNo=0")).value["devices"]
        gateways = {row["deviceId"]: row["gatewayId"] for row in rows}
        assert gateways == {"near": "near", "middle": "middle", "far": "middle", "alone": "alone"}


async def test_devices_that_are_behind_each_other_are_deleted_together() -> None:
    async with served() as (platform, call):
        platform.add_devices(["d1"], gateway_id="d2")
        platform.add_devices(["d2"], gateway_id="d1")
        assert (await call("DELETE", f"{DEVICES}/d1")).status == 204
        assert not platform.device_ids()


@pytest.mark.parametrize("device_id", ["far", "x" * 257, "a%00b"])
async def test_a_device_that_is_not_there_cannot_be_deleted(device_id: str) -> None:
    async with served() as (platform, call):
        add_tree(platform)
        await call("DELETE", f"{DEVICES}/top")
        assert (await call("DELETE", f"{DEVICES}/{device_id}")).verdict == (404, "100403")


@pytest.mark.parametrize("value", ["no", "False", "0"])
async def test_a_cascade_that_is_neither_true_nor_false_deletes_nothing(value: str) -> None:
    async with served() as (platform, call):
        add_tree(platform)
        assert (await call("DELETE", f"{DEVICES}/top?cascade={value}")).verdict == (400, "100022")
        assert len(platform.device_ids()) == 5


async def test_the_parameter_cascade_means_nothing_to_other_kinds() -> None:
    async with served() as (platform, call):
        platform.add_packages(["f1"])
        assert (await call("DELETE", "/iodm/northbound/v1.5.0/category/f1?cascade=no")).status == 200


@pytest.mark.parametrize("query", ["", "gatewayId=", "status=ONLINE&pageSize=25", "pageNo="])
async def test_a_list_of_devices_needs_a_page_or_a_gateway(query: str) -> None:
    async with served() as (_, call):
        assert (await call("GET", f"{DEVICES}?{query}")).verdict == (400, "100022")


async def test_the_devices_of_a_gateway_are_listed_with_itself_and_from_the_first_page() -> None:
    async with served() as (platform, call):
        add_tree(platform)
        page = (await call("GET", f"{DEVICES}?gatewayId=top&sort=ASC")).value
        assert [row["deviceId"] for row in page["devices"]] == ["top", "near", "middle"]
        assert (page["pageNo"], page["pageSize"]) == (0, 25)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["a", "b", "c"]),
        ("nodeType=GATEWAY", ["a"]),
        ("status=OFFLINE", ["b", "c"]),
        ("deviceType=GasMeter", ["b"]),
        ("location=Here", ["c"]),
        ("name=Meter", ["b", "c"]),
        ("name=meter", []),
        ("status=OFFLINE&name=Meter%202", ["c"]),
        ("startTime=20260102T000000Z", ["b", "c"]),
        ("endTime=20260102T000000Z", ["a", "b"]),
        ("startTime=20260102T000000Z&endTime=20260102T000000Z", ["b"]),
        ("startTime=20260102T000001Z&endTime=20260102T235959Z", []),
        ("status=", ["a", "b", "c"]),
    ],
)
async def test_devices_are_filtered(query: str, found: list[str]) -> None:
    async with served() as (platform, call):
        day = timedelta(days=1)
        platform.add_devices(["a"], node_type="GATEWAY", name="Box", registered=FIRST)
        platform.add_devices(["b"], status="OFFLINE", name="Meter 1", device_type="GasMeter", registered=FIRST + day)
        platform.add_devices(["c"], status="OFFLINE", name="Meter 2", location="Here", registered=FIRST + 2 * day)
        assert await listed(call, f"sort=ASC&{query}") == found


async def test_the_newest_devices_come_first_unless_the_oldest_are_asked_for() -> None:
    async with served() as (platform, call):
        for day, id_ in [(2, "mid"), (3, "new"), (1, "old"), (3, "twin")]:
            platform.add_devices([id_], registered=FIRST + timedelta(days=day))
        assert await listed(call, "sort=ASC") == ["old", "mid", "new", "twin"]
        assert await listed(call, "") == await listed(call, "sort=DESC") == ["twin", "new", "mid", "old"]


async def test_devices_are_listed_page_by_page() -> None:
    async with served() as (platform, call):
        added = platform.add_devices(260)
        pages = [(await call("GET", f"{DEVICES}?sort=ASC&pageSize=250&pageNo={number}")).value for number in range(3)]
        assert [row["deviceId"] for page in pages for row in page["devices"]] == added
        assert [page["totalCount"] for page in pages] == [260] * 3
        assert len(await listed(call, "")) == 25


@pytest.mark.parametrize(
    "query",
    [
        "pageSize=0",
        "pageSize=251",
        "pageNo=-1",
        "status=online",
        "nodeType=UNKNOWN",
        "sort=asc",
        "startTime=2026-01-01",
        "endTime=20260230T000000Z",
        "endTime=20260101T1:0:0Z",
        "name=" + "x" * 257,
    ],
)
async def test_bad_queries_for_devices_are_refused(query: str) -> None:
    async with served() as (_, call):
        assert (await call("GET", f"{DEVICES}?pageNo=0&{query}")).verdict == (400, "100022")


@pytest.mark.parametrize(("owner", "code"), [("theirs", "100217"), ("ours", "100217"), ("nobody", "100203")])
@pytest.mark.parametrize("call_on", [("GET", DEVICES), ("GET", f"{DEVICES}/d1"), ("DELETE", f"{DEVICES}/d1")])
async def test_an_app_that_has_not_authorized_the_caller_has_no_devices_for_it(
    call_on: tuple[str, str], owner: str, code: str
) -> None:
    async with served("ours", "theirs") as (platform, call):
        for app_id in ("ours", "theirs"):
            platform.add_devices(["d1"], app_id=app_id)
        method, path = call_on
        assert (await call(method, f"{path}?pageNo=0&appId={owner}")).verdict == (403, code)
        assert platform.device_ids("ours") == platform.device_ids("theirs") == {"d1"}


async def test_an_authorized_caller_deletes_devices_of_the_owner_only() -> None:
    async with served("ours", "theirs") as (platform, call):
        for app_id in ("ours", "theirs"):
            add_tree(platform, app_id)
        platform.authorize(owner="theirs", caller="ours")
        assert (await call("DELETE", f"{DEVICES}/top?appId=theirs")).status == 204
        assert platform.device_ids("theirs") == {"alone"}
        assert len(platform.device_ids("ours")) == 5


@pytest.mark.parametrize(("method", "path"), [("DELETE", DEVICES), ("POST", DEVICES), ("DELETE", f"{GROUPS}/")])
async def test_a_collection_is_not_deleted_by_one_call(method: str, path: str) -> None:
    async with served() as (platform, call):
        platform.add_devices(3)
        platform.add_device_groups(3)
        assert (await call(method, path)).verdict == (404, None)
        assert len(platform.device_ids()) == len(platform.device_group_ids()) == 3


# Device groups


async def test_a_device_group_is_shown_as_documented() -> None:
    async with served() as (platform, call):
        platform.add_device_groups(
            ["g1"], name="North", description="All", members=platform.add_devices(3), max_members=9, creator="me"
        )
        shown = {
            "name": "North",
            "description": "All",
            "id": "g1",
            "appId": "demo-app",
            "maxDevNum": 9,
            "curDevNum": 3,
            "creator": "me",
        }
        assert (await call("GET", f"{GROUPS}/g1")).value == shown
        page = (await call("GET", GROUPS)).value
        assert page == {"totalCount": 1, "pageNo": 0, "pageSize": 1, "list": [shown]}


async def test_a_device_group_is_deleted_once_and_its_devices_stay() -> None:
    async with served() as (platform, call):
        devices = platform.add_devices(3)
        kept, gone = platform.add_device_groups(2, members=devices)
        answer = await call("DELETE", f"{GROUPS}/{gone}")
        assert (answer.status, answer.value) == (200, "")
        assert platform.device_group_ids() == {kept}
        assert platform.device_ids() == set(devices)
        assert (await call("DELETE", f"{GROUPS}/{gone}")).verdict == (200, "100603")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("group_id", ["g2", "x" * 51, "a%00b"])
async def test_a_group_that_is_not_there_is_an_error_in_a_200(method: str, group_id: str) -> None:
    async with served() as (platform, call):
        platform.add_device_groups(["g1"])
        assert (await call(method, f"{GROUPS}/{group_id}")).verdict == (200, "100603")


async def test_device_groups_are_listed_page_by_page_and_by_name() -> None:
    async with served() as (platform, call):
        platform.add_device_groups(["g1", "g2"], name="North 1")
        platform.add_device_groups(["g3"], name="South 1")

        async def ids(query: str) -> list[str]:
            return [row["id"] for row in (await call("GET", f"{GROUPS}?{query}")).value["list"]]

        assert await ids("") == ["g1"]
        assert await ids("pageNo=1") == ["g2"]
        assert await ids("pageSize=500") == ["g1", "g2", "g3"]
        assert await ids("pageSize=500&name=North") == ["g1", "g2"]
        assert await ids("pageNo=9") == []


@pytest.mark.parametrize("path", [f"{GROUPS}?pageSize=501", f"{GROUPS}?pageSize=0", f"{GROUPS}?pageNo=x", MEMBERS])
async def test_bad_queries_for_groups_are_errors_in_a_200(path: str) -> None:
    async with served() as (_, call):
        assert (await call("GET", path)).verdict == (200, "100022")


@pytest.mark.parametrize(("owner", "code"), [("theirs", "100217"), ("ours", "100217"), ("nobody", "100203")])
@pytest.mark.parametrize(
    "call_on",
    [
        ("GET", f"{GROUPS}?"),
        ("GET", f"{GROUPS}/g1?"),
        ("DELETE", f"{GROUPS}/g1?"),
        ("GET", f"{MEMBERS}?devGroupId=g1&"),
    ],
)
async def test_an_app_that_has_not_authorized_the_caller_is_an_error_in_a_200(
    call_on: tuple[str, str], owner: str, code: str
) -> None:
    async with served("ours", "theirs") as (platform, call):
        for app_id in ("ours", "theirs"):
            platform.add_device_groups(["g1"], app_id=app_id)
        method, path = call_on
        assert (await call(method, f"{path}accessAppId={owner}")).verdict == (200, code)
        assert platform.device_group_ids("ours") == platform.device_group_ids("theirs") == {"g1"}


async def test_the_owner_of_a_group_is_named_by_access_app_id_alone() -> None:
    async with served("ours", "theirs") as (platform, call):
        for app_id in ("ours", "theirs"):
            platform.add_device_groups(["g1", "g2"], app_id=app_id)
        platform.authorize(owner="theirs", caller="ours")
        await call("DELETE", f"{GROUPS}/g1?accessAppId=theirs")
        await call("DELETE", f"{GROUPS}/g2?appId=theirs")
        assert (platform.device_group_ids("ours"), platform.device_group_ids("theirs")) == ({"g1"}, {"g2"})


async def test_other_refusals_of_groups_have_a_status_of_their_own() -> None:
    async with Simulator(calls=3) as platform, calling(platform) as call:
        platform.add_device_groups(["g1"])
        wrong = {**call.headers, "Authorization": "Bearer wrong"}
        assert (await call("DELETE", f"{GROUPS}/g1", headers=wrong)).verdict == (403, "1010005")
        assert (await call("DELETE", f"{GROUPS}/g1", headers={})).verdict == (401, "100025")
        assert (await call("GET", GROUPS)).status == 200
        assert (await call("DELETE", f"{GROUPS}/g1")).verdict == (403, "1010009")
        assert platform.device_group_ids() == {"g1"}


async def test_deleted_devices_leave_their_groups() -> None:
    async with served() as (platform, call):
        add_tree(platform)
        platform.add_device_groups(["g1"], members=["alone", "top", "far", "far", "unheard-of"])
        platform.add_device_groups(["g2"], members=["far"])

        async def counted() -> list[int]:
            return [(await call("GET", f"{GROUPS}/{id_}")).value["curDevNum"] for id_ in ("g1", "g2")]

        assert await counted() == [3, 1]
        await call("DELETE", f"{DEVICES}/top")
        assert await counted() == [1, 0]
        page = (await call("GET", f"{MEMBERS}?devGroupId=g1")).value
        assert page == {"totalCount": 1, "pageNo": 0, "pageSize": 10, "deviceIds": ["alone"]}


async def test_the_members_of_a_group_are_listed_page_by_page() -> None:
    async with served() as (platform, call):
        members = platform.add_devices(1200)
        platform.add_devices(5)
        platform.add_device_groups(["g1"], members=members)
        pages = [
            (await call("GET", f"{MEMBERS}?devGroupId=g1&pageSize=1000&pageNo={number}")).value for number in range(2)
        ]
        assert [id_ for page in pages for id_ in page["deviceIds"]] == members
        assert (await call("GET", f"{MEMBERS}?devGroupId=g1&pageSize=1001")).verdict == (200, "100022")
        assert (await call("GET", f"{MEMBERS}?devGroupId=g2")).verdict == (200, "100603")


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        (f"{DEVICES}/x", "100403", 404),
        (f"{DEVICES}/x", "100418", 404),
        (f"{DEVICES}/x", "100203", 403),
        (f"{DEVICES}/x", "100217", 403),
        (f"{DEVICES}/x", "50252", 500),
        (f"{GROUPS}/x", "100603", 200),
        (f"{GROUPS}/x", "100203", 200),
        (f"{GROUPS}/x", "100217", 200),
        (f"{GROUPS}/x", "50252", 500),
    ],
)
async def test_a_rejection_has_the_status_that_it_has_for_the_kind(path: str, code: str, status: int) -> None:
    async with served() as (platform, call):
        platform.add_devices(["x"])
        platform.add_device_groups(["x"])
        platform.reject(["x"], code=code)
        assert (await call("DELETE", path)).verdict == (status, code)
        assert platform.device_ids() == platform.device_group_ids() == {"x"}


def test_a_group_has_an_id_of_at_most_50_characters() -> None:
    platform = Simulator()
    with pytest.raises(ValueError, match="not an id"):
        platform.add_device_groups(["x" * 51])
    assert platform.add_device_groups(["x" * 50]) == ["x" * 50]
    assert platform.add_devices(["x" * 256]) == ["x" * 256]
