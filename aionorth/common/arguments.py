"""The names of arguments in messages. The library's are those of Python; a front end has others for the same things.

So a text marks each name, by `argument`. What shows a text as it is shows it without the marks; a front end puts its
own names in their place, by `renamed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Self

from aionorth.common.text import shortened, shown

_MARK = "\ufdd0"
"""A noncharacter: no text from elsewhere has one, unless to play a trick, and then nothing is gained by it."""

_marked = re.compile(rf"{_MARK}([\w.]+){_MARK}(?:(=)(?:(True|False)\b)?)?")


class Message(str):
    """A text without the marks that it was made with. State: the same with them."""

    __slots__ = ("marked",)
    marked: str

    def __new__(cls, text: str) -> Self:
        """Make it of a text that may have marks."""
        message = super().__new__(cls, text.replace(_MARK, ""))
        message.marked = marked(text)
        return message


def argument(name: str) -> str:
    """Return `name`, as in ``calls`` or ``FlowControl.calls``, marked for a text that becomes a `Message`."""
    return f"{_MARK}{name}{_MARK}"


def marked(text: str) -> str:
    """Return `text` with the marks that it was made with."""
    return text.marked if isinstance(text, Message) else text


def shown_marked(text: str) -> str:
    """Return `text` with its marks, what is between them as `shown` does: so it may be written down, and read."""
    return _MARK.join(map(shown, shortened(marked(text)).split(_MARK)))


def renamed(text: str, name: Callable[[str, bool], str | None]) -> str:
    """Return `text` with the names that `name` returns for its arguments, as words of a command line.

    Args:
        text: A `Message`, or a text with marks.
        name: Takes the name of an argument, as it was marked, and whether it is on, as in ``share_token=True``. Where
            it returns None the name stays, and what follows it.
    """

    def rename(found: re.Match[str]) -> str:
        argument, equals, switch = found.groups()
        other = name(argument, switch != "False")
        if other is None:
            return found[0]
        return f"{other} " if equals and not switch else other

    return _marked.sub(rename, marked(text)).replace(_MARK, "")
