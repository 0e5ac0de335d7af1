"""A store for the processes of one machine: an SQLite file for each app.

The clock is that of the machine since it was started, which is the same for all of its processes and does not jump.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast

import attrs

from aionorth.common.directories import NoDirectoryError, store_directory
from aionorth.common.files import StrPath, UntrustedFileError, check_own_directory, check_own_file, check_way
from aionorth.common.text import visible
from aionorth.errors import ArgumentError, SessionStateError, StoreError, StoreUnavailableError
from aionorth.stores.base import LONGEST_LEASE, Snapshot, StoredToken, token_name

T = TypeVar("T")

LOCK_TIMEOUT = 5.0
"""Seconds for which one process waits for the others to let go of the file. They hold it for about a millisecond."""

RETRY_EVERY = 0.01
"""Seconds between two tries where SQLite does not wait by itself."""

PAGES_AHEAD = 100
"""Pages of 4 KiB that are written ahead at most; an app's file has about ten."""

SCHEMA = (
    "CREATE TABLE flow (version TEXT, document TEXT, at REAL)",
    "CREATE TABLE tokens (name TEXT PRIMARY KEY, text TEXT, obtained_at REAL)",
    "CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT, until REAL)",
)
"""All times are seconds on the machine's clock. `flow` has one row, with the time at which it was written; without a
document it says that there was one, which is lost."""

VERSION = 2
"""Of the schema."""

BEFORE = 1
"""The version before: its tables are dropped."""

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


def _usable_directory(directory: object) -> Path:
    if not isinstance(directory, (str, os.PathLike)) or not directory:
        raise ArgumentError(f"MachineStore.directory={directory!r}: give the path of a directory, as str or Path")
    return Path(cast("StrPath", directory)).expanduser()


def _command_lines_directory() -> Path:
    try:
        return store_directory("give MachineStore a directory")
    except NoDirectoryError as exc:
        raise ArgumentError(str(exc)) from None


@attrs.frozen
class MachineStore:
    """Shares an app's flow control and token between the processes of one machine, and over their restarts.

    `directory` holds an SQLite file for each app; it is made if need be, and only its owner can read what is in it. One
    that another user owns or can write to is refused, and so is one in which such a user has put a file or a link.
    All processes must name the same one, on a disk of the machine itself: over a network file system it does not work.

    Without one it is the command line's, so that a service and the command line of one user share the app's flow
    control. To find it takes a home directory and the package platformdirs (``pip install 'aionorth[cli]'``);
    without them `ArgumentError` is raised.
    """

    directory: Path = attrs.field(converter=_usable_directory, factory=_command_lines_directory)

    async def open(self, app: str) -> OpenMachineStore:
        """Open the app's file; raises `StoreError`."""
        store = OpenMachineStore(self.directory / f"{app}.sqlite3", time.monotonic)
        await store.begin()
        return store


class OpenMachineStore:  # more than 15 methods: each call of a store has a half that works in the thread
    """An app's file. It is worked on in a thread of its own: another process may hold the lock for a while."""

    steady = True

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

    async def read(self, *, clock_error: float) -> Snapshot:  # noqa: ARG002 - its clock is steady
        """See `Store.read`."""
        return await self._in_thread(self._read)

    async def replace(self, snapshot: Snapshot, document: str, *, keep: float) -> bool:  # noqa: ARG002 - kept for good
        """See `Store.replace`."""
        return await self._in_thread(lambda: self._replace(snapshot, document))

    async def read_token(self, key: bytes) -> StoredToken | None:
        """See `Store.read_token`."""
        return await self._in_thread(lambda: self._read_token(token_name(key)))

    async def lease_token(self, key: bytes, holder: str, seconds: float) -> bool:
        """See `Store.lease_token`."""
        return await self._in_thread(lambda: self._lease_token(token_name(key), holder, seconds))

    async def end_lease(self, key: bytes, holder: str, token: StoredToken | None) -> None:
        """See `Store.end_lease`."""
        await self._in_thread(lambda: self._end_lease(token_name(key), holder, token))

    def damaged_because(self, reason: str) -> StoreError:
        """See `Store.damaged_because`."""
        return _store_error(self._file, sqlite3.DatabaseError(reason))

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
                _make_schema(db, self._clock())
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
    def _step(self, *, writes: bool = True) -> Generator[sqlite3.Connection]:
        """Make one step, on the files that other processes find: somebody may have removed the open ones."""
        if self._db is not None and self._files_there() != self._files:
            self._lost = True
            self._close()
        if self._db is None:
            self._begin()
        db = self._db
        assert db is not None
        try:
            with _transaction(db, writes=writes):
                yield db
        finally:
            if db.in_transaction:  # it could not even be rolled back
                self._close()

    def _read(self) -> Snapshot:
        with self._step(writes=False) as db:
            row = db.execute("SELECT version, document, at FROM flow").fetchone()
            now = self._clock()  # after that: what another process has just written must not seem to be yet to come
        if row is None:
            return Snapshot(document=None, version="", now=now, lost=self._lost)
        version, document, at = row
        if not isinstance(version, str) or not isinstance(at, (int, float)):
            raise sqlite3.DatabaseError("what it says of the document is damaged")
        if document is not None and not isinstance(document, str):
            raise sqlite3.DatabaseError("the document is not text")
        if now < at:
            self._forget_tokens()
        return Snapshot(document=document, version=version, now=now, lost=self._lost or document is None)

    def _forget_tokens(self) -> None:
        """Forget what goes by the clock, if the machine was started anew, and its clock with it."""
        with self._step() as db:
            (at,) = db.execute("SELECT at FROM flow").fetchone() or (0.0,)
            if self._clock() < at:
                db.execute("DELETE FROM tokens")
                db.execute("DELETE FROM leases")

    def _replace(self, snapshot: Snapshot, document: str) -> bool:
        with self._step() as db:
            (version,) = db.execute("SELECT version FROM flow").fetchone() or ("",)
            if version != snapshot.version or (self._lost and not snapshot.lost):
                return False
            _write(db, document, snapshot.now)
        self._lost = False
        return True

    def _read_token(self, name: str) -> StoredToken | None:
        with self._step() as db:
            now = self._clock()  # of a token from before the machine was started anew nobody knows the age
            entry = "SELECT CAST(text AS BLOB), obtained_at FROM tokens WHERE name = ? AND obtained_at <= ?"
            text, obtained_at = db.execute(entry, (name, now)).fetchone() or (None, now)
            # What was damaged need not be text: then it is read as no token.
            return None if text is None else StoredToken(text.decode(errors="replace"), now - obtained_at)

    def _lease_token(self, name: str, holder: str, seconds: float) -> bool:
        with self._step() as db:
            now = self._clock()
            db.execute("DELETE FROM leases WHERE NOT ifnull(until > ? AND until <= ?, 0)", (now, now + LONGEST_LEASE))
            if db.execute("SELECT 1 FROM leases WHERE name = ? AND holder != ?", (name, holder)).fetchone():
                return False
            db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (name, holder, now + seconds))
            return True

    def _end_lease(self, name: str, holder: str, token: StoredToken | None) -> None:
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
            if sys.platform != "win32" and state.st_mode & 0o077:
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


def _make_schema(db: sqlite3.Connection, now: float) -> None:
    """Make the tables if need be. Where those of the version before were there, what they knew is lost."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    if version not in {0, BEFORE}:
        raise sqlite3.DatabaseError(f"it was made by another version of aionorth (schema {version})")
    if version == BEFORE:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            db.execute(f"DROP TABLE {table}")
    for statement in SCHEMA:
        db.execute(statement)
    if version == BEFORE:
        _write(db, None, now)
    db.execute(f"PRAGMA user_version = {VERSION}")


def _write(db: sqlite3.Connection, document: str | None, at: float) -> None:
    db.execute("DELETE FROM flow")
    db.execute("INSERT INTO flow VALUES (?, ?, ?)", (uuid.uuid4().hex, document, at))


@contextmanager
def _transaction(db: sqlite3.Connection, *, writes: bool = True) -> Generator[None]:
    db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
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
            remedy = "; make room on its disk" if code & 0xFF == sqlite3.SQLITE_FULL else ""
        elif code & 0xFF in DENIED:
            remedy = "; see that you can write to it, to the files beside it, and to their directory"
        else:
            remedy = "; remove it and the files beside it once no process has used it for a period and two time-outs"
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
