"""Deleting what the platform refuses to list, by its one batch call: nobody knows the ids, nor how many they are."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import attrs

from aionorth.cli.output.messages import (
    ExitCode,
    ProblemError,
    code_of,
    complain,
    in_words,
    own_name,
    put,
    refuse_useless,
    remark,
    say,
)
from aionorth.cli.reports.account import as_result
from aionorth.cli.runs.confirm import asked, can_ask
from aionorth.cli.runs.job import another_signal, on_signals
from aionorth.common.text import visible, without_userinfo
from aionorth.errors import NorthError, ReplyLostError, TooManyResultsError
from aionorth.items import Target
from aionorth.models import DeleteResult, Outcome
from aionorth.purge.plan_files import to_plain
from aionorth.purge.selections import BatchDelete, Selection
from aionorth.session.north import NorthSession

SAID = {
    Outcome.DELETED: "the platform confirmed that it deleted all that matched",
    Outcome.NOT_FOUND: "nothing matched: there was nothing to delete",
    Outcome.GONE: "nothing matches now: an attempt whose reply was lost may have deleted them",
    Outcome.UNKNOWN: "the reply was lost: whether anything was deleted is not known",
}


@attrs.frozen(kw_only=True)
class Unlisted:
    """A deletion without a list: what is to be said of it, in words and as JSON."""

    target: Target
    batch: BatchDelete
    refusal: TooManyResultsError
    """Why there is no list."""

    def __str__(self) -> str:
        why = self.refusal.description.removesuffix(".")
        return "\n".join(
            (
                f"All {self.target} with {visible(str(self.batch))}: 1 call",
                f"  {why}; the platform does not say how many",
                "  Nobody knows their ids: there is no plan, no journal and no report of them.",
            )
        )

    def as_json(self, **more: object) -> str:
        """Return it as a JSON object on one line, with `more`."""
        batch = to_plain(self.batch)
        return json.dumps({**to_plain(self.target), "batch": batch, "delete": None, "calls": 1, **more})

    @property
    def word(self) -> str:
        """What is typed to confirm it."""
        return visible(self.batch.notify_type or without_userinfo(self.batch.callback_url or ""))


def refused(selection: Selection[Any], refusal: TooManyResultsError) -> ExitCode:
    """Say that there is no list, and that ``--batch`` would do without one, if it would."""
    batch = selection.unlisted_batch()
    complain(f"aionorth: {in_words(refusal) if batch is None else refusal.description.removesuffix('.')}")
    if batch is not None:
        remark(f"aionorth: --batch deletes all with {visible(str(batch))} by one call, without a list")
    return code_of(refusal)


def checked(selection: Selection[Any], target: Target, refusal: TooManyResultsError, **of_no_use: object) -> Unlisted:
    """Return what ``--batch`` deletes without a list.

    Raises:
        ProblemError: The call would delete something else than what is selected, or an option (`of_no_use`, by the
            names of their fields) needs a list.
    """
    why = f"the platform lists none of them ({refusal.description.removesuffix('.')})"
    if (batch := selection.unlisted_batch()) is None:
        raise ProblemError(
            f"--batch: {why}, and its batch call filters by the notify type and the whole callback URL only, which "
            f"would take more, or less, than what is selected ({selection.in_words()}): nothing was deleted; give "
            "--notify-type, or --callback-url without *, or both, and no other condition"
        )
    refuse_useless(f"without ids and their number, and {why}: nothing was deleted; leave it out", **of_no_use)
    return Unlisted(target=target, batch=batch, refusal=refusal)


def agreed(unlisted: Unlisted, *, yes: bool) -> bool:
    """Whether the deletion may go ahead, after the question."""
    if yes:
        return True
    if not can_ask():
        raise ProblemError(
            f"all {unlisted.target} with {unlisted.batch} are selected, and there is no terminal to ask on: nothing "
            "was deleted; look at it with --dry-run, then give --yes"
        )
    say(str(unlisted))
    return asked(str(unlisted), "They will all be deleted by one call.", unlisted.word) == unlisted.word


async def carry_out(unlisted: Unlisted, north: NorthSession, *, as_json: bool) -> ExitCode:
    """Make the call, list again, and say what came of it."""
    result = await _made(unlisted, north)
    left, known = await _left(unlisted, north)
    gone = result.ok if left is None else not left
    exit_code = ExitCode.OK if gone else ExitCode.FAILED
    if as_json:
        fate = {name: value for name, value in as_result(result).items() if name != "id"}
        put(unlisted.as_json(**fate, left=left, exit_code=int(exit_code)))
    else:
        put(f"{SAID[result.outcome]}\n{known}")
    return exit_code


async def _made(unlisted: Unlisted, north: NorthSession) -> DeleteResult:
    """Make the call. The first signal lets it end: a second one no longer waits for its reply."""
    batch, interrupts = unlisted.batch, 0
    work = asyncio.ensure_future(
        north.delete_matching_subscriptions(
            notify_type=batch.notify_type,
            callback_url=batch.callback_url,
            authorized_app_id=unlisted.target.authorized_app_id,
            missing_ok=True,
        )
    )

    def interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            say(f"the call is under way; {another_signal()} no longer waits for its reply")
        else:
            work.cancel()

    remark("aionorth: one call is under way; the platform may take its time")
    with on_signals(interrupt):
        await asyncio.wait({work})
    if work.cancelled():
        say(
            f"aionorth: whether anything was deleted is not known: look with '{own_name()} list {unlisted.target.kind}'"
        )
        raise KeyboardInterrupt
    try:
        return work.result()
    except ReplyLostError as exc:
        complain(f"aionorth: {in_words(exc)}")
        return DeleteResult(str(batch), Outcome.UNKNOWN, exc)


async def _left(unlisted: Unlisted, north: NorthSession) -> tuple[int | None, str]:
    """Return how many there are now, at least, and that in words; None if it is not known."""
    batch, other, left = unlisted.batch, unlisted.target.authorized_app_id, 0
    try:
        async for one in north.list_subscriptions(notify_type=batch.notify_type, authorized_app_id=other):
            left += batch.takes_exactly([one], [])
    except TooManyResultsError:
        if batch.callback_url is None:
            return 1_000, "more than 1,000 are there now"
        return None, "how many are there now is not known: with other callback URLs there are too many to be listed"
    except NorthError as exc:
        return None, f"how many are there now is not known: {in_words(exc)}"
    return left, f"{left:,} are there now" if left else "none is there now"
