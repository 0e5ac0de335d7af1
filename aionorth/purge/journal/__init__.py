"""The journal of a purge: JSON Lines, append-only, so that the purge can be resumed after whatever ended it.

It has the ids that are to be deleted, a line before the first attempt at each, and a line with its outcome. Each line
is handed to the operating system whole before what it announces is done: a process that is killed loses nothing that it
knew. The line before an attempt is on the disk before that is sent, and one with an outcome within a second: so it is
for a machine that loses power. The file gets its name once the ids and the first run's beginning are in it.

======================================================  ========================================================
``{"aionorth": "journal", "version": 3, "kind": …}``    the first line: what, whose, and how many ids will follow
``{"ids": [...]}``                                      ids to delete, some hundred a line
``{"run": time}``                                       a run begins; times are seconds since 1970
``{"begin": id, "at": time}``                           the first attempt of this run at an id is about to be sent
``{"end": id, "at": time, "outcome": …, "calls": …}``   its outcome, and what it took over all runs
``{"outage": time, "until": time, "open": true}``       the platform is silent; again each ten seconds
``{"outage": time, "until": time}``                     it answers again, or the run has ended
``{"stop": time, "how": …, "began": …, "gone": …}``     the run has ended; when the first began, how many ids are gone
======================================================  ========================================================

In each line the last field is ``"crc"``: the CRC-32 of all bytes of the line before it, as eight hexadecimal digits. So
no flipped bit makes it another id. Version 1 had none, and version 2 no lines about outages and the end of a run; a
journal keeps the version in which it was begun.

In the texts of errors the names of arguments are marked, as in `aionorth.common.arguments`; in older ones they are not.

A large journal whose last line is a run's end need not be read to know whether anything is left to do.

`lines` has the format of a line, `entries` what lines say of an id, `standing` what they say of a run, and `history`
what all of them say together. `reading` opens a file to read it, and `overview` says what it comes to. `journal` is
what a run writes to, `file` where that is kept, and `sync` brings it to the disk.
"""

from aionorth.purge.journal.entries import Entry
from aionorth.purge.journal.file import check_new
from aionorth.purge.journal.history import History, Outage, Run, Stop
from aionorth.purge.journal.journal import Journal
from aionorth.purge.journal.overview import Overview, overview_of, read_now, remove_finished
from aionorth.purge.journal.reading import read, target_of
from aionorth.purge.journal.standing import RunState

__all__ = [
    "Entry",
    "History",
    "Journal",
    "Outage",
    "Overview",
    "Run",
    "RunState",
    "Stop",
    "check_new",
    "overview_of",
    "read",
    "read_now",
    "remove_finished",
    "target_of",
]
