"""The results of a run for the caller that iterates it, with backpressure."""

from __future__ import annotations

import asyncio

from aionorth.models import DeleteResult


class ResultStream:
    """Hands over results as they complete.

    A worker reserves a place for a result before it draws an id. So a slow consumer holds up the drawing, never a call.

    Its state: the results that were not fetched yet, the places that are left, and whether anybody fetches at all.
    """

    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._results: asyncio.Queue[DeleteResult | None] = asyncio.Queue()
        self.fetched = True

    def discard(self) -> None:
        """Keep no results: nobody fetches them."""
        self.fetched = False

    async def reserve(self) -> None:
        """Wait for a place, and reserve it."""
        await self._places.acquire()

    def put(self, result: DeleteResult) -> None:
        """Hand over a result."""
        if self.fetched:
            self._results.put_nowait(result)

    def end(self) -> None:
        """Say that no result will follow."""
        self._results.put_nowait(None)

    async def fetch(self) -> DeleteResult | None:
        """Return the next result, or None after the last."""
        result = await self._results.get()
        if result is None:
            self._results.put_nowait(None)  # for the next fetch
        else:
            self._places.release()
        return result
