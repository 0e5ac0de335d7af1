"""How a run ended: its exit code, and what stdout gets of it, a summary for people or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs
from rich.text import Text

from aionorth.cli.output.display import COLOURS
from aionorth.cli.output.exits import ExitCode, code_of, in_words
from aionorth.cli.output.terminal import resume_command
from aionorth.common.text import visible
from aionorth.models import DeleteSummary, Kind, Outcome
from aionorth.purge.plan import Plan

MAX_IDS = 10
"""How many of the ids that failed the text names; JSON names them all."""


@attrs.frozen(kw_only=True)
class Ended:
    """How a run ended."""

    kind: Kind
    summary: DeleteSummary
    interrupted: bool = False
    cause: BaseException | None = None
    """What ended it early; None where nothing did."""
    journal: str | None = None
    """Where it is recorded."""
    options: Sequence[str] = ()
    """The options of the connection, for the command that resumes it."""

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.cause is not None:
            return code_of(self.cause)
        return ExitCode.OK if self.summary.ok else ExitCode.FAILED

    @property
    def reason(self) -> str | None:
        """What to say of an end that leaves something to be done; None where there is nothing."""
        if self.cause is not None:
            said = f"the run ended early: {in_words(self.cause)}"
        elif self.interrupted:
            said = "the run was interrupted"
        elif self.summary.ok:
            return None
        else:
            said = "some are not known to be gone"
        return said if self.journal is None else f"{said}\nto go on: {resume_command(self.journal, self.options)}"


def as_json(ended: Ended) -> str:
    """Return the run as a JSON object on one line; ``results`` holds every id that is not known to be gone."""
    content: dict[str, Any] = {
        "kind": ended.kind.value,
        **ended.summary.to_dict(),
        "interrupted": ended.interrupted,
        "journal": ended.journal,
        "error": None if ended.cause is None else {"type": type(ended.cause).__name__, "message": str(ended.cause)},
        "exit_code": int(ended.exit_code),
    }
    return json.dumps(content)


def plan_as_json(plan: Plan[Any]) -> str:
    """Return a plan as a JSON object on one line."""
    return json.dumps(plan.to_dict())


def as_text(ended: Ended) -> Text:
    """Return the summary as a table, and after it the first of the ids that failed."""
    text = Text()
    colours = {outcome.value: colour for outcome, colour in COLOURS.items()}
    for line in str(ended.summary).splitlines():
        name, _, number = line.rpartition(" ")
        happened = number.strip() != "0"
        text.append(visible(line) + "\n", colours.get(name.strip(), "") if happened else "dim")
    failed = [result for result in ended.summary.failures if result.outcome is not Outcome.SKIPPED]
    for result in failed[:MAX_IDS]:
        text.append(visible(f"{result.outcome.value:<8} {result.id}") + "\n")
    if len(failed) > MAX_IDS:
        text.append(f"and {len(failed) - MAX_IDS:,} more; --json names them all\n")
    text.rstrip()
    return text
