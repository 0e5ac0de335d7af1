"""The pytest plugin in projects of its users, each run by a pytest of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

TESTS = """
import asyncio
import pytest
from aionorth.simulator.virtual_time import VirtualTimeLoop

{other}
async def {other_name}():
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)

{mark}
async def test_a_purge_of_an_hour(aionorth_platform, aionorth_session):
    ids, loop = aionorth_platform.add_subscriptions(300), asyncio.get_running_loop()
    began = loop.time()
    assert (await aionorth_session.delete_subscriptions(ids)).deleted == 300
    assert loop.time() - began > 100
    assert not any(arrival.refused for arrival in aionorth_platform.arrivals)

{mark}
@pytest.mark.parametrize("aionorth_platform_options", [dict(apps=dict(mine="x"), calls=10, period=2.0)])
@pytest.mark.parametrize("aionorth_session_options", [dict(timeout=5.0)])
async def test_options(aionorth_session, aionorth_platform):
    ids = aionorth_platform.add_packages(30)
    assert (await aionorth_session.delete_upgrade_packages(ids)).deleted == 30
    assert {{arrival.app_id for arrival in aionorth_platform.arrivals}} == {{"mine"}}

{mark}
async def test_a_failure_is_shown(aionorth_platform):
    assert aionorth_platform.url == "nowhere"

def test_a_sync_test(aionorth_platform):
    pass
"""

needs_pytest_asyncio = pytest.mark.skipif(
    importlib.util.find_spec("pytest_asyncio") is None,
    reason="pytest-asyncio is not installed: .ci/run runs this test where it is",
)


def run(project: Path, *options: str, **parts: str) -> str:
    defaults = {"mark": "", "other": "@pytest.mark.skip", "other_name": "test_another"}
    (project / "test_it.py").write_text(TESTS.format(**{**defaults, **parts}))
    (project / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "aionorth.pytest_plugin", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def assert_as_expected(output: str, *, passed: int) -> None:
    assert "AssertionError: assert 'http://127.0.0.1:" in output, output
    assert "make it an async function" in output, output
    assert f"1 failed, {passed} passed" in output, output
    assert "1 error in" in output, output


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    heavy = ["aiohttp", "attrs", "aionorth.simulator", "aionorth.session", "aionorth.models"]
    code = f"import pytest, sys, aionorth.pytest_plugin; print([name for name in {heavy} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_plugin_runs_async_tests_where_nobody_else_does(tmp_path: Path) -> None:
    assert_as_expected(run(tmp_path), passed=2)


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "@pytest.mark.parametrize('anyio_backend', ['asyncio'])\n"])
def test_under_anyio_the_tests_run_in_virtual_time_unless_they_choose_otherwise(tmp_path: Path, before: str) -> None:
    mark = "@pytest.mark.anyio"
    other = f"@pytest.mark.parametrize('anyio_backend', ['asyncio'])\n{mark}"
    output = run(tmp_path, "-p", "anyio", mark=before + mark, other=other)
    if before:
        assert "this test runs in another" in output
        assert "Under anyio: let anyio_backend be" in output
    else:
        assert_as_expected(output, passed=3)


@needs_pytest_asyncio
@pytest.mark.slow
@pytest.mark.parametrize("scope", ["function", "module"])
@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_under_pytest_asyncio_the_tests_run_in_virtual_time_and_others_do_not(
    tmp_path: Path, mode: str, scope: str
) -> None:
    mark = f"@pytest.mark.asyncio(loop_scope='{scope}')" if mode == "strict" or scope == "module" else ""
    options = ["-p", "asyncio", "-o", f"asyncio_mode={mode}", "-o", "asyncio_default_fixture_loop_scope=function"]
    assert_as_expected(run(tmp_path, *options, mark=mark, other=mark), passed=3)


@needs_pytest_asyncio
@pytest.mark.slow
def test_a_loop_that_the_test_chose_under_pytest_asyncio_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import asyncio, pytest\n"
        "@pytest.fixture\n"
        "def _function_scoped_runner():\n"
        "    with asyncio.Runner() as runner:\n"
        "        yield runner\n"
    )
    options = ["-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=function"]
    output = run(tmp_path, *options, mark="@pytest.mark.asyncio")
    assert "Under pytest-asyncio: install 1.5 or later" in output
