"""Processes that share one app: no refusal and one login, whatever happens to one of them or to the store."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from processes import Arrival, Platform, RedisServer, Worker, in_service, redis_server
from support import fullest_window

pytestmark = pytest.mark.slow

CALLS, PERIOD, TIMEOUT = 100, 5.0, 10.0
NUMBER = 399  # with a login they fill four windows


@pytest.fixture(params=["machine", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "machine":
        yield str(tmp_path / "flow")
    else:
        with redis_server(tmp_path) as server:
            yield server.url


def platform(number: int = NUMBER) -> Platform:
    """A platform that counts refused calls too: a client that does not stop calling stays locked out."""
    return Platform(model="sliding-refusals", calls=CALLS, period=PERIOD, subscriptions=number)


def start(stack: ExitStack, there: Platform, store: str, number: int, *, new: bool = True) -> list[Worker]:
    """Start so many workers; the data of a Redis are set as if it had known a `new` app for a long time."""
    if new and store.startswith("redis"):
        in_service(store, there.url)
    workers = [
        stack.enter_context(Worker(there, store=store, calls=CALLS, period=PERIOD, timeout=TIMEOUT))
        for _ in range(number)
    ]
    for worker in workers:
        worker.ready()
    return workers


def results(lines: list[Any]) -> dict[str, str]:
    return dict(one for one in lines if isinstance(one, list))


def seconds(arrivals: list[Arrival]) -> float:
    deletes = [arrival.received for arrival in arrivals if arrival.method == "DELETE"]
    return max(deletes) - min(deletes)


def run(store: str, number: int) -> tuple[list[Arrival], dict[str, str]]:
    """Let so many processes delete everything; return what arrived, and the outcome of each id."""
    with platform() as there, ExitStack() as stack:
        workers = start(stack, there, store, number)
        for place, worker in enumerate(workers):
            worker.write(there.ids[place::number])
        outcomes = {id_: outcome for worker in workers for id_, outcome in results(worker.read_rest()).items()}
        arrivals = there.arrivals()
        assert there.left == []
        return arrivals, outcomes


def test_four_processes_are_as_fast_as_one_and_never_refused(store: str, tmp_path: Path) -> None:
    alone, _ = run(str(tmp_path / "alone"), 1)
    arrivals, outcomes = run(store, 4)
    assert sum(arrival.refused for arrival in [*alone, *arrivals]) == 0
    assert list(outcomes.values()) == ["deleted"] * NUMBER
    assert len([arrival for arrival in arrivals if arrival.method == "POST"]) == 1  # one login in all
    assert seconds(alone) / seconds(arrivals) >= 0.95


def test_what_a_killed_process_held_comes_free_and_the_others_do_its_work(store: str) -> None:
    with platform() as there, ExitStack() as stack:
        workers = start(stack, there, store, 4)
        shares = [there.ids[place::4] for place in range(4)]
        for worker, share in zip(workers, shares, strict=True):
            worker.write(share)
        victim = workers[0]
        done = dict(json.loads(victim.read_line()) for _ in range(30))  # in the second window: calls are in flight
        victim.kill()
        done |= results(victim.read_rest())
        survivor, *others = workers[1:]
        outcomes = [results(other.read_rest()) for other in others]
        (successor,) = start(stack, there, store, 1, new=False)
        successor.write([id_ for id_ in shares[0] if id_ not in done])
        outcomes += [done, results(survivor.read_rest()), results(successor.read_rest())]
        arrivals = there.arrivals()
        assert there.left == []
    assert [arrival for arrival in arrivals if arrival.refused] == []
    assert sorted(id_ for outcome in outcomes for id_ in outcome) == sorted(there.ids)
    # The calls that the victim had in flight were carried out, but their replies were lost.
    gone = [id_ for outcome in outcomes for id_, became in outcome.items() if became != "deleted"]
    assert set(gone) <= set(shares[0]) - set(done)
    assert len(gone) <= 8
    assert len([arrival for arrival in arrivals if arrival.method == "POST"]) == 1


@pytest.mark.parametrize("keeps", [True, False], ids=["keeps", "loses"])
def test_a_redis_that_is_stopped_holds_the_calls_and_nothing_else(tmp_path: Path, keeps: bool) -> None:
    with redis_server(tmp_path, keeps=keeps) as server, platform() as there, ExitStack() as stack:
        workers = start(stack, there, server.url, 2)
        for place, worker in enumerate(workers):
            worker.write(there.ids[place::2])
        first = [json.loads(worker.read_line()) for worker in workers for _ in range(20)]
        stop_and_start(server, 5.0)
        outcomes = dict(first) | {
            id_: became for worker in workers for id_, became in results(worker.read_rest()).items()
        }
        arrivals = there.arrivals()
        assert there.left == []
    assert [arrival for arrival in arrivals if arrival.refused] == []
    assert outcomes == dict.fromkeys(there.ids, "deleted")
    deletes = [arrival for arrival in arrivals if arrival.method == "DELETE"]
    assert len(deletes) == len(there.ids)


def forget(server: RedisServer) -> None:
    subprocess.run(["redis-cli", "-p", str(server.port), "flushall"], check=True, stdout=subprocess.DEVNULL)


def save(server: RedisServer) -> None:
    subprocess.run(["redis-cli", "-p", str(server.port), "save"], check=True, stdout=subprocess.DEVNULL)


def nothing(_: RedisServer) -> None: ...


@pytest.mark.parametrize(
    ("before", "after"),
    [(nothing, forget), (nothing, RedisServer.restart), (save, RedisServer.restart)],
    ids=["emptied", "restarted", "restarted from an older copy"],
)
def test_a_fresh_process_is_not_refused_after_every_record_of_the_calls_is_lost(
    tmp_path: Path, before: Callable[[RedisServer], None], after: Callable[[RedisServer], None]
) -> None:
    with redis_server(tmp_path) as server, platform(190) as there, ExitStack() as stack:
        (first,) = start(stack, there, server.url, 1)
        first.write(there.ids[:95])
        done = dict(json.loads(first.read_line()) for _ in range(10))
        before(server)
        done |= dict(json.loads(first.read_line()) for _ in range(80))
        first.kill()
        done |= results(first.read_rest())
        after(server)
        (fresh,) = start(stack, there, server.url, 1, new=False)
        fresh.write(there.ids[95:])
        done |= results(fresh.read_rest())
        arrivals = there.arrivals()
    assert set(done) >= {*there.ids[:90], *there.ids[95:]}
    assert [arrival for arrival in arrivals if arrival.refused] == []
    assert fullest_window([(arrival.received, arrival.received) for arrival in arrivals], PERIOD) <= CALLS
    assert len(arrivals) > CALLS


def stop_and_start(server: RedisServer, seconds: float) -> None:
    server.stop()
    time.sleep(seconds)
    server.start()


def test_a_restart_within_the_period_is_not_refused_with_the_machine_store(tmp_path: Path) -> None:
    with platform() as there, ExitStack() as stack:
        for part in (there.ids[:90], there.ids[90:]):
            (worker,) = start(stack, there, str(tmp_path), 1)
            worker.write(part)
            assert set(results(worker.read_rest()).values()) == {"deleted"}
        arrivals = there.arrivals()
    assert [arrival for arrival in arrivals if arrival.refused] == []
    assert len([arrival for arrival in arrivals if arrival.method == "POST"]) == 1


def test_a_restart_within_the_period_is_refused_with_the_memory_store() -> None:
    """Shows that the test above can fail."""
    with platform(200) as there, ExitStack() as stack:
        for part in (there.ids[:90], there.ids[90:]):
            (worker,) = start(stack, there, "", 1)
            worker.write(part)
            assert set(results(worker.read_rest()).values()) == {"deleted"}
        assert any(arrival.refused for arrival in there.arrivals())
