"""Devices and device groups against a small platform of the tests' own."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from device_platform import DevicePlatform, device_platform
from support import APP, SECRET, session

import aionorth
from aionorth import DeviceGroupSelection, DeviceSelection, Outcome
from aionorth.simulator import Fault, Reset, Simulator

BEHIND = 5


def of(platform: DevicePlatform, **options: Any) -> aionorth.NorthSession:
    return aionorth.NorthSession(platform.url, app_id=APP, token="t", **options)


def fill(platform: DevicePlatform, gateways: int) -> None:
    """Register 15 devices for each gateway; each second gateway is an old one, and so are devices behind both kinds."""
    for number in range(9 * gateways):
        platform.register(f"free-{number}", name="old" if number % 3 else "new")
    for number in range(gateways):
        platform.register(f"gw-{number}", node_type="GATEWAY", name="new" if number % 2 else "old")
        for place in range(BEHIND):
            name = "old" if place < 2 - number % 2 else "new"
            platform.register(f"d-{number}-{place}", gateway=f"gw-{number}", name=name)


@pytest.mark.parametrize("gateways", [12, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("cascade", [False, True])
async def test_each_device_has_one_true_outcome_although_replies_are_lost(gateways: int, *, cascade: bool) -> None:
    async with device_platform(loses=0.05) as platform, of(platform) as north:
        fill(platform, gateways)
        before = dict(platform.devices)
        plan = await north.plan(DeviceSelection(cascade=cascade, name="old"))
        named = {one.id for one in plan.delete}
        along = {one.item.id for one in plan.along}
        summary = await north.purge(plan)

        assert named == {id_ for id_, row in before.items() if row["deviceInfo"]["name"] == "old"}
        assert bool(along) == cascade
        assert before.keys() - platform.devices.keys() == named | along
        assert Counter(result.id for result in summary.results) == Counter(named)
        for result in summary.results:
            assert result.outcome in {Outcome.DELETED, Outcome.GONE}
            if result.outcome is Outcome.DELETED:
                assert platform.deleted[result.id] == 1
            else:
                assert platform.deleted[result.id] or platform.along[result.id]
                assert cascade or result.attempts > 1
        assert set(platform.deleted.values()) == {1}
        assert summary.gone > 0  # so that the test shows something
        assert all(query["cascade"] == str(cascade).lower() for query in platform.queries)


@pytest.mark.parametrize("gateways", [12, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("cascade", [False, True])
async def test_the_simulators_devices_are_deleted_as_planned_although_replies_are_lost(
    gateways: int, *, cascade: bool
) -> None:
    lost: dict[Fault, float] = {Reset(after_effect=True): 0.05}
    async with Simulator(chances=lost, seed=14) as platform, session(platform) as north:
        platform.add_devices(6 * gateways, name="new")
        platform.add_devices(3 * gateways, name="old")
        for number in range(gateways):
            platform.add_devices([f"gw-{number}"], node_type="GATEWAY", name="new" if number % 2 else "old")
            platform.add_devices([f"old-{number}"], gateway_id=f"gw-{number}", name="old")
            platform.add_devices([f"new-{number}-{place}" for place in range(4)], gateway_id=f"gw-{number}", name="new")
        before = platform.device_ids()
        plan = await north.plan(DeviceSelection(cascade=cascade, name="old"))
        named = {one.id for one in plan.delete}
        along = {one.item.id for one in plan.along}
        summary = await north.purge(plan)

        assert len(before) == 15 * gateways
        assert (len(named), len(along)) == (4.5 * gateways, 2 * gateways if cascade else 0)
        assert before - platform.device_ids() == named | along
        assert Counter(result.id for result in summary.results) == Counter(named)
        assert {result.outcome for result in summary.results} == {Outcome.DELETED, Outcome.GONE}
        assert summary.refusals == 0


async def test_the_simulators_groups_are_not_found_inside_a_200() -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_device_groups(["a", "b"])
        listed = [one async for one in north.list_device_groups()]
        assert [one.id for one in listed] == ["a", "b"]
        summary = await north.delete_device_groups(["a", "c"])
        assert (summary.deleted, summary.not_found) == (1, 1)
        assert platform.device_group_ids() == {"b"}


async def test_the_simulators_devices_of_another_app_need_its_authorization() -> None:
    async with Simulator({APP: SECRET, "owner": "s"}) as platform, session(platform) as north:
        platform.add_devices(["d"], app_id="owner")
        with pytest.raises(aionorth.AppNotAuthorizedError):
            await north.delete_device("d", cascade=True, authorized_app_id="owner")
        platform.authorize("owner", APP)
        assert (await north.get_device("d", authorized_app_id="owner")).id == "d"
        assert (await north.delete_device("d", cascade=True, authorized_app_id="owner")).outcome is Outcome.DELETED


async def test_an_id_that_went_with_its_gateway_is_gone() -> None:
    async with device_platform() as platform, of(platform) as north:
        platform.register("gw", node_type="GATEWAY")
        platform.register("d", gateway="gw")
        summary = await north.delete_devices(["gw", "d", "never"], cascade=True, workers=1)
        assert {result.id: result.outcome for result in summary.results} == {
            "gw": Outcome.DELETED,
            "d": Outcome.GONE,
            "never": Outcome.GONE,
        }
        assert platform.along == {"d": 1}


async def test_without_cascade_what_is_not_there_was_not_found_and_what_is_behind_a_gateway_stays() -> None:
    async with device_platform() as platform, of(platform) as north:
        platform.register("gw", node_type="GATEWAY")
        platform.register("d", gateway="gw")
        summary = await north.delete_devices(["gw", "never"], cascade=False, workers=1)
        assert (summary.deleted, summary.not_found) == (1, 1)
        assert platform.devices.keys() == {"d"}
        with pytest.raises(aionorth.DeviceNotFoundError, match="100403"):
            await north.delete_device("gw", cascade=True)
        assert (await north.delete_device("d", cascade=True)).outcome is Outcome.DELETED


async def test_what_is_resumed_still_knows_whether_it_cascades(tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    async with device_platform() as platform:
        platform.register("gw", node_type="GATEWAY")
        platform.register("d", gateway="gw")
        async with of(platform) as north:
            plan = await north.plan(DeviceSelection(cascade=True, ids=["gw", "d"]))
            async with north.purge(plan, journal=journal, workers=1) as run:
                async for _ in run:
                    break
        assert json.loads(journal.read_text().splitlines()[0])["cascade"] is True
        async with of(platform) as north:
            summary = await north.resume(journal)
        assert summary.deleted == summary.total == 2
        assert [query["cascade"] for query in platform.queries] == ["true", "true"]


async def test_a_group_that_is_not_there_is_not_found_although_the_status_is_200() -> None:
    async with device_platform() as platform, of(platform) as north:
        platform.groups["a"] = {"id": "a", "name": "test", "curDevNum": "0"}
        summary = await north.delete_device_groups(["a", "b"])
        assert {result.id: result.outcome for result in summary.results} == {
            "a": Outcome.DELETED,
            "b": Outcome.NOT_FOUND,
        }
        with pytest.raises(aionorth.DeviceGroupNotFoundError, match="100603"):
            await north.get_device_group("a")
        with pytest.raises(aionorth.DeviceGroupNotFoundError, match="100603"):
            await north.delete_device_group("a")


async def test_another_apps_groups_are_named_by_the_parameter_of_their_own() -> None:
    async with device_platform() as platform, of(platform) as north:
        platform.groups["a"] = {"id": "a"}
        await north.delete_device_group("a", authorized_app_id="other")
        assert platform.queries == [{"accessAppId": "other"}]


async def test_empty_groups_are_planned_and_deleted_and_their_devices_stay() -> None:
    async with device_platform(loses=0.2) as platform, of(platform) as north:
        platform.register("d")
        for number in range(700):
            platform.groups[f"g{number}"] = {"id": f"g{number}", "name": "test", "curDevNum": number % 2}
        plan = await north.plan(DeviceGroupSelection(empty=True))
        assert len(plan.delete) == 350
        summary = await north.purge(plan)
        assert summary.ok
        assert summary.deleted + summary.gone == 350
        assert len(platform.groups) == 350
        assert platform.devices


@pytest.mark.parametrize("call", ["delete_device", "delete_devices"])
async def test_cascade_must_be_said(call: str) -> None:
    async with device_platform() as platform, of(platform) as north:
        ids: Any = "a" if call == "delete_device" else ["a"]
        with pytest.raises(TypeError, match="cascade"):
            await getattr(north, call)(ids)
        with pytest.raises(aionorth.ArgumentError, match="True to delete the devices behind a gateway"):
            await getattr(north, call)(ids, cascade=None)
        assert platform.queries == []


async def test_a_group_id_of_more_than_50_characters_is_refused_before_anything_is_sent() -> None:
    async with device_platform() as platform, of(platform) as north:
        with pytest.raises(aionorth.InvalidIdError, match="at most 50"):
            north.delete_device_groups(["a", "b" * 51])
        assert platform.queries == []


async def test_devices_are_listed_the_oldest_first_page_by_page() -> None:
    async with device_platform() as platform, of(platform) as north:
        for number in range(600):
            platform.register(f"d{number}", name=f"n{number}")
        listed = [one async for one in north.list_devices()]
        assert [one.device_id for one in listed] == [f"d{number}" for number in range(600)]
        assert listed[7].name == "n7"
        assert listed[7].node_id == "n-d7"
        assert listed[7].behind is None
