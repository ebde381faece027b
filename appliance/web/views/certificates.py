"""``/v1/certificates``: ask for them, search, look one up, look one over.

Here a certificate's way begins: the body is checked for its form, and the authority is asked in the
requester's name (:mod:`appliance.authority.operations` is where it goes on).
"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.errors import Refusal, malformed
from appliance.index.queries import CertificateFilter, Snapshot
from appliance.index.records import CertificateRecord
from appliance.requests import HostCertificateBody, UserCertificateBody
from appliance.ssh.certificate import Certificate, inspect_certificate_line, verify_certificate
from appliance.ssh.content import CertificateType
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import fingerprint
from appliance.web.models import (
    CertificateQuery,
    InspectBody,
    IssuedCertificates,
    SerialPath,
    parse_moment_ms,
)
from appliance.web.render import render_certificate, render_issued
from appliance.web.services import Services, may, requester, require

_TAG = Tag(name="certificates", description="Ask for certificates, search them, look one over.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("certificates", __name__, url_prefix="/v1/certificates", abp_tags=[_TAG])

    @api.post("/user", summary="Ask for user certificates", responses={201: IssuedCertificates})
    def issue_user(body: UserCertificateBody) -> tuple[Response, int]:
        """What is not named is everything that your grants give."""
        return _issue(services, "certificate.user", body)

    @api.post("/host", summary="Ask for a host certificate", responses={201: IssuedCertificates})
    def issue_host(body: HostCertificateBody) -> tuple[Response, int]:
        """For a registered host; needs the role enroller."""
        return _issue(services, "certificate.host", body)

    @api.get("", summary="Search certificates")
    def search(query: CertificateQuery) -> Response:
        """Auditors see all, everyone else the certificates of his own. Newest first."""
        services.await_size(query.min_size)
        now_s = services.now_ms() // 1000
        with services.index.snapshot() as snapshot:
            wanted = _filter(snapshot, query)
            page = snapshot.certificates(wanted, now_s=now_s, cursor=query.cursor, limit=query.limit)
        found = [render_certificate(record, now_s) for record in page.certificates]
        return jsonify(certificates=found, cursor=page.cursor, ledger_size=page.size)

    @api.get("/<serial>", summary="All that is on record of a certificate")
    def show(path: SerialPath) -> Response:
        """By serial: request, identity, grants, certificate, revocation, and where its proof is."""
        with services.index.snapshot() as snapshot:
            record = visible_certificate(snapshot, path.serial)
            size = snapshot.size
        return jsonify(render_certificate(record, services.now_ms() // 1000) | {"ledger_size": size})

    @api.post("/inspect", summary="Look a certificate over")
    def inspect(body: InspectBody) -> Response:
        """Decode it, check its CA's signature, and say whether it is on record. For auditors and services."""
        certificate = _parse(body.certificate)
        with services.index.snapshot() as snapshot:
            if requester().kind != "service":
                require(snapshot, "certificate.read")
            return jsonify(_inspect(snapshot, certificate, services.now_ms() // 1000))

    return api


def visible_certificate(snapshot: Snapshot, serial: str) -> CertificateRecord:
    """Return a certificate that the requester may see: his own, or any for an auditor.

    Raises:
        Refusal: ``not-found``, also for one that he may not see.
    """
    record = snapshot.certificate(serial)
    if record is not None and (record.subject == str(requester()) or may(snapshot, "certificate.read")):
        return record
    raise Refusal("not-found", f"no certificate of yours with the serial {serial} is on record")


def _issue(
    services: Services, op: str, body: UserCertificateBody | HostCertificateBody
) -> tuple[Response, int]:
    issued = services.ask(op, body=body.model_dump(exclude_none=True))
    return jsonify(certificates=[render_issued(one) for one in issued]), 201


def _filter(snapshot: Snapshot, query: CertificateQuery) -> CertificateFilter:
    subject = query.subject
    if not may(snapshot, "certificate.read"):
        own = str(requester())
        if subject not in {None, own}:
            raise Refusal("policy-denied", "you see certificates of your own only", rule="certificate.read")
        subject = own
    return CertificateFilter(
        subject=subject,
        key_id=query.key_id,
        principal=query.principal,
        host=query.host,
        customer=query.customer,
        fingerprint=query.fingerprint,
        type=query.type,
        state=query.state,
        since_ms=None if query.since is None else parse_moment_ms(query.since),
        until_ms=None if query.until is None else parse_moment_ms(query.until),
    )


def _parse(line: str) -> Certificate:
    try:
        return inspect_certificate_line(line.strip())
    except SshFormatError as error:
        raise malformed("certificate", str(error)) from error


def _inspect(snapshot: Snapshot, certificate: Certificate, now_s: int) -> dict[str, Any]:
    content = certificate.content
    record = snapshot.certificate(str(content.serial))
    # On record is the certificate itself, byte for byte: a serial alone can be written into any other.
    on_record = record is not None and record.certificate == certificate
    issuers = [key for key in snapshot.ca_keys() if key.fingerprint == fingerprint(content.ca_key)]
    inspected: dict[str, Any] = {
        "on_record": on_record,
        "ca": issuers[0].ca if issuers else None,
        "ca_key": fingerprint(content.ca_key),
        "signature": _judge_signature(certificate),
        "type": "user" if content.type is CertificateType.USER else "host",
        "serial": str(content.serial),
        "key_id": content.key_id,
        "key_fingerprint": fingerprint(content.subject_key),
        "principals": content.principals,
        "state": record.state(now_s) if on_record and record is not None else "unknown",
        "ledger_size": snapshot.size,
    }
    if on_record and record is not None:
        inspected["record"] = render_certificate(record, now_s)
    return inspected


def _judge_signature(certificate: Certificate) -> str:
    try:
        verify_certificate(certificate)
    except SshFormatError:
        return "bad"
    return "good"
