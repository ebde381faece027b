"""What the index answers with: one frozen class for each thing that it knows."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from appliance.authority.fold.leaves import Leave
from appliance.identity.identity import grantee_of
from appliance.index.recorded import ReadEntry, read_entry
from appliance.policy.locks import Lock, Target
from appliance.ssh.certificate import Certificate, attach_signature
from appliance.ssh.certificate import parse_certificate_blob as parse_blob
from appliance.ssh.content import CertificateType
from appliance.ssh.keys import fingerprint_of_blob
from appliance.ssh.line import format_line
from appliance.ssh.summary import TbsSummary, summarize_tbs
from audit.entry import leaf_hash

State = Literal["pending", "active", "expired", "revoked", "failed"]

# What a record is made of, by the seq of the intent.
RECORD_SQL: Final = """
SELECT c.customer, c.intent, o.seq, o.outcome, o.time_ms, o.reason, o.signature,
       r.seq, r.time_ms, r.reason, r.revoked_by
FROM certificate c LEFT JOIN outcome o ON o.certificate = c.seq
LEFT JOIN revocation r ON r.certificate = c.seq
WHERE c.seq = ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """The log itself."""

    origin: str
    log_number: int
    ledger_key: str
    bundle_key: str
    size: int
    head_ms: int


class Outcome(NamedTuple):
    """What became of an intent; ``seq`` is the entry that says so."""

    seq: int
    kind: Literal["issued", "failed", "abandoned"]
    time_ms: int
    reason: str | None
    signature: bytes | None


class Revocation(NamedTuple):
    """Who revoked a certificate and why; ``seq`` is the entry that says so."""

    seq: int
    time_ms: int
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """Everything that is on record of one certificate: its intent, and what came after it, if anything did.

    Moments end in their unit; None is "not so".
    """

    intent: ReadEntry
    tbs: bytes
    summary: TbsSummary
    customer: str | None
    outcome: Outcome | None
    revocation: Revocation | None

    @property
    def seq(self) -> int:
        """The entry that is its intent."""
        return self.intent.seq

    @property
    def serial(self) -> str:
        """Its serial, in decimal."""
        return str(self.summary.serial)

    @property
    def log_seq(self) -> str:
        """Its serial as ``log.seq``."""
        return f"{self.summary.serial >> 48}.{self.intent.seq}"

    @property
    def type(self) -> Literal["user", "host"]:
        """Whom it identifies."""
        return "user" if self.summary.type is CertificateType.USER else "host"

    @property
    def key_id(self) -> str:
        """Its key id."""
        return self.summary.key_id

    @property
    def principals(self) -> tuple[str, ...]:
        """Its principals."""
        return self.summary.principals

    @property
    def valid_before(self) -> int:
        """When it expires, in Unix seconds."""
        return self.summary.valid_before

    @property
    def subject(self) -> str:
        """Whom it is for."""
        identity = grantee_of(self.intent.data)
        return f"{identity['provider']}:{identity['subject']}"

    @property
    def request(self) -> Mapping[str, Any]:
        """What was asked for."""
        request: Mapping[str, Any] = self.intent.data["request"]
        return request

    @property
    def host(self) -> str | None:
        """The host that it identifies."""
        return self.request.get("host")

    @property
    def ca(self) -> str:
        """The CA that was asked to sign it."""
        return str(self.intent.data["ca"])

    @property
    def ca_key(self) -> str:
        """The fingerprint of that CA's key."""
        return str(self.intent.data["ca_key"])

    @property
    def grants(self) -> Sequence[Mapping[str, str]]:
        """The grants that it rests on."""
        grants: Sequence[Mapping[str, str]] = self.intent.data.get("grants", ())
        return grants

    @property
    def policy(self) -> int:
        """The entry that put the policy in force by which it was decided."""
        return int(self.intent.data["policy"])

    @property
    def key_fingerprint(self) -> str:
        """The fingerprint of the subject's key."""
        return fingerprint_of_blob(self.summary.subject_key)

    @property
    def leaf_hash(self) -> bytes:
        """The leaf hash of the intent."""
        return leaf_hash(self.intent.raw)

    @property
    def certificate(self) -> Certificate | None:
        """The certificate, or None if none was issued."""
        blob = self._blob
        return None if blob is None else parse_blob(blob)

    @property
    def line(self) -> str | None:
        """The certificate as a line of a file, or None if none was issued."""
        blob = self._blob
        if blob is None:
            return None
        type_name = self.tbs[4 : 4 + int.from_bytes(self.tbs[:4], "big")].decode()
        return format_line(type_name, blob, self.summary.key_id)

    @property
    def _blob(self) -> bytes | None:
        signature = None if self.outcome is None else self.outcome.signature
        return None if signature is None else attach_signature(self.tbs, signature)

    def state(self, now_s: int) -> State:
        """Return what it is good for at a moment, by what is on record."""
        if self.outcome is None:
            return "pending"
        if self.outcome.kind != "issued":
            return "failed"
        if self.revocation is not None:
            return "revoked"
        return "active" if now_s < self.summary.valid_before else "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaKeyRecord:
    """A key of a CA, in the last phase that it entered, and since when."""

    ca: str
    type: Literal["user", "host"]
    customer: str | None
    fingerprint: str
    public_key: str
    phase: str
    halted: bool
    created_ms: int
    since_ms: int
    transcript: str
    attestation: str | None  # base64


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """A registered host."""

    seq: int
    name: str
    customer: str
    names: tuple[str, ...]
    labels: Mapping[str, str]
    from_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRecord:
    """An API credential."""

    id: str
    subject: str
    kind: Literal["user", "service", "host"]
    secret_sha256: str
    created_ms: int
    expires_s: int | None
    uses: int | None
    used: int
    revoked_ms: int | None
    revoked_reason: str | None

    def is_valid(self, now_s: int, *, used_up: bool = False) -> bool:
        """Say whether it identifies anyone at a moment; ``used_up`` lets one pass that has no use left."""
        if self.revoked_ms is not None or (self.expires_s is not None and self.expires_s <= now_s):
            return False
        return used_up or self.uses is None or self.used < self.uses


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRecord:
    """A lock, and the entry that lifted it, if any did. Moments in milliseconds."""

    lock: Lock
    reason: str
    placed_by: str
    time_ms: int
    lifted_seq: int | None
    lifted_ms: int | None


def lock_of(row: Mapping[str, Any]) -> LockRecord:
    """Return the record of a row of ``lock``."""
    target = Target(row["kind"], row["name"])
    return LockRecord(
        lock=Lock(seq=row["seq"], target=target, accounts=tuple(json.loads(row["accounts"]))),
        reason=row["reason"],
        placed_by=row["placed_by"],
        time_ms=row["time_ms"],
        lifted_seq=None if row["until_ms"] is None else row["until_seq"],
        lifted_ms=row["until_ms"],
    )


def leave_of(row: Mapping[str, Any]) -> Leave:
    """Return the leave of a row of ``absence``."""
    return Leave(
        seq=row["leave"],
        person=row["person"],
        identities=tuple(json.loads(row["identities"])),
        starts_s=row["starts_s"],
        ends_s=row["ends_s"],
    )


def certificate_of(row: Sequence[Any], size: int) -> CertificateRecord:
    """Return the record of a row of :data:`RECORD_SQL`, as a ledger of that size has it."""
    intent = read_entry(row[1])
    tbs = b64decode(intent.data["tbs"])
    outcome, revocation = row[2:7], row[7:11]
    return CertificateRecord(
        intent,
        tbs,
        summarize_tbs(tbs),
        row[0],
        Outcome(*outcome) if _is_within(outcome[0], size) else None,
        Revocation(*revocation) if _is_within(revocation[0], size) else None,
    )


def _is_within(seq: int | None, size: int) -> bool:
    return seq is not None and seq < size


def host_of(row: Mapping[str, Any]) -> HostRecord:
    """Return the record of a row of ``host``."""
    return HostRecord(
        seq=row["seq"],
        name=row["name"],
        customer=row["customer"],
        names=tuple(json.loads(row["names"])),
        labels=json.loads(row["labels"]),
        from_ms=row["from_ms"],
    )
