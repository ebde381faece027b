"""Cutting off, end to end: over HTTPS and by command, until a real sshd refuses what was cut off."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from appliance.ssh.krl import decode_krl
from support.service import Service
from support.sshd import Sshd, running_sshd

KRL = "/v1/krl/acme-users"
DOCUMENT = Path(__file__).parents[3] / "docs" / "formats" / "krl.md"


def make_key(directory: Path, name: str) -> Path:
    path = directory / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path


def certify(service: Service, key: Path, as_: str = "alice", **body: Any) -> dict[str, Any]:
    """Get a certificate for root on web, beside the key."""
    asked = {"public_key": key.with_suffix(".pub").read_text(), "host_groups": ["web"], "logins": ["root"]}
    (issued,) = service.issue(asked | body, as_)
    key.with_name(f"{key.name}-cert.pub").write_text(issued["certificate"] + "\n")
    return issued


def login(sshd: Sshd, key: Path) -> bool:
    done = sshd.login("-i", str(key), "-oIdentitiesOnly=yes")
    assert done.returncode in {0, 255}, done.stderr
    return done.returncode == 0


@pytest.fixture
def sshd_config(service: Service, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "cas").write_text(service.cli("ca", "export", "acme-users").stdout)
    (tmp_path / "principals").write_text("root@web\n")
    fetch(service, tmp_path / "revoked_keys")
    return {
        "TrustedUserCAKeys": str(tmp_path / "cas"),
        "AuthorizedPrincipalsFile": str(tmp_path / "principals"),
        "RevokedKeys": str(tmp_path / "revoked_keys"),
    }


def fetch(service: Service, path: Path) -> bytes:
    """Get the KRL as a host does, without a credential."""
    reply = service.http("GET", KRL)
    assert reply.status == 200, reply.body
    path.write_bytes(reply.body)
    return reply.body


def test_auditor_who_is_locked_reads_what_is_his_own_and_nothing_else(service: Service) -> None:
    service.credential("dave")
    others = ("/v1/ledger/entries?start=0", "/v1/locks", "/v1/hosts", "/v1/access?login=root")
    assert [service.http("GET", path, as_="dave").status for path in others] == [200] * 4
    listed = "/v1/certificates?subject=api:alice"
    assert service.http("GET", listed, as_="dave").status == 200
    body = {"identity": "api:dave", "reason": "left"}
    placed = service.http("POST", "/v1/locks", body, as_="carol")
    assert placed.status == 201, placed.body
    lock = placed.json["lock"]
    service.settled("/v1/locks", "carol")
    for path in others:
        refused = service.http("GET", path, as_="dave")
        assert (refused.slug, refused.json["rule"]) == ("policy-denied", "lock"), path
        assert refused.json["detail"] == f"the identity api:dave is locked (entry {lock})"
    assert service.http("GET", listed, as_="dave").slug == "policy-denied"
    for path in ("/v1/certificates", "/v1/whoami", "/v1/approvals", "/v1/leave"):
        assert service.http("GET", path, as_="dave").status == 200, path
    service.order("lock", "lift", lock, "--reason", "back")
    service.settled("/v1/locks", "carol")
    assert service.http("GET", "/v1/locks", as_="dave").status == 200


def test_revoked_certificate_is_refused_by_a_real_sshd_and_others_log_in(
    service: Service, tmp_path: Path, sshd_config: dict[str, str]
) -> None:
    stolen, kept, published = (make_key(tmp_path, name) for name in ("stolen", "kept", "published"))
    certificate = certify(service, stolen)
    certify(service, kept)
    certify(service, published, "bob")
    with running_sshd(tmp_path, sshd_config) as sshd:
        assert all(login(sshd, key) for key in (stolen, kept, published))
        body = {"key_id": certificate["key_id"], "reason": "laptop lost"}
        reply = service.http("POST", "/v1/revocations", body, as_="carol")
        assert reply.status == 201, reply.body
        assert reply.json["count"] == reply.json["live_count"] == 1
        (live,) = reply.json["live"]
        assert (live["principals"], live["host_groups"]) == (["root@web"], ["web"])
        assert "sessions that are open" in reply.json["note"]
        assert login(sshd, stolen)  # a host learns of it from the KRL only
        fetch(service, tmp_path / "revoked_keys")
        mark = sshd.mark()
        assert not login(sshd, stolen)
        assert "revoked" in sshd.logged("revoked", since=mark)
        assert login(sshd, kept)
        line = published.with_suffix(".pub").read_text()
        reply = service.http("POST", "/v1/revocations", {"key": line, "reason": "published"}, as_="carol")
        assert reply.status == 201, reply.body
        fetch(service, tmp_path / "revoked_keys")
        assert [login(sshd, key) for key in (stolen, kept, published)] == [False, True, False]
    refused = service.http("POST", "/v1/certificates/user", {"public_key": line}, as_="bob")
    assert (refused.slug, refused.json["rule"]) == ("policy-denied", "revocation")


def test_lock_is_placed_listed_and_lifted_and_what_it_cut_off_stays_so(
    service: Service, tmp_path: Path, sshd_config: dict[str, str]
) -> None:
    key = make_key(tmp_path, "id")
    (issued,) = service.issue(
        {"public_key": key.with_suffix(".pub").read_text(), "host_groups": ["db"]}, "alice"
    )
    body = {"identity": "api:alice", "reason": "left"}
    assert service.http("POST", "/v1/locks", body, as_="alice").slug == "policy-denied"
    placed = service.http("POST", "/v1/locks", body, as_="carol")
    assert placed.status == 201, placed.body
    lock = placed.json["lock"]
    try:
        assert issued["serial"] in {each.get("serial") for each in placed.json["live"]}
        again = service.http("POST", "/v1/locks", body, as_="carol")
        assert (again.status, again.json["lock"], again.json["already"]) == (200, lock, True)
        asked = {"public_key": key.with_suffix(".pub").read_text()}
        refused = service.http("POST", "/v1/certificates/user", asked, as_="alice")
        assert (refused.slug, refused.json["rule"]) == ("policy-denied", "lock")
        assert f"entry {lock}" in refused.json["detail"]
        (listed,) = service.settled("/v1/locks", "dave")["locks"]
        assert (listed["lock"], listed["kind"], listed["name"]) == (lock, "identity", "api:alice")
        shown = service.settled(f"/v1/certificates/{issued['serial']}", "dave")
        assert (shown["state"], shown["revocation"]["by"]) == ("revoked", f"entry {lock}")
        rows = service.settled("/v1/access?basis=policy&subject=api:alice", "dave")["access"]
        assert rows
        assert {row["locked"] for row in rows} == {lock}
        assert service.settled("/v1/access?subject=api:alice", "dave")["access"] == []
    finally:
        service.order("lock", "lift", lock)
    assert service.settled("/v1/locks", "dave")["locks"] == []
    listed = json.loads(service.cli("lock", "list", "--lifted", "--json").stdout)["locks"]
    assert next(each for each in listed if each["lock"] == lock)["lifted_entry"] > lock
    certify(service, key)
    assert service.settled(f"/v1/certificates/{issued['serial']}", "dave")["state"] == "revoked"
    revoked = decode_krl(fetch(service, tmp_path / "revoked_keys"))
    assert any(
        first <= int(issued["serial"]) <= last for each in revoked.certificates for first, last in each.ranges
    )


def test_command_line_places_a_lock_on_a_key_file_and_says_what_was_live(
    service: Service, tmp_path: Path
) -> None:
    key = make_key(tmp_path, "id")
    certify(service, key, "bob")
    done = service.cli("lock", "place", "key", key.with_suffix(".pub"), "--reason", "stolen")
    assert "1 certificates revoked, 1 of them were live" in done.stderr
    assert "sessions that are open" in done.stderr
    assert "root@web" in done.stdout
    (lock,) = json.loads(service.cli("lock", "list", "--json").stdout)["locks"]
    again = service.cli("lock", "place", "key", lock["name"], "--reason", "stolen", "--json")
    assert json.loads(again.stdout)["lock"] == lock["lock"]
    given = json.loads(service.order("lock", "lift", lock["lock"], "--reason", "found", "--json").stdout)
    assert given["entries"][0]["kind"] == "lock.lifted"
    assert service.order("lock", "lift", lock["lock"], check=False).returncode == 1


def test_krl_is_kept_by_its_sha256_until_something_is_revoked(service: Service, tmp_path: Path) -> None:
    first = service.http("GET", KRL)
    sha256 = hashlib.sha256(first.body).hexdigest()
    assert first.headers["etag"] == f'"{sha256}"'
    again = service.http("GET", KRL, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    issued = certify(service, make_key(tmp_path, "id"))
    unchanged = service.http("GET", KRL, headers={"If-None-Match": first.headers["etag"]})
    assert unchanged.status == 304
    service.cli("cert", "revoke", issued["serial"], "--reason", "test")
    changed = service.http("GET", KRL, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status == 200
    before, after = decode_krl(first.body), decode_krl(changed.body)
    assert after.version > before.version
    assert after.version >> 48 == 1
    statement = service.http("GET", f"{KRL}.sig").json
    assert statement["sha256"] == hashlib.sha256(changed.body).hexdigest()
    assert statement["statement"].splitlines()[3] == str(after.version)
    assert service.http("GET", "/v1/krl/acme-user").slug == "not-found"
    assert service.http("GET", "/v1/krl/acme-user.sig").slug == "not-found"


def test_check_of_the_krl_is_what_a_reader_can_run(service: Service, tmp_path: Path) -> None:
    (tmp_path / "revoked_keys").write_bytes(service.http("GET", KRL).body)
    (tmp_path / "krl.json").write_bytes(service.http("GET", f"{KRL}.sig").body)
    (tmp_path / "trusted_user_cas").write_text(service.cli("ca", "export", "acme-users").stdout)
    opened = json.loads(service.entry(0))["data"]
    script = DOCUMENT.read_text().split("```sh\n")[1].split("```")[0]
    environment = {"BUNDLE_KEY": opened["bundle_key"], "ORIGIN": opened["origin"]}

    def run(**changed: str) -> int:
        given = {"PATH": "/usr/bin:/bin", **environment, **changed}
        return subprocess.run(["sh", "-euc", script], cwd=tmp_path, env=given, check=False).returncode

    assert run() == 0
    assert run(ORIGIN="ca.example.net/log/1") != 0
    with (tmp_path / "revoked_keys").open("ab") as krl:
        krl.write(b"\0")
    assert run() != 0


def test_krl_by_command_is_verified_and_read_by_ssh_keygen(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "revoked_keys"
    done = service.cli("cert", "krl", "acme-users", "--out", path, "--verify")
    assert "verified" in done.stderr
    listed = subprocess.run(
        ["ssh-keygen", "-Q", "-l", "-f", path], capture_output=True, text=True, check=True
    )
    assert "KRL version" in listed.stdout
    shown = json.loads(service.cli("cert", "krl", "acme-users", "--json").stdout)
    assert shown["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert service.cli("cert", "krl", "acme-user", check=False).returncode == 1


@pytest.mark.parametrize(
    ("kind", "name"), [("service", "api:portl"), ("identity", "oidc:nobody"), ("group", "oidc:x")]
)
def test_lock_on_what_nobody_knows_is_in_force_and_warns(service: Service, kind: str, name: str) -> None:
    placed = service.http("POST", "/v1/locks", {kind: name, "reason": "a typing error"}, as_="carol")
    assert placed.status == 201, placed.body
    assert f"anything of the name {name}" in placed.json["warning"].replace(
        "has nothing of", "has anything of"
    )
    shown = service.cli("lock", "place", kind, name, "--reason", "again")
    assert "WARNING: " in shown.stderr
    service.order("lock", "lift", placed.json["lock"])


def test_lock_on_what_policy_or_ledger_has_does_not_warn(service: Service) -> None:
    service.credential("recorded-alone")
    service.settled("/v1/access", "dave")
    for name in ("mtls:spiffe://example.org/ci", "api:recorded-alone", "api:erin"):
        placed = service.http("POST", "/v1/locks", {"identity": name, "reason": "x"}, as_="carol")
        assert placed.status == 201, placed.body
        assert "warning" not in placed.json
        service.order("lock", "lift", placed.json["lock"])
