"""Plans that are kept in files, edited, and carried out by ``aionorth apply``."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import APP, Shell

from aionorth import Kind, Plan, Subscription, Target, UpgradePackage
from aionorth.cli import plan_files
from aionorth.cli.output.messages import ProblemError
from aionorth.purge.journal import read
from aionorth.simulator import Simulator

OLD = ("delete", "subscriptions", "--callback-host", "old.example.com")


@pytest.fixture
def there(shell: Shell, platform: Simulator) -> Shell:
    """A shell that points at a platform with three subscriptions of an old host and two of a new one."""
    add(platform, "old-0", "old-1", "old-2")
    add(platform, "new-0", "new-1", host="new.example.com", notify_type="ruleEvent")
    shell.point_at(platform)
    return shell


def add(platform: Simulator, *ids: str, host: str = "old.example.com", notify_type: str = "deviceAdded") -> None:
    platform.add_subscriptions(ids, callback_url=f"https://{host}:443/cb", notify_type=notify_type)


def deletions(platform: Simulator) -> list[str]:
    return [arrival.path for arrival in platform.arrivals if arrival.method == "DELETE"]


@pytest.fixture(params=["plan.json", "plan.csv"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / request.param)


def remade(path: str, **changes: Any) -> None:
    """Change what a plan says of itself, as `write` would have written it."""
    plan_files.write(path, attrs.evolve(plan_files.read(path), **changes))


# --- Keeping


def test_a_plan_is_kept_and_nothing_deleted(there: Shell, platform: Simulator, file: str) -> None:
    run = there(*OLD, "--out", file)
    assert run.code == 0
    assert run.out.startswith(f"3 of 5 subscriptions of demo-app at {platform.url}\n")
    assert run.err == f"aionorth: nothing was deleted; the plan is in {file}; to carry it out: aionorth apply {file}\n"
    assert Path(file).stat().st_mode & 0o777 == 0o600
    assert not deletions(platform)


def test_a_plan_that_was_kept_is_carried_out_and_nothing_else(there: Shell, platform: Simulator, file: str) -> None:
    there(*OLD, "--out", file)
    add(platform, "old-later")
    run = there("apply", file, "--yes", "--json")
    assert (run.code, run.json["deleted"], run.json["total"]) == (0, 3, 3)
    assert platform.subscription_ids() == {"new-0", "new-1", "old-later"}
    assert list(read(run.json["journal"]).entries) == ["old-0", "old-1", "old-2"]
    assert f"the plan {file} was made at" in run.err


def test_what_a_dry_run_prints_is_a_plan_too(there: Shell, platform: Simulator, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(there(*OLD, "--dry-run", "--json").out)
    (tmp_path / "plan.json").chmod(0o600)
    assert there("apply", str(tmp_path / "plan.json"), "--yes").code == 0
    assert platform.subscription_ids() == {"new-0", "new-1"}


def test_a_csv_plan_says_what_each_id_is(there: Shell, file: str) -> None:
    there(*OLD, "--out", file)
    assert "\n  old-0  deviceAdded  https://old.example.com:443/cb\n" in there("apply", file, "--dry-run").out


def test_what_a_spreadsheet_made_unreadable_is_left_out(there: Shell, platform: Simulator, tmp_path: Path) -> None:
    platform.add_packages(["p1"], name="a.zip", model="WM-1", uploaded=datetime(2026, 3, 1, tzinfo=UTC))
    file = tmp_path / "plan.csv"
    there("delete", "packages", "--all", "--out", str(file))
    assert "  p1  a.zip  " in there("apply", str(file), "--dry-run").out
    file.write_text(file.read_text().replace("2026-03-01T00:00:00+00:00", "01.03.2026").replace("a.zip", ""))
    run = there("apply", str(file), "--dry-run", "--json")
    assert (run.code, run.json["delete"][0]["model"]) == (0, "WM-1")
    assert not {"name", "upload_time"} & run.json["delete"][0].keys()


def test_the_members_of_a_group_are_read_from_a_csv_plan(there: Shell, platform: Simulator, tmp_path: Path) -> None:
    platform.add_device_groups(["g1"], name="12", members=platform.add_devices(2))
    file = str(tmp_path / "plan.csv")
    there("delete", "device-groups", "--all", "--out", file)
    assert "  g1  12  2 devices" in there("apply", file, "--dry-run").out


@pytest.mark.parametrize("content", ["{}", "[]", "1", '{"subscriptions": []}'])
def test_json_that_is_no_plan_is_called_so(there: Shell, tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    run = there("apply", str(tmp_path / "plan.json"))
    assert (run.code, run.out) == (2, "")
    assert run.err == f"aionorth: {tmp_path}/plan.json is no plan: 'aionorth delete … --out' writes one\n"


def test_a_plan_of_nothing_is_carried_out(there: Shell, file: str) -> None:
    there("delete", "subscriptions", "--callback-host", "no.example.com", "--out", file)
    assert there("apply", file, "--dry-run", "--detailed-exitcode").code == 0
    run = there("apply", file, "--yes")
    assert (run.code, run.out) == (0, "")
    assert "there is nothing to delete" in run.err


def test_a_plan_of_ids_that_nobody_knew_ends_as_their_deletion_does(there: Shell, file: str) -> None:
    there("delete", "subscriptions", "--ids-file", there.file("x1\nx2\n"), "--out", file)
    assert there("apply", file, "--yes").code == 5
    assert there("apply", file, "--yes", "--missing-ok").code == 0


def test_a_plan_that_was_carried_out_before_is_no_fault(there: Shell, file: str) -> None:
    there(*OLD, "--out", file)
    assert there("apply", file, "--yes").code == there("apply", file, "--yes").code == 0


def test_a_report_and_bounds_go_with_it(there: Shell, platform: Simulator, file: str, tmp_path: Path) -> None:
    there(*OLD, "--out", file)
    refused = there("apply", file, "--yes", "--max-delete", "2")
    assert refused.code == 2
    assert "3 subscriptions are selected, and --max-delete is 2: nothing was deleted" in refused.err
    unasked = there("apply", file)
    assert unasked.code == 2
    assert "there is no terminal to ask on" in unasked.err
    assert there("apply", file, "--dry-run").code == 0
    assert not deletions(platform)
    report = tmp_path / "report.jsonl"
    assert there("apply", file, "--yes", "--report", str(report), "--max-failures", "1").code == 0
    assert len(report.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--callback-host", "old.example.com"], 4),
        (["--callback-host", "no.example.com"], 0),
        (["--ids-file", "-"], 4),
    ],
)
@pytest.mark.parametrize("how", ["--dry-run", "--out"])
def test_the_exit_code_says_whether_there_is_something_to_delete(
    there: Shell, tmp_path: Path, words: list[str], code: int, how: str
) -> None:
    there.stdin(b"x\n")
    shown = [how] if how == "--dry-run" else [how, str(tmp_path / "plan.csv")]
    assert there("delete", "subscriptions", *words, *shown, "--detailed-exitcode").code == code
    there.stdin(b"x\n")
    assert there("delete", "subscriptions", *words, *shown).code == 0


def test_the_exit_code_of_a_deletion_cannot_be_detailed(there: Shell, platform: Simulator) -> None:
    run = there(*OLD, "--yes", "--detailed-exitcode")
    assert run.code == 2
    assert "give --dry-run with it, or, to 'aionorth delete', --out" in run.err
    assert not platform.arrivals


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dry-run"], "--dry-run is of no use with --out"),
        (["--yes"], "--yes is of no use with --out"),
        (["--missing-ok"], "--missing-ok is of no use with --out"),
        (["--max-failures", "3"], "--max-failures is of no use with --out"),
        (["--journal", "j.jsonl", "--report", "r.html"], "--journal and --report are of no use with --out"),
    ],
)
def test_what_has_no_effect_on_a_plan_that_is_kept_is_refused(
    there: Shell, platform: Simulator, file: str, words: list[str], said: str
) -> None:
    run = there(*OLD, "--out", file, *words)
    assert run.code == 2
    assert said in run.err
    assert not Path(file).exists()
    assert not platform.arrivals


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plan.txt", "plan.txt is no name for a plan: let it end in .json or .csv"),
        ("no-such/plan.csv", "plan.csv cannot be written (No such file or directory)"),
        ("", "cannot be written"),
    ],
)
def test_a_plan_that_cannot_be_written_is_refused_first(
    there: Shell, platform: Simulator, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "directory.csv").mkdir()
    run = there(*OLD, "--out", str(tmp_path / (name or "directory.csv")))
    assert run.code == 2
    assert said in run.err
    assert not platform.arrivals


def test_a_plan_never_replaces_what_it_is_made_from(there: Shell, platform: Simulator, tmp_path: Path) -> None:
    ids = tmp_path / "ids.csv"
    ids.write_text("old-0\n")
    run = there("delete", "subscriptions", "--ids-file", str(ids), "--out", str(ids))
    assert run.code == 2
    assert "would replace" in run.err
    assert ids.read_text() == "old-0\n"
    assert not platform.arrivals


# --- Refused


def test_a_stale_plan_is_refused(there: Shell, platform: Simulator, file: str) -> None:
    there(*OLD, "--out", file)
    remade(file, made_at=datetime.now(UTC) - timedelta(hours=25))
    run = there("apply", file, "--yes")
    assert run.code == 2
    assert "longer ago than 1 day: make it anew, or say how old it may be with --max-age" in run.err
    assert not deletions(platform)
    assert there("apply", file, "--yes", "--max-age", "26h").code == 0
    assert platform.subscription_ids() == {"new-0", "new-1"}


@pytest.mark.parametrize(
    ("made_at", "said"),
    [
        (lambda: datetime.now(UTC) + timedelta(hours=1), "which is in the future"),
        (lambda: None, "does not say when it was made"),
    ],
)
def test_a_plan_of_no_time_that_can_be_is_refused(
    there: Shell, platform: Simulator, file: str, made_at: Callable[[], datetime | None], said: str
) -> None:
    there(*OLD, "--out", file)
    remade(file, made_at=made_at())
    run = there("apply", file, "--yes", "--max-age", "9w")
    assert run.code == 2
    assert said in run.err
    assert not deletions(platform)


@pytest.mark.parametrize("age", ["", "24", "1m", "-1h", "0d"])
def test_an_age_that_cannot_be_read_is_refused(there: Shell, file: str, age: str) -> None:
    run = there("apply", file, "--max-age", age)
    assert run.code == 2
    assert "--max-age" in run.err
    assert "as in 12h or 90d" in run.err


@pytest.mark.parametrize("change", [{"app_id": "other-app"}, {"url": "https://other.example.com:8743"}])
def test_a_plan_of_another_app_or_platform_is_refused_and_both_are_named(
    there: Shell, platform: Simulator, file: str, change: dict[str, Any]
) -> None:
    there(*OLD, "--out", file)
    remade(file, target=attrs.evolve(plan_files.read(file).target, **change))
    run = there("apply", file, "--yes")
    assert run.code == 2
    ((name, other),) = change.items()
    assert other in run.err
    assert {"app_id": APP, "url": platform.url}[name] in run.err
    assert not deletions(platform)


def test_a_plan_that_others_can_write_to_is_not_trusted(there: Shell, platform: Simulator, file: str) -> None:
    there(*OLD, "--out", file)
    Path(file).chmod(0o660)
    run = there("apply", file, "--yes")
    assert run.code == 2
    assert f"other users can write to it: chmod go-w {file}" in run.err
    assert not deletions(platform)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("plan.txt", b"", "is no name of a plan"),
        ("plan.json", b"{", "plan.json is no JSON: "),
        ("plan.json", b"[]", "plan.json is no plan"),
        ("plan.json", b'{"kind": "subscriptions", "calls": 0}', "plan.json: plan.url is missing"),
        ("plan.json", b"[" * 100_000, "is no JSON"),
        ("plan.json", b"\xff", "is not UTF-8 text"),
        ("plan.csv", b"", "is no plan: its first line names no column"),
        ("plan.csv", b"a\nb\n", "is no plan: its first line names no column"),
        ("plan.csv", b'"', "is no CSV file"),
    ],
)
def test_what_is_no_plan_is_refused(
    there: Shell, platform: Simulator, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    run = there("apply", str(tmp_path / name), "--yes")
    assert run.code == 2
    assert said in run.err
    assert "no such file" in there("apply", str(tmp_path / "none.json")).err.lower()
    assert not platform.arrivals


# --- Editing


def kept_plan(*ids: str) -> Plan[Any]:
    return Plan(
        target=Target(kind=Kind.SUBSCRIPTIONS, url="https://h:8743", app_id="a"),
        made_at=datetime(2026, 11, 22, 12, 30, tzinfo=UTC),
        delete=tuple(Subscription(subscription_id=id_, callback_url="=1+1") for id_ in ids),
    )


def rows_of(path: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(Path(path).read_text(encoding="utf-8-sig"), newline="")))


def rewrite(path: str, rows: list[list[str]], **dialect: Any) -> None:
    text = io.StringIO()
    csv.writer(text, **dialect).writerows(rows)
    Path(path).write_text(text.getvalue())


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = str(tmp_path / "plan.csv")
    plan_files.write(path, kept_plan("a", "b", "00123", "ä"))
    return path


def test_only_rows_that_are_left_are_deleted(there: Shell, platform: Simulator, tmp_path: Path) -> None:
    path = str(tmp_path / "plan.csv")
    there(*OLD, "--out", path)
    names, *rows = rows_of(path)
    rewrite(path, [names, rows[2], rows[0]])
    run = there("apply", path, "--yes")
    assert run.code == 0
    assert platform.subscription_ids() == {"new-0", "new-1", "old-1"}


@given(st.permutations(["a", "b", "00123", "ä"]), st.integers(1, 4), st.sampled_from([",", ";", "\t"]), st.booleans())
def test_rows_come_back_however_a_spreadsheet_saves_them(
    order: list[str], left: int, separator: str, quoted: bool
) -> None:
    text = io.StringIO()
    plan_files._write_csv(text, kept_plan(*order))
    names, *rows = csv.reader(io.StringIO(text.getvalue().removeprefix("\ufeff"), newline=""))
    saved = io.StringIO()
    quoting: Any = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(saved, delimiter=separator, quoting=quoting).writerows([names, *rows[:left], [""] * len(names)])
    plan = plan_files._read_csv("plan.csv", saved.getvalue())
    assert [one.id for one in plan.delete] == order[:left]
    assert (plan.target, plan.made_at, plan.batch) == (kept_plan().target, kept_plan().made_at, None)


def changed(column: str, value: str) -> Callable[[list[list[str]]], None]:
    def change(rows: list[list[str]]) -> None:
        rows[3][rows[0].index(column)] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        changed("id", "123"),
        changed("url", "https://other:8743"),
        changed("app_id", "b"),
        changed("kind", "packages"),
        changed("made_at", "2026-11-23 12:30:00 UTC"),
        changed("check", "oojookcdgmpemlgp"),
        lambda rows: rows.insert(3, ["mine", *rows[1][1:]]),
        lambda rows: rows.insert(3, ["mine", *[""] * (len(rows[0]) - 1)]),
    ],
)
def test_a_row_that_was_added_or_changed_is_refused(table: str, change: Callable[[list[list[str]]], None]) -> None:
    rows = rows_of(table)
    change(rows)
    rewrite(table, rows)
    with pytest.raises(ProblemError) as problem:
        plan_files.read(table)
    assert "plan.csv, line 4: the row of " in str(problem.value)
    assert "rows can only be taken away" in str(problem.value)


def test_a_table_without_rows_has_nothing_left(table: str) -> None:
    rewrite(table, rows_of(table)[:1])
    with pytest.raises(ProblemError, match="has no rows: nothing is left to delete"):
        plan_files.read(table)


def test_rows_of_two_plans_are_refused(table: str, tmp_path: Path) -> None:
    other = str(tmp_path / "other.csv")
    plan_files.write(other, attrs.evolve(kept_plan("x"), made_at=datetime(2026, 11, 21, tzinfo=UTC)))
    rewrite(table, [*rows_of(table), rows_of(other)[1]])
    with pytest.raises(ProblemError, match="has rows of several plans"):
        plan_files.read(table)


def test_a_row_that_is_there_twice_counts_once(table: str) -> None:
    names, first, *_ = rows_of(table)
    rewrite(table, [names, first, first])
    plan = plan_files.read(table)
    assert (plan.calls, plan.duplicates) == (1, 1)


def test_no_cell_for_people_is_a_formula_or_has_a_password(tmp_path: Path) -> None:
    path = str(tmp_path / "plan.csv")
    one = Subscription(subscription_id="-1", notify_type="=1+1", callback_url="https://u:hush@h/")
    plan_files.write(path, attrs.evolve(kept_plan(), delete=(one,)))
    assert rows_of(path)[1][:3] == ["-1", "'=1+1", "https://h/"]


def test_a_table_has_the_fields_of_its_kind_and_no_batch_call(
    there: Shell, platform: Simulator, tmp_path: Path
) -> None:
    path = str(tmp_path / "plan.csv")
    target = Target(kind=Kind.PACKAGES, url="https://h:8743", app_id="a")
    plan_files.write(path, attrs.evolve(kept_plan(), target=target, delete=(UpgradePackage(file_id="f", model="m"),)))
    assert rows_of(path)[0][:4] == ["id", "name", "version", "file_type"]
    there(*OLD, "--out", path)
    run = there("apply", path, "--batch", "--yes")
    assert run.code == 2
    assert "--batch: no single call takes exactly what is selected" in run.err
    assert not deletions(platform)


def test_a_whole_plan_can_be_carried_out_by_its_batch_call(there: Shell, platform: Simulator, tmp_path: Path) -> None:
    path = str(tmp_path / "plan.json")
    assert there(*OLD, "--batch", "--out", path).out.splitlines()[2] == "  3 to delete: 1 call"
    assert json.loads(Path(path).read_text())["batch"]["notify_type"] == "deviceAdded"
    run = there("apply", path, "--batch", "--yes", "--json")
    assert (run.code, run.json["deleted"], len(deletions(platform))) == (0, 3, 1)
