"""Signed notes and the keys that verify them (c2sp.org/signed-note), read strictly.

    ca.example.org/log/1
    2
    x7dVYvoyDZ3xtV2mGzpNV5Wtgh8NYUBqN4jJ4WBFq2w=

    — ca.example.org/log/1 3q2+7w…

A verifier key is ``name+hex(key id)+base64(type ‖ key)``.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from .errors import MalformedError

ED25519: Final = 0x01
ECDSA_P256: Final = 0x02
# The specification asks for room for 16 signatures, of up to 5 kB where they are post-quantum.
MAX_NOTE: Final = 128 * 1024
MAX_SIGNATURES: Final = 64

_NAME: Final = re.compile(r"[^\s+\x00-\x1f]{1,255}")
_VKEY: Final = re.compile(r"([^\s+\x00-\x1f]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44,200}={0,2})")


@dataclass(frozen=True, slots=True)
class Vkey:
    """A verifier key: who signs (``name``), and with what."""

    text: str
    name: str
    key_id: bytes
    key: Ed25519PublicKey | EllipticCurvePublicKey

    def verify(self, signature: bytes, text: bytes) -> bool:
        """Say whether ``signature``, without its key id, is this key's over ``text``."""
        try:
            if isinstance(self.key, Ed25519PublicKey):
                self.key.verify(signature, text)
            else:
                self.key.verify(signature, text, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureLine:
    """One line below the text: ``— name base64(key id ‖ signature)``."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A parsed note: the text as bytes, and the lines that claim to sign it. Nothing is verified."""

    text: bytes
    lines: tuple[SignatureLine, ...]

    def signers(self, keys: Iterable[Vkey]) -> frozenset[str]:
        """Return the texts of those ``keys`` that signed; lines of other keys are ignored.

        Raises:
            MalformedError: a line of one of ``keys``, by name and id, does not verify or comes twice.
        """
        signed = set()
        for key in keys:
            lines = [line for line in self.lines if (line.name, line.key_id) == (key.name, key.key_id)]
            if len(lines) > 1:
                raise MalformedError(f"{key.name} ({key.key_id.hex()}) has more than one signature line")
            for line in lines:
                if not key.verify(line.signature, self.text):
                    raise MalformedError(f"the signature of {key.name} ({key.key_id.hex()}) does not verify")
                signed.add(key.text)
        return frozenset(signed)


def parse_vkey(text: str) -> Vkey:
    """Parse a verifier key of type Ed25519 (0x01) or ECDSA P-256 (0x02).

    Raises:
        MalformedError: it is of another form or type, or its key id is not that of its key.
    """
    match = _VKEY.fullmatch(text)
    if match is None:
        raise MalformedError(f"got {text[:80]!r}, expected a verifier key: name+8 hex digits+base64")
    name, key_id = match[1], bytes.fromhex(match[2])
    material = parse_base64(match[3])
    kind, encoded = material[0], material[1:]
    if kind == ED25519 and len(encoded) == 32:
        expected = sha256(name.encode() + b"\n" + material).digest()[:4]
        key: Ed25519PublicKey | EllipticCurvePublicKey = Ed25519PublicKey.from_public_bytes(encoded)
    elif kind == ECDSA_P256:
        expected = sha256(encoded).digest()[:4]
        key = _p256(encoded)
    else:
        raise MalformedError(f"got a verifier key of type {kind}, expected Ed25519 (1) or ECDSA P-256 (2)")
    if key_id != expected:
        raise MalformedError(f"the verifier key's id is {match[2]}, its key hashes to {expected.hex()}")
    return Vkey(text, name, key_id, key)


def _p256(spki: bytes) -> EllipticCurvePublicKey:
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedError("the verifier key holds no DER SubjectPublicKeyInfo") from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise MalformedError("the verifier key is not on P-256")
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != spki:
        raise MalformedError("the verifier key's SubjectPublicKeyInfo is not in its usual DER form")
    return key


def parse_note(octets: bytes) -> Note:
    """Parse a signed note; the text keeps its final newline.

    Raises:
        MalformedError: it is too long, not UTF-8, has control characters, or no signature line.
    """
    if len(octets) > MAX_NOTE:
        raise MalformedError(f"the note is longer than {MAX_NOTE} bytes")
    text, blank, tail = octets.rpartition(b"\n\n")
    if not blank or not tail.endswith(b"\n"):
        raise MalformedError("expected a text, an empty line and signature lines, each ended by a newline")
    if any(byte < 0x20 and byte != 0x0A for byte in octets):
        raise MalformedError("the note has a control character other than newline")
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"the note is not UTF-8 at byte {error.start}") from error
    rows = tail.decode("utf-8").split("\n")[:-1]
    if len(rows) > MAX_SIGNATURES:
        raise MalformedError(f"the note has more than {MAX_SIGNATURES} signature lines")
    lines = tuple(map(_parse_line, rows))
    return Note(text=text + b"\n", lines=lines)


def _parse_line(row: str) -> SignatureLine:
    dash, _, rest = row.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—" or _NAME.fullmatch(name) is None:
        raise MalformedError(f"got {row[:80]!r}, expected a signature line: em dash, key name, base64")
    signature = parse_base64(encoded)
    if len(signature) <= 4:
        raise MalformedError(f"the signature of {name} is too short for a key id and a signature")
    return SignatureLine(name=name, key_id=signature[:4], signature=signature[4:])


def parse_base64(text: str) -> bytes:
    """Decode standard padded base64 (RFC 4648 section 4) in its one canonical spelling.

    Raises:
        MalformedError: padding, alphabet or the unused bits are not as they should be.
    """
    try:
        octets = b64decode(text, validate=True)
    except ValueError as error:
        raise MalformedError(f"got {text[:60]!r}, expected standard padded base64") from error
    if b64encode(octets).decode() != text:  # the unused bits of the last character were not zero
        raise MalformedError(f"got {text[:60]!r}, expected base64 in its canonical spelling")
    return octets
