"""Signed notes (c2sp.org/signed-note): a text, a blank line, and lines of signatures by named keys.

::

    ca.example.org/log/1
    3
    RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=

    — ca.example.org/log/1 9zU0SOR3grUlgbqw1FdNHS+phDWCC5vWCCWjFuvhUiUKVe0s…

A key is written as a vkey, ``name+<key id, 8 hex digits>+<base64 of type byte ‖ public key>``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from audit.errors import NoteError

NotePrivateKey: TypeAlias = Ed25519PrivateKey | EllipticCurvePrivateKey
NotePublicKey: TypeAlias = Ed25519PublicKey | EllipticCurvePublicKey

MAX_NOTE: Final = 65_536
MAX_SIGNATURES: Final = 100
_ED25519: Final = 0x01
_ECDSA: Final = 0x02
_DASH: Final = "\u2014 "
_NAME: Final = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
_VKEY: Final = re.compile(r"([^\s+\x00-\x1f\x7f]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """A signature line: the signer's name, the key id that it claims, and the signature's bytes."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note as it was read: its text, final newline included, and its signatures. Nothing is verified."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under the name that its signatures carry."""

    name: str
    public_key: NotePublicKey

    @property
    def key_id(self) -> bytes:
        """The four bytes that tell which of a name's keys signed."""
        if isinstance(self.public_key, Ed25519PublicKey):
            return hashlib.sha256(f"{self.name}\n".encode() + self.data).digest()[:4]
        # For ECDSA the specification defines no hash over the name: the id is that of the key alone.
        return hashlib.sha256(self.data[1:]).digest()[:4]

    @property
    def data(self) -> bytes:
        """The type byte and the public key: the raw one of Ed25519, the SubjectPublicKeyInfo of ECDSA."""
        if isinstance(self.public_key, Ed25519PublicKey):
            return bytes([_ED25519]) + self.public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        spki = self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return bytes([_ECDSA]) + spki

    def verify(self, text: str, signature: bytes) -> None:
        """Verify this key's signature over a note's text.

        Raises:
            NoteError: it is not.
        """
        try:
            if isinstance(self.public_key, Ed25519PublicKey):
                self.public_key.verify(signature, text.encode())
            else:
                self.public_key.verify(signature, text.encode(), ECDSA(SHA256()))
        except InvalidSignature as error:
            raise NoteError(f"the signature by {self.name} does not verify") from error


def vkey_for(name: str, public_key: object) -> VerifierKey:
    """Name a public key.

    Raises:
        NoteError: the name cannot be one, or the key is neither Ed25519 nor P-256.
    """
    if _NAME.fullmatch(name) is None:
        raise NoteError(f"got the name {name[:80]!r}, expected 1 to 255 characters, no space and no plus")
    if isinstance(public_key, EllipticCurvePublicKey) and isinstance(public_key.curve, SECP256R1):
        return VerifierKey(name, public_key)
    if isinstance(public_key, Ed25519PublicKey):
        return VerifierKey(name, public_key)
    raise NoteError("expected an Ed25519 or ECDSA P-256 key")


def format_vkey(key: VerifierKey) -> str:
    """Format a verifier key."""
    return f"{key.name}+{key.key_id.hex()}+{base64.b64encode(key.data).decode()}"


def parse_vkey(text: str) -> VerifierKey:
    """Parse a verifier key; the exact inverse of :func:`format_vkey`.

    Raises:
        NoteError: it is not one, or its key id is another key's.
    """
    match = _VKEY.fullmatch(text)
    if match is None:
        raise NoteError(f"got {text[:80]!r}, expected name+key id+base64")
    data = _decode(match[3], "vkey")
    try:
        if data[0] == _ED25519:
            key = vkey_for(match[1], Ed25519PublicKey.from_public_bytes(data[1:]))
        elif data[0] == _ECDSA:
            key = vkey_for(match[1], load_der_public_key(data[1:]))
        else:
            raise NoteError(f"vkey: type {data[0]} is neither Ed25519 (1) nor ECDSA (2)")
    except ValueError as error:
        raise NoteError("vkey: not a public key of its type") from error
    if format_vkey(key) != text:
        raise NoteError("vkey: the key id is not this key's, or the key has another canonical form")
    return key


def sign_note(text: str, name: str, private_key: NotePrivateKey) -> str:
    """Sign a text and return the note.

    Raises:
        NoteError: the text or the name cannot stand in a note.
    """
    key = vkey_for(name, private_key.public_key())
    if isinstance(private_key, Ed25519PrivateKey):
        signature = private_key.sign(text.encode())
    else:
        signature = private_key.sign(text.encode(), ECDSA(SHA256()))
    return format_note(Note(text, (NoteSignature(name, key.key_id, signature),)))


def format_note(note: Note) -> str:
    """Format a note.

    Raises:
        NoteError: the text does not end in a newline, holds a control character or a signature's beginning.
    """
    if not note.text.endswith("\n") or any(char < " " and char != "\n" for char in note.text):
        raise NoteError("expected text that ends in a newline and has no other control characters")
    lines = [
        f"{_DASH}{line.name} {base64.b64encode(line.key_id + line.signature).decode()}\n"
        for line in note.signatures
    ]
    return f"{note.text}\n{''.join(lines)}"


def parse_note(text: str) -> Note:
    """Parse a note; the exact inverse of :func:`format_note`. Verifies nothing.

    Raises:
        NoteError: it is not one.
    """
    if len(text) > MAX_NOTE:
        raise NoteError(f"got {len(text)} characters, expected at most {MAX_NOTE}")
    body, blank, tail = text.rpartition("\n\n")
    lines = tail.removesuffix("\n").split("\n")
    if not blank or not tail.endswith("\n") or len(lines) > MAX_SIGNATURES:
        raise NoteError(f"expected a text, a blank line and 1 to {MAX_SIGNATURES} signature lines")
    note = Note(body + "\n", tuple(_parse_signature(line) for line in lines))
    if format_note(note) != text:
        raise NoteError("not the canonical form of this note")
    return note


def verify_note(text: str, key: VerifierKey) -> str:
    """Return the text of a note that ``key`` has signed; lines by keys that are not known are passed over.

    Raises:
        NoteError: it is no note, has no line by this key, or one that does not verify.
    """
    note = parse_note(text)
    ours = [line for line in note.signatures if (line.name, line.key_id) == (key.name, key.key_id)]
    if not ours:
        raise NoteError(f"not signed by {format_vkey(key)}")
    for line in ours:
        key.verify(note.text, line.signature)
    return note.text


def _parse_signature(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or _NAME.fullmatch(name) is None:
        raise NoteError(f"got {line[:80]!r}, expected an em dash, a name and base64")
    blob = _decode(encoded, "signature")
    if len(blob) <= 4:
        raise NoteError(f"got {len(blob)} bytes, expected a key id and a signature")
    return NoteSignature(name, blob[:4], blob[4:])


def _decode(encoded: str, what: str) -> bytes:
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{what}: not base64") from error
    if not blob or base64.b64encode(blob).decode() != encoded:
        raise NoteError(f"{what}: not canonical base64")
    return blob
