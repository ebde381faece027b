"""The tables of index.db. Nobody's contract: another version drops them and reads the ledger again.

A certificate is one row, with the bytes of its intent as they are on record and, beside them, only what is
searched for. Its outcome and its revocation are rows of their own, so that a row once written stays.
``moment`` is what turns a time into a seq: since times never go back, everything before a moment is the
beginning of the ledger up to some entry, and every question about the past is one about such a beginning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgpack
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

VERSION: Final = "6"
# What a million certificates have in the indexes stays in memory, and what many commits change is written
# once for them all.
_CACHE_KIB: Final = 131_072
_WAL_PAGES: Final = 16_384
# Readers have pages where the kernel has them, one copy for all processes; SQLite takes no more than this.
_MMAP: Final = 0x7FFF_0000

TABLES: Final[dict[str, tuple[dict[str, Any], str | tuple[str, ...]]]] = {
    "meta": ({"name": str, "value": str}, "name"),
    # The first entry of each moment at which there are entries.
    "moment": ({"time_ms": int, "seq": int}, "time_ms"),
    "certificate": (
        {
            "seq": int,
            "shelf": int,  # see shelves.py
            "subject": str,
            "customer": str,
            "host": str,
            "key": int,  # the first bits of the subject key's fingerprint, see key_number
            "valid_after": int,
            "valid_before": int,
            "time_ms": int,
            "intent": bytes,  # the entry
        },
        "seq",
    ),
    "outcome": (
        {
            "certificate": int,
            "seq": int,
            "outcome": str,
            "time_ms": int,
            "reason": str,
            "signature": bytes,
        },
        "certificate",
    ),
    "revocation": (
        {"certificate": int, "seq": int, "time_ms": int, "reason": str, "revoked_by": str},
        "certificate",
    ),
    # Intents without an outcome.
    "open_intent": ({"certificate": int}, "certificate"),
    # Every principal that ever stood in a certificate, once; a host's has neither login nor host group.
    "principal": ({"id": int, "principal": str, "login": str, "host_group": str}, "id"),
    # The principals of each certificate; the id is its seq and the principal's place, see holdings.py.
    "holding": ({"id": int, "shelf": int, "principal": int}, "id"),
    "shelf": ({"shelf": int, "shortest_s": int, "longest_s": int}, "shelf"),
    "denial": (
        {
            "seq": int,
            "subject": str,
            "rule": str,
            "request": str,  # JSON
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
            "names": str,  # JSON
            "labels": str,  # JSON
            "from_ms": int,
            "until_seq": int,  # of the entry that removes or replaces it
        },
        "seq",
    ),
    "lock": (
        {
            "seq": int,
            "kind": str,
            "name": str,
            "accounts": str,  # JSON
            "reason": str,
            "placed_by": str,
            "time_ms": int,
            "until_seq": int,  # of the entry that lifts it
            "until_ms": int,
        },
        "seq",
    ),
    "policy": ({"seq": int, "time_ms": int, "holidays": str}, "seq"),
    "policy_part": ({"seq": int, "name": str, "text": str}, "seq"),
    "policy_file": ({"policy": int, "position": int, "name": str, "text": str}, ("policy", "position")),
    # What somebody should be told of at once; those of one entry are numbered.
    "alarm": (
        {
            "seq": int,
            "number": int,
            "time_ms": int,
            "event": str,
            "severity": str,
            "summary": str,
            "details": str,  # JSON
        },
        ("seq", "number"),
    ),
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
    "leave": (
        {
            "seq": int,
            "person": str,
            "identities": str,  # JSON
            "starts_s": int,
            "ends_s": int,
            "booked_ends_s": int,  # before an operator had it end sooner
            "timezone": str,
            "reason": str,
            "feed": str,
            "uid": str,
            "booked_by": str,
            "booked_ms": int,
            "withdrawn_ms": int,
            "ended": str,  # how, if not by itself: cancelled, or replaced by one that says the same
            "ended_ms": int,
        },
        "seq",
    ),
    "approval": (
        {
            "seq": int,
            "identity": str,
            "grant_name": str,
            "reason": str,
            "requested_ms": int,
            "answer_by_s": int,
            "ttl_s": int,
        },
        "seq",
    ),
    "approval_answer": (
        {
            "seq": int,
            "approval": int,
            "person": str,
            "answer": str,  # given or refused
            "expires_s": int,
            "reason": str,
            "time_ms": int,
        },
        "seq",
    ),
}
# Of tables that have a row or more for each certificate. No fold looks anything up by them.
_LARGE: Final = (
    ("certificate", "certificate_all", ("shelf",)),
    ("certificate", "certificate_subject", ("subject", "shelf")),
    ("certificate", "certificate_customer", ("customer", "shelf")),
    ("certificate", "certificate_key", ("key", "shelf")),
    ("outcome", "outcome_seq", ("seq",)),
    ("holding", "holding_principal", ("principal", "shelf")),
)
_SMALL: Final = (
    ("revocation", "revocation_seq", ("seq",)),
    ("principal", "principal_name", ("principal",)),
    ("principal", "principal_login", ("login", "host_group")),
    ("principal", "principal_host_group", ("host_group", "login")),
    ("host", "host_name", ("name", "seq")),
    ("host", "host_until", ("until_seq", "seq")),
    ("lock", "lock_until", ("until_seq", "seq")),
    ("ca_phase", "ca_phase_ca", ("ca", "seq")),
    ("leave", "leave_person", ("person", "seq")),
    ("leave", "leave_ends", ("ends_s",)),
    ("approval", "approval_identity", ("identity", "seq")),
    ("approval_answer", "approval_answer_approval", ("approval", "seq")),
)


def key_number(digest: bytes) -> int:
    """Return the 48 bits by which a key's fingerprint is found: they take a third of the place of all 256.

    Whoever finds one has to compare the rest, seldom in vain.
    """
    return int.from_bytes(digest[:6], "big")


def open_for_writing(path: Path) -> Database:
    """Open the index as its one writer; make its tables, anew if they are another version's."""
    connection = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False)
    db = Database(connection, execute_plugins=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")  # what a crash loses is read from the ledger again
    db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    db.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
    if _version(db) != VERSION:
        for name in db.table_names():
            db[name].drop()
        _create(db)
        add_large_indexes(db)
    return db


def open_for_building(path: Path) -> Database:
    """Open a new index that nobody reads before it is whole: without the large indexes, and without syncing.

    A row then goes to the end of its table and nowhere else. :func:`complete` makes an index of it.
    """
    connection = sqlite3.connect(str(path), isolation_level=None)
    db = Database(connection, execute_plugins=False)
    for pragma in ("journal_mode=MEMORY", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
        db.execute(f"PRAGMA {pragma}")
    _create(db)
    return db


def complete(db: Database) -> None:
    """Add the large indexes, and make the file one that has a writer and readers."""
    add_large_indexes(db)
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA journal_mode=WAL")


def open_for_reading(path: Path) -> Database:
    """Open the index without the power to change it.

    Raises:
        sqlite3.Error: it is not there, or not readable.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
    connection.execute(f"PRAGMA mmap_size={_MMAP}")
    return Database(connection, execute_plugins=False)


def state_hash(db: Database, on_progress: Callable[[str], None] = lambda _table: None) -> str:
    """Return the SHA-256, in hex, of everything that the tables say: the same for the same ledger.

    Over each table in the order of their names: its name, its columns and its rows in the order of the
    primary key, each as MessagePack. ``on_progress`` is told each table's name.
    """
    digest = hashlib.sha256()
    for name in sorted(TABLES):
        on_progress(name)
        columns, pk = TABLES[name]
        key = ", ".join([pk] if isinstance(pk, str) else pk)
        digest.update(msgpack.packb([name, list(columns)]))
        # All names are this module's own.
        for row in db.execute(f"SELECT {', '.join(columns)} FROM [{name}] ORDER BY {key}"):  # noqa: S608
            digest.update(msgpack.packb(row))
    return digest.hexdigest()


def add_large_indexes(db: Database) -> None:
    """Add the indexes of the tables that grow with the certificates."""
    _add_indexes(db, _LARGE)
    # Most certificates are users': what only hosts' have is not worth a place in an index for each of those.
    db.execute("CREATE INDEX certificate_host ON certificate(host, shelf) WHERE host IS NOT NULL")


def _add_indexes(db: Database, indexes: Iterable[tuple[str, str, tuple[str, ...]]]) -> None:
    for table, name, columns in indexes:
        db[table].create_index(columns, index_name=name)  # type: ignore[union-attr, unused-ignore]


def _version(db: Database) -> str | None:
    if "meta" not in db.table_names():
        return None
    row = db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    return None if row is None else str(row[0])


def _create(db: Database) -> None:
    for name, (columns, pk) in TABLES.items():
        db[name].create(columns, pk=pk)  # type: ignore[union-attr, unused-ignore]
    _add_indexes(db, _SMALL)
    db["meta"].insert_all(  # type: ignore[union-attr, unused-ignore]
        [{"name": "schema", "value": VERSION}, {"name": "size", "value": "0"}]
    )
