"""``/v1/access``: who has access to what, now and at any past moment."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.index.access import AccessQuery, find_access
from appliance.index.render import render_access
from appliance.moments import parse_moment_ms
from appliance.web.description import problems
from appliance.web.explained import AccessExplained
from appliance.web.models import AccessParameters, ExplainParameters
from appliance.web.replies import AccessList
from appliance.web.services import Services, require_sight

_TAG = Tag(name="access", description="Who has access to what.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("access", __name__, url_prefix="/v1/access", abp_tags=[_TAG])

    @api.get(
        "",
        summary="Who has access to what",
        responses={200: AccessList},
        openapi_extensions=problems("policy-denied", "not-found"),
    )
    def access(query: AccessParameters) -> Response:
        """By live certificates, or by policy, at a moment. Sessions that are open outlive certificates."""
        services.await_size(query.min_size)
        with services.index.snapshot() as snapshot:
            asked = AccessQuery(
                at_ms=services.now_ms() if query.at is None else parse_moment_ms(query.at),
                basis=query.basis,
                subject=query.subject,
                host=query.host,
                host_group=query.host_group,
                login=query.login,
                customer=query.customer,
                customers=require_sight(snapshot, "certificate.read"),
            )
            page = find_access(snapshot, asked, cursor=query.cursor, limit=query.limit)
        return jsonify(render_access(page, query.basis))

    @api.get(
        "/explain",
        summary="Why somebody may log in somewhere, or may not",
        responses={200: AccessExplained},
        openapi_extensions=problems("policy-denied", "not-found", "issuance-halted"),
    )
    def explain(query: ExplainParameters) -> Response:
        """Grant by grant, at a moment from now on. Anyone about himself; auditors about all."""
        asked = query.model_dump(exclude_none=True)
        if query.groups is not None:
            asked["groups"] = query.groups.split(",")
        return jsonify(services.ask("access.explain", body=asked))

    return api
