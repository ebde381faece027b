"""The Flask application: its routes, and what happens to every request around them."""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any, Final

from flask import Flask, Response, g, jsonify, render_template, request
from flask_openapi3 import Info, OpenAPI
from pydantic import ValidationError

from appliance.errors import Refusal, malformed
from appliance.requests import explain
from appliance.web.authentication import Authenticator
from appliance.web.jsonbody import StrictRequest
from appliance.web.metrics import Metrics
from appliance.web.problems import PROBLEMS, handle_problems, render_problem
from appliance.web.services import Services
from appliance.web.views import access, cas, certificates, credentials, hosts, ledger, policy, revocations

log = logging.getLogger(__name__)

_VIEWS: Final = (certificates, revocations, cas, hosts, credentials, access, policy, ledger)
# What anyone may read; everything else under /v1 needs to know who is asking.
_ANONYMOUS: Final = frozenset(
    {"cas.list_", "cas.public_key", "ledger.checkpoint", "openapi", "docs", "problem", "static"}
)
_INFO: Final = Info(
    title="Chancery",
    version="1",
    description="An SSH certificate authority that does not sign off the record.",
)
_SECURITY: Final[dict[str, Any]] = {
    "credential": {"type": "http", "scheme": "bearer", "description": "an API credential, chancery1.…"},
    "certificate": {"type": "mutualTLS", "description": "a client certificate"},
}
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
}


def create_app(services: Services, authenticator: Authenticator, metrics: Metrics) -> Flask:
    """Put the application together."""
    app = OpenAPI(
        __name__,
        info=_INFO,
        security_schemes=_SECURITY,
        validation_error_callback=_refuse_invalid,
        doc_ui=False,
        template_folder="templates",
        static_folder="static",
    )
    app.request_class = StrictRequest
    app.url_map.strict_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined, unused-ignore]
    for view in _VIEWS:
        app.register_api(view.build(services))
    _add_documents(app)
    handle_problems(app)
    _surround(app, authenticator, metrics)
    return app


def _surround(app: Flask, authenticator: Authenticator, metrics: Metrics) -> None:
    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        g.request_id = uuid.uuid4()
        g.identity = None
        if request.endpoint is None or request.endpoint in _ANONYMOUS:
            return
        _refuse_unknown_features()
        g.identity = authenticator.identify(request)
        if g.identity is None:
            raise Refusal("unauthenticated", "show a client certificate or `Authorization: Bearer …`")

    @app.after_request
    def end(response: Response) -> Response:
        took_s = time.perf_counter() - g.began
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["X-Request-Id"] = str(g.request_id)
        route = request.url_rule.rule if request.url_rule is not None else "none"
        metrics.count(request.method, route, response.status_code, getattr(g, "slug", ""), took_s)
        log.info(
            "%s %s %d %.1f ms",
            request.method,
            route,
            response.status_code,
            took_s * 1000,
            extra={"request_id": str(g.request_id)},
        )
        return response


def _refuse_unknown_features() -> None:
    """Refuse what a client would rely on and this version does not do: ignoring it would be a lie."""
    if "Idempotency-Key" in request.headers:
        raise malformed("Idempotency-Key", "this version does not remember keys; send requests without one")


def _refuse_invalid(error: ValidationError) -> Response:
    """Answer a body, query or path that is not what its model says; names the field."""
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"])) or "body"
    return render_problem(malformed(field, explain(first)))


def _add_documents(app: OpenAPI) -> None:
    @app.route("/v1/openapi.json", endpoint="openapi")
    def openapi() -> Response:
        return jsonify(app.api_doc)

    @app.route("/docs", endpoint="docs")
    def docs() -> str:
        return render_template("docs.html", api=app.api_doc, operations=_list_operations(app.api_doc))

    @app.route("/problems/<slug>", endpoint="problem")
    def problem(slug: str) -> str:
        if slug not in PROBLEMS:
            raise Refusal("not-found", f"there is no problem type {slug[:60]!r}")
        return render_template("problem.html", slug=slug, problem=PROBLEMS[slug])


def _list_operations(api: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every operation of the description, in its order, for the page."""
    return [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
