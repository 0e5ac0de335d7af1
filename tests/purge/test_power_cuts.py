"""What a power cut leaves of a journal: all that the disk was asked for, and no call that is not in it."""

import asyncio
import errno
import json
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from processes import Platform
from support import deletes, session

import aionorth
from aionorth import BulkAbortedError, FlowControl, Outcome, PackageSelection, RetryPolicy
from aionorth.items import Kind, Target
from aionorth.purge.journal import Journal, read
from aionorth.simulator import Reset, ServerError, Simulator

NEVER = FlowControl(1_000_000, 1.0)
DELAY = 0.001


@attrs.define
class Disk:
    """Stands in for the system's calls that bring files to the disk. Its state: how much of the journal is there."""

    journal: Path
    synced: list[int] = attrs.Factory(list[int])
    """The length that was on the disk after each call."""
    meanwhile: Callable[[], object] = lambda: time.sleep(DELAY)

    def sync(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size  # what is written from now on is not part of it
        self.meanwhile()
        self.synced.append(size)

    @property
    def content(self) -> bytes:
        """What a power cut would leave."""
        return self.journal.read_bytes()[: self.synced[-1] if self.synced else 0]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path / "purge.jsonl")
    monkeypatch.setattr(os, "fdatasync", disk.sync)
    return disk


async def purge(north: aionorth.NorthSession, ids: list[str], path: Path, **options: Any) -> aionorth.DeleteSummary:
    return await north.purge(await north.plan(PackageSelection(ids=ids)), journal=path, **options)


def begun(content: bytes) -> set[str]:
    lines = [json.loads(line) for line in content.splitlines()]
    return {line["begin"] for line in lines if "begin" in line}


@pytest.mark.parametrize("seed", range(3))
async def test_no_call_arrives_whose_line_a_power_cut_would_lose(disk: Disk, seed: int) -> None:
    left = list[bytes]()

    def latency(chance: random.Random) -> tuple[float, float]:
        left.append(disk.content)  # a call arrives
        return 0.0, chance.uniform(0.0, 0.1)

    chances = {Reset(after_effect=True): 0.1, ServerError(): 0.1}
    async with Simulator(calls=None, latency=latency, chances=chances, seed=seed) as platform:
        ids = platform.add_packages(60)
        async with session(platform, flow_control=NEVER, retry=RetryPolicy(base=0.1, longest=1.0)) as north:
            summary = await purge(north, [*ids, "never-was"], disk.journal)
        called = set[str]()
        again = disk.journal.with_name("after a power cut.jsonl")
        for arrival, content in zip(platform.arrivals, left, strict=True):
            if arrival.method != "DELETE":
                continue
            assert arrival.resource is not None
            called.add(arrival.resource)
            assert called <= begun(content)
        for length in dict.fromkeys(disk.synced):
            again.write_bytes(disk.journal.read_bytes()[:length])
            again.chmod(0o600)
            history = read(again)
            assert list(history.entries) == [*ids, "never-was"]
            gone = {entry.id: entry.outcome for entry in history.entries.values() if entry.gone}
            assert gone.items() <= {result.id: result.outcome for result in summary.results}.items()
        assert disk.content == disk.journal.read_bytes()


async def test_one_call_of_the_system_serves_all_lines_written_since_the_last(disk: Disk) -> None:
    async with Simulator(calls=None) as platform, session(platform, flow_control=NEVER) as north:
        ids = platform.add_packages(160)
        disk.meanwhile = lambda: time.sleep(0.02)
        assert (await purge(north, ids, disk.journal, workers=16)).deleted == 160
        assert len(disk.synced) < 80


async def test_an_outcome_is_on_the_disk_within_a_second(disk: Disk) -> None:
    async with Simulator(calls=2) as platform, session(platform, flow_control=FlowControl(2, 60.0)) as north:
        run = asyncio.ensure_future(purge(north, platform.add_packages(3), disk.journal))
        await asyncio.sleep(1.0)
        assert disk.journal.read_bytes().count(b'"end"') == 1
        assert disk.content == disk.journal.read_bytes()
        assert len(deletes(platform)) == 1  # the login is the other call
        await run


async def test_a_run_that_ends_while_its_line_is_on_its_way_has_not_sent_the_call(disk: Disk) -> None:
    entered, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slowly() -> None:
        loop.call_soon_threadsafe(entered.set)
        assert go_on.wait(10)

    async with Simulator(calls=None) as platform, session(platform, flow_control=FlowControl(3, 60.0)) as north:
        disk.meanwhile = slowly
        run = north.purge(await north.plan(PackageSelection(ids=["a", "b"])), journal=disk.journal, workers=1)
        task = asyncio.ensure_future(_summary(run))
        await entered.wait()
        run.stop()
        for _ in range(20):
            await asyncio.sleep(0)
        assert north.flow.in_use == 1  # of the login: the permit was given back
        go_on.set()
        assert (await task).skipped == 2
        assert not deletes(platform)
        entries = read(disk.journal).entries
        assert {(entry.final_outcome(), entry.began_at, entry.ended_at) for entry in entries.values()} == {
            (Outcome.SKIPPED, None, None)
        }
        assert (await north.resume(disk.journal)).not_found == 2  # not GONE: nobody has deleted them


async def _summary(run: aionorth.BulkDelete) -> aionorth.DeleteSummary:
    return await run


async def test_a_run_ends_where_the_disk_says_that_it_has_failed(disk: Disk) -> None:
    def fail() -> None:
        if len(disk.synced) == 5:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.meanwhile = fail
    async with Simulator() as platform, session(platform) as north:
        with pytest.raises(BulkAbortedError, match=r"cannot be brought to the disk \(Input/output error\)") as caught:
            await purge(north, platform.add_packages(50), disk.journal, workers=1)
        assert len(deletes(platform)) == caught.value.summary.deleted <= 5
        assert caught.value.summary.skipped == 50 - caught.value.summary.deleted


async def test_a_journal_whose_last_lines_may_be_lost_is_named(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        if b'"end"' in disk.journal.read_bytes():
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.meanwhile = fail
    async with Simulator() as platform, session(platform) as north:
        assert (await purge(north, platform.add_packages(1), disk.journal)).deleted == 1
    await asyncio.get_running_loop().shutdown_default_executor()  # the journal is closed in a thread
    (record,) = caplog.records
    assert record.message == f"the end of {disk.journal} may be lost if the machine loses power (Input/output error)"


def test_a_journal_is_on_the_disk_before_its_name_and_its_name_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = list[str]()
    fsync, link = os.fsync, os.link

    def synced(descriptor: int) -> None:
        calls.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def named(*args: Any, **options: Any) -> None:
        calls.append("name")
        link(*args, **options)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", named)
    Journal.create(tmp_path / "new", Target(kind=Kind.PACKAGES, url="http://h", app_id="a"), ["a"]).close()
    assert calls == ["file", "name", "directory"]


# --- The system's own word

TRACED = "trace=write,fdatasync,fsync,sendto,sendmsg,linkat"
LINE = re.compile(r"^(?P<pid>\d+) +(?:(?P<name>\w+)\((?P<begun>.*)|<\.\.\. (?P<resumed>\w+) resumed>(?P<rest>.*))$")


@pytest.mark.slow
def test_the_system_is_asked_to_write_then_to_sync_then_to_send(tmp_path: Path) -> None:
    if (strace := shutil.which("strace")) is None and not os.environ.get("CI"):
        pytest.skip("strace is not installed (Debian: apt-get install strace)")
    source = """
import asyncio, sys
import aionorth

async def main(url, path, *ids):
    async with aionorth.NorthSession(url, app_id="demo-app", secret="demo-secret") as north:
        summary = await north.purge(await north.plan(aionorth.SubscriptionSelection(ids=ids)), journal=path)
    assert summary.deleted == len(ids), summary

asyncio.run(main(*sys.argv[1:]))
"""
    trace = tmp_path / "trace"
    with Platform(calls=None, subscriptions=40) as platform:
        command = [str(strace), "-f", "-y", "-qq", "-s", "400", "-e", TRACED, "-o", str(trace)]
        purge = [sys.executable, "-c", source, platform.url, str(tmp_path / "purge.jsonl"), *platform.ids]
        subprocess.run([*command, *purge], check=True, timeout=120)
        ids = platform.ids
    written, covered, synced = set[str](), dict[str, set[str]](), set[str]()
    sent, creation = list[str](), list[str]()
    for line in trace.read_text().splitlines():
        if (call := LINE.match(line)) is None:
            continue
        pid, name, text = call["pid"], call["name"] or call["resumed"], call["begun"] or call["rest"]
        begins, ends = call["name"] is not None, "<unfinished" not in text
        if name == "write" and begins:
            written |= set(re.findall(r'{\\"begin\\":\\"([0-9a-f-]+)\\"', text))
            creation += ["write"] if r"{\"ids\":" in text else []
        elif name == "fdatasync":
            if begins:
                covered[pid] = set(written)
            if ends:
                assert "= 0" in text
                synced |= covered.pop(pid)
        elif name in {"sendto", "sendmsg"} and begins and (call_ := re.search(r"DELETE [^ ]*/([0-9a-f-]+) HTTP", text)):
            assert call_[1] in synced, f"{call_[1]} was sent before its line was on the disk"
            sent.append(call_[1])
        elif name in {"fsync", "linkat"} and begins:
            creation.append(name if name == "linkat" or ".jsonl" in text or "deleted" in text else "fsync directory")
    assert sorted(sent) == sorted(ids)
    assert creation == ["write", "fsync", "linkat", "fsync directory"]


# --- Flow control


async def test_no_call_is_sent_by_a_permit_that_has_grown_old_while_its_journal_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, on_disk, hangs = asyncio.get_running_loop(), Journal.on_disk, dict[str, float]()

    async def hang_at_times(journal: Journal) -> None:
        await on_disk(journal)
        began = hangs.setdefault("from", loop.time() + 1.0)
        if 0 < (since := (loop.time() - began) % 20.0) < 12.0:
            await asyncio.sleep(12.0 - since)

    monkeypatch.setattr(Journal, "on_disk", hang_at_times)
    async with Simulator(
        model="sliding-refusals", calls=24, period=4.0, latency=lambda _: (0.01, 1.2), log_limit=None
    ) as platform:
        ids = platform.add_packages(400)
        flow = FlowControl(24, 4.0)
        async with session(platform, flow_control=flow, timeout=3.0) as north:
            plan = await north.plan(PackageSelection(ids=ids))
            summary = await north.purge(plan, journal=tmp_path / "purge.jsonl", workers=64)
    assert (summary.count(Outcome.DELETED), summary.refusals) == (400, 0)
