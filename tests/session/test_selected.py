"""What a session does with selections: it lists what they select, and deletes without a list."""

from datetime import UTC, datetime
from typing import Any

import pytest
from support import session

from aionorth import (
    AppNotAuthorizedError,
    ArgumentError,
    BatchDelete,
    Outcome,
    PackageSelection,
    ReplyLostError,
    RetryPolicy,
    SubscriptionNotFoundError,
    SubscriptionSelection,
    TooManyResultsError,
)
from aionorth.simulator import CannedReply, Reset, Simulator

OLD, NEW = "https://old.example.com:443/cb?x=1", "https://new.example.com:443/cb"


async def ids_of(items: Any) -> list[str]:
    return [item.id async for item in items]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"everything": True}, ["a", "b", "c"]),
        ({"everything": True, "exclude": ["b"]}, ["a", "c"]),
        ({"callback_host": "old.*"}, ["a", "b"]),
        ({"ids": ["c", "z", "a"]}, ["a", "c"]),
        ({"ids": ["c", "b"], "callback_host": "old.*"}, ["b"]),
    ],
)
async def test_what_is_selected_is_listed(conditions: dict[str, Any], expected: list[str]) -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_subscriptions(["a", "b"], callback_url=OLD)
        platform.add_subscriptions(["c"], callback_url=NEW)
        assert await ids_of(north.list_selected(SubscriptionSelection(**conditions))) == expected
        assert all(arrival.method == "GET" for arrival in platform.arrivals if "login" not in arrival.path)


async def test_what_is_selected_comes_page_by_page() -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_subscriptions(250)
        listed = north.list_selected(SubscriptionSelection(everything=True))
        await anext(listed)
        assert sum(arrival.method == "GET" for arrival in platform.arrivals) == 1
        assert len(await ids_of(listed)) == 249


async def test_what_depends_on_others_comes_when_all_are_listed() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = [platform.add_packages(1, uploaded=datetime(2020, 1, day, tzinfo=UTC), model="m")[0] for day in (3, 1, 2)]
        assert await ids_of(north.list_selected(PackageSelection(keep_latest=1))) == ids[1:]


# --- Deleting without a list


async def test_more_than_can_be_listed_go_by_one_call() -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_subscriptions(1_001, notify_type="deviceAdded", callback_url=OLD)
        others = platform.add_subscriptions(2, notify_type="ruleEvent", callback_url=OLD)
        with pytest.raises(TooManyResultsError):
            await north.plan(SubscriptionSelection(notify_type="deviceAdded"))
        result = await north.delete_matching_subscriptions(notify_type="deviceAdded")
        assert (result.id, result.outcome, result.attempts) == ("notify type deviceAdded", Outcome.DELETED, 1)
        assert platform.subscription_ids() == set(others)


async def test_only_what_has_type_and_url_goes() -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_subscriptions(["a"], notify_type="t", callback_url=OLD)
        platform.add_subscriptions(["b"], notify_type="t", callback_url=NEW)
        platform.add_subscriptions(["c"], notify_type="u", callback_url=OLD)
        await north.delete_matching_subscriptions(notify_type="t", callback_url=OLD)
        assert platform.subscription_ids() == {"b", "c"}
        await north.delete_matching_subscriptions(callback_url=OLD)
        assert platform.subscription_ids() == {"b"}


@pytest.mark.parametrize(
    "filters", [{}, {"notify_type": ""}, {"notify_type": [""]}, {"notify_type": "t", "callback_url": " "}]
)
async def test_without_a_filter_nothing_is_sent(filters: dict[str, Any]) -> None:
    async with Simulator() as platform, session(platform) as north:
        with pytest.raises(ArgumentError, match="deletes every subscription"):
            await north.delete_matching_subscriptions(**filters)
        assert not platform.arrivals


async def test_where_none_matches_the_outcome_says_whether_an_attempt_may_be_why() -> None:
    retry = RetryPolicy(attempts=2, base=0.1)
    async with Simulator() as platform, session(platform, retry=retry) as north:
        with pytest.raises(SubscriptionNotFoundError):
            await north.delete_matching_subscriptions(notify_type="t")
        result = await north.delete_matching_subscriptions(notify_type="t", missing_ok=True)
        assert result.outcome is Outcome.NOT_FOUND
        platform.add_subscriptions(2, notify_type="t")
        platform.script(Reset(after_effect=True), method="DELETE")
        result = await north.delete_matching_subscriptions(notify_type="t")
        assert (result.outcome, result.attempts) == (Outcome.GONE, 2)
        platform.add_subscriptions(2, notify_type="t")
        platform.script(Reset(after_effect=True), method="DELETE")
        with pytest.raises(ReplyLostError):
            await north.delete_matching_subscriptions(notify_type="t", retry=False)


async def test_a_refusal_after_a_lost_reply_leaves_the_outcome_unknown() -> None:
    refused = CannedReply(403, b'{"error_code": "100217"}')
    async with Simulator() as platform, session(platform) as north:
        platform.script(refused, method="DELETE")
        with pytest.raises(AppNotAuthorizedError):
            await north.delete_matching_subscriptions(notify_type="t")
        platform.script(Reset(), method="DELETE")
        platform.script(refused, method="DELETE")
        with pytest.raises(
            ReplyLostError, match="an earlier attempt was lost; the last one ended in: HTTP 403"
        ) as lost:
            await north.delete_matching_subscriptions(notify_type="t")
        assert isinstance(lost.value.__cause__, AppNotAuthorizedError)


@pytest.mark.parametrize(
    ("conditions", "batch"),
    [
        ({"notify_type": "t"}, BatchDelete(notify_type="t")),
        ({"callback_url": OLD}, BatchDelete(callback_url=OLD)),
        ({"notify_type": "t", "callback_url": OLD}, BatchDelete(notify_type="t", callback_url=OLD)),
        ({"notify_type": "t", "authorized_app_id": "a"}, BatchDelete(notify_type="t")),
        ({"notify_type": "t", "callback_host": "h"}, None),
        ({"notify_type": "t", "callback_url": "https://*"}, None),
        ({"notify_type": "t", "callback_url": "u" * 257}, None),
        ({"notify_type": "t", "exclude": ["x"]}, None),
        ({"notify_type": "t", "ids": ["x"]}, None),
        ({"everything": True}, None),
    ],
)
def test_one_call_does_without_a_list_only_if_it_filters_by_all_conditions(
    conditions: dict[str, Any], batch: BatchDelete | None
) -> None:
    assert SubscriptionSelection(**conditions).unlisted_batch() == batch


def test_packages_have_no_such_call() -> None:
    assert PackageSelection(model="m").unlisted_batch() is None
