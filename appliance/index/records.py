"""What the index answers with: one frozen class for each thing that it knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from appliance.ssh.certificate import Certificate, attach_signature, format_certificate_line
from appliance.ssh.certificate import parse_certificate_blob as parse_blob

State = Literal["pending", "active", "expired", "revoked", "failed"]


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
    """Everything that is on record of one certificate. Moments end in their unit; None is "not so"."""

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
    outcome_ms: int | None
    outcome_reason: str | None
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
        certificate = self.certificate
        return None if certificate is None else format_certificate_line(certificate, self.key_id)

    def state(self, now_s: int) -> State:
        """Return what it is good for at a moment."""
        if self.outcome is None:
            return "pending"
        if self.outcome != "issued":
            return "failed"
        if self.revoked_ms is not None and self.revoked_ms // 1000 <= now_s:
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


def certificate_of(row: Mapping[str, Any]) -> CertificateRecord:
    """Return the record of a row of ``certificate``."""
    parsed = {
        name: json.loads(row[name])
        for name in ("identity", "principals", "critical_options", "extensions", "request", "grants")
    }
    lists = {name: tuple(parsed[name]) for name in ("principals", "extensions", "grants")}
    return CertificateRecord(**{**row, **parsed, **lists})


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
