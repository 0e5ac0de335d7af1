"""Where the user's own files are. Not every process has a home: in a container the user may be unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import platformdirs

from aionorth.cli.output.exits import ProblemError


def config_directory() -> Path:
    """Return the directory of the profiles; raises `ProblemError` without a home."""
    return _found(lambda: platformdirs.user_config_path("aionorth", appauthor=False), "profiles", "XDG_CONFIG_HOME")


def state_directory(use: str, remedy: str) -> Path:
    """Return the directory of what outlives a process.

    Args:
        use: What it is for.
        remedy: What works without it.

    Raises:
        ProblemError: There is no home. The message has both of them.
    """
    return _found(lambda: platformdirs.user_state_path("aionorth"), use, f"XDG_STATE_HOME, or {remedy}")


def _found(directory: Callable[[], Path], use: str, remedy: str) -> Path:
    try:
        path = directory()
    except RuntimeError:  # from newer versions of platformdirs; older ones leave the ~ in
        path = Path("~")
    if not path.is_absolute():
        raise ProblemError(f"there is no home directory for {use}: set HOME, or {remedy}")
    return path
