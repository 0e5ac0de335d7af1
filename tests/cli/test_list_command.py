"""``aionorth list``: what it selects, and how it is written for people and for programs."""

import csv
import io
import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from shell import Shell

from aionorth.cli.kinds import KINDS
from aionorth.cli.output.table import as_csv, as_tabbed, cells, fields_of, fitted
from aionorth.items import Kind, Subscription, UpgradePackage
from aionorth.simulator import CannedReply, Simulator
from aionorth.wire.resources import RESOURCES

OLD, NEW = "https://someone:hush@old.example.com:443/cb", "https://new.example.com:443/cb"


@pytest.fixture
def there(shell: Shell, platform: Simulator) -> Shell:
    platform.add_subscriptions(["a", "b"], callback_url=OLD, notify_type="deviceAdded")
    platform.add_subscriptions(["c"], callback_url=NEW, notify_type="ruleEvent")
    shell.point_at(platform)
    return shell


LIST = ("list", "subscriptions")


def test_without_a_condition_everything_is_listed_a_line_each(there: Shell, platform: Simulator) -> None:
    run = there(*LIST)
    assert (run.code, run.err) == (0, "")
    assert [line.split("\t") for line in run.out.splitlines()] == [
        ["a", "deviceAdded", "https://old.example.com:443/cb"],
        ["b", "deviceAdded", "https://old.example.com:443/cb"],
        ["c", "ruleEvent", NEW],
    ]
    assert not [arrival for arrival in platform.arrivals if arrival.method == "DELETE"]


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        (["--callback-host", "old.*"], ["a", "b"]),
        (["--callback-host", "old.*", "--exclude", "a"], ["b"]),
        (["--exclude", "a"], ["b", "c"]),
        (["--ids-file", "-"], ["c"]),
    ],
)
def test_the_conditions_of_a_deletion_select(there: Shell, conditions: list[str], ids: list[str]) -> None:
    there.stdin(b"x\nc\n")
    assert there(*LIST, "--ids", *conditions).out.splitlines() == ids


def test_ids_that_are_not_listed_are_counted(there: Shell) -> None:
    run = there(*LIST, "--ids-file", there.file("x\nc\nx\ny\n"), "--ids")
    assert (run.code, run.out) == (0, "c\n")
    assert run.err == "aionorth: of the ids given, 2 are not there\n"


def test_the_ids_are_fit_for_a_deletion(there: Shell, platform: Simulator) -> None:
    ids = there.file(there(*LIST, "--callback-host", "old.*", "--ids").out)
    assert there("delete", "subscriptions", "--ids-file", ids, "--yes").code == 0
    assert platform.subscription_ids() == {"c"}


def test_json_is_an_object_a_line_with_all_that_is_known(there: Shell) -> None:
    assert json.loads(there(*LIST, "--json").out.partition("\n")[0]) == {
        "subscription_id": "a",
        "notify_type": "deviceAdded",
        "callback_url": OLD,
    }


def test_csv_names_its_columns_and_shows_no_password(there: Shell) -> None:
    first, *_ = csv.DictReader(io.StringIO(there(*LIST, "--csv").out))
    assert first == {
        "subscription_id": "a",
        "notify_type": "deviceAdded",
        "callback_url": "https://old.example.com:443/cb",
    }


@pytest.mark.parametrize("form", [["--json", "--csv"], ["--csv", "--ids"]])
def test_one_form_at_a_time(there: Shell, platform: Simulator, form: list[str]) -> None:
    run = there(*LIST, *form)
    assert run.code == 2
    assert "contradict each other" in run.err
    assert not platform.arrivals


def test_nothing_found_is_said_and_no_failure(there: Shell) -> None:
    run = there(*LIST, "--callback-host", "no.example.com")
    assert (run.code, run.out) == (0, "")
    assert "0 subscriptions of demo-app at" in run.err
    assert run.err.endswith(": callback host no.example.com\n")


def test_each_kind_can_be_listed(there: Shell, platform: Simulator) -> None:
    platform.add_packages(3, uploaded=datetime(2020, 1, 1, tzinfo=UTC), model="m")
    for kind in Kind:
        assert there("list", kind.value, "--ids").code == 0
        assert set(KINDS[kind].columns) <= set(fields_of(RESOURCES[kind].bare("id").__class__))
    assert len(there("list", "packages", "--keep-latest", "1", "--ids").out.splitlines()) == 0
    assert len(there("list", "packages", "--model", "m", "--older-than", "90d", "--ids").out.splitlines()) == 3


def test_what_the_platform_refuses_is_exit_code_1(there: Shell, platform: Simulator) -> None:
    platform.script(CannedReply(400, b'{"error_code": "100224"}'), method="GET", times=99)
    run = there(*LIST, "--notify-type", "ruleEvent")
    assert (run.code, run.out) == (1, "")
    assert "more than 1,000 subscriptions" in run.err


def test_a_terminal_gets_a_table_that_fits(there: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    run = there(*LIST)
    assert run.out.splitlines() == [
        "SUBSCRIPTION ID  NOTIFY TYPE",
        "a                deviceAdded",
        "b                deviceAdded",
        "c                ruleEvent",
    ]
    assert run.err.startswith("aionorth: 3 subscriptions of demo-app at http")
    monkeypatch.setenv("COLUMNS", "50")
    assert there(*LIST).out.splitlines()[1] == "a                deviceAdded  https://old.example…"
    assert there(*LIST, "--csv").out.startswith("subscription_id,notify_type,")


TEXT = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), max_size=40)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), min_size=1, max_size=4), st.integers(1, 120))
def test_no_line_is_wider_than_the_terminal_and_every_id_is_whole(rows: list[tuple[str, ...]], width: int) -> None:
    lines = fitted(rows, width)
    widest = max(cell_len(row[0]) for row in rows)
    for row, line in zip(rows, lines, strict=True):
        assert line.startswith(row[0])
        assert cell_len(line) <= max(width, widest)


def test_where_there_is_room_nothing_is_cut() -> None:
    assert fitted([["id", "name"], ["a", "水" * 9], ["bb", ""]], 22) == ["id  name", f"a   {'水' * 9}", "bb"]
    assert fitted([["a", "水" * 9]], 20) == ["a  水水水水水水水水…"]


def test_words_of_others_make_no_line_and_no_formula() -> None:
    one = UpgradePackage(file_id="-f", name="=1+1\n\tx", upload_time=datetime(2026, 3, 1, 12, tzinfo=UTC))
    names = ("file_id", "name", "version", "upload_time")
    assert as_tabbed(names)(one) == "-f\t=1+1\\n\\tx\t\t2026-03-01T12:00:00+00:00"
    assert as_csv(names)(one) == "-f,'=1+1\\n\\tx,,2026-03-01T12:00:00+00:00"
    assert cells(one, names, brief=True)[-1] == "2026-03-01 12:00Z"


def test_an_edition_that_lacks_fields_leaves_their_places_empty() -> None:
    one: Any = Subscription(subscription_id="a")
    assert as_tabbed(fields_of(Subscription))(one) == "a\t\t"
