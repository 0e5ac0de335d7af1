"""The journals of purges: those in the user's own directory, and what each of them comes to."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aionorth.cli.output.messages import ProblemError, in_words, put, remark, say, typed
from aionorth.common.directories import NoDirectoryError, state_directory
from aionorth.common.files import StrPath, check_own_directory, sync_directory
from aionorth.common.text import visible
from aionorth.common.times import utc
from aionorth.errors import JournalError
from aionorth.items import Target
from aionorth.purge.journal import Overview, RunState, overview_of

SAID_EVERY = 1.0
"""Seconds between two messages of how much of a journal has been read."""

STATES: Mapping[RunState, str] = {
    RunState.COMPLETE: "some left",
    RunState.INTERRUPTED: "interrupted",
    RunState.FAILED: "ended early",
    RunState.AT_WORK: "at work",
    RunState.NO_END: "broken off",
}
"""How far a purge is that is not finished, by what has become of its last run."""


def own_directory() -> Path:
    """Return the directory for journals, made where it is missing; raises `ProblemError` where it cannot be used."""
    directory = _directory("name a file with --journal")
    try:
        made = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in made:  # a machine that loses power must not lose the way to a journal
            sync_directory(path.parent)
        check_own_directory(directory)
    except OSError as exc:
        raise ProblemError(f"{directory} cannot be used ({exc.strerror}): name a file with --journal") from exc
    return directory


def new_journal(directory: Path, target: Target) -> str:
    """Return the name of a new file in `directory`."""
    app = re.sub(r"[^0-9A-Za-z_-]+", "-", target.app_id)[:40]
    return str(directory / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{target.kind.value}-{app}.jsonl")


def find_journal(name: str) -> str:
    """Return the file of a journal: a bare name is looked for here, then in the user's own directory of journals.

    Raises `ProblemError` if a bare name is in neither. Of another name, opening it says what is wrong.
    """
    if os.path.split(name)[0] or _there(name):
        return name
    try:
        own = _directory()
    except ProblemError as exc:
        raise ProblemError(f"there is no journal {name} here, and {exc}") from None
    if _there(own / name):
        return str(own / name)
    raise ProblemError(
        f"there is no journal {name}, neither here nor in {own}, whose journals 'aionorth journals' lists"
    )


def own_place() -> str:
    """Return where the user's own journals are, to be shown; raises `ProblemError` where there is no such place."""
    return typed(str(_directory()))


def own_journals() -> Iterator[Overview]:
    """Yield what each journal in the user's own directory comes to, the newest first.

    One that cannot be resumed is left out with a message, so that it does not hide the others.
    """
    for path in _own_paths():
        try:
            yield overview_of(path, reading(str(path)))
        except JournalError as exc:
            say(f"aionorth: left out: {in_words(exc)}")


def completed_all(incomplete: str) -> list[str]:
    """Return the names of the user's own journals that begin so, for the shell to complete."""
    try:
        return [path.name for path in _own_paths() if path.name.startswith(incomplete) and path.name.isprintable()]
    except ProblemError:
        return []


def completed(incomplete: str) -> list[str]:
    """Return those of `completed_all` that have something left to do."""

    def wait_for_no_large_one(part: float) -> None:
        if part < 1:
            raise TimeoutError

    names: list[str] = []
    for name in completed_all(incomplete):
        with suppress(JournalError):
            try:
                finished = overview_of(_directory() / name, wait_for_no_large_one).finished
            except TimeoutError:
                finished = False
            names += [] if finished else [name]
    return names


def put_journals(journals: Iterable[Overview], *, as_json: bool, sizes: bool = False) -> list[Overview]:
    """Write what each journal comes to to stdout, as soon as it is known; return all of them."""
    all_of_them: list[Overview] = []
    for one in journals:
        put(json.dumps(_as_dict(one)) if as_json else _in_lines(one, sizes=sizes))
        all_of_them.append(one)
    return all_of_them


def reading(journal: str) -> Callable[[float], None]:
    """Return what says now and then which part of a journal has been read."""
    said_at = time.monotonic()

    def read_so_far(part: float) -> None:
        nonlocal said_at
        if (now := time.monotonic()) - said_at >= SAID_EVERY:
            said_at = now
            remark(f"aionorth: reading {typed(journal)}: {100 * part:.0f} %")

    return read_so_far


def _in_lines(one: Overview, *, sizes: bool) -> str:
    began = f"{datetime.fromtimestamp(one.began).astimezone():%Y-%m-%d %H:%M}"
    state = f"{'finished' if one.finished else STATES[one.state]:<11}"
    size = [f"{one.size / 1e6:,.1f} MB" if one.size >= 1e6 else f"{max(one.size / 1e3, 1):.0f} kB"]  # noqa: PLR2004
    about = (began, state, *(size if sizes else ()), f"{one.gone:,} of {one.total:,} gone", visible(str(one.target)))
    return f"{'  '.join(about)}\n  {typed(one.path)}"


def _as_dict(one: Overview) -> dict[str, Any]:
    return {
        "journal": one.path,
        **one.target.to_dict(),
        "total": one.total,
        "gone": one.gone,
        "finished": one.finished,
        "state": one.state.value,
        "began_at": utc(one.began),
        "ended_at": None if one.stop is None or one.at_work else utc(one.ended),
        "last_sign_at": utc(one.ended),
        "size": one.size,
    }


def _there(path: StrPath) -> bool:
    """Whether there is such a file, or something else is wrong with its name, as opening it will say."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        pass
    return True


def _own_paths() -> list[Path]:
    return sorted(_directory().glob("*.jsonl"), reverse=True)


def _directory(remedy: str = "name a journal's file to resume or report") -> Path:
    try:
        return state_directory("journals", remedy) / "journals"
    except NoDirectoryError as exc:
        raise ProblemError(str(exc)) from None
