"""Hostile and broken requests: each is a problem that says what was wrong, none is a 500."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ssh.certificate import format_certificate_line
from appliance.ssh.wire import encode_string
from support.hostile import BODIES, KEY, KEYS
from support.service import Reply, Service
from support.ssh_examples import issue, private_key

USER = "/v1/certificates/user"
BATCH = "/v1/certificates/batch"
INSPECT = "/v1/certificates/inspect"
CERTIFICATE = issue(private_key("ed25519"))
FIELDS = [
    ({}, "public_key"),
    ({"public_key": KEY, "colour": "red"}, "colour"),
    ({"public_key": 5}, "public_key"),
    ({"public_key": "x" * 20_000}, "public_key"),
    ({"public_key": "ssh-ed25519 %%%"}, "public_key"),
    ({"public_key": KEY + "\n" + KEY}, "public_key"),
    ({"public_key": KEY, "ttl": "forever"}, "ttl"),
    ({"public_key": KEY, "ttl": 3600}, "ttl"),
    ({"public_key": KEY, "ttl": "999999999w"}, "ttl"),
    ({"public_key": KEY, "logins": []}, "logins"),
    ({"public_key": KEY, "logins": "root"}, "logins"),
    ({"public_key": KEY, "logins": ["root,admin"]}, "logins.0"),
    ({"public_key": KEY, "logins": ["*"]}, "logins.0"),
    ({"public_key": KEY, "logins": ["-oProxyCommand"]}, "logins.0"),
    ({"public_key": KEY, "logins": ["r\u043e\u043et"]}, "logins.0"),  # Cyrillic letters
    ({"public_key": KEY, "logins": ["a"] * 1000}, "logins"),
    ({"public_key": KEY, "hosts": ["../etc"]}, "hosts.0"),
    ({"public_key": KEY, "source": ["10.0.0.1/8"]}, "source"),
    ({"public_key": KEY, "source": ["::1%eth0/128"]}, "source"),
    ({"public_key": KEY, "permit": ["everything"]}, "permit.0"),
    ({"public_key": KEY, "reason": ""}, "reason"),
    ({"public_key": KEY, "on_behalf_of": "nobody"}, "on_behalf_of"),
    ({"public_key": KEY, "start": "tomorrow"}, "start"),
]


def post(service: Service, raw: bytes, **headers: str) -> Reply:
    return service.http("POST", USER, raw=raw, as_="alice", headers=headers)


@pytest.mark.parametrize("name", BODIES)
def test_body_that_is_no_strict_json_object_is_malformed(service: Service, name: str) -> None:
    reply = post(service, BODIES[name])
    assert (reply.status, reply.slug) == (400, "malformed-request")
    assert reply.json["field"] in {"body", "public_key"}


@pytest.mark.parametrize(("body", "field"), FIELDS, ids=range(len(FIELDS)))
def test_problem_names_the_field_that_is_wrong(service: Service, body: dict[str, object], field: str) -> None:
    reply = service.http("POST", USER, body, as_="alice")
    assert (reply.status, reply.slug) == (400, "malformed-request")
    assert reply.json["field"] == field
    assert field in reply.json["detail"]


@pytest.mark.parametrize("name", KEYS)
def test_key_that_is_none_or_never_certified_is_refused_by_its_field(service: Service, name: str) -> None:
    reply = service.http("POST", USER, {"public_key": KEYS[name]}, as_="alice")
    assert (reply.status, reply.slug) in {(400, "malformed-request"), (422, "unacceptable-key")}
    assert reply.json["field"] == "public_key"


@pytest.mark.parametrize("number", [2**53, -(2**64), 10**400], ids=["53 bits", "64 bits", "400 digits"])
def test_integer_that_no_socket_carries_is_malformed_wherever_it_stands(
    service: Service, number: int
) -> None:
    item = {"requests": [{"type": "user", "public_key": number}]}
    order = {"operator": "carol", "policy": 2, "expires_s": 4_000_000_000, "signature": "AAAA"}
    command = {"command": {"verb": "host.add", "name": number}, "orders": [order]}
    assert service.http("POST", BATCH, item, as_="alice").slug == "malformed-request"
    assert service.http("POST", "/v1/hosts", command, as_="carol").slug == "malformed-request"


def test_body_over_the_limit_is_too_large(service: Service) -> None:
    reply = post(service, b'{"public_key": "' + b"a" * 2_000_000 + b'"}')
    assert (reply.status, reply.slug) == (413, "too-large")


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_body_of_another_media_type_is_refused(service: Service, media_type: str) -> None:
    reply = post(service, b"{}", **{"Content-Type": media_type})
    assert (reply.status, reply.slug) == (415, "unsupported-media-type")


def test_idempotency_key_is_refused_rather_than_ignored_where_nothing_is_issued(service: Service) -> None:
    body = {"serial": "1", "reason": "lost"}
    reply = service.http("POST", "/v1/revocations", body, as_="carol", headers={"Idempotency-Key": "1"})
    assert (reply.slug, reply.json["field"]) == ("malformed-request", "Idempotency-Key")


@pytest.mark.parametrize(
    ("method", "path", "slug"),
    [
        ("GET", "/", "not-found"),
        ("GET", "/v1/nothing", "not-found"),
        ("GET", "/v1/certificates/0", "malformed-request"),
        ("GET", "/v1/certificates/18446744073709551616000", "malformed-request"),
        ("GET", "/v1/certificates/99", "not-found"),
        ("GET", "/v1/certificates?limit=0", "malformed-request"),
        ("GET", "/v1/certificates?limit=501", "malformed-request"),
        ("GET", "/v1/certificates?limit=ten", "malformed-request"),
        ("GET", "/v1/certificates?cursor=%00", "malformed-request"),
        ("GET", "/v1/certificates?cursor=eyJiZWZvcmUiOiAtMX0", "malformed-request"),
        ("GET", "/v1/certificates?sujet=api:alice", "malformed-request"),
        ("GET", "/v1/certificates?state=good", "malformed-request"),
        ("GET", "/v1/certificates?since=yesterday", "malformed-request"),
        ("GET", "/v1/certificates?min_size=9000000", "ledger-unavailable"),
        ("GET", "/v1/access?at=2026-13-01T00:00:00Z", "malformed-request"),
        ("GET", "/v1/access?at=9999999-01-01T00:00:00Z", "malformed-request"),
        ("GET", "/v1/access/explain?at=9999-12-31T23:59:59Z", "malformed-request"),
        ("GET", "/v1/access?basis=guess", "malformed-request"),
        ("GET", "/v1/cas/..%2f..%2fetc/public-key", "not-found"),
        ("GET", "/v1/cas/nobody/public-key", "not-found"),
        ("GET", "/v1/ledger/consistency?old=5&new=3", "malformed-request"),
        ("GET", "/v1/ledger/consistency?old=1&new=90000000", "malformed-request"),
        ("GET", "/v1/ledger/tile/../../../etc/passwd", "malformed-request"),
        ("GET", "/v1/ledger/tile/9/999", "not-found"),
        ("GET", "/v1/ledger/entries?start=-1", "malformed-request"),
        ("DELETE", "/v1/certificates", "method-not-allowed"),
        ("PATCH", "/v1/policy", "method-not-allowed"),
        ("GET", "/healthz", "not-found"),
        ("GET", "/metrics", "not-found"),
        ("GET", "/problems/unknown", "not-found"),
    ],
)
def test_request_line_that_asks_for_nothing_that_is_there_is_refused(
    service: Service, method: str, path: str, slug: str
) -> None:
    assert service.http(method, path, as_="dave").slug == slug


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer x",
        "Basic YTpi",
        "Bearer chancery1.0000000000000000." + "A" * 43,
        "Bearer chancery1.0000000000000000." + "A" * 4000,
        "Bearer \u00e9",
    ],
)
def test_credential_that_is_not_valid_gets_a_401_that_says_nothing_more(service: Service, value: str) -> None:
    headers = {"Authorization": value.encode("utf-8").decode("latin-1")}
    reply = service.http("GET", "/v1/whoami", headers=headers)
    assert (reply.status, reply.slug) == (401, "unauthenticated")
    assert reply.json["detail"] == "the credential is not valid"
    assert "www-authenticate" in reply.headers


def test_right_id_with_a_wrong_secret_is_not_valid(service: Service) -> None:
    good = service.credential("alice")
    wrong = good[:-1] + ("A" if good[-1] != "A" else "B")
    assert service.http("GET", "/v1/whoami", credential=wrong).slug == "unauthenticated"


@pytest.mark.parametrize(
    "path", ["/v1/certificates", "/v1/policy", "/v1/hosts", "/v1/ledger/entries?start=0"]
)
def test_who_shows_nothing_gets_401_before_anything_is_looked_at(service: Service, path: str) -> None:
    assert service.http("GET", path).slug == "unauthenticated"
    assert service.http("POST", USER, raw=b"[" * 10_000).slug == "unauthenticated"


def test_order_that_nobody_signed_is_refused(service: Service) -> None:
    command = {"verb": "host.remove", "name": "web-1.acme.example"}
    policy = service.http("GET", "/v1/policy", as_="carol").json["policy"]
    order = {"operator": "carol", "policy": policy, "expires_s": 4_000_000_000, "signature": "AAAA"}
    body = {"command": command, "orders": [order]}
    reply = service.http("DELETE", "/v1/hosts/web-1.acme.example", body, as_="carol")
    assert (reply.status, reply.slug) == (403, "policy-denied")
    body = {"command": {"verb": "ca.create"}, "orders": [order]}
    assert service.http("POST", "/v1/hosts", body, as_="carol").json["field"] == "command.verb"


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["change", "insert", "remove", "cut"]),
        st.integers(0, 2_000),
        st.sampled_from([b"\0", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"A", b"\x7f\xff\xff\xff"]),
    ),
    min_size=1,
    max_size=4,
)


def mutate(blob: bytes, mutations: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, value in mutations:
        at = place % (len(blob) + 1)
        match kind:
            case "change":
                blob = blob[:at] + value + blob[at + len(value) :]
            case "insert":
                blob = blob[:at] + value + blob[at:]
            case "remove":
                blob = blob[:at] + blob[at + len(value) :]
            case "cut":
                blob = blob[:at]
    return blob


def line_of(kind: str, blob: bytes) -> str:
    return f"{kind} {base64.b64encode(blob).decode()}"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["user", "host", "batch", "inspect"]), MUTATIONS)
def test_mutated_keys_and_certificates_are_answered_by_every_route_that_takes_them(
    service: Service, route: str, mutations: list[tuple[str, int, bytes]]
) -> None:
    kind, text = KEY.split(" ")
    key = line_of(kind, mutate(base64.b64decode(text), mutations))
    kind, text = format_certificate_line(CERTIFICATE).split(" ")[:2]
    shown = line_of(kind, mutate(base64.b64decode(text), mutations))
    who, body = {
        "user": ("alice", {"public_key": key, "logins": ["deploy"]}),
        "host": ("erin", {"public_key": key, "host": "web-1.acme.example"}),
        "batch": ("ci", {"requests": [{"type": "user", "public_key": key}, {"type": "host", "host": key}]}),
        "inspect": ("ci", {"certificate": shown}),
    }[route]
    credential = service.credential(who, kind="service" if who == "ci" else "user")
    reply = service.http("POST", f"/v1/certificates/{route}", body, credential=credential)
    assert reply.status in {200, 201, 400, 422}, reply.body
    outcomes = reply.json.get("outcomes", [])
    assert not [each for each in outcomes if each.get("problem", {}).get("status", 0) >= 500]
    if route == "inspect" and reply.status == 200:
        assert not reply.json["on_record"]


def test_certificate_with_far_too_many_principals_is_looked_over_and_not_on_record(service: Service) -> None:
    principals = b"".join(encode_string(b"p%05d" % number) for number in range(3_000))
    old = b"".join(encode_string(each.encode()) for each in CERTIFICATE.content.principals)
    blob = CERTIFICATE.blob.replace(encode_string(old), encode_string(principals))
    line = line_of(CERTIFICATE.content.subject_key.certificate_type, blob)
    reply = service.http("POST", INSPECT, {"certificate": line}, as_="dave")
    assert reply.status == 200, reply.body
    assert (reply.json["on_record"], reply.json["signature"]) == (False, "bad")
    assert len(reply.json["principals"]) == 3_000


def test_nothing_of_all_this_was_an_internal_error(service: Service) -> None:
    assert "Traceback" not in service.log
    assert '"level": "critical"' not in service.log_without_alarms


def test_replies_carry_the_headers_that_keep_browsers_careful(service: Service) -> None:
    reply = service.http("GET", "/v1/whoami", as_="dave")
    assert reply.headers["strict-transport-security"].startswith("max-age=")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
