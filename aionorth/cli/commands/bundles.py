"""Options in bundles: attrs classes whose fields are options, for commands that have them in common."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import attrs


def bundled(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command`, for each of its parameters that is an attrs class, the options that are the fields of the class.

    They reach it together, as one value of that class. All of them have defaults.
    """
    own: list[inspect.Parameter] = []
    options: list[inspect.Parameter] = []
    bundles: dict[str, type[Any]] = {}
    signature = inspect.signature(command, eval_str=True)
    for parameter in signature.parameters.values():
        if not attrs.has(parameter.annotation):
            own.append(parameter)
            continue
        bundles[parameter.name] = bundle = parameter.annotation
        hints = get_type_hints(bundle, include_extras=True)
        options += [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
            )
            for field in attrs.fields(bundle)
        ]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:  # noqa: ANN401 - whatever options it has
        for name, bundle in bundles.items():
            fields = [field.name for field in attrs.fields(bundle)]
            arguments[name] = bundle(**{field: arguments.pop(field) for field in fields})
        command(**arguments)

    vars(wrapper)["__signature__"] = signature.replace(parameters=[*own, *options])
    return wrapper
