"""``/v1/credentials``: API credentials. Their secrets are nowhere but with their holders."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.index.going_on import credential_going_on
from appliance.index.paging import list_credentials
from appliance.index.render import render_credential
from appliance.web.cut_replies import CredentialRevoked
from appliance.web.description import problems
from appliance.web.models import CreateCredentialOrder, CredentialPath, CredentialsQuery, ReasonBody
from appliance.web.replies import CarriedOut, CredentialPage
from appliance.web.services import Services, require

_TAG = Tag(name="credentials", description="API credentials.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("credentials", __name__, url_prefix="/v1/credentials", abp_tags=[_TAG])

    @api.get(
        "",
        summary="All API credentials",
        responses={200: CredentialPage},
        openapi_extensions=problems("policy-denied"),
    )
    def list_(query: CredentialsQuery) -> Response:
        """Newest first; for operators and admins."""
        services.await_size(query.min_size)
        with services.index.snapshot() as snapshot:
            require(snapshot, "credential.revoke")
            page = list_credentials(snapshot, cursor=query.cursor, limit=query.limit)
        now_s = services.now_ms() // 1000
        found = [render_credential(record, now_s) for record in page.records]
        return jsonify(credentials=found, cursor=page.cursor, ledger_size=page.size)

    @api.post(
        "",
        summary="Put a credential on record, by order",
        responses={201: CarriedOut},
        openapi_extensions=problems("policy-denied", "conflict", "issuance-halted"),
    )
    def create(body: CreateCredentialOrder) -> tuple[Response, int]:
        """The command is `credential.create`; it has the SHA-256 of a secret that its maker keeps."""
        return jsonify(services.order(body.command, body.orders)), 201

    @api.post(
        "/<id>/revoke",
        summary="Revoke a credential",
        responses={200: CredentialRevoked},
        openapi_extensions=problems("policy-denied", "not-found"),
    )
    def revoke(path: CredentialPath, body: ReasonBody) -> Response:
        """It identifies nobody any more. The certificates of whom it identified go on: they are listed."""
        done = services.ask("credential.revoke", body={"id": path.id, "reason": body.reason})
        going_on = credential_going_on(services.index, path.id, done, services.now_ms() // 1000)
        said = {"entry": done["seq"]} if done else {"already": True}
        return jsonify({"id": path.id, "revoked": True} | said | going_on)

    return api
