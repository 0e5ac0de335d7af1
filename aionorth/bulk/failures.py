"""When failures end a run before its input does."""

from __future__ import annotations

from http import HTTPStatus

import attrs

from aionorth.errors import NorthApiError, NorthError, TooManyFailuresError
from aionorth.models import DeleteResult, Outcome

ALIKE = 20
"""If the platform refuses this many ids at the start with the same code, it would refuse the others, too."""


@attrs.define
class Failures:
    """Counts the failures of a run. Its state: the counts, and the refusal that all ids got so far, if they did."""

    maximum: int | None = None
    """How many failures a run may have before it ends; None: any number."""
    failed: int = 0
    settled: int = 0
    alike: tuple[int, str | None] | None = None

    def add(self, result: DeleteResult) -> NorthError | None:
        """Add the result of an id for which a call was made; return why the run must end, if it must.

        Only a refusal of the caller, 401 or 403, can apply to all ids. Codes that are known have their own rules.
        """
        self.settled += 1
        if result.outcome not in {Outcome.FAILED, Outcome.UNKNOWN} or result.error is None:
            return None
        self.failed += 1
        error = result.error
        if self.failed == self.maximum:
            return TooManyFailuresError(
                f"{self.failed} ids have failed, as many as were allowed; the last: {error.marked}"
            )
        refused = type(error) is NorthApiError and error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
        refusal = (error.status, error.code) if isinstance(error, NorthApiError) and refused else None
        if self.settled == 1:
            self.alike = refusal
        elif refusal != self.alike:
            self.alike = None
        if self.alike is not None and self.settled == self.failed == ALIKE:
            return TooManyFailuresError(
                f"the first {ALIKE} ids all failed alike, and so would the others: {error.marked}"
            )
        return None
