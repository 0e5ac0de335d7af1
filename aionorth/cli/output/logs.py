"""How much a command says, and the log that it keeps: one panel of options, for commands that talk to a platform."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial
from typing import TextIO

import attrs

from aionorth.cli.output.messages import Notes, ProblemError, complain, logged, noted
from aionorth.cli.output.progress import LINES_EVERY, lines_every
from aionorth.cli.parser import given_by, names, option
from aionorth.common.text import visible, visible_lines
from aionorth.session.settings import variable
from aionorth.session.value_types import SECONDS_OR_NONE, choice

FORMATS = ("text", "json")

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
"""What is shown of the library's log, by how often ``-v`` is given."""

_IN_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({})))


_messages = partial(option, rich_help_panel="Messages")


@attrs.frozen(kw_only=True)
class Messages:
    """How much a command says while it works, and where it logs."""

    quiet: bool = _messages(None, "Write only errors and the result.", "--quiet", "-q", default=False)
    verbose: int = _messages(
        None,
        "Show what is logged, too: retries, logins; twice, -vv: every call.",
        "--verbose",
        "-v",
        default=0,
        count=True,
    )
    log_file: str | None = _messages(
        "FILE",
        "Append all that is logged to this file, with times. A new one is yours alone to read.",
        envvar=variable("log_file"),
    )
    log_format: str = _messages(
        "FORMAT",
        "How the log file is written: text, or json: an object a line, with time, level, message and the facts. "
        "[default: text]",
        default=FORMATS[0],
        converter=choice(*FORMATS).parsed,
        values=FORMATS,
        envvar=variable("log_format"),
    )
    stats: float = _messages(
        "SECONDS",
        "Where there is no terminal: seconds from one line of progress to the next; 0 for none. "
        f"[default: {LINES_EVERY:g}]",
        default=LINES_EVERY,
        converter=SECONDS_OR_NONE.parsed,
        envvar=variable("stats"),
    )

    @contextmanager
    def noted(self) -> Generator[Notes, None, None]:
        """Let the block run under these options; see `messages.noted`.

        Raises:
            ProblemError: They contradict each other, or the log cannot be written.
        """
        if self.quiet and self.verbose:
            raise ProblemError("--quiet and --verbose contradict each other: leave one out")
        log_format = attrs.fields(Messages).log_format
        if (
            self.log_file is None
            and self.log_format != log_format.default
            and given_by(log_format, self.log_format) in names(log_format)
        ):
            raise ProblemError("--log-format is about the log file: give --log-file too")
        shown = _LEVELS[min(self.verbose, len(_LEVELS) - 1)]
        formatter = _Json() if self.log_format == "json" else _Text()
        log = nullcontext() if self.log_file is None else closing(self._log(self.log_file, formatter))
        with log as file, lines_every(self.stats), noted(quiet=self.quiet, shown=shown, file=file) as notes:
            yield notes

    @staticmethod
    def _log(path: str, formatter: logging.Formatter) -> LogFile:
        try:
            return LogFile(path, formatter)
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else exc
            name = given_by(attrs.fields(Messages).log_file, path)
            raise ProblemError(f"{name} {path} cannot be written to: {reason}; name another file") from exc


class LogFile(logging.StreamHandler[TextIO]):
    """Appends what is logged to a file. Where that fails the run goes on, and one message says so."""

    def __init__(self, path: str, formatter: logging.Formatter) -> None:
        """Open the file; raises `OSError` or `ValueError` where that cannot be done."""
        # A fifo without a reader would hold up an open that blocks.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags, 0o600)
        if sys.platform != "win32":
            os.set_blocking(descriptor, True)
        super().__init__(os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace"))
        self.setLevel(logging.DEBUG)
        self.setFormatter(formatter)
        self._path = path

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's
        """Say once that the file cannot be written to."""
        cause = sys.exc_info()[1]
        if not isinstance(cause, OSError):
            raise  # noqa: PLE0704 - a bug, inside the handler of logging
        self.setLevel(logging.CRITICAL + 1)
        complain(f"aionorth: the log {visible(self._path)} cannot be written to any more: {cause.strerror}")

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # of what could not be written before
            self.stream.close()
        super().close()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


class _Text(logging.Formatter):
    """One line a record, and a traceback below it where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time(record)} {record.levelname:<7} {logged(record)}"
        return f"{line}\n{visible_lines(self.formatException(record.exc_info))}" if record.exc_info else line


class _Json(logging.Formatter):
    """One object a record, on a line."""

    def format(self, record: logging.LogRecord) -> str:
        about = {"time": _time(record), "level": record.levelname, "message": logged(record)}
        facts = {name: value for name, value in vars(record).items() if name not in _IN_EVERY_RECORD}
        fault = {"exception": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps(about | facts | fault, default=str)
