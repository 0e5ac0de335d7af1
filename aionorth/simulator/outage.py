"""Outages: for how long the platform is away, and what a caller sees of that."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Literal, get_args

import attrs

from aionorth.simulator.faults import Fault, HtmlPage, Reset, ServerError

if TYPE_CHECKING:
    from aionorth.simulator.http_server import HttpServer

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


class Outages:
    """The outages of one platform. Mutable: those that are planned, and the tasks that refuse connections meanwhile."""

    def __init__(self) -> None:
        self._planned: list[Outage] = []
        self._refusals: set[asyncio.Task[None]] = set()

    def plan(self, outage: Outage, server: HttpServer) -> None:
        """Let the platform that ``server`` serves be away; see `Simulator.outage`."""
        if any(outage.begins < other.ends and other.begins < outage.ends for other in self._planned):
            raise ValueError("the platform is away for a part of that time already")
        self._planned.append(outage)
        if outage.kind == "refused":
            refusal = asyncio.get_running_loop().create_task(_refuse(outage, server))
            self._refusals.add(refusal)
            refusal.add_done_callback(self._refusals.discard)

    async def fault(self, now: float) -> Fault | None:
        """Return the fault of a call that arrives now; where calls hang, wait until the outage ends."""
        return next(filter(None, [await outage.fault(now) for outage in self._planned]), None)

    async def close(self) -> None:
        """Forget all outages."""
        refusals, self._refusals = self._refusals, set()
        self._planned.clear()
        for refusal in refusals:
            refusal.cancel()
        await asyncio.gather(*refusals, return_exceptions=True)


async def _refuse(outage: Outage, server: HttpServer) -> None:
    await until(outage.begins)
    await server.refuse()
    await until(outage.ends)
    await server.accept()


async def until(time: float) -> None:
    """Wait until a time on the event loop's clock; for ever, without a timer, if that is infinite."""
    if time == math.inf:
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(time - asyncio.get_running_loop().time())
