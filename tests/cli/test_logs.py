"""What a command says while it works, and the log that it keeps."""

import json
import logging
import shlex
import stat
from pathlib import Path

import pytest
from shell import APP, SECRET, Shell

from aionorth import ArgumentError, FlowState
from aionorth.cli.output.logs import Messages
from aionorth.cli.output.messages import complain, noted, wrapped
from aionorth.cli.output.progress import LINES_EVERY, Listing, in_lines, lines_every
from aionorth.common.arguments import argument
from aionorth.simulator import CutBody, ErrorIn200, Reset, Simulator

FLOW = FlowState(limit=100, period=60.0, in_use=0, next_slot=0.0, waiting=0, paused_for=0.0, refusals=0)
LOG = logging.getLogger("aionorth")


@pytest.fixture
def ids(shell: Shell, platform: Simulator) -> str:
    shell.point_at(platform)
    return shell.file("\n".join(platform.add_packages(3)))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "aionorth.log"


def test_quiet_leaves_the_result_alone(shell: Shell, ids: str) -> None:
    run = shell("delete", "packages", "--ids-file", ids, "--quiet")
    assert (run.code, run.err) == (0, "")
    assert "deleted    3" in run.out


def test_quiet_leaves_a_dry_run_its_plan_alone(shell: Shell, ids: str) -> None:
    run = shell("delete", "packages", "--ids-file", ids, "--dry-run", "-q")
    assert (run.code, run.err) == (0, "")
    assert "3 to delete" in run.out


def test_quiet_shows_errors_all_the_same(shell: Shell, ids: str, platform: Simulator) -> None:
    platform.script(ErrorIn200("100203"), times=10)
    run = shell("delete", "packages", "--ids-file", ids, "-q")
    assert run.code == 3
    assert run.err.startswith("aionorth: the run ended early: HTTP 200, code 100203")
    assert "recorded" not in run.err
    assert "--ids-file" in shell("delete", "packages", "-q", "--csv-column", "x").err


@pytest.mark.parametrize(("option", "logins", "calls"), [("", 0, 0), ("-v", 1, 0), ("-v -v", 1, 3), ("-vv", 1, 3)])
def test_verbose_shows_the_log(shell: Shell, ids: str, option: str, logins: int, calls: int) -> None:
    run = shell("delete", "packages", "--ids-file", ids, *option.split())
    assert run.code == 0
    assert run.err.count("aionorth: obtained an access token") == logins
    assert run.err.count("aionorth: delete_upgrade_package (DELETE") == calls


def test_quiet_and_verbose_contradict_each_other(ready: Shell) -> None:
    run = ready("check", "-q", "-v")
    assert run.code == 2
    assert "--quiet and --verbose contradict each other" in run.err


def test_a_log_is_appended_with_times_and_is_ones_own(shell: Shell, ids: str, log: Path) -> None:
    for _ in range(2):
        run = shell("delete", "packages", "--ids-file", ids, "--log-file", str(log))
    assert "access token" not in run.err
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    lines = log.read_text().splitlines()
    assert sum("INFO    obtained an access token" in line for line in lines) == 2
    assert sum("DEBUG   delete_upgrade_package (DELETE" in line for line in lines) == 6
    assert sum("INFO    this run is recorded in " in line for line in lines) == 2
    assert sum("INFO    ended with exit code 0: deleted 3; not found 0" in line for line in lines) == 1
    assert sum("ERROR   the platform knows none of these ids" in line for line in lines) == 1
    assert all(line[:4].isdigit() and line[10] == "T" for line in lines)


def test_a_log_of_objects_has_the_facts(shell: Shell, ids: str, log: Path) -> None:
    shell.export(LOG_FILE=str(log), LOG_FORMAT="json")
    assert shell("delete", "packages", "--ids-file", ids).code == 0
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert all(record["time"] and record["level"] and record["message"] for record in records)
    calls = [record for record in records if record.get("operation") == "delete_upgrade_package"]
    assert len(calls) == 3
    assert {call["level"] for call in calls} == {"DEBUG"}
    assert {(call["app_id"], call["status"], call["attempt"]) for call in calls} == {(APP, 200, 1)}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--log-file", "/no-such-directory/log"], "--log-file /no-such-directory/log cannot be written to"),
        (["--log-file", "/"], "--log-file / cannot be written to: Is a directory"),
        (["--log-file", "log", "--log-format", "xml"], "--log-format 'xml': give text or json"),
        (["--log-format", "json"], "--log-format is about the log file: give --log-file too"),
        (["--stats", "often"], "--stats 'often': give a number of seconds"),
        (["--stats", "-1"], "--stats '-1': give a number of seconds"),
        (["--stats", "inf"], "--stats 'inf': give a number of seconds"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_sent(
    shell: Shell, platform: Simulator, ids: str, options: list[str], said: str
) -> None:
    run = shell("delete", "packages", "--ids-file", ids, *options)
    assert run.code == 2
    assert said in run.err
    assert not platform.arrivals


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LOG_FILE", "/no-such-directory/log", "AIONORTH_LOG_FILE /no-such-directory/log cannot be written to"),
        ("LOG_FORMAT", "xml", "AIONORTH_LOG_FORMAT 'xml': give text or json"),
        ("STATS", "often", "AIONORTH_STATS 'often': give a number of seconds"),
    ],
)
def test_a_variable_is_named_where_it_gave_what_cannot_be_used(
    shell: Shell, ids: str, variable: str, value: str, said: str
) -> None:
    shell.export(**{variable: value})
    run = shell("delete", "packages", "--ids-file", ids)
    assert run.code == 2
    assert said in run.err
    assert "--" not in run.err


def test_a_variable_with_the_format_of_a_log_may_stand_alone(shell: Shell, ids: str) -> None:
    shell.export(LOG_FORMAT="json")
    assert shell("delete", "packages", "--ids-file", ids).code == 0


def test_a_log_that_cannot_be_written_any_more_stops_no_run(shell: Shell, ids: str) -> None:
    run = shell("delete", "packages", "--ids-file", ids, "--log-file", "/dev/full")
    assert run.code == 0
    assert run.err.count("the log /dev/full cannot be written to any more: No space left on device") == 1
    assert "deleted    3" in run.out


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_ended_a_command_is_in_the_log(log: Path, log_format: str) -> None:
    with pytest.raises(ArgumentError), Messages(log_file=str(log), log_format=log_format).noted():
        raise ArgumentError(f"{argument('workers')}=0: give more")
    assert "ERROR" in log.read_text()
    assert "--workers 0: give more" in log.read_text()


def test_a_log_has_a_line_a_record_whatever_is_in_it(log: Path) -> None:
    with Messages(log_file=str(log)).noted():
        LOG.warning("no.\n2026 INFO all is well %s", "\x1b[2J\ud800")
        LOG.info("100 %")
    first, second = log.read_text().splitlines()
    assert first.endswith(r"WARNING no.\n2026 INFO all is well \x1b[2J\ud800")
    assert second.endswith("INFO    100 %")


def test_errors_in_the_log_name_options(capsys: pytest.CaptureFixture[str]) -> None:
    with noted():
        LOG.warning("again, after: %s", ArgumentError(f"give {argument('client_cert')}"))
        LOG.warning("silent (%s)", str(ArgumentError(f"give {argument('client_cert')}")))
    assert (
        capsys.readouterr().err == "aionorth: again, after: give --client-cert\naionorth: silent (give --client-cert)\n"
    )


@pytest.mark.parametrize("log_format", ["text", pytest.param("json", marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", [Reset(), CutBody(), ErrorIn200("1010005"), ErrorIn200("1010009")])
def test_no_secret_is_in_the_log(
    shell: Shell, ids: str, platform: Simulator, log: Path, fault: object, log_format: str
) -> None:
    platform.script(fault, times=2)  # type: ignore[arg-type]  # one of them
    options = ["--log-file", str(log), "--log-format", log_format, "-vv", "--period", "0.2"]
    run = shell("delete", "packages", "--ids-file", ids, *options)
    assert len(log.read_text().splitlines()) > 3
    app = platform._platform.app(APP)
    for text in (log.read_text(), run.out, run.err):
        assert SECRET not in text
        assert not any(token in text for token in (app.access_token or "no token", *app.refresh_tokens))


def shown(seconds: float | None, capsys: pytest.CaptureFixture[str]) -> int:
    """How many lines there are of a minute without a terminal."""
    with lines_every(LINES_EVERY if seconds is None else seconds), in_lines("Listing") as show:
        for elapsed in range(60):
            show(Listing(listed=1, flow=FLOW, elapsed=elapsed))
    return capsys.readouterr().err.count("Listing: 1 listed")


@pytest.mark.parametrize(("seconds", "lines"), [(None, 6), (1.0, 60), (30.0, 2), (0.0, 0)])
def test_lines_of_progress_are_so_many_seconds_apart(
    seconds: float | None, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(seconds, capsys) == lines


# --- The width of a terminal


def test_what_a_command_says_without_a_log_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of pytest
    complain("aionorth: something is wrong")
    assert capsys.readouterr().err == "aionorth: something is wrong\n"


def test_lines_are_broken_between_words() -> None:
    text = "aionorth: one two three four\n  12 to stay: because of that"
    assert wrapped(text, 20) == "aionorth: one two\n  three four\n  12 to stay:\n    because of that"
    assert wrapped(text, 80) == wrapped(text, float("inf")) == text
    assert wrapped("https://a-long-name.example.com is no URL", 20) == "https://a-long-name.example.com\n  is no URL"


def test_a_command_to_copy_is_not_broken() -> None:
    text = "to go on: aionorth resume journal.jsonl --url https://server"
    assert wrapped(text, 20) == text


@pytest.mark.parametrize(
    "piece",
    [
        "export AIONORTH_URL=https://server:8743",
        "export AIONORTH_APP_ID='my own app'",
        "read -rs AIONORTH_SECRET && export AIONORTH_SECRET",
        "'/home/me/my journals/1.jsonl'",
        shlex.quote("it's in here/my journal.jsonl"),
    ],
)
def test_what_is_copied_is_not_broken(piece: str) -> None:
    assert wrapped(f"    {piece}", 20) == f"    {piece}"
    assert wrapped(f"as in the app's own: {piece} (or so)", 20) == f"as in the app's own:\n  {piece}\n  (or so)"


def test_an_object_in_json_is_not_broken() -> None:
    text = json.dumps({"journal": "/home/me/my journals/1.jsonl", "total": 1})
    assert wrapped(text, 20) == text
