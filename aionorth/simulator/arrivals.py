"""The log: what arrived at the simulator, and what became of it."""

from collections import deque
from collections.abc import Sequence

import attrs

from aionorth.simulator.faults import Fault


@attrs.frozen
class Arrival:
    """One call as the platform saw it. Times are seconds on the event loop's clock.

    A call enters the log when flow control has counted it. Until its reply is sent, its ``status`` is ``None``.
    """

    received: float
    """When the request arrived."""
    counted: float
    """When flow control counted it."""
    app_id: str | None
    """The app that the caller says it is; ``None`` where it does not say."""
    method: str
    path: str
    """Path and query, percent-encoded as on the wire."""
    resource: str | None
    """The decoded id at the end of the path; ``None`` for calls on a whole collection, login and refresh."""
    status: int | None = None
    """The HTTP status of the reply; ``None`` where none was sent, because of a fault or because the caller had gone."""
    code: str | None = None
    """The error code in the reply; ``None`` where it had none, or none was sent."""
    fault: Fault | None = None
    """The fault of the call, if it had one."""
    refused: bool = False
    """Whether flow control refused the call."""


class Log:
    """Arrivals in the order in which they were counted. Mutable: these, and how many there have been.

    Args:
        limit: How many arrivals are remembered, the latest ones; ``None``: all.
    """

    def __init__(self, limit: int | None) -> None:
        self._arrivals = deque[Arrival](maxlen=limit)
        self._opened = 0

    def open(self, arrival: Arrival) -> int:
        """Enter a call that has been counted; return the number under which it can be completed."""
        self._arrivals.append(arrival)
        self._opened += 1
        return self._opened - 1

    def complete(self, number: int, status: int, code: str | None) -> None:
        """Enter the reply that was sent."""
        back = self._opened - number
        if back <= len(self._arrivals):
            self._arrivals[-back] = attrs.evolve(self._arrivals[-back], status=status, code=code)

    def arrivals(self) -> Sequence[Arrival]:
        """Return the log as it is now."""
        return tuple(self._arrivals)
