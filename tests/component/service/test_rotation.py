"""CA rotation with a real sshd: at every step old and new certificates log in, and nobody is ever locked out.

The test does what host and client do: it fetches the host's bundle and the lines for known_hosts, and
installs both. Who waits is the operator, never the user.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.ordering.commands import AddHost, LabelBody, PromoteCa, RetireCa, RotateCa
from appliance.errors import Refusal
from support.load import entries
from support.orders import give, give_credentials
from support.service import HOST, POLICY, Service, make_service
from support.sshd import Sshd, make_host_key, running_sshd

WAIT_S = 3
APPLIANCE = f'[appliance]\ntrust_wait = "{WAIT_S}s"\n'
SSHD_PATH = f"/v1/hosts/{HOST}/sshd"


@dataclass(slots=True)
class Site:
    """A service, a host whose sshd follows its bundle, and a user with certificates of different keys."""

    service: Service
    directory: Path
    sshd: Sshd | None = None
    certificates: dict[str, Path] = field(default_factory=dict)

    def follow(self) -> None:
        """Have the host install its bundle, and the client its known_hosts, as they stand now."""
        bundle = self.service.settled(SSHD_PATH, "erin")
        document = json.loads(bundle["document"])
        (self.directory / "trusted_user_cas").write_text(document["trusted_user_cas"])
        principals = self.directory / "principals"
        principals.mkdir(exist_ok=True)
        for each in document["principals"]:
            (principals / each["login"]).write_text(each["text"])
        if "host_certificate" in document:
            (self.directory / "host-cert.pub").write_text(document["host_certificate"])
        if self.sshd is not None:
            lines = self.service.http("GET", "/v1/cas/acme-hosts/public-key?known_hosts=true").body
            self.sshd.known_hosts.write_bytes(lines)

    @property
    def config(self) -> dict[str, str]:
        return {
            "TrustedUserCAKeys": str(self.directory / "trusted_user_cas"),
            "AuthorizedPrincipalsFile": f"{self.directory}/principals/%u",
            "HostCertificate": str(self.directory / "host-cert.pub"),
        }

    def issue(self, name: str) -> str:
        """Issue a user certificate under a name; return the fingerprint of the CA key that signed it."""
        key = self.directory / f"id-{name}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        body = {"public_key": key.with_suffix(".pub").read_text(), "logins": ["root"], "host_groups": ["web"]}
        (issued,) = self.service.issue(body)
        Path(f"{key}-cert.pub").write_text(issued["certificate"] + "\n")
        self.certificates[name] = key
        return self.signer(issued)

    def certify_host(self) -> str:
        """Have the host ask for a certificate anew; return the fingerprint of the CA key that signed it."""
        key = self.directory / "ssh_host_ed25519_key"
        if not key.exists():
            make_host_key(key)
        body = {"public_key": key.with_suffix(".pub").read_text(), "host": HOST}
        (issued,) = self.service.issue(body, "erin", "host")
        return self.signer(issued)

    def signer(self, issued: dict[str, Any]) -> str:
        ca_key: str = self.service.settled(f"/v1/certificates/{issued['serial']}", "dave")["ca_key"]
        return ca_key

    def logins(self) -> dict[str, bool]:
        """Say which of the user's certificates log in; the host is known by its certificate alone."""
        assert self.sshd is not None
        named = f"-oHostKeyAlias={HOST}"
        with ThreadPoolExecutor() as pool:
            tries = {
                name: pool.submit(self.sshd.login, "-i", str(key), named)
                for name, key in self.certificates.items()
            }
        return {name: each.result().returncode == 0 for name, each in tries.items()}

    def keys(self, ca: str) -> list[dict[str, Any]]:
        cas = self.service.settled("/v1/cas", "dave")["cas"]
        return [key for key in cas if key["ca"] == ca]

    def phases(self, ca: str) -> dict[str, str]:
        """Return the phases of the CA's keys that are not retired, in the order in which they were made."""
        return {key["fingerprint"]: key["phase"] for key in self.keys(ca) if key["phase"] != "retired"}

    def revoke_all(self, ca_key: str) -> None:
        """Revoke every live certificate of a key."""
        found = self.service.settled("/v1/certificates?state=active&type=user", "dave")["certificates"]
        for each in found:
            if each["ca_key"] == ca_key:
                body = {"serial": each["serial"], "reason": "rotated"}
                assert self.service.http("POST", "/v1/revocations", body, as_="carol").status == 201


@pytest.fixture
def site(shared: Site) -> Site:
    shared.certificates.clear()
    return shared


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    scratch = tmp_path_factory.mktemp("rotation")
    made = make_service(scratch, POLICY + APPLIANCE)
    directory = scratch / "host"
    directory.mkdir()
    with made.running():
        give_credentials(made, "alice", "carol", "dave", "erin")
        labels = [LabelBody(name="role", value="web")]
        give(made, AddHost(name=HOST, customer="acme", names=[HOST], labels=labels))
        site = Site(service=made, directory=directory)
        site.certify_host()
        site.follow()
        with running_sshd(directory, site.config) as site.sshd:
            site.follow()
            yield site
    report = json.loads(made.cli("ledger", "verify", "--json").stdout)
    assert report["verdict"] == "verified", report


def test_user_ca_rotates_and_nobody_is_locked_out_at_any_step(site: Site) -> None:
    service, ca = site.service, "acme-users"
    old = site.issue("first")
    assert site.logins() == {"first": True}

    # Made: trusted by hosts, not signing; the old one signs on.
    service.order("ca", "rotate", ca, "--algorithm", "ed25519")
    began = time.monotonic()
    (new,) = [key for key, phase in site.phases(ca).items() if phase == "trusted"]
    with pytest.raises(Refusal, match="may sign from"):
        give(service, PromoteCa(name=ca, key=new))
    with pytest.raises(Refusal, match="has a next key already"):
        # Another one, not to be the same order in the same second.
        give(service, RotateCa(name=ca, algorithm="ecdsa-p384", phase="trusted"))
    assert site.issue("second") == old
    assert site.logins() == {"first": True, "second": True}, "hosts have not even fetched"
    site.follow()
    trusted = (site.directory / "trusted_user_cas").read_text()
    assert [line.split()[0] for line in trusted.splitlines()] == ["ecdsa-sha2-nistp256", "ssh-ed25519"]
    assert service.cli("ca", "export", ca).stdout == trusted
    assert site.logins() == {"first": True, "second": True}

    # Signing, once hosts have had the time; the old one stays trusted for what it signed.
    time.sleep(max(0.0, began + WAIT_S + 1 - time.monotonic()))
    service.order("ca", "promote", ca)
    assert site.phases(ca) == {old: "trusted", new: "signing"}
    assert site.issue("third") == new
    assert site.logins() == {"first": True, "second": True, "third": True}
    site.follow()
    assert site.logins() == {"first": True, "second": True, "third": True}

    # Retired only when nothing of it is live, unless that is ordered.
    with pytest.raises(Refusal, match=r"certificates of .* are live"):
        give(service, RetireCa(name=ca, key=old))
    shown = json.loads(service.cli("ca", "list", "--json").stdout)["cas"]
    listed = {key["fingerprint"]: key for key in shown if key["ca"] == ca}
    assert listed[old]["live"] >= 2
    assert listed[new]["live"] == 1
    assert listed[old]["next"].startswith(f"`chancery ca retire {ca}` from {listed[old]['live_until']}")
    assert listed[old]["since"] > listed[old]["created"]
    site.revoke_all(old)
    service.order("ca", "retire", ca)
    assert site.logins()["first"], "the host has not fetched yet"
    site.follow()
    assert site.logins() == {"first": False, "second": False, "third": True}
    with pytest.raises(Refusal, match="is retired"):
        give(service, PromoteCa(name=ca, key=old, now=True))


def test_host_ca_rotates_and_clients_know_the_host_at_every_step(site: Site) -> None:
    service, ca = site.service, "acme-hosts"
    site.issue("user")
    old = site.certify_host()
    site.follow()
    assert site.logins() == {"user": True}

    give(service, RotateCa(name=ca, algorithm="ecdsa-p384", phase="trusted"))
    assert site.logins() == {"user": True}, "clients have not fetched yet"
    site.follow()
    assert site.sshd is not None
    assert len(site.sshd.known_hosts.read_text().splitlines()) == 2
    assert site.logins() == {"user": True}

    service.order("ca", "promote", ca, "--now")
    assert site.logins() == {"user": True}, "the host shows the old key's certificate"
    new = site.certify_host()
    assert new != old
    site.follow()
    assert site.logins() == {"user": True}

    with pytest.raises(Refusal, match="are live"):
        give(service, RetireCa(name=ca, key=old))
    service.order("ca", "retire", ca, "--force")
    site.follow()
    assert site.logins() == {"user": True}, "the host shows the new key's certificate"
    assert site.phases(ca) == {new: "signing"}
    retired = [entry for entry in entries(service) if entry["kind"] == "ca.retired"][-1]["data"]
    assert retired["command"] | {"key": ""} == {"verb": "ca.retire", "name": ca, "key": "", "force": True}
    assert "ordered to retire all the same" in retired["transcript"]


def test_key_is_read_before_anyone_trusts_it_and_a_rotation_is_taken_back(site: Site) -> None:
    service, ca = site.service, "acme-users"
    before = site.phases(ca)
    service.order("ca", "rotate", ca, "--phase", "created")
    (made,) = site.phases(ca).keys() - before.keys()
    site.follow()
    assert len((site.directory / "trusted_user_cas").read_text().splitlines()) == 1
    with pytest.raises(Refusal, match="hosts must trust it first"):
        give(service, PromoteCa(name=ca, key=made, now=True))
    service.order("ca", "trust", ca)
    site.follow()
    assert len((site.directory / "trusted_user_cas").read_text().splitlines()) == 2
    give(service, RetireCa(name=ca, key=made))
    assert site.phases(ca) == before
    shown = service.cli("ca", "list").stdout
    assert "retired" in shown
    assert "signing since" in service.cli("status").stdout


def test_authority_that_starts_anew_expects_every_key_that_is_not_retired(site: Site) -> None:
    service, ca = site.service, "acme-users"
    give(service, RotateCa(name=ca, algorithm="ecdsa-p256", phase="trusted"))
    before = site.phases(ca)
    (old,) = (key for key, phase in before.items() if phase == "signing")
    (new,) = (key for key, phase in before.items() if phase == "trusted")
    assert sorted(before.values()).count("trusted") == 1
    service.kill("authority")
    service.await_ready()
    assert site.phases(ca) == before
    give(service, PromoteCa(name=ca, key=new, now=True))
    assert site.issue("after") == new
    site.follow()
    assert site.logins()["after"]
    give(service, RetireCa(name=ca, key=old, force=True))
