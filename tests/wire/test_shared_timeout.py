import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aionorth.wire.transport.timeout import SharedTimeout


@contextmanager
def watched(dog: SharedTimeout, until: float) -> Iterator[None]:
    task = dog.start(until)
    try:
        yield
    finally:
        dog.stop(task)


async def test_each_call_is_cut_off_when_its_own_time_is_up() -> None:
    loop = asyncio.get_running_loop()
    dog = SharedTimeout()
    start = loop.time()
    ends: list[float] = []

    async def call(begin: float, length: float) -> None:
        await asyncio.sleep(begin)
        try:
            with watched(dog, loop.time() + 10):
                await asyncio.sleep(length)
        except TimeoutError:
            ends.append(round(loop.time() - start, 3))

    await asyncio.gather(call(0, 30), call(1, 5), call(2, 30), call(2, 9.9), call(13, 30), call(50, 10.1))
    assert ends == [10.0, 12.0, 23.0, 60.0]


async def test_a_cancellation_from_outside_stays_one() -> None:
    loop = asyncio.get_running_loop()
    dog = SharedTimeout()

    async def call() -> None:
        with watched(dog, loop.time() + 10):
            await asyncio.sleep(30)

    for moment in (5.0, 10.0):  # the second at the very moment at which it is cut off
        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        loop.call_later(moment, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_task_that_was_cut_off_goes_on_as_if_it_had_never_been_cancelled() -> None:
    loop = asyncio.get_running_loop()
    dog = SharedTimeout()
    for _ in range(3):
        with pytest.raises(TimeoutError), watched(dog, loop.time() + 1):
            await asyncio.sleep(5)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(5)
    async with asyncio.timeout(1):
        await asyncio.sleep(0.5)


async def test_another_error_is_not_hidden() -> None:
    loop = asyncio.get_running_loop()
    dog = SharedTimeout()
    with pytest.raises(LookupError), watched(dog, loop.time() + 1):
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            raise LookupError from None
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_there_is_one_timer_however_many_calls_there_are_and_none_after_closing() -> None:
    loop = asyncio.get_running_loop()
    dog = SharedTimeout()

    async def call() -> None:
        for _ in range(10):
            with watched(dog, loop.time() + 1000):
                await asyncio.sleep(0)

    await asyncio.gather(*(call() for _ in range(50)))
    assert len(loop._scheduled) == 1  # type: ignore[attr-defined]  # all there is
    await dog.close()
    assert all(timer.cancelled() for timer in loop._scheduled)  # type: ignore[attr-defined]  # as above


async def test_closing_cuts_off_whatever_is_timed_and_waits_until_it_has_ended() -> None:
    loop = asyncio.get_running_loop()
    dog = SharedTimeout()
    ended: list[str] = []

    async def call(name: str, tidying_up: float) -> None:
        try:
            with watched(dog, loop.time() + 1000):
                try:
                    await asyncio.sleep(500)
                finally:
                    await asyncio.sleep(tidying_up)
        except TimeoutError:
            ended.append(name)
            await asyncio.sleep(100)  # what follows the call is not waited for

    tasks = [asyncio.create_task(call(name, seconds)) for name, seconds in (("slow", 5.0), ("fast", 1.0))]
    await asyncio.sleep(0)
    began = loop.time()
    await dog.close()
    await asyncio.sleep(0)
    assert (ended, round(loop.time() - began, 3)) == (["fast", "slow"], 5.0)
    await asyncio.gather(*tasks)
    await dog.close()  # once more does no harm
