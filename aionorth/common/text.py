"""Foreign text made safe to show: no control characters, no forged lines, no credentials."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

LONGEST_SHOWN = 1_000
"""Characters that are kept of a text from the platform, or from a server before it."""

HIDDEN = "(hidden)"
"""What replaces a secret that a reply echoes."""

LONGEST_SEARCHED = 4 * LONGEST_SHOWN
"""Characters of a text that are searched for secrets; the rest is not shown."""

LONGEST_KEPT = 4096
"""Bytes that are kept of a body."""

LONGEST_SCANNED = 64 * 1024
"""Bytes of a body that are looked at, so that a secret at the end of what is kept is found whole."""

LONGEST_ENCODED = 12
"""Characters into which an encoding turns one of a secret's at most: four bytes in percent encoding."""

_BREAKS = re.compile(r"[\t\r\n]+")

_userinfo = re.compile(r"(?<=://)[^/\s?#]*@|[^\s/:@]*:(?!//)[^\s@]*@")
"""A user name and a password as in a URL, also in one without its scheme, or with a password that is not encoded."""


def visible(text: str) -> str:
    r"""Return `text` with all that is not printable written out as in a string literal, ``\n`` for a line end.

    Not printable are control characters, bidirectional overrides, invisible characters and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def visible_lines(text: str) -> str:
    """Return `text` as `visible` does, but keep its line ends: for our own text."""
    return "\n".join(map(visible, text.split("\n")))


def shortened(text: str, longest: int = LONGEST_SHOWN) -> str:
    """Return `text` if it has at most `longest` characters, else its beginning, with an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def shown(text: str) -> str:
    """Return foreign prose as it may be shown and kept: in one line, visible, and of limited length."""
    return shortened(visible(_BREAKS.sub(" ", shortened(text))))


def many(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun, as in ``1 call``, ``1,204 calls``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def without_userinfo(text: str) -> str:
    """Return `text` without the user names and passwords of URLs in it."""
    return _userinfo.sub("", text)


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return the beginning of `text` without the `secrets`, also where an echo has encoded them.

    Where the encoding also covers what is around a secret, as base64 does, nothing of the text is left.
    """
    secrets = [secret for secret in secrets if secret]
    if not text or not secrets:
        return text[:LONGEST_SEARCHED]
    # so that a secret that begins in what is kept is searched whole
    text = text[: LONGEST_SEARCHED + LONGEST_ENCODED * max(map(len, secrets))]
    forms = {form for secret in secrets for form in (secret, *(encode(secret) for encode in _ENCODINGS))}
    by_length = sorted(forms, key=len, reverse=True)
    kept, rest, at = list[str](), list[str](), 0
    for found in re.finditer("|".join(map(re.escape, by_length)), text, re.IGNORECASE):
        rest.append(text[at : found.start()])
        kept.append(text[at : min(found.start(), LONGEST_SEARCHED)])
        if found.start() < LONGEST_SEARCHED:
            kept.append(HIDDEN)
        at = found.end()
    kept.append(text[at:LONGEST_SEARCHED])
    rest.append(text[at:])
    sought = [secret.casefold() for secret in secrets]
    readings = (reading.casefold() for reading in _readings("\n".join(rest)))
    return HIDDEN if any(one in reading for reading in readings for one in sought) else "".join(kept)


def hidden_bytes(content: bytes, secrets: Iterable[str]) -> bytes:
    """Return the beginning of `content`, at most 4 KiB, as `hidden` does, whatever the charset of the text in it."""
    forms = {secret.encode(charset, "replace") for secret in secrets for charset in _CHARSETS}
    known = [*secrets, *(form.decode("latin-1") for form in forms)]
    # Each byte becomes one character, and back. What the marks add is cut.
    return hidden(content[:LONGEST_SCANNED].decode("latin-1"), known).encode("latin-1")[:LONGEST_KEPT]


_CHARSETS = ("utf-8", "gb18030", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")

_ENCODINGS: tuple[Callable[[str], str], ...] = (
    lambda secret: quote(secret, safe=""),
    quote_plus,
    html.escape,
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
)
"""How programs encode a text that they put into another. Case is ignored."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_BASE64 = re.compile(r"[0-9A-Za-z+/]{4,}")
_HEX = re.compile(r"[0-9a-fA-F]{8,}")
_MAX_LAYERS = 4
"""How many encodings are undone one after the other; JSON in JSON has two."""


def _readings(text: str) -> Iterator[str]:
    """Yield what `text` may say, in each way in which it may have been encoded."""
    for reading in _unwrapped(text):
        yield reading
        for decoded in _from_binary(reading):
            yield from _unwrapped(decoded)


def _unwrapped(text: str) -> set[str]:
    """Return `text` with its escapes undone, in each way and repeatedly."""
    readings, new = {text}, {text}
    for _ in range(_MAX_LAYERS):
        new = {decode(one) for one in new for decode in (unquote, unquote_plus, html.unescape, _unescaped)} - readings
        readings |= new
    return readings


def _unescaped(text: str) -> str:
    """Return `text` with the escapes of JSON undone."""

    def char(escape: re.Match[str]) -> str:
        code = escape[1] or escape[2]
        return chr(int(code, 16)) if code else _ESCAPES.get(escape[3], escape[3])

    return _ESCAPE.sub(char, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _from_binary(text: str) -> Iterator[str]:
    """Yield what runs of base64 and of hexadecimal digits in `text` say, from each possible start."""
    dense = "".join(text.split()).replace("-", "+").replace("_", "/")
    runs = _BASE64.findall(dense)
    for start in range(4):
        yield "\n".join(_from_base64(run[start:]) for run in runs)
    runs = _HEX.findall(dense)
    for start in range(2):
        yield "\n".join(_from_hex(run[start:]) for run in runs)


def _from_base64(run: str) -> str:
    run = run[: len(run) - (len(run) % 4 == 1)]
    return base64.b64decode(run + "=" * (-len(run) % 4)).decode("utf-8", "replace")


def _from_hex(run: str) -> str:
    return bytes.fromhex(run[: len(run) // 2 * 2]).decode("utf-8", "replace")
