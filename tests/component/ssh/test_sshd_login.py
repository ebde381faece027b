"""A real sshd lets our certificates in, keeps the others out, and says so in its log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appliance.ssh.certificate import (
    Certificate,
    CertificateType,
    encode_tbs,
    format_certificate_line,
    verify_certificate,
)
from appliance.ssh.keys import fingerprint, format_public_key_line, parse_public_key_line
from appliance.ssh.signature import sign
from support.software_authenticator import (
    PRESENT_AND_VERIFIED,
    AgentIdentity,
    SoftwareAuthenticator,
    ssh_agent,
)
from support.ssh_examples import CA_NAMES, certificate_content, issue, private_key, public_key
from support.ssh_keygen import ssh_keygen
from support.sshd import Sshd, make_host_key, running_sshd

NOW = int(time.time())
PRINCIPAL = "root@test-host"
UNATTENDED = "backup@test-host"
HOUR = 3600


@dataclass(frozen=True)
class Host:
    sshd: Sshd
    directory: Path

    def login(self, name: str, certificate: Certificate, *options: str) -> int:
        """Log in with a key in a file and its certificate; return ssh's exit status."""
        key = self.directory / f"id_{name}"
        key.touch(mode=0o600)
        key.write_bytes(
            private_key(name, 2).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        )
        key.with_name(f"{key.name}-cert.pub").write_text(format_certificate_line(certificate))
        return self.sshd.login(
            "-oIdentitiesOnly=yes", "-oIdentityAgent=none", f"-i{key}", *options
        ).returncode

    def login_with_agent(self, identity: AgentIdentity) -> int:
        """Log in with what an agent holds and nothing else; return ssh's exit status."""
        socket = self.directory / "agent.sock"
        socket.unlink(missing_ok=True)
        with ssh_agent(socket, [identity]):
            return self.sshd.login(f"-oIdentityAgent={socket}", "-oIdentityFile=none").returncode


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    directory = tmp_path_factory.mktemp("sshd")
    trusted = directory / "trusted_user_ca_keys"
    trusted.write_text("".join(f"{format_public_key_line(public_key(name))}\n" for name in CA_NAMES))
    principals = directory / "principals"
    principals.mkdir()
    (principals / "root").write_text(f"{PRINCIPAL}\nno-touch-required {UNATTENDED}\n")
    config = {"TrustedUserCAKeys": str(trusted), "AuthorizedPrincipalsFile": f"{principals}/%u"}
    with running_sshd(directory, config) as sshd:
        yield Host(sshd, directory)


def certificate_for_root(ca: str = "nistp256", **changes: Any) -> Certificate:
    fields: dict[str, Any] = {
        "principals": (PRINCIPAL,),
        "valid_after": NOW - 60,
        "valid_before": NOW + HOUR,
        "key_id": "oidc:alice#1.17",
    }
    return issue(private_key(ca), **(fields | changes))


@pytest.mark.parametrize(
    ("subject", "ca"),
    [
        ("ed25519", "nistp256"),
        ("nistp256", "ed25519"),
        ("nistp384", "nistp521"),
        ("nistp521", "rsa-3072"),
        ("rsa-3072", "nistp384"),
    ],
)
def test_certificate_logs_in_and_sshd_logs_what_it_says(subject: str, ca: str, host: Host) -> None:
    certificate = certificate_for_root(ca, subject_key=public_key(subject, 2))
    mark = host.sshd.mark()
    assert host.login(subject, certificate) == 0
    line = host.sshd.logged("Accepted publickey for root", since=mark)
    assert f"-CERT {fingerprint(public_key(subject, 2))}" in line
    assert "ID oidc:alice#1.17 (serial 281474976710673) CA" in line
    assert line.endswith(fingerprint(public_key(ca)))


@pytest.mark.parametrize(
    ("changes", "logged"),
    [
        (
            {"principals": ("root@other-host", "test-host")},
            "Certificate does not contain an authorized principal",
        ),
        ({"valid_after": NOW - HOUR, "valid_before": NOW - 60}, "Certificate invalid: expired"),
        ({"valid_after": NOW + HOUR, "valid_before": NOW + 2 * HOUR}, "Certificate invalid: not yet valid"),
        (
            {"critical_options": (("source-address", "192.0.2.0/24"),)},
            "with valid certificate but not from a permitted source address (127.0.0.1)",
        ),
    ],
)
def test_certificate_that_does_not_fit_is_refused_and_sshd_logs_why(
    changes: dict[str, Any], logged: str, host: Host
) -> None:
    mark = host.sshd.mark()
    assert host.login("ed25519", certificate_for_root(**changes)) == 255
    host.sshd.logged(logged, since=mark)


def test_certificate_by_a_ca_that_is_not_trusted_is_refused(host: Host) -> None:
    mark = host.sshd.mark()
    other = issue(
        private_key("nistp256", 99), principals=(PRINCIPAL,), valid_after=NOW - 60, valid_before=NOW + HOUR
    )
    assert host.login("ed25519", other) == 255
    line = host.sshd.logged(fingerprint(public_key("nistp256", 99)), since=mark)
    assert "Failed publickey for root" in line


def test_certificate_with_a_source_address_that_fits_logs_in(host: Host) -> None:
    fits = certificate_for_root(critical_options=(("source-address", "127.0.0.0/8,192.0.2.0/24"),))
    assert host.login("ed25519", fits) == 0


def test_forced_command_replaces_the_callers(host: Host) -> None:
    assert host.login("ed25519", certificate_for_root(critical_options=(("force-command", "exit 42"),))) == 42


def test_certificate_by_a_ca_key_that_is_an_authenticators_is_read_and_verified_by_both(
    tmp_path: Path,
) -> None:
    ca = authenticator("nistp256", PRESENT_AND_VERIFIED)
    content = replace(certificate_for_root().content, ca_key=ca.public_key)
    tbs = encode_tbs(content)
    certificate = Certificate(content=content, tbs=tbs, signature=ca.sign(tbs))
    assert verify_certificate(certificate).user_verified
    path = tmp_path / "id-cert.pub"
    path.write_text(format_certificate_line(certificate))
    assert f"Signing CA: ECDSA-SK {fingerprint(ca.public_key)}" in ssh_keygen("-L", "-f", path)


def authenticator(name: str, flags: int) -> SoftwareAuthenticator:
    key = cast(ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, private_key(name, 2))
    return SoftwareAuthenticator(private_key=key, flags=flags)


def identity(holder: SoftwareAuthenticator, **changes: Any) -> AgentIdentity:
    certificate = certificate_for_root(subject_key=holder.public_key, **changes)
    return AgentIdentity(blob=certificate.blob, sign=holder.sign)


@pytest.mark.parametrize("name", ["ed25519", "nistp256"])
def test_certificate_for_an_authenticator_logs_in(name: str, host: Host) -> None:
    holder = authenticator(name, 0x01)
    mark = host.sshd.mark()
    assert host.login_with_agent(identity(holder)) == 0
    line = host.sshd.logged("Accepted publickey for root", since=mark)
    assert f"-SK-CERT {fingerprint(holder.public_key)} ID oidc:alice#1.17 (serial 281474976710673) CA" in line
    assert holder.counter >= 1


@pytest.mark.parametrize("name", ["ed25519", "nistp256"])
def test_authenticator_without_the_users_touch_is_refused(name: str, host: Host) -> None:
    mark = host.sshd.mark()
    assert host.login_with_agent(identity(authenticator(name, 0x00))) == 255
    host.sshd.logged("user presence (authenticator touch) requirement not met", since=mark)


def test_authenticator_without_touch_logs_in_where_certificate_and_principals_file_ask_for_none(
    host: Host,
) -> None:
    no_touch = {"extensions": (("no-touch-required", ""),)}
    # sshd waives the touch only where the certificate and the principals file both do (sshauthopt_merge).
    one_says_so = identity(authenticator("ed25519", 0x00), **no_touch)
    assert host.login_with_agent(one_says_so) == 255
    both_say_so = identity(authenticator("ed25519", 0x00), **no_touch, principals=(UNATTENDED,))
    assert host.login_with_agent(both_say_so) == 0


def test_verify_required_refuses_an_authenticator_that_only_felt_a_touch(host: Host) -> None:
    strict = {"critical_options": (("verify-required", ""),)}
    mark = host.sshd.mark()
    assert host.login_with_agent(identity(authenticator("ed25519", 0x01), **strict)) == 255
    host.sshd.logged("user verification requirement not met", since=mark)
    assert host.login_with_agent(identity(authenticator("ed25519", PRESENT_AND_VERIFIED), **strict)) == 0


@pytest.mark.parametrize(("name", "status"), [("db-7.acme.example", 0), ("db-8.acme.example", 255)])
def test_host_certificate_is_believed_by_ssh_for_its_names_only(
    name: str, status: int, tmp_path: Path
) -> None:
    host_key = tmp_path / "ssh_host_ed25519_key"
    make_host_key(host_key)
    content = certificate_content(
        type=CertificateType.HOST,
        subject_key=parse_public_key_line(host_key.with_suffix(".pub").read_text()),
        ca_key=public_key("nistp256"),
        principals=(name,),
        valid_after=NOW - 60,
        valid_before=NOW + HOUR,
        extensions=(),
    )
    tbs = encode_tbs(content)
    certificate = Certificate(content=content, tbs=tbs, signature=sign(private_key("nistp256"), tbs))
    host_certificate = tmp_path / "ssh_host_ed25519_key-cert.pub"
    host_certificate.write_text(format_certificate_line(certificate))
    trusted = tmp_path / "trusted_user_ca_keys"
    trusted.write_text(format_public_key_line(public_key("nistp256")) + "\n")
    known_hosts = tmp_path / "known_hosts_by_ca"
    known_hosts.write_text(
        f"@cert-authority *.acme.example {format_public_key_line(public_key('nistp256'))}\n"
    )
    options = (f"-oUserKnownHostsFile={known_hosts}", "-oHostKeyAlias=db-7.acme.example")
    config = {"HostCertificate": str(host_certificate), "TrustedUserCAKeys": str(trusted)}
    with running_sshd(tmp_path, config) as sshd:
        user = certificate_for_root(principals=("root",))
        assert Host(sshd, tmp_path).login("ed25519", user, *options) == status
