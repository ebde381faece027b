"""The verifier's own reader of verifier keys, signed notes and checkpoints."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audit.verifier.checkpoint import parse_checkpoint
from audit.verifier.errors import MalformedError
from audit.verifier.note import MAX_NOTE, MAX_SIGNATURES, parse_base64, parse_note, parse_vkey
from unit.verifier.logbook import KEY, ORIGIN, OTHER_KEY, P256_KEY, Signer, checkpoint_text, signed

# From the documentation of golang.org/x/mod/sumdb/note, "Example".
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpR"
    "Zb6KE6RyyBwJnAM=\n"
)
TEXT = checkpoint_text(3, bytes(32))


def test_note_of_another_implementation_verifies() -> None:
    assert parse_note(GO_NOTE.encode()).signers([parse_vkey(GO_VKEY)]) == {GO_VKEY}


@pytest.mark.parametrize("signer", [KEY, P256_KEY], ids=["ed25519", "p256"])
def test_note_signed_by_either_type_of_key_verifies(signer: Signer) -> None:
    note = parse_note(signed(TEXT, signer).encode())
    assert note.text == TEXT.encode()
    assert note.signers([parse_vkey(signer.vkey)]) == {signer.vkey}


@pytest.mark.parametrize("signer", [KEY, P256_KEY], ids=["ed25519", "p256"])
def test_signature_over_another_text_is_refused(signer: Signer) -> None:
    forged = signed(TEXT, signer).replace("\n3\n", "\n4\n")
    with pytest.raises(MalformedError, match="does not verify"):
        parse_note(forged.encode()).signers([parse_vkey(signer.vkey)])


def test_line_of_an_unknown_key_is_ignored() -> None:
    note = parse_note(signed(TEXT, OTHER_KEY, KEY, OTHER_KEY).encode())
    assert note.signers([parse_vkey(KEY.vkey)]) == {KEY.vkey}


def test_known_key_that_signs_twice_is_refused() -> None:
    with pytest.raises(MalformedError, match="more than one"):
        parse_note(signed(TEXT, KEY, KEY).encode()).signers([parse_vkey(KEY.vkey)])


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT,
        TEXT + "\n",
        signed(TEXT, KEY)[:-1],
        signed(TEXT, KEY) + "\n",
        signed(TEXT, KEY) + "x\n",
        signed(TEXT, KEY).replace("—", "-"),
        signed(TEXT, KEY).replace("— ", "—  "),
        signed(TEXT, KEY).replace("\n", "\r\n"),
        signed(TEXT + "\ttab\n", KEY),
        signed(TEXT, KEY).replace("=\n", "\n"),
        TEXT + "\n— ca.example.org AAAA\n",
        TEXT + "\n— ca+example AAAAAAAA\n",
        TEXT + "\n— ca.example.org AAAAAAA*\n",
        signed(TEXT, *[KEY] * (MAX_SIGNATURES + 1)),
        signed("x" * MAX_NOTE + "\n", KEY),
    ],
)
def test_malformed_note_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_note(text.encode())


def test_note_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(MalformedError, match="UTF-8"):
        parse_note(signed(TEXT, KEY).encode() + b"\xe2\x80\x94 \xff AAAAAAAA\n")


@pytest.mark.parametrize("text", ["AA", "AA=", "AB==", "AAA=AA==", "A A=", "AA==\n", "--__", "é==="])
def test_base64_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_base64(text)


def _vkey(kind: int, key: bytes, key_id: bytes | None = None) -> str:
    digest = sha256(ORIGIN.encode() + b"\n" + bytes([kind]) + key).digest() if key_id is None else key_id
    return f"{ORIGIN}+{digest[:4].hex()}+{b64encode(bytes([kind]) + key).decode()}"


def test_malformed_verifier_keys_are_refused() -> None:
    p384 = generate_private_key(SECP384R1()).public_key()
    spki = p384.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw = P256_KEY.vkey.rpartition("+")[2]
    for text in (
        "",
        KEY.vkey + " ",
        KEY.vkey.replace("+", " "),
        KEY.vkey.upper(),
        KEY.vkey.replace(ORIGIN, "other.example.org"),
        P256_KEY.vkey.replace(raw, raw[:-4]),
        _vkey(1, bytes(31)),
        _vkey(3, bytes(32)),
        _vkey(4, bytes(32)),
        _vkey(2, spki, sha256(spki).digest()),
        _vkey(2, bytes(91), sha256(bytes(91)).digest()),
    ):
        with pytest.raises(MalformedError):
            parse_vkey(text)


def test_p256_key_in_compressed_form_is_refused() -> None:
    key = P256_KEY.key.public_key()
    assert not isinstance(key, Ed25519PublicKey)
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    # SubjectPublicKeyInfo of P-256 (RFC 5480), with a compressed point.
    spki = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    with pytest.raises(MalformedError, match="usual DER form"):
        parse_vkey(_vkey(2, spki, sha256(spki).digest()))


def test_checkpoint_states_origin_size_and_root() -> None:
    checkpoint = parse_checkpoint(signed(checkpoint_text(17, bytes(range(32))), KEY).encode())
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (ORIGIN, 17, bytes(range(32)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{ORIGIN}\n3\n",
        TEXT + "extension\n",
        TEXT.replace(ORIGIN, ""),
        TEXT.replace("\n3\n", "\n0\n"),
        TEXT.replace("\n3\n", "\n03\n"),
        TEXT.replace("\n3\n", "\n+3\n"),
        TEXT.replace("\n3\n", "\n3 \n"),
        TEXT.replace("\n3\n", "\n9007199254740992\n"),
        TEXT.replace("\n3\n", "\n٣\n"),
        TEXT.replace("AAAA", ""),
        TEXT.replace("A=", "B="),
    ],
)
def test_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint(signed(text, KEY).encode())
