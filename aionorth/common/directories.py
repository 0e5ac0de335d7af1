"""The user's own directories: where settings are found, and where what outlives a process is kept.

The command line and the library look in the same places, so that they find each other's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


class NoDirectoryError(Exception):
    """There is no such directory; the text says why, and what to do."""


def config_directory(use: str) -> Path:
    """Return the directory of settings, whether or not it exists; `use` is what it is for.

    Raises `NoDirectoryError` if there is no home.
    """
    return _own("user_config_path", use, "XDG_CONFIG_HOME", "", appauthor=False)


def state_directory(use: str, remedy: str) -> Path:
    """Return the directory of what outlives a process, whether or not it exists.

    Args:
        use: What it is for.
        remedy: What works without it.

    Raises:
        NoDirectoryError: There is no home. The message has both of them.
    """
    return _own("user_state_path", use, "XDG_STATE_HOME", f", or {remedy}")


def store_directory(remedy: str) -> Path:
    """Return the directory of what the processes of this machine share about an app; as `state_directory`."""
    return state_directory("the app's store", remedy) / "flow"


def _own(function: str, use: str, variable: str, remedy: str, **options: bool) -> Path:
    """Return a directory of the user's. Not every process has a home: in a container the user may be unknown."""
    try:
        import platformdirs  # noqa: PLC0415 - only the command line always has it
    except ImportError:
        raise NoDirectoryError(
            f"the directory for {use} is found by the package platformdirs: pip install 'aionorth[cli]'{remedy}"
        ) from None
    find: Callable[..., Path] = getattr(platformdirs, function)
    try:
        path = find("aionorth", **options)
    except RuntimeError:  # from newer versions of platformdirs; older ones leave the ~ in
        path = Path("~")
    if not path.is_absolute():
        if (given := os.environ.get(variable, "").strip()) and not Path(given).is_absolute():
            raise NoDirectoryError(f"{variable} is {given!r}: for {use} set it to a whole path, from / on{remedy}")
        raise NoDirectoryError(f"there is no home directory for {use}: set HOME, or {variable}{remedy}")
    return path
