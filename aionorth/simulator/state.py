"""The state of the platform: apps, their tokens, subscriptions and version packages. It knows nothing of HTTP."""

import random
import uuid
from collections.abc import Callable, Iterable, Mapping

import attrs

Record = Mapping[str, str]
"""A subscription or a version package, under the platform's own field names."""

REFRESH_TOKEN_LIFETIME = 24 * 3600.0
"""Seconds; the shorter of the two lifetimes that the platform documents."""

LONGEST_ID = 256


@attrs.frozen
class Tokens:
    """What a login or a refresh hands out."""

    access: str = attrs.field(repr=False)
    refresh: str = attrs.field(repr=False)


@attrs.define(eq=False)
class App:
    """One application and everything it owns. Times are seconds on the platform's clock."""

    app_id: str
    secret: str = attrs.field(repr=False)
    authorized: set[str] = attrs.field(factory=set[str])
    """The apps that may name this one in the query parameter ``appId``."""
    subscriptions: dict[str, Record] = attrs.field(factory=dict[str, Record], repr=False)
    packages: dict[str, Record] = attrs.field(factory=dict[str, Record], repr=False)
    access_token: str | None = attrs.field(default=None, repr=False)
    access_token_expires: float = 0.0
    refresh_tokens: dict[str, float] = attrs.field(factory=dict[str, float], repr=False)
    """Each valid refresh token, and when it expires."""

    def accepts(self, access_token: str, now: float) -> bool:
        """Tell whether the token is this app's current one and still alive."""
        return access_token == self.access_token and now < self.access_token_expires

    def redeem(self, refresh_token: str, now: float) -> bool:
        """Tell whether the refresh token is good; it is so only once."""
        return now < self.refresh_tokens.pop(refresh_token, now)

    def hold(self, tokens: Tokens, now: float, lifetime: float) -> None:
        """Take new tokens into use; whatever access token was in use before is invalid from now on."""
        self.access_token = tokens.access
        self.access_token_expires = now + lifetime
        self.refresh_tokens = {token: expires for token, expires in self.refresh_tokens.items() if now < expires}
        self.refresh_tokens[tokens.refresh] = now + REFRESH_TOKEN_LIFETIME


class Platform:
    """All apps. ``clock`` tells the time in seconds; ``chance`` makes ids and tokens."""

    def __init__(
        self,
        apps: Mapping[str, str],
        *,
        clock: Callable[[], float],
        chance: random.Random,
        token_lifetime: float,
        quoted_expires_in: bool,
        package_status: int,
    ) -> None:
        if not apps:
            raise ValueError("a platform needs at least one app")
        self.apps = {app_id: App(app_id, secret) for app_id, secret in apps.items()}
        self.token_lifetime = token_lifetime
        self.quoted_expires_in = quoted_expires_in
        self.package_status = package_status
        self._clock = clock
        self._chance = chance

    def now(self) -> float:
        """Tell the time in seconds."""
        return self._clock()

    def app(self, app_id: str | None) -> App:
        """Find the app of that id, or the first one for ``None``; raises `KeyError` where there is none."""
        return self.apps[app_id] if app_id is not None else next(iter(self.apps.values()))

    def forget_tokens(self, app_id: str | None) -> None:
        """Make every access token and refresh token of the app invalid."""
        self.evict(app_id)
        self.app(app_id).refresh_tokens.clear()

    def evict(self, app_id: str | None) -> None:
        """Make the app's access token invalid."""
        self.app(app_id).access_token = None

    def issue(self, app: App) -> Tokens:
        """Make new tokens for the app and take them into use."""
        tokens = Tokens(self._hex(128), self._hex(128))
        app.hold(tokens, self.now(), self.token_lifetime)
        return tokens

    def new_subscription_id(self) -> str:
        """Make an id of the shape that the platform gives to subscriptions."""
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def new_file_id(self) -> str:
        """Make an id of the shape that the platform gives to version packages."""
        return self._hex(96)

    def _hex(self, bits: int) -> str:
        return f"{self._chance.getrandbits(bits):0{bits // 4}x}"


def subscription(subscription_id: str, notify_type: str, callback_url: str, channel: str = "http") -> Record:
    """Make a subscription as the platform keeps it."""
    return {
        "subscriptionId": subscription_id,
        "notifyType": notify_type,
        "callbackUrl": callback_url,
        "channel": channel,
    }


def well_formed(identifier: str) -> bool:
    """Tell whether this can be an id: 1 to 256 printable characters."""
    return 0 < len(identifier) <= LONGEST_ID and identifier.isprintable()


def new_ids(ids: int | Iterable[str], make: Callable[[], str]) -> list[str]:
    """Return the given ids, or as many made ones; raises `ValueError` for one that no platform would give."""
    if isinstance(ids, int):
        return [make() for _ in range(ids)]
    given = list(ids)
    for identifier in given:
        if not well_formed(identifier):
            raise ValueError(f"not an id: {identifier!r}")
    return given
