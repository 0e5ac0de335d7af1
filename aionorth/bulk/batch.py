"""Deleting many ids by one call, the platform's batch delete. Every id gets the outcome of the call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import attrs

from aionorth.bulk.account import Account, Settled, announce
from aionorth.bulk.pool import Send
from aionorth.bulk.record import Progress, Record
from aionorth.bulk.workers import Workers
from aionorth.models import Outcome
from aionorth.wire.requests import Request


class Batch:
    """The work of a run that makes one call for all of its ids. It has no state of its own."""

    def __init__(self, ids: Sequence[str], request: Request, *, send: Send) -> None:
        """`ids` are distinct; `request` deletes them; `send` sends it."""
        self._ids = ids
        self._request = request
        self._send = send
        self.size = len(ids)

    def start(self, workers: Workers, account: Account) -> None:
        """Start the one worker. It reserves no places for the results: they come about all at once."""
        progress = Progress()
        if (recorder := account.recorder) is not None:
            progress.on_begin = partial(announce, recorder, *self._ids)
        account.open(progress, self.shares, self.size)

        async def work(number: int) -> None:
            if workers.stopping:
                return
            workers.set_current(number, progress)
            try:
                await self._send(self._request, progress)
            except Exception as exc:  # noqa: BLE001 - whatever it is, each id is accounted for
                workers.check(exc, progress)
            finally:
                account.settle(progress)

        workers.start(1, work)

    def finish(self, account: Account) -> None:
        """Account for ids that were never drawn: there are none."""

    def shares(self, record: Record) -> Iterator[Settled]:
        """Yield each id's outcome. The call is counted for the first id only."""
        outcome = record.outcome
        if outcome in {Outcome.NOT_FOUND, Outcome.GONE}:
            outcome = Outcome.UNKNOWN  # a 404 says that nothing matched, not that each of them is not there
        for id_ in self._ids:
            yield id_, record, outcome
            record = attrs.evolve(record, calls=0, refusals=0, token_refusals=0)
