"""Devices and device groups at the shell: cascade is said, what goes along is counted, also in a plan that was kept."""

import csv
import json
from pathlib import Path

import pytest
from shell import Shell

from aionorth.simulator import Simulator

DELETE = ("delete", "devices")


@pytest.fixture
def there(shell: Shell, platform: Simulator) -> Shell:
    """A platform with a gateway and three devices behind it, one of them an old one, and an old one of its own."""
    platform.add_devices(["gw"], node_type="GATEWAY", name="gate")
    platform.add_devices(["new-1", "new-2"], gateway_id="gw", name="new")
    platform.add_devices(["old-1"], gateway_id="gw", name="old")
    platform.add_devices(["old-2"], name="old")
    platform.add_device_groups(["empty"], name="test")
    platform.add_device_groups(["full"], name="test", members=["new-1"])
    shell.point_at(platform)
    return shell


def deletions(platform: Simulator) -> list[str]:
    return [arrival.path for arrival in platform.arrivals if arrival.method == "DELETE"]


def test_without_a_word_about_cascade_nothing_is_sent(there: Shell, platform: Simulator) -> None:
    run = there(*DELETE, "--all", "--yes")
    assert run.code == 2
    assert "give --cascade, or --no-cascade to keep them" in run.err
    assert not platform.arrivals


@pytest.mark.parametrize("words", [("--cascade", "--no-cascade"), ("--no-cascade", "--cascade")])
def test_a_contradiction_about_cascade_is_refused(there: Shell, platform: Simulator, words: tuple[str, ...]) -> None:
    run = there(*DELETE, *words, "--all", "--yes")
    assert run.code == 2
    assert "--cascade is given twice: give it once" in run.err
    assert not platform.arrivals


def test_what_goes_along_is_counted_and_named(there: Shell, platform: Simulator) -> None:
    run = there(*DELETE, "--cascade", "--node-type", "GATEWAY", "--dry-run")
    assert "4 of 5 devices" in run.out
    assert "3 to go along with gw (3)" in run.out
    plan = there(*DELETE, "--cascade", "--node-type", "GATEWAY", "--dry-run", "--json").json
    assert [(one["device_id"], one["goes_with"]) for one in plan["along"]] == [
        ("new-1", "gw"),
        ("new-2", "gw"),
        ("old-1", "gw"),
    ]
    assert not deletions(platform)


def test_the_bound_of_a_deletion_counts_what_goes_along(there: Shell, platform: Simulator) -> None:
    run = there(*DELETE, "--cascade", "--node-type", "GATEWAY", "--yes", "--max-delete", "3")
    assert run.code == 2
    assert "4 devices are selected, and --max-delete is 3" in run.err
    assert not deletions(platform)


def test_a_gateway_takes_along_what_is_behind_it_or_not(there: Shell, platform: Simulator) -> None:
    assert there(*DELETE, "--no-cascade", "--node-type", "GATEWAY", "--yes").code == 0
    assert platform.device_ids() == {"new-1", "new-2", "old-1", "old-2"}
    platform.add_devices(["gw"], node_type="GATEWAY")
    platform.add_devices(["d"], gateway_id="gw")
    run = there(*DELETE, "--cascade", "--node-type", "GATEWAY", "--yes")
    assert run.code == 0
    assert "1 more went along with a gateway, as planned" in run.err
    assert platform.device_ids() == {"new-1", "new-2", "old-1", "old-2"}


def test_an_excluded_device_keeps_its_gateway(there: Shell, platform: Simulator) -> None:
    run = there(*DELETE, "--cascade", "--node-type", "GATEWAY", "--exclude", "new-2", "--yes")
    assert run.code == 0
    assert "1 to stay: an excluded device is behind it" in run.err
    assert not deletions(platform)


def test_ids_with_cascade_are_looked_up_and_a_script_says_yes(there: Shell, platform: Simulator) -> None:
    there.stdin(b"gw\nnever\n")
    run = there(*DELETE, "--cascade", "--ids-file", "-")
    assert run.code == 2
    assert "4 devices are selected, and there is no terminal to ask on" in run.err
    there.stdin(b"gw\nnever\n")
    run = there(*DELETE, "--cascade", "--ids-file", "-", "--dry-run")
    assert "1 named, but not among what the platform listed" in run.out
    assert not deletions(platform)


@pytest.mark.parametrize("name", ["plan.json", "plan.csv"])
def test_what_goes_along_is_counted_anew_when_a_plan_is_applied(
    there: Shell, platform: Simulator, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    there(*DELETE, "--cascade", "--ids-file", str(ids(tmp_path, "gw", "old-1")), "--out", str(path))
    platform.add_devices(["later"], gateway_id="gw")
    run = there("apply", str(path), "--dry-run")
    assert "3 to go along with gw (3)" in run.out
    assert there("apply", str(path), "--yes", "--max-delete", "4").code == 2
    assert not deletions(platform)
    assert there("apply", str(path), "--yes").code == 0
    assert platform.device_ids() == {"old-2"}


def test_a_row_that_was_taken_out_of_a_plan_is_counted_where_its_gateway_takes_it_along(
    there: Shell, tmp_path: Path
) -> None:
    path = tmp_path / "plan.csv"
    there(*DELETE, "--cascade", "--ids-file", str(ids(tmp_path, "gw", "old-1")), "--out", str(path))
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row[0] != "old-1"]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    assert "3 to go along with gw (3)" in there("apply", str(path), "--dry-run").out


def test_what_a_plan_excluded_stays_excluded_when_it_is_applied(
    there: Shell, platform: Simulator, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    there(*DELETE, "--cascade", "--name", "*", "--exclude", "old-2", "--out", str(path))
    platform.add_devices(["between"], gateway_id="gw", node_type="GATEWAY")
    plan = json.loads(path.read_text())
    assert sorted(one["device_id"] for one in plan["delete"]) == ["gw", "new-1", "new-2", "old-1"]
    run = there("apply", str(path), "--yes")
    assert run.code == 0
    assert platform.device_ids() == {"old-2"}


def test_devices_and_groups_are_listed(there: Shell) -> None:
    assert there("list", "devices", "--gateway-id", "gw", "--ids").out.split() == ["new-1", "new-2", "old-1"]
    assert there("list", "devices", "--name", "old", "--ids").out.split() == ["old-1", "old-2"]
    assert there("list", "device-groups", "--empty", "--ids").out.split() == ["empty"]
    assert [json.loads(line)["members"] for line in there("list", "device-groups", "--json").out.splitlines()] == [0, 1]


def test_empty_groups_are_deleted(there: Shell, platform: Simulator) -> None:
    assert there("delete", "device-groups", "--empty", "--yes").code == 0
    assert platform.device_group_ids() == {"full"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--status", "inactive"], "--status 'inactive': give ONLINE, OFFLINE, INACTIVE or ABNORMAL"),
        (["--node-type", "UNKNOWN"], "--node-type 'UNKNOWN': give ENDPOINT, GATEWAY or UNKNOW"),
        (["--registered-before", "yesterday"], "--registered-before 'yesterday': give a date, as in 2026-03-01"),
        (
            ["--registered-before", "2026-01-01", "--registered-after", "2026-03-01"],
            "--registered-after 2026-03-01T00:00:00+00:00 is not earlier than --registered-before 2026-01-01T",
        ),
        (["--registered-before", "2026-01-01", "--registered-after", "2026-01-01"], "is not earlier than"),
        (["--not-seen-since", "90"], "--not-seen-since '90': give a date, as in 2026-03-01"),
    ],
)
def test_a_condition_that_cannot_be_read_names_the_option(there: Shell, words: list[str], said: str) -> None:
    run = there(*DELETE, "--no-cascade", *words, "--yes")
    assert run.code == 2
    assert said in run.err


def ids(directory: Path, *named: str) -> Path:
    path = directory / "ids.txt"
    path.write_text("".join(f"{id_}\n" for id_ in named))
    return path
