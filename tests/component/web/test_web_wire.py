"""The web tier on the wire: what gunicorn's parser, TLS and keep-alive make of it, not a test client."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.ssh.keys import format_public_key_line
from support.service import Service, another_web_tier
from support.ssh_examples import public_key

USER = "/v1/certificates/user"
BODY = json.dumps({"public_key": format_public_key_line(public_key("ed25519"))}).encode()
CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"


@contextmanager
def connected(service: Service) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=str(service.data / "tls" / "server.pem"))
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        yield secured


def exchange(service: Service, sent: bytes) -> tuple[int, dict[str, object]]:
    """Send bytes; return the status and the problem that come back."""
    with connected(service) as connection:
        connection.sendall(sent)
        reply = HTTPResponse(connection)
        reply.begin()
        assert reply.headers["Content-Type"] == "application/problem+json"
        return reply.status, json.loads(reply.read())


def chunked(service: Service, *chunks: bytes) -> bytes:
    head = (
        f"POST {USER} HTTP/1.1\r\nHost: ca.example.org\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {service.credential('alice')}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    return head.encode() + b"".join(chunks)


def test_chunked_body_is_read_whole(service: Service) -> None:
    sent = chunked(service, b"5\r\n" + BODY[:5] + b"\r\n", b"%x\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n")
    with connected(service) as connection:
        connection.sendall(sent + b"0\r\n\r\n")
        reply = HTTPResponse(connection)
        reply.begin()
        assert reply.status == 201
        assert b"ssh-ed25519-cert-v01@openssh.com" in reply.read()


def test_chunked_body_over_the_limit_is_not_cut_off_and_taken_for_whole(service: Service) -> None:
    whole = b"%x\r\n" % len(BODY) + BODY + b"\r\n"
    status, problem = exchange(service, chunked(service, whole, *[CHUNK] * 16, b"0\r\n\r\n"))
    assert (status, problem["type"]) == (413, "/problems/too-large")


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"-1\r\n{}\r\n", b"2\r\n{}garbage\r\n0\r\n\r\n"])
def test_chunks_that_are_none_are_malformed(service: Service, chunks: bytes) -> None:
    status, problem = exchange(service, chunked(service, chunks))
    assert (status, problem["type"]) == (400, "/problems/malformed-request")


def test_body_that_never_comes_to_its_end_is_given_up(service: Service) -> None:
    with connected(service) as connection:
        connection.sendall(chunked(service, b"5\r\n" + BODY[:5] + b"\r\n"))
        reply = HTTPResponse(connection)
        reply.begin()
        assert (reply.status, json.loads(reply.read())["field"]) == (400, "body")


def test_plain_http_on_the_tls_port_is_closed(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as plain:
        plain.sendall(b"GET /v1/cas HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            received = plain.recv(4_096)
        except ConnectionResetError:
            received = b""
    assert received == b""


def test_connection_is_kept_over_many_requests_and_a_refusal(service: Service) -> None:
    with connected(service) as connection:
        for path, status in (("/v1/cas", 200), ("/v1/whoami", 401), ("/v1/ledger/checkpoint", 200)):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: ca.example.org\r\n\r\n".encode())
            reply = HTTPResponse(connection)
            reply.begin()
            assert reply.status == status
            assert reply.read()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Proto": "http"},
        {"Script-Name": "/v1"},
        {"Path-Info": "/v1/policy"},
        {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"},
        {"Host": "evil.example"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_headers_of_a_proxy_that_nobody_configured_change_nothing(
    service: Service, headers: dict[str, str]
) -> None:
    reply = service.http("GET", "/v1/cas", headers=headers)
    assert reply.status == 200
    assert "location" not in reply.headers


def test_forwarded_address_is_not_the_one_on_record(service: Service) -> None:
    body = json.loads(BODY) | {"logins": ["nobody-has-this"]}
    for _ in range(2):
        service.http("POST", USER, body, as_="mallory", headers={"X-Forwarded-For": "192.0.2.99"})
    ledger = (service.data / "ledger.db").read_bytes() + (service.data / "ledger.db-wal").read_bytes()
    assert b"nobody-has-this" in ledger
    assert b"192.0.2.99" not in ledger


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/v1/ledger/checkpoint", "public"),
        ("/v1/cas/acme-users/public-key", "public"),
        ("/v1/ledger/tile/entries/000.p/{size}", "private"),
    ],
)
def test_evidence_is_asked_for_again_with_its_etag(service: Service, path: str, scope: str) -> None:
    status = 0
    deadline = time.monotonic() + 10
    while status != 304:  # another checkpoint can come between
        assert time.monotonic() < deadline
        size = service.http("GET", "/v1/ledger/checkpoint").body.split(b"\n")[1].decode()
        first = service.http("GET", path.format(size=size), as_="dave")
        etag = first.headers.get("etag", "none")
        again = service.http("GET", path.format(size=size), as_="dave", headers={"If-None-Match": etag})
        status = again.status
    assert again.body == b""
    assert (first.status, first.headers["cache-control"]) == (200, f"{scope}, no-cache")


def test_health_is_on_its_own_port_only(service: Service) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert service.probe(path).status == 200
        assert service.http("GET", path).slug == "not-found"
    assert service.probe("/v1/cas").status == 404


def test_metrics_are_summed_over_workers_and_cannot_be_multiplied_by_requests(service: Service) -> None:
    before = _count(service, "/v1/cas")
    for _ in range(8):
        service.http("GET", "/v1/cas")
    assert _count(service, "/v1/cas") == before + 8
    for number in range(3):
        service.http(f"FROB{number}", f"/made/up/{number}")
    families = {
        each.name: each for each in text_string_to_metric_families(service.probe("/metrics").body.decode())
    }
    assert families["chancery_authority_up"].samples[0].value == 1
    labels = [sample.labels for sample in families["chancery_http_requests"].samples]
    assert not [each for each in labels if "FROB" in each["method"] or "made" in each["route"]]


def _count(service: Service, route: str) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(service.probe("/metrics").body.decode())
        for sample in family.samples
        if sample.name == "chancery_http_requests_total" and sample.labels["route"] == route
    )


def test_log_has_a_line_for_each_request_and_nothing_that_was_in_it(service: Service) -> None:
    credential = service.credential("alice")
    reply = service.http("POST", f"{USER}?secret=hunter2", raw=BODY, credential=credential)
    id_ = reply.headers["x-request-id"]
    deadline = time.monotonic() + 5
    while not (lines := [line for line in service.log.splitlines() if id_ in line]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (line,) = lines
    assert "POST /v1/certificates/user 400" in json.loads(line)["message"]
    for secret in ("hunter2", credential, credential.split(".")[2], "ssh-ed25519 "):
        assert secret not in service.log


def test_stop_waits_for_requests_and_not_for_idle_connections(service: Service) -> None:
    request = chunked(service, b"%x\r\n" % len(BODY) + BODY + b"\r\n")
    with another_web_tier(service) as (other, process):
        other.await_ready()
        with connected(other) as idle, connected(other) as busy:
            idle.sendall(b"GET /v1/cas HTTP/1.1\r\nHost: ca.example.org\r\n\r\n")
            assert idle.recv(65_536)
            busy.sendall(request)
            time.sleep(0.3)
            process.terminate()
            time.sleep(0.3)
            busy.sendall(b"0\r\n\r\n")
            reply = HTTPResponse(busy)
            reply.begin()
            assert reply.status == 201
            assert process.wait(10) == 0  # gunicorn's grace, and how long it keeps connections, is 30 s


@pytest.mark.parametrize("delay_s", [0, 0.02, 0.05, 0.1])
def test_stop_while_workers_start_is_not_lost_on_them(service: Service, delay_s: float) -> None:
    with another_web_tier(service) as (_, process):
        assert process.stderr is not None
        for line in process.stderr:
            if b"Booting worker" in line:
                break
        time.sleep(delay_s)
        process.terminate()
        assert process.wait(10) == 0


def test_master_that_is_killed_leaves_no_worker_behind(service: Service) -> None:
    with another_web_tier(service) as (other, process):
        other.await_ready()
        process.kill()
        process.wait(10)
        deadline = time.monotonic() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", other.port), timeout=5).close()
            except ConnectionRefusedError:
                break
            except ConnectionResetError:  # it ended just then
                pass
            assert time.monotonic() < deadline, "a worker goes on serving"
            time.sleep(0.02)
