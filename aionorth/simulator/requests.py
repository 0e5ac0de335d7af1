"""Reading requests: which route they take, and what they say."""

import json
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import parse_qsl, quote, unquote

import attrs

from aionorth.simulator import replies
from aionorth.simulator.replies import Reply
from aionorth.simulator.state import App, Platform

Fields = Mapping[str, object]
"""What a request body says."""


@attrs.frozen
class Call:
    """One request, read whole."""

    route: "Route"
    resource: str | None
    """The decoded id at the end of the path."""
    query: Mapping[str, str]
    """The query parameters; one without a value is as good as none."""
    app_id: str | None
    """Who calls, by its own account."""
    authorization: str = attrs.field(repr=False)
    fields: Fields | None = attrs.field(repr=False)
    """The body; ``None`` where it is not of the documented form."""

    def text(self, name: str) -> str | None:
        """Return what the body says under ``name``; ``None`` unless that is a string of at least one character."""
        value = self.fields.get(name) if self.fields else None
        return value if isinstance(value, str) and value else None


@attrs.frozen
class Route:
    """What is done with the requests of one method to one path."""

    operation: Callable[[Platform, App, Call], Reply]
    malformed: Reply = replies.INPUT_INVALID
    """The reply to bad input."""
    reads: Callable[[str, bytes], Fields | None] | None = None
    """Reads the body, given its content type; ``None`` for routes without one."""
    takes_secret: bool = False
    """Whether the caller proves itself by the secret in the body, rather than by a token."""


def tidied(target: str) -> str | None:
    """Return ``target`` as a proxy passes it on that tidies paths up; ``None`` where its steps lead out of the root.

    It decodes the path once, takes a backslash for a slash, drops what is empty between two, and takes each step.
    """
    path, mark, query = target.partition("?")
    segments: list[str] = []
    decoded = unquote(path).replace("\\", "/")
    for segment in decoded.split("/"):
        if segment == "..":
            if not segments:
                return None
            segments.pop()
        elif segment not in {"", "."}:
            segments.append(segment)
    end = "/" if segments and decoded.endswith(("/", "/.", "/..")) else ""
    return f"/{quote('/'.join(segments))}{end}{mark}{query}"


class Router:
    """Finds routes, given by method and path of a collection: those of collections, and those of their items."""

    def __init__(self, collections: Mapping[tuple[str, str], Route], items: Mapping[tuple[str, str], Route]) -> None:
        self._collections = collections
        self._items = items

    def read(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call | None:
        """Read a request to ``target``, path and query as on the wire; ``None`` where no route leads there."""
        path, _, query = target.partition("?")
        found = self._find(method, path)
        if found is None:
            return None
        route, resource = found
        call = Call(
            route,
            resource,
            dict(parse_qsl(query)) if query else {},
            headers.get("app_key") or None,
            headers.get("Authorization", ""),
            route.reads(headers.get("Content-Type", ""), body) if route.reads else {},
        )
        return attrs.evolve(call, app_id=call.text("appId")) if route.takes_secret else call

    def _find(self, method: str, path: str) -> tuple[Route, str | None] | None:
        """Match the path as on the wire, where an encoded slash within an id does not yet look like a slash."""
        route = self._collections.get((method, path))
        if route is not None:
            return route, None
        collection, _, last = path.rpartition("/")
        route = (self._items if last else self._collections).get((method, collection))
        return None if route is None else (route, unquote(last) or None)


def read_form(content_type: str, body: bytes) -> Fields | None:
    """Return the fields of a form; ``None`` where the body is something else."""
    if not content_type.startswith("application/x-www-form-urlencoded"):
        return None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except ValueError:
        return None


def read_json(content_type: str, body: bytes) -> Fields | None:
    """Return the fields of a JSON object; ``None`` where the body is something else."""
    if not content_type.startswith(replies.JSON):
        return None
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return cast("Fields", value) if isinstance(value, dict) else None
