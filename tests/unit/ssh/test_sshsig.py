from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.ssh.errors import BadSignature, SshFormatError, UnacceptableKey
from appliance.ssh.keys import parse_public_key_line
from appliance.ssh.sshsig import (
    Sshsig,
    build_sshsig,
    decode_sshsig,
    encode_sshsig,
    format_armored_sshsig,
    parse_armored_sshsig,
    signed_data,
    verify_sshsig,
)
from appliance.ssh.wire import encode_string
from support.ssh_examples import CA_NAMES, issue, private_key, public_key

VECTORS = Path(__file__).parents[2] / "vectors" / "ssh"
NAMESPACE = "order@chancery"
MESSAGE = (VECTORS / "message").read_bytes()


def blob_of(name: str) -> bytes:
    return parse_armored_sshsig((VECTORS / f"{name}.sig").read_text())


@pytest.mark.parametrize(
    ("signature", "key"),
    [
        ("message-ed25519", "ed25519"),
        ("message-ecdsa-256", "ecdsa-256"),
        ("message-ecdsa-384", "ecdsa-384"),
        ("message-ecdsa-521", "ecdsa-521"),
        ("message-rsa-3072", "rsa-3072"),
        ("message-sha256", "ed25519"),
    ],
)
def test_signature_made_by_ssh_keygen_verifies(signature: str, key: str) -> None:
    public = parse_public_key_line((VECTORS / f"{key}.pub").read_text())
    result = verify_sshsig(blob_of(signature), namespace=NAMESPACE, message=MESSAGE, allowed_keys=[public])
    assert result.key == public
    assert result.details.algorithm == ("rsa-sha2-512" if key == "rsa-3072" else public.type)


@pytest.mark.parametrize("name", ["ed25519_sk", "ecdsa_sk"])
def test_signature_made_by_a_fido_key_verifies_with_its_counter(name: str) -> None:
    key = parse_public_key_line((VECTORS / "openssh" / f"{name}.pub").read_text())
    message = (VECTORS / "openssh" / "signed-data").read_bytes()
    result = verify_sshsig(
        blob_of(f"openssh/{name}"), namespace="unittest", message=message, allowed_keys={key}
    )
    assert (result.details.user_verified, result.details.counter) == (False, 0x12345678)


def test_webauthn_signature_is_refused() -> None:
    blob = blob_of("openssh/ecdsa_sk_webauthn")
    message = (VECTORS / "openssh" / "signed-data").read_bytes()
    with pytest.raises(BadSignature):
        verify_sshsig(blob, namespace="unittest", message=message, allowed_keys=[decode_sshsig(blob).key])


@pytest.mark.parametrize("name", CA_NAMES)
def test_signature_built_here_verifies_and_parts_are_what_was_asked_for(name: str) -> None:
    blob = build_sshsig(private_key(name), NAMESPACE, MESSAGE)
    result = verify_sshsig(blob, namespace=NAMESPACE, message=MESSAGE, allowed_keys=[public_key(name)])
    assert result.key == public_key(name)
    parts = decode_sshsig(blob)
    assert (parts.namespace, parts.hash_algorithm) == (NAMESPACE, "sha512")
    assert encode_sshsig(parts) == blob


@pytest.mark.parametrize(
    ("namespace", "message", "key", "complaint"),
    [
        (
            "krl@chancery",
            MESSAGE,
            public_key("ed25519"),
            "made for namespace 'order@chancery', expected 'krl@",
        ),
        (NAMESPACE, MESSAGE + b"\n", public_key("ed25519"), "not over these bytes"),
        (
            NAMESPACE,
            MESSAGE,
            public_key("ed25519", 2),
            "made by SHA256:.*, which is not one of the 1 allowed",
        ),
    ],
)
def test_signature_for_something_else_is_bad(
    namespace: str, message: bytes, key: object, complaint: str
) -> None:
    blob = build_sshsig(private_key("ed25519"), NAMESPACE, MESSAGE)
    allowed = [each for each in (public_key("ed25519"), public_key("ed25519", 2)) if each == key]
    with pytest.raises(BadSignature, match=complaint):
        verify_sshsig(blob, namespace=namespace, message=message, allowed_keys=allowed)


def test_signature_by_no_allowed_key_is_bad_when_nobody_is_allowed() -> None:
    blob = build_sshsig(private_key("ed25519"), NAMESPACE, MESSAGE)
    with pytest.raises(BadSignature, match="not one of the 0 allowed keys"):
        verify_sshsig(blob, namespace=NAMESPACE, message=MESSAGE, allowed_keys=())


def test_signed_data_is_laid_out_as_protocol_sshsig_says() -> None:
    digest = hashlib.sha256(MESSAGE).digest()
    assert signed_data("n", "sha256", MESSAGE) == (
        b"SSHSIG"
        + encode_string(b"n")
        + encode_string(b"")
        + encode_string(b"sha256")
        + encode_string(digest)
    )


def parts(**changes: bytes) -> bytes:
    fields = {
        "version": bytes([0, 0, 0, 1]),
        "key": encode_string(public_key("ed25519").blob),
        "namespace": encode_string(b"n"),
        "reserved": encode_string(b""),
        "hash": encode_string(b"sha512"),
        "signature": encode_string(b"s"),
    }
    return b"SSHSIG" + b"".join((fields | changes).values())


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "expected it to begin with SSHSIG"),
        (parts()[1:], "expected it to begin with SSHSIG"),
        (parts(version=bytes(4)), "version at byte 6: got version 0, expected 1"),
        (parts(version=bytes([0, 0, 0, 2])), "version at byte 6: got version 2, expected 1"),
        (parts(namespace=encode_string(b"")), "namespace: got ''"),
        (parts(namespace=encode_string(b"a b")), "namespace: got 'a b'"),
        (parts(namespace=encode_string(b"\xff")), "namespace: got 'ÿ'"),
        (parts(reserved=encode_string(b"x")), "reserved at byte 70: got 1 bytes, expected at most 0"),
        (parts(hash=encode_string(b"sha1")), "hash algorithm: got 'sha1', expected sha256 or sha512"),
        (parts() + b"\0", "SSHSIG at byte 89: got 1 bytes after its end"),
        (parts(key=encode_string(b"")), "key type at byte 14: got 0 bytes"),
    ],
)
def test_malformed_blob_is_refused(blob: bytes, message: str) -> None:
    with pytest.raises(SshFormatError, match=message):
        decode_sshsig(blob)
    with pytest.raises(BadSignature, match="SSHSIG: malformed"):
        verify_sshsig(blob, namespace="n", message=b"", allowed_keys=[public_key("ed25519")])


def test_blob_whose_key_is_a_certificate_is_refused() -> None:
    blob = parts(key=encode_string(issue(private_key("nistp256")).blob))
    with pytest.raises(UnacceptableKey, match="got a certificate, expected the plain public key"):
        decode_sshsig(blob)


@pytest.mark.parametrize(("namespace", "hash_algorithm"), [("", "sha512"), ("n\n", "sha512"), ("n", "md5")])
def test_parts_that_are_not_allowed_are_not_encoded(namespace: str, hash_algorithm: str) -> None:
    good = Sshsig(key=public_key("ed25519"), namespace="n", hash_algorithm="sha512", signature=b"s")
    with pytest.raises(SshFormatError):
        encode_sshsig(replace(good, namespace=namespace, hash_algorithm=hash_algorithm))
    with pytest.raises(SshFormatError):
        signed_data(namespace, hash_algorithm, MESSAGE)


@pytest.mark.parametrize("name", ["message-ed25519", "message-rsa-3072", "openssh/ecdsa_sk"])
def test_armored_text_made_by_ssh_keygen_is_formatted_to_the_byte(name: str) -> None:
    text = (VECTORS / f"{name}.sig").read_text()
    assert format_armored_sshsig(parse_armored_sshsig(text)) == text


ARMORED = (VECTORS / "message-ed25519.sig").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        ARMORED.rstrip("\n"),
        ARMORED + "\n",
        "\n" + ARMORED,
        ARMORED.replace("\n", "\r\n"),
        ARMORED.replace("BEGIN SSH", "BEGIN PGP"),
        ARMORED.replace("\n", "", 2).replace("-----U1NI", "-----\nU1NI"),
        ARMORED.replace("==", ""),
        ARMORED.replace("U1NI", "U1 NI"),
        ARMORED.replace("-----END", "\n-----END"),
    ],
)
def test_armored_text_in_another_layout_is_refused(text: str) -> None:
    with pytest.raises(SshFormatError, match="SSHSIG: "):
        parse_armored_sshsig(text)
