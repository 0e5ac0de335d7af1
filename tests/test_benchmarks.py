"""The benchmarks measure what they say: their bars can be missed, and their server counts right."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from aionorth.simulator import Simulator

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks" / "__main__.py").is_file():
    pytest.skip("benchmarks/ is not beside tests/", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an installed aionorth stays the one that is tested

from benchmarks import schedule  # noqa: E402 - findable only now
from benchmarks.harness import PremiseError, Spread, Verdict  # noqa: E402 - as above
from benchmarks.light_server import REPLY, Counter, Replier  # noqa: E402 - as above


def test_aionorth_meets_the_bars_of_one_schedule() -> None:
    verdict = Verdict()
    schedule.check(verdict, "sliding", [schedule.measure(schedule.with_aionorth, "sliding", seed=1)])
    assert verdict.exit_code == 0, verdict.missed


@pytest.mark.filterwarnings("ignore:.*iscoroutinefunction:DeprecationWarning")  # backoff 2.2 on Python 3.14
def test_a_client_that_is_refused_misses_a_bar_though_it_hides_it() -> None:
    run = schedule.measure(schedule.with_limiter_alone, "sliding", seed=1, calls=150)
    assert run.calls == 150 + run.refusals
    verdict = Verdict()
    schedule.check(verdict, "sliding", [run], calls=150)
    assert verdict.exit_code == 1
    assert verdict.missed[0] == f"sliding: {run.refusals} refusals, allowed 0"


@pytest.mark.parametrize(
    ("run", "missed"),
    [
        (schedule.Run(seconds=555.0, refusals=0, calls=1000), []),
        (schedule.Run(seconds=555.1, refusals=0, calls=1000), ["m: slowest run 555.1 s, allowed 555 s"]),
        (schedule.Run(seconds=550.0, refusals=0, calls=1001), ["m: every run took exactly 1,000 calls"]),
        (schedule.Run(seconds=550.0, refusals=1, calls=1000), ["m: 1 refusals, allowed 0"]),
    ],
)
def test_each_bar_is_missed_by_a_run_that_is_just_beyond_it(run: schedule.Run, missed: list[str]) -> None:
    verdict = Verdict()
    schedule.check(verdict, "m", [schedule.Run(seconds=540.0, refusals=0, calls=1000), run])
    assert verdict.missed == missed


@pytest.mark.parametrize(
    ("run", "missed"),
    [
        (schedule.Run(seconds=966.0, refusals=10, calls=1000, taken=0.05), []),
        (schedule.Run(seconds=967.0, refusals=0, calls=1000), ["1.151 of the lower bound, allowed 1.15"]),
        (schedule.Run(seconds=840.0, refusals=11, calls=1000), ["11.0 of 1,000 calls refused, allowed 10"]),
        (
            schedule.Run(seconds=840.0, refusals=0, calls=1000, taken=0.06),
            ["6.0% of the other caller's calls refused, allowed 5%"],
        ),
    ],
)
def test_each_bar_beside_another_caller_is_missed_by_a_run_that_is_just_beyond_it(
    run: schedule.Run, missed: list[str]
) -> None:
    verdict = Verdict()
    schedule.check_case(verdict, schedule.CASES[2], "fixed", [run])
    assert [bar.partition(": ")[2] for bar in verdict.missed] == missed


def test_the_lower_bound_of_a_case_is_that_of_what_is_left_to_us() -> None:
    assert [case.bound for case in schedule.CASES] == [540.0, 1140.0, 840.0]


def test_the_other_caller_is_there_before_us_and_counted_by_the_platform() -> None:
    run = schedule.measure(schedule.with_aionorth, "sliding", seed=1, calls=150, case=schedule.CASES[2])
    assert run.refusals > 0
    assert run.calls == 150 + run.refusals
    assert 0 <= run.taken <= 0.2


@pytest.mark.filterwarnings("ignore:.*iscoroutinefunction:DeprecationWarning")  # as above
@pytest.mark.parametrize("name", schedule.CLIENTS)
def test_each_client_gets_everything_done(name: str) -> None:
    run = schedule.measure(schedule.CLIENTS[name], "sliding", seed=1, calls=120, case=schedule.CASES[1])
    assert run.calls == 120 + run.refusals


def test_a_client_that_leaves_something_undone_has_no_time() -> None:
    async def idle(platform: Simulator, ids: Sequence[str], workers: int) -> None:
        pass

    with pytest.raises(PremiseError, match="still has 3 subscriptions"):
        schedule.measure(idle, "sliding", seed=1, calls=3)


def test_the_lower_bound_counts_whole_periods_before_the_last_call() -> None:
    assert [schedule.lower_bound(calls) for calls in (1, 100, 101, 1000, 1001)] == [0, 0, 60, 540, 600]


def test_a_spread_shows_median_and_extremes() -> None:
    assert f"{Spread.of([3, 1, 2, 10]):.1f}" == "2.5 (1.0 to 10.0)"


async def test_the_light_server_answers_each_request_once_however_they_are_cut() -> None:
    counter = Counter()
    server = await asyncio.get_running_loop().create_server(lambda: Replier(counter), "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        request = b"DELETE /a HTTP/1.1\r\nHost: b\r\n\r\n"
        answered = 0
        for cut in range(1, len(request)):
            writer.write(request + request[:cut])  # one whole, and the beginning of another
            assert await reader.readexactly(len(REPLY)) == REPLY
            answered += 1
            assert counter.answered == answered
            writer.write(request[cut:])
            assert await reader.readexactly(len(REPLY)) == REPLY
            answered += 1
        assert counter.answered == answered
        writer.close()
        await writer.wait_closed()
