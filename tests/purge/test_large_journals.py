"""Journals of many ids: read a little at a time, so that nothing else is held up, and to the same end as small ones."""

import asyncio
import random
from pathlib import Path

import pytest
from shell import APP, SECRET, Shell
from support import deletes, session

import aionorth
from aionorth import JournalError, Outcome
from aionorth.cli.runs import journals
from aionorth.errors import PackageNotFoundError, ReplyLostError
from aionorth.items import Kind, Target
from aionorth.purge.journal import Journal, lines, read, target_of
from aionorth.purge.journal.journal import READ_AT_ONCE
from aionorth.simulator import Simulator

NUMBER = 3000
LEFT = [f"id-{number}" for number in range(NUMBER - 3, NUMBER)]
"""Those that the first run has not come to."""


def large(path: Path, url: str) -> Path:
    """A journal in which nearly all are gone, one is not known to be, and three were never tried."""
    target = Target(kind=Kind.PACKAGES, url=url, app_id="demo-app")
    journal = Journal.create(path, target, [f"id-{number}" for number in range(NUMBER)], clock=lambda: 1_000.0)
    for number in range(NUMBER - len(LEFT)):
        journal.begin(id_ := f"id-{number}")
        sent = journal.recall(id_).sent
        record = sent.failed(ReplyLostError("cut")) if number == 7 else sent.answered
        journal.end(record, record.result(id_, 0.25))
    journal.close()
    assert path.stat().st_size > 2 * READ_AT_ONCE
    return path


async def test_a_large_journal_is_read_when_its_run_begins_and_others_have_their_turn(tmp_path: Path) -> None:
    turns, parts = 0, list[float]()

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with Simulator() as platform, session(platform) as north:
        path = large(tmp_path / "purge.jsonl", platform.url)
        others = asyncio.ensure_future(take_turns())
        run = north.resume(path, on_read=parts.append)
        before = run.expected
        assert before is None
        await run.prepare()
        others.cancel()
        assert turns >= len(parts) >= 8
        assert parts == sorted(parts)
        assert parts[-1] == 1
        assert (run.expected, run.summary.total, run.summary.deleted) == (NUMBER, NUMBER - 4, NUMBER - 4)
        assert not platform.arrivals
        summary = await run
        assert {call.resource for call in deletes(platform)} == {"id-7", *LEFT}
        assert (summary.deleted, summary.gone, summary.not_found) == (NUMBER - 4, 1, 3)
        assert (summary.calls, summary.retries) == (NUMBER + 1, 1)
        assert len(summary.results) == NUMBER
        assert read(path).gone == NUMBER
        again = await north.resume(path, collect="failures")
        assert (again.total, again.calls, again.results) == (NUMBER, NUMBER + 1, ())


async def test_a_large_journal_that_is_damaged_ends_its_run_before_a_call(tmp_path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        path = large(tmp_path / "purge.jsonl", platform.url)
        whole = path.read_bytes()
        path.write_bytes(damaged := whole[:-400] + b"?" + whole[-399:])
        assert target_of(path).kind is Kind.PACKAGES
        run = north.resume(path)
        with pytest.raises(JournalError, match=r"purge\.jsonl is damaged: line \d+ is not one of a journal"):
            await run
        assert path.read_bytes() == damaged
        assert run.summary.total == 0
        assert not platform.arrivals
        path.write_bytes(whole)
        Journal.reopen(path).close()  # it is not locked any more


async def test_a_large_journal_is_one_processs_while_it_is_read_and_after(tmp_path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        path = large(tmp_path / "purge.jsonl", platform.url)
        first, second = north.resume(path), north.resume(path)
        await first.prepare()
        with pytest.raises(JournalError, match="another process is at work"):
            await second
        with pytest.raises(JournalError, match="another process is at work"):
            north.resume(path)
        assert (await first).ok
        third, fourth = north.resume(path), north.resume(path)
        await third
        with pytest.raises(JournalError, match="in the meantime"):
            await fourth


async def test_a_run_that_is_stopped_before_its_large_journal_is_read_accounts_for_all(tmp_path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        run = north.resume(large(tmp_path / "purge.jsonl", platform.url), collect="failures")
        run.stop()
        summary = await run
        assert (summary.total, summary.deleted, summary.unknown, summary.skipped) == (NUMBER, NUMBER - 4, 1, 3)
        assert not platform.arrivals


async def test_a_run_that_is_cancelled_while_its_journal_is_read_lets_go_of_it(tmp_path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        path = large(tmp_path / "purge.jsonl", platform.url)
        before = path.read_bytes()
        task = asyncio.ensure_future(_whole(north.resume(path)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert path.read_bytes() == before
        assert (await north.resume(path)).ok


async def _whole(run: aionorth.BulkDelete) -> aionorth.DeleteSummary:
    return await run


def test_the_usual_lines_say_the_same_whichever_way_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(12)
    ids = [
        *(f"id-{number}" for number in range(200)),
        'q"uote',
        "back\\slash",
        "ümlaut",
        "snow☃",
        "blank in it",
        "\x7f",
    ]
    now = [1_762_000_000.0]
    target = Target(kind=Kind.PACKAGES, url="http://h", app_id="a")
    journal = Journal.create(tmp_path / "purge.jsonl", target, ids, clock=lambda: now[0])
    for _ in range(900):
        now[0] += chance.choice([0.0, 0.001, 0.1234567, 60.0])
        journal.begin(id_ := chance.choice(ids))
        record = journal.recall(id_).sent
        errors = [None, None, ReplyLostError("cut"), PackageNotFoundError(404, "123002", "No.")]
        record = record.answered if (error := chance.choice(errors)) is None else record.failed(error)
        if chance.random() < 0.9:
            outcome = chance.choice([None, None, Outcome.SKIPPED])
            journal.end(record, record.result(id_, chance.choice([0.0, 1e-05, 12.5, 86_400.0]), outcome))
    journal.close()
    quick = read(journal.name)
    content = lines.split(Path(journal.name).read_bytes())
    assert 0.5 < sum(line[1] != b"" for line in content) / len(content) < 0.95
    monkeypatch.setattr(lines, "split", lambda data: [(line, *[b""] * 9) for line in data.splitlines(keepends=True)])
    slow = read(journal.name)
    assert [str(entry) for entry in quick.entries.values()] == [str(entry) for entry in slow.entries.values()]
    assert (quick.runs, quick.ends) == (slow.runs, slow.ends)


def test_the_command_line_says_how_far_it_has_read(
    shell: Shell, platform: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SAID_EVERY", 0.0)
    shell.export(URL=platform.url, APP_ID=APP, SECRET=SECRET)
    path = large(tmp_path / "purge.jsonl", platform.url)
    run = shell("resume", str(path))
    assert run.code == 0
    said = [line for line in run.err.splitlines() if line.startswith(f"aionorth: reading {path}: ")]
    assert len(said) >= 8
    assert said[-1].endswith(": 100 %")
    assert f"aionorth: {NUMBER - 4:,} of {NUMBER:,} are known to be gone already" in run.err
