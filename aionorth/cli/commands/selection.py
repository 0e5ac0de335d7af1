"""The options that select what to delete and say how, in bundles, and the selection that they add up to."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

import attrs
import typer

from aionorth.cli.commands.ids import STDIN, read_ids
from aionorth.cli.output.exits import ProblemError
from aionorth.models import Kind
from aionorth.purge.plan import PackageSelection, SubscriptionSelection

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}

_WHICH, _HOW = "Which ones", "How"


def older_than(text: str | None) -> timedelta | None:
    """Return an age as in ``90d``, ``12h``, ``2w``; raises `ProblemError` where it cannot be read.

    There is no ``m``: one takes it for months, another for minutes.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([hdw])", text.strip().lower())
    if found is None or not int(found[1]):
        raise ProblemError(f"--older-than {text!r}: give a number and h, d or w (hours, days, weeks), as in 90d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _option(says: str, *names: str, panel: str = _WHICH, **more: Any) -> Any:  # noqa: ANN401 - as typer's own
    return typer.Option(*names, help=says, rich_help_panel=panel, show_default=False, **more)


@attrs.frozen(kw_only=True)
class Ids:
    """Which ones, by their ids, whatever they are."""

    ids_file: Annotated[
        str | None,
        _option(
            "Only these ids: a file with one per line, or with --csv-column a CSV file; - reads standard input.",
            metavar="FILE",
        ),
    ] = None
    csv_column: Annotated[
        str | None,
        _option("The ids are in this column of a CSV file, whose first line has the names.", metavar="NAME"),
    ] = None
    exclude: Annotated[list[str] | None, _option("Never this one; can be repeated.", metavar="ID")] = None
    exclude_file: Annotated[str | None, _option("Never those that this file has, one per line.", metavar="FILE")] = None
    everything: Annotated[bool, _option("Select everything: where no other condition is given.", "--all")] = False

    @property
    def read_stdin(self) -> bool:
        """Whether standard input has ids."""
        return STDIN in {self.ids_file, self.exclude_file}

    def check(self, *conditions: object) -> None:
        """Raise `ProblemError` where these options contradict each other, or select everything unasked."""
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
        """Read the files; returns what a selection takes. Raises `ProblemError` for what cannot be read."""
        ids = None if self.ids_file is None else read_ids(self.ids_file, kind.id_name, self.csv_column)
        file = self.exclude_file
        excluded = [] if file is None else read_ids(file, kind.id_name, option="--exclude-file")
        return {"ids": ids, "exclude": [*(self.exclude or []), *excluded], "everything": self.everything}


@attrs.frozen(kw_only=True)
class Subscriptions:
    """Which subscriptions."""

    notify_type: Annotated[str | None, _option("Only this notify type, as in deviceDataChanged.", metavar="TYPE")] = (
        None
    )
    callback_host: Annotated[
        str | None,
        _option("Only callback URLs of this host: old.example.com, or '*.example.com'.", metavar="GLOB"),
    ] = None
    callback_url: Annotated[
        str | None,
        _option(
            "Only callback URLs like this; * stands for anything: 'https://old.example.com:443/*'.", metavar="GLOB"
        ),
    ] = None
    authorized_app_id: Annotated[
        str | None,
        _option(
            "The app whose subscriptions they are, where it is another one that has authorized yours.", metavar="ID"
        ),
    ] = None

    def check(self, ids: Ids) -> None:
        """Raise `ProblemError` where something cannot be meant."""
        ids.check(self.notify_type, self.callback_host, self.callback_url)

    def selection(self, ids: Ids) -> SubscriptionSelection:
        """Return the selection."""
        return SubscriptionSelection(**attrs.asdict(self), **ids.read(Kind.SUBSCRIPTIONS))


@attrs.frozen(kw_only=True)
class Packages:
    """Which version packages."""

    file_type: Annotated[str | None, _option("Only firmwarePackage or softwarePackage.", metavar="TYPE")] = None
    device_type: Annotated[str | None, _option("Only this one.", metavar="TEXT")] = None
    model: Annotated[str | None, _option("Only this one.", metavar="TEXT")] = None
    manufacturer_name: Annotated[str | None, _option("Only this one.", metavar="TEXT")] = None
    version: Annotated[str | None, _option("Only this one.", metavar="TEXT")] = None
    name: Annotated[str | None, _option("Only names like this; * stands for anything: 'beta-*'.", metavar="GLOB")] = (
        None
    )
    older_than: Annotated[
        str | None,
        _option(
            "Only what was uploaded longer ago: 90d, 12h, 2w. What has no readable upload time stays.", metavar="AGE"
        ),
    ] = None
    keep_latest: Annotated[
        int | None,
        _option(
            "The N newest by upload time stay, of each file type, device type, model and manufacturer.",
            metavar="N",
            min=1,
        ),
    ] = None

    def check(self, ids: Ids) -> None:
        """Raise `ProblemError` where something cannot be meant."""
        older_than(self.older_than)
        ids.check(*attrs.astuple(self))

    def selection(self, ids: Ids) -> PackageSelection:
        """Return the selection."""
        options = attrs.asdict(self) | {"older_than": older_than(self.older_than)}
        return PackageSelection(**options, **ids.read(Kind.PACKAGES))


@attrs.frozen(kw_only=True)
class How:
    """How a deletion goes about."""

    dry_run: Annotated[bool, _option("Show what would be deleted, and end.", "--dry-run", panel=_HOW)] = False
    yes: Annotated[bool, _option("Do not ask: for scripts.", "--yes", panel=_HOW)] = False
    max_delete: Annotated[
        int | None,
        _option("Refuse to delete more than this, before the first deletion.", metavar="N", min=0, panel=_HOW),
    ] = None
    journal: Annotated[
        str | None,
        _option(
            "Record the run in this new file. [default: a file in the user's state directory]",
            metavar="FILE",
            panel=_HOW,
        ),
    ] = None


@attrs.frozen(kw_only=True)
class Output:
    """What a run leaves behind."""

    report: Annotated[
        str | None,
        _option(
            "Write a report of the whole purge at the end: .html for people, .csv or .jsonl for programs. A file that "
            "is there is replaced.",
            metavar="FILE",
            panel=_HOW,
        ),
    ] = None
    json: Annotated[bool, _option("Print the result as one JSON object.", "--json", panel=_HOW)] = False


Batch = Annotated[
    bool,
    _option(
        "Delete by the platform's batch call, where one takes exactly what is selected; it also takes what was created "
        "since it was listed.",
        "--batch",
        panel=_HOW,
    ),
]
JournalFile = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]",
        help="The journal of the run to go on with; without it, those that there are get listed.",
        show_default=False,
    ),
]
