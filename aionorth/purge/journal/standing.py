"""What a journal says of a run as a whole: how it ended, and when the platform was silent."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any

import attrs

from aionorth.errors import NorthError
from aionorth.events import Event, Held, Released
from aionorth.purge.journal.lines import error_to_dict


class RunState(enum.Enum):
    """What has become of a run, as far as its journal shows."""

    COMPLETE = "complete"
    """It went through all of its ids."""
    INTERRUPTED = "interrupted"
    """It was stopped before."""
    FAILED = "failed"
    """It could not continue."""
    AT_WORK = "at_work"
    """A process has locked the journal."""
    NO_END = "no_end"
    """Nobody has recorded its end: it was killed, or is one of an older version."""


RECORDED = {state.value: state for state in (RunState.COMPLETE, RunState.INTERRUPTED, RunState.FAILED)}
"""How a run ends that records its end."""


@attrs.define(kw_only=True)
class Standing:
    """Where a purge stands while a run is at work on it. All of its fields are state."""

    began: float
    """When its first run began; times are seconds since 1970."""
    run_began: float
    gone: int | None = None
    """How many ids are known to be gone, once what the runs before did was taken over."""
    silent_since: float | None = None
    """Since when the platform has not answered; None where it does."""

    def outage(self, event: Event, now: float) -> dict[str, Any] | None:
        """Return the line that an event takes: one for an outage that has begun, and one once it is over."""
        if not isinstance(event, (Held, Released)):
            return None
        # An outage that is older than the run counts from its beginning.
        since = self.silent_since or max(self.run_began, now - event.silent_for)
        self.silent_since = since if isinstance(event, Held) else None
        return _outage(since, now, is_open=self.silent_since is not None)

    def silence(self, now: float) -> dict[str, Any] | None:
        """Return the line for an outage that goes on; None where there is none."""
        return None if self.silent_since is None else _outage(self.silent_since, now, is_open=True)

    def end(self, now: float, *, stopped: bool, cause: BaseException | None) -> Iterator[dict[str, Any]]:
        """Yield the lines that say how the run ended."""
        if self.silent_since is not None:
            yield _outage(self.silent_since, now, is_open=False)
            self.silent_since = None
        state = RunState.FAILED if cause is not None else RunState.INTERRUPTED if stopped else RunState.COMPLETE
        line: dict[str, Any] = {"stop": now, "how": state.value, "began": self.began}
        line |= {} if self.gone is None else {"gone": self.gone}
        if cause is not None:
            # The text of another exception may be anybody's, and hold a secret.
            error = cause if isinstance(cause, NorthError) else NorthError(type(cause).__name__)
            line["error"] = error_to_dict(error)
        yield line


def _outage(since: float, until: float, *, is_open: bool) -> dict[str, Any]:
    return {"outage": round(since, 3), "until": until} | ({"open": True} if is_open else {})
