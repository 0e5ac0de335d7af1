"""A purge whose process is killed again and again: no id is lost, counted twice, or called after it was gone."""

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
import pytest

from aionorth.purge.journal import read

pytestmark = pytest.mark.slow

PURGE = [sys.executable, "-c", "from aionorth.cli import main; main()"]
KILLS = 20
EXISTING, STRANGERS = 580, 20
TIMEOUT = 60

PLATFORM = """
import asyncio, json, sys, time
from aionorth.simulator import Reset, Simulator

async def main():
    lost, strangers = float(sys.argv[1]), int(sys.argv[3])
    chances = {Reset(after_effect=True): lost} if lost else {}
    latency = lambda chance: (chance.uniform(0.0, 0.02), chance.uniform(0.0, 0.02))
    async with Simulator(calls=None, chances=chances, latency=latency, seed=5) as platform:
        ids = platform.add_packages(int(sys.argv[2]))
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
            code = process.wait(TIMEOUT)
            assert process.stderr is not None
            errors = process.stderr.read().decode()
        assert code in {0, 1, -signal.SIGKILL}, errors
        self.begun = self.journal.exists()  # then it is whole
        self.kills += self.begun and code == -signal.SIGKILL
        return code

    def lines(self) -> int:
        return self.journal.read_bytes().count(b"\n") if self.journal.exists() else 0


@pytest.mark.parametrize("lost", [0.0, 0.05])
def test_every_id_has_one_outcome_however_often_the_process_is_killed(tmp_path: Path, lost: float) -> None:
    chance = random.Random(f"kills {lost}")
    with subprocess.Popen(
        [sys.executable, "-c", PLATFORM, str(lost), str(EXISTING), str(STRANGERS)],
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
        file = tmp_path / "ids.txt"
        file.write_text("\n".join(ids))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIONORTH_")}
        env = inherited | {
            "AIONORTH_URL": there["url"],
            "AIONORTH_APP_ID": "demo-app",
            "AIONORTH_SECRET": "demo-secret",
        }
        purge = Purge(tmp_path / "journal.jsonl", env)
        while purge.kills < KILLS:
            # 600 ids are two lines each; the kills are spread over them, some in the same moment as the one before.
            purge.run(file, purge.lines() + chance.randint(1, 2 * 2 * len(ids) // KILLS - 5))
            history = read(purge.journal) if purge.begun else None
            assert history is None or len(history.entries) == len(ids)
            if history is not None and all(entry.gone for entry in history.entries.values()):
                break
        assert purge.kills == KILLS, "the purge was over before the last kill"
        code = purge.run(file, None)
        while code == 1:  # a reply was lost six times in a row: possible, but not the end
            code = purge.run(file, None)
        server.stdin.close()
        seen = json.loads(server.stdout.readline())
    history = read(purge.journal)
    outcomes = {entry.id: entry.final_outcome().value for entry in history.entries.values()}
    counts = Counter(outcomes.values())
    assert set(outcomes) == set(ids)
    assert len(history.runs) > KILLS
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
