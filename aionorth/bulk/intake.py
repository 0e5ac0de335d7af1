"""The intake of a run: ids are drawn from any input, checked, and dropped where they were drawn before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from typing import Any, TypeGuard

from aionorth.bulk.seen import SeenIds
from aionorth.errors import ArgumentError, InvalidIdError

Ids = Iterable[str] | AsyncIterable[str]

CheckId = Callable[[Any], object]
"""Raises `InvalidIdError` for what cannot be an id."""

BREATHER = 64
"""After so many duplicates in a row the event loop gets its turn."""

_END = object()


def checked(ids: Ids, check: CheckId) -> Ids:
    """Check an input before anything is sent.

    Returns:
        The input. A collection is checked whole and copied, so that changes to it do not change the run.

    Raises:
        ArgumentError: It is no iterable of ids, or one of the ids in a collection cannot be one.
    """
    if isinstance(ids, (str, bytes)) or not isinstance(ids, (Iterable, AsyncIterable)):
        raise ArgumentError(f"ids is {type(ids).__name__}; pass an iterable of ids: for one id, [id]")
    if not isinstance(ids, Iterable) or not isinstance(ids, Sized):
        return ids
    ids = tuple(ids)
    for number, id_ in enumerate(ids):
        try:
            check(id_)
        except InvalidIdError as exc:
            raise InvalidIdError(f"ids[{number}]: {exc}") from None
    return ids


class Intake:
    """Draws the ids of a run for all of its workers.

    Its state: the input, whether it has ended, whether a worker is waiting for it, the ids that were drawn, and how
    many of them were duplicates.
    """

    def __init__(self, ids: Ids, check: CheckId, *, duplicates: int = 0) -> None:
        """`ids` are as `checked` returns them; `duplicates` were dropped from them before."""
        self.size = len(ids) if isinstance(ids, Sized) else None
        self.duplicates = duplicates
        self._stream: AsyncIterator[str] | None = aiter(ids) if isinstance(ids, AsyncIterable) else None
        self._items: Iterator[str] = iter(()) if isinstance(ids, AsyncIterable) else iter(ids)
        self._check = check
        self._ended = False
        self._free = asyncio.Event()  # set while no worker waits for an async input
        self._free.set()
        self._seen = SeenIds()

    async def draw(self) -> str | None:
        """Return the next id that is no duplicate, or None at the end of the input.

        Raises what the input raises, and `InvalidIdError` for what is not a str; then it has ended too.
        """
        duplicates = 0
        try:
            while (item := self._next() if self._stream is None else await self._next_of(self._stream)) is not _END:
                if self._is_new(item):
                    return item
                duplicates += 1
                if duplicates % BREATHER == 0:
                    await asyncio.sleep(0)
        except Exception:
            self._ended = True
            raise
        self._ended = True
        return None

    def rest(self) -> Iterator[str]:
        """Draw what is left of a collection. A stream is left as it is: it may never end."""
        return iter(()) if self.size is None else filter(self._is_new, self._items)

    def _next(self) -> object:
        return _END if self._ended else next(self._items, _END)

    async def _next_of(self, stream: AsyncIterator[str]) -> object:
        # No lock: it would pass from worker to worker, one draw in a pass of the event loop. Here those that wait draw
        # at once, one after the other, as long as the input does not make them wait.
        while not self._free.is_set():
            await self._free.wait()
        self._free.clear()
        try:
            return _END if self._ended else await anext(stream, _END)
        finally:
            self._free.set()

    def _is_new(self, item: object) -> TypeGuard[str]:
        """Whether an id was drawn for the first time; raises `InvalidIdError` for what is not a str."""
        if not isinstance(item, str):
            self._check(item)  # it raises
        elif self._seen.add(item):
            return True
        self.duplicates += 1
        return False
