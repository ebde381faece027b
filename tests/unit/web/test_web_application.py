"""The application around its routes: queries, methods, paths, headers and its own description."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from appliance.errors import SLUGS
from appliance.ssh.keys import format_public_key_line
from appliance.web.headers import FIXED_LINES
from appliance.web.problems import PROBLEMS
from support.authority import identity
from support.ssh_examples import public_key
from support.web import make_app, make_client

BODY = {"public_key": format_public_key_line(public_key("ed25519"))}
USER = "/v1/certificates/user"
ISSUED = {
    "certificate": "ssh-ed25519-cert-v01@openssh.com AAAA",
    "type": "user",
    "serial": str((3 << 48) | 17),
    "seq": 17,
    "ca": "users",
    "key_id": "mtls:alice#3.17",
    "principals": ["deploy@web"],
    "valid_after": 1_764_000_000,
    "valid_before": 1_764_003_600,
    "leaf_hash": "ab" * 32,
}
ANONYMOUS = {
    ("get", "/v1/cas"),
    ("get", "/v1/krl/{ca}"),
    ("get", "/v1/krl/{ca}.sig"),
    ("get", "/v1/cas/{ca}/public-key"),
    ("get", "/v1/krl/{ca}"),
    ("get", "/v1/krl/{ca}.sig"),
    ("get", "/v1/ledger/checkpoint"),
    ("get", "/v1/providers"),
    ("post", "/v1/sessions"),
}


def test_request_is_put_to_the_authority_in_the_requesters_name_and_the_reply_rendered() -> None:
    app, authority = make_app({"certificates": [ISSUED], "ledger_size": 19})
    reply = app.test_client().post(USER, json=BODY | {"ttl": "1h"}, headers={"From": "Alice"})
    assert authority.calls == [
        ("certificate.user", {"identity": identity().to_data(), "body": BODY | {"ttl": "1h"}})
    ]
    assert reply.status_code == 201
    assert reply.get_json()["ledger_size"] == 19
    (issued,) = reply.get_json()["certificates"]
    assert issued["id"] == "3.17"
    assert issued["serial"] == ISSUED["serial"]
    assert issued["valid_before"] == "2025-11-24T17:00:00Z"
    assert issued["proof"] == f"/v1/ledger/proof/{ISSUED['serial']}"


def test_body_that_is_not_valid_never_reaches_the_authority() -> None:
    app, authority = make_app({"certificates": [ISSUED], "ledger_size": 19})
    reply = app.test_client().post(USER, json=BODY | {"x" * 5_000: 1}, headers={"From": "Alice"})
    assert reply.get_json(force=True)["field"] == "x" * 100
    assert authority.calls == []


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("GET", "/v1/cas?colour=red", "colour"),
        ("GET", "/v1/whoami?verbose", "verbose"),
        ("POST", "/v1/certificates/user?dry_run=1", "dry_run"),
        ("GET", "/v1/certificates?limit=1&limit=2", "limit"),
        ("GET", "/v1/ledger/checkpoint?size=3", "size"),
        ("GET", "/v1/openapi.json?x=1", "x"),
        ("GET", "/v1/cas?" + "y" * 3_000, "y" * 100),
    ],
)
def test_query_that_the_route_does_not_take_is_refused_by_name(method: str, path: str, field: str) -> None:
    reply = make_client().open(path, method=method)
    assert reply.status_code == 400
    assert reply.get_json(force=True)["field"] == field


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "FROB", "DELETE", "PUT"])
def test_method_that_a_route_has_not_is_405_with_those_it_has(method: str) -> None:
    reply = make_client().open("/v1/cas", method=method)
    assert reply.status_code == 405
    assert set(reply.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    assert reply.get_json(force=True)["type"] == "/problems/method-not-allowed"


@pytest.mark.parametrize(
    "path", ["//v1//cas", "/v1//cas", "/v1/%2e%2e/etc", "/v1/certificates/\x00", "/static/%2e%2e/app.py"]
)
def test_path_that_is_nearly_one_is_a_problem_and_no_redirect(path: str) -> None:
    reply = make_client().get(path)
    assert reply.status_code in {400, 404}
    assert reply.mimetype == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/whoami?x=1"), ("POST", USER), ("GET", "/v1/ledger/tile/0/000")]
)
def test_who_shows_nothing_is_told_so_before_anything_is_looked_at(method: str, path: str) -> None:
    reply = make_app()[0].test_client().open(path, method=method, data="[" * 1_000)
    assert reply.status_code == 401
    assert reply.get_json(force=True)["type"] == "/problems/unauthenticated"


def test_every_reply_tells_caches_to_forget() -> None:
    for path in ("/v1/whoami", "/docs", "/problems/conflict", "/nothing"):
        assert make_client().get(path).headers["Cache-Control"] == "no-store"


def test_fields_of_every_reply_tell_browsers_to_be_careful() -> None:
    fields = dict(line.split(": ", 1) for line in FIXED_LINES.splitlines())
    assert fields["X-Content-Type-Options"] == "nosniff"
    assert fields["Strict-Transport-Security"] == "max-age=31536000"
    assert "script-src" not in fields["Content-Security-Policy"]
    assert fields["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.fixture(scope="module")
def app() -> Flask:
    return make_app()[0]


def test_description_has_every_route_and_no_other(app: Flask) -> None:
    described = {
        (method.upper(), path)
        for path, methods in app.test_client().get("/v1/openapi.json").get_json()["paths"].items()
        for method in methods
    }
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/v1/") and rule.endpoint != "openapi"
    }
    assert described == routes


def test_description_refers_to_nothing_that_is_not_in_it(app: Flask) -> None:
    api = app.test_client().get("/v1/openapi.json").get_json()

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return here + [found for each in value.values() for found in references(each)]
        return [found for each in value for found in references(each)] if isinstance(value, list) else []

    found = references(api)
    assert "#/components/schemas/Problem" in found
    for reference in found:
        _, *parts = reference.split("/")
        at = api
        for part in parts:
            at = at[part]


def test_description_says_that_every_error_is_a_problem_and_lists_them(app: Flask) -> None:
    api = app.test_client().get("/v1/openapi.json").get_json()
    for methods in api["paths"].values():
        for operation in methods.values():
            statuses = {status for status in operation["responses"] if status >= "400"}
            assert statuses == {str(PROBLEMS[slug].status) for slug in operation["x-problems"]}
            for status in statuses:
                (media_type,) = operation["responses"][status]["content"]
                assert media_type == "application/problem+json"
                assert "X-Request-Id" in operation["responses"][status]["headers"]


def test_description_has_a_schema_for_every_answer_in_json(app: Flask) -> None:
    api = app.test_client().get("/v1/openapi.json").get_json()
    for methods in api["paths"].values():
        for operation in methods.values():
            good = [each for status, each in operation["responses"].items() if status in {"200", "201"}]
            assert good
            for response in good:
                for media_type, described in response["content"].items():
                    assert media_type != "application/json" or "$ref" in described["schema"]


def test_description_of_a_problem_lists_all_of_them(app: Flask) -> None:
    api = app.test_client().get("/v1/openapi.json").get_json()
    listed = api["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert {each.removeprefix("/problems/") for each in listed} == SLUGS


def test_description_says_what_is_for_anyone(app: Flask) -> None:
    api = app.test_client().get("/v1/openapi.json").get_json()
    assert api["security"] == [{"credential": []}, {"certificate": []}]
    public = {
        (method, path)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
        if operation.get("security") == []
    }
    assert public == ANONYMOUS
