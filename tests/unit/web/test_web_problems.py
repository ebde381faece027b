"""Problems: every slug leaves as its status, whatever raised it; nothing else leaves."""

from __future__ import annotations

import json
import uuid

import pytest
from gunicorn.http.errors import InvalidChunkSize, InvalidRequestLine, LimitRequestHeaders, LimitRequestLine

from appliance.errors import SLUGS, Refusal
from appliance.ssh.keys import format_public_key_line
from appliance.web.problems import PROBLEMS, format_bare_reply
from appliance.web.worker import refuse
from support.ssh_examples import public_key
from support.web import make_app, make_client

BODY = {"public_key": format_public_key_line(public_key("ed25519"))}
USER = "/v1/certificates/user"
STATUSES = {
    "malformed-request": 400,
    "unauthenticated": 401,
    "policy-denied": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "conflict": 409,
    "too-large": 413,
    "unsupported-media-type": 415,
    "unacceptable-key": 422,
    "rate-limited": 429,
    "internal": 500,
    "overloaded": 503,
    "hsm-unavailable": 503,
    "ledger-unavailable": 503,
    "identity-unavailable": 503,
    "issuance-halted": 503,
}


def test_statuses_are_those_of_the_interface() -> None:
    assert {slug: problem.status for slug, problem in PROBLEMS.items()} == STATUSES
    assert set(STATUSES) == SLUGS


@pytest.mark.parametrize("slug", sorted(SLUGS))
def test_refusal_of_the_authority_leaves_as_its_problem(slug: str) -> None:
    client = make_client(Refusal(slug, "so it is", rule="a rule", retry_after_s=7))
    reply = client.post(USER, json=BODY)
    assert reply.status_code == STATUSES[slug]
    assert reply.mimetype == "application/problem+json"
    problem = reply.get_json(force=True)
    assert problem == {
        "type": f"/problems/{slug}",
        "title": PROBLEMS[slug].title,
        "status": STATUSES[slug],
        "detail": "so it is",
        "instance": f"urn:uuid:{reply.headers['X-Request-Id']}",
        "rule": "a rule",
        "retry_after_s": 7,
    }
    assert reply.headers["Retry-After"] == "7"
    assert ("WWW-Authenticate" in reply.headers) is (slug == "unauthenticated")


@pytest.mark.parametrize("slug", sorted(SLUGS))
def test_problem_type_is_explained_to_people_and_to_programs(slug: str) -> None:
    client = make_client()
    page = client.get(f"/problems/{slug}", headers={"Accept": "text/html,application/json;q=0.5"})
    assert page.mimetype == "text/html"
    assert PROBLEMS[slug].title in page.text
    data = client.get(f"/problems/{slug}", headers={"Accept": "application/json"}).get_json()
    assert (data["type"], data["status"]) == (f"/problems/{slug}", STATUSES[slug])


def test_unexpected_error_is_internal_and_tells_nothing_but_its_id(caplog: pytest.LogCaptureFixture) -> None:
    reply = make_client(RuntimeError("the password is 12345")).post(USER, json=BODY)
    problem = reply.get_json(force=True)
    assert (reply.status_code, problem["type"]) == (500, "/problems/internal")
    assert "12345" not in reply.text
    assert "RuntimeError" not in reply.text
    assert problem["instance"].removeprefix("urn:uuid:") in caplog.text


def test_authority_that_is_not_there_is_a_503_with_retry_after() -> None:
    client = make_app()[0].test_client()
    reply = client.get("/v1/cas")
    assert (reply.status_code, reply.get_json(force=True)["type"]) == (503, "/problems/ledger-unavailable")
    assert reply.headers["Retry-After"] == "2"
    assert "nonexistent" not in reply.text


@pytest.mark.parametrize(
    ("method", "path", "slug", "words"),
    [
        ("GET", "/v1/nothing", "not-found", "there is no such route"),
        ("DELETE", "/v1/cas", "method-not-allowed", "Allow names those that it takes"),
        ("POST", USER, "unsupported-media-type", "takes a body of application/json, got none"),
        ("DELETE", "/v1/locks/99", "unsupported-media-type", "takes a body of application/json, got none"),
    ],
)
def test_what_no_route_takes_is_refused_in_words_for_programs(
    method: str, path: str, slug: str, words: str
) -> None:
    reply = make_client().open(path, method=method)
    problem = reply.get_json(force=True)
    assert (problem["type"], reply.status_code) == (f"/problems/{slug}", STATUSES[slug])
    assert words in problem["detail"]
    assert "/docs" in problem["detail"] or "Allow" in reply.headers


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (LimitRequestLine(9_000, 4_094), "too-large"),
        (LimitRequestHeaders("limit request headers fields"), "too-large"),
        (InvalidRequestLine("\x16\x03"), "malformed-request"),
        (InvalidChunkSize("zz"), "malformed-request"),
        (RuntimeError("the password is 12345"), "internal"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_bytes_that_never_became_a_request_get_a_whole_reply(error: Exception, slug: str) -> None:
    instance = uuid.UUID(int=1)
    head, _, body = format_bare_reply(refuse(error), instance, goes_on=False).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].startswith(f"HTTP/1.1 {STATUSES[slug]} ")
    assert "Connection: close" in lines
    assert f"X-Request-Id: {instance}" in lines
    assert f"Content-Length: {len(body)}" in lines
    problem = json.loads(body)
    assert (problem["type"], problem["instance"]) == (f"/problems/{slug}", f"urn:uuid:{instance}")
    assert b"12345" not in body
    assert b"\x16" not in body
