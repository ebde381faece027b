"""What is written down when a key is made: short, for an auditor, without secrets or paths."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm.algorithm import PublicKey
from hsm.attributes import KeyRecord, format_attributes

_TEST_MESSAGE: Final = "chancery/hsm/test-signature/v1\nSPKI SHA-256 {}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDescription:
    """Module and token in their own words."""

    module: str
    library: str
    label: str
    manufacturer: str
    model: str
    serial: str


def spki_sha256(public_key: PublicKey) -> str:
    """Return the SHA-256 of a public key's SubjectPublicKeyInfo in DER (RFC 5280 §4.1), in hex."""
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def build_test_message(public_key: PublicKey) -> bytes:
    """Build what a new key signs first.

    It is nothing that a key of any purpose signs later: as an SSH certificate or SSHSIG its first bytes
    would be a length of more than a gigabyte or another magic, as a checkpoint its second line no number.
    """
    return _TEST_MESSAGE.format(spki_sha256(public_key)).encode()


def format_transcript(
    token: TokenDescription, record: KeyRecord, mechanism: str, attestation: bytes | None
) -> str:
    """Format the transcript of a key ceremony, once the test signature has been verified."""
    return (
        "PKCS#11 key ceremony, transcript version 1\n"
        f"module: {_line(token.module)}\n"
        f"library: {_line(token.library)}\n"
        f"token label: {_line(token.label)}\n"
        f"token manufacturer: {_line(token.manufacturer)}\n"
        f"token model: {_line(token.model)}\n"
        f"token serial: {_line(token.serial)}\n"
        f"mechanism: {mechanism}\n"
        f"algorithm: {record.algorithm}\n"
        f"CKA_ID: {record.cka_id.hex()}\n"
        f"CKA_LABEL: {_line(record.label)}\n"
        "private key, as the token reports it:\n"
        f"{format_attributes(record)}"
        f"public key, SHA-256 of its SPKI: {spki_sha256(record.public_key)}\n"
        f"attestation by the token: {_describe(attestation)}\n"
        "test signature: made by the token over the message below, verified with the public key\n"
        f"test message: {build_test_message(record.public_key).decode()!r}\n"
    )


def _describe(attestation: bytes | None) -> str:
    if attestation is None:
        return "none"
    return f"{len(attestation)} bytes, SHA-256 {hashlib.sha256(attestation).hexdigest()}"


def _line(text: str) -> str:
    """Keep a token's words on their line: a label may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
