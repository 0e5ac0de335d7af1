"""What the commands of a fleet have in common: its server, and the words for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from aionorth.cli.fleet.manifest import AUTHORIZED
from aionorth.cli.output.messages import SET_BY, ProblemError, own_name, told
from aionorth.errors import StoreError, StoreUnavailableError
from aionorth.fleet.runs import DamagedError, NoRunError
from aionorth.session.settings import KEYS

if TYPE_CHECKING:
    from aionorth.fleet import Fleet

T = TypeVar("T")

ENVIRONMENT = """\b
Environment:
  AIONORTH_REDIS_URL  the one Redis server of the fleet, as in
                      rediss://user:password@host:6379/0"""


def on_fleet(do: Callable[[Fleet], Awaitable[T]]) -> T:
    """Do something with the fleet of the environment; raises `ProblemError` where its server cannot be used."""
    try:
        from aionorth.fleet import Fleet  # noqa: PLC0415 - with taskiq, which other commands do without
    except ImportError as exc:
        raise ProblemError(str(exc)) from exc
    from aionorth.fleet.fleet import url_of_environment  # noqa: PLC0415 - as above

    # What a worker's profile, or a manifest, calls them: no command here has an option for them.
    SET_BY.update((name, name) for name in (*KEYS, AUTHORIZED))

    async def main() -> T:
        async with Fleet(url_of_environment()) as fleet:
            return await do(fleet)

    try:
        return asyncio.run(main())
    except NoRunError as exc:
        raise ProblemError(f"{told(exc)}; those that are kept: {own_name()} fleet status") from exc
    except DamagedError as exc:
        raise ProblemError(told(exc)) from exc
    except StoreError as exc:
        server = ", and that the server is up" if isinstance(exc, StoreUnavailableError) else ""
        raise ProblemError(f"{told(exc).removesuffix('.')}; check AIONORTH_REDIS_URL{server}") from exc


def to_type(what: str, run: str) -> str:
    """Return what to type to do something with a run."""
    return f"{own_name()} fleet {what} {run}"
