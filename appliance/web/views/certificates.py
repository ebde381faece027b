"""``/v1/certificates``: ask for them, search, look one up, look one over.

Here a certificate's way begins: the body is checked for its form, and the authority is asked in the
requester's name (:mod:`appliance.authority.operations.issuing` is where it goes on).
"""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.errors import Refusal
from appliance.index.inspect import inspect_certificate, parse_any_certificate
from appliance.index.queries import Snapshot
from appliance.index.records import CertificateRecord
from appliance.index.render import render_certificate
from appliance.index.search import CertificateFilter, find_certificates
from appliance.moments import parse_moment_ms
from appliance.policy.roles import ALL, Customers, is_seen
from appliance.requests import HostCertificateBody, UserCertificateBody
from appliance.web.description import problems
from appliance.web.issuing import issue, issue_batch
from appliance.web.models import (
    BatchBody,
    CertificateQuery,
    InspectBody,
    SerialPath,
    Sized,
)
from appliance.web.replies import (
    BatchOutcomes,
    CertificateOnRecord,
    CertificatePage,
    Inspected,
    IssuedCertificates,
)
from appliance.web.services import Services, lock_on_requester, requester, require_sight, seen

_TAG = Tag(name="certificates", description="Ask for certificates, search them, look one over.")
_ISSUING = ("policy-denied", "conflict", "unacceptable-key", "hsm-unavailable", "issuance-halted")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("certificates", __name__, url_prefix="/v1/certificates", abp_tags=[_TAG])

    @api.post(
        "/user",
        summary="Ask for user certificates",
        responses={201: IssuedCertificates},
        openapi_extensions=problems(*_ISSUING),
    )
    def issue_user(body: UserCertificateBody) -> tuple[Response, int]:
        """What is not named is everything that your grants give."""
        return issue(services, "certificate.user", body)

    @api.post(
        "/host",
        summary="Ask for a host certificate",
        responses={201: IssuedCertificates},
        openapi_extensions=problems(*_ISSUING),
    )
    def issue_host(body: HostCertificateBody) -> tuple[Response, int]:
        """For a registered host; needs the role enroller."""
        return issue(services, "certificate.host", body)

    @api.post(
        "/batch",
        summary="Ask for many certificates",
        responses={200: BatchOutcomes},
        openapi_extensions=problems("policy-denied", "conflict"),
    )
    def batch(body: BatchBody) -> Response:
        """For services. One outcome for each request, in order; a bad one does not fail the others."""
        return issue_batch(services, body)

    @api.get(
        "",
        summary="Search certificates",
        responses={200: CertificatePage},
        openapi_extensions=problems("policy-denied", "not-found"),
    )
    def search(query: CertificateQuery) -> Response:
        """Auditors see all, or their customers'; everyone sees the certificates of his own. Newest first."""
        services.await_size(query.min_size)
        now_s = services.now_ms() // 1000
        with services.index.snapshot() as snapshot:
            wanted = _filter(snapshot, query)
            page = find_certificates(snapshot, wanted, now_s=now_s, cursor=query.cursor, limit=query.limit)
        found = [render_certificate(record, page.now_s) for record in page.certificates]
        return jsonify(certificates=found, cursor=page.cursor, ledger_size=page.size)

    @api.get(
        "/<digits:serial>",
        summary="All that is on record of a certificate",
        responses={200: CertificateOnRecord},
        openapi_extensions=problems("not-found"),
    )
    def show(path: SerialPath, query: Sized) -> Response:
        """By serial: request, identity, grants, certificate, revocation, and where its proof is."""
        services.await_size(query.min_size)
        with services.index.snapshot() as snapshot:
            record = visible_certificate(snapshot, path.serial)
            size = snapshot.size
        return jsonify(render_certificate(record, services.now_ms() // 1000) | {"ledger_size": size})

    @api.post(
        "/inspect",
        summary="Look a certificate over",
        responses={200: Inspected},
        openapi_extensions=problems("policy-denied"),
    )
    def inspect(body: InspectBody) -> Response:
        """Decode it, check its CA's signature, and say whether it is on record. For auditors and services."""
        certificate = parse_any_certificate(body.certificate)
        with services.index.snapshot() as snapshot:
            customers = _inspected_customers(snapshot)
            return jsonify(inspect_certificate(snapshot, certificate, services.now_ms() // 1000, customers))

    return api


def _inspected_customers(snapshot: Snapshot) -> Customers:
    """Return whose certificates the requester may look over; a service all, if it is no auditor of some."""
    customers = seen(snapshot, "certificate.read")
    if requester().kind == "service" and not customers and not lock_on_requester(snapshot):
        return ALL
    return require_sight(snapshot, "certificate.read")


def visible_certificate(snapshot: Snapshot, serial: str) -> CertificateRecord:
    """Return a certificate that the requester may see: his own, or an auditor one of his customers'.

    Raises:
        Refusal: ``not-found``, also for one that he may not see.
    """
    record = snapshot.certificate(serial)
    if record is not None and (
        record.subject == str(requester()) or is_seen(record.customer, seen(snapshot, "certificate.read"))
    ):
        return record
    raise Refusal("not-found", f"no certificate of yours with the serial {serial} is on record")


def _filter(snapshot: Snapshot, query: CertificateQuery) -> CertificateFilter:
    subject, own, customers = query.subject, str(requester()), seen(snapshot, "certificate.read")
    if customers == frozenset() and subject not in {None, own}:
        raise Refusal("policy-denied", "you see certificates of your own only", rule="certificate.read")
    if (
        customers == frozenset() or subject == own
    ):  # those of his own everybody sees, whoever's CA signed them
        subject, customers = own, ALL
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
        customers=customers,
    )
