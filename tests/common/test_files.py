import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aionorth.common import files
from aionorth.common.files import UntrustedFileError, check_own_directory, check_own_file, check_way

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files have owners on POSIX systems")
as_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")


def test_what_is_ones_own_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    check_own_directory(tmp_path)
    check_own_directory(tmp_path / "link")
    check_own_file(tmp_path / "file")
    check_own_file(tmp_path / "nothing")
    check_way(tmp_path / "link" / "file")


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(UntrustedFileError, match="other users can write to it"):
        check_own_directory(tmp_path)


def test_a_link_or_something_else_is_no_own_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UntrustedFileError, match="it is a link"):
        check_own_file(tmp_path / "link")
    with pytest.raises(UntrustedFileError, match="not a regular file"):
        check_own_file(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0o666)
    with pytest.raises(UntrustedFileError, match=r"other users can write to it: chmod go-w .*file"):
        check_own_file(tmp_path / "file")


@as_root
def test_what_belongs_to_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", 12345, 12345)
    with pytest.raises(UntrustedFileError, match=r"belongs to another user \(uid 12345\)"):
        check_own_file(tmp_path / "file")
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(UntrustedFileError, match="another user"):
        check_own_directory(tmp_path)


@as_root
@pytest.mark.parametrize("path", ["link", "link/report.csv", "own/report.csv"])
def test_a_link_of_another_user_on_the_way_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    (tmp_path / "own").symlink_to(tmp_path / "link")
    os.chown(tmp_path / "link", 12345, 12345, follow_symlinks=False)
    with pytest.raises(UntrustedFileError, match="link is a link that another user"):
        check_way(tmp_path / path)


def test_any_link_in_a_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    tmp_path.chmod(0o1777)
    with pytest.raises(UntrustedFileError, match="another user may have put there"):
        check_way(tmp_path / "link")


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="symbolic links"):
        check_way(tmp_path / "a")


def test_the_way_is_told_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "b").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "dangling").symlink_to("b/none")
    here = Path(os.path.realpath(tmp_path))
    for path in ("a", "b/../up/b/x", "b/../x", "dangling", "./a/./up/a", "/"):
        assert check_way(tmp_path / path) == os.path.realpath(tmp_path / path)
    assert check_way(tmp_path / "no" / ".." / "x") == str(here / "no" / ".." / "x")  # which there is not
    monkeypatch.chdir(tmp_path)
    assert check_way("b") == str(here / "a" / "b")


# --- Whole or not at all


NAMED = "import os; del os.O_TMPFILE\n"
"""As on systems and file systems where a file cannot be without a name."""

KILLED = """
import os, signal, sys
from aionorth.common import files

path, step = sys.argv[1], sys.argv[2]
descriptor, name = files.create_unseen(path)
os.write(descriptor, b"secret id")
def killed(*_): os.kill(os.getpid(), signal.SIGKILL)
if step == "written": killed()
os.replace = killed
files.put_in_place(descriptor, name, path)
killed()
"""


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", NAMED])
@pytest.mark.parametrize("step", ["written", "replace"])
@pytest.mark.parametrize("old", [None, "old"])
def test_what_a_kill_leaves_is_taken_away_by_the_next(tmp_path: Path, before: str, step: str, old: str | None) -> None:
    path = tmp_path / "report"
    if old is not None:
        path.write_text(old)
    subprocess.run([sys.executable, "-c", before + KILLED, path, step], check=False)
    if not before and (step == "written" or old is None):  # nothing has had a name but the whole file
        assert [file.name for file in tmp_path.iterdir()] == (["report"] if old or step == "replace" else [])
    assert path.read_text() == (old or "secret id") if path.exists() else old is None
    descriptor, name = files.create_unseen(path)
    files.drop_unseen(name)
    os.close(descriptor)
    assert [file for file in tmp_path.iterdir() if file.name != "report"] == []


def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)


@pytest.mark.parametrize("has_name", [False, True])
def test_a_file_gets_its_name_once_all_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_name: bool
) -> None:
    if has_name:
        named(monkeypatch)
    path = tmp_path / "new"
    descriptor, name = files.create_unseen(path)
    assert bool(name) == has_name
    os.write(descriptor, b"whole")
    assert not path.exists()
    files.give_name(descriptor, name, path)
    assert [file.name for file in tmp_path.iterdir()] == ["new"]
    assert path.read_bytes() == b"whole"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.close(descriptor)
    descriptor, name = files.create_unseen(path)
    os.write(descriptor, b"another")
    with pytest.raises(FileExistsError):
        files.give_name(descriptor, name, path)
    assert path.read_bytes() == b"whole"
    files.put_in_place(descriptor, name, path)
    assert path.read_bytes() == b"another"
    assert [file.name for file in tmp_path.iterdir()] == ["new"]
    os.close(descriptor)


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    named(monkeypatch)
    monkeypatch.setattr(os, "link", no_links)
    for expected in (b"one", b"one"):
        descriptor, name = files.create_unseen(tmp_path / "new")
        os.write(descriptor, expected)
        if (tmp_path / "new").exists():
            with pytest.raises(FileExistsError):
                files.give_name(descriptor, name, tmp_path / "new")
            files.drop_unseen(name)
        else:
            files.give_name(descriptor, name, tmp_path / "new")
        os.close(descriptor)
        assert (tmp_path / "new").read_bytes() == b"one"
        assert [file.name for file in tmp_path.iterdir()] == ["new"]


def test_where_open_files_keep_their_names_a_leftover_is_taken_away_once_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(monkeypatch)
    monkeypatch.setattr(files, "RENAMES_OPEN_FILES", False)
    (tmp_path / ".aionorth-1.tmp").touch()
    descriptor, name = files.create_unseen(tmp_path / "report")
    assert [*tmp_path.iterdir()] == [Path(name)]
    os.close(descriptor)
    files.put_in_place(descriptor, name, tmp_path / "report")
    assert [file.name for file in tmp_path.iterdir()] == ["report"]


def test_only_leftovers_are_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch)
    at_work, at_work_name = files.create_unseen(tmp_path / "report")
    kept = [
        tmp_path / ".aionorth-1.tmp",
        tmp_path / ".aionorth-2.tmp",
        tmp_path / ".aionorth-3.tmp",
        tmp_path / "x.tmp",
    ]
    kept[0].symlink_to(tmp_path / "x.tmp")
    os.mkfifo(kept[1])
    kept[2].mkdir()
    kept[3].touch()
    (tmp_path / ".aionorth-4.tmp").touch()
    descriptor, name = files.create_unseen(tmp_path / "report")
    assert {*tmp_path.iterdir()} == {*kept, Path(name), Path(at_work_name)}
    os.close(descriptor)
    os.close(at_work)


def test_a_link_of_ones_own_where_a_group_can_write_is_ones_own(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "place")
    tmp_path.chmod(0o775)
    assert check_way(tmp_path / "link" / "file") == str(tmp_path / "place" / "file")
