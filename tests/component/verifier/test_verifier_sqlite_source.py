"""The SQLite source on real files: the schema is pinned, damage is found, and nothing is left behind."""

from __future__ import annotations

import shutil
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

from audit.verifier import Code, Report, SqliteSource, UsageError, Verdict, verify_log
from unit.verifier.logbook import KEY, Logbook

GUARDS = """
CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'insert only: no UPDATE, no DELETE'); END;
CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); /* not even to REPLACE */ END;
CREATE TRIGGER entry_in_order BEFORE INSERT ON entry
WHEN NEW.seq <> (SELECT coalesce(max(seq) + 1, 0) FROM entry)
BEGIN SELECT RAISE(ABORT, 'out of order'); END;
"""


def verify(path: Path) -> Report:
    with SqliteSource(path) as source:
        return verify_log(source, pinned_key=KEY.vkey)


def codes(report: Report) -> set[Code]:
    return {finding.code for finding in report.findings}


def change(path: Path, script: str) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.iterdir()
    }


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    folder = tmp_path / "a ledger?mode=rw#%41"  # a name that a careless URI would misread
    folder.mkdir()
    return Logbook.of(9, covered=[4, 9]).write_sqlite(folder / "ledger.db")


def test_sound_database_is_verified_and_left_as_it_was(ledger: Path) -> None:
    before = fingerprint(ledger.parent)
    assert verify(ledger).verdict is Verdict.VERIFIED
    assert fingerprint(ledger.parent) == before


def test_closed_database_in_wal_mode_is_verified_and_left_as_it_was(ledger: Path) -> None:
    change(ledger, "PRAGMA journal_mode = WAL;")
    before = fingerprint(ledger.parent)
    with SqliteSource(ledger) as source:
        assert verify_log(source, pinned_key=KEY.vkey).verdict is Verdict.VERIFIED
        assert fingerprint(ledger.parent) == before


def test_entries_in_the_write_ahead_log_are_read_and_it_is_left_as_it_was(
    tmp_path: Path, ledger: Path
) -> None:
    writer = sqlite3.connect(ledger)
    writer.execute("PRAGMA journal_mode = WAL")
    log = Logbook.of(10, covered=[10])
    writer.execute("INSERT INTO entry VALUES (9, ?, ?)", (log.leaves[9], log.entries[9]))
    writer.execute("INSERT INTO checkpoint VALUES (10, ?, 0)", (log.checkpoints[0][1],))
    writer.commit()
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("ledger.db", "ledger.db-wal"):
        shutil.copy(ledger.parent / name, crashed / name)
    writer.close()
    before = fingerprint(crashed)
    report = verify(crashed / "ledger.db")
    assert (report.verdict, report.size) == (Verdict.VERIFIED, 10)
    assert fingerprint(crashed) == before


def test_private_copy_is_removed(ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    (ledger.parent / "ledger.db-wal").write_bytes(b"torn")
    with SqliteSource(ledger) as source:
        (copy,) = copies.iterdir()
        assert copy.stat().st_mode & 0o077 == 0
        assert verify_log(source, pinned_key=KEY.vkey).size == 9
    assert list(copies.iterdir()) == []


def test_guards_caches_and_cosignatures_are_expected(ledger: Path) -> None:
    caches = """
    CREATE TABLE cache_kind(seq INTEGER, kind TEXT);
    CREATE INDEX cache_by_kind ON cache_kind(kind);
    CREATE VIEW cache_view AS SELECT * FROM cache_kind;
    CREATE TABLE cosignature(size INTEGER, line TEXT);
    CREATE INDEX by_size ON cosignature(size);
    ANALYZE;
    """
    assert verify(change(ledger, GUARDS + caches)).verdict is Verdict.VERIFIED


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE notes(x);",
        "CREATE VIEW entries AS SELECT * FROM entry;",
        "CREATE INDEX by_leaf ON entry(leaf);",
        "CREATE INDEX cache_notes ON checkpoint(note);",
        "CREATE TRIGGER cache_evil AFTER INSERT ON entry BEGIN DELETE FROM checkpoint; END;",
        "CREATE TRIGGER evil AFTER INSERT ON entry BEGIN SELECT 1; UPDATE entry SET leaf = x''; END;",
        "CREATE TRIGGER evil INSTEAD OF INSERT ON v BEGIN INSERT INTO entry VALUES (1, x'', x''); END;",
    ],
)
def test_undocumented_object_is_tampering(ledger: Path, script: str) -> None:
    if " ON v " in script:
        script = "CREATE VIEW v AS SELECT 1 AS x;" + script
    assert codes(verify(change(ledger, script))) == {Code.UNEXPECTED_OBJECT}


@pytest.mark.parametrize(
    "script",
    [
        "ALTER TABLE entry ADD COLUMN note TEXT;",
        "ALTER TABLE entry RENAME COLUMN bytes TO octets;",
        "ALTER TABLE checkpoint DROP COLUMN time_ms;",
        "ALTER TABLE entry ADD COLUMN size GENERATED ALWAYS AS (length(bytes));",
        "DROP TABLE checkpoint;",
        "DROP TABLE entry;",
        "ALTER TABLE entry RENAME TO cache_e; CREATE VIEW entry AS SELECT seq, leaf, bytes FROM cache_e;",
        "DROP TABLE entry; CREATE TABLE entry(seq INT PRIMARY KEY, leaf BLOB, bytes BLOB);",
        "DROP TABLE entry; CREATE TABLE entry(seq INTEGER PRIMARY KEY, leaf BLOB, bytes TEXT);",
        "DROP TABLE checkpoint; CREATE VIRTUAL TABLE checkpoint USING fts5(size, note, time_ms);",
    ],
)
def test_table_that_is_not_as_documented_is_tampering(ledger: Path, script: str) -> None:
    report = verify(change(ledger, script))
    assert report.verdict is Verdict.TAMPERED
    assert Code.SCHEMA_MISMATCH in codes(report)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("UPDATE entry SET bytes = CAST(bytes AS TEXT) WHERE seq = 5;", Code.BAD_ENTRY),
        ("UPDATE entry SET bytes = zeroblob(200000000) WHERE seq = 5;", Code.BAD_ENTRY),
        ("UPDATE entry SET leaf = hex(leaf) WHERE seq = 5;", Code.ALTERED_LEAF),
        ("UPDATE entry SET leaf = x'' WHERE seq = 5;", Code.ALTERED_LEAF),
        ("DELETE FROM entry WHERE seq = 5;", Code.MISSING_ENTRY),
        ("DELETE FROM entry WHERE seq >= 5;", Code.TRUNCATED),
        ("UPDATE entry SET seq = 9 WHERE seq = 8;", Code.MISSING_ENTRY),
        ("INSERT INTO entry SELECT -1, leaf, bytes FROM entry WHERE seq = 0;", Code.WRONG_SEQ),
        ("UPDATE checkpoint SET size = 5 WHERE size = 4;", Code.BAD_CHECKPOINT),
        ("UPDATE checkpoint SET note = CAST(note AS BLOB) WHERE size = 4;", Code.BAD_CHECKPOINT),
        ("UPDATE checkpoint SET note = note || char(0) WHERE size = 4;", Code.BAD_CHECKPOINT),
        (
            "UPDATE checkpoint SET note = note || printf('%.*c', 200000, 'x') WHERE size = 4;",
            Code.BAD_CHECKPOINT,
        ),
        ("INSERT INTO checkpoint SELECT -1, note, 0 FROM checkpoint WHERE size = 4;", Code.BAD_CHECKPOINT),
    ],
)
def test_row_that_was_changed_is_tampering(ledger: Path, script: str, code: Code) -> None:
    report = verify(change(ledger, script))
    assert report.verdict is Verdict.TAMPERED
    assert code in codes(report)


def test_key_that_is_no_integer_is_tampering(ledger: Path) -> None:
    """A primary key declared INTEGER ... DESC is no rowid, and takes values of any type."""
    report = verify(
        change(
            ledger,
            "ALTER TABLE entry RENAME TO cache_e;"
            "CREATE TABLE entry(seq INTEGER PRIMARY KEY DESC, leaf BLOB, bytes BLOB);"
            "INSERT INTO entry SELECT iif(seq = 8, 'x', seq), leaf, bytes FROM cache_e;",
        )
    )
    assert codes(report) >= {Code.UNEXPECTED_OBJECT, Code.SCHEMA_MISMATCH}


def test_page_that_was_overwritten_is_tampering(tmp_path: Path) -> None:
    path = Logbook.of(300, covered=[300]).write_sqlite(tmp_path / "ledger.db")
    octets = bytearray(path.read_bytes())
    octets[4096 * 8 : 4096 * 9] = b"\xa5" * 4096
    path.write_bytes(octets)
    report = verify(path)
    assert report.verdict is Verdict.TAMPERED
    assert Code.DAMAGED_SOURCE in codes(report)


def test_schema_page_that_was_overwritten_is_tampering(ledger: Path) -> None:
    octets = bytearray(ledger.read_bytes())
    octets[100:4096] = b"\xa5" * 3996
    ledger.write_bytes(octets)
    assert codes(verify(ledger)) == {Code.DAMAGED_SOURCE, Code.EMPTY_LOG}


def test_file_that_is_no_database_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("not a database")
    for wrong, message in ((path, "not an SQLite database"), (tmp_path, "no such file")):
        with pytest.raises(UsageError, match=message):
            SqliteSource(wrong)


def test_database_that_is_no_ledger_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither table entry"):
        SqliteSource(change(tmp_path / "index.db", "CREATE TABLE certificate(serial TEXT);"))


def test_database_that_is_being_written_to_is_a_usage_error(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ledger.parent / "ledger.db-wal").write_bytes(b"frames")
    copy = shutil.copyfile

    def copy_while_someone_writes(source: Path, target: Path) -> None:
        copy(source, target)
        with source.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(shutil, "copyfile", copy_while_someone_writes)
    with pytest.raises(UsageError, match="being written to"):
        SqliteSource(ledger)
