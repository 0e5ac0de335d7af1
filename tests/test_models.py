"""How a summary describes failures."""

import pytest

from aionorth import CongestionError, DeleteResult, DeleteSummary, NorthApiError, Outcome
from aionorth.common.arguments import argument, renamed
from aionorth.errors import BulkFailedError, NorthError, TlsError
from aionorth.models import failure_groups


def results(*errors: NorthError | None) -> tuple[DeleteResult, ...]:
    return tuple(DeleteResult(f"id-{at}", Outcome.FAILED, error) for at, error in enumerate(errors))


def test_a_summary_has_one_line_for_failures_alike() -> None:
    kept = results(
        *(CongestionError(503, "100501", f"Node {at}\nis busy.") for at in range(9)), NorthApiError(400, "7")
    )
    text = str(DeleteSummary(total=10, failed=10, results=kept))
    assert text.splitlines()[-2:] == [
        "9 failed, for example: HTTP 503, code 100501: Node 0 is busy. Remedy: Try again later.",
        "1 failed: HTTP 400, code 7",
    ]


def test_failures_differ_by_outcome_class_status_and_code() -> None:
    base = DeleteResult("a", Outcome.FAILED, NorthApiError(400, "1", "x"))
    others = [
        DeleteResult("b", Outcome.UNKNOWN, NorthApiError(400, "1", "x")),
        DeleteResult("c", Outcome.FAILED, CongestionError(400, "1", "x")),
        DeleteResult("d", Outcome.FAILED, NorthApiError(500, "1", "x")),
        DeleteResult("e", Outcome.FAILED, NorthApiError(400, "2", "x")),
        DeleteResult("f", Outcome.FAILED),
    ]
    same = DeleteResult("g", Outcome.FAILED, NorthApiError(400, "1", "y"))
    groups = failure_groups([*others, base, same, DeleteResult("h", Outcome.DELETED)])
    assert [group.count for group in groups] == [2, 1, 1, 1, 1, 1]
    assert (groups[0].example, groups[0].same_words) == (base, False)


def test_a_summary_says_how_many_reasons_it_leaves_out() -> None:
    kept = results(*(NorthApiError(400, str(code)) for code in range(12)))
    assert str(DeleteSummary(total=12, failed=12, results=kept)).endswith("code 9\nand 2 more reasons")


def test_the_arguments_in_its_text_are_those_of_python_and_a_front_end_can_rename_them() -> None:
    kept = results(TlsError(f"refused; give its CA as {argument('ca_file')}"))
    summary = DeleteSummary(total=1, failed=1, results=kept)
    with pytest.raises(BulkFailedError) as caught:
        summary.raise_for_failures()
    for text, marked in ((str(summary), str(summary)), (str(caught.value), caught.value.marked)):
        assert text.endswith("\n1 failed: refused; give its CA as ca_file")
        assert renamed(marked, lambda name, _: f"--{name}").endswith("\n1 failed: refused; give its CA as --ca_file")
