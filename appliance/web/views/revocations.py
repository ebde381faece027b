"""``/v1/revocations``: cutting off certificates and keys."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.cutting import RevocationBody
from appliance.index.cut import render_revoked
from appliance.web.cut_replies import Revoked
from appliance.web.description import problems
from appliance.web.services import Services

_TAG = Tag(name="revocations", description="Cut certificates off.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("revocations", __name__, url_prefix="/v1/revocations", abp_tags=[_TAG])

    @api.post(
        "",
        summary="Revoke certificates",
        responses={200: Revoked, 201: Revoked},  # 200: there was nothing left to revoke
        openapi_extensions=problems("policy-denied", "not-found", "conflict"),
    )
    def revoke(body: RevocationBody) -> tuple[Response, int]:
        """One by serial or key id, all of a subject, or a key and all for it.

        Needs the role operator or admin, and no signature: it only takes away.
        """
        done = services.ask("certificate.revoke", body=body.model_dump(exclude_none=True))
        return jsonify(render_revoked(services.index, body.named, done)), 201 if "seq" in done else 200

    return api
