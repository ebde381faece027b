"""Questions to the index. Each is answered within one read transaction, and says at which ledger size."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from appliance.authority.fold.leaves import Leaves
from appliance.errors import ChanceryError
from appliance.index.caches import Caches
from appliance.index.cursors import check_size
from appliance.index.fleet import Fleet, Registered, Registration
from appliance.index.prefix import Prefix
from appliance.index.reach import Reach
from appliance.index.records import (
    RECORD_SQL,
    CaKeyRecord,
    CertificateRecord,
    CredentialRecord,
    HostRecord,
    LogRecord,
    certificate_of,
    host_of,
    leave_of,
    lock_of,
)
from appliance.index.schema import VERSION, open_for_reading
from appliance.policy.document import Policy, PolicyFile, parse_policy
from appliance.policy.holidays import calendar_from_data
from appliance.policy.locks import Locks
from appliance.policy.terms import BACKDATE_S

MAX_PAGE: Final = 500
DEFAULT_PAGE: Final = 100
_WAIT_STEP_S: Final = 0.05
_NEVER_MS: Final = 2**62


class IndexUnavailable(ChanceryError):
    """There is no index to read, or not yet: the index process builds it."""


@dataclass(slots=True)
class Snapshot:
    """The index at one moment. Valid only inside the block that :meth:`Index.snapshot` opens.

    A question about the past takes ``upto``: how many of the first entries it is about; None is all.
    """

    db: Database
    size: int
    log_number: int
    _caches: Caches

    def row(self, sql: str, **values: object) -> dict[str, Any] | None:
        """Return the first row of a query."""
        return next(iter(self.db.query(sql, values)), None)

    def rows(self, sql: str, **values: object) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        return list(self.db.query(sql, values))

    def value(self, sql: str, *values: object) -> Any:
        """Return the first column of the first row of a query, or None."""
        row = self.db.execute(sql, values).fetchone()
        return None if row is None else row[0]

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

    def max_ttl_s(self) -> int:
        """Return the longest time that any certificate of this log is valid."""
        return int(self.value("SELECT value FROM meta WHERE name = 'max_ttl_s'"))

    def first_at(self, at_ms: int) -> int:
        """Return the first entry that is not older than a moment; the size, if there is none."""
        sql = "SELECT seq FROM moment WHERE time_ms >= ? ORDER BY time_ms LIMIT 1"
        found = self.value(sql, min(at_ms, _NEVER_MS))
        return self.size if found is None else int(found)

    def prefix(self, at_ms: int, size: int | None = None) -> Prefix:
        """Return the beginning of the ledger that a moment is; of the ledger as it was at ``size``.

        Raises:
            Refusal: ``ledger-unavailable``; the index does not cover that size.
        """
        covered = self.size if size is None else size
        check_size(covered, self.size)
        return Prefix(size=covered, upto=min(covered, self.first_at(at_ms + 1)), at_ms=at_ms)

    def policy_seq(self, upto: int | None = None) -> int | None:
        """Return the entry of the policy in force."""
        found: int | None = self.value("SELECT max(seq) FROM policy WHERE seq < ?", self._end(upto))
        return found

    def policy_files(self, seq: int) -> tuple[PolicyFile, ...]:
        """Return the texts of a policy."""
        rows = self.rows("SELECT name, text FROM policy_file WHERE policy = :seq ORDER BY position", seq=seq)
        return tuple(PolicyFile(name=row["name"], text=row["text"]) for row in rows)

    def policy(self, upto: int | None = None) -> Policy | None:
        """Return the policy in force; parsed once for each."""
        seq = self.policy_seq(upto)
        if seq is None:
            return None
        return self._caches.policies.get(seq, lambda: self._read_policy(seq))

    def _read_policy(self, seq: int) -> Policy:
        recorded = json.loads(self.value("SELECT holidays FROM policy WHERE seq = ?", seq))
        return parse_policy(self.policy_files(seq), map(calendar_from_data, recorded))

    def reach(self, policy_seq: int, policy: Policy) -> Reach:
        """Return a policy arranged for the question who could obtain what; once for each."""
        return self._caches.reaches.get(policy_seq, lambda: Reach(policy))

    def certificate(self, serial: str) -> CertificateRecord | None:
        """Return a certificate by serial."""
        log_number, seq = divmod(int(serial), 1 << 48)
        return None if log_number != self.log_number else self.certificate_at(seq, self.size)

    def certificate_at(self, seq: int, size: int) -> CertificateRecord | None:
        """Return the certificate whose intent is an entry, as a ledger of that size has it."""
        row = self.db.execute(RECORD_SQL, (seq,)).fetchone()
        return None if row is None else certificate_of(row, size)

    def ca_keys(self, ca: str | None = None, upto: int | None = None) -> list[CaKeyRecord]:
        """Return the keys of one CA or of all, oldest first, each in the phase that it is in."""
        last = self.value("SELECT max(seq) FROM ca_phase WHERE seq < ?", self._end(upto))
        keys = () if last is None else self._caches.ca_keys.get(last, lambda: self._read_ca_keys(last))
        return [key for key in keys if ca is None or key.ca == ca]

    def hosts(self, upto: int | None = None) -> list[HostRecord]:
        """Return the registered hosts, by name."""
        sql = "SELECT * FROM host WHERE seq < :upto AND until_seq >= :upto ORDER BY name"
        return [host_of(row) for row in self.rows(sql, upto=self._end(upto))]

    def host(self, name: str, upto: int | None = None) -> HostRecord | None:
        """Return a host by name."""
        sql = "SELECT * FROM host WHERE name = :name AND seq < :upto AND until_seq >= :upto"
        row = self.row(sql, name=name, upto=self._end(upto))
        return None if row is None else host_of(row)

    def locks(self, upto: int | None = None) -> Locks:
        """Return the locks in force."""
        locks = Locks()
        sql = "SELECT * FROM lock WHERE seq < :upto AND until_seq >= :upto ORDER BY seq"
        for row in self.rows(sql, upto=self._end(upto)):
            locks.place(lock_of(row).lock)
        return locks

    def leaves(self, prefix: Prefix) -> Leaves:
        """Return the leaves of a moment that are not over, or have only just been."""
        leaves = Leaves()
        sql = (
            "SELECT * FROM absence WHERE seq < :upto AND until_seq >= :upto AND ends_s > :over ORDER BY leave"
        )
        for row in self.rows(sql, upto=prefix.upto, over=prefix.at_s - BACKDATE_S):
            leaves.add(leave_of(row))
        return leaves

    def fleet(self) -> Fleet:
        """Return all registrations of hosts, for the question which hosts a group had; read once."""
        added = self.value("SELECT max(seq) FROM host")
        ended = self.value("SELECT max(until_seq) FROM host WHERE until_seq < ?", self.size)
        return self._caches.fleets.get((added or 0, ended or 0), lambda: Fleet(self._registrations()))

    def credential(self, id_: str) -> CredentialRecord | None:
        """Return an API credential by id."""
        row = self.row("SELECT * FROM credential WHERE id = :id", id=id_)
        return None if row is None else CredentialRecord(**row)

    def _end(self, upto: int | None) -> int:
        return self.size if upto is None else upto

    def _registrations(self) -> Iterator[Registration]:
        for seq, until in self.db.execute("SELECT seq, until_seq FROM host").fetchall():
            yield seq, until, self._caches.hosts.get(seq, partial(self._read_host, seq))

    def _read_host(self, seq: int) -> Registered:
        sql = "SELECT name, customer, labels FROM host WHERE seq = ?"
        name, customer, labels = self.db.execute(sql, (seq,)).fetchone()
        return Registered(name=name, customer=customer, labels=frozenset(json.loads(labels).items()))

    def _read_ca_keys(self, last: int) -> tuple[CaKeyRecord, ...]:
        by_key: dict[tuple[str, str], CaKeyRecord] = {}
        for row in self.rows("SELECT * FROM ca_phase WHERE seq <= :last ORDER BY seq", last=last):
            _enter_phase(by_key, row)
        return tuple(by_key.values())


class Index:
    """A reader of index.db, for one process; its threads take turns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db: Database | None = None
        self._inode = 0
        self._caches = Caches()

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
                yield Snapshot(
                    db=db, size=int(meta["size"]), log_number=int(meta["log_number"]), _caches=self._caches
                )
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
        except PermissionError as error:
            raise IndexUnavailable(
                f"{self._path}: this user may not read it: run the command as root (sudo)"
            ) from error
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
        self._caches.clear()


def _enter_phase(by_key: dict[tuple[str, str], CaKeyRecord], row: Mapping[str, Any]) -> None:
    """Put a key into a phase. Being halted is none, and a CA has one key that signs."""
    key = (row["ca"], row["fingerprint"])
    known = by_key.get(key)
    if row["phase"] == "halted" and known is not None:
        by_key[key] = replace(known, halted=True)
        return
    if row["phase"] == "signing":
        for other, record in by_key.items():
            if record.ca == row["ca"] and record.phase == "signing":
                by_key[other] = replace(record, phase="trusted", since_ms=row["time_ms"])
    if known is not None:
        by_key[key] = replace(known, phase=row["phase"], since_ms=row["time_ms"])
        return
    by_key[key] = CaKeyRecord(
        ca=row["ca"],
        type=row["type"],
        customer=row["customer"],
        fingerprint=row["fingerprint"],
        public_key=row["public_key"],
        phase=row["phase"],
        halted=False,
        created_ms=row["time_ms"],
        since_ms=row["time_ms"],
        transcript=row["transcript"],
        attestation=row["attestation"],
    )
