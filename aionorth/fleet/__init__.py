"""Deletions of many apps by a fleet of workers on any number of hosts, under taskiq, with its Redis Streams broker.

``taskiq worker aionorth.fleet:broker``, or ``aionorth fleet worker``, is a worker; `Fleet` submits runs and says how
far they are. All that they share is on one Redis server: the apps' flow control and tokens, the tasks, and a journal
for each app's part of a run, so that whatever dies, every id ends in exactly one truthful outcome. What the workers
need to reach a platform, secrets too, are their own settings: profiles, files, environment.

``runs`` has parts and how far they are, as values; ``store`` keeps them in Redis, ``journal`` their journals.
``streams`` spreads the tasks, ``worker`` does them, and ``fleet`` is what users see.
"""

from typing import TYPE_CHECKING, Any

from aionorth.fleet.runs import Part, PartState, PartStatus, RunStatus

if TYPE_CHECKING:
    from aionorth.fleet.fleet import Fleet
    from aionorth.fleet.streams import FleetBroker

    broker: FleetBroker
    """What ``taskiq worker aionorth.fleet:broker`` runs, with the server that ``AIONORTH_REDIS_URL`` names."""

__all__ = ["Fleet", "Part", "PartState", "PartStatus", "RunStatus"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - of a module
    """Import what needs taskiq, and make the broker, when it is needed."""
    if name not in {"Fleet", "broker"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.util import find_spec  # noqa: PLC0415 - here only

    from aionorth.errors import ArgumentError  # noqa: PLC0415 - here only

    if missing := [package for package in ("taskiq", "taskiq_redis") if find_spec(package) is None]:
        raise ArgumentError(f"a fleet needs {' and '.join(missing)}: install aionorth[fleet]")
    from aionorth.fleet import fleet  # noqa: PLC0415 - with taskiq

    globals()["Fleet"] = fleet.Fleet
    if name == "broker":
        globals()["broker"] = fleet.broker_of_environment()
    return globals()[name]
