"""``/v1/access``: who has access to what, now and at any past moment."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.authority.issuing.explaining import has_passed
from appliance.explanations import ExplainBody
from appliance.index.access import AccessQuery, find_access
from appliance.index.explaining import explain_past
from appliance.index.render import render_access
from appliance.moments import parse_moment_ms
from appliance.requests import check_body
from appliance.web.description import problems
from appliance.web.explained import AccessExplained
from appliance.web.models import AccessParameters, ExplainParameters
from appliance.web.replies import AccessList
from appliance.web.services import Services, requester, require_sight

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
        """Grant by grant, at any moment. Anyone about himself; auditors about all.

        At a past moment it rests on what was in force then, but for providers' groups, which are conditions.
        """
        asked = query.model_dump(exclude_none=True)
        if query.groups is not None:
            asked["groups"] = query.groups.split(",")
        body = check_body(ExplainBody, asked)
        at_ms = None if body.at is None else parse_moment_ms(body.at)
        if at_ms is None or not has_passed(at_ms // 1000, services.now_ms() // 1000):
            return jsonify(services.ask("access.explain", body=asked))
        with services.index.snapshot() as snapshot:
            return jsonify(explain_past(snapshot, requester(), body, at_ms))

    return api
