"""The commands of a fleet: what is submitted, how far it is, and what it came to."""

import asyncio
import csv
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pexpect
import pytest
import redis
from processes import RedisServer, in_service, redis_server
from shell import Run, Shell, served

from aionorth import Kind, Outcome, Plan, Target
from aionorth.cli import plan_files
from aionorth.cli.fleet.manifest import read_parts
from aionorth.cli.output.messages import ProblemError
from aionorth.cli.reports.formats import COLUMNS
from aionorth.errors import StoreUnavailableError
from aionorth.fleet import Fleet, Part, PartState
from aionorth.fleet.store import FleetStore
from aionorth.fleet.worker import Worker
from aionorth.simulator import Simulator
from aionorth.wire.resources import RESOURCES

URL = "https://iot.example.com:8743"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def fleet(shell: Shell, server: RedisServer) -> Shell:
    """A shell with a fleet's empty Redis server."""
    with redis.Redis(port=server.port) as client:
        client.flushall()
    shell.export(REDIS_URL=server.url)
    return shell


def submitted(fleet: Shell, text: str, *options: str) -> str:
    run = fleet("fleet", "submit", fleet.file(text), "--yes", *options)
    assert run.code == 0
    return run.out.strip()


def work(server: RedisServer, run: str, *numbers: int) -> None:
    """Do these parts of a run, as a worker would."""

    async def main() -> None:
        worker = Worker(server.url)
        for number in numbers:
            assert await worker.do(run, number)
        await worker.close()

    asyncio.run(main())


def parts_of(*paths: Path, cascade: bool = True) -> list[Part]:
    return read_parts(map(str, paths), lambda _, __: None, cascade=cascade)


def kept(path: Path, *ids: str, made_at: datetime = NOW, **about: Any) -> Path:
    target = Target(**{"kind": Kind.SUBSCRIPTIONS, "url": URL, "app_id": "a1"} | about)
    plan = Plan(target=target, made_at=made_at, delete=tuple(map(RESOURCES[target.kind].bare, ids)))
    plan_files.write(str(path), plan)
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "manifest.csv"


# --- Manifests


def test_rows_become_a_part_for_each_profile_kind_and_authorized_app(manifest: Path, tmp_path: Path) -> None:
    manifest.write_text(
        "profile,kind,id,authorized_app_id\n"
        "b,subscriptions,s1,\na,packages,f1,\nb,subscriptions,s2,\nb,subscriptions,s3,other\n,device-groups,g1,\n"
    )
    (tmp_path / "more.csv").write_text("kind;id;profile\nsubscriptions;s1;b\n")
    parts = parts_of(manifest, tmp_path / "more.csv")
    assert [(one.app, one.kind.value, one.ids, one.duplicates) for one in parts] == [
        ("b", "subscriptions", ("s1", "s2"), 1),
        ("a", "packages", ("f1",), 0),
        ("other (as b)", "subscriptions", ("s3",), 0),
        ("(environment)", "device-groups", ("g1",), 0),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_manifest_may_come_from_a_spreadsheet(manifest: Path, separator: str) -> None:
    lines = ["profile,kind,id", " p , subscriptions ,s1", ",,", '"p",subscriptions,"s2"']
    manifest.write_text("\ufeff" + "\r\n".join(lines).replace(",", separator) + "\r\n", encoding="utf-8")
    assert [(one.profile, one.ids) for one in parts_of(manifest)] == [("p", ("s1", "s2"))]


def test_every_bad_row_is_named_with_file_and_line(manifest: Path, tmp_path: Path) -> None:
    manifest.write_text(
        "profile,kind,id,authorized_app_id\n"
        'p,subscription,s1,\np,subscriptions,"""s2""",\np,subscriptions,s3\np,packages,f9,other\np,packages,f1,\n'
        "p,packages,{x},\np,packages,,\np,subscriptions,s4,\n"
    )
    (tmp_path / "empty.csv").write_text("profile,kind,id\n")
    with pytest.raises(ProblemError) as caught:
        parts_of(manifest, tmp_path / "empty.csv")
    assert str(caught.value).splitlines() == [
        f"{manifest}, line 2: there is no kind 'subscription': give subscriptions, packages, devices, device-groups",
        f"{manifest}, line 3: id '\"s2\"' is in quotes or braces: give the id without them",
        f"{manifest}, line 4: it has 3 cells, and the first line 4",
        f"{manifest}, line 5: authorized_app_id 'other': leave it out, packages are one's own",
        f"{manifest}, line 7: id '{{x}}' is in quotes or braces: give the id without them",
        f"{manifest}, line 8: id is empty: leave empty entries out",
        f"{tmp_path}/empty.csv has no ids below its first line",
        "nothing was submitted",
    ]


@pytest.mark.parametrize(
    ("entry", "what"), [("f1 f2", "a blank"), ("<html>", "'<'"), ('"f1,f2"', "','"), ("a|b", "'|'")]
)
def test_a_row_with_more_than_an_id_is_refused(manifest: Path, entry: str, what: str) -> None:
    manifest.write_text(f"profile,kind,id\np,packages,f0\np,packages,{entry}\n")
    with pytest.raises(ProblemError) as caught:
        parts_of(manifest)
    cited = entry.strip('"')
    assert str(caught.value) == (
        f"{manifest}, line 3: {cited!r} has {what} in it: give one id per row and nothing else\nnothing was submitted"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: a manifest begins with the line profile,kind,id"),
        (b"s1\ns2\n", "has no column 'profile' in its first line, which reads: s1;"),
        (b"profile,kind,id,id\np,packages,f1,f2\n", "has several columns 'id'"),
        (b"profile,kind,id\np,packages,\xff\n", "is not UTF-8 text: save it as UTF-8"),
        (b'profile,kind,id\np,packages,"f1\n', "is no CSV file"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(manifest: Path, content: bytes, said: str) -> None:
    manifest.write_bytes(content)
    with pytest.raises(ProblemError) as caught:
        parts_of(manifest)
    assert str(caught.value).startswith(f"{manifest} {said}")


@pytest.mark.parametrize("name", ["authorised_app_id", "authorized_app", "Authorized App ID"])
def test_a_column_that_is_like_one_of_a_manifest_is_refused(manifest: Path, name: str) -> None:
    manifest.write_text(f"profile,kind,id,{name},note\na,subscriptions,s1,other,-\n")
    with pytest.raises(ProblemError, match=r"is it 'authorized_app_id'[?] Name it so, or unlike that; nothing was sub"):
        parts_of(manifest)


def test_the_same_plan_twice_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    plan = kept(tmp_path / "plan.json", "s1")
    with pytest.raises(ProblemError, match=r"two parts are subscriptions of a1 at .*: make one of them; nothing was"):
        parts_of(plan, plan)


@pytest.mark.parametrize("name", ["x\n[ERROR] forged \x1b[31mred", "x" * 300], ids=["control characters", "long"])
def test_a_name_that_no_profile_has_is_refused_with_its_line(manifest: Path, name: str) -> None:
    manifest.write_text(f'profile,kind,id\n"{name}",subscriptions,s1\n')
    with pytest.raises(ProblemError) as caught:
        parts_of(manifest)
    line = 2 + name.count("\n")
    assert str(caught.value).startswith(f"{manifest}, line {line}: profile 'x")
    assert str(caught.value).endswith(": give a name of at most 256 printable characters\nnothing was submitted")
    assert len(str(caught.value)) < len(str(manifest)) + 200
    assert "\x1b" not in str(caught.value)


def test_ids_that_a_plan_and_profiles_have_are_counted(fleet: Shell, manifest: Path, tmp_path: Path) -> None:
    manifest.write_text(
        "profile,kind,id\na,subscriptions,s1\na,subscriptions,s2\na,packages,s3\nb,subscriptions,s1\n"
        "b,subscriptions,s2\nb,packages,s4\n"
    )
    plan = kept(tmp_path / "plan.json", "s2", "s3")
    run = fleet("fleet", "submit", str(manifest), str(plan), "--yes")
    assert "aionorth: 2 ids, s1 first, are named for more than one profile or plan: if these are of the " in run.err
    assert "6 subscriptions and 2 packages of at most 3 apps" in run.err


def test_a_run_of_which_the_platform_knew_not_one_id_is_said(fleet: Shell, server: RedisServer) -> None:
    name = submitted(fleet, TWO)

    async def say() -> None:
        store = FleetStore(server.url)
        for one in (await store.status(name)).parts:
            outcomes = Counter({Outcome.NOT_FOUND: one.part.total})
            await store.take(name, one.number, "me")
            await store.beat(name, attrs.evolve(one, state=PartState.COMPLETE, outcomes=outcomes), "me", last=True)
        await store.close()

    asyncio.run(say())
    run = fleet("fleet", "status", name)
    assert (run.code, run.err.partition(":")[0]) == (5, "aionorth")
    assert "the platforms know none of these ids" in run.err


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"no\.csv cannot be read: No such file or directory; name a manifest"):
        parts_of(tmp_path / "no.csv")


def test_a_manifest_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch, manifest: Path) -> None:
    manifest.write_text("profile,kind,id\nb,packages,f1\n")

    def given(content: str, *paths: Path) -> list[Part]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        return parts_of(Path("-"), *paths)

    parts = given("\ufeffprofile;kind;id\r\na;packages;f1\r\n", manifest)
    assert [(one.app, one.ids) for one in parts] == [("a", ("f1",)), ("b", ("f1",))]
    with pytest.raises(ProblemError, match=r"^standard input, line 2: there is no kind 'pack'"):
        given("profile,kind,id\na,pack,f1\n")
    for nothing in ("", "\n"):
        with pytest.raises(ProblemError, match=r"^standard input is empty"):
            given(nothing)


def test_a_plan_does_not_come_from_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(kept(tmp_path / "plan.csv", "s1").read_bytes())))
    with pytest.raises(ProblemError, match=r"^standard input has a plan, not a manifest: name the file"):
        parts_of(Path("-"))


def test_devices_need_no_cascade(manifest: Path) -> None:
    manifest.write_text("profile,kind,id\np,devices,d1\np,packages,f1\n")
    with pytest.raises(ProblemError, match="give --no-cascade to keep"):
        parts_of(manifest)
    assert [one.cascade for one in parts_of(manifest, cascade=False)] == [False, None]


@pytest.mark.parametrize("name", ["plan.json", "plan.csv"])
def test_a_plan_is_a_part_of_its_own(manifest: Path, tmp_path: Path, name: str) -> None:
    manifest.write_text("profile,kind,id\np,packages,f1\n")
    parts = parts_of(kept(tmp_path / name, "s1", "s2"), manifest)
    assert [(one.app, one.ids) for one in parts] == [("p", ("f1",)), (f"a1 at {URL}", ("s1", "s2"))]


def test_a_plan_that_takes_along_what_is_behind_gateways_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"plan\.json: the plan takes along what is behind gateways"):
        parts_of(kept(tmp_path / "plan.json", "g1", kind=Kind.DEVICES, cascade=True), cascade=False)


def test_a_plan_that_is_too_old_is_refused_as_apply_does(shell: Shell, tmp_path: Path) -> None:
    plan = kept(tmp_path / "plan.json", "s1", made_at=datetime(2026, 1, 2, tzinfo=UTC))
    run = shell("fleet", "submit", str(plan), "--yes")
    assert (run.code, run.out) == (2, "")
    assert "longer ago than 1 day: make it anew, or say how old it may be with --max-age" in run.err


# --- Without a server


ALL = (("worker",), ("submit",), ("status",), ("status", "r"), ("report", "r"), ("cancel", "r"), ("resume", "r"))


def given(shell: Shell, words: tuple[str, ...]) -> tuple[str, ...]:
    file = shell.file("profile,kind,id\np,packages,f1\n")
    return ("fleet", *words, *((file, "--yes") if words == ("submit",) else ()))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_each_command_needs_the_url_of_a_server(shell: Shell, words: tuple[str, ...]) -> None:
    run = shell(*given(shell, words))
    assert (run.code, run.out) == (2, "")
    assert run.err == (
        "aionorth: AIONORTH_REDIS_URL is missing: set it, as in: export AIONORTH_REDIS_URL=redis://host:6379/0\n"
    )


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_a_server_that_cannot_be_reached_is_said_without_its_password(shell: Shell, words: tuple[str, ...]) -> None:
    shell.export(REDIS_URL="redis://user:hush@127.0.0.1:1/0")
    run = shell(*given(shell, words))
    assert (run.code, run.out) == (2, "")
    assert "the fleet's Redis server cannot be reached: " in run.err
    assert "check AIONORTH_REDIS_URL, and that the server is up" in run.err
    assert "hush" not in run.err


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_without_taskiq_one_line_says_what_to_install(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.delitem(vars(sys.modules["aionorth.fleet"]), "Fleet", raising=False)
    monkeypatch.delitem(sys.modules, "aionorth.fleet.fleet", raising=False)
    monkeypatch.setitem(sys.modules, "taskiq", None)
    run = shell(*given(shell, words))
    assert (run.code, run.err) == (2, "aionorth: Fleet needs taskiq: pip install 'aionorth[fleet]'\n")


@pytest.mark.slow
def test_no_command_line_imports_taskiq_before_a_fleet_is_used() -> None:
    code = "import sys; from aionorth.cli.program import program; program(); print('taskiq' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_a_name_that_no_shell_takes_is_refused(shell: Shell) -> None:
    run = shell(*given(shell, ("submit",)), "--name", "a b")
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("aionorth: --name 'a b': give at most 100 letters")


# --- Runs

TWO = "profile,kind,id\na,subscriptions,s1\na,subscriptions,s2\nb,packages,f1\n"


def test_a_run_is_submitted_and_only_its_name_is_printed(fleet: Shell) -> None:
    run = fleet("fleet", "submit", fleet.file(TWO), "--yes")
    name = run.out.strip()
    assert run.code == 0
    assert run.out == f"{name}\n"
    assert run.err == (
        "aionorth: submitted: 2 subscriptions and 1 package of 2 apps, in 2 parts\nhow far it is: "
        f"aionorth fleet status {name} --watch\n"
    )
    assert fleet("fleet", "status", name, "--json").json["total"] == 3


def test_a_submission_can_be_read_by_programs(fleet: Shell) -> None:
    run = fleet("fleet", "submit", fleet.file(TWO + "a,subscriptions,s1\n"), "--yes", "--json", "--name", "r1")
    first = {"part": 0, "app": "a", "kind": "subscriptions", "total": 2, "duplicates": 1}
    assert run.json == {
        "run": "r1",
        "total": 3,
        "parts": [first, {"part": 1, "app": "b", "kind": "packages", "total": 1, "duplicates": 0}],
    }


def test_without_a_terminal_a_submission_needs_yes(fleet: Shell) -> None:
    run = fleet("fleet", "submit", fleet.file(TWO))
    assert (run.code, run.out) == (2, "")
    assert "there is no terminal to ask on whether to delete 2 subscriptions and 1 package of 2 apps" in run.err
    assert fleet("fleet", "status", "--json").out == ""


def test_a_second_run_of_a_name_is_refused(fleet: Shell) -> None:
    submitted(fleet, TWO, "--name", "r1")
    run = fleet("fleet", "submit", fleet.file(TWO), "--yes", "--name", "r1")
    assert (run.code, run.err) == (2, "aionorth: there is a run r1 already: give it another name\n")


def test_all_runs_are_listed_the_newest_first(fleet: Shell) -> None:
    assert fleet("fleet", "status").err.startswith("aionorth: there are no runs; this begins one: ")
    submitted(fleet, TWO, "--name", "r1")
    submitted(fleet, TWO, "--name", "r2")
    run = fleet("fleet", "status")
    assert [line.split()[:6] for line in run.out.splitlines()] == [
        ["RUN", "STATE", "GONE", "OF", "PARTS", "PARTS"],
        ["r2", "waiting", "0", "3", "2", "0"],
        ["r1", "waiting", "0", "3", "2", "0"],
    ]
    lines = fleet("fleet", "status", "--json").out.splitlines()
    assert [(one["run"], one["states"]) for one in map(json.loads, lines)] == [
        ("r2", {"waiting": 2}),
        ("r1", {"waiting": 2}),
    ]


def test_runs_that_cannot_be_read_are_named_below_the_others(fleet: Shell, server: RedisServer) -> None:
    for name in ("r1", "r2"):
        submitted(fleet, TWO, "--name", name)
    with redis.Redis(port=server.port) as client:
        client.hset("{aionorth-fleet:r1}:states", "0", "nonsense")
    run = fleet("fleet", "status")
    assert (run.code, [line.split()[0] for line in run.out.splitlines()]) == (1, ["RUN", "r2"])
    damaged = (
        "aionorth: run r1 is damaged: how far part 0 is cannot be read from the fleet's Redis server; restore it from "
        "a backup, or remove all keys that begin with {aionorth-fleet:r1} and submit its ids anew\n"
    )
    assert run.err == damaged
    assert [json.loads(line)["run"] for line in fleet("fleet", "status", "--json").out.splitlines()] == ["r2"]
    for what in ("status", "report", "cancel", "resume"):
        run = fleet("fleet", what, "r1")
        assert (run.code, run.out, run.err) == (2, "", damaged)
    with redis.Redis(port=server.port) as client:
        client.delete("{aionorth-fleet:r2}")
    run = fleet("fleet", "status")
    assert (run.code, run.out, run.err) == (1, "", damaged)


def test_a_run_without_parts_is_not_said_to_be_done(fleet: Shell, server: RedisServer, tmp_path: Path) -> None:
    submitted(fleet, TWO, "--name", "r1")
    with redis.Redis(port=server.port) as client:
        client.delete("{aionorth-fleet:r1}:parts")
        for what in ("status", "report"):
            run = fleet("fleet", what, "r1")
            assert (run.code, run.out) == (2, "")
            assert run.err.startswith("aionorth: run r1 is damaged: its parts cannot be read")
        client.hdel("{aionorth-fleet:r1}", "whole")  # as where the submission was broken off at once
    assert fleet("fleet", "status", "r1").code == 1
    run = fleet("fleet", "report", "r1", "--html", str(tmp_path / "a.html"))
    assert run.code == 0
    assert fleet("fleet", "report", "r1").out.startswith("r1: no ids of 0 apps\n")


@pytest.mark.parametrize("words", [("status",), ("cancel",), ("resume",), ("report",)], ids=" ".join)
@pytest.mark.parametrize("name", ["nowhere", "no-such\x1b[2J", "\udcff"])
def test_a_run_that_is_not_kept_is_said_to_be_none(fleet: Shell, words: tuple[str, ...], name: str) -> None:
    run = fleet("fleet", *words, name)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("aionorth: there is no run '")
    assert run.err.removesuffix("\n").isprintable()


def test_a_run_that_nobody_works_on_says_how_to_start_a_worker(fleet: Shell) -> None:
    name = submitted(fleet, TWO)
    run = fleet("fleet", "status", name)
    assert (run.code, run.err) == (0, "")
    assert run.out.splitlines() == [
        f"{name}: 0 of 3 ids done (0 %)",
        "  2 parts: 2 waiting",
        "APP  KIND           DONE  STATE    OF  FAILED  UNKNOWN  CALLS",
        "a    subscriptions  0 %   waiting  2   0       0        0",
        "b    packages       0 %   waiting  1   0       0        0",
        "no worker is at work on it",
        "to start one: aionorth fleet worker",
    ]


def test_a_run_whose_submission_was_broken_off_says_how_to_go_on(fleet: Shell, server: RedisServer) -> None:
    async def add() -> None:
        store = FleetStore(server.url)
        await store.add([Part.of_ids(["s1"], Kind.SUBSCRIPTIONS)], "r1")
        await store.close()

    asyncio.run(add())
    assert fleet("fleet", "status", "r1").out.splitlines()[-2:] == [
        "its submission is under way, or was broken off",
        "to go on where it was broken off: aionorth fleet resume r1",
    ]
    assert fleet("fleet", "resume", "r1").err.startswith("aionorth: 1 part of r1 goes on\n")
    assert "broken off" not in fleet("fleet", "status", "r1").out


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            StoreUnavailableError("the fleet's Redis server cannot be reached"),
            1,
            "the fleet's Redis server cannot be reached; check AIONORTH_REDIS_URL, and that the server is up",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=["server", "interrupt"],
)
def test_a_submission_that_ends_once_the_run_is_kept_says_its_name_and_how_to_go_on(
    fleet: Shell, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    send = Fleet._send

    async def broken_off(self: Fleet, run: str, number: int) -> None:
        if number == 1:
            raise error
        await send(self, run, number)

    with monkeypatch.context() as patch:
        patch.setattr(Fleet, "_send", broken_off)
        run = fleet("fleet", "submit", fleet.file(TWO), "--yes")
    name = run.out.strip()
    assert (run.code, run.out) == (code, f"{name}\n")
    assert run.err == (
        f"aionorth: {said}\nrun {name} is kept, and its ids may be deleted already, but workers may not have been told "
        f"of all parts\nto go on: aionorth fleet resume {name}\n"
    )
    assert fleet("fleet", "resume", name).err.startswith(f"aionorth: 2 parts of {name} go on\n")


LACK = (
    "its submission is under way, or was broken off before all of it was kept, and then nothing of it is deleted: "
    "submit it anew, under another name"
)


def broken_off(fleet: Shell, monkeypatch: pytest.MonkeyPatch, profile: str, error: BaseException, *words: str) -> Run:
    """Submit a run to a server that is lost, or by who is, as the part of that profile is to be kept."""
    to_json = Part.to_json

    def cut(self: Part) -> str:
        if self.profile == profile:
            raise error
        return to_json(self)

    with monkeypatch.context() as patch:
        patch.setattr(Part, "to_json", cut)
        return fleet("fleet", "submit", fleet.file(TWO), "--yes", *words)


@pytest.mark.parametrize("words", [(), ("--name", "half")], ids=["any name", "name"])
@pytest.mark.parametrize(
    ("error", "code"), [(StoreUnavailableError("it is away"), 2), (KeyboardInterrupt(), 130)], ids=["server", "signal"]
)
def test_a_submission_that_ends_before_all_is_kept_says_that_nothing_is_deleted(
    fleet: Shell, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: tuple[str, ...]
) -> None:
    run = broken_off(fleet, monkeypatch, "b", error, *words)
    assert (run.code, run.out) == (code, "")
    other = ", under another name than half" if words else ""
    assert run.err.splitlines()[0] == (
        f"aionorth: not all of it was kept, so nothing of it is deleted: submit it anew{other}"
    )


@pytest.mark.parametrize("profile", ["a", "b"], ids=["no part", "one part"])
def test_all_that_is_said_of_a_run_that_is_not_all_kept_is_to_submit_it_anew(
    fleet: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile: str
) -> None:
    broken_off(fleet, monkeypatch, profile, StoreUnavailableError("it is away"), "--name", "half")

    def status() -> Run:
        run = fleet("fleet", "status", "half")
        assert (run.code, run.err) == (1, "")
        assert run.out.endswith(f"\n{LACK}\n")
        assert "resume" not in run.out
        return run

    status()
    assert fleet("fleet", "status", "half", "--json").json["whole"] is False
    assert fleet("fleet", "status", "half", "--watch").code == 1
    resumed = fleet("fleet", "resume", "half")
    assert (resumed.code, resumed.err) == (2, f"aionorth: half: {LACK}\n")
    assert fleet("fleet", "cancel", "half").err == f"aionorth: half: {LACK}\n"
    status()
    again = fleet("fleet", "submit", fleet.file(TWO), "--yes", "--name", "half")
    assert (again.code, again.err) == (2, "aionorth: there is a run half already: give it another name\n")
    assert f"  {LACK}\n" in fleet("fleet", "report", "half").out
    report = fleet("fleet", "report", "half", "--json").json
    assert (report["whole"], report["pending"], report["skipped"]) == (False, 0, report["total"])
    page = tmp_path / "a.html"
    assert fleet("fleet", "report", "half", "--html", str(page)).err.endswith(f"\naionorth: half: {LACK}\n")
    assert f"Not finished: {LACK}." in page.read_text()


def test_a_run_that_is_cancelled_while_it_is_being_kept_stays_so(
    fleet: Shell, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(fleet, monkeypatch, "b", StoreUnavailableError("it is away"), "--name", "half")
    fleet("fleet", "cancel", "half")
    with redis.Redis(port=server.port) as client:
        assert client.hexists("{aionorth-fleet:half}", "cancelled")


def test_a_run_is_cancelled_and_resumed(fleet: Shell) -> None:
    name = submitted(fleet, TWO)
    assert fleet("fleet", "cancel", name).code == 0
    run = fleet("fleet", "status", name, "--watch")
    assert run.code == 1
    assert run.out.endswith(f"to go on with what is left: aionorth fleet resume {name}\n")
    assert "2 parts: 2 cancelled" in run.out
    assert fleet("fleet", "cancel", name).err == f"aionorth: nobody is at work on {name}: it has ended\n"
    run = fleet("fleet", "resume", name)
    assert run.code == 0
    assert run.out.splitlines() == ["APP  KIND           LEFT", "a    subscriptions  2", "b    packages       1"]
    assert fleet("fleet", "status", name, "--json").json["settled"] is False
    assert fleet("fleet", "resume", name).err.startswith(f"aionorth: nothing of {name} is cancelled or has failed\n")


def test_what_holds_a_run_up_is_said(fleet: Shell, server: RedisServer) -> None:
    name = submitted(fleet, TWO)

    async def say(number: int, **more: Any) -> None:
        store = FleetStore(server.url)
        status = attrs.evolve((await store.status(name)).parts[number], **more)
        assert await store.take(name, number, "me")
        assert await store.beat(name, status, "me", last=status.state is PartState.WAITING) is not None
        await store.close()

    declined = {"w1": "on host7: there is no profile 'b'"}
    asyncio.run(say(1, cause=declined["w1"], declined=declined))
    words = "b: on host7: there is no profile 'b'; it waits for a worker that has what is missing"
    assert fleet("fleet", "status", name).out.splitlines()[5:7] == [words, "no worker is at work on it"]
    asyncio.run(say(0, cause=declined["w1"], declined=declined))
    assert fleet("fleet", "status", name).out.splitlines()[5:] == [words.replace("b:", "a and 1 more:")]
    asyncio.run(say(0, cause="", declined={}))
    asyncio.run(say(0, state=PartState.AT_WORK, silent_for=190.0, next_call=40.0))
    assert fleet("fleet", "status", name).out.splitlines()[5:] == [
        words,
        "a: the platform has not answered for 3 min 10 s",
        "flow control allows the next call in about 40.0 s",
    ]
    part = fleet("fleet", "status", name, "--json").json["parts"][0]
    assert (part["silent_for"], part["next_call"]) == (190.0, 40.0)


def test_how_to_go_on_without_a_worker_that_died_is_said(fleet: Shell, server: RedisServer) -> None:
    async def die() -> None:
        store = FleetStore(server.url, lease=0.01)
        status = attrs.evolve((await store.status(name)).parts[0], state=PartState.AT_WORK)
        assert await store.take(name, 0, "me")
        assert await store.beat(name, status, "me") is False
        await store.close()

    name = submitted(fleet, TWO)
    asyncio.run(die())
    time.sleep(0.02)
    run = fleet("fleet", "status", name)
    assert run.out.splitlines()[5:] == [
        "a: the worker shows no sign of life; one that lives goes on with it within seconds",
        "to start one: aionorth fleet worker",
    ]
    assert re.split("  +", fleet("fleet", "status").out.splitlines()[1])[:2] == [name, "lost"]
    report = fleet("fleet", "report", name)
    assert re.split("  +", report.out.splitlines()[2])[-2:] == ["PENDING", "IDS"]
    assert [re.split("  +", line)[-2:] for line in report.out.splitlines()[3:5]] == [["2", "2"], ["1", "1"]]


@pytest.fixture
def done(fleet: Shell, server: RedisServer, platform: Simulator) -> str:
    """A run of which all is gone but one id that failed, and a part that could not go on."""
    ids = platform.add_subscriptions(3)
    platform.reject([ids[1]], code="120015")
    fleet.point_at(platform)
    in_service(server.url, platform.url)
    rows = [f",subscriptions,{id_}" for id_ in ids] + ["nobody,packages,f1"]
    name = submitted(fleet, "\n".join(["profile,kind,id", *rows]), "--name", "r1")
    work(server, name, 0, 1)
    return name


def test_parts_that_failed_come_first_and_their_cause_is_said(fleet: Shell, done: str) -> None:
    run = fleet("fleet", "status", done)
    assert run.code == 1
    assert [re.split("  +", line)[:4] for line in run.out.splitlines()[3:6]] == [
        ["APP", "KIND", "DONE", "STATE"],
        ["nobody", "packages", "0 %", "failed"],
        ["(environment)", "subscriptions", "100 %", "complete"],
    ]
    assert run.out.startswith(
        f"{done}: 3 of 4 ids done (75 %)\n  2 deleted, 1 failed\n  2 parts: 1 failed, 1 complete\n"
    )
    cause = f"on {socket.gethostname()}: AIONORTH_URL is set in the worker's environment"
    assert f"\nnobody: {cause}" in run.out
    status = fleet("fleet", "status", done, "--json").json
    assert (status["settled"], status["deleted"], status["failed"]) == (True, 2, 1)
    assert [one["state"] for one in status["parts"]] == ["complete", "failed"]


def test_only_one_run_can_be_watched(shell: Shell) -> None:
    assert shell("fleet", "status", "--watch").err.startswith("aionorth: --watch follows one run: name it")


# --- Reports


def test_tables_have_every_id_of_all_parts_with_app_and_kind(fleet: Shell, done: str, tmp_path: Path) -> None:
    files = {suffix: tmp_path / f"a.{suffix}" for suffix in ("csv", "jsonl", "html")}
    run = fleet(
        "fleet", "report", done, *(word for suffix, file in files.items() for word in (f"--{suffix}", str(file)))
    )
    assert (run.code, run.out) == (0, "")
    assert run.err.splitlines() == [
        f"aionorth: the report is in {files[suffix]}" for suffix in ("html", "csv", "jsonl")
    ]
    with files["csv"].open(newline="") as file:
        table = csv.DictReader(file)
        assert tuple(table.fieldnames or ()) == ("app", "kind", *COLUMNS)
        rows = [(row["app"], row["kind"], row["outcome"], row["error_code"]) for row in table]
    own = ("(environment)", "subscriptions")
    assert rows == [
        (*own, "deleted", ""),
        (*own, "failed", "120015"),
        (*own, "deleted", ""),
        ("nobody", "packages", "skipped", ""),
    ]
    lines = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    assert [(line["app"], line["kind"], line["outcome"]) for line in lines] == [row[:3] for row in rows]
    assert list(lines[0])[:4] == ["app", "kind", "id", "outcome"]
    assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o600}


def test_the_page_has_an_account_of_each_app(fleet: Shell, done: str, tmp_path: Path) -> None:
    fleet("fleet", "report", done, "--html", str(tmp_path / "a.html"))
    page = (tmp_path / "a.html").read_text()
    failed = next(
        row["id"]
        for row in csv_rows(fleet, done, tmp_path)
        if (row["app"], row["outcome"]) == ("(environment)", "failed")
    )
    words = " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<style>.*?</style>", "", page)).split())
    assert "Purge of 3 subscriptions and 1 package of 2 apps run r1" in words
    assert "Not finished: 1 of 4 was never attempted. 2 of 4 are gone; 1 is not." in words
    assert "(environment) subscriptions complete 2 1 0 3" in words
    assert f"nobody packages failed: on {socket.gethostname()}: AIONORTH_URL is set in the worker" in words
    assert "(environment), subscriptions: why 1 is not known to be gone" in words
    assert f"<td><code>{failed}</code></td>" in page
    assert "nobody, packages: why" not in words
    assert set(re.findall(r'href="#([^"]*)"', page)) == set(re.findall(r'<section id="([^"]*)"', page)) != set()
    assert '<svg class="chart"' in page


def csv_rows(fleet: Shell, run: str, directory: Path) -> list[dict[str, str]]:
    assert fleet("fleet", "report", run, "--csv", str(directory / "rows.csv")).code == 0
    with (directory / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_account_of_a_run_goes_to_stdout(fleet: Shell, done: str) -> None:
    text = fleet("fleet", "report", done).out.splitlines()
    assert text[:2] == ["r1: 3 subscriptions and 1 package of 2 apps", "  1 failed, 1 complete"]
    assert text[3].split() == ["(environment)", "subscriptions", "complete", *"2001003"]
    assert "failed     1" in text
    assert text[-1].startswith("(environment): 1 failed: HTTP ")
    account = fleet("fleet", "report", done, "--json").json
    assert (account["total"], account["deleted"], account["failed"], account["skipped"]) == (4, 2, 1, 1)
    assert [(one["app"], one["state"], len(one["results"])) for one in account["parts"]] == [
        ("(environment)", "complete", 1),
        ("nobody", "failed", 1),
    ]


def test_a_report_names_the_columns_of_a_manifest_and_no_options(
    fleet: Shell, server: RedisServer, platform: Simulator, tmp_path: Path
) -> None:
    fleet.point_at(platform)
    in_service(server.url, platform.url)
    name = submitted(fleet, "profile,kind,id,authorized_app_id\n,subscriptions,a,other\n")
    work(server, name, 0)
    for text in (
        fleet("fleet", "report", name).out,
        fleet("fleet", "report", name, "--json").out,
        csv_rows(fleet, name, tmp_path)[0]["error_remedy"],
    ):
        assert "Leave authorized_app_id out" in text


def test_a_report_has_all_parts_whose_journals_can_be_read_and_says_which_cannot(
    fleet: Shell, done: str, server: RedisServer, tmp_path: Path
) -> None:
    with redis.Redis(port=server.port) as client:
        client.lset("{aionorth-fleet:r1}:journal:1", 1, "garbage\n")
    run = fleet("fleet", "report", done)
    error = (
        "the journal of part 1 of run r1 is damaged: line 2 is not one of a journal (those before it are whole, a JSON "
        "object each); it can neither be resumed nor reported: put back a whole copy of it, or, to delete what is "
        "left, submit its ids anew"
    )
    said = f"aionorth: what became of 1 id of nobody (packages) is not known: {error}\n"
    assert (run.code, run.err) == (1, said)
    lines = run.out.splitlines()
    assert lines[2] == "  what became of 1 id is not known: the journal of one part cannot be read"
    assert lines[4].split() == ["(environment)", "subscriptions", "complete", *"2001003"]
    assert lines[5].split() == ["nobody", "packages", "failed", *"??????1"]
    files = {suffix: tmp_path / f"a.{suffix}" for suffix in ("csv", "jsonl", "html")}
    run = fleet(
        *("fleet", "report", done, "--json"),
        *(word for suffix, file in files.items() for word in (f"--{suffix}", str(file))),
    )
    assert (run.code, run.err.endswith(said)) == (1, True)
    assert (run.json["total"], run.json["deleted"], run.json["not_known"]) == (3, 2, 1)
    intact, damaged = run.json["parts"]
    assert (intact["app"], intact["deleted"], intact["damaged"]) == ("(environment)", 2, None)
    assert (damaged["app"], damaged["kind"], damaged["total"], damaged["state"]) == ("nobody", "packages", 1, "failed")
    assert damaged["damaged"] == error
    with files["csv"].open(newline="") as file:
        assert [row["app"] for row in csv.DictReader(file)] == ["(environment)"] * 3
    assert len(files["jsonl"].read_text().splitlines()) == 3
    words = " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<style>.*?</style>", "", files["html"].read_text())).split())
    lacking = "What became of 1 id is not known: the journal of one part cannot be read: see below."
    assert f"{lacking} Of the others: 2 of 3 are gone; 1 is not: see below." in words
    assert f"nobody packages failed: {error} ? ? 1" in words


def test_a_report_of_damaged_journals_only_does_not_say_that_there_was_nothing_to_do(
    fleet: Shell, server: RedisServer, tmp_path: Path
) -> None:
    name = submitted(fleet, TWO)
    with redis.Redis(port=server.port) as client:
        client.delete(f"{{aionorth-fleet:{name}}}:journal:0", f"{{aionorth-fleet:{name}}}:journal:1")
    run = fleet("fleet", "report", name, "--html", str(tmp_path / "a.html"), "--json")
    assert (run.code, run.json["not_known"], run.json["ok"]) == (1, 3, False)
    assert "what became of 2 ids of a (subscriptions) is not known: the journal of part 0 " in run.err
    page = (tmp_path / "a.html").read_text()
    assert "What became of 3 ids is not known: the journals of 2 parts cannot be read: see below." in page
    assert "the purge had no ids" not in page
    assert "what became of 3 ids is not known" in fleet("fleet", "report", name).out


def test_a_run_that_nobody_has_begun_has_a_report_too(fleet: Shell, tmp_path: Path) -> None:
    name = submitted(fleet, TWO)
    run = fleet("fleet", "report", name, "--html", str(tmp_path / "a.html"), "--json")
    assert (run.code, run.json["pending"], run.json["skipped"], run.json["calls"]) == (0, 3, 0, 0)
    page = (tmp_path / "a.html").read_text()
    assert "No worker is at work on it now: 0 of 3 are gone; 3 are still to come." in page
    assert [row["outcome"] for row in csv_rows(fleet, name, tmp_path)] == ["pending"] * 3
    run = fleet("fleet", "report", name, "--csv", str(tmp_path / "a.csv"))
    assert "no worker is at work on it now: the report says how far it has come" in run.err


def test_a_report_that_cannot_be_written_is_said_before_any_journal_is_read(fleet: Shell, tmp_path: Path) -> None:
    name, there = submitted(fleet, TWO), tmp_path / "a.csv"
    run = fleet("fleet", "report", name, "--csv", str(there), "--html", str(tmp_path / "nowhere" / "a.html"))
    assert (run.code, there.exists()) == (2, False)
    assert "cannot be written (No such file or directory): name a file in a directory that exists" in run.err
    run = fleet("fleet", "report", name, "--csv", str(there), "--jsonl", str(there))
    assert (run.code, there.exists()) == (2, False)


# --- Processes


@pytest.fixture
def quick() -> Iterator[Simulator]:
    with served(calls=100, period=5.0) as simulator:
        yield simulator


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "from aionorth.cli import main; main()", "fleet", *words]


@contextmanager
def worker(*words: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(command("worker", *words), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def states(fleet: Shell, run: str) -> set[str]:
    return {one["state"] for one in fleet("fleet", "status", run, "--json").json["parts"]}


def wait_until(fleet: Shell, run: str, state: str) -> None:
    deadline = time.monotonic() + 60
    while states(fleet, run) != {state}:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def submitted_many(fleet: Shell, server: RedisServer, platform: Simulator) -> str:
    """Submit what takes workers three periods, on a server that has served the app before."""
    ids = platform.add_subscriptions(250)
    fleet.point_at(platform)
    fleet.export(PERIOD="5", TIMEOUT="2")
    in_service(server.url, platform.url)
    return submitted(fleet, "\n".join(["profile,kind,id", *(f",subscriptions,{id_}" for id_ in ids)]))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_worker_that_is_told_to_end_hands_its_parts_back_and_another_goes_on(
    fleet: Shell, server: RedisServer, quick: Simulator, number: signal.Signals
) -> None:
    name = submitted_many(fleet, server, quick)
    with worker() as first:
        wait_until(fleet, name, "at_work")
        began = time.monotonic()
        first.send_signal(number)
        assert first.wait(30) == 0
        assert time.monotonic() - began < 15  # not only once the run has ended
    assert states(fleet, name) == {"waiting"}
    with worker("--workers", "2", "--parts", "3") as second:
        watched = subprocess.run(command("status", name, "--watch"), capture_output=True, text=True, check=False)
        second.terminate()
        assert second.wait(30) == 0
    assert watched.returncode == 0
    assert "250 of 250 ids done (100 %)\n  250 deleted\n" in watched.stdout
    assert f"aionorth: {name}: " in watched.stderr
    assert quick.subscription_ids() == set()
    assert not [one for one in quick.arrivals if one.refused]


@pytest.mark.slow
def test_a_worker_whose_first_process_was_killed_ends_and_hands_its_parts_back(
    fleet: Shell, server: RedisServer, quick: Simulator
) -> None:
    name = submitted_many(fleet, server, quick)
    with worker("--workers", "2") as first:
        wait_until(fleet, name, "at_work")
        first.kill()
        wait_until(fleet, name, "waiting")
        assert first.stderr is not None
        log = first.stderr.read()  # to its end: nobody writes to it any more
    assert "the process that started this worker is gone: it ends" in log
    assert "demo-app: obtained an access token" in log  # each line names its app


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "code"), [("3", 0), ("yes", 1)])
def test_on_a_terminal_the_number_of_ids_is_asked_for(fleet: Shell, typed: str, code: int) -> None:
    words = command("submit", fleet.file(TWO), "--name", "r1")
    child = pexpect.spawn(words[0], words[1:], encoding="utf-8", timeout=30, dimensions=(24, 80))
    child.expect_exact("2 subscriptions and 1 package of 2 apps\r\nAPP  KIND           IDS  NAMED TWICE\r\n")
    child.expect_exact("Type 3 to delete them, anything else to leave them:")
    child.sendline(typed)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code
    assert fleet("fleet", "status", "r1").code == (2 if code else 0)


@pytest.mark.slow
def test_who_only_watched_a_run_is_told_that_it_goes_on(fleet: Shell) -> None:
    name = submitted(fleet, TWO)
    words = command("status", name, "--watch")
    child = pexpect.spawn(words[0], words[1:], encoding="utf-8", timeout=30, dimensions=(24, 40))
    child.expect_exact("2 parts: 2 waiting")
    child.sendintr()
    child.expect_exact("the run goes on")
    assert "subscriptions  0 %" in (child.before or "")  # how far it has come is still there
    child.expect_exact("to end it: ")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
