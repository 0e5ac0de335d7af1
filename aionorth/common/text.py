"""Text of others, made fit to be shown: it gives a terminal no orders, forges no line, and holds no credentials."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

LONGEST_SHOWN = 1_000
"""Characters that are kept of a text from the platform, or from whatever answers in its place."""

HIDDEN = "(hidden)"
"""What stands for a secret that is echoed."""

LONGEST_SEARCHED = 4 * LONGEST_SHOWN
"""Characters of a text that are searched for secrets; what is behind them is not shown."""

LARGEST_GUISE = 12
"""Characters that an encoding makes of one of a secret's, at the most: four bytes in percent encoding."""

_BREAKS = re.compile(r"[\t\r\n]+")

_userinfo = re.compile(r"(?<=://)[^/\s?#]*@|[^\s/:@]*:(?!//)[^\s@]*@")
"""A user name and a password as in a URL, also in one without its scheme, or with a password that is not encoded."""


def visible(text: str) -> str:
    r"""Return `text` with all that is not printable written out as in a string literal, ``\n`` for a line end.

    Not printable are control characters, bidirectional overrides, invisible characters and halves of characters.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def visible_lines(text: str) -> str:
    """Return `text` as `visible` does, but keep its line ends: for text of ours."""
    return "\n".join(map(visible, text.split("\n")))


def shortened(text: str, longest: int = LONGEST_SHOWN) -> str:
    """Return `text` if it has at most `longest` characters, else its beginning, with an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def shown(text: str) -> str:
    """Return prose of others as it may be shown and kept: in one line, visible, and bounded."""
    return shortened(visible(_BREAKS.sub(" ", shortened(text))))


def without_userinfo(text: str) -> str:
    """Return `text` without the user names and passwords of URLs in it."""
    return _userinfo.sub("", text)


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return the beginning of `text` without the `secrets`, in whatever guise an echo may have given them.

    Where one is there in a guise that cannot be told from what is around it, as in base64, nothing of the text is left.
    """
    secrets = [secret for secret in secrets if secret]
    if not text or not secrets:
        return text[:LONGEST_SEARCHED]
    # A secret that begins in what is kept is seen whole.
    text = text[: LONGEST_SEARCHED + LARGEST_GUISE * max(map(len, secrets))]
    guises = {guise for secret in secrets for guise in (secret, *(dress(secret) for dress in _GUISES))}
    by_length = sorted(guises, key=len, reverse=True)
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


_GUISES: tuple[Callable[[str], str], ...] = (
    lambda secret: quote(secret, safe=""),
    quote_plus,
    html.escape,
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
)
"""How programs write a text into others; upper and lower case are not told apart."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_BASE64 = re.compile(r"[0-9A-Za-z+/]{4,}")
_HEX = re.compile(r"[0-9a-fA-F]{8,}")
_MOST_LAYERS = 4
"""How often a text may have been wrapped, as JSON in JSON is twice."""


def _readings(text: str) -> Iterator[str]:
    """Yield what programs may have meant by `text`, whichever way it was encoded."""
    for reading in _unwrapped(text):
        yield reading
        for decoded in _from_binary(reading):
            yield from _unwrapped(decoded)


def _unwrapped(text: str) -> set[str]:
    """Return `text` with its escapes undone, in each way and several times over."""
    readings, new = {text}, {text}
    for _ in range(_MOST_LAYERS):
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
    """Yield what runs of base64 and of hexadecimal digits in `text` say, wherever in them it begins."""
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
