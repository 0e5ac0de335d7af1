"""What a session does with selections beside planning: it lists them, takes up plans, deletes without a list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TypeVar

import attrs

from aionorth.bulk.record import Progress
from aionorth.bulk.retry import RetryPolicy
from aionorth.common.arguments import argument
from aionorth.errors import ArgumentError, NorthError, NotFoundError, ReplyLostError
from aionorth.items import Target
from aionorth.models import DeleteResult, Outcome
from aionorth.purge.plan import Plan, list_selected
from aionorth.purge.selections import BatchDelete, Selection
from aionorth.session.own_calls import OwnCalls
from aionorth.wire import requests
from aionorth.wire.checks import optional_string
from aionorth.wire.resources import Item

T = TypeVar("T", bound=Item)


class SelectedCalls(OwnCalls):
    """A session's calls about what a selection selects."""

    def list_selected(self, selection: Selection[T], *, now: datetime | None = None) -> AsyncIterator[T]:
        """List what `selection` selects, page by page, as it is iterated. Nothing is deleted.

        Ids are looked up too: those that the platform does not list do not come. Where whether an item is selected
        depends on others, as with `PackageSelection.keep_latest`, the first comes after the last was listed.

        Args:
            selection: Which ones.
            now: As for `plan`.

        Raises:
            NorthError: As `list_subscriptions` and `list_upgrade_packages`.
        """
        self._opened()
        return list_selected(selection, self._send, now=now or datetime.now(UTC))

    def adopt(self, plan: Plan[T]) -> Plan[T]:
        """Return a plan that was made earlier, as by `Plan.from_dict`, with the time it takes at present.

        Raises:
            ArgumentError: The plan is another platform's or app's.
        """
        self._check_target(plan.target, "the plan")
        return attrs.evolve(plan, seconds=self.flow.time_for(plan.calls))

    async def delete_matching_subscriptions(
        self,
        *,
        notify_type: str | None = None,
        callback_url: str | None = None,
        authorized_app_id: str | None = None,
        missing_ok: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None = None,
    ) -> DeleteResult:
        """Delete all subscriptions that match, however many: ``DELETE /iocm/app/sub/v1.2.0/subscriptions``, one call.

        For more than 1,000 of one notify type, which the platform does not list. It does not say how many it deleted,
        and nobody learns their ids. Where they can be listed, `plan` and `purge` account for each of them.

        Args:
            notify_type: Only those of this notify type.
            callback_url: Only those with this callback URL, exactly: it is no glob. One filter must be given.
            authorized_app_id: As for `delete_subscription`.
            missing_ok: Return NOT_FOUND where none matches, instead of raising.
            timeout: As for `delete_subscription`. The platform may take its time over many.
            retry: As for `delete_subscription`.

        Returns:
            A result whose `id` is the filters in words. Its outcome is that of the call: DELETED, the platform
            confirmed it; GONE, none matches now, and an earlier attempt had no clear reply; NOT_FOUND if `missing_ok`.

        Raises:
            ArgumentError: There is no filter, which would delete every subscription, or one cannot be used.
            SubscriptionNotFoundError: None matches.
            ReplyLostError: The reply to an attempt was lost: whether they were deleted is unknown.
            NorthError: As `delete_subscription`; none was deleted.
        """
        other = optional_string(authorized_app_id, "authorized_app_id")
        request = requests.delete_matching_subscriptions(notify_type, callback_url, other)
        what = str(BatchDelete(notify_type=notify_type, callback_url=callback_url))
        caller, progress = self._opened(), Progress()
        started = caller.now()
        try:
            await caller.send(request, progress, timeout=timeout, retry=retry)
        except NotFoundError:
            if not (missing_ok or progress.record.ambiguous):
                raise
        except NorthError as exc:
            if progress.record.outcome is Outcome.UNKNOWN and not exc.reply_lost:
                raise ReplyLostError(
                    f"the reply to an earlier attempt was lost; the last one ended in: {exc.marked}"
                ) from exc
            raise
        return progress.record.result(what, caller.now() - started)

    def _check_target(self, target: Target, what: str) -> None:
        for words, name, there, here in (
            ("platform", "url", target.url, self._url),
            ("app", "app_id", target.app_id, self._app_id),
        ):
            if there != here:
                raise ArgumentError(
                    f"{what} is for the {words} {there!r}, and {argument(name)} is {here!r}: "
                    "use the settings that it was made with"
                )
