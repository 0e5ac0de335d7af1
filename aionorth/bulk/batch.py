"""Deleting many ids by one call, the platform's batch delete. What becomes of the call becomes of each id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from aionorth.bulk.account import Account, Settled
from aionorth.bulk.pool import Send
from aionorth.bulk.record import Progress, Record
from aionorth.bulk.workers import Workers
from aionorth.errors import NorthError, NotFoundError
from aionorth.models import Outcome
from aionorth.wire.api import Request


@attrs.define(eq=False, kw_only=True)
class BatchDeletion(Progress):
    """The deletion of many ids by one call, under way."""

    ids: Sequence[str]

    def settled(self) -> Iterable[Settled]:
        """Return what became of each id if nothing more is done. The calls are counted with the first."""
        outcome = outcome_of(self.record)
        others = attrs.evolve(self.record, calls=0, refusals=0, token_refusals=0)
        return ((id_, others if number else self.record, outcome) for number, id_ in enumerate(self.ids))


def outcome_of(record: Record) -> Outcome:
    """Return what became of each id. A 404 says that nothing matched, not that each of them is not there."""
    found_none = not record.succeeded and not record.in_flight and isinstance(record.error, NotFoundError)
    return Outcome.UNKNOWN if found_none else record.outcome


class Batch:
    """The work of a run that makes one call for all ids. It has no state of its own."""

    def __init__(self, ids: Sequence[str], request: Request, *, send: Send, duplicates: int = 0) -> None:
        self._ids = tuple(dict.fromkeys(ids))
        self.duplicates = duplicates + len(ids) - len(self._ids)
        self._request = request
        self._send = send

    @property
    def size(self) -> int:
        """How many ids there are."""
        return len(self._ids)

    def start(self, workers: Workers, account: Account) -> None:
        """Start the one worker. It reserves no place for the results: they come about all at once."""
        deletion = BatchDeletion(ids=self._ids)
        if (recorder := account.recorder) is not None:
            deletion.on_begin = lambda: recorder.begin(*self._ids)
        account.open(deletion, len(self._ids))

        async def work(number: int) -> None:
            if workers.stopping:
                return
            workers.turn_to(number, deletion)
            try:
                await self._send(self._request, deletion)
            except Exception as exc:  # noqa: BLE001 - whatever it is, each id is accounted for
                if not isinstance(exc, NorthError) or exc.ends_run:
                    workers.fail(exc)
            finally:
                account.settle(deletion)

        workers.start(1, work)

    def finish(self, account: Account) -> None:
        """Account for the ids that were never drawn: there are none."""
