"""Deleting many ids, one call each: a fixed pool of workers that draw ids as fast as calls can be made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aionorth.bulk.account import Account
from aionorth.bulk.intake import CheckId, Ids, Intake
from aionorth.bulk.record import Progress
from aionorth.bulk.workers import Workers
from aionorth.wire.requests import Request

Send = Callable[[Request, Progress], Awaitable[object]]
"""Sends a request as `Caller.send` does. What becomes of it is in the progress."""

BREATHER = 64
"""After so many duplicates in a row the event loop gets its turn."""


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
        cascade: bool = False,
    ) -> None:
        """`ids` are as `checked` returns them; `build` builds the request for one, or raises `InvalidIdError`.

        With `cascade` the deletion of one may take others along.
        """
        self._intake = Intake(ids, check)
        self._build = build
        self._send = send
        self._number = workers
        self._cascade = cascade

    @property
    def size(self) -> int | None:
        """How many ids there are, duplicates included; None where that is not known."""
        return self._intake.size

    def start(self, workers: Workers, account: Account) -> None:
        """Start the workers."""

        async def work(number: int) -> None:
            duplicates = 0  # in a row
            while not workers.stopping:
                if not duplicates and account.stream.fetched:  # a duplicate keeps its place
                    await account.stream.reserve()
                try:
                    id_ = await self._intake.draw()
                except Exception as exc:  # noqa: BLE001 - the input is the user's code, it may raise anything
                    workers.wind_down(exc)
                    return
                if id_ is None:
                    workers.wind_down()
                elif (progress := account.open_one(id_, cascade=self._cascade)) is not None:
                    duplicates = 0
                    workers.set_current(number, progress)
                    try:
                        if not workers.stopping:  # as it is where the input stops the run
                            await self._send(self._build(id_), progress)
                    except Exception as exc:  # noqa: BLE001 - whatever it is, the id is accounted for
                        workers.check(exc, progress)
                        await asyncio.sleep(0)  # an input full of ids that cannot be sent must not hold up the loop
                    finally:
                        account.settle(progress)
                    workers.set_current(number, None)
                else:
                    duplicates += 1
                    if duplicates % BREATHER == 0:
                        await asyncio.sleep(0)

        workers.start(self._number, work)

    def finish(self, account: Account) -> None:
        """Account for the ids that were at hand and never drawn."""
        for id_ in self._intake.rest():
            if (progress := account.open_one(id_, cascade=self._cascade)) is not None:
                account.settle(progress)
