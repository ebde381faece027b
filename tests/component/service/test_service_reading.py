"""What the service says of itself: CAs, hosts, policy, ledger, its own description, health."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.errors import SLUGS
from appliance.web.problems import PROBLEMS
from audit.checkpoint import open_checkpoint
from audit.entry import decode_entry, leaf_hash
from audit.merkle import root_of_leaves, verify_consistency
from audit.note import parse_vkey
from audit.tiles import TileReader
from support.service import HOST, Service


def test_ca_keys_are_for_anyone_and_are_what_ssh_keygen_reads(service: Service, tmp_path: Path) -> None:
    cas = service.http("GET", "/v1/cas").json["cas"]
    assert {(ca["ca"], ca["type"]) for ca in cas if ca["phase"] == "signing"} == {
        ("acme-users", "user"),
        ("acme-hosts", "host"),
    }
    reply = service.http("GET", "/v1/cas/acme-users/public-key")
    path = tmp_path / "ca.pub"
    path.write_bytes(reply.body)
    done = subprocess.run(["ssh-keygen", "-l", "-f", path], capture_output=True, text=True, check=True)
    assert next(ca["fingerprint"] for ca in cas if ca["ca"] == "acme-users") in done.stdout


def test_host_ca_is_given_as_a_line_of_known_hosts(service: Service) -> None:
    reply = service.http("GET", "/v1/cas/acme-hosts/public-key?known_hosts=true&pattern=*.acme.example")
    assert reply.body.startswith(b"@cert-authority *.acme.example ecdsa-sha2-nistp256 ")
    assert service.cli("ca", "export", "acme-hosts", "--known-hosts").stdout.startswith("@cert-authority * ")


def test_transcript_of_a_ca_key_is_on_record(service: Service) -> None:
    transcript = service.cli("ca", "export", "acme-users", "--transcript").stdout
    assert "CKA_SENSITIVE" in transcript
    assert "SoftHSM" in transcript


def test_hosts_are_for_operators(service: Service) -> None:
    assert service.http("GET", "/v1/hosts", as_="alice").slug == "policy-denied"
    names = [host["name"] for host in service.settled("/v1/hosts", "erin")["hosts"]]
    assert names == ["db-1.acme.example", HOST]
    assert service.http("GET", f"/v1/hosts/{HOST}", as_="dave").json["labels"] == {"role": "web"}


def test_policy_in_force_is_for_admins(service: Service) -> None:
    assert service.http("GET", "/v1/policy", as_="dave").slug == "policy-denied"
    shown = service.http("GET", "/v1/policy", as_="carol").json
    assert shown["files"][0]["text"] == (service.scratch / "policy.toml").read_text()


def test_credentials_are_listed_without_anything_that_helps_to_use_them(service: Service) -> None:
    secret = service.credential("alice").split(".")[2]
    reply = service.http("GET", "/v1/credentials", as_="carol")
    assert "api:alice" in {each["identity"] for each in reply.json["credentials"]}
    assert secret not in reply.body.decode()
    assert "sha256" not in reply.body.decode()


def test_whoami_tells_roles(service: Service) -> None:
    assert service.http("GET", "/v1/whoami", as_="carol").json["roles"] == ["admin", "operator"]


def test_checkpoint_is_for_anyone_and_signed_by_the_ledger_key(service: Service) -> None:
    key = parse_vkey((service.data / "ledger.vkey").read_text().strip())
    checkpoint = open_checkpoint(service.http("GET", "/v1/ledger/checkpoint").body.decode(), key)
    assert checkpoint.size > 10


def test_consistency_between_two_checkpoints_is_proven(service: Service) -> None:
    tiles = TileReader(service.data / "index" / "tiles")
    new = tiles.published()
    reply = service.http("GET", f"/v1/ledger/consistency?old=3&new={new.size}", as_="dave").json
    proof = [base64.b64decode(value) for value in reply["proof"]]
    old_root = audit_root(tiles, 3)
    verify_consistency(3, old_root, new.size, new.root, proof)
    assert service.http("GET", "/v1/ledger/consistency?old=1&new=2", as_="carol").slug == "policy-denied"


def audit_root(tiles: TileReader, size: int) -> bytes:
    return root_of_leaves(leaf_hash(raw) for raw in tiles.entries(0, size))


def test_entries_and_tiles_are_the_bytes_of_the_ledger(service: Service) -> None:
    reply = service.http("GET", "/v1/ledger/entries?start=0&limit=2", as_="dave").json
    entries = [decode_entry(base64.b64decode(raw)) for raw in reply["entries"]]
    assert [(entry.seq, entry.kind) for entry in entries] == [(0, "log.opened"), (1, "policy.file")]
    size = reply["ledger_size"]
    if size >= 256:
        tile = service.http("GET", "/v1/ledger/tile/0/000", as_="dave")
        assert len(tile.body) == 256 * 32


def test_openapi_describes_every_route_and_the_page_shows_it(service: Service) -> None:
    described = service.http("GET", "/v1/openapi.json").json
    assert described["openapi"].startswith("3.1")
    routes = {(method, path) for path, methods in described["paths"].items() for method in methods}
    assert ("post", "/v1/certificates/user") in routes
    assert ("get", "/v1/ledger/proof/{serial}") in routes
    assert len(routes) >= 24
    page = service.http("GET", "/docs").body.decode()
    for _, path in routes:
        assert path in page
    assert "<script" not in page


def test_every_problem_has_a_type_and_a_page(service: Service) -> None:
    assert set(PROBLEMS) == SLUGS
    for slug, problem in PROBLEMS.items():
        reply = service.http("GET", f"/problems/{slug}")
        assert reply.status == 200
        assert problem.title in reply.body.decode()


def test_health_is_on_a_socket_of_its_own(service: Service) -> None:
    assert service.probe("/healthz").json == {"alive": True}
    assert service.probe("/readyz").json == {"ready": True, "problems": []}
    assert service.probe("/v1/cas").status == 404


def test_metrics_are_what_prometheus_reads(service: Service) -> None:
    service.http("GET", "/v1/nothing")
    text = service.probe("/metrics").body.decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["chancery_authority_up"].samples[0].value == 1
    assert families["chancery_issuing"].samples[0].value == 1
    assert families["chancery_ledger_entries"].samples[0].value > 10
    routes = {sample.labels["route"] for sample in families["chancery_http_requests"].samples}
    assert "none" in routes
    assert not [route for route in routes if "nothing" in route]


@pytest.mark.parametrize("kind", ["list", "show"])
def test_answers_cite_the_ledger_size_that_they_were_computed_at(service: Service, kind: str) -> None:
    path = "/v1/certificates" if kind == "list" else "/v1/cas"
    assert service.http("GET", path, as_="dave").json["ledger_size"] > 10
