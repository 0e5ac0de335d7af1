"""How a summary describes failures."""

from aionorth import CongestionError, DeleteResult, DeleteSummary, NorthApiError, Outcome
from aionorth.errors import NorthError
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
