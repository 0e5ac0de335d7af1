"""Text of others, made fit to be shown: it gives a terminal no orders, forges no line, and holds no credentials."""

from __future__ import annotations

import re

LONGEST_SHOWN = 1_000
"""Characters that are kept of a text from the platform, or from whatever answers in its place."""

_userinfo = re.compile(r"(?<=://)[^/\s?#]*@")


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
    """Return a text of others as it may be shown and kept: visible, and bounded."""
    return shortened(visible(shortened(text)))


def without_userinfo(text: str) -> str:
    """Return `text` without the user names and passwords of URLs in it."""
    return _userinfo.sub("", text)
