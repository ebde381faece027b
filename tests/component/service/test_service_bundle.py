"""What a host's sshd needs, from the real service into a real sshd."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.publishing.bundle import DIRECTORY
from support.service import HOST, Service
from support.sshd import make_host_key, running_sshd

PATH = f"/v1/hosts/{HOST}/sshd"
DOCUMENT = Path(__file__).parents[3] / "docs" / "formats" / "bundle.md"
DB = "db-1.acme.example"


def install(service: Service, document: dict[str, Any], directory: Path) -> dict[str, str]:
    """Put what a document says where its own sshd_config lines look for it; return those lines."""
    (directory / "principals").mkdir()
    (directory / "trusted_user_cas").write_text(document["trusted_user_cas"])
    (directory / "revoked_keys").write_bytes(service.http("GET", document["krl"]).body)
    for each in document["principals"]:
        (directory / "principals" / each["login"]).write_text(each["text"])
    if "host_certificate" in document:
        (directory / "host-cert.pub").write_text(document["host_certificate"])
    lines = document["sshd_config"].replace(DIRECTORY, str(directory)).splitlines()
    return dict(line.split(" ", 1) for line in lines)


def certify_host(service: Service, directory: Path) -> str:
    key = directory / "ssh_host_ed25519_key"
    make_host_key(key)
    body = {"public_key": key.with_suffix(".pub").read_text(), "host": HOST}
    (issued,) = service.issue(body, "erin", "host")
    line: str = issued["certificate"]
    return line


def test_what_the_route_returns_lets_in_who_is_granted_and_nobody_else(
    service: Service, tmp_path: Path
) -> None:
    certified = certify_host(service, tmp_path)
    document = json.loads(service.http("GET", PATH, as_="erin").json["document"])
    assert document["host_certificate"] == f"{certified}\n"
    config = install(service, document, tmp_path)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True)
    public_key = (tmp_path / "id.pub").read_text()
    with running_sshd(tmp_path, config) as sshd:
        cas = service.cli("ca", "export", "acme-hosts", "--known-hosts").stdout
        sshd.known_hosts.write_text(cas)  # the host is known by its certificate alone
        named = ("-i", str(tmp_path / "id"), "-oHostKeyAlias=" + HOST)
        for body, as_, status in (
            ({"host_groups": ["web"], "logins": ["root"]}, "alice", 0),
            ({"host_groups": ["web"], "logins": ["deploy"]}, "alice", 255),  # not as root
            ({"host_groups": ["db"]}, "alice", 255),  # not here
        ):
            (issued,) = service.issue({"public_key": public_key, **body}, as_)
            (tmp_path / "id-cert.pub").write_text(issued["certificate"] + "\n")
            mark = sshd.mark()
            done = sshd.login(*named)
            assert done.returncode == status, done.stderr + sshd.log.read_text()
            if status:
                sshd.logged("Certificate does not contain an authorized principal", since=mark)


def test_ssh_keygen_verifies_the_statement_and_refuses_a_changed_byte(
    service: Service, tmp_path: Path
) -> None:
    bundle = service.http("GET", PATH, as_="dave").json
    opened = json.loads(service.entry(0))["data"]
    signers = tmp_path / "signers"
    signers.write_text(f'chancery namespaces="bundle@chancery" {opened["bundle_key"]}\n')
    (tmp_path / "signature").write_text(bundle["signature"])

    def verify(statement: str) -> int:
        command: list[str | Path] = [
            "ssh-keygen",
            "-Y",
            "verify",
            "-f",
            signers,
            "-I",
            "chancery",
            "-n",
            "bundle@chancery",
        ]
        command += ["-s", tmp_path / "signature"]
        return subprocess.run(
            command, input=statement, text=True, check=False, capture_output=True
        ).returncode

    statement = bundle["statement"]
    assert verify(statement) == 0
    assert verify(statement.replace(HOST, DB)) != 0
    for position in range(0, len(statement), 29):
        changed = chr(ord(statement[position]) ^ 1)
        assert verify(statement[:position] + changed + statement[position + 1 :]) != 0
    name, origin, host, size, digest, generated, fresh_until = statement.splitlines()
    assert (name, origin, host) == ("chancery/bundle/v1", opened["origin"], HOST)
    assert digest == hashlib.sha256(bundle["document"].encode()).hexdigest()
    assert int(size) == bundle["ledger_size"]
    assert abs(int(generated) - time.time()) < 3_600
    assert int(fresh_until) - int(generated) == 6 * 3_600


def test_check_of_the_document_is_what_a_reader_can_run(service: Service, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_bytes(service.http("GET", PATH, as_="dave").body)
    script = DOCUMENT.read_text().split("```sh\n")[1].split("```")[0]
    environment = {"BUNDLE_KEY": json.loads(service.entry(0))["data"]["bundle_key"], "HOST": HOST}

    def run(**changed: str) -> int:
        return subprocess.run(
            ["sh", "-euc", script], cwd=tmp_path, env={**os.environ, **environment, **changed}, check=False
        ).returncode

    assert run() == 0
    assert run(HOST=DB) != 0


def test_host_reads_its_own_bundle_and_no_other(service: Service) -> None:
    credential = service.credential(HOST, kind="host")
    assert service.http("GET", PATH, credential=credential).status == 200
    assert service.http("GET", f"/v1/hosts/{DB}/sshd", credential=credential).slug == "policy-denied"
    assert service.http("GET", "/v1/hosts", credential=credential).slug == "policy-denied"


@pytest.mark.parametrize(
    ("path", "as_", "slug"),
    [
        (PATH, "alice", "policy-denied"),
        ("/v1/hosts/web-9.acme.example/sshd", "dave", "not-found"),
        ("/v1/hosts/WEB/sshd", "dave", "malformed-request"),
    ],
)
def test_bundle_that_is_not_for_the_requester_or_of_no_host_is_a_problem(
    service: Service, path: str, as_: str, slug: str
) -> None:
    assert service.http("GET", path, as_=as_).slug == slug


def test_bundle_that_is_held_already_is_304_until_something_changes(service: Service) -> None:
    path = f"/v1/hosts/{DB}/sshd"
    first = service.http("GET", path, as_="dave")
    again = service.http("GET", path, as_="dave", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    service.order("host", "add", DB, "--customer", "acme", "--label", "role=web")
    try:
        changed = service.http("GET", path, as_="dave", headers={"If-None-Match": first.headers["etag"]})
        assert changed.status == 200
        logins = [each["login"] for each in json.loads(changed.json["document"])["principals"]]
        assert logins == ["deploy", "root"]
    finally:
        service.order("host", "add", DB, "--customer", "acme", "--label", "role=db")


def test_requester_who_has_seen_a_later_ledger_gets_a_statement_that_covers_it(service: Service) -> None:
    first = service.http("GET", PATH, as_="dave").json
    service.issue({"public_key": service.operator_key.with_suffix(".pub").read_text()})
    later = service.settled(PATH, "dave")
    assert later["ledger_size"] > first["ledger_size"]
    assert later["document"] == first["document"]
