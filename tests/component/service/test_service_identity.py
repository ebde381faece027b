"""Who is asking: TLS client certificates of a company's own CA, and what is not an identity."""

from __future__ import annotations

import http.client
import ssl
import subprocess
from pathlib import Path

import pytest

from appliance.ssh.keys import format_public_key_line
from support.service import ClientCa, Service
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


@pytest.mark.parametrize(("version", "spoken"), [("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
def test_tls_is_spoken_from_1_2_on(service: Service, version: str, spoken: bool) -> None:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{service.port}", version]
    done = subprocess.run(
        [*command, "-cipher", "ALL:@SECLEVEL=0"], input="", capture_output=True, text=True, check=False
    )
    assert ("BEGIN CERTIFICATE" in done.stdout) is spoken, done.stderr


def test_requester_cannot_name_another_identity_in_the_body(service: Service) -> None:
    reply = service.http("POST", "/v1/certificates/user", BODY | {"identity": "api:carol"}, as_="mallory")
    assert reply.json["field"] == "identity"
