"""Outages: for how long the platform is away, and what a caller sees of that."""

import asyncio
import math
from typing import Literal, get_args

import attrs

from aionorth.simulator.faults import Fault, HtmlPage, Reset, ServerError

OutageKind = Literal["refused", "hangs", "503", "502"]
"""What callers see of an outage; see `Simulator.outage`."""

FAULTS: dict[OutageKind, Fault] = {"hangs": Reset(), "503": ServerError(), "502": HtmlPage(502)}
"""What becomes of a call that arrives; while connections are refused, none does."""


@attrs.frozen
class Outage:
    """One outage. Times are seconds on the event loop's clock."""

    kind: OutageKind
    begins: float
    ends: float

    async def fault(self, now: float) -> Fault | None:
        """Return the fault of a call that arrives now; where calls hang, wait until the outage ends."""
        if not self.begins <= now < self.ends:
            return None
        if self.kind == "hangs":
            await until(self.ends)
        return FAULTS.get(self.kind)


def planned(seconds: float, kind: OutageKind, after: float, now: float) -> Outage:
    """Return an outage from the arguments of `Simulator.outage`."""
    if kind not in get_args(OutageKind):
        raise ValueError(f"kind must be one of {', '.join(get_args(OutageKind))}, not {kind!r}")
    if not seconds > 0:  # NaN too
        raise ValueError(f"an outage must take more than 0 seconds, not {seconds!r}")
    if not 0 <= after < math.inf:
        raise ValueError(f"after must be 0 or more seconds from now, not {after!r}")
    return Outage(kind, now + after, now + after + seconds)


async def until(time: float) -> None:
    """Wait until a time on the event loop's clock; for ever, without a timer, if that is infinite."""
    if time == math.inf:
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(time - asyncio.get_running_loop().time())
