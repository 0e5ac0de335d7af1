"""Lists, page by page, of a platform whose pages shift while they are read."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import attrs

from aionorth.errors import PageOutOfRangeError, TooManyResultsError
from aionorth.models import Subscription
from aionorth.wire.replies import NOTIFY_TYPES, Page

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


@attrs.define(eq=False)
class Reading:
    """What a list was like when it was read."""

    complete: bool = True
    """Whether it showed all that it says it has, without changing meanwhile."""
    by_type: bool = False
    """Whether it was read by the documented notify types: there may be others."""


async def read_pages(fetch: Fetch[L], reading: Reading, seen: set[str] | None = None) -> AsyncIterator[L]:
    """Yield each item of a list once, but for those whose id is in `seen`, to which it is added.

    Pages are cut anew for each call: what is deleted meanwhile moves what follows it to a page already read, unseen. So
    a list that shrank or grew, or showed less than it says it holds, is read again, and only what is new is yielded.
    Neither a total nor a short page is believed where the other contradicts it; a page with nothing new ends the list.
    """
    seen = set() if seen is None else seen
    for _ in range(MOST_PASSES):
        shown, totals = set[str](), set[int | None]()
        rows, page_no = 0, 0
        while True:
            try:
                page = await fetch(page_no)
            except PageOutOfRangeError:
                if not page_no:
                    raise
                break
            totals.add(page.total)
            new = {item.id for item in page.items} - shown
            shown |= new
            rows += page.rows
            for item in page.items:
                if item.id not in seen:
                    seen.add(item.id)
                    yield item
            if not new or (page.total is not None and rows >= page.total >= page.rows):
                break
            page_no += 1
        if len(totals) > 1 or rows < (max(totals, key=lambda total: total or 0) or 0):
            continue  # it changed meanwhile
        reading.complete &= rows == len(shown)  # else there are some that have no id, or the same twice
        return
    reading.complete = False
    _log.warning("the list changed each of the %d times that it was read; it may lack what has moved", MOST_PASSES)


FetchOf = Callable[[int, str | None], Awaitable[Page[Subscription]]]
"""Gets the page of that number, of all subscriptions or those of a notify type."""


async def read_subscriptions(fetch: FetchOf, reading: Reading) -> AsyncIterator[Subscription]:
    """Yield all subscriptions; where there are more than the platform lists at once, notify type by notify type."""
    seen = set[str]()
    try:
        async for item in read_pages(lambda page_no: fetch(page_no, None), reading, seen):
            yield item
    except TooManyResultsError:
        _log.info("more subscriptions than the platform lists at once: listing by notify type")
    else:
        return
    reading.by_type = True
    for notify_type in NOTIFY_TYPES:
        async for item in read_subscriptions_of(notify_type, fetch, reading, seen):
            yield item


async def read_subscriptions_of(
    notify_type: str, fetch: FetchOf, reading: Reading, seen: set[str] | None = None
) -> AsyncIterator[Subscription]:
    """Yield the subscriptions of one notify type; raises `TooManyResultsError` where they are too many to be listed."""
    try:
        async for item in read_pages(lambda page_no: fetch(page_no, notify_type), reading, seen):
            yield item
    except TooManyResultsError as exc:
        raise TooManyResultsError(
            exc.status, exc.code, f"more than 1,000 subscriptions of the notify type {notify_type!r}."
        ) from exc
