"""The command line in this process, and a simulator for it in a thread of its own."""

import asyncio
import io
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from aionorth import cli
from aionorth.cli.settings.profiles import config_file
from aionorth.simulator import Simulator

APP = "demo-app"
SECRET = "s3cr3t-[red]hush[/]"
UNREACHABLE = "http://127.0.0.1:1"


@contextmanager
def served(apps: dict[str, str] | None = None, **options: Any) -> Iterator[Simulator]:
    """Run a simulator in real time in a thread of its own."""
    platform = Simulator({APP: SECRET} if apps is None else apps, **options)
    started = threading.Event()
    ends: list[Callable[[], object]] = []

    async def serve() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(ended.set))
        async with platform:
            started.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield platform
    finally:
        ends[0]()
        thread.join()


@attrs.frozen
class Run:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs the command line in this process."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], directory: Path) -> None:
        self._patch = patch
        self._capture = capture
        self._directory = directory
        for name in list(os.environ):
            if name.startswith("AIONORTH_"):
                patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", str(directory / "config"))  # not the developer's own
        patch.setenv("XDG_STATE_HOME", str(directory / "state"))  # and not another test's
        patch.setenv("AIONORTH_STORE", "memory")  # deriving a key for the token is slow, and no process shares it here

    def export(self, **variables: str) -> None:
        for name, value in variables.items():
            self._patch.setenv(f"AIONORTH_{name}", value)

    def point_at(self, platform: Simulator) -> None:
        self.export(URL=platform.url, APP_ID=APP, SECRET=SECRET)

    def configure(self, toml: str) -> Path:
        """Write the file of profiles and return its directory."""
        file = config_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(toml)
        return file.parent

    def secret_file(self, content: str | bytes = SECRET, *, mode: int = 0o600) -> Path:
        path = self._directory / "secret"
        path.touch(mode=0o600)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def file(self, content: str | bytes) -> str:
        path = self._directory / "ids.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def stdin(self, content: bytes) -> None:
        self._patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    def __call__(self, *arguments: str) -> Run:
        self._patch.setattr("sys.argv", ["aionorth", *arguments])
        on_interrupt = signal.getsignal(signal.SIGINT)
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        signal.signal(signal.SIGINT, on_interrupt)
        captured = self._capture.readouterr()
        assert SECRET not in captured.out + captured.err
        assert "Traceback" not in captured.err
        code = exit_.value.code
        return Run(int(code or 0), captured.out, captured.err)
