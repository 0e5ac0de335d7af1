"""What a journal says of its runs as a whole: how each ended, when the platform was silent, and what that comes to."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from small_platform import small_platform
from support import session

import aionorth
from aionorth import BulkAbortedError, FlowControl, JournalError, OutageError, PackageSelection, RetryPolicy
from aionorth.bulk.record import Record
from aionorth.common.arguments import Message, argument
from aionorth.errors import NorthConnectionError, NorthError, TlsError
from aionorth.events import Held, Released
from aionorth.items import Kind, Target
from aionorth.purge.journal import Journal, Outage, Overview, RunState, overview_of, read, read_now, remove_finished
from aionorth.purge.journal.file import JournalFile
from aionorth.purge.journal.history import FileReader
from aionorth.purge.journal.lines import encode, error_from_dict, error_to_dict
from aionorth.simulator import Simulator

TARGET = Target(kind=Kind.PACKAGES, url="http://h", app_id="demo-app")
MANY = [f"id-{number}" for number in range(3000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "purge.jsonl"


class Clock:
    """Its state: the time."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def ended(journal: Journal, *ids: str, error: NorthError | None = None) -> None:
    """Have these ids begun and ended."""
    for id_ in ids:
        journal.begin(id_)
        sent = Record().sent
        record = sent.answered if error is None else sent.failed(error)
        journal.end(record, record.result(id_, 0.1))


def whole(path: Path, ids: list[str], *done: str, clock: Clock | None = None, stop: bool = True) -> Path:
    """The journal of a run in which those `done` are gone."""
    journal = Journal.create(path, TARGET, ids, clock=clock or Clock())
    assert list(journal.finished()) == []
    ended(journal, *done)
    if stop:
        journal.run_ended(stopped=False, cause=None)
    journal.close()
    return path


def last_line(path: Path) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(path.read_bytes().splitlines()[-1])
    return line


# --- How a run ended


async def purge(north: aionorth.NorthSession, path: Path, ids: list[str], **options: Any) -> aionorth.BulkDelete:
    return north.purge(await north.plan(PackageSelection(ids=ids)), journal=path, **options)


async def test_a_run_that_is_through_says_so_and_how_many_are_gone_over_all_runs(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_packages(3)
        platform.reject(ids[:1], code="50400")
        await (await purge(north, path, [*ids, "never-was"]))
        line = last_line(path)
        assert (line["how"], line["gone"]) == ("complete", 3)
        assert line["began"] == read(path).runs[0]
        platform.reject(ids[:1], code=None)
        await north.resume(path)
        again = last_line(path)
        assert (again["how"], again["gone"], again["began"]) == ("complete", 4, line["began"])
        assert read(path).each_run()[-1].state is RunState.COMPLETE


async def test_a_run_that_is_stopped_left_or_cancelled_was_interrupted(path: Path) -> None:
    async with Simulator(calls=5) as platform, session(platform, flow_control=FlowControl(5, 60.0)) as north:
        run = await purge(north, path, platform.add_packages(20))
        task = asyncio.ensure_future(run.wait())
        await asyncio.sleep(1)
        run.stop()
        assert (await task).skipped
        assert last_line(path)["how"] == "interrupted"
        async with north.resume(path) as again:
            async for _ in again:
                break
        assert last_line(path)["how"] == "interrupted"
        task = asyncio.ensure_future(north.resume(path).wait())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        history = read(path)
        assert [stop and stop.state for stop in history.stops] == [RunState.INTERRUPTED] * 3
        assert history.stops[-1] is not None
        assert history.stops[-1].gone == history.gone


async def test_a_run_that_cannot_continue_says_why(path: Path) -> None:
    async with Simulator() as platform, session(platform, secret="wrong") as north:
        with pytest.raises(BulkAbortedError):
            await (await purge(north, path, ["a"]))
    history = read(path)
    assert history.each_run()[-1].state is RunState.FAILED
    assert history.stops[-1] is not None
    assert isinstance(history.stops[-1].cause, aionorth.CredentialsError)


async def test_the_text_of_a_stranger_that_ended_a_run_stays_out_of_the_journal(path: Path) -> None:
    def progress(_: aionorth.DeleteSummary) -> None:
        raise ValueError("s3cr3t")

    async with Simulator() as platform, session(platform) as north:
        with pytest.raises(BulkAbortedError):
            await (await purge(north, path, platform.add_packages(3), progress=progress))
    assert b"s3cr3t" not in path.read_bytes()
    assert last_line(path)["error"] == {"type": "NorthError", "message": "ValueError"}


def test_a_run_lasted_until_it_ended_though_it_waited_at_its_end(path: Path) -> None:
    clock = Clock()
    journal = Journal.create(path, TARGET, ["a", "b"], clock=clock)
    clock.now += 2.2
    ended(journal, "a")
    clock.now += 18.3
    journal.run_ended(stopped=True, cause=None)
    journal.close()
    history = read(path)
    assert history.ends == [1_020.5]
    assert history.elapsed == 20.5


def test_what_a_kill_leaves_has_no_end_and_what_is_locked_is_at_work(path: Path) -> None:
    journal = Journal.create(path, TARGET, ["a", "b"], clock=Clock())
    ended(journal, "a")
    assert (read_now(path).each_run()[-1].state, overview_of(path).state) == (RunState.AT_WORK, RunState.AT_WORK)
    journal.close()
    assert (read_now(path).each_run()[-1].state, overview_of(path).state) == (RunState.NO_END, RunState.NO_END)


def test_a_run_that_ends_while_its_journal_is_read_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create(path, TARGET, ["a"], clock=Clock())
    read_all = FileReader.read_all

    def late(reader: FileReader, *on_read: Any) -> Any:
        history = read_all(reader, *on_read)
        if history.stops[-1] is None:
            journal.run_ended(stopped=False, cause=None)
            journal.close()
        return history

    monkeypatch.setattr(FileReader, "read_all", late)
    assert read_now(path).each_run()[-1].state is RunState.COMPLETE


@pytest.mark.parametrize("harm", ["removed", "cut", "failed before"])
def test_an_end_that_cannot_be_written_harms_nothing(path: Path, harm: str) -> None:
    journal = Journal.create(path, TARGET, ["a"], clock=Clock())
    left = path.read_bytes()
    match harm:
        case "removed":
            path.unlink()
        case "cut":
            path.write_bytes(left := left[:-5])
        case _:
            assert isinstance(journal._medium, JournalFile)
            journal._medium._broken = True
    journal.run_ended(stopped=False, cause=None)
    journal.close()
    assert harm == "removed" or path.read_bytes() == left


@pytest.mark.parametrize("version", [1, 2])
async def test_a_journal_of_an_older_version_gets_no_line_that_this_could_not_read(path: Path, version: int) -> None:
    async with Simulator() as platform, session(platform) as north:
        about = {"kind": "packages", "url": platform.url, "app_id": "demo-app", "authorized_app_id": None}
        lines: list[dict[str, Any]] = [
            {"aionorth": "journal", "version": version, **about, "selection": "", "total": 1, "duplicates": 0},
            {"ids": ["a"]},
            {"run": 1_000.0},
        ]
        path.write_bytes(b"".join(encode(line, version) for line in lines))
        path.chmod(0o600)
        run = north.resume(path)
        async with run:
            run._recorder(Held(app_id="demo-app", silent_for=1.0, reason=""))  # type: ignore[misc,operator]
            async for _ in run:
                pass
    assert [next(iter(json.loads(line))) for line in path.read_bytes().splitlines()] == [
        *("aionorth", "ids", "run", "run", "begin", "end")
    ]
    assert read_now(path).each_run()[-1].state is RunState.NO_END
    assert overview_of(path).gone == 1


# --- Outages


def test_an_outage_is_recorded_when_it_begins_and_lasts_until_the_platform_answers(path: Path) -> None:
    clock = Clock()
    journal = Journal.create(path, TARGET, ["a"], clock=clock)
    clock.now += 100
    journal(Held(app_id="demo-app", silent_for=30.0, reason="HTTP 502"))
    assert read(path).outages == [Outage(start=1_070.0, end=1_100.0, open=True)]
    clock.now += 500
    journal(Released(app_id="demo-app", silent_for=530.0))
    clock.now += 50
    journal(Held(app_id="demo-app", silent_for=900.0, reason="HTTP 502"))  # another process saw it begin
    clock.now += 50
    journal.run_ended(stopped=True, cause=None)
    journal.close()
    history = read(path)
    assert history.outages == [Outage(start=1_000.0, end=1_700.0)]
    assert history.ends == [1_700.0]


async def test_an_outage_in_which_a_run_is_killed_lasted_at_least_until_its_last_sign_of_life(path: Path) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time() - 1_000.0

    def clock() -> float:
        return loop.time() - began

    def held(journal: Journal, silent_for: float) -> None:
        journal(Held(app_id="demo-app", silent_for=silent_for, reason="HTTP 502"))

    journal = Journal.create(path, TARGET, ["a"], clock=clock)
    journal.take()
    await asyncio.sleep(100)
    held(journal, 30.0)
    await asyncio.sleep(195)
    journal.close()  # without a word of its end
    first = Outage(start=1_070.0, end=1_290.0, open=True)
    assert read_now(path).outages == [first]
    assert not read_now(path).silent
    journal = Journal.reopen(path, clock=clock)
    journal.take()
    held(journal, 1.0)
    await asyncio.sleep(15)
    journal(Released(app_id="demo-app", silent_for=16.0))
    await asyncio.sleep(100)
    journal.run_ended(stopped=False, cause=None)
    journal.close()
    history = read(path)
    assert history.outages == [first, Outage(start=1_295.0, end=1_310.0)]
    assert history.ends == [1_290.0, 1_410.0]


def test_an_outage_that_a_run_is_in_has_lasted_until_now(path: Path) -> None:
    journal = Journal.create(path, TARGET, ["a"], clock=Clock())
    journal(Held(app_id="demo-app", silent_for=0.0, reason="HTTP 502"))
    history = read_now(path)
    assert history.silent
    assert history.outages[0].end == history.ends[-1] > read(path).outages[0].end
    journal.close()
    assert not read_now(path).silent
    again = Journal.reopen(path)
    assert not read_now(path).silent  # that was the run before
    again.close()


def test_outages_are_kept_apart(path: Path) -> None:
    clock = Clock()
    journal = Journal.create(path, TARGET, ["a"], clock=clock)
    for _ in range(2):
        clock.now += 100
        journal(Held(app_id="demo-app", silent_for=10.0, reason=""))
        clock.now += 20
        journal(Released(app_id="demo-app", silent_for=30.0))
    journal.close()
    assert read(path).outages == [Outage(start=1_090.0, end=1_120.0), Outage(start=1_210.0, end=1_240.0)]


async def test_a_run_records_the_outages_in_it(path: Path) -> None:
    async with small_platform() as platform:
        url = f"http://127.0.0.1:{platform.port}"
        async with aionorth.NorthSession(
            url, app_id="demo-app", token="live", retry=RetryPolicy(outage=3600.0)
        ) as north:
            task = asyncio.ensure_future((await purge(north, path, MANY[:300])).wait())
            await asyncio.sleep(30)
            assert read(path).outages == []
            await platform.become("refused")
            await asyncio.sleep(300)
            assert len(read(path).outages) == 1  # a kill would not take it away
            await platform.become("up")
            await task
    history = read(path)
    assert len(history.outages) == 1
    assert history.runs[0] <= history.outages[0].start < history.outages[0].end <= history.ends[0]


def test_an_outage_that_ended_a_run_is_read_as_it_was_written() -> None:
    error = error_from_dict(error_to_dict(OutageError(43_210.0, "HTTP 502")))
    assert isinstance(error, OutageError)
    assert str(error) == str(OutageError(43_210.0, "HTTP 502"))
    older = error_from_dict({"type": "OutageError", "message": "the platform has not answered"})
    assert (type(older), str(older)) == (NorthConnectionError, "the platform has not answered")


@pytest.mark.parametrize(
    "error", [TlsError(f"give {argument('ca_file')}"), OutageError(9.0, Message(f"another {argument('ca_file')}?"))]
)
def test_the_arguments_in_an_error_are_known_after_it_was_read(error: NorthError) -> None:
    again = error_from_dict(json.loads(json.dumps(error_to_dict(error))))
    assert (type(again), str(again), again.marked) == (type(error), str(error), error.marked)
    assert again.marked != str(again)
    older = error_from_dict({"type": "TlsError", "message": "give ca_file"})
    assert str(older) == older.marked == "give ca_file"


# --- What it comes to


def from_history(path: Path) -> Overview:
    """What `overview_of` is to return, read from the whole journal."""
    history = read(path)
    return Overview(
        path=str(path),
        size=path.stat().st_size,
        target=history.target,
        total=len(history.entries),
        gone=history.gone,
        began=history.runs[0],
        ended=history.ends[-1],
        stop=history.stops[-1],
    )


def test_a_large_journal_with_an_end_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole(path, MANY, *MANY[:2990])
    expected = from_history(path)
    assert path.stat().st_size > 500_000
    slices, read_slice = [0], FileReader.read_slice

    def counted(reader: FileReader) -> bool:
        slices[0] += 1
        return read_slice(reader)

    monkeypatch.setattr(FileReader, "read_slice", counted)
    assert overview_of(path) == expected
    assert (expected.gone, expected.finished, slices) == (2990, False, [1])


@pytest.mark.parametrize("cut", [0, 1, 200, *(pytest.param(cut, marks=pytest.mark.slow) for cut in (30, 100, 300))])
def test_whatever_is_last_in_it_the_overview_is_that_of_the_whole_journal(path: Path, cut: int) -> None:
    content = whole(path, MANY, *MANY).read_bytes()
    path.write_bytes(content[: len(content) - cut])
    parts = list[float]()
    assert overview_of(path, parts.append) == from_history(path)
    assert bool(parts) == (cut > 0)
    Journal.reopen(path, clock=lambda: 5_000.0).close()  # a run that was killed before it sent anything
    assert overview_of(path) == from_history(path)
    assert overview_of(path).state is RunState.NO_END


def test_only_what_has_nothing_left_to_do_and_is_not_at_work_is_removed(tmp_path: Path) -> None:
    finished, unfinished = whole(tmp_path / "a", ["a"], "a"), whole(tmp_path / "b", ["a", "b"], "a")
    assert not remove_finished(unfinished)
    at_work = Journal.reopen(finished)
    with pytest.raises(JournalError, match="another process is at work on"):
        remove_finished(finished)
    at_work.close()
    assert remove_finished(finished)
    assert list(tmp_path.iterdir()) == [unfinished]
    assert remove_finished(whole(tmp_path / "c", MANY, *MANY, stop=False))
