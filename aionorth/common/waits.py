"""Waits that grow. The only user of `backoff`.

Its decorators do not fit: they sleep for one call where a refusal concerns the whole app, they know nothing of flow
control, and their coroutine detection warns on Python 3.14. What is used, `expo` and `full_jitter`, behaves the same in
backoff 2.2 and in its successor python-backoff 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import backoff

Jitter = Callable[[float], float]
"""From the longest wait to the wait, in seconds."""

full_jitter: Jitter = backoff.full_jitter
"""Draws a wait evenly from between 0 and the longest."""


def growing_waits(first: float, longest: float, jitter: Jitter = full_jitter) -> Iterator[float]:
    """Waits in seconds that double from `first` up to `longest`, each passed through `jitter`; they never end."""
    waits = backoff.expo(base=2, factor=first, max_value=longest)
    next(waits)  # both majors yield once before the first wait: None in the one, 0 in the other
    return (max(0.0, jitter(wait)) for wait in waits)
