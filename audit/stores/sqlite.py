"""The ledger in one SQLite file.

One read-write connection in one process, which is thereby the only checkpointer of the WAL: SQLite before
3.51.3 can lose committed transactions when two connections checkpoint. ``synchronous=FULL`` makes a COMMIT
wait for the disk. The triggers are guard rails against accidents; what proves that nothing was changed is
the verifier, for whom the triggers' absence is one finding among others.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from audit.errors import LedgerInUse, StoreError

try:
    import pysqlite3 as sqlite3  # carries a current SQLite, where Debian's is older than the fix
except ImportError:
    import sqlite3

_SCHEMA: Final = """
CREATE TABLE entry(
    seq INTEGER PRIMARY KEY,
    leaf BLOB NOT NULL CHECK (typeof(leaf) = 'blob' AND length(leaf) = 32),
    bytes BLOB NOT NULL CHECK (typeof(bytes) = 'blob' AND length(bytes) <= 60000)
);
CREATE TABLE checkpoint(
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL CHECK (typeof(note) = 'text'),
    time_ms INTEGER NOT NULL
);
CREATE TRIGGER entry_appends BEFORE INSERT ON entry
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq) + 1, 0) FROM entry)
BEGIN SELECT raise(ABORT, 'the ledger is append-only: seq is not the next one'); END;
CREATE TRIGGER entry_stays BEFORE UPDATE ON entry
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entry_remains BEFORE DELETE ON entry
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER checkpoint_appends BEFORE INSERT ON checkpoint
WHEN NEW.size <= (SELECT coalesce(max(size), 0) FROM checkpoint)
BEGIN SELECT raise(ABORT, 'checkpoints grow: size is not above the last one'); END;
CREATE TRIGGER checkpoint_stays BEFORE UPDATE ON checkpoint
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER checkpoint_remains BEFORE DELETE ON checkpoint
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
"""
_ADD_ENTRY: Final = "INSERT INTO entry(seq, leaf, bytes) VALUES (?, ?, ?)"
_ADD_CHECKPOINT: Final = "INSERT INTO checkpoint(size, note, time_ms) VALUES (?, ?, ?)"


class SqliteStore:
    """The one writer of a ledger file. Belongs to the process that made it, and is no use after a fork."""

    def __init__(self, path: Path, connection: Any, lock: int) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock
        self._pid = os.getpid()
        self._inode = path.stat().st_ino

    @classmethod
    def create(cls, path: Path) -> SqliteStore:
        """Create the file, readable by its owner alone.

        Raises:
            StoreError: it exists, or cannot be made.
        """
        lock = _lock(path)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            connection = _connect(path, "rwc")
            connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        except (OSError, sqlite3.Error) as error:
            os.close(lock)
            raise StoreError(f"{path}: cannot be created: {error}") from error
        return cls(path, connection, lock)

    @classmethod
    def open(cls, path: Path) -> SqliteStore:
        """Open an existing file, after whatever crash.

        Raises:
            LedgerInUse: another process has it open.
            StoreError: it is missing, or not a ledger.
        """
        if not path.is_file():
            raise StoreError(f"{path}: there is no ledger; make one with `chancery init`")
        lock = _lock(path)
        try:
            connection = _connect(path, "rw")
            connection.execute("SELECT seq, leaf, bytes FROM entry LIMIT 0")
            connection.execute("SELECT size, note, time_ms FROM checkpoint LIMIT 0")
        except sqlite3.Error as error:
            os.close(lock)
            raise StoreError(f"{path}: not a ledger that SQLite can open: {error}") from error
        return cls(path, connection, lock)

    def rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield every entry as it is stored."""
        try:
            yield from self._connection.execute("SELECT seq, leaf, bytes FROM entry ORDER BY seq")
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: cannot be read: {error}") from error

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Yield every checkpoint."""
        yield from _checkpoints(self._connection, self._path)

    def begin(self) -> None:
        """Begin a transaction, unless the file is not the one at its path any more.

        Commits to an unlinked or replaced file succeed, and are lost with the process.
        """
        if os.getpid() != self._pid:
            raise StoreError("a ledger does not survive fork: open it in the process that writes")
        try:
            found = self._path.stat()
            if found.st_ino != self._inode or found.st_nlink != 1:
                raise StoreError(
                    f"{self._path}: was replaced, unlinked or linked elsewhere: stop and compare"
                )
            self._connection.execute("BEGIN IMMEDIATE")
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self._path}: cannot be written: {error}") from error

    def add_entry(self, seq: int, leaf: bytes, raw: bytes) -> None:
        """Add an entry."""
        self._execute(_ADD_ENTRY, (seq, leaf, raw))

    def add_checkpoint(self, size: int, note: str, time_ms: int) -> None:
        """Add a checkpoint."""
        self._execute(_ADD_CHECKPOINT, (size, note, time_ms))

    def commit(self) -> None:
        """Make the transaction durable."""
        self._execute("COMMIT", ())

    def rollback(self) -> None:
        """Undo the transaction."""
        if self._connection.in_transaction:
            self._execute("ROLLBACK", ())

    def close(self) -> None:
        """Close the file, which folds the WAL into it, and let go of the lock."""
        self._connection.close()
        os.close(self._lock)

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {statement.partition('(')[0].lower()}: {error}") from error


class SqliteReader:
    """A second connection to the file, for one thread of the process that writes it. Never checkpoints."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = _connect(path, "ro")
        except sqlite3.Error as error:
            raise StoreError(f"{path}: cannot be opened for reading: {error}") from error

    def size(self) -> int:
        """Return the number of entries."""
        (size,) = self._connection.execute("SELECT coalesce(max(seq) + 1, 0) FROM entry").fetchone()
        return int(size)

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of some entries."""
        query = "SELECT bytes FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq"
        for (raw,) in self._connection.execute(query, (start, end)):
            yield raw

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Yield every checkpoint."""
        yield from _checkpoints(self._connection, self._path)

    def last_checkpoint(self) -> tuple[int, str] | None:
        """Return size and note of the newest checkpoint."""
        row = self._connection.execute(
            "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1"
        ).fetchone()
        return None if row is None else (row[0], row[1])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _checkpoints(connection: Any, path: Path) -> Iterator[tuple[int, str]]:
    try:
        yield from connection.execute("SELECT size, note FROM checkpoint ORDER BY size")
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error


def _connect(path: Path, mode: str) -> Any:
    """Connect without a hidden transaction: BEGIN and COMMIT are ours to say."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=5,
        check_same_thread=False,  # made by the thread that starts the process, used by one other
    )
    if mode != "ro":
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _lock(path: Path) -> int:
    """Lock a file beside the ledger; SQLite's own descriptors would drop a lock on the file itself."""
    try:
        fd = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: cannot be locked: {error}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise LedgerInUse(f"{path}: another process has this ledger open; stop it first") from error
    return fd
