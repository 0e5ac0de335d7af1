"""Ids from files: what is taken for a header, for JSON, for a row, for no id, and how a CSV file is read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import Shell

from aionorth.cli.id_files import parse_ids
from aionorth.cli.output.messages import ProblemError
from aionorth.simulator import CannedReply, Simulator

UUIDS = ("3f1c1b06-6a2e-4d0e-9a37-0f2f6f7d7c11", "9f982188-3744-4a64-8c24-9558f2ad985f")
BAD = CannedReply(400, b'{"error_code":"120015","error_desc":"bad"}')


def parsed(text: str, column: str | None = None, delimiter: str | None = None) -> list[str]:
    return parse_ids(text.encode(), "subscription_id", "f", column, delimiter=delimiter)


def refusal(text: str, column: str | None = None, delimiter: str | None = None) -> str:
    with pytest.raises(ProblemError) as problem:
        parsed(text, column, delimiter)
    return str(problem.value)


# --- Headers

HEADERS = ["id", "ID", "ids", "subscription_id", "subscriptionId", "fileId", "fileID", "device id", "UUID", "sub.id"]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("ids", [(), ("a",), ("old-host", "new-host"), UUIDS])
def test_a_first_line_called_like_an_id_is_a_header(header: str, ids: tuple[str, ...]) -> None:
    said = refusal("\n".join(["", header, *ids]))
    assert said.startswith(f"f, line 2: {header!r} looks like a header: give --csv-column ")
    assert said.endswith("\nnothing was sent")


@pytest.mark.parametrize("header", ["Subscription", "subscriptionid", "What still calls the old host"])
def test_a_first_line_that_is_unlike_all_others_is_a_header(header: str) -> None:
    assert f"f, line 1: {header!r} looks like a header" in refusal("\n".join([header, *UUIDS]))


@pytest.mark.parametrize(
    "ids",
    [
        ["a", "b", "c"],
        ["alpha"],
        ["alpha", "b1"],
        ["alpha", "b1", "b22"],
        ["alpha", "beta-1", "gamma-2"],
        ["default", "rule-one", "rule-2"],
        ["deadbeef", "5fa1c2d3", "0a1b2c3d"],
        ["device-id", "order-id", "x-1"],
        ["madrid", "paris"],
        ["5fa1c2-id", "a"],
        ["1", "22", "333"],
        list(UUIDS),
        [UUIDS[0], "id", "subscription_id"],
    ],
)
def test_a_list_that_is_all_ids_is_no_header(ids: list[str]) -> None:
    assert parsed("\n".join(ids)) == ids


@given(st.lists(st.uuids().map(str), max_size=20) | st.lists(st.binary(min_size=12, max_size=12).map(bytes.hex)))
def test_no_list_of_ids_that_a_platform_makes_has_a_header(ids: list[str]) -> None:
    assert parsed("\n".join(ids)) == ids


@pytest.mark.parametrize("first", ["id", "file_id", "default"])
def test_an_id_that_looks_like_a_header_passes_under_a_header(first: str) -> None:
    ids = [first, *UUIDS]
    assert "if it is an id, put a line 'id' above it and --csv-column id" in refusal("\n".join(ids))
    assert parsed("\n".join(["id", *ids]), "id") == ids


def test_a_header_that_can_be_no_id_is_not_offered_as_one() -> None:
    said = refusal("\n".join(["file id", *UUIDS]))
    assert said == "f, line 1: 'file id' looks like a header: give --csv-column 'file id'\nnothing was sent"


def test_the_column_that_a_refusal_names_reads_the_file(shell: Shell, platform: Simulator) -> None:
    ids = platform.add_subscriptions(2)
    shell.point_at(platform)
    words = ("delete", "subscriptions", "--ids-file", shell.file("\n".join(["subscription id", *ids])))
    refused = shell(*words)
    assert refused.code == 2
    assert "ids.txt, line 1: 'subscription id' looks like a header: give --csv-column 'subscription id'" in refused.err
    assert not platform.arrivals
    assert shell(*words, "--csv-column", "subscription id").code == 0


def test_a_header_among_what_is_to_stay_is_refused_too(ready: Shell) -> None:
    run = ready("delete", "packages", "--all", "--exclude-file", ready.file("fileId\n5fa1c2\n"))
    assert (run.code, run.out) == (2, "")
    assert (
        "line 1: 'fileId' looks like a header: take the line away; if it is an id, give that with --exclude" in run.err
    )
    run = ready("delete", "packages", "--all", "--exclude-file", ready.file("5fa1c2,a\n"))
    assert "looks like a row of a CSV file: give one id per line, as --csv-column is for --ids-file" in run.err


def test_a_header_alone_can_be_taken_for_an_empty_file(ready: Shell) -> None:
    words = ("delete", "packages", "--ids-file", ready.file("fileId\n"))
    assert "give --csv-column fileId and --allow-empty if it is no error that there are no ids" in ready(*words).err
    assert ready(*words, "--csv-column", "fileId", "--allow-empty").code == 0


# --- Several ids, prose, markup, tables

NO_ID = [
    " ".join(UUIDS),
    "ERROR: could not connect to database db1",
    "<html><body>error</body></html>",
    "<html>",
    "| id |",
    f" {UUIDS[0]} | old.example.com",
    f"{UUIDS[0]}|old.example.com",
    "(3 rows)",
    "Total: 3",
    "3 rows",
]


@pytest.mark.parametrize("entry", NO_ID)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_that_is_not_one_id_is_refused(entry: str, place: int) -> None:
    lines = list(UUIDS)
    lines.insert(place, entry)
    said = refusal("\n".join(lines))
    assert said.startswith(f"f, line {place + 1}: '{entry.strip()[:49]}")
    assert said.endswith(" in it: give one id per line and nothing else\nnothing was sent")


@pytest.mark.parametrize("entry", [*NO_ID, f"{UUIDS[0]},{UUIDS[1]}"])
def test_a_cell_of_a_column_that_is_not_one_id_is_refused(entry: str) -> None:
    said = refusal(f'n,id\n1,{UUIDS[0]}\n2,"{entry}"\n', "id")
    assert re.fullmatch(r"f, line 3: '.*' has .* in it: give one id per row and nothing else\nnothing was sent", said)


def test_what_is_in_the_line_is_named() -> None:
    assert f"'{UUIDS[0]} {UUIDS[1][:12]}…' has a blank in it" in refusal(" ".join(UUIDS))
    assert "'<html>' has '<' in it" in refusal("<html>")


@pytest.mark.parametrize("entry", [" ".join(UUIDS), "<html>", "a|b"])
def test_what_is_to_stay_is_one_id_each_too(ready: Shell, entry: str) -> None:
    run = ready("delete", "packages", "--all", "--exclude-file", ready.file(entry))
    assert (run.code, run.out) == (2, "")
    assert "in it: give one id per line and nothing else\nnothing was sent" in run.err
    run = ready("delete", "packages", "--all", "--exclude", "5fa1c2", "--exclude", entry)
    assert (run.code, run.out) == (2, "")
    assert "in it: give one id per --exclude and nothing else\n" in run.err


def test_ids_with_a_comma_between_them_are_not_one_to_exclude(ready: Shell) -> None:
    run = ready("delete", "packages", "--all", "--exclude", "5fa1c2,5fa1c3")
    assert run.code == 2
    assert "--exclude: '5fa1c2,5fa1c3' has ',' in it: give one id per --exclude" in run.err


def test_nothing_is_sent_for_a_file_with_two_ids_in_a_line(shell: Shell, platform: Simulator) -> None:
    ids = platform.add_subscriptions(3)
    shell.point_at(platform)
    run = shell("delete", "subscriptions", "--ids-file", shell.file(f"{ids[0]}\n{ids[1]} {ids[2]}\n"), "--yes")
    assert (run.code, run.out) == (2, "")
    assert f"ids.txt, line 2: '{ids[1]} " in run.err
    assert not platform.arrivals


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("column", [None, "id"])
def test_lines_end_in_each_way_that_a_line_can(end: str, column: str | None) -> None:
    assert parsed(end.join(["id"] * (column is not None) + [*UUIDS, ""]), column) == list(UUIDS)


@pytest.mark.parametrize("url", ["https://h/subs/5fa1c2", "/subs/5fa1c2", "subs/5fa1c2/"])
def test_a_url_or_a_path_has_a_remedy_that_fits(url: str) -> None:
    assert f"id {url!r} has a path segment that is empty, '.' or '..'" in refusal(url)
    assert "give the id alone, without a path" in refusal(url)


# --- JSON


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ('{"subscriptionId": "a"}\n{"subscriptionId": "b"}\n', ".subscriptionId"),
        ('{"totalCount": 1, "subscriptions": [{"subscriptionId": "a"}]}', "'.subscriptions[].subscriptionId'"),
        ('[{"subscription_id": "a"}]', "'.[].subscription_id'"),
        ('["a",\n"b"]', "'.[]'"),
        ('{"ids": ["a", "b"]}', "'.ids[]'"),
        ('{"total": 1, "results": [{"id": "a"}]}', "'.results[].id'"),
        ('{"delete": [{"subscription_id": "a"}], "keep": []}', ".subscription_id"),
        ("[" * 100_000, "'.[]'"),
    ],
)
def test_json_is_refused_with_the_filter_that_fits_it(text: str, remedy: str) -> None:
    assert re.search(rf"as with jq -r {re.escape(remedy)}\n", refusal(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"a1",\n"a2",\n', """'"a1",' is in quotes: take them and the comma away"""),
        ("{5FA1-C2}\n", "id '{5FA1-C2}' is in quotes or braces: give the id without them"),
        ('"a1","b"\n', "looks like a row of a CSV file"),
    ],
)
def test_what_no_filter_reads_is_not_called_json(text: str, said: str) -> None:
    assert said in refusal(text)
    assert "jq -r '" not in refusal(text)


def test_json_with_an_entry_a_line_has_one_remedy() -> None:
    assert refusal('[\n"a1",\n"a2"\n]').count("jq -r") == 1
    assert "is in quotes" not in refusal('[\n"a1",\n"a2"\n]')


@pytest.mark.parametrize(
    "text",
    [
        '{"totalCount": 2, "subscriptions": [\n  {"subscriptionId": "a1"},\n  {"subscriptionId": "b2"}\n]}',
        '{\n"totalCount": 2,\n"subscriptions": [\n{\n"subscriptionId": "a1",\n"notifyType": "x"\n},\n{}\n]\n}\n',
    ],
)
def test_of_json_over_many_lines_the_first_has_the_one_remedy(text: str) -> None:
    filter_ = "'.subscriptions[].subscriptionId'"
    assert refusal(text).splitlines() == [
        f"f, line 1: {text.splitlines()[0]!r} looks like JSON: extract the ids, as with jq -r {filter_}",
        "nothing was sent",
    ]


def test_a_key_and_its_value_are_json_wherever_they_were_cut_out() -> None:
    said = refusal('  "subscriptionId": "a1"\n  "subscriptionId": "b2"\n')
    assert "looks like JSON: extract the ids, as with jq -r .subscriptionId\n" in said


# --- CSV files


@pytest.mark.parametrize("mark", [",", ";"])
def test_a_comma_after_each_id_is_to_be_taken_away(mark: str) -> None:
    assert refusal(f"a1{mark}\nb2{mark}\nc3") == (
        f"f, line 1: 'a1{mark}' has {mark!r} at its end: take it away\n"
        f"f, line 2: 'b2{mark}' has {mark!r} at its end\n"
        "nothing was sent"
    )


def test_the_remedy_of_many_lines_is_told_once() -> None:
    said = refusal("a,1\nb,2\n..\n'x'\n'y'\n")
    remedy = "give one id per line, or name the column that has the ids with --csv-column"
    assert said.splitlines() == [
        f"f, line 1: 'a,1' looks like a row of a CSV file: {remedy}",
        "f, line 2: 'b,2' looks like a row of a CSV file",
        said.splitlines()[2],
        """f, line 4: id "'x'" is in quotes or braces: give the id without them""",
        """f, line 5: id "'y'" is in quotes or braces""",
        "nothing was sent",
    ]


@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_delimiter_is_found_out_from_the_first_line(between: str, end: str) -> None:
    rows = [["name", "sub id", "n"], ["a", UUIDS[0], "1"], ['"x,;\ty"', f'"{UUIDS[1]}"', ""]]
    text = "\ufeff" + end.join(between.join(row) for row in rows)
    assert parsed(text, "sub id") == list(UUIDS)
    assert parsed(text, "sub id", {"\t": "tab"}.get(between, between)) == list(UUIDS)


def test_rows_without_an_id_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed("n;id\n1;a\n2;\n3\n\n;\n4;b\n", "id") == ["a", "b"]
    assert capsys.readouterr().err == "aionorth: f: 2 rows have no id in the column 'id', as line 3: left out\n"
    assert parsed("n;id\n1;a\n\n", "id") == ["a"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("column", "delimiter", "said"),
    [
        ("SUB_ID", None, "; did you mean 'sub_id'?; nothing was sent"),
        ("sub_id", ",", "; it has one with --csv-delimiter ';'; nothing was sent"),
        (
            "zzz",
            None,
            "n, sub_id; give one of these names or, if they are none, put a line with the names above it; nothing was",
        ),
    ],
)
def test_a_column_that_is_not_there_is_answered_with_what_may_be_meant(
    column: str, delimiter: str | None, said: str
) -> None:
    assert said in refusal("n;sub_id\n1;a\n", column, delimiter)


def test_a_column_of_a_file_that_is_a_plain_list_is_left_out() -> None:
    said = refusal("\n".join(UUIDS), "id")
    assert f"which reads: {UUIDS[0]}; give that name or, if it is an id, leave --csv-column out; nothing" in said
    assert parsed("\n".join(UUIDS)) == list(UUIDS)


def test_the_delimiter_given_is_the_one_that_counts() -> None:
    text = "id,x;id\na,b;c\n"
    assert "has a column 'id' with more than one delimiter: give --csv-delimiter" in refusal(text, "id")
    assert parsed(text, "id", ",") == ["a"]
    assert parsed(text, "id", ";") == ["c"]


def test_a_column_that_is_not_there_is_answered_with_those_that_are() -> None:
    assert "no column 'no' in its first line, which reads: a, b,c, d;" in refusal("a;b,c;d\n1;2;3\n", "no")


@pytest.mark.parametrize("delimiter", ["|", "\t", "tabs"])
def test_other_delimiters_are_refused(ready: Shell, delimiter: str) -> None:
    words = ("delete", "packages", "--ids-file", ready.file("id"), "--csv-column", "id")
    run = ready(*words, "--csv-delimiter", delimiter)
    assert run.code == 2
    assert "--csv-delimiter" in run.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("packages --all --allow-empty", "--allow-empty is of no use without --ids-file or --exclude-file"),
        ("packages --all --csv-column id", "--csv-column is of no use without --ids-file"),
        ("subscriptions --all --notify-type-unchecked", "--notify-type-unchecked is of no use without --notify-type"),
    ],
)
def test_an_option_without_what_it_is_about_is_of_no_use(ready: Shell, words: str, said: str) -> None:
    run = ready("delete", *words.split())
    assert run.code == 2
    assert said in run.err


def test_a_delimiter_alone_is_of_no_use(ready: Shell) -> None:
    run = ready("delete", "packages", "--ids-file", ready.file("a"), "--csv-delimiter", "tab")
    assert run.code == 2
    assert "--csv-delimiter is of no use without --csv-column" in run.err
