"""An app's clock on a server whose own clock can be set, and how to notice that the server has lost something. Pure.

The app's clock goes as the server's does, from an offset. Each process expects it between two times, by its own measure
of the time since it last looked. Where the clock is not between them, and nobody has put it right since, the process
looks again. It knows by then how long its question may have been on the way. Where that does not explain it, the clock
is put right, to the earlier of the two times.

A server may be emptied or started anew, or go on from an older copy. Then a new life of the app's clock begins.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Self

import attrs

FIRST_TIME = 1000.0
"""Seconds that an app's clock shows when it begins."""

DRIFT = 1e-3
"""The part of the time by which two clocks may come apart without either having been set."""

DELAYS = 3
"""How often in a row a question may have been on its way for longer than the clock may be off. Then the clock is put
right: it may have been set, and is behind rather than ahead."""

LARGEST_NUMBER = 2**53


@attrs.frozen(kw_only=True)
class Entry:
    """An app's entry on a server: its document, and what its clock goes by."""

    version: str = ""
    document: str | None = None
    life: str = ""
    """The name of the clock's life; empty where there is no entry."""
    born: float = 0.0
    """When the life began, on the app's clock."""
    offset: float = 0.0
    """The server's time, in seconds since 1970, less the app's."""
    corrections: int = 0
    """How often the clock has been put right."""
    writes: int = 0
    """How many documents have been written in this life."""
    run: str = ""
    """Which run of the server it was written to."""

    @classmethod
    def from_fields(cls, fields: Sequence[str]) -> Self:
        """Return the entry that names and values, in turn, tell of.

        Raises:
            ValueError: A field is damaged.
        """
        found = dict(zip(fields[::2], fields[1::2], strict=True))
        if not found.get("life"):
            return cls()
        try:
            born, offset, corrections, writes = (
                float(found[name]) for name in ("born", "offset", "corrections", "writes")
            )
        except (KeyError, ValueError) as exc:
            raise ValueError(f"a number in it is missing or damaged ({exc})") from exc
        if not all(abs(number) < LARGEST_NUMBER for number in (born, offset, corrections, writes)):
            raise ValueError("a number in it is out of range")
        return cls(
            version=found.get("version", ""),
            document=found.get("document"),
            life=found["life"],
            born=born,
            offset=offset,
            corrections=int(corrections),
            writes=int(writes),
            run=found.get("run", ""),
        )

    def fields(self) -> list[str]:
        """Return names and values, in turn."""
        values = attrs.asdict(self) | {"born": f"{self.born:.6f}", "offset": f"{self.offset:.6f}"}
        return [str(part) for field in values.items() for part in field]


@attrs.frozen(kw_only=True)
class Look:
    """A look at an entry: what a process saw, and when, by its own clock."""

    entry: Entry = attrs.field(factory=Entry)
    run: str = ""
    """Which run of the server it is."""
    wall: float = 0.0
    """The server's time, in seconds since 1970."""
    asked: float = 0.0
    """When the process asked, by its own clock."""
    answered: float = 0.0
    """When it had the answer."""


@attrs.frozen(kw_only=True)
class Moment:
    """What the app's clock shows, and the entry to be written next."""

    now: float
    lost: bool
    """Whether newer documents may be missing."""
    entry: Entry
    look: Look


class AppClock:
    """An app's clock as one process knows it. Its state: the last entry seen, when, and how far the clock is ahead."""

    def __init__(self) -> None:
        self._entry = Entry()
        self._at = 0.0
        self._least = self._most = 0.0  # seconds by which it is ahead of the process's own clock

    def read(self, look: Look, clock_error: float, delays: int) -> Moment | None:
        """Return the moment of a look; None where the process has to look again first.

        Args:
            look: What was seen.
            clock_error: Seconds that the clock may have been set without anybody noticing.
            delays: How often in a row None has been returned.
        """
        entry, lost = look.entry, self._has_lost(look, clock_error)
        if lost:
            offset = entry.offset if entry.life else look.wall - FIRST_TIME
            now = look.wall - offset
            entry = attrs.evolve(entry, life=uuid.uuid4().hex, born=now, offset=offset, writes=0)
        else:
            now = look.wall - entry.offset
            if entry.life == self._entry.life:
                error = clock_error + (look.asked - self._at) * DRIFT
                earliest, latest = self._least + look.asked, self._most + look.asked
                # Where somebody has put it right it may well be behind: it may have been seen before that.
                behind = now < earliest - error and entry.corrections == self._entry.corrections
                if now > latest + error or behind:
                    if delays < DELAYS and not self._was_set(look, now, delays):
                        return None
                    offset, now = entry.offset + now - earliest, earliest
                    entry = attrs.evolve(entry, offset=offset, corrections=entry.corrections + 1)
        moment = Moment(now=now, lost=lost, entry=attrs.evolve(entry, run=look.run), look=look)
        if entry is look.entry:
            self._saw(moment)
        return moment

    def wrote(self, moment: Moment, entry: Entry) -> None:
        """Take note that `entry` has been written, in the place of the one that was seen at `moment`."""
        self._saw(attrs.evolve(moment, entry=entry))

    def _was_set(self, look: Look, now: float, delays: int) -> bool:
        """Whether no delay of a question explains what the clock shows; the first look does not tell."""
        latest = self._most + look.asked
        return delays > 0 and not latest <= now <= latest + look.answered - look.asked

    def _has_lost(self, look: Look, clock_error: float) -> bool:
        """Whether newer documents may be missing."""
        entry = look.entry
        if not entry.life or entry.run != look.run:
            return True
        if entry.life == self._entry.life:
            return entry.writes < self._entry.writes
        # All that was before a life is feared when it begins. One that is older than our last look is of an older copy.
        age, unseen_for = look.wall - entry.offset - entry.born, look.answered - self._at
        return self._entry.life != "" and age > unseen_for + clock_error

    def _saw(self, moment: Moment) -> None:
        """Take note of how far the app's clock is ahead.

        The server looked at it between question and answer. What is known already is only made more precise, so that a
        clock that is set a little, again and again, does not move it.
        """
        drift = (moment.look.answered - self._at) * DRIFT
        least, most = moment.now - moment.look.answered, moment.now - moment.look.asked
        if moment.entry.life == self._entry.life:
            before, after = self._least - drift, self._most + drift
            if moment.entry.corrections != self._entry.corrections:
                before = -math.inf
            least, most = min(max(before, least), after), max(min(after, most), before)
        self._entry, self._at, self._least, self._most = moment.entry, moment.look.answered, least, most
