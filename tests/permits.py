"""Permits as tests use them: a `with` block stands for a call, and its end releases the permit."""

import asyncio
from types import TracebackType
from typing import Self

from aionorth.flow.limiter import Limiter
from aionorth.flow.window import Ending, Permit


class Held:
    """A permit and what is to be said of its call: unsent unless something else is set."""

    def __init__(self, flow: Limiter, permit: Permit) -> None:
        self._flow = flow
        self._permit = permit
        self._ending = Ending.UNSENT
        self._until: float | None = None
        self._retry_after: float | None = None
        self.paused = False  # whether its release began a pause

    def sent(self, until: float | None = None) -> float:
        """Say that it was sent, and until when it may be counted if no reply comes."""
        now = asyncio.get_running_loop().time()
        self._ending, self._until = Ending.UNCONFIRMED, now if until is None else until
        return now

    def accepted(self) -> None:
        self._ending = Ending.ACCEPTED

    def refused(self, retry_after: float | None = None) -> None:
        self._ending, self._retry_after = Ending.REFUSED, retry_after

    def release(self, *, answered: bool = True) -> bool:
        counted_at = None if answered else self._until
        self.paused = self._flow.release(
            self._permit, self._ending, counted_at=counted_at, retry_after=self._retry_after
        )
        return self.paused

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.release(answered=kind is None)


async def permit(flow: Limiter, *, priority: bool = False) -> Held:
    return Held(flow, await flow.acquire(priority=priority))
