"""More of one notify type than the platform lists: deleted by one call, without a list."""

import io
from pathlib import Path
from typing import Any

import pytest
from shell import Shell

from aionorth.cli.runs import unlisted
from aionorth.simulator import CannedReply, Reset, Simulator

OLD, NEW = "https://old.example.com:443/cb?x=1", "https://someone:hush@new.example.com:443/cb"
REFUSED = CannedReply(403, b'{"error_code": "100217"}')
MANY = ("delete", "subscriptions", "--notify-type", "deviceAdded")


@pytest.fixture
def there(shell: Shell, platform: Simulator) -> Shell:
    """A shell that points at a platform with more subscriptions of a type than it lists, and one of another type."""
    platform.add_subscriptions(1_001, notify_type="deviceAdded", callback_url=OLD)
    platform.add_subscriptions(["new"], notify_type="deviceAdded", callback_url=NEW)
    platform.add_subscriptions(["other"], notify_type="ruleEvent", callback_url=OLD)
    shell.point_at(platform)
    return shell


def deletions(platform: Simulator) -> list[str]:
    return [arrival.path for arrival in platform.arrivals if arrival.method == "DELETE"]


def test_where_there_is_no_list_the_one_call_is_offered(there: Shell, platform: Simulator) -> None:
    run = there(*MANY, "--yes")
    assert (run.code, run.out) == (1, "")
    assert "more than 1,000 subscriptions of the notify type 'deviceAdded'" in run.err
    assert run.err.endswith("--batch deletes all with notify type deviceAdded by one call, without a list\n")
    assert "--batch" not in there("delete", "subscriptions", "--callback-host", "old.*", "--yes").err
    assert not deletions(platform)


def test_all_of_a_type_go_by_one_call_and_what_is_left_is_said(there: Shell, platform: Simulator) -> None:
    run = there(*MANY, "--batch", "--yes")
    assert run.code == 0
    assert run.out == "the platform confirmed that it deleted all that matched\nnone is there now\n"
    assert platform.subscription_ids() == {"other"}
    assert len(deletions(platform)) == 1
    assert not list(Path(there.file("")).parent.glob("state/**/*.jsonl"))


def test_only_what_has_the_callback_url_goes_too(there: Shell, platform: Simulator) -> None:
    run = there(*MANY, "--callback-url", OLD, "--batch", "--yes", "--json")
    assert (run.code, run.json["outcome"], run.json["attempts"], run.json["left"]) == (0, "deleted", 1, 0)
    assert run.json["batch"] == {"notify_type": "deviceAdded", "callback_url": OLD}
    assert platform.subscription_ids() == {"new", "other"}


def test_a_callback_url_alone_will_do(there: Shell, platform: Simulator) -> None:
    run = there("delete", "subscriptions", "--callback-url", NEW, "--batch", "--yes")
    assert run.code == 0
    assert "how many are there now is not known: with other callback URLs there are too many" in run.out
    assert "hush" not in run.out + run.err
    assert len(platform.subscription_ids()) == 1_002


def test_a_dry_run_says_one_call_and_how_little_is_known(there: Shell, platform: Simulator) -> None:
    run = there(*MANY, "--batch", "--dry-run")
    assert run.code == 0
    assert run.out.splitlines() == [
        f"All subscriptions of demo-app at {platform.url} with notify type deviceAdded: 1 call",
        "  more than 1,000 subscriptions of the notify type 'deviceAdded'; the platform does not say how many",
        "  Nobody knows their ids: there is no plan, no journal and no report of them.",
    ]
    run = there(*MANY, "--batch", "--dry-run", "--json", "--detailed-exitcode")
    assert (run.code, run.json["calls"], run.json["delete"]) == (4, 1, None)
    assert not deletions(platform)


@pytest.mark.parametrize(
    "more",
    [
        ["--callback-host", "new.example.com"],
        ["--callback-url", "https://new.*"],
        ["--exclude", "new"],
        ["--ids-file", "-"],
    ],
)
def test_a_condition_that_the_call_does_not_filter_by_is_refused(
    there: Shell, platform: Simulator, more: list[str]
) -> None:
    there.stdin(b"new\n")
    run = there(*MANY, *more, "--batch", "--yes")
    assert run.code == 2
    assert "its batch call filters by the notify type and the whole callback URL only" in run.err
    assert "nothing was deleted" in run.err
    assert not deletions(platform)


def test_everything_is_no_filter(there: Shell, platform: Simulator) -> None:
    assert there("delete", "subscriptions", "--all", "--batch", "--yes").code == 2
    assert not deletions(platform)


@pytest.mark.parametrize("option", ["--max-delete", "--journal", "--report", "--out"])
def test_what_needs_ids_or_their_number_is_refused(
    there: Shell, platform: Simulator, tmp_path: Path, option: str
) -> None:
    value = "5000" if option == "--max-delete" else str(tmp_path / "file.csv")
    run = there(*MANY, "--batch", option, value)
    assert run.code == 2
    assert f"{option} is of no use without ids and their number" in run.err
    assert not deletions(platform)


@pytest.mark.parametrize(("answer", "code"), [("deviceAdded\n", 0), ("1002\n", 1), ("yes\n", 1), ("", 1)])
def test_it_is_confirmed_by_typing_the_type(
    there: Shell, platform: Simulator, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    said: list[str] = []

    def asked(what: str, how: str, word: str) -> str:
        said.extend([what, how, word])
        return io.StringIO(answer).readline().strip()

    monkeypatch.setattr(unlisted, "can_ask", lambda: True)
    monkeypatch.setattr(unlisted, "asked", asked)
    run = there(*MANY, "--batch")
    assert run.code == code
    assert said[1:] == ["They will all be deleted by one call.", "deviceAdded"]
    assert len(deletions(platform)) == (not code)


def test_without_a_terminal_it_takes_yes(there: Shell, platform: Simulator) -> None:
    run = there(*MANY, "--batch")
    assert run.code == 2
    assert "there is no terminal to ask on: nothing was deleted" in run.err
    assert not deletions(platform)


@pytest.mark.parametrize(
    ("faults", "outcome", "left", "code"),
    [
        ([Reset(after_effect=True)], "gone", 0, 0),
        ([Reset(after_effect=True), REFUSED], "unknown", 0, 0),
        ([Reset(), REFUSED], "unknown", 1_000, 1),
    ],
)
def test_a_lost_reply_is_told_truthfully(
    there: Shell, platform: Simulator, faults: list[Any], outcome: str, left: int, code: int
) -> None:
    for fault in faults:
        platform.script(fault, method="DELETE")
    run = there(*MANY, "--batch", "--yes", "--json")
    assert (run.json["outcome"], run.json["left"], run.json["exit_code"]) == (outcome, left, code)
    assert "authorized_app_id" not in run.json["error"]["message"]
    assert run.code == code


def test_a_refusal_is_reported_as_ever(there: Shell, platform: Simulator) -> None:
    platform.script(REFUSED, method="DELETE")
    run = there(*MANY, "--batch", "--yes")
    assert (run.code, run.out) == (1, "")
    assert "code 100217" in run.err


def test_what_cannot_be_listed_again_is_not_known(
    there: Shell, platform: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = unlisted._made

    async def broken(*what: Any) -> Any:
        result = await made(*what)
        platform.script(CannedReply(400, b'{"error_code": "50400"}'), method="GET")
        return result

    monkeypatch.setattr(unlisted, "_made", broken)
    run = there(*MANY, "--batch", "--yes")
    assert run.code == 0
    assert "deleted all that matched\nhow many are there now is not known: HTTP 400" in run.out
