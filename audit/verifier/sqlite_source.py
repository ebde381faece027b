"""A ledger in its SQLite file, read without leaving a trace in it.

entry(seq INTEGER PRIMARY KEY, leaf BLOB, bytes BLOB)
checkpoint(size INTEGER PRIMARY KEY, note TEXT, time_ms INTEGER)
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

from .entry import MAX_ENTRY
from .errors import DamageError, UsageError
from .merkle import HASH_SIZE
from .note import MAX_NOTE
from .report import Code, Finding
from .sources import StoredCheckpoint, StoredEntry

if TYPE_CHECKING:
    import sqlite3
else:
    # One process must not open one file through two SQLite libraries: prefer the one the writer prefers.
    try:
        from pysqlite3 import dbapi2 as sqlite3
    except ImportError:
        import sqlite3

COLUMNS: Final = {
    "entry": (("seq", "INTEGER", 1), ("leaf", "BLOB", 0), ("bytes", "BLOB", 0)),
    "checkpoint": (("size", "INTEGER", 1), ("note", "TEXT", 0), ("time_ms", "INTEGER", 0)),
}
COSIGNATURES: Final = "cosignature"
_MAGIC: Final = b"SQLite format 3\x00"

# NOT INDEXED: an index that covers the columns could hold other values than the table it claims to repeat.
# The CASEs keep a value of a gigabyte out of memory: SQLite knows a blob's length without reading it.
_ENTRIES: Final = """
    SELECT seq,
           CASE WHEN typeof(leaf) = 'blob' AND length(leaf) = :leaf THEN leaf ELSE x'' END,
           CASE WHEN typeof(bytes) = 'blob' AND length(bytes) <= :bytes THEN bytes END
    FROM entry NOT INDEXED WHERE seq >= :start ORDER BY seq"""
_CHECKPOINTS: Final = """
    SELECT size, CASE WHEN typeof(note) = 'text' AND length(CAST(note AS BLOB)) <= :note THEN note END
    FROM checkpoint NOT INDEXED WHERE size >= :start ORDER BY size"""

# Of the four statements that a trigger's body can hold, a guard has only SELECT, with RAISE in it.
_QUOTED: Final = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/""", re.DOTALL)
_WRITES: Final = re.compile(r"\bBEGIN\b.*\b(INSERT|UPDATE|DELETE|REPLACE)\b", re.DOTALL | re.IGNORECASE)


class SqliteSource:
    """A closed ledger database, or the copy of one; a context manager.

    Without a write-ahead log beside it the file is opened ``immutable``: no lock, no ``-shm``, no change.
    With one, SQLite would have to write to read it, so both are copied to a private directory first.
    Beside a running service ask that for a copy: a file that is being written looks damaged.

    Raises:
        UsageError: there is no such file, it changed while it was copied, or it is no ledger at all.
    """

    keeps_checkpoints: Final = True

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).resolve()
        if not self._path.is_file():
            raise UsageError(f"{path}: no such file; expected a ledger's SQLite database")
        with self._path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise UsageError(f"{path}: not an SQLite database; expected a ledger's")
        self._copy: TemporaryDirectory[str] | None = None
        self._connection = self._open()
        if not self._is_ledger():
            self.close()
            raise UsageError(f"{path}: has neither table entry nor table checkpoint; expected a ledger")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database, and remove the copy if there is one."""
        self._connection.close()
        if self._copy is not None:
            self._copy.cleanup()

    def findings(self) -> Iterator[Finding]:
        """Compare the schema with the documented one; what cannot be read safely raises DamageError."""
        with _reading():
            for table, columns in COLUMNS.items():
                self._check_table(table, columns)
            for row in self._connection.execute(
                "SELECT type, name, tbl_name, coalesce(sql, x'') FROM sqlite_schema ORDER BY name"
            ):
                kind, name, table, sql = map(_shown, row)
                if not _is_expected(kind, name, table, sql):
                    yield Finding(
                        code=Code.UNEXPECTED_OBJECT, message=f"the database has an undocumented {kind} {name}"
                    )
            yield from self._below("entry", "seq", 0, Code.WRONG_SEQ)
            yield from self._below("checkpoint", "size", 1, Code.BAD_CHECKPOINT)

    def length(self) -> int:
        """Return one more than the largest seq."""
        with _reading():
            (largest,) = self._connection.execute("SELECT max(seq) FROM entry NOT INDEXED").fetchone()
        return largest + 1 if isinstance(largest, int) else 0

    def entries(self, start: int) -> Iterator[StoredEntry]:
        """Yield the rows of ``entry`` by seq; a stored leaf that is no hash comes as empty bytes."""
        bounds = {"leaf": HASH_SIZE, "bytes": MAX_ENTRY, "start": start}
        with _reading():
            for seq, leaf, octets in self._connection.execute(_ENTRIES, bounds):
                if type(seq) is not int:
                    raise DamageError(Code.SCHEMA_MISMATCH, f"table entry has a row of seq {seq!r}")
                if octets is None:
                    message = f"the entry's bytes are not a blob of at most {MAX_ENTRY} bytes"
                    raise DamageError(Code.BAD_ENTRY, message, seq=seq)
                yield StoredEntry(seq, leaf, octets)

    def checkpoints(self, start: int) -> Iterator[StoredCheckpoint]:
        """Yield the rows of ``checkpoint`` by size; a note that is no text comes as empty bytes."""
        bounds = {"note": MAX_NOTE, "start": start}
        with _reading():
            for size, note in self._connection.execute(_CHECKPOINTS, bounds):
                yield StoredCheckpoint(size, note or b"")

    def _open(self) -> sqlite3.Connection:
        readable, mode = self._path, "mode=ro&immutable=1"
        if any(_is_filled(log) for log in _logs(self._path)):
            self._copy = TemporaryDirectory(prefix="chancery-verifier-")
            try:
                readable, mode = _copy_quiet(self._path, Path(self._copy.name)), "mode=rw"
            except BaseException:
                self._copy.cleanup()
                raise
        connection = sqlite3.connect(f"file:{quote(str(readable))}?{mode}", uri=True, isolation_level=None)
        connection.text_factory = bytes
        return connection

    def _is_ledger(self) -> bool:
        """Say whether there is a table to verify; a file too damaged to tell is one to report on."""
        try:
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._connection.execute("PRAGMA cell_size_check = ON")
            names = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_schema")}
        except sqlite3.DatabaseError:
            return True
        return bool(names & {b"entry", b"checkpoint"})

    def _below(self, table: str, key: str, least: int, code: Code) -> Iterator[Finding]:
        """Look for rows that a pass from the beginning would never come to."""
        (found,) = self._connection.execute(f"SELECT min({key}) FROM {table} NOT INDEXED").fetchone()  # noqa: S608
        if isinstance(found, int) and found < least:
            yield Finding(code=code, message=f"table {table} has a row of {key} {found}")

    def _check_table(self, table: str, expected: tuple[tuple[str, str, int], ...]) -> None:
        found = tuple(
            (_shown(name), _shown(declared).upper(), key) if not hidden else ("a computed column",)
            for _, name, declared, _, _, key, hidden in self._connection.execute(
                f"PRAGMA main.table_xinfo({table})"
            )
        )
        if found != expected:  # which no view can meet: it has no primary key
            raise DamageError(
                Code.SCHEMA_MISMATCH, f"table {table}: got {found}, expected the documented {expected}"
            )


def _is_expected(kind: str, name: str, table: str, sql: str) -> bool:
    if kind == "trigger":
        return _WRITES.search(_QUOTED.sub("''", sql)) is None
    if kind == "index" and table in COLUMNS:
        return False
    return name.startswith(("sqlite_", "cache_")) or kind == "index" or name in {*COLUMNS, COSIGNATURES}


def _shown(octets: bytes) -> str:
    return octets.decode("utf-8", errors="replace")


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:  # the disk or the system failed, which says nothing of the log
        raise DamageError(Code.UNREADABLE_SOURCE, f"SQLite could not go on reading: {error}") from error
    except sqlite3.DatabaseError as error:
        raise DamageError(Code.DAMAGED_SOURCE, f"SQLite found the file damaged: {error}") from error


def _logs(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-journal")


def _is_filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _copy_quiet(path: Path, directory: Path) -> Path:
    """Copy the database and its logs, and make sure that nobody wrote to them meanwhile."""
    files = [path, *filter(_is_filled, _logs(path))]
    before = [(file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    for file in files:
        shutil.copyfile(file, directory / file.name)
    if before != [(file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.exists()]:
        raise UsageError(f"{path} is being written to; ask the running service for a copy")
    return directory / path.name
