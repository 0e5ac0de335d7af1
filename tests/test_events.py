"""What a session's observers are called with, against what the simulator saw."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import pytest
from support import APP, session

import aionorth
from aionorth.events import (
    CallEnded,
    CallStarted,
    Event,
    Held,
    IdSettled,
    LimitLearned,
    Observers,
    OperationEnded,
    OperationStarted,
    Paused,
    Refused,
    Released,
    RunEnded,
    RunStarted,
    SessionClosed,
    SessionOpened,
    StoreLost,
    StoreReached,
    TokenObtained,
)
from aionorth.models import Outcome
from aionorth.simulator import Delay, ErrorIn200, Reset, ServerError, Simulator
from aionorth.stores.base import StoreRetry

SECRET = "s3cret-of-the-app"
T = TypeVar("T", bound=Event)

FAULTS = {Reset(after_effect=True): 0.05, Reset(): 0.05, ServerError(): 0.05}


@attrs.define
class Log:
    """An observer that keeps all events."""

    events: list[Event] = attrs.Factory(list[Event])

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


async def test_every_attempt_and_every_id_is_reported_once_whatever_happens() -> None:
    log = Log()
    async with Simulator({APP: SECRET}, calls=40, period=20.0, chances=FAULTS, seed=3) as platform:
        ids = platform.add_subscriptions(300)
        platform.script(ErrorIn200("1010005"), method="DELETE")
        flow = aionorth.FlowControl(60, 20.0)
        async with session(platform, secret=SECRET, observers=[log], flow_control=flow) as north:
            summary = await north.delete_subscriptions([*ids, "nobody", ids[0]])
        arrivals = platform.arrivals
    started, ended = log.of(CallStarted), log.of(CallEnded)
    assert len(arrivals) == len(started) == len(ended)
    assert Counter(arrival.method for arrival in arrivals) == Counter(event.method for event in ended)
    assert len(log.of(Refused)) == sum(arrival.refused for arrival in arrivals) > 0
    of_run = [event for event in ended if event.operation == "delete_subscription"]
    assert len(of_run) == summary.calls
    (begin,), (end,) = log.of(RunStarted), log.of(RunEnded)
    assert {event.within for event in of_run} == {begin.run} == {end.run}
    assert {event.within for event in ended if event not in of_run} == {None}
    settled = {event.result.id: event.result.outcome for event in log.of(IdSettled)}
    assert len(settled) == len(log.of(IdSettled)) == summary.total == 301
    assert end.counts == Counter(settled.values()) == {one: summary.count(one) for one in Outcome if summary.count(one)}
    assert begin.expected == 302
    assert len(log.of(TokenObtained)) == sum(event.operation == "login" for event in ended) == 2
    assert log.of(Paused)
    assert all(event.limit < event.configured == 60 for event in log.of(LimitLearned))
    assert isinstance(log.events[0], SessionOpened)
    assert isinstance(log.events[-1], SessionClosed)
    assert log.events.index(begin) < log.events.index(log.of(IdSettled)[0])
    for first, last in zip(sorted(started, key=number), sorted(ended, key=number), strict=True):
        assert log.events.index(first) < log.events.index(last)
        common = attrs.asdict(first)
        assert {name: value for name, value in attrs.asdict(last).items() if name in common} == common


def number(event: CallStarted | CallEnded) -> int:
    return event.number


async def test_a_single_call_is_an_operation_with_its_attempts_within() -> None:
    log = Log()
    async with Simulator({APP: SECRET}) as platform:
        (id_,) = platform.add_subscriptions(1)
        platform.script(ServerError(), method="DELETE", times=2)
        async with session(platform, secret=SECRET, observers=[log]) as north:
            await north.delete_subscription(id_)
            with pytest.raises(aionorth.SubscriptionNotFoundError):
                await north.get_subscription(id_)
    first, second = log.of(OperationStarted)
    assert [event.error_type for event in log.of(OperationEnded)] == [None, "100225"]
    of_first = [event for event in log.of(CallEnded) if event.within == first.number]
    assert [(event.attempt, event.error_type) for event in of_first] == [(1, "100501"), (2, "100501"), (3, None)]
    assert {event.url_template for event in of_first} == {"/iocm/app/sub/v1.2.0/subscriptions/{subscriptionId}"}
    assert [event.operation for event in log.of(CallEnded) if event.within == second.number] == ["get_subscription"]


async def test_a_call_that_is_cancelled_has_ended() -> None:
    log = Log()
    async with Simulator({APP: SECRET}) as platform:
        async with session(platform, secret=SECRET, observers=[log]) as north:
            await north.list_subscriptions().__anext__() if platform.add_subscriptions(1) else None
            platform.script(Delay(60.0), method="DELETE")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await north.delete_subscription("one")
    ended = log.of(CallEnded)[-1]
    assert (ended.operation, ended.status, ended.error_type) == ("delete_subscription", None, "CancelledError")
    assert log.of(OperationEnded)[-1].error_type == "CancelledError"


async def test_an_outage_is_reported_when_it_begins_and_when_it_ends() -> None:
    log = Log()
    async with Simulator({APP: SECRET}) as platform:
        ids = platform.add_subscriptions(200)
        async with session(platform, secret=SECRET, observers=[log]) as north:
            platform.outage(seconds=300.0, kind="502", after=30.0)
            assert (await north.delete_subscriptions(ids)).ok
    (held,), (released,) = log.of(Held), log.of(Released)
    assert "502" in held.reason
    assert 250 <= released.silent_for <= 332
    assert log.events.index(held) < log.events.index(released)
    assert {event.within for event in log.of(CallEnded) if event.operation == "probe"} == {None}


async def test_a_store_that_is_lost_for_a_while_is_reported_twice() -> None:
    log = Log()
    errors = [aionorth.StoreUnavailableError("out of reach")] * 3

    async def use() -> str:
        if errors:
            raise errors.pop()
        return "there"

    assert await StoreRetry(Observers(APP, [log])).until(use) == "there"
    lost, reached = log.events
    assert lost == StoreLost(app_id=APP, reason="out of reach")
    assert isinstance(reached, StoreReached)
    assert reached.lost_for > 0


@pytest.mark.parametrize("error", [RuntimeError("no"), asyncio.CancelledError()])
async def test_an_observer_that_raises_is_logged_once_and_harms_nothing(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()

    def broken(_: Event) -> None:
        raise error

    async with Simulator({APP: SECRET}, calls=10, period=20.0) as platform:
        ids = platform.add_subscriptions(40)
        flow = aionorth.FlowControl(20, 20.0)
        async with session(platform, secret=SECRET, observers=[broken, log, log], flow_control=flow) as north:
            assert (await north.delete_subscriptions(ids)).deleted == 40
    assert len(log.of(IdSettled)) == 40  # once, though it is named twice
    failed = [record for record in caplog.records if "further errors are not shown" in record.message]
    assert len(failed) <= 2  # the session's, and the app's
    assert failed


async def test_what_sessions_of_an_app_share_is_reported_to_all_of_them_while_they_are_open() -> None:
    one, other = Log(), Log()
    async with Simulator({APP: SECRET}, calls=10, period=20.0) as platform:
        ids = platform.add_subscriptions(60)
        flow = aionorth.FlowControl(20, 20.0)
        async with session(platform, secret=SECRET, observers=[one], flow_control=flow) as north:
            async with session(platform, secret=SECRET, observers=[other], flow_control=flow):
                await north.delete_subscriptions(ids[:30])
            known = len(other.events)
            await north.delete_subscriptions(ids[30:])
    assert len(other.events) == known
    assert len(one.of(Paused)) >= len(other.of(Paused)) >= 1
    assert not other.of(CallEnded)
    assert not other.of(IdSettled)


async def test_ids_are_in_what_settles_them_only_and_secrets_nowhere() -> None:
    log = Log()
    async with Simulator({APP: SECRET}, chances=FAULTS, seed=1) as platform:
        ids = platform.add_subscriptions(50)
        async with session(platform, secret=SECRET, observers=[log]) as north:
            await north.delete_subscriptions(ids)
            await north.check()
        tokens = [platform.issue_token()]
    for event in log.events:
        text = repr(event)
        assert SECRET not in text
        assert not any(token in text for token in tokens)
        assert isinstance(event, IdSettled) or not any(id_ in text for id_ in ids)


async def coroutine(event: Event) -> None: ...


@pytest.mark.parametrize("observers", ["log", 7, [None], [print, 3], [coroutine]])
def test_what_cannot_be_called_is_no_observer(observers: Any) -> None:
    with pytest.raises(aionorth.ArgumentError, match="observers="):
        aionorth.NorthSession("http://127.0.0.1", app_id=APP, secret=SECRET, observers=observers)


async def test_log_records_carry_their_facts_and_ids_only_below_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "aionorth")
    async with Simulator({APP: SECRET}, calls=10, period=20.0, chances=FAULTS, seed=4) as platform:
        ids = platform.add_subscriptions(40)
        async with session(platform, secret=SECRET, flow_control=aionorth.FlowControl(20, 20.0)) as north:
            await north.delete_subscriptions(ids)
        arrivals = platform.arrivals
    records = [record for record in caplog.records if record.name == "aionorth"]
    assert {getattr(record, "app_id", None) for record in records} == {APP}
    attempts = [record for record in records if hasattr(record, "operation")]
    assert len(attempts) == len(arrivals)
    assert all(record.levelno == logging.DEBUG for record in attempts)
    fact: Callable[[str], set[object]] = lambda name: {getattr(record, name) for record in attempts}  # noqa: E731
    assert fact("operation") >= {"login", "delete_subscription"}
    assert "1010009" in fact("code")
    assert max(record.__dict__["attempt"] for record in attempts) > 1
    assert all(record.__dict__["waited"] >= 0 for record in attempts)
    for record in records:
        text = record.getMessage()
        assert SECRET not in text
        assert record.levelno == logging.DEBUG or not any(id_ in text for id_ in ids)
