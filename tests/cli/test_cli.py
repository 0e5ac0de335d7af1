"""The command line, in this very process, against a simulator in a thread of its own."""

import asyncio
import errno
import io
import json
import logging
import math
import os
import pickle
import re
import shlex
import subprocess
import sys
import time
import warnings
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text
from shell import APP, SECRET, UNREACHABLE, Run, Shell, served

import aionorth
from aionorth import (
    ArgumentError,
    CongestionError,
    DeleteResult,
    DeleteSummary,
    FlowControl,
    FlowState,
    Kind,
    NorthWarning,
    Outcome,
    PackageSelection,
    Plan,
    Target,
    UpgradePackage,
)
from aionorth.cli.commands.demo import Shown
from aionorth.cli.id_files import parse_ids
from aionorth.cli.output.messages import (
    ExitCode,
    Notes,
    OutputError,
    ProblemError,
    in_words,
    noted,
    put,
    resume_command,
    say,
)
from aionorth.cli.output.progress import LINES_EVERY, Meter, Moment, drawn, in_lines, in_place
from aionorth.cli.runs.confirm import sample
from aionorth.cli.runs.job import NOTE_SHOWN, Ended, carry_out
from aionorth.common.arguments import argument
from aionorth.simulator import MODELS, CannedReply, Simulator
from aionorth.wire.checks import id_fault

AIONORTH = [sys.executable, "-c", "from aionorth.cli import main; main()"]


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


# --- What it says of itself


def test_version(shell: Shell) -> None:
    assert shell("--version") == Run(0, f"aionorth {aionorth.__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_teaches_examples_variables_and_exit_codes(shell: Shell, flag: str) -> None:
    for command in ([], ["delete"]):
        run = shell(*command, flag)
        assert run.code == 0
        for taught in ("aionorth delete subscriptions --ids-file ids.txt", "AIONORTH_SECRET", "130 "):
            assert taught in run.out


@pytest.mark.parametrize("command", ["check", "demo", "simulate"])
def test_every_command_has_help(shell: Shell, command: str) -> None:
    assert f"Usage: aionorth {command}" in shell(command, "--help").out


def test_help_groups_commands_and_options(shell: Shell) -> None:
    commands = shell("--help").out
    assert commands.index("On the platform:") < commands.index("  delete ") < commands.index("To try things:")
    assert commands.index("To try things:") < commands.index("  demo ") < commands.index("\nOptions:")
    options = shell("delete", "packages", "--help").out
    assert options.index("--ids-file") < options.index("\nConnection:") < options.index("--url")
    assert options.index("--timeout") < options.index("\nFlow control:") < options.index("--burst")


def test_importing_the_package_needs_no_extra_and_takes_no_time() -> None:
    run = python("import sys, aionorth.cli; sys.exit(bool({'typer', 'rich', 'aiohttp', 'attrs'} & set(sys.modules)))")
    assert run.returncode == 0


LATER = {"aionorth.stores.machine", "aionorth.stores.redis", "sqlite3", "redis", "typer", "rich", "jinja2"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "later"),
    [
        ("from aionorth import NorthSession", LATER),
        ("import aionorth", {"aiohttp", "asyncio", "attrs"}),
        ("import aionorth.simulator", {"aiohttp.web"}),
        ("import aionorth.cli.program", {"aiohttp.web", "jinja2", "redis"}),
    ],
)
def test_what_takes_long_to_import_is_imported_when_it_is_needed(statement: str, later: set[str]) -> None:
    assert all(find_spec(name) for name in later)
    run = python(f"import sys; {statement}; print(*sorted({later!r} & set(sys.modules)))")
    assert (run.returncode, run.stdout) == (0, "\n")


def test_every_public_name_is_there_all_the_same() -> None:
    for name in aionorth.__all__:
        assert hasattr(aionorth, name), name
    assert set(aionorth.__all__) <= set(dir(aionorth))
    assert pickle.loads(pickle.dumps(aionorth.RetryPolicy)) is aionorth.RetryPolicy
    run = python("import aionorth; from aionorth import *; print(aionorth.errors.NorthError is NorthError)")
    assert (run.returncode, run.stdout) == (0, "True\n")
    with pytest.raises(AttributeError, match="no attribute 'Plans'"):
        _ = aionorth.Plans  # type: ignore[attr-defined]  # that is the point


@pytest.mark.parametrize("missing", ["typer", "rich", "platformdirs", "jinja2"])
def test_without_the_extra_one_line_says_what_to_install(missing: str) -> None:
    run = python(f"import sys; sys.modules[{missing!r}] = None; from aionorth.cli import main; main()")
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "pip install 'aionorth[cli]'" in run.stderr


# --- Settings


@pytest.mark.parametrize("missing", ["URL", "APP_ID", "SECRET"])
@pytest.mark.parametrize("state", ["missing", "empty"])
def test_a_missing_variable_is_named(ready: Shell, monkeypatch: pytest.MonkeyPatch, missing: str, state: str) -> None:
    if state == "missing":
        monkeypatch.delenv(f"AIONORTH_{missing}")
    else:
        ready.export(**{missing: ""})
    run = ready("delete", "packages", "--ids-file", ready.file("a"))
    assert run.code == 2
    assert f"AIONORTH_{missing} is {state}" in run.err
    assert f"export AIONORTH_{missing}" in run.err


def test_the_secret_is_no_option(ready: Shell) -> None:
    assert ready("delete", "packages", "--ids-file", ready.file("a"), "--secret", "x").code == 2
    assert "--secret " not in ready("delete", "--help").out


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--calls", "0"),
        ("--calls", "many"),
        ("--period", "0"),
        ("--period", "nan"),
        ("--period", "inf"),
        ("--headroom", "1"),
        ("--headroom", "-0.1"),
        ("--burst", "0"),
        ("--workers", "0"),
        ("--timeout", "-1"),
    ],
)
def test_an_unusable_number_is_named(ready: Shell, option: str, value: str) -> None:
    run = ready("delete", "packages", "--ids-file", ready.file("a"), option, value)
    assert run.code == 2
    assert option in run.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "ftp://x"], "http or https URL"),
        (["--url", "https://user:word@x"], "user or password"),
        (["--app-id", "ä"], "ASCII"),
        (["--app-id", "x" * 257], "--app-id must be a string of 1 to 256"),
        (["--authorized-app-id", "x"], "No such option"),
        (["--client-key", "x"], "--client-cert"),
        (["--ca-file", "x"], "https"),
        (["--client-cert", "x"], "https"),
        (["--unsafe-accept-any-host-name"], "https"),
        (["--url", "https://x", "--ca-file", "no-such-file"], "no-such-file"),
        (["--url", "https://x", "--client-cert", "no-such-file"], "no-such-file"),
    ],
)
def test_settings_that_cannot_be_used_are_named(ready: Shell, arguments: list[str], said: str) -> None:
    run = ready("delete", "packages", "--ids-file", ready.file("a"), *arguments)
    assert run.code == 2
    assert said in run.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["subscriptions", "--callback-host", "https://x/"], "--callback-host 'https://x/': give the host alone"),
        (["subscriptions", "--callback-host", "x:1"], "for all of a URL there is --callback-url\n"),
        (["subscriptions", "--callback-url", ""], "--callback-url '': give a glob"),
        (["subscriptions", "--all", "--authorized-app-id", ""], "--authorized-app-id must be"),
        (["packages", "--file-type", "x"], "--file-type 'x': give firmwarePackage or softwarePackage"),
        (["packages", "--model", ""], "--model must be"),
        (["packages", "--older-than", "999999w"], "--older-than '999999w': give less than 100 years"),
        (["packages", "--all", "--app-id", "ä"], "--app-id must be printable ASCII"),
        (["packages", "--all", "--url", "https://x", "--ca-file", "none"], "--ca-file 'none' cannot be used"),
        (["packages", "--all", "--url", "https://x", "--client-cert", "none"], "--client-cert 'none' cannot"),
    ],
)
def test_messages_name_options_and_not_arguments(ready: Shell, arguments: list[str], said: str) -> None:
    run = ready("delete", *arguments)
    assert run.code == 2
    assert said in run.err
    assert not re.search(r"\b[a-z]+_[a-z_]+\b|=True|timedelta", run.err)


def test_remedies_name_options_and_not_arguments() -> None:
    assert "; give its CA as --ca-file" in in_words(aionorth.TlsError(f"refused; give its CA as {argument('ca_file')}"))
    assert "Leave --authorized-app-id out" in in_words(aionorth.AppNotAuthorizedError(403, "100217"))
    assert in_words(ArgumentError(f"{argument('share_token')}=False: no")) == "--no-share-token: no"
    assert in_words(ArgumentError(f"{argument('x.everything')}=True: no")) == "--all: no"
    assert in_words(ArgumentError(f"{argument('FlowControl.calls')}='calls=0': no")) == "--calls 'calls=0': no"
    assert in_words(ArgumentError(f"{argument('no_option')}=1: no")) == "no_option=1: no"
    without = "while nothing else uses this app, do without: --store memory"
    assert in_words(aionorth.StoreError("it is busy")) == f"it is busy; {without}"
    assert in_words(aionorth.StoreError("it is full; make room")) == f"it is full; make room; or, {without}"


@pytest.mark.parametrize("word", ["ids.txt", "my ids"])
def test_a_file_without_its_option_is_answered_with_the_option(ready: Shell, word: str) -> None:
    run = ready("delete", "subscriptions", word)
    assert run.code == 2
    assert f"give it with --ids-file {shlex.quote(word)}\n" in run.err


NOT_AN_OPTION = (
    "There is no option for the secret: it would show in the list of processes and in the shell's history, where this "
    "one is now. Set AIONORTH_SECRET, or give --secret-file\n"
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("delete packages --al", "No such option: --al (Possible options: --all)\n"),
        ("delete packages --modle x", "No such option: --modle (Possible options: --model)\n"),
        ("check --secret x", NOT_AN_OPTION),
        ("delete -q", "No such option: -q; the options of a command stand behind it: aionorth delete COMMAND -q\n"),
        ("list packages --all", "No such option: --all\n"),
        ("list devices --cascade", "No such option: --cascade\n"),
        ("delete packages --ids-file", "Option '--ids-file' requires an argument.\n"),
    ],
)
def test_a_mistyped_option_is_answered_with_the_usage_and_what_may_be_meant(
    ready: Shell, words: str, said: str
) -> None:
    run = ready(*words.split())
    assert run.code == 2
    assert run.err.startswith(f"Usage: aionorth {words.split(maxsplit=1)[0]} ")
    assert run.err.endswith(f"Error: {said}")


@pytest.mark.parametrize("words", ["delete devices", "simulate", "list", "check"])
def test_no_line_of_help_is_broken_at_a_hyphen(shell: Shell, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert not re.search(r"\w-\n", shell(*words.split(), "--help").out)


@pytest.mark.parametrize("words", ["", "delete", "delete devices", "simulate", "check", "resume"])
def test_help_on_a_narrow_terminal_is_broken_between_words(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("aionorth.cli.parser.width_of", lambda _: 40)
    wide = [line for line in shell(*words.split(), "--help").out.splitlines() if len(line) > 40]
    whole = re.compile(r" *(.*aionorth .*|\S+( / \S+)?|\S+=\S+|-\w, --\S+ \w+)")  # commands, and names of options
    assert [line for line in wide if not whole.fullmatch(line)] == []


@pytest.mark.parametrize(
    ("command", "usage", "named"),
    [("apply", "FILE", "FILE  "), ("resume", "[FILE]", "[FILE]  "), ("report", "JOURNAL...", "JOURNAL...  ")],
)
def test_arguments_are_shown_as_they_are_typed(shell: Shell, command: str, usage: str, named: str) -> None:
    said = shell(command, "--help").out
    assert said.startswith(f"Usage: aionorth {command} [OPTIONS] {usage}\n")
    assert f"Arguments:\n  {named}The " in said


def test_a_secret_too_long_is_named_and_not_shown(ready: Shell) -> None:
    ready.export(SECRET=SECRET * 20)
    run = ready("delete", "packages", "--ids-file", ready.file("a"))
    assert run.code == 2
    assert "AIONORTH_SECRET must be" in run.err


def test_a_library_warning_is_one_line(ready: Shell) -> None:
    words = ("--ids-file", ready.file(""), "--allow-empty", "--url", "http://platform.example")
    run = ready("delete", "packages", *words)
    assert "aionorth: http://platform.example is not https: secret and tokens travel in the clear\n" in run.err
    assert "NorthWarning" not in run.err


WITHOUT_HOME = """
import os, pwd, sys
def unknown(_): raise KeyError
pwd.getpwuid = unknown
os.environ.pop("HOME", None)
from aionorth.cli import main
main()
"""
"""The command line for a user without a home, as in a container that runs as any number."""


def without_home(*words: str, stdin: str = "", **variables: str) -> Run:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIONORTH_", "XDG_", "HOME"))}
    command = [sys.executable, "-c", WITHOUT_HOME, *words]
    run = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=kept | variables)
    assert "Traceback" not in run.stderr
    return Run(run.returncode, run.stdout, run.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    ["--version", "--help", "check --help", "delete packages --help", "simulate --help", "--show-completion bash"],
)
def test_help_needs_no_home(words: str) -> None:
    run = without_home(*words.split())
    assert (run.code, run.err) == (0, "")


@pytest.mark.slow
def test_what_needs_a_home_says_what_to_set() -> None:
    settings = {"AIONORTH_URL": UNREACHABLE, "AIONORTH_APP_ID": APP, "AIONORTH_SECRET": SECRET}
    no_home = "aionorth: there is no home directory for"
    assert without_home("check", "--profile", "prod") == Run(
        2, "", f"{no_home} profiles: set HOME, or XDG_CONFIG_HOME\n"
    )
    run = without_home("check", **settings)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith(f"{no_home} the app's store: set HOME, or XDG_STATE_HOME, or do without")
    assert run.err.endswith(": --store memory\n")
    assert (
        "there is no home directory; give the whole path" in without_home("check", "--ca-file", "~/x", **settings).err
    )
    purge = ["delete", "packages", "--ids-file", "-", "--yes", "--store", "memory"]
    run = without_home(*purge, stdin="one\n", **settings)
    assert run == Run(2, "", f"{no_home} journals: set HOME, or XDG_STATE_HOME, or name a file with --journal\n")
    assert (
        without_home("journals").err
        == f"{no_home} journals: set HOME, or XDG_STATE_HOME, or name a journal's file to resume or report\n"
    )
    run = without_home("--install-completion", "bash")
    assert run == Run(2, "", "aionorth: there is no home directory, where a shell looks for completion: set HOME\n")


@pytest.mark.slow
def test_without_a_home_all_goes_that_needs_none(platform: Simulator, tmp_path: Path) -> None:
    settings = {"AIONORTH_URL": platform.url, "AIONORTH_APP_ID": APP, "AIONORTH_SECRET": SECRET}
    ids = tmp_path / "ids"
    ids.write_text("\n".join(platform.add_packages(2)))
    words = ["delete", "packages", "--ids-file", str(ids), "--yes", "--store", "memory"]
    assert without_home("check", "--store", "memory", **settings).code == 0
    assert without_home(*words, "--journal", str(tmp_path / "journal"), **settings).code == 0
    ids.write_text("\n".join(platform.add_packages(2)))
    assert without_home(*words[:-2], **settings, XDG_STATE_HOME=str(tmp_path / "state")).code == 0
    assert not platform.package_ids()


# --- Ids


@given(
    st.lists(
        st.text(
            st.characters(categories=["L", "N", "P", "S"], exclude_characters=',;#/\\"<>|'), min_size=1, max_size=64
        )
    ),
    st.lists(st.sampled_from(["\n", "\r\n", "\n \n", " \n\t\n", "\n\n\n"]), min_size=1),
)
def test_ids_come_back_whatever_blank_stands_around_them(ids: list[str], ends: list[str]) -> None:
    ids = [id_ for id_ in ids if id_fault(id_) is None and id_ != "null"]  # which is refused, as is tested below
    ids = ["5fa1c2", *ids]  # nor is the first of them a header
    text = "".join(f" {id_}\t{ends[number % len(ends)]}" for number, id_ in enumerate(ids))
    assert parse_ids(text.encode("utf-8-sig"), "file_id", "f") == ids


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\n\xff\n", "f, line 2: not UTF-8 text (byte 0xff)"),
        ("a\nb".encode("utf-16"), "f, line 1: not UTF-8"),
        ("a\nb".encode("utf-16-le"), "f, line 1: id 'a\\x00' has an invisible character"),
        (b"a\n\nb\x07c", "f, line 3: id 'b\\x07c' has an invisible character"),
        (b"a\r\n" + b"x" * 257, "f, line 2: id 'xxxxxxxxxxxxxxxxxxxx'… has 257 characters"),
        (b"..", "f, line 1: id '..' has a path segment that is empty, '.' or '..'"),
        ("a\u2028b\n.".encode(), "f, line 1: id 'a\\u2028b' has an invisible"),
    ],
)
def test_a_bad_line_is_named_by_its_number(content: bytes, said: str) -> None:
    with pytest.raises(ProblemError) as problem:
        parse_ids(content, "file_id", "f")
    assert said in str(problem.value)


QUOTES = ('""', "''", "``", "“”", "\u2018\u2019", "„“", "«»", "\u2039\u203a")
QUOTED = [f"{quotes[0]}5fa1c2{quotes[1]}" for quotes in QUOTES]
JSON = [
    '{"fileId": "5fa1c2"}',
    '{"fileId":"5fa1c2"},',
    '["5fa1c2","5fa1c3"]',
    '[\n  "5fa1c2",\n  "5fa1c3"\n]',
    '"fileId":',
    '"5fa1c2"],',
    "[]",
    "}",
]


@pytest.mark.parametrize("quoted", QUOTED)
@pytest.mark.parametrize("column", [(), ("--csv-column", "id")])
def test_ids_in_quotes_are_refused_with_a_remedy(ready: Shell, quoted: str, column: tuple[str, ...]) -> None:
    written = quoted.replace('"', '"""') if column else quoted  # quotes around the entry, and two for each within it
    run = ready("delete", "packages", "--ids-file", ready.file(f"id\n{written}\n"), *column)
    assert (run.code, run.out) == (2, "")
    assert re.search(rf"ids.txt, line 2: (id )?{re.escape(repr(quoted))} is in quotes", run.err)
    assert "take them away" in run.err or "give the id without them" in run.err
    assert run.err.endswith("\nnothing was sent\n")


@pytest.mark.parametrize("written", JSON)
def test_json_is_refused_with_what_extracts_ids(ready: Shell, written: str) -> None:
    run = ready("delete", "packages", "--ids-file", ready.file(f"\n{written}\n"))
    assert (run.code, run.out) == (2, "")
    assert "ids.txt, line 2: " in run.err
    assert " looks like JSON: extract the ids, as with jq -r" in run.err


def test_what_jq_prints_for_a_key_that_is_not_there_is_no_id(ready: Shell) -> None:
    run = ready("delete", "packages", "--ids-file", ready.file('{"fileId": "one"}\n'))
    assert "jq -r .fileId" in run.err
    run = ready("delete", "packages", "--ids-file", ready.file("null\nnull\n"))
    assert (run.code, run.out) == (2, "")
    assert "ids.txt, line 1: 'null' is what jq prints where there is no such key" in run.err


def test_json_in_a_column_is_refused_too(ready: Shell) -> None:
    run = ready("delete", "packages", "--ids-file", ready.file('n,id\n1,"[""a""]"\n'), "--csv-column", "id")
    assert (run.code, run.out) == (2, "")
    assert "ids.txt, line 2: '[\"a\"]' looks like JSON" in run.err


@pytest.mark.parametrize("id_", [*QUOTED, *JSON])
def test_what_is_to_stay_is_not_named_in_quotes_or_json_either(ready: Shell, id_: str) -> None:
    run = ready("delete", "packages", "--all", "--exclude-file", ready.file(id_))
    assert (run.code, run.out) == (2, "")
    assert "ids.txt, line 1: " in run.err
    if not id_.endswith((",", ":")):
        run = ready("delete", "packages", "--all", "--exclude", id_.replace("\n", " "))
        assert (run.code, run.out) == (2, "")
        assert "is in quotes or braces" in run.err or "give one id per --exclude" in run.err


def test_of_many_bad_lines_the_first_are_named_and_all_are_counted() -> None:
    with pytest.raises(ProblemError) as problem:
        parse_ids(b".\n" * 1200, "file_id", "f")
    assert "line 5:" in str(problem.value)
    assert "line 6:" not in str(problem.value)
    assert "and 1,195 more" in str(problem.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("no-such-file", "No such file"),
        (".", "Is a directory"),
        ("a\0b", "path"),
        ("x" * 5000, "too long"),
        ("x\naionorth: all is well\x1b[2J\u202e", "x\\naionorth: all is well\\x1b[2J\\u202e cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(ready: Shell, source: str, said: str) -> None:
    run = ready("delete", "packages", "--ids-file", source)
    assert run.code == 2
    assert said in run.err


def test_nothing_is_sent_if_one_line_is_bad(shell: Shell, platform: Simulator) -> None:
    shell.point_at(platform)
    run = shell("delete", "packages", "--ids-file", shell.file("good\n..\n"))
    assert run.code == 2
    assert "ids.txt, line 2" in run.err
    assert not platform.arrivals


def test_a_closed_standard_input_is_a_message(ready: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    run = ready("delete", "packages", "--ids-file", "-")
    assert run.code == 2
    assert "standard input is closed" in run.err


@pytest.mark.parametrize("content", ["", "\n \r\n", "\ufeff", "\ufeffid\n", "n;id\n1;\n2\n"])
def test_an_empty_file_is_refused_unless_it_may_be_empty(ready: Shell, content: str) -> None:
    column = ("--csv-column", "id") if "id" in content else ()
    words = ("delete", "packages", "--ids-file", ready.file(content), *column)
    run = ready(*words)
    assert (run.code, run.out) == (2, "")
    assert "ids.txt has no ids: nothing was sent; add --allow-empty" in run.err
    for more in ((), ("--model", "m")):  # for which the platform, were it there, would list
        run = ready(*words, *more, "--allow-empty")
        assert (run.code, run.out) == (0, "")
        assert "nothing to delete" in run.err


def test_an_empty_column_of_an_empty_file_may_be_empty_too(ready: Shell) -> None:
    words = ("delete", "packages", "--ids-file", ready.file("\n"), "--csv-column", "id")
    assert ready(*words).code == 2
    assert ready(*words, "--allow-empty").code == 0


def test_an_empty_list_of_what_is_to_stay_is_refused_too(ready: Shell) -> None:
    run = ready("delete", "packages", "--all", "--exclude-file", ready.file(" \n"))
    assert (run.code, run.out) == (2, "")
    assert "ids.txt has no ids: nothing was sent" in run.err


def test_an_empty_file_that_may_be_one_is_an_object_in_json(ready: Shell) -> None:
    run = ready("delete", "packages", "--json", "--ids-file", ready.file(""), "--allow-empty")
    assert run.code == 0
    assert run.json["total"] == 0
    assert run.json["ok"]


# --- Deleting


def test_all_gone_is_exit_code_0_and_a_summary(shell: Shell, platform: Simulator) -> None:
    ids = platform.add_subscriptions(5)
    shell.point_at(platform)
    run = shell("delete", "subscriptions", "--ids-file", shell.file("\n".join([*ids, ids[0], "no-such"])))
    assert run.code == 0
    assert "deleted    5\nnot found  1" in run.out
    assert "1 duplicate dropped" in run.out
    assert not platform.subscription_ids()


def test_json_is_one_object_and_all_that_stdout_holds(shell: Shell, platform: Simulator) -> None:
    ids = platform.add_packages(3)
    shell.point_at(platform)
    shell.stdin("\r\n".join(ids).encode("utf-8-sig"))
    run = shell("delete", "packages", "--ids-file", "-", "--json")
    assert run.code == 0
    assert run.out.count("\n") == 1
    expected = {"kind": "packages", "total": 3, "deleted": 3, "calls": 3, "ok": True, "results": [], "exit_code": 0}
    assert run.json | expected == run.json
    assert not platform.package_ids()


def test_options_take_the_place_of_variables(shell: Shell, platform: Simulator) -> None:
    shell.export(URL="https://elsewhere.invalid", APP_ID="another", SECRET=SECRET)
    ids = shell.file("\n".join(platform.add_packages(2)))
    assert shell("delete", "packages", "--ids-file", ids, "--url", platform.url, "--app-id", APP).code == 0


def test_subscriptions_of_an_app_that_has_authorized_this_one(shell: Shell) -> None:
    with served({"theirs": "x", APP: SECRET}) as platform:
        platform.authorize("theirs", APP)
        ids = platform.add_subscriptions(2, app_id="theirs")
        shell.point_at(platform)
        arguments = ["delete", "subscriptions", "--ids-file", shell.file("\n".join(ids))]
        assert "not found  2" in shell(*arguments).out
        assert shell(*arguments, "--authorized-app-id", "theirs").code == 0
        assert not platform.subscription_ids("theirs")


def test_what_failed_is_exit_code_1_and_named(shell: Shell, platform: Simulator) -> None:
    ids = platform.add_packages(["fine", "bad[red]x"])
    platform.script(CannedReply(400, b'{"error_code": "120015", "error_desc": "\x1b[2J\x9bx"}'), path="bad")
    platform.script(CannedReply(400, b'{"error_code": "120015", "error_desc": "no"}'), path="bad")
    shell.point_at(platform)
    run = shell("delete", "packages", "--ids-file", shell.file("\n".join(ids)))
    assert run.code == 1
    assert "failed   bad[red]x\n" in run.out
    assert "\x1b" not in run.out + run.err
    assert shell("delete", "packages", "--ids-file", shell.file("\n".join(ids)), "--json").json["failed"] == 1


def test_refused_credentials_are_exit_code_3(shell: Shell, platform: Simulator) -> None:
    ids = shell.file("\n".join(platform.add_packages(2)))
    shell.export(URL=platform.url, APP_ID=APP, SECRET=SECRET[::-1])
    run = shell("delete", "packages", "--ids-file", ids, "--json")
    assert run.code == run.json["exit_code"] == 3
    assert run.json["skipped"] == 2
    assert run.json["error"]["type"] == "CredentialsError"
    assert "aionorth: the run ended early: HTTP 401, code 100208" in run.err
    assert SECRET[::-1] not in run.out + run.err


@pytest.mark.parametrize(("url", "said"), [("https://no-such-host.invalid", "no such host"), (None, "TLS")])
def test_no_way_to_the_platform_is_one_message(shell: Shell, platform: Simulator, url: str | None, said: str) -> None:
    shell.export(URL=url or platform.url.replace("http:", "https:"), APP_ID=APP, SECRET=SECRET)
    run = shell("delete", "packages", "--ids-file", shell.file("a\nb"))
    if "looked up now" in run.err:
        pytest.skip("this machine has no name service")
    assert run.code == 1
    assert said in run.err
    assert "skipped    2" in run.out


async def test_a_refused_connection_ends_the_run_after_its_attempts() -> None:
    with noted() as notes:
        async with aionorth.NorthSession(UNREACHABLE, app_id=APP, secret=SECRET) as north:
            run = north.delete_upgrade_packages(["a", "b"])
            ended = await carry_out(run, north, notes, kind=Kind.PACKAGES, title="x", distinct=2)
    assert ended.exit_code is ExitCode.FAILED
    assert ended.summary.skipped == 2
    assert "check the URL and the network" in (ended.reason or "")


@pytest.mark.slow
def test_a_reader_that_has_gone_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [*AIONORTH, "--version"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_does_not_lose_the_account(platform: Simulator, shell: Shell) -> None:
    ids = shell.file("\n".join(platform.add_packages(2)))
    shell.point_at(platform)
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [*AIONORTH, "delete", "packages", "--ids-file", ids],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert run.returncode == 1
    assert "deleted    2" in run.stderr
    assert "No space left" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", ["--help", "delete --help", "--version", ""])
def test_help_that_does_not_fit_is_one_line(words: str) -> None:
    completion = {} if words else {"_AIONORTH_COMPLETE": "source_bash"}
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [*AIONORTH, *words.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ | completion,
        )
    assert run.returncode == 1
    assert run.stderr == "aionorth: standard output cannot be written to: No space left on device\n"


@pytest.mark.parametrize("where", ["in a command", "elsewhere"])
def test_an_error_of_the_system_is_reported_with_its_file_and_reason(
    ready: Shell, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300)

    if where == "in a command":
        monkeypatch.setattr("aionorth.cli.settings.resolve", fail)
    else:
        monkeypatch.setattr("aionorth.cli.program.program", lambda: fail)
    assert ready("check") == Run(1, "", f"aionorth: {'x' * 300}: File name too long\n")


@pytest.mark.parametrize("words", [("delete", "packages", "--all", "--journal"), ("resume",)])
def test_a_name_that_is_too_long_is_reported_as_such(ready: Shell, words: tuple[str, ...]) -> None:
    run = ready(*words, "x" * 300)
    assert run.code in {1, 2}
    assert "File name too long" in run.err
    assert "standard output" not in run.err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (OSError("odd"), "odd"),
        (TimeoutError(), "TimeoutError"),
        (OutputError(OSError(errno.ENOSPC, "No space left")), "standard output cannot be written to: No space left"),
    ],
)
def test_errors_of_the_system_in_words(error: OSError, said: str) -> None:
    assert in_words(error) == said


# --- How it ended


def ended(**facts: Any) -> Ended:
    return Ended(kind=Kind.PACKAGES, summary=DeleteSummary(total=3, **facts.pop("counts", {"deleted": 3})), **facts)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, 0),
        ({"counts": {"deleted": 1, "not_found": 1, "gone": 1}}, 0),
        ({"counts": {"gone": 3}}, 0),
        ({"counts": {"deleted": 2, "unknown": 1}}, 1),
        ({"cause": aionorth.TlsError("x")}, 1),
        ({"cause": ValueError("the input's")}, 1),
        ({"cause": aionorth.CredentialsError(401, "100208")}, 3),
        ({"cause": aionorth.InvalidTokenError(403, "1010005")}, 3),
        ({"cause": aionorth.TokenEvictedError(403, "1010005")}, 3),
        ({"cause": aionorth.AppNotFoundError(400, "100203")}, 3),
        ({"cause": aionorth.AppFrozenError(400, "100247")}, 3),
        ({"cause": aionorth.CredentialsError(401, "100208"), "interrupted": True}, 130),
        ({"interrupted": True}, 130),
    ],
)
def test_exit_codes(facts: dict[str, Any], code: int) -> None:
    end = ended(**facts)
    assert end.exit_code == code
    assert (end.reason is None) == (code == 0)
    assert json.loads(end.as_json())["exit_code"] == code


def test_ids_that_nobody_knew_are_none_known_although_a_reply_was_lost() -> None:
    end = ended(counts={"not_found": 2, "gone": 1})
    assert end.exit_code == ExitCode.NONE_KNOWN
    assert attrs.evolve(end, listed=True).exit_code == attrs.evolve(end, missing_ok=True).exit_code == ExitCode.OK


def test_errors_in_json_name_options() -> None:
    failed = DeleteResult("x", Outcome.FAILED, aionorth.CredentialsError(401, "100208"))
    said = json.loads(ended(counts={"failed": 1, "results": (failed,)}).as_json())
    assert "Check the --app-id and the secret" in said["results"][0]["error"]["message"]


def test_the_text_names_the_first_ids_that_failed_and_counts_the_rest() -> None:
    results = tuple(DeleteResult(f"id{number}", Outcome.FAILED) for number in range(12))
    end = ended(counts={"results": (*results, DeleteResult("never-tried", Outcome.SKIPPED))})
    text = end.as_text().plain
    assert "failed   id9" in text
    assert "id10" not in text
    assert "and 2 more" in text
    assert "never-tried" not in text


# --- What is shown meanwhile

IDLE = FlowState(limit=100, period=60.0, in_use=0, next_slot=0.0, waiting=0, paused_for=0.0, refusals=0)


def moment(
    *, flow: FlowState = IDLE, distinct: int = 3000, counts: dict[str, Any] | None = None, **more: Any
) -> Moment:
    return Moment(summary=DeleteSummary(**(counts or {})), flow=flow, distinct=distinct, **more)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, "0 of 100 calls used"),
        ({"in_use": 96, "next_slot": 0.0}, "96 of 100 calls used"),
        ({"in_use": 100, "next_slot": 12.3}, "100 of 100 calls used, next slot in 12 s"),
        ({"in_use": 100, "next_slot": 0.44}, "100 of 100 calls used, next slot in 0.4 s"),
        ({"in_use": 100, "next_slot": math.inf}, "100 of 100 calls used, next slot with the next reply"),
        ({"in_use": 10, "paused_for": 8.0}, "refused by the platform, paused 8.0 s"),
    ],
)
def test_flow_control_in_words(state: dict[str, Any], said: str) -> None:
    assert moment(flow=attrs.evolve(IDLE, **state)).flow_control() == said


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, ""),
        ({"learned_limit": 50, "gap": 1.2}, "the platform seems to allow about 50 calls a minute; set --calls 50"),
        ({"learned_limit": 5, "period": 3.0}, "the platform seems to allow about 5 calls in 3 s; set --calls 5"),
        ({"gap": 0.6}, "the calls are spread evenly after a refusal"),
    ],
)
def test_what_refusals_have_shown_in_words(state: dict[str, Any], said: str) -> None:
    assert moment(flow=attrs.evolve(IDLE, **state)).advice() == said


def test_a_learned_limit_is_the_one_that_is_shown_and_calculated_with() -> None:
    now = moment(flow=attrs.evolve(IDLE, learned_limit=50, in_use=49), distinct=101)
    assert now.flow_control() == "49 of 50 calls used"
    assert now.remaining() == "about 2 min 0 s left"


def test_progress_and_counts_in_words() -> None:
    now = moment(counts={"total": 2999, "deleted": 2980, "not_found": 9, "gone": 4})
    assert now.progress() == "2,993 of 3,000 (99 %)"
    assert [text for _, text in now.counts()] == ["2,980 deleted", "9 not found", "4 gone", "6 in work"]
    assert moment(distinct=0).progress() == "0 of 0 (100 %)"


def test_what_remains_in_words() -> None:
    assert moment().remaining() == "about 29 min 0 s left"
    assert moment(distinct=20).remaining() == "the first call is under way"
    assert moment(distinct=20, counts={"calls": 1}).remaining() == "about 1.0 s left"
    assert (
        moment(distinct=9, counts={"calls": 1, "total": 9, "deleted": 5}).remaining() == "the last calls are under way"
    )
    held = attrs.evolve(IDLE, in_use=100, next_slot=40.0, waiting=4)
    assert (
        moment(distinct=9, counts={"calls": 1, "total": 9, "deleted": 9}, flow=held).remaining()
        == "all are accounted for"
    )
    few = {"calls": 1, "total": 9, "deleted": 5}
    assert moment(distinct=9, counts=few, flow=held).remaining() == "about 40.0 s left"
    assert moment(distinct=9, counts={"calls": 1, "total": 9, "deleted": 9}).remaining() == "all are accounted for"
    assert moment(distinct=20, pace=0.1, counts={"total": 10, "deleted": 10}).remaining() == "about 1 min 40 s left"
    lost = FlowState(
        limit=100, period=60, in_use=9, next_slot=0, waiting=0, paused_for=0, refusals=0, store_reached=False
    )
    assert (
        moment(distinct=20, flow=lost).flow_control() == "the store of flow control cannot be reached, calls are held"
    )
    assert moment(distinct=20, flow=lost).remaining() == "time left unknown until the store can be reached"
    assert moment(distinct=20, pace=0.0).remaining() == "time left unknown until a call succeeds"
    assert moment(stopping=True).remaining() == "finishing what has been begun, retries included"
    assert moment(ended=True, counts={"elapsed": 65.0}).remaining() == "ended after 1 min 5 s"
    assert moment(ended=True, counts={"elapsed": 65.0}, earlier=60.0).remaining() == "ended after 5.0 s"


@given(st.lists(st.tuples(st.floats(0.01, 5), st.integers(0, 100))))
def test_the_rate_never_shows_more_calls_than_a_period_held(steps: list[tuple[float, int]]) -> None:
    meter = Meter(3.0)
    elapsed, calls, made = 0.0, 0, [(0.0, 0)]
    meter.rate(0.0, 0)
    for wait, number in steps:
        elapsed, calls = elapsed + wait, calls + number
        made.append((elapsed, number))
        # What was made at one moment may have been made any time since the moment before.
        held = sum(number for when, number in made if when >= elapsed - 3.0)
        assert 0 <= meter.rate(elapsed, calls) * 3.0 / 60.0 <= held + 1e-9


def test_the_rate_is_that_of_the_last_period() -> None:
    meter = Meter(60.0)
    rates = [meter.rate(second, 2 * second) for second in range(200)]
    assert rates[30] == 60.0
    assert rates[-1] == 120.0


async def test_the_rate_at_the_end_is_that_of_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    moments: list[Moment] = []
    monkeypatch.setattr("aionorth.cli.runs.job.view_of", lambda _: nullcontext(moments.append))
    journal, flow_control = tmp_path / "purge.jsonl", aionorth.FlowControl(calls=20, period=3.0)
    with noted() as notes:
        async with (
            Simulator({APP: SECRET}) as platform,
            aionorth.NorthSession(platform.url, app_id=APP, secret=SECRET, flow_control=flow_control) as north,
        ):
            plan = await north.plan(aionorth.PackageSelection(ids=platform.add_packages(60)))
            run = north.purge(plan, journal=journal)
            asyncio.get_running_loop().call_later(4, run.stop)
            await carry_out(run, north, notes, kind=Kind.PACKAGES, title="x", distinct=60)
            first = moments[-1]
            run = north.resume(journal)
            await run.prepare()
            await carry_out(run, north, notes, kind=Kind.PACKAGES, title="x", distinct=60)
    last, before = moments[-1], first.summary.calls
    assert 0 < before < last.summary.calls == 60
    assert first.rate == pytest.approx(before * 60 / first.elapsed)
    assert last.rate == pytest.approx((60 - before) * 60 / (last.elapsed - last.earlier))


def test_lines_come_every_ten_seconds_and_not_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with in_lines("Deleting [red]things[/]") as show:
        for tick in range(151):
            show(moment(counts={"elapsed": tick / 5}, ended=tick == 150))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 30 / LINES_EVERY
    assert lines[0].startswith("Deleting [red]things[/]: 0 of 3,000 (0 %); 0 deleted; 0 calls a minute; 0 of 100 calls")


@pytest.mark.parametrize("width", [1, 10, 20, 40, 80, 200])
@pytest.mark.parametrize("height", [1, 24])
def test_the_live_view_fits_any_terminal(width: int, height: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=width, height=height, force_terminal=True, color_system=None, highlight=False)
    busy = moment(
        counts={"total": 2000, "deleted": 1900, "failed": 20, "unknown": 3},
        flow=attrs.evolve(IDLE, in_use=100, next_slot=12.0),
        note="another attempt in 3.1 s, after: [bold]" + "x" * 300,
        rate=100.0,
    )
    with in_place("Deleting packages of [app] at \x1bhttp://x", console, transient=False) as show:
        show(busy)
        drawn = screen.getvalue().split("\x1b[?25l")[-1]
    assert max(len(line) for line in drawn.splitlines()) <= width
    if width >= 80 and height > 1:
        for fact in (
            "Deleting packages of [app] at \\x1bhttp",
            "1,923 of 3,000 (64 %)",
            "20 failed",
            "12 s",
            "[bold]x",
        ):
            assert fact in drawn


@pytest.mark.parametrize("ended", [False, True])
def test_a_ctrl_c_on_a_terminal_has_a_line_of_its_own_below_the_live_view(ended: bool) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=40, height=24, force_terminal=True, color_system=None, highlight=False)
    with in_place("Deleting", console, transient=True) as show:
        show(moment(ended=ended, note="x" * 100))
        last = screen.getvalue().rpartition("\n")[2]
    assert (last == "") != ended


def test_what_to_do_about_a_limit_is_never_cut() -> None:
    screen = io.StringIO()
    flow = attrs.evolve(IDLE, learned_limit=50, gap=1.2)
    Console(file=screen, width=40).print(drawn("Deleting", moment(flow=flow), 40))
    assert "set --calls 50" in " ".join(screen.getvalue().split())


def test_results_are_broken_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aionorth.cli.runs.job.width_of", lambda _: 40)
    monkeypatch.setattr("aionorth.cli.output.messages.width_of", lambda _: 40)
    text = str(ended(counts={"failed": 3, "calls": 89, "elapsed": 32.2}).as_text())
    assert "\n89 delete calls in 32.2 s, 0 of them\n  refused; 0 retries" in text
    with redirect_stdout(Screen()) as out:
        put("2026-11-27 05:58  finished     3 kB  10 of 10 gone")
    assert out.shown() == "2026-11-27 05:58  finished     3 kB  10\n  of 10 gone\n"


def test_what_was_said_a_few_seconds_ago_is_no_news() -> None:
    notes = Notes()
    notes.latest = logging.makeLogRecord({"msg": "obtained an access token", "created": time.time() - 6})
    assert notes.recent(NOTE_SHOWN) == ""
    assert notes.recent(10) == "obtained an access token"


ANY_TEXT = st.text(st.characters())  # control characters, bidirectional overrides and halves of characters included


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        """What has been written to it, less its colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue())


def assert_lines(text: str, number: int) -> None:
    """Check that `text` is so many whole lines, and nothing in them but what can be seen."""
    assert text.count("\n") == number
    assert text.endswith("\n")
    assert all(line.isprintable() for line in text.split("\n"))


@given(ANY_TEXT, st.booleans())
def test_messages_and_results_give_a_terminal_no_orders(text: str, coloured: bool) -> None:
    with redirect_stdout(Screen()) as out, redirect_stderr(Screen()) as err:
        say(text)
        put(Text(text, "red") if coloured else text)
    assert_lines(err.shown(), text.count("\n") + 1)
    assert_lines(out.shown(), text.count("\n") + 1)


def test_control_characters_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    for write in (say, put):
        write("a\x1b[2Jb\nc\x07\u202eä…")
    assert capsys.readouterr() == ("a\\x1b[2Jb\nc\\x07\\u202eä…\n",) * 2


@given(ANY_TEXT)
def test_text_of_others_forges_no_line(text: str) -> None:
    """In an error, a log line, a warning, a problem, a line about a run, or what to type to go on."""
    error = CongestionError(503, "100001", text)
    logger = logging.getLogger("aionorth")
    with redirect_stderr(Screen()) as err, noted() as notes:
        logger.warning("failed: %s", text)
        warnings.warn(text, NorthWarning, stacklevel=1)
        say(in_words(error))
        say(in_words(OSError(errno.EACCES, text, text)))
        say(in_words(ProblemError(text, text)))
        say(resume_command(text, ["--profile", text]))
        logger.info("after: %s", text)
        assert notes.latest is not None
        with in_lines(text) as show:
            show(moment(note=notes.latest.getMessage()))
    assert_lines(err.shown(), 8)


@given(ANY_TEXT, ANY_TEXT)
def test_the_live_view_draws_nothing_but_text(title: str, note: str) -> None:
    screen = Screen()
    console = Console(file=screen, width=200, force_terminal=True, color_system=None, highlight=False)
    console.print(drawn(title, moment(note=note), console.width))
    assert_lines(screen.shown(), 6 if note else 5)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_plan_forges_no_line(name: str, version: str) -> None:
    selection = PackageSelection(name=name, version=version[:256])
    target = Target(url="https://server", app_id=APP, kind=Kind.PACKAGES)
    package = UpgradePackage(file_id="f", name=name, version=version[:256])
    plan = Plan(target=target, selection=selection.in_words(), delete=(package,))
    with redirect_stderr(Screen()) as err:
        say(f"{plan}\n{sample(plan)}")
    assert_lines(err.shown(), 4)


@pytest.mark.parametrize(
    "words",
    [
        ["delete", "packages", "WORD"],
        ["delete", "packages", "--WORD"],
        ["delete", "WORD"],
        ["WORD"],
        ["--WORD"],
        ["simulate", "--port", "WORD"],
        ["simulate", "--model", "WORD"],
        ["simulate", "--cert", "WORD"],
        ["simulate", "--host", "WORD"],
        ["demo", "WORD"],
        ["check", "--profile", "WORD"],
        ["check", "--store", "WORD"],
        ["check", "--url", "WORD"],
        ["check", "--app-id", "WORD"],
        ["check", "--calls", "WORD"],
        ["check", "--secret-file", "WORD"],
        ["check", "--ca-file", "~WORD"],
        ["check", "--url", "https://x", "--ca-file", "WORD"],
        ["check", "--url", "https://x", "--client-cert", "WORD"],
        ["delete", "packages", "--older-than", "WORD"],
        ["delete", "packages", "--all", "--exclude", "WORD"],
        ["delete", "packages", "--ids-file", "IDS", "--csv-column", "WORD"],
        ["delete", "packages", "--file-type", "WORD"],
        ["delete", "subscriptions", "--callback-host", "WORD/"],
        ["delete", "packages", "--all", "--report", "WORD"],
        ["resume", "WORD"],
    ],
)
def test_a_word_of_the_command_line_forges_no_line_when_it_is_refused(ready: Shell, words: list[str]) -> None:
    file = ready.file("a\x1b[2J\u202e,b\n1,2\n")
    word = "x\naionorth: all is well\x1b[2J\u202e"
    run = ready(*(each.replace("WORD", word).replace("IDS", file) for each in words))
    assert run.code == 2
    assert "\naionorth: all is well" not in run.err
    assert "aionorth: all is well" in run.err or words[-2] in {"--app-id", "--model", "--port"}  # which do not quote it
    assert all(line.isprintable() for line in run.err.split("\n"))


def test_a_file_of_profiles_forges_no_line(ready: Shell) -> None:
    for toml in (
        '[profiles."x\\n\\u001b[2J"]\n',
        '[profiles.p]\n"x\\n\\u001b[2J" = 1\n',
        '"x\\n\\u001b[2J" = 1\n',
        '[profiles.p]\ncalls = "x\\n\\u001b[2J"\n',
        "[profiles.\x1b[2J]",
        '[a]\n"\\u202e" = 1\n"\\u202e" = 1\n',
    ):
        ready.configure(toml)
        run = ready("check", "--profile", "p")
        assert run.code == 2
        assert_lines(run.err, 1)


def test_logged_warnings_are_lines_and_the_rest_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("aionorth")
    with noted() as notes:
        log.warning("refused %s", "twice")
        log.info("another attempt in %.1f s", 2)
        warnings.warn("odd settings", NorthWarning, stacklevel=1)
        with pytest.raises(DeprecationWarning):
            warnings.warn("not ours", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "aionorth: refused twice\naionorth: odd settings\n"
    assert notes.latest is not None
    assert notes.latest.getMessage() == "another attempt in 2.0 s"
    assert not log.handlers
    assert log.level == logging.NOTSET


# --- Demonstration and simulator


def test_the_demonstration_names_the_fastest_schedule_from_its_figures() -> None:
    shown = Shown(flow_control=FlowControl(period=3.0), runs=[], elapsed=15.14, calls=522, refused=0, left=0)
    assert shown.fastest == 15.0
    assert "522 calls cannot be made in less than 15.0 s; these took 15.1 s." in shown.in_words().replace("\n", " ")
    assert attrs.evolve(shown, calls=100).fastest == 0.0
    assert attrs.evolve(shown, calls=101).fastest == 3.0


def test_the_demonstration_says_it_in_lines_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(flow_control=FlowControl(period=3.0), runs=[], elapsed=15.14, calls=522, refused=0, left=0)
    monkeypatch.setattr("aionorth.cli.commands.demo.width_of", lambda _: 40)
    assert shown.in_words().splitlines()[:3] == [
        "The platform counted 522 calls and",
        "refused 0 of them. It has 0 of its 500",
        "subscriptions and packages left.",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("delete packages --keep-latest 0", "--keep-latest '0': give a whole number from 1 on"),
        ("delete packages --keep-latest x", "--keep-latest 'x': give a whole number from 1 on"),
        ("delete packages --all --max-delete -1", "--max-delete '-1': give a whole number from 0 on"),
        ("resume --max-failures 0", "--max-failures '0': give a whole number from 1 on"),
        ("delete packages --csv-delimiter x", "--csv-delimiter 'x': give ',', ';' or tab"),
        ("delete packages --all --max-outage 0s", "--max-outage is '0s': give a number above 0 and s, min"),
        ("simulate --port 70000", "--port '70000': give a port, from 0 to 65535"),
        ("simulate --calls few", "--calls 'few': give a whole number from 0 on"),
    ],
)
def test_a_value_that_cannot_be_used_is_answered_in_our_words(ready: Shell, words: str, said: str) -> None:
    run = ready(*words.split())
    assert run.code == 2
    assert run.err.startswith(f"aionorth: {said}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "guess"], "--model 'guess': give fixed, sliding, sliding-refusals, bucket,"),
        (["--period", "0"], "--period '0': give a number of seconds above 0"),
        (["--reset-after", "1.5"], "--reset-after '1.5': give a probability, from 0 to 1"),
        (["--reset-after", "0.6", "--congested", "0.6"], "exceed 1"),
        (["--latency", "-1"], "--latency '-1': give a number of seconds, as in 30, or 0 for none"),
        (["--key", "x"], "--cert"),
        (["--cert", "no-such-file"], "no-such-file"),
        (["--write-package-ids", "."], "cannot be written"),
    ],
)
def test_a_simulator_that_cannot_be_is_a_message(shell: Shell, arguments: list[str], said: str) -> None:
    run = shell("simulate", "--port", "0", *arguments)
    assert run.code == 2
    assert said in run.err


def test_an_address_in_use_is_a_message_and_no_ids_are_written(
    shell: Shell, platform: Simulator, tmp_path: Path
) -> None:
    ids = tmp_path / "new.txt"
    run = shell("simulate", "--port", platform.url.rpartition(":")[2], "--write-package-ids", str(ids))
    assert run.code == 2
    assert "Address already in use; choose another --port" in run.err
    assert not ids.exists()


def test_the_help_says_what_each_model_of_flow_control_counts(shell: Shell) -> None:
    text = shell("simulate", "--help").out
    assert all(re.search(rf"^ +{model} +\w", text, re.MULTILINE) for model in MODELS)
