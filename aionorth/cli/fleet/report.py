"""What a run of a fleet came to: the same account as of one journal, over all parts, which are read in turn."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import attrs

from aionorth.cli.fleet.page import RunPage
from aionorth.cli.fleet.view import Damaged, ids_of, in_columns, kinds_of, not_known, silences_of, states_of, width
from aionorth.cli.output.messages import told
from aionorth.cli.reports.account import as_dict, silence, summary_of
from aionorth.cli.reports.formats import lines_to, naming, rows_of, table_to, writing
from aionorth.common.text import visible
from aionorth.errors import JournalError
from aionorth.fleet.runs import PartStatus, RunStatus
from aionorth.models import DeleteSummary, Outcome, failure_groups
from aionorth.purge.journal import History

if TYPE_CHECKING:
    from aionorth.fleet import Fleet

MAX_REASONS = 20
"""How many reasons for failures the text has."""

Add = Callable[[PartStatus, History | JournalError], object]
"""Takes the next part, with what its journal says or how that is damaged."""


@contextmanager
def _report(path: str, suffix: str, run: RunStatus, now: datetime) -> Generator[Add, None, None]:
    """Yield what adds parts to a report, which is written once the block has ended well."""
    with writing(path) as file:
        if suffix == ".html":
            page = RunPage(run)
            yield page.add
            file.write(page.render(now))
            return
        write = lines_to(file) if suffix == ".jsonl" else table_to(file, "app", "kind")

        def add(status: PartStatus, history: History | JournalError) -> None:
            if isinstance(history, History):
                with naming(path):
                    write(rows_of(history, app=status.part.app, kind=status.part.kind.value))

        yield add


async def write_reports(
    fleet: Fleet, name: str, files: Sequence[tuple[str, str]], add: Add, now: datetime
) -> RunStatus:
    """Read all journals of a run once, write reports of it, each with the suffix of its format, and `add` each part.

    Raises:
        ReportError: One cannot be written.
    """
    run = await fleet.status(name)
    with ExitStack() as reports:
        adds = [add, *(reports.enter_context(_report(path, suffix, run, now)) for path, suffix in files)]

        def add_to_each(status: PartStatus, history: History | JournalError) -> None:
            for one in adds:
                one(status, history)

        async for status, history in fleet.histories(name, on_damaged=add_to_each):
            add_to_each(status, history)
    return run


class Account:
    """The account of a run, as text and as JSON. Its state: that of each part so far."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._summaries = list[DeleteSummary | None]()
        self.damaged: Damaged = []
        self._parts = list[dict[str, Any]]()
        self._moments = list[float]()
        self._silences = list[float]()
        self._reasons = list[str]()

    def add(self, status: PartStatus, history: History | JournalError) -> None:
        """Take the next part."""
        about = {"part": status.number, "app": status.part.app}
        how = {"state": status.state.value, "cause": status.cause or None}
        if isinstance(history, JournalError):
            self._summaries.append(None)
            self.damaged.append((status, history))
            kind = {"kind": status.part.kind.value, "total": status.part.total}
            self._parts.append(about | kind | how | {"damaged": told(history)})
            return
        self._summaries.append(attrs.evolve(summary_of(history), results=()))
        groups = [one for one in failure_groups(history.results()) if one.example.error is not None]
        self._reasons += (visible(f"{status.part.app}: {told(str(one))}") for one in groups)
        self._silences.append(silence(history))
        self._moments += (moment for run in history.each_run() for moment in (run.began, run.last))
        if self._as_json:
            self._parts.append(about | as_dict(history) | how | {"damaged": None})

    def _total(self) -> DeleteSummary:
        names = [field.name for field in attrs.fields(DeleteSummary) if field.name not in {"results", "elapsed"}]
        read = [one for one in self._summaries if one is not None]
        counts: dict[str, Any] = {name: sum(getattr(one, name) for one in read) for name in names}
        return DeleteSummary(**counts, elapsed=max(self._moments, default=0.0) - min(self._moments, default=0.0))

    def to_dict(self, run: RunStatus) -> dict[str, Any]:
        """Return it as JSON-ready values; the ``results`` of each part have every id that is not known to be gone."""
        summary = self._total()
        total = summary.to_dict() | {"pending": summary.pending}
        del total["results"]
        lacking = {"ok": total["ok"] and not self.damaged, "not_known": ids_of(self.damaged)}
        about = {"run": run.run, "whole": run.whole, "settled": run.settled}
        return {**about, **total, **lacking, "parts": self._parts}

    def in_lines(self, run: RunStatus) -> str:
        """Return it as text: what each part came to, and all of them."""
        total = self._total()
        columns = {one.value.replace("_", " ").upper(): attrgetter(one.value) for one in Outcome}
        if total.pending:
            columns["PENDING"] = attrgetter("pending")
        rows = [["APP", "KIND", "STATE", *columns, "IDS"]]
        for status, summary in zip(run.parts, self._summaries, strict=True):
            counts = ["?" if summary is None else f"{count(summary):,}" for count in columns.values()]
            about = (status.part.app, status.part.kind.words, status.state.in_words)
            rows.append([*about, *counts, f"{status.part.total:,}"])
        more_about = filter(None, [run.lack, states_of(run), silences_of(self._silences), not_known(self.damaged)])
        head = [f"{run.run}: {kinds_of([one.part for one in run.parts])}", *(f"  {one}" for one in more_about)]
        more = len(self._reasons) - MAX_REASONS
        reasons = [*self._reasons[:MAX_REASONS], *([f"and {more:,} more; --html has them all"] if more > 0 else [])]
        return "\n".join([*head, in_columns(rows, width()), str(total), *reasons])
