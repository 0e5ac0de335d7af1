"""Parts of runs and how far they are, as values."""

from collections import Counter
from typing import Any

import attrs
import pytest
from fleets import part

from aionorth import ArgumentError, FlowControl, NorthSession, Outcome, SubscriptionSelection
from aionorth.fleet import Part, PartState, PartStatus, RunStatus
from aionorth.items import Kind
from aionorth.simulator import Simulator


def test_a_part_counts_ids_that_are_named_twice_and_keeps_the_order() -> None:
    one = part(["b", "a", "b", "c", "a"])
    assert (one.ids, one.total, one.duplicates) == (("b", "a", "c"), 3, 2)


@pytest.mark.parametrize(
    ("ids", "kind", "options", "words"),
    [
        ([], Kind.SUBSCRIPTIONS, {"profile": "p7"}, "ids.*none.*for profile 'p7'"),
        (["a", ""], Kind.SUBSCRIPTIONS, {}, "subscription"),
        (["{a}"], Kind.SUBSCRIPTIONS, {}, "in quotes or braces"),
        (["a"], Kind.SUBSCRIPTIONS, {"profile": "p\nq"}, r"profile 'p\\nq': give a name of at most 256 printable"),
        (["a"], Kind.SUBSCRIPTIONS, {"cascade": False}, "cascade"),
        (["a"], Kind.DEVICES, {}, "cascade=None: give False, .*do it in one process"),
        (["a"], Kind.DEVICES, {"cascade": True}, "cascade=True: give False, .*do it in one process"),
    ],
)
def test_what_cannot_be_a_part_is_refused_before_anything_is_sent(
    ids: list[str], kind: Kind, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        Part.of_ids(ids, kind, **options)


async def test_a_plan_makes_a_part_of_its_app_and_one_of_nothing_is_refused() -> None:
    async with Simulator({"demo-app": "demo-secret"}) as platform:
        ids = platform.add_subscriptions(5)
        north = NorthSession(
            platform.url, app_id="demo-app", secret="demo-secret", flow_control=FlowControl(calls=100, period=60)
        )
        async with north:
            plan = await north.plan(SubscriptionSelection(ids=[*ids, ids[0]]))
            url = platform.url
    one = Part.of_plan(plan)
    assert (one.kind, one.app_id, one.url) == (Kind.SUBSCRIPTIONS, "demo-app", url)
    assert (set(one.ids), one.total, one.duplicates) == (set(ids), 5, 1)
    assert one.app == f"demo-app at {url}"
    with pytest.raises(ArgumentError, match="deletes nothing"):
        Part.of_plan(attrs.evolve(plan, delete=()))


@pytest.mark.parametrize(
    "one",
    [
        part(),
        part(profile=""),
        part(["xx", "xx", "y'y"], profile='naïve "p"', authorized_app_id="other"),
        Part.of_ids(["d"], Kind.DEVICES, cascade=False),
        Part(kind=Kind.DEVICE_GROUPS, url="https://h", app_id="a", selection="all of “them”", total=3),
    ],
)
def test_a_part_is_the_same_after_a_store_kept_it_but_for_its_ids(one: Part) -> None:
    assert Part.from_json(one.to_json()) == attrs.evolve(one, ids=())
    assert all(id_ not in one.to_json() for id_ in one.ids if len(id_) > 1)


def test_a_run_is_settled_once_all_its_parts_are_and_ok_once_all_ids_are_gone() -> None:
    gone = Counter({Outcome.DELETED: 3, Outcome.GONE: 1})
    done = PartStatus(number=0, part=part(), state=PartState.COMPLETE, outcomes=gone, calls=5)
    failed = PartStatus(number=1, part=part(), state=PartState.FAILED, outcomes=Counter({Outcome.DELETED: 1}), calls=1)
    lost = attrs.evolve(failed, state=PartState.LOST)
    run = RunStatus(run="r", made_at=0.0, parts=(done, failed))
    assert run.settled
    assert not run.ok
    assert RunStatus(run="r", made_at=0.0, parts=(done,)).ok
    assert not RunStatus(run="r", made_at=0.0, parts=(done, lost)).settled
    half = RunStatus(run="r", made_at=0.0, parts=(attrs.evolve(lost, outcomes=Counter[Outcome]()),), whole=False)
    assert (half.settled, half.ok, run.lack) == (True, False, "")
    assert str(half).endswith(f"1 part (1 lost): {half.lack}")
    assert not RunStatus(run="r", made_at=0.0, parts=(done,), whole=False).ok
    assert run.to_dict() | {"parts": []} == {
        "run": "r",
        "whole": True,
        "cancelled": False,
        "settled": True,
        "total": 8,
        "deleted": 4,
        "not_found": 0,
        "gone": 1,
        "failed": 0,
        "unknown": 0,
        "skipped": 3,
        "pending": 0,
        "calls": 6,
        "refusals": 0,
        "parts": [],
    }
    assert str(run) == "r: 8 ids in 2 parts (1 complete, 1 failed): 4 deleted, 1 gone, 3 skipped"
