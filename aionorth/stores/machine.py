"""A store for the processes of one machine: an SQLite file for each app.

The clock is that of the machine since it was started, which is the same for all of its processes and does not jump.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast

import attrs

from aionorth.common.files import StrPath, UntrustedFileError, check_own_directory, check_own_file, check_way
from aionorth.common.text import visible
from aionorth.errors import ArgumentError, SessionStateError, StoreError, StoreUnavailableError
from aionorth.flow.learning import Facts, Lesson
from aionorth.flow.ledger import Ending, Terms, View
from aionorth.flow.shared import (
    LARGEST,
    LONGEST_LEASE,
    Answer,
    Ask,
    End,
    Shelved,
    forgotten_after,
    grace,
    is_late,
    recalled,
    taught,
    token_name,
)

T = TypeVar("T")

LOCK_TIMEOUT = 5.0
"""Seconds for which one process waits for the others to let go of the file. They hold it for about a millisecond."""

RETRY_EVERY = 0.01
"""Seconds between two tries where SQLite does not wait by itself."""

PAGES_AHEAD = 100
"""Pages of 4 KiB that are written ahead at most; an app's file has about ten."""

SCHEMA = (
    "CREATE TABLE flow (at REAL, not_before REAL, most INTEGER, late INTEGER, lesson TEXT)",
    "CREATE TABLE slots (key TEXT PRIMARY KEY, free_at REAL, flies_until REAL, refused INTEGER)",
    "CREATE INDEX slots_by_time ON slots (free_at)",
    "CREATE TABLE waiting (asker TEXT PRIMARY KEY, due REAL)",
    "CREATE TABLE tokens (name TEXT PRIMARY KEY, text TEXT, obtained_at REAL)",
    "CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT, until REAL)",
)
"""All times are seconds on the machine's clock. `flow` has one row, written `at` last. A slot's call is in
flight until `flies_until`, unless its end is handed over before."""

VERSION = 1
"""Of the schema."""

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite adds to the file's name for those that it keeps beside it. It uses the ones that it finds."""

PASSING = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_SHMSIZE,  # the disk is full as well
    sqlite3.SQLITE_READONLY_DBMOVED,  # it has just been removed: it is begun anew
)
"""SQLite's errors that may be over after a while, though nobody has seen to the store."""

PASSING_IN_SYSTEM = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOSPC,
    getattr(errno, "EDQUOT", errno.ENOSPC),
}
"""The system's."""

DENIED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)
"""SQLite's that tell of the file's place, and not of what is in it."""

NO_NUMBER = f"(typeof({{0}}) NOT IN ('real', 'integer') OR abs({{0}}) > {LARGEST})"
"""SQL for what a column of times cannot hold, unless the file is damaged: SQLite holds anything anywhere."""


def _usable_directory(directory: object) -> Path:
    if not isinstance(directory, (str, os.PathLike)) or not directory:
        raise ArgumentError(f"MachineStore.directory={directory!r}: give the path of a directory, as str or Path")
    return Path(cast("StrPath", directory)).expanduser()


@attrs.frozen
class MachineStore:
    """Shares an app's flow control and token between the processes of one machine, and over their restarts.

    `directory` holds an SQLite file for each app; it is made if need be, and only its owner can read what is in it. One
    that another user owns or can write to is refused, and so is one in which such a user has put a file or a link.
    All processes must name the same one, on a disk of the machine itself: over a network file system it does not work.
    """

    directory: Path = attrs.field(converter=_usable_directory)

    async def open(self, app: str) -> OpenMachineStore:
        """Open the app's file; raises `StoreError`."""
        store = OpenMachineStore(self.directory / f"{app}.sqlite3", time.monotonic)
        await store.begin()
        return store


class OpenMachineStore:
    """An app's file. It is worked on in a thread of its own: another process may hold the lock for a while."""

    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aionorth-store")
        self._db: sqlite3.Connection | None = None
        self._files: list[tuple[int, int] | None] = []  # which ones the connection has open
        self._lost = False  # whether what was known may have gone with a file since the last exchange
        self._closed = False

    async def begin(self) -> None:
        """Open the file, and make it if there is none."""
        try:
            await self._in_thread(self._begin)
        except BaseException:
            await self.close()
            raise

    async def exchange(self, terms: Terms, ends: Sequence[End], ask: Ask | None, now: float) -> Answer:
        """See `Store.exchange`."""
        return await self._in_thread(lambda: self._exchange(terms, ends, ask, now))

    async def read_token(self, key: bytes) -> Shelved | None:
        """See `Store.read_token`."""
        return await self._in_thread(lambda: self._read_token(token_name(key)))

    async def lease_token(self, key: bytes, holder: str, seconds: float) -> bool:
        """See `Store.lease_token`."""
        return await self._in_thread(lambda: self._lease_token(token_name(key), holder, seconds))

    async def end_lease(self, key: bytes, holder: str, token: Shelved | None) -> None:
        """See `Store.end_lease`."""
        await self._in_thread(lambda: self._end_lease(token_name(key), holder, token))

    async def close(self) -> None:
        """See `Store.close`."""
        self._closed = True
        try:
            await self._in_thread(self._close)
        finally:
            self._thread.shutdown(wait=False)

    # --- In the thread

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._closed and work != self._close:
            raise SessionStateError("the session is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as exc:
            raise _store_error(self._file, exc) from exc

    def _begin(self) -> None:
        _make_private(self._file)
        # Autocommit: transactions are begun by name. Only this object's thread uses it, one call at a time.
        db = sqlite3.connect(self._file, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            _write_ahead(db)
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint = {PAGES_AHEAD}")
            with _transaction(db):
                _make_schema(db)
        except BaseException:
            db.close()
            raise
        files = self._files_there()
        self._lost |= bool(self._files) and files[0] != self._files[0]
        self._db, self._files = db, files

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _files_there(self) -> list[tuple[int, int] | None]:
        """Tell the file, and the two beside it that are there while it is open, from others of their names."""
        return [_identity(f"{self._file}{suffix}") for suffix in ("", "-wal", "-shm")]

    @contextmanager
    def _step(self) -> Generator[sqlite3.Connection]:
        """Make one step, on the files that other processes find: somebody may have removed the open ones."""
        if self._db is not None and self._files_there() != self._files:
            self._lost = True
            self._close()
        if self._db is None:
            self._begin()
        db = self._db
        assert db is not None
        try:
            with _transaction(db):
                yield db
        finally:
            if db.in_transaction:  # it could not even be rolled back
                self._close()

    def _exchange(self, terms: Terms, ends: Sequence[End], ask: Ask | None, now: float) -> Answer:
        with self._step() as db:
            answer = _Step(db, self._clock(), terms, lost=self._lost).exchange(ends, ask, now)
        self._lost = False
        return answer

    def _read_token(self, name: str) -> Shelved | None:
        with self._step() as db:
            now = self._clock()  # of a token from before the machine was started anew nobody knows the age
            entry = "SELECT CAST(text AS BLOB), obtained_at FROM tokens WHERE name = ? AND obtained_at <= ?"
            text, obtained_at = db.execute(entry, (name, now)).fetchone() or (None, now)
            # What was damaged need not be text: whoever reads it finds no token in it.
            return None if text is None else Shelved(text.decode(errors="replace"), now - obtained_at)

    def _lease_token(self, name: str, holder: str, seconds: float) -> bool:
        with self._step() as db:
            now = self._clock()
            db.execute("DELETE FROM leases WHERE NOT ifnull(until > ? AND until <= ?, 0)", (now, now + LONGEST_LEASE))
            if _count(db, "leases WHERE name = ? AND holder != ?", name, holder):
                return False
            db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (name, holder, now + seconds))
            return True

    def _end_lease(self, name: str, holder: str, token: Shelved | None) -> None:
        with self._step() as db:
            if not db.execute("DELETE FROM leases WHERE name = ? AND holder = ?", (name, holder)).rowcount:
                return
            if token is not None:
                values = (name, token.text, self._clock() - token.age)
                db.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)", values)


def _make_private(file: Path) -> None:
    """Make a file and its directory if need be; raises `UntrustedFileError` where other users have a hand in either.

    SQLite would write the token into a file beside it that somebody else has put there.
    """
    check_way(file.parent)  # before anything is made through a link
    _make_directory(file.parent)
    check_own_directory(file.parent)
    found = [Path(f"{file}{suffix}") for suffix in ("", *BESIDE)]
    for one in found:
        check_own_file(one)
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # those beside it get the same mode
    for one in found:
        with suppress(FileNotFoundError):
            state = one.lstat()
            if state.st_nlink > 1:
                raise UntrustedFileError("it has another name elsewhere, as a hard link", one)
            if os.name == "posix" and state.st_mode & 0o077:
                descriptor = os.open(one, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    os.fchmod(descriptor, 0o600)
                finally:
                    os.close(descriptor)


def _make_directory(directory: Path) -> None:
    """Make a directory that only its owner can enter, and those above it likewise."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        _make_directory(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return None
    return state.st_dev, state.st_ino


def _make_schema(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version not in {0, VERSION}:
        raise sqlite3.DatabaseError(f"it was made by another version of aionorth (schema {version})")
    if version == 0:
        for statement in SCHEMA:
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Generator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has done it itself, or cannot: the cause is more to the point
            db.execute("ROLLBACK")
        raise


def _store_error(file: Path, error: sqlite3.Error | OSError) -> StoreError:
    """Return what to tell of an error, and what to do about it."""
    kind: type[StoreError] = StoreError
    remedy = ""
    if isinstance(error, OSError):
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        if error.errno in PASSING_IN_SYSTEM:
            kind = StoreUnavailableError
        elif isinstance(error, UntrustedFileError):
            inside = error.filename != str(file.parent)
            remedy = "; remove it if you do not need it" if inside else "; or give a directory of your own"
        else:
            remedy = "; give a directory in which you can make files"
    else:
        reason, code = str(error), getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if code in PASSING or code & 0xFF in PASSING:
            kind = StoreUnavailableError
        elif code & 0xFF in DENIED:
            remedy = "; see that you can write to it, to the files beside it, and to their directory"
        else:
            remedy = "; remove it and the files beside it once no process has used it for a period and a time-out"
    return kind(visible(f"the store of flow control, {file}, cannot be used: {reason}{remedy}"))


def _write_ahead(db: sqlite3.Connection) -> None:
    """Let the file have a write-ahead log. Where several processes begin at once SQLite refuses without waiting."""
    until = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(RETRY_EVERY)
        else:
            return


def _count(db: sqlite3.Connection, condition: str, *values: object) -> int:
    (count,) = db.execute(f"SELECT count(*) FROM {condition}", values).fetchone()  # noqa: S608 - our own words
    return int(count)


class _Step:
    """The rules of the window, at one moment and within one transaction."""

    def __init__(self, db: sqlite3.Connection, now: float, terms: Terms, *, lost: bool) -> None:
        """Where what was known is `lost`, each slot may have been taken a moment before."""
        if _count(db, f"slots WHERE {NO_NUMBER.format('free_at')} OR {NO_NUMBER.format('flies_until')}"):
            raise sqlite3.DatabaseError("a time in it is no number")
        self._db = db
        self._now = now
        self._terms = terms
        self._not_before = 0.0
        self._most = self._late = 0
        self._lesson = Lesson()
        row = db.execute("SELECT at, not_before, most, late, lesson FROM flow").fetchone()
        if row is not None:
            self._recall(*row)
        self._unknown_for = terms.timeout + terms.hold if lost else 0.0
        if lost:
            self._not_before = now + self._unknown_for
        gone = "slots WHERE free_at <= ?"
        if _count(db, gone, now):
            self._most = max(self._most, _count(db, "slots WHERE flies_until <= ?", now))
            db.execute(f"DELETE FROM {gone}", (now,))  # noqa: S608 - our own words
        over = f"waiting WHERE {NO_NUMBER.format('due')} OR due <= ?"
        db.execute(f"DELETE FROM {over}", (now,))  # noqa: S608 - our own words

    def _recall(self, at: float, not_before: float, most: int, late: int, text: str) -> None:
        """Take up what was known when the file was last used."""
        try:
            lesson = recalled(text)
        except ValueError as exc:
            raise sqlite3.DatabaseError(f"what refusals have taught cannot be read from it: {exc}") from exc
        whole, parts = {int}, {int, float}
        for value, kinds in ((at, parts), (not_before, parts), (most, whole), (late, whole)):
            if type(value) not in kinds or abs(value) > LARGEST:
                raise sqlite3.DatabaseError("a number in it is none")
        if self._now < at:  # the machine was started anew, and its clock with it
            for table in ("waiting", "tokens", "leases"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own words
            self._db.execute("UPDATE slots SET flies_until = 0, free_at = ?", (self._now + self._terms.hold,))
        elif self._now - at <= forgotten_after(self._terms):
            self._not_before, self._most, self._late = not_before, most, late
            self._lesson = lesson
            return
        self._lesson = Lesson(episode=lesson.episode)

    def exchange(self, ends: Sequence[End], ask: Ask | None, now_there: float) -> Answer:
        """See `Store.exchange`."""
        for end in ends:
            self._end(end, self._now - (now_there - end.counted))
        self._learn(ends)
        wait = None if ask is None else self._take(ask)
        values = (self._now, self._not_before, self._most, self._late, self._lesson.to_json())
        self._db.execute("DELETE FROM flow")
        self._db.execute("INSERT INTO flow VALUES (?, ?, ?, ?, ?)", values)
        return Answer(
            view=self._view(),
            episode=self._lesson.episode,
            pauses=self._lesson.pauses,
            wait=wait,
            unknown_for=self._unknown_for,
        )

    def _end(self, end: End, counted: float) -> None:
        free_at = counted + self._terms.hold
        if end.word is Ending.UNSENT or free_at <= self._now:
            self._db.execute("DELETE FROM slots WHERE key = ?", (end.grant.key,))
        else:
            values = (end.grant.key, free_at, end.word is Ending.REFUSED)
            self._db.execute("INSERT OR REPLACE INTO slots VALUES (?, ?, 0, ?)", values)
        self._late += is_late(end, self._lesson)

    def _learn(self, ends: Sequence[End]) -> None:
        accepted = _count(self._db, "slots WHERE flies_until <= ? AND NOT refused", self._now)
        facts = Facts(accepted=accepted, most=self._most, late=self._late)
        before, self._lesson = self._lesson, taught(self._lesson, ends, facts, self._now, self._terms)
        if self._lesson.episode != before.episode:
            self._late = 0
            self._not_before = max(self._not_before, self._now + self._lesson.gap_now(0))
        if before.learned and not self._lesson.learned:
            self._most = 0  # it may have counted refused calls

    @property
    def _limit(self) -> int:
        learned = self._lesson.limit_now(self._late) if self._lesson.learned else self._terms.limit
        return min(learned, self._terms.limit)

    @property
    def _gap(self) -> float:
        return max(self._terms.gap, self._lesson.gap_now(self._late))

    def _take(self, ask: Ask) -> float | None:
        """Give the slot asked for and return None, or return how many seconds to wait before asking again."""
        db, now = self._db, self._now
        # Whoever asks again has not used what was given: it is given again as of now, unless a pause has begun.
        given = db.execute("DELETE FROM slots WHERE key = ?", (ask.key,)).rowcount > 0
        if now < self._lesson.paused_until:
            return self._lesson.paused_until - now
        if self._lesson.pauses and _count(db, "slots WHERE flies_until > ?", now):
            return self._gap  # after a pause one call tries alone whether the platform accepts calls again
        if not given and (wait := self._queue(ask.asker)) > 0:
            return wait
        flies_until = now + self._terms.timeout
        values = (ask.key, flies_until + self._terms.hold, flies_until)
        db.execute("INSERT INTO slots VALUES (?, ?, ?, 0)", values)
        self._not_before = max(self._not_before, now + self._gap)
        return None

    def _queue(self, asker: str) -> float:
        """Return how many seconds it takes until it is the asker's turn; 0 where it is, which ends its waiting."""
        db, now = self._db, self._now
        db.execute("INSERT OR IGNORE INTO waiting VALUES (?, ?)", (asker, now))
        ahead = _count(db, "waiting WHERE rowid < (SELECT rowid FROM waiting WHERE asker = ?)", asker)
        wait = max(max(self._not_before - now, 0.0) + ahead * self._gap, self._free_in(ahead))
        if wait > 0:
            due = now + wait + grace(self._terms.period)
            db.execute("UPDATE waiting SET due = ? WHERE asker = ?", (due, asker))
        else:
            db.execute("DELETE FROM waiting WHERE asker = ?", (asker,))
        return wait

    def _free_in(self, ahead: int) -> float:
        """Seconds until a slot is free for whoever has so many others ahead; a call in flight has to end first."""
        if (surplus := _count(self._db, "slots") + ahead - self._limit) < 0:
            return 0.0
        row = self._db.execute("SELECT free_at FROM slots ORDER BY free_at LIMIT 1 OFFSET ?", (surplus,)).fetchone()
        if row is None:  # nobody has it yet: one of those ahead takes it, or lets its turn pass
            first = "SELECT min(due) FROM (SELECT due FROM waiting ORDER BY rowid LIMIT ?)"
            row = self._db.execute(first, (ahead,)).fetchone()
        return min(float(row[0]) - self._now, self._terms.hold)

    def _view(self) -> View:
        return View(
            in_use=_count(self._db, "slots"),
            next_slot=self._free_in(0),
            paused_for=max(0.0, self._lesson.paused_until - self._now),
            limit=self._limit if self._lesson.learned else None,
            gap=self._lesson.gap_now(self._late),
        )
