"""What the command line makes of a platform that is silent, and of a run that ends early."""

import asyncio
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from rich.console import Console
from shell import APP, Shell
from small_platform import SmallPlatform, small_platform

import aionorth
from aionorth import DeleteResult, DeleteSummary, FlowState, Kind, NorthApiError, OutageError, Outcome
from aionorth.cli.commands.check import wait_in_words
from aionorth.cli.output.messages import ExitCode, in_words, noted
from aionorth.cli.output.progress import Listing, Moment, drawn, in_lines
from aionorth.cli.runs.job import Ended, carry_out
from aionorth.simulator import CannedReply, Simulator

IDS = [f"id{number}" for number in range(1000)]
SILENT = FlowState(
    limit=100,
    period=60.0,
    in_use=3,
    next_slot=0,
    waiting=9,
    paused_for=0,
    refusals=0,
    silent_for=190.0,
    next_probe=40.0,
)
SILENCE = "the platform has not answered for 3 min 10 s; next try in 40 s; nothing is lost"


def moment(flow: FlowState = SILENT, *, failures: tuple[DeleteResult, ...] = (), **more: Any) -> Moment:
    summary = DeleteSummary(total=116, deleted=100 - len(failures), failed=len(failures), results=failures)
    return Moment(summary=summary, flow=flow, distinct=3000, rate=450.0, pace=3.0, **more)


def on_terminal(state: Moment | Listing, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(drawn("Deleting", state, width))
    return capture.get()


# --- An outage


@pytest.mark.parametrize(
    ("silent_for", "next_probe", "said"),
    [
        (190.0, 40.0, "for 3 min 10 s; next try in 40 s"),
        (5.2, 0.3, "for 5 s; next try in 1 s"),
        (59.6, 0.0, "for 1 min 0 s; trying now"),
        (7260.0, 59.9, "for 2 h 1 min; next try in 60 s"),
    ],
)
def test_a_silence_in_words(silent_for: float, next_probe: float, said: str) -> None:
    flow = attrs.evolve(SILENT, silent_for=silent_for, next_probe=next_probe)
    assert moment(flow).silence() == f"the platform has not answered {said}; nothing is lost"


@pytest.mark.parametrize("show", [Moment.line, on_terminal])
def test_a_silence_takes_the_place_of_rate_and_time_left(show: Any) -> None:
    shown = show(moment())
    assert SILENCE in shown
    assert "calls a minute" not in shown
    assert "left" not in shown
    assert "calls used" not in shown
    assert "100 deleted" in shown
    assert "has not answered" not in show(moment(ended=True))


def test_a_silence_is_whole_on_a_narrow_terminal() -> None:
    assert SILENCE in " ".join(on_terminal(moment(), 40).split())


def test_a_silence_is_shown_while_a_list_is_read() -> None:
    listing = Listing(listed=300, flow=SILENT, elapsed=200.0)
    assert "300 listed · the platform has not answered for 3 min 10 s; next try in 40 s" in listing.line()
    listing = Listing(listed=300, flow=attrs.evolve(SILENT, silent_for=0.2), elapsed=200.0)
    assert "the platform has not answered; next try in" in listing.line()
    listing = Listing(listed=300, flow=attrs.evolve(SILENT, silent_for=0.0), elapsed=9.0, note="another attempt in 2 s")
    assert listing.line() == "300 listed · 3 of 100 calls used · another attempt in 2 s"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "the platform has not answered for 3 min 10 s; next try in 40 s"),
        (
            {"in_use": 100, "next_slot": 12.0},
            "waiting for flow control, which others of this app use too: 100 of 100 calls used, next slot in 12 s",
        ),
    ],
)
def test_a_check_that_waits_for_a_slot_in_an_outage_says_so(more: dict[str, Any], said: str) -> None:
    assert wait_in_words(attrs.evolve(SILENT, **more)) == said


def seconds_left(line: str) -> float:
    found = re.search(r"about (?:(\d+) min )?([\d.]+) s left", line)
    assert found is not None
    return 60 * int(found[1] or 0) + float(found[2])


async def carried_out(platform: SmallPlatform, ids: list[str]) -> Ended:
    with noted() as notes:
        async with aionorth.NorthSession(
            f"http://127.0.0.1:{platform.port}", app_id=APP, token="live", retry=aionorth.RetryPolicy(outage=3600.0)
        ) as north:
            run = north.delete_subscriptions(ids, collect="failures")
            return await carry_out(run, north, notes, kind=Kind.SUBSCRIPTIONS, title="x", distinct=len(ids))


@pytest.mark.slow
@pytest.mark.parametrize("state", ["refused", "hangs"])
async def test_the_time_left_is_right_from_the_end_of_an_outage_on(
    state: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moments: list[Moment] = []

    @contextmanager
    def view_of(title: str) -> Iterator[Callable[[Moment], None]]:
        with in_lines(title) as show:

            def both(now: Moment) -> None:
                moments.append(now)
                show(now)

            yield both

    monkeypatch.setattr("aionorth.cli.runs.job.view_of", view_of)
    async with small_platform() as platform:
        run = asyncio.create_task(carried_out(platform, IDS))
        await asyncio.sleep(150)
        await platform.become(state)
        await asyncio.sleep(900)
        await platform.become("up")
        ended = await run
    assert ended.exit_code is ExitCode.OK
    silent = [line for line in capsys.readouterr().err.splitlines() if "x: " in line and "has not answered for" in line]
    assert len(silent) >= 80
    last = max(number for number, now in enumerate(moments) if now.silent)
    for now in moments[last + 1 : -1]:
        if now.remaining() != "the last calls are under way":
            assert seconds_left(now.remaining()) == pytest.approx(moments[-1].elapsed - now.elapsed, abs=75)


@pytest.mark.slow
async def test_the_first_signal_in_an_outage_stops_at_once() -> None:
    async with small_platform() as platform:
        loop = asyncio.get_running_loop()
        run = asyncio.create_task(carried_out(platform, IDS))
        await asyncio.sleep(30)
        await platform.become("refused")
        await asyncio.sleep(300)
        began = loop.time()
        os.kill(os.getpid(), signal.SIGTERM)
        ended = await run
        assert loop.time() - began < 5
    assert ended.interrupted
    assert ended.exit_code is ExitCode.INTERRUPTED
    assert ended.summary.deleted == 100
    assert ended.summary.skipped >= len(IDS) - 100 - 16


# --- Why a run ended early


@pytest.mark.slow
def test_an_end_by_an_outage_says_why_what_is_left_and_how_to_go_on(
    platform: Simulator, shell: Shell, tmp_path: Path
) -> None:
    listed = shell.file("\n".join(platform.add_packages(60)))
    shell.point_at(platform)
    for method in ("DELETE", "GET"):
        platform.script(CannedReply(502, b"<html>"), method=method, times=1000)
    journal, report = str(tmp_path / "purge.jsonl"), ("--report", str(tmp_path / "purge.html"))
    run = shell("delete", "packages", "--ids-file", listed, "--journal", journal, "--max-outage", "1s", *report)
    assert run.code == 1
    assert re.search(r"skipped\s+[45]\d\n", run.out)
    said = r"the run ended early: the platform has not answered any call for \d\.\d s \(HTTP 502.*\); check the URL and"
    assert re.search(said, run.err)
    assert re.search(r"[45]\d of 60 were skipped: they were never attempted\n", run.err)
    assert f"to go on: aionorth resume {journal} --max-outage 1s --report {report[1]}\n" in run.err
    assert "s without the platform" in (tmp_path / "purge.html").read_text()


def test_an_outage_is_an_early_end_like_others() -> None:
    ended = Ended(
        kind=Kind.PACKAGES,
        summary=DeleteSummary(total=1500, deleted=266, skipped=1234),
        cause=OutageError(43210.0, "HTTP 502"),
        journal="purge.jsonl",
        options=["--max-outage", "12h"],
    )
    assert ended.exit_code is ExitCode.FAILED
    assert ended.reason == (
        "the run ended early: the platform has not answered any call for 12 h 0 min (HTTP 502); check the URL and the "
        "network, or wait until it is back\n1,234 of 1,500 were skipped: they were never attempted\n"
        "to go on: aionorth resume purge.jsonl --max-outage 12h"
    )
    assert in_words(OutageError(61.0)).startswith("the platform has not answered any call for 1 min 1 s; check")
    assert str(OutageError(61.0)) == "the platform has not answered any call for 1 min 1 s: try again when it does"


def test_max_failures_ends_a_run_which_can_be_resumed(platform: Simulator, shell: Shell, tmp_path: Path) -> None:
    ids = platform.add_packages(60)
    shell.point_at(platform)
    platform.script(CannedReply(400, b'{"error_code": "987654", "error_desc": "no"}'), method="DELETE", times=3)
    journal = str(tmp_path / "purge.jsonl")
    listed = shell.file("\n".join(ids))
    options = ("--workers", "1", "--max-failures", "3")
    run = shell("delete", "packages", "--ids-file", listed, "--journal", journal, *options)
    assert run.code == 1
    assert "failed      3" in run.out
    assert "skipped    57" in run.out
    assert "3 ids have failed, as many as were allowed; the last: HTTP 400, code 987654: no" in run.err
    assert f"to go on: aionorth resume {journal} --workers 1 --max-failures 3" in run.err
    assert shell("resume", journal, "--max-failures", "3").code == 0
    assert shell("resume", journal, "--max-failures", "0").code == 2


def test_a_purge_that_is_resumed_tries_what_has_failed_last(platform: Simulator, shell: Shell, tmp_path: Path) -> None:
    ids = platform.add_packages(40)
    platform.reject(ids[2:5], code="50400")
    shell.point_at(platform)
    journal, options = str(tmp_path / "purge.jsonl"), ("--workers", "1", "--max-failures", "3")
    run = shell("delete", "packages", "--ids-file", shell.file("\n".join(ids)), "--journal", journal, *options)
    assert "deleted     2" in run.out
    run = shell("resume", journal, *options)
    assert run.code == 1
    assert "deleted    37" in run.out
    assert "failed      3" in run.out


# --- Why ids fail


def failure(number: int, words: str, outcome: Outcome = Outcome.FAILED) -> DeleteResult:
    return DeleteResult(f"id{number}", outcome, NorthApiError(400, "9", words) if words else None, 1, 0, 0.1)


@pytest.mark.parametrize("show", [Moment.line, on_terminal])
def test_the_latest_reason_for_a_failure_is_shown(show: Any) -> None:
    up = attrs.evolve(SILENT, silent_for=0.0, next_probe=0.0)
    assert "last failure" not in show(moment(up))
    assert "last failure: HTTP 400, code 9: one" in show(moment(up, failures=(failure(1, "one"),)))
    several = (failure(1, "one"), failure(2, "two"), failure(3, "three", Outcome.SKIPPED))
    assert "last failure: HTTP 400, code 9: two" in show(moment(up, failures=several))


def test_a_long_reason_is_cut_to_the_width() -> None:
    long = moment(failures=(failure(1, "x" * 900),))
    for width in (40, 80):
        lines = [line for line in on_terminal(long, width).splitlines() if "last failure" in line]
        assert [len(line.rstrip()) for line in lines] == [width]
    assert len(long.line()) < 500
