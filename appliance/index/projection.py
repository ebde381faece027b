"""Entries in, rows out: a fold of the ledger into index.db, all of a portion or nothing of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database

from appliance.errors import ChanceryError
from appliance.index.schema import open_for_writing
from appliance.ssh.certificate import decode_tbs
from appliance.ssh.content import CertificateContent, CertificateType
from appliance.ssh.keys import fingerprint, parse_public_key_line
from audit.entry import Entry

_FOREVER_MS: Final = 2**62


class OutOfOrder(ChanceryError):
    """Entries that do not continue where the index ends: it has to be built anew."""


class Projection:
    """The index's one writer."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._customers: dict[str, str | None] = {}
        self.size = int(db.execute("SELECT value FROM meta WHERE name = 'size'").fetchone()[0])
        for ca, customer in db.execute("SELECT ca, customer FROM ca_phase"):
            self._customers[ca] = customer

    @classmethod
    def open(cls, path: Path) -> Projection:
        """Open the index, made if need be."""
        return cls(open_for_writing(path))

    def apply(self, entries: Sequence[Entry]) -> None:
        """Fold the next entries in, in one transaction.

        Raises:
            OutOfOrder: they are not the next ones.
        """
        found = [entry.seq for entry in entries]
        if found != list(range(self.size, self.size + len(entries))):
            raise OutOfOrder(
                f"got the entries {found[:1]} to {found[-1:]}, expected those from {self.size} on"
            )
        if not entries:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for entry in entries:
                fold = _FOLDS.get(entry.kind)
                if fold is not None:
                    fold(self, entry, entry.data)
            size = self.size + len(entries)
            self._set("size", size)
            self._set("head_ms", entries[-1].time_ms)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        self.size = size

    def close(self) -> None:
        """Close the connection: the last one to close removes -wal and -shm (see ``process``)."""
        self._db.conn.close()

    def _set(self, name: str, value: object) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta(name, value) VALUES (?, ?)", (name, str(value)))

    def _insert(self, table: str, row: Mapping[str, object]) -> None:
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        # Both names are this module's own, never data.
        statement = f"INSERT INTO [{table}]({columns}) VALUES ({marks})"  # noqa: S608
        self._db.execute(statement, tuple(row.values()))

    def _open_log(self, entry: Entry, data: Mapping[str, Any]) -> None:
        for name in ("origin", "log_number", "ledger_key", "bundle_key", "probe_key", "max_ttl_s"):
            self._set(name, data[name])
        self._set("opened_ms", entry.time_ms)

    def _intend(self, entry: Entry, data: Mapping[str, Any]) -> None:
        tbs = base64.b64decode(data["tbs"])
        content = decode_tbs(tbs)
        self._insert("certificate", self._certificate(entry, data, content) | {"tbs": tbs})
        for principal in content.principals:
            login, _, group = principal.partition("@")
            of_user = content.type is CertificateType.USER
            self._insert(
                "principal",
                {
                    "principal": principal,
                    "login": login if of_user else None,
                    "host_group": group or None if of_user else None,
                    "certificate": entry.seq,
                },
            )

    def _certificate(
        self, entry: Entry, data: Mapping[str, Any], content: CertificateContent
    ) -> dict[str, object]:
        identity = data["identity"]
        return {
            "seq": entry.seq,
            "serial": str(content.serial),
            "type": content.type.name.lower(),
            "key_id": content.key_id,
            "ca": data["ca"],
            "ca_key": data["ca_key"],
            "customer": self._customers.get(data["ca"]),
            "subject": f"{identity['provider']}:{identity['subject']}",
            "identity": json.dumps(identity),
            "host": data["request"].get("host"),
            "key_fingerprint": fingerprint(content.subject_key),
            "principals": json.dumps(content.principals),
            "valid_after": content.valid_after,
            "valid_before": content.valid_before,
            "critical_options": json.dumps(dict(content.critical_options)),
            "extensions": json.dumps([name for name, _ in content.extensions]),
            "request": json.dumps(data["request"]),
            "grants": json.dumps(data.get("grants", [])),
            "policy": data["policy"],
            "time_ms": entry.time_ms,
            "leaf_hash": entry.leaf_hash,
        }

    def _issue(self, entry: Entry, data: Mapping[str, Any]) -> None:
        self._db.execute(
            "UPDATE certificate SET outcome = 'issued', outcome_ms = ?, signature = ? WHERE seq = ?",
            (entry.time_ms, base64.b64decode(data["signature"]), data["intent"]),
        )

    def _fail(self, entry: Entry, data: Mapping[str, Any]) -> None:
        outcome = entry.kind.removeprefix("certificate.")
        self._db.execute(
            "UPDATE certificate SET outcome = ?, outcome_ms = ?, outcome_reason = ? WHERE seq = ?",
            (outcome, entry.time_ms, data["reason"], data["intent"]),
        )

    def _revoke(self, entry: Entry, data: Mapping[str, Any]) -> None:
        by = f"{data['by']['provider']}:{data['by']['subject']}"
        self._db.execute(
            "UPDATE certificate SET revoked_ms = ?, revoked_reason = ?, revoked_by = ? "
            "WHERE serial = ? AND revoked_ms IS NULL",
            (entry.time_ms, data["reason"], by, data["serial"]),
        )

    def _deny(self, entry: Entry, data: Mapping[str, Any]) -> None:
        identity = data["identity"]
        row = {
            "seq": entry.seq,
            "subject": f"{identity['provider']}:{identity['subject']}",
            "request": json.dumps(data["request"]),
        }
        self._insert("denial", row | {name: data[name] for name in ("rule", "first_ms", "last_ms", "count")})

    def _enter_phase(self, entry: Entry, data: Mapping[str, Any]) -> None:
        self._customers[data["name"]] = data.get("customer")
        self._insert(
            "ca_phase",
            {
                "seq": entry.seq,
                "ca": data["name"],
                "type": data["type"],
                "customer": data.get("customer"),
                "fingerprint": fingerprint(parse_public_key_line(data["public_key"])),
                "public_key": data["public_key"],
                "phase": entry.kind.removeprefix("ca."),
                "transcript": data["transcript"],
                "attestation": data.get("attestation"),
                "time_ms": entry.time_ms,
            },
        )

    def _halt(self, entry: Entry, data: Mapping[str, Any]) -> None:
        self._db.execute(
            "INSERT INTO ca_phase"
            "(seq, time_ms, ca, type, customer, fingerprint, public_key, phase, transcript)"
            " SELECT ?, ?, ca, type, customer, fingerprint, public_key, 'halted', '' FROM ca_phase"
            " WHERE fingerprint = ? ORDER BY seq LIMIT 1",
            (entry.seq, entry.time_ms, data["ca_key"]),
        )

    def _register_host(self, entry: Entry, data: Mapping[str, Any]) -> None:
        self._remove_host(entry, data)
        self._insert(
            "host",
            {
                "seq": entry.seq,
                "name": data["name"],
                "customer": data["customer"],
                "names": json.dumps(data["names"]),
                "labels": json.dumps({label["name"]: label["value"] for label in data["labels"]}),
                "from_ms": entry.time_ms,
                "until_ms": _FOREVER_MS,
            },
        )

    def _remove_host(self, entry: Entry, data: Mapping[str, Any]) -> None:
        self._db.execute(
            "UPDATE host SET until_ms = ? WHERE name = ? AND until_ms = ?",
            (entry.time_ms, data["name"], _FOREVER_MS),
        )

    def _keep_part(self, entry: Entry, data: Mapping[str, Any]) -> None:
        self._insert("policy_part", {"seq": entry.seq, "name": data["name"], "text": data["text"]})

    def _apply_policy(self, entry: Entry, data: Mapping[str, Any]) -> None:
        self._insert("policy", {"seq": entry.seq, "time_ms": entry.time_ms})
        for position, file in enumerate(data["files"]):
            parts = [
                self._db.execute("SELECT text FROM policy_part WHERE seq = ?", (seq,)).fetchone()[0]
                for seq in file["seqs"]
            ]
            row = {"policy": entry.seq, "position": position, "name": file["name"], "text": "".join(parts)}
            self._insert("policy_file", row)
        self._db.execute("DELETE FROM policy_part")

    def _create_credential(self, entry: Entry, data: Mapping[str, Any]) -> None:
        row = {name: data[name] for name in ("id", "subject", "kind", "secret_sha256")}
        more = {"expires_s": data.get("expires_s"), "uses": data.get("uses"), "used": 0}
        self._insert("credential", row | more | {"created_ms": entry.time_ms})

    def _use_credential(self, _entry: Entry, data: Mapping[str, Any]) -> None:
        self._db.execute("UPDATE credential SET used = used + 1 WHERE id = ?", (data["id"],))

    def _revoke_credential(self, entry: Entry, data: Mapping[str, Any]) -> None:
        self._db.execute(
            "UPDATE credential SET revoked_ms = ?, revoked_reason = ? WHERE id = ?",
            (entry.time_ms, data["reason"], data["id"]),
        )


_Fold = Callable[[Projection, Entry, Mapping[str, Any]], None]
# Kinds that are not here answer no question that the index is asked.
_FOLDS: Final[Mapping[str, _Fold]] = {
    "log.opened": Projection._open_log,
    "certificate.intent": Projection._intend,
    "certificate.issued": Projection._issue,
    "certificate.failed": Projection._fail,
    "certificate.abandoned": Projection._fail,
    "certificate.revoked": Projection._revoke,
    "certificate.denied": Projection._deny,
    "ca.created": Projection._enter_phase,
    "ca.trusted": Projection._enter_phase,
    "ca.signing": Projection._enter_phase,
    "ca.retired": Projection._enter_phase,
    "ca.halted": Projection._halt,
    "host.registered": Projection._register_host,
    "host.removed": Projection._remove_host,
    "policy.file": Projection._keep_part,
    "policy.applied": Projection._apply_policy,
    "credential.created": Projection._create_credential,
    "credential.used": Projection._use_credential,
    "credential.revoked": Projection._revoke_credential,
}
