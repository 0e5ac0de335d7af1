"""A check of what a session needs: URL, TLS, credentials and clock, by a call or two.

One call logs in, the other lists a single version package, which proves that the token and the app_key are accepted.
Where an earlier token is refused, both follow. A list of subscriptions would not do: the platform refuses it if there
are too many. In an outage that is known already, one more call asks first whether it is over: these would wait for a
probe, and a login also for another process that has begun one and waits itself.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import attrs

from aionorth.auth.keeper import TokenKeeper
from aionorth.bulk.caller import Caller
from aionorth.bulk.record import Progress
from aionorth.common.arguments import Message, argument
from aionorth.common.times import duration
from aionorth.errors import (
    FlowControlError,
    HostNotFoundError,
    InvalidTokenError,
    NorthApiError,
    NorthConnectionError,
    NorthError,
    ProxyError,
    ReplyLostError,
    ReplyTimeoutError,
    ServerError,
    TlsError,
    detached,
)
from aionorth.session.options import SessionOptions
from aionorth.wire.body import http_date
from aionorth.wire.replies import Reply, Token, read_token
from aionorth.wire.requests import Request, list_page
from aionorth.wire.resources import PACKAGES
from aionorth.wire.transport import Transport, environment_proxy

LARGEST_DIFFERENCE = 60.0
"""Seconds that two clocks may differ before it is worth a warning."""


class Verdict(enum.StrEnum):
    """The result of a test."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_TESTED = "not tested"
    NOT_USED = "not used"


@attrs.frozen
class Finding:
    """What was found about one thing."""

    verdict: Verdict
    words: str = attrs.field(converter=Message)
    """What was found, and what to do about it."""


@attrs.frozen(kw_only=True)
class Checkup:
    """What `NorthSession.check` found."""

    url: Finding
    tls: Finding
    credentials: Finding
    clock: Finding
    difference: float | None = None
    """Seconds that this machine's clock is ahead of the platform's, negative where behind; None if it did not say."""
    error: NorthError | None = None
    """The error of a call that failed, if one did. Without a traceback."""

    @property
    def ok(self) -> bool:
        """Whether calls succeed. A clock that differs is only a warning."""
        return self.error is None

    @property
    def findings(self) -> dict[str, Finding]:
        """The findings by the names of what was tested."""
        return {"URL": self.url, "TLS": self.tls, "credentials": self.credentials, "clock": self.clock}

    def to_dict(self) -> dict[str, Any]:
        """The findings as JSON-ready values."""
        return {
            "ok": self.ok,
            "findings": {
                name.lower(): {"verdict": finding.verdict.value, "words": finding.words}
                for name, finding in self.findings.items()
            },
            "clock_difference": self.difference,
            "error": None if self.error is None else self.error.to_dict(),
        }

    def __str__(self) -> str:
        return "\n".join(
            f"{name:<11}  {finding.verdict:<10}  {finding.words}" for name, finding in self.findings.items()
        )


class Stage(enum.Enum):
    """Which call was made last."""

    LOGIN = enum.auto()
    """The login."""
    FRESH_TOKEN = enum.auto()
    """A call with a token that was obtained just before."""
    OLD_TOKEN = enum.auto()
    """A call with the token of an earlier login."""
    GIVEN_TOKEN = enum.auto()
    """A call with a token that the user brought."""


@attrs.define
class _Login:
    """Obtains a token by logging in. Its state is how far it came, and the Date of the reply."""

    caller: Caller
    request: Request
    stage: Stage = Stage.OLD_TOKEN
    date: str | None = None

    async def __call__(self, _: Token | None) -> Token:
        self.stage = Stage.LOGIN
        reply = await _sent_once(self.caller, self.request, authenticated=False)
        self.date = reply.date
        token = read_token(reply)
        self.stage = Stage.FRESH_TOKEN
        return token


async def examine(
    caller: Caller, transport: Transport, options: SessionOptions, *, login: tuple[TokenKeeper, Request] | None
) -> Checkup:
    """Make the calls, each once, and say what they mean.

    Args:
        caller: Makes the calls.
        transport: Knows whether any reply came.
        options: What the session was made with.
        login: The token's keeper, and the request that logs in; None where the session was given a token. A token that
            the keeper already has is used as it is, because a login would make it invalid.
    """
    stage, error, date, evicted = Stage.GIVEN_TOKEN, None, None, False
    try:
        await caller.ask()
        while True:
            if login is not None:
                keeper, request = login
                log_in = _Login(caller, request)
                try:
                    await keeper.renewed(log_in)
                finally:
                    stage, date = log_in.stage, log_in.date or date
                if stage is Stage.LOGIN:  # it failed for now, and the earlier token is still valid
                    stage = Stage.OLD_TOKEN
            try:
                date = (await _sent_once(caller, list_page(PACKAGES, 0, page_size=1))).date or date
                break
            except InvalidTokenError:
                if evicted or stage is not Stage.OLD_TOKEN:
                    raise
                evicted = True  # it may be an old one of a store; any other call would log in again too
    except (NorthConnectionError, ReplyLostError, NorthApiError) as exc:
        detached(exc)
        error = exc
        date = (exc.date if isinstance(exc, NorthApiError) else None) or date
    difference = _difference(datetime.now(UTC), date)
    return judged(
        error,
        stage=stage,
        https=options.https,
        reached=transport.reached,
        difference=difference,
        evicted=evicted,
        way=_way(options),
        any_host_name=options.connection.tls.any_host_name,
    )


def _way(options: SessionOptions) -> str:
    """Return which proxy the calls go through; nothing where none may be used."""
    if not options.connection.trust_env:
        return ""
    if (proxy := environment_proxy(options.url)) is None:
        return f", without a proxy: {options.url.scheme.upper()}_PROXY and NO_PROXY name none for it"
    host, port = proxy.address
    return f", through the proxy {host}:{port} of {proxy.variable}"


async def _sent_once(caller: Caller, request: Request, *, authenticated: bool = True) -> Reply:
    # Whatever comes back, a refusal by flow control included, no second attempt follows.
    return await caller.send(request, Progress(halted=True), authenticated=authenticated)


def _difference(now: datetime, date: str | None) -> float | None:
    """Return by how many seconds `now` is later than a Date header; None where that cannot be read."""
    theirs = http_date(date or "")
    return None if theirs is None else round((now - theirs).total_seconds(), 1)


# --- What the calls mean


def judged(
    error: NorthError | None,
    *,
    stage: Stage,
    https: bool,
    reached: bool,
    difference: float | None,
    evicted: bool = False,
    way: str = "",
    any_host_name: bool = False,
) -> Checkup:
    """Say what the last call means.

    Args:
        error: What it ended in; None where it succeeded.
        stage: Which call it was.
        https: Whether the platform is reached through TLS.
        reached: Whether any reply came.
        difference: How many seconds this machine's clock is ahead of the platform's.
        evicted: Whether an earlier token was refused.
        way: Which proxy the calls went through.
        any_host_name: Whether the platform's certificate may be another host's.
    """
    url = Finding(Verdict.OK, f"the platform answers{way}") if reached else _NOT_REACHED
    if not https:
        tls = Finding(Verdict.NOT_USED, "secret and tokens travel in the clear")
    else:
        accepted = _ANY_HOST if any_host_name else Finding(Verdict.OK, "encrypted, and the certificate is accepted")
        tls = accepted if reached else _NOT_REACHED
    credentials = Finding(Verdict.NOT_TESTED, _LOGGED_IN) if stage is Stage.FRESH_TOKEN else _NOT_REACHED
    match error:
        case None:
            credentials = _accepted(stage, evicted=evicted)
        case ReplyTimeoutError():
            url = Finding(Verdict.FAILED, f"{error.marked}; check the port, and whether the platform is up")
        case TlsError() | ReplyLostError() if isinstance(error, TlsError) or (https and not reached):
            url = Finding(Verdict.NOT_TESTED, "a server answers there; TLS has to show that it is the platform's")
            tls = Finding(Verdict.FAILED, error.marked)
        case NorthError() if _has_remedy(error, reached=reached):
            url = Finding(Verdict.FAILED, error.marked)
        case NorthConnectionError():
            url = Finding(Verdict.FAILED, f"{error.marked}; check the URL and the network")
        case NorthApiError(code=None, status=status) if not isinstance(error, (FlowControlError, InvalidTokenError)):
            url = Finding(Verdict.FAILED, _not_the_platform(error, status, way))
        case NorthApiError():
            credentials = _refused(error, stage)
        case _:
            url = Finding(
                Verdict.FAILED, f"{error.marked}; check the URL, and whether something stands before the platform"
            )
    if url.verdict is not Verdict.OK:
        difference = None  # it would be the clock of something else
    clock = _clock(difference) if url.verdict is Verdict.OK else _NOT_REACHED
    return Checkup(url=url, tls=tls, credentials=credentials, clock=clock, difference=difference, error=error)


def _has_remedy(error: NorthError, *, reached: bool) -> bool:
    """Whether the text of an error says what to do about it."""
    return isinstance(error, (HostNotFoundError, ProxyError)) or (isinstance(error, ReplyLostError) and not reached)


_APP_ID = argument("app_id")
_NOT_REACHED = Finding(Verdict.NOT_TESTED, "the platform was not reached")
_ANY_HOST = Finding(
    Verdict.WARNING,
    "encrypted, but the certificate may be that of another host: for commissioning only, then leave out "
    f"{argument('unsafe_accept_any_host_name')}",
)
_EVICTED = (
    f"the one before it was refused: has another client logged in with this {_APP_ID}? Each login makes the token "
    "before it invalid"
)
_LOGGED_IN = "logged in, but no call could be made with the token"


def _accepted(stage: Stage, *, evicted: bool) -> Finding:
    accepted = "the access token is accepted"
    if stage is not Stage.FRESH_TOKEN:
        return Finding(Verdict.OK, accepted)
    if evicted:
        return Finding(Verdict.WARNING, f"logged in again, and {accepted}; {_EVICTED}")
    return Finding(Verdict.OK, f"logged in, and {accepted}")


def _refused(error: NorthApiError, stage: Stage) -> Finding:
    """Say what one of the platform's own errors means for the credentials."""
    match error:
        case FlowControlError():
            tested = "logged in, but " if stage is Stage.FRESH_TOKEN else ""
            return Finding(
                Verdict.NOT_TESTED,
                f"{tested}flow control refuses this app's calls: another client uses it, or did a moment ago; "
                "wait a minute and check again",
            )
        case ServerError():
            return Finding(Verdict.NOT_TESTED, f"the platform is in trouble ({error.marked}); check again later")
        case InvalidTokenError() if stage is Stage.FRESH_TOKEN:
            return Finding(
                Verdict.FAILED,
                f"logged in, but the token was refused at once: is another client logging in with this {_APP_ID}? "
                "Each login makes the token before it invalid",
            )
        case InvalidTokenError() if stage is Stage.OLD_TOKEN:
            return Finding(Verdict.FAILED, _EVICTED)
        case InvalidTokenError(code=None) if stage is Stage.LOGIN:
            return Finding(
                Verdict.FAILED,
                f"the login was refused (HTTP {error.status}), and not in the platform's words: check the {_APP_ID}, "
                "the secret, and that nothing before the platform asks for credentials of its own",
            )
        case _:
            return Finding(Verdict.FAILED, error.marked)


def _not_the_platform(error: NorthApiError, status: int, way: str) -> str:
    """Say what a reply means that is not the platform's."""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return f"HTTP {status}{way}: {error.description}"
    remedy = "try again later, or check the URL" if isinstance(error, ServerError) else "check host, port and path"
    said = error.description.removesuffix(": check the base URL")
    return f"HTTP {status}{way}: {said}; {remedy}"


def _clock(difference: float | None) -> Finding:
    if difference is None:
        return Finding(Verdict.NOT_TESTED, "the platform does not say")
    if abs(difference) <= LARGEST_DIFFERENCE:
        return Finding(Verdict.OK, "within a minute of the platform's")
    way = "ahead of" if difference > 0 else "behind"
    return Finding(
        Verdict.WARNING,
        f"this machine's clock is {duration(abs(difference))} {way} the platform's: --older-than goes by it, and "
        "certificates are judged by it; set it",
    )
