"""Texts from the platform are shown and kept so that they cannot control a terminal, forge a line, or be a formula."""

import csv
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support import run, session

import aionorth
from aionorth.cli.reports.formats import write_report
from aionorth.purge import journal
from aionorth.simulator import CannedReply, Simulator

nasty = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\n\r\t\0\x1b\x9b\u202e\u2066\u2028\u200b\ud800\x7f\x85=+-@;,\"'<&"),
    ),
    max_size=30,
)


@pytest.fixture(scope="module")
def lines() -> Iterator[list[str]]:
    """All messages that the library logs."""
    logged: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(record.getMessage())

    handler, log = Handler(logging.DEBUG), logging.getLogger("aionorth")
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.DEBUG)
    yield logged
    log.setLevel(level)
    log.removeHandler(handler)


def assert_fit_to_be_shown(text: str) -> None:
    for line in text.split("\n"):
        assert line.isprintable()


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(nasty.filter(str.strip), nasty, st.sampled_from([400, 404, 429, 500]))
@example("1010009\x1b[2J", "no.\naionorth: 3 of 3 deleted, all is well", 400)
@example("=1+1", "x;=1+1\n@SUM(A1)\r+1\t-1", 400)
@example(";=1+1", "\u202e=1", 400)
@example("7", "callback https://user:hush@h/cb failed", 400)
def test_what_an_error_says_is_fit_to_be_shown_wherever_it_goes(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], code: str, description: str, status: int
) -> None:
    directory = tmp_path_factory.mktemp("run")
    body = json.dumps({"error_code": code, "error_desc": description}).encode()
    lines.clear()

    async def main() -> aionorth.DeleteSummary:
        policy = aionorth.RetryPolicy(attempts=2, deadline=60.0)
        async with Simulator(calls=None) as platform, session(platform, retry=policy) as north:
            platform.script(CannedReply(status, body), method="DELETE", times=1000)
            plan = await north.plan(aionorth.SubscriptionSelection(ids=["one", "two"]))
            try:
                return await north.purge(plan, journal=directory / "purge.jsonl")
            except aionorth.BulkAbortedError as exc:
                assert_fit_to_be_shown(str(exc))
                summary: aionorth.DeleteSummary = exc.summary
        return summary

    summary = run(main())
    assert_fit_to_be_shown(str(summary))
    for line in lines:
        assert line.isprintable()
    for result in summary.results:
        assert str(result.error).isprintable()
        assert ":hush@" not in str(result.error)
        assert json.dumps(result.to_dict(), ensure_ascii=False).isprintable()
    history = journal.read(directory / "purge.jsonl")
    reports = {suffix: directory / f"report{suffix}" for suffix in (".csv", ".jsonl", ".html")}
    for path in reports.values():
        write_report(str(path), history, now=datetime.now(UTC))
        assert_fit_to_be_shown(path.read_text().replace("\r\n", "\n"))
    for row in csv.DictReader(io.StringIO(reports[".csv"].read_text())):
        for name in ("error_type", "error_code", "error_description", "error_remedy"):
            assert not is_calculated(row[name])
        assert row["id"] in {"one", "two"}


def is_calculated(cell: str) -> bool:
    """Return whether a spreadsheet takes a part of a cell for a formula, whichever separator it splits cells by."""
    parts = cell.replace(";", "\n").replace(",", "\n").replace("\t", "\n").replace("\r", "\n").split("\n")
    return any(part.lstrip(' "').startswith(("=", "+", "-", "@")) for part in parts)


@given(nasty, nasty, nasty)
@example("https://me:hush@old/cb", "deviceAdded", "a")
@example("x\x1b]0;y\x07", "\u202e", "\n")
def test_what_is_listed_is_fit_to_be_shown(url: str, name: str, id_: str) -> None:
    rows = [{"subscriptionId": id_ or "x", "callbackUrl": url, "notifyType": name}, {"subscriptionId": "ok"}]
    packages = [{"fileId": id_ or "x", "name": url, "version": name, "description": url, "model": name}]

    async def main() -> None:
        async with Simulator(calls=None) as platform, session(platform) as north:
            listed = {"subscriptions": rows, "totalCount": 2}
            platform.script(CannedReply(200, json.dumps(listed).encode()), method="GET", path="subscriptions", times=9)
            listed = {"data": packages, "totalCount": 1}
            platform.script(CannedReply(200, json.dumps(listed).encode()), method="GET", path="category", times=9)
            plan = await north.plan(aionorth.SubscriptionSelection(everything=True))
            for item in plan.delete:
                assert_shown_in_one_line(item.in_words())
                assert (item.callback_url or "").isprintable()
                assert (item.notify_type or "").isprintable()
                assert item.id in {id_, "x", "ok"}
            for kept in plan.keep:
                assert_shown_in_one_line(kept.item.in_words())
                assert kept.item.id == id_
            assert_fit_to_be_shown(str(plan))
            assert_fit_to_be_shown(str(plan.batch))
            async for package in north.list_upgrade_packages():
                assert_shown_in_one_line(package.in_words())
                assert all((text or "").isprintable() for text in (package.name, package.version, package.description))
                assert package.file_id == (id_ or "x")
                assert package.fields["name"] == url  # as it came

    run(main())


def assert_shown_in_one_line(text: str) -> None:
    assert text.isprintable()
    assert ":hush@" not in text


def test_reports_are_written_from_old_journals(tmp_path: Path) -> None:
    """An older version wrote texts from the platform to its journal unchanged."""
    target = {"kind": "subscriptions", "url": "http://p", "app_id": "a", "authorized_app_id": None}
    about = {"aionorth": "journal", "version": 1, **target, "selection": "x\x1b[2J", "total": 1, "duplicates": 0}
    error = {"type": "NorthApiError", "status": 400, "code": "7\n8", "description": "=1\nforged\x1b" + "x" * 9999}
    counts = {"calls": 1, "attempts": 1, "refusals": 0, "elapsed": 0.1}
    end = {"end": "one", "at": 2.0, "outcome": "failed", **counts, "error": error}
    written = [about, {"ids": ["one"]}, {"run": 1.0}, {"begin": "one", "at": 1.5}, end]
    path = tmp_path / "old.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in written))
    path.chmod(0o600)
    history = journal.read(path)
    (result,) = history.results()
    assert str(result.error).isprintable()
    assert len(str(result.error)) < 1100
    for suffix in (".csv", ".html", ".jsonl"):
        report = tmp_path / f"report{suffix}"
        write_report(str(report), history, now=datetime.now(UTC))
        assert_fit_to_be_shown(report.read_text().replace("\r\n", "\n"))
