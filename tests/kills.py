"""A purge whose process is killed again and again: no id is lost, counted twice, or called after it was gone.

A module of its own, because the tests that use it have different markers.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import attrs

from aionorth.purge.journal import read

PURGE = [sys.executable, "-c", "from aionorth.cli import main; main()"]
EXISTING, STRANGERS = 580, 20
TIMEOUT = 120

PLATFORM = """
import asyncio, json, random, sys, time
from aionorth.simulator import HtmlPage, Reset, ServerError, Simulator

async def trouble(platform, chance):
    left = len(platform.package_ids())
    while True:
        await asyncio.sleep(chance.uniform(1.0, 6.0))
        if len(platform.package_ids()) == left:  # not answered since the last: one after the other would never end
            continue
        left = len(platform.package_ids())
        match chance.choice(["token", "busy", "page"]):
            case "token":
                platform.expire_tokens()
            case "busy":
                platform.script(ServerError(), times=6)
            case "page":
                platform.script(HtmlPage(502), times=6)

async def main():
    lost, seed = float(sys.argv[1]), sys.argv[3]
    chances = {Reset(after_effect=True): lost} if lost else {}
    latency = lambda chance: (chance.uniform(0.0, 0.02), chance.uniform(0.0, 0.02))
    async with Simulator(calls=None, chances=chances, latency=latency, seed=5) as platform:
        ids = platform.add_packages(int(sys.argv[2]))
        task = asyncio.create_task(trouble(platform, random.Random(seed))) if seed else None
        print(json.dumps({"url": platform.url, "ids": ids}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        began = time.time() - asyncio.get_running_loop().time()
        calls = [[one.resource, began + one.received] for one in platform.arrivals if one.method == "DELETE"]
        print(json.dumps({"calls": calls, "left": sorted(platform.package_ids())}), flush=True)

asyncio.run(main())
"""


@attrs.define
class Purge:
    """One purge, in one process after the other."""

    journal: Path
    env: dict[str, str]
    begun: bool = False
    kills: int = 0

    def command(self, ids: Path) -> list[str]:
        options = ["--workers", "4", "--calls", "1000000", "--period", "1"]
        if not self.begun:
            return [*PURGE, "delete", "packages", "--ids-file", str(ids), "--journal", str(self.journal), *options]
        return [*PURGE, "resume", str(self.journal), *options]

    def run(self, ids: Path, lines: int | None) -> int | None:
        """Run until the journal has so many lines, then kill; for None run to the end. Return the exit code."""
        with subprocess.Popen(
            self.command(ids), env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            deadline = time.monotonic() + TIMEOUT
            while lines is not None and process.poll() is None and time.monotonic() < deadline:
                if self.lines() >= lines:
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.001)  # real processes: there is no virtual time to wait in
            assert process.stderr is not None
            try:
                code = process.wait(TIMEOUT)
            except subprocess.TimeoutExpired as exc:
                process.kill()
                raise AssertionError(process.stderr.read().decode()) from exc
            errors = process.stderr.read().decode()
        assert code in {0, 1, -signal.SIGKILL}, errors
        self.begun = self.journal.exists()  # then it is whole
        self.kills += self.begun and code == -signal.SIGKILL
        return code

    def lines(self) -> int:
        return self.journal.read_bytes().count(b"\n") if self.journal.exists() else 0


def kill_again_and_again(directory: Path, seed: str, *, kills: int, lost: float, trouble: bool) -> None:
    """Kill the processes of one purge so often, then let it end, and check all that is known of it.

    A part of the replies is `lost`; with `trouble` tokens expire and the platform is away for a few calls, too.
    """
    chance = random.Random(seed)
    with subprocess.Popen(
        [sys.executable, "-c", PLATFORM, str(lost), str(EXISTING), seed if trouble else ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        there = json.loads(server.stdout.readline())
        strangers = [f"never-was-{number}" for number in range(STRANGERS)]
        ids = [*there["ids"], *strangers]
        chance.shuffle(ids)
        file = directory / "ids.txt"
        file.write_text("\n".join(ids))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIONORTH_")}
        env = inherited | {
            "AIONORTH_URL": there["url"],
            "AIONORTH_APP_ID": "demo-app",
            "AIONORTH_SECRET": "demo-secret",
        }
        purge = Purge(directory / "journal.jsonl", env)
        while purge.kills < kills:
            # 600 ids are two lines each; the kills are spread over them, some in the same moment as the one before.
            purge.run(file, purge.lines() + chance.randint(1, 2 * 2 * len(ids) // kills - 5))
            history = read(purge.journal) if purge.begun else None
            assert history is None or len(history.entries) == len(ids)
            if history is not None and all(entry.gone for entry in history.entries.values()):
                break
        assert purge.kills == kills, "the purge was over before the last kill"
        code = purge.run(file, None)
        while code == 1:  # a reply was lost six times in a row: possible, but not the end
            code = purge.run(file, None)
        server.stdin.close()
        seen = json.loads(server.stdout.readline())
    history = read(purge.journal)
    outcomes = {entry.id: entry.final_outcome().value for entry in history.entries.values()}
    counts = Counter(outcomes.values())
    assert set(outcomes) == set(ids)
    assert len(history.runs) > kills
    assert sum(counts.values()) == len(ids)
    assert seen["left"] == []
    assert counts["deleted"] + counts["gone"] + counts["not_found"] == len(ids)
    for id_ in there["ids"]:
        assert outcomes[id_] in {"deleted", "gone"}, f"{id_}: {outcomes[id_]}"
    for id_ in strangers:
        # In flight at a kill, one that never was cannot be distinguished from one that is gone.
        assert outcomes[id_] == ("gone" if history.entries[id_].ambiguous else "not_found")
    called = Counter(id_ for id_, _ in seen["calls"])
    for entry in history.entries.values():
        assert called[entry.id] >= 1
        if not lost:  # a kill also hides how many replies were lost before it
            assert called[entry.id] <= entry.calls
    for id_, received in seen["calls"]:
        ended_at = history.entries[id_].ended_at
        assert ended_at is not None
        # A call that was on its way at a kill may arrive late; one of the next process comes half a second later.
        assert received < ended_at + 0.1, f"{id_} was called {received - ended_at} s after it was known to be gone"
