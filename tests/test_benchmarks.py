"""The benchmarks measure what they claim: their bars can be missed, and their server counts correctly."""

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from aionorth.simulator import Simulator

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks" / "__main__.py").is_file():
    pytest.skip("benchmarks/ is not beside tests/", allow_module_level=True)
for package in ("aiohttp_retry", "httpx", "huaweicloudsdkiotda", "limits", "matplotlib", "pyrate_limiter", "throttled"):
    pytest.importorskip(package, reason="needs the dependency group bench")
pytest.importorskip("uvloop", reason="needs the dependency group bench")
sys.path.append(str(ROOT))  # at the end: an installed aionorth stays the one that is tested

from benchmarks import limiter, memory, pictures, results, schedule, startup, throughput  # noqa: E402 - findable only now
from benchmarks.__main__ import UNTRUSTWORTHY, main  # noqa: E402 - findable only now
from benchmarks.harness import PremiseError, Record, Spread, turns  # noqa: E402 - as above
from benchmarks.light_server import REPLY, Counter, Replier, light_server  # noqa: E402 - as above

pytestmark = pytest.mark.filterwarnings("ignore:.*iscoroutinefunction:DeprecationWarning")  # backoff 2.2 on Python 3.14


@pytest.fixture
def record() -> Record:
    return Record("test")


# --- schedule


@pytest.mark.slow
def test_aionorth_meets_the_bars_of_one_schedule(record: Record) -> None:
    schedule.check(record, "sliding", [schedule.measure(schedule.with_aionorth, "sliding", seed=1)])
    assert record.exit_code == 0, record.missed


@pytest.mark.slow
def test_a_client_that_hides_its_refusals_misses_a_bar(record: Record) -> None:
    run = schedule.measure(schedule.with_limiter_alone, "sliding", seed=1, calls=150)
    assert run.calls == 150 + run.refusals
    schedule.check(record, "sliding", [run], calls=150)
    assert record.exit_code == 1
    assert record.missed[0] == f"sliding: {run.refusals} refusals, allowed 0"


@pytest.mark.parametrize(
    ("run", "missed"),
    [
        (schedule.Run(seconds=555.0, refusals=0, calls=1000), []),
        (schedule.Run(seconds=555.1, refusals=0, calls=1000), ["m: slowest run 555.1 s, allowed 555 s"]),
        (schedule.Run(seconds=550.0, refusals=0, calls=1001), ["m: every run took exactly 1,000 calls"]),
        (schedule.Run(seconds=550.0, refusals=1, calls=1000), ["m: 1 refusals, allowed 0"]),
    ],
)
def test_each_bar_is_missed_by_a_run_that_is_just_beyond_it(
    record: Record, run: schedule.Run, missed: list[str]
) -> None:
    schedule.check(record, "m", [schedule.Run(seconds=540.0, refusals=0, calls=1000), run])
    assert record.missed == missed


@pytest.mark.parametrize(
    ("run", "missed"),
    [
        (schedule.Run(seconds=940.0, refusals=10, calls=1000, taken=0.05), []),
        (schedule.Run(seconds=941.0, refusals=0, calls=1000), ["1.120 of the lower bound, allowed 1.12"]),
        (schedule.Run(seconds=840.0, refusals=11, calls=1000), ["11.0 of 1,000 calls refused, allowed 10"]),
        (
            schedule.Run(seconds=840.0, refusals=0, calls=1000, taken=0.06),
            ["6.0% of the other caller's calls refused, allowed 5%"],
        ),
    ],
)
def test_each_bar_beside_another_caller_is_missed_by_a_run_that_is_just_beyond_it(
    record: Record, run: schedule.Run, missed: list[str]
) -> None:
    schedule.check_case(record, schedule.CASES[2], "fixed", [run])
    assert [bar.partition(": ")[2] for bar in record.missed] == missed


@pytest.mark.parametrize(
    ("seconds", "refusals", "ahead"), [(540.0, 1.0, True), (540.0, 1.1, False), (550.0, 0.0, False), (549.9, 0.0, True)]
)
def test_a_peer_is_ahead_if_it_is_faster_and_not_refused_more(
    record: Record, seconds: float, refusals: float, *, ahead: bool
) -> None:
    ours = schedule.Mean(550.0, 1.0, 0.0)
    means = {schedule.OURS: ours, "peer": schedule.Mean(seconds, refusals, 0.0)}
    schedule.check_peers(record, "here", "sliding", means)
    assert bool(record.missed) is ahead


def test_a_peer_may_be_ahead_for_a_known_reason(record: Record) -> None:
    means = {schedule.OURS: schedule.Mean(550.0, 0.0, 0.0), "limits": schedule.Mean(544.0, 0.0, 0.0)}
    schedule.check_peers(record, "alone", "fixed", means)
    assert not record.missed
    assert "limits (544.0 s, 0.0: counts a call as of its sending" in record.bars[-1].bar
    schedule.check_peers(record, "alone", "sliding", means)
    assert record.missed


def test_the_lower_bound_of_a_case_is_that_of_the_calls_left_to_the_client() -> None:
    assert [case.bound for case in schedule.CASES] == [540.0, 1140.0, 840.0, 600.0]


def test_the_other_caller_starts_before_the_client_and_is_counted() -> None:
    run = schedule.measure(schedule.with_aionorth, "sliding", seed=1, calls=150, case=schedule.CASES[2])
    assert run.refusals > 0
    assert run.calls == 150 + run.refusals
    assert 0 <= run.taken <= 0.2


@pytest.mark.slow
@pytest.mark.parametrize("model", ["sliding", "small-burst"])
def test_a_window_that_was_used_before_is_so_by_the_calls_of_another(model: str) -> None:
    run = schedule.measure(schedule.with_aionorth, model, seed=1, calls=20, case=schedule.CASES[3])
    assert run.calls == 20 + run.refusals
    assert run.refusals > 0
    assert (run.seconds >= 50) == (model == "sliding")  # then most of them wait until those of the other age


@pytest.mark.slow
@pytest.mark.parametrize("name", schedule.CLIENTS)
def test_each_client_gets_everything_done(name: str) -> None:
    run = schedule.measure(schedule.CLIENTS[name], "sliding", seed=1, calls=120, case=schedule.CASES[1])
    assert run.calls == 120 + run.refusals == len(run.accepted) + len(run.refused)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pyrate-limiter", "limits", "throttled-py"])
def test_a_package_that_reads_the_clock_itself_uses_that_of_the_loop(name: str) -> None:
    run = schedule.measure(schedule.CLIENTS[name], "bucket", seed=1, calls=201)
    assert 60 <= run.seconds < 200


def test_a_client_that_does_not_finish_has_no_time() -> None:
    async def idle(platform: Simulator, ids: Sequence[str], workers: int) -> None:
        pass

    with pytest.raises(PremiseError, match="still has 3 subscriptions"):
        schedule.measure(idle, "sliding", seed=1, calls=3)


def test_the_lower_bound_counts_whole_periods_before_the_last_call() -> None:
    assert [schedule.lower_bound(calls) for calls in (1, 100, 101, 1000, 1001)] == [0, 0, 60, 540, 600]


# --- throughput


@pytest.mark.slow
@pytest.mark.parametrize("name", throughput.CONTENDERS)
def test_each_contender_makes_as_many_calls_as_the_server_counts(name: str) -> None:
    contender = attrs.evolve(throughput.CONTENDERS[name], calls=5, every=1)
    with light_server() as server:
        # In real time: the server is another process.
        costs = asyncio.run(throughput.rounds(server, 2, {name: contender}, 2))
    assert [list(each) for each in costs] == [[name], [name]]


@pytest.mark.slow
async def test_a_client_that_miscounts_its_calls_has_no_cost() -> None:
    async def miscounting(calls: int) -> int:
        return calls

    with light_server() as server, pytest.raises(PremiseError, match="the server answered 0"):
        await throughput.cost(miscounting, server, 5)


def _costs(ours: float, bare: float, vendors: float, cpu: float = 1.0) -> list[dict[str, throughput.Cost]]:
    of_all = {throughput.OURS: (ours, cpu), throughput.BARE: (bare, 1.0)}
    of_all |= dict.fromkeys(throughput.VENDORS, (vendors, 1.0))
    return [{name: throughput.Cost(*each) for name, each in of_all.items()}]


@pytest.mark.parametrize(
    ("costs", "missed"),
    [
        (_costs(1.0, 0.95, 10.0, 1.1), []),
        (_costs(1.0, 0.94, 10.0), ["0.940 of bare aiohttp's calls a second, at least 0.95"]),
        (_costs(1.0, 0.95, 10.0, 1.11), ["1.110 of bare aiohttp's CPU a call, at most 1.1"]),
        (_costs(1.0, 0.95, 9.9), ["9.9 times the calls a second of the faster of the vendor's clients, at least 10"]),
    ],
)
def test_each_bar_of_throughput_is_missed_just_beyond_it(
    record: Record, costs: list[dict[str, throughput.Cost]], missed: list[str]
) -> None:
    throughput.check(record, "here", costs)
    assert [bar.partition(": ")[2] for bar in record.missed] == missed


def test_a_server_less_than_twice_as_fast_as_a_client_proves_nothing() -> None:
    costs = _costs(0.001, 0.002, 0.1)  # the fastest makes 1,000 calls a second
    throughput.check_server(2000.0, costs, 16)
    with pytest.raises(PremiseError, match="must be 2 times as fast"):
        throughput.check_server(1999.0, costs, 16)


# --- limiter, memory, startup


@pytest.mark.slow
@pytest.mark.parametrize("name", limiter.KINDS)
@pytest.mark.parametrize("contended", [False, True])
def test_each_limiter_lets_every_waiter_through(name: str, *, contended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "LEAST", 100)
    limiter.measure(limiter.KINDS[name], 450, contended=contended)


def test_a_limiter_that_limits_nothing_is_no_contended_limiter() -> None:
    def none(_: int, __: float) -> limiter.Acquire:
        return lambda: asyncio.sleep(0)

    with pytest.raises(PremiseError, match="which is no limit"):
        limiter.measure(limiter.Kind(none, none), 450, contended=True)


@pytest.mark.parametrize(("last", "met"), [(4.0, True), (4.1, False)])
def test_the_bar_of_limiters_allows_a_cost_that_doubles(record: Record, last: float, *, met: bool) -> None:
    limiter.check(record, "free", {1: 90.0, 1_000: 2.0, 10_000: 9.0, 100_000: last})
    assert (not record.missed) is met


@pytest.mark.slow
def test_memorys_clients_delete_every_id_with_and_without_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "peak", lambda: 0.0)  # the tests' own process is a large one
    ours = memory.measure(memory.OURS, 20)
    assert (ours.deleted, len(ours.run), len(ours.bare), len(ours.own_costs())) == (20, 1, 1, 1)
    assert memory.measure(memory.GATHER, 20).deleted == 20
    with light_server() as server:
        assert memory.measure(memory.OURS, 20, server).deleted == 20


@pytest.mark.slow
def test_a_child_whose_peak_is_no_higher_than_its_parents_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "peak", lambda: 1e6)
    with pytest.raises(PremiseError, match="may be that of the process that started"):
        memory.measure(memory.GATHER, 1)


@pytest.mark.slow
def test_a_purge_that_is_resumed_is_measured_and_checked(record: Record) -> None:
    one = memory.measure_resume(50)
    assert one.deleted == 50
    assert one.peak > 10
    memory.check_resumed(record, {200_000: attrs.evolve(one, seconds=3.0, peak=150.0)})
    assert not record.missed
    for seconds, peak in ((3.1, 150.0), (3.0, 151.0)):
        memory.check_resumed(record, {200_000: attrs.evolve(one, seconds=seconds, peak=peak)})
    assert len(record.missed) == 2


def _used(ids: int, peak: float, own: float) -> memory.Runs:
    slices = ids // memory.SLICE
    run, bare = [(5.0 + own) * memory.SLICE / 1e6] * slices, [5.0 * memory.SLICE / 1e6] * slices
    return {memory.OURS: [memory.Usage(peak=peak, deleted=ids, run=run, bare=bare)]}


@pytest.mark.parametrize(
    ("peak", "own", "missed"),
    [
        (56.0, 14.99, 0),
        (56.1, 14.99, 1),  # too much memory
        (56.0, 15.01, 1),  # too expensive
        (56.0, 11.9, 1),  # not flat: the maximum is that of 10,000 ids
    ],
)
def test_each_bar_of_memory_is_missed_just_beyond_it(record: Record, peak: float, own: float, missed: int) -> None:
    memory.check(record, {memory.FEW: _used(memory.FEW, 40.0, 14.9), memory.MANY: _used(memory.MANY, peak, own)})
    assert len(record.missed) == missed, record.missed


def test_startup_times_imports_and_whole_programs(tmp_path: Path) -> None:
    assert startup.inside(str(tmp_path), "pass").wall >= 0
    assert startup.outside(str(tmp_path), "-c", "pass").wall > 0
    with pytest.raises(PremiseError, match="no_such_module"):
        startup.inside(str(tmp_path), "import no_such_module")


@pytest.mark.parametrize(("cpu", "met"), [(1.25, True), (1.26, False)])
def test_the_bar_of_startup_is_missed_just_beyond_it(record: Record, cpu: float, *, met: bool) -> None:
    startup.check(record, [{startup.OURS: startup.Time(9.0, cpu), startup.BARE: startup.Time(1.0, 1.0)}])
    assert (not record.missed) is met


# --- what they share


def test_a_directory_that_cannot_be_written_to_is_reported_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="2"):
        main(["--results", str(tmp_path / "file"), "startup"])
    assert "nothing can be written there" in capsys.readouterr().err


def test_figures_without_a_conclusion_have_an_exit_code_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PremiseError("the sky is green")

    monkeypatch.setattr(startup, "main", fail)
    assert main(["--results", str(tmp_path), "startup"]) == UNTRUSTWORTHY
    assert json.loads((tmp_path / "startup.json").read_text(encoding="utf-8"))["failure"] == "the sky is green"


@pytest.mark.parametrize(
    "arguments", [["schedule", "--seeds", "0"], ["startup", "--rounds", "0"], ["limiter", "--most", "9"]]
)
def test_too_little_to_measure_is_a_mistake_in_the_command_line(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--results", str(tmp_path), *arguments])


def test_a_spread_shows_median_and_extremes() -> None:
    assert f"{Spread.of([3, 1, 2, 10]):.1f}" == "2.5 (1.0 to 10.0)"


def test_each_thing_begins_equally_many_rounds() -> None:
    assert list(turns("abc", 4)) == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_results_hold_every_sample_and_become_one_page_that_needs_nothing_else(tmp_path: Path, record: Record) -> None:
    record.table("A table", ["what", "how much"]).row("a <thing>", "1.0")
    record.check("a bar", met=False)
    record.samples["seconds"] = [0.123456789, float("inf")]
    record.draw(
        "picture", "A picture", pictures.bars({"x": {"aionorth": 1.0, "other": 2.0}}, ours="aionorth", label="")
    )
    results.write(record, tmp_path, seconds=1.0)
    found = json.loads((tmp_path / "test.json").read_text(encoding="utf-8"))
    assert found["samples"] == {"seconds": [0.123457, None]}
    assert found["machine"]["versions"].keys() >= {"aionorth", "aiohttp"}
    page = results.write_page(tmp_path, ["absent", "test"]).read_text(encoding="utf-8")
    assert "a &lt;thing&gt;" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


@pytest.mark.slow
def test_pictures_have_colours_of_both_kinds() -> None:
    runs = {
        "aionorth": pictures.Schedule([0.0, 60.0], [], 60.0),
        "other": pictures.Schedule([0.0], [1.0], float("inf")),
    }
    cells = {"case": {"model": {"aionorth": (1.0, 0.0), "other": (9.0, 100.0)}}}
    for svg in (
        pictures.schedules(runs, at_once=1, period=60.0, calls=2),
        pictures.trade_off(cells, ours="aionorth"),
        pictures.lines({"x": {"aionorth": {1: 1.0, 10: 2.0}}}, ours="aionorth", x_label=""),
    ):
        assert "prefers-color-scheme:dark" in svg
        assert "var(--ours)" in svg
        assert not any(placeholder in svg for placeholder in pictures.COLOURS)


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
