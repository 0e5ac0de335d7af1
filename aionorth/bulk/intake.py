"""The intake of a run: ids are checked, and drawn from any input."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from typing import Any

from aionorth.errors import ArgumentError, InvalidIdError

Ids = Iterable[str] | AsyncIterable[str]
"""Ids of resources: a list, a set, a generator, an asynchronous generator."""

CheckId = Callable[[Any], object]
"""Raises `InvalidIdError` for an invalid id."""

_END = object()


def checked(ids: Ids, check: CheckId) -> Ids:
    """Check an input before anything is sent.

    Returns:
        The input. A collection is checked whole and copied, so that changes to it do not change the run.

    Raises:
        ArgumentError: It is not an iterable of ids, or a collection contains an invalid id.
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

    Its state: the input, whether it has ended, and whether a worker is waiting for it.
    """

    def __init__(self, ids: Ids, check: CheckId) -> None:
        """`ids` are as `checked` returns them."""
        self._ids = ids
        self._stream: AsyncIterator[str] | None = aiter(ids) if isinstance(ids, AsyncIterable) else None
        self._items: Iterator[str] = iter(()) if isinstance(ids, AsyncIterable) else iter(ids)
        self._check = check
        self._ended = False
        self._free = asyncio.Event()  # set while no worker waits for an async input
        self._free.set()

    @property
    def size(self) -> int | None:
        """How many ids there are; None where that is not known."""
        return len(self._ids) if isinstance(self._ids, Sized) else None

    async def draw(self) -> str | None:
        """Return the next id, or None at the end of the input.

        Raises what the input raises, and `InvalidIdError` for an item that is not a str. Either ends the input, too.
        """
        try:
            if self._stream is not None:
                item = await self._next_of(self._stream)
            else:
                item = _END if self._ended else next(self._items, _END)
            if isinstance(item, str):
                return item
            if item is not _END:
                self._check(item)  # it raises
        except Exception:
            self._ended = True
            raise
        self._ended = True
        return None

    def rest(self) -> Iterator[str]:
        """Return the remaining ids of a collection, but none of a stream: it may never end."""
        return iter(()) if self.size is None else self._items

    async def _next_of(self, stream: AsyncIterator[str]) -> object:
        # No lock: it would pass from worker to worker, one draw per pass of the event loop. Here the waiting workers
        # draw at once, one after the other, as long as the input does not make them wait.
        while not self._free.is_set():
            await self._free.wait()
        self._free.clear()
        try:
            return _END if self._ended else await anext(stream, _END)
        finally:
            self._free.set()
