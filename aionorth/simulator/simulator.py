"""The simulator: flow control, faults and a log, between a socket and the state of the platform."""

from __future__ import annotations

import asyncio
import math
import random
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

import attrs

from aionorth.simulator import replies
from aionorth.simulator.arrivals import Arrival, Log
from aionorth.simulator.faults import Delay, Fault, FaultPlan
from aionorth.simulator.northbound import ROUTER, perform
from aionorth.simulator.replies import Reply
from aionorth.simulator.requests import Call, tidied
from aionorth.simulator.state import Platform, new_ids, subscription
from aionorth.simulator.throttle import MODELS, Throttle

if TYPE_CHECKING:
    from aiohttp import web


class Simulator:
    """An IoT platform with its northbound calls, on a socket of this machine, for one event loop.

    Use it as an async context manager, or `start` and `close` it. All times are seconds on the event loop's clock, so
    under a loop with virtual time the simulator lives in virtual time too.

    A request is counted by flow control first, then its caller's token is checked, then the call is carried out. A
    caller that goes away does not stop its call: it takes effect, and the log says that no reply was sent.

    Wherever a method takes an ``app_id``, ``None`` means the first app, and an unknown one raises `KeyError`.

    Args:
        apps: The secret of each app, by appId; one ``demo-app`` with ``demo-secret`` where none are given.
        model: How flow control counts, one of `throttle.MODELS`.
        calls: The threshold of each app per ``period``; ``None`` switches flow control off.
        period: Seconds.
        count_tokens: Whether login and refresh are counted.
        retry_after: Whether refusals carry a Retry-After header, in whole seconds, rounded up.
        token_lifetime: Seconds until an access token expires, told to callers without the fraction.
        quoted_expires_in: Whether ``expiresIn`` is a string rather than a number.
        package_status: What the deletion of a version package answers, 200 or 204.
        tidy_paths: Whether a proxy stands before the platform that decodes paths and tidies them up, steps included.
        latency: Draws how many seconds pass before a call is counted, and after its effect.
        chances: The probability with which each fault befalls a call that flow control has let through. Logins and
            refreshes are spared.
        seed: Seeds all chance: ids, tokens, latency, faults.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        tls: Serves HTTPS by this context, with client certificates if it demands them.
        log_limit: How many arrivals are remembered; ``None``: all.
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
        if model not in MODELS:
            raise ValueError(f"model must be one of {', '.join(MODELS)}, not {model!r}")
        if period <= 0:
            raise ValueError("period must be positive")
        if package_status not in {200, 204}:
            raise ValueError("package_status must be 200 or 204")
        self._model = MODELS[model]
        self._period = period
        self._count_tokens = count_tokens
        self._retry_after = retry_after
        self._tidy_paths = tidy_paths
        self._latency = latency
        self._chance = random.Random(seed)  # noqa: S311 - reproducible chance, nobody's secret
        self._platform = Platform(
            {"demo-app": "demo-secret"} if apps is None else apps,
            clock=_now,
            chance=self._chance,
            token_lifetime=token_lifetime,
            quoted_expires_in=quoted_expires_in,
            package_status=package_status,
        )
        self._throttles: dict[str, Throttle] = {}
        for app_id in self._platform.apps:
            self.throttle(calls, app_id)
        self._faults = FaultPlan(chances or {}, self._chance)
        self._log = Log(log_limit)
        from aionorth.simulator.http_server import HttpServer  # noqa: PLC0415 - aiohttp's server takes its time to import

        self._http = HttpServer(self._answer, host, port, tls)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen; raises `OSError` where the address is taken, `RuntimeError` where the simulator listens already."""
        await self._http.start()

    async def close(self) -> None:
        """Stop listening, cancel whatever is being answered, and close every connection."""
        await self._http.close()

    @property
    def url(self) -> str:
        """Scheme, host and port, like ``http://127.0.0.1:43121``; raises `RuntimeError` unless started."""
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
        """Give an app subscriptions, by their ids or as many as told; returns the ids.

        Unlike with a call to the platform, several may have the same type and callback URL. Raises `ValueError` for an
        id that is not 1 to 256 printable characters.
        """
        subscriptions = self._platform.app(app_id).subscriptions
        added = new_ids(ids, self._platform.new_subscription_id)
        subscriptions.update((one, subscription(one, notify_type, callback_url, channel)) for one in added)
        return added

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
        """Give an app version packages, by their ids or as many as told; returns the ids.

        Raises `ValueError` for an id that is not 1 to 256 printable characters.
        """
        packages = self._platform.app(app_id).packages
        described = {
            "name": name,
            "version": version,
            "fileType": file_type,
            "deviceType": device_type,
            "model": model,
            "manufacturerName": manufacturer_name,
            "protocolType": protocol_type,
            "description": description,
            "date": uploaded.strftime("%Y-%m-%d"),
            "uploadTime": uploaded.strftime("%Y%m%dT%H%M%SZ"),
        }
        added = new_ids(ids, self._platform.new_file_id)
        packages.update((one, {"fileId": one, **described}) for one in added)
        return added

    def subscription_ids(self, app_id: str | None = None) -> set[str]:
        """Return the ids of the subscriptions that an app has now."""
        return set(self._platform.app(app_id).subscriptions)

    def package_ids(self, app_id: str | None = None) -> set[str]:
        """Return the ids of the version packages that an app has now."""
        return set(self._platform.app(app_id).packages)

    def authorize(self, owner: str, caller: str) -> None:
        """Let ``caller`` name ``owner`` in the parameter ``appId``; raises `KeyError` where either is unknown."""
        self._platform.app(owner).authorized.add(self._platform.app(caller).app_id)

    def expire_tokens(self, app_id: str | None = None) -> None:
        """Forget every access token and refresh token of an app, as a platform may when it restarts."""
        self._platform.forget_tokens(app_id)

    def evict(self, app_id: str | None = None) -> None:
        """Make an app's access token invalid, as another login does; refresh tokens stay good."""
        self._platform.evict(app_id)

    def issue_token(self, app_id: str | None = None) -> str:
        """Return a new access token of an app, as a login would; the one before is invalid from now on."""
        return self._platform.issue(self._platform.app(app_id)).access

    def script(self, fault: Fault, *, method: str | None = None, path: str = "", times: int = 1) -> None:
        """Let a fault befall the next calls of ``method`` (``None``: any) whose decoded path contains ``path``.

        It befalls ``times`` calls, of those that flow control lets through. A call that several scripted faults wait
        for gets the one scripted first.
        """
        self._faults.script(fault, method=method, path=path, times=times)

    def throttle(self, calls: int | None, app_id: str | None = None) -> None:
        """Set an app's threshold, as an operator may at any time; ``None`` switches its flow control off.

        Raises `ValueError` for less than one call.
        """
        if calls is not None and calls < 1:
            raise ValueError("the threshold must be at least one call")
        app_id = self._platform.app(app_id).app_id
        throttle = self._throttles.get(app_id)
        if calls is None:
            self._throttles.pop(app_id, None)
        elif throttle is None:
            self._throttles[app_id] = self._model(calls, self._period)
        else:
            throttle.calls = calls

    async def _answer(self, request: web.BaseRequest, body: bytes) -> Reply | None:
        received = _now()
        before, after = self._latency(self._chance) if self._latency else (0.0, 0.0)
        await _pass(before)
        method, target = request.method, request.raw_path
        if self._tidy_paths:
            if (passed_on := tidied(target)) is None:
                return replies.page(400, "400 Bad Request")
            target = passed_on
        call = ROUTER.read(method, target, request.headers, body)
        counted = _now()
        wait = self._admit(call, counted)
        fault = self._fault(method, target, call) if wait is None else None
        number = self._log.open(
            Arrival(
                received,
                counted,
                call.app_id if call else request.headers.get("app_key"),
                method,
                target,
                call.resource if call else None,
                fault=fault,
                refused=wait is not None,
            )
        )
        reply: Reply | None
        if call is None:
            reply = replies.UNROUTED
        elif wait is not None:
            reply = self._refusal(wait)
        else:
            reply = await self._carry_out(call, fault)
        await _pass(after)
        if reply is None or request.transport is None:
            return None
        self._log.complete(number, reply.status, reply.code)
        return reply

    def _admit(self, call: Call | None, now: float) -> float | None:
        """Count the call; ``None`` where it is let through, else the seconds after which another may be.

        What cannot be ascribed to an app is not counted, nor what takes no route.
        """
        if call is None or (call.route.takes_secret and not self._count_tokens):
            return None
        throttle = self._throttles.get(call.app_id or "")
        return throttle.admit(now) if throttle else None

    def _fault(self, method: str, target: str, call: Call | None) -> Fault | None:
        """Tell what befalls a call that has been let through."""
        if call is None:
            return None
        fault = self._faults.scripted(method, target)
        return self._faults.drawn() if fault is None and not call.route.takes_secret else fault

    def _refusal(self, wait: float) -> Reply:
        if not self._retry_after:
            return replies.THROTTLED
        # The next whole second even after a whole one: some models let nothing through at that very moment.
        return attrs.evolve(
            replies.THROTTLED,
            headers=(*replies.THROTTLED.headers, ("Retry-After", str(math.floor(wait) + 1))),
        )

    async def _carry_out(self, call: Call, fault: Fault | None) -> Reply | None:
        match fault:
            case None:
                return perform(self._platform, call)
            case Delay(after_effect=True):
                reply = perform(self._platform, call)
                await _pass(fault.seconds)
                return reply
            case Delay():
                await _pass(fault.seconds)
                return perform(self._platform, call)
            case _:
                return fault.distort(perform(self._platform, call) if fault.after_effect else replies.NO_CONTENT)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _pass(seconds: float) -> None:
    """Let time pass; without any to pass, nothing else gets its turn."""
    if seconds > 0:
        await asyncio.sleep(seconds)
