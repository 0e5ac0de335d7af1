"""What the command line needs to know about each kind: one row a kind. A new kind adds a row and its options."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import attrs

from aionorth.cli.id_files import DELIMITERS, EXCLUDE_FILE, STDIN, not_one_id, read_ids
from aionorth.cli.output.messages import ALIKE, EXIT_CODES, ProblemError, refuse_useless
from aionorth.cli.parser import option
from aionorth.common.durations import in_hours_or_more
from aionorth.items import Kind
from aionorth.purge.device_selections import DeviceGroupSelection, DeviceSelection
from aionorth.purge.selections import LONGEST_AGE, PackageSelection, Selection, SubscriptionSelection
from aionorth.session.value_types import WHOLE, ValueType
from aionorth.wire.resources import DEVICE_STATUSES, FILE_TYPES, NODE_TYPES, NOTIFY_TYPES


def older_than(text: str) -> timedelta:
    """Return an age as in ``90d``, ``12h``, ``2w``; raises `ValueError`, with the remedy, where it cannot be read."""
    if (age := in_hours_or_more(text)) >= LONGEST_AGE:
        raise ValueError("give less than 100 years")
    return age


def moment(text: str) -> datetime:
    """Return a time as in ``2026-03-01``, ``2026-03-01T12:00+02:00`` or, so long ago, ``90d``.

    A time without a zone is UTC, as the platform's are.

    Raises:
        ValueError: It cannot be read; with the remedy.
    """
    try:
        return datetime.now(UTC) - in_hours_or_more(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("give a date, as in 2026-03-01 or 2026-03-01T12:00Z, or an age, as in 90d") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


condition = partial(option, rich_help_panel="Which ones")
"""An option that selects what is deleted."""


@attrs.frozen(kw_only=True)
class Subscriptions:
    """The options that select subscriptions; raises `ProblemError` for a notify type that may be misspelt."""

    kind: ClassVar = Kind.SUBSCRIPTIONS

    notify_type: str | None = condition("TYPE", "Only this notify type, as in deviceDataChanged.", values=NOTIFY_TYPES)
    callback_host: str | None = condition(
        "GLOB", "Only callback URLs of this host: old.example.com, or '*.example.com'."
    )
    callback_url: str | None = condition(
        "GLOB", "Only callback URLs like this; * stands for anything: 'https://old.example.com:443/*'."
    )
    authorized_app_id: str | None = condition(
        "ID", "The app whose subscriptions they are, where it is another one that has authorized yours."
    )

    notify_type_unchecked: bool | None = condition(
        None, "Take the notify type as it is, although the documents do not have it.", "--notify-type-unchecked"
    )

    def __attrs_post_init__(self) -> None:
        requested = self.notify_type
        if requested is None:
            refuse_useless("without --notify-type: give it there", notify_type_unchecked=self.notify_type_unchecked)
        if requested is None or requested in NOTIFY_TYPES or self.notify_type_unchecked:
            return
        by_lower = {name.lower(): name for name in NOTIFY_TYPES}
        near = difflib.get_close_matches(requested.lower(), by_lower, n=1, cutoff=ALIKE)
        meant = f"did you mean {by_lower[near[0]]}?" if near else f"they have {', '.join(NOTIFY_TYPES)}."
        raise ProblemError(
            f"--notify-type {requested!r}: the documents have no such type; {meant} If the platform has it all the "
            "same, add --notify-type-unchecked"
        )


@attrs.frozen(kw_only=True)
class Packages:
    """The options that select version packages."""

    kind: ClassVar = Kind.PACKAGES

    file_type: str | None = condition("TYPE", "Only firmwarePackage or softwarePackage.", values=FILE_TYPES)
    device_type: str | None = condition("TEXT", "Only this one.")
    model: str | None = condition("TEXT", "Only this one.")
    manufacturer_name: str | None = condition("TEXT", "Only this one.")
    version: str | None = condition("TEXT", "Only this one.")
    name: str | None = condition("GLOB", "Only names like this; * stands for anything: 'beta-*'.")
    older_than: timedelta | None = condition(  # noqa: RUF009 - a field
        "AGE",
        "Only what was uploaded longer ago: 90d, 12h, 2w. What has no readable upload time stays.",
        converter=older_than,
    )
    keep_latest: int | None = condition(
        "N",
        "The N newest by upload time stay, of each file type, device type, model and manufacturer.",
        converter=WHOLE.parsed,
    )


_when = partial(condition, "WHEN", converter=moment)


@attrs.frozen(kw_only=True)
class Devices:
    """The options that select devices."""

    kind: ClassVar = Kind.DEVICES

    status: str | None = condition("STATUS", "Only ONLINE, OFFLINE, INACTIVE or ABNORMAL.", values=DEVICE_STATUSES)
    device_type: str | None = condition("TEXT", "Only this one.")
    model: str | None = condition("TEXT", "Only this one.")
    manufacturer_name: str | None = condition("TEXT", "Only this one.")
    name: str | None = condition("GLOB", "Only names like this; * stands for anything: 'test-*'.")
    node_type: str | None = condition(
        "TYPE", "Only ENDPOINT, GATEWAY or, as the platform spells it, UNKNOW.", values=NODE_TYPES
    )
    gateway_id: str | None = condition("ID", "Only devices behind this gateway, not the gateway itself.")
    registered_before: datetime | None = _when(  # noqa: RUF009 - as above
        "Only what was registered before: 2026-03-01 (UTC), 2026-03-01T12:00+02:00, or 90d for so long ago.",
    )
    registered_after: datetime | None = _when("Only what was registered then or later.")  # noqa: RUF009 - as above
    not_seen_since: datetime | None = _when(  # noqa: RUF009 - as above
        "Only what the platform has not changed its record of since then. Others stay."
    )
    authorized_app_id: str | None = condition(
        "ID", "The app whose devices they are, where it is another one that has authorized yours."
    )


@attrs.frozen(kw_only=True)
class DeviceGroups:
    """The options that select device groups."""

    kind: ClassVar = Kind.DEVICE_GROUPS

    name: str | None = condition("GLOB", "Only names like this; * stands for anything: 'test-*'.")
    empty: bool | None = condition(None, "Only groups without a device.", "--empty")
    authorized_app_id: str | None = condition(
        "ID", "The app whose groups they are, where it is another one that has authorized yours."
    )


Conditions = Subscriptions | Packages | Devices | DeviceGroups

_NO_CONDITIONS = {"notify_type_unchecked"}
"""Options of kinds that select nothing."""


def _conditions_of(which: Conditions) -> dict[str, Any]:
    return {name: value for name, value in attrs.asdict(which).items() if name not in _NO_CONDITIONS}


@attrs.frozen(kw_only=True)
class Ids:
    """The options that select by id, for every kind."""

    ids_file: str | None = condition(
        "FILE", "Only these ids: a file with one per line, or with --csv-column a CSV file; - reads standard input."
    )
    csv_column: str | None = condition(
        "NAME", "The ids are in this column of a CSV file, whose first line has the names."
    )
    csv_delimiter: str | None = condition(
        "[,|;|tab]",
        "What is between the columns. [default: that with which the first line has the column]",
        converter=ValueType(str, "give ',', ';' or tab", DELIMITERS.__contains__).parsed,
        values=DELIMITERS,
    )
    allow_empty: bool = condition(
        None,
        "A file of ids may be empty. Without this it is refused: what made it may have failed.",
        "--allow-empty",
        default=False,
    )
    exclude: list[str] | None = condition("ID", "Never this one; can be repeated.")  # noqa: RUF009 - a field
    exclude_file: str | None = condition("FILE", "Never those that this file has, one per line.")
    everything: bool = condition(None, "Select everything: where no other condition is given.", "--all", default=False)

    @property
    def read_stdin(self) -> bool:
        """Whether standard input has ids."""
        return STDIN in {self.ids_file, self.exclude_file}

    def check(self, which: Conditions) -> None:
        """Check that these options make sense together with `which`, those of the kind.

        Raises:
            ProblemError: They contradict each other, or would select everything without ``--all``.
        """
        if self.ids_file == self.exclude_file == STDIN:
            raise ProblemError("--ids-file - and --exclude-file - cannot both read standard input: give one a file")
        if self.ids_file is None:
            refuse_useless("without --ids-file: give the CSV file there", csv_column=self.csv_column)
        if self.csv_column is None:
            refuse_useless("without --csv-column: name the column there", csv_delimiter=self.csv_delimiter)
        if self.ids_file is None and self.exclude_file is None:
            refuse_useless("without --ids-file or --exclude-file: give the file there", allow_empty=self.allow_empty)
        for id_ in self.exclude or ():
            if fault := not_one_id(id_, "--exclude"):
                raise ProblemError(f"--exclude: {': '.join(fault)}")
        given = self.any_given(which)
        if given and self.everything:
            raise ProblemError("--all and other conditions contradict each other: leave --all out")
        if not given and not self.everything:
            raise ProblemError(
                "no condition is given, which would select everything: give one, or --all if you mean it"
            )

    def any_given(self, which: Conditions) -> bool:
        """Whether these options, or `which` of the kind, have a condition that selects some."""
        conditions = _conditions_of(which) | {"authorized_app_id": None, "ids_file": self.ids_file}
        return any(value is not None for value in conditions.values())

    def selection(self, which: Conditions, *, cascade: bool = False) -> Selection[Any]:
        """Return the selection that these options and `which` add up to; raises `ProblemError` for unusable files.

        `cascade` counts for kinds that have the choice.
        """
        read = partial(read_ids, name=which.kind.id_name, allow_empty=self.allow_empty)
        file, column, delimiter = self.ids_file, self.csv_column, self.csv_delimiter
        ids = None if file is None else read(file, column=column, delimiter=delimiter)
        file = self.exclude_file
        excluded = [] if file is None else read(file, option=EXCLUDE_FILE)
        exclude = [*(self.exclude or []), *excluded]
        conditions: dict[str, Any] = _conditions_of(which) | ({"cascade": cascade} if KINDS[which.kind].cascade else {})
        return KINDS[which.kind].selection(**conditions, ids=ids, exclude=exclude, everything=self.everything)


@attrs.frozen(kw_only=True)
class Row:
    """What there is to know about one kind."""

    noun: str
    """What one of them is called."""
    options: type[Conditions]
    """The options that select some of them; each is a condition of `selection`."""
    selection: type[Selection[Any]]
    batch: bool
    """Whether the platform has a call that deletes many."""
    cascade: bool = False
    """Whether what is behind one of them can go with it, so that it must be said whether it shall."""
    example: tuple[str, ...]
    """Conditions to try on the simulator."""
    columns: tuple[str, ...] = ()
    """The fields of an item that `list` shows in a table; all of them where none is named."""
    help: str
    """What ``aionorth delete KIND --help`` says."""

    @property
    def without(self) -> set[str]:
        """The options of ``aionorth delete`` that this kind has no use for."""
        return {name for name in ("batch", "cascade") if not getattr(self, name)}


KINDS: Mapping[Kind, Row] = {
    Kind.SUBSCRIPTIONS: Row(
        noun="subscription",
        options=Subscriptions,
        selection=SubscriptionSelection,
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
        selection=PackageSelection,
        batch=False,
        example=("--keep-latest", "2", "--older-than", "90d"),
        columns=("file_id", "name", "version", "model", "upload_time", "device_type", "manufacturer_name", "file_type"),
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
    Kind.DEVICES: Row(
        noun="device",
        options=Devices,
        selection=DeviceSelection,
        batch=False,
        cascade=True,
        columns=("device_id", "name", "status", "device_type", "model", "gateway_id", "created", "last_modified"),
        example=("--no-cascade", "--status", "INACTIVE"),
        help=f"""Delete devices: those that all the conditions given select.

A gateway can take the devices behind it along: say --cascade if it shall, else --no-cascade. What would go along
without being selected itself is counted, and named by --dry-run --json.

\b
Examples:
  All of an old model that have not been seen for half a year; look first:
    aionorth delete devices --no-cascade --model WM-1 \\
      --not-seen-since 180d --dry-run
    aionorth delete devices --no-cascade --model WM-1 --not-seen-since 180d
  Test gateways, with all that is behind them:
    aionorth delete devices --cascade --node-type GATEWAY --name 'test-*'
  A batch that was returned, by the ids in a column of a CSV file:
    aionorth delete devices --no-cascade --ids-file list.csv \\
      --csv-column device

{EXIT_CODES}
""",
    ),
    Kind.DEVICE_GROUPS: Row(
        noun="device group",
        options=DeviceGroups,
        selection=DeviceGroupSelection,
        batch=False,
        example=("--empty",),
        columns=("dev_group_id", "name", "members", "description"),
        help=f"""Delete device groups: those that all the conditions given select. The devices in them stay.

\b
Examples:
  Groups that no device is in; look first:
    aionorth delete device-groups --empty --dry-run
    aionorth delete device-groups --empty
  By name, but for one:
    aionorth delete device-groups --name 'test-*' --exclude 5fa1c2

{EXIT_CODES}
""",
    ),
}
