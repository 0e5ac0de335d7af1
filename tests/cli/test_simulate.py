"""What `aionorth simulate` has to delete."""

from collections import Counter
from datetime import UTC, datetime

from aionorth.cli.commands.simulate import add_device_groups, add_devices
from aionorth.simulator import Simulator

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_the_simulated_platform_has_gateways_with_devices_behind_them() -> None:
    platform = Simulator()
    assert len(set(add_devices(platform, 100, NOW))) == 100
    held = platform._platform.app(None).records["devices"]
    behind = Counter(one["gatewayId"] for one in held.values() if one["gatewayId"] != one["deviceId"])
    gateways = {id_ for id_, one in held.items() if one["nodeType"] == "GATEWAY"}
    assert behind == dict.fromkeys(gateways, 3)
    assert len(gateways) == 10
    assert {one["deviceType"] for id_, one in held.items() if id_ not in gateways} == {"WaterMeter", "GasMeter"}
    assert {one["status"] for one in held.values()} == {"ONLINE", "OFFLINE", "INACTIVE", "ABNORMAL"}
    assert all(one["createTime"] <= one["lastModifiedTime"] < "20261122" for one in held.values())
    assert min(one["createTime"] for one in held.values()) < "20250101"


def test_the_simulated_platform_has_empty_device_groups_and_others() -> None:
    platform = Simulator()
    devices = add_devices(platform, 100, NOW)
    assert len(set(add_device_groups(platform, 9, devices))) == 9
    held = [set(one["members"]) for one in platform._platform.app(None).records["device groups"].values()]
    assert [len(members) == 0 for members in held] == [True, False, False] * 3
    assert sum(map(len, held)) == len(set.union(*held)) > 60


def test_a_simulated_platform_may_have_neither() -> None:
    platform = Simulator()
    assert add_devices(platform, 0, NOW) == add_device_groups(platform, 0, []) == []
    assert len(add_device_groups(platform, 3, [])) == 3
