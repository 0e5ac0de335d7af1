"""Four worker processes, fifty apps, and Redis: a worker and Redis are killed. All of it is real, also the time."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import attrs
import pytest
from app_platform import App, AppPlatform, app_platform
from fleets import client
from processes import RedisServer, redis_server

from aionorth import NorthError, Outcome
from aionorth.fleet import Fleet, Part, RunStatus
from aionorth.fleet.stored import PREFIX
from aionorth.fleet.streams import GROUP
from aionorth.items import Kind

pytestmark = pytest.mark.slow

APPS, IDS, CALLS = 50, 100, 100
PERIOD, TIMEOUT = 45.0, 15.0
"""Seconds: so many that the windows decide how long it takes, and not the two cores that all of this runs on."""
LOST = 0.05
SILENT_FOR = PERIOD + TIMEOUT * 9 / 8
"""Seconds for which no call may be sent where the store is new to an app, or was started anew."""
REDIS_AWAY = 2.0
QUEUE = f"{PREFIX}:tasks"


def write_profiles(home: Path, platform: AppPlatform) -> None:
    """Give the workers a profile for each app."""
    (home / "aionorth").mkdir(parents=True)
    text = ""
    for number, (app_id, app) in enumerate(platform.apps.items()):
        secret = home / f"secret-{number}"
        secret.write_text(app.secret)
        secret.chmod(0o600)
        text += f'[profiles.p{number}]\nurl = "{platform.url}"\napp_id = "{app_id}"\nsecret_file = "{secret}"\n'
        text += f"calls = {CALLS}\nperiod = {PERIOD}\ntimeout = {TIMEOUT}\n"
    config = home / "aionorth" / "config.toml"
    config.write_text(text)
    config.chmod(0o600)


@contextmanager
def worker(home: Path, redis_url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker of taskiq, whose log is kept; kill it at the end, if it is still there."""
    environment = os.environ | {"XDG_CONFIG_HOME": str(home), "AIONORTH_REDIS_URL": redis_url}
    command = [sys.executable, "-m", "taskiq", "worker", "--workers", "1", "aionorth.fleet:broker"]
    with (
        log.open("wb") as file,
        subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True) as process,
    ):
        try:
            yield process
        finally:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


async def workers_are_there(redis_url: str, number: int) -> None:
    async with client(redis_url) as redis, asyncio.timeout(60):
        while len(await redis.xinfo_consumers(QUEUE, GROUP)) < number:  # noqa: ASYNC110 - a server has no event
            await asyncio.sleep(0.1)


async def calls_are_made(platform: AppPlatform, number: int) -> None:
    """Wait until so many calls were made in all, and some of each app with its token: no login is under way."""

    def are_made() -> bool:
        apps = platform.apps.values()
        return all(app.deleted for app in apps) and sum(len(app.calls) for app in apps) >= number

    async with asyncio.timeout(SILENT_FOR + 60):
        while not are_made():  # noqa: ASYNC110 - it is a platform
            await asyncio.sleep(0.05)


async def settled(fleet: Fleet, run: str) -> RunStatus:
    while True:
        with suppress(NorthError):  # its connections are those from before
            if (status := await fleet.status(run)).settled:
                return status
        await asyncio.sleep(0.2)


@attrs.define
class Story:
    """When what happened: the run was submitted, Redis was killed and was there again, and the run was settled."""

    begun: float = 0.0
    away: float = 0.0
    back: float = 0.0
    ended: float = 0.0

    def shortest(self, platform: AppPlatform) -> float:
        """Return the seconds that the windows allow at least for the calls that were made.

        Redis is killed as soon as the second windows have begun. Once it is back nobody calls for a while, and then
        come the calls that were not made before, a window's at once.
        """
        left = max(sum(at > self.away for at in app.calls) for app in platform.apps.values())
        return SILENT_FOR + PERIOD + (self.back - self.away) + SILENT_FOR + (left - 1) // CALLS * PERIOD


async def play(
    server: RedisServer, fleet: Fleet, run: str, platform: AppPlatform, victim: subprocess.Popen[bytes]
) -> Story:
    """Kill a worker in the middle of the first windows, and Redis as the second ones begin; wait for the end."""
    story = Story(begun=time.monotonic())
    await calls_are_made(platform, APPS * CALLS // 5)
    kill(victim)
    await calls_are_made(platform, APPS * CALLS + CALLS)
    server.kill()
    story.away = time.monotonic()
    await asyncio.sleep(REDIS_AWAY)
    await asyncio.to_thread(server.start)
    story.back = time.monotonic()
    async with asyncio.timeout(SILENT_FOR + 4 * PERIOD):
        status = await settled(fleet, run)
    story.ended = time.monotonic()
    assert status.ok, (str(status), [one.cause for one in status.parts if one.cause])
    return story


async def outcomes_of(fleet: Fleet, run: str) -> dict[str, dict[str, Outcome]]:
    """Return each app's ids with their outcomes, one for each; the status counts the same."""
    found = dict[str, dict[str, Outcome]]()
    async for part, history in fleet.histories(run):
        results = list(history.results())
        found[history.target.app_id] = {one.id: one.outcome for one in results}
        assert len(results) == IDS
        assert part.outcomes == Counter(one.outcome for one in results)
    return found


def test_every_id_has_one_true_outcome_in_the_time_that_windows_allow_though_a_worker_and_redis_are_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = {f"app-{app}": [f"{app}-{number}" for number in range(IDS)] for app in range(APPS)}
    apps = {name: App(secret=f"s3cret-of-{name}", ids=set(of)) for name, of in ids.items()}
    parts = [Part.of_ids(of, Kind.SUBSCRIPTIONS, profile=f"p{number}") for number, of in enumerate(ids.values())]

    async def main() -> None:
        async with app_platform(apps, calls=CALLS, period=PERIOD, loses=LOST) as platform, Fleet(server.url) as fleet:
            write_profiles(tmp_path / "home", platform)
            logs = [tmp_path / f"worker-{number}.log" for number in range(4)]
            workers = [stack.enter_context(worker(tmp_path / "home", server.url, log)) for log in logs]
            await workers_are_there(server.url, 4)
            run = await fleet.submit(parts)
            story = await play(server, fleet, run, platform, workers[0])
            assert_true(await outcomes_of(fleet, run), ids, apps)
            for one in workers[1:]:
                one.terminate()
            for one in workers[1:]:
                one.wait(20)
        allowed, taken = story.shortest(platform), story.ended - story.begun
        calls = sum(len(app.calls) for app in apps.values())
        with capsys.disabled():
            sys.stdout.write(f"\n{calls:,} calls in {taken:.1f} s of at least {allowed:.1f} s: {allowed / taken:.1%}\n")
        assert allowed / taken >= 0.9

    with redis_server(tmp_path, keeps=True) as server, ExitStack() as stack:
        asyncio.run(main())
    logged = b"".join(file.read_bytes() for file in tmp_path.glob("worker-*.log"))
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("appendonlydir/*"))
    for app in apps.values():
        for secret in (app.secret, app.token):
            assert secret.encode() not in logged
            assert secret.encode() not in kept


def assert_true(
    outcomes: Mapping[str, Mapping[str, Outcome]], ids: Mapping[str, Sequence[str]], apps: Mapping[str, App]
) -> None:
    """Assert that each app's outcomes are what its platform knows: no refusal, one login, every id gone."""
    assert sum(app.refused for app in apps.values()) == 0
    assert {name: app.logins for name, app in apps.items()} == dict.fromkeys(apps, 1)
    assert {name: set(of) for name, of in outcomes.items()} == {name: set(of) for name, of in ids.items()}
    assert [name for name, app in apps.items() if app.ids] == []
    for name, of in outcomes.items():
        assert set(of.values()) <= {Outcome.DELETED, Outcome.GONE}
        # What was asked for twice had been in flight when its reply was lost, or its worker, or Redis.
        assert [id_ for id_, outcome in of.items() if outcome is Outcome.GONE and apps[name].deleted[id_] < 2] == []
        assert max(apps[name].deleted.values()) <= 4
