"""Plans as JSON-ready values and back, driven by the fields of their classes: a new field is kept without a word here.

A field marked `FLAT` is a value whose own fields stand among those of its owner: a plan's target, what is kept.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import attrs

from aionorth.common.text import shortened, visible
from aionorth.errors import ArgumentError

FLAT: Mapping[str, bool] = {"flat": True}
"""The metadata of a field that is flat."""

_KEPT = "fields"
"""The field of an item with all that the platform says of it. It is not written; nor is what is not known."""

_SCALARS: Mapping[type, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    datetime: "a date and time in ISO 8601 with a time zone",
}
"""The types of values, and what a message calls them."""


def to_plain(value: Any) -> Any:  # noqa: ANN401 - a value of any of these classes
    """Return `value` as JSON-ready values."""
    class_: Any = value.__class__
    if attrs.has(class_):
        is_item, plain = _KEPT in attrs.fields_dict(class_), dict[str, Any]()
        for field in attrs.fields(class_):
            own: Any = to_plain(getattr(value, field.name)) if field.name != _KEPT else None
            if field.metadata.get("flat"):
                plain.update(own)
            elif not is_item or own is not None:
                plain[field.name] = own
        return plain
    if class_ is tuple:
        return [to_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, enum.Enum) else value


def from_plain(type_: Any, plain: object, where: str, item: Any) -> Any:  # noqa: ANN401 - of the type asked for
    """Return the value of `type_` that `to_plain` made `plain` of.

    Args:
        type_: Its type, as fields are annotated.
        plain: What was read.
        where: What messages call it.
        item: The class of the items, for which a type variable stands.

    Raises:
        ArgumentError: It is none; the message says where, and what belongs there.
    """
    if isinstance(type_, TypeVar):
        type_ = item
    origin, arguments = get_origin(type_), get_args(type_)
    if origin in {Union, UnionType}:
        (one,) = (argument for argument in arguments if argument is not type(None))
        return None if plain is None else from_plain(one, plain, where, item)
    if origin is tuple:
        if not isinstance(plain, Sequence) or isinstance(plain, str):
            raise _unfit(plain, where, "a list")
        many = cast("Sequence[object]", plain)
        return tuple(from_plain(arguments[0], one, f"{where}[{at}]", item) for at, one in enumerate(many))
    class_: Any = origin or type_
    if attrs.has(class_):
        return _instance(class_, plain, where, item)
    return _scalar(class_, plain, where)


def _instance(class_: Any, plain: object, where: str, item: Any) -> Any:  # noqa: ANN401 - attrs' classes
    if not isinstance(plain, Mapping):
        raise _unfit(plain, where, "an object")
    given = cast("Mapping[str, object]", plain)
    if unknown := sorted(map(str, given.keys() - _names(class_, item))):
        raise ArgumentError(f"{where} has {_shown(unknown[0])}, which is not known here: was a newer version used?")
    values: dict[str, Any] = {}
    for field in attrs.fields(attrs.resolve_types(class_)):
        if field.metadata.get("flat"):
            type_: Any = item if isinstance(field.type, TypeVar) else field.type
            own = {name: given[name] for name in _names(type_, item) if name in given}
            values[field.name] = from_plain(type_, own, where, item)
        elif field.name in given:
            values[field.name] = from_plain(field.type, given[field.name], f"{where}.{field.name}", item)
        elif field.default is attrs.NOTHING:
            raise ArgumentError(f"{where}.{field.name} is missing")
    return class_(**values)


@functools.cache
def _names(class_: Any, item: Any) -> set[str]:  # noqa: ANN401 - as above
    names = set[str]()
    for field in attrs.fields(attrs.resolve_types(class_)):
        own = item if isinstance(field.type, TypeVar) else field.type
        names |= _names(own, item) if field.metadata.get("flat") else {field.name}
    return names - {_KEPT}


def _scalar(type_: type, plain: object, where: str) -> Any:  # noqa: ANN401 - as above
    if issubclass(type_, enum.Enum):
        values = [one.value for one in type_]
        if plain not in values:
            raise _unfit(plain, where, " or ".join(values))
        return type_(plain)
    if type_ is datetime:
        try:
            time = datetime.fromisoformat(plain) if isinstance(plain, str) else None
        except ValueError:
            time = None
        if time is not None and time.tzinfo is not None:
            return time
    elif type_ is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    elif isinstance(plain, type_) and isinstance(plain, bool) == (type_ is bool):
        return plain
    raise _unfit(plain, where, _SCALARS[type_])


def _unfit(plain: object, where: str, wanted: str) -> ArgumentError:
    return ArgumentError(f"{where} is {_shown(plain)}: {wanted} belongs there")


def _shown(value: object) -> str:
    return shortened(visible(repr(value)), 60)
