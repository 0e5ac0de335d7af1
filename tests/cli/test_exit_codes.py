"""A table of all exit codes, each reached by a real command; and the inputs that are refused with one of them."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from shell import UNREACHABLE, Shell

from aionorth.cli.output.messages import EXIT_CODES, ExitCode
from aionorth.simulator import CannedReply, Delay, Simulator

DELETE = ("delete", "packages", "--ids-file", "-")


@pytest.fixture
def there(shell: Shell, platform: Simulator) -> Shell:
    platform.add_packages(["a1", "b2", "c3"])
    shell.point_at(platform)
    return shell


TABLE: list[tuple[ExitCode, tuple[str, ...], bytes]] = [
    (ExitCode.OK, DELETE, b"a1\nb2\n"),
    (ExitCode.OK, DELETE, b"a1\nx9\n"),
    (ExitCode.OK, (*DELETE, "--missing-ok"), b"x9\ny9\n"),
    (ExitCode.OK, (*DELETE, "--model", "m", "--missing-ok", "--yes"), b"x9\n"),
    (ExitCode.OK, (*DELETE, "--allow-empty"), b"\n"),
    (ExitCode.OK, (*DELETE, "--dry-run"), b"a1\n"),
    (ExitCode.OK, ("list", "packages"), b""),
    (ExitCode.OK, ("resume",), b""),
    (ExitCode.OK, ("journals",), b""),
    (ExitCode.FAILED, DELETE, b"a1\nrefused\n"),
    (ExitCode.USAGE, DELETE, b"\n"),
    (ExitCode.USAGE, DELETE, b"fileId\na1\n"),
    (ExitCode.USAGE, DELETE, b'"a1"\n'),
    (ExitCode.USAGE, ("delete", "packages"), b""),
    (ExitCode.USAGE, ("delete", "packages", "ids.txt"), b""),
    (ExitCode.USAGE, ("resume", "nofile"), b""),
    (ExitCode.REFUSED, (*DELETE, "--app-id", "other"), b"a1\n"),
    (ExitCode.TO_DO, (*DELETE, "--dry-run", "--detailed-exitcode"), b"a1\n"),
    (ExitCode.NONE_KNOWN, DELETE, b"x9\ny9\n"),
    (ExitCode.NONE_KNOWN, (*DELETE, "--model", "WM-1", "--yes"), b"x9\n"),
]


@pytest.mark.parametrize(
    ("code", "words", "stdin"), TABLE, ids=lambda it: " ".join(it) if isinstance(it, tuple) else None
)
def test_each_exit_code_is_reached_by_what_it_stands_for(
    there: Shell, platform: Simulator, code: ExitCode, words: tuple[str, ...], stdin: bytes
) -> None:
    platform.reject(["refused"], code="100217" if code is not ExitCode.FAILED else "120015")
    there.stdin(stdin)
    assert there(*words).code == code


def test_an_interrupted_run_ends_with_130(there: Shell, platform: Simulator) -> None:
    platform.script(Delay(0.5), method="DELETE", path="a1")
    there.stdin(b"a1\nb2\n")

    def interrupt() -> None:
        while not platform.arrivals or platform.arrivals[-1].method != "DELETE":
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)  # SIGINT may be ignored where tests run in the background

    thread = threading.Thread(target=interrupt)
    thread.start()
    run = there(*DELETE, "--workers", "1")
    thread.join()
    assert run.code == ExitCode.INTERRUPTED
    assert platform.package_ids() == {"b2", "c3"}


def test_a_command_has_the_exit_codes_that_it_can_end_with(shell: Shell) -> None:
    assert "--detailed-exitcode" not in shell("resume", "--help").out
    assert "  4    there is something to delete: with --detailed-exitcode" in shell("apply", "--help").out


def test_the_table_and_the_help_have_every_exit_code() -> None:
    reached = {code for code, _, _ in TABLE} | {ExitCode.INTERRUPTED}
    assert reached == set(ExitCode)
    assert all(f"\n  {code:<3} " in EXIT_CODES for code in ExitCode)


# --- What the platform did not know


def test_where_a_good_part_was_not_known_a_line_says_how_many_and_shows_three(there: Shell) -> None:
    there.stdin(b"a1\nu4\nu1\nu2\nu3\n")
    run = there(*DELETE, "--workers", "1")
    assert run.code == 0
    assert "the platform did not know 4 of the 5 ids, as u4, u1, u2\n" in run.err


def test_where_hardly_any_was_not_known_nothing_is_said(there: Shell, platform: Simulator) -> None:
    there.stdin("\n".join([*platform.add_packages(10), "x9"]).encode())
    run = there(*DELETE)
    assert run.code == 0
    assert "did not know" not in run.err


def test_ids_that_a_list_does_not_have_count_as_not_known(there: Shell) -> None:
    there.stdin(b"a1\nx9\n")
    run = there(*DELETE, "--model", "WM-1", "--yes")
    assert run.code == 0
    assert "the platform did not know 1 of the 2 ids, as x9\n" in run.err


def test_what_is_said_of_none_shows_three_and_names_the_way_out(there: Shell) -> None:
    there.stdin(b"x9\ny9\nz9\nu9\n")
    run = there(*DELETE, "--workers", "1")
    assert "knows none of these ids, as x9, y9, z9: are they packages of this app? --missing-ok takes that" in run.err


def test_of_the_runs_before_no_id_is_shown(there: Shell, tmp_path: Path) -> None:
    journal = str(tmp_path / "purge.jsonl")
    there.stdin(b"x9\n")
    assert there(*DELETE, "--journal", journal).code == ExitCode.NONE_KNOWN
    run = there("resume", journal)
    assert run.code == ExitCode.NONE_KNOWN
    assert "the platform knows none of these ids: are they packages of this app?" in run.err


def test_what_others_deleted_since_it_was_listed_is_no_wrong_list(there: Shell, platform: Simulator) -> None:
    platform.script(CannedReply(404, b'{"error_code": "123002"}'), method="DELETE", times=3)
    run = there("delete", "packages", "--model", "WM-1", "--yes", "--json")
    assert (run.code, run.json["not_found"]) == (0, 3)


def test_the_object_has_the_exit_code(there: Shell) -> None:
    there.stdin(b"x9\n")
    run = there(*DELETE, "--json")
    assert (run.code, run.json["exit_code"], run.json["not_found"]) == (5, 5, 1)


# --- Inputs


def test_nothing_is_sent_before_the_input_is_right(shell: Shell) -> None:
    shell.export(URL=UNREACHABLE, APP_ID="demo-app", SECRET="s")
    shell.stdin(b"fileId\n5fa1c2\n")
    run = shell(*DELETE)
    assert run.code == 2
    assert "standard input, line 1: 'fileId' looks like a header" in run.err
