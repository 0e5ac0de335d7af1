"""What typer's parser lacks: bundles of options, help in groups, and a refusal of options given twice."""

from __future__ import annotations

import functools
import inspect
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher
from typing import Annotated, Any

import attrs
import typer
from typer.core import TyperCommand, TyperGroup

from aionorth.cli.output.messages import ALIKE, OPTIONS, SET_BY, ExitCode, ProblemError, reported, width_of, wrapped
from aionorth.common.text import visible

# Some versions of typer have click's types as private ones of their own.
_Context = Any
_Formatter = Any
_Sections = dict[str, list[tuple[str, str]]]
_UsageError: Any = typer.BadParameter.__base__

_OPTION, _NAMES, _CONVERTER = "option", "names", "converter"
"""Under which a field of a bundle keeps what typer is to know of it, the names it was given, and its converter."""

Converter = Callable[[str], object]
"""From the text of an option to the value of its field; raises `ValueError` with the remedy.

All that is not text has one: the messages of typer's own types are not for people, and change with its version."""


def option(
    metavar: str | None,
    says: str,
    *names: str,
    default: object = None,
    converter: Converter | None = None,
    values: Iterable[str] = (),
    **more: Any,  # noqa: ANN401 - typer's
) -> Any:  # noqa: ANN401 - a field has the type of its annotation
    """Return a field of a bundle: an option with this help text. Its default is in the help only if `more` says so.

    The shell completes the `values`; others are not refused for it.
    """
    about: dict[str, Any] = {"metavar": metavar, "help": says, "show_default": False, "show_envvar": False}

    def completed(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    if values:
        about["autocompletion"] = completed
    metadata = {_OPTION: typer.Option(*names, **(about | more)), _NAMES: names, _CONVERTER: converter}
    return attrs.field(default=default, metadata=metadata)


def names(field: attrs.Attribute[Any]) -> list[str]:
    """Return the names of the option that `field` of a bundle is; a switch has one for on and one for off."""
    given: tuple[str, ...] = field.metadata[_NAMES]
    return given[0].split("/") if given else [f"--{field.name.replace('_', '-')}"]


def given_by(field: attrs.Attribute[Any], text: str) -> str:
    """Return what gave the option that `field` is this text: its name, or that of its environment variable."""
    variable = field.metadata[_OPTION].envvar
    return variable if variable and os.environ.get(variable) == text else names(field)[0]


def _made(bundle: type[Any], arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - of that class
    """Return the bundle of these options; raises `ProblemError` for one that cannot be used."""
    fields = attrs.fields_dict(bundle)
    for name, value in list(arguments.items()):
        if (convert := fields[name].metadata[_CONVERTER]) is None:
            continue
        if value is None:
            del arguments[name]  # it has its default
            continue
        try:
            arguments[name] = convert(value)
        except ValueError as exc:
            raise ProblemError(f"{given_by(fields[name], value)} {value!r}: {exc}") from None
    return bundle(**arguments)


def command(
    function: Callable[..., ExitCode | None], *, without: Collection[str] = (), **bundles: type
) -> Callable[..., None]:
    """Return `function` as typer takes a command: with the options of its bundles, its errors reported.

    A bundle is a parameter whose annotation is an attrs class: the fields of the class, made by `option`, become
    options of the command, which gets them together as one value of that class.

    Args:
        function: What the command does. It returns the exit code.
        without: Fields that become no options, but have their default.
        bundles: Parameters that get another class than their annotation.
    """
    classes: dict[str, type[Any]] = {}
    own: list[inspect.Parameter] = []
    options: list[inspect.Parameter] = []
    signature = inspect.signature(function, eval_str=True)
    for name, parameter in signature.parameters.items():
        bundle: Any = bundles.get(name, parameter.annotation)
        if not attrs.has(bundle):
            own.append(parameter)
            continue
        classes[name] = bundle
        for field in attrs.fields(attrs.resolve_types(bundle)):
            if field.name not in without:
                OPTIONS[field.name] = names(field)
                text = field.metadata[_CONVERTER] is not None
                type_ = str | None if text else field.type
                annotation = Annotated[type_, field.metadata[_OPTION]]  # type: ignore[valid-type]  # a value here
                default = None if text else field.default
                options.append(parameter.replace(name=field.name, default=default, annotation=annotation))

    @functools.wraps(function)
    def wrapper(**arguments: Any) -> None:  # noqa: ANN401 - the values of whatever options it has
        try:
            with reported():
                for name, bundle in classes.items():
                    fields = attrs.fields_dict(bundle).keys() - without
                    arguments[name] = _made(bundle, {field: arguments.pop(field) for field in fields})
                if (exit_code := function(**arguments)) is not None:
                    raise typer.Exit(exit_code)
        finally:
            SET_BY.clear()

    vars(wrapper)["__signature__"] = signature.replace(parameters=[*own, *options], return_annotation=None)
    return wrapper


_NOT_AN_OPTION = (
    "There is no option for the secret: it would show in the list of processes and in the shell's history, where this "
    "one is now. Set AIONORTH_SECRET, or give --secret-file"
)


@contextmanager
def _visible_errors(ctx: _Context) -> Generator[None, None, None]:
    """Make messages about a command line fit to be shown: they quote its words, which may hold control characters.

    They show the usage, and suggest options that may be meant; the parser's library suggests ``--url`` for ``--al``.
    """
    try:
        yield
    except _UsageError as exc:
        exc.ctx = exc.ctx or ctx
        exc.message = visible(exc.message)
        if typed := getattr(exc, "option_name", None):
            meant = [
                name
                for name in getattr(exc, "possibilities", None) or ()
                if name.startswith(typed) or SequenceMatcher(None, name[2:], typed[2:]).ratio() > ALIKE
            ]
            vars(exc)["possibilities"] = []  # typer 0.26.1 shows them as Python does
            if typed == "--secret":
                exc.message = _NOT_AN_OPTION
            elif meant:
                exc.message += f" (Possible options: {', '.join(sorted(meant))})"
            elif isinstance(ctx.command, TyperGroup):
                exc.message += (
                    f"; the options of a command stand behind it: {ctx.command_path} COMMAND {visible(typed)}"
                )
        prefix = "Error: "
        said = wrapped(prefix + exc.format_message(), width_of(sys.stderr)).removeprefix(prefix)
        exc.format_message = lambda: said
        raise


_NO_BREAK = "\u2011"
"""A hyphen at which no line is broken."""


ROOMY = 60
"""Columns from which on help has room for its texts beside the options."""

HANGING = 6
"""Columns by which the texts are indented otherwise."""


class _Unbroken(typer.Context.formatter_class):  # type: ignore[misc, valid-type]  # a class of typer's or of click's
    """Writes help in which no line is broken at a hyphen: options and values are to be read, and copied, whole.

    It is as wide as the terminal; the parser's library has at least 50 columns.
    """

    def __init__(self, **sizes: Any) -> None:  # noqa: ANN401 - as the library has them
        super().__init__(**sizes)
        self.width: int = min(self.width, max(20, shutil.get_terminal_size().columns - 2))

    def write(self, string: str) -> None:
        super().write(string.replace(_NO_BREAK, "-"))

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _NO_BREAK))

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        rows = [(first, second.replace("-", _NO_BREAK)) for first, second in rows]
        super().write_dl(rows, col_max if self.width >= ROOMY else HANGING, col_spacing)


def _panel(thing: object, otherwise: str) -> str:
    name = getattr(thing, "rich_help_panel", None)
    return name if isinstance(name, str) else otherwise


def _named(argument: Any) -> str:  # noqa: ANN401 - typer's
    return f"{argument.metavar}{'...' if argument.nargs != 1 else ''}"


def help_record(param: Any, ctx: _Context) -> tuple[str, str] | None:  # noqa: ANN401 - typer's
    """Return what help says of an option or argument: how it is typed, and what it does."""
    record: tuple[str, str] | None = param.get_help_record(ctx)
    if record is None or param.param_type_name != "argument":
        return record
    return _named(param), record[1]  # without its type, which is one of Python's


def _help_of(command: Any, ctx: _Context) -> str:  # noqa: ANN401 - typer's
    """Return what `command`, as typer calls help, shows on standard output."""
    ctx.formatter_class = _Unbroken
    return wrapped(command.get_help(ctx), width_of(sys.stdout))


def _write_options(command: Any, ctx: _Context, formatter: _Formatter, sections: _Sections) -> None:  # noqa: ANN401 - typer's
    """Write `sections`, and after them a section of help for each panel that an option of `command` names."""
    sections |= {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        if (record := help_record(param, ctx)) is not None:
            usual = "Arguments" if param.param_type_name == "argument" else "Options"
            sections.setdefault(_panel(param, usual), []).append(record)
    for panel, records in sections.items():
        if records:
            with formatter.section(panel):
                formatter.write_dl(records)


class GroupedCommand(TyperCommand):
    """A command whose options stand under their panels, which typer does with its rich markup only."""

    def get_help(self, ctx: _Context) -> str:
        """Return the help."""
        return _help_of(super(), ctx)

    def collect_usage_pieces(self, ctx: _Context) -> list[str]:
        """Return the words of a usage line, with its arguments as they are typed."""
        return ["[OPTIONS]", *(_named(one) for one in self.get_params(ctx) if one.param_type_name == "argument")]

    def parse_args(self, ctx: _Context, args: list[str]) -> list[str]:
        """Refuse an option given twice where only one value counts, and a file of ids without its option."""
        with _visible_errors(ctx):
            _, words, given = self.make_parser(ctx).parse_args(list(args))
            for param in given:
                # A switch with two names, for on and for off, would contradict itself.
                switch = getattr(param, "is_flag", False) and not param.secondary_opts
                repeatable = switch or any(getattr(param, name, False) for name in ("multiple", "count"))
                if given.count(param) > 1 and not repeatable:
                    raise typer.BadParameter(f"{param.opts[0]} is given twice: give it once", ctx=ctx)
            if words and "--ids-file" in {name for param in self.params for name in param.opts}:
                file = shlex.quote(words[0])
                raise _UsageError(
                    f"{file} has no option before it: if it is a file of ids, give it with --ids-file {file}", ctx=ctx
                )
            return super().parse_args(ctx, args)

    def format_options(self, ctx: _Context, formatter: _Formatter) -> None:
        """Write arguments and options."""
        _write_options(self, ctx, formatter, {})


class GroupedCommands(TyperGroup):
    """A group whose commands stand under their panels."""

    def get_help(self, ctx: _Context) -> str:
        """Return the help."""
        return _help_of(super(), ctx)

    def parse_args(self, ctx: _Context, args: list[str]) -> list[str]:
        """Parse the words before a command's own. Without any the group shows its help, which quotes nobody."""
        if not args:
            return super().parse_args(ctx, args)
        with _visible_errors(ctx):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: _Context, args: list[str]) -> Any:  # noqa: ANN401 - as above
        """Find the command that the words name."""
        with _visible_errors(ctx):
            return super().resolve_command(ctx, args)

    def list_commands(self, ctx: _Context) -> list[str]:
        """Return the names of the commands in alphabetical order, groups among them."""
        return sorted(super().list_commands(ctx))

    def format_options(self, ctx: _Context, formatter: _Formatter) -> None:
        """Write the commands, then the options: what a tool does comes first."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        width = max(formatter.width, ROOMY) - 6 - max(len(name) for name, _ in named)
        sections: _Sections = {}
        for name, command in named:
            if command is not None and not command.hidden:
                sections.setdefault(_panel(command, "Commands"), []).append((name, command.get_short_help_str(width)))
        _write_options(self, ctx, formatter, sections)
