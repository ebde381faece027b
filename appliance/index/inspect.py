"""Looking a certificate over: what it says, whether its CA signed it, and whether it is on record."""

from __future__ import annotations

from typing import Any

from appliance.errors import Refusal, malformed
from appliance.index.queries import Snapshot
from appliance.index.records import CertificateRecord
from appliance.index.render import render_certificate, render_revocation
from appliance.policy.roles import ALL, Customers, is_seen
from appliance.ssh.certificate import Certificate, inspect_certificate_line, verify_certificate
from appliance.ssh.content import CertificateType
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import fingerprint


def parse_any_certificate(line: str) -> Certificate:
    """Parse a certificate that anyone may have made.

    Raises:
        Refusal: ``malformed-request``; it is none.
    """
    try:
        return inspect_certificate_line(line.strip())
    except SshFormatError as error:
        raise malformed("certificate", str(error)) from error


def inspect_certificate(
    snapshot: Snapshot, certificate: Certificate, now_s: int, customers: Customers = ALL
) -> dict[str, Any]:
    """Return what there is to say of a certificate, to someone who sees what these customers have.

    On record is the certificate itself, byte for byte: a serial alone can be written into any other. Only of
    what is on record there is anyone to name who asked for it, and a reason.

    Raises:
        Refusal: ``not-found``; it names a CA of another customer, be it on record or not.
    """
    content = certificate.content
    ca_key = fingerprint(content.ca_key)
    issuer = next((key for key in snapshot.ca_keys() if key.fingerprint == ca_key), None)
    if issuer is not None and not is_seen(issuer.customer, customers):
        raise Refusal("not-found", "the certificate names a CA that is none of your customers'")
    record = snapshot.certificate(str(content.serial))
    if record is not None and record.certificate != certificate:
        record = None
    state = "unknown" if record is None else record.state(now_s)
    inspected: dict[str, Any] = {
        "on_record": record is not None,
        "state": state,
        "active": state == "active" and content.valid_after <= now_s,
        "signature": _judge_signature(certificate),
        "ca": None if issuer is None else issuer.ca,
        "ca_key": ca_key,
        "type": "user" if content.type is CertificateType.USER else "host",
        "serial": str(content.serial),
        "key_id": content.key_id,
        "key_fingerprint": fingerprint(content.subject_key),
        "principals": content.principals,
        **({} if record is None else _explain(record, now_s)),
        "ledger_size": snapshot.size,
    }
    return {name: value for name, value in inspected.items() if value is not None}


def _explain(record: CertificateRecord, now_s: int) -> dict[str, Any]:
    """Say who asked and what for, which grants of which policy gave it, and who revoked it and why."""
    return {
        "subject": record.subject,
        "reason": record.request.get("reason"),
        "grants": record.grants or None,
        "policy": record.policy,
        "revocation": render_revocation(record),
        "record": render_certificate(record, now_s),
    }


def _judge_signature(certificate: Certificate) -> str:
    try:
        verify_certificate(certificate)
    except SshFormatError:
        return "bad"
    return "good"
