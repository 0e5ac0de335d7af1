"""Plans that are kept: as JSON-ready values and back, and taken up by another session."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from support import session

from aionorth import (
    ArgumentError,
    DeviceSelection,
    InvalidIdError,
    PackageSelection,
    Plan,
    Selection,
    SubscriptionSelection,
)
from aionorth.simulator import Simulator


def through_json(plan: Plan[Any]) -> Any:
    return json.loads(json.dumps(plan.to_dict()))


def bare(plan: Plan[Any]) -> Plan[Any]:
    """Return the plan without what is not written: all that the platform said of each item."""
    return attrs.evolve(plan, seconds=round(plan.seconds, 3))


SELECTIONS: list[Selection[Any]] = [
    SubscriptionSelection(callback_host="old.*", exclude=["x"]),
    SubscriptionSelection(ids=["a", "b", "a"]),
    SubscriptionSelection(ids=["a"], notify_type="t", authorized_app_id="demo-app"),
    PackageSelection(keep_latest=1, older_than=timedelta(days=90)),
    PackageSelection(model="nothing has it"),
]


async def filled(platform: Simulator) -> None:
    platform.authorize("demo-app", "demo-app")
    platform.add_subscriptions(["s1", "s2", "s3"], callback_url="https://old.example.com:443/cb", notify_type="t")
    platform.add_subscriptions(1, callback_url="https://new.example.com:443/cb", notify_type="t")
    for day in (1, 2, 3):
        platform.add_packages(1, uploaded=datetime(2020, 1, day, tzinfo=UTC), model="m")


@pytest.mark.parametrize("selection", SELECTIONS, ids=Selection.in_words)
async def test_a_plan_comes_back_from_json_as_it_was(selection: Selection[Any]) -> None:
    async with Simulator() as platform, session(platform) as north:
        await filled(platform)
        before = datetime.now(UTC)
        plan = await north.plan(selection)
        again = Plan.from_dict(through_json(plan))
        assert again == bare(plan)
        assert again.made_at is not None
        assert before <= again.made_at <= datetime.now(UTC)


async def test_a_plan_that_was_kept_is_carried_out_by_another_session() -> None:
    async with Simulator() as platform:
        await filled(platform)
        async with session(platform) as north:
            kept = through_json(await north.plan(SubscriptionSelection(callback_host="old.*")))
        platform.add_subscriptions(["later"], callback_url="https://old.example.com:443/cb", notify_type="t")
        async with session(platform) as north:
            plan = north.adopt(attrs.evolve(Plan.from_dict(kept), seconds=-1.0))
            assert plan.seconds == north.flow.time_for(3)
            assert (await north.purge(plan)).deleted == 3
        assert "later" in platform.subscription_ids()


async def test_a_plan_of_another_platform_is_not_adopted_and_both_are_named() -> None:
    async with Simulator() as platform, Simulator() as other:
        async with session(platform) as north:
            plan = await north.plan(SubscriptionSelection(ids=["a"]))
        async with session(other) as north:
            with pytest.raises(ArgumentError) as caught:
                north.adopt(Plan.from_dict(plan.to_dict()))
            assert platform.url in str(caught.value)
            assert other.url in str(caught.value)


def changed(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda plain: plain.update(changes)


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda plain: plain.pop(name)


def item(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda plain: plain["delete"][1].update(changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(kind="devics"), "plan.kind is 'devics': subscriptions or packages"),
        (without("kind"), "plan.kind is None"),
        (without("url"), "plan.url is missing"),
        (without("delete"), "plan.delete is missing"),
        (changed(app_id=7), "plan.app_id is 7: a text belongs there"),
        (changed(made_at="yesterday"), "plan.made_at is 'yesterday': a date and time in ISO 8601 with a time zone"),
        (changed(made_at="2026-11-22T12:00:00"), "with a time zone belongs there"),
        (changed(complete="yes"), "plan.complete is 'yes': true or false belongs there"),
        (changed(duplicates=True), "plan.duplicates is True: a whole number belongs there"),
        (changed(seconds="1"), "plan.seconds is '1': a number belongs there"),
        (changed(delete={}), "plan.delete is {}: a list belongs there"),
        (changed(keep=["a"]), "plan.keep[0] is 'a': an object belongs there"),
        (changed(later=1), "plan has 'later', which is not known here"),
        (item(colour="red"), "plan.delete[1] has 'colour', which is not known here"),
        (item(callback_url=3), "plan.delete[1].callback_url is 3: a text belongs there"),
        (item(subscription_id=".."), "plan.delete: subscription_id '..'"),
        (lambda plain: plain["delete"].pop(), "plan.calls is 3, and plan.delete has 2: the plan was changed"),
        (item(callback_url="https://h:1/"), "plan.batch would not delete exactly what plan.delete has"),
        (lambda plain: plain["keep"][0].update(callback_url="https://old.example.com:443/cb"), "plan.batch would not"),
    ],
)
async def test_what_is_no_plan_is_refused_and_the_fault_named(
    change: Callable[[dict[str, Any]], None], said: str
) -> None:
    async with Simulator() as platform, session(platform) as north:
        await filled(platform)
        plain = through_json(await north.plan(SubscriptionSelection(callback_host="old.*")))
    assert Plan.from_dict(plain).batch is not None
    change(plain)
    with pytest.raises((ArgumentError, InvalidIdError)) as caught:
        Plan.from_dict(plain)
    assert said in str(caught.value)


@pytest.mark.parametrize("cascade", [False, None])
async def test_a_plan_that_takes_others_along_without_cascade_is_refused(cascade: object) -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_devices(["gw"], node_type="GATEWAY")
        platform.add_devices(["behind"], gateway_id="gw")
        plain = through_json(await north.plan(DeviceSelection(ids=["gw"], cascade=True)))
    assert len(Plan.from_dict(plain).along) == 1
    with pytest.raises(ArgumentError, match=r"plan\.along has 1, and plan\.cascade is .*: nothing goes along"):
        Plan.from_dict(plain | {"cascade": cascade})


@pytest.mark.parametrize("content", [None, [], "plan", 3])
def test_what_is_no_object_is_no_plan(content: Any) -> None:
    with pytest.raises(ArgumentError, match="that is no plan"):
        Plan.from_dict(content)
