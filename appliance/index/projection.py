"""Entries in, rows out: a fold of the ledger into index.db, all of a portion or nothing of it."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database

from appliance.errors import ChanceryError
from appliance.identity.identity import grantee_of
from appliance.index.folds import FOLDS
from appliance.index.holdings import first_holding, holding_id
from appliance.index.portion import Portion
from appliance.index.recorded import Recorded, read_entry
from appliance.index.schema import key_number, open_for_writing
from appliance.index.shelves import FAILED, REVOKED, Shelf, shelf_number
from appliance.index.watch import Watch
from appliance.ssh.content import CertificateType
from appliance.ssh.summary import summarize_tbs

# What SQLite can hold; certificates that never expire say 2^64 - 1.
_FOREVER_S: Final = 2**62


class OutOfOrder(ChanceryError):
    """Entries that do not continue where the index ends: it has to be built anew."""


class Projection:
    """The index's one writer. What it remembers is in the tables too, and is read back from them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._portion = Portion(db)
        self._remember()

    @classmethod
    def open(cls, path: Path) -> Projection:
        """Open the index, made if need be."""
        return cls(open_for_writing(path))

    def apply(self, entries: Sequence[Recorded]) -> None:
        """Fold the next entries in, in one transaction.

        Raises:
            OutOfOrder: they are not the next ones.
        """
        for seq, entry in enumerate(entries, self.size):
            if entry.seq != seq:
                raise OutOfOrder(f"got the entry {entry.seq}, expected {seq}")
        if not entries:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for entry in entries:
                self._fold(entry)
            self._portion.flush()
            self._set_meta(size=self.size + len(entries), head_ms=self._head_ms)
        except BaseException:
            self._portion.discard()
            self._db.execute("ROLLBACK")
            self._remember()
            raise
        self._db.execute("COMMIT")
        self.size += len(entries)

    def close(self) -> None:
        """Close the connection: the last one to close removes -wal and -shm (see ``process``)."""
        self._db.conn.close()

    def _remember(self) -> None:
        db = self._db
        meta = dict(db.execute("SELECT name, value FROM meta"))
        self.size = int(meta["size"])
        self._head_ms = int(meta.get("head_ms", -1))
        self._log_number = int(meta.get("log_number", 0))
        self._shelves = {
            number: Shelf(number=number, shortest_s=shortest_s, longest_s=longest_s)
            for number, shortest_s, longest_s in db.execute("SELECT shelf, shortest_s, longest_s FROM shelf")
        }
        self._customers: dict[str, str | None] = dict(
            db.execute("SELECT ca, customer FROM ca_phase ORDER BY seq")
        )
        self._watch = Watch.resume(self._portion)
        # The same text can be a host's name in one certificate and a login in another.
        self._principals: dict[tuple[str, bool], int] = {
            (principal, login is not None): id_
            for id_, principal, login in db.execute("SELECT id, principal, login FROM principal")
        }

    def _set_meta(self, **values: object) -> None:
        rows = [(name, str(value)) for name, value in values.items()]
        self._db.conn.executemany("INSERT OR REPLACE INTO meta(name, value) VALUES (?, ?)", rows)

    def _fold(self, entry: Recorded) -> None:
        data: Mapping[str, Any] = entry.data
        if entry.time_ms > self._head_ms:
            self._portion.add("moment", entry.time_ms, entry.seq)
            self._head_ms = entry.time_ms
        match entry.kind:
            case "certificate.intent":
                self._intend(entry, data)
            case "certificate.issued":
                self._issue(entry, data)
            case "certificate.failed" | "certificate.abandoned":
                self._fail(entry, data)
            case "certificate.revoked":
                self._revoke(entry, data)
            case "log.opened":
                self._open_log(entry, data)
            case kind if kind in FOLDS:
                if kind.startswith("ca.") and "type" in data:
                    self._customers[data["name"]] = data.get("customer")
                FOLDS[kind](self._portion, entry, data)
        self._watch.take(self._portion, entry)

    def _open_log(self, entry: Recorded, data: Mapping[str, Any]) -> None:
        names = ("origin", "log_number", "ledger_key", "bundle_key", "probe_key", "max_ttl_s")
        self._set_meta(opened_ms=entry.time_ms, **{name: data[name] for name in names})
        self._log_number = data["log_number"]

    def _intend(self, entry: Recorded, data: Mapping[str, Any]) -> None:
        tbs = summarize_tbs(b64decode(data["tbs"]))
        identity = grantee_of(data)
        valid_before = min(tbs.valid_before, _FOREVER_S)
        lifetime_s = valid_before - entry.time_ms // 1000
        shelf = shelf_number(tbs.type, lifetime_s)
        self._use_shelf(shelf, lifetime_s)
        add = self._portion.add
        add(
            "certificate",
            entry.seq,
            shelf,
            f"{identity['provider']}:{identity['subject']}",
            self._customers.get(data["ca"]),
            data["request"].get("host"),
            key_number(hashlib.sha256(tbs.subject_key).digest()),
            min(tbs.valid_after, _FOREVER_S),
            valid_before,
            entry.time_ms,
            entry.raw,
        )
        self._portion.open_intent(entry.seq)
        of_user = tbs.type is CertificateType.USER
        for place, principal in enumerate(tbs.principals):
            add("holding", holding_id(entry.seq, place), shelf, self._principal(principal, of_user=of_user))

    def _principal(self, principal: str, *, of_user: bool) -> int:
        known = self._principals.get((principal, of_user))
        if known is not None:
            return known
        id_ = self._principals[principal, of_user] = len(self._principals) + 1
        login, _, group = principal.partition("@")
        self._portion.add(
            "principal", id_, principal, login if of_user else None, group or None if of_user else None
        )
        return id_

    def _issue(self, entry: Recorded, data: Mapping[str, Any]) -> None:
        signature = b64decode(data["signature"])
        self._portion.add("outcome", data["intent"], entry.seq, "issued", entry.time_ms, None, signature)
        self._portion.close_intent(data["intent"])

    def _fail(self, entry: Recorded, data: Mapping[str, Any]) -> None:
        outcome = entry.kind.removeprefix("certificate.")
        self._portion.add("outcome", data["intent"], entry.seq, outcome, entry.time_ms, data["reason"], None)
        self._portion.close_intent(data["intent"])
        self._move(data["intent"], FAILED)

    def _revoke(self, entry: Recorded, data: Mapping[str, Any]) -> None:
        if "key" in data:
            self._portion.add("evidence", entry.seq, None, entry.raw)
        for seq in self._revoked(data):
            if self._move(seq, REVOKED):  # of several about one certificate the first one counts
                by = data["by"]
                revoked_by = f"entry {by}" if isinstance(by, int) else f"{by['provider']}:{by['subject']}"
                self._portion.add("revocation", seq, entry.seq, entry.time_ms, data["reason"], revoked_by)

    def _revoked(self, data: Mapping[str, Any]) -> list[int]:
        """Return the certificates of this log that an entry is about; one about a key is about none."""
        if "serial" in data:
            log_number, seq = divmod(int(data["serial"]), 1 << 48)
            return [seq] if log_number == self._log_number else []
        if "range" not in data:
            return []
        base = self._log_number << 48
        first, last = (max(0, min(int(data["range"][end]) - base, 1 << 48)) for end in ("first", "last"))
        sql = "SELECT intent FROM certificate WHERE seq BETWEEN ? AND ? ORDER BY seq"
        intents = (read_entry(raw) for (raw,) in self._portion.read(sql, first, last))
        return [intent.seq for intent in intents if intent.data["ca_key"] == data["ca_key"]]

    def _move(self, seq: int, to: int) -> bool:
        """Put a certificate and its principals on another shelf; say whether it was not there yet."""
        sql = "SELECT shelf, valid_before - time_ms / 1000 FROM certificate WHERE seq = ?"
        found = self._portion.read(sql, seq)
        if not found or found[0][0] & to:
            return False
        shelf = found[0][0] | to
        self._use_shelf(shelf, found[0][1])
        self._portion.change("UPDATE certificate SET shelf = ? WHERE seq = ?", shelf, seq)
        self._portion.change(
            "UPDATE holding SET shelf = ? WHERE id >= ? AND id < ?",
            shelf,
            first_holding(seq),
            first_holding(seq + 1),
        )
        return True

    def _use_shelf(self, number: int, lifetime_s: int) -> None:
        known = self._shelves.get(number)
        if known is not None and known.takes(lifetime_s):
            return
        shelf = Shelf(number=number, shortest_s=lifetime_s, longest_s=lifetime_s)
        shelf = self._shelves[number] = shelf if known is None else known.with_one(lifetime_s)
        self._portion.change(
            "INSERT OR REPLACE INTO shelf(shelf, shortest_s, longest_s) VALUES (?, ?, ?)",
            number,
            shelf.shortest_s,
            shelf.longest_s,
        )
