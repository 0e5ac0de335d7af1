"""Reading requests: which route a request takes, and what it contains."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import cast
from urllib.parse import parse_qsl, quote, unquote

import attrs

from aionorth.simulator import replies
from aionorth.simulator.replies import Reply
from aionorth.simulator.state import App, Platform

Fields = Mapping[str, object]
"""The fields of a request's body."""


@attrs.frozen
class Call:
    """One request, read whole."""

    route: "Route"
    item_id: str | None
    """The decoded id at the end of the path; ``None`` for a call on a whole collection."""
    query: Mapping[str, str]
    """The query parameters that have a value."""
    app_id: str | None
    """The app that the caller says it is."""
    authorization: str = attrs.field(repr=False)
    fields: Fields | None = attrs.field(repr=False)
    """The body; ``None`` where it is not of the documented form."""

    def text(self, name: str) -> str | None:
        """Return a field of the body; ``None`` unless it is a string of at least one character."""
        value = self.fields.get(name) if self.fields else None
        return value if isinstance(value, str) and value else None


@attrs.frozen
class Route:
    """What is done with the requests of one method to one path."""

    operation: Callable[[Platform, App, Call], Reply]
    malformed: Reply
    """The reply to bad input."""
    reads: Callable[[str, bytes], Fields | None] | None = None
    """Reads the body, given its content type; ``None`` for routes without a body."""
    takes_secret: bool = False
    """Whether the caller identifies itself by the secret in the body, rather than by a token."""
    errors_in_200: Collection[str] = ()
    """The codes of the errors that come with the status 200 here, whatever it is elsewhere."""

    def documented(self, error: Reply) -> Reply:
        """Return an error with the status that it has here."""
        return attrs.evolve(error, status=200) if error.code in self.errors_in_200 else error


Routes = Mapping[tuple[str, str, bool], Route]
"""Routes by method, path of the collection, and whether they are those of its items."""


def tidied(target: str) -> str | None:
    """Return ``target`` as a proxy that tidies paths up passes it on.

    Such a proxy decodes the path once, reads a backslash as a slash, removes empty segments and resolves dots.

    Returns:
        ``None`` where the path leads out of the root.
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


def read_call(routes: Routes, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call | None:
    """Read a request to ``target``, path and query as on the wire; return ``None`` where no route leads there."""
    path, _, query = target.partition("?")
    item_id = None
    route = routes.get((method, path, False))
    if route is None:
        # Only the path as on the wire can be split: an encoded slash is part of an id.
        collection, _, last = path.rpartition("/")
        item_id = unquote(last) or None
        route = routes.get((method, collection, bool(last)))
    if route is None:
        return None
    call = Call(
        route,
        item_id,
        dict(parse_qsl(query)) if query else {},
        headers.get("app_key") or None,
        headers.get("Authorization", ""),
        route.reads(headers.get("Content-Type", ""), body) if route.reads else {},
    )
    return attrs.evolve(call, app_id=call.text("appId")) if route.takes_secret else call


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
