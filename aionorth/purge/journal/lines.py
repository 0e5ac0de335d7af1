"""The format of a journal's lines: JSON, checksums, and the values that may stand in them."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

from aionorth import errors
from aionorth.common.arguments import shown_marked
from aionorth.errors import CODES, BulkError, NorthApiError, NorthConnectionError, NorthError, OutageError
from aionorth.items import Target

VERSION = 3
WITHOUT_ENDS = 2
"""The version before: no line says how a run ended, or that the platform was silent."""
WITHOUT_CHECKSUMS = 1
"""The one before that."""
VERSIONS = (VERSION, WITHOUT_ENDS, WITHOUT_CHECKSUMS)
"""Those that can be read, and resumed."""

IDS_A_LINE = 500

BEGINNING = b'{"aionorth":"journal",'
"""What the first line begins with."""

LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
"""Times before this, from 1970 on, and the days around them, are in the calendar."""

MAX_COUNT = 10**9
"""More than a journal counts of anything."""

MALFORMED = (IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What is raised by a line that is none, here and by what reads its fields."""

_CHECKSUM = re.compile(rb',"crc":"[0-9a-f]{8}"\}')  # nowhere else in a line: quotes within its texts are escaped
_CHECKSUM_LENGTH = 18

_TIME = rb"([0-9]{1,10}(?:\.[0-9]+)?)"
_COUNT = rb"([0-9]{1,9})"
_LINES = re.compile(
    rb'(\{"(begin|end)":"([ !#-\[\]-~]+)","at":%b'  # an id without anything that JSON escapes
    rb'(?:,"outcome":"([a-z_]+)","calls":%b,"attempts":%b,"refusals":%b,"elapsed":%b)?,"crc":"([0-9a-f]{8})"\}\n'
    rb"|[^\n]*\n)" % (_TIME, _COUNT, _COUNT, _COUNT, _TIME)
).findall

_decode = json.JSONDecoder().decode  # json.loads would find out the encoding of each line


# --- Lines


def first(target: Target, *, total: int, selection: str, duplicates: int) -> bytes:
    """Return the first line of a journal about `total` ids."""
    about = target.to_dict() | {"selection": selection, "total": total, "duplicates": duplicates}
    return encode({"aionorth": "journal", "version": VERSION, **about})


def of_ids(ids: Sequence[str]) -> Iterator[bytes]:
    """Yield the lines that name the ids to delete."""
    return (encode({"ids": ids[at : at + IDS_A_LINE]}) for at in range(0, len(ids), IDS_A_LINE))


def encode(line: Mapping[str, Any], version: int = VERSION) -> bytes:
    """Return a line, which has at least one field, with its line end and, since version 2, its checksum."""
    text = json.dumps(line, separators=(",", ":")).encode()
    return (text if version == WITHOUT_CHECKSUMS else _sealed(text)) + b"\n"


def decode(line: bytes, version: int = VERSION) -> dict[str, Any]:
    """Return the fields of a line without its line end.

    Raises one of `MALFORMED` where it is not an object, or its checksum is another one.
    """
    if version != WITHOUT_CHECKSUMS:
        body = line[:-_CHECKSUM_LENGTH]
        if line[-_CHECKSUM_LENGTH:] != _checksum(body):
            raise ValueError("its checksum is another one")
    content = _decode(line.decode())
    if not isinstance(content, dict):
        raise ValueError("not an object")  # noqa: TRY004 - a value like any other that is malformed
    return cast("dict[str, Any]", content)


Fields: TypeAlias = tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]
"""A line with its line end; then, for one that begins or ends an id without anything special, ``begin`` or ``end``, the
id and the time; for an end outcome, calls, attempts, refusals and the seconds that it took; and the checksum. What a
line does not have is empty."""


def split(data: bytes) -> list[Fields]:
    """Return the lines of `data`, which ends with a line end.

    Nearly all lines of a large journal have all fields of this version, and so are read in half of `decode`'s time.
    """
    return _LINES(data)


def is_intact(line: bytes, checksum: bytes) -> bool:
    """Whether a line, with its line end, has the checksum that it names."""
    return int(checksum, 16) == zlib.crc32(line[: -_CHECKSUM_LENGTH - 1])


def is_torn(last: bytes, version: int) -> bool:
    """Whether what stands after the last line end is the beginning of a line, as a kill leaves it."""
    if version != WITHOUT_CHECKSUMS:
        # After a checksum nothing but a line end is ever written. If something follows, that is damage.
        return _CHECKSUM.search(last) is None
    try:
        decode(last, version)
    except MALFORMED:
        return True
    return False


def _sealed(text: bytes) -> bytes:
    body = text[:-1]
    return body + _checksum(body)


def _checksum(body: bytes) -> bytes:
    """Return what ends a line that begins with `body`."""
    return b',"crc":"%08x"}' % zlib.crc32(body)


# --- Values: whatever a file may hold, nothing else comes in


def text(value: object) -> str:
    """Return `value` if it is a str."""
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - as above
    return value


def optional_text(value: object) -> str | None:
    """Return `value` if it is a str or None."""
    return None if value is None else text(value)


def count(value: object) -> int:
    """Return `value` if it is a count."""
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise ValueError("not a count")
    return value


def seconds(value: object) -> float:
    """Return `value` if it is a time."""
    if type(value) not in {int, float} or not 0 <= cast("float", value) < LATEST:
        raise ValueError("not a time")
    return cast("float", value)


def flag(value: object) -> bool:
    """Return `value` if it is true or false."""
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")  # noqa: TRY004 - as above
    return value


def error_to_dict(error: NorthError) -> dict[str, Any]:
    """Return the fields of an error; in its texts the arguments are marked."""
    if isinstance(error, NorthApiError):
        said: dict[str, Any] = {"status": error.status, "code": error.code, "description": error.description}
    else:
        said = {"message": shown_marked(error.marked)}
    if isinstance(error, OutageError):
        said |= {"silent_for": error.silent_for, "reason": shown_marked(error.reason)}
    return {"type": type(error).__name__} | said


def error_from_dict(said: Mapping[str, Any]) -> NorthError:
    """Return an error that was written with `error_to_dict`, by this version or another."""
    kind = getattr(errors, text(said["type"]), None)
    if not isinstance(kind, type) or not issubclass(kind, NorthError) or issubclass(kind, BulkError):
        kind = NorthError
    if "status" in said:
        code = optional_text(said["code"])
        api_error = kind if issubclass(kind, NorthApiError) else CODES.get(code or "", NorthApiError)
        return api_error(count(said["status"]), code, text(said["description"]))
    message = shown_marked(text(said["message"]))
    if issubclass(kind, OutageError):
        if "silent_for" not in said:  # as older versions wrote it
            return NorthConnectionError(message)
        return OutageError(seconds(said["silent_for"]), shown_marked(text(said["reason"])))
    return NorthError(message) if issubclass(kind, NorthApiError) else kind(message)
