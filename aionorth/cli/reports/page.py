"""The report of a purge as one HTML page that needs no other file: a summary first, then the failures.

This module says what is on the page. How it looks is in the template, ``page.html``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import islice
from typing import Literal, Self

import attrs
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aionorth import __version__
from aionorth.cli.kinds import KINDS
from aionorth.cli.output.messages import in_words, told
from aionorth.cli.reports.account import PENDING, fate, how_ended, how_long_silent
from aionorth.cli.reports.chart import Chart
from aionorth.cli.reports.timeline import Timeline, Work, outcome_at, timeline, works
from aionorth.common.text import many, shortened, visible
from aionorth.common.times import DAY, HOUR, MINUTE, duration
from aionorth.errors import NorthApiError, NorthError
from aionorth.models import FailureGroup, Outcome, failure_groups
from aionorth.purge.journal import Entry, History, RunState

MAX_IDS = 1000
"""How many of the ids that are not known to be gone the page names."""

MAX_GROUPS = 20
"""How many groups of failures the page shows."""

MEANINGS: dict[Outcome, str] = {
    Outcome.DELETED: "The platform deleted it and said so.",
    Outcome.NOT_FOUND: "The platform knew no such id: there was nothing to delete.",
    Outcome.GONE: "It is not there now; whether this purge removed it is unknown.",
    Outcome.FAILED: "Not deleted, as far as is known: refused, or not reached.",
    Outcome.UNKNOWN: "A call was sent and its reply lost: deleted, or not.",
    Outcome.SKIPPED: "Never attempted.",
}
"""The outcomes in plain words."""


@attrs.frozen(kw_only=True)
class NotGone:
    """What the page says of the ids in a journal that are not known to be gone."""

    of_what: str = ""
    """What they are, where a page is about several journals."""
    anchor: str = ""
    """Where a link leads to it."""
    number: int
    groups: list[FailureGroup]
    more_groups: int
    rows: list[tuple[Entry, Outcome]]
    more_rows: int
    unfinished: bool
    resume: str
    """How a remedy begins."""

    @classmethod
    def of(
        cls,
        history: History,
        *,
        named: Collection[Outcome] = tuple(one for one in Outcome if not one.ok),
        most: int = MAX_IDS,
        of_what: str = "",
        anchor: str = "",
        resume: str = "Resume the purge from its journal",
    ) -> Self:
        """Return it, with at most so many ids, those with the outcomes that are to be `named`."""
        groups = failure_groups(history.results())
        number = sum(group.count for group in groups)
        rows = [] if not number else list(islice(_with(named, history), most))
        return cls(
            of_what=of_what,
            anchor=anchor,
            number=number,
            groups=groups[:MAX_GROUPS],
            more_groups=len(groups) - MAX_GROUPS,
            rows=rows,
            more_rows=sum(group.count for group in groups if group.outcome in named) - len(rows),
            unfinished=history.unfinished,
            resume=resume,
        )


def _with(outcomes: Collection[Outcome], history: History) -> Iterator[tuple[Entry, Outcome]]:
    entries = (entry for entry in history.entries.values() if entry.final_outcome() in outcomes)
    return ((entry, fate(entry, history)) for entry in entries)


@attrs.frozen
class Verdict:
    """How the purge went, in a sentence."""

    tone: Literal["good", "bad", "open"]
    sentence: str


def render(history: History, *, now: datetime) -> str:
    """Return the page. Its times are in the time zone of `now`, when it is made."""
    offset = now.utcoffset() or timedelta()
    placed = sum(outcome_at(entry) is not None for entry in history.entries.values())
    drawn = timeline(history, offset=offset.total_seconds()) if placed else None
    return filled(_content(history) | drawing(drawn, placed), now, unfinished=history.unfinished)


def filled(content: Mapping[str, object], now: datetime, *, unfinished: bool) -> str:
    """Return the template with this content; while it is unfinished, what was not attempted is pending."""
    zone = timezone(now.utcoffset() or timedelta())  # the same for all times of the page, as in its chart
    environment = Environment(
        loader=PackageLoader("aionorth.cli.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )

    def moment(at: float | None) -> str:
        """As in ``4 Nov 2026, 03:12:05``."""
        return "" if at is None else f"{(then := datetime.fromtimestamp(at, zone)).day} {then:%b %Y, %H:%M:%S}"

    filters: dict[str, Callable[..., object]] = {
        "codes": _codes,
        "moment": moment,
        "name": partial(_name, unfinished=unfinished),
        "outcome_at": outcome_at,
        "reason": _reason,
        "remedy": _remedy,
        "said": _said,
        "thousands": "{:,}".format,
    }
    environment.filters |= filters
    return environment.get_template("page.html").render(content, made=now.timestamp(), zone=zone, version=__version__)


def _name(outcome: Outcome, *, unfinished: bool) -> str:
    if unfinished and outcome is Outcome.SKIPPED:
        return PENDING.capitalize()
    return outcome.value.replace("_", " ").capitalize()


def _shown(value: object) -> object:
    """Return what the page is to say without characters that cannot be seen, or that turn text around."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _content(history: History) -> dict[str, object]:
    entries = history.entries.values()
    counts = Counter(fate(entry, history) for entry in entries)
    runs, last = works(history), history.each_run()[-1]
    return {
        "number": many(len(entries), KINDS[history.target.kind].noun),
        "target": history.target,
        "selection": shortened(history.selection),
        "verdict": verdict(counts, unfinished=history.unfinished),
        "began": runs[0].start,
        "ended": max(run.end for run in runs),
        "end_known": last.ended is not None,
        "how": "" if last.state is RunState.COMPLETE else how_ended(last),
        "facts": _facts(history, runs),
        "tiles": tiles(counts, unfinished=history.unfinished),
        "resumed": len(history.runs) > 1,
        "unplaced": unplaced(missing(entries), unfinished=history.unfinished),
        "accounts": [NotGone.of(history)],
        "kept_in": "the journal of the purge",
    }


def drawing(drawn: Timeline | None, placed: int) -> dict[str, object]:
    """Return the chart of so many ids, and its figures; a chart of None where no id has an outcome."""
    if drawn is None:
        return {"chart": None, "placed": 0}
    return {
        "chart": Chart(drawn),
        "placed": placed,
        "per": interval(drawn.interval),
        "busiest": max(bar.ids for bar in drawn.bars),
        "shown": {outcome for bar in drawn.bars for outcome in bar.outcomes},
        "refused": any(bar.refusals for bar in drawn.bars),
    }


def interval(value: float) -> str:
    """Return seconds as in ``second``, ``0.05 seconds``, ``5 minutes``, ``hour``: what may stand after *per*."""
    for length, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second")):
        if value >= length:
            number = f"{value / length:g}"
            return name if number == "1" else f"{number} {name}s"
    return f"{value:g} seconds"


# --- The purge as a whole


def verdict(counts: Mapping[Outcome, int], *, unfinished: bool = False, who: str = "A run is at work") -> Verdict:
    """Say in a sentence how a purge went, from how many ids have which outcome.

    Of one that is unfinished it says how far it is, and `who` is at work on it.
    """
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
    if unfinished:
        return Verdict("open", f"{who}: {known}" + (f"; {skipped:,} are still to come." if skipped else "."))
    if not skipped:
        return Verdict("bad", f"{known}: see below.")
    never = f"{skipped:,} of {total:,} {'was' if skipped == 1 else 'were'} never attempted"
    return Verdict("open", f"Not finished: {never}. {known}.")


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _facts(history: History, runs: tuple[Work, ...]) -> list[tuple[str, str, str]]:
    """Return the figures of the purge as a whole: the name, the value, and a note."""
    entries = history.entries.values()
    least = "at least " if any(run.state is RunState.NO_END for run in history.each_run()) else ""
    lasted = duration(max(run.end for run in runs) - runs[0].start)
    worked = duration(sum(run.end - run.start for run in runs))
    refusals = sum(entry.refusals for entry in entries)
    notes = [f"{least}{worked} of it at work"] if len(runs) > 1 else []
    notes += [f"{how_long_silent(history)} without the platform"] if history.outages else []
    return [
        ("Time", lasted, "; ".join(notes)),
        ("Runs", f"{len(runs):,}", ""),
        ("Calls made", f"{sum(entry.all_calls for entry in entries):,}", "logins not counted"),
        ("Refused by flow control", f"{refusals:,}", "of these calls" if refusals else ""),
    ]


def missing(entries: Iterable[Entry]) -> Counter[Outcome]:
    """Return the outcomes of the entries that the timeline does not show."""
    return Counter(entry.final_outcome() for entry in entries if outcome_at(entry) is None)


def unplaced(missing: Mapping[Outcome, int], *, unfinished: bool) -> list[str]:
    """Say what the timeline does not show."""
    said = {
        Outcome.SKIPPED: "under way, or still to come" if unfinished else "never attempted",
        Outcome.UNKNOWN: "under way" if unfinished else "under way when a run was killed",
    }
    return [f"{count:,} {said.get(outcome, outcome.value)}" for outcome, count in missing.items()]


def tiles(counts: Mapping[Outcome, int], *, unfinished: bool) -> list[tuple[Outcome, int, str, str]]:
    """Return for each outcome how many ids have it, which part that is, and what it means."""
    meanings = MEANINGS | ({Outcome.SKIPPED: "Under way, or still to come."} if unfinished else {})
    total = sum(counts.values())
    numbers = ((outcome, counts.get(outcome, 0)) for outcome in Outcome)
    return [(outcome, number, _share(number, total), meanings[outcome]) for outcome, number in numbers]


def _share(part: int, whole: int) -> str:
    """Return a part as in ``98.8 %``; neither 0 % nor 100 % is said where it is not so."""
    if part in {0, whole}:
        return "100 %" if part else "0 %"
    tenths = min(max(round(1000 * part / whole), 1), 999)
    return f"{'< ' if 1000 * part < whole else ''}{tenths / 10:g} %"


# --- Failures


def _said(group: FailureGroup, one: NotGone) -> str:
    """Return what the first error of a group says, or why there is none."""
    error = group.example.error
    if error is not None:
        return error.description if isinstance(error, NorthApiError) else in_words(error)
    said = {
        Outcome.UNKNOWN: "A run was killed while their calls were under way.",
        Outcome.SKIPPED: "The purge ended before their turn.",
    }
    if one.unfinished:
        said = {
            Outcome.UNKNOWN: "Their calls are under way, or were when a run was killed.",
            Outcome.SKIPPED: "Their turn has not come yet.",
        }
    return said.get(group.outcome, "")


def _remedy(group: FailureGroup, one: NotGone) -> str:
    """Return what can be done: in the words of the platform's documents, where they have any."""
    error = group.example.error
    if isinstance(error, NorthApiError) and error.remedy:
        return told(error.remedy)
    if one.unfinished:
        return ""
    if group.outcome is Outcome.UNKNOWN:
        return f"{one.resume}: the platform is asked for each again."
    if group.outcome is Outcome.SKIPPED:
        return f"{one.resume}: it takes up what is left." if error is None else ""
    return f"{one.resume}: each is tried again." if error is not None and error.retryable else ""


def _reason(error: NorthError | None) -> str:
    if isinstance(error, NorthApiError):
        return f"{_codes(error)}: {error.description}" if error.description else _codes(error)
    return "" if error is None else told(error)


def _codes(error: NorthError) -> str:
    """Return the HTTP status and the platform's code; empty where it did not reply with an error."""
    if not isinstance(error, NorthApiError):
        return ""
    return f"HTTP {error.status}" + (f", code {error.code}" if error.code else "")
