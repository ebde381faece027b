from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.ssh.certificate import (
    Certificate,
    CertificateType,
    attach_signature,
    decode_tbs,
    encode_tbs,
    format_certificate_line,
    inspect_certificate_line,
    parse_certificate_blob,
    parse_certificate_line,
    verify_certificate,
)
from appliance.ssh.errors import BadSignature, SshFormatError, UnacceptableKey
from appliance.ssh.keys import fingerprint
from appliance.ssh.options import EXTENSIONS
from appliance.ssh.signature import sign
from appliance.ssh.wire import encode_string
from support.ssh_examples import (
    VALID_AFTER,
    VALID_BEFORE,
    certificate_content,
    issue,
    private_key,
    public_key,
)
from support.ssh_keygen import certificate_fields

VECTORS = Path(__file__).parents[2] / "vectors" / "ssh"
CANONICAL = (
    "user-ed25519",
    "user-ecdsa-256",
    "user-ecdsa-384",
    "user-ecdsa-521",
    "user-rsa-3072",
    "host-ed25519",
    "openssh/ed25519_sk1",
    "openssh/ecdsa_sk1",
)
FOREIGN = ("foreign-anyone", "foreign-unsorted", "foreign-options")
HOST = {"type": CertificateType.HOST, "extensions": ()}


def line_of(name: str) -> str:
    return (VECTORS / f"{name}-cert.pub").read_text()


def listing_of(name: str) -> dict[str, str | list[str]]:
    _, found, rest = (VECTORS / "certificates.txt").read_text().partition(f"{name}-cert.pub:\n")
    assert found
    return certificate_fields(rest.split("-cert.pub:\n")[0])


@pytest.mark.parametrize("name", CANONICAL)
def test_certificate_made_by_openssh_parses_verifies_and_formats_to_the_same_line(name: str) -> None:
    certificate = parse_certificate_line(line_of(name))
    verify_certificate(certificate)
    comment = line_of(name).rstrip("\n").split(" ", 2)[2]
    assert format_certificate_line(certificate, comment) == line_of(name).rstrip("\n")
    assert encode_tbs(decode_tbs(certificate.tbs)) == certificate.tbs
    assert inspect_certificate_line(line_of(name)) == certificate


@pytest.mark.parametrize("name", [name for name in CANONICAL if "/" not in name] + list(FOREIGN))
def test_certificate_made_by_openssh_says_what_ssh_keygen_lists(name: str) -> None:
    listing = listing_of(name)
    content = inspect_certificate_line(line_of(name)).content
    assert (
        listing["Type"] == f"{content.subject_key.certificate_type} {content.type.name.lower()} certificate"
    )
    assert str(listing["Public key"]).endswith(fingerprint(content.subject_key))
    assert fingerprint(content.ca_key) in listing["Signing CA"]
    assert listing["Key ID"] == f'"{content.key_id}"'
    assert listing["Serial"] == str(content.serial)
    assert listing["Principals"] == list(content.principals)
    if name not in FOREIGN:
        assert listing["Critical Options"] == [f"{name} {value}" for name, value in content.critical_options]
        assert listing["Extensions"] == [name for name, _ in content.extensions]
        assert (content.valid_after, content.valid_before) == (VALID_AFTER, VALID_BEFORE)


@pytest.mark.parametrize("name", FOREIGN)
def test_certificate_that_chancery_would_not_make_can_be_inspected_and_no_more(name: str) -> None:
    certificate = inspect_certificate_line(line_of(name))
    verify_certificate(certificate)
    assert format_certificate_line(certificate) in line_of(name)
    with pytest.raises(SshFormatError):
        parse_certificate_line(line_of(name))
    with pytest.raises(SshFormatError):
        decode_tbs(certificate.tbs)


def test_inspection_shows_what_is_unusual() -> None:
    anyone = inspect_certificate_line(line_of("foreign-anyone")).content
    assert (anyone.serial, anyone.principals, anyone.valid_before) == (0, (), 2**64 - 1)
    assert inspect_certificate_line(line_of("foreign-unsorted")).content.principals == ("zoe", "alice")
    options = inspect_certificate_line(line_of("foreign-options")).content
    assert options.critical_options == (("colour@example.org", "blue"),)
    assert options.extensions[0] == ("login@example.org", "alice")


def test_certificate_signed_with_sha_1_can_be_inspected_but_does_not_verify() -> None:
    certificate = inspect_certificate_line(line_of("openssh/rsa_1_sha1"))
    assert certificate.content.critical_options == (
        ("force-command", "/bin/ls"),
        ("source-address", "10.0.0.0/8"),
    )
    with pytest.raises(BadSignature, match="got 'ssh-rsa' by a key of type ssh-rsa"):
        verify_certificate(certificate)


def test_tbs_of_a_user_certificate_is_laid_out_as_protocol_certkeys_says() -> None:
    content = certificate_content(
        critical_options=(("force-command", "uptime"), ("source-address", "10.8.0.0/16"))
    )
    assert encode_tbs(content) == b"".join(
        [
            encode_string(b"ssh-ed25519-cert-v01@openssh.com"),
            encode_string(bytes(range(32))),
            encode_string(public_key("ed25519", 2).blob[-32:]),
            bytes.fromhex("0001000000000011"),
            bytes.fromhex("00000001"),
            encode_string(b"oidc:alice#1.17"),
            encode_string(encode_string(b"alice@acme-db") + encode_string(b"postgres@acme-db")),
            VALID_AFTER.to_bytes(8, "big"),
            VALID_BEFORE.to_bytes(8, "big"),
            encode_string(
                encode_string(b"force-command")
                + encode_string(encode_string(b"uptime"))
                + encode_string(b"source-address")
                + encode_string(encode_string(b"10.8.0.0/16"))
            ),
            encode_string(encode_string(b"permit-pty") + encode_string(b"")),
            encode_string(b""),
            encode_string(public_key("ed25519").blob),
        ]
    )


def test_every_known_extension_fits_into_one_certificate_for_an_sk_key() -> None:
    content = certificate_content(
        subject_key=public_key("sk-ed25519"),
        critical_options=(("verify-required", ""),),
        extensions=tuple((name, "") for name in EXTENSIONS),
    )
    assert decode_tbs(encode_tbs(content)) == content


def test_certificate_is_its_tbs_and_its_signature_as_a_string() -> None:
    certificate = issue(private_key("nistp256"))
    assert certificate.blob == certificate.tbs + encode_string(certificate.signature)
    assert parse_certificate_blob(certificate.blob) == certificate


def test_certificate_whose_signature_is_by_another_ca_does_not_verify() -> None:
    certificate = issue(private_key("nistp256"))
    forged = replace(certificate, signature=sign(private_key("nistp256", 9), certificate.tbs))
    with pytest.raises(BadSignature, match="not by this key"):
        verify_certificate(forged)


def too_many(count: int) -> tuple[str, ...]:
    return tuple(f"user-{number:03}" for number in range(count))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"nonce": bytes(31)}, "nonce"),
        ({"serial": 0}, "serial"),
        ({"serial": 2**64}, "serial"),
        ({"key_id": ""}, "key id"),
        ({"key_id": "a" * 201}, "key id"),
        ({"key_id": "alice (serial 9)"}, "key id"),
        ({"key_id": "alice\n"}, "key id"),
        ({"key_id": "älice"}, "key id"),
        ({"principals": ()}, "valid principals"),
        ({"principals": too_many(257)}, "valid principals"),
        ({"principals": ("",)}, "valid principals"),
        ({"principals": ("a" * 256,)}, "valid principals"),
        ({"principals": ("alice,root",)}, "valid principals"),
        ({"principals": ("alice#root",)}, "valid principals"),
        ({"principals": ("-oProxyCommand",)}, "valid principals"),
        ({"principals": ("al ice",)}, "valid principals"),
        ({"principals": ("alice\n",)}, "valid principals"),
        ({"principals": ("alice\0",)}, "valid principals"),
        ({"principals": ("alicе",)}, "valid principals"),  # noqa: RUF001 - a Cyrillic letter, on purpose
        ({"principals": ("ali*",)}, "valid principals"),
        ({"principals": ("ali?e",)}, "valid principals"),
        ({"principals": ("bob", "alice")}, "valid principals"),
        ({"principals": ("alice", "alice")}, "valid principals"),
        ({**HOST, "principals": ("*.example.org",)}, "valid principals"),
        ({"valid_after": VALID_BEFORE}, "valid before"),
        ({"valid_after": -1}, "valid before"),
        ({"valid_before": 2**64}, "valid before"),
        ({"critical_options": (("colour@example.org", "blue"),)}, "critical options"),
        (
            {"critical_options": (("source-address", "10.0.0.0/8"), ("force-command", "id"))},
            "critical options",
        ),
        ({"critical_options": (("force-command", ""),)}, "force-command"),
        ({"critical_options": (("force-command", "id\nid"),)}, "force-command"),
        ({"critical_options": (("force-command", "x" * 8193),)}, "force-command"),
        ({"critical_options": (("force-command", "\ud800"),)}, "force-command"),
        ({"critical_options": (("source-address", ""),)}, "source-address"),
        ({"critical_options": (("source-address", "10.8.0.1/16"),)}, "source-address"),
        ({"critical_options": (("source-address", "10.8.0.1"),)}, "source-address"),
        ({"critical_options": (("source-address", "10.0.0.0/8, 192.0.2.0/24"),)}, "source-address"),
        ({"critical_options": (("source-address", "2001:DB8::/32"),)}, "source-address"),
        ({"critical_options": (("source-address", "fe80::1%eth0/128"),)}, "source-address"),
        ({"critical_options": (("source-address", "10.0.0.0/8," * 800),)}, "source-address"),
        ({"critical_options": (("verify-required", ""),)}, "verify-required"),
        ({"critical_options": (("verify-required", "yes"),)}, "verify-required"),
        ({"extensions": (("no-touch-required", ""),)}, "no-touch-required"),
        ({"extensions": (("permit-ptty", ""),)}, "extensions"),
        ({"extensions": (("permit-pty", "yes"),)}, "permit-pty"),
        ({"extensions": (("permit-pty", ""), ("permit-pty", ""))}, "extensions"),
        ({"type": CertificateType.HOST}, "critical options"),
    ],
)
def test_content_that_chancery_does_not_certify_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(SshFormatError) as caught:
        encode_tbs(certificate_content(**changes))
    assert caught.value.field == field


def test_ca_key_as_subject_key_is_unacceptable() -> None:
    with pytest.raises(UnacceptableKey, match="the subject key is the CA's own"):
        encode_tbs(certificate_content(subject_key=public_key("ed25519")))


@pytest.mark.parametrize(
    "changes",
    [
        {"serial": 1},
        {"serial": 2**64 - 1},
        {"key_id": "a" * 200},
        {"principals": too_many(256)},
        {"principals": ("a" * 255,)},
        {"valid_after": 0, "valid_before": 1},
        {"valid_before": 2**64 - 1},
        {"critical_options": (("force-command", "x" * 8192),)},
        {"critical_options": (("force-command", "printf 'grüße, %s' \"$USER\""),)},
        {"critical_options": (("source-address", "10.8.0.1/32,2001:db8::/32"),)},
        {"extensions": ()},
    ],
)
def test_content_at_the_edge_of_what_is_certified_is_encoded(changes: dict[str, Any]) -> None:
    content = certificate_content(**changes)
    assert decode_tbs(encode_tbs(content)) == content


def test_wildcard_needs_a_host_certificate_and_the_callers_word() -> None:
    host = certificate_content(**HOST, principals=("*.example.org", "db-?.example.org"))
    assert decode_tbs(encode_tbs(host, host_wildcards=True)) == host
    with pytest.raises(SshFormatError, match="without , #"):
        encode_tbs(certificate_content(principals=("*",)), host_wildcards=True)
    with pytest.raises(SshFormatError, match="without , # and with"):
        encode_tbs(replace(host, principals=("a,b",)), host_wildcards=True)


def test_field_reserved_with_something_in_it_is_not_canonical_but_openssh_reads_it() -> None:
    certificate = issue(private_key("ed25519"))
    ca_key = encode_string(public_key("ed25519").blob)
    start = len(certificate.tbs) - len(ca_key) - 4
    tbs = certificate.tbs[:start] + encode_string(b"x") + ca_key
    with pytest.raises(SshFormatError, match=f"certificate at byte {start + 3}: it is not encoded as"):
        decode_tbs(tbs)
    odd = Certificate(content=certificate.content, tbs=tbs, signature=sign(private_key("ed25519"), tbs))
    assert inspect_certificate_line(format_certificate_line(odd)) == odd


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"ssh-ed25519-cert-v01@openssh.com", b"ssh-ed25519-cert-v00@openssh.com", "certificate type: got"),
        (bytes.fromhex("0000000001") + b"\0\0\0\x0f", bytes.fromhex("0000000003") + b"\0\0\0\x0f", "type at"),
    ],
)
def test_certificate_of_an_unknown_type_is_refused_also_for_inspection(
    old: bytes, new: bytes, message: str
) -> None:
    certificate = issue(private_key("ed25519"), serial=256)
    assert certificate.tbs.count(old) == 1
    line = format_certificate_line(replace(certificate, tbs=certificate.tbs.replace(old, new)))
    with pytest.raises(SshFormatError, match=message):
        inspect_certificate_line(line.replace("cert-v01", "cert-v00") if b"v00" in new else line)


def test_certificate_whose_ca_key_is_a_certificate_is_refused_also_for_inspection() -> None:
    inner = issue(private_key("ed25519"))
    tbs = inner.tbs.replace(encode_string(public_key("ed25519").blob), encode_string(inner.blob))
    line = format_certificate_line(replace(inner, tbs=tbs))
    with pytest.raises(UnacceptableKey, match="got a certificate, expected the plain public key"):
        inspect_certificate_line(line)


def test_text_that_is_not_utf_8_is_inspected_as_escapes() -> None:
    tbs = issue(private_key("ed25519"), key_id="alice").tbs.replace(b"alice@acme-db", b"alic\xff@acme-db")
    certificate = attach_signature(tbs, sign(private_key("ed25519"), tbs))
    line = format_certificate_line(
        Certificate(content=certificate_content(), tbs=tbs, signature=certificate[len(tbs) + 4 :])
    )
    assert inspect_certificate_line(line).content.principals[0] == "alic\\xff@acme-db"
    with pytest.raises(SshFormatError, match="not encoded as Chancery encodes it"):
        parse_certificate_line(line)


def test_option_data_that_is_no_string_is_inspected_in_hexadecimal() -> None:
    packed = encode_string(b"permit-pty") + encode_string(b"")
    odd = encode_string(b"x@example.org") + encode_string(b"\xde\xad")
    tbs = issue(private_key("ed25519")).tbs.replace(encode_string(packed), encode_string(odd))
    line = format_certificate_line(
        Certificate(content=certificate_content(), tbs=tbs, signature=sign(private_key("ed25519"), tbs))
    )
    assert inspect_certificate_line(line).content.extensions == (("x@example.org", "dead"),)


def test_line_whose_type_is_not_the_certificates_is_refused() -> None:
    line = format_certificate_line(issue(private_key("ed25519"))).split(" ")[1]
    with pytest.raises(
        SshFormatError, match=r"the line says ssh-rsa-cert-v01@openssh\.com, its base64 'ssh-ed25519-"
    ):
        inspect_certificate_line(f"ssh-rsa-cert-v01@openssh.com {line}")


def test_plain_key_is_no_certificate() -> None:
    with pytest.raises(UnacceptableKey, match="expected a certificate"):
        parse_certificate_line((VECTORS / "ed25519.pub").read_text())


def test_blob_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(SshFormatError, match="got 131073 bytes, expected at most 131072"):
        parse_certificate_blob(bytes(131_073))
