"""Profiles: tables of settings in the user's ``config.toml``."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import attrs

from aionorth.common.directories import NoDirectoryError, config_directory
from aionorth.common.files import UntrustedFileError, check_own
from aionorth.common.text import shortened, visible
from aionorth.errors import SettingsError
from aionorth.wire.checks import LONGEST_STRING

DEFAULT = "default"
"""The profile that is used where none is named, if there is one of this name."""

NAMED = 10
"""How many of the profiles that there are a message names."""


def problems(*lines: str) -> SettingsError:
    """Return the error of settings that cannot be used: a line for each, with the remedy."""
    return SettingsError("\n".join(map(visible, lines)))


def config_file() -> Path:
    """Return where the profiles are, whether or not there is such a file; raises `SettingsError` without a home."""
    try:
        return config_directory("profiles") / "config.toml"
    except NoDirectoryError as exc:
        raise problems(str(exc)) from None


@attrs.frozen(kw_only=True)
class Profile:
    """The settings of one profile, as in the file: the names are checked, the values are not."""

    name: str | None = None
    """None where there is no profile."""
    file: Path = Path()
    """Where it stands; meaningless where there is no profile."""
    values: dict[str, object] = attrs.field(factory=dict[str, object])

    def where(self, key: str) -> str:
        """Return how a message names one of its settings."""
        return f"{key} in profile {self.name!r} of {self.file}"


def check_name(name: str) -> str:
    """Return the name of a profile; raise `SettingsError` for one that is none: it stands in messages, in one line."""
    if name == "":
        raise problems("the name of the profile is empty: give one")
    if len(name) > LONGEST_STRING or not name.isprintable():
        raise problems(f"profile {shortened(name, 40)!r}: give a name of at most {LONGEST_STRING} printable characters")
    return name


def load(name: str | None, keys: Collection[str], *, variables: Collection[str] = ()) -> Profile:
    """Return a profile.

    Args:
        name: The profile's name. None means the default one if there is one, else an empty one.
        keys: The settings that a profile can have.
        variables: Others, which only an option or a variable can set.

    Raises:
        SettingsError: The file cannot be read or understood, has no such profile, or has unknown settings.
    """
    if name is not None:
        check_name(name)
    try:
        file = config_file()
    except SettingsError:
        if name is not None:
            raise
        return Profile()  # without a home there is nothing to look for
    profiles = _profiles(file)
    if name is None and DEFAULT not in (profiles or {}):
        return Profile()
    wanted = name if name is not None else DEFAULT
    if profiles is None:
        raise problems(f"there is no profile {wanted!r}, for there is no {file}: make it, with [profiles.{wanted}]")
    values = profiles.get(wanted)
    if values is None:
        more = f" and {len(profiles) - NAMED:,} more" if len(profiles) > NAMED else ""
        has = f"it has {', '.join(list(profiles)[:NAMED])}{more}" if profiles else "it has none"
        raise problems(f"{file} has no profile {wanted!r}: {has}{_nearest(wanted, profiles)}")
    if not isinstance(values, dict):
        raise problems(f"{file}: {wanted!r} is no profile: settings stand in a table, [profiles.{wanted}]")
    values = cast("dict[str, object]", values)
    if "secret" in values:
        raise problems(
            f"{file}, profile {wanted!r}: secret does not belong here: put it in a file of its own that only you can "
            "read, and name that as secret_file"
        )
    strange = [
        f"{file}, profile {wanted!r}: there is no setting {key!r}{_instead(key.replace('-', '_'), keys, variables)}"
        for key in values
        if key not in keys
    ]
    if strange:
        raise problems(*strange)
    return Profile(name=wanted, file=file, values=values)


def _instead(key: str, keys: Collection[str], variables: Collection[str]) -> str:
    if key in variables:
        return f" in profiles: set the variable AIONORTH_{key.upper()}"
    return _nearest(key, keys) or f"; there are {', '.join(keys)}"


def names() -> list[str]:
    """Return the names of the profiles there are; raises `SettingsError` as `load` does."""
    return list(_profiles(config_file()) or ())


def _trusted(file: Path) -> os.stat_result:
    """Return what is known of `file`, which says where a secret is sent.

    Raises:
        SettingsError: Others can write to it.
    """
    try:
        check_own(found := file.stat(), file)
    except UntrustedFileError as exc:
        remedy = "" if ": " in str(exc.strerror) else "; have one of your own, for which XDG_CONFIG_HOME names a place"
        raise problems(f"{file} is not to be trusted: {exc.strerror}{remedy}") from exc
    return found


@lru_cache(maxsize=1)  # a worker of a fleet looks for the profiles of a thousand apps
def _parsed(file: Path, _state: tuple[int, ...]) -> dict[str, Any]:
    """Return what is in `file`, which is read again once its state is another one."""
    return tomllib.loads(file.read_bytes().decode())


def _profiles(file: Path) -> dict[str, Any] | None:
    """Return the table ``profiles`` of `file`; None where there is no such file."""
    content: dict[str, Any] = {}
    fault = None  # the exception is not kept as the cause: it has the text, which may hold a misplaced secret
    try:
        about = _trusted(file)
        content = _parsed(file, (about.st_ino, about.st_size, about.st_mtime_ns))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise problems(f"{file} cannot be read: {exc.strerror}; make it a file that you can read") from exc
    except UnicodeDecodeError:
        fault = "it is not UTF-8 text"
    except tomllib.TOMLDecodeError as exc:
        fault = str(exc)
    if fault is not None:
        raise problems(f"{file} is not valid TOML: {fault}; correct it")
    if strange := [key for key in content if key != "profiles"]:
        raise problems(f"{file}: {strange[0]!r} is not known here: settings stand in tables named [profiles.NAME]")
    profiles = content.get("profiles", {})
    if not isinstance(profiles, dict):
        raise problems(f"{file}: profiles is no table: settings stand in tables named [profiles.NAME]")
    profiles = cast("dict[str, Any]", profiles)
    for values in profiles.values():
        if isinstance(values, dict) and "secret" in values:
            values["secret"] = None  # a traceback of what follows must not show it
    return profiles


def _nearest(word: str, words: Collection[str]) -> str:
    near = difflib.get_close_matches(word, words, 1)
    return f"; did you mean {near[0]}?" if near else ""
