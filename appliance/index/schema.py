"""The tables of index.db. Nobody's contract: another version drops them and reads the ledger again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

VERSION: Final = "2"

_TABLES: Final[dict[str, tuple[dict[str, Any], str | tuple[str, ...]]]] = {
    "meta": ({"name": str, "value": str}, "name"),
    "certificate": (
        {
            "seq": int,
            "serial": str,
            "type": str,
            "key_id": str,
            "ca": str,
            "ca_key": str,
            "customer": str,
            "subject": str,
            "identity": str,  # JSON
            "host": str,
            "key_fingerprint": str,
            "principals": str,  # JSON
            "valid_after": int,
            "valid_before": int,
            "critical_options": str,  # JSON
            "extensions": str,  # JSON
            "request": str,  # JSON
            "grants": str,  # JSON
            "policy": int,
            "time_ms": int,
            "leaf_hash": bytes,
            "tbs": bytes,
            "signature": bytes,
            "outcome": str,
            "outcome_ms": int,
            "outcome_reason": str,
            "revoked_ms": int,
            "revoked_reason": str,
            "revoked_by": str,
        },
        "seq",
    ),
    "principal": (
        {"principal": str, "login": str, "host_group": str, "certificate": int},
        ("principal", "certificate"),
    ),
    "denial": (
        {
            "seq": int,
            "subject": str,
            "rule": str,
            "request": str,
            "first_ms": int,
            "last_ms": int,
            "count": int,
        },
        "seq",
    ),
    "ca_phase": (
        {
            "seq": int,
            "ca": str,
            "type": str,
            "customer": str,
            "fingerprint": str,
            "public_key": str,
            "phase": str,
            "transcript": str,
            "attestation": str,
            "time_ms": int,
        },
        "seq",
    ),
    "host": (
        {
            "seq": int,
            "name": str,
            "customer": str,
            "names": str,
            "labels": str,
            "from_ms": int,
            "until_ms": int,
        },
        "seq",
    ),
    "policy": ({"seq": int, "time_ms": int}, "seq"),
    "policy_part": ({"seq": int, "name": str, "text": str}, "seq"),
    "policy_file": ({"policy": int, "position": int, "name": str, "text": str}, ("policy", "position")),
    "credential": (
        {
            "id": str,
            "subject": str,
            "kind": str,
            "secret_sha256": str,
            "created_ms": int,
            "expires_s": int,
            "uses": int,
            "used": int,
            "revoked_ms": int,
            "revoked_reason": str,
        },
        "id",
    ),
}
_INDEXES: Final = (
    ("certificate", ("serial",)),
    ("certificate", ("subject", "seq")),
    ("certificate", ("key_fingerprint", "seq")),
    ("certificate", ("key_id",)),
    ("certificate", ("host", "seq")),
    ("certificate", ("customer", "seq")),
    ("certificate", ("valid_before", "valid_after")),
    ("principal", ("login", "certificate")),
    ("principal", ("host_group", "certificate")),
    ("principal", ("certificate",)),
    ("host", ("name", "from_ms")),
    ("ca_phase", ("ca", "seq")),
)


def open_for_writing(path: Path) -> Database:
    """Open the index as its one writer; make its tables, anew if they are another version's."""
    connection = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False)
    db = Database(connection, execute_plugins=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")  # what a crash loses is read from the ledger again
    if _version(db) != VERSION:
        for name in db.table_names():
            db[name].drop()
        _create(db)
    return db


def open_for_reading(path: Path) -> Database:
    """Open the index without the power to change it.

    Raises:
        sqlite3.Error: it is not there, or not readable.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    return Database(connection, execute_plugins=False)


def _version(db: Database) -> str | None:
    if "meta" not in db.table_names():
        return None
    row = db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    return None if row is None else str(row[0])


def _create(db: Database) -> None:
    for name, (columns, pk) in _TABLES.items():
        db[name].create(columns, pk=pk)  # type: ignore[union-attr, unused-ignore]
    for table, indexed in _INDEXES:
        db[table].create_index(indexed)  # type: ignore[union-attr, unused-ignore]
    db["meta"].insert_all(  # type: ignore[union-attr, unused-ignore]
        [{"name": "schema", "value": VERSION}, {"name": "size", "value": "0"}]
    )
