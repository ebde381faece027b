"""``ssh-keygen`` reads what we write and writes what we read, for every type of key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appliance.ssh.certificate import CertificateType, format_certificate_line
from appliance.ssh.errors import BadSignature
from appliance.ssh.keys import fingerprint, format_public_key_line, parse_public_key_line
from appliance.ssh.sshsig import build_sshsig, format_armored_sshsig, parse_armored_sshsig, verify_sshsig
from support.ssh_examples import CA_NAMES, SUBJECT_NAMES, issue, private_key, public_key
from support.ssh_keygen import certificate_fields, ssh_keygen

SIGNERS = ("ed25519", "nistp256", "nistp384", "nistp521", "rsa-3072")
NAMESPACE = "order@chancery"
MESSAGE = b"policy.apply\n"

# What ssh-keygen calls the type of a key, and the algorithm that a CA signs with.
LABELS = {
    "ed25519": "ED25519",
    "nistp256": "ECDSA",
    "nistp384": "ECDSA",
    "nistp521": "ECDSA",
    "rsa-3072": "RSA",
    "sk-ed25519": "ED25519-SK",
    "sk-nistp256": "ECDSA-SK",
}


def list_certificate(directory: Path, line: str) -> dict[str, str | list[str]]:
    path = directory / "id-cert.pub"
    path.write_text(line + "\n")
    return certificate_fields(ssh_keygen("-L", "-f", path))


@pytest.mark.parametrize("ca", CA_NAMES)
@pytest.mark.parametrize("subject", SUBJECT_NAMES)
def test_certificate_is_listed_by_ssh_keygen_with_every_field(ca: str, subject: str, tmp_path: Path) -> None:
    options = (("force-command", "uptime -p"), ("source-address", "10.8.0.0/16,2001:db8::/32"))
    certificate = issue(
        private_key(ca), subject_key=public_key(subject, 2), serial=2**64 - 1, critical_options=options
    )
    algorithm = "rsa-sha2-512" if ca == "rsa-3072" else public_key(ca).type
    # That it lists the certificate at all means that its CA's signature verified.
    assert list_certificate(tmp_path, format_certificate_line(certificate, "alice")) == {
        "Type": f"{public_key(subject).certificate_type} user certificate",
        "Public key": f"{LABELS[subject]}-CERT {fingerprint(public_key(subject, 2))}",
        "Signing CA": f"{LABELS[ca]} {fingerprint(public_key(ca))} (using {algorithm})",
        "Key ID": '"oidc:alice#1.17"',
        "Serial": "18446744073709551615",
        "Valid": "from 2026-01-01T00:00:00 to 2026-01-01T08:00:00",
        "Principals": ["alice@acme-db", "postgres@acme-db"],
        "Critical Options": ["force-command uptime -p", "source-address 10.8.0.0/16,2001:db8::/32"],
        "Extensions": ["permit-pty"],
    }


@pytest.mark.parametrize(
    ("changes", "label", "value"),
    [
        (
            {"type": CertificateType.HOST, "extensions": (), "principals": ("db-7.acme.example",)},
            "Type",
            "ssh-ed25519-cert-v01@openssh.com host certificate",
        ),
        ({"valid_after": 0, "valid_before": 2**64 - 1}, "Valid", "forever"),
        ({"valid_before": 2**64 - 1}, "Valid", "after 2026-01-01T00:00:00"),
        ({"principals": tuple(f"u{number:03}" for number in range(256))}, "Principals", None),
        (
            {"subject_key": public_key("sk-ed25519"), "critical_options": (("verify-required", ""),)},
            "Critical Options",
            ["verify-required"],
        ),
        (
            {"subject_key": public_key("sk-nistp256"), "extensions": (("no-touch-required", ""),)},
            "Extensions",
            ["no-touch-required"],
        ),
    ],
)
def test_unusual_certificate_is_listed_by_ssh_keygen(
    changes: dict[str, Any], label: str, value: str | list[str] | None, tmp_path: Path
) -> None:
    certificate = issue(private_key("nistp256"), **changes)
    listing = list_certificate(tmp_path, format_certificate_line(certificate))
    assert listing[label] == (list(certificate.content.principals) if value is None else value)


@pytest.mark.parametrize("name", SUBJECT_NAMES)
def test_fingerprint_is_the_one_that_ssh_keygen_prints(name: str, tmp_path: Path) -> None:
    path = tmp_path / "id.pub"
    path.write_text(format_public_key_line(public_key(name), "alice@example.org") + "\n")
    bits, printed, comment, label = ssh_keygen("-l", "-f", path).split()
    assert (printed, comment, label) == (
        fingerprint(public_key(name)),
        "alice@example.org",
        f"({LABELS[name]})",
    )
    assert int(bits) in (256, 384, 521, 3072)


@pytest.mark.parametrize("name", SIGNERS)
def test_sshsig_built_here_is_verified_by_ssh_keygen(name: str, tmp_path: Path) -> None:
    signature, allowed = tmp_path / "message.sig", tmp_path / "allowed_signers"
    signature.write_text(format_armored_sshsig(build_sshsig(private_key(name), NAMESPACE, MESSAGE)))
    allowed.write_text(f"carol {format_public_key_line(public_key(name))}\n")
    verify = ("-Y", "verify", "-f", allowed, "-I", "carol", "-s", signature)
    assert 'Good "order@chancery" signature for carol' in ssh_keygen(*verify, "-n", NAMESPACE, stdin=MESSAGE)
    with pytest.raises(AssertionError, match="namespace does not match"):
        ssh_keygen(*verify, "-n", "krl@chancery", stdin=MESSAGE)
    with pytest.raises(AssertionError, match="incorrect signature"):
        ssh_keygen(*verify, "-n", NAMESPACE, stdin=MESSAGE + b"\n")


@pytest.mark.parametrize("hash_algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("name", SIGNERS)
def test_sshsig_made_by_ssh_keygen_is_verified_here(name: str, hash_algorithm: str, tmp_path: Path) -> None:
    key = tmp_path / "id"
    pem = private_key(name).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    key.touch(mode=0o600)
    key.write_bytes(pem)
    text = ssh_keygen(
        "-Y", "sign", "-f", key, "-n", NAMESPACE, "-O", f"hashalg={hash_algorithm}", stdin=MESSAGE
    )
    blob = parse_armored_sshsig(text)
    allowed = [parse_public_key_line(ssh_keygen("-y", "-f", key))]
    result = verify_sshsig(blob, namespace=NAMESPACE, message=MESSAGE, allowed_keys=allowed)
    assert result.key == public_key(name)
    algorithms = ("rsa-sha2-512", "rsa-sha2-256") if name == "rsa-3072" else (public_key(name).type,)
    assert result.details.algorithm in algorithms  # of RSA's two, newer releases follow the message's hash
    with pytest.raises(BadSignature):
        verify_sshsig(blob, namespace=NAMESPACE, message=MESSAGE + b"\n", allowed_keys=allowed)
