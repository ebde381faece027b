"""Records as JSON: times in RFC 3339, serials as strings, and nothing that was not on record."""

from __future__ import annotations

from typing import Any, Final

from appliance.clock import format_rfc3339, format_rfc3339_ms
from appliance.durations import format_duration
from appliance.index.access import Access, AccessPage, Basis, CertifiedAccess
from appliance.index.granted import GrantedAccess
from appliance.index.records import CaKeyRecord, CertificateRecord, CredentialRecord, HostRecord, LockRecord
from appliance.policy.requirements import list_requirements

TRUSTED_PHASES: Final = frozenset({"trusted", "signing"})


def render_release(release: dict[str, Any]) -> dict[str, Any]:
    """Render the certificates that the authority has just released."""
    certificates = [_render_issued(issued) for issued in release["certificates"]]
    return {"certificates": certificates, "ledger_size": release["ledger_size"]}


def _render_issued(issued: dict[str, Any]) -> dict[str, Any]:
    return {
        "certificate": issued["certificate"],
        "serial": issued["serial"],
        "id": f"{int(issued['serial']) >> 48}.{issued['seq']}",
        "type": issued["type"],
        "ca": issued["ca"],
        "key_id": issued["key_id"],
        "principals": issued["principals"],
        "valid_after": format_rfc3339(issued["valid_after"]),
        "valid_before": format_rfc3339(issued["valid_before"]),
        "leaf_hash": issued["leaf_hash"],
        "proof": f"/v1/ledger/proof/{issued['serial']}",
    }


def render_certificate(record: CertificateRecord, now_s: int) -> dict[str, Any]:
    """Render all that is on record of a certificate."""
    tbs, outcome = record.summary, record.outcome
    rendered: dict[str, Any] = {
        "serial": record.serial,
        "id": record.log_seq,
        "type": record.type,
        "state": record.state(now_s),
        "ca": record.ca,
        "ca_key": record.ca_key,
        "customer": record.customer,
        "key_id": tbs.key_id,
        "subject": record.subject,
        "identity": record.intent.data["identity"],
        "on_behalf_of": record.intent.data.get("on_behalf_of"),
        "host": record.host,
        "key_fingerprint": record.key_fingerprint,
        "principals": tbs.principals,
        "valid_after": format_rfc3339(tbs.valid_after),
        "valid_before": format_rfc3339(tbs.valid_before),
        "critical_options": dict(tbs.critical_options),
        "extensions": [name for name, _ in tbs.extensions],
        "request": record.request,
        "grants": record.grants,
        "policy": record.policy,
        "recorded": format_rfc3339_ms(record.intent.time_ms),
        "leaf_hash": record.leaf_hash.hex(),
        "certificate": record.line,
        "intent": record.seq,
        "outcome": None if outcome is None else outcome.kind,
        "outcome_reason": None if outcome is None else outcome.reason,
        "outcome_entry": None if outcome is None else outcome.seq,
        "revocation": render_revocation(record),
        "proof": f"/v1/ledger/proof/{record.serial}",
    }
    return {name: value for name, value in rendered.items() if value is not None}


def render_revocation(record: CertificateRecord) -> dict[str, Any] | None:
    """Render who revoked a certificate, when and why, and the entry that says so; None if nobody did."""
    revocation = record.revocation
    if revocation is None:
        return None
    return {
        "recorded": format_rfc3339_ms(revocation.time_ms),
        "reason": revocation.reason,
        "by": revocation.by,
        "entry": revocation.seq,
    }


def render_ca_key(record: CaKeyRecord) -> dict[str, Any]:
    """Render a key of a CA."""
    rendered = {
        "ca": record.ca,
        "type": record.type,
        "customer": record.customer,
        "fingerprint": record.fingerprint,
        "public_key": record.public_key,
        "phase": record.phase,
        "halted": record.halted,
        "created": format_rfc3339_ms(record.created_ms),
        "since": format_rfc3339_ms(record.since_ms),
    }
    return {name: value for name, value in rendered.items() if value is not None}


def render_host(record: HostRecord) -> dict[str, Any]:
    """Render a registered host."""
    return {
        "name": record.name,
        "customer": record.customer,
        "names": record.names,
        "labels": record.labels,
        "entry": record.seq,
        "registered": format_rfc3339_ms(record.from_ms),
    }


def render_lock(record: LockRecord) -> dict[str, Any]:
    """Render a lock."""
    kind, name = record.lock.target
    rendered = {
        "lock": record.lock.seq,
        "kind": kind,
        "name": name,
        "accounts": list(record.lock.accounts) or None,
        "reason": record.reason,
        "by": record.placed_by,
        "placed": format_rfc3339_ms(record.time_ms),
        "lifted": None if record.lifted_ms is None else format_rfc3339_ms(record.lifted_ms),
        "lifted_entry": record.lifted_seq,
    }
    return {name: value for name, value in rendered.items() if value is not None}


def render_bundle(host: str, bundle: dict[str, Any]) -> dict[str, Any]:
    """Render what the authority signed for a host; the signature is over the statement, as it stands."""
    return {
        "host": host,
        "document": bundle["document"],
        "statement": bundle["statement"],
        "signature": bundle["signature"],
        "key": bundle["key"],
        "generated": format_rfc3339(bundle["generated_s"]),
        "fresh_until": format_rfc3339(bundle["fresh_until_s"]),
        "ledger_size": bundle["size"],
    }


def render_krl(ca: str, told: dict[str, Any]) -> dict[str, Any]:
    """Render what the authority signed about a KRL; the signature is over the statement, as it stands."""
    return {
        "ca": ca,
        "sha256": told["sha256"],
        "version": str(told["version"]),
        "statement": told["statement"],
        "signature": told["signature"],
        "generated": format_rfc3339(told["generated_s"]),
        "fresh_until": format_rfc3339(told["fresh_until_s"]),
        "ledger_size": told["size"],
    }


def render_access(page: AccessPage, basis: Basis) -> dict[str, Any]:
    """Render a page of who has access to what, and what it was computed on."""
    rendered = {
        "access": [_render_row(row) for row in page.rows],
        "basis": basis,
        "at": format_rfc3339_ms(page.prefix.at_ms),
        "settled": page.prefix.settled,
        "policy": page.policy,
        "cursor": page.cursor,
        "ledger_size": page.prefix.size,
    }
    return {name: value for name, value in rendered.items() if value is not None or name == "cursor"}


def _render_row(row: Access) -> dict[str, Any]:
    rendered = _render_certified(row) if isinstance(row, CertifiedAccess) else _render_granted(row)
    place = {
        "host_groups": row.place.host_groups,
        "hosts": row.place.hosts,
        "host_count": row.place.host_count,
        "ca_phase": row.ca_phase,
    }
    return {name: value for name, value in (rendered | place).items() if value is not None}


def _render_certified(row: CertifiedAccess) -> dict[str, Any]:
    certificate = row.certificate
    tbs, outcome = certificate.summary, certificate.outcome
    return {
        "subject": certificate.subject,
        "login": row.login,
        "principal": row.principal,
        "customer": certificate.customer,
        "ca": certificate.ca,
        "serial": certificate.serial,
        "id": certificate.log_seq,
        "key_id": tbs.key_id,
        "key_fingerprint": certificate.key_fingerprint,
        "valid_after": format_rfc3339(tbs.valid_after),
        "valid_before": format_rfc3339(tbs.valid_before),
        "critical_options": dict(tbs.critical_options) or None,
        "grants": certificate.grants,
        "policy": certificate.policy,
        "intent": certificate.seq,
        "outcome_entry": None if outcome is None else outcome.seq,
    }


def _render_granted(row: GrantedAccess) -> dict[str, Any]:
    reachable = row.reachable
    grant = reachable.filed.grant
    return {
        "subject": reachable.holder.subject,
        "kind": reachable.holder.kind,
        "through": reachable.holder.through or None,
        "login": reachable.login,
        "principal": reachable.group.principal(reachable.login),
        "customer": reachable.group.customer,
        "ca": row.ca,
        "ttl": format_duration(row.ttl_s),
        "locked": row.locked,
        "leave": row.leave,
        "source": grant.source,
        "force_command": grant.force_command,
        "permit": grant.permit,
        "when": None if row.hours.timetable is None else str(row.hours.timetable),
        "from": None if grant.first is None else grant.first.isoformat(),
        "until": None if grant.last is None else grant.last.isoformat(),
        "open": row.is_open,
        "opens": None if row.opens_s is None else format_rfc3339(row.opens_s),
        "delegates": grant.delegates or None,
        "conditions": list_requirements(grant.require) or None,
        "grants": [{"file": reachable.filed.file, "name": grant.name}],
        "policy": row.policy,
    }


def render_credential(record: CredentialRecord, now_s: int) -> dict[str, Any]:
    """Render an API credential, which is not its secret."""
    rendered = {
        "id": record.id,
        "identity": f"api:{record.subject}",
        "kind": record.kind,
        "created": format_rfc3339_ms(record.created_ms),
        "expires": None if record.expires_s is None else format_rfc3339(record.expires_s),
        "uses": record.uses,
        "used": None if record.uses is None else record.used,
        "revoked": None if record.revoked_ms is None else format_rfc3339_ms(record.revoked_ms),
        "revoked_reason": record.revoked_reason,
        "valid": record.is_valid(now_s),
    }
    return {name: value for name, value in rendered.items() if value is not None}


def format_trusted_keys(keys: list[CaKeyRecord], *, pattern: str | None) -> str:
    """Format the keys that are to be trusted, one a line; with a pattern as lines of known_hosts."""
    prefix = "" if pattern is None else f"@cert-authority {pattern} "
    return "".join(
        f"{prefix}{key.public_key} {key.ca}\n"
        for key in keys
        if key.phase in TRUSTED_PHASES and not key.halted
    )
