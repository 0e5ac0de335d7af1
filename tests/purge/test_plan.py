"""Selections and plans: what goes, what stays, and why."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import session

import aionorth
from aionorth import (
    ArgumentError,
    BatchDelete,
    Kind,
    PackageSelection,
    Plan,
    Subscription,
    SubscriptionSelection,
    Target,
    UpgradePackage,
)
from aionorth.common.times import in_whole_units
from aionorth.purge.listing import Reading
from aionorth.purge.plan import planned
from aionorth.simulator import Simulator

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SUBSCRIPTIONS = Target(kind=Kind.SUBSCRIPTIONS, url="https://h:8743", app_id="a")
PACKAGES = Target(kind=Kind.PACKAGES, url="https://h:8743", app_id="a")


def subscription(id_: str, notify_type: str | None = "t", url: str | None = "https://h:1/") -> Subscription:
    return Subscription(subscription_id=id_, notify_type=notify_type, callback_url=url)


def package(id_: str, days: float | None = 0.0, **fields: Any) -> UpgradePackage:
    uploaded = None if days is None else NOW - timedelta(days=days)
    return UpgradePackage(file_id=id_, upload_time=uploaded, **fields)


def gone(plan: Plan[Any]) -> list[str]:
    return [one.id for one in plan.delete]


def kept(plan: Plan[Any]) -> dict[str, str]:
    return {one.item.id: one.reason for one in plan.keep}


def packages(selection: PackageSelection, *listed: UpgradePackage) -> Plan[Any]:
    return planned(selection, PACKAGES, listed, NOW, Reading())


def subscriptions(selection: SubscriptionSelection, listed: Sequence[Subscription]) -> Plan[Any]:
    return planned(selection, SUBSCRIPTIONS, listed, NOW, Reading())


URLS = {
    "a": "https://old.example.com:443/cb",
    "b": "https://OLD.example.com:8443/other?x=1",
    "c": "http://old.example.com.evil.org:80/",
    "d": "https://new.example.com:443/old.example.com",
    "e": None,
    "f": "https://[::1",
}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"callback_host": "old.example.com"}, "ab"),
        ({"callback_host": "OLD.EXAMPLE.COM"}, "ab"),
        ({"callback_host": "*.example.com"}, "abd"),
        ({"callback_url": "https://old.example.com:443/*"}, "a"),
        ({"callback_url": "*old.example.com*"}, "acd"),
        ({"callback_host": "old.example.com", "callback_url": "*x=1"}, "b"),
        ({"callback_host": "old.example.com", "exclude": ["b"]}, "a"),
        ({"ids": ["a", "e", "z"], "notify_type": "t"}, "ae"),
        ({"everything": True, "exclude": ["f"]}, "abcde"),
    ],
)
def test_subscriptions_are_selected_by_what_they_call(conditions: dict[str, Any], expected: str) -> None:
    listed = [subscription(id_, url=url) for id_, url in URLS.items()]
    plan = subscriptions(SubscriptionSelection(**conditions), listed)
    assert gone(plan) == list(expected)
    assert set(kept(plan)) == set(URLS) - set(expected)
    assert all(kept(plan).values())


def test_brackets_in_a_glob_are_brackets() -> None:
    listed = package("a", name="fw[1].zip"), package("b", name="fw1.zip"), package("c")
    assert gone(packages(PackageSelection(name="fw[1].zip"), *listed)) == ["a"]
    assert gone(packages(PackageSelection(name="*"), *listed)) == ["a", "b"]
    six = subscription("six", url="https://[2001:db8::1]:443/cb")
    assert gone(subscriptions(SubscriptionSelection(callback_host="2001:DB8::1"), [six])) == ["six"]
    assert gone(subscriptions(SubscriptionSelection(callback_url="https://[2001:db8::1]:443/*"), [six])) == ["six"]


def test_a_list_that_may_lack_some_is_told_and_takes_no_batch() -> None:
    listed = [subscription("a", "t1", "u"), subscription("b", "t1", "u")]
    everything = SubscriptionSelection(everything=True)
    partial = planned(everything, SUBSCRIPTIONS, listed, NOW, Reading(complete=False))
    assert partial.batch is None
    assert "There may be more" in str(partial)
    by_type = planned(SubscriptionSelection(callback_url="u"), SUBSCRIPTIONS, listed, NOW, Reading(divided=True))
    assert by_type.batch == BatchDelete(notify_type="t1", callback_url="u")
    mixed = planned(
        SubscriptionSelection(callback_url="u"),
        SUBSCRIPTIONS,
        [*listed, subscription("c", "t2", "u")],
        NOW,
        Reading(divided=True),
    )
    assert mixed.batch is None  # of a type that nobody knows there may be others with this URL


def test_an_exclusion_that_excludes_nothing_is_told() -> None:
    plan = subscriptions(SubscriptionSelection(everything=True, exclude=["A"]), [subscription("a")])
    assert plan.excluded_absent == ("A",)
    assert "1 excluded, but not there anyway" in str(plan)


def test_the_newest_of_each_kind_stay() -> None:
    plan = packages(
        PackageSelection(keep_latest=2),
        package("m1-old", 30, model="m1"),
        package("m1-new", 1, model="m1"),
        package("m1-mid", 10, model="m1"),
        package("m2-only", 300, model="m2"),
        package("soft", 400, model="m1", file_type="softwarePackage"),
    )
    assert gone(plan) == ["m1-old"]
    assert set(kept(plan).values()) == {"among the 2 newest of its kind"}


def test_what_is_as_new_as_the_last_of_the_newest_stays_too() -> None:
    plan = packages(PackageSelection(keep_latest=1), package("x", 3), package("y", 3), package("z", 4))
    assert gone(plan) == ["z"]


def test_of_the_rest_only_what_is_old_enough_goes() -> None:
    selection = PackageSelection(keep_latest=1, older_than=timedelta(days=90))
    plan = packages(selection, package("new", 100), package("old", 200), package("young", 89.9))
    assert kept(plan) == {"young": "the newest of its kind"}
    plan = packages(PackageSelection(older_than=timedelta(days=90)), package("new", 89.9), package("old", 90))
    assert kept(plan) == {"new": "uploaded less than 90 days ago"}


def test_a_package_whose_age_cannot_be_read_stays_and_the_plan_says_so() -> None:
    for selection in (PackageSelection(keep_latest=1), PackageSelection(older_than=timedelta(days=1))):
        plan = packages(selection, package("dateless", None), package("old", 9), package("newest", 8))
        assert kept(plan)["dateless"] == "its upload time cannot be read"
    assert "1 to stay: its upload time cannot be read" in str(plan)
    assert gone(packages(PackageSelection(model="m"), package("dateless", None, model="m"))) == ["dateless"]


def test_what_a_platform_lists_beside_what_it_was_asked_for_stays() -> None:
    listed = package("a", model="m"), package("b", model="n"), package("c")
    plan = packages(PackageSelection(model="m"), *listed)
    assert gone(plan) == ["a"]
    assert kept(plan) == {"b": "another model", "c": "its model is not said"}


def test_the_newest_are_counted_among_what_the_other_conditions_select() -> None:
    listed = package("beta-2", 2, name="beta-2.zip"), package("beta-1", 3, name="beta-1.zip"), package("final", 1)
    plan = packages(PackageSelection(name="beta-*", keep_latest=1), *listed)
    assert gone(plan) == ["beta-1"]
    excluded = packages(PackageSelection(name="beta-*", keep_latest=1, exclude=["beta-2"]), *listed)
    assert gone(excluded) == ["beta-1"]
    assert kept(excluded)["beta-2"] == "excluded"


@given(
    st.lists(st.tuples(st.sampled_from(["m1", "m2", None]), st.one_of(st.none(), st.integers(0, 9))), max_size=30),
    st.integers(1, 4),
)
def test_never_fewer_than_asked_for_stay_of_any_kind(found: list[tuple[str | None, int | None]], number: int) -> None:
    listed = [package(f"p{at}", days, model=model) for at, (model, days) in enumerate(found)]
    plan = packages(PackageSelection(keep_latest=number), *listed)
    for model in {model for model, _ in found}:
        of_kind = [one for one in listed if one.model == model]
        staying = [one for one in of_kind if one.id in kept(plan)]
        assert len(staying) >= min(number, len(of_kind))
        oldest_dated = min((one.upload_time for one in staying if one.upload_time), default=None)
        for one in of_kind:
            if one.id in gone(plan):
                assert one.upload_time is not None
                assert oldest_dated is not None
                assert one.upload_time < oldest_dated


def test_ids_that_are_not_listed_are_told() -> None:
    plan = subscriptions(
        SubscriptionSelection(ids=["a", "x", "a"], notify_type="t"), [subscription("a"), subscription("b")]
    )
    assert (gone(plan), plan.absent, plan.duplicates) == (["a"], ("x",), 1)
    assert "1 named, but not among what the platform listed" in str(plan)
    assert "1 dropped: named more than once" in str(plan)


def test_an_id_that_cannot_be_sent_stays_and_holds_up_nothing() -> None:
    plan = subscriptions(SubscriptionSelection(everything=True), [subscription(".."), subscription("a")])
    assert gone(plan) == ["a"]
    assert kept(plan) == {"..": "its id cannot be sent in a call"}


# --- The one call that would do


def test_a_batch_delete_is_offered_where_it_takes_exactly_the_selection() -> None:
    old, new = "https://old:1/", "https://new:1/"
    listed = [
        subscription("a", "t1", old),
        subscription("b", "t1", old),
        subscription("c", "t2", old),
        subscription("d", "t2", new),
    ]
    assert subscriptions(SubscriptionSelection(callback_host="old"), listed).batch == BatchDelete(callback_url=old)
    assert subscriptions(SubscriptionSelection(ids=["a"], callback_host="old"), listed).batch is None
    assert subscriptions(SubscriptionSelection(ids=["a", "b"], callback_host="old"), listed).batch == BatchDelete(
        notify_type="t1", callback_url=old
    )
    assert subscriptions(SubscriptionSelection(everything=True), listed).batch is None
    assert subscriptions(SubscriptionSelection(callback_host="old", exclude=["a"]), listed).batch is None
    both = [subscription("a", "t1", old), subscription("b", "t1", new)]
    assert subscriptions(SubscriptionSelection(notify_type="t1"), both).batch == BatchDelete(notify_type="t1")


def test_no_batch_delete_reaches_beyond_what_was_listed() -> None:
    listed = [subscription("a", "t1", "u"), subscription("b", "t1", "u")]  # as the platform filtered them, by t1
    assert subscriptions(SubscriptionSelection(notify_type="t1"), listed).batch == BatchDelete(
        notify_type="t1", callback_url="u"
    )
    unsaid = [subscription("a", None, "u"), subscription("b", None, "u")]
    assert subscriptions(SubscriptionSelection(notify_type="t1"), unsaid).batch is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["t1", "t2", None]), st.sampled_from(["u1", "u2", None, "u" * 300]), st.booleans()),
        max_size=8,
    )
)
def test_an_offered_batch_takes_the_selection_and_nothing_else(
    found: list[tuple[str | None, str | None, bool]],
) -> None:
    listed = [subscription(f"s{at}", type_, url) for at, (type_, url, _) in enumerate(found)]
    chosen = [f"s{at}" for at, (_, _, wanted) in enumerate(found) if wanted]
    plan = subscriptions(SubscriptionSelection(ids=chosen, callback_url="*"), listed)
    batch = plan.batch
    if batch is not None:
        assert batch.notify_type or batch.callback_url
        assert len(batch.callback_url or "") <= 256
        taken = {
            one.id
            for one in listed
            if batch.notify_type in {None, one.notify_type} and batch.callback_url in {None, one.callback_url}
        }
        assert taken == set(gone(plan)) <= set(chosen)


# --- What a plan says of itself


async def test_a_plan_tells_its_size_and_time_at_the_present_flow_control() -> None:
    async with Simulator() as platform, session(platform) as north:
        plan = await north.plan(SubscriptionSelection(ids=[f"s{number}" for number in range(1_204)]))
        assert not platform.arrivals
        assert plan.size() == "1,204 calls, about 12 min 0 s"
        assert str(plan).splitlines() == [
            f"1,204 subscriptions of demo-app at {platform.url}",
            "  selected: 1,204 ids",
            "  1,204 to delete: 1,204 calls, about 12 min 0 s",
        ]
        await north.delete_subscriptions(["x"])
        assert (await north.plan(SubscriptionSelection(ids=["a"] * 2))).duplicates == 1


async def test_a_plan_is_made_of_what_the_platform_lists() -> None:
    async with Simulator() as platform, session(platform) as north:
        old = platform.add_packages(3, uploaded=datetime(2020, 1, 1, tzinfo=UTC), model="m")
        platform.add_packages(2, uploaded=datetime(2026, 11, 1, tzinfo=UTC), model="m")
        counts: list[int] = []
        plan = await north.plan(
            PackageSelection(model="m", older_than=timedelta(days=90)), now=NOW, on_listed=counts.append
        )
        assert gone(plan) == old
        assert counts == [1, 2, 3, 4, 5]
        story = json.loads(json.dumps(plan.to_dict()))
        assert story["kind"] == "packages"
        assert [one["file_id"] for one in story["delete"]] == old
        assert story["keep"][0]["reason"] == "uploaded less than 90 days ago"
        assert story["batch"] is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SubscriptionSelection(callback_host="https://h"), "give the host alone"),
        (lambda: SubscriptionSelection(callback_host="h:443"), "give the host alone"),
        (lambda: SubscriptionSelection(callback_host="[::1]"), "give the host alone"),
        (lambda: PackageSelection(file_type="firmware"), "firmwarePackage or softwarePackage"),
        (lambda: PackageSelection(older_than=timedelta(weeks=99999)), "100 years"),
        (SubscriptionSelection, "everything=True"),
        (lambda: PackageSelection(exclude=["a"]), "everything=True"),
        (lambda: SubscriptionSelection(ids="sub-1"), r"\[id\]"),
        (lambda: SubscriptionSelection(ids=[""]), "empty"),
        (lambda: SubscriptionSelection(notify_type=""), "notify_type"),
        (lambda: SubscriptionSelection(callback_host=""), "callback_host"),
        (lambda: PackageSelection(keep_latest=0), "keep_latest"),
        (lambda: PackageSelection(older_than=timedelta()), "older_than"),
        (lambda: PackageSelection(older_than=90), "timedelta"),  # type: ignore[arg-type]
    ],
)
def test_a_selection_that_cannot_be_meant_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        make()


def test_a_selection_without_any_id_selects_nothing() -> None:
    assert gone(subscriptions(SubscriptionSelection(ids=[]), [subscription("a")])) == []


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(days=90), "90 days"),
        (timedelta(hours=12), "12 hours"),
        (timedelta(days=1), "1 day"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(seconds=1.5), "1.5 seconds"),
    ],
)
def test_times_are_said_in_whole_units(time: timedelta, words: str) -> None:
    assert in_whole_units(time) == words


def test_all_names_are_public() -> None:
    for name in ("Plan", "SubscriptionSelection", "PackageSelection", "BatchDelete", "Kept", "Kind", "Target"):
        assert name in aionorth.__all__
