"""The Flask application: its routes, and what happens to every request around them."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

from flask import Flask, Response, jsonify, render_template, request
from flask_openapi3 import OpenAPI
from pydantic import ValidationError
from werkzeug.routing import BaseConverter

from appliance.errors import Refusal, malformed
from appliance.requests import explain
from appliance.web.authentication import Authenticator
from appliance.web.description import (
    INFO,
    SECURITY,
    complete_description,
    query_parameters,
)
from appliance.web.headers import HEADERS
from appliance.web.issuing import ISSUING
from appliance.web.jsonreply import OrjsonProvider
from appliance.web.metrics import Metrics
from appliance.web.page import describe_limits, describe_operations, list_members, list_sent, mark_code
from appliance.web.problems import PROBLEMS, handle_problems, render_problem
from appliance.web.proxies import Proxies
from appliance.web.replies import Problem
from appliance.web.request import StrictRequest, current_request
from appliance.web.services import Services
from appliance.web.views import (
    access,
    approvals,
    cas,
    certificates,
    credentials,
    hosts,
    krl,
    leave,
    ledger,
    locks,
    policy,
    revocations,
    sessions,
)

log = logging.getLogger(__name__)

_VIEWS: Final = (
    *(certificates, revocations, locks, krl, leave, approvals, cas, hosts),
    *(credentials, access, policy, ledger, sessions),
)
# What anyone may read; everything else under /v1 needs to know who is asking.
_ANONYMOUS: Final = frozenset(
    {
        *("cas.list_", "cas.public_key", "krl.fetch", "krl.sign", "ledger.checkpoint"),
        *("sessions.providers", "sessions.create", "openapi", "docs", "problem", "static"),
    }
)
# Of a name that the requester made up.
_MAX_QUOTED: Final = 100


class _Digits(BaseConverter):
    """What can be a serial: so a serial's route leaves its neighbours' names, and methods, to them."""

    regex = r"[0-9]{1,100}"


def create_app(
    services: Services, authenticator: Authenticator, metrics: Metrics, proxies: Proxies | None = None
) -> Flask:
    """Put the application together."""
    app = OpenAPI(
        __name__,
        info=INFO,
        security_schemes=SECURITY,
        validation_error_callback=_refuse_invalid,
        validation_error_model=Problem,
        doc_ui=False,
        template_folder="templates",
        static_folder="static",
    )
    app.request_class = StrictRequest
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # a redirect would be an answer that is no problem, and of no use
    app.url_map.converters["digits"] = _Digits
    app.json = OrjsonProvider(app)
    for view in _VIEWS:
        app.register_api(view.build(services))
    _add_documents(app)
    handle_problems(app)
    _locate(app, proxies or Proxies())
    _surround(app, authenticator, metrics, query_parameters(app))
    return app


def _locate(app: Flask, proxies: Proxies) -> None:
    @app.before_request
    def locate() -> None:
        """Find where the request comes from: what follows counts by it, and has it put on record."""
        request = current_request()
        request.began_s = time.perf_counter()
        request.id = uuid.uuid4()
        source = proxies.locate(request.remote_addr or "::", request.field("X_FORWARDED_FOR"))
        request.remote_addr, request.proxied = source.address, source.proxied


def _surround(
    app: Flask, authenticator: Authenticator, metrics: Metrics, parameters: Mapping[str, frozenset[str]]
) -> None:
    @app.before_request
    def begin() -> None:
        request = current_request()
        if request.endpoint is None:
            return
        if request.endpoint not in _ANONYMOUS:
            repeats = request.field("IDEMPOTENCY_KEY") is not None
            if repeats:
                _refuse_repetition(request)
            request.identity = authenticator.identify(request, repeats=repeats)
            if request.identity is None:
                raise Refusal("unauthenticated", "show a client certificate or `Authorization: Bearer …`")
        if request.query_string:
            _refuse_unknown_parameters(request, parameters.get(request.endpoint, frozenset()))

    @app.after_request
    def end(response: Response) -> Response:
        request = current_request()
        took_s = time.perf_counter() - request.began_s
        request_id = str(request.id)
        response.headers.setdefault("Cache-Control", HEADERS["Cache-Control"])
        response.headers.add("X-Request-Id", request_id)
        # What no route takes is counted as one: anyone can send methods and paths without end.
        known = request.url_rule
        method, route = ("none", "none") if known is None else (request.method, known.rule)
        metrics.count(method, route, response.status_code, request.refused, took_s)
        log.info(
            "%s %s %d %.1f ms",
            method,
            route,
            response.status_code,
            took_s * 1000,
            extra={"request_id": request_id, "source": request.remote_addr},
        )
        return response


def _refuse_repetition(request: StrictRequest) -> None:
    """Refuse what a client would rely on and the route does not do: ignoring it would be a lie."""
    if request.endpoint not in ISSUING:
        raise malformed("Idempotency-Key", "the routes that issue take one, this one does not")


def _refuse_unknown_parameters(request: StrictRequest, known: frozenset[str]) -> None:
    """Refuse a query that asks for what the route does not have, or says a thing twice."""
    for name, values in request.args.lists():
        if name not in known:
            raise malformed(name[:_MAX_QUOTED], "unknown parameter; what is not known is refused")
        if len(values) > 1:
            raise malformed(name, "is there twice")


def _refuse_invalid(error: ValidationError) -> Response:
    """Answer a body, query or path that is not what its model says; names the field."""
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"]))[:_MAX_QUOTED] or "body"
    return render_problem(malformed(field, explain(first)))


def _add_documents(app: OpenAPI) -> None:
    api = complete_description(app, anonymous=_ANONYMOUS, repeatable=ISSUING)
    # Written once: anyone may ask for these, and each time would cost a hundred times as much as a refusal.
    description = f"{app.json.dumps(api)}\n"
    with app.app_context():
        page = render_template(
            "docs.html",
            api=api,
            tags=describe_operations(api),
            problems=PROBLEMS,
            limits=describe_limits,
            members=list_members,
            sent=list_sent(api),
            mark_code=mark_code,
        )

    @app.route("/v1/openapi.json", endpoint="openapi")
    def openapi() -> Response:
        return Response(description, mimetype="application/json")

    @app.route("/docs", endpoint="docs")
    def docs() -> str:
        return page

    @app.route("/problems/<slug>", endpoint="problem")
    def problem(slug: str) -> Response | str:
        if slug not in PROBLEMS:
            raise Refusal("not-found", f"there is no problem type {slug[:60]!r}")
        if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
            return jsonify(type=f"/problems/{slug}", **asdict(PROBLEMS[slug]))
        return render_template("problem.html", slug=slug, problem=PROBLEMS[slug])
