"""What a run leaves on stdout: the summary for people, or one JSON object."""

from __future__ import annotations

import json
from typing import Any

from rich.text import Text

from aionorth.cli.commands.run import Ended
from aionorth.common.text import visible
from aionorth.models import Outcome
from aionorth.purge.plan import Plan

MOST_IDS = 10
"""How many of the ids that failed the text names; JSON names them all."""

_COLOURS = {"deleted": "green", "gone": "yellow", "failed": "red", "unknown": "red", "skipped": "yellow"}


def as_json(ended: Ended) -> str:
    """Return the run as a JSON object on one line; ``results`` holds every id that is not known to be gone."""
    story: dict[str, Any] = {
        "kind": ended.kind.value,
        **ended.summary.to_dict(),
        "interrupted": ended.interrupted,
        "journal": ended.journal,
        "error": None if ended.cause is None else {"type": type(ended.cause).__name__, "message": str(ended.cause)},
        "exit_code": int(ended.exit_code),
    }
    return json.dumps(story)


def plan_as_json(plan: Plan[Any]) -> str:
    """Return a plan as a JSON object on one line."""
    return json.dumps(plan.to_dict())


def as_text(ended: Ended) -> Text:
    """Return the summary as a table, and after it the first of the ids that failed."""
    text = Text()
    for line in str(ended.summary).splitlines():
        name, _, number = line.rpartition(" ")
        happened = number.strip() != "0"
        text.append(visible(line) + "\n", _COLOURS.get(name.strip(), "") if happened else "dim")
    failed = [result for result in ended.summary.failures if result.outcome is not Outcome.SKIPPED]
    for result in failed[:MOST_IDS]:
        text.append(visible(f"{result.outcome.value:<8} {result.id}") + "\n")
    if len(failed) > MOST_IDS:
        text.append(f"and {len(failed) - MOST_IDS:,} more; --json names them all\n")
    text.rstrip()
    return text
