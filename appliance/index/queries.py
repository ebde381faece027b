"""Questions to the index. Each is answered within one read transaction, and says at which ledger size."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from appliance.errors import ChanceryError, malformed
from appliance.index.records import (
    CaKeyRecord,
    CertificateRecord,
    CredentialRecord,
    HostRecord,
    LogRecord,
    certificate_of,
    host_of,
)
from appliance.index.schema import VERSION, open_for_reading
from appliance.policy.document import Policy, PolicyFile, parse_policy

MAX_PAGE: Final = 500
DEFAULT_PAGE: Final = 100
CERTIFICATE_CURSOR: Final = r"^[0-9a-f]{14}$"  # the seq of the last one; any of this form is a position
_WAIT_STEP_S: Final = 0.05
StateName = Literal["pending", "active", "expired", "revoked", "failed"]

# What each state means as a condition; `:now_s` and `:now_ms` are the moment of the question.
_STATES: Final[dict[str, str]] = {
    "pending": "outcome IS NULL",
    "failed": "outcome IN ('failed', 'abandoned')",
    "revoked": "outcome = 'issued' AND revoked_ms IS NOT NULL",
    "active": "outcome = 'issued' AND revoked_ms IS NULL AND valid_before > :now_s",
    "expired": "outcome = 'issued' AND revoked_ms IS NULL AND valid_before <= :now_s",
}


class IndexUnavailable(ChanceryError):
    """There is no index to read, or not yet: the index process builds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFilter:
    """What certificates are searched for; None asks for nothing. Times are those of the intents."""

    subject: str | None = None
    key_id: str | None = None
    principal: str | None = None
    host: str | None = None
    customer: str | None = None
    fingerprint: str | None = None
    type: str | None = None
    state: StateName | None = None
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records, the newest first, and where the next ones begin."""

    certificates: tuple[CertificateRecord, ...]
    cursor: str | None
    size: int


@dataclass(slots=True)
class Snapshot:
    """The index at one moment. Valid only inside the block that :meth:`Index.snapshot` opens."""

    db: Database
    size: int
    _policies: dict[int, Policy] = field(default_factory=dict)

    def row(self, sql: str, **values: object) -> dict[str, Any] | None:
        """Return the first row of a query."""
        return next(iter(self.db.query(sql, values)), None)

    def rows(self, sql: str, **values: object) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        return list(self.db.query(sql, values))

    def log(self) -> LogRecord:
        """Return what is on record of the log."""
        meta = {row["name"]: row["value"] for row in self.rows("SELECT name, value FROM meta")}
        return LogRecord(
            origin=meta["origin"],
            log_number=int(meta["log_number"]),
            ledger_key=meta["ledger_key"],
            bundle_key=meta["bundle_key"],
            size=self.size,
            head_ms=int(meta["head_ms"]),
        )

    def policy_seq(self, at_ms: int | None = None) -> int | None:
        """Return the entry of the policy in force, now or at a moment."""
        row = self.row(
            "SELECT max(seq) AS seq FROM policy WHERE time_ms <= :at_ms",
            at_ms=2**62 if at_ms is None else at_ms,
        )
        return None if row is None else row["seq"]

    def policy_files(self, seq: int) -> tuple[PolicyFile, ...]:
        """Return the texts of a policy."""
        rows = self.rows("SELECT name, text FROM policy_file WHERE policy = :seq ORDER BY position", seq=seq)
        return tuple(PolicyFile(name=row["name"], text=row["text"]) for row in rows)

    def policy(self, at_ms: int | None = None) -> Policy | None:
        """Return the policy in force, now or at a moment; parsed once for each."""
        seq = self.policy_seq(at_ms)
        if seq is None:
            return None
        if seq not in self._policies:
            self._policies[seq] = parse_policy(self.policy_files(seq))
        return self._policies[seq]

    def certificate(self, serial: str) -> CertificateRecord | None:
        """Return a certificate by serial."""
        row = self.row("SELECT * FROM certificate WHERE serial = :serial", serial=serial)
        return None if row is None else certificate_of(row)

    def certificates(self, wanted: CertificateFilter, *, now_s: int, cursor: str | None, limit: int) -> Page:
        """Search, newest first.

        Raises:
            Refusal: ``malformed-request``; the cursor or the limit is none.
        """
        if not 0 < limit <= MAX_PAGE:
            raise malformed("limit", f"got {limit}, expected 1 to {MAX_PAGE}")
        conditions, values = _conditions(wanted)
        if cursor is not None:
            conditions.append("seq < :before")
            values["before"] = _parse_cursor(cursor)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        sql = f"SELECT * FROM certificate {where} ORDER BY seq DESC LIMIT :limit"  # noqa: S608 - constants
        rows = self.rows(sql, **values, now_s=now_s, limit=limit + 1)
        found = tuple(certificate_of(row) for row in rows[:limit])
        more = len(rows) > limit
        return Page(
            certificates=found, cursor=_format_cursor(found[-1].seq) if more else None, size=self.size
        )

    def ca_keys(self, ca: str | None = None) -> list[CaKeyRecord]:
        """Return the keys of one CA or of all, oldest first, each in its last phase."""
        by_key: dict[str, CaKeyRecord] = {}
        sql = "SELECT * FROM ca_phase WHERE :ca IS NULL OR ca = :ca ORDER BY seq"
        for row in self.rows(sql, ca=ca):
            known = by_key.get(row["fingerprint"])
            halted = row["phase"] == "halted"
            by_key[row["fingerprint"]] = CaKeyRecord(
                ca=row["ca"],
                type=row["type"],
                customer=row["customer"],
                fingerprint=row["fingerprint"],
                public_key=row["public_key"],
                phase=known.phase if known is not None and halted else row["phase"],
                halted=halted or (known is not None and known.halted),
                created_ms=row["time_ms"] if known is None else known.created_ms,
                transcript=row["transcript"] if known is None else known.transcript,
                attestation=row["attestation"] if known is None else known.attestation,
            )
        return list(by_key.values())

    def hosts(self, at_ms: int | None = None) -> list[HostRecord]:
        """Return the hosts that are registered, now or at a moment."""
        moment = 2**62 - 1 if at_ms is None else at_ms
        sql = "SELECT * FROM host WHERE from_ms <= :at AND until_ms > :at ORDER BY name"
        return [host_of(row) for row in self.rows(sql, at=moment)]

    def host(self, name: str, at_ms: int | None = None) -> HostRecord | None:
        """Return a host by name, now or at a moment."""
        moment = 2**62 - 1 if at_ms is None else at_ms
        sql = "SELECT * FROM host WHERE name = :name AND from_ms <= :at AND until_ms > :at"
        row = self.row(sql, name=name, at=moment)
        return None if row is None else host_of(row)

    def credential(self, id_: str) -> CredentialRecord | None:
        """Return an API credential by id."""
        row = self.row("SELECT * FROM credential WHERE id = :id", id=id_)
        return None if row is None else CredentialRecord(**row)


class Index:
    """A reader of index.db, for one process; its threads take turns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db: Database | None = None
        self._inode = 0
        self._policies: dict[int, Policy] = {}

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open the index at its present state.

        Raises:
            IndexUnavailable: there is none, or none that this version reads.
        """
        with self._lock:
            db = self._connection()
            try:
                db.execute("BEGIN")
                meta = dict(db.execute("SELECT name, value FROM meta"))
            except sqlite3.Error as error:
                self._forget()
                raise IndexUnavailable(f"{self._path}: cannot be read: {error}") from error
            try:
                if meta.get("schema") != VERSION or "origin" not in meta:
                    raise IndexUnavailable(f"{self._path}: is still being built; try again")
                yield Snapshot(db=db, size=int(meta["size"]), _policies=self._policies)
            finally:
                db.execute("ROLLBACK")

    def wait_for(self, size: int, timeout_s: float) -> int:
        """Wait until the index covers ``size`` entries, or for the time given; return what it covers."""
        deadline = time.monotonic() + timeout_s
        while True:
            with self.snapshot() as snapshot:
                covered = snapshot.size
            if covered >= size or time.monotonic() >= deadline:
                return covered
            time.sleep(_WAIT_STEP_S)

    def _connection(self) -> Database:
        """Return the connection, to the file that is at the path now: a rebuilt index is another file."""
        try:
            inode = self._path.stat().st_ino
        except OSError as error:
            raise IndexUnavailable(
                f"{self._path}: there is no index yet; `chancery serve` builds it"
            ) from error
        if self._db is None or inode != self._inode:
            self._forget()
            try:
                self._db = open_for_reading(self._path)
            except sqlite3.Error as error:
                raise IndexUnavailable(f"{self._path}: cannot be opened: {error}") from error
            self._inode = inode
        return self._db

    def _forget(self) -> None:
        if self._db is not None:
            self._db.conn.close()
            self._db = None
        self._policies.clear()


def _conditions(wanted: CertificateFilter) -> tuple[list[str], dict[str, object]]:
    columns = {
        "subject": wanted.subject,
        "key_id": wanted.key_id,
        "host": wanted.host,
        "customer": wanted.customer,
        "key_fingerprint": wanted.fingerprint,
        "type": wanted.type,
    }
    values: dict[str, object] = {name: value for name, value in columns.items() if value is not None}
    conditions = [f"{name} = :{name}" for name in values]
    if wanted.principal is not None:
        conditions.append("seq IN (SELECT certificate FROM principal WHERE principal = :principal)")
        values["principal"] = wanted.principal
    if wanted.state is not None:
        conditions.append(f"({_STATES[wanted.state]})")
    for name, operator, value in (("since_ms", ">=", wanted.since_ms), ("until_ms", "<", wanted.until_ms)):
        if value is not None:
            conditions.append(f"time_ms {operator} :{name}")
            values[name] = value
    return conditions, values


def _format_cursor(seq: int) -> str:
    return f"{seq:014x}"


def _parse_cursor(cursor: str) -> int:
    if re.fullmatch(CERTIFICATE_CURSOR, cursor) is None:
        raise malformed("cursor", "expected one that an earlier page gave")
    return int(cursor, 16)
