"""The way of a request through the simulator: latency, a proxy, flow control, faults, its effect, the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from aionorth.simulator import replies
from aionorth.simulator.arrivals import Arrival, Log
from aionorth.simulator.faults import Delay, Fault, FaultPlan, Rejection
from aionorth.simulator.flow_control import FlowControl
from aionorth.simulator.northbound import perform
from aionorth.simulator.outage import Outages
from aionorth.simulator.replies import Reply
from aionorth.simulator.requests import Call, Routes, read_call, tidied
from aionorth.simulator.state import Platform

if TYPE_CHECKING:
    from aiohttp import web


@attrs.frozen(kw_only=True, eq=False)
class Pipeline:
    """Everything that a request passes, in this order. `Simulator` sets these parts up, and keeps them."""

    latency: Callable[[], tuple[float, float]]
    """Draws the seconds that pass before a call is counted, and after its effect."""
    tidy_paths: bool
    routes: Routes
    outages: Outages
    flow_control: FlowControl
    faults: FaultPlan
    platform: Platform
    log: Log

    async def answer(self, request: web.BaseRequest, body: bytes) -> Reply | None:
        """Carry a request out and log it; return ``None`` where the connection is to be reset."""
        received = self.platform.now()
        before, after = self.latency()
        await _pass(before)
        method, target = request.method, request.raw_path
        if self.tidy_paths:
            if (passed_on := tidied(target)) is None:
                return replies.page(400, "400 Bad Request")
            target = passed_on
        call = read_call(self.routes, method, target, request.headers, body)
        counted = self.platform.now()
        away = await self.outages.fault(counted)
        wait = None if away else self.flow_control.admit(call, counted)
        fault = away
        if call is not None and wait is None and away is None:
            fault = self.faults.choose(method, target, call.item_id, scripted_only=call.route.takes_secret)
        number = self.log.open(
            Arrival(
                received,
                counted,
                call.app_id if call else request.headers.get("app_key"),
                method,
                target,
                call.item_id if call else None,
                fault=fault,
                refused=wait is not None,
            )
        )
        reply: Reply | None
        if away is not None:
            reply = away.distort(replies.NO_CONTENT)
        elif call is None:
            reply = replies.UNROUTED
        elif wait is not None:
            reply = self.flow_control.refusal(wait)
        else:
            reply = await self._carry_out(call, fault)
        await _pass(after)
        if reply is None or request.transport is None:
            return None
        self.log.complete(number, reply.status, reply.code)
        return reply

    async def _carry_out(self, call: Call, fault: Fault | None) -> Reply | None:
        match fault:
            case None:
                return perform(self.platform, call)
            case Delay(after_effect=True):
                reply = perform(self.platform, call)
                await _pass(fault.seconds)
                return reply
            case Delay():
                await _pass(fault.seconds)
                return perform(self.platform, call)
            case Rejection():
                return call.route.documented(fault.distort(replies.NO_CONTENT))
            case _:
                return fault.distort(perform(self.platform, call) if fault.after_effect else replies.NO_CONTENT)


async def _pass(seconds: float) -> None:
    """Let time pass; where there is none to pass, no other task gets its turn."""
    if seconds > 0:
        await asyncio.sleep(seconds)
