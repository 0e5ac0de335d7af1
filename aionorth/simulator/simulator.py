"""The simulator: what a user sets up, starts, and looks into."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Self

import attrs

from aionorth.simulator.arrivals import Arrival, Log
from aionorth.simulator.faults import Fault, FaultPlan
from aionorth.simulator.flow_control import FlowControl
from aionorth.simulator.northbound import routes_of
from aionorth.simulator.outage import OutageKind, Outages, planned
from aionorth.simulator.pipeline import Pipeline
from aionorth.simulator.resources import (
    DEVICE_GROUPS,
    DEVICES,
    PACKAGES,
    RESOURCES,
    SUBSCRIPTIONS,
    TIME_FORMAT,
    Resource,
)
from aionorth.simulator.state import Platform, Record, Records, new_ids


class Simulator:  # more than 15 methods: each is one way to set the platform up or to look into it
    """An IoT platform with its northbound calls, on a socket of this machine, for one event loop.

    Use it as an async context manager, or `start` and `close` it. All times are seconds on the event loop's clock. So
    under a loop with virtual time the simulator lives in virtual time too.

    A request is counted by flow control first, then its caller's token is checked, then the call is carried out. If the
    caller goes away, the call takes effect all the same, and the log says that no reply was sent.

    Wherever a method takes an ``app_id``, ``None`` means the first app, and an unknown one raises `KeyError`.

    Args:
        apps: The secret of each app, by appId. By default there is one ``demo-app`` with ``demo-secret``.
        model: How flow control counts, one of `MODELS`.
        calls: The threshold of each app per ``period``; ``None`` switches flow control off.
        period: Seconds.
        count_tokens: Whether login and refresh are counted.
        retry_after: Whether refusals carry a Retry-After header, in whole seconds, rounded up.
        token_lifetime: Seconds until an access token expires. Callers are given it without its fraction.
        quoted_expires_in: Whether ``expiresIn`` is a string rather than a number.
        package_status: The HTTP status of a successful deletion of a version package, 200 or 204.
        tidy_paths: Whether a proxy in front of the platform decodes paths and tidies them up, dots included.
        latency: Draws how many seconds pass before a call is counted, and after its effect.
        chances: The probability of each fault in a call that flow control accepts. Logins and refreshes have none.
        seed: Seeds all chance: ids, tokens, latency, faults.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        tls: Serves HTTPS by this context, with client certificates if it demands them.
        log_limit: How many arrivals are remembered; ``None``: all.

    Raises:
        ValueError: An option has a value that cannot be; the message says which.
    """

    def __init__(
        self,
        apps: Mapping[str, str] | None = None,
        *,
        model: str = "sliding",
        calls: int | None = 100,
        period: float = 60.0,
        count_tokens: bool = True,
        retry_after: bool = False,
        token_lifetime: float = 3600.0,
        quoted_expires_in: bool = False,
        package_status: int = 200,
        tidy_paths: bool = False,
        latency: Callable[[random.Random], tuple[float, float]] | None = None,
        chances: Mapping[Fault, float] | None = None,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        log_limit: int | None = None,
    ) -> None:
        if package_status not in {200, 204}:
            raise ValueError("package_status must be 200 or 204")
        chance = random.Random(seed)  # noqa: S311 - reproducible chance, nobody's secret
        self._platform = Platform(
            apps={"demo-app": "demo-secret"} if apps is None else apps,
            now=_now,
            chance=chance,
            token_lifetime=token_lifetime,
            quoted_expires_in=quoted_expires_in,
        )
        self._flow_control = FlowControl(model=model, period=period, count_tokens=count_tokens, retry_after=retry_after)
        for app_id in self._platform.apps:
            self.throttle(calls, app_id)
        self._faults = FaultPlan(chances or {}, chance)
        self._outages = Outages()
        self._log = Log(log_limit)
        rows = [attrs.evolve(row, deleted=package_status) if row is PACKAGES else row for row in RESOURCES]
        pipeline = Pipeline(
            latency=partial(latency, chance) if latency else lambda: (0.0, 0.0),
            tidy_paths=tidy_paths,
            routes=routes_of(rows),
            outages=self._outages,
            flow_control=self._flow_control,
            faults=self._faults,
            platform=self._platform,
            log=self._log,
        )
        from aionorth.simulator.http_server import HttpServer  # noqa: PLC0415 - aiohttp's server is slow to import

        self._http = HttpServer(pipeline.answer, host, port, tls)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen for requests.

        Raises:
            OSError: The address is taken.
            RuntimeError: The simulator has been started already.
        """
        await self._http.start()

    async def close(self) -> None:
        """Stop listening, cancel all calls in progress, and close every connection."""
        await self._outages.close()
        await self._http.close()

    @property
    def url(self) -> str:
        """Scheme, host and port, like ``http://127.0.0.1:43121``.

        Raises:
            RuntimeError: The simulator has not been started.
        """
        return self._http.url

    @property
    def arrivals(self) -> Sequence[Arrival]:
        """What has arrived so far, in the order in which flow control counted it."""
        return self._log.arrivals()

    def add_subscriptions(
        self,
        ids: int | Iterable[str],
        *,
        app_id: str | None = None,
        notify_type: str = "deviceDataChanged",
        callback_url: str = "https://127.0.0.1:443/callback",
        channel: str = "http",
    ) -> list[str]:
        """Add subscriptions to an app, by their ids or as many as ``ids`` says; return the ids.

        Unlike those created by a call, several may have the same type and callback URL.

        Raises:
            ValueError: An id is not 1 to 256 printable characters.
        """
        fields = {"notifyType": notify_type, "callbackUrl": callback_url, "channel": channel}
        return self._add(SUBSCRIPTIONS, ids, app_id, fields)

    def add_packages(
        self,
        ids: int | Iterable[str],
        *,
        app_id: str | None = None,
        name: str = "firmware.zip",
        version: str = "V1.0",
        file_type: str = "firmwarePackage",
        device_type: str = "WaterMeter",
        model: str = "WM-1",
        manufacturer_name: str = "Acme",
        protocol_type: str = "CoAP",
        description: str = "",
        uploaded: datetime = datetime(2015, 12, 12, 12, 12, 12, tzinfo=UTC),
    ) -> list[str]:
        """Add version packages to an app, by their ids or as many as ``ids`` says; return the ids.

        Raises:
            ValueError: An id is not 1 to 256 printable characters.
        """
        fields = {
            "name": name,
            "version": version,
            "fileType": file_type,
            "deviceType": device_type,
            "model": model,
            "manufacturerName": manufacturer_name,
            "protocolType": protocol_type,
            "description": description,
            "date": uploaded.strftime("%Y-%m-%d"),
            "uploadTime": uploaded.strftime(TIME_FORMAT),
        }
        return self._add(PACKAGES, ids, app_id, fields)

    def add_devices(
        self,
        ids: int | Iterable[str],
        *,
        app_id: str | None = None,
        gateway_id: str | None = None,
        node_type: str = "ENDPOINT",
        name: str = "device",
        status: str = "ONLINE",
        device_type: str = "WaterMeter",
        model: str = "WM-1",
        manufacturer_name: str = "Acme",
        location: str = "",
        registered: datetime = datetime(2015, 12, 12, 12, 12, 12, tzinfo=UTC),
        last_modified: datetime | None = None,
    ) -> list[str]:
        """Add devices to an app, by their ids or as many as ``ids`` says; return the ids.

        They are behind the device ``gateway_id``, which need not be there, or else directly connected. Where nothing
        else is said, they were last modified when they were registered.

        Raises:
            ValueError: An id is not 1 to 256 printable characters.
        """
        fields = {
            "nodeType": node_type,
            "createTime": _written(registered),
            "lastModifiedTime": _written(last_modified or registered),
            "name": name,
            "manufacturerId": manufacturer_name,
            "manufacturerName": manufacturer_name,
            "deviceType": device_type,
            "model": model,
            "location": location,
            "status": status,
            "statusDetail": "NONE",
        }
        return self._add(
            DEVICES, ids, app_id, fields, lambda id_: {"gatewayId": gateway_id or id_, "nodeId": f"node-{id_}"}
        )

    def add_device_groups(
        self,
        ids: int | Iterable[str],
        *,
        app_id: str | None = None,
        name: str = "group",
        description: str = "",
        members: Iterable[str] = (),
        max_members: int = 1_000,
        creator: str = "admin",
    ) -> list[str]:
        """Add device groups to an app, by their ids or as many as ``ids`` says; return the ids.

        All of them have the same ``members``, ids of devices. As long as the app does not have such a device, it does
        not count.

        Raises:
            ValueError: An id is not 1 to 50 printable characters.
        """
        fields = {
            "name": name,
            "description": description,
            "members": tuple(dict.fromkeys(members)),
            "maxDevNum": max_members,
            "creator": creator,
        }
        return self._add(DEVICE_GROUPS, ids, app_id, fields)

    def subscription_ids(self, app_id: str | None = None) -> set[str]:
        """Return the ids of the subscriptions that an app has now."""
        return set(self._records(SUBSCRIPTIONS, app_id))

    def package_ids(self, app_id: str | None = None) -> set[str]:
        """Return the ids of the version packages that an app has now."""
        return set(self._records(PACKAGES, app_id))

    def device_ids(self, app_id: str | None = None) -> set[str]:
        """Return the ids of the devices that an app has now."""
        return set(self._records(DEVICES, app_id))

    def device_group_ids(self, app_id: str | None = None) -> set[str]:
        """Return the ids of the device groups that an app has now."""
        return set(self._records(DEVICE_GROUPS, app_id))

    def authorize(self, owner: str, caller: str) -> None:
        """Let ``caller`` name ``owner`` in ``appId`` or ``accessAppId``; raise `KeyError` where either is unknown."""
        self._platform.app(owner).authorized.add(self._platform.app(caller).app_id)

    def expire_tokens(self, app_id: str | None = None) -> None:
        """Make every access token and refresh token of an app invalid, as a restart of the platform may."""
        self.evict(app_id)
        self._platform.app(app_id).refresh_tokens.clear()

    def evict(self, app_id: str | None = None) -> None:
        """Make an app's access token invalid, as another login does; refresh tokens stay valid."""
        self._platform.app(app_id).access_token = None

    def issue_token(self, app_id: str | None = None) -> str:
        """Return a new access token of an app, as a login would; the one before is invalid from now on."""
        return self._platform.issue(self._platform.app(app_id)).access

    def script(self, fault: Fault, *, method: str | None = None, path: str = "", times: int = 1) -> None:
        """Script a fault for the next calls that match and that flow control accepts.

        A call that several scripted faults match gets the one scripted first.

        Args:
            fault: The fault.
            method: The HTTP method of the calls; ``None``: any.
            path: What their decoded path must contain.
            times: How many calls have the fault.

        Raises:
            ValueError: ``times`` is less than 1.
        """
        self._faults.script(fault, method=method, path=path, times=times)

    def reject(self, ids: Iterable[str], *, code: str | None = "100217") -> None:
        """Refuse every call on these ids, of any app, with an error of the platform, until told otherwise.

        Flow control counts the calls as ever. A scripted fault comes first.

        Args:
            ids: The ids; the platform need not have them.
            code: The platform's error code; it is sent with its documented status, which for a device group may be 200.
                ``None`` refuses them no longer.

        Raises:
            ValueError: The code is none that a call on an id can get, or ``ids`` is one string, or an id is not 1 to
                256 printable characters.
        """
        self._faults.reject(ids, code)

    def outage(self, *, seconds: float, kind: OutageKind = "refused", after: float = 0.0) -> None:
        """Let the platform be away for a while. Calls that arrive meanwhile are neither counted nor carried out.

        Args:
            seconds: How long it is away; ``math.inf``: until it is closed.
            kind: What callers see. ``refused``: connections are refused, and those that are open end. ``hangs``: there
                is no reply, and the connection is reset when the outage ends. ``503``: the platform says that it is
                congested. ``502``: a proxy answers with its page.
            after: Seconds from now until it begins.

        Raises:
            RuntimeError: The simulator has not been started.
            ValueError: The kind is unknown, a time cannot be, or another outage is at the same time.
        """
        _ = self.url  # raises where it has not been started
        self._outages.plan(planned(seconds, kind, after, self._platform.now()), self._http)

    def throttle(self, calls: int | None, app_id: str | None = None) -> None:
        """Set an app's threshold, as an operator may at any time; ``None`` switches its flow control off.

        Raises:
            ValueError: The threshold is less than one call.
        """
        self._flow_control.set_threshold(self._platform.app(app_id).app_id, calls)

    def _add(
        self,
        resource: Resource,
        ids: int | Iterable[str],
        app_id: str | None,
        fields: Record,
        own: Callable[[str], Record] = lambda _: {},
    ) -> list[str]:
        records = self._records(resource, app_id)
        added = new_ids(ids, partial(resource.new_id, self._platform.chance), resource.longest_id)
        records.update((id_, {resource.id_field: id_, **fields, **own(id_)}) for id_ in added)
        return added

    def _records(self, resource: Resource, app_id: str | None) -> Records:
        return self._platform.app(app_id).records[resource.name]


def _written(time: datetime) -> str:
    return time.astimezone(UTC).strftime(TIME_FORMAT)


def _now() -> float:
    return asyncio.get_running_loop().time()
