"""Lists, page by page, of a platform whose pages shift while they are read."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from aionorth.api import NOTIFY_TYPES, Page
from aionorth.errors import PageOutOfRangeError, TooManyResultsError
from aionorth.models import Subscription

MOST_PASSES = 4
"""How often a list is read that keeps changing."""

_log = logging.getLogger("aionorth")


class Listed(Protocol):
    """What has an id."""

    @property
    def id(self) -> str:
        """Its id."""
        ...


L = TypeVar("L", bound=Listed)

Fetch = Callable[[int], Awaitable[Page[L]]]
"""Gets the page of that number; pages count from 0."""


async def read_pages(fetch: Fetch[L], seen: set[str] | None = None) -> AsyncIterator[L]:
    """Yield each item of a list once, but for those whose id is in `seen`, to which it is added.

    Pages are cut anew for each call: what is deleted meanwhile moves what follows it to a page already read, unseen. So
    a list that shrank or grew, or showed less than it says it holds, is read again, and only what is new is yielded.
    """
    seen = set() if seen is None else seen
    for _ in range(MOST_PASSES):
        shown, totals = set[str](), set[int | None]()
        page_no = 0
        while True:
            try:
                page = await fetch(page_no)
            except PageOutOfRangeError:
                if not page_no:
                    raise
                break
            totals.add(page.total)
            shown.update(item.id for item in page.items)
            for item in page.items:
                if item.id not in seen:
                    seen.add(item.id)
                    yield item
            page_no += 1
            if page_no * page.size >= page.total if page.total is not None else len(page.items) < page.size:
                break
            if not page.items:
                break
        total = max((total for total in totals if total is not None), default=0)
        if len(totals) == 1 and len(shown) >= total:
            return
    _log.warning("the list changed each of the %d times that it was read; it may lack what has moved", MOST_PASSES)


async def read_subscriptions(
    fetch: Callable[[int, str | None], Awaitable[Page[Subscription]]],
) -> AsyncIterator[Subscription]:
    """Yield all subscriptions; where there are more than the platform lists at once, notify type by notify type."""
    seen = set[str]()
    try:
        async for item in read_pages(lambda page_no: fetch(page_no, None), seen):
            yield item
    except TooManyResultsError:
        _log.info("more subscriptions than the platform lists at once: listing by notify type")
    else:
        return
    for notify_type in NOTIFY_TYPES:
        async for item in read_subscriptions_of(notify_type, fetch, seen):
            yield item


async def read_subscriptions_of(
    notify_type: str, fetch: Callable[[int, str | None], Awaitable[Page[Subscription]]], seen: set[str] | None = None
) -> AsyncIterator[Subscription]:
    """Yield the subscriptions of one notify type; raises `TooManyResultsError` where they are too many to be listed."""
    try:
        async for item in read_pages(lambda page_no: fetch(page_no, notify_type), seen):
            yield item
    except TooManyResultsError as exc:
        raise TooManyResultsError(
            exc.status, exc.code, f"more than 1,000 subscriptions of the notify type {notify_type!r}."
        ) from exc
