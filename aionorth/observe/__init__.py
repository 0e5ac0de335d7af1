"""What happens in a session, for metrics, traces and logs of your own.

``NorthSession(…, observers=[observer])`` calls ``observer(event)`` with each `Event`, in order. Two observers are
ready made: `PrometheusObserver` (``pip install 'aionorth[prometheus]'``) and `OpenTelemetryObserver`
(``pip install 'aionorth[otel]'``). One of your own is any function that takes an event:

```python
def count(event: Event) -> None:
    if isinstance(event, CallEnded) and event.error_type is not None:
        statsd.increment(f"aionorth.errors.{event.operation}.{event.error_type}")
```

It is called by the code in which the event happens, so it must not block. What it raises harms nothing, and is
logged the first time. Events hold no secret; ids are in `IdSettled` only.
"""

# The comments are the topics of the API reference, which has the names in this order.
__all__ = [
    # Observers
    "Observer",
    "PrometheusObserver",
    "OpenTelemetryObserver",
    # Events
    "Event",
    "SessionOpened",
    "SessionClosed",
    # Events of calls
    "CallEvent",
    "CallStarted",
    "CallEnded",
    "OperationStarted",
    "OperationEnded",
    # Events of flow control
    "Refused",
    "Paused",
    "LimitLearned",
    "Held",
    "Released",
    # Events of token and store
    "TokenObtained",
    "StoreLost",
    "StoreReached",
    # Events of bulk runs
    "RunEvent",
    "RunStarted",
    "IdSettled",
    "RunEnded",
]

from typing import TYPE_CHECKING

from aionorth.common.extras import imported, usable
from aionorth.events import (
    CallEnded,
    CallEvent,
    CallStarted,
    Event,
    Held,
    IdSettled,
    LimitLearned,
    Observer,
    OperationEnded,
    OperationStarted,
    Paused,
    Refused,
    Released,
    RunEnded,
    RunEvent,
    RunStarted,
    SessionClosed,
    SessionOpened,
    StoreLost,
    StoreReached,
    TokenObtained,
)

if TYPE_CHECKING:
    from aionorth.observe.otel import OpenTelemetryObserver
    from aionorth.observe.prometheus import PrometheusObserver
else:
    # A program that uses one of them need not have what the other one needs.
    _EXTRAS = {"PrometheusObserver": "prometheus", "OpenTelemetryObserver": "otel"}

    def __getattr__(name: str) -> object:
        if (extra := _EXTRAS.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault(name, imported(name, f"{__name__}.{extra}", extra))

    def __dir__() -> list[str]:
        return usable({*globals(), *__all__}, _EXTRAS, __getattr__)
