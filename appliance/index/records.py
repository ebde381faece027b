"""What the index answers with: one frozen class for each thing that it knows."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from appliance.index.recorded import read_entry
from appliance.ssh.certificate import Certificate, attach_signature
from appliance.ssh.certificate import parse_certificate_blob as parse_blob
from appliance.ssh.content import CertificateType
from appliance.ssh.keys import fingerprint_of_blob
from appliance.ssh.line import format_line
from appliance.ssh.summary import summarize_tbs
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
_OUTCOME: Final = ("outcome_seq", "outcome", "outcome_ms", "outcome_reason", "signature")
_REVOCATION: Final = ("revoked_seq", "revoked_ms", "revoked_reason", "revoked_by")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """The log itself."""

    origin: str
    log_number: int
    ledger_key: str
    bundle_key: str
    size: int
    head_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRecord:
    """Everything that is on record of one certificate. Moments end in their unit; None is "not so".

    ``seq``, ``outcome_seq`` and ``revoked_seq`` are the entries that say so.
    """

    seq: int
    serial: str
    type: Literal["user", "host"]
    key_id: str
    ca: str
    ca_key: str
    customer: str | None
    subject: str
    identity: Mapping[str, Any]
    host: str | None
    key_fingerprint: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical_options: Mapping[str, str]
    extensions: tuple[str, ...]
    request: Mapping[str, Any]
    grants: tuple[Mapping[str, str], ...]
    policy: int
    time_ms: int
    leaf_hash: bytes
    tbs: bytes
    signature: bytes | None
    outcome: Literal["issued", "failed", "abandoned"] | None
    outcome_seq: int | None
    outcome_ms: int | None
    outcome_reason: str | None
    revoked_seq: int | None
    revoked_ms: int | None
    revoked_reason: str | None
    revoked_by: str | None

    @property
    def log_seq(self) -> str:
        """The serial as ``log.seq``."""
        return f"{int(self.serial) >> 48}.{self.seq}"

    @property
    def certificate(self) -> Certificate | None:
        """The certificate, or None if none was issued."""
        if self.outcome != "issued" or self.signature is None:
            return None
        return parse_blob(attach_signature(self.tbs, self.signature))

    @property
    def line(self) -> str | None:
        """The certificate as a line of a file, or None if none was issued."""
        if self.outcome != "issued" or self.signature is None:
            return None
        type_name = self.tbs[4 : 4 + int.from_bytes(self.tbs[:4], "big")].decode()
        return format_line(type_name, attach_signature(self.tbs, self.signature), self.key_id)

    def state(self, now_s: int) -> State:
        """Return what it is good for at a moment, by what is on record."""
        if self.outcome is None:
            return "pending"
        if self.outcome != "issued":
            return "failed"
        if self.revoked_seq is not None:
            return "revoked"
        return "active" if now_s < self.valid_before else "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaKeyRecord:
    """A key of a CA, in the last phase that it entered."""

    ca: str
    type: Literal["user", "host"]
    customer: str | None
    fingerprint: str
    public_key: str
    phase: str
    halted: bool
    created_ms: int
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


def certificate_of(row: Sequence[Any], size: int) -> CertificateRecord:
    """Return the record of a row of :data:`RECORD_SQL`, as a ledger of that size has it."""
    intent = read_entry(row[1])
    data = intent.data
    raw_tbs = b64decode(data["tbs"])
    tbs = summarize_tbs(raw_tbs)
    identity = data["identity"]
    return CertificateRecord(
        seq=intent.seq,
        serial=str(tbs.serial),
        type="user" if tbs.type is CertificateType.USER else "host",
        key_id=tbs.key_id,
        ca=data["ca"],
        ca_key=data["ca_key"],
        customer=row[0],
        subject=f"{identity['provider']}:{identity['subject']}",
        identity=identity,
        host=data["request"].get("host"),
        key_fingerprint=fingerprint_of_blob(tbs.subject_key),
        principals=tbs.principals,
        valid_after=tbs.valid_after,
        valid_before=tbs.valid_before,
        critical_options=dict(tbs.critical_options),
        extensions=tuple(name for name, _ in tbs.extensions),
        request=data["request"],
        grants=tuple(data.get("grants", ())),
        policy=data["policy"],
        time_ms=intent.time_ms,
        leaf_hash=leaf_hash(intent.raw),
        tbs=raw_tbs,
        **_known(_OUTCOME, row[2:7], size),
        **_known(_REVOCATION, row[7:11], size),
    )


def _known(names: Sequence[str], values: Sequence[Any], size: int) -> dict[str, Any]:
    """Name the values of what came after the intent, if its entry is among the first ``size``."""
    known = values[0] is not None and values[0] < size
    return dict(zip(names, values, strict=True)) if known else dict.fromkeys(names)


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
