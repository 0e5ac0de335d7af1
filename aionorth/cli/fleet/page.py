"""The report of a run of a fleet as one HTML page: as that of one journal, and below it an account of each app."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from aionorth.cli.fleet.view import Damaged, kinds_of, not_known, silences_of, states_of
from aionorth.cli.output.messages import told
from aionorth.cli.reports.account import fate, silence
from aionorth.cli.reports.page import MAX_IDS, NotGone, Verdict, drawing, filled, tiles, unplaced, verdict
from aionorth.cli.reports.timeline import Work, drawn, joined, outcome_at, works
from aionorth.common.text import shortened
from aionorth.common.times import MINUTE, duration
from aionorth.errors import JournalError
from aionorth.fleet.runs import PartStatus, RunStatus
from aionorth.models import Outcome
from aionorth.purge.journal import History

NAMED = (Outcome.FAILED, Outcome.UNKNOWN)
"""The outcomes whose ids the page names."""

MAX_ROWS = 10 * MAX_IDS
"""How many ids the page names in all."""


@attrs.define
class _Tally:
    """How many ids there are, and by how many calls and refusals."""

    ids: int = 0
    calls: int = 0
    refusals: int = 0

    def count(self, calls: int, refusals: int) -> None:
        self.ids += 1
        self.calls += calls
        self.refusals += refusals


class RunPage:
    """Makes the page while journals are read one by one; it keeps of them what does not grow with the number of ids.

    Its state: what the page says of each part so far, and for the timeline what ended in which second.
    """

    def __init__(self, run: RunStatus) -> None:
        self._run = run
        self._parts = list[dict[str, object]]()
        self._damaged: Damaged = []
        self._accounts = list[NotGone]()
        self._all = _Tally()
        self._ended: dict[tuple[int, Outcome], _Tally] = defaultdict(_Tally)
        self._missing = Counter[Outcome]()
        self._works = list[Work]()
        self._silences = list[float]()
        self._resumed = False

    def add(self, status: PartStatus, history: History | JournalError) -> None:
        """Take the next part."""
        part, anchor = status.part, ""
        about: dict[str, object] = {
            "app": part.app,
            "kind": part.kind.words,
            "state": status.state.in_words,
            "total": part.total,
        }
        if isinstance(history, JournalError):
            self._damaged.append((status, history))
            self._parts.append(about | {"counts": None, "cause": told(history), "anchor": anchor})
            return
        counts = Counter[Outcome]()
        for entry in history.entries.values():
            outcome, ended_at = fate(entry, history), outcome_at(entry)
            counts[outcome] += 1
            self._all.count(entry.all_calls, entry.refusals)
            if ended_at is None:
                self._missing[outcome] += 1
            else:
                self._ended[int(ended_at), outcome].count(entry.calls, entry.refusals)
        if any(counts[outcome] for outcome in NAMED):  # of those that were never tried the number says it all
            most = max(0, min(MAX_IDS, MAX_ROWS - sum(len(one.rows) for one in self._accounts)))
            anchor, what = f"part-{status.number}", f"{part.app}, {part.kind.words}"
            self._accounts.append(
                NotGone.of(history, named=NAMED, most=most, of_what=what, anchor=anchor, resume="Resume the run")
            )
        self._parts.append(about | {"counts": counts, "cause": shortened(status.cause), "anchor": anchor})
        self._works += works(history)
        self._silences.append(silence(history))
        self._resumed |= len(history.runs) > 1

    def render(self, now: datetime) -> str:
        """Return the page. Its times are in the time zone of `now`, when it is made."""
        counts = Counter[Outcome]()
        for (_, outcome), tally in self._ended.items():
            counts[outcome] += tally.ids
        placed, offset = counts.total(), now.utcoffset() or timedelta()
        counts += self._missing
        ended = ((second, outcome, one.ids, one.calls, one.refusals) for (second, outcome), one in self._ended.items())
        runs = joined(self._works, MINUTE)
        chart = None
        if placed:
            first = runs[0].start
            chart = drawn(runs, ended, earliest=first, offset=offset.total_seconds(), shortest=1.0)
        began, end = (runs[0].start, runs[-1].end) if runs else (self._run.made_at, self._run.made_at)
        unfinished = not self._run.settled
        content: dict[str, object] = {
            "run": self._run.run,
            "number": kinds_of([one.part for one in self._run.parts]),
            "target": None,
            "selection": "",
            "verdict": self._verdict(counts),
            "began": began,
            "ended": end,
            "end_known": self._run.settled,
            "how": "",
            "facts": [
                ("Time", duration(end - began), silences_of(self._silences)),
                ("Parts", f"{len(self._run.parts):,}", states_of(self._run)),
                ("Calls made", f"{self._all.calls:,}", "logins not counted"),
                ("Refused by flow control", f"{self._all.refusals:,}", "of these calls" if self._all.refusals else ""),
            ],
            "tiles": tiles(counts, unfinished=unfinished),
            "resumed": self._resumed,
            "unplaced": unplaced(self._missing, unfinished=unfinished),
            "parts": self._parts,
            "accounts": self._accounts,
            "kept_in": "the journals of the run",
        }
        return filled(content | drawing(chart, placed), now, unfinished=unfinished)

    def _verdict(self, counts: Mapping[Outcome, int]) -> Verdict:
        who = "Workers are at work" if self._run.at_work else "No worker is at work on it now"
        known = verdict(counts, unfinished=not self._run.settled, who=who)
        if not self._run.whole:
            known = Verdict("open", f"Not finished: {self._run.lack}.")
        if not self._damaged:
            return known
        others = f" Of the others: {known.sentence}" if counts else ""
        lacking = not_known(self._damaged)
        return Verdict("bad", f"{lacking[0].upper()}{lacking[1:]}: see below.{others}")
