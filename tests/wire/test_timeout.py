"""How long a call may take, and what cuts it off."""

import asyncio

import pytest
from support import session

import aionorth
from aionorth.simulator import Simulator

ONCE = aionorth.RetryPolicy(attempts=1)


def slow_platform(*seconds: float) -> Simulator:
    """A platform whose replies take so long, one after the other."""
    left = iter(seconds)
    return Simulator(latency=lambda _: (0.0, next(left)))


async def test_each_call_is_cut_off_when_its_own_time_is_up() -> None:
    loop = asyncio.get_running_loop()
    ends: list[float] = []
    async with slow_platform(30, 5, 30, 9.9, 30, 10.1) as platform:
        async with session(platform, token=platform.issue_token(), timeout=10, retry=ONCE) as north:
            start = loop.time()

            async def call(begin: float) -> None:
                await asyncio.sleep(begin)
                try:
                    await north.delete_subscription("one", missing_ok=True)
                except aionorth.ReplyTimeoutError:
                    ends.append(round(loop.time() - start, 1))

            await asyncio.gather(*map(call, (0, 1, 2, 2.1, 13, 50)))
    assert ends == [10.0, 12.0, 23.0, 60.0]


@pytest.mark.parametrize("moment", [5.0, 10.0])  # the second at the very moment at which it is cut off
async def test_a_cancellation_from_outside_stays_one(moment: float) -> None:
    loop = asyncio.get_running_loop()
    async with slow_platform(30) as platform:
        async with session(platform, token=platform.issue_token(), timeout=10, retry=ONCE) as north:
            task = asyncio.create_task(north.delete_subscription("one"))
            loop.call_later(moment, task.cancel)
            await asyncio.wait([task])
            assert task.cancelled()


async def test_a_task_whose_call_was_cut_off_goes_on_as_if_it_had_never_been_cancelled() -> None:
    async with slow_platform(30, 30, 30) as platform:
        async with session(platform, token=platform.issue_token(), timeout=1, retry=ONCE) as north:
            for _ in range(3):
                with pytest.raises(aionorth.ReplyTimeoutError, match="no reply within 1 s"):
                    await north.delete_subscription("one")
                task = asyncio.current_task()
                assert task is not None
                assert task.cancelling() == 0
                await asyncio.sleep(5)
            async with asyncio.timeout(1):
                await asyncio.sleep(0.5)
