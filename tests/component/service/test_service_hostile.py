"""Hostile and broken requests: each is a problem that says what was wrong, none is a 500."""

from __future__ import annotations

import socket
import ssl

import pytest

from appliance.ssh.keys import format_public_key_line
from support.service import Reply, Service
from support.ssh_examples import public_key

KEY = format_public_key_line(public_key("ed25519", 1))
USER = "/v1/certificates/user"
CERTIFICATE = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t"

BODIES = {
    "empty": b"",
    "not JSON": b"{",
    "two values": b"{} {}",
    "an array": b"[]",
    "a string": b'"{}"',
    "null": b"null",
    "not UTF-8": b'{"public_key": "\xff"}',
    "UTF-16": '{"public_key": "x"}'.encode("utf-16"),
    "a lone surrogate": b'{"public_key": "\\ud800"}',
    "NaN": b'{"ttl": NaN}',
    "Infinity": b'{"ttl": -Infinity}',
    "a member twice": b'{"public_key": "a", "public_key": "b"}',
    "a number of 5000 digits": b'{"ttl": ' + b"1" * 5000 + b"}",
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "deep but whole": b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
    "a control character": b'{"public_key": "a\nb"}',
}
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
    ({"public_key": KEY, "on_behalf_of": "api:carol"}, "on_behalf_of"),
    ({"public_key": KEY, "start": "2027-01-01T00:00:00Z"}, "start"),
]
UNACCEPTABLE = [
    "ssh-dss AAAAB3NzaC1kc3M=",
    format_public_key_line(public_key("rsa-2048", 1)).replace("ssh-rsa ", "ssh-rsa-cert-v01@openssh.com "),
    CERTIFICATE,
    "ssh-unknown AAAAC3NzaC1lZDI1NTE5",
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


@pytest.mark.parametrize("line", UNACCEPTABLE)
def test_key_of_a_kind_that_is_never_certified_is_unacceptable(service: Service, line: str) -> None:
    reply = service.http("POST", USER, {"public_key": line}, as_="alice")
    assert (reply.status, reply.slug) == (422, "unacceptable-key")
    assert reply.json["field"] == "public_key"


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
    order = {"operator": "carol", "policy": 2, "expires_s": 4_000_000_000, "signature": "AAAA"}
    body = {"command": command, "orders": [order]}
    reply = service.http("DELETE", "/v1/hosts/web-1.acme.example", body, as_="carol")
    assert (reply.status, reply.slug) == (403, "policy-denied")
    body = {"command": {"verb": "ca.create"}, "orders": [order]}
    assert service.http("POST", "/v1/hosts", body, as_="carol").json["field"] == "command.verb"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01 no HTTP\r\n\r\n",
        (
            b"POST /v1/certificates/user HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        b"POST /v1/certificates/user HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ],
    ids=["fields", "line", "version", "binary", "smuggling", "length"],
)
def test_bytes_that_are_no_http_are_refused_and_the_service_goes_on(
    service: Service, request_bytes: bytes
) -> None:
    context = ssl.create_default_context(cafile=str(service.data / "tls" / "server.pem"))
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(request_bytes)
        answer = secured.recv(4096)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
    assert b"Traceback" not in answer
    assert service.http("GET", "/v1/cas").status == 200


def test_nothing_of_all_this_was_an_internal_error(service: Service) -> None:
    assert "Traceback" not in service.log
    assert '"level": "critical"' not in service.log


def test_replies_carry_the_headers_that_keep_browsers_careful(service: Service) -> None:
    reply = service.http("GET", "/v1/cas")
    assert reply.headers["strict-transport-security"].startswith("max-age=")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
