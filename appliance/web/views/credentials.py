"""``/v1/credentials``: API credentials. Their secrets are nowhere but with their holders."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.index.render import render_credential
from appliance.web.models import CredentialPath, OrderRequest, ReasonBody, Sized
from appliance.web.services import Services, require

_TAG = Tag(name="credentials", description="API credentials.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("credentials", __name__, url_prefix="/v1/credentials", abp_tags=[_TAG])

    @api.get("", summary="All API credentials")
    def list_(query: Sized) -> Response:
        """Newest first; for operators and admins."""
        services.await_size(query.min_size)
        with services.index.snapshot() as snapshot:
            require(snapshot, "credential.revoke")
            now_s = services.now_ms() // 1000
            found = [render_credential(record, now_s) for record in snapshot.credentials()]
            return jsonify(credentials=found, ledger_size=snapshot.size)

    @api.post("", summary="Put a credential on record, by order")
    def create(body: OrderRequest) -> tuple[Response, int]:
        """The command is `credential.create`; it has the SHA-256 of a secret that its maker keeps."""
        return jsonify(services.order(body, verb="credential.create")), 201

    @api.post("/<id>/revoke", summary="Revoke a credential")
    def revoke(path: CredentialPath, body: ReasonBody) -> Response:
        """It identifies nobody any more."""
        done = services.ask("credential.revoke", body={"id": path.id, "reason": body.reason})
        return jsonify(
            {"id": path.id, "revoked": True} | ({"entry": done["seq"]} if done else {"already": True})
        )

    return api
