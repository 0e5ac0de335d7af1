"""What the deletions of all kinds have in common: from ids to a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from aionorth.bulk.intake import Ids, checked
from aionorth.bulk.observed import RunReport
from aionorth.bulk.pool import Pool
from aionorth.bulk.run import BulkDelete, RunOptions, Work
from aionorth.items import Kind
from aionorth.purge.journal import Journal
from aionorth.session.own_calls import OwnCalls
from aionorth.wire import requests
from aionorth.wire.checks import check_id
from aionorth.wire.resources import Resource


class Deleting(OwnCalls):
    """A session that can run deletions."""

    def _bulk(
        self,
        ids: Ids,
        resource: Resource[Any],
        authorized_app_id: str | None,
        options: RunOptions,
        *,
        cascade: bool | None = None,
    ) -> BulkDelete:
        work = self._pool(checked(ids, id_check(resource)), resource, authorized_app_id, options, cascade=cascade)
        return self._run(work, options, resource.kind)

    def _pool(
        self,
        ids: Ids,
        resource: Resource[Any],
        authorized_app_id: str | None,
        options: RunOptions,
        *,
        cascade: bool | None = None,
    ) -> Pool:
        """Return the work of a run that makes one call for each of `ids`, which are as `checked` returns them."""
        return Pool(
            ids,
            check=id_check(resource),
            build=partial(requests.delete, resource, authorized_app_id=authorized_app_id, cascade=cascade),
            send=partial(self._opened().send, priority=False),
            # A call that waited for a connection would hold its slot meanwhile, so a smaller pool bounds the workers.
            workers=min(options.workers, self._transport.connections or options.workers),
            cascade=bool(requests.check_cascade(resource, cascade)),
        )

    def _run(
        self, work: Work, options: RunOptions, kind: Kind, *, duplicates: int = 0, journal: Journal | None = None
    ) -> BulkDelete:
        caller = self._opened()
        if journal is not None:
            journal.release()  # until the run begins
            assert self._app is not None, "it is open"
            journal.observers = self._app.observers
        return BulkDelete(
            work,
            options,
            now=caller.now,
            report=RunReport(self._observers, kind),
            check=caller.check_loop,
            recorder=journal,
            duplicates=duplicates,
        )


def id_check(resource: Resource[Any]) -> Callable[[object], str]:
    """Return what checks an id of that kind, before anything is sent."""
    return partial(check_id, name=resource.kind.id_name, longest=resource.id_length)
