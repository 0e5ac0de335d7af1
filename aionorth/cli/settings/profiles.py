"""The names of profiles, for the shell to complete."""

from __future__ import annotations

from aionorth.errors import SettingsError
from aionorth.session.profiles import config_file, names

__all__ = ["completed", "config_file"]


def completed(incomplete: str) -> list[str]:
    """Return the names of profiles that begin so, for the shell to complete."""
    try:
        return [name for name in names() if name.startswith(incomplete) and name.isprintable()]
    except SettingsError:
        return []
