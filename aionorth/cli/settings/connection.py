"""The connection that a command works on: what options, environment and profile add up to."""

from __future__ import annotations

from typing import Any

import attrs

from aionorth.auth.sources import Secret
from aionorth.bulk.retry import RetryPolicy
from aionorth.bulk.run import WORKERS
from aionorth.cli.output.messages import SET_BY, remark
from aionorth.cli.settings.given import MAX_OUTAGE, Given
from aionorth.cli.settings.secrets import can_be_typed, typed_in
from aionorth.common.durations import in_any_unit
from aionorth.errors import SettingsError
from aionorth.flow.settings import FlowControl
from aionorth.items import Target
from aionorth.purge.selections import Selection
from aionorth.session import settings
from aionorth.session.north import NorthSession
from aionorth.session.profiles import problems
from aionorth.session.secrets import SECRET
from aionorth.session.settings import KEYS, Place, Words
from aionorth.session.value_types import WHOLE
from aionorth.stores.machine import MachineStore
from aionorth.stores.redis import RedisStore
from aionorth.wire.checks import check_app_id

__all__ = ["KEYS", "Connection", "options_for", "resolve"]

AT_A_SHELL = Words(
    url="set it, as in: export AIONORTH_URL=https://server:8743 (or give --url, or url in a profile)",
    app_id="set it, as in: export AIONORTH_APP_ID=your-app-id (or give --app-id, or app_id in a profile)",
    secret=f"set it, for example with: read -rs {SECRET} && export {SECRET} (or give --secret-file; there is no "
    "option for the secret itself: options show in the list of processes and in the shell's history)",
    no_store="do without while nothing else uses this app: --store memory",
)

_NO_SECRET = Secret("")


@attrs.frozen(kw_only=True)
class Connection:
    """All that a session takes; `session` makes one."""

    url: str
    app_id: str
    secret: Secret = _NO_SECRET
    flow_control: FlowControl
    store: MachineStore | RedisStore | None
    share_token: bool
    workers: int
    """Calls in flight at once, for commands that make many."""
    timeout: float
    max_outage: float
    """Seconds for which a run waits while the platform answers no call."""
    ca_file: str | None
    client_cert: tuple[str, str] | None
    trust_env: bool
    tls_relaxed_x509: bool
    unsafe_accept_any_host_name: bool

    @property
    def target(self) -> str:
        """The app and its platform, for people."""
        return f"{self.app_id} at {self.url}"

    def target_of(self, selection: Selection[Any]) -> Target:
        """What `selection` is about."""
        other = selection.authorized_app_id
        return Target(kind=selection.kind, url=self.url, app_id=self.app_id, authorized_app_id=other)

    def session(self) -> NorthSession:
        """Return a session that is not open yet; raises `ArgumentError` for what it cannot use."""
        options: dict[str, Any] = attrs.asdict(self, recurse=False)
        del options["url"], options["workers"]
        options["retry"] = RetryPolicy(outage=options.pop("max_outage"))
        options["secret"] = self.secret.value
        return NorthSession(self.url, **options)


def options_for(target: Target) -> list[str]:
    """Return the options, as typed, by which a command finds the platform and the app of `target` here.

    Those that environment and profile say already are left out.
    """
    try:
        sources = settings.find_sources(None, words=AT_A_SHELL, report=str)  # what is odd the command says itself
    except SettingsError:  # the command will say what is wrong
        return Given(url=target.url, app_id=target.app_id).as_typed()
    url, app_id = (str(found.value) if (found := sources.find(key)) else "" for key in ("url", "app_id"))
    return Given(
        url=None if url.rstrip("/") == target.url else target.url,
        app_id=None if app_id == target.app_id else target.app_id,
    ).as_typed()


def _report(text: str) -> None:
    remark(f"aionorth: {text}")


def resolve(given: Given, *, stdin_is_data: bool = False) -> Connection:
    """Return the connection that options, environment and profile add up to.

    Where nothing else is wrong the secret may be asked for at the terminal.

    Args:
        given: The options.
        stdin_is_data: Whether the command reads something else from stdin.

    Raises:
        SettingsError: It names all that is missing or cannot be used.
    """
    sources = settings.find_sources(
        given.profile,
        options=attrs.asdict(given),
        words=AT_A_SHELL,
        report=_report,
    )
    SET_BY.clear()
    for key in KEYS:
        if (found := sources.find(key)) is not None and found.place is not Place.OPTION:
            SET_BY[key] = found.where
    connection = Connection(
        **settings.gather(sources),
        workers=sources.get("workers", WHOLE, WORKERS),
        max_outage=settings.max_outage(sources, in_any_unit(MAX_OUTAGE).total_seconds()),
    )
    settings.check_tls(sources, connection.url)
    secret = settings.secret_of(sources)
    if not sources.has_secret and not can_be_typed(stdin_is_data=stdin_is_data):
        sources.miss("secret")
    if sources.problems:
        raise problems(*sources.problems)
    check_app_id(connection.app_id)
    return attrs.evolve(connection, secret=secret if secret is not None else typed_in(connection.app_id))
