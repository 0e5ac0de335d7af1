"""The calls of the session's user, any that the platform has, as requests. Nothing here sends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, cast
from urllib.parse import quote, urlencode

from aionorth.errors import ArgumentError
from aionorth.wire.checks import check_path, last_segments
from aionorth.wire.requests import Request, check_filters
from aionorth.wire.resources import SUBSCRIPTIONS

Param: TypeAlias = str | int | bool | None
"""The value of a parameter in a query; None leaves it out."""

Params: TypeAlias = Mapping[str, Param | Sequence[Param]]

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
METHODS = IDEMPOTENT | {"POST", "PATCH"}

SUCCESS = frozenset(range(200, 300))

LONGEST_TEMPLATE = 256

_is_word = re.compile(r"[a-z][A-Za-z]{0,31}|v[0-9]+(\.[0-9]+)*").fullmatch
"""Matches segments of a path that are no ids, as far as can be seen."""

_COLLECTION = SUBSCRIPTIONS.path.rpartition("/")[2].casefold()


def own_call(
    method: object,
    path: object,
    *,
    params: Params | None = None,
    body: object = None,
    template: str | None = None,
    repeat: bool = False,
) -> Request:
    """Build a call; see `NorthSession.request`. With `repeat` it may be sent again whatever its method.

    Raises:
        ArgumentError: An argument cannot be used.
    """
    if not isinstance(method, str) or (method := method.upper()) not in METHODS:
        raise ArgumentError(f"method={method!r}: give one of {', '.join(sorted(METHODS))}")
    target = check_path(path)
    query = [] if params is None else _pairs(params)
    if method == "DELETE" and _COLLECTION in last_segments(target):
        filters = dict(query)
        check_filters(filters.get("notifyType"), filters.get("callbackUrl"))
    return Request(
        "request",
        _template(target) if template is None else _checked(template),
        method,
        f"{target}?{urlencode(query, quote_via=quote, safe='')}" if query else target,
        None if body is None else _dumped(body),
        success=SUCCESS,
        own=True,
        idempotent=repeat or method in IDEMPOTENT,
    )


def _template(target: str) -> str:
    return "/".join(segment if not segment or _is_word(segment) else "{id}" for segment in target.split("/"))


def _checked(template: object) -> str:
    if not (
        isinstance(template, str)
        and template.startswith("/")
        and template.isprintable()
        and len(template) <= LONGEST_TEMPLATE
        and "?" not in template
    ):
        raise ArgumentError(
            f"template={template!r}: give the path with names in the place of ids, as in '/a/v1/b/{{id}}'"
        )
    return template


def _dumped(body: object) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise ArgumentError(f"json= cannot be written as JSON: {exc}") from None


def _pairs(params: object) -> list[tuple[str, str]]:
    if not isinstance(params, Mapping):
        raise ArgumentError("params= must be a mapping from names to str, int, bool, None, or lists of them")
    given = cast("Mapping[object, object]", params)
    return [pair for name, value in given.items() for pair in _values(name, value)]


def _values(name: object, value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(name, str) or not name or not _fits(name):
        raise ArgumentError(f"params={{{name!r}: …}}: names must be str, and not empty")
    for one in cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else (value,):
        match one:
            case None:
                pass
            case bool():
                yield name, str(one).lower()
            case int():
                yield name, str(one)
            case str() if _fits(one):
                yield name, one
            case _:
                kind = type(one).__name__
                raise ArgumentError(f"params[{name!r}]: give str, int, bool, None, or a list of them; not {kind}")


def _fits(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)
