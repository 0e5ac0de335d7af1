"""The command ``aionorth demo``: bulk runs against a simulated platform in the same process, and what they showed."""

from __future__ import annotations

import asyncio
import math
import random
import sys
import time
from collections.abc import Iterable

import attrs

from aionorth.bulk.retry import RetryPolicy
from aionorth.cli.output.messages import ExitCode, Notes, noted, own_name, put, width_of, wrapped
from aionorth.cli.parser import command
from aionorth.cli.runs.job import DRAIN_TIMEOUT, Ended, carry_out
from aionorth.common.times import duration
from aionorth.flow.settings import FlowControl
from aionorth.items import Kind
from aionorth.session.north import NorthSession
from aionorth.session.settings import FLOW, TIMEOUT
from aionorth.simulator import Reset, Simulator

HELP = """Show a bulk run against a simulated platform on this machine, in about 20 seconds.

Nothing is needed and nothing real is touched: a platform with 300 subscriptions and 200 version packages is played in
this very process, its minutes shortened to 3 seconds, and some of its replies are lost on purpose.
"""

SEED = 7
SUBSCRIPTIONS = 300
PACKAGES = 200
STRAYS = 5
"""How many ids in each list do not exist, and how many are named twice."""
LOST = 0.02
"""The chance that a call is carried out and its reply is lost."""
_APP_ID, _SECRET = "demo-app", "demo-secret"

_NEXT = """
What to do next

  A platform to try things on, in another terminal:

    {command} simulate --write-subscription-ids ids.txt

  Then, with what it says to export, or with your platform's own:

    export AIONORTH_URL=https://server:8743
    export AIONORTH_APP_ID=your-app-id
    read -rs AIONORTH_SECRET && export AIONORTH_SECRET
    {command} delete subscriptions --ids-file ids.txt
"""


@command
def demo() -> ExitCode:
    """Show what this is."""
    with noted() as notes:
        return show_demo(notes)


def show_demo(notes: Notes, *, period: float = 3.0) -> ExitCode:
    """Run the demonstration with the platform's threshold per `period` seconds."""
    flow_control = FlowControl(period=period)
    put(
        _paragraph(
            f"A simulated platform on this machine: {SUBSCRIPTIONS} subscriptions, {PACKAGES} version packages, and "
            f"flow control that accepts {flow_control.calls} calls in {period:g} s (in life: {FLOW.period:g} s). Each "
            f"list of ids names {STRAYS} that do not exist and {STRAYS} twice; one reply in {1 / LOST:.0f} is lost on "
            "its way."
        )
    )
    put("")
    shown = asyncio.run(_shown(flow_control, notes))
    if any(run.interrupted for run in shown.runs):
        return ExitCode.INTERRUPTED
    put(shown.in_words())
    put(_NEXT.format(command=own_name()))
    return ExitCode.OK


@attrs.frozen(kw_only=True)
class Shown:
    """What the demonstration came to."""

    flow_control: FlowControl
    runs: list[Ended]
    elapsed: float
    """Seconds from the first call to the end."""
    calls: int
    """All calls that arrived at the platform, the login included."""
    refused: int
    """Those of them that it refused for going too fast."""
    left: int
    """Subscriptions and packages that it still has."""

    @property
    def fastest(self) -> float:
        """Seconds that the calls take at the least, if no period may see more than the threshold."""
        return (math.ceil(self.calls / self.flow_control.limit) - 1) * self.flow_control.period

    def in_words(self) -> str:
        """What was shown, from the figures as they came out."""
        limit, period = self.flow_control.limit, self.flow_control.period
        gone = sum(run.summary.gone for run in self.runs)
        counted = (
            f"The platform counted {self.calls:,} calls and refused {self.refused:,} of them. It has {self.left:,} of "
            f"its {SUBSCRIPTIONS + PACKAGES:,} subscriptions and packages left."
        )
        timed = (
            f"With {limit} calls in any {period:g} s, {self.calls:,} calls cannot be made in less than "
            f"{duration(self.fastest)}; these took {duration(self.elapsed)}."
        )
        lost = f"{gone:,} deletions had their reply lost on purpose; the second attempt found those ids gone."
        return "\n".join(map(_paragraph, (counted, timed, lost)))


async def _shown(flow_control: FlowControl, notes: Notes) -> Shown:
    scale = flow_control.period / FLOW.period  # the demonstration's minute is shorter
    policy = RetryPolicy()
    chance = random.Random(SEED)  # noqa: S311 - nobody's secret
    async with (
        Simulator(
            {_APP_ID: _SECRET},
            calls=flow_control.calls,
            period=flow_control.period,
            chances={Reset(after_effect=True): LOST},
            seed=SEED,
        ) as platform,
        NorthSession(
            platform.url,
            app_id=_APP_ID,
            secret=_SECRET,
            flow_control=flow_control,
            retry=RetryPolicy(base=policy.base * scale, longest=policy.longest * scale),
            timeout=TIMEOUT * scale,
        ) as north,
    ):
        lists = [
            (Kind.SUBSCRIPTIONS, north.delete_subscriptions, platform.add_subscriptions(SUBSCRIPTIONS)),
            (Kind.PACKAGES, north.delete_upgrade_packages, platform.add_packages(PACKAGES)),
        ]
        runs: list[Ended] = []
        began = time.monotonic()
        for kind, delete, known in lists:
            ids = _as_in_life(known, chance)
            run = delete(ids, collect="failures", grace=DRAIN_TIMEOUT)
            title = f"Deleting {kind.value}"
            ended = await carry_out(run, north, notes, kind=kind, title=title, distinct=len(set(ids)))
            runs.append(ended)
            put(f"{kind.value.capitalize()}:")
            put(ended.as_text())
            put("")
            if ended.interrupted:
                break
        return Shown(
            flow_control=flow_control,
            runs=runs,
            elapsed=time.monotonic() - began,
            calls=len(platform.arrivals),
            refused=sum(arrival.refused for arrival in platform.arrivals),
            left=len(platform.subscription_ids()) + len(platform.package_ids()),
        )


def _paragraph(text: str) -> str:
    return wrapped(text, min(78, width_of(sys.stdout)), "")


def _as_in_life(ids: Iterable[str], chance: random.Random) -> list[str]:
    """Return `ids` in some order, with a few that do not exist and a few named twice."""
    known = list(ids)
    listed = [*known, *chance.sample(known, STRAYS), *(f"no-such-id-{number}" for number in range(1, STRAYS + 1))]
    chance.shuffle(listed)
    return listed
