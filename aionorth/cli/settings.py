"""The session that a command's options and the environment ask for."""

from __future__ import annotations

import os

from aionorth.api import check_string
from aionorth.cli.exits import ProblemError
from aionorth.flow import FlowControl
from aionorth.session import NorthSession

URL = "AIONORTH_URL"
APP_ID = "AIONORTH_APP_ID"
SECRET = "AIONORTH_SECRET"  # noqa: S105 - the name of the variable

_EXAMPLES = {
    URL: f"set it, as in: export {URL}=https://server:8743 (or give --url)",
    APP_ID: f"set it, as in: export {APP_ID}=your-app-id (or give --app-id)",
    SECRET: f"set it, for example with: read -rs {SECRET} && export {SECRET} (there is no option for it: "
    "options show in the list of processes and in the shell's history)",
}


def setting(variable: str, option: str | None = None) -> str:
    """Return the value of `option`, else of the environment variable; raises `ProblemError` where both are missing."""
    value = os.environ.get(variable) if option is None else option
    if value and value != value.strip():
        raise ProblemError(f"{variable} has blanks or a line end around it: set it without")
    if not value:
        raise ProblemError(f"{variable} is {'empty' if value == '' else 'missing'}: {_EXAMPLES[variable]}")
    return value


def session(
    *,
    url: str | None,
    app_id: str | None,
    flow_control: FlowControl,
    ca_file: str | None,
    client_cert: str | None,
    client_key: str | None,
    any_host_name: bool,
    trust_env: bool,
    timeout: float,
) -> NorthSession:
    """Return a session that is not open yet; raises `ProblemError` or `ArgumentError` for what it cannot use."""
    url = setting(URL, url)
    app_id = setting(APP_ID, app_id)
    if client_key is not None and client_cert is None:
        raise ProblemError("--client-key is of no use without --client-cert: give both")
    asked_for = (ca_file, "--ca-file"), (client_cert, "--client-cert"), (any_host_name, "--unsafe-accept-any-host-name")
    for value, option in asked_for:
        if value and url.lower().startswith("http:"):
            raise ProblemError(f"{option} is of no use with {url}: give an https URL")
    return NorthSession(
        url,
        app_id=check_string(app_id, "the app id"),
        secret=check_string(setting(SECRET), SECRET),
        flow_control=flow_control,
        ca_file=ca_file,
        # A file that holds both is common.
        client_cert=None if client_cert is None else (client_cert, client_key or client_cert),
        unsafe_accept_any_host_name=any_host_name,
        trust_env=trust_env,
        timeout=timeout,
    )
