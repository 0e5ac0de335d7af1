"""The command line in real time: processes, signals and terminals."""

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pexpect
import pytest
import trustme

from aionorth.cli.commands.demo import show_demo
from aionorth.cli.output.messages import ExitCode, Notes
from aionorth.models import Outcome
from aionorth.purge.journal import read

pytestmark = pytest.mark.slow

AIONORTH = [sys.executable, "-c", "from aionorth.cli import main; main()"]
PATIENCE = 30
"""Seconds after which what was expected will not come any more."""

SILENT_PLATFORM = """
import asyncio
from aionorth.simulator import Delay, Simulator

async def main():
    async with Simulator() as platform:
        platform.script(Delay(600, after_effect=True), method="DELETE", times=1000)
        print("export AIONORTH_URL=" + platform.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
"""A platform that carries out deletions and does not answer them."""


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIONORTH_")}
    return inherited | {"TERM": "xterm-256color", "PYTHONUNBUFFERED": "1"} | variables


def wait_for(stream: IO[str] | None, pattern: str) -> re.Match[str]:
    assert stream is not None
    for line in stream:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"{pattern} did not come")


@contextmanager
def platform(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A simulator in another process, and the environment that points at it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            url = wait_for(process.stdout, "AIONORTH_URL=(.*)").group(1)
            yield process, environment(AIONORTH_URL=url, AIONORTH_APP_ID="demo-app", AIONORTH_SECRET="demo-secret")
        finally:
            process.terminate()


@pytest.fixture(autouse=True)
def _children_take_hangups() -> Iterator[None]:
    """What is ignored here, as under nohup, is ignored by children too; what has a handler here is not."""
    before = signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def ids(tmp_path: Path) -> str:
    return str(tmp_path / "ids.txt")


@pytest.fixture
def tight(ids: str) -> Iterator[dict[str, str]]:
    """A platform that allows 20 calls in 1 s, so that 100 deletions take a while."""
    options = ["--port", "0", "--calls", "20", "--period", "1", "--packages", "100", "--write-package-ids", ids]
    with platform([*AIONORTH, "simulate", *options]) as (_, variables):
        yield variables


def delete(ids: str, *options: str) -> list[str]:
    return [*AIONORTH, "delete", "packages", "--ids-file", ids, *options]


TIGHT = ("--calls", "20", "--period", "1")


def terminal(command: list[str], env: dict[str, str], *, width: int = 80) -> "pexpect.spawn[str]":
    return pexpect.spawn(
        command[0], command[1:], env=env, encoding="utf-8", dimensions=(24, width), timeout=PATIENCE, echo=False
    )


def exit_code(child: "pexpect.spawn[str]") -> int | None:
    child.expect(pexpect.EOF)
    assert "Traceback" not in (child.before or "")
    child.close()
    code: int | None = child.exitstatus
    return code


# --- On a terminal


def test_the_demonstration_shows_a_run_and_what_to_do_next() -> None:
    child = terminal([*AIONORTH, "demo"], environment())
    child.expect("Deleting subscriptions")
    child.expect("━")
    child.expect("100 of 100 calls used, next slot in")
    child.expect("Deleting packages")
    child.expect(r"refused 0 of them. It has 0 of\s+its 500")
    child.expect(r"cannot be made in less than\s+15.0\s+s;\s+these\s+took 1\d")
    child.expect("aionorth simulate")
    child.expect("aionorth delete subscriptions --ids-file ids.txt")
    assert exit_code(child) == 0


def test_the_first_ctrl_c_finishes_the_calls_in_flight(ids: str, tight: dict[str, str]) -> None:
    child = terminal(delete(ids, "--yes", *TIGHT), tight)
    child.expect("20 of 20 calls used")
    child.sendintr()
    child.expect("finishing what has been begun, retries included; Ctrl-C again stops at once")
    child.expect(r"skipped\s+\d\d")
    child.expect("the run was interrupted")
    child.expect(r"to go on: .*aionorth resume ('.*?'|\S+)")
    assert isinstance(child.match, re.Match)
    (journal,) = shlex.split(child.match.group(1))
    assert exit_code(child) == 130
    child = terminal([*AIONORTH, "resume", journal, *TIGHT], tight, width=200)
    child.expect("of 100 are known to be gone already")
    child.expect(r"deleted\s+100")
    assert exit_code(child) == 0


@pytest.mark.parametrize(
    ("answer", "left"), [("100", 0), ("yes", 100), ("10", 100), ("", 100), ("\x04", 100), ("\x03", 100)]
)
def test_a_deletion_is_confirmed_by_typing_its_number(tight: dict[str, str], answer: str, left: int) -> None:
    child = terminal([*AIONORTH, "delete", "packages", "--all", "--calls", "1000", "--period", "1"], tight)
    child.expect("100 packages of demo-app at http")
    child.expect("100 to delete: 100 calls, about")
    child.expect("Those that go:")
    child.expect("and 95 more; --dry-run --json names them all")
    child.expect("Nothing brings them back")
    child.expect("Type 100 to delete them, anything else to leave them: ")
    child.send(answer) if answer in {"\x03", "\x04"} else child.sendline(answer)
    if left:
        child.expect("interrupted" if answer == "\x03" else "nothing was deleted")
        assert exit_code(child) == (130 if answer == "\x03" else 1)
    else:
        child.expect("this run is recorded in")
        child.expect(r"deleted\s+100")
        assert exit_code(child) == 0


def test_what_was_typed_before_the_question_is_no_answer(tight: dict[str, str]) -> None:
    child = terminal([*AIONORTH, "delete", "packages", "--all"], tight)
    child.sendline("100")
    child.expect("Type 100 to delete them, anything else to leave them: ")
    child.sendline("")
    child.expect("nothing was deleted")
    assert exit_code(child) == 1


def test_a_question_is_asked_though_messages_go_to_a_file(ids: str, tight: dict[str, str], tmp_path: Path) -> None:
    command = shlex.join(delete(ids, *TIGHT))
    child = terminal(["bash", "-c", f"{command} 2>{shlex.quote(f'{tmp_path}/messages')}"], tight)
    child.expect("100 to delete: 100 calls")
    child.expect("Type 100 to delete them")
    child.sendline("no")
    assert exit_code(child) == 1
    assert "nothing was deleted" in (tmp_path / "messages").read_text()


def test_the_view_shows_flow_control_counts_and_time_left(ids: str, tight: dict[str, str]) -> None:
    child = terminal(delete(ids, "--yes", *TIGHT), tight)
    child.expect("Deleting packages of demo-app at http")
    child.expect("━")
    child.expect(r"\d+ deleted")
    child.expect(r"\d+ in work")
    child.expect(r"calls a minute · 20 of 20 calls used, next slot in \d\.\d s")
    child.expect(r"about \d+\.\d s left")
    child.expect(r"deleted\s+100")
    assert exit_code(child) == 0


def test_a_list_that_another_program_reads_draws_no_view(tight: dict[str, str]) -> None:
    command = (
        f"{shlex.join([*AIONORTH, 'list', 'subscriptions', '--ids', '--calls', '2', '--period', '1'])} | head -203"
    )
    child = terminal(["bash", "-c", command], tight)
    child.expect(pexpect.EOF)
    assert len(re.findall(r"^\S{36}\r$", child.before or "", re.MULTILINE)) == 203
    assert "Listing" not in (child.before or "")


def test_a_refusal_is_shown_in_words(ids: str) -> None:
    options = ["--port", "0", "--calls", "20", "--period", "60", "--packages", "100", "--write-package-ids", ids]
    with platform([*AIONORTH, "simulate", *options, "--retry-after"]) as (_, variables):  # so the pause is a long one
        child = terminal(delete(ids, "--yes", "--calls", "100"), variables)
        child.expect(r"refused by the platform, paused \d+ s")
        child.sendintr()
        child.expect("Ctrl-C again stops at once")  # two signals at once are one
        child.sendintr()
        assert exit_code(child) == 130


def test_the_second_ctrl_c_stops_at_once_and_reports_what_is_unknown(ids: str) -> None:
    Path(ids).write_text("".join(f"id[x]{number}\n" for number in range(50)))
    with platform([sys.executable, "-c", SILENT_PLATFORM]) as (_, variables):
        child = terminal(delete(ids, "--yes"), variables)
        child.expect("9 of 100 calls used")  # a login, and as many as may be in flight at first
        child.sendintr()
        child.expect("Ctrl-C again stops at once")
        child.sendintr()
        child.expect(r"unknown\s+8")
        child.expect(r"skipped\s+42")
        child.expect(r"unknown  id\[")
        assert exit_code(child) == 130


def test_ctrl_c_while_ids_are_typed_in_ends_the_command(tight: dict[str, str]) -> None:
    child = terminal(delete("-"), tight)
    child.expect("reading ids, one per line, from the terminal")
    child.sendintr()
    child.expect("aionorth: interrupted")
    assert exit_code(child) == 130


def test_ids_can_be_typed_in(tight: dict[str, str]) -> None:
    child = terminal(delete("-"), tight)
    child.expect("reading ids, one per line, from the terminal")
    child.sendline("unknown-1")
    child.sendeof()
    child.expect("1 to delete: 1 call")
    child.expect("Type 1 to delete them")
    child.sendline("1")
    child.expect(r"not found\s+1")
    assert exit_code(child) == 5


@pytest.fixture
def without_secret(tight: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in tight.items() if name != "AIONORTH_SECRET"}


PROMPT = r"Secret of demo-app \(not shown\): "


def test_the_secret_is_asked_for_and_not_shown(without_secret: dict[str, str]) -> None:
    child = pexpect.spawn(AIONORTH[0], [*AIONORTH[1:], "check"], env=without_secret, encoding="utf-8", timeout=PATIENCE)
    shown = io.StringIO()
    child.logfile_read = shown  # all that the terminal shows, its echo included
    child.expect(PROMPT)
    child.sendline("demo-secret")
    child.expect("logged in, and the access token is accepted")
    assert exit_code(child) == 0
    assert "demo-secret" not in shown.getvalue()


def test_a_secret_that_is_there_is_not_asked_for(tight: dict[str, str]) -> None:
    child = terminal([*AIONORTH, "check"], tight)
    child.expect("logged in")
    assert "Secret of" not in (child.before or "")
    assert exit_code(child) == 0


def test_with_ids_on_stdin_the_secret_is_typed_at_the_terminal(ids: str, without_secret: dict[str, str]) -> None:
    command = shlex.join(delete("-", *TIGHT))
    child = terminal(["bash", "-c", f"head -3 {shlex.quote(ids)} | {command}"], without_secret)
    child.expect(PROMPT)
    child.sendline("demo-secret")
    child.expect("Type 3 to delete them")  # at the terminal too: standard input has the ids
    child.sendline("3")
    child.expect(r"deleted\s+3")
    assert exit_code(child) == 0


def test_with_ids_on_stdin_and_no_terminal_of_its_own_no_id_is_taken_for_the_secret(
    ids: str, without_secret: dict[str, str]
) -> None:
    command = shlex.join(delete("-", *TIGHT))
    child = terminal(["bash", "-c", f"head -3 {shlex.quote(ids)} | setsid --wait {command}"], without_secret)
    child.expect("there is no terminal to type the secret at: set AIONORTH_SECRET")
    assert exit_code(child) == 2


@pytest.mark.parametrize(("key", "said", "code"), [("\x03", "interrupted", 130), ("\x04", "no secret was typed in", 2)])
def test_the_prompt_can_be_left(without_secret: dict[str, str], key: str, said: str, code: int) -> None:
    child = terminal([*AIONORTH, "check"], without_secret)
    child.expect(PROMPT)
    child.send(key)
    child.expect(rf"\naionorth: {said}")
    assert exit_code(child) == code


def test_what_is_missing_is_said_before_a_secret_is_asked_for(without_secret: dict[str, str]) -> None:
    child = terminal([*AIONORTH, "check"], without_secret | {"AIONORTH_URL": ""})
    child.expect("AIONORTH_URL is empty")
    assert exit_code(child) == 2
    assert "Secret of" not in (child.before or "")


@pytest.mark.parametrize(
    "module", ["aiohttp.typedefs", "aiohttp", "aionorth.session.north", "typer.core", "aionorth.cli.program"]
)
@pytest.mark.parametrize("start", [AIONORTH[1:], ["-m", "aionorth"]])
def test_ctrl_c_while_the_command_line_is_being_loaded_leaves_no_traceback(module: str, start: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", *start, "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(process.stderr, rf"\| +{re.escape(module)}$")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert not [line for line in err.splitlines() if not line.startswith(("import time:", "aionorth: interrupted"))]
    assert out == ""
    assert process.returncode in {-signal.SIGINT, 130}


def test_the_view_survives_a_terminal_that_changes_its_size(ids: str, tight: dict[str, str]) -> None:
    child = terminal(delete(ids, "--yes", *TIGHT), tight, width=120)
    child.expect("20 of 20 calls used")
    for width in (50, 12, 1, 200):
        child.setwinsize(24, width)
        child.expect(r"\d")
    child.expect(r"deleted\s+100")
    assert exit_code(child) == 0


def test_a_dumb_terminal_gets_lines(ids: str, tight: dict[str, str]) -> None:
    child = terminal(delete(ids, "--yes", *TIGHT), tight | {"TERM": "dumb"})
    child.expect("Deleting packages of demo-app at http://.*: 0 of 100")
    child.sendintr()
    assert exit_code(child) == 130
    assert "\x1b" not in (child.before or "")


# --- Elsewhere


def test_sigterm_drains_too_and_leaves_whole_json(ids: str, tight: dict[str, str]) -> None:
    command = delete(ids, "--json", *TIGHT)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=tight) as process:
        wait_for(process.stderr, "0 of 100")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)
    story = json.loads(out)
    assert process.returncode == story["exit_code"] == 130
    assert story["interrupted"]
    assert story["total"] == 100
    assert {result["outcome"] for result in story["results"]} == {"skipped"}
    assert "the run was interrupted" in err


def test_the_demonstration_needs_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_demo(Notes(), period=0.6) is ExitCode.OK
    assert "refused 0 of them" in capsys.readouterr().out


def test_the_simulator_serves_tls_to_those_with_a_certificate(tmp_path: Path, ids: str) -> None:
    authority = trustme.CA()
    ca, server, client = (str(tmp_path / name) for name in ("ca.pem", "server.pem", "client.pem"))
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(server)
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(client)
    options = ["--port", "0", "--packages", "3", "--write-package-ids", ids, "--cert", server, "--client-ca", ca]
    with platform([*AIONORTH, "simulate", *options]) as (_, variables):

        def attempt(*tls: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(delete(ids, *tls), capture_output=True, text=True, env=variables, check=False)

        distrustful, trusting = attempt("--client-cert", client), attempt("--ca-file", ca, "--client-cert", client)
    assert distrustful.returncode == 1
    assert "certificate was refused" in distrustful.stderr
    assert "Traceback" not in distrustful.stderr
    assert trusting.returncode == 0
    assert re.search(r"deleted\s+3", trusting.stdout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_simulator_ends_with_what_is_left(ids: str, number: signal.Signals) -> None:
    options = ["--port", "0", "--subscriptions", "2", "--packages", "3", "--write-package-ids", ids]
    with platform([*AIONORTH, "simulate", *options]) as (process, variables):
        subprocess.run(delete(ids), env=variables, check=True, capture_output=True)
        process.send_signal(number)
        wait_for(process.stdout, "2 of 2 subscriptions left")
        wait_for(process.stdout, "0 of 3 version packages left")
        assert process.wait(PATIENCE) == 0


# --- A terminal that goes away


def outcomes(journal: Path) -> set[Outcome]:
    return {entry.final_outcome() for entry in read(journal).entries.values()}


def test_a_run_whose_terminal_goes_away_ends_in_order(ids: str, tight: dict[str, str], tmp_path: Path) -> None:
    journal, report = tmp_path / "purge.jsonl", tmp_path / "purge.html"
    child = terminal(delete(ids, "--yes", *TIGHT, "--journal", str(journal), "--report", str(report)), tight)
    child.expect("20 of 20 calls used")
    os.close(child.child_fd)
    assert child.wait() == 130
    assert outcomes(journal) == {Outcome.DELETED, Outcome.SKIPPED}
    assert "Not finished" in report.read_text()


def test_a_run_that_is_to_outlive_its_terminal_does(ids: str, tight: dict[str, str], tmp_path: Path) -> None:
    journal, report = tmp_path / "purge.jsonl", tmp_path / "purge.html"
    command = delete(ids, "--yes", *TIGHT, "--journal", str(journal), "--report", str(report))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as by nohup; the child inherits it
    try:
        child = terminal(["/usr/bin/env", *command], tight)
    finally:
        signal.signal(signal.SIGHUP, before)
    child.expect("20 of 20 calls used")
    os.close(child.child_fd)
    assert child.wait() == 1  # for its result could not be shown
    assert outcomes(journal) == {Outcome.DELETED}
    assert "All 100 are gone" in report.read_text()


def test_sighup_drains_and_a_second_one_changes_nothing(ids: str, tight: dict[str, str], tmp_path: Path) -> None:
    journal, report = tmp_path / "purge.jsonl", tmp_path / "purge.csv"
    command = delete(ids, *TIGHT, "--journal", str(journal), "--report", str(report))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=tight) as process:
        wait_for(process.stderr, "0 of 100")
        time.sleep(0.5)
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.05)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "skipped" in out
    assert "to go on: " in err
    assert f"the report is in {report}" in err
    assert outcomes(journal) == {Outcome.DELETED, Outcome.SKIPPED}


def test_sighup_ends_the_simulator_with_what_is_left() -> None:
    command = [*AIONORTH, "simulate", "--port", "0", "--packages", "3", "--subscriptions", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        wait_for(process.stdout, "AIONORTH_URL")
        process.send_signal(signal.SIGHUP)
        wait_for(process.stdout, "3 of 3 version packages left")
        assert process.wait(PATIENCE) == 0
