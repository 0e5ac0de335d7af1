"""Flow control: the threshold of every app, and the refusal of what exceeds it."""

import math

import attrs

from aionorth.simulator import replies
from aionorth.simulator.replies import Reply
from aionorth.simulator.requests import Call
from aionorth.simulator.throttle import MODELS, Throttle


class FlowControl:
    """Counts the calls of each app; the options are those of `Simulator`. Mutable: the throttle of each app."""

    def __init__(self, *, model: str, period: float, count_tokens: bool, retry_after: bool) -> None:
        if model not in MODELS:
            raise ValueError(f"model must be one of {', '.join(MODELS)}, not {model!r}")
        if period <= 0:
            raise ValueError("period must be positive")
        self._model = MODELS[model]
        self._period = period
        self._count_tokens = count_tokens
        self._retry_after = retry_after
        self._throttles: dict[str, Throttle] = {}

    def set_threshold(self, app_id: str, calls: int | None) -> None:
        """See `Simulator.throttle`. What has been counted stays counted, unless flow control is switched off."""
        if calls is not None and calls < 1:
            raise ValueError("the threshold must be at least one call")
        throttle = self._throttles.get(app_id)
        if calls is None:
            self._throttles.pop(app_id, None)
        elif throttle is None:
            self._throttles[app_id] = self._model(calls, self._period)
        else:
            throttle.calls = calls

    def admit(self, call: Call | None, now: float) -> float | None:
        """Count a call. One that belongs to no known app is not counted, nor is one without a route.

        Returns:
            ``None`` where the call is accepted, else the seconds after which another one may be.
        """
        if call is None or (call.route.takes_secret and not self._count_tokens):
            return None
        throttle = self._throttles.get(call.app_id or "")
        return throttle.admit(now) if throttle else None

    def refusal(self, wait: float) -> Reply:
        """Return the reply to a refused call; another one may be accepted after ``wait`` seconds."""
        if not self._retry_after:
            return replies.THROTTLED
        # The next whole second even after a whole one: some models accept nothing at that very moment.
        header = ("Retry-After", str(math.floor(wait) + 1))
        return attrs.evolve(replies.THROTTLED, headers=(*replies.THROTTLED.headers, header))
