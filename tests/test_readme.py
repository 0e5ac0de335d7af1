"""The README's examples in Python do what they say, and pass the type checkers in strict mode."""

import asyncio
import os
import re
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from support import APP, SECRET, session

import aionorth
from aionorth.simulator import Simulator
from aionorth.simulator.virtual_time import VirtualTimeLoop

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)

MADE_UP = '"https://iot.example.com:8743", app_id="...", secret="..."'
WITHOUT_VCR = [block for block in BLOCKS if "vcr." not in block]  # it is no package of the tests
PROGRAM = next(block for block in BLOCKS if "asyncio.run(main())" in block)
SERVICE = next(block for block in BLOCKS if "FastAPI(" in block)
TESTS = next(block for block in BLOCKS if "import pytest" in block)
PARTS = [block for block in WITHOUT_VCR if block not in {PROGRAM, SERVICE, TESTS}]
ALONE = [part for part in PARTS if "RedisStore" not in part and "Fleet(" not in part]

AROUND = """\
import asyncio
import os

import httpx

import aionorth
from aionorth.simulator import Simulator

async def main() -> None: ...

{how}def example(
    north: aionorth.NorthSession, ids: list[str], file_ids: list[str], url: str, app_id: str, client: httpx.AsyncClient
) -> None:
{block}"""


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """An observer registers its metrics for the whole process; each test is to be as a process of its own."""
    before = set(REGISTRY._collector_to_names)
    yield
    for collector in set(REGISTRY._collector_to_names) - before:
        REGISTRY.unregister(collector)


def whole(block: str) -> str:
    """Return a part as a module with a function, whose arguments are what the text around it speaks of."""
    how = "" if "Runner(" in block else "async "
    return AROUND.format(how=how, block=textwrap.indent(block, "    "))


def title(block: str) -> str:
    return next(line for line in block.splitlines() if not line.startswith(("import ", "from ")) and line)[:40]


@pytest.mark.parametrize("block", ALONE, ids=title)
def test_a_part_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    there = re.sub(
        r'"https://iot.example.com:8743", app_id="...", secret="..."', "url, app_id=APP, secret=SECRET", block
    )
    code: CodeType = compile(whole(there), "README.md", "exec")
    scope: dict[str, Any] = {"APP": APP, "SECRET": SECRET}
    exec(code, scope)
    if not asyncio.iscoroutinefunction(scope["example"]):
        scope["example"](None, [], [], "", "", None)
        return

    async def main() -> None:
        async with Simulator() as platform:
            monkeypatch.setenv("AIONORTH_URL", platform.url)
            monkeypatch.setenv("AIONORTH_APP_ID", APP)
            monkeypatch.setenv("AIONORTH_SECRET", SECRET)
            ids, file_ids = platform.add_subscriptions(4), platform.add_packages(4)
            ids += [platform.add_subscriptions(1)[0]]
            async with session(platform) as north, httpx.AsyncClient() as client:
                await scope["example"](north, ids, file_ids, platform.url, APP, client)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        if "delete_subscription(" in block:  # its ids are made up
            with pytest.raises(aionorth.SubscriptionNotFoundError):
                runner.run(main())
        else:
            runner.run(main())


async def test_the_service_purges_shows_how_far_it_is_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "service.py").write_text(SERVICE)
    async with Simulator(calls=100, period=60.0) as platform:
        monkeypatch.setenv("AIONORTH_URL", platform.url)
        monkeypatch.setenv("AIONORTH_APP_ID", APP)
        monkeypatch.setenv("AIONORTH_SECRET", SECRET)
        ids = platform.add_packages(250)
        app = runpy.run_path(str(tmp_path / "service.py"))["app"]
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            async with app.router.lifespan_context(app):
                assert (await client.post("/purges/old", json=ids)).status_code == 202
                await asyncio.sleep(30)
                assert (await client.get("/purges/other")).status_code == 404
                state = (await client.get("/purges/old")).json()
                assert state == {"of": 250, "settled": state["settled"], "failed": 0, "done": False}
                assert 90 <= state["settled"] <= 116
                metrics = (await client.get("/metrics")).text
                assert 'aionorth_calls_total{code="200",operation="delete_upgrade_package"}' in metrics
            state = (await client.get("/purges/old")).json()
            assert state["done"]
        left = platform.package_ids()
        assert 130 <= len(left) <= 160
        async with session(platform) as north:
            assert (await north.resume("old.jsonl")).ok
        assert not platform.package_ids()


@pytest.mark.slow
def test_the_program_to_try_runs(tmp_path: Path) -> None:
    async def main() -> bytes:
        async with Simulator() as platform:
            (tmp_path / "ids.txt").write_text("\n".join(platform.add_subscriptions(50)))
            (tmp_path / "program.py").write_text(PROGRAM.replace("http://127.0.0.1:8743", platform.url))
            process = await asyncio.create_subprocess_exec(
                sys.executable, "program.py", cwd=tmp_path, env=environment(), stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
            assert process.returncode == 0
            return out

    assert re.search(r"deleted +50\n", asyncio.run(main()).decode())  # in real time: it is another process


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_the_tests_pass(tmp_path: Path) -> None:
    (tmp_path / "test_ours.py").write_text(TESTS)
    plugin = [] if loaded() else ["-p", "aionorth.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert "3 passed" in ran.stdout, ran.stdout + ran.stderr


def loaded() -> bool:
    """Whether pytest loads the plugin by itself."""
    return any(entry.value == "aionorth.pytest_plugin" for entry in entry_points(group="pytest11"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "checker", [["mypy", "--strict"], ["pyright", "--pythonpath", sys.executable]], ids=lambda it: it[0]
)
def test_the_examples_pass_the_type_checkers(checker: list[str], tmp_path: Path) -> None:
    (tmp_path / "pyrightconfig.json").write_text(
        '{"typeCheckingMode": "strict", "reportUnusedImport": false, "reportUnusedVariable": false}'
    )
    files = [PROGRAM, SERVICE, TESTS, *map(whole, PARTS)]
    names = [f"example{number}.py" for number in range(len(files))]
    for name, text in zip(names, files, strict=True):
        (tmp_path / name).write_text(text)
    command = [str(Path(sys.executable).parent / checker[0]), *checker[1:], *names]
    ran = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
