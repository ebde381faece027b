"""The OpenAPI description, completed: who may ask, and that every error is a problem.

What a route takes and gives is said by its models; flask-openapi3 collects that. What is the same for all
routes, or follows from how they are put together, is added here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from flask_openapi3 import Info, OpenAPI

INFO: Final = Info(
    title="Chancery",
    version="1",
    description="An SSH certificate authority that does not sign off the record.",
)
SECURITY: Final[dict[str, Any]] = {
    "credential": {"type": "http", "scheme": "bearer", "description": "an API credential, chancery1.…"},
    "certificate": {"type": "mutualTLS", "description": "a client certificate"},
}
_PLACEHOLDER: Final = re.compile(r"<(?:\w+:)?(\w+)>")  # /v1/cas/<ca> is /v1/cas/{ca} in OpenAPI
_INVALID: Final = "422"  # what flask-openapi3 thinks that a body which is not valid is answered with


def complete_description(app: OpenAPI, anonymous: Collection[str]) -> dict[str, Any]:
    """Return an application's description, once it has its routes; ``anonymous`` are endpoints for anyone."""
    api: dict[str, Any] = app.api_doc
    api["security"] = [{name: []} for name in SECURITY]
    api["components"]["responses"] = {
        "Problem": {
            "description": "A problem (RFC 9457); /problems/<slug> says what to do about it.",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    }
    for endpoint, operation in _operations(app):
        operation["responses"].pop(_INVALID, None)
        operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
        if endpoint in anonymous:
            operation["security"] = []
    return api


def query_parameters(app: OpenAPI) -> dict[str, frozenset[str]]:
    """Return, for each endpoint that is described, the names of the query parameters that it takes."""
    return {
        endpoint: frozenset(each["name"] for each in operation.get("parameters", ()) if each["in"] == "query")
        for endpoint, operation in _operations(app)
    }


def list_operations(api: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every operation of a description, in its order, for the page."""
    return [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]


def _operations(app: OpenAPI) -> Iterator[tuple[str, dict[str, Any]]]:
    paths = app.api_doc["paths"]
    for rule in app.url_map.iter_rules():
        for method, operation in paths.get(_PLACEHOLDER.sub(r"{\1}", rule.rule), {}).items():
            if method.upper() in (rule.methods or ()):
                yield rule.endpoint, operation
