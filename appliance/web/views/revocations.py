"""``/v1/revocations``: cutting off, by serial."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.requests import RevocationBody
from appliance.web.description import problems
from appliance.web.replies import CertificateRevoked
from appliance.web.services import Services

_TAG = Tag(name="revocations", description="Cut a certificate off.")
# Said wherever access is cut off, since it is what people forget.
CAVEAT = "sessions that are open are not ended by it, and a host learns of it from the KRL only"


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("revocations", __name__, url_prefix="/v1/revocations", abp_tags=[_TAG])

    @api.post(
        "",
        summary="Revoke a certificate",
        responses={200: CertificateRevoked, 201: CertificateRevoked},  # 200: it had been revoked before
        openapi_extensions=problems("policy-denied", "not-found"),
    )
    def revoke(body: RevocationBody) -> tuple[Response, int]:
        """By serial; needs the role operator or admin, and no signature: it only takes away."""
        done = services.ask("certificate.revoke", body=body.model_dump())
        reply = {"serial": body.serial, "revoked": True, "note": CAVEAT}
        if "seq" not in done:
            return jsonify(reply | {"already": True}), 200
        return jsonify(reply | {"entry": done["seq"]}), 201

    return api
