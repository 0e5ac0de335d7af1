"""The journal: what it holds after kills, torn lines and full disks, and how a purge is resumed from it."""

import asyncio
import errno
import gc
import io
import json
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import deletes, run, session

import aionorth
from aionorth import (
    ArgumentError,
    BulkAbortedError,
    FlowControl,
    JournalError,
    Outcome,
    PackageSelection,
    Plan,
    RetryPolicy,
    SubscriptionSelection,
)
from aionorth.bulk.record import Record
from aionorth.errors import OutageError, PackageNotFoundError, ReplyLostError
from aionorth.events import Held
from aionorth.items import Kind, Target
from aionorth.purge.journal import Journal, check_new, read
from aionorth.simulator import CannedReply, Delay, Reset, ServerError, Simulator
from aionorth.wire.requests import delete_matching_subscriptions

NEVER = FlowControl(1_000_000, 1.0)
QUICK = RetryPolicy(base=0.1, longest=1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "purge.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    """What the lines of a journal say, without their checksums."""
    whole: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "crc"} for line in whole]


async def plan_of(north: aionorth.NorthSession, *ids: str) -> Plan[Any]:
    return await north.plan(PackageSelection(ids=ids))


async def test_an_id_has_a_line_before_its_first_attempt_and_one_with_its_outcome(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_packages(3)
        plan = await plan_of(north, *ids, "no-such-id", ids[0])
        summary = await north.purge(plan, journal=path)
        assert (summary.deleted, summary.not_found, summary.duplicates) == (3, 1, 1)
        first, listed, run_, *rest = lines(path)
        assert first == {
            "aionorth": "journal",
            "version": 3,
            "kind": "packages",
            "url": platform.url,
            "app_id": "demo-app",
            "authorized_app_id": None,
            "selection": "5 ids",
            "total": 4,
            "duplicates": 1,
        }
        assert listed == {"ids": [*ids, "no-such-id"]}
        assert set(run_) == {"run"}
        for id_ in [*ids, "no-such-id"]:
            begin, end = (line for line in rest if id_ in line.values())
            assert begin == {"begin": id_, "at": begin["at"]}
            assert end["end"] == id_
            assert end["calls"] == 1
        (missing,) = (line for line in rest if line.get("end") == "no-such-id")
        assert missing["error"] == {
            "type": "PackageNotFoundError",
            "status": 404,
            "code": "123002",
            "description": missing["error"]["description"],
        }


async def test_it_is_readable_by_its_owner_only_and_replaces_nothing(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        plan = await plan_of(north, "a")
        await north.purge(plan, journal=path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        before = path.read_bytes()
        with pytest.raises(JournalError, match=r"purge\.jsonl exists already: resume it"):
            north.purge(plan, journal=path)
        assert path.read_bytes() == before
        with pytest.raises(JournalError, match=r"cannot be created \(No such file or directory\)"):
            north.purge(plan, journal=path.with_name("no") / "such")
        with pytest.raises(ArgumentError, match="workers"):
            north.purge(plan, journal=path.with_name("other"), workers=0)
        assert not path.with_name("other").exists()


async def test_the_line_is_there_before_the_call_and_not_while_the_id_waits_for_its_turn(path: Path) -> None:
    async with Simulator(calls=3) as platform, session(platform, flow_control=FlowControl(3, 60.0)) as north:
        platform.script(Delay(10), method="DELETE", times=2)
        run_ = asyncio.ensure_future(_whole(north, await plan_of(north, *"abcdef"), path))
        await asyncio.sleep(5)
        assert len(platform.arrivals) == 3  # the login, and two whose replies take their time
        assert {line["begin"] for line in lines(path) if "begin" in line} == {"a", "b"}
        assert not [line for line in lines(path) if "end" in line]
        await run_
        assert len([line for line in lines(path) if "end" in line]) == 6


async def _whole(north: aionorth.NorthSession, plan: Plan[Any], path: Path) -> aionorth.DeleteSummary:
    return await north.purge(plan, journal=path)


async def test_finished_ids_are_not_called_again_and_the_others_are(path: Path) -> None:
    async with Simulator() as platform, session(platform, retry=RetryPolicy(attempts=1)) as north:
        ids = platform.add_packages(5)
        platform.script(CannedReply(400, b'{"error_code":"120015","error_desc":"bad"}'), method="DELETE", path=ids[0])
        platform.script(ServerError(), method="DELETE", path=ids[1])
        first = await north.purge(await plan_of(north, *ids, "never-was"), journal=path, workers=1)
        assert (first.deleted, first.failed, first.not_found) == (3, 2, 1)
        called = Counter(arrival.resource for arrival in deletes(platform))
        second = await north.resume(path)
        assert (second.total, second.deleted, second.not_found, second.failed) == (6, 5, 1, 0)
        again = Counter(arrival.resource for arrival in deletes(platform)) - called
        assert again == {ids[0]: 1, ids[1]: 1}
        assert second.calls == 8 == len(deletes(platform))
        assert second.retries == 2
        assert {result.id for result in second.results} == {*ids, "never-was"}
        third = await north.resume(path)
        assert (third.total, third.ok, third.calls) == (6, True, 8)
        assert len(deletes(platform)) == 8


async def killed_in_flight(north: aionorth.NorthSession, path: Path, *others: str) -> None:
    """Leave the journal of a run that was killed while a call for "in-flight" was under way."""
    journal = Journal.create(path, (await plan_of(north, "x")).target, ["in-flight", *others])
    journal.begin("in-flight")
    journal.close()


async def test_a_404_on_an_id_that_was_in_flight_at_the_kill_is_gone(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        await killed_in_flight(north, path, "fresh")
        summary = await north.resume(path)
        outcomes = {result.id: result.outcome for result in summary.results}
        assert outcomes == {"in-flight": Outcome.GONE, "fresh": Outcome.NOT_FOUND}
        (gone,) = (result for result in summary.results if result.id == "in-flight")
        assert gone.attempts == 2


async def test_ambiguity_outlives_any_number_of_runs(path: Path) -> None:
    async with Simulator() as platform, session(platform, retry=RetryPolicy(attempts=1)) as north:
        (id_,) = platform.add_packages(1)
        platform.script(Reset(after_effect=True), method="DELETE")
        first = await north.purge(await plan_of(north, id_), journal=path)
        assert first.unknown == 1
        platform.script(ServerError(), method="DELETE")
        second = await north.resume(path)
        assert second.unknown == 1  # the reply that was lost first is still lost
        third = await north.resume(path)
        assert third.gone == 1
        assert third.results[0].attempts == 3


async def test_what_was_ambiguous_and_is_not_attempted_again_stays_unknown(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        await killed_in_flight(north, path, "never")
        async with session(platform, secret="wrong") as refused:
            with pytest.raises(BulkAbortedError) as caught:
                await refused.resume(path)
    summary = caught.value.summary
    assert {result.id: result.outcome for result in summary.results} == {
        "in-flight": Outcome.UNKNOWN,
        "never": Outcome.SKIPPED,
    }


@pytest.mark.slow
@given(data=st.data(), lost=st.sampled_from([0.0, 0.05, 0.3]), seed=st.integers(0, 2**16))
def test_a_purge_killed_at_any_moments_is_resumed_to_an_exact_account(
    data: st.DataObject, lost: float, seed: int
) -> None:
    kills = data.draw(st.lists(st.floats(0.001, 1.5), max_size=6))
    path = Path(data.draw(st.just(os.environ["AIONORTH_TEST_DIRECTORY"]))) / f"{os.urandom(8).hex()}.jsonl"
    run(_killed_and_resumed(path, kills, lost, seed))


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIONORTH_TEST_DIRECTORY", str(tmp_path))


async def _killed_and_resumed(path: Path, kills: list[float], lost: float, seed: int) -> None:
    chance = random.Random(seed)

    def latency(_: random.Random) -> tuple[float, float]:
        return chance.uniform(0.0, 0.2), chance.uniform(0.0, 0.2)

    chances = {Reset(after_effect=True): lost, ServerError(): lost / 2} if lost else {}
    async with Simulator(calls=None, latency=latency, chances=chances, seed=seed) as platform:
        existed = platform.add_packages(30)
        absent = [f"never-was-{number}" for number in range(5)]
        ids = [*existed, *absent]
        chance.shuffle(ids)
        async with session(platform, flow_control=NEVER, retry=QUICK) as north:
            plan = await plan_of(north, *ids)
            known_gone = set[str]()
            current = north.purge(plan, journal=path, workers=4)
            for number, after in enumerate(kills):
                task = asyncio.ensure_future(_drained(current))
                await asyncio.wait({task}, timeout=after)
                # What a kill leaves: the file as it is now, and calls that the platform has or has not received.
                left = path.with_name(f"{path.name}.{number}")
                shutil.copy(path, left)
                task.cancel()
                await asyncio.wait({task})
                path = left
                known_gone = _assert_no_call_after_it_was_gone(platform, path, known_gone)
                current = north.resume(path, workers=4)
            summary = await current
        _assert_no_call_after_it_was_gone(platform, path, known_gone)
        assert summary.total == len(ids) == sum(summary.count(outcome) for outcome in Outcome)
        assert len({result.id for result in summary.results}) == len(summary.results) == len(ids)
        outcomes = {result.id: result.outcome for result in summary.results}
        there = platform.package_ids()
        for id_ in existed:
            assert outcomes[id_] in {Outcome.DELETED, Outcome.GONE} or id_ in there or outcomes[id_] is Outcome.UNKNOWN
            assert outcomes[id_] is not Outcome.NOT_FOUND
        for id_ in absent:
            assert outcomes[id_] in {Outcome.NOT_FOUND, Outcome.GONE, Outcome.FAILED, Outcome.UNKNOWN}
            assert outcomes[id_] is not Outcome.DELETED
        if not kills and not lost:
            assert summary.deleted == len(existed)
        assert {entry.id: entry.final_outcome() for entry in read(path).entries.values()} == outcomes


async def _drained(current: aionorth.BulkDelete) -> None:
    async with current:
        async for _ in current:
            pass


def _assert_no_call_after_it_was_gone(platform: Simulator, path: Path, known_gone: set[str]) -> set[str]:
    """Check that what the journal knew to be gone has not been called since; return what it knows now."""
    called = Counter(arrival.resource for arrival in deletes(platform))
    for line in known_gone:
        id_, _, count = line.rpartition(" ")
        assert called[id_] == int(count), f"{id_} was called after it was known to be gone"
    return {f"{entry.id} {called[entry.id]}" for entry in read(path).entries.values() if entry.gone}


# --- What happens to files


@pytest.mark.parametrize("cut", [1, 2, 10, 40])
async def test_a_torn_last_line_is_taken_for_what_had_not_been_known_yet(path: Path, cut: int) -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_packages(2)
        await north.purge(await plan_of(north, *ids), journal=path, workers=1)
        whole = b"".join(path.read_bytes().splitlines(keepends=True)[:-1])  # as a kill leaves it, without a run's end
        path.write_bytes(whole[:-cut])
        assert read(path).entries[ids[1]].gone == (cut == 1)
        summary = await north.resume(path)
        assert (summary.deleted, summary.gone) == ((2, 0) if cut == 1 else (1, 1))
        assert len(lines(path)) == len(whole.splitlines()) + (2 if cut == 1 else 3)  # nothing torn is left


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a journal"),
        (b"\0\xff", "is not a journal"),
        (b'{"aionorth":"journal","version":4}\n', "another version"),
        (b'{"aionorth":"journal","version":true}\n', "another version"),
        (b'{"aionorth":"journal","version":2}\n', "its first line"),
        (b'{"aiono', "breaks off before its first call"),
        (b'{"aionorth":"journal","version":2,"ki', "breaks off before its first call"),
        (b'{"aionorth":"journal","version":2,"ki\n', "is not a journal"),
        (b'{"aionorth":"journal","version":1,"kind":"cats"}\n', "its first line"),
        (b"HEAD", "breaks off before its first call: nothing was sent"),
        (b'HEAD{"ids":["a"]}\n', "breaks off"),
        (b'HEAD{"ids":["a","b"]}\n{"ru', "breaks off"),
        (b'HEAD{"ids":["a"]}\n{"run":1}\n', "1 of the 2 ids"),
        (b'HEAD{"ids":["a","b"]}\n{"run":1}\nnonsense\n{"run":2}\n', "line 4 is not one of a journal"),
        (b'HEAD{"ids":["a","b"]}\n{"run":1}\n{"begin":"c","at":1}\n', "line 4"),
        (b'HEAD{"ids":["a","b"]}\n{"run":1}\n{"end":"a","at":1,"outcome":"eaten"}\n', "line 4"),
        (b'HEAD{"ids":["a","b"]}\n{"run":1}\n{"what":1}\n', "line 4"),
        (b'HEAD{"ids":["a","b"]}\n{"run":"x"}\n', "line 3"),
    ],
)
async def test_what_is_no_journal_or_a_damaged_one_is_refused(path: Path, content: bytes, words: str) -> None:
    async with Simulator() as platform, session(platform) as north:
        url = json.dumps(platform.url).encode()
        head = (
            b'{"aionorth":"journal","version":1,"kind":"packages","url":' + url + b',"app_id":"demo-app",'
            b'"authorized_app_id":null,"total":2,"duplicates":0}\n'
        )
        path.write_bytes(before := content.replace(b"HEAD", head))
        with pytest.raises(JournalError, match=words):
            north.resume(path)
        assert path.read_bytes() == before
        assert not platform.arrivals


async def test_a_journal_of_another_app_or_platform_is_refused(path: Path) -> None:
    async with Simulator({"demo-app": "demo-secret", "other": "x"}) as platform, session(platform) as north:
        plan = await plan_of(north, "a")
        await north.purge(plan, journal=path)
        async with aionorth.NorthSession(platform.url, app_id="other", secret="x") as other:
            with pytest.raises(ArgumentError, match=r"purge\.jsonl is for the app 'demo-app'.*'other'"):
                other.resume(path)
            with pytest.raises(ArgumentError, match="the plan is for the app 'demo-app'"):
                other.purge(plan)
    async with aionorth.NorthSession("http://127.0.0.1:1", app_id="demo-app", secret="x") as elsewhere:
        with pytest.raises(ArgumentError, match="is for the platform"):
            elsewhere.resume(path)


VERSION_1 = (
    b'{"aionorth":"journal","version":1,"kind":"packages","url":"URL","app_id":"demo-app",'
    b'"authorized_app_id":null,"selection":"3 ids","total":3,"duplicates":0}\n'
    b'{"ids":["done","in-flight","fresh"]}\n'
    b'{"run":1000.5}\n'
    b'{"begin":"done","at":1001.0}\n'
    b'{"end":"done","at":1002.0,"outcome":"deleted","calls":1,"attempts":1,"refusals":0,"elapsed":1.0}\n'
    b'{"begin":"in-flight","at":1003.0}\n'
)
"""What a version without checksums left behind when it was killed."""


@pytest.mark.parametrize("torn", [b"", b'{"begin":"fre'])
async def test_a_journal_without_checksums_is_resumed_and_stays_one(path: Path, torn: bytes) -> None:
    async with Simulator() as platform, session(platform) as north:
        path.write_bytes((before := VERSION_1.replace(b"URL", platform.url.encode())) + torn)
        assert read(path).gone == 1
        summary = await north.resume(path)
        assert {one.id: one.outcome for one in summary.results} == {
            "done": Outcome.DELETED,
            "in-flight": Outcome.GONE,
            "fresh": Outcome.NOT_FOUND,
        }
        assert path.read_bytes().startswith(before)
        assert b"crc" not in path.read_bytes()
        assert (await north.resume(path)).calls == summary.calls  # it is as good as ever


def small(path: Path) -> bytes:
    """A journal with a line of each sort; returns what is in it."""
    target = Target(kind=Kind.SUBSCRIPTIONS, url="http://127.0.0.1:1", app_id="demo-app", authorized_app_id="other")
    journal = Journal.create(path, target, ["J-1", "a*2", "3"], selection="3 ids", clock=lambda: 1_000.25)
    for id_, error in (("J-1", PackageNotFoundError(404, "123002", "No.")), ("a*2", ReplyLostError("cut"))):
        journal.begin(id_)
        record = Record().sent.failed(error)
        journal.end(record, record.result(id_, 1.0))
    journal.begin("3")
    journal(Held(app_id="demo-app", silent_for=2.0, reason="HTTP 502"))
    journal.run_ended(stopped=True, cause=OutageError(9.0, "HTTP 502"))
    journal.close()
    return path.read_bytes()


@pytest.mark.slow
def test_no_bit_of_a_journal_can_flip_unnoticed(path: Path) -> None:
    whole = small(path)
    assert len(whole.splitlines()) == 11
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            with pytest.raises(
                JournalError, match=r"purge\.jsonl (is damaged|is not a journal|was written by another)"
            ):
                read(path)
            assert path.read_bytes() == flipped


@pytest.mark.slow
def test_a_bit_that_flips_before_a_torn_line_does_not_go_unnoticed_either(path: Path) -> None:
    whole = small(path)
    for torn in (1, 2, 10, 19, 30):
        left = whole[:-torn]
        last = left.rindex(b"\n") + 1
        path.write_bytes(left[:last])
        expected = [entry.result() for entry in read(path).entries.values()]
        for place in range(len(left)):
            flipped = bytearray(left)
            flipped[place] ^= 1 << place % 8
            path.write_bytes(flipped)
            if place < last:
                with pytest.raises(JournalError):
                    read(path)
                continue
            with suppress(JournalError):  # or what is torn off counts as not written, as it would without the flip
                assert str([entry.result() for entry in read(path).entries.values()]) == str(expected)


def test_a_line_without_its_checksum_or_with_another_is_named(path: Path) -> None:
    whole = small(path).splitlines(keepends=True)
    for number in range(2, len(whole) + 1):
        line = whole[number - 1]
        for changed in (line[:-20] + b"}\n", line[1:], line.replace(b",", b", ", 1), line.replace(b"crc", b"crd")):
            path.write_bytes(b"".join([*whole[: number - 1], changed, *whole[number:]]))
            with pytest.raises(JournalError, match=f"is damaged: line {number} is not one of a journal"):
                read(path)
    path.write_bytes(b"".join([whole[0].replace(b'"version":3', b'"version":1'), *whole[1:]]))
    with pytest.raises(JournalError, match="its first line"):
        read(path)


KILLED = """
import os, signal, sys
import portalocker  # which takes a file away as it is imported
from aionorth.common import files
from aionorth.purge.journal import Journal
from aionorth.items import Kind, Target

def killed(*_): os.kill(os.getpid(), signal.SIGKILL)
match sys.argv[2]:
    case "before it is written": os.fsync = killed; Journal._write = killed
    case "before it has its name": files.give_name = killed
    case "named": os.unlink = killed; del os.O_TMPFILE
journal = Journal.create(sys.argv[1], Target(kind=Kind.PACKAGES, url="http://h", app_id="a"), map(str, range(2_000)))
killed()
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before it is written", "before it has its name", "named", "after"])
def test_a_kill_within_creation_leaves_a_whole_journal_or_none(path: Path, when: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, path, when], check=False)
    assert killed.returncode == -signal.SIGKILL
    if when.startswith("before"):
        assert list(path.parent.iterdir()) == []
        check_new(path)
        assert list(path.parent.iterdir()) == []
    else:
        assert len(read(path).entries) == 2_000
        Journal.reopen(path).close()
        with pytest.raises(JournalError, match="exists already: resume it"):
            check_new(path)
    Journal.create(path.with_name("next"), read_target(), ["a"]).close()
    assert [file.name for file in path.parent.iterdir() if file.name not in {"next", path.name}] == []


def read_target() -> Target:
    return Target(kind=Kind.PACKAGES, url="http://h", app_id="a")


@pytest.mark.parametrize("content", [b"", b'{"aionorth":"jour', b'{"aionorth":"journal","version":1,"kind"', b"ids"])
def test_what_cannot_be_resumed_is_not_offered_to_be(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalError) as resumed:
        read(path)
    for create in (lambda: check_new(path), lambda: Journal.create(path, read_target(), ["a"])):
        with pytest.raises(JournalError) as caught:
            create()
        assert str(caught.value) == (f"{path} exists already: name another file for the journal ({resumed.value})")
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["no/such/journal", "a" * 300, "a\0b", "."])
def test_a_journal_that_cannot_be_created_is_said_in_its_own_words(tmp_path: Path, name: str) -> None:
    for create in (check_new, lambda path: Journal.create(path, read_target(), ["a"])):
        with pytest.raises(JournalError, match=r"(cannot be created \(.+\)|exists already): name another file"):
            create(f"{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []


# --- Whose it is


def test_a_journal_that_others_can_write_to_is_refused(path: Path) -> None:
    small(path)
    for mode in (0o620, 0o602, 0o666):
        path.chmod(mode)
        for open_ in (read, Journal.reopen):
            with pytest.raises(
                JournalError, match=r"not to be trusted: other users can write to it: chmod go-w .*jsonl"
            ):
                open_(path)
    path.chmod(0o644)
    Journal.reopen(path).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_journal_of_another_user_is_refused(path: Path) -> None:
    small(path)
    os.chown(path, 12345, 12345)
    for open_ in (read, Journal.reopen):
        with pytest.raises(JournalError, match=r"not to be trusted: it belongs to another user \(uid 12345\)"):
            open_(path)


def test_a_planted_link_is_followed_to_no_journal(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    small(own)
    open_to_all = tmp_path / "tmp"
    open_to_all.mkdir()
    (open_to_all / "link").symlink_to(own)
    (open_to_all / "dangling").symlink_to(tmp_path / "none")
    (open_to_all / "up").symlink_to(tmp_path)
    open_to_all.chmod(0o1777)
    for open_ in (read, Journal.reopen):
        with pytest.raises(JournalError, match="link is a link that another user may have put there"):
            open_(open_to_all / "link")
    for name, words in (
        ("link", "exists already"),
        ("dangling", "exists already"),
        ("up/new", "another user may have"),
    ):
        for create in (check_new, lambda path: Journal.create(path, read_target(), ["a"])):
            with pytest.raises(JournalError, match=words):
                create(open_to_all / name)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["own.jsonl", "tmp"]
    (tmp_path / "mine").symlink_to(own)  # where only the user can have put it
    Journal.reopen(tmp_path / "mine").close()
    Journal.create(open_to_all / "new", read_target(), ["a"]).close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO])
def test_locks_that_the_file_system_has_not_got_are_not_another_process(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    small(path)

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("portalocker.portalocker.LOCKER", flock)
    new = path.with_name("new")
    for open_ in (
        lambda: Journal.reopen(path),
        lambda: check_new(new),
        lambda: Journal.create(new, read_target(), "a"),
    ):
        with pytest.raises(JournalError) as caught:
            open_()
        assert f"cannot be locked ({os.strerror(number)})" in str(caught.value)
        assert "local disk" in str(caught.value)
        assert "another process" not in str(caught.value)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES])
def test_a_lock_that_is_held_is_another_process(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    small(path)

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("portalocker.portalocker.LOCKER", flock)
    with pytest.raises(JournalError, match="another process is at work"):
        Journal.reopen(path)


async def test_a_run_that_has_not_begun_does_not_hold_its_journal(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        plan = await plan_of(north, *platform.add_packages(2))
        never_begun = north.purge(plan, journal=path)
        cancelled = asyncio.ensure_future(never_begun)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        first, second = north.resume(path), north.resume(path)
        with pytest.raises(JournalError, match=r"has been at work on .* in the meantime: resume it"):
            await first
        assert first.summary.total == 0
        assert (await second).deleted == 2
        with pytest.raises(JournalError, match="in the meantime"):
            await never_begun
        assert len(deletes(platform)) == 2
        assert (await north.resume(path)).ok


async def test_a_run_whose_journal_is_removed_before_it_begins_sends_nothing(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        run_ = north.purge(await plan_of(north, *platform.add_packages(2)), journal=path)
        path.unlink()
        with pytest.raises(JournalError, match="removed or cut by somebody else"):
            await run_
        assert not deletes(platform)


async def test_a_run_that_is_dropped_lets_go_of_its_journal(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        plan = await plan_of(north, "a")
        with pytest.warns(RuntimeWarning, match="never awaited"):
            north.purge(plan, journal=path)
            gc.collect()
        assert (await north.resume(path)).not_found == 1


async def test_two_runs_on_one_journal_are_refused(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        plan = await plan_of(north, *platform.add_packages(5))
        async with north.purge(plan, journal=path) as first:
            before = path.read_bytes()
            with pytest.raises(JournalError, match="another process is at work on"):
                north.resume(path)
            assert path.read_bytes()[: len(before)] == before
            assert read(path).target == plan.target  # to look at it is allowed
            async for _ in first:
                pass
        assert (await north.resume(path)).ok


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "make room, or name another file"), (errno.EIO, "name another file")]
)
async def test_a_journal_that_cannot_be_begun_is_not_to_be_resumed(
    number: int, remedy: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    async with Simulator() as platform, session(platform) as north:
        plan = await plan_of(north, *platform.add_packages(3))
        monkeypatch.setattr("aionorth.purge.journal.file.io.FileIO", type("Full", (io.FileIO,), {"write": full}))
        with pytest.raises(JournalError) as caught:
            north.purge(plan, journal=path)
        assert str(caught.value) == f"{path} cannot be created ({os.strerror(number)}): {remedy} for the journal"
        assert not path.exists()
        assert not deletes(platform)


async def test_a_run_ends_before_the_call_where_the_journal_cannot_be_written(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_packages(20)
        plan = await plan_of(north, *ids)
        run_ = north.purge(plan, journal=path, workers=1)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 700, hard))  # a disk that fills up
        try:
            with pytest.raises(BulkAbortedError, match=r"cannot be written to \(File too large\)") as caught:
                await run_
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert isinstance(caught.value.__cause__, JournalError)
        summary = caught.value.summary
        assert summary.total == 20
        assert summary.calls == len(deletes(platform)) < 5
        assert summary.skipped == 20 - summary.deleted
        resumed = await north.resume(path)
        assert resumed.deleted + resumed.gone == 20
        assert resumed.gone <= 1


async def test_no_secret_is_in_a_journal(path: Path) -> None:
    async with Simulator() as platform:
        token = platform.issue_token()
        echo = json.dumps({"error_code": "1", "error_desc": f"no Bearer {token} here"}).encode()
        async with session(platform, token=token) as north:
            platform.script(CannedReply(400, echo), method="DELETE")
            summary = await north.purge(await plan_of(north, "a"), journal=path)
        assert summary.failed == 1
        assert token not in path.read_text()
        assert token not in str(summary.results[0].error)


# --- The one call for many


async def test_a_batch_delete_takes_one_call_and_accounts_for_every_id(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_subscriptions(150, notify_type="deviceAdded")
        platform.add_subscriptions(5, notify_type="ruleEvent")
        plan = await north.plan(SubscriptionSelection(notify_type="deviceAdded"))
        summary = await north.purge(plan, batch=True, journal=path)
        assert (summary.total, summary.deleted, summary.calls) == (150, 150, 1)
        (call,) = deletes(platform)
        assert call.path.endswith(
            "/subscriptions?notifyType=deviceAdded&callbackUrl=https%3A%2F%2F127.0.0.1%3A443%2Fcallback"
        )
        assert len(platform.subscription_ids()) == 5
        assert (await north.resume(path)).deleted == 150
        assert len(deletes(platform)) == 1


@pytest.mark.parametrize(
    ("faults", "outcome"),
    [
        ([Reset(after_effect=True)], Outcome.UNKNOWN),  # the 404 after it says only that nothing matched
        ([Reset(after_effect=False)], Outcome.DELETED),
        ([CannedReply(403, b'{"error_code":"100217","error_desc":"no"}')], Outcome.FAILED),
        ([Reset(after_effect=True)] * 6, Outcome.UNKNOWN),
    ],
)
async def test_what_becomes_of_the_one_call_becomes_of_all(path: Path, faults: list[Any], outcome: Outcome) -> None:
    async with Simulator() as platform, session(platform, retry=QUICK) as north:
        platform.add_subscriptions(3)
        plan = await north.plan(SubscriptionSelection(everything=True))
        for fault in faults:
            platform.script(fault, method="DELETE")
        try:
            summary = await north.purge(plan, batch=True, journal=path)
        except BulkAbortedError as exc:
            summary = exc.summary
        assert summary.count(outcome) == summary.total == 3
        assert {entry.final_outcome() for entry in read(path).entries.values()} == {outcome}
        resumed = await north.resume(path)
        assert resumed.ok
        assert resumed.not_found == 0


async def test_ids_of_a_batch_that_is_broken_off_are_unknown(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_subscriptions(3)
        plan = await north.plan(SubscriptionSelection(everything=True))
        platform.script(Delay(100, after_effect=True), method="DELETE")
        async with north.purge(plan, batch=True, journal=path, grace=1) as run_:
            await asyncio.sleep(1)
        assert run_.summary.unknown == run_.summary.total == 3
        assert (await north.resume(path)).gone == 3


async def test_a_batch_is_refused_where_no_single_call_takes_the_plan() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_subscriptions(3)
        for plan in (
            await north.plan(SubscriptionSelection(ids=ids)),
            await north.plan(SubscriptionSelection(everything=True, exclude=ids[:1])),
        ):
            assert plan.batch is None
            with pytest.raises(ArgumentError, match="no single call takes exactly this plan"):
                north.purge(plan, batch=True)
        assert not deletes(platform)


async def test_a_batch_that_matches_nothing_is_no_word_about_any_id(path: Path) -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_subscriptions(3)
        plan = await north.plan(SubscriptionSelection(everything=True))
        platform.script(CannedReply(404, b'{"error_code":"100225","error_desc":"none"}'), method="DELETE")
        summary = await north.purge(plan, batch=True, journal=path)
        assert (summary.unknown, summary.ok) == (3, False)
        assert platform.subscription_ids() == set(ids)
        async with north.resume(path) as run_:
            run_.stop()
        assert run_.summary.unknown == 3  # attempted by the batch: not skipped
        assert (await north.resume(path)).deleted == 3


@pytest.mark.parametrize(
    "reply",
    [
        CannedReply(520),
        CannedReply(501, b"<html>"),
        CannedReply(302),
        CannedReply(200, b'{"error_code":"100001","error_desc":"internal"}'),
        CannedReply(400, b'{"error_code":"50252","error_desc":"internal"}'),
        CannedReply(400, b'{"error_code":"999999","error_desc":"new"}'),
    ],
)
async def test_an_error_that_does_not_rule_out_the_deletion_leaves_it_ambiguous(path: Path, reply: CannedReply) -> None:
    async with Simulator() as platform, session(platform, retry=RetryPolicy(attempts=1)) as north:
        (id_,) = platform.add_packages(1)
        platform.script(reply, method="DELETE")
        first = await north.purge(await plan_of(north, id_), journal=path)
        assert not first.ok
        await north.delete_upgrade_package(id_)  # as if that call had done it after all
        assert (await north.resume(path)).gone == 1


async def test_a_journal_that_somebody_removes_or_cuts_ends_the_run(path: Path) -> None:
    harms: list[Callable[[Path], None]] = [Path.unlink, lambda file: os.truncate(file, 10)]
    for number, harm in enumerate(harms):
        async with Simulator(calls=3) as platform, session(platform, flow_control=FlowControl(3, 60.0)) as north:
            file = path.with_name(f"{number}.jsonl")
            ids = platform.add_packages(20)
            task = asyncio.ensure_future(_whole(north, await plan_of(north, *ids), file))
            await asyncio.sleep(30)
            before = len(deletes(platform))
            harm(file)
            with pytest.raises(BulkAbortedError, match="removed or cut by somebody else"):
                await task
            assert len(deletes(platform)) == before


async def test_the_time_of_all_runs_is_reported(path: Path) -> None:
    now = [1_000.0]
    async with Simulator() as platform, session(platform) as north:
        target = (await plan_of(north, "x")).target
        for begin in (1_000.0, 9_000.0):
            now[0] = begin
            if path.exists():
                journal = Journal.reopen(path, clock=lambda: now[0])
            else:
                journal = Journal.create(path, target, ["a", "b"], clock=lambda: now[0])
            now[0] = begin + 7
            journal.begin("a")
            journal.close()
        assert read(path).elapsed == 14
        run_ = north.resume(path)
        assert run_.expected == 2
        assert 14 <= (await run_).elapsed < 15


def test_no_batch_delete_can_be_built_without_a_filter() -> None:
    for filters in ((None, None), ("", None), (None, ""), ("x", ""), (" ", None)):
        with pytest.raises(ArgumentError, match="deletes every subscription"):
            delete_matching_subscriptions(*filters)
