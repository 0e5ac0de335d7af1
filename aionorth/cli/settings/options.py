"""The options of the connection to the platform, in one bundle for every command that has one."""

from __future__ import annotations

from typing import Annotated, Any

import attrs
import typer

from aionorth.bulk.run import WORKERS
from aionorth.cli.settings import profiles
from aionorth.flow.limiter import FlowControl

FLOW = FlowControl()
"""Flow control where nobody says otherwise."""

TIMEOUT = 30.0
"""Seconds that one call may take where nobody says otherwise."""

_CONNECTION, _FLOW_CONTROL = "Connection", "Flow control"


def _setting(*names: str, says: str, panel: str = _CONNECTION, **more: Any) -> Any:  # noqa: ANN401 - as typer's own
    """Return an option of the connection. It has no default: environment and profile have their say after it."""
    return typer.Option(*names, help=says, rich_help_panel=panel, show_default=False, **more)


@attrs.frozen(kw_only=True)
class Given:
    """What the options say of the connection, None where they say nothing. A field is named as its setting.

    Numbers are text still, as in the environment: what reads both has one set of words for those that are none.
    """

    profile: Annotated[
        str | None,
        _setting(
            metavar="NAME",
            says="The settings in [profiles.NAME] of config.toml, instead of AIONORTH_PROFILE. [default: the profile "
            "named default, if there is one]",
            autocompletion=profiles.completed,
        ),
    ] = None
    url: Annotated[str | None, _setting(metavar="URL", says="The base URL, as in https://server:8743.")] = None
    app_id: Annotated[str | None, _setting(metavar="ID", says="The app's id.")] = None
    secret_file: Annotated[
        str | None, _setting(metavar="FILE", says="The file that holds the app's secret; only you may read it.")
    ] = None
    ca_file: Annotated[
        str | None,
        _setting(
            metavar="FILE",
            says="PEM file of the CA that signed the platform's certificate. [default: the system's CAs]",
        ),
    ] = None
    client_cert: Annotated[
        str | None, _setting(metavar="FILE", says="PEM file of a client certificate, if the platform asks.")
    ] = None
    client_key: Annotated[
        str | None, _setting(metavar="FILE", says="PEM file of its key, if it is in another file.")
    ] = None
    unsafe_accept_any_host_name: Annotated[
        bool | None,
        _setting(
            "--unsafe-accept-any-host-name/--verify-host-name",
            says="Accept a valid certificate issued for another host name. For commissioning only.",
        ),
    ] = None
    trust_env: Annotated[
        bool | None,
        _setting("--trust-env/--no-trust-env", says="Use the proxy that HTTPS_PROXY and the like name."),
    ] = None
    timeout: Annotated[
        str | None,
        _setting(metavar="SECONDS", says=f"Seconds that one call may take. [default: {TIMEOUT:g}]"),
    ] = None
    calls: Annotated[
        str | None,
        _setting(
            metavar="N",
            says=f"The app's flow control threshold: calls per period. [default: {FLOW.calls}]",
            panel=_FLOW_CONTROL,
        ),
    ] = None
    period: Annotated[
        str | None,
        _setting(metavar="SECONDS", says=f"Its period, in seconds. [default: {FLOW.period:g}]", panel=_FLOW_CONTROL),
    ] = None
    headroom: Annotated[
        str | None,
        _setting(
            metavar="PART",
            says="The part of the threshold left to other callers of the same app; 0.2: a fifth. "
            f"[default: {FLOW.headroom:g}]",
            panel=_FLOW_CONTROL,
        ),
    ] = None
    burst: Annotated[
        str | None,
        _setting(
            metavar="N",
            says="How many calls may go out at once; 1 spreads them evenly. [default: all]",
            panel=_FLOW_CONTROL,
        ),
    ] = None
    store: Annotated[
        str | None,
        _setting(
            metavar="WHERE",
            says="Where all of the app's callers share its flow control and token: machine (a file of yours, for the "
            "processes of this machine), redis (the server in AIONORTH_REDIS_URL) or memory (nobody shares). "
            "[default: redis if AIONORTH_REDIS_URL is set, else machine]",
            panel=_FLOW_CONTROL,
        ),
    ] = None
    share_token: Annotated[
        bool | None,
        _setting(
            "--share-token/--no-share-token",
            says="Keep the access token there too, so that no process makes another's invalid. [default: share-token]",
            panel=_FLOW_CONTROL,
        ),
    ] = None
    workers: Annotated[
        str | None,
        _setting(
            metavar="N",
            says=f"Calls in flight at once, at most, where a command makes many. [default: {WORKERS}]",
            panel=_FLOW_CONTROL,
        ),
    ] = None

    def as_typed(self) -> list[str]:
        """Return the options as they could be typed again."""
        words: list[str] = []
        for name, value in attrs.asdict(self).items():
            option = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else _SWITCHED_OFF[name])
            elif value is not None:
                words += [f"--{option}", str(value)]
        return words


_SWITCHED_OFF = {
    "share_token": "--no-share-token",
    "trust_env": "--no-trust-env",
    "unsafe_accept_any_host_name": "--verify-host-name",
}
