import os
from pathlib import Path

import pytest

from aionorth.files import UntrustedFileError, check_own_directory, check_own_file, check_way

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
    with pytest.raises(UntrustedFileError, match="other users can write to it"):
        check_own_file(tmp_path / "file")


@as_root
def test_what_belongs_to_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", 12345, 12345)
    with pytest.raises(UntrustedFileError, match="another user"):
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
