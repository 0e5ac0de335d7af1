"""Every exception of this package, and the table from the platform's error codes to them.

`NorthError` is the root. What aiohttp, ssl or asyncio raise is translated where it enters, so catching `NorthError`
catches everything but bugs and cancellations. Each class states four facts, which decide what happens next:

* ``retryable``: another attempt may succeed.
* ``reply_lost``: the call may have been sent and carried out, but its reply is missing.
* ``not_done``: the call was certainly not carried out.
* ``ends_run``: nothing that follows in the same bulk run can succeed either.
"""  # more than 400 lines: a class for each error

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec, TypeVar

from aionorth.common.arguments import Message, argument, marked
from aionorth.common.headers import NO_HEADERS, Headers
from aionorth.common.text import shown, without_userinfo
from aionorth.common.times import duration

_APP_ID = argument("app_id")

P = ParamSpec("P")
R = TypeVar("R")


class NorthWarning(UserWarning):
    """Something works, but probably not as intended: settings differ, or a secret is sent without TLS."""


class NorthError(Exception):
    """The root of every exception that aionorth raises.

    The message calls arguments what Python does. A front end puts its own names in their place, by `marked`.
    """

    retryable: ClassVar[bool] = False
    reply_lost: ClassVar[bool] = False
    not_done: ClassVar[bool] = False
    ends_run: bool = False
    code: str | None = None
    retry_after: float | None = None

    def __init__(self, *args: object) -> None:
        super().__init__(*(Message(arg) if isinstance(arg, str) else arg for arg in args))

    @property
    def marked(self) -> str:
        """The message with its arguments marked, for a front end that has other names for them."""
        return marked(self.args[0]) if len(self.args) == 1 and isinstance(self.args[0], str) else super().__str__()

    def __str__(self) -> str:
        return Message(self.marked)

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON-ready values: ``type``, ``message`` and what its class adds."""
        return {"type": type(self).__name__, "message": str(self)}


class ArgumentError(NorthError, ValueError):
    """An argument cannot be used; nothing was sent. The message names the argument and the remedy."""

    not_done = True


class InvalidIdError(ArgumentError):
    """An id that no resource of the platform can have: empty, too long, in quotes, not a string, or with steps."""


class SettingsError(ArgumentError):
    """Settings from the environment or a profile that cannot be used. A line for each names it, and the remedy."""


class JournalError(NorthError):
    """A journal cannot be used or written to. Ends a bulk run, because what is not recorded must not be done."""

    not_done = True
    ends_run = True


class StoreError(NorthError):
    """The store in which an app's clients share flow control and token cannot be reached or used; nothing was sent."""

    not_done = True
    ends_run = True


class StoreUnavailableError(StoreError):
    """The store is out of reach, busy or full for now. A run waits until it is back; other store errors end the run."""

    retryable = True


class SessionStateError(NorthError, RuntimeError):
    """A session or a run was used before it was entered, after it was closed, or twice."""

    not_done = True
    ends_run = True


# --- Between here and the platform


class NorthConnectionError(NorthError):
    """The platform could not be reached; the call was never sent."""

    not_done = True
    retryable = True


class OutageError(NorthConnectionError):
    """The platform has not answered any call for longer than `RetryPolicy.outage` allows. Ends a bulk run.

    Attributes:
        silent_for: For how long, in seconds.
        reason: How the last call ended.
    """

    retryable = False
    ends_run = True

    def __init__(self, silent_for: float, reason: str = "") -> None:
        super().__init__(silent_for, reason)
        self.silent_for = silent_for
        self.reason: str = Message(reason)

    @property
    def marked(self) -> str:
        """See `NorthError.marked`."""
        reason = f" ({marked(self.reason)})" if self.reason else ""
        return f"the platform has not answered any call for {duration(self.silent_for)}{reason}: try again when it does"


class HostNotFoundError(NorthConnectionError):
    """The host name of the base URL does not exist. Ends a bulk run."""

    retryable = False
    ends_run = True


class ProxyError(NorthConnectionError):
    """The proxy could not be reached, or did not let the call through."""


class TlsError(NorthConnectionError):
    """TLS failed: one side refused the other's certificate, or they have no version in common. Ends a bulk run."""

    retryable = False
    ends_run = True


class ReplyLostError(NorthError):
    """The call may have been sent, but no whole, readable reply came back; whether it took effect is not known."""

    retryable = True
    reply_lost = True


class ReplyTimeoutError(ReplyLostError):
    """No reply within the ``timeout`` of the call, which is the session's unless it has its own."""


# --- The platform's errors


class NorthApiError(NorthError):
    """The platform answered with an error. Codes without a class of their own raise this one.

    Attributes:
        status: The HTTP status.
        code: The platform's ``error_code``; None where the reply had none.
        description: Its ``error_desc``. The texts differ between editions, so decide by `code`. Both are one printable
            line of at most 1,000 characters: control characters are written out, and the rest of a longer text is cut.
        remedy: What the platform's documents recommend.
        retry_after: The Retry-After of the reply in seconds; None without one.
        date: The Date of the reply, as it stands there; None without one.
        headers: The headers of the reply, read-only; upper and lower case of their names are the same.
        body: The beginning of the reply's body, at most 4 KiB. In neither are the session's secret or token: they are
            hidden. Both are empty for calls of a bulk run, whose errors are kept by the thousand.
    """

    remedy: ClassVar[str] = ""

    def __init__(
        self,
        status: int,
        code: str | None = None,
        description: str = "",
        *,
        retry_after: float | None = None,
        date: str | None = None,
        headers: Headers = NO_HEADERS,
        body: bytes = b"",
    ) -> None:
        code, description = None if code is None else shown(code), shown(without_userinfo(description))
        super().__init__(status, code, description)
        self.status = status
        self.code = code
        self.description = description
        self.retry_after = retry_after
        self.date = date
        self.headers = headers
        self.body = body

    def to_dict(self) -> dict[str, Any]:
        """See `NorthError.to_dict`; ``status`` and ``code`` too."""
        return super().to_dict() | {"status": self.status, "code": self.code}

    @property
    def marked(self) -> str:
        """See `NorthError.marked`."""
        said = f"HTTP {self.status}" + (f", code {self.code}" if self.code else "")
        text = f"{said}: {self.description}" if self.description else said
        return f"{text} Remedy: {marked(self.remedy)}" if self.remedy else text


class BadRequestError(NorthApiError):
    """400 / 120015, ``Bad request error``."""

    not_done = True
    remedy = "Check that the fileId has the right format: take it from the list of version packages."


class FlowControlError(NorthApiError):
    """1010009, ``app throttle exceed``, or a 429: the app called more often than its flow control threshold allows."""

    not_done = True
    remedy = (
        "Call less often (100 calls a minute is the platform's default), "
        "or have the platform's maintenance personnel raise the threshold."
    )


class InvalidTokenError(NorthApiError):
    """403 / 1010005, ``App_key or access_token is invalid``."""

    not_done = True
    remedy = Message(f"Check the {_APP_ID}, and that the access token is that of this app and still valid.")


class TokenEvictedError(InvalidTokenError):
    """The platform keeps forgetting a token that it has accepted before. Ends a bulk run."""

    remedy = Message(
        f"Another client seems to log in with this {_APP_ID}: each login makes the token before it invalid. Stop that "
        f"client, share one token through a common {argument('store')}, or give each client an app of its own."
    )
    ends_run = True


class AppNotAuthorizedError(NorthApiError):
    """403 / 100217, ``The application hasn't been authorized``. Ends a bulk run."""

    not_done = True
    remedy = Message(f"Leave {argument('authorized_app_id')} out unless that app has authorized this one.")
    ends_run = True


class NotFoundError(NorthApiError):
    """404 or 410: there is no such resource."""

    not_done = True


class TooManyResultsError(NorthApiError):
    """400 / 100224: more than 1,000 results, of which the platform does not list even a part."""

    remedy = Message(
        f"List by {argument('notify_type')}; where one alone has more than 1,000 subscriptions, delete them without a "
        "list, by the platform's batch call, or some of them by their ids."
    )


class PageOutOfRangeError(NorthApiError):
    """400 / 123029: there is no such page."""


class SubscriptionNotFoundError(NotFoundError):
    """404 / 100225, ``The resource is not found``."""

    remedy = "Check that the subscriptionId is correct."


class PackageNotFoundError(NotFoundError):
    """404 / 123002, ``Device or package file not found``."""

    remedy = "Check that the fileId is correct."


class DeviceNotFoundError(NotFoundError):
    """404 / 100403, ``The device is not existed``."""

    remedy = "Check that the deviceId is correct."


class DeviceGroupNotFoundError(NotFoundError):
    """100603: there is no such device group. It comes inside an HTTP 200."""

    remedy = "Check that the devGroupId is correct."


class CredentialsError(NorthApiError):
    """401 / 100208, ``AppId or secret is not right``. Ends a bulk run."""

    not_done = True
    remedy = Message(f"Check the {_APP_ID} and the secret.")
    ends_run = True


class AppKeyMissingError(NorthApiError):
    """401 / 100025: the platform did not get the ``app_key`` header. Ends a bulk run."""

    not_done = True
    remedy = (
        "Something between here and the platform drops headers with an underscore, as nginx does by default: "
        "set underscores_in_headers on; there."
    )
    ends_run = True


class AppNotFoundError(NorthApiError):
    """100203: the app does not exist. Ends a bulk run."""

    not_done = True
    remedy = Message(f"Check the {_APP_ID}.")
    ends_run = True


class AppFrozenError(NorthApiError):
    """400 / 100247: the app is frozen. Ends a bulk run."""

    not_done = True
    remedy = "Have the platform's maintenance personnel unfreeze the app."
    ends_run = True


class ServerError(NorthApiError):
    """500 or 503, or a code that says so: the platform could not handle the call at this moment."""

    retryable = True


class CongestionError(ServerError):
    """503 / 100501: the platform is congested."""

    remedy = "Try again later."


class GatewayError(ServerError):
    """502 or 504 without a code that is known: a gateway got no reply from the platform, so the reply is lost."""

    reply_lost = True


CODES: dict[str, type[NorthApiError]] = {
    "120015": BadRequestError,
    "1010009": FlowControlError,
    "1010005": InvalidTokenError,
    "100217": AppNotAuthorizedError,
    "100224": TooManyResultsError,
    "123029": PageOutOfRangeError,
    "100208": CredentialsError,
    "100025": AppKeyMissingError,
    "100203": AppNotFoundError,
    "100247": AppFrozenError,
    "100501": CongestionError,
    "50252": ServerError,
    "100001": ServerError,
    "100023": ServerError,
    "100220": ServerError,
}
"""The platform's error codes that have a class of their own; those for "not there" are in the table of resources."""


# --- Bulk runs


class TooManyFailuresError(NorthError):
    """So many ids have failed that the run ends: as many as ``max_failures`` allows, or the first ones all alike."""

    ends_run = True


class BulkError(NorthError):
    """A bulk run did not delete everything. `summary`, a `DeleteSummary`, accounts for every id that was drawn."""

    def __init__(self, message: str, summary: Any) -> None:  # noqa: ANN401 - a summary holds errors, so they cannot name it
        super().__init__(message, summary)
        self.summary = summary

    @property
    def marked(self) -> str:
        """See `NorthError.marked`."""
        return marked(self.args[0])


class BulkFailedError(BulkError):
    """Raised by `DeleteSummary.raise_for_failures`: some ids were not deleted."""


class BulkAbortedError(BulkError):
    """The run ended early: its cause (``__cause__``) would have hit every other id as well, or came from the input."""


def detached(error: BaseException) -> BaseException:
    """Return `error` without its traceback, and without those of its causes, so that it can be kept as a value.

    A traceback holds all local variables of its frames: much memory in a run of a million ids, and perhaps a token.
    """
    link: BaseException | None = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def detaching(function: Callable[P, R]) -> Callable[P, R]:
    """Remove the variables and arguments of `function` from what it raises: they may be secrets."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as exc:  # noqa: BLE001 - it is raised again
            del args, kwargs
            raise detached(exc) from exc.__cause__

    return wrapper
