"""The journals of purges that no file was named for: where they are, and which have something left to do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from aionorth.cli.output.messages import ExitCode, ProblemError, in_words, put, say
from aionorth.common.directories import NoDirectoryError, state_directory
from aionorth.common.files import check_own_directory, sync_directory
from aionorth.common.text import visible
from aionorth.errors import JournalError
from aionorth.items import Target
from aionorth.purge.journal import read


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


def list_journals() -> ExitCode:
    """Say which runs of those in the user's state directory have something left to do, the newest first.

    One that cannot be resumed is left out with a message, so that it does not hide the others.
    """
    found: list[str] = []
    for path in sorted(_directory().glob("*.jsonl"), reverse=True):
        try:
            history = read(path)
        except JournalError as exc:
            say(f"aionorth: left out: {in_words(exc)}")
            continue
        if history.gone < len(history.entries):
            began = datetime.fromtimestamp(history.runs[0]).astimezone()
            gone = f"{history.gone:,} of {len(history.entries):,} gone"
            about = f"{began:%Y-%m-%d %H:%M}  {gone}  {visible(str(history.target))}"
            found.append(f"{about}\n  {visible(str(path))}")
    for run in found:
        put(run)
    if not found:
        where = visible(str(_directory()))
        say(f"aionorth: there is no run to resume in {where}; name its journal, if it is elsewhere")
    return ExitCode.USAGE


def _directory(remedy: str = "name the journal's file") -> Path:
    try:
        return state_directory("journals", remedy) / "journals"
    except NoDirectoryError as exc:
        raise ProblemError(str(exc)) from None
