"""Public keys and ECDSA signatures between PKCS#11 and :mod:`cryptography`.

PKCS#11 v3.1 §6.3 (CKA_EC_PARAMS, CKA_EC_POINT, ECDSA signatures as r ‖ s) and §6.1.2 (RSA public keys).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm.algorithm import CURVES, Algorithm, PublicKey
from hsm.errors import BadSignature, KeyRefused

# DER. The OIDs of the curves are in SEC 2 §A.2, Ed25519's in RFC 8410 §3. SoftHSM gives the PrintableString
# "edwards25519", also allowed by PKCS#11; the first of an algorithm's is the one tried first on generation.
EC_PARAMS: Final[Mapping[Algorithm, tuple[bytes, ...]]] = {
    Algorithm.ECDSA_P256: (bytes.fromhex("06082a8648ce3d030107"),),
    Algorithm.ECDSA_P384: (bytes.fromhex("06052b81040022"),),
    Algorithm.ECDSA_P521: (bytes.fromhex("06052b81040023"),),
    Algorithm.ED25519: (b"\x13\x0cedwards25519", bytes.fromhex("06032b6570")),
}
_BY_PARAMS: Final = {params: algorithm for algorithm, all_ in EC_PARAMS.items() for params in all_}

_MAX_RSA_BYTES: Final = 16384 // 8


def decode_ec_public_key(params: bytes, point: bytes) -> PublicKey | None:
    """Decode CKA_EC_PARAMS and CKA_EC_POINT; None for a curve that the package does not use.

    The point is a DER OCTET STRING, as the standard says, or bare, as some modules give it, or has a length
    of one byte where DER wants two: tpm2-pkcs11 1.9 with P-521, which it then cannot sign with. The three
    have different lengths, so that none can be taken for another.

    Raises:
        KeyRefused: the point is of another length than its curve's, or not on it.
    """
    algorithm = _BY_PARAMS.get(params)
    if algorithm is None:
        return None
    curve = CURVES.get(algorithm)
    size = 32 if curve is None else 1 + 2 * _coordinate_size(curve)
    for header in (_octet_string_header(size), bytes([0x04, size])):
        if len(point) == len(header) + size and point.startswith(header):
            point = point[len(header) :]
            break
    if len(point) != size:
        raise KeyRefused(
            f"CKA_EC_POINT of a key on {algorithm}: got {len(point)} bytes, expected {size}, bare or as a "
            "DER OCTET STRING; the module encodes keys in a way that is not supported"
        )
    try:
        if curve is None:
            return ed25519.Ed25519PublicKey.from_public_bytes(point)
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        raise KeyRefused(f"CKA_EC_POINT is not a point of {algorithm}; make a new key") from error


def encode_ec_point(public_key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    """Encode a public key as CKA_EC_POINT: a DER OCTET STRING of the uncompressed point, or of RFC 8032's."""
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        point = public_key.public_bytes_raw()
    else:
        point = public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return _octet_string_header(len(point)) + point


def decode_rsa_public_key(modulus: bytes, exponent: bytes) -> rsa.RSAPublicKey:
    """Decode CKA_MODULUS and CKA_PUBLIC_EXPONENT, big-endian; leading zeros are the module's affair.

    Raises:
        KeyRefused: too long, or no RSA public key.
    """
    if max(len(modulus), len(exponent)) > _MAX_RSA_BYTES:
        raise KeyRefused(f"an RSA key of more than {_MAX_RSA_BYTES * 8} bits is not supported")
    numbers = rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
    try:
        return numbers.public_key()
    except ValueError as error:
        raise KeyRefused("CKA_MODULUS and CKA_PUBLIC_EXPONENT are not an RSA key; make a new one") from error


def raw_to_der(raw: bytes, curve: ec.EllipticCurve) -> bytes:
    """Encode r ‖ s, each as long as the curve's order, as the DER of RFC 3279 §2.2.3.

    Raises:
        BadSignature: of another length.
    """
    size = _coordinate_size(curve)
    if len(raw) != 2 * size:
        raise BadSignature(
            f"the token returned {len(raw)} bytes for a signature on {curve.name}, expected {2 * size}; "
            "stop using this key"
        )
    return encode_dss_signature(int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big"))


def der_to_raw(der: bytes, curve: ec.EllipticCurve) -> bytes:
    """Decode what :func:`raw_to_der` made.

    Raises:
        BadSignature: not DER, or an integer longer than the curve's order.
    """
    size = _coordinate_size(curve)
    try:
        return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(der))
    except (ValueError, OverflowError) as error:
        raise BadSignature(f"expected the DER of an ECDSA signature on {curve.name}") from error


def _coordinate_size(curve: ec.EllipticCurve) -> int:
    return (curve.key_size + 7) // 8


def _octet_string_header(size: int) -> bytes:
    return bytes((0x04, size)) if size < 0x80 else bytes((0x04, 0x81, size))
