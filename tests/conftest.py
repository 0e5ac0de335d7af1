"""Async tests run on an event loop in virtual time: no test sleeps."""

import asyncio
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from processes import RedisServer, redis_server
from shell import APP, SECRET, UNREACHABLE, Shell, served

from aionorth.simulator import Simulator
from aionorth.simulator.virtual_time import VirtualTimeLoop

settings.register_profile("aionorth", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("aionorth"), max_examples=2000)
settings.load_profile("aionorth")


@pytest.fixture(autouse=True, scope="session")
def _no_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep this process and its children away from the developer's own profiles, journals and proxies."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)


@pytest.fixture(autouse=True, scope="session")
def _umask() -> None:
    """Let files that tests write be trusted, even where the developer's umask lets a group write them."""
    os.umask(0o022)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture
def platform() -> Iterator[Simulator]:
    with served() as simulator:
        yield simulator


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


@pytest.fixture
def ready(shell: Shell) -> Shell:
    """A shell with all variables set, for a platform that cannot be reached."""
    shell.export(URL=UNREACHABLE, APP_ID=APP, SECRET=SECRET)
    return shell


@pytest.fixture(scope="session")
def _redis_of_fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), keeps=True) as server:
        yield server


@pytest.fixture
def fleet_server(_redis_of_fleets: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A Redis server with an append-only file; a fleet's waits for servers and workers take milliseconds only."""
    from aionorth.fleet import journal, streams, worker  # noqa: PLC0415 - with taskiq, which few tests need

    waits = {streams: ["BLOCK", "OVER_SHARE", "SETTLING", "RETRY"], journal: ["RETRY"], worker: ["RETRY", "LOOK"]}
    for module, names in waits.items():
        for name in names:
            monkeypatch.setattr(module, name, 0.05)
    yield _redis_of_fleets
    _redis_of_fleets.empty()
