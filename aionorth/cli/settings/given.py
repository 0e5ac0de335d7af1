"""The options of the connection to the platform, in one bundle for every command that has one."""

from __future__ import annotations

from functools import partial

import attrs

from aionorth.bulk.run import WORKERS
from aionorth.cli.parser import names, option
from aionorth.cli.settings import profiles
from aionorth.session.settings import FLOW, TIMEOUT
from aionorth.session.value_types import STORES

ENVIRONMENT = """\b
Environment (options come before it, and it comes before a profile):
  AIONORTH_URL          the platform's base URL, as in https://server:8743
  AIONORTH_APP_ID       the app's id
  AIONORTH_SECRET       the app's secret; there is no option for it, because
                        options show in the list of processes
  AIONORTH_SECRET_FILE  instead of it, a file that holds it and that only you
                        can read; with neither, you are asked on a terminal
  AIONORTH_PROFILE      settings under a name of their own, in config.toml;
                        'aionorth check --help' shows an example
  AIONORTH_REDIS_URL    a Redis server through which hosts share flow control
                        and token, as in rediss://user:password@host:6379/0
  AIONORTH_CALLS, AIONORTH_PERIOD, AIONORTH_HEADROOM, AIONORTH_BURST,
  AIONORTH_STORE, AIONORTH_WORKERS, AIONORTH_TIMEOUT, AIONORTH_MAX_OUTAGE,
  AIONORTH_CA_FILE, AIONORTH_CLIENT_CERT, AIONORTH_CLIENT_KEY,
  AIONORTH_LOG_FILE, AIONORTH_LOG_FORMAT, AIONORTH_STATS
                        as the options of these names
  AIONORTH_TLS_RELAXED_X509
                        true: as --tls-relaxed-x509"""

MAX_OUTAGE = "12h"
"""How long a run waits for a silent platform where no setting says otherwise: until somebody is up again."""


_connection = partial(option, rich_help_panel="Connection")
_flow = partial(option, rich_help_panel="Flow control")


@attrs.frozen(kw_only=True)
class Given:  # more than 12 fields: one a setting
    """What the options say of the connection; None where one is not given. A field has the name of its setting.

    Environment and profile come after them, so the defaults are in the help texts only. Numbers are text, as in the
    environment: one parser, and one set of messages, reads both.
    """

    profile: str | None = _connection(
        "NAME",
        "The settings in [profiles.NAME] of config.toml, instead of AIONORTH_PROFILE. [default: the profile named "
        "default, if there is one]",
        autocompletion=profiles.completed,
    )
    url: str | None = _connection("URL", "The base URL, as in https://server:8743.")
    app_id: str | None = _connection("ID", "The app's id.")
    secret_file: str | None = _connection("FILE", "The file that holds the app's secret; only you may read it.")
    ca_file: str | None = _connection(
        "FILE", "PEM file of the CA that signed the platform's certificate. [default: the system's CAs]"
    )
    client_cert: str | None = _connection("FILE", "PEM file of a client certificate, if the platform asks.")
    client_key: str | None = _connection("FILE", "PEM file of its key, if it is in another file.")
    tls_relaxed_x509: bool | None = _connection(
        None,
        "Accept certificates without key identifiers and the like, which Python from 3.13 on refuses.",
        "--tls-relaxed-x509/--tls-strict-x509",
    )
    unsafe_accept_any_host_name: bool | None = _connection(
        None,
        "Accept a valid certificate issued for another host name. For commissioning only.",
        "--unsafe-accept-any-host-name/--verify-host-name",
    )
    trust_env: bool | None = _connection(
        None, "Use the proxy that HTTPS_PROXY and the like name.", "--trust-env/--no-trust-env"
    )
    timeout: str | None = _connection("SECONDS", f"Seconds that one call may take. [default: {TIMEOUT:g}]")
    max_outage: str | None = _connection(
        "DURATION",
        "How long a run waits where the platform answers no call at all, before it ends and can be resumed: 12h, "
        f"30min, 2d. [default: {MAX_OUTAGE}]",
    )
    calls: str | None = _flow("N", f"The app's flow control threshold: calls per period. [default: {FLOW.calls}]")
    period: str | None = _flow("SECONDS", f"Its period, in seconds. [default: {FLOW.period:g}]")
    headroom: str | None = _flow(
        "PART",
        f"The part of the threshold left to other callers of the same app; 0.2: a fifth. [default: {FLOW.headroom:g}]",
    )
    burst: str | None = _flow("N", "How many calls may go out at once; 1 spreads them evenly. [default: all]")
    store: str | None = _flow(
        "WHERE",
        "Where all of the app's callers share its flow control and token: machine (a file of yours, for the processes "
        "of this machine), redis (the server in AIONORTH_REDIS_URL) or memory (nobody shares). [default: redis if "
        "AIONORTH_REDIS_URL is set, else machine]",
        values=STORES,
    )
    share_token: bool | None = _flow(
        None,
        "Keep the access token there too, so that no process makes another's invalid. [default: share-token]",
        "--share-token/--no-share-token",
    )
    workers: str | None = _flow(
        "N", f"Calls in flight at once, at most, where a command makes many. [default: {WORKERS}]"
    )

    def as_typed(self) -> list[str]:
        """Return the options as they could be typed again."""
        words: list[str] = []
        for field in attrs.fields(Given):
            value = getattr(self, field.name)
            if isinstance(value, bool):
                words.append(names(field)[not value])
            elif value is not None:
                words += [*names(field), str(value)]
        return words
