"""A pytest plugin: a simulated platform, a session of it, and virtual time for the async tests that use them.

    async def test_a_purge(aionorth_platform, aionorth_session):
        ids = aionorth_platform.add_subscriptions(6_000)
        assert (await aionorth_session.delete_subscriptions(ids)).deleted == 6_000  # an hour in virtual time

pytest loads it wherever aionorth is installed. It imports nothing until a test uses a fixture, and leaves all other
tests alone. The test runs under pytest-asyncio or anyio where they run it, else under the plugin itself. The fixtures
live in the test's own event loop, which is a `VirtualTimeLoop`.

Fixtures to override, in a test module or a ``conftest.py``, or by ``@pytest.mark.parametrize`` for one test:
``aionorth_platform_options`` returns the options of `Simulator`, ``aionorth_session_options`` those of `NorthSession`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Generator, Iterator
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import asyncio

    from aionorth import NorthSession
    from aionorth.simulator import Simulator

PLATFORM, SESSION = "aionorth_platform", "aionorth_session"
LOOP_SCOPES = ("function", "class", "module", "package", "session")
RUNNER = pytest.StashKey["asyncio.Runner"]()

REAL_TIME = """\
aionorth's fixtures need an event loop in virtual time, and this test runs in another.
Under pytest-asyncio: install 1.5 or later, and give the test no loop_factories.
Under anyio: let anyio_backend be ("asyncio", {"loop_factory": VirtualTimeLoop}) of aionorth.simulator.virtual_time.
Or remove the mark of the other plugin: then aionorth runs the test."""

SYNC_TEST = "aionorth_platform and aionorth_session live in the event loop of their test: make it an async function"


@pytest.fixture
def aionorth_platform_options() -> dict[str, Any]:
    """The options of the platform, those of `Simulator`; override it to set them."""
    return {}


@pytest.fixture
def aionorth_session_options() -> dict[str, Any]:
    """The options of the session, those of `NorthSession`; override it to set them."""
    return {}


@pytest.fixture
def aionorth_platform(request: pytest.FixtureRequest, aionorth_platform_options: dict[str, Any]) -> Simulator:  # noqa: ARG001 - so that it can be parametrized
    """A simulated platform that runs: a `Simulator`."""
    platform: Simulator = _in_loop_of_test(request, PLATFORM)
    return platform


@pytest.fixture
def aionorth_session(
    request: pytest.FixtureRequest,
    aionorth_platform: Simulator,  # noqa: ARG001 - the platform is closed after the session
    aionorth_session_options: dict[str, Any],  # noqa: ARG001 - so that it can be parametrized
) -> NorthSession:
    """An open `NorthSession` for the first app of ``aionorth_platform``, with the same flow control."""
    session: NorthSession = _in_loop_of_test(request, SESSION)
    return session


def _in_loop_of_test(request: pytest.FixtureRequest, name: str) -> Any:  # noqa: ANN401 - a platform or a session
    """Return the value of the fixture behind `name` that sets up and tears down in the event loop of the test."""
    item = request.node
    mark = item.get_closest_marker("asyncio")
    if mark is not None and _has_pytest_asyncio(request.config):
        scope = mark.kwargs.get("loop_scope") or mark.kwargs.get("scope")
        scope = scope or request.config.getini("asyncio_default_test_loop_scope")
        return request.getfixturevalue(f"_{name}_asyncio_{scope}")
    if "anyio_backend" in item.fixturenames:
        return request.getfixturevalue(f"_{name}_anyio")
    return request.getfixturevalue(f"_{name}_alone")


def _has_pytest_asyncio(config: pytest.Config) -> bool:
    names = "asyncio", "pytest_asyncio", "pytest_asyncio.plugin"  # of its entry point, and as people load it by -p
    return any(config.pluginmanager.has_plugin(name) for name in names)


async def _open_platform(request: pytest.FixtureRequest) -> AsyncIterator[Simulator]:
    from aionorth.simulator import Simulator  # noqa: PLC0415 - only where it is used

    _check_loop()
    async with Simulator(**request.getfixturevalue("aionorth_platform_options")) as platform:
        yield platform


async def _open_session(request: pytest.FixtureRequest) -> AsyncIterator[NorthSession]:
    from aionorth import FlowControl, NorthSession  # noqa: PLC0415 - only where it is used

    _check_loop()
    options = request.getfixturevalue("aionorth_platform_options")
    apps = options.get("apps") or {"demo-app": "demo-secret"}
    app_id, secret = next(iter(apps.items()))
    # A platform without flow control is given a session that asks for far more than a test does.
    calls, period = options.get("calls", 100), options.get("period", 60.0)
    defaults: dict[str, Any] = {"app_id": app_id, "flow_control": FlowControl(calls=calls or 100_000, period=period)}
    given = request.getfixturevalue("aionorth_session_options")
    if "token" not in given:
        defaults["secret"] = secret
    async with NorthSession(request.getfixturevalue(PLATFORM).url, **{**defaults, **given}) as session:
        yield session


OPENED = {PLATFORM: _open_platform, SESSION: _open_session}


def _check_loop() -> None:
    import asyncio  # noqa: PLC0415 - only where it is used

    from aionorth.simulator.virtual_time import VirtualTimeLoop  # noqa: PLC0415 - as above

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # trio
        loop = None
    if not isinstance(loop, VirtualTimeLoop):
        pytest.fail(REAL_TIME, pytrace=False)


# --- Where no other plugin runs the test


@pytest.fixture
def _aionorth_runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    if not inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        pytest.fail(SYNC_TEST, pytrace=False)
    import asyncio  # noqa: PLC0415 - only where it is used

    from aionorth.simulator.virtual_time import VirtualTimeLoop  # noqa: PLC0415 - as above

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        request.node.stash[RUNNER] = runner
        yield runner
        del request.node.stash[RUNNER]


def _alone(name: str) -> Any:  # noqa: ANN401 - a fixture
    async def step(steps: AsyncIterator[Any]) -> Any:  # noqa: ANN401 - a platform or a session
        return await anext(steps, None)

    @pytest.fixture(name=f"_{name}_alone")
    def opened(request: pytest.FixtureRequest, _aionorth_runner: asyncio.Runner) -> Iterator[Any]:
        steps = OPENED[name](request)
        yield _aionorth_runner.run(step(steps))
        _aionorth_runner.run(step(steps))

    return opened


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that uses the fixtures, unless another plugin does."""
    runner = pyfuncitem.stash.get(RUNNER, None)
    if runner is None:
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    runner.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}))
    return True


# --- Where another plugin runs it


def pytest_configure(config: pytest.Config) -> None:
    """Make the fixtures behind the public ones: one for each plugin that may run the test."""
    fixtures: dict[str, Any] = {f"alone_{name}": _alone(name) for name in OPENED}
    for name, opened in OPENED.items():
        # anyio takes care of any async fixture of its tests.
        fixtures[f"anyio_{name}"] = pytest.fixture(name=f"_{name}_anyio")(opened)
    if _has_pytest_asyncio(config):
        make: Any = import_module("pytest_asyncio").fixture  # not imported by name: it is no dependency
        for name, opened in OPENED.items():
            for scope in LOOP_SCOPES:
                fixture = make(loop_scope=scope, name=f"_{name}_asyncio_{scope}")(_copied(opened))
                fixtures[f"asyncio_{name}_{scope}"] = fixture
    holder = ModuleType("aionorth_fixtures")  # pytest looks for fixtures in modules and classes
    vars(holder).update(fixtures)
    config.pluginmanager.register(holder)


def _copied(opened: Any) -> Any:  # noqa: ANN401 - an async generator function
    """Return a function that does the same: pytest-asyncio marks the one it is given as its own."""

    async def own(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
        async for value in opened(request):
            yield value

    return own


class _VirtualTime:
    """Chooses the event loop under pytest-asyncio; registered only while a test that needs it is collected.

    As long as it is registered, pytest-asyncio expects an event loop for every test from it.
    """

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_asyncio_loop_factories(self) -> dict[str, Any]:
        from aionorth.simulator.virtual_time import VirtualTimeLoop  # noqa: PLC0415 - only where it is used

        return {"virtual-time": VirtualTimeLoop}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, object, object]:
    """Give the tests that use the fixtures an event loop in virtual time."""
    if not {PLATFORM, SESSION}.intersection(metafunc.fixturenames):
        return (yield)
    if "anyio_backend" in metafunc.fixturenames and not _parametrized(metafunc.definition, "anyio_backend"):
        from aionorth.simulator.virtual_time import VirtualTimeLoop  # noqa: PLC0415 - only where it is used

        backend = ("asyncio", {"loop_factory": VirtualTimeLoop})
        mark = pytest.mark.parametrize("anyio_backend", [backend], ids=["virtual-time"], scope="module")
        metafunc.definition.add_marker(mark)
    plugins, virtual_time = metafunc.config.pluginmanager, _VirtualTime()
    if not _has_pytest_asyncio(metafunc.config):
        return (yield)
    plugins.register(virtual_time)
    try:
        return (yield)
    finally:
        plugins.unregister(virtual_time)


def _parametrized(item: pytest.Item, name: str) -> bool:
    marks = [mark.args[0] for mark in item.iter_markers("parametrize") if mark.args]
    return any(name in (names.replace(",", " ").split() if isinstance(names, str) else names) for names in marks)
