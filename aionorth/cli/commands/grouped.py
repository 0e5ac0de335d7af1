"""Help in groups: commands and options stand under the panel that they name, as typer does it with markup only."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from aionorth.common.text import visible

# click's own types are typer's private ones in some versions of typer, and click's in others.
_Context = Any
_Formatter = Any
_Rows = dict[str, list[tuple[str, str]]]
_UsageError: Any = typer.BadParameter.__base__


@contextmanager
def _visible_errors() -> Generator[None, None, None]:
    """Make what is wrong with a command line fit to be shown: it quotes words, which may be anything, as file names."""
    try:
        yield
    except _UsageError as exc:
        exc.message = visible(exc.message)
        raise


def _panel(thing: object, otherwise: str) -> str:
    name = getattr(thing, "rich_help_panel", None)
    return name if isinstance(name, str) else otherwise


def _write(formatter: _Formatter, rows: _Rows) -> None:
    for panel, entries in rows.items():
        with formatter.section(panel):
            formatter.write_dl(entries)


def _write_options(command: Any, ctx: _Context, formatter: _Formatter) -> None:  # noqa: ANN401 - as above
    rows: _Rows = {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        if (record := param.get_help_record(ctx)) is not None:
            usual = "Arguments" if param.param_type_name == "argument" else "Options"
            rows.setdefault(_panel(param, usual), []).append(record)
    _write(formatter, {panel: entries for panel, entries in rows.items() if entries})


class GroupedCommand(TyperCommand):
    """A command whose options stand under their panels, and are not given twice where only one value counts."""

    def parse_args(self, ctx: _Context, args: list[str]) -> list[str]:
        """Refuse an option given twice: the first would be lost without a word."""
        with _visible_errors():
            _, _, given = self.make_parser(ctx).parse_args(list(args))
            for param in given:
                if (
                    given.count(param) > 1
                    and not getattr(param, "multiple", False)
                    and not getattr(param, "is_flag", False)
                ):
                    raise typer.BadParameter(f"{param.opts[0]} is given twice: give it once", ctx=ctx)
            return super().parse_args(ctx, args)

    def format_options(self, ctx: _Context, formatter: _Formatter) -> None:
        """Write arguments and options, a section for each panel."""
        _write_options(self, ctx, formatter)


class GroupedCommands(TyperGroup):
    """A group whose commands stand under their panels."""

    def parse_args(self, ctx: _Context, args: list[str]) -> list[str]:
        """Parse the words before a command's own; without any there is help, which is ours."""
        if not args:
            return super().parse_args(ctx, args)
        with _visible_errors():
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: _Context, args: list[str]) -> Any:  # noqa: ANN401 - as above
        """Find the command that the words name."""
        with _visible_errors():
            return super().resolve_command(ctx, args)

    def list_commands(self, ctx: _Context) -> list[str]:
        """Return the names of the commands in the order of the alphabet, groups among them."""
        return sorted(super().list_commands(ctx))

    def format_options(self, ctx: _Context, formatter: _Formatter) -> None:
        """Write the commands, then the options: what a tool does comes first."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        room = formatter.width - 6 - max(len(name) for name, _ in named)
        rows: _Rows = {}
        for name, command in named:
            if command is not None and not command.hidden:
                rows.setdefault(_panel(command, "Commands"), []).append((name, command.get_short_help_str(room)))
        _write(formatter, rows)
        _write_options(self, ctx, formatter)
