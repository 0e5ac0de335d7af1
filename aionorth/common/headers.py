"""The headers of a reply, as a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class Headers(Mapping[str, str]):
    """The headers of a reply, read-only; upper and lower case of their names are the same.

    The values of one that comes several times are joined by commas. Its repr shows names only.
    """

    __slots__ = ("_headers",)

    def __init__(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        self._headers: dict[str, tuple[str, str]] = {}
        for name, value in headers:
            first, before = self._headers.get(name.lower(), (name, None))
            self._headers[name.lower()] = first, value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._headers[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._headers.values())

    def __len__(self) -> int:
        return len(self._headers)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self)}>"


NO_HEADERS = Headers()
