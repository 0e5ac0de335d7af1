"""`NorthSession`: an app's session with the platform, with the public calls."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import attrs

from aionorth.bulk.batch import Batch
from aionorth.bulk.intake import Ids, checked
from aionorth.bulk.retry import RetryPolicy
from aionorth.bulk.run import DRAIN_TIMEOUT, WORKERS, BulkDelete, RunOptions, Work
from aionorth.common.files import StrPath
from aionorth.errors import ArgumentError
from aionorth.items import Subscription, UpgradePackage
from aionorth.models import Collect, DeleteResult, DeleteSummary
from aionorth.purge.journal import Journal, target_of
from aionorth.purge.listing import Reading, list_items
from aionorth.purge.plan import Plan, make_plan
from aionorth.purge.selections import PackageSelection, Selection
from aionorth.session.deleting import id_check
from aionorth.session.devices import Devices
from aionorth.session.selected import SelectedCalls
from aionorth.wire import requests
from aionorth.wire.checks import optional_string
from aionorth.wire.replies import read_one
from aionorth.wire.resources import PACKAGES, RESOURCES, SUBSCRIPTIONS, Item

T = TypeVar("T", bound=Item)


class NorthSession(Devices, SelectedCalls):  # more than 15 methods: one a public call
    """An app's session with the platform: ``async with NorthSession(url, app_id=…, secret=…) as north``.

    Sessions of one event loop that name the same base URL and app share one flow control budget and one token. Where
    their flow control differs, the stricter holds, with a `NorthWarning`. Sessions of any apps that reach the same
    platform by the same TLS and proxy settings share its connections.
    """

    # --- Deleting one

    async def delete_subscription(
        self,
        subscription_id: str,
        *,
        authorized_app_id: str | None = None,
        missing_ok: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None = None,
    ) -> DeleteResult:
        """Delete one subscription: ``DELETE /iocm/app/sub/v1.2.0/subscriptions/{subscriptionId}``.

        Args:
            subscription_id: String(256), allocated by the platform when the subscription was made.
            authorized_app_id: The app whose subscription it is, where that is another app which has authorized this
                one. It goes into the query as ``appId``; leave it out for this app's own subscriptions.
            missing_ok: Return NOT_FOUND where there is no such subscription, instead of raising.
            timeout: Seconds that one attempt may take; the session's unless given.
            retry: False makes one attempt; a `RetryPolicy` holds in the place of the session's.

        Returns:
            A result with the outcome DELETED or GONE, or NOT_FOUND if `missing_ok`.

        Raises:
            SubscriptionNotFoundError: There is no such subscription.
            NorthApiError: The platform refused; the class depends on the code.
            NorthConnectionError: The platform could not be reached.
            ReplyLostError: The reply to the last attempt was lost: the outcome is unknown.
        """
        other = optional_string(authorized_app_id, "authorized_app_id")
        request = requests.delete(SUBSCRIPTIONS, subscription_id, authorized_app_id=other)
        return await self._delete(subscription_id, request, missing_ok=missing_ok, timeout=timeout, retry=retry)

    async def delete_upgrade_package(
        self,
        file_id: str,
        *,
        missing_ok: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None = None,
    ) -> DeleteResult:
        """Delete one version package: ``DELETE /iodm/northbound/v1.5.0/category/{fileId}``.

        `file_id` is what the platform returned when the package was uploaded. Takes, returns and raises the same as
        `delete_subscription`, with `PackageNotFoundError` where there is no such package.
        """
        request = requests.delete(PACKAGES, file_id)
        return await self._delete(file_id, request, missing_ok=missing_ok, timeout=timeout, retry=retry)

    # --- Deleting many

    def delete_subscriptions(
        self,
        ids: Ids,
        *,
        authorized_app_id: str | None = None,
        workers: int = WORKERS,
        collect: Collect = "all",
        grace: float = DRAIN_TIMEOUT,
        max_failures: int | None = None,
        progress: Callable[[DeleteSummary], object] | None = None,
    ) -> BulkDelete:
        """Delete subscriptions in bulk, one call each, as fast as flow control allows; await or stream what it returns.

        Args:
            ids: Any iterable or async iterable of subscription ids; it is drawn from as the run goes on. Duplicates
                are dropped and counted. A list or other collection is checked whole before anything is sent.
            authorized_app_id: As for `delete_subscription`, for all of them.
            workers: How many calls may be in flight at once.
            collect: Which results the summary keeps: "all", "failures" (which takes a million ids in little memory)
                or "none".
            grace: Seconds that calls in flight are given when the run is cancelled or left early.
            max_failures: After how many ids that are FAILED or UNKNOWN the run ends; None means that it goes on.
            progress: Is called with the run's summary, without results, after ids have settled, at most ten times a
                second, and once at the end. It must not block. One that raises ends the run and is not called again.

        Raises:
            ArgumentError: An argument cannot be used; nothing was sent.
        """
        other = optional_string(authorized_app_id, "authorized_app_id")
        options = RunOptions(
            workers=workers, collect=collect, grace=grace, max_failures=max_failures, progress=progress
        )
        return self._bulk(ids, SUBSCRIPTIONS, other, options)

    def delete_upgrade_packages(
        self,
        ids: Ids,
        *,
        workers: int = WORKERS,
        collect: Collect = "all",
        grace: float = DRAIN_TIMEOUT,
        max_failures: int | None = None,
        progress: Callable[[DeleteSummary], object] | None = None,
    ) -> BulkDelete:
        """Delete version packages in bulk; everything is as for `delete_subscriptions`."""
        options = RunOptions(
            workers=workers, collect=collect, grace=grace, max_failures=max_failures, progress=progress
        )
        return self._bulk(ids, PACKAGES, None, options)

    # --- Finding what to delete

    def list_subscriptions(
        self, *, notify_type: str | None = None, authorized_app_id: str | None = None
    ) -> AsyncIterator[Subscription]:
        """List subscriptions: ``GET /iocm/app/sub/v1.2.0/subscriptions``, page by page, as they are iterated.

        The platform does not list more than 1,000 at once; where there are more they are listed by each of its
        documented notify types in turn. A type that is not in the documents must then be given as `notify_type`.

        Args:
            notify_type: Only those of this notify type.
            authorized_app_id: As for `delete_subscription`.

        Raises:
            TooManyResultsError: One notify type alone has more than 1,000.
            NorthError: As `get_subscription`.
        """
        self._opened()
        other = optional_string(authorized_app_id, "authorized_app_id")
        filters = {"notify_type": optional_string(notify_type, "notify_type")}
        return list_items(SUBSCRIPTIONS, self._send, filters, Reading(), authorized_app_id=other)

    def list_upgrade_packages(
        self,
        *,
        file_type: str | None = None,
        device_type: str | None = None,
        model: str | None = None,
        manufacturer_name: str | None = None,
        version: str | None = None,
    ) -> AsyncIterator[UpgradePackage]:
        """List version packages: ``GET /iodm/northbound/v1.5.0/category``, page by page, as they are iterated.

        The platform filters by the arguments given, String(256) each; `file_type` is ``firmwarePackage`` or
        ``softwarePackage``. Raises the errors of `get_upgrade_package`.
        """
        self._opened()
        selection = PackageSelection(
            file_type=file_type,
            device_type=device_type,
            model=model,
            manufacturer_name=manufacturer_name,
            version=version,
            everything=True,
        )
        return list_items(PACKAGES, self._send, selection.filters(), Reading())

    async def get_subscription(
        self,
        subscription_id: str,
        *,
        authorized_app_id: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None = None,
    ) -> Subscription:
        """Return one subscription: ``GET /iocm/app/sub/v1.2.0/subscriptions/{subscriptionId}``.

        Takes and raises the same as `delete_subscription`.
        """
        other = optional_string(authorized_app_id, "authorized_app_id")
        request = requests.get(SUBSCRIPTIONS, subscription_id, authorized_app_id=other)
        return read_one(SUBSCRIPTIONS, await self._opened().send(request, timeout=timeout, retry=retry))

    async def get_upgrade_package(
        self,
        file_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None = None,
    ) -> UpgradePackage:
        """Return one version package: ``GET /iodm/northbound/v1.5.0/category/{fileId}``.

        Takes and raises the same as `delete_upgrade_package`.
        """
        request = requests.get(PACKAGES, file_id)
        return read_one(PACKAGES, await self._opened().send(request, timeout=timeout, retry=retry))

    # --- A purge: plan, delete, resume

    async def plan(
        self,
        selection: Selection[T],
        *,
        now: datetime | None = None,
        on_listed: Callable[[int], object] = lambda _: None,
    ) -> Plan[T]:
        """List what there is and choose what `selection` selects; nothing is deleted. `purge` carries the plan out.

        A selection of mere ids is planned without a call.

        Args:
            selection: What is to be deleted.
            now: The time from which `PackageSelection.older_than` counts back, with a time zone; now if not given.
            on_listed: Called with the number of items listed so far, after each.

        Raises:
            NorthError: As `list_subscriptions` and `list_upgrade_packages`.
        """
        self._opened()
        plan = await make_plan(selection, self._send, url=self._url, app_id=self._app_id, now=now, on_listed=on_listed)
        return attrs.evolve(plan, seconds=self.flow.time_for(plan.calls))

    def purge(
        self,
        plan: Plan[Any],
        *,
        journal: StrPath | None = None,
        batch: bool = False,
        workers: int = WORKERS,
        collect: Collect = "all",
        grace: float = DRAIN_TIMEOUT,
        max_failures: int | None = None,
        progress: Callable[[DeleteSummary], object] | None = None,
    ) -> BulkDelete:
        """Delete what `plan` says; await or stream what it returns, as with `delete_subscriptions`.

        Args:
            plan: What `plan` returned, in a session with the same platform and app.
            journal: A new file, created now, in which to record what becomes of each id, so that `resume` can go on
                after whatever ends this process. It is locked while the run is at work, not before.
            batch: Delete by the plan's one `batch` call, ``DELETE /iocm/app/sub/v1.2.0/subscriptions`` with its
                filters, which also takes what was created since the plan was made.
            workers: As for `delete_subscriptions`.
            collect: As for `delete_subscriptions`.
            grace: As for `delete_subscriptions`.
            max_failures: As for `delete_subscriptions`.
            progress: As for `delete_subscriptions`.

        Raises:
            ArgumentError: The plan is another platform's or app's, or has no batch call.
            JournalError: The journal exists already or cannot be written.
        """
        if not isinstance(plan, Plan):
            raise ArgumentError(f"plan={plan!r}: give what the session's plan() returned")
        self._check_target(plan.target, "the plan")
        options = RunOptions(
            workers=workers, collect=collect, grace=grace, max_failures=max_failures, progress=progress
        )
        ids = list(dict.fromkeys(one.id for one in plan.delete))
        duplicates = plan.duplicates + len(plan.delete) - len(ids)
        resource, other = RESOURCES[plan.target.kind], plan.target.authorized_app_id
        work: Work
        if not batch:
            work = self._pool(checked(ids, id_check(resource)), resource, other, options, cascade=plan.target.cascade)
        elif plan.batch is None:
            raise ArgumentError("batch=True: no single call takes exactly this plan; leave it out")
        else:
            request = requests.delete_matching_subscriptions(plan.batch.notify_type, plan.batch.callback_url, other)
            work = Batch(ids, request, send=partial(self._opened().send, priority=False))
        created = None
        if journal is not None:  # last, so that there is no file where something else is wrong
            created = Journal.create(journal, plan.target, ids, selection=plan.selection, duplicates=duplicates)
        return self._run(work, options, plan.target.kind, duplicates=duplicates, journal=created)

    def resume(
        self,
        journal: StrPath,
        *,
        workers: int = WORKERS,
        collect: Collect = "all",
        grace: float = DRAIN_TIMEOUT,
        max_failures: int | None = None,
        progress: Callable[[DeleteSummary], object] | None = None,
        on_read: Callable[[float], object] = lambda _: None,
    ) -> BulkDelete:
        """Resume a purge from its journal; await or stream what it returns, as with `delete_subscriptions`.

        What the journal knows to be gone is not called again; all else is. An id that was in flight when the run before
        was killed may have been deleted by it, so a 404 on it is GONE, not NOT_FOUND. The summary is that of all runs
        together; what is streamed is this run's.

        A large journal is read when the run begins, a little at a time, so that the event loop is not held up. Until
        then `BulkDelete.expected` is None, and an error within the journal is raised then.

        Args:
            journal: Its file.
            workers: As for `delete_subscriptions`.
            collect: As for `delete_subscriptions`.
            grace: As for `delete_subscriptions`.
            max_failures: As for `delete_subscriptions`.
            progress: As for `delete_subscriptions`.
            on_read: Called with the part of a large journal that has been read, from 0 to 1, after each little.

        Raises:
            ArgumentError: The journal is another platform's or app's.
            JournalError: It is no journal, it is damaged, it is not to be trusted (another user owns it, can write to
                it or has put a link to it), or another process is at work on it.
        """
        options = RunOptions(
            workers=workers,
            collect=collect,
            grace=grace,
            max_failures=max_failures,
            progress=progress,
            on_read=on_read,
        )
        self._opened()
        self._check_target(target_of(journal), os.fspath(journal))
        return self.resume_from(Journal.open(journal), options)

    def resume_from(self, journal: Journal, options: RunOptions) -> BulkDelete:
        """Resume a purge as `resume` does, from a journal that is open, wherever it is kept."""
        self._opened()
        try:
            target = journal.target
            self._check_target(target, journal.name)  # it may have been replaced by another one just now
            resource, other = RESOURCES[target.kind], target.authorized_app_id
            work = self._pool(journal.unfinished(), resource, other, options, cascade=target.cascade)
        except BaseException:
            journal.close()
            raise
        return self._run(work, options, target.kind, duplicates=journal.duplicates, journal=journal)
