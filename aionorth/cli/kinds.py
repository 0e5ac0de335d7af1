"""What the command line needs to know about each kind: one row a kind. A new kind adds a row and its options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

import attrs

from aionorth.cli.commands.options import EXIT_CODES, Ids, condition
from aionorth.cli.output.exits import ProblemError
from aionorth.models import Kind
from aionorth.purge.selections import PackageSelection, Selection, SubscriptionSelection

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def older_than(text: str | None) -> timedelta | None:
    """Return an age as in ``90d``, ``12h``, ``2w``.

    There is no ``m``, which could be months or minutes.

    Raises:
        ProblemError: It cannot be read.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([hdw])", text.strip().lower())
    if found is None or not int(found[1]):
        raise ProblemError(f"--older-than {text!r}: give a number and h, d or w (hours, days, weeks), as in 90d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@attrs.frozen(kw_only=True)
class Subscriptions:
    """The options that select subscriptions."""

    notify_type: str | None = condition("TYPE", "Only this notify type, as in deviceDataChanged.")
    callback_host: str | None = condition(
        "GLOB", "Only callback URLs of this host: old.example.com, or '*.example.com'."
    )
    callback_url: str | None = condition(
        "GLOB", "Only callback URLs like this; * stands for anything: 'https://old.example.com:443/*'."
    )
    authorized_app_id: str | None = condition(
        "ID", "The app whose subscriptions they are, where it is another one that has authorized yours."
    )

    def check(self, ids: Ids) -> None:
        """Raise `ProblemError` where the options make no sense together."""
        ids.check(self.notify_type, self.callback_host, self.callback_url)

    def selection(self, ids: Ids) -> SubscriptionSelection:
        """Return the selection that these options and `ids` add up to; reads files."""
        return SubscriptionSelection(**attrs.asdict(self), **ids.read(Kind.SUBSCRIPTIONS))


@attrs.frozen(kw_only=True)
class Packages:
    """The options that select version packages."""

    file_type: str | None = condition("TYPE", "Only firmwarePackage or softwarePackage.")
    device_type: str | None = condition("TEXT", "Only this one.")
    model: str | None = condition("TEXT", "Only this one.")
    manufacturer_name: str | None = condition("TEXT", "Only this one.")
    version: str | None = condition("TEXT", "Only this one.")
    name: str | None = condition("GLOB", "Only names like this; * stands for anything: 'beta-*'.")
    older_than: str | None = condition(
        "AGE", "Only what was uploaded longer ago: 90d, 12h, 2w. What has no readable upload time stays."
    )
    keep_latest: int | None = condition(
        "N", "The N newest by upload time stay, of each file type, device type, model and manufacturer.", min=1
    )

    def check(self, ids: Ids) -> None:
        """Raise `ProblemError` where an option cannot be read, or the options make no sense together."""
        older_than(self.older_than)
        ids.check(*attrs.astuple(self))

    def selection(self, ids: Ids) -> PackageSelection:
        """Return the selection that these options and `ids` add up to; reads files."""
        options = attrs.asdict(self) | {"older_than": older_than(self.older_than)}
        return PackageSelection(**options, **ids.read(Kind.PACKAGES))


class Conditions(Protocol):
    """The options that select items of one kind."""

    def check(self, ids: Ids) -> None:
        """Raise `ProblemError` where the options make no sense."""

    def selection(self, ids: Ids) -> Selection[Any]:
        """Return the selection that these options and `ids` add up to; reads files."""
        ...


@attrs.frozen(kw_only=True)
class Row:
    """What there is to know about one kind."""

    noun: str
    """What one of them is called."""
    options: type[Conditions]
    """The options that select some of them."""
    batch: bool
    """Whether the platform has a call that deletes many."""
    example: tuple[str, ...]
    """Conditions to try on the simulator."""
    help: str
    """What ``aionorth delete KIND --help`` says."""


KINDS: Mapping[Kind, Row] = {
    Kind.SUBSCRIPTIONS: Row(
        noun="subscription",
        options=Subscriptions,
        batch=True,
        example=("--callback-host", "old.example.com"),
        help=f"""Delete subscriptions: those that all the conditions given select.

\b
Examples:
  Everything that still calls the old host; look first:
    aionorth delete subscriptions --callback-host old.example.com --dry-run
    aionorth delete subscriptions --callback-host old.example.com
  All of one notify type, in one call if there is one that takes exactly these:
    aionorth delete subscriptions --notify-type deviceAdded --batch
  From a script, at most 500, with a report:
    aionorth delete subscriptions --callback-url 'https://old*' --yes \\
      --max-delete 500 --report purge.csv
  Ids from a file, or from a column of a CSV file; a list of ids is not looked
  up before, and ids that the platform does not know count as gone:
    aionorth delete subscriptions --ids-file ids.txt
    aionorth delete subscriptions --ids-file list.csv --csv-column sub_id

\b
With --json, "results" names every id that is not known to be gone:
  aionorth delete subscriptions --ids-file ids.txt --json > result.json
  jq -r '.results[].id' result.json > ids-left.txt

{EXIT_CODES}
""",
    ),
    Kind.PACKAGES: Row(
        noun="version package",
        options=Packages,
        batch=False,
        example=("--keep-latest", "2", "--older-than", "90d"),
        help=f"""Delete version packages: those that all the conditions given select.

\b
Examples:
  All but the two newest of each kind; look first:
    aionorth delete packages --keep-latest 2 --dry-run
    aionorth delete packages --keep-latest 2
  What is older than 90 days, but never the newest of its kind:
    aionorth delete packages --older-than 90d --keep-latest 1
  Firmware of one model, by name, but for one file:
    aionorth delete packages --file-type firmwarePackage --model WM-1 \\
      --name 'beta-*' --exclude 5fa1c2
  Ids from a file, or from standard input:
    aionorth delete packages --ids-file ids.txt
    aionorth delete packages --ids-file - --json < ids.txt > result.json

{EXIT_CODES}
""",
    ),
}
