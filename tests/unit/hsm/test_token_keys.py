"""Private-key objects over a token that answers as told: what they promise, and what they refuse."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from hsm.errors import BadSignature, OperationRefused
from hsm.keys import PKCS11ECPrivateKey, PKCS11Ed25519PrivateKey, PKCS11RSAPrivateKey

EC = ec.derive_private_key(7, ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
RSA = rsa.generate_private_key(65537, 3072)
MESSAGE = b"what is signed"

# What our classes implement. A release of cryptography that adds an abstract method makes them abstract too:
# it must be found here and not when the service starts.
ABSTRACT: dict[Any, Any] = {
    ec.EllipticCurvePrivateKey: PKCS11ECPrivateKey,
    ed25519.Ed25519PrivateKey: PKCS11Ed25519PrivateKey,
    rsa.RSAPrivateKey: PKCS11RSAPrivateKey,
}


@pytest.mark.parametrize("base", ABSTRACT, ids=lambda base: base.__name__)
def test_every_abstract_method_of_cryptography_is_there(base: Any) -> None:
    assert base.__abstractmethods__
    assert not ABSTRACT[base].__abstractmethods__


def raw_ecdsa(digest: bytes) -> bytes:
    r, s = decode_dss_signature(EC.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def test_ecdsa_signature_of_the_token_becomes_der_that_verifies() -> None:
    signature = PKCS11ECPrivateKey(EC.public_key(), raw_ecdsa).sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    EC.public_key().verify(signature, MESSAGE, ec.ECDSA(hashes.SHA256()))


def test_ed25519_signature_of_the_token_verifies() -> None:
    signature = PKCS11Ed25519PrivateKey(ED25519.public_key(), ED25519.sign).sign(MESSAGE)
    ED25519.public_key().verify(signature, MESSAGE)


def wrong(size: int) -> Callable[[bytes], bytes]:
    return lambda _data: bytes([1]) * size


SIGNERS: dict[str, Callable[[], bytes]] = {
    "ecdsa": lambda: PKCS11ECPrivateKey(EC.public_key(), wrong(64)).sign(MESSAGE, ec.ECDSA(hashes.SHA256())),
    "ed25519": lambda: PKCS11Ed25519PrivateKey(ED25519.public_key(), wrong(64)).sign(MESSAGE),
    "rsa": lambda: PKCS11RSAPrivateKey(RSA.public_key(), wrong(384)).sign(
        MESSAGE, PKCS1v15(), hashes.SHA512()
    ),
}


@pytest.mark.parametrize("kind", SIGNERS)
def test_signature_that_does_not_verify_never_leaves_and_is_not_quoted(kind: str) -> None:
    with pytest.raises(BadSignature) as raised:
        SIGNERS[kind]()
    assert "0101" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_key_is_neither_exported_copied_nor_pickled() -> None:
    key = PKCS11ECPrivateKey(EC.public_key(), raw_ecdsa)
    for refused in (key.private_numbers, key.private_bytes, key.exchange):
        with pytest.raises(OperationRefused):
            refused()
    with pytest.raises(OperationRefused):
        pickle.dumps(key)
    assert copy.deepcopy(key) is key


def test_deterministic_nonces_and_weak_hashes_are_refused() -> None:
    key = PKCS11ECPrivateKey(EC.public_key(), raw_ecdsa)
    for algorithm in (ec.ECDSA(hashes.SHA1()), ec.ECDSA(hashes.SHA256(), deterministic_signing=True)):
        with pytest.raises(OperationRefused):
            key.sign(MESSAGE, algorithm)
