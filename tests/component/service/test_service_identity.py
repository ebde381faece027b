"""Who is asking: TLS client certificates of a company's own CA, and what is not an identity."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from appliance.ssh.keys import format_public_key_line
from support.service import ClientCa, Service, another_web_tier
from support.ssh_examples import public_key

BODY = {"public_key": format_public_key_line(public_key("ed25519", 4)), "logins": ["deploy"]}
SERVICE = "spiffe://example.org/ci"


def test_client_certificate_with_a_common_name_is_a_user(service: Service, client_ca: ClientCa) -> None:
    client = client_ca.issue("alice", names=("alice",))
    whoami = service.http("GET", "/v1/whoami", client=client).json
    assert (whoami["identity"], whoami["kind"], whoami["roles"]) == ("mtls:alice", "user", [])
    reply = service.http("POST", "/v1/certificates/user", BODY, client=client)
    assert reply.json["certificates"][0]["key_id"].startswith("mtls:alice#1.")


def test_client_certificate_with_a_spiffe_uri_is_a_service(service: Service, client_ca: ClientCa) -> None:
    client = client_ca.issue("ci", names=("whatever",), uris=(SERVICE,))
    whoami = service.http("GET", "/v1/whoami", client=client).json
    assert (whoami["identity"], whoami["kind"]) == (f"mtls:{SERVICE}", "service")
    assert service.http("POST", "/v1/certificates/user", BODY, client=client).status == 201


@pytest.mark.parametrize(
    ("names", "uris"),
    [
        (("alice", "bob"), ()),
        ((), ()),
        ((SERVICE,), ()),
        (("alice",), (SERVICE, "spiffe://example.org/other")),
        ((" alice",), ()),
    ],
    ids=["two names", "none", "a URI as a name", "two URIs", "a space"],
)
def test_client_certificate_with_no_single_subject_is_nobody(
    service: Service, client_ca: ClientCa, names: tuple[str, ...], uris: tuple[str, ...]
) -> None:
    client = client_ca.issue("odd", names=names, uris=uris)
    assert service.http("GET", "/v1/whoami", client=client).slug == "unauthenticated"


def test_two_kinds_of_credentials_at_once_are_nobody(service: Service, client_ca: ClientCa) -> None:
    client = client_ca.issue("alice-too", names=("alice",))
    assert service.http("GET", "/v1/whoami", client=client, as_="alice").slug == "unauthenticated"


@pytest.mark.parametrize("kind", ["another CA", "expired"])
def test_client_certificate_that_is_not_valid_is_a_tls_alert(
    service: Service, client_ca: ClientCa, tmp_path: Path, kind: str
) -> None:
    other = ClientCa(tmp_path, "others")
    client = (other if kind == "another CA" else client_ca).issue(
        "invalid", names=("alice",), days=1 if kind == "another CA" else -1
    )
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        service.http("GET", "/v1/whoami", client=client)


def test_client_certificate_that_ends_ends_its_connections_and_their_resumption(
    service: Service, client_ca: ClientCa
) -> None:
    ends = time.monotonic() + 6
    certificate, key = client_ca.issue("brief", names=("alice",), days=5 / 86_400)
    contexts = [ssl.create_default_context(cafile=str(service.data / "tls" / "server.pem")) for _ in "23"]
    contexts[0].maximum_version = ssl.TLSVersion.TLSv1_2

    def connect(context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
        return context.wrap_socket(connection, server_hostname="127.0.0.1", session=session)

    def ask(connection: ssl.SSLSocket) -> int:
        connection.sendall(b"GET /v1/whoami HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        return answer.status

    for context in contexts:
        context.load_cert_chain(certificate, key)
    connections = [connect(context) for context in contexts]
    assert [ask(each) for each in connections] == [200, 200]
    time.sleep(max(0.0, ends - time.monotonic()))
    resumed = [connect(context, each.session) for context, each in zip(contexts, connections, strict=True)]
    assert [each.session_reused for each in resumed] == [True, True]
    assert [ask(each) for each in (*connections, *resumed)] == [401] * 4
    for each in (*connections, *resumed):
        each.close()


@pytest.mark.parametrize(("version", "spoken"), [("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
def test_tls_is_spoken_from_1_2_on(service: Service, version: str, spoken: bool) -> None:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{service.port}", version]
    done = subprocess.run(
        [*command, "-cipher", "ALL:@SECLEVEL=0"], input="", capture_output=True, text=True, check=False
    )
    assert ("BEGIN CERTIFICATE" in done.stdout) is spoken, done.stderr


def test_source_address_is_what_a_trusted_proxy_says_and_no_one_else(
    service: Service, client_ca: ClientCa
) -> None:
    def source(through: Service, forwarded: str) -> str:
        headers = {"X-Forwarded-For": forwarded}
        reply = through.http("POST", "/v1/certificates/user", BODY, as_="alice", headers=headers)
        assert reply.status == 201, reply.body
        seq = int(reply.json["certificates"][0]["serial"]) & (2**48 - 1)
        address: str = json.loads(service.entry(seq))["data"]["identity"]["source_address"]
        return address

    service.credential("alice")
    assert source(service, "203.0.113.9") == "127.0.0.1"
    trusting = {
        "CHANCERY_SERVICE_TRUSTED_PROXIES": "127.0.0.1 10.0.0.0/8",
        "CHANCERY_TLS_CLIENTS": str(client_ca.path),
        "CHANCERY_LIMITS_PASSWORDS_PER_MINUTE": "1",
        "CHANCERY_SERVICE_WORKERS": "1",
    }
    with another_web_tier(service, stderr=subprocess.DEVNULL, **trusting) as (behind, _):
        behind.await_ready()
        assert source(behind, "203.0.113.9, 2001:db8::7, 10.0.0.4") == "2001:db8::7", "not what is invented"
        malformed = behind.http("GET", "/v1/whoami", as_="alice", headers={"X-Forwarded-For": "unknown"})
        assert (malformed.slug, malformed.json["field"]) == ("malformed-request", "X-Forwarded-For")
        client = client_ca.issue("proxy", names=("alice",))
        assert behind.http("GET", "/v1/whoami", client=client).slug == "unauthenticated", "it is the proxy's"
        password = {"provider": "ldap", "username": "ada", "password": "guess"}
        statuses = [
            behind.http("POST", "/v1/sessions", password, headers={"X-Forwarded-For": address}).status
            for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "198.51.100.1, 192.0.2.2")
        ]
        assert statuses == [401, 429, 401, 429]


def test_requester_cannot_name_another_identity_in_the_body(service: Service) -> None:
    reply = service.http("POST", "/v1/certificates/user", BODY | {"identity": "api:carol"}, as_="mallory")
    assert reply.json["field"] == "identity"
