"""An attacker at the web tier's port: bytes, connections and patience, and what others notice of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse

import pytest

from appliance.web.door import HANDSHAKE_S
from appliance.web.headers import HEADERS, PLAIN_HEADERS
from appliance.web.worker import DRAIN_S, FIRST_REQUEST_S, MAX_REQUESTS, PAUSE_S
from support.hostile import KEY, REQUESTS
from support.service import Service, another_web_tier

ATTACKER = "127.0.0.66"
NEIGHBOUR = "127.0.0.67"
TOO_LARGE = {"fields", "a field", "a header without end", "a line", "NULs"}
# Decided by the authority, and denied: the ledger of all tests in here stays short.
BODY = json.dumps({"public_key": KEY, "logins": ["nobody"]}).encode()
GET = b"GET /v1/cas HTTP/1.1\r\nHost: ca.example.org\r\n\r\n"


@pytest.fixture(scope="module")
def limited(service: Service) -> Iterator[Service]:
    """A web tier of one worker, in which an address may have few connections and few failures."""
    limits = {"CONNECTIONS_PER_ADDRESS": "4", "FAILURES_PER_MINUTE": "3", "EXEMPT": "127.0.0.1"}
    environment = {f"CHANCERY_LIMITS_{name}": value for name, value in limits.items()}
    with (
        (service.scratch / "limited.log").open("wb") as log,
        another_web_tier(service, stderr=log, CHANCERY_SERVICE_WORKERS="1", **environment) as (other, _),
    ):
        other.await_ready()
        yield other


@contextmanager
def connected(service: Service, address: str = "127.0.0.1") -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=str(service.data / "tls" / "server.pem"))
    with (
        knocked(service, address) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        yield secured


def knocked(service: Service, address: str = "127.0.0.1") -> socket.socket:
    """Open a connection, without TLS."""
    return socket.create_connection(("127.0.0.1", service.port), timeout=30, source_address=(address, 0))


def read_reply(connection: ssl.SSLSocket) -> tuple[HTTPResponse, bytes]:
    reply = HTTPResponse(connection)
    reply.begin()
    return reply, reply.read()


def is_closed(connection: socket.socket) -> bool:
    """Say whether nothing comes any more, after what may still have been on its way."""
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@pytest.mark.parametrize("name", REQUESTS)
def test_bytes_that_are_no_request_are_answered_with_a_problem_and_the_connection_ends(
    service: Service, name: str
) -> None:
    with connected(service) as connection:
        connection.sendall(REQUESTS[name])
        reply, body = read_reply(connection)
        slug = "too-large" if name in TOO_LARGE else "malformed-request"
        assert json.loads(body)["type"] == f"/problems/{slug}"
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert {each: reply.headers[each] for each in HEADERS} == HEADERS
        assert reply.headers["Connection"] == "close"
        assert is_closed(connection)


def test_garbage_behind_a_good_request_is_refused_after_the_good_one_was_answered(service: Service) -> None:
    with connected(service) as connection:
        connection.sendall(GET + b"\x00\x01\x02\r\n\r\n" + GET)
        assert read_reply(connection)[0].status == 200
        assert read_reply(connection)[0].status == 400
        assert is_closed(connection)


def test_body_is_never_taken_for_the_next_request(service: Service) -> None:
    smuggled = GET.replace(b"/v1/cas", b"/v1/ledger/checkpoint")
    head = b"POST /v1/revocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
    with connected(service) as connection:
        connection.sendall(head + smuggled + GET)
        assert read_reply(connection)[0].status == 401
        assert b'"cas"' in read_reply(connection)[1]


def test_body_that_nobody_wants_is_not_listened_to_for_long(service: Service) -> None:
    head = b"POST /v1/certificates/user HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n"
    sent, began = 0, time.monotonic()
    with connected(service) as connection:
        connection.sendall(head)
        assert read_reply(connection)[0].status == 401
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe|EOF"):  # noqa: PT012 - it is the loop that ends
            while True:
                connection.sendall(bytes(65_536))
                sent += 65_536
    assert time.monotonic() - began < DRAIN_S + 5
    assert sent < 20_000_000


def test_header_of_a_few_bytes_at_a_time_is_cut_off_and_holds_nobody_up(service: Service) -> None:
    """Each piece is a TLS record and a read of its own, and they come faster than they are read."""
    with connected(service) as drip, ThreadPoolExecutor() as pool:
        drip.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def trickle() -> None:
            drip.sendall(b"GET / HTTP/1.1\r\nX: ")
            for _ in range(8_500):
                drip.sendall(b"y" * 8)

        done = pool.submit(trickle)
        slowest = 0.0
        while not done.done():
            began = time.monotonic()
            assert service.http("GET", "/v1/cas").status == 200
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 5
        reply, body = read_reply(drip)
    assert (reply.status, json.loads(body)["type"]) == (413, "/problems/too-large")


def test_no_reply_says_what_software_made_it(service: Service) -> None:
    paths = ("/v1/cas", "/docs", "/static/style.css", "/problems/internal", "/nowhere", "/v1/whoami")
    replies = [service.http("GET", path) for path in paths] + [service.http("TRACE", "/v1/cas")]
    for reply in replies:
        own = {"Cache-Control"} if reply.headers["cache-control"] != "no-store" else set()
        expected = {name: value for name, value in HEADERS.items() if name not in own}
        assert {name: reply.headers[name.lower()] for name in expected} == expected
        assert "server" not in reply.headers
        everything = json.dumps(dict(reply.headers)).encode() + reply.body
        assert not re.search(rb"(?i)gunicorn|werkzeug|flask|gevent|python", everything)
    health = service.probe("/healthz")
    assert {name: health.headers[name] for name in PLAIN_HEADERS} == dict(PLAIN_HEADERS)
    assert "Server" not in health.headers


def test_evidence_keeps_its_own_cache_control(service: Service) -> None:
    assert service.http("GET", "/v1/ledger/checkpoint").headers["cache-control"] == "public, no-cache"


@pytest.mark.parametrize("path", ["/console", "/?__debugger__=yes&cmd=resource&f=debugger.js", "/.env"])
def test_there_are_no_debug_pages(service: Service, path: str) -> None:
    assert service.http("GET", path).slug == "not-found"


def s_client(service: Service, *options: str, sent: bytes = b"") -> str:
    """Return what `openssl s_client` says of a connection."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{service.port}", *options]
    done = subprocess.run(command, input=sent, capture_output=True, timeout=30, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_tls_is_refused_by_the_server(service: Service, version: str) -> None:
    said = s_client(service, version, "-cipher", "ALL:@SECLEVEL=0")
    assert "alert protocol version" in said
    assert "Cipher is (NONE)" in said


@pytest.mark.parametrize("ciphers", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "aNULL", "NULL"])
def test_tls_1_2_without_forward_secrecy_or_authenticated_encryption_is_refused(
    service: Service, ciphers: str
) -> None:
    said = s_client(service, "-tls1_2", "-cipher", f"{ciphers}:@SECLEVEL=0")
    assert "alert handshake failure" in said
    assert "Cipher is (NONE)" in said


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_tls_is_uncompressed_and_is_not_negotiated_anew(service: Service, version: str) -> None:
    said = s_client(service, version, sent=b"R\n")
    assert re.search(r"New, TLSv1\.[23], Cipher is (ECDHE|TLS)_?-?\S*(GCM|CHACHA20)", said)
    assert "Compression: NONE" in said
    if version == "-tls1_2":
        assert "no renegotiation" in said


def test_address_has_so_many_connections_and_its_neighbour_is_served(limited: Service) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connected(limited, ATTACKER)) for _ in range(4)]
        with pytest.raises(OSError, match=r"reset|EOF|timed out"), connected(limited, ATTACKER):
            pass
        with connected(limited, NEIGHBOUR) as connection:
            connection.sendall(GET)
            assert read_reply(connection)[0].status == 200
        held[0].sendall(GET)
        assert read_reply(held[0])[0].status == 200
        held[0].close()
        time.sleep(1)  # as many new ones a second as may be open
        with connected(limited, ATTACKER) as connection:
            connection.sendall(GET)
            assert read_reply(connection)[0].status == 200


def test_who_fails_often_is_told_to_wait_and_made_to_and_who_is_valid_is_not(limited: Service) -> None:
    def ask(credential: str) -> bytes:
        return GET.replace(b"/v1/cas", b"/v1/whoami").replace(
            b"\r\n\r\n", b"\r\nAuthorization: Bearer " + credential.encode() + b"\r\n\r\n"
        )

    good = limited.credential("alice")
    with connected(limited, "127.0.0.68") as connection:
        statuses, took_s = [], []
        for _ in range(5):
            began = time.monotonic()
            connection.sendall(ask("chancery1.0000000000000000." + "A" * 43))
            reply, body = read_reply(connection)
            statuses.append(reply.status)
            took_s.append(time.monotonic() - began)
        assert statuses == [401, 401, 401, 429, 429]
        assert json.loads(body)["type"] == "/problems/rate-limited"
        assert 15 < int(reply.headers["Retry-After"]) <= 40
        assert took_s[3] < PAUSE_S / 2
        assert took_s[4] > PAUSE_S / 2
    with connected(limited, "127.0.0.68") as connection:
        connection.sendall(ask(good))
        assert read_reply(connection)[0].status == 200


def test_connections_that_say_nothing_make_room_for_one_that_asks(limited: Service) -> None:
    """More than a worker has room for, from an address that is exempt: the oldest go."""
    with ExitStack() as stack:
        held = [stack.enter_context(knocked(limited)) for _ in range(1_100)]
        began = time.monotonic()
        assert limited.http("GET", "/v1/cas").status == 200
        assert time.monotonic() - began < HANDSHAKE_S / 2
        held[0].settimeout(1)
        assert is_closed(held[0])
        held[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            held[-1].recv(1)


@contextmanager
def crowd(limited: Service, size: int) -> Iterator[list[ssl.SSLSocket]]:
    """So many clients with a valid credential, of whose requests all but the last byte has come."""
    head = (
        "POST /v1/certificates/user HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {limited.credential('alice')}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:

        def begin(_: int) -> ssl.SSLSocket:
            connection = stack.enter_context(connected(limited))
            connection.sendall(head.encode() + BODY[:-1])
            return connection

        yield list(pool.map(begin, range(size)))


def test_bodies_that_do_not_come_hold_nobody_up_and_too_many_requests_are_told_to_come_again(
    limited: Service,
) -> None:
    """In the end the authority stands still for a moment, and more wait for it than a worker lets in."""
    (authority,) = limited.pids("authority")
    with crowd(limited, MAX_REQUESTS + 20) as held, connected(limited) as late:
        assert limited.http("GET", "/v1/cas").status == 200
        os.kill(authority, signal.SIGSTOP)
        try:
            for connection in held:
                connection.sendall(BODY[-1:])
            time.sleep(1)  # until they have been read
            began = time.monotonic()
            late.sendall(GET)
            reply, body = read_reply(late)
        finally:
            os.kill(authority, signal.SIGCONT)
        assert time.monotonic() - began < 2
        assert (reply.status, json.loads(body)["type"]) == (503, "/problems/overloaded")
        assert (reply.headers["Retry-After"], reply.headers["Connection"]) == ("1", "keep-alive")
        assert {each: reply.headers[each] for each in HEADERS} == HEADERS
        assert Counter(read_reply(connection)[0].status for connection in held) == {403: len(held)}
        late.sendall(GET)
        assert read_reply(late)[0].status == 200


def test_handshakes_and_headers_that_do_not_come_in_time_end_the_connection(limited: Service) -> None:
    with ExitStack() as stack:
        silent, half = (stack.enter_context(knocked(limited)) for _ in range(2))
        half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        idle, slow = (stack.enter_context(connected(limited)) for _ in range(2))
        began = time.monotonic()
        slow.sendall(b"GET /v1/cas HTTP/1.1\r\nX: ")
        while time.monotonic() - began < FIRST_REQUEST_S + 3:
            try:
                slow.sendall(b"y")
            except OSError:
                break
            time.sleep(0.5)
        assert all(map(is_closed, (silent, half, idle, slow)))
        assert time.monotonic() - began < max(HANDSHAKE_S, FIRST_REQUEST_S) + 3
