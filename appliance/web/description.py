"""The OpenAPI description, completed: who may ask, what can go wrong, which headers come with it.

What a route takes and gives is said by its models; flask-openapi3 collects that. Which problems are its own
it says with :func:`problems`. What is the same for all routes, or follows from how they are put together, is
added here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any, Final

from flask_openapi3 import Info, OpenAPI
from pydantic import BaseModel

from appliance.web.jsonbody import MAX_INTEGER, MAX_MEMBERS
from appliance.web.problems import MEDIA_TYPE, PROBLEMS

INFO: Final = Info(
    title="Chancery",
    version="1",
    description="An SSH certificate authority that does not sign off the record.",
)
_BEARER: Final = "an API credential, a token of an identity provider, or a session (/v1/sessions)"
SECURITY: Final[dict[str, Any]] = {
    "credential": {"type": "http", "scheme": "bearer", "description": _BEARER},
    "certificate": {"type": "mutualTLS", "description": "a client certificate"},
}
KEPT: Final[dict[str, Any]] = {"description": "You have it already, by the ETag in If-None-Match."}
_PROBLEMS: Final = "x-problems"
_REFERENCE: Final = "#/components/{}/{}"
_PLACEHOLDER: Final = re.compile(r"<(?:\w+:)?(\w+)>")  # /v1/cas/<ca> is /v1/cas/{ca} in OpenAPI

# Also a request line or a header can be too large.
_ANY_ROUTE: Final = ("malformed-request", "too-large", "internal", "ledger-unavailable")
_NOT_ANONYMOUS: Final = ("unauthenticated", "rate-limited", "overloaded", "identity-unavailable")
_WITH_BODY: Final = ("unsupported-media-type",)

_PREFERRED: Final = "Preference-Applied"
_HEADERS: Final[dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The request, as the log names it.",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    },
    "Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"required": True, "schema": {"type": "string"}},
    "ETag": {
        "description": "For If-None-Match, to be told whether anything has changed.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Cache-Control": {"required": True, "schema": {"type": "string"}},
    _PREFERRED: {
        "description": "With Prefer: wait=N, how long the reply was ready to wait for proofs.",
        "schema": {"type": "string", "pattern": "^wait=[0-9]{1,2}$"},
    },
}
_HEADERS_OF_STATUS: Final = {
    "304": ("ETag",),
    "401": ("WWW-Authenticate",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
# What a body may hold anywhere: integers that all readers agree on, and no other numbers.
_JSON_VALUE: Final[dict[str, Any]] = {
    "description": "Any value that a body may hold.",
    "anyOf": [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
        {"type": "string"},
        {"type": "array", "items": {"$ref": "#/components/schemas/JsonValue"}},
        {
            "type": "object",
            "maxProperties": MAX_MEMBERS,
            "additionalProperties": {"$ref": "#/components/schemas/JsonValue"},
        },
    ],
}
_REQUEST_HEADERS: Final[dict[str, Any]] = {
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of what you have.",
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Of your own choice: the request sent again with it is not carried out twice.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "wait=N: hold the reply up to N seconds, at most 30, until it can have its proof.",
        "schema": {"type": "string"},
    },
}


def problems(*slugs: str) -> dict[str, Any]:
    """Say which problems a route answers with, beside those that all of its kind share."""
    assert set(slugs) <= set(PROBLEMS)  # noqa: S101 - said once, when the application is put together
    return {_PROBLEMS: sorted(slugs)}


def content(media_type: str, description: str) -> dict[str, Any]:
    """Describe a reply that is no JSON."""
    schema = {} if media_type == "application/octet-stream" else {"schema": {"type": "string"}}
    return {"description": description, "content": {media_type: schema}}


def complete_description(
    app: OpenAPI, *, anonymous: Collection[str], repeatable: Collection[str]
) -> dict[str, Any]:
    """Return an application's description, once it has its routes.

    ``anonymous`` are the endpoints for anyone, ``repeatable`` those that take an Idempotency-Key.
    """
    api: dict[str, Any] = app.api_doc
    components = api["components"]
    components["schemas"] = _describe_models(components["schemas"]) | {"JsonValue": _JSON_VALUE}
    components["headers"] = _HEADERS
    components["parameters"] = _REQUEST_HEADERS
    api["security"] = [{name: []} for name in SECURITY]
    for endpoint, operation in _operations(app):
        _complete(operation, endpoint, public=endpoint in anonymous, repeatable=endpoint in repeatable)
    return api


def _complete(operation: dict[str, Any], endpoint: str, *, public: bool, repeatable: bool) -> None:
    operation["operationId"] = endpoint.replace(".", "_").rstrip("_")
    text: str = operation["description"]
    operation["description"] = text.replace("<br/><br/>", "\n\n").replace("<br/>", " ")
    if public:
        operation["security"] = []
    responses = operation["responses"] = _describe_responses(operation, public=public)
    names = ["IfNoneMatch"] if "304" in responses else []
    names += ["IdempotencyKey"] if repeatable else []
    if repeatable and "201" in responses:  # a batch, which is a 200, does not wait
        names.append("Prefer")
        responses["201"]["headers"][_PREFERRED] = _refer("headers", _PREFERRED)
    if names:
        operation.setdefault("parameters", []).extend(_refer("parameters", name) for name in names)


def query_parameters(app: OpenAPI) -> dict[str, frozenset[str]]:
    """Return, for each endpoint that is described, the names of the query parameters that it takes."""
    return {
        endpoint: frozenset(
            each["name"] for each in operation.get("parameters", ()) if each.get("in") == "query"
        )
        for endpoint, operation in _operations(app)
    }


def _describe_responses(operation: dict[str, Any], *, public: bool) -> dict[str, Any]:
    """Return what the route answers with, and each problem of it under its status, all with their headers."""
    responses = {status: each for status, each in operation["responses"].items() if status < "400"}
    slugs = {*_ANY_ROUTE, *operation.setdefault(_PROBLEMS, [])}
    slugs |= set() if public else set(_NOT_ANONYMOUS)
    slugs |= set(_WITH_BODY) if "requestBody" in operation else set()
    operation[_PROBLEMS] = sorted(slugs, key=lambda slug: (PROBLEMS[slug].status, slug))
    by_status = defaultdict(list)
    for slug in operation[_PROBLEMS]:
        by_status[str(PROBLEMS[slug].status)].append(slug)
    for status, found in by_status.items():
        responses[status] = _describe_problem(found)
    for status, response in responses.items():
        names = ["X-Request-Id", *_HEADERS_OF_STATUS.get(status, ())]
        names += ["ETag", "Cache-Control"] if status == "200" and "304" in responses else []
        response["headers"] = {name: _refer("headers", name) for name in names}
    return dict(sorted(responses.items()))


def _describe_problem(slugs: list[str]) -> dict[str, Any]:
    titles = "; ".join(f"{PROBLEMS[slug].title} (/problems/{slug})" for slug in slugs)
    schema = _refer("schemas", "Problem")
    return {"description": titles, "content": {MEDIA_TYPE: {"schema": schema}}}


def _refer(kind: str, name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(kind, name)}


def _describe_models(names: Collection[str]) -> dict[str, Any]:
    """Describe the models anew: flask-openapi3 leaves out what it has no field for, such as examples."""
    described: dict[str, Any] = {}
    for model in _subclasses(BaseModel):
        if model.__name__ in names and model.__module__.startswith("appliance."):
            schema = model.model_json_schema(ref_template=_REFERENCE.format("schemas", "{model}"))
            found = {**schema.pop("$defs", {}), model.__name__: schema}
            described |= {name: _tidy(each) for name, each in found.items()}
    return {name: described[name] for name in sorted(described)}


def _subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in model.__subclasses__():
        yield each
        yield from _subclasses(each)


def _tidy(schema: Any) -> Any:
    """Drop the titles that pydantic makes of names, and say what an open object may hold."""
    if isinstance(schema, list):
        return [_tidy(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        name: _tidy(each) for name, each in schema.items() if not (name == "title" and isinstance(each, str))
    }
    if tidy.get("additionalProperties") is True:
        tidy["additionalProperties"] = _refer("schemas", "JsonValue")
    if tidy.get("items") == {}:
        tidy["items"] = _refer("schemas", "JsonValue")
    return tidy


def _operations(app: OpenAPI) -> Iterator[tuple[str, dict[str, Any]]]:
    paths = app.api_doc["paths"]
    for rule in app.url_map.iter_rules():
        for method, operation in paths.get(_PLACEHOLDER.sub(r"{\1}", rule.rule), {}).items():
            if method.upper() in (rule.methods or ()):
                yield rule.endpoint, operation
