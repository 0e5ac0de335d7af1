"""`NorthSession`: an app's session with the platform. Life cycle, wiring and the public calls."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import attrs

from aionorth.auth.tokens import GivenToken, Secret, TokenKeeper, by_login, given
from aionorth.bulk.batch import Batch
from aionorth.bulk.caller import Caller
from aionorth.bulk.intake import CheckId, Ids, checked
from aionorth.bulk.pool import Pool
from aionorth.bulk.record import Progress
from aionorth.bulk.retry import RetryPolicy
from aionorth.bulk.run import DRAIN_TIMEOUT, WORKERS, BulkDelete, RunOptions, Work
from aionorth.common.files import StrPath
from aionorth.errors import ArgumentError, JournalError, NorthWarning, NotFoundError, SessionStateError, detaching
from aionorth.flow.limiter import FlowControl, FlowState
from aionorth.flow.shared import Stores
from aionorth.models import Collect, DeleteResult, Kind, Subscription, Target, UpgradePackage
from aionorth.purge.listing import Reading, read_pages, read_subscriptions, read_subscriptions_of
from aionorth.session import app
from aionorth.wire import api
from aionorth.wire.api import Page, Reply, Request, check_id, check_string
from aionorth.wire.checks import seconds
from aionorth.wire.tls import Tls
from aionorth.wire.transport import Transport, check_url

if TYPE_CHECKING:
    import aiohttp

    from aionorth.purge.journal import Journal
    from aionorth.purge.plan import PackageSelection, Plan, SubscriptionSelection
    from aionorth.session.checkup import Checkup


class NorthSession:
    """An app's session with the platform: ``async with NorthSession(url, app_id=…, secret=…) as north``.

    Sessions of one event loop that name the same base URL and app share one flow control budget and one token. Where
    their flow control differs, the stricter holds, with a `NorthWarning`.
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
        store: Stores | None = None,
        share_token: bool = True,
        ca_file: StrPath | None = None,
        client_cert: tuple[StrPath, StrPath] | None = None,
        unsafe_accept_any_host_name: bool = False,
        http: aiohttp.ClientSession | None = None,
        connect_timeout: float = 10.0,
        timeout: float = 30.0,
        trust_env: bool = False,
    ) -> None:
        """Check the arguments; nothing is sent before the session is entered.

        Args:
            url: The platform's base URL, as in ``https://server:8743``.
            app_id: The app's id, String(256): the ``app_key`` of every call.
            secret: The app's secret, String(256): the session logs in on first use and keeps its token valid.
            token: Instead of a secret, an access token, or an async function that returns one; it is asked on first
                use and again when the platform refuses what it returned.
            flow_control: The app's flow control; the platform's default is 100 calls in 60 s.
            retry: What is done about lost connections, time-outs and the platform's own faults.
            store: Where all of the app's callers share its flow control and token: a `MachineStore`, or a `RedisStore`.
                None means in memory: then only sessions of this event loop do, and nothing outlives the process.
            share_token: Whether the token is kept in the store; without it a login makes the other processes' tokens
                invalid, and theirs make this one's.
            ca_file: A PEM file with the CA that signed the platform's certificate; None means the system's CAs.
            client_cert: PEM files of a client certificate and its key, where the platform asks for one.
            unsafe_accept_any_host_name: Accept a valid certificate although it was issued for another host name.
                For commissioning: whoever has any certificate of that CA can then play the platform.
            http: An `aiohttp.ClientSession` of your own to send through. It stays yours to close; its TLS and proxy
                settings hold, its middlewares are not run, because one that retries would pass flow control by.
            connect_timeout: Seconds that making a connection may take.
            timeout: Seconds that one exchange may take in all, the connection included.
            trust_env: Whether to use the proxies named in the environment (``HTTPS_PROXY`` and the like).

        Raises:
            ArgumentError: An argument cannot be used; the message says which, and what to do.
        """
        both_or_none = (secret is None) == (token is None)
        self._secret = None if secret is None else Secret(check_string(secret, "secret"))
        self._given = None if token is None else given(token)
        if both_or_none:
            raise ArgumentError("give either secret= or token=: the one to log in with, or a token obtained elsewhere")
        self._app_id = check_string(app_id, "app_id")
        if not api.fits_header(app_id):
            raise ArgumentError("app_id must be printable ASCII: it goes into a header")
        if not isinstance(flow_control, FlowControl):
            raise ArgumentError(f"flow_control={flow_control!r}: give a FlowControl")
        if not isinstance(retry, RetryPolicy):
            raise ArgumentError(f"retry={retry!r}: give a RetryPolicy")
        if store is not None and (
            isinstance(store, type) or not inspect.iscoroutinefunction(getattr(store, "open", None))
        ):
            raise ArgumentError(f"store={store!r}: give a MachineStore or a RedisStore")
        if not isinstance(share_token, bool):
            raise ArgumentError(f"share_token={share_token!r}: give True or False")
        if http is not None and (ca_file or client_cert or unsafe_accept_any_host_name or trust_env):
            raise ArgumentError("with http= the TLS and proxy settings are those of that session: set them there")
        base = check_url(url)
        if base.scheme == "http" and (ca_file or client_cert or unsafe_accept_any_host_name):
            raise ArgumentError(f"{base} is not https: TLS settings are of no use with it")
        if base.scheme == "http" and not _is_local(base.host or ""):
            warnings.warn(f"{base} is not https: secret and tokens travel in the clear", NorthWarning, stacklevel=3)
        self._url = str(base).rstrip("/")
        self._wishes = app.Wishes(flow_control=flow_control, timeout=seconds("timeout", timeout), store=store)
        self._share_token = share_token
        self._retry = retry
        self._transport = Transport(
            base,
            tls=Tls(ca_file=ca_file, client_cert=client_cert, any_host_name=unsafe_accept_any_host_name),
            http=http,
            connect_timeout=seconds("connect_timeout", connect_timeout),
            timeout=self._wishes.timeout,
            trust_env=trust_env,
        )
        self._app: app.App | None = None
        self._caller: Caller | None = None

    def __repr__(self) -> str:
        # Also asked for in a traceback of the constructor.
        return f"<NorthSession {getattr(self, '_url', '…')} app_id={getattr(self, '_app_id', '…')!r}>"

    # --- Life cycle

    async def __aenter__(self) -> Self:
        if self._app is not None:
            raise SessionStateError("the session is open already")
        self._app = joined = await app.join(self._url, self._app_id, self._wishes)
        try:
            await self._transport.open()
        except BaseException:
            await self.close()
            raise
        self._caller = caller = Caller(self._app_id, self._transport, joined.flow, self._retry)
        if self._secret is not None:
            log_in = by_login(self._app_id, self._secret, self._send_login)
            caller.authenticate(self._keeper(joined, self._secret), log_in, self._secret)
        elif self._given is not None:
            caller.authenticate(TokenKeeper(), self._given)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the session and, unless it was passed in, its connection pool."""
        if self._app is not None:
            self._app = self._caller = None
            try:
                await self._transport.close()
            finally:  # after what was in flight has been broken off, and counted
                await app.leave(self._url, self._app_id)

    def _keeper(self, joined: app.App, secret: Secret) -> TokenKeeper:
        return joined.keeper(secret, share=self._share_token)

    async def _send_login(self, request: Request) -> Reply:
        return await self._opened().send(request, authenticated=False)

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
        the token of whoever does not share this one's invalid. All pass flow control. What goes wrong on the way is
        found, not raised.
        """
        from aionorth.session.checkup import examine  # noqa: PLC0415 - not every program needs it, and its import takes its time

        caller = self._opened()
        assert self._app is not None
        login = None
        if self._secret is not None:
            login = self._keeper(self._app, self._secret), api.login(self._app_id, self._secret.value)
        return await examine(caller, self._transport, https=self._url.startswith("https:"), login=login)

    # --- Deleting one

    async def delete_subscription(
        self, subscription_id: str, *, authorized_app_id: str | None = None, missing_ok: bool = False
    ) -> DeleteResult:
        """Delete one subscription: ``DELETE /iocm/app/sub/v1.2.0/subscriptions/{subscriptionId}``.

        Args:
            subscription_id: String(256), allocated by the platform when the subscription was made.
            authorized_app_id: The app whose subscription it is, where that is another app which has authorized this
                one. It goes into the query as ``appId``; leave it out for subscriptions of one's own.
            missing_ok: Return NOT_FOUND where there is no such subscription, instead of raising.

        Returns:
            A result with the outcome DELETED or GONE, or NOT_FOUND if `missing_ok`.

        Raises:
            SubscriptionNotFoundError: There is no such subscription.
            NorthApiError: The platform said no; the class tells the code.
            NorthConnectionError: The platform could not be reached.
            ReplyLostError: A call was sent, its reply was lost, and no attempt was left: the outcome is unknown.
        """
        other = _string_or_none(authorized_app_id, "authorized_app_id")
        request = api.delete_subscription(subscription_id, other)
        return await self._delete(subscription_id, request, missing_ok=missing_ok)

    async def delete_upgrade_package(self, file_id: str, *, missing_ok: bool = False) -> DeleteResult:
        """Delete one version package: ``DELETE /iodm/northbound/v1.5.0/category/{fileId}``.

        `file_id` is what the platform returned when the package was uploaded. Returns and raises as
        `delete_subscription` does, with `PackageNotFoundError` where there is no such package.
        """
        return await self._delete(file_id, api.delete_upgrade_package(file_id), missing_ok=missing_ok)

    async def _delete(self, id_: str, request: Request, *, missing_ok: bool) -> DeleteResult:
        caller = self._opened()
        progress, started = Progress(), caller.now()
        try:
            await caller.send(request, progress)
        except NotFoundError:
            if not (missing_ok or progress.record.ambiguous):
                raise
        return progress.record.result(id_, caller.now() - started)

    # --- Deleting many

    def delete_subscriptions(
        self,
        ids: Ids,
        *,
        authorized_app_id: str | None = None,
        workers: int = WORKERS,
        collect: Collect = "all",
        grace: float = DRAIN_TIMEOUT,
    ) -> BulkDelete:
        """Delete subscriptions in bulk, one call each, as fast as flow control allows; await or stream what it returns.

        Args:
            ids: Any iterable or async iterable of subscription ids; it is drawn from as the run goes on. Duplicates
                are dropped and counted. A list or other collection is checked whole before anything is sent.
            authorized_app_id: As for `delete_subscription`, for all of them.
            workers: How many calls may be in flight at once.
            collect: Which results the summary keeps: "all", "failures" (which takes a million ids in little memory)
                or "none".
            grace: Seconds that calls in flight are given when the run is cancelled or left early.

        Raises:
            ArgumentError: An argument cannot be used; nothing was sent.
        """
        other = _string_or_none(authorized_app_id, "authorized_app_id")
        options = RunOptions(workers=workers, collect=collect, grace=grace)
        return self._bulk(ids, Kind.SUBSCRIPTIONS, other, options)

    def delete_upgrade_packages(
        self, ids: Ids, *, workers: int = WORKERS, collect: Collect = "all", grace: float = DRAIN_TIMEOUT
    ) -> BulkDelete:
        """Delete version packages in bulk; everything is as for `delete_subscriptions`."""
        return self._bulk(ids, Kind.PACKAGES, None, RunOptions(workers=workers, collect=collect, grace=grace))

    def _bulk(self, ids: Ids, kind: Kind, authorized_app_id: str | None, options: RunOptions) -> BulkDelete:
        return self._run(self._pool(checked(ids, _id_check(kind)), kind, authorized_app_id, options), options)

    def _pool(self, ids: Ids, kind: Kind, authorized_app_id: str | None, options: RunOptions) -> Pool:
        """Return the work of a run that makes one call for each of `ids`, which are as `checked` returns them."""
        return Pool(
            ids,
            check=_id_check(kind),
            build=_building(kind, authorized_app_id),
            send=partial(self._opened().send, priority=False),
            # A call that waited for a connection would hold its slot meanwhile, so a smaller pool bounds the workers.
            workers=min(options.workers, self._transport.connections or options.workers),
        )

    def _run(
        self, work: Work, options: RunOptions, *, duplicates: int = 0, journal: Journal | None = None
    ) -> BulkDelete:
        caller = self._opened()
        if journal is not None:
            journal.release()  # until the run begins
        return BulkDelete(
            work, options, now=caller.now, check=caller.check_loop, recorder=journal, duplicates=duplicates
        )

    # --- Finding what to delete

    def list_subscriptions(
        self, *, notify_type: str | None = None, authorized_app_id: str | None = None
    ) -> AsyncIterator[Subscription]:
        """List subscriptions: ``GET /iocm/app/sub/v1.2.0/subscriptions``, page by page, as they are iterated.

        The platform does not list more than 1,000 at once; where there are more they are listed by each of its
        documented notify types in turn. A type that the documents do not have must then be asked for by name.

        Args:
            notify_type: Only those of this notify type.
            authorized_app_id: As for `delete_subscription`.

        Raises:
            TooManyResultsError: One notify type alone has more than 1,000.
            NorthError: As `get_subscription`.
        """
        return self._list_subscriptions(notify_type, authorized_app_id, Reading())

    def _list_subscriptions(
        self, notify_type: str | None, authorized_app_id: str | None, reading: Reading
    ) -> AsyncIterator[Subscription]:
        caller, other = self._opened(), _string_or_none(authorized_app_id, "authorized_app_id")

        async def fetch(page_no: int, notify_type: str | None) -> Page[Subscription]:
            request = api.list_subscriptions(page_no, notify_type, other)
            return api.read_subscription_page(await caller.send(request))

        if notify_type is not None:
            return read_subscriptions_of(check_string(notify_type, "notify_type"), fetch, reading)
        return read_subscriptions(fetch, reading)

    def list_upgrade_packages(
        self,
        *,
        file_type: str | None = None,
        device_type: str | None = None,
        model: str | None = None,
        manufacturer_name: str | None = None,
        version: str | None = None,
    ) -> AsyncIterator[UpgradePackage]:
        """List version packages: ``GET /iodm/northbound/v1.5.0/category``, page by page, as they are iterated.

        The platform filters by what is given, String(256) each; `file_type` is ``firmwarePackage`` or
        ``softwarePackage``. Raises as `get_upgrade_package`.
        """
        from aionorth.purge.plan import PackageSelection  # noqa: PLC0415 - as above

        selection = PackageSelection(
            file_type=file_type,
            device_type=device_type,
            model=model,
            manufacturer_name=manufacturer_name,
            version=version,
            everything=True,
        )
        return self._list_packages(selection, Reading())

    def _list_packages(self, selection: PackageSelection, reading: Reading) -> AsyncIterator[UpgradePackage]:
        caller, filters = self._opened(), selection.filters()

        async def fetch(page_no: int) -> Page[UpgradePackage]:
            request = api.list_upgrade_packages(page_no, filters)
            return api.read_upgrade_package_page(await caller.send(request))

        return read_pages(fetch, reading)

    async def get_subscription(self, subscription_id: str, *, authorized_app_id: str | None = None) -> Subscription:
        """Return one subscription: ``GET /iocm/app/sub/v1.2.0/subscriptions/{subscriptionId}``.

        Raises `SubscriptionNotFoundError` where there is none, and otherwise as `delete_subscription`.
        """
        other = _string_or_none(authorized_app_id, "authorized_app_id")
        reply = await self._opened().send(api.get_subscription(subscription_id, other))
        return api.read_subscription(reply)

    async def get_upgrade_package(self, file_id: str) -> UpgradePackage:
        """Return one version package: ``GET /iodm/northbound/v1.5.0/category/{fileId}``.

        Raises `PackageNotFoundError` where there is none, and otherwise as `delete_upgrade_package`.
        """
        return api.read_upgrade_package(await self._opened().send(api.get_upgrade_package(file_id)))

    # --- A purge: plan, delete, resume

    @overload
    async def plan(
        self,
        selection: SubscriptionSelection,
        *,
        now: datetime | None = None,
        on_listed: Callable[[int], object] = ...,
    ) -> Plan[Subscription]: ...

    @overload
    async def plan(
        self,
        selection: PackageSelection,
        *,
        now: datetime | None = None,
        on_listed: Callable[[int], object] = ...,
    ) -> Plan[UpgradePackage]: ...

    @overload
    async def plan(
        self,
        selection: SubscriptionSelection | PackageSelection,
        *,
        now: datetime | None = None,
        on_listed: Callable[[int], object] = ...,
    ) -> Plan[Any]: ...

    async def plan(
        self,
        selection: SubscriptionSelection | PackageSelection,
        *,
        now: datetime | None = None,
        on_listed: Callable[[int], object] = lambda _: None,
    ) -> Plan[Any]:
        """List what there is and return what `selection` takes of it; nothing is deleted. `purge` carries a plan out.

        A selection of mere ids is planned without a call.

        Args:
            selection: What is to go.
            now: The time from which `older_than` counts back; the present one unless given, with a time zone.
            on_listed: Called with the number of items listed so far, after each.

        Raises:
            NorthError: As `list_subscriptions` and `list_upgrade_packages`.
        """
        from aionorth.purge.plan import PackageSelection, SubscriptionSelection, bare, planned  # noqa: PLC0415 - as above

        self._opened()
        if not isinstance(selection, (SubscriptionSelection, PackageSelection)):
            raise ArgumentError(f"selection={selection!r}: give a SubscriptionSelection or a PackageSelection")
        if now is not None and now.tzinfo is None:
            raise ArgumentError(f"now={now!r} has no time zone: give it one, as in datetime.now(UTC)")
        reading = Reading()
        items: AsyncIterator[Subscription] | AsyncIterator[UpgradePackage]
        if isinstance(selection, PackageSelection):
            kind, items = Kind.PACKAGES, self._list_packages(selection, reading)
        else:
            kind = Kind.SUBSCRIPTIONS
            items = self._list_subscriptions(selection.notify_type, selection.authorized_app_id, reading)
        listed: list[Subscription | UpgradePackage] = []
        if selection.only_ids:
            listed += (bare(kind, id_) for id_ in dict.fromkeys(selection.ids or ()))
        else:
            async for item in items:
                listed.append(item)
                on_listed(len(listed))
        of = selection.authorized_app_id
        target = Target(kind=kind, url=self._url, app_id=self._app_id, authorized_app_id=of)
        now = now or datetime.now(UTC)
        plan = planned(selection, target, listed, now, complete=reading.complete, by_type=reading.by_type)
        return attrs.evolve(plan, seconds=self.flow.time_for(plan.calls))

    def purge(
        self,
        plan: Plan[Any],
        *,
        journal: StrPath | None = None,
        batch: bool = False,
        workers: int = WORKERS,
        collect: Collect = "all",
        grace: float = DRAIN_TIMEOUT,
    ) -> BulkDelete:
        """Delete what `plan` says; await or stream what it returns, as with `delete_subscriptions`.

        Args:
            plan: What `plan` returned, in a session with the same platform and app.
            journal: A new file, created now, in which to record what becomes of each id, so that `resume` can go on
                after whatever ends this process. It is locked while the run is at work, not before.
            batch: Delete by the plan's one `batch` call, ``DELETE /iocm/app/sub/v1.2.0/subscriptions`` with its
                filters, which also takes what was created since the plan was made.
            workers: As for `delete_subscriptions`.
            collect: As for `delete_subscriptions`.
            grace: As for `delete_subscriptions`.

        Raises:
            ArgumentError: The plan is another platform's or app's, or has no batch call.
            JournalError: The journal exists already or cannot be written.
        """
        from aionorth.purge.journal import Journal  # noqa: PLC0415 - as above
        from aionorth.purge.plan import Plan  # noqa: PLC0415 - as above

        if not isinstance(plan, Plan):
            raise ArgumentError(f"plan={plan!r}: give what the session's plan() returned")
        self._check_target(plan.target, "the plan")
        options = RunOptions(workers=workers, collect=collect, grace=grace)
        ids = list(dict.fromkeys(one.id for one in plan.delete))
        duplicates = plan.duplicates + len(plan.delete) - len(ids)
        kind, other = plan.target.kind, plan.target.authorized_app_id
        work: Work
        if not batch:
            work = self._pool(checked(ids, _id_check(kind)), kind, other, options)
        elif plan.batch is None:
            raise ArgumentError("batch=True: no single call takes exactly this plan; leave it out")
        else:
            request = api.delete_matching_subscriptions(plan.batch.notify_type, plan.batch.callback_url, other)
            work = Batch(ids, request, send=partial(self._opened().send, priority=False))
        created = None
        if journal is not None:  # last, so that there is no file where something else is wrong
            created = Journal.create(journal, plan.target, ids, selection=plan.selection, duplicates=duplicates)
        return self._run(work, options, duplicates=duplicates, journal=created)

    def resume(
        self, journal: StrPath, *, workers: int = WORKERS, collect: Collect = "all", grace: float = DRAIN_TIMEOUT
    ) -> BulkDelete:
        """Resume a purge from its journal; await or stream what it returns, as with `delete_subscriptions`.

        What the journal knows to be gone is not called again; all else is. An id that was in flight when the run before
        was killed may have been deleted by it, so a 404 on it is GONE, not NOT_FOUND. The summary is that of all runs
        together; what is streamed is this run's.

        Raises:
            ArgumentError: The journal is another platform's or app's.
            JournalError: It is no journal, it is damaged, it is not to be trusted (another user owns it, can write to
                it or has put a link to it), or another process is at work on it.
        """
        from aionorth.purge.journal import Journal, read  # noqa: PLC0415 - as above

        options = RunOptions(workers=workers, collect=collect, grace=grace)
        target = read(journal).target
        self._check_target(target, os.fspath(journal))
        self._opened()
        reopened = Journal.reopen(journal)
        if reopened.history.target != target:
            reopened.close()
            raise JournalError(f"{os.fspath(journal)} has been replaced by another one just now")
        work = self._pool(reopened.unfinished(), target.kind, target.authorized_app_id, options)
        return self._run(work, options, duplicates=reopened.history.duplicates, journal=reopened)

    def _check_target(self, target: Target, what: str) -> None:
        for name, there, here in (("url", target.url, self._url), ("app_id", target.app_id, self._app_id)):
            if there != here:
                raise ArgumentError(
                    f"{what} is for the {name} {there!r}, and this session's is {here!r}: "
                    "use the settings that it was made with"
                )


def _id_check(kind: Kind) -> CheckId:
    return partial(check_id, name=kind.id_name)


def _building(kind: Kind, authorized_app_id: str | None) -> Callable[[str], Request]:
    if kind is Kind.PACKAGES:
        return api.delete_upgrade_package
    if authorized_app_id is None:
        return api.delete_subscription
    return partial(api.delete_subscription, authorized_app_id=authorized_app_id)


def _string_or_none(value: str | None, name: str) -> str | None:
    return None if value is None else check_string(value, name)


def _is_local(host: str) -> bool:
    """Whether what is sent to `host` stays on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
