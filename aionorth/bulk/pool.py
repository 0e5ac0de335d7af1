"""Deleting many ids, one call each: a fixed pool of workers that draw ids as fast as calls can be made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aionorth.bulk.account import Account
from aionorth.bulk.intake import CheckId, Ids, Intake
from aionorth.bulk.record import Progress
from aionorth.bulk.workers import Workers
from aionorth.errors import NorthError
from aionorth.wire.api import Request

Send = Callable[[Request, Progress], Awaitable[object]]
"""Sends a request as `Caller.send` does. What becomes of it is in the progress."""


class Pool:
    """The work of an ordinary run. Its state is that of its intake."""

    def __init__(
        self,
        ids: Ids,
        *,
        check: CheckId,
        build: Callable[[str], Request],
        send: Send,
        workers: int,
        duplicates: int = 0,
    ) -> None:
        """Prepare the work.

        Args:
            ids: The input, as `checked` returns it.
            check: Raises `InvalidIdError` for what cannot be an id.
            build: Builds the request that deletes it; raises `InvalidIdError` where it cannot be an id.
            send: Sends that.
            workers: How many calls may be in flight at once.
            duplicates: How many ids were dropped already because they had been named before.
        """
        self._intake = Intake(ids, check, duplicates=duplicates)
        self._build = build
        self._send = send
        self._number = workers

    @property
    def size(self) -> int | None:
        """How many ids the input has, duplicates included; None where it is a stream."""
        return self._intake.size

    @property
    def duplicates(self) -> int:
        """How many ids were dropped because they had been named before."""
        return self._intake.duplicates

    def start(self, workers: Workers, account: Account) -> None:
        """Start the workers."""

        async def work(number: int) -> None:
            while not workers.stopping:
                await account.stream.reserve()
                try:
                    id_ = await self._intake.draw()
                except Exception as exc:  # noqa: BLE001 - the input is the user's code, it may raise anything
                    workers.wind_down(exc)
                    return
                if id_ is None:
                    workers.wind_down()
                    return
                await self._delete(id_, workers, account, number)

        workers.start(self._number, work)

    async def _delete(self, id_: str, workers: Workers, account: Account, number: int) -> None:
        deletion = account.open_one(id_)
        workers.turn_to(number, deletion)
        try:
            if not workers.stopping:  # as it is where the input stops the run
                await self._send(self._build(id_), deletion)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the id is accounted for
            if not isinstance(exc, NorthError) or exc.ends_run:
                workers.fail(exc)
            else:
                deletion.give_up(exc)
                await asyncio.sleep(0)  # an input full of ids that cannot be sent must not hold up the event loop
        finally:
            account.settle(deletion)
            workers.turn_to(number, None)

    def finish(self, account: Account) -> None:
        """Account for the ids that were at hand and never drawn."""
        for id_ in self._intake.rest():
            account.settle(account.open_one(id_))
