"""The options of the commands: their names, checks and help texts."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from aionorth.simulator import MODELS


def _positive(value: float) -> float:
    if not 0 < value < math.inf:
        raise typer.BadParameter("give seconds, above 0")
    return value


def _not_negative(value: float) -> float:
    if not 0 <= value < math.inf:
        raise typer.BadParameter("give seconds, 0 or more")
    return value


def _chance(value: float) -> float:
    if not 0 <= value <= 1:
        raise typer.BadParameter("give a probability, from 0 to 1")
    return value


def _model(value: str) -> str:
    if value not in MODELS:
        raise typer.BadParameter(f"give one of {', '.join(MODELS)}")
    return value


# --- delete

IdsFile = Annotated[
    str, typer.Option(metavar="FILE", help="The ids, one per line; - reads standard input.", show_default=False)
]
AuthorizedAppId = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Subscriptions only: the app whose subscriptions they are, where it is another one that has authorized "
        "yours.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]

# --- simulate

Host = Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")]
Port = Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="The port to listen on; 0 takes a free one.")]
SimulatedPeriod = Annotated[
    float, typer.Option("--period", metavar="SECONDS", help="Its period, in seconds.", callback=_positive)
]
Threshold = Annotated[
    int, typer.Option(metavar="N", min=0, help="Calls that flow control allows per period; 0 switches it off.")
]
Model = Annotated[
    str, typer.Option(help=f"How flow control counts: {', '.join(MODELS)}.", callback=_model, metavar="MODEL")
]
Subscriptions = Annotated[int, typer.Option(metavar="N", min=0, help="How many subscriptions there are to delete.")]
Packages = Annotated[int, typer.Option(metavar="N", min=0, help="How many version packages there are to delete.")]
SubscriptionIds = Annotated[
    str | None,
    typer.Option("--write-subscription-ids", metavar="FILE", help="Write their ids there.", show_default=False),
]
PackageIds = Annotated[
    str | None, typer.Option("--write-package-ids", metavar="FILE", help="Write their ids there.", show_default=False)
]
SimulatedAppId = Annotated[str, typer.Option(metavar="ID", help="The id of the app there is.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Seeds all chance: ids, latency, faults.")]
Cert = Annotated[
    str | None, typer.Option(metavar="FILE", help="Serve https with this PEM certificate.", show_default=False)
]
Key = Annotated[
    str | None, typer.Option(metavar="FILE", help="PEM file of its key, if it is in another file.", show_default=False)
]
ClientCa = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Ask for client certificates signed by this CA.", show_default=False),
]
Latency = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", help="The most seconds that a call takes to arrive, and its reply.", callback=_not_negative
    ),
]
ResetBefore = Annotated[
    float,
    typer.Option(
        metavar="CHANCE", help="Chance that a call is lost: the connection is reset, nothing done.", callback=_chance
    ),
]
ResetAfter = Annotated[
    float,
    typer.Option(metavar="CHANCE", help="Chance that a call is carried out and its reply is lost.", callback=_chance),
]
Congested = Annotated[
    float,
    typer.Option(metavar="CHANCE", help="Chance that a call is answered 503, platform congested.", callback=_chance),
]
BadGateway = Annotated[
    float,
    typer.Option(
        metavar="CHANCE", help="Chance that a call is answered by a proxy's 502 page, nothing done.", callback=_chance
    ),
]
RetryAfter = Annotated[bool, typer.Option("--retry-after", help="Refusals carry a Retry-After header.")]
