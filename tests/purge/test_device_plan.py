"""Plans of devices and device groups: what goes, what goes along with a gateway, and what stays."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionorth import ArgumentError, Device, DeviceGroup, DeviceGroupSelection, DeviceSelection, Kind, Plan, Target
from aionorth.purge.listing import Reading
from aionorth.purge.plan import planned

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def device(id_: str, behind: str | None = None, **fields: Any) -> Device:
    return Device(device_id=id_, gateway_id=behind, **fields)


def devices(selection: DeviceSelection, *listed: Device) -> Plan[Device]:
    target = Target(kind=Kind.DEVICES, url="https://h:8743", app_id="a", cascade=selection.cascade)
    return planned(selection, target, listed, NOW, Reading())


def groups(selection: DeviceGroupSelection, *listed: DeviceGroup) -> Plan[DeviceGroup]:
    return planned(selection, Target(kind=Kind.DEVICE_GROUPS, url="https://h", app_id="a"), listed, NOW, Reading())


def gone(plan: Plan[Any]) -> list[str]:
    return [one.id for one in plan.delete]


def along(plan: Plan[Device]) -> dict[str, list[str]]:
    gateways = dict.fromkeys(one.goes_with for one in plan.along)
    return {gateway: [one.item.id for one in plan.along if one.goes_with == gateway] for gateway in gateways}


def kept(plan: Plan[Any]) -> dict[str, str]:
    return {one.item.id: one.reason for one in plan.keep}


GATEWAYS = (
    device("gw", "gw", name="test-1"),
    device("d1", "gw"),
    device("d2", "gw", name="test-2"),
    device("inner", "gw"),
    device("deep", "inner"),
    device("free"),
)


def test_what_is_behind_a_gateway_goes_along_at_any_depth_and_is_counted() -> None:
    plan = devices(DeviceSelection(cascade=True, name="test-1"), *GATEWAYS)
    assert gone(plan) == ["gw"]
    assert along(plan) == {"gw": ["d1", "d2", "inner", "deep"]}
    assert plan.number == 5
    assert kept(plan) == {"free": "another name"}
    assert "5 of 6 devices" in str(plan)
    assert "selected: name test-1, and what is behind a gateway with it" in str(plan)
    assert "4 to go along with gw (4)" in str(plan)
    assert {"goes_with": "gw", "device_id": "deep", "gateway_id": "inner"} in json.loads(json.dumps(plan.to_dict()))[
        "along"
    ]


def test_without_cascade_nothing_goes_along() -> None:
    plan = devices(DeviceSelection(cascade=False, name="test-1"), *GATEWAYS)
    assert gone(plan) == ["gw"]
    assert along(plan) == {}
    assert plan.number == 1


def test_devices_are_deleted_before_their_gateways() -> None:
    plan = devices(DeviceSelection(cascade=True, everything=True), *GATEWAYS)
    order = gone(plan)
    assert sorted(order) == sorted(one.id for one in GATEWAYS)
    assert order.index("deep") < order.index("inner") < order.index("gw")
    assert order.index("d2") < order.index("gw")


def test_a_gateway_that_would_take_an_excluded_device_along_is_kept() -> None:
    plan = devices(DeviceSelection(cascade=True, everything=True, exclude=["deep"]), *GATEWAYS)
    assert kept(plan) == {
        "deep": "excluded",
        "inner": "an excluded device is behind it",
        "gw": "an excluded device is behind it",
    }
    assert sorted(gone(plan)) == ["d1", "d2", "free"]
    assert along(plan) == {}


def test_without_cascade_an_excluded_device_does_not_keep_its_gateway() -> None:
    assert "gw" in gone(devices(DeviceSelection(cascade=False, everything=True, exclude=["deep"]), *GATEWAYS))


def test_a_circle_of_gateways_ends() -> None:
    plan = devices(DeviceSelection(cascade=True, ids=["a"]), device("a", "b"), device("b", "a"))
    assert gone(plan) == ["a"]
    assert along(plan) == {"a": ["b"]}


@given(
    st.lists(st.sampled_from([None, *"abcdefgh"]), min_size=8, max_size=8),
    st.sets(st.sampled_from("abcdefgh")),
    st.sets(st.sampled_from("abcdefgh")),
    st.booleans(),
)
def test_nothing_goes_that_the_plan_does_not_name_and_nothing_excluded_goes(
    gateways: list[str | None], ids: set[str], exclude: set[str], cascade: bool
) -> None:
    listed = [device(id_, gateway) for id_, gateway in zip("abcdefgh", gateways, strict=True)]
    plan = devices(DeviceSelection(cascade=cascade, ids=sorted(ids), exclude=sorted(exclude)), *listed)
    going = set(gone(plan))
    while cascade and (more := {one.id for one in listed if one.behind in going} - going):
        going |= more
    assert going == set(gone(plan)) | {one.item.id for one in plan.along}
    assert len(going) == plan.number
    assert not going & exclude
    assert going | kept(plan).keys() == set("abcdefgh")


def test_ids_alone_are_planned_without_a_list_only_where_nothing_goes_along() -> None:
    assert DeviceSelection(cascade=False, ids=["a"]).only_ids
    assert not DeviceSelection(cascade=True, ids=["a"]).only_ids


ONE = device(
    "d",
    "g",
    name="meter 7",
    status="OFFLINE",
    device_type="WaterMeter",
    model="WM-1",
    manufacturer_name="Acme",
    node_type="ENDPOINT",
    created=NOW - timedelta(days=10),
    last_modified=NOW - timedelta(days=5),
)


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({"status": "ONLINE"}, "another status"),
        ({"device_type": "GasMeter"}, "another device type"),
        ({"model": "WM-2"}, "another model"),
        ({"manufacturer_name": "Other"}, "another manufacturer name"),
        ({"node_type": "GATEWAY"}, "another node type"),
        ({"name": "gas*"}, "another name"),
        ({"gateway_id": "h"}, "not behind that gateway"),
        ({"registered_before": NOW - timedelta(days=10)}, "registered later"),
        ({"registered_after": NOW - timedelta(days=9)}, "registered earlier"),
        ({"not_seen_since": NOW - timedelta(days=5)}, "seen since"),
    ],
)
def test_each_condition_keeps_what_does_not_meet_it(conditions: dict[str, Any], reason: str) -> None:
    assert kept(devices(DeviceSelection(cascade=False, **conditions), ONE)) == {"d": reason}


@pytest.mark.parametrize(
    "conditions",
    [
        {"status": "OFFLINE", "device_type": "WaterMeter", "model": "WM-1", "manufacturer_name": "Acme"},
        {"node_type": "ENDPOINT", "name": "meter*", "gateway_id": "g"},
        {"registered_before": NOW - timedelta(days=9), "registered_after": NOW - timedelta(days=10)},
        {"not_seen_since": NOW - timedelta(days=4)},
    ],
)
def test_what_meets_all_conditions_goes(conditions: dict[str, Any]) -> None:
    assert gone(devices(DeviceSelection(cascade=False, **conditions), ONE)) == ["d"]


@pytest.mark.parametrize("condition", ["registered_before", "registered_after", "not_seen_since"])
def test_what_has_no_time_is_kept(condition: str) -> None:
    conditions: dict[str, Any] = {condition: NOW}
    [reason] = kept(devices(DeviceSelection(cascade=False, **conditions), device("d"))).values()
    assert "cannot be read" in reason


def test_a_gateway_is_not_behind_itself() -> None:
    assert kept(devices(DeviceSelection(cascade=False, gateway_id="gw"), *GATEWAYS[:1])) == {
        "gw": "not behind that gateway"
    }


def test_the_platform_filters_by_whole_seconds_that_let_through_all_that_may_go() -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    before = DeviceSelection(cascade=False, registered_before=moment).filters()
    assert before["registered_before"] == "20260301T120001Z"
    after = DeviceSelection(cascade=False, registered_after=moment).filters()
    assert after["registered_after"] == "20260301T120000Z"
    assert DeviceSelection(cascade=True, status="OFFLINE").filters() == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "cascade"),
        ({"cascade": None}, "True to delete"),
        ({"cascade": "yes"}, "True to delete"),
        ({"cascade": False}, "everything=True"),
        ({"cascade": True, "status": "offline"}, "give ONLINE, OFFLINE, INACTIVE or ABNORMAL"),
        ({"cascade": True, "node_type": "UNKNOWN"}, "UNKNOW"),
        ({"cascade": True, "registered_before": datetime(2026, 3, 1)}, "time zone"),  # noqa: DTZ001 - as a user would
        ({"cascade": True, "not_seen_since": "2026-03-01"}, "time zone"),
    ],
)
def test_a_selection_of_devices_that_cannot_be_meant_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises((ArgumentError, TypeError), match=said):
        DeviceSelection(**arguments)


def test_only_groups_that_are_known_to_be_empty_are_empty() -> None:
    listed = [DeviceGroup(dev_group_id=id_, members=members) for id_, members in (("a", 0), ("b", 1), ("c", None))]
    plan = groups(DeviceGroupSelection(empty=True), *listed)
    assert str(plan).splitlines()[:2] == ["1 of 3 device groups of a at https://h", "  selected: empty"]
    assert gone(plan) == ["a"]
    assert kept(plan) == {"b": "devices are in it", "c": "how many devices are in it is not said"}


def test_groups_are_selected_by_name() -> None:
    listed = [
        DeviceGroup(dev_group_id="a", name="test-1"),
        DeviceGroup(dev_group_id="b", name="x"),
        DeviceGroup(dev_group_id="c"),
    ]
    assert gone(groups(DeviceGroupSelection(name="test-*"), *listed)) == ["a"]
