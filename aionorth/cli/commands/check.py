"""A test of the connection from the command line: made, and brought to text, JSON and an exit code."""

from __future__ import annotations

import asyncio
import json

from rich.text import Text

from aionorth.cli.output.exits import ExitCode, code_of
from aionorth.cli.output.progress import flow_in_words
from aionorth.cli.output.terminal import say
from aionorth.cli.settings.connection import Connection
from aionorth.common.text import visible
from aionorth.session.checkup import Checkup, Verdict
from aionorth.session.north import NorthSession

PATIENCE = 1.0
"""Seconds that a call may wait before it is told."""

_COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.NOT_USED: "yellow", Verdict.FAILED: "red"}


async def check(connection: Connection) -> Checkup:
    """Test `connection`; raises `ArgumentError` for what cannot even be tried."""
    async with connection.session() as north:
        telling = asyncio.ensure_future(_tell_of_waiting(north))
        try:
            return await north.check()
        finally:
            telling.cancel()


async def _tell_of_waiting(north: NorthSession) -> None:
    """Say once that flow control holds a call back, after a while: beside a purge it may take a period."""
    while True:
        await asyncio.sleep(PATIENCE)
        if (flow := north.flow).waiting:
            break
    say(f"aionorth: waiting for flow control, which others of this app use too: {flow_in_words(flow)}")


def exit_code(checkup: Checkup) -> ExitCode:
    """Return what to tell the shell."""
    return ExitCode.OK if checkup.error is None else code_of(checkup.error)


def as_text(checkup: Checkup, connection: Connection) -> Text:
    """Return a line for each thing that was tested."""
    text = Text(f"{visible(connection.target)}\n")
    for name, finding in checkup.findings.items():
        verdict = "FAILED" if finding.verdict is Verdict.FAILED else finding.verdict.value
        text.append(f"{name:<11}  ")
        text.append(f"{verdict:<10}", _COLOURS.get(finding.verdict, ""))
        text.append(f"  {visible(finding.words)}\n")
    text.rstrip()
    return text


def as_json(checkup: Checkup, connection: Connection) -> str:
    """Return the same as a JSON object on one line."""
    return json.dumps(
        {
            "url": connection.url,
            "app_id": connection.app_id,
            **checkup.to_dict(),
            "exit_code": int(exit_code(checkup)),
        }
    )
