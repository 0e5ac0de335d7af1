"""The commands that need journals only: report, journals, and resume where it lists."""

import csv
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from shell import APP, Shell

from aionorth.bulk.record import Record
from aionorth.cli.runs.journals import completed, completed_all, find_journal
from aionorth.errors import ArgumentError, NorthApiError, NorthError
from aionorth.events import Held, Released
from aionorth.items import Kind, Target
from aionorth.models import Outcome
from aionorth.purge.journal import Journal
from aionorth.simulator import CannedReply, Simulator

DAY = 86_400.0
URL = "http://127.0.0.1:1"
MANY = [f"id-{number}" for number in range(3000)]


class Clock:
    """Its state: the time."""

    def __init__(self, days_ago: float) -> None:
        self.now = round(time.time() - days_ago * DAY, 3)

    def __call__(self) -> float:
        return self.now


def directory() -> Path:
    own = Path(os.environ["XDG_STATE_HOME"], "aionorth", "journals")
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    return own


def begun(
    path: Path,
    *,
    gone: int = 2,
    failed: int = 0,
    skipped: int = 0,
    days_ago: float = 0.0,
    ids: list[str] | None = None,
    kind: Kind = Kind.PACKAGES,
) -> tuple[Journal, Clock]:
    """Make a journal of a run that is at work still, and has taken ten seconds so far."""
    ids = ids or [f"id-{number}" for number in range(gone + failed + skipped)]
    clock = Clock(days_ago)
    target = Target(kind=kind, url=URL, app_id=APP)
    journal = Journal.create(path, target, ids, selection="older than 90 days", clock=clock)
    assert list(journal.finished()) == []
    clock.now += 10
    for number, id_ in enumerate(ids[: gone + failed]):
        journal.begin(id_)
        sent = Record().sent
        record = sent.answered if number < gone else sent.failed(NorthApiError(400, "120015", "Bad."))
        journal.end(record, record.result(id_, 0.1))
    return journal, clock


def ended(path: Path, *, cause: NorthError | None = None, stopped: bool = False, **facts: Any) -> Path:
    """Make a journal of a run that has ended after a minute."""
    journal, clock = begun(path, **facts)
    clock.now += 50
    journal.run_ended(stopped=stopped, cause=cause)
    journal.close()
    return path


def killed(path: Path, **facts: Any) -> Path:
    """Make a journal of a run that was killed while an id was under way."""
    journal, _ = begun(path, **facts)
    journal.begin(f"id-{facts['gone']}")
    journal.close()
    return path


# --- report


def test_the_account_needs_no_setting_and_says_when_and_how_each_run_ended(shell: Shell, tmp_path: Path) -> None:
    path = ended(tmp_path / "purge.jsonl", gone=2, failed=1, skipped=1, stopped=True)
    run = shell("report", str(path))
    assert run.code == 0
    first, selected, run_1, *table = run.out.splitlines()
    assert first == f"4 packages of {APP} at {URL}"
    assert selected == "  selected: older than 90 days"
    assert run_1.startswith("  run 1: ")
    assert run_1.endswith(", 1 min 0 s: interrupted")
    assert "deleted    2" in table
    assert "3 delete calls in 1 min 0 s, 0 of them refused; 0 retries, 0 duplicates dropped" in table
    assert table[-1] == "1 failed: HTTP 400, code 120015: Bad."


def test_the_account_as_json_has_each_run_and_the_ids_that_are_not_known_to_be_gone(
    shell: Shell, tmp_path: Path
) -> None:
    path = ended(tmp_path / "purge.jsonl", gone=2, failed=1, skipped=1, cause=ArgumentError("no such luck"))
    said = shell("report", str(path), "--json").json
    assert (said["kind"], said["total"], said["deleted"], said["state"]) == ("packages", 4, 2, "failed")
    assert [result["id"] for result in said["results"]] == ["id-2", "id-3"]
    (one,) = said["runs"]
    assert one["error"] == {"type": "ArgumentError", "message": "no such luck"}
    assert one["ended_at"] == one["last_sign_at"]
    assert said["elapsed"] == 60


def test_a_killed_run_was_last_at_work_when_its_last_line_was_written(shell: Shell, tmp_path: Path) -> None:
    path = killed(tmp_path / "purge.jsonl", gone=1, skipped=2, days_ago=1)
    (one,) = shell("report", str(path), "--json").json["runs"]
    assert (one["state"], one["ended_at"]) == ("no_end", None)
    out = shell("report", str(path)).out
    assert ", last sign of life " in out
    assert ", 10.0 s: no end is recorded: killed, or of an older version" in out
    shell("report", str(path), "--html", str(tmp_path / "a.html"))
    page = (tmp_path / "a.html").read_text()
    assert "<dt>Last sign of life</dt>" in page
    assert "no end is recorded" in page
    assert "<dt>Ended</dt>" not in page
    Journal.reopen(path).close()
    shell("report", str(path), "--html", str(tmp_path / "a.html"))
    assert "at least 10.0 s of it at work" in (tmp_path / "a.html").read_text()


def test_a_run_that_is_at_work_is_reported_as_far_as_it_has_come(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "purge.jsonl"
    journal, _ = begun(path, gone=2, skipped=3, days_ago=1)
    journal.begin("id-2")
    said = shell("report", str(path), "--json").json
    assert (said["state"], said["deleted"], said["skipped"], said["unknown"]) == ("at_work", 2, 0, 0)
    assert said["pending"] == 3
    assert [(one["id"], one["outcome"]) for one in said["results"]] == [(f"id-{at}", "pending") for at in (2, 3, 4)]
    assert said["elapsed"] == pytest.approx(DAY, abs=60)
    assert "pending    3" in shell("report", str(path)).out
    run = shell("report", str(path), "--html", str(tmp_path / "a.html"))
    assert "a run is at work on it" in run.err
    page = (tmp_path / "a.html").read_text()
    assert "A run is at work: 2 of 5 are gone; 3 are still to come." in page
    assert "Resume the purge" not in page
    journal.close()


def test_a_run_at_work_is_none_to_resume(shell: Shell, tmp_path: Path) -> None:
    own = tmp_path / "state" / "aionorth" / "journals"
    own.mkdir(parents=True, mode=0o700)
    left = ended(own / "20261101.jsonl", gone=1, failed=1)
    journal, _ = begun(own / "20261102.jsonl", gone=1, skipped=1, days_ago=1)
    listed = shell("resume", "--json")
    assert ([json.loads(line)["journal"] for line in listed.out.splitlines()], listed.err) == ([str(left)], "")
    shell.export(URL=URL, APP_ID=APP)
    assert shell("resume").err == "to go on with the newest: aionorth resume --last\n"
    shell.export(URL="http://127.0.0.1:2")
    assert shell("resume").err == f"to go on with the newest: aionorth resume --last --url {URL}\n"
    journal.close()


def test_the_account_of_what_is_not_finished_says_how_to_go_on(shell: Shell, tmp_path: Path) -> None:
    left = ended(tmp_path / "left.jsonl", gone=1, failed=1)
    assert shell("report", str(left)).err == f"to go on: aionorth resume {left} --url {URL} --app-id {APP}\n"
    shell.configure(f'[profiles.default]\nurl = "{URL}/"\napp_id = "another"\n')
    assert shell("report", str(left)).err == f"to go on: aionorth resume {left} --app-id {APP}\n"
    shell.export(APP_ID=APP)
    assert shell("report", str(left)).err == f"to go on: aionorth resume {left}\n"
    shell.configure("no TOML")
    assert shell("report", str(left)).err == f"to go on: aionorth resume {left} --url {URL} --app-id {APP}\n"
    assert shell("report", str(ended(tmp_path / "all.jsonl", gone=2))).err == ""


def test_an_earlier_runs_outage_is_in_the_account_and_on_the_page(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "purge.jsonl"
    journal, clock = begun(path, gone=2, skipped=1, days_ago=1)
    clock.now += 100
    journal(Held(app_id=APP, silent_for=60.0, reason="HTTP 502"))
    clock.now += 540
    journal(Released(app_id=APP, silent_for=600.0))
    journal.run_ended(stopped=True, cause=None)
    journal.close()
    Journal.reopen(path).close()
    assert "the platform was silent once, for 10 min 0 s in all" in shell("report", str(path)).out
    (outage,) = shell("report", str(path), "--json").json["outages"]
    assert outage["began_at"] < outage["ended_at"] == outage["last_sign_at"]
    shell("report", str(path), "--html", str(tmp_path / "a.html"))
    assert "10 min 0 s without the platform" in (tmp_path / "a.html").read_text()


def test_an_outage_that_goes_on_or_was_cut_short_by_a_kill_has_no_end(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "purge.jsonl"
    journal, clock = begun(path, gone=2, skipped=1, days_ago=1)
    clock.now += 100
    journal(Held(app_id=APP, silent_for=60.0, reason="HTTP 502"))
    assert "the platform was silent once, for 23 h 59 min in all, and still is" in shell("report", str(path)).out
    assert shell("report", str(path), "--json").json["outages"][0]["ended_at"] is None
    journal.close()
    assert "the platform was silent once, for at least 1 min 0 s in all\n" in shell("report", str(path)).out
    assert shell("report", str(path), "--json").json["outages"][0]["ended_at"] is None
    shell("report", str(path), "--html", str(tmp_path / "a.html"))
    assert "at least 1 min 0 s without the platform" in (tmp_path / "a.html").read_text()


def test_all_formats_are_written_at_once_for_their_owner_only(shell: Shell, tmp_path: Path) -> None:
    path = ended(tmp_path / "purge.jsonl", gone=2, failed=1)
    files = {name: tmp_path / f"report-{name}" for name in ("html", "csv", "jsonl")}  # the option names the format
    run = shell("report", str(path), *(word for name, file in files.items() for word in (f"--{name}", str(file))))
    assert (run.code, run.out) == (0, "")
    assert run.err.splitlines() == [f"aionorth: the report is in {file}" for file in files.values()]
    with files["csv"].open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["outcome"] for row in rows] == ["deleted", "deleted", "failed"]
    assert [json.loads(line)["id"] for line in files["jsonl"].read_text().splitlines()] == [row["id"] for row in rows]
    assert files["html"].read_text().startswith("<!DOCTYPE html>")
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.values()} == {0o600}


def test_several_journals_are_several_accounts_and_no_file(shell: Shell, tmp_path: Path) -> None:
    paths = [str(ended(tmp_path / f"{gone}.jsonl", gone=gone)) for gone in (1, 2)]
    assert [json.loads(line)["total"] for line in shell("report", *paths, "--json").out.splitlines()] == [1, 2]
    assert shell("report", *paths).out.count(" packages of ") == 2
    run = shell("report", *paths, "--csv", str(tmp_path / "a.csv"))
    assert run.code == 2
    assert "name one journal for each" in run.err
    assert not (tmp_path / "a.csv").exists()


def test_a_bare_name_is_looked_for_here_and_then_among_ones_own(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended(directory() / "purge.jsonl", gone=1)
    assert shell("report", "purge.jsonl", "--json").json["total"] == 1
    ended(tmp_path / "purge.jsonl", gone=2)
    assert shell("report", "purge.jsonl", "--json").json["total"] == 2
    for words in (("report", "nofile"), ("resume", "nofile")):  # which needs settings, but not to say this
        run = shell(*words)
        assert run.code == 2
        assert f"there is no journal nofile, neither here nor in {directory()}" in run.err
        assert "AIONORTH" not in run.err
    run = shell("resume", str(tmp_path / "nofile"))
    assert f"{tmp_path}/nofile cannot be read (No such file or directory)" in run.err
    assert "AIONORTH" not in run.err


def test_without_a_home_a_name_is_looked_for_here(monkeypatch: pytest.MonkeyPatch, shell: Shell) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert completed_all("") == completed("") == []
    said = "there is no journal nofile here, and there is no home directory for journals: set HOME, or XDG_STATE_HOME"
    assert said in shell("report", "nofile").err


@pytest.mark.parametrize("command", ["report", "resume"])
def test_of_a_damaged_journal_it_is_said_what_can_be_done_with_it(shell: Shell, tmp_path: Path, command: str) -> None:
    damaged, torn = ended(tmp_path / "purge.jsonl", gone=1), tmp_path / "torn.jsonl"
    content = damaged.read_bytes()
    damaged.write_bytes(content.replace(b'{"begin":"id-0"', b'{"begin":"id-9"'))
    run = shell(command, str(damaged))
    assert run.code == 2
    assert "line 4 is not one of a journal (those before it are whole, a JSON object each); it can neither" in run.err
    assert "put back a whole copy of it, or, to delete what is left, begin anew, with another file\n" in run.err
    torn.write_bytes(content[:15])
    assert "nothing was sent, so there is nothing to resume or report" in shell(command, str(torn)).err


@pytest.mark.parametrize("name", ["a/../nofile", "/nofile", "x" * 300, "a\0b"])
def test_of_other_names_opening_them_says_what_is_wrong(name: str) -> None:
    assert find_journal(name) == name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--html", "no/such/a.html"), "cannot be written"),
        (("--jsonl", "purge.jsonl"), "would replace"),
        (("--html", "a.csv"), "a.csv is named like a report of another format: let it end in .html"),
        (("--csv", "-"), "'aionorth report JOURNAL' and 'aionorth fleet report RUN' write to stdout"),
        (("--csv", "a", "--jsonl", "./a"), "the report ./a would replace a"),
    ],
)
def test_files_that_cannot_be_written_are_refused_before_any_is(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = ended(tmp_path / "purge.jsonl").read_bytes()
    run = shell("report", "purge.jsonl", *words)
    assert run.code == 2
    assert said in run.err
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("purge.jsonl", before)]


def test_what_is_no_journal_is_not_reported(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a\n")
    run = shell("report", str(tmp_path / "ids.txt"), "--html", str(tmp_path / "a.html"))
    assert run.code == 2
    assert "is not a journal of aionorth" in run.err
    assert not (tmp_path / "a.html").exists()


def test_a_run_writes_several_reports(shell: Shell, platform: Simulator, tmp_path: Path) -> None:
    shell.point_at(platform)
    listed = shell.file("\n".join(platform.add_packages(2)))
    files = [tmp_path / name for name in ("a.html", "a.csv", "a.jsonl")]
    reports = [word for file in files for word in ("--report", str(file))]
    run = shell("delete", "packages", "--ids-file", listed, "--journal", str(tmp_path / "purge.jsonl"), *reports)
    assert run.code == 0
    assert all(f"the report is in {file}" in run.err for file in files)
    assert all(file.stat().st_size for file in files)
    run = shell("delete", "packages", "--ids-file", listed, "--report", "a.csv", "--report", "./a.csv")
    assert run.code == 2
    assert "the report ./a.csv would replace a.csv" in run.err


def test_every_outcome_is_counted_as_the_run_counted_it(shell: Shell, platform: Simulator, tmp_path: Path) -> None:
    shell.point_at(platform)
    ids = platform.add_packages(5)
    platform.reject(ids[:1], code="50400")
    listed, path = shell.file("\n".join([*ids, "never-was", ids[1]])), str(tmp_path / "purge.jsonl")
    first = shell("delete", "packages", "--ids-file", listed, "--journal", path, "--json").json
    again = shell("report", path, "--json").json
    for name in (*(outcome.value for outcome in Outcome), "total", "calls", "refusals", "retries", "duplicates", "ok"):
        assert again[name] == first[name], name
    assert [one["id"] for one in again["results"]] == [one["id"] for one in first["results"]]
    assert again["elapsed"] == pytest.approx(first["elapsed"], abs=0.5)


# --- resume


def test_what_can_be_resumed_is_listed_as_lines_of_json(shell: Shell) -> None:
    assert shell("resume", "--json").out == shell("resume").out == ""
    ended(directory() / "1.jsonl", gone=1, failed=1, days_ago=2)
    ended(directory() / "2.jsonl", gone=1)
    killed(directory() / "3.jsonl", gone=1, skipped=1, days_ago=1)
    run = shell("resume", "--json")
    assert run.code == 0
    listed = [json.loads(line) for line in run.out.splitlines()]
    assert [(Path(one["journal"]).name, one["state"], one["gone"], one["total"]) for one in listed] == [
        ("3.jsonl", "no_end", 1, 2),
        ("1.jsonl", "complete", 1, 2),
    ]
    assert listed[0]["ended_at"] is None
    out = shell("resume").out
    assert "broken off   1 of 2 gone" in out
    assert "some left    1 of 2 gone" in out


def test_where_none_can_be_resumed_it_is_said_and_no_failure(shell: Shell) -> None:
    for words in (("resume",), ("resume", "--json"), ("resume", "--last")):
        run = shell(*words)
        assert (run.code, run.out) == (0, "")
        assert f"there is no run to resume in {directory()}" in run.err


def test_the_newest_that_has_something_left_is_resumed(shell: Shell, platform: Simulator) -> None:
    shell.point_at(platform)
    for _ in range(2):
        platform.script(CannedReply(400, b'{"error_code":"120015","error_desc":"bad"}'), method="DELETE")
        listed = shell.file("\n".join(platform.add_packages(2)))
        assert shell("delete", "packages", "--ids-file", listed).code == 1
    older, newer = sorted(directory().iterdir())
    shell("delete", "packages", "--ids-file", shell.file("\n".join(platform.add_packages(1))))
    run = shell("resume", "--last", "--json")
    assert run.code == 0
    assert run.json["journal"] == str(newer)
    assert shell("resume", older.name, "--json").json["journal"] == str(older)
    assert "there is no run to resume" in shell("resume", "--last").err
    run = shell("resume", older.name, "--last")
    assert run.code == 2
    assert "contradict each other" in run.err


def test_the_shell_completes_what_can_be_resumed_without_reading_what_is_large(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(directory() / "20261101-a.jsonl", gone=2)
    ended(directory() / "20261102-b.jsonl", gone=1, failed=1)
    killed(directory() / "20261103-c.jsonl", gone=2990, ids=MANY)
    (directory() / "20261104-d.jsonl").write_text("damaged")
    (directory() / "2026\n.jsonl").write_text("odd")
    assert completed("2026110") == ["20261103-c.jsonl", "20261102-b.jsonl"]
    assert len(completed_all("2026110")) == 4
    for name, value in {
        "_AIONORTH_COMPLETE": "complete_bash",
        "COMP_WORDS": "aionorth resume 20261102",
        "COMP_CWORD": "2",
    }.items():
        monkeypatch.setenv(name, value)
    assert shell("resume").out.split() == ["20261102-b.jsonl"]


# --- journals


@pytest.mark.parametrize("command", ["journals", "resume"])
def test_a_file_with_a_blank_in_its_name_is_listed_as_it_is_typed(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a state that fits no line of this terminal"))
    monkeypatch.setattr("aionorth.cli.output.messages.width_of", lambda _: 40)
    path = ended(directory() / "1.jsonl", gone=1, failed=1)
    run = shell(command)
    assert run.out.endswith(f"\n  '{path}'\n")
    (listed,) = shell(command, "--json").out.splitlines()
    assert json.loads(listed)["journal"] == str(path)


def test_where_no_journal_is_the_directory_is_named_as_it_is_typed(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "my state"))
    assert shell("journals").err == f"aionorth: there are no journals in '{directory()}'\n"
    assert f"there is no run to resume in '{directory()}'; name its journal" in shell("resume").err


def test_all_are_listed_with_when_what_how_far_and_how_large(shell: Shell) -> None:
    ended(directory() / "1.jsonl", gone=2, days_ago=80)
    ended(directory() / "2.jsonl", gone=1, failed=1, cause=ArgumentError("no"))
    journal, _ = begun(directory() / "3.jsonl", gone=1, skipped=1, kind=Kind.SUBSCRIPTIONS)
    (directory() / "4.jsonl").write_text("damaged")
    run = shell("journals")
    assert run.code == 0
    assert [line.split("  ", 1)[1] for line in run.out.splitlines() if not line.startswith("  ")] == [
        f"at work      1 kB  1 of 2 gone  subscriptions of {APP} at {URL}",
        f"ended early  1 kB  1 of 2 gone  packages of {APP} at {URL}",
        f"finished     1 kB  2 of 2 gone  packages of {APP} at {URL}",
    ]
    assert f"  {directory() / '1.jsonl'}\n" in run.out
    assert run.err.startswith("aionorth: left out: ")
    listed = [json.loads(line) for line in shell("journals", "--json").out.splitlines()]
    assert [one["finished"] for one in listed] == [False, False, True]
    assert listed[2]["size"] == (directory() / "1.jsonl").stat().st_size
    journal.close()


def test_none_is_no_failure(shell: Shell) -> None:
    run = shell("journals")
    assert (run.code, run.out, run.err) == (0, "", f"aionorth: there are no journals in {directory()}\n")


@pytest.fixture
def old() -> dict[str, Path]:
    """Journals that ended a hundred days ago, by what has become of them."""
    finished = ended(directory() / "1-finished.jsonl", gone=2, days_ago=100)
    unfinished = ended(directory() / "1-unfinished.jsonl", gone=2, failed=1, days_ago=100)
    large = killed(directory() / "1-large.jsonl", gone=2990, ids=MANY, days_ago=100)
    young = ended(directory() / "2-young.jsonl", gone=2, days_ago=80)
    return {"finished": finished, "unfinished": unfinished, "large": large, "young": young}


def test_finished_ones_are_removed_after_90_days_where_yes_is_given(shell: Shell, old: dict[str, Path]) -> None:
    run = shell("journals")
    assert run.code == 0
    assert "1 finished journal ended more than 90 days ago; --yes removes it" in run.err
    assert old["finished"].exists()
    run = shell("journals", "--yes")
    assert run.code == 0
    assert "1 of 1 removed" in run.err
    assert sorted(directory().iterdir()) == sorted(path for name, path in old.items() if name != "finished")
    assert shell("journals", "--yes").err == ""


def test_one_that_a_run_is_at_work_on_is_not_removed_however_old(shell: Shell, old: dict[str, Path]) -> None:
    at_work = Journal.reopen(old["finished"], clock=Clock(99))
    assert shell("journals", "--yes", "--keep", "1h").err == "aionorth: 1 of 1 removed\n"  # the young one
    assert old["finished"].exists()
    at_work.close()


def test_keep_says_from_when_on_they_are_old(shell: Shell, old: dict[str, Path]) -> None:
    assert (
        "2 finished journals ended more than 70 days ago; --yes removes them" in shell("journals", "--keep", "10w").err
    )
    assert shell("journals", "--keep", "101d").err == ""
    run = shell("journals", "--keep", "soon")
    assert run.code == 2
    assert "--keep 'soon': give a number above 0 and h, d or w" in run.err
    assert all(path.exists() for path in old.values())


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "removed"), [(b"y\n", True), (b"YES\n", True), (b"\n", False), (b"", False)])
def test_on_a_terminal_they_are_removed_after_a_question(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, old: dict[str, Path], answer: bytes, *, removed: bool
) -> None:
    monkeypatch.setattr("aionorth.cli.commands.journals.on_terminal", lambda _: True)
    shell.stdin(answer)
    run = shell("journals")
    assert run.code == 0
    assert "1 finished journal ended more than 90 days ago. Remove it? [y/N] " in run.err
    assert old["finished"].exists() is not removed
    assert "--yes removes" in shell("journals", "--json").err or removed


def test_one_that_cannot_be_removed_is_named(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, old: dict[str, Path]
) -> None:
    def refused(path: str) -> bool:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("aionorth.cli.commands.journals.remove_finished", refused)
    run = shell("journals", "--yes")
    assert run.code == 1
    assert f"not removed: {old['finished']}: Permission denied" in run.err
    assert "0 of 1 removed" in run.err


def test_a_list_of_runs_has_no_use_for_what_a_run_needs(shell: Shell) -> None:
    run = shell("resume", "--report", "r.html", "--missing-ok")
    assert run.code == 2
    assert "--report and --missing-ok are of no use where runs are only listed" in run.err
