"""Writes the man page, .ci/aionorth.1, from the help of the command line; with --check it says whether it is current.

It is kept, so that a build needs nothing but the files. click-man cannot write it: it runs the lines of examples and
tables together, and has a page for each command, with the options of the connection in all of them.
"""

import os
import re
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("HOME", "/home/you")

import attrs
import typer

from aionorth import __version__
from aionorth.cli.parser import help_record
from aionorth.cli.program import app
from aionorth.common.directories import NoDirectoryError, config_directory

KEPT = Path(__file__).parent / "aionorth.1"

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_OF_ROFF = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}

Record = tuple[str, str]
"""An option as its help shows it, and what it does."""


def roff(text: str) -> str:
    """Return `text` as it stands in a page, whatever characters it has and lines begin with."""
    text = "".join(_OF_ROFF.get(char, char if char.isascii() else rf"\[u{ord(char):04X}]") for char in text)
    return re.sub(r"^\.", r"\\&.", text, flags=re.MULTILINE)


def running(text: str) -> str:
    """Return running text as it stands in a page."""
    return roff(textwrap.fill(" ".join(text.split()), 72, break_long_words=False, break_on_hyphens=False))


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer's
    """Yield the names and commands that can be called."""
    for word, one in sorted(getattr(command, "commands", {}).items()):
        if not one.hidden:
            yield from _commands(one, f"{name} {word}")
    if not hasattr(command, "commands"):
        yield name, command


def _options(command: Any, name: str) -> dict[str, list[Record]]:  # noqa: ANN401 - typer's
    """Return the options of a command by the panel of its help that they stand in."""
    ctx = typer.Context(command, info_name=name)
    panels: dict[str, list[Record]] = {}
    for param in command.get_params(ctx):
        if (record := help_record(param, ctx)) is not None and "--help" not in record[0]:
            panels.setdefault(getattr(param, "rich_help_panel", None) or "Options", []).append(record)
    return panels


def _usage(name: str, command: Any) -> str:  # noqa: ANN401 - typer's
    options, *words = command.collect_usage_pieces(typer.Context(command, info_name=name))
    return f".B {roff(name)}\n{roff(' '.join([options.lower(), *words]))}"


def _listed(records: list[Record]) -> Iterator[str]:
    for option, text in records:
        yield f".TP\n.B {roff(option)}\n{running(text)}"


FEW = 3
"""How many options of a panel a command may lack for the panel to be the same one."""


def _lacking(records: list[Record], full: list[Record]) -> list[str] | None:
    """Return the options that `records` lack of a `full` panel; None where they are not of it, or lack many."""
    lacking = [option.split()[0] for option, text in full if (option, text) not in records]
    return lacking if len(lacking) <= FEW and all(record in full for record in records) else None


def _shared(commands: list[dict[str, list[Record]]]) -> dict[str, list[Record]]:
    """Return the panels that several commands have, each as the command with most of it has it."""
    fullest: dict[str, list[Record]] = {}
    for panels in commands:
        for panel, records in panels.items():
            fullest[panel] = max(fullest.get(panel, []), records, key=len)
    return {
        panel: full
        for panel, full in fullest.items()
        if panel != "Options"
        and sum(panel in panels and _lacking(panels[panel], full) is not None for panels in commands) > 1
    }


@attrs.frozen
class Page:
    """A page, or a part of one. Its state: the lines so far, and the blocks that it has: every help repeats some."""

    lines: list[str] = attrs.field(factory=list[str])
    blocks: set[str] = attrs.field(factory=set[str])

    def section(self, title: str, *lines: str) -> None:
        """Begin a section."""
        self.lines.extend([f".SH {roff(title.upper())}", *lines])

    def help(self, text: str, *, sections: bool = False) -> None:
        """Write the text of a help: its paragraphs, and its blocks, as `sections` or in place."""
        for part in re.split(r"\n\s*\n", text.strip()):
            if part.startswith("\b"):
                self._block(part.removeprefix("\b").strip("\n"), sections=sections)
            else:
                self.lines.extend([".PP", running(part)])

    def _block(self, block: str, *, sections: bool) -> None:
        if block in self.blocks:
            return
        self.blocks.add(block)
        heading, _, rest = block.partition("\n")
        title = {"Exit codes:": "Exit status", "Examples:": "Examples"}.get(heading, heading.partition(" (")[0])
        self.lines.append(f".SH {roff(title.upper())}" if sections else f".PP\n{roff(heading)}")
        if sections and "(" in heading:
            self.lines.append(roff(heading))
        self.lines.extend([".PP", ".nf", *map(roff, rest.splitlines()), ".fi"])


def page() -> str:
    """Return the man page."""
    root: Any = typer.main.get_command(app)
    summary, _, about = root.help.partition("\n\n")
    commands = dict(_commands(root, "aionorth"))
    options = {name: _options(command, name) for name, command in commands.items()}
    shared = _shared(list(options.values()))
    paragraphs, *blocks = re.split(r"\n\s*\n(?=\x08)", about)
    tail = Page()
    for block in blocks:
        tail.help(block, sections=True)
    text = Page(blocks=tail.blocks)  # so that no command repeats them
    text.section("Name", rf"aionorth \- {roff(summary.strip().removesuffix('.'))}")
    text.section("Synopsis", "\n.br\n".join(_usage(name, command) for name, command in commands.items()))
    text.section("Description")
    text.help(paragraphs)
    text.section("Options", *_listed([one for records in _options(root, "aionorth").values() for one in records]))
    text.section("Commands")
    for name, command in commands.items():
        text.lines.append(f".SS {roff(name)}")
        text.help(command.help)
        below: list[str] = []
        for panel, records in options[name].items():
            lacking = _lacking(records, shared.get(panel, []))
            if lacking is None:
                text.lines.extend([] if panel == "Options" else [f".PP\n{roff(panel)}:"])
                text.lines.extend(_listed(records))
            else:
                below.append(panel + (f" (but for {', '.join(lacking)})" if lacking else ""))
        if below:
            text.lines.extend([".PP", running(f"Also the options under {' and '.join(below)}, below.")])
    for panel, records in shared.items():
        text.section(panel, *_listed(records))
    title = f'.TH AIONORTH 1 {datetime.now(UTC):%Y-%m-%d} "aionorth {__version__}" "User commands"'
    # No hyphens but those that are there: options and examples are to be searched for and copied.
    lines = "\n".join([title, ".nh", ".ad l", *text.lines, *tail.lines, ""])
    return _of_nobody(re.sub(r"^(\.S[HS] .*)\n\.PP$", r"\1", lines, flags=re.MULTILINE))


def _of_nobody(text: str) -> str:
    """Return `text` without the home directory of whoever writes the page."""
    try:
        own = roff(str(config_directory("profiles")))
    except NoDirectoryError:
        return text
    return text.replace(own, roff("~/.config/aionorth"))


def main() -> None:
    """Write the page, or check it."""
    new, old = page(), KEPT.read_text() if KEPT.exists() else ""
    current = _DATE.sub("", new, 1) == _DATE.sub("", old, 1)
    if sys.argv[1:] == ["--check"]:
        sys.exit(None if current else f"the man page is not what the help says now: python {Path(__file__)}")
    if not current:
        KEPT.write_text(new)


if __name__ == "__main__":
    main()
