"""The life cycle of a session, its wiring, and the way of one call."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aionorth.auth.keeper import TokenKeeper
from aionorth.auth.sources import GivenToken, by_login
from aionorth.bulk.caller import Caller
from aionorth.bulk.record import Progress
from aionorth.bulk.retry import RetryPolicy
from aionorth.common.files import StrPath
from aionorth.errors import NorthWarning, NotFoundError, SessionStateError, detaching
from aionorth.events import Observer, Observers, SessionClosed, SessionOpened
from aionorth.flow.settings import FlowControl, FlowState
from aionorth.models import DeleteResult
from aionorth.session import app
from aionorth.session.checkup import Checkup, examine
from aionorth.session.options import SessionOptions
from aionorth.wire import requests
from aionorth.wire.checks import check_string
from aionorth.wire.replies import Reply
from aionorth.wire.requests import Request
from aionorth.wire.tls import Tls
from aionorth.wire.transport import ConnectionOptions, Transport

if TYPE_CHECKING:
    import aiohttp

    from aionorth.stores.machine import MachineStore
    from aionorth.stores.redis import RedisStore


class Session:
    """A session that can be opened and closed.

    Its state is the app that it shares with other sessions, and what makes its calls; both are None while it is closed.
    """

    @detaching
    def __init__(
        self,
        url: str,
        *,
        app_id: str,
        secret: str | None = None,
        token: GivenToken | None = None,
        flow_control: FlowControl = FlowControl(),  # noqa: B008 - frozen
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        store: MachineStore | RedisStore | None = None,
        share_token: bool = True,
        ca_file: StrPath | None = None,
        client_cert: tuple[StrPath, StrPath] | None = None,
        tls_relaxed_x509: bool = False,
        unsafe_accept_any_host_name: bool = False,
        http: aiohttp.ClientSession | None = None,
        connect_timeout: float = 10.0,
        timeout: float = 30.0,
        trust_env: bool = False,
        observers: Sequence[Observer] = (),
    ) -> None:
        """Check the arguments; nothing is sent before the session is entered.

        Args:
            url: The platform's base URL, as in ``https://server:8743``.
            app_id: The app's id, String(256): the ``app_key`` of every call.
            secret: The app's secret, String(256): the session logs in on first use and keeps its token valid.
            token: Instead of a secret, an access token, or an async function that returns one; it is called on
                first use and again when the platform refuses what it returned.
            flow_control: The app's flow control; the platform's default is 100 calls in 60 s.
            retry: What is done about lost connections, time-outs and the platform's own faults.
            store: Where all of the app's callers share its flow control and token: a `MachineStore`, or a `RedisStore`.
                None means in memory: then only sessions of this event loop share it, and it ends with the process.
            share_token: Whether the token is cached in the store. Without it each login of this process makes the
                tokens of the others invalid, and the other way round.
            ca_file: A PEM file with the CA that signed the platform's certificate; None means the system's CAs.
            client_cert: PEM files of a client certificate and its key, where the platform asks for one.
            tls_relaxed_x509: Accept certificates that leave out what RFC 5280 asks for, such as key identifiers, which
                Python from 3.13 on refuses. All else is verified. Before 3.13 it changes nothing.
            unsafe_accept_any_host_name: Accept a valid certificate although it was issued for another host name.
                For commissioning: then anybody with any certificate of that CA can pretend to be the platform.
            http: An `aiohttp.ClientSession` of your own to send through. It stays yours to close; its TLS and proxy
                settings hold, its middlewares are not run, because one that retries would bypass flow control.
            connect_timeout: Seconds that making a connection may take.
            timeout: Seconds that one exchange may take in all, the connection included.
            trust_env: Whether to use the proxies named in the environment (``HTTPS_PROXY`` and the like).
            observers: Functions that are called with each `aionorth.observe.Event`, in order. What the sessions of one
                app share, its flow control, token and store, is reported to the observers of all of them.

        Raises:
            ArgumentError: An argument cannot be used; the message says which, and what to do.
        """
        self._options = options = SessionOptions(
            url=url,
            app_id=app_id,
            secret=secret,
            token=token,
            flow_control=flow_control,
            retry=retry,
            store=store,
            share_token=share_token,
            connection=ConnectionOptions(
                tls=Tls(
                    ca_file=ca_file,
                    client_cert=client_cert,
                    any_host_name=unsafe_accept_any_host_name,
                    relaxed_x509=tls_relaxed_x509,
                ),
                http=http,
                connect_timeout=connect_timeout,
                timeout=timeout,
                trust_env=trust_env,
            ),
            observers=observers,
        )
        if not options.https and not options.local:
            text = f"{options.url} is not https: secret and tokens travel in the clear"
            warnings.warn(text, NorthWarning, stacklevel=3)
        self._url, self._app_id = options.base_url, options.app_id
        self._observers = Observers(options.app_id, options.observers)
        self._transport = Transport(options.url, options.connection)
        self._app: app.App | None = None
        self._caller: Caller | None = None

    @classmethod
    @detaching
    def from_env(cls, **options: Any) -> Self:  # noqa: ANN401 - as `__init__` has them
        """Return a session with the settings of the environment, as the command line has them.

        They are ``AIONORTH_URL``, ``AIONORTH_APP_ID``, ``AIONORTH_SECRET`` or ``AIONORTH_SECRET_FILE``, and those that
        ``aionorth --help`` lists; what is in none of them is looked for in the profile that ``AIONORTH_PROFILE`` names,
        or in the one named ``default``. Where nothing says where to share flow control, it is the store of the command
        line of this user and machine, `MachineStore` without a directory; ``AIONORTH_STORE=memory`` does without.

        Args:
            options: Arguments of `NorthSession`. They come before all settings, which are then not looked for.

        Raises:
            SettingsError: Settings are missing or cannot be used; a line for each says which, and what to do.
            ArgumentError: As from the constructor.
        """
        return cls._from_settings(None, options)

    @classmethod
    @detaching
    def from_profile(cls, name: str, **options: Any) -> Self:  # noqa: ANN401 - as `__init__` has them
        """Return a session with the settings of the profile of that name in the command line's ``config.toml``.

        As with its ``--profile``, variables that are set come before the profile, with a warning in the log where they
        replace what it has.

        Args:
            name: The profile's name.
            options: As for `from_env`.

        Raises:
            SettingsError: As `from_env`; also where there is no such profile.
            ArgumentError: As from the constructor.
        """
        return cls._from_settings(check_string(name, "name"), options)

    @classmethod
    def _from_settings(cls, profile: str | None, options: dict[str, Any]) -> Self:
        from aionorth.session import settings  # noqa: PLC0415 - with every store; most programs need one at most

        return cls(**settings.arguments(profile, options))

    def __repr__(self) -> str:
        # A traceback of the constructor shows it too.
        return f"<{type(self).__name__} {getattr(self, '_url', '…')} app_id={getattr(self, '_app_id', '…')!r}>"

    @property
    def url(self) -> str:
        """The platform's base URL."""
        return self._url

    @property
    def app_id(self) -> str:
        """The app's id."""
        return self._app_id

    # --- Life cycle

    async def __aenter__(self) -> Self:
        if self._app is not None:
            raise SessionStateError("the session is open already")
        self._app = joined = await app.join(self._options)
        try:
            await self._transport.open()
        except BaseException:
            await self.close()
            raise
        options = self._options
        self._caller = caller = Caller(self._transport, joined.flow, options.retry, self._observers)
        if (secret := options.secret) is not None:
            log_in = by_login(self._app_id, secret, partial(self._send, authenticated=False))
            caller.authenticate(joined.keeper(secret, share=options.share_token), log_in, secret)
        elif options.token is not None:
            caller.authenticate(TokenKeeper(observers=self._observers), options.token)
        joined.observers.add(options.observers)
        if self._observers.all:
            self._observers(SessionOpened(app_id=self._app_id, flow=joined.flow.state))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the session: its calls in flight are broken off. The last that shares its connections closes them."""
        if (joined := self._app) is not None:
            opened, self._app, self._caller = self._caller is not None, None, None
            try:
                await self._transport.close()
            finally:  # after calls in flight have been broken off, and counted
                try:
                    await app.leave(self._options)
                finally:
                    if opened and self._observers.all:
                        joined.observers.remove(self._options.observers)
                        self._observers(SessionClosed(app_id=self._app_id, flow=joined.flow.state))

    async def _send(self, request: Request, *, authenticated: bool = True) -> Reply:
        return await self._opened().send(request, authenticated=authenticated)

    async def _delete(
        self,
        id_: str,
        request: Request,
        *,
        missing_ok: bool,
        timeout: float | None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None,
    ) -> DeleteResult:
        caller = self._opened()
        progress, started = Progress(), caller.now()
        try:
            await caller.send(request, progress, timeout=timeout, retry=retry)
        except NotFoundError:
            if not (missing_ok or progress.record.ambiguous):
                raise
        return progress.record.result(id_, caller.now() - started)

    def _opened(self) -> Caller:
        if self._caller is None:
            raise SessionStateError("the session is not open: use it inside 'async with NorthSession(…) as north:'")
        return self._caller

    @property
    def flow(self) -> FlowState:
        """The app's flow control at this moment."""
        self._opened()
        assert self._app is not None
        return self._app.flow.state()

    async def check(self) -> Checkup:
        """Test URL, TLS, credentials and clock by two calls, each made once, and say in words what is wrong.

        The first logs in, unless the session or its store has a token; if that is refused, both follow. A login makes
        the tokens of clients that do not share this one's invalid. In an outage that is known already, one more asks
        first whether it is over: the check does not wait for a probe. All calls pass flow control. Errors of the calls
        are findings; they are not raised.
        """
        caller, login, secret = self._opened(), None, self._options.secret
        assert self._app is not None
        if secret is not None:
            keeper = self._app.keeper(secret, share=self._options.share_token)
            login = keeper, requests.login(self._app_id, secret.value)
        return await examine(caller, self._transport, self._options, login=login)
