"""Deletions of many apps by a fleet of workers on any number of hosts, under taskiq, with its Redis Streams broker.

``taskiq worker aionorth.fleet:broker``, or ``aionorth fleet worker``, is a worker; `Fleet` submits runs and says how
far they are. All that they share is on one Redis server: the apps' flow control and tokens, the tasks, and a journal
for each app's part of a run, so that whatever dies, every id ends in exactly one truthful outcome. What the workers
need to reach a platform, secrets too, are their own settings: profiles, files, environment.

``runs`` has parts and how far they are, as values; ``store`` keeps them in Redis, ``journal`` their journals.
``streams`` spreads the tasks, ``worker`` does them, and ``fleet`` is what users see.
"""

from typing import TYPE_CHECKING, Any

from aionorth.common.extras import imported, usable
from aionorth.fleet.runs import Part, PartState, PartStatus, RunStatus

if TYPE_CHECKING:
    from aionorth.fleet.fleet import Fleet
    from aionorth.fleet.streams import FleetBroker

    broker: FleetBroker
    """What ``taskiq worker aionorth.fleet:broker`` runs, with the server that ``AIONORTH_REDIS_URL`` names."""

__all__ = ["Fleet", "Part", "PartState", "PartStatus", "RunStatus"]


def __dir__() -> list[str]:
    return usable({*globals(), *__all__}, ["Fleet"], __getattr__)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - of a module
    """Import what needs taskiq, and make the broker, when it is needed."""
    if name == "Fleet":
        return globals().setdefault(name, imported(name, f"{__name__}.fleet", "fleet"))
    if name == "broker":
        return globals().setdefault(name, imported("broker_of_environment", f"{__name__}.fleet", "fleet")())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
