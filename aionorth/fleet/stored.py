"""What a fleet keeps in Redis, as text and as the values that it stands for. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import attrs

from aionorth.fleet.runs import DamagedError, Part, PartState, PartStatus, RunStatus
from aionorth.models import Outcome
from aionorth.purge.journal import lines

PREFIX = "aionorth-fleet"

OWNER = re.compile(r"\S+ (\d+\.\d+)", re.ASCII)
"""Which worker is at work on a part, and until when that counts."""


def root_of(run: str) -> str:
    """Return the key of a run, with which all of its keys begin."""
    return f"{{{PREFIX}:{run}}}"


def state_text(status: PartStatus) -> str:
    """Return how far a part is, as it is kept."""
    names = ("state", "calls", "refusals", "cause", "declined", "declined_since", "next_call", "silent_for")
    fields = {name: getattr(status, name) for name in names}
    return json.dumps(fields | {"outcomes": {outcome.value: count for outcome, count in status.outcomes.items()}})


@contextmanager
def reading(run: str, what: str) -> Generator[None, None, None]:
    """Raise `DamagedError`, which names the run and `what` of it cannot be read, where the block cannot do so."""
    try:
        yield
    except (DamagedError, *lines.MALFORMED) as exc:
        remedy = f"restore it from a backup, or remove all keys that begin with {root_of(run)} and submit its ids anew"
        raise DamagedError(
            f"run {run} is damaged: {what} cannot be read from the fleet's Redis server; {remedy}"
        ) from exc


def run_status(
    run: str,
    about: Mapping[str, str],
    *,
    parts: Mapping[str, str],
    owners: Mapping[str, str],
    states: Mapping[str, str],
    now: float,
) -> RunStatus:
    """Return how far a run is `now`, from its keys; raise `DamagedError`."""
    cancelled, whole = "cancelled" in about, "whole" in about
    with reading(run, "when it was submitted"):
        made_at = lines.seconds(float(about["made_at"]))
    with reading(run, "its parts"):
        if whole and not parts:
            raise ValueError("there are none")
    return RunStatus(
        run=run,
        made_at=made_at,
        cancelled=cancelled,
        whole=whole,
        sent="sent" in about,
        parts=tuple(
            _at(
                part_status(run, number, parts.get(str(number)), states.get(str(number))),
                owners.get(str(number)),
                now,
                cancelled=cancelled,
            )
            for number in range(len(parts))
        ),
    )


def part_status(run: str, number: int, part: str | None, state: str | None) -> PartStatus:
    """Return how far a part is, from what is kept of it and of its state, if there is one."""
    with reading(run, f"part {number}"):
        if part is None:
            raise ValueError("it is missing")
        status = PartStatus(number=number, part=Part.from_json(part))
    if state is None:
        return status
    with reading(run, f"how far part {number} is"):
        fields = json.loads(state)
        return attrs.evolve(
            status,
            state=PartState(fields["state"]),
            outcomes=Counter({Outcome(name): lines.count(count) for name, count in dict(fields["outcomes"]).items()}),
            calls=lines.count(fields["calls"]),
            refusals=lines.count(fields["refusals"]),
            cause=lines.text(fields["cause"]),
            declined={name: lines.text(cause) for name, cause in dict(fields["declined"]).items()},
            declined_since=lines.seconds(fields["declined_since"]),
            next_call=lines.seconds(fields["next_call"]),
            silent_for=lines.seconds(fields["silent_for"]),
        )


def _at(status: PartStatus, owner: str | None, now: float, *, cancelled: bool) -> PartStatus:
    """Return a status as it is `now`, with what is known of its worker and its run."""
    until = OWNER.fullmatch(owner or "")
    if status.state is PartState.AT_WORK and (until is None or float(until[1]) < now):
        status = attrs.evolve(status, state=PartState.LOST, uncounted=True)
    if status.state in {PartState.WAITING, PartState.LOST} and cancelled:  # nobody is at work on it
        return attrs.evolve(status, state=PartState.CANCELLED)
    return status
