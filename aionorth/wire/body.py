"""What a reply's body says: JSON in whatever encoding, and fields that editions of the platform type differently.

A body need not be clean to be read. Bytes that cannot be decoded are replaced, control characters within strings are
accepted, and so is a backslash that escapes nothing.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from aionorth.common.text import visible

FIRST_YEAR = 2000
"""Nothing was uploaded before."""

_CODE = re.compile(r'"error_code"\s*:\s*(?:"([^"\\]{1,64})"|(\d{1,10})(?=\s*[,}]))')
"""The code in an object that is not JSON, because of its prose or because its end is missing."""

_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')

_CHARSETS = re.compile(r"(ascii|big5|cp|euc|gb|iso8859|koi8|shift_jis|utf)[\w-]*")
"""Charsets of text, by Python's names. Other codecs do other things, and some are slow."""


def parsed(body: bytes, charset: str | None = None) -> Any:  # noqa: ANN401 - any JSON at all
    """Return what a body holds as JSON, whatever its Content-Type says; None where it is not JSON."""
    for text in _texts(body, charset):
        for candidate in (text, _ESCAPE.sub(_escaped, text)):
            try:
                return json.loads(candidate, strict=False)
            except (ValueError, RecursionError):
                continue
    return None


def _escaped(escape: re.Match[str]) -> str:
    return escape[0] if len(escape[0]) > 1 else r"\\"


def _texts(body: bytes, charset: str | None) -> Iterator[str]:
    """Yield the body as text, in the encodings that it may have, the likeliest first."""
    encoding = json.detect_encoding(body)  # UTF-8, -16 or -32, by a byte order mark or by its zeros
    content = body.rstrip(b"\0 \t\r\n") if encoding.startswith("utf-8") else body
    with suppress(UnicodeDecodeError):
        yield content.decode(encoding)
        return
    with suppress(LookupError, UnicodeError):
        if charset and _CHARSETS.fullmatch(name := codecs.lookup(charset).name):
            yield content.decode(name, "replace")
    yield content.decode(encoding, "replace")
    yield content.decode("gb18030", "replace")  # read as UTF-8, half a character of it may swallow the next quote


def error_code(fields: Mapping[str, Any], body: bytes, charset: str | None = None) -> str | None:
    """Return the error code of a reply with these `fields`, or with this `body` where it could not be parsed.

    None where it carries none. What cannot be read around a code does not hide it.
    """
    if fields:
        code = fields.get("error_code")
        return str(code).strip() or None if code else None
    if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        for text in _texts(body, charset):
            if found := _CODE.search(text):
                return found[1] or found[2]
    return None


# --- Fields


def fields_of(content: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return the fields of a JSON object; none where `content` is something else."""
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def text(value: object) -> str | None:
    """Return a field's text; a whole number is read as text. None for what is missing, empty or something else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and value else None


def shown_text(value: object) -> str | None:
    """Return a field's text as it may be shown. Not for ids: changed, an id would be another one."""
    return None if (found := text(value)) is None else visible(found)


def count(value: object) -> int | None:
    """Return a count, a number in some editions and a string in others; None where it is none."""
    found = text(value)
    return int(found) if found is not None and re.fullmatch(r"[0-9]{1,12}", found) else None


def time(value: object) -> datetime | None:
    """Return a time as in ``20151212T121212Z``, or in another form of ISO 8601; None where it cannot be read."""
    try:
        found = datetime.fromisoformat(text(value) or "")
    except ValueError:
        return None
    if found.year < FIRST_YEAR:  # a number that happens to look like a date
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def http_date(value: str) -> datetime | None:
    """Return a time in a header; None where it cannot be read."""
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return found.replace(tzinfo=found.tzinfo or UTC)
