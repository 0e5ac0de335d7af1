"""The man page, as it is written from the help."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from aionorth.cli.program import app

WRITER = Path(__file__).parent.parent.parent / ".ci" / "man.py"

pytestmark = pytest.mark.skipif(not WRITER.exists(), reason="the tests stand alone")


@pytest.fixture(scope="module")
def writer() -> dict[str, Any]:
    return runpy.run_path(str(WRITER))


def test_every_command_and_option_is_in_the_page(writer: dict[str, Any]) -> None:
    page = writer["page"]().replace(r"\-", "-")
    commands: list[Any] = [typer.main.get_command(app)]
    found = 0
    while commands:
        command = commands.pop()
        commands += [one for one in getattr(command, "commands", {}).values() if not one.hidden]
        for param in command.params:
            for name in [*param.opts, *param.secondary_opts] if param.param_type_name == "option" else []:
                assert re.search(rf"^\.B .*{re.escape(name)}\b", page, re.MULTILINE), name
                found += 1
    assert found > 50
    assert re.search(r"^\.SS aionorth delete subscriptions$", page, re.MULTILINE)
    assert ".B aionorth resume\n[options] [FILE]\n" in page
    assert ".TP\n.B JOURNAL...\n" in page
    for section in ("EXAMPLES", "ENVIRONMENT", "EXIT STATUS"):
        assert page.count(f"\n.SH {section}\n") == 1


def test_no_text_is_taken_for_a_macro(writer: dict[str, Any]) -> None:
    assert writer["roff"](".TH x\n'br\n\\fB -a") == r"\&.TH x" + "\n" + r"\(aqbr" + "\n" + r"\(rsfB \-a"
    assert writer["roff"]("a b…") == r"a b\[u2026]"


@pytest.mark.slow
@pytest.mark.parametrize(
    "home", [{"HOME": "/home/some-body"}, {"HOME": "/x", "XDG_CONFIG_HOME": "/home/some-body"}, {}]
)
def test_the_page_has_nothing_of_whoever_writes_it(home: dict[str, str]) -> None:
    write = [sys.executable, "-c", f"import runpy; print(runpy.run_path({str(WRITER)!r})['page']())"]
    page = subprocess.run(write, env=home, capture_output=True, text=True, check=True).stdout
    assert "\nProfiles, in \\(ti/.config/aionorth/config.toml:\n" in page
    assert "some" not in page.partition("Profiles, in")[2].partition("\n")[0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_mandoc_has_nothing_against_the_page(writer: dict[str, Any]) -> None:
    lint = ["mandoc", "-Tlint", "-Wwarning"]
    run = subprocess.run(lint, input=writer["page"](), capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")
