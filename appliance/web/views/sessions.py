"""``/v1/sessions`` and ``/v1/providers``: how people log in. What anyone may ask, before he is somebody."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.clock import format_rfc3339
from appliance.web.description import problems
from appliance.web.login_replies import IdentityProviders, SessionOpened
from appliance.web.models import SessionBody
from appliance.web.request import current_request
from appliance.web.services import Services

_TAG = Tag(name="sessions", description="Log in.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("sessions", __name__, url_prefix="/v1", abp_tags=[_TAG])

    @api.get("/providers", summary="Where people log in", responses={200: IdentityProviders})
    def providers() -> Response:
        """What `chancery login` needs to know: no secret of any provider is in it."""
        settings = services.logins.providers.settings
        people = [each for each in settings.oidc if each.kind == "user"]
        found: list[dict[str, Any]] = [
            {
                "name": each.name,
                "type": "oidc",
                "issuer": each.issuer,
                "client_id": each.audience,
                "scopes": list(each.scopes),
            }
            for each in people
        ]
        found += [{"name": each.name, "type": "ldap"} for each in settings.ldap]
        return jsonify(providers=found)

    @api.post(
        "/sessions",
        summary="Log in with a password",
        responses={201: SessionOpened},
        openapi_extensions=problems("unauthenticated", "rate-limited", "overloaded", "identity-unavailable"),
    )
    def create(body: SessionBody) -> tuple[Response, int]:
        """At a directory. The credential goes into `Authorization: Bearer …` until it expires."""
        opened = services.logins.log_in(
            body.provider,
            body.username,
            body.password.get_secret_value(),
            current_request().remote_addr,
        )
        answer = {
            "credential": opened.credential,
            "identity": str(opened.identity),
            "expires": format_rfc3339(opened.ends_s),
        }
        return jsonify(answer), 201

    return api
