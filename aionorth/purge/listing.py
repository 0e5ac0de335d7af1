"""Lists, page by page, of a platform whose pages shift while they are read."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import attrs

from aionorth.errors import PageOutOfRangeError, TooManyResultsError
from aionorth.wire.replies import Page, Send, read_page
from aionorth.wire.requests import list_page
from aionorth.wire.resources import Item, Resource

MAX_PASSES = 4
"""How often a list is read that keeps changing."""

_log = logging.getLogger("aionorth")

T = TypeVar("T", bound=Item)

Fetch = Callable[[int], Awaitable[Page[T]]]
"""Gets the page of that number; pages count from 0."""


@attrs.define(eq=False)
class Reading:
    """What a list was like when it was read. The reader sets both fields."""

    complete: bool = True
    """Whether it showed all that it says it has, without changing meanwhile."""
    divided: bool = False
    """Whether it was read in parts, by the documented values of a filter: there may be others."""


async def list_items(
    resource: Resource[T],
    send: Send,
    filters: Mapping[str, str | None],
    reading: Reading,
    *,
    authorized_app_id: str | None = None,
) -> AsyncIterator[T]:
    """Yield all that match `filters`; where there are more than the platform lists at once, part by part.

    Raises `TooManyResultsError` where one part alone is too long to be listed.
    """
    matching = partial(_fetching, resource, send, authorized_app_id)
    seen = set[str]()
    name, values = resource.listing.divided_by or ("", ())
    label = name.replace("_", " ")
    if (wanted := filters.get(name)) is None:
        try:
            async for item in read_pages(matching(filters), reading, seen):
                yield item
        except TooManyResultsError:
            if not values:
                raise
            facts = {"kind": resource.kind.value}
            _log.info("more %s than the platform lists at once: listing by %s", resource.kind, label, extra=facts)
        else:
            return
        reading.divided = True
    for value in values if wanted is None else [wanted]:
        try:
            async for item in read_pages(matching({**filters, name: value}), reading, seen):
                yield item
        except TooManyResultsError as exc:
            said = f"more than 1,000 {resource.kind.words} of the {label} {value!r}."
            raise TooManyResultsError(exc.status, exc.code, said) from exc


def _fetching(
    resource: Resource[T], send: Send, authorized_app_id: str | None, filters: Mapping[str, str | None]
) -> Fetch[T]:
    async def fetch(page_no: int) -> Page[T]:
        request = list_page(resource, page_no, filters, authorized_app_id=authorized_app_id)
        return read_page(resource, await send(request))

    return fetch


async def read_pages(fetch: Fetch[T], reading: Reading, seen: set[str] | None = None) -> AsyncIterator[T]:
    """Yield each item of a list once, except those whose id is in `seen`, to which the ids of new ones are added.

    Pages are cut anew for each call: what is deleted meanwhile moves what follows it to a page already read, unseen. So
    a list that shrank or grew, or showed less than it says it holds, is read again, and only what is new is yielded. A
    total and a short page are believed only where they agree; a page with nothing new ends the list.
    """
    seen = set() if seen is None else seen
    for _ in range(MAX_PASSES):
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
        reading.complete &= rows == len(shown)  # else some have no id, or are there twice
        return
    reading.complete = False
    _log.warning("the list changed each of the %d times that it was read; it may lack what has moved", MAX_PASSES)
