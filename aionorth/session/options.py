"""What a session is made with, checked once."""

from __future__ import annotations

import inspect
from ipaddress import ip_address

import attrs
from yarl import URL

from aionorth.auth.sources import GivenToken, Obtain, Secret, given
from aionorth.bulk.retry import RetryPolicy
from aionorth.errors import ArgumentError
from aionorth.events import Observer, check_observers
from aionorth.flow.settings import FlowControl
from aionorth.stores.base import Stores
from aionorth.wire.checks import check_app_id, check_string
from aionorth.wire.transport import ConnectionOptions, check_url


def _secret(value: str | None) -> Secret | None:
    return None if value is None else Secret(check_string(value, "secret"))


def _token(value: GivenToken | None) -> Obtain | None:
    return None if value is None else given(value)


@attrs.frozen(kw_only=True, eq=False)
class SessionOptions:
    """The arguments of a session; `NorthSession` documents them. Raises `ArgumentError` for what cannot be used."""

    secret: Secret | None = attrs.field(converter=_secret)
    token: Obtain | None = attrs.field(converter=_token, repr=False)
    app_id: str = attrs.field(converter=check_app_id)
    url: URL = attrs.field(converter=check_url)
    flow_control: FlowControl
    retry: RetryPolicy
    store: Stores | None
    share_token: bool
    connection: ConnectionOptions
    observers: tuple[Observer, ...] = attrs.field(default=(), converter=check_observers)

    def __attrs_post_init__(self) -> None:
        if (self.secret is None) == (self.token is None):
            raise ArgumentError("give either secret= or token=: the one to log in with, or a token obtained elsewhere")
        if not isinstance(self.flow_control, FlowControl):
            raise ArgumentError(f"flow_control={self.flow_control!r}: give a FlowControl")
        if not isinstance(self.retry, RetryPolicy):
            raise ArgumentError(f"retry={self.retry!r}: give a RetryPolicy")
        if self.store is not None and (
            isinstance(self.store, type) or not inspect.iscoroutinefunction(getattr(self.store, "open", None))
        ):
            raise ArgumentError(f"store={self.store!r}: give a MachineStore or a RedisStore")
        if not isinstance(self.share_token, bool):
            raise ArgumentError(f"share_token={self.share_token!r}: give True or False")
        tls, lent = self.connection.tls, self.connection.http is not None
        if lent and (tls.given or self.connection.trust_env):
            raise ArgumentError("with http= the TLS and proxy settings are those of that session: set them there")
        if not self.https and tls.given:
            raise ArgumentError(f"{self.url} is not https: TLS settings are of no use with it")

    @property
    def base_url(self) -> str:
        """The URL as sessions, plans and journals compare it."""
        return str(self.url).rstrip("/")

    @property
    def https(self) -> bool:
        """Whether what is sent is encrypted."""
        return self.url.scheme == "https"

    @property
    def local(self) -> bool:
        """Whether what is sent stays on this machine."""
        host = self.url.host or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"
