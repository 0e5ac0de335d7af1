"""The report of a purge: as lines, as a table, and as a page."""

import csv
import json
import math
import os
import re
import signal
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
from certificates import Ca
from hypothesis import given
from hypothesis import strategies as st
from shell import Shell, served

from aionorth import (
    AppNotAuthorizedError,
    CongestionError,
    NorthApiError,
    Outcome,
    ReplyLostError,
    ReplyTimeoutError,
    SubscriptionNotFoundError,
    TlsError,
)
from aionorth.bulk.record import Record
from aionorth.cli.output.messages import ProblemError
from aionorth.cli.reports.account import as_dict, summary_of
from aionorth.cli.reports.chart import CUT, WIDTHS, Chart
from aionorth.cli.reports.formats import COLUMNS, ReportError, check_report, write_report
from aionorth.cli.reports.page import MAX_IDS, interval, render, verdict
from aionorth.cli.reports.timeline import MAX_BARS, timeline
from aionorth.common.arguments import argument
from aionorth.errors import JournalError, NorthError, OutageError
from aionorth.events import Held
from aionorth.items import Kind, Target
from aionorth.purge.journal import Entry, History, Journal, Outage, RunState, Stop, read
from aionorth.purge.journal.lines import encode

START = datetime(2026, 11, 4, 23, 0, tzinfo=UTC).timestamp()
NOW = datetime(2026, 11, 5, 12, 0, tzinfo=timezone(timedelta(hours=1)))
URL = "https://iot.example.com:8743"
HOUR = 3600.0


def history(*entries: Entry, runs: Iterable[float] = (START,), **target: Any) -> History:
    about = {"kind": Kind.SUBSCRIPTIONS, "url": URL, "app_id": "my-app"} | target
    began = list(runs)
    stop = Stop(at=began[-1], state=RunState.COMPLETE, began=began[0], gone=None, cause=None)
    return History(
        target=Target(**about),
        duplicates=0,
        entries={entry.id: entry for entry in entries},
        runs=began,
        ends=began,
        stops=[stop] * len(began),
    )


def entry(
    id_: str, outcome: Outcome | None, at: float = START + 1, error: NorthError | None = None, **facts: Any
) -> Entry:
    """An entry that ended in `outcome` at `at`; with None it was begun then, and is under way still."""
    begun = Entry(id_).begun(at - 0.1 if outcome else at)
    if outcome is None:
        return begun
    line = {"at": at, "outcome": outcome.value, "calls": 1, "attempts": 1, "refusals": 0, "elapsed": 0.1} | facts
    return begun.ended(line)._replace(error=error)


def every_outcome() -> History:
    return history(
        entry("deleted", Outcome.DELETED, calls=2, refusals=1),
        entry("not-found", Outcome.NOT_FOUND, error=SubscriptionNotFoundError(404, "100225", "No such thing.")),
        entry("gone", Outcome.GONE, calls=2, attempts=2),
        entry("failed", Outcome.FAILED, error=CongestionError(503, "100501", "Busy."), calls=6, attempts=6),
        entry("unknown", Outcome.UNKNOWN, error=ReplyTimeoutError("no reply within 30 s")),
        entry("under-way", None),
        Entry("skipped"),
    )


def steady(number: int, *spans: tuple[float, float], outcome: Outcome = Outcome.DELETED) -> History:
    """A history of `number` ids, spread evenly over runs of these beginnings and lengths."""
    total = sum(length for _, length in spans)
    moments: list[float] = []
    for start, length in spans:
        moments += [start + length * (at + 1) / (number * length / total) for at in range(int(number * length / total))]
    entries = (entry(f"id-{at}", outcome, moment) for at, moment in enumerate(moments))
    return history(*entries, runs=[start for start, _ in spans])


class Page(HTMLParser):
    """Checks that a page's elements nest, and keeps what it shows and refers to."""

    VOID = frozenset({"meta", "br", "link", "img"})
    INLINE = frozenset({"b", "i", "span"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.references: list[str] = []
        self.shown = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        self.references += [
            value or "" for name, value in attrs if name in {"src", "href", "srcset", "action", "xlink:href", "data"}
        ]
        assert not [name for name in names if name.startswith("on")]
        self.shown += "" if tag in self.INLINE else " "
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.shown += "" if tag in self.INLINE else " "

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.shown += data

    @property
    def words(self) -> str:
        return " ".join(self.shown.split())


def page(made: History, outages: Sequence[Outage] = ()) -> Page:
    return Page(render(silent(made, *outages), now=NOW))


def silent(made: History, *outages: Outage) -> History:
    """The same history, with outages in it."""
    return attrs.evolve(made, outages=list(outages))


# --- Where it goes


@pytest.mark.parametrize("name", ["report", "report.txt", "report.jsonl.gz", ".html", "", "html"])
def test_a_suffix_that_names_no_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProblemError, match=r"\.jsonl, \.csv or \.html"):
        check_report(str(tmp_path / name) if name else "")


@pytest.mark.parametrize("name", ["a.jsonl", "a.CSV", "a b.Html"])
def test_a_name_that_will_do_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    check_report(str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"nowhere/a\.csv cannot be written \(No such file.*directory that exists"):
        check_report(str(tmp_path / "nowhere" / "a.csv"))


def test_a_directory_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.html").mkdir()
    with pytest.raises(ProblemError, match=r"a\.html is not a file that can be replaced: name another one"):
        check_report(str(tmp_path / "a.html"))


@pytest.mark.skipif(sys.platform != "linux", reason="such names are Linux's")
def test_a_pipe_without_a_name_is_not_replaced() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(ProblemError, match=r"fd/\d+ is not a file that can be replaced: name another one"):
            check_report(f"/proc/self/fd/{writer}", ".csv")
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("name", ["a\0.csv", "a" * 300 + ".csv"])
def test_a_name_that_no_file_can_have_is_a_problem(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProblemError, match="cannot be written"):
        check_report(str(tmp_path / name))
    with pytest.raises(ReportError, match="cannot be written"):
        write_report(str(tmp_path / name), every_outcome(), now=NOW)


def test_a_report_is_readable_by_its_owner_only_as_the_journal_is(tmp_path: Path) -> None:
    write_report(str(tmp_path / "a.html"), every_outcome(), now=NOW)
    assert stat.S_IMODE((tmp_path / "a.html").stat().st_mode) == 0o600


def test_a_file_that_is_there_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(0o640)
    check_report(str(path))
    assert path.read_text() == "old"
    write_report(str(path), every_outcome(), now=NOW)
    assert path.read_text().startswith("id,")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "real.csv")
    write_report(str(tmp_path / "a.csv"), every_outcome(), now=NOW)
    assert (tmp_path / "a.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("id,")


@pytest.mark.skipif(os.name != "posix", reason="files have owners on POSIX systems")
@pytest.mark.parametrize("name", ["link.csv", "dangling.csv", "up/a.csv", "mine.csv"])
def test_a_report_is_written_through_no_link_that_others_may_have_planted(tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious.csv"
    precious.write_text("precious")
    open_to_all = tmp_path / "tmp"
    open_to_all.mkdir()
    (open_to_all / "link.csv").symlink_to(precious)
    (open_to_all / "dangling.csv").symlink_to(tmp_path / "new.csv")
    (open_to_all / "up").symlink_to(tmp_path)
    (tmp_path / "mine.csv").symlink_to(open_to_all / "link.csv")
    open_to_all.chmod(0o1777)
    path = str((tmp_path if name == "mine.csv" else open_to_all) / name)
    with pytest.raises(ProblemError, match=r"cannot be written \(.* is a link that another user may have put there\)"):
        check_report(path)
    with pytest.raises(ReportError, match=r"is a link that another user may have put there\); .* in the journal"):
        write_report(path, every_outcome(), now=NOW)
    assert precious.read_text() == "precious"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.csv", "precious.csv", "tmp"]
    assert len(list(open_to_all.iterdir())) == 3


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(0o666)
    os.chown(path, 12345, 12345)
    with pytest.raises(ProblemError, match=r"belongs to another user \(uid 12345\)"):
        check_report(str(path))
    with pytest.raises(ReportError, match="belongs to another user"):
        write_report(str(path), every_outcome(), now=NOW)
    assert path.read_text() == "old"


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from aionorth.cli.reports import formats
from aionorth.purge.journal import read

def killed(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
journal, report, name, when = sys.argv[1:]
if name == "named": del os.O_TMPFILE
match when:
    case "while it is written": os.fsync = killed
    case "before it is in place" if os.path.exists(report): os.replace = killed
    case "before it is in place": os.replace = os.link = killed
formats.write_report(report, read(journal), now=datetime.now(UTC))
killed()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unnamed", "named"])
@pytest.mark.parametrize("when", ["while it is written", "before it is in place", "after"])
@pytest.mark.parametrize("there", [False, True])
def test_what_a_kill_leaves_of_a_report_holds_no_ids_for_ever(
    tmp_path: Path, name: str, when: str, *, there: bool
) -> None:
    journal, report = tmp_path / "journal", tmp_path / "reports" / "a.jsonl"
    report.parent.mkdir()
    Journal.create(journal, Target(kind=Kind.PACKAGES, url=URL, app_id="my-app"), ["an-id"]).close()
    if there:
        report.write_text("old")
    killed = subprocess.run([sys.executable, "-c", KILLED, journal, report, name, when], check=False)
    assert killed.returncode == -signal.SIGKILL
    left = [file for file in report.parent.iterdir() if file != report]
    if name == "unnamed" and not (there and when == "before it is in place"):
        assert left == []
    if when == "after":
        assert "an-id" in report.read_text()
    else:
        assert report.read_text() == "old" if there else not report.exists()
    check_report(str(report))
    assert [file for file in report.parent.iterdir() if file != report] == []


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("old")
    broken = entry("a", Outcome.DELETED)._replace(ended_at=1e13)  # no calendar has such a year
    with pytest.raises(ReportError, match="year"):
        write_report(str(path), history(broken), now=NOW)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.html", "old")]


def test_a_directory_that_went_away_is_reported_with_where_the_account_is(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"a\.csv cannot be written \(No such file or directory\); .* in the journal"):
        write_report(str(tmp_path / "nowhere" / "a.csv"), every_outcome(), now=NOW)


# --- For programs


def lines(path: Path, made: History) -> list[dict[str, Any]]:
    write_report(str(path / "a.jsonl"), made, now=NOW)
    return [json.loads(line) for line in (path / "a.jsonl").read_text().splitlines()]


def table(path: Path, made: History) -> list[dict[str, str]]:
    write_report(str(path / "a.csv"), made, now=NOW)
    with (path / "a.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_lines_have_every_id_in_the_plans_order(tmp_path: Path) -> None:
    made = every_outcome()
    reported = lines(tmp_path, made)
    assert [line["id"] for line in reported] == list(made.entries)
    assert [line["outcome"] for line in reported] == [result.outcome.value for result in made.results()]
    assert len({tuple(line) for line in reported}) == 1
    assert reported[3] == {
        "id": "failed",
        "outcome": "failed",
        "error": {
            "type": "CongestionError",
            "status": 503,
            "code": "100501",
            "description": "Busy.",
            "remedy": "Try again later.",
        },
        "attempts": 6,
        "refusals": 0,
        "calls": 6,
        "elapsed": 0.1,
        "began_at": "2026-11-04T23:00:00.900Z",
        "ended_at": "2026-11-04T23:00:01.000Z",
    }
    assert reported[4]["error"] == {
        "type": "ReplyTimeoutError",
        "status": None,
        "code": None,
        "description": "no reply within 30 s",
        "remedy": None,
    }


def test_a_call_that_a_kill_cut_short_counts_and_has_no_end(tmp_path: Path) -> None:
    under_way, skipped = lines(tmp_path, every_outcome())[5:]
    assert [under_way[name] for name in ("outcome", "calls", "attempts", "ended_at")] == ["unknown", 1, 1, None]
    assert [skipped[name] for name in ("outcome", "calls", "began_at", "ended_at")] == ["skipped", 0, None, None]


def test_a_table_has_what_the_lines_have(tmp_path: Path) -> None:
    rows, reported = table(tmp_path, every_outcome()), lines(tmp_path, every_outcome())
    assert all(tuple(row) == COLUMNS for row in rows)
    for row, line in zip(rows, reported, strict=True):
        error = line.pop("error") or dict.fromkeys(("type", "status", "code", "description", "remedy"))
        flat = line | {f"error_{name}": value for name, value in error.items()}
        assert row == {name: "" if value is None else str(value) for name, value in flat.items()}


STRANGE = ["=1+2", "@a", 'a"b', "a,b", "Größe", "'x", "0012", "\N{SNOWMAN}" * 256, "<b>&amp;</b>", "{{ 7 * 7 }}", "-"]


def test_ids_come_back_as_they_were_from_lines_and_table(tmp_path: Path) -> None:
    made = history(*(entry(id_, Outcome.DELETED) for id_ in STRANGE))
    assert [line["id"] for line in lines(tmp_path, made)] == STRANGE
    assert [row["id"] for row in table(tmp_path, made)] == STRANGE
    assert (tmp_path / "a.csv").read_bytes().count(b"\r\n") == len(STRANGE) + 1


CELLS = {
    '=HYPERLINK("http://evil")': '\'=HYPERLINK("http://evil")',
    "  +1": "'  +1",
    "\N{FULLWIDTH EQUALS SIGN}1": "'\N{FULLWIDTH EQUALS SIGN}1",
    "\N{FULLWIDTH PLUS SIGN}1": "'\N{FULLWIDTH PLUS SIGN}1",
    "\N{FULLWIDTH HYPHEN-MINUS}1": "'\N{FULLWIDTH HYPHEN-MINUS}1",
    "\N{FULLWIDTH COMMERCIAL AT}A1": "'\N{FULLWIDTH COMMERCIAL AT}A1",
    "no;=1+2": "no;'=1+2",
    "no, @A1,-1": "no,' @A1,'-1",
    'no;"=1+2"': 'no;\'"=1+2"',
    "no - not =1": "no - not =1",
    "a=b; c": "a=b; c",
}


def test_what_a_spreadsheet_would_calculate_is_defused_in_the_table_only(tmp_path: Path) -> None:
    for said, cell in CELLS.items():
        made = history(entry("=1", Outcome.FAILED, error=NorthApiError(400, said, said)))
        error = lines(tmp_path, made)[0]["error"]
        assert (error["code"], error["description"]) == (said, said)
        (row,) = table(tmp_path, made)
        assert (row["id"], row["error_code"], row["error_description"]) == ("=1", cell, cell)


FORMULA = "=+-@＝＋－＠"  # noqa: RUF001 - full-width forms will do for a spreadsheet
# Not of replies, whose errors have no such characters in them.
SEPARATORS = ["", ",", ";", "\t", "\n", "\r", "\r\n", "\v", "\x85", "\u2028"]


@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(SEPARATORS), st.sampled_from(["", " ", "\u3000", '"']), st.sampled_from(f"{FORMULA}a1")
        )
    ),
    kind=st.sampled_from([NorthError, ReplyTimeoutError]),
)
def test_no_cell_is_a_formula_however_a_spreadsheet_splits_the_table(
    parts: list[tuple[str, str, str]], kind: type[NorthError]
) -> None:
    said = "".join(part for triple in parts for part in triple)
    with TemporaryDirectory() as directory:
        made = history(entry("id", Outcome.FAILED, error=kind(said)))
        (row,) = table(Path(directory), made)
        whole = (Path(directory) / "a.csv").read_bytes().decode()
    assert row["error_description"].replace("'", "") == said
    for cells in (row.values(), re.split(r"[,;\t\n\r\v\x85\u2028]", whole)):
        for cell in cells:
            assert not re.match(rf"""[\s"]*[{re.escape(FORMULA)}]""", cell)
            assert not cell.startswith(("\t", "\r"))


# --- For people


def test_the_page_of_every_outcome_nests_and_asks_for_nothing_from_outside() -> None:
    made = page(every_outcome())
    assert made.references == []
    assert made.tags["script"] == made.tags["link"] == made.tags["img"] == 0
    text = render(every_outcome(), now=NOW)
    assert set(re.findall(r"[a-z]+://[^\s<\"]*", text)) == {URL}
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    assert text.startswith("<!DOCTYPE html>")


def test_the_numbers_of_the_page_are_those_of_the_history() -> None:
    made = every_outcome()
    text = render(made, now=NOW)
    counts = Counter(result.outcome for result in made.results())
    tiles = re.findall(r"</i>([A-Z][a-z ]+)</h3><b>([\d,]+)", text)
    assert tiles == [(outcome.value.replace("_", " ").capitalize(), f"{counts[outcome]}") for outcome in Outcome]
    words = page(made).words
    assert "Purge of 7 subscriptions of app my-app at https://iot.example.com:8743" in words
    assert "Not finished: 1 of 7 was never attempted. 3 of 7 are gone; 1 is not; 2 may or may not be." in words
    assert "Calls made 13 " in words
    assert "Refused by flow control 1 " in words
    assert "Not shown: 1 under way when a run was killed, 1 never attempted." in words
    assert "Why 4 are not known to be gone" in words
    assert text.count("<tr><td>") == 4


def test_the_page_shows_times_in_the_zone_it_is_made_in() -> None:
    words = page(every_outcome()).words
    assert "Began 5 Nov 2026, 00:00:00 Ended 5 Nov 2026, 00:00:01" in words
    assert "on 5 Nov 2026, 12:00:00 (UTC+01:00)" in words


@pytest.mark.parametrize(
    ("counts", "tone", "sentence"),
    [
        ({}, "good", "There was nothing to delete: the purge had no ids."),
        ({Outcome.GONE: 1}, "good", "The only one is gone from the platform."),
        ({Outcome.DELETED: 1200, Outcome.NOT_FOUND: 4}, "good", "All 1,204 are gone from the platform."),
        ({Outcome.DELETED: 1190, Outcome.FAILED: 14}, "bad", "1,190 of 1,204 are gone; 14 are not: see below."),
        ({Outcome.UNKNOWN: 2}, "bad", "0 of 2 are gone; 2 may or may not be: see below."),
        (
            {Outcome.DELETED: 1, Outcome.SKIPPED: 300},
            "open",
            "Not finished: 300 of 301 were never attempted. 1 of 301 is gone.",
        ),
    ],
)
def test_the_verdict_is_one_plain_sentence(counts: dict[Outcome, int], tone: str, sentence: str) -> None:
    said = verdict(counts)
    assert (said.tone, said.sentence) == (tone, sentence)


def test_what_others_wrote_stays_text_on_the_page() -> None:
    evil = "<script>alert(1)</script>"
    error = NorthApiError(400, "<b>1</b>", "<img src=x onerror=alert(1)>\x1b[31m\u202e")
    made = history(entry(evil, Outcome.FAILED, error=error), url="https://x/<i>", app_id="<u>&amp;")
    shown = page(made)
    assert shown.tags["script"] == shown.tags["img"] == shown.tags["u"] == 0
    for text in (evil, "<img src=x onerror=alert(1)>\\x1b[31m\\u202e", "https://x/<i>", "<u>&amp;", "code <b>1</b>"):
        assert text in shown.shown


def test_nothing_on_the_page_turns_its_surroundings_about() -> None:
    evil = "a\u202eb\u2066c\u200bd\x9be\x00f\ng"
    error = NorthApiError(400, evil, evil)
    made = history(
        entry(evil, Outcome.FAILED, error=error),
        entry("b", Outcome.UNKNOWN, error=ReplyTimeoutError(evil)),
        url=f"https://{evil}",
        app_id=evil,
        authorized_app_id=evil,
    )
    made = attrs.evolve(made, selection=evil * 1_000)
    text = render(made, now=NOW)
    assert all(char.isprintable() or char == "\n" for char in text)
    assert text.count("\\u202e") > 5
    assert len(text) < 100_000


# --- Whatever a journal holds

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([-1, 0, 1e13, -1e18, 253402300799, 253402300800.5, 10**30, 10**400, 1e308, math.nan, math.inf])
    | st.text(max_size=5)
    | st.sampled_from(["deleted", "unknown", "a", "FlowControlError", "BulkError", "ReplyLostError", "\ud800\x1b\n"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3) | st.just("type"), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in `value`, with each of its keys."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


def journal_lines(directory: Path) -> list[dict[str, Any]]:
    """What the lines of a journal with each sort of them say."""
    now = START
    path = directory / "whole"
    made = Journal.create(
        path, Target(kind=Kind.PACKAGES, url=URL, app_id="my-app"), ["a", "b", "c"], clock=lambda: now
    )
    errors = {"a": None, "b": CongestionError(503, "100501", "Busy."), "c": ReplyTimeoutError("no reply")}
    for id_, error in errors.items():
        made.begin(id_)
        sent = Record().sent
        done = sent.answered if error is None else sent.failed(error)
        now += 1
        made.end(done, done.result(id_, now))
    made(Held(app_id="my-app", silent_for=0.5, reason="HTTP 502"))
    made.run_ended(stopped=False, cause=OutageError(9.0, "HTTP 502"))
    made.close()
    whole = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [{name: value for name, value in line.items() if name != "crc"} for line in whole]


@given(data=st.data(), version=st.sampled_from([1, 2, 3]))
def test_whatever_a_journal_holds_is_refused_by_name_or_reported(data: st.DataObject, version: int) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        whole = journal_lines(directory)
        whole[0]["version"] = version
        for _ in range(data.draw(st.integers(1, 3))):
            container, key = data.draw(st.sampled_from(places(whole)))
            match data.draw(st.sampled_from(["replace", "replace", "drop", "rename"])):
                case "rename" if isinstance(container, dict):
                    container[data.draw(st.text(max_size=5))] = container.pop(key)
                case "drop":
                    del container[key]
                case _:
                    container[key] = data.draw(JSON)
        path = directory / "changed"
        path.write_bytes(b"".join(encode(line, version) for line in whole))
        path.chmod(0o600)
        try:
            made = read(path)
        except JournalError:
            with pytest.raises(JournalError, match=re.escape(str(path))):
                Journal.reopen(path)
            return
        for suffix in ("csv", "jsonl", "html"):
            write_report(str(directory / f"report.{suffix}"), made, now=NOW)
        assert len((directory / "report.jsonl").read_text().splitlines()) == len(made.entries)
        str(made.target)
        assert made.elapsed >= 0
        datetime.fromtimestamp(made.runs[0]).astimezone()
        Journal.reopen(path, clock=lambda: START).close()
        assert len(read(path).runs) == len(made.runs) + 1


def test_a_page_of_no_ids_or_none_attempted_has_no_chart() -> None:
    for made in (history(), history(Entry("a"))):
        assert page(made).tags["svg"] == 1  # the verdict's sign
    assert "1 of 1 was never attempted" in page(history(Entry("a"))).words


def test_a_page_of_one_id_that_is_gone_names_no_failures() -> None:
    words = page(history(entry("only-id", Outcome.DELETED))).words
    assert "The only one is gone from the platform." in words
    assert "not known to be gone" not in words
    assert "only-id" not in words


def test_another_apps_subscriptions_are_shown_as_that_apps() -> None:
    words = page(history(authorized_app_id="theirs")).words
    assert "of app theirs at https://iot.example.com:8743, deleted by app my-app" in words


def test_failures_alike_stand_together_with_the_documents_remedy() -> None:
    busy = [entry(f"b{at}", Outcome.FAILED, error=CongestionError(503, "100501", f"Node {at}.")) for at in range(5)]
    other = [entry(f"o{at}", Outcome.UNKNOWN, error=ReplyTimeoutError("no reply within 30 s")) for at in range(2)]
    words = page(history(*other, *busy)).words
    assert "5 Failed HTTP 503, code 100501 · CongestionError For example: Node 0. What to do Try again later." in words
    assert "First ids b0 b1 b2" in words
    assert "2 Unknown ReplyTimeoutError no reply within 30 s What to do Resume the purge from its journal" in words
    assert words.index("5 Failed HTTP 503") < words.index("2 Unknown ReplyTimeoutError")


@pytest.mark.slow
def test_a_hundred_thousand_failures_make_a_small_page_that_says_where_the_rest_is() -> None:
    error = NorthApiError(400, "1", "No.")
    made = history(*(entry(f"{at:036}", Outcome.FAILED, START + at * 0.6, error) for at in range(100_000)))
    text = render(made, now=NOW)
    assert len(text) < 1_000_000
    assert text.count("<tr><td>") == MAX_IDS
    assert "These are the first 1,000; 99,000 more are in the journal of the purge" in text


def test_a_journal_of_a_killed_and_a_resumed_run_is_reported(tmp_path: Path) -> None:
    now = START
    target = Target(kind=Kind.PACKAGES, url=URL, app_id="my-app")
    path = tmp_path / "journal"
    first = Journal.create(path, target, ["a", "b"], clock=lambda: now)
    first.begin("a", "b")
    done = Record().sent.answered
    first.end(done, done.result("a", 1.0))
    first.close()
    now += 5 * HOUR
    Journal.reopen(path, clock=lambda: now).close()
    assert [line["outcome"] for line in lines(tmp_path, read(path))] == ["deleted", "unknown"]
    words = page(read(path)).words
    assert "Purge of 2 version packages" in words
    assert "Time 5 h 0 min" in words
    assert "Runs 2 Calls made 2 " in words
    assert "A run was killed while their calls were under way." in words


# --- The timeline


@pytest.mark.parametrize(
    "spans",
    [
        [(START, 0.05)],
        [(START, 2.0)],
        [(START, 59.0)],
        [(START, 700.0)],
        [(START, 6000.0)],
        [(START, 2.5 * HOUR), (START + 7.5 * HOUR, 2.5 * HOUR)],
        [(START, 100 * HOUR)],
        [(START, 600.0), (START + 200 * HOUR, 600.0), (START + 9000 * HOUR, 60.0)],
        [(START + at * 400, 300.0) for at in range(30)],
    ],
)
def test_a_timeline_has_30_to_120_intervals_and_every_id_in_one(spans: list[tuple[float, float]]) -> None:
    made = steady(600, *spans)
    drawn = timeline(made, offset=HOUR)
    assert 30 <= sum(map(len, drawn.stretches)) <= MAX_BARS
    assert sum(bar.ids for bar in drawn.bars) == sum(bar.calls for bar in drawn.bars) == len(made.entries)
    numbers = {number for part in drawn.stretches for number in part}
    assert {bar.number for bar in drawn.bars} <= numbers
    inside = Chart(drawn)
    for column in inside.columns:
        assert column.area.x >= 0
        assert column.area.x + column.area.width <= 100.1
        assert all(inside.ids.top - 0.1 <= box.y for _, box in column.parts)
    assert inside.widths == WIDTHS
    for width in inside.widths:
        places = [tick.x for tick in inside.ticks(width)]
        assert len(places) >= 2
        assert places == sorted(places)
        assert len(list(inside.flags(width))) == len(spans)


def test_a_bars_title_has_its_time_outcomes_and_calls() -> None:
    made = history(
        entry("a", Outcome.DELETED, START + 600, calls=3, refusals=2),
        entry("b", Outcome.NOT_FOUND, START + 601),
        entry("c", Outcome.DELETED, START),
    )
    titles = [column.title for column in Chart(timeline(made, offset=HOUR)).columns]
    assert titles == [
        "5 Nov, 00:00:00 to 00:00:10: 1 deleted; 1 call",
        "5 Nov, 00:10:00 to 00:10:10: 1 deleted, 1 not found; 4 calls, 2 of them refused",
    ]


def test_a_pause_is_drawn_to_scale_until_it_is_longer_than_the_work() -> None:
    to_scale = Chart(timeline(steady(600, (START, 2 * HOUR), (START + 3 * HOUR, HOUR))))
    (pause,) = to_scale.pauses
    assert not pause.cut
    assert pause.label == "1 h"
    assert pause.box.width == pytest.approx(to_scale.columns[-1].area.x / 4, rel=0.15)
    cut = Chart(timeline(steady(600, (START, HOUR), (START + 49 * HOUR, HOUR))))
    (pause,) = cut.pauses
    assert pause.cut
    assert pause.label == "2 d"
    assert pause.box.width == CUT
    assert "drawn shorter" in pause.title


def split(lasted: float) -> tuple[History, Outage]:
    """A run of two hours at work, and between them an outage that lasted so long."""
    first = steady(300, (START, HOUR))
    second = steady(300, (START + HOUR + lasted, HOUR))
    later = (one._replace(id=f"later-{one.id}") for one in second.entries.values())
    return history(*first.entries.values(), *later), Outage(start=START + HOUR, end=START + HOUR + lasted)


def test_an_outage_is_drawn_as_a_pause_within_its_run() -> None:
    made, outage = split(1800.0)
    chart = Chart(timeline(silent(made, outage)))
    (pause,) = chart.pauses
    assert (pause.silent, pause.cut, pause.label) == (True, False, "30 min")
    assert pause.title == "The platform was silent for 30 min 0 s"
    assert pause.box.width == pytest.approx(20, abs=2)  # less the intervals that end and begin with work
    assert len(list(chart.flags(WIDTHS[0]))) == 1
    words = page(made, [outage]).words
    assert "The platform was silent" in words
    assert "Time 2 h 30 min 30 min 0 s without the platform" in words
    assert "No run at work" not in words
    assert "silent" not in page(made).words


def test_an_outage_that_began_while_ids_were_at_work_has_its_whole_length() -> None:
    made, _ = split(1800.0)
    chart = Chart(timeline(silent(made, Outage(start=START + HOUR - 60, end=START + HOUR + 1800))))
    assert [(pause.label, pause.title) for pause in chart.pauses] == [
        ("31 min", "The platform was silent for 31 min 0 s")
    ]


def test_a_run_that_was_killed_may_have_been_at_work_for_longer() -> None:
    made = steady(600, (START, HOUR), (START + 3 * HOUR, HOUR))
    killed = attrs.evolve(made, stops=[None, made.stops[1]])
    assert [pause.title for pause in Chart(timeline(made)).pauses] == ["No run was at work for 2 h 0 min"]
    assert [pause.title for pause in Chart(timeline(killed)).pauses] == ["No run was at work for at most 2 h 0 min"]


def test_while_a_run_is_at_work_what_has_no_outcome_is_pending_in_every_format(tmp_path: Path) -> None:
    made = attrs.evolve(every_outcome(), at_work=True)
    fates = {row["id"]: row["outcome"] for row in lines(tmp_path, made)}
    assert (fates["under-way"], fates["skipped"], fates["unknown"]) == ("pending", "pending", "unknown")
    account = as_dict(made)
    assert account["pending"] == summary_of(made).pending == 2
    assert {one["id"] for one in account["results"] if one["outcome"] == "pending"} == {"under-way", "skipped"}
    shown = Page(render(made, now=NOW)).shown
    assert "Pending 2 28.6 % Under way, or still to come." in " ".join(shown.split())
    assert "Skipped" not in shown


def test_a_night_without_the_platform_is_drawn_shorter() -> None:
    made, outage = split(12 * HOUR)
    (pause,) = Chart(timeline(silent(made, outage))).pauses
    assert (pause.silent, pause.cut, pause.box.width) == (True, True, CUT)
    assert pause.title == "The platform was silent for 12 h 0 min (drawn shorter than that)"


def test_an_outage_that_ended_a_run_stands_before_the_time_without_one() -> None:
    made = steady(600, (START, HOUR), (START + 3 * HOUR, HOUR))
    chart = Chart(timeline(silent(made, Outage(start=START + HOUR - 5, end=START + 2 * HOUR))))
    assert [(pause.silent, pause.label) for pause in chart.pauses] == [(True, "1 h"), (False, "1 h")]
    chart = Chart(timeline(silent(steady(600, (START, HOUR)), Outage(start=START + HOUR, end=START + 2 * HOUR))))
    assert [pause.silent for pause in chart.pauses] == [True]
    assert all(column.area.x + column.area.width <= 55 for column in chart.columns)


@pytest.mark.parametrize(
    ("length", "words"),
    [(0.02, "0.02 seconds"), (1, "second"), (60, "minute"), (300, "5 minutes"), (3600, "hour"), (86400, "day")],
)
def test_an_interval_is_written_as_people_say_it(length: float, words: str) -> None:
    assert interval(length) == words


# --- What arguments are called


def test_all_accounts_name_options_and_no_arguments(shell: Shell, tmp_path: Path) -> None:
    path, target = tmp_path / "purge.jsonl", Target(kind=Kind.SUBSCRIPTIONS, url=URL, app_id="my-app")
    errors = [
        TlsError(f"refused; give its CA as {argument('ca_file')}"),
        ReplyLostError(f"broken off; does it ask for another {argument('client_cert')}?"),
        AppNotAuthorizedError(403, "100217"),
    ]
    made = Journal.create(path, target, [str(at) for at in range(len(errors))])
    assert list(made.finished()) == []
    for at, error in enumerate(errors):
        made.begin(str(at))
        tried = Record().sent.failed(error)
        made.end(tried, tried.result(str(at), 0.1))
    made.run_ended(stopped=False, cause=OutageError(9.0, errors[1].args[0]))
    made.close()
    files = {suffix: tmp_path / f"a.{suffix}" for suffix in ("html", "csv", "jsonl")}
    shell("report", str(path), *(word for suffix, file in files.items() for word in (f"--{suffix}", str(file))))
    accounts = [file.read_text() for file in files.values()]
    accounts += [shell("report", str(path)).out, shell("report", str(path), "--json").out]
    for account in accounts:
        for option in ("--ca-file", "--client-cert", "--authorized-app-id"):
            assert option in account
        assert not re.search(r"\b(ca_file|client_cert|Leave authorized_app_id)\b", account)


def test_a_run_names_options_where_the_certificate_is_refused_only_now(shell: Shell, tmp_path: Path) -> None:
    ca, report, log = Ca(), tmp_path / "purge.csv", tmp_path / "log"
    (tmp_path / "ca.pem").write_bytes(ca.cert)
    with served(tls=ca.serving("platform", tmp_path)) as platform:
        shell.point_at(platform)
        shell.export(STORE="machine")
        assert shell("check", "--ca-file", str(tmp_path / "ca.pem")).code == 0  # the token is in the store now
        options = ("--report", str(report), "--log-file", str(log))
        run = shell("delete", "subscriptions", "--ids-file", shell.file("a\n"), *options)
    assert run.code == 1
    for text in (run.out, run.err, report.read_text(), log.read_text()):
        assert "give its CA as --ca-file" in text
        assert "ca_file" not in text
