"""Certificates over HTTPS: asked for, found again, proven, revoked; judged by ssh-keygen and the verifier."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.ssh.certificate import format_certificate_line, parse_certificate_line
from appliance.ssh.keys import PublicKey, format_public_key_line
from audit.verifier import Verdict, verify_bundle
from support.service import HOST, Service
from support.ssh_examples import public_key, sk_public_key

KEY = format_public_key_line(public_key("ed25519", 1), "alice@laptop")


def certificate(service: Service, **body: Any) -> dict[str, Any]:
    (issued,) = service.issue({"public_key": KEY, **body})
    return issued


def listing(path: Path, line: str) -> str:
    path.write_text(line + "\n")
    done = subprocess.run(["ssh-keygen", "-L", "-f", path], capture_output=True, text=True, check=True)
    return done.stdout


SUBJECTS = [
    *(public_key(name, 3) for name in ("ed25519", "nistp256", "nistp384", "nistp521", "rsa-2048")),
    *(sk_public_key(public_key(name, 3)) for name in ("ed25519", "nistp256")),
]


@pytest.mark.parametrize("key", SUBJECTS, ids=lambda key: key.type)
def test_user_certificate_for_each_key_type_is_what_ssh_keygen_reads(
    service: Service, tmp_path: Path, key: PublicKey
) -> None:
    line = format_public_key_line(key)
    issued = certificate(service, public_key=line, host_groups=["web"], logins=["deploy"])
    text = listing(tmp_path / "id-cert.pub", issued["certificate"])
    assert "user certificate" in text
    assert f"Serial: {issued['serial']}" in text
    assert f'Key ID: "{issued["key_id"]}"' in text
    assert "deploy@web" in text
    assert "permit-pty" in text


def test_request_that_names_nothing_gets_a_certificate_for_each_set_of_constraints(service: Service) -> None:
    issued = service.issue({"public_key": KEY})
    assert sorted(tuple(one["principals"]) for one in issued) == [
        ("deploy@web", "root@web"),
        ("postgres@db",),
    ]


def test_host_certificate_has_the_registered_names(service: Service, tmp_path: Path) -> None:
    body = {"public_key": KEY, "host": HOST}
    (issued,) = service.issue(body, as_="erin", kind="host")
    text = listing(tmp_path / "host-cert.pub", issued["certificate"])
    assert "host certificate" in text
    assert HOST in text


def test_host_certificate_for_who_is_no_enroller_is_denied(service: Service) -> None:
    body = {"public_key": KEY, "host": HOST}
    reply = service.http("POST", "/v1/certificates/host", body, as_="alice")
    assert reply.slug == "policy-denied"
    assert reply.json["rule"] == "host.certify"


def test_denial_says_what_would_have_been_allowed(service: Service) -> None:
    body = {"public_key": KEY, "logins": ["admin"]}
    reply = service.http("POST", "/v1/certificates/user", body, as_="alice")
    assert (reply.status, reply.slug) == (403, "policy-denied")
    assert reply.json["allowed"] == ["deploy@web", "postgres@db", "root@web"]


def test_identity_that_no_grant_covers_is_denied(service: Service) -> None:
    reply = service.http("POST", "/v1/certificates/user", {"public_key": KEY}, as_="mallory")
    assert reply.json["rule"] == "default-deny"
    assert reply.json["allowed"] == []


def test_certificate_is_found_again_by_its_subject_and_by_auditors_only(service: Service) -> None:
    issued = certificate(service, logins=["deploy"])
    path = f"/v1/certificates/{issued['serial']}"
    service.settled("/v1/access", "dave")
    assert service.http("GET", path, as_="mallory").slug == "not-found"
    for who in ("alice", "dave"):
        found = service.http("GET", path, as_=who).json
        assert found["certificate"] == issued["certificate"]
        assert found["state"] == "active"
        assert found["subject"] == "api:alice"
        assert found["request"]["logins"] == ["deploy"]
        assert found["grants"] == [{"file": "policy.toml", "name": "deploy"}]


def test_search_pages_through_all_without_repeating(service: Service) -> None:
    serials = {certificate(service, logins=["deploy"])["serial"] for _ in range(5)}
    service.settled("/v1/access", "dave")
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = service.http("GET", f"/v1/certificates?limit=2&state=active{cursor}", as_="dave").json
        found += [each["serial"] for each in page["certificates"]]
        cursor = None if page["cursor"] is None else f"&cursor={page['cursor']}"
    assert len(found) == len(set(found))
    assert serials <= set(found)


@pytest.mark.parametrize(
    "query",
    [
        "subject=api:alice",
        "principal=postgres@db",
        "customer=acme",
        "type=user",
        "since=2020-01-01T00:00:00Z",
    ],
)
def test_search_finds_by_each_field(service: Service, query: str) -> None:
    issued = certificate(service, logins=["postgres"])
    page = service.settled(f"/v1/certificates?{query}", "dave")
    assert issued["serial"] in [each["serial"] for each in page["certificates"]]


def test_search_by_others_than_auditors_shows_their_own_only(service: Service) -> None:
    certificate(service, logins=["deploy"])
    assert service.settled("/v1/certificates", "mallory")["certificates"] == []
    assert service.http("GET", "/v1/certificates?subject=api:alice", as_="mallory").slug == "policy-denied"


def test_inspection_tells_a_certificate_on_record_from_a_forged_one(service: Service) -> None:
    issued = certificate(service, logins=["deploy"])
    service.settled("/v1/access", "dave")
    body = {"certificate": issued["certificate"]}
    found = service.http("POST", "/v1/certificates/inspect", body, as_="dave").json
    assert (found["on_record"], found["state"], found["signature"]) == (True, "active", "good")
    assert found["record"]["subject"] == "api:alice"
    parsed = parse_certificate_line(issued["certificate"])
    mutated = bytearray(parsed.signature)
    mutated[-1] ^= 1
    forged = type(parsed)(content=parsed.content, tbs=parsed.tbs, signature=bytes(mutated))
    body = {"certificate": format_certificate_line(forged)}
    found = service.http("POST", "/v1/certificates/inspect", body, as_="dave").json
    assert (found["on_record"], found["state"], found["signature"]) == (False, "unknown", "bad")


def test_revocation_by_serial_is_on_record_once(service: Service) -> None:
    issued = certificate(service, logins=["deploy"])
    body = {"serial": issued["serial"], "reason": "laptop lost"}
    assert service.http("POST", "/v1/revocations", body, as_="alice").slug == "policy-denied"
    assert service.http("POST", "/v1/revocations", body, as_="carol").status == 201
    assert service.http("POST", "/v1/revocations", body, as_="carol").json["already"] is True
    service.settled("/v1/access", "dave")
    found = service.http("GET", f"/v1/certificates/{issued['serial']}", as_="alice").json
    assert found["state"] == "revoked"
    assert found["revocation"]["reason"] == "laptop lost"
    assert found["revocation"]["by"] == "api:carol"


def test_revocation_of_an_unknown_serial_is_not_found(service: Service) -> None:
    body = {"serial": "5", "reason": "no such thing"}
    assert service.http("POST", "/v1/revocations", body, as_="carol").slug == "not-found"


def test_access_shows_who_can_log_in_and_stops_with_the_revocation(service: Service) -> None:
    issued = certificate(service, logins=["postgres"])

    def serials() -> list[str]:
        found = service.settled("/v1/access?host=db-1.acme.example&login=postgres", "dave")["access"]
        return [each["serial"] for each in found if each["subject"] == "api:alice"]

    assert issued["serial"] in serials()
    service.cli("cert", "revoke", issued["serial"], "--reason", "done")
    assert issued["serial"] not in serials()


def test_access_by_certificates_names_its_evidence(service: Service) -> None:
    certificate(service, logins=["deploy"])  # for a second page
    issued = certificate(service, logins=["postgres"])
    reply = service.settled("/v1/access?subject=api:alice&limit=1", "dave")
    (row,) = reply["access"]
    assert (row["serial"], row["intent"]) == (issued["serial"], int(issued["id"].split(".")[1]))
    assert row["intent"] < row["outcome_entry"] < reply["ledger_size"]
    assert row["grants"][0]["file"] == "policy.toml"
    assert (row["policy"], row["ca_phase"]) == (reply["policy"], "signing")
    assert row["host_count"] == len(row["hosts"]) == 1
    assert reply["cursor"] is not None
    more = service.http("GET", f"/v1/access?subject=api:alice&cursor={reply['cursor']}", as_="dave").json
    assert more["ledger_size"] == reply["ledger_size"]
    assert issued["serial"] not in {each["serial"] for each in more["access"]}


def test_access_by_policy_shows_who_never_asked(service: Service) -> None:
    reply = service.settled("/v1/access?basis=policy&host=db-1.acme.example", "dave")
    assert reply["access"]
    for row in reply["access"]:
        assert row["hosts"] == ["db-1.acme.example"]
        assert row["policy"] == reply["policy"]
        assert row["kind"] in {"user", "service", "member", "group"}
    assert "serial" not in reply["access"][0]


def test_access_before_the_log_began_is_nobodys_and_settled(service: Service) -> None:
    for basis in ("certificates", "policy"):
        path = f"/v1/access?basis={basis}&at=2001-01-01T00:00:00Z"
        reply = service.http("GET", path, as_="dave").json
        assert (reply["access"], reply["settled"]) == ([], True)


def test_access_is_for_auditors(service: Service) -> None:
    assert service.http("GET", "/v1/access", as_="alice").slug == "policy-denied"
    assert service.http("GET", "/v1/access?host=nowhere.example", as_="dave").slug == "not-found"


def test_proof_of_a_certificate_verifies_with_the_ledger_key_alone(service: Service) -> None:
    issued = certificate(service, logins=["deploy"])
    deadline = time.monotonic() + 20
    while (reply := service.http("GET", issued["proof"], as_="alice")).status != 200:
        assert reply.slug == "not-found"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    key = (service.data / "ledger.vkey").read_text().strip()
    report = verify_bundle(reply.body.decode(), key)
    assert report.verdict is Verdict.VERIFIED, report.to_json()
    assert service.cli("ledger", "proof", issued["serial"]).stdout.startswith("c2sp.org/tlog-proof@v1\n")
    assert service.http("GET", issued["proof"], as_="mallory").slug == "not-found"


def test_credential_with_one_use_issues_once(service: Service) -> None:
    credential = service.credential("alice", uses=1)
    body = {"public_key": KEY, "logins": ["deploy"]}
    assert service.http("POST", "/v1/certificates/user", body, credential=credential).status == 201
    assert (
        service.http("POST", "/v1/certificates/user", body, credential=credential).slug == "unauthenticated"
    )


def test_revoked_credential_identifies_nobody(service: Service) -> None:
    credential = service.credential("alice", expires="1h")
    id_ = credential.split(".")[1]
    service.cli("credential", "revoke", id_, "--reason", "left on a laptop")
    body = {"public_key": KEY}
    assert (
        service.http("POST", "/v1/certificates/user", body, credential=credential).slug == "unauthenticated"
    )
