"""The options that several commands have in common, in bundles, and the help texts that they share.

A bundle is an attrs class whose fields are options: `bundled` in ``parser.py`` hands it to a command as one value.
"""

from __future__ import annotations

from typing import Any

import attrs

from aionorth.cli.id_files import STDIN, read_ids
from aionorth.cli.output.exits import ProblemError
from aionorth.cli.parser import option
from aionorth.models import Kind

ENVIRONMENT = """\b
Environment (options come before it, and it comes before a profile):
  AIONORTH_URL          the platform's base URL, as in https://server:8743
  AIONORTH_APP_ID       the app's id
  AIONORTH_SECRET       the app's secret; there is no option for it, because
                        options show in the list of processes
  AIONORTH_SECRET_FILE  instead of it, a file that holds it and that only you
                        can read; with neither, you are asked on a terminal
  AIONORTH_PROFILE      settings under a name of their own, in config.toml;
                        'aionorth check --help' shows an example
  AIONORTH_REDIS_URL    a Redis server through which hosts share flow control
                        and token, as in rediss://user:password@host:6379/0
  AIONORTH_CALLS, _PERIOD, _HEADROOM, _BURST, _STORE, _WORKERS, _TIMEOUT,
  _CA_FILE, _CLIENT_CERT, _CLIENT_KEY: as the options of these names"""

EXIT_CODES = """\b
Exit codes:
  0    all ids are gone from the platform
  1    some are not, or the run ended early
  2    something is missing or cannot be used; nothing was deleted
  3    the platform refused the app or its secret
  130  interrupted; the messages before it say how far the run came"""


def condition(metavar: str | None, says: str, *names: str, **more: Any) -> Any:  # noqa: ANN401 - a field
    """Return an option that selects what is deleted."""
    return option(metavar, says, *names, rich_help_panel="Which ones", **more)


def _how(metavar: str | None, says: str, *names: str, **more: Any) -> Any:  # noqa: ANN401 - as above
    return option(metavar, says, *names, rich_help_panel="How", **more)


@attrs.frozen(kw_only=True)
class Ids:
    """The options that select by id, for every kind."""

    ids_file: str | None = condition(
        "FILE", "Only these ids: a file with one per line, or with --csv-column a CSV file; - reads standard input."
    )
    csv_column: str | None = condition(
        "NAME", "The ids are in this column of a CSV file, whose first line has the names."
    )
    exclude: list[str] | None = condition("ID", "Never this one; can be repeated.")  # noqa: RUF009 - a field
    exclude_file: str | None = condition("FILE", "Never those that this file has, one per line.")
    everything: bool = condition(None, "Select everything: where no other condition is given.", "--all", default=False)

    @property
    def read_stdin(self) -> bool:
        """Whether standard input has ids."""
        return STDIN in {self.ids_file, self.exclude_file}

    def check(self, *conditions: object) -> None:
        """Check that these options and the other `conditions`, None where not given, make sense together.

        Raises:
            ProblemError: They contradict each other, or would select everything without ``--all``.
        """
        if self.ids_file == self.exclude_file == STDIN:
            raise ProblemError("--ids-file - and --exclude-file - cannot both read standard input: give one a file")
        if self.csv_column is not None and self.ids_file is None:
            raise ProblemError("--csv-column is of no use without --ids-file: give the CSV file there")
        given = self.ids_file is not None or any(condition is not None for condition in conditions)
        if given and self.everything:
            raise ProblemError("--all and other conditions contradict each other: leave --all out")
        if not given and not self.everything:
            raise ProblemError(
                "no condition is given, which would select everything: give one, or --all if you mean it"
            )

    def read(self, kind: Kind) -> dict[str, Any]:
        """Read the files and return the arguments of a selection; raises `ProblemError` for what cannot be read."""
        ids = None if self.ids_file is None else read_ids(self.ids_file, kind.id_name, self.csv_column)
        file = self.exclude_file
        excluded = [] if file is None else read_ids(file, kind.id_name, option="--exclude-file")
        return {"ids": ids, "exclude": [*(self.exclude or []), *excluded], "everything": self.everything}


@attrs.frozen(kw_only=True)
class How:
    """How a deletion proceeds."""

    dry_run: bool = _how(None, "Show what would be deleted, and end.", "--dry-run", default=False)
    yes: bool = _how(None, "Do not ask: for scripts.", "--yes", default=False)
    max_delete: int | None = _how("N", "Refuse to delete more than this, before the first deletion.", min=0)
    journal: str | None = _how(
        "FILE", "Record the run in this new file. [default: a file in the user's state directory]"
    )


@attrs.frozen(kw_only=True)
class Batch:
    """Whether one call deletes many, for the kinds that have such a call."""

    batch: bool = _how(
        None,
        "Delete by the platform's batch call, where one takes exactly what is selected; it also takes what was created "
        "since it was listed.",
        "--batch",
        default=False,
    )


@attrs.frozen(kw_only=True)
class Output:
    """What a run writes at its end."""

    report: str | None = _how(
        "FILE",
        "Write a report of the whole purge at the end: .html for people, .csv or .jsonl for programs. A file that is "
        "there is replaced.",
    )
    json: bool = _how(None, "Print the result as one JSON object.", "--json", default=False)
