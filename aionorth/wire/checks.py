"""Checks of arguments: an unusable one raises `ArgumentError`, which names it, before anything is sent."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any
from urllib.parse import quote, unquote

import attrs

from aionorth.common.arguments import argument
from aionorth.errors import ArgumentError, InvalidIdError

LONGEST_STRING = 256
"""The documents' String(256): the maximum length of an id, an appId or a secret."""

_is_plain = re.compile(r"[0-9A-Za-z_-]{1,256}").fullmatch
"""Matches ids as the platform makes them. There is nothing to check in them, and nothing to encode."""

_SEPARATORS = re.compile(r"[/\\]")
_AFTER_SEGMENT = re.compile(r"[;?#\x00].*", re.DOTALL)
_STEPS = frozenset({"", ".", ".."})

_WRAPPERS = frozenset("\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a{}[]")
"""Quotes and braces. An id that begins or ends with one was cut out of something else, such as JSON."""

_REPLACEMENT = "\ufffd"
"""What stands for bytes that could not be decoded."""


# --- Numbers


def whole(name: str, value: object, least: int = 1) -> int:
    """Return `value` if it is a whole number from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"{argument(name)}={value!r}: give a whole number from {least} on")
    return value


def seconds(name: str, value: object, *, zero: bool = False) -> float:
    """Return `value` if it is a finite number above 0, or 0 where `zero` allows it."""
    if not isinstance(value, (int, float)) or not (0 <= value < math.inf) or (value == 0 and not zero):
        raise ArgumentError(f"{argument(name)}={value!r}: give seconds, {'0 or more' if zero else 'above 0'}")
    return value


def whole_field(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate an attrs field with `whole`; None passes where the field's default is None."""
    if value is not None or field.default is not None:
        whole(f"{type(owner).__name__}.{field.name}", value)


def seconds_field(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate an attrs field with `seconds`."""
    seconds(f"{type(owner).__name__}.{field.name}", value)


def optional_seconds_field(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate an attrs field with `seconds`, or None."""
    if value is not None:
        seconds_field(owner, field, value)


# --- Strings


def check_string(value: object, name: str) -> str:
    """Return `value` if it is a non-empty String(256), else raise `ArgumentError`, which does not show the value."""
    fits = isinstance(value, str) and 0 < len(value) <= LONGEST_STRING
    if not isinstance(value, str) or not fits or any("\ud800" <= char <= "\udfff" for char in value):
        del value  # a traceback must not show it
        raise ArgumentError(f"{name} must be a string of 1 to {LONGEST_STRING} characters that UTF-8 has")
    return value


def check_app_id(value: object) -> str:
    """Return `value` if it can be the app's id, which goes into a header."""
    if isinstance(value, str) and value and not fits_header(value):
        raise ArgumentError(f"{argument('app_id')} must be printable ASCII: it goes into a header")
    return check_string(value, argument("app_id"))


def optional_string(value: object, name: str) -> str | None:
    """Return None as it is, and everything else as `check_string` does."""
    return None if value is None else check_string(value, argument(name))


def fits_header(value: str) -> bool:
    """Whether `value` can be the value of a header: not empty, and nothing but printable ASCII."""
    return value != "" and value.isascii() and value.isprintable()


# --- Ids


def check_id(value: object, name: str, longest: int = LONGEST_STRING) -> str:
    """Return `value` if it can be an id in a path, else raise `InvalidIdError` with `name` in its message."""
    if not isinstance(value, str):
        raise InvalidIdError(f"{name} {value!r} is not a str but {type(value).__name__}: pass ids as str")
    if not value:
        raise InvalidIdError(f"{name} is empty: leave empty entries out")
    if len(value) > longest:
        raise InvalidIdError(
            f"{name} {value[:20]!r}… has {len(value)} characters; the platform's ids have at most {longest}"
        )
    if not _is_plain(value):
        _check_characters(value, name)
    return value


def _check_characters(value: str, name: str) -> None:
    if value != value.strip():
        raise InvalidIdError(f"{name} {value!r} has blanks or a line end around it: strip it")
    if not value.isprintable():
        raise InvalidIdError(f"{name} {value!r} has an invisible character in it: no id of the platform has")
    if _REPLACEMENT in value:
        raise InvalidIdError(f"{name} {value!r} was not decoded rightly: read it with the right encoding")
    if _has_step(value):
        raise InvalidIdError(
            f"{name} {value!r} has a path segment that is empty, '.' or '..', by which a proxy may find another "
            "resource: give the id alone, without a path"
        )
    if any(";" in reading for reading in _readings(value)):
        raise InvalidIdError(f"{name} {value!r} has a ';' in it, at which some servers end an id: it cannot be one")
    if value[0] in _WRAPPERS or value[-1] in _WRAPPERS:
        raise InvalidIdError(f"{name} {value!r} is in quotes or braces: give the id without them")


def path_segment(value: object, name: str, longest: int = LONGEST_STRING) -> str:
    """Check an id, and percent-encode it so that it stays one segment of a path, dots included."""
    id_ = check_id(value, name, longest)
    return id_ if _is_plain(id_) else quote(id_, safe="").replace("..", "%2E%2E")


def id_fault(value: object, name: str = "id") -> str | None:
    """Return why `check_id` refuses an id; None where it does not."""
    try:
        check_id(value, name)
    except InvalidIdError as exc:
        return str(exc)
    return None


def _has_step(id_: str) -> bool:
    """Whether some server on the way may read a part of `id_` as a step in a path, and reach another resource.

    Proxies decode a path, some more than once, and normalize it: ``x/../y`` becomes ``y``, and so does ``//y``. Some
    servers also take a backslash for a separator, drop what follows a ``;``, or treat a character like the one that it
    looks like. So each reading of `id_` is checked, segment by segment. Bytes that are not UTF-8 are refused: servers
    disagree on what they mean.
    """
    readings = _readings(id_)
    segments = (segment for reading in readings for segment in _SEPARATORS.split(reading))
    return any(_AFTER_SEGMENT.sub("", segment).strip() in _STEPS for segment in segments) or (
        _REPLACEMENT not in id_ and any(_REPLACEMENT in reading for reading in readings)
    )


def _readings(id_: str) -> set[str]:
    """Return what servers on the way may read in `id_`, decoded as often as it can be."""
    readings, new = set[str](), {id_}
    while new:
        readings |= new
        new = {other for one in new for other in (unquote(one), unicodedata.normalize("NFKC", one))} - readings
    return readings


# --- Whole paths


def check_path(path: object) -> str:
    """Return the path of a call, percent-encoded so that every server on the way reads the same segments.

    What is percent-encoded in it already is taken as that, so an id with a slash in it can be given as ``a%2Fb``.

    Raises:
        ArgumentError: It is no such path, or a segment of it could not be an id.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise ArgumentError(f"path={path!r}: give a path on the platform that begins with '/', without scheme and host")
    if "?" in path or "#" in path:
        raise ArgumentError(f"path={path!r}: give the query as params=, and percent-encode an id that has a '?' or '#'")
    segments = path[1:].split("/")
    if "" in segments:
        raise ArgumentError(f"path={path!r}: it has an empty segment: leave out the second '/', or the last one")
    encoded = list[str]()
    for segment in segments:
        try:
            encoded.append(path_segment(unquote(segment), "segment"))
        except InvalidIdError as exc:
            raise ArgumentError(f"path={path!r}: {exc}") from None
    return "/" + "/".join(encoded)


def last_segments(path: str) -> set[str]:
    """Return what servers on the way may take for the last segment of a path, in lower case."""
    whole = _readings(path)
    cut = {_AFTER_SEGMENT.sub("", reading) for reading in whole}
    return {_SEPARATORS.split(reading)[-1].strip().casefold() for reading in whole | cut}
