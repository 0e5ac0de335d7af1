"""From the question to the account, on the command line: what is selected, refused, deleted, recorded and reported."""

import csv
import os
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from shell import Shell

from aionorth.cli.commands.simulate import add_packages, add_subscriptions
from aionorth.cli.id_files import parse_ids
from aionorth.cli.kinds import older_than
from aionorth.cli.output.messages import ProblemError
from aionorth.cli.reports.formats import ReportError
from aionorth.cli.runs.confirm import described, sample
from aionorth.items import Kind, Subscription, Target
from aionorth.purge.journal import read
from aionorth.purge.plan import Plan
from aionorth.simulator import CannedReply, Simulator


@pytest.fixture
def there(shell: Shell, platform: Simulator) -> Shell:
    """A shell that points at a platform with three subscriptions of an old host and two of a new one."""
    for host, number in (("old", 3), ("new", 2)):
        platform.add_subscriptions(
            [f"{host}-{at}" for at in range(number)],
            callback_url=f"https://{host}.example.com:443/cb",
            notify_type="deviceAdded" if host == "old" else "ruleEvent",
        )
    shell.point_at(platform)
    return shell


OLD = ("delete", "subscriptions", "--callback-host", "old.example.com")


def called(platform: Simulator, method: str = "DELETE") -> list[str]:
    return [arrival.path for arrival in platform.arrivals if arrival.method == method]


def journal_in(err: str) -> str:
    return next(line.partition("recorded in ")[2] for line in err.splitlines() if "recorded in" in line)


def test_what_still_calls_the_old_host_is_found_and_deleted(there: Shell, platform: Simulator) -> None:
    run = there(*OLD, "--yes", "--json")
    assert run.code == 0
    assert (run.json["kind"], run.json["deleted"], run.json["total"]) == ("subscriptions", 3, 3)
    assert platform.subscription_ids() == {"new-0", "new-1"}
    journal = run.json["journal"]
    assert f"this run is recorded in {journal}" in run.err
    assert Path(journal).parent.stat().st_mode & 0o077 == 0
    assert {id_: entry.final_outcome().value for id_, entry in read(journal).entries.items()} == dict.fromkeys(
        ("old-0", "old-1", "old-2"), "deleted"
    )


def test_a_dry_run_shows_the_plan_and_deletes_nothing(there: Shell, platform: Simulator) -> None:
    run = there(*OLD, "--dry-run", "--exclude", "old-1")
    assert run.code == 0
    assert "a dry run: nothing was deleted" in run.err
    assert run.out.splitlines()[:7] == [
        f"2 of 5 subscriptions of demo-app at {platform.url}",
        "  selected: callback host old.example.com, but for 1 excluded",
        "  2 to delete: 2 calls, about 0.0 s",
        "  2 to stay: another callback host",
        "  1 to stay: excluded",
        "Those that go:",
        "  old-0  deviceAdded  https://old.example.com:443/cb",
    ]
    whole = there(*OLD, "--dry-run", "--json").json
    assert [one["subscription_id"] for one in whole["delete"]] == ["old-0", "old-1", "old-2"]
    assert {one["reason"] for one in whole["keep"]} == {"another callback host"}
    assert whole["batch"] == {"notify_type": "deviceAdded", "callback_url": "https://old.example.com:443/cb"}
    assert not called(platform)


def test_a_selection_is_not_deleted_unasked(there: Shell, platform: Simulator) -> None:
    run = there(*OLD)
    assert run.code == 2
    assert "3 subscriptions are selected, and there is no terminal to ask on" in run.err
    assert "--yes" in run.err
    assert not called(platform)


def test_a_larger_plan_than_allowed_is_refused_before_the_first_deletion(there: Shell, platform: Simulator) -> None:
    run = there(*OLD, "--yes", "--max-delete", "2")
    assert run.code == 2
    assert "3 subscriptions are selected, and --max-delete is 2: nothing was deleted; look at them with --d" in run.err
    assert not called(platform)
    assert there(*OLD, "--yes", "--max-delete", "3").code == 0


def test_a_dry_run_says_what_would_be_refused(there: Shell, platform: Simulator) -> None:
    run = there(*OLD, "--dry-run", "--max-delete", "2")
    assert run.code == 2
    assert "3 to delete" in run.out
    assert "--max-delete is 2: nothing was deleted; select fewer, or raise --max-delete\n" in run.err
    assert there(*OLD, "--dry-run", "--batch", "--exclude", "old-0").code == 2
    assert not called(platform)


def test_an_option_given_twice_is_refused(there: Shell, platform: Simulator) -> None:
    run = there(*OLD, "--callback-host", "new.example.com", "--yes")
    assert run.code == 2
    assert "--callback-host is given twice" in run.err
    assert not platform.arrivals
    assert there(*OLD, "--exclude", "old-0", "--exclude", "old-1", "--dry-run").code == 0


@pytest.mark.parametrize("verb", ["delete", "list"])
def test_a_notify_type_that_may_be_misspelt_is_refused_unless_it_is_meant(
    there: Shell, platform: Simulator, verb: str
) -> None:
    words = (verb, "subscriptions", "--notify-type", "deviceadded")
    run = there(*words)
    assert run.code == 2
    assert "did you mean deviceAdded? If the platform has it all the same, add --notify-type-unchecked" in run.err
    assert "they have deviceAdded, bindDevice," in there(verb, "subscriptions", "--notify-type", "xyz").err
    assert not platform.arrivals
    assert there(*words, "--notify-type-unchecked").code == 0
    assert platform.arrivals


@pytest.mark.parametrize(
    ("row", "said"),
    [("a,b", "--csv-column"), ("a;b", "--csv-column"), ("a\tb", "--csv-column"), ("# ids", "looks like a comment")],
)
def test_what_looks_like_no_list_of_ids_is_refused(there: Shell, platform: Simulator, row: str, said: str) -> None:
    run = there("delete", "subscriptions", "--ids-file", there.file(f"old-0\n{row}\n"))
    assert run.code == 2
    assert "line 2" in run.err
    assert said in run.err
    assert not platform.arrivals


def test_a_report_never_replaces_what_it_is_made_from(there: Shell, platform: Simulator, tmp_path: Path) -> None:
    journal = tmp_path / "purge.jsonl"
    link = tmp_path / "link.jsonl"
    ids = Path(there.file("old-0\n")).rename(tmp_path / "ids.csv")
    for words in (
        (*OLD, "--yes", "--journal", str(journal), "--report", str(journal)),
        ("delete", "subscriptions", "--ids-file", str(ids), "--report", str(ids)),
    ):
        run = there(*words)
        assert run.code == 2
        assert "would replace" in run.err
    assert not platform.arrivals
    assert there(*OLD, "--yes", "--journal", str(journal)).code == 0
    link.symlink_to(journal)
    before = journal.read_bytes()
    assert there("resume", str(journal), "--report", str(link)).code == 2
    assert journal.read_bytes() == before


def test_words_of_others_cannot_play_with_the_terminal(shell: Shell, platform: Simulator) -> None:
    platform.add_subscriptions(["a"], callback_url="https://old.example.com/\x1b]0;evil\x07\nand 0 more")
    shell.point_at(platform)
    out = shell("delete", "subscriptions", "--all", "--dry-run").out
    assert "\x1b" not in out
    assert "\nand 0 more" not in out


def test_a_run_that_sent_nothing_leaves_no_journal(there: Shell, platform: Simulator, tmp_path: Path) -> None:
    there.export(SECRET="wrong-one")
    journal = tmp_path / "purge.jsonl"
    run = there("delete", "subscriptions", "--ids-file", there.file("a"), "--journal", str(journal))
    assert run.code == 3
    assert "to go on" not in run.err
    assert not journal.exists()
    assert "nothing was sent to delete anything: no journal is kept" in run.err
    assert not called(platform)


def test_how_to_go_on_names_the_options_again(there: Shell, platform: Simulator, tmp_path: Path) -> None:
    journal = str(tmp_path / "purge.jsonl")
    platform.script(CannedReply(400, b'{"error_code":"120015","error_desc":"bad"}'), method="DELETE", path="old-1")
    report = str(tmp_path / "r.html")
    options = ("--url", platform.url, "--no-trust-env", "--period", "30", "--report", report)
    run = there(*OLD, "--yes", "--journal", journal, *options)
    assert f"to go on: aionorth resume {shlex.join([journal, *options])}\n" in run.err


def test_without_a_file_the_runs_to_go_on_with_are_listed(there: Shell, platform: Simulator) -> None:
    none = there("resume")
    platform.script(CannedReply(400, b'{"error_code":"120015","error_desc":"bad"}'), method="DELETE", path="old-1")
    run = there(*OLD, "--yes")
    listed = there("resume")
    assert (none.code, listed.code) == (0, 0)
    assert f"2 of 3 gone  subscriptions of demo-app at {platform.url}\n  {journal_in(run.err)}" in listed.out
    assert there("resume", journal_in(run.err)).code == 0
    assert journal_in(run.err) not in there("resume").out


VERSION_1 = (
    b'{"aionorth":"journal","version":1,"kind":"packages","url":"http://h","app_id":"a","authorized_app_id":null,'
    b'"total":1,"duplicates":0}\n{"ids":["a"]}\n{"run":%b}\n'
)


def instead(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        path.unlink()
        make(path)

    return harm


def flipped(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"old-1"', b'"old-3"', 1))


DAMAGE = [
    (b"", "is not a journal of aionorth: it is empty"),
    (b"[" * 100_000, "is not a journal"),
    (b'{"aionorth":"journal","ver', "breaks off before its first call"),
    *(
        pytest.param(VERSION_1 % time, "is damaged: line 3", marks=() if time == b"1e18" else pytest.mark.slow)
        for time in (b"1e18", b"NaN", b"-1", b"253402300800", b'"noon"', b"[1]")
    ),
    (flipped, "is damaged: line 2"),
    (lambda path: path.chmod(0o666), "other users can write to it: chmod go-w"),
    (instead(lambda path: path.symlink_to("none")), "cannot be read (No such file or directory)"),
    (instead(Path.mkdir), "cannot be read (Is a directory)"),
    (instead(os.mkfifo), "is not a regular file"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGE)
def test_a_journal_that_cannot_be_gone_on_with_hides_no_other(
    there: Shell, platform: Simulator, damage: bytes | Callable[[Path], None], said: str
) -> None:
    platform.script(CannedReply(400, b'{"error_code":"120015","error_desc":"bad"}'), method="DELETE", path="old-1")
    journal = journal_in(there(*OLD, "--yes").err)
    damaged = Path(journal).with_name("20200101T000000.000000Z-copy.jsonl")
    damaged.write_bytes(Path(journal).read_bytes() if callable(damage) else damage)
    damaged.chmod(0o600)
    if callable(damage):
        damage(damaged)
    listed = there("resume")
    assert listed.code == 0
    assert f"  {journal}\n" in listed.out
    assert f"aionorth: left out: {damaged} " in listed.err
    assert said in listed.err
    before = len(called(platform))
    for words in (("resume", str(damaged)), ("resume", str(damaged), "--report", str(damaged.with_name("a.html")))):
        run = there(*words)
        assert run.code == 2
        assert said in run.err
    again = there(*OLD, "--yes", "--journal", str(damaged))
    assert again.code == 2
    assert f"{damaged} exists already: name another file for the journal (" in again.err
    assert "resume it by" not in again.err
    assert len(called(platform)) == before


def test_journals_that_nobody_names_are_kept_where_only_the_user_can_write(there: Shell, platform: Simulator) -> None:
    directory = Path(os.environ["XDG_STATE_HOME"], "aionorth", "journals")
    directory.mkdir(parents=True)
    for said in ("other users can write to it: chmod go-w", "File exists"):
        if said == "File exists":
            directory.rmdir()
            directory.touch()
        else:
            directory.chmod(0o1777)
        run = there(*OLD, "--yes")
        assert run.code == 2
        assert f"{directory} cannot be used ({said}" in run.err
        assert "name a file with --journal" in run.err
        assert not platform.arrivals
        assert there("resume").code == 0
    assert there(*OLD, "--dry-run").code == 0


@pytest.mark.parametrize("option", ["--journal", "--report"])
@pytest.mark.parametrize("name", ["x" * 300, "no/such/x", "x" * 5_000])
def test_a_file_that_cannot_be_is_said_in_its_own_words(
    there: Shell, platform: Simulator, tmp_path: Path, option: str, name: str
) -> None:
    run = there(*OLD, "--yes", option, f"{tmp_path}/{name}.html")
    assert run.code == 2
    reason = "No such file or directory" if "/" in name else "File name too long"
    assert f"({reason}): name a" in run.err
    assert name in run.err
    assert "standard output" not in run.err
    assert not platform.arrivals


def test_nothing_is_written_through_a_planted_link(there: Shell, platform: Simulator, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    open_to_all = tmp_path / "tmp"
    open_to_all.mkdir()
    (open_to_all / "link.csv").symlink_to(precious)
    (open_to_all / "dangling.csv").symlink_to(tmp_path / "new")
    open_to_all.chmod(0o1777)
    for option in ("--journal", "--report"):
        for name in ("link.csv", "dangling.csv"):
            run = there(*OLD, "--yes", option, str(open_to_all / name))
            assert run.code == 2
            assert f"{name} is a link that another user may have put there" in run.err
    assert not platform.arrivals
    assert precious.read_text() == "precious"
    assert not (tmp_path / "new").exists()


def test_one_call_does_where_it_takes_exactly_the_selection(there: Shell, platform: Simulator) -> None:
    refused = there(*OLD, "--batch", "--yes", "--exclude", "old-0")
    assert refused.code == 2
    assert "no single call takes exactly what is selected" in refused.err
    assert not called(platform)
    offered = there(*OLD, "--dry-run").out
    assert "One call would do: --batch deletes by notify type deviceAdded and callback URL https://old" in offered
    assert "also take what was created since" in offered
    run = there(*OLD, "--batch", "--yes", "--json")
    assert (run.json["deleted"], run.json["calls"]) == (3, 1)
    assert len(called(platform)) == 1


@pytest.mark.parametrize("left", [0, 1])
def test_a_batch_call_that_has_less_than_two_to_delete_is_no_fault(
    there: Shell, platform: Simulator, left: int
) -> None:
    there(*OLD, "--batch", "--yes")
    platform.add_subscriptions(left, callback_url="https://old.example.com:443/cb")
    run = there(*OLD, "--batch", "--yes", "--json")
    assert (run.code, run.json["deleted"]) == (0, left)


def test_the_exit_code_counts_a_report_that_could_not_be_written(
    there: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(path: str, *_: object, **__: object) -> None:
        raise ReportError(f"the report {path} cannot be written")

    monkeypatch.setattr("aionorth.cli.runs.ending.write_report", fail)
    log = tmp_path / "run.log"
    run = there(*OLD, "--yes", "--json", "--report", str(tmp_path / "r.html"), "--log-file", str(log))
    assert (run.code, run.json["exit_code"], run.json["deleted"]) == (1, 1, 3)
    assert "ended with exit code 1" in log.read_text()
    assert f"another can be had by: aionorth report {run.json['journal']} --html FILE" in run.err


def test_nothing_selected_is_said(there: Shell, platform: Simulator) -> None:
    run = there("delete", "subscriptions", "--callback-host", "no.example.com", "--yes")
    assert run.code == 0
    assert "there is nothing to delete" in run.err
    assert "5 to stay: another callback host" in run.err
    assert not called(platform)


@pytest.mark.parametrize("words", [("--all",), ("--all", "--exclude", "new-0")])
def test_everything_has_to_be_asked_for(there: Shell, platform: Simulator, words: tuple[str, ...]) -> None:
    for bare in (("delete", "subscriptions", "--yes"), ("delete", "subscriptions", "--exclude", "x", "--yes")):
        refused = there(*bare)
        assert refused.code == 2
        assert "would select everything: give one, or --all" in refused.err
    contradicting = there("delete", "subscriptions", "--all", "--notify-type", "ruleEvent", "--yes")
    assert contradicting.code == 2
    assert "leave --all out" in contradicting.err
    assert not platform.arrivals
    assert there("delete", "subscriptions", *words, "--yes").code == 0
    assert platform.subscription_ids() == ({"new-0"} if len(words) > 1 else set())


def test_ids_come_from_a_column_of_a_csv_file(there: Shell) -> None:
    file = there.file('\ufeff"id , x", sub_id ,n\n1,"old-0",a\n2, old-1 ,"b\nc"\n3,,d\n4\n')
    run = there("delete", "subscriptions", "--ids-file", file, "--csv-column", "sub_id", "--json")
    assert (run.code, run.json["deleted"], run.json["total"]) == (0, 2, 2)
    missing = there("delete", "subscriptions", "--ids-file", file, "--csv-column", "id")
    assert missing.code == 2
    assert "no column 'id' in its first line, which reads: id , x, sub_id, n" in missing.err
    lonely = there("delete", "subscriptions", "--all", "--csv-column", "id")
    assert "--csv-column is of no use without --ids-file" in lonely.err


def test_a_csv_file_that_is_none_is_named() -> None:
    with pytest.raises(ProblemError, match="is no CSV file"):
        parse_ids(b'id\n"open', "file_id", "ids.csv", "id")
    with pytest.raises(ProblemError, match="several columns 'id'"):
        parse_ids(b"id,id\na,b\n", "file_id", "ids.csv", "id")
    with pytest.raises(ProblemError, match=r"ids\.csv, line 3: .* a path segment that is empty, '[.]' or '[.][.]'"):
        parse_ids(b"n,id\n1,a\n2,..\n", "file_id", "ids.csv", "id")


def test_ids_from_a_file_are_kept_to_the_other_conditions(there: Shell, platform: Simulator) -> None:
    ids, keep = there.file("old-0\nnew-0\nnever-was\n"), Path(there.file("")).with_name("keep.txt")
    keep.write_text("old-2\n")
    file = Path(there.file("old-0\nold-2\nnew-0\nnever-was\n"))
    run = there(*OLD, "--ids-file", str(file), "--exclude-file", str(keep), "--dry-run")
    assert ids == str(file)
    assert "  1 to delete" in run.out
    assert "  1 named, but not among what the platform listed" in run.out
    assert not called(platform)


def test_old_firmware_but_the_newest_goes(shell: Shell, platform: Simulator) -> None:
    now = datetime.now(UTC)
    for name, days in (("a", 400), ("b", 300), ("c", 200), ("d", 10)):
        platform.add_packages([name], uploaded=now - timedelta(days=days), model="WM-1")
    platform.add_packages(["other"], uploaded=now - timedelta(days=500), model="WM-2")
    shell.point_at(platform)
    words = ("--model", "WM-1", "--older-than", "90d", "--keep-latest", "2", "--yes")
    run = shell("delete", "packages", *words, "--json")
    assert (run.code, run.json["deleted"]) == (0, 2)
    assert platform.package_ids() == {"c", "d", "other"}
    assert any("model=WM-1" in path for path in called(platform, "GET"))


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90d", timedelta(days=90)),
        ("12h", timedelta(hours=12)),
        (" 2W ", timedelta(14)),
    ],
)
def test_ages_have_a_unit(text: str, age: timedelta) -> None:
    assert older_than(text) == age


@pytest.mark.parametrize("text", ["90", "3m", "d", "0d", "-1d", "1.5d", "1y", "9" * 9 + "d", ""])
def test_an_age_that_cannot_be_read_is_refused(there: Shell, platform: Simulator, text: str) -> None:
    run = there("delete", "packages", f"--older-than={text}", "--yes")
    assert run.code == 2
    assert "give a number above 0 and h, d or w" in run.err
    assert not platform.arrivals


def test_a_run_is_taken_up_again_from_its_journal(there: Shell, platform: Simulator, tmp_path: Path) -> None:
    journal = str(tmp_path / "purge.jsonl")
    platform.script(CannedReply(400, b'{"error_code":"120015","error_desc":"bad"}'), method="DELETE", path="old-1")
    first = there(*OLD, "--yes", "--journal", journal)
    assert first.code == 1
    assert f"to go on: aionorth resume {shlex.quote(journal)}" in first.err
    again = there(*OLD, "--yes", "--journal", journal)
    assert again.code == 2
    assert f"resume it by 'aionorth resume {shlex.quote(journal)}'" in again.err
    there.export(URL="http://127.0.0.1:1")
    elsewhere = there(*OLD, "--yes", "--journal", journal)
    assert f"resume it by 'aionorth resume {shlex.quote(journal)} --url {platform.url}'" in elsewhere.err
    there.point_at(platform)
    before = len(called(platform))
    second = there("resume", journal, "--json")
    assert (second.code, second.json["deleted"], second.json["total"]) == (0, 3, 3)
    assert len(called(platform)) == before + 1
    assert "2 of 3 are known to be gone already" in second.err
    third = there("resume", journal)
    assert third.code == 0
    assert len(called(platform)) == before + 1


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), (b"hello", "is not a journal"), (b"", "is not a journal")]
)
def test_what_cannot_be_resumed_is_said(there: Shell, platform: Simulator, content: bytes | None, words: str) -> None:
    file = there.file(content or b"")
    if content is None:
        Path(file).unlink()
    run = there("resume", file)
    assert run.code == 2
    assert words in run.err
    assert not platform.arrivals


def test_a_journal_of_another_app_is_refused(there: Shell, tmp_path: Path) -> None:
    journal = str(tmp_path / "purge.jsonl")
    assert there(*OLD, "--yes", "--journal", journal).code == 0
    there.export(APP_ID="another")
    run = there("resume", journal)
    assert run.code == 2
    assert "is for the app 'demo-app', and AIONORTH_APP_ID is 'another'" in run.err


def test_a_report_has_every_id(there: Shell, tmp_path: Path) -> None:
    paths = {suffix: tmp_path / f"report.{suffix}" for suffix in ("csv", "jsonl", "html")}
    journal = str(tmp_path / "purge.jsonl")
    run = there(*OLD, "--yes", "--journal", journal, "--report", str(paths["csv"]))
    assert f"the report is in {paths['csv']}" in run.err
    with paths["csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["outcome"]) for row in rows] == [(f"old-{at}", "deleted") for at in range(3)]
    for suffix in ("jsonl", "html"):  # of a finished run too, without a call
        assert there("resume", journal, "--report", str(paths[suffix])).code == 0
    assert len(paths["jsonl"].read_text().splitlines()) == 3
    assert "demo-app" in paths["html"].read_text()


@pytest.mark.parametrize("name", ["report.pdf", "report", "no/such/report.csv", "."])
def test_a_report_that_cannot_be_written_is_refused_first(there: Shell, platform: Simulator, name: str) -> None:
    run = there(*OLD, "--yes", "--report", name)
    assert run.code == 2
    assert "report" in run.err or name in run.err
    assert not platform.arrivals


def test_both_lists_cannot_come_from_standard_input(there: Shell) -> None:
    run = there("delete", "packages", "--ids-file", "-", "--exclude-file", "-")
    assert run.code == 2
    assert "cannot both read standard input" in run.err


def test_the_sample_is_short() -> None:
    items = tuple(Subscription(subscription_id=f"s{at}") for at in range(1_005))
    plan = Plan(target=Target(kind=Kind.SUBSCRIPTIONS, url="http://h", app_id="a"), delete=items)
    lines = sample(plan).splitlines()
    assert len(lines) == 6
    assert lines[-1] == "  and 1,000 more; --dry-run --json names them all"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_sample_says_what_each_id_is_in_any_width(width: int) -> None:
    id_ = "98082cf3-03a7-49aa-ac14-af79c4a0c1cd"
    items = [
        Subscription(subscription_id=id_, notify_type="ruleEvent", callback_url="https://x.example.com/" + "y" * 99)
    ]
    items += [Subscription(subscription_id=id_)]
    plan = Plan(target=Target(kind=Kind.SUBSCRIPTIONS, url="http://h", app_id="a"), delete=tuple(items * 5))
    lines = described(plan, width, whole="--json").splitlines()
    assert max(map(len, lines)) <= width
    assert sum("ruleEvent  https://" in line for line in lines) == 3
    assert "  and 5 more; --json names them all" in lines


async def test_the_simulated_platform_has_something_to_choose_from() -> None:
    async with Simulator() as platform:
        now = datetime(2026, 11, 22, tzinfo=UTC)
        assert len(set(add_subscriptions(platform, 100))) == 100
        assert len(set(add_packages(platform, 100, now))) == 100
        assert add_subscriptions(platform, 0) == add_packages(platform, 0, now) == []
        held = platform._platform.app(None).records
        hosts = [one["callbackUrl"].split("/")[2].split(".")[0] for one in held["subscriptions"].values()]
        assert 30 <= hosts.count("old") <= 36
        assert len({one["model"] for one in held["packages"].values()}) == 4
        times = sorted(one["uploadTime"] for one in held["packages"].values())
        assert times[0] < "20250101"
        assert times[-1] > "20261101"
