"""Lists, read from the simulator and from a platform that changes under the reader's hands."""

from collections import Counter
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import run, session

import aionorth
from aionorth import Subscription, TooManyResultsError
from aionorth.errors import PageOutOfRangeError
from aionorth.purge.listing import MAX_PASSES, Reading, read_pages
from aionorth.simulator import CannedReply, Simulator
from aionorth.wire.replies import Page
from aionorth.wire.resources import NOTIFY_TYPES, PAGE_SIZE


def lists(platform: Simulator) -> list[str]:
    """The paths, with their queries, of the list calls that arrived."""
    return [arrival.path for arrival in platform.arrivals if arrival.method == "GET"]


async def test_subscriptions_come_page_by_page_with_what_the_platform_says_of_them() -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_subscriptions(250, notify_type="deviceAdded", callback_url="https://a.example.com:443/x")
        listed = [one async for one in north.list_subscriptions()]
        assert {one.id for one in listed} == platform.subscription_ids()
        assert len(listed) == 250
        assert {(one.notify_type, one.callback_url) for one in listed} == {
            ("deviceAdded", "https://a.example.com:443/x")
        }
        assert [path.partition("?")[2] for path in lists(platform)] == [
            f"pageNo={number}&pageSize=100" for number in range(3)
        ]


@pytest.mark.slow
async def test_ten_thousand_subscriptions_take_the_fewest_calls_that_the_platform_allows() -> None:
    async with Simulator(calls=None) as platform, session(platform) as north:
        sizes = [1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 950, 501, 300, 200, 49, 0, 0, 0, 0]
        assert sum(sizes) == 9_000 + 1_000
        for notify_type, size in zip(NOTIFY_TYPES, sizes, strict=True):
            platform.add_subscriptions(size, notify_type=notify_type)
        listed = [one async for one in north.list_subscriptions()]
        assert {one.id for one in listed} == platform.subscription_ids()
        assert len(listed) == 10_000
        # One that is refused, for being too many; then each type's pages, and one for a type that has none.
        fewest = 1 + sum(max(1, -(-size // PAGE_SIZE)) for size in sizes)
        assert len(lists(platform)) == fewest == 107, f"{len(lists(platform))} calls"


async def test_a_notify_type_with_too_many_subscriptions_is_named_with_the_remedy() -> None:
    async with Simulator(calls=None) as platform, session(platform) as north:
        platform.add_subscriptions(1_001, notify_type="deviceDeleted")
        with pytest.raises(
            TooManyResultsError, match=r"more than 1,000 .* 'deviceDeleted'\..*Remedy: List by"
        ) as caught:
            _ = [one async for one in north.list_subscriptions()]
        assert caught.value.code == "100224"
        with pytest.raises(TooManyResultsError, match="deviceDeleted"):
            _ = [one async for one in north.list_subscriptions(notify_type="deviceDeleted")]


async def test_packages_are_filtered_by_the_platform() -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.add_packages(3, version="V1 & 2", model="WM/1")
        platform.add_packages(2, version="V2", model="WM/1", file_type="softwarePackage")
        listed = [one async for one in north.list_upgrade_packages(version="V1 & 2", model="WM/1")]
        assert len(listed) == 3
        assert {(one.version, one.model, one.manufacturer_name) for one in listed} == {("V1 & 2", "WM/1", "Acme")}
        assert listed[0].upload_time is not None
        assert listed[0].upload_time.isoformat() == "2015-12-12T12:12:12+00:00"
        assert await north.get_upgrade_package(listed[0].id) == listed[0]
        software = [one async for one in north.list_upgrade_packages(file_type="softwarePackage")]
        assert len(software) == 2


async def test_one_subscription_can_be_asked_for() -> None:
    async with Simulator() as platform, session(platform) as north:
        (id_,) = platform.add_subscriptions(1, notify_type="ruleEvent")
        assert (await north.get_subscription(id_)).notify_type == "ruleEvent"
        with pytest.raises(aionorth.SubscriptionNotFoundError):
            await north.get_subscription("no-such-id")
        with pytest.raises(aionorth.PackageNotFoundError):
            await north.get_upgrade_package("no-such-id")


async def test_every_page_passes_flow_control() -> None:
    async with (
        Simulator(calls=2, period=60.0, model="sliding-refusals") as platform,
        session(platform, flow_control=aionorth.FlowControl(2, 60.0)) as north,
    ):
        platform.add_packages(450)
        assert len([one async for one in north.list_upgrade_packages()]) == 450
        assert len(lists(platform)) == 5
        assert not any(arrival.refused for arrival in platform.arrivals)


async def test_another_apps_subscriptions_are_asked_for_by_its_id() -> None:
    async with Simulator({"demo-app": "demo-secret", "other": "x"}) as platform, session(platform) as north:
        platform.authorize("other", "demo-app")
        platform.add_subscriptions(2, app_id="other")
        assert len([one async for one in north.list_subscriptions(authorized_app_id="other")]) == 2
        assert [path.partition("?")[2] for path in lists(platform)] == ["appId=other&pageNo=0&pageSize=100"]


async def test_unknown_fields_are_kept_and_missing_ones_tolerated() -> None:
    page = b'{"totalCount":"3","data":[{"fileId":"f1","new":[1]},{"name":"no id"},{"fileId":"f2","uploadTime":"soon"}]}'
    async with Simulator() as platform, session(platform) as north:
        platform.script(CannedReply(200, page), method="GET", times=MAX_PASSES)
        listed = [one async for one in north.list_upgrade_packages()]
        assert [one.file_id for one in listed] == ["f1", "f2"]
        assert listed[0].fields["new"] == [1]
        assert listed[1].upload_time is None
        assert listed[1].name is None


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"totalCount": 3}', b'{"subscriptions": 5}', b""])
async def test_a_reply_that_is_no_list_is_a_lost_reply(body: bytes) -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.script(CannedReply(200, body), method="GET", times=1000)
        with pytest.raises(aionorth.ReplyLostError):
            _ = [one async for one in north.list_subscriptions()]


@pytest.mark.parametrize(
    ("options", "word"),
    [({"version": ""}, "version"), ({"model": "x" * 257}, "model"), ({"file_type": 3}, "file_type")],
)
async def test_an_unusable_filter_is_refused_before_anything_is_sent(options: dict[str, str], word: str) -> None:
    async with Simulator() as platform, session(platform) as north:
        with pytest.raises(aionorth.ArgumentError, match=word):
            north.list_upgrade_packages(**options)
        with pytest.raises(aionorth.ArgumentError, match="notify_type"):
            north.list_subscriptions(notify_type="")
        assert not platform.arrivals


# --- A list that changes while it is read


@attrs.define
class Shifting:
    """A platform whose list changes before each of the first pages that are asked for."""

    items: list[str]
    changes: list[tuple[str, int]]
    """What happens before each call: "delete" the item at a place, or "add" one there."""
    strict: bool = False
    """Whether a page behind the last is refused, with 123029, rather than empty."""
    calls: int = 0
    stayed: set[str] = attrs.field(init=False)
    """What was there all the time."""

    def __attrs_post_init__(self) -> None:
        self.stayed = set(self.items)

    async def fetch(self, page_no: int) -> Page[Subscription]:
        if self.calls < len(self.changes):
            what, where = self.changes[self.calls]
            if what == "add":
                self.items.insert(where % (len(self.items) + 1), f"new-{self.calls}")
            elif self.items:
                self.stayed.discard(self.items.pop(where % len(self.items)))
        self.calls += 1
        if self.strict and page_no and page_no * PAGE_SIZE >= len(self.items):
            raise PageOutOfRangeError(400, "123029")
        shown = self.items[page_no * PAGE_SIZE : (page_no + 1) * PAGE_SIZE]
        return Page([Subscription(subscription_id=id_) for id_ in shown], len(shown), len(self.items))


def shifting(size: int, changes: Sequence[tuple[str, int]], *, strict: bool = False) -> Shifting:
    return Shifting([f"s{number}" for number in range(size)], list(changes), strict=strict)


async def listed_of(platform: Shifting) -> list[str]:
    return [one.id async for one in read_pages(platform.fetch, Reading())]


@given(
    size=st.integers(0, 450),
    # As many changes as fit into all passes but the last.
    changes=st.lists(st.tuples(st.just("delete"), st.integers(0, 500)), max_size=MAX_PASSES - 1),
    strict=st.booleans(),
)
def test_what_stays_is_listed_once_whatever_is_deleted_meanwhile(
    size: int, changes: list[tuple[str, int]], *, strict: bool
) -> None:
    platform = shifting(size, changes, strict=strict)
    listed = run(listed_of(platform))
    assert platform.stayed <= set(listed)
    assert not [id_ for id_, count in Counter(listed).items() if count > 1]


async def test_a_page_that_repeats_items_yields_them_once() -> None:
    platform = shifting(250, [("add", 0), ("add", 0), ("add", 0)])
    listed = await listed_of(platform)
    assert len(listed) == len(set(listed))
    assert platform.stayed <= set(listed)


async def test_a_quiet_list_is_read_once() -> None:
    platform = shifting(200, [])
    assert len(await listed_of(platform)) == 200
    assert platform.calls == 2


async def test_a_list_that_never_rests_is_given_up_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    platform = shifting(300, [("add", 0), ("delete", 5)] * 50)
    listed = await listed_of(platform)
    assert len(listed) == len(set(listed))
    assert "the list changed each of the 4 times" in caplog.text
