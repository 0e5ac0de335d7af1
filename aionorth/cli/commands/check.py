"""The command ``aionorth check``: tests the connection, and writes what it found as text or JSON."""

from __future__ import annotations

import asyncio
import json as json_format
import sys
import warnings
from typing import Annotated

import attrs
import typer
from rich.text import Text

from aionorth.cli import settings
from aionorth.cli.output.logs import Messages
from aionorth.cli.output.messages import ExitCode, code_of, put, remark, told, width_of, wrapped
from aionorth.cli.output.progress import flow_in_words, silence_in_words
from aionorth.cli.parser import command
from aionorth.cli.settings import Connection
from aionorth.cli.settings.given import ENVIRONMENT, Given
from aionorth.common.text import visible
from aionorth.errors import NorthWarning, SettingsError
from aionorth.flow.settings import FlowState
from aionorth.session.checkup import Checkup, Finding, Verdict
from aionorth.session.north import NorthSession
from aionorth.session.profiles import config_file

MESSAGE_AFTER = 1.0
"""Seconds that a call may wait for flow control before a message says so."""


ROOMY = 60
"""Columns from which on there is room for a column of what was found."""


def _profiles_file() -> str:
    try:
        return visible(str(config_file()))
    except SettingsError as exc:
        return f"config.toml ({exc})"


HELP = f"""Test URL, TLS, credentials and clock, and say what is wrong and what to do.

One call logs in, where the store has no token that is accepted; another lists one version package. They wait for their
turn like any others. In an outage that is known already, one more asks first whether it is over, at once. Nothing is
changed on the platform, but a login makes invalid the token of any other user of the app without this store.

\b
Examples:
  aionorth check
  aionorth check --profile prod
  aionorth check --url https://server:8743 --app-id my-app --ca-file ca.pem
  aionorth check --json | jq .findings.clock

{ENVIRONMENT}

\b
Profiles, in {_profiles_file()}:
  [profiles.prod]
  url = "https://server:8743"
  app_id = "my-app"
  secret_file = "prod.secret"    # relative to the directory of this file
  ca_file = "~/ca.pem"
  calls = 200

\b
Exit codes:
  0    all is well; a clock that differs is a warning only
  1    something failed
  2    a setting is missing or cannot be used; nothing was sent
  3    the platform refused the app or its secret
  130  interrupted
"""

_COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.NOT_USED: "yellow", Verdict.FAILED: "red"}


@command
def check(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
    given: Given,
    messages: Messages,
) -> ExitCode:
    """Test the connection."""
    with messages.noted():
        connection = settings.resolve(given)
        checkup = asyncio.run(_checkup(connection))
        checkup = _in_options(checkup)
        exit_code = ExitCode.OK if checkup.error is None else code_of(checkup.error)
        put(_as_json(checkup, connection, exit_code) if json else _as_text(checkup, connection))
        return exit_code


async def _checkup(connection: Connection) -> Checkup:
    """Test `connection`; raises `ArgumentError` for what cannot even be tried."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NorthWarning)  # what is not encrypted is among what it finds
        session = connection.session()
    async with session as north:
        waiting = asyncio.ensure_future(_say_if_waiting(north))
        try:
            return await north.check()
        finally:
            waiting.cancel()


async def _say_if_waiting(north: NorthSession) -> None:
    """Say once that flow control holds a call back: beside a purge that can take a period."""
    while True:
        await asyncio.sleep(MESSAGE_AFTER)
        if (flow := north.flow).waiting:
            break
    remark(f"aionorth: {wait_in_words(flow)}")


def wait_in_words(flow: FlowState) -> str:
    """Return why a call waits: for a slot, also in an outage, or for the end of one that has begun since."""
    if flow.silent_for and flow.free:
        return silence_in_words(flow)
    return f"waiting for flow control, which others of this app use too: {flow_in_words(flow)}"


def _in_options(checkup: Checkup) -> Checkup:
    """Return `checkup` with the options that people type in the place of arguments."""
    url, tls, credentials, clock = (
        Finding(finding.verdict, told(finding.words)) for finding in checkup.findings.values()
    )
    return attrs.evolve(checkup, url=url, tls=tls, credentials=credentials, clock=clock)


def _as_text(checkup: Checkup, connection: Connection) -> Text:
    """Return a line for each thing that was tested."""
    text = Text(visible(connection.target))
    width = width_of(sys.stdout)
    for name, finding in checkup.findings.items():
        verdict = "FAILED" if finding.verdict is Verdict.FAILED else finding.verdict.value
        about = f"{name:<11}  {verdict:<10}  "
        at = len(text) + 1 + about.index(verdict)
        hanging = " " * (len(about) if width >= ROOMY else 4)
        text.append(f"\n{wrapped(about + visible(finding.words), width, hanging)}")
        text.stylize(_COLOURS.get(finding.verdict, ""), at, at + len(verdict))
    return text


def _as_json(checkup: Checkup, connection: Connection, exit_code: ExitCode) -> str:
    """Return the same as a JSON object on one line."""
    about = {"url": connection.url, "app_id": connection.app_id}
    return json_format.dumps(about | checkup.to_dict() | {"exit_code": int(exit_code)})
