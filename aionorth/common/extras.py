"""Names that need what an extra brings: a package imports them when they are asked for, so that others do without."""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any


def imported(name: str, module: str, extra: str) -> Any:  # noqa: ANN401 - whatever has that name
    """Return what `module` has under that name; raises `ImportError`, which says what to install."""
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as exc:
        raise ImportError(f"{name} needs {exc.name}: pip install 'aionorth[{extra}]'", name=exc.name) from exc


def usable(names: Iterable[str], of_extras: Iterable[str], find: Callable[[str], object]) -> list[str]:
    """Return the sorted names without those of extras that `find` cannot import: pydoc asks for all that is listed."""
    here = set(names)
    for name in of_extras:
        try:
            find(name)
        except ImportError:
            here.discard(name)
    return sorted(here)
