"""Locks on open files."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aionorth.common import locks
from aionorth.errors import JournalError
from aionorth.items import Kind, Target
from aionorth.purge.journal import Journal

TARGET = Target(kind=Kind.PACKAGES, url="http://h", app_id="a")


def test_a_lock_keeps_others_out_until_it_ends_though_a_child_has_the_file_too(tmp_path: Path) -> None:
    with (tmp_path / "file").open("xb", buffering=0) as mine, (tmp_path / "file").open("rb", buffering=0) as others:
        locks.lock(mine)
        with subprocess.Popen(["sleep", "60"], pass_fds=[mine.fileno()]) as child:
            with pytest.raises(BlockingIOError):
                locks.lock(others)
            locks.unlock(mine)
            locks.lock(others.fileno())
            child.kill()


def test_a_lock_ends_with_the_file_and_outlives_its_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("xb", buffering=0) as mine:
        locks.lock(mine)
        path = path.rename(tmp_path / "renamed")
        with path.open("rb", buffering=0) as others, pytest.raises(BlockingIOError):
            locks.lock(others)
    with path.open("rb", buffering=0) as others:
        locks.lock(others)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_what_cannot_be_locked_is_not_held_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("portalocker.portalocker.LOCKER", flock)
    with (tmp_path / "file").open("xb", buffering=0) as file:
        with pytest.raises(locks.LockError) as caught:
            locks.lock(file)
    assert (caught.value.errno, caught.value.strerror) == (number, os.strerror(number))


def test_without_the_package_a_journal_is_refused_with_the_extra_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal.create(tmp_path / "old", TARGET, ["a"]).close()
    monkeypatch.setitem(sys.modules, "portalocker", None)
    uses: list[Callable[[], object]] = [
        lambda: Journal.create(tmp_path / "new", TARGET, ["a"]),
        lambda: Journal.reopen(tmp_path / "old"),
    ]
    for use in uses:
        with pytest.raises(JournalError, match=r"portalocker: pip install 'aionorth\[journal\]'\)$"):
            use()
    assert [file.name for file in tmp_path.iterdir()] == ["old"]
