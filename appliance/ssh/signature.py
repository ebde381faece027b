"""SSH signature blobs: RFC 5656 §3.1.2, RFC 8332 §3, RFC 8709 §6, and PROTOCOL.u2f for sk- keys."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from appliance.ssh.errors import BadSignature, SshFormatError
from appliance.ssh.keys import ECDSA, ED25519, RSA, PublicKey
from appliance.ssh.wire import Reader, encode_byte, encode_mpint, encode_string, encode_uint32

SigningKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

USER_PRESENT: Final = 0x01  # CTAP2 authenticator data, the bits UP and UV
USER_VERIFIED: Final = 0x04

MAX_SIGNATURE_BLOB: Final = 4096
_MAX_ECDSA_INTEGER: Final = 67  # 521 bits and a sign

# RFC 5656 §6.2.1: the hash goes with the size of the curve.
_ECDSA_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
# ssh-rsa, the SHA-1 algorithm of RFC 4253, is absent on purpose.
_RSA_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "rsa-sha2-512": hashes.SHA512(),
    "rsa-sha2-256": hashes.SHA256(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureDetails:
    """What a signature says besides being valid.

    ``counter`` is None unless the key is an sk- one. ``user_verified`` is an authenticator's word that it
    asked for a PIN or a finger, False for all other keys. User presence has no field: without it nothing
    verifies.
    """

    algorithm: str
    user_verified: bool = False
    counter: int | None = None


def sign(private_key: SigningKey, data: bytes) -> bytes:
    """Sign ``data`` and return the signature blob; RSA keys sign ``rsa-sha2-512``.

    Asks nothing of the key but ``sign`` and, of ECDSA keys, ``curve``, so that keys in a token serve as well.
    Does not verify what came back: a caller with a token must, since a faulty signature can reveal the key.

    Raises:
        SshFormatError: an ECDSA key on a curve that SSH has no algorithm for.
    """
    algorithm = signature_hash(private_key)
    match private_key:
        case ed25519.Ed25519PrivateKey():
            return encode_signature(private_key, private_key.sign(data))
        case rsa.RSAPrivateKey():
            return encode_signature(private_key, private_key.sign(data, PKCS1v15(), algorithm))
        case ec.EllipticCurvePrivateKey():
            return encode_signature(private_key, private_key.sign(data, ec.ECDSA(algorithm)))


def signature_hash(private_key: SigningKey) -> hashes.HashAlgorithm:
    """Return the hash that SSH signatures by this key are made with; Ed25519 has its own.

    Raises:
        SshFormatError: an ECDSA key on a curve that SSH has no algorithm for.
    """
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        curve = private_key.curve.name
        if curve not in ECDSA:
            raise SshFormatError(
                f"got a key on {curve}, expected one of {', '.join(ECDSA)}", field="private key"
            )
        return _ECDSA_HASHES[curve]
    return _RSA_HASHES["rsa-sha2-512"]


def encode_signature(private_key: SigningKey, signature: bytes) -> bytes:
    """Return the blob of what ``private_key.sign`` gave, with the hash that SSH wants."""
    match private_key:
        case ed25519.Ed25519PrivateKey():
            return _encode(ED25519, signature)
        case rsa.RSAPrivateKey():
            return _encode("rsa-sha2-512", signature)
        case ec.EllipticCurvePrivateKey():
            r, s = decode_dss_signature(signature)
            return _encode(ECDSA[private_key.curve.name], encode_mpint(r) + encode_mpint(s))


def verify(public_key: PublicKey, signature: bytes, data: bytes) -> SignatureDetails:
    """Verify a signature blob over ``data``, and for sk- keys that the user was present.

    Raises:
        BadSignature: malformed, of an algorithm this key must not use, made without the user, or not over
            ``data``.
    """
    try:
        parsed = _decode(signature, is_sk=public_key.is_sk)
        _check_algorithm(public_key, parsed.algorithm)
        _verify_raw(public_key, parsed, data)
    except BadSignature:
        raise
    except SshFormatError as error:
        raise BadSignature(f"malformed: {error}", field="signature") from error
    except InvalidSignature as error:
        raise BadSignature("it is not over these bytes, or not by this key", field="signature") from error
    return SignatureDetails(
        algorithm=parsed.algorithm, user_verified=bool(parsed.flags & USER_VERIFIED), counter=parsed.counter
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parsed:
    algorithm: str
    raw: bytes
    flags: int
    counter: int | None


def _encode(algorithm: str, raw: bytes) -> bytes:
    return encode_string(algorithm.encode()) + encode_string(raw)


def _decode(blob: bytes, *, is_sk: bool) -> _Parsed:
    reader = Reader(blob)
    algorithm = reader.string("signature algorithm", 64).decode("ascii", "backslashreplace")
    raw = reader.string("signature", MAX_SIGNATURE_BLOB)
    flags = reader.byte("flags") if is_sk else 0
    counter = reader.uint32("counter") if is_sk else None
    reader.finish("signature")
    return _Parsed(algorithm=algorithm, raw=raw, flags=flags, counter=counter)


def _check_algorithm(public_key: PublicKey, algorithm: str) -> None:
    allowed = _RSA_HASHES if public_key.type == RSA else (public_key.type,)
    if algorithm not in allowed:
        raise BadSignature(
            f"got {algorithm!r} by a key of type {public_key.type}, expected {' or '.join(allowed)}",
            field="signature algorithm",
        )


def _verify_raw(public_key: PublicKey, parsed: _Parsed, data: bytes) -> None:
    if public_key.is_sk:
        if not parsed.flags & USER_PRESENT:
            raise BadSignature("made without the user; touch the authenticator when asked", field="flags")
        data = _authenticator_data(public_key.application, parsed) + hashlib.sha256(data).digest()
    match key := public_key.to_cryptography():
        case ed25519.Ed25519PublicKey():
            key.verify(parsed.raw, data)
        case rsa.RSAPublicKey():
            key.verify(parsed.raw, data, PKCS1v15(), _RSA_HASHES[parsed.algorithm])
        case ec.EllipticCurvePublicKey():
            key.verify(_to_der(parsed.raw), data, ec.ECDSA(_ECDSA_HASHES[key.curve.name]))


def _authenticator_data(application: bytes, parsed: _Parsed) -> bytes:
    return (
        hashlib.sha256(application).digest() + encode_byte(parsed.flags) + encode_uint32(parsed.counter or 0)
    )


def _to_der(raw: bytes) -> bytes:
    reader = Reader(raw)
    r = reader.mpint("r", _MAX_ECDSA_INTEGER)
    s = reader.mpint("s", _MAX_ECDSA_INTEGER)
    reader.finish("ECDSA signature")
    if r <= 0 or s <= 0:
        raise SshFormatError("expected positive integers r and s", field="ECDSA signature")
    return encode_dss_signature(r, s)
