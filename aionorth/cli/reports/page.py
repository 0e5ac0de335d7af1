"""The report of a purge as one HTML page that needs nothing else: what a manager reads in a minute, then the failures.

Here is what the page says; how it looks stands in its template, ``page.html``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone, tzinfo
from itertools import islice
from typing import Literal

import attrs
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aionorth import __version__
from aionorth.cli.output.exits import in_words
from aionorth.cli.reports.chart import LAYOUTS, chart
from aionorth.cli.reports.timeline import interval_in_words, outcome_at, timeline, works
from aionorth.common.text import shortened, visible
from aionorth.errors import NorthApiError, NorthError
from aionorth.models import FailureGroup, Kind, Outcome, duration, failure_groups
from aionorth.purge.journal import Entry, History

MOST_IDS = 1000
"""How many of the ids that are not known to be gone the page names."""

MOST_GROUPS = 20
"""How many groups of failures the page shows."""

MEANINGS: Mapping[Outcome, str] = {
    Outcome.DELETED: "The platform deleted it and said so.",
    Outcome.NOT_FOUND: "The platform knew no such id: there was nothing to delete.",
    Outcome.GONE: "It is not there now; whether this purge removed it is unknown.",
    Outcome.FAILED: "Not deleted, as far as is known: refused, or not reached.",
    Outcome.UNKNOWN: "A call was sent and its reply lost: deleted, or not.",
    Outcome.SKIPPED: "Never attempted.",
}
"""The outcomes in plain words."""

_RESUME = "Resume the purge from its journal: "

_NOUNS = {Kind.SUBSCRIPTIONS: "subscription", Kind.PACKAGES: "version package"}


@attrs.frozen
class Verdict:
    """How the purge went, in a sentence."""

    tone: Literal["good", "bad", "open"]
    sentence: str


@attrs.frozen(kw_only=True)
class Fact:
    """A figure of the purge as a whole."""

    name: str
    value: str
    note: str = ""


@attrs.frozen(kw_only=True)
class Tile:
    """An outcome, and how many ids have it."""

    outcome: Outcome
    name: str
    count: int
    share: str
    """The part of all ids that has it, as in ``98.8 %``."""
    meaning: str


@attrs.frozen(kw_only=True)
class Group:
    """Failures that are alike."""

    outcome: Outcome
    name: str
    count: int
    error: str
    """The class of the error; empty where there is none."""
    codes: str
    """The HTTP status and the platform's code; empty where it said none."""
    said: str
    for_example: bool
    """Whether the others' errors say it in other words."""
    remedy: str
    ids: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Row:
    """An id that is not known to be gone."""

    id: str
    outcome: Outcome
    name: str
    reason: str
    calls: int
    at: str


def render(history: History, *, now: datetime) -> str:
    """Return the page. Its times are in the time zone of `now`, the moment at which it is made."""
    environment = Environment(
        loader=PackageLoader("aionorth.cli.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    return environment.get_template("page.html").render(_content(history, now))


def _shown(value: object) -> object:
    """Return what the page is to say with nothing in it that is not seen, or turns what is around it about."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _content(history: History, now: datetime) -> dict[str, object]:
    entries = history.entries.values()
    counts = Counter(entry.final_outcome() for entry in entries)
    total = len(entries)
    left = list(islice((entry for entry in entries if not entry.final_outcome().ok), MOST_IDS))
    not_gone = sum(count for outcome, count in counts.items() if not outcome.ok)
    groups = failure_groups(history.results())
    placed = sum(outcome_at(entry) is not None for entry in entries)
    offset = now.utcoffset() or timedelta()
    zone = timezone(offset)  # the same for all times of the page, as in its chart
    drawn = timeline(history, offset=offset.total_seconds()) if placed else None
    return {
        "number": f"{total:,} {_noun(history.target.kind, total)}",
        "target": history.target,
        "selection": shortened(history.selection),
        "verdict": verdict(counts),
        "facts": _facts(history, zone),
        "tiles": [
            Tile(
                outcome=outcome,
                name=_name(outcome),
                count=counts[outcome],
                share=_share(counts[outcome], total),
                meaning=meaning,
            )
            for outcome, meaning in MEANINGS.items()
        ],
        "charts": [chart(drawn, layout) for layout in LAYOUTS] if drawn is not None else [],
        "per": interval_in_words(drawn.interval) if drawn is not None else "",
        "busiest": max(bar.ids for bar in drawn.bars) if drawn is not None else 0,
        "shown": {outcome for bar in drawn.bars for outcome in bar.outcomes} if drawn is not None else set(),
        "refused": drawn is not None and any(bar.refusals for bar in drawn.bars),
        "placed": placed,
        "resumed": len(history.runs) > 1,
        "unplaced": _unplaced(entries),
        "groups": [_group(group) for group in groups[:MOST_GROUPS]],
        "more_groups": len(groups) - MOST_GROUPS,
        "rows": [_row(entry, zone) for entry in left],
        "not_gone": not_gone,
        "more_rows": not_gone - len(left),
        "made": _moment(now.timestamp(), zone),
        "zone": str(zone),
        "version": __version__,
    }


# --- What is said of it all


def verdict(counts: Mapping[Outcome, int]) -> Verdict:
    """Say in a sentence how a purge went, from how many ids have which outcome."""
    total = sum(counts.values())
    failed, unknown, skipped = (
        counts.get(outcome, 0) for outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.SKIPPED)
    )
    gone = total - failed - unknown - skipped
    if not total:
        return Verdict("good", "There was nothing to delete: the purge had no ids.")
    if gone == total:
        whole = "The only one is" if total == 1 else f"All {total:,} are"
        return Verdict("good", f"{whole} gone from the platform.")
    parts = [f"{gone:,} of {total:,} {_is(gone)} gone"]
    parts += [f"{failed:,} {_is(failed)} not"] if failed else []
    parts += [f"{unknown:,} may or may not be"] if unknown else []
    known = "; ".join(parts)
    if not skipped:
        return Verdict("bad", f"{known}: see below.")
    never = f"{skipped:,} of {total:,} {'was' if skipped == 1 else 'were'} never attempted"
    return Verdict("open", f"Not finished: {never}. {known}.")


def _facts(history: History, zone: tzinfo) -> list[Fact]:
    runs = works(history)
    began, ended = runs[0].start, max(run.end for run in runs)
    worked = sum(run.end - run.start for run in runs)
    calls = sum(entry.all_calls for entry in history.entries.values())
    refusals = sum(entry.refusals for entry in history.entries.values())
    several = len(runs) > 1
    return [
        Fact(name="Began", value=_moment(began, zone)),
        Fact(name="Ended", value=_moment(ended, zone)),
        Fact(
            name="Time",
            value=duration(ended - began),
            note=f"{duration(worked)} of it at work" if several else "",
        ),
        Fact(name="Runs", value=f"{len(runs):,}"),
        Fact(name="Calls made", value=f"{calls:,}", note="logins not counted"),
        Fact(name="Refused by flow control", value=f"{refusals:,}", note="of these calls" if refusals else ""),
    ]


def _unplaced(entries: Iterable[Entry]) -> list[str]:
    """Say what the timeline does not show."""
    missing = Counter(entry.final_outcome() for entry in entries if outcome_at(entry) is None)
    said = {Outcome.SKIPPED: "never attempted", Outcome.UNKNOWN: "under way when a run was killed"}
    return [f"{count:,} {said.get(outcome, outcome.value)}" for outcome, count in missing.items()]


# --- What is said of failures


def _group(group: FailureGroup) -> Group:
    error = group.example.error
    said, codes = "", ""
    if isinstance(error, NorthApiError):
        said = error.description
        codes = _codes(error)
    elif error is not None:
        said = in_words(error)
    elif group.outcome is Outcome.UNKNOWN:
        said = "A run was killed while their calls were under way."
    elif group.outcome is Outcome.SKIPPED:
        said = "The purge ended before their turn."
    return Group(
        outcome=group.outcome,
        name=_name(group.outcome),
        count=group.count,
        error="" if error is None else type(error).__name__,
        codes=codes,
        said=said,
        for_example=not group.same_words,
        remedy=_remedy(group.outcome, error),
        ids=tuple(sample.id for sample in group.samples),
    )


def _remedy(outcome: Outcome, error: NorthError | None) -> str:
    """Say what can be done: in the words of the platform's documents, where they have any."""
    if isinstance(error, NorthApiError) and error.remedy:
        return error.remedy
    if outcome is Outcome.UNKNOWN:
        return f"{_RESUME}the platform is asked for each again."
    if outcome is Outcome.SKIPPED:
        return f"{_RESUME}it takes up what is left." if error is None else ""
    return f"{_RESUME}each is tried again." if error is not None and error.retryable else ""


def _row(entry: Entry, zone: tzinfo) -> Row:
    error, at = entry.error, outcome_at(entry)
    return Row(
        id=entry.id,
        outcome=entry.final_outcome(),
        name=_name(entry.final_outcome()),
        reason="" if error is None else _reason(error),
        calls=entry.all_calls,
        at="" if at is None else _moment(at, zone),
    )


def _reason(error: NorthError) -> str:
    if not isinstance(error, NorthApiError):
        return str(error)
    return f"{_codes(error)}: {error.description}" if error.description else _codes(error)


def _codes(error: NorthApiError) -> str:
    return f"HTTP {error.status}" + (f", code {error.code}" if error.code else "")


# --- Words


def _name(outcome: Outcome) -> str:
    return outcome.value.replace("_", " ").capitalize()


def _noun(kind: Kind, number: int) -> str:
    return _NOUNS[kind] if number == 1 else f"{_NOUNS[kind]}s"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _share(part: int, whole: int) -> str:
    """As in ``98.8 %``; neither 0 % nor 100 % is said where it is not so."""
    if part in {0, whole}:
        return "100 %" if part else "0 %"
    tenths = min(max(round(1000 * part / whole), 1), 999)
    return f"{'< ' if 1000 * part < whole else ''}{tenths / 10:g} %"


def _moment(at: float, zone: tzinfo) -> str:
    """As in ``4 Nov 2026, 03:12:05``."""
    moment = datetime.fromtimestamp(at, zone)
    return f"{moment.day} {moment:%b %Y, %H:%M:%S}"
