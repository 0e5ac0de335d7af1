"""The command line in real time: processes, signals and terminals."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pexpect
import pytest
import trustme

from aionorth.cli.demo import show_demo
from aionorth.cli.exits import ExitCode
from aionorth.cli.terminal import Notes

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


@pytest.fixture
def ids(tmp_path: Path) -> str:
    return str(tmp_path / "ids.txt")


@pytest.fixture
def tight(ids: str) -> Iterator[dict[str, str]]:
    """A platform that allows 20 calls in 2 s, so that 100 deletions take a while."""
    options = ["--port", "0", "--calls", "20", "--period", "2", "--packages", "100", "--write-package-ids", ids]
    with platform([*AIONORTH, "simulate", *options]) as (_, variables):
        yield variables


def delete(ids: str, *options: str) -> list[str]:
    return [*AIONORTH, "delete", "packages", "--ids-file", ids, *options]


TIGHT = ("--calls", "20", "--period", "2")


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
    child = terminal(delete(ids, *TIGHT), tight)
    child.expect("20 of 20 calls used")
    child.sendintr()
    child.expect("finishing what has been begun, retries included; Ctrl-C again stops at once")
    child.expect(r"skipped\s+\d\d")
    child.expect("the run was interrupted")
    assert exit_code(child) == 130


def test_the_second_ctrl_c_stops_at_once_and_owns_up_to_what_is_unknown(ids: str) -> None:
    Path(ids).write_text("".join(f"id[{number}]\n" for number in range(50)))
    with platform([sys.executable, "-c", SILENT_PLATFORM]) as (_, variables):
        child = terminal(delete(ids), variables)
        child.expect("17 of 100 calls used")  # a login, and a call for each worker
        child.sendintr()
        child.expect("Ctrl-C again stops at once")
        child.sendintr()
        child.expect(r"unknown\s+16")
        child.expect(r"skipped\s+34")
        child.expect(r"unknown  id\[")
        assert exit_code(child) == 130


def test_ctrl_c_while_ids_are_typed_in_ends_the_command(tight: dict[str, str]) -> None:
    child = terminal(delete("-"), tight)
    child.expect("reading ids from the terminal")
    child.sendintr()
    child.expect("aionorth: interrupted")
    assert exit_code(child) == 130


def test_ids_can_be_typed_in(tight: dict[str, str]) -> None:
    child = terminal(delete("-"), tight)
    child.expect("reading ids from the terminal")
    child.sendline("no-such-id")
    child.sendeof()
    child.expect(r"not found\s+1")
    assert exit_code(child) == 0


def test_the_view_survives_a_terminal_that_changes_its_size(ids: str, tight: dict[str, str]) -> None:
    child = terminal(delete(ids, *TIGHT), tight, width=120)
    child.expect("20 of 20 calls used")
    for width in (50, 12, 1, 200):
        child.setwinsize(24, width)
        child.expect(r"\d")
    child.expect(r"deleted\s+100")
    assert exit_code(child) == 0


def test_a_dumb_terminal_gets_lines(ids: str, tight: dict[str, str]) -> None:
    child = terminal(delete(ids, *TIGHT), tight | {"TERM": "dumb"})
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
        wait_for(process.stdout, "2 of 2 subscriptions and 0 of 3 version packages left")
        assert process.wait(PATIENCE) == 0
