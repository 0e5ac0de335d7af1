import asyncio
from collections import Counter

import pytest
from support import APP, SECRET, deletes, session

import aionorth
from aionorth.simulator import CannedReply, ErrorIn200, Reset, ServerError, Simulator

LOGIN = "/iocm/app/sec/v1.1.0/login"
REFRESH = "/iocm/app/sec/v1.1.0/refreshToken"


def seen(platform: Simulator) -> Counter[str]:
    """How often the platform was called, by path; deletions as DELETE."""
    return Counter(a.method if a.method == "DELETE" else a.path for a in platform.arrivals)


async def test_the_first_use_logs_in_once_however_many_workers_there_are() -> None:
    async with Simulator() as platform, session(platform) as north:
        assert not platform.arrivals
        summary = await north.delete_subscriptions(platform.add_subscriptions(50), workers=50)
    assert summary.deleted == summary.calls == 50
    assert seen(platform) == {LOGIN: 1, "DELETE": 50}


@pytest.mark.parametrize("quoted", [False, True])
async def test_a_token_is_renewed_by_refresh_well_before_it_expires(quoted: bool) -> None:
    async with Simulator(calls=1000, quoted_expires_in=quoted) as platform, session(platform) as north:
        ids = platform.add_subscriptions(90)
        for id_ in ids:
            await north.delete_subscription(id_)
            await asyncio.sleep(60)
    assert seen(platform) == {LOGIN: 1, REFRESH: 1, "DELETE": 90}
    (renewed,) = [a.counted - platform.arrivals[0].counted for a in platform.arrivals if a.path == REFRESH]
    assert 0.75 * 3600 < renewed < 0.85 * 3600


async def test_where_refreshing_fails_it_logs_in() -> None:
    async with Simulator(calls=1000, token_lifetime=100) as platform, session(platform) as north:
        first, second = platform.add_subscriptions(2)
        await north.delete_subscription(first)
        platform.expire_tokens()
        await asyncio.sleep(90)
        assert (await north.delete_subscription(second)).attempts == 1
    assert seen(platform) == {LOGIN: 2, REFRESH: 1, "DELETE": 2}


async def test_a_refused_token_is_renewed_and_costs_no_attempt() -> None:
    async with Simulator() as platform, session(platform, retry=aionorth.RetryPolicy(attempts=1)) as north:
        ids = platform.add_subscriptions(40)
        run = north.delete_subscriptions(ids, workers=8)
        async with run:
            fetched = 0
            async for _ in run:
                fetched += 1
                if fetched == 10:  # and at most 26 are drawn
                    platform.evict()
    assert run.summary.deleted == 40
    assert run.summary.retries == 0
    assert all(result.attempts == 1 for result in run.summary.results)
    assert seen(platform)[LOGIN] == 2
    assert 41 <= run.summary.calls <= 48
    assert len(deletes(platform)) == run.summary.calls


async def test_calls_that_queue_while_the_token_is_refused_are_not_sent_with_it() -> None:
    async with Simulator(calls=5, period=10.0) as platform:
        ids = platform.add_subscriptions(30)
        async with session(platform, flow_control=aionorth.FlowControl(5, 10.0)) as north:
            await north.delete_subscription(ids[0])
            platform.evict()
            summary = await north.delete_subscriptions(ids[1:], workers=29)
    assert summary.deleted == 29
    assert summary.calls <= 29 + 3  # those that had a slot already when the token was refused
    assert summary.refusals == 0


async def test_a_token_refused_twice_ends_the_run() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_subscriptions(20)
        platform.script(ErrorIn200("1010005"), method="DELETE", times=100)
        with pytest.raises(aionorth.BulkAbortedError, match="1010005") as caught:
            await north.delete_subscriptions(ids, workers=2)
    summary = caught.value.summary
    assert summary.total == 20
    assert summary.deleted == 0
    assert summary.failed + summary.skipped == 20
    assert isinstance(caught.value.__cause__, aionorth.InvalidTokenError)
    assert seen(platform)[LOGIN] == 2


async def test_a_duel_over_the_token_ends_with_an_error_that_says_so() -> None:
    async with Simulator(calls=1000) as platform, session(platform) as north:
        run = north.delete_subscriptions(platform.add_subscriptions(300), workers=1)
        with pytest.raises(aionorth.BulkAbortedError, match="Another client seems to log in with this app_id"):
            async with run:
                fetched = 0
                async for _ in run:
                    fetched += 1
                    if fetched % 10 == 0:
                        platform.evict()
    assert isinstance(run.summary.failures[0].error, aionorth.TokenEvictedError)
    assert seen(platform)[LOGIN] <= 5
    assert run.summary.pending == 0
    assert run.summary.total == 300


async def test_evictions_that_are_far_apart_are_no_duel() -> None:
    async with Simulator(calls=1000) as platform, session(platform) as north:
        for id_ in platform.add_subscriptions(10):
            await north.delete_subscription(id_)
            await asyncio.sleep(600)
            platform.evict()
    assert not platform.subscription_ids()


async def test_wrong_credentials_end_the_run_after_one_login() -> None:
    async with Simulator() as platform, session(platform, secret="wrong") as north:
        with pytest.raises(aionorth.BulkAbortedError) as caught:
            await north.delete_subscriptions(platform.add_subscriptions(30))
        assert isinstance(caught.value.__cause__, aionorth.CredentialsError)
        assert caught.value.summary.skipped == caught.value.summary.total == 30
        assert seen(platform) == {LOGIN: 1}
        with pytest.raises(aionorth.CredentialsError, match="Check the app_id and the secret"):
            await north.delete_subscription("one")


async def test_a_login_that_meets_faults_is_tried_again_and_passes_flow_control() -> None:
    async with Simulator(calls=3, period=10.0) as platform:
        platform.script(ServerError(500, "50252"), path="login")
        platform.script(Reset(), path="login")
        ids = platform.add_subscriptions(4)
        async with session(platform, flow_control=aionorth.FlowControl(3, 10.0)) as north:
            assert (await north.delete_subscriptions(ids)).ok
    assert seen(platform) == {LOGIN: 3, "DELETE": 4}
    assert not any(arrival.refused for arrival in platform.arrivals)


async def test_a_login_refused_by_flow_control_pauses_and_goes_on() -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.script(ErrorIn200("1010009"), path="login", times=2)
        assert (await north.delete_subscriptions(platform.add_subscriptions(3))).ok
        assert north.flow.refusals == 2


async def test_a_worker_cancelled_while_it_logs_in_leaves_the_login_to_the_next() -> None:
    async with Simulator(latency=lambda _: (1.0, 1.0)) as platform, session(platform) as north:
        first, second = platform.add_subscriptions(2)
        tasks = [asyncio.create_task(north.delete_subscription(id_)) for id_ in (first, second)]
        await asyncio.sleep(1.5)
        tasks[0].cancel()
        assert (await tasks[1]).outcome is aionorth.Outcome.DELETED
    assert seen(platform)[LOGIN] == 2


# --- Tokens that the user brings


async def test_a_given_token_is_used_as_it_is_without_a_login() -> None:
    async with Simulator() as platform, session(platform, token=platform.issue_token()) as north:
        assert (await north.delete_subscriptions(platform.add_subscriptions(5))).deleted == 5
    assert seen(platform) == {"DELETE": 5}


async def test_a_given_token_that_is_refused_ends_the_run_with_its_remedy() -> None:
    async with Simulator() as platform, session(platform, token="stale") as north:
        with pytest.raises(aionorth.InvalidTokenError, match="token="):
            await north.delete_subscription("one")


async def test_a_token_function_is_asked_once_and_again_when_its_token_is_refused() -> None:
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(1)
        return platform.issue_token()

    async with Simulator() as platform, session(platform, token=token) as north:
        ids = platform.add_subscriptions(20)
        assert (await north.delete_subscriptions(ids[:10])).deleted == 10
        assert asked == 1
        platform.evict()
        assert (await north.delete_subscriptions(ids[10:])).deleted == 10
        assert asked == 2


async def test_a_token_function_that_fails_ends_the_run_with_its_own_error() -> None:
    async def token() -> str:
        raise LookupError("no token today")

    async with Simulator() as platform, session(platform, token=token) as north:
        with pytest.raises(aionorth.BulkAbortedError, match="no token today") as caught:
            await north.delete_subscriptions(["a", "b"])
        assert isinstance(caught.value.__cause__, LookupError)
        assert caught.value.summary.skipped == 2


async def test_a_token_function_that_is_not_async_is_named() -> None:
    async with Simulator() as platform, session(platform, token=lambda: "token") as north:
        with pytest.raises(aionorth.ArgumentError, match=r"\*async\* function"):
            await north.delete_subscription("one")


# --- What sessions share


async def test_sessions_of_one_app_share_one_token_and_one_budget() -> None:
    async with Simulator(calls=10, period=10.0) as platform:
        ids = platform.add_subscriptions(60)
        flow_control = aionorth.FlowControl(10, 10.0)
        async with (
            session(platform, flow_control=flow_control) as one,
            session(platform, flow_control=flow_control) as two,
        ):
            summaries = await asyncio.gather(one.delete_subscriptions(ids[:30]), two.delete_subscriptions(ids[30:]))
    assert all(summary.deleted == 30 for summary in summaries)
    assert seen(platform)[LOGIN] == 1
    assert not any(arrival.refused for arrival in platform.arrivals)


async def test_where_their_flow_control_differs_the_stricter_holds_and_a_warning_says_so() -> None:
    async with Simulator(calls=4, period=10.0) as platform:
        ids = platform.add_subscriptions(20)
        async with session(platform, flow_control=aionorth.FlowControl(100, 10.0)) as one:
            with pytest.warns(aionorth.NorthWarning, match="4 calls in 10 s hold for all of them"):
                async with session(platform, flow_control=aionorth.FlowControl(4, 10.0)) as two:
                    assert one.flow.limit == two.flow.limit == 4
                    await asyncio.gather(one.delete_subscriptions(ids[:10]), two.delete_subscriptions(ids[10:]))
    assert not platform.subscription_ids()
    assert not any(arrival.refused for arrival in platform.arrivals)


async def test_a_session_opened_after_another_closed_still_knows_what_it_sent() -> None:
    async with Simulator(calls=5, period=10.0) as platform:
        ids = platform.add_subscriptions(20)
        for start in range(0, 20, 5):
            async with session(platform, flow_control=aionorth.FlowControl(5, 10.0)) as north:
                await north.delete_subscriptions(ids[start : start + 5])
    assert not any(arrival.refused for arrival in platform.arrivals)
    assert seen(platform) == {LOGIN: 1, "DELETE": 20}


async def test_an_app_is_forgotten_once_its_calls_no_longer_count() -> None:
    async with Simulator(calls=5, period=10.0) as platform:
        for _ in range(2):
            async with session(platform, flow_control=aionorth.FlowControl(5, 10.0)) as north:
                await north.delete_subscription(platform.add_subscriptions(1)[0])
            await asyncio.sleep(11)
    assert seen(platform)[LOGIN] == 2


async def test_sessions_of_different_apps_share_nothing() -> None:
    async with Simulator({APP: SECRET, "other": "secret-2"}, calls=1000) as platform:
        mine, theirs = platform.add_subscriptions(1), platform.add_subscriptions(1, app_id="other")
        async with (
            session(platform) as one,
            aionorth.NorthSession(platform.url, app_id="other", secret="secret-2") as two,
        ):
            await one.delete_subscription(mine[0])
            await two.delete_subscription(theirs[0])
            assert one.flow.in_use == two.flow.in_use == 2


async def test_a_wrong_secret_does_not_find_the_token_of_the_right_one() -> None:
    async with Simulator() as platform, session(platform) as right, session(platform, secret="wrong") as wrong:
        first, second = platform.add_subscriptions(2)
        await right.delete_subscription(first)
        with pytest.raises(aionorth.CredentialsError):
            await wrong.delete_subscription(second)


async def test_a_login_reply_that_is_a_page_is_an_error_not_a_token() -> None:
    async with Simulator() as platform, session(platform, retry=aionorth.RetryPolicy(attempts=2)) as north:
        platform.script(CannedReply(200, b"<html>welcome</html>"), path="login", times=2)
        with pytest.raises(aionorth.ReplyLostError):
            await north.delete_subscription("one")


# --- Trouble while a token is obtained


async def test_a_login_that_is_not_found_is_no_word_about_any_id() -> None:
    async with Simulator() as platform, session(platform) as north:
        ids = platform.add_subscriptions(5)
        platform.script(CannedReply(404), path="login", times=100)
        with pytest.raises(aionorth.NorthApiError, match="check the base URL") as single:
            await north.delete_subscription(ids[0], missing_ok=True)
        assert not isinstance(single.value, aionorth.NotFoundError)
        with pytest.raises(aionorth.BulkAbortedError) as caught:
            await north.delete_subscriptions(ids)
        assert (caught.value.summary.skipped, caught.value.summary.calls) == (5, 0)


async def test_a_token_function_that_does_not_find_its_token_is_no_word_about_any_id() -> None:
    async def token() -> str:
        raise aionorth.SubscriptionNotFoundError(404, "100225")

    async with Simulator() as platform, session(platform, token=token) as north:
        with pytest.raises(aionorth.BulkAbortedError) as caught:
            await north.delete_subscriptions(["one", "two"])
        assert caught.value.summary.skipped == 2


async def test_a_token_that_cannot_be_renewed_just_now_is_used_while_it_lives() -> None:
    policy = aionorth.RetryPolicy(attempts=2, base=1.0)
    async with Simulator(calls=1000) as platform, session(platform, retry=policy) as north:
        ids = platform.add_subscriptions(60)
        for number, id_ in enumerate(ids):
            if number == 45:
                platform.script(ServerError(), path="/sec/", times=8)  # from before the renewal until after it
            await north.delete_subscription(id_)
            await asyncio.sleep(60)
    assert not platform.subscription_ids()
    assert seen(platform)[LOGIN] + seen(platform)[REFRESH] >= 9


async def test_concurrent_calls_with_a_wrong_secret_log_in_once() -> None:
    async with Simulator(latency=lambda _: (1.0, 0.0)) as platform, session(platform, secret="wrong") as north:
        calls = [asyncio.create_task(north.delete_subscription(f"id-{n}")) for n in range(5)]
        await asyncio.sleep(0.5)
        calls += [asyncio.create_task(north.delete_subscription(f"later-{n}")) for n in range(5)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, aionorth.CredentialsError) for result in results)
        assert seen(platform) == {LOGIN: 1}


async def test_one_session_that_is_closed_while_it_logs_in_leaves_the_login_to_the_other() -> None:
    async with Simulator(latency=lambda _: (1.0, 1.0)) as platform, session(platform) as other:
        mine, theirs = platform.add_subscriptions(2)
        one = session(platform)
        await one.__aenter__()
        first = asyncio.create_task(one.delete_subscription(mine))
        await asyncio.sleep(0.5)
        second = asyncio.create_task(other.delete_subscription(theirs))
        await asyncio.sleep(0.5)
        await one.close()
        assert (await second).outcome is aionorth.Outcome.DELETED
        with pytest.raises(aionorth.NorthError):
            await first


@pytest.mark.parametrize("lifetime", [1, 2])
async def test_a_token_that_hardly_lives_is_used_at_least_once(lifetime: float) -> None:
    async with Simulator(token_lifetime=lifetime, latency=lambda _: (0.2, 0.3)) as platform, session(platform) as north:
        summary = await north.delete_subscriptions(platform.add_subscriptions(10), workers=1)
    assert summary.ok


async def test_a_session_closed_with_calls_in_flight_leaves_its_window_to_the_next() -> None:
    async with Simulator(calls=10, latency=lambda _: (0.5, 0.5)) as platform:
        ids = platform.add_subscriptions(20)
        options = {"token": platform.issue_token(), "flow_control": aionorth.FlowControl(10, 60.0)}
        one = session(platform, **options)
        await one.__aenter__()
        run = asyncio.ensure_future(one.delete_subscriptions(ids[:10]))
        await asyncio.sleep(0.3)
        await one.close()
        async with session(platform, **options) as two:
            assert (await two.delete_subscriptions(ids[10:])).deleted == 10
        with pytest.raises(aionorth.BulkAbortedError):
            await run
    assert not any(arrival.refused for arrival in platform.arrivals)


async def test_sessions_that_come_and_go_leave_no_timers() -> None:
    loop = asyncio.get_running_loop()
    async with Simulator(calls=1000) as platform:
        for _ in range(100):
            async with session(platform) as north:
                await north.delete_subscription("one", missing_ok=True)
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]  # all there is
        assert len(timers) < 20
