"""The state of the platform: its apps with their tokens and resources. It knows nothing of HTTP."""

import collections
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

Record = Mapping[str, Any]
"""One item of a resource, its fields mostly under the platform's own names."""

Records = dict[str, Record]
"""The items of one kind that an app has, by id."""

REFRESH_TOKEN_LIFETIME = 24 * 3600.0
"""Seconds; the shorter of the two lifetimes that the platform documents."""

LONGEST_ID = 256


@attrs.frozen
class Tokens:
    """The pair of tokens that a login or a refresh returns."""

    access: str = attrs.field(repr=False)
    refresh: str = attrs.field(repr=False)


@attrs.define(eq=False)
class App:
    """One app and everything it owns. Mutable: its authorizations, items and tokens.

    Times are seconds on the platform's clock.
    """

    app_id: str
    secret: str = attrs.field(repr=False)
    authorized: set[str] = attrs.field(factory=set[str])
    """The apps that may name this one in a query."""
    records: dict[str, Records] = attrs.field(factory=lambda: collections.defaultdict[str, Records](dict), repr=False)
    """The items of each kind, by the name of the kind."""
    access_token: str | None = attrs.field(default=None, repr=False)
    access_token_expires: float = 0.0
    refresh_tokens: dict[str, float] = attrs.field(factory=dict[str, float], repr=False)
    """When each valid refresh token expires."""

    def accepts(self, access_token: str, now: float) -> bool:
        """Return whether this is the app's current access token and has not expired."""
        return access_token == self.access_token and now < self.access_token_expires

    def redeem(self, refresh_token: str, now: float) -> bool:
        """Return whether the refresh token is valid, and make it invalid: it can be used only once."""
        return now < self.refresh_tokens.pop(refresh_token, now)

    def hold(self, tokens: Tokens, now: float, lifetime: float) -> None:
        """Put new tokens in place; the access token before them is invalid from now on."""
        self.access_token = tokens.access
        self.access_token_expires = now + lifetime
        self.refresh_tokens = {token: expires for token, expires in self.refresh_tokens.items() if now < expires}
        self.refresh_tokens[tokens.refresh] = now + REFRESH_TOKEN_LIFETIME


def _with_secrets(apps: Mapping[str, str]) -> dict[str, App]:
    if not apps:
        raise ValueError("a platform needs at least one app")
    return {app_id: App(app_id, secret) for app_id, secret in apps.items()}


@attrs.frozen(kw_only=True, eq=False)
class Platform:
    """All apps, the clock, and the source of chance, which makes ids and tokens. `Simulator` has the options."""

    apps: dict[str, App] = attrs.field(converter=_with_secrets)
    now: Callable[[], float]
    chance: random.Random
    token_lifetime: float
    quoted_expires_in: bool

    def app(self, app_id: str | None) -> App:
        """Return the app of that id, or the first one for ``None``; raise `KeyError` where there is none."""
        return self.apps[app_id] if app_id is not None else next(iter(self.apps.values()))

    def issue(self, app: App) -> Tokens:
        """Make new tokens for the app and put them in place."""
        tokens = Tokens(f"{self.chance.getrandbits(128):032x}", f"{self.chance.getrandbits(128):032x}")
        app.hold(tokens, self.now(), self.token_lifetime)
        return tokens


def well_formed(identifier: str, longest: int = LONGEST_ID) -> bool:
    """Return whether this can be an id: 1 to ``longest`` printable characters."""
    return 0 < len(identifier) <= longest and identifier.isprintable()


def new_ids(ids: int | Iterable[str], make: Callable[[], str], longest: int = LONGEST_ID) -> list[str]:
    """Return the given ids, or as many new ones.

    Raises:
        ValueError: An id is not 1 to ``longest`` printable characters.
    """
    if isinstance(ids, int):
        return [make() for _ in range(ids)]
    given = list(ids)
    for identifier in given:
        if not well_formed(identifier, longest):
            raise ValueError(f"not an id: {identifier!r}")
    return given
