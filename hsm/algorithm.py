"""The kinds of key that the package makes and uses, and what each is called in PKCS#11."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pkcs11 import KeyType, Mechanism

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class Algorithm(StrEnum):
    """A kind of key."""

    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    ECDSA_P521 = "ecdsa-p521"
    ED25519 = "ed25519"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How PKCS#11 makes and uses keys of one algorithm; ``bits`` in the unit of CK_MECHANISM_INFO."""

    key_type: KeyType
    generate: Mechanism
    sign: Mechanism
    bits: int


def _ecdsa(bits: int) -> Profile:
    return Profile(key_type=KeyType.EC, generate=Mechanism.EC_KEY_PAIR_GEN, sign=Mechanism.ECDSA, bits=bits)


# Raw CKM_RSA_PKCS over our own DigestInfo: tokens without the combined hash mechanisms have it too.
def _rsa(bits: int) -> Profile:
    return Profile(
        key_type=KeyType.RSA,
        generate=Mechanism.RSA_PKCS_KEY_PAIR_GEN,
        sign=Mechanism.RSA_PKCS,
        bits=bits,
    )


PROFILES: Final[Mapping[Algorithm, Profile]] = {
    Algorithm.ECDSA_P256: _ecdsa(256),
    Algorithm.ECDSA_P384: _ecdsa(384),
    Algorithm.ECDSA_P521: _ecdsa(521),
    Algorithm.ED25519: Profile(
        key_type=KeyType.EC_EDWARDS,
        generate=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
        sign=Mechanism.EDDSA,
        bits=256,
    ),
    Algorithm.RSA_3072: _rsa(3072),
    Algorithm.RSA_4096: _rsa(4096),
}

CURVES: Final[Mapping[Algorithm, ec.EllipticCurve]] = {
    Algorithm.ECDSA_P256: ec.SECP256R1(),
    Algorithm.ECDSA_P384: ec.SECP384R1(),
    Algorithm.ECDSA_P521: ec.SECP521R1(),
}
_BY_CURVE: Final = {curve.name: algorithm for algorithm, curve in CURVES.items()}
_BY_RSA_BITS: Final = {3072: Algorithm.RSA_3072, 4096: Algorithm.RSA_4096}


def algorithm_of(public_key: PublicKey) -> Algorithm | None:
    """Return the algorithm of a key, None for curves and sizes that the package does not use."""
    match public_key:
        case ed25519.Ed25519PublicKey():
            return Algorithm.ED25519
        case ec.EllipticCurvePublicKey():
            return _BY_CURVE.get(public_key.curve.name)
        case rsa.RSAPublicKey():
            return _BY_RSA_BITS.get(public_key.key_size)
