"""Private keys that stay in a token, as :mod:`cryptography` private-key objects.

``sign`` gives the format that software keys give. The rest of the interface would take the key out of the
token or use it for something else, and raises :class:`OperationRefused`.

Each ``sign`` does three things: hash here, have the token sign the hash, verify the result with the public
key. The third is not optional: a signature with a fault in it can reveal the key (Boneh, DeMillo, Lipton
1997, for RSA; the same holds for a repeated or faulty nonce in ECDSA and EdDSA). ``prepare``, with the same
arguments, does the first and says how to do the third: for a pool whose threads shall do nothing but the
second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final, Generic, NoReturn, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import Buffer

from hsm.algorithm import PublicKey
from hsm.encoding import raw_to_der
from hsm.errors import BadSignature, OperationRefused

_Public = TypeVar("_Public", ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, rsa.RSAPublicKey)

RawSigner = Callable[[bytes], bytes]
"""One call of C_Sign with the key and mechanism settled: CKM_ECDSA, CKM_EDDSA or CKM_RSA_PKCS."""

# DigestInfo up to the digest: RFC 8017 §9.2, note 1. No SHA-1: nothing that is still trusted asks for it.
_DIGEST_INFO: Final[Mapping[str, bytes]] = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What C_Sign is to sign, and how to verify and complete what it gives (which raises BadSignature)."""

    data: bytes
    finish: Callable[[bytes], bytes]


class _TokenKey(Generic[_Public]):
    """What the three kinds have in common. Safe for threads as far as its ``signer`` is."""

    _signer: RawSigner
    _public_key: _Public

    @cached_property
    def spki(self) -> bytes:
        """The public key's SubjectPublicKeyInfo in DER, by which the pool and the token know the key."""
        return spki(self._public_key)

    def sign_prepared(self, prepared: Prepared) -> bytes:
        """Have the token sign what one of the ``prepare`` made, and return it verified and complete."""
        return prepared.finish(self._signer(prepared.data))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        _refuse("pickled")

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        """Refuse: the private key stays in the token."""
        _refuse("exported")

    def private_bytes_raw(self) -> NoReturn:
        """Refuse: the private key stays in the token."""
        _refuse("exported")

    def private_numbers(self) -> NoReturn:
        """Refuse: the private key stays in the token."""
        _refuse("exported")


class PKCS11ECPrivateKey(_TokenKey[ec.EllipticCurvePublicKey], ec.EllipticCurvePrivateKey):
    """An ECDSA key; the token signs digests by CKM_ECDSA."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey, signer: RawSigner) -> None:
        self._public_key = public_key
        self._signer = signer
        self._curve = public_key.curve
        self._order_size = (public_key.curve.key_size + 7) // 8

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._curve

    @property
    def key_size(self) -> int:
        """The size of the curve's order, in bits."""
        return self._curve.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public key that is on record for this one."""
        return self._public_key

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign by ECDSA and return DER.

        Raises:
            OperationRefused: not ECDSA with SHA-256, SHA-384 or SHA-512, or with a deterministic nonce.
            SigningFailed: the token made no signature.
            BadSignature: it made a bad one.
        """
        return self.sign_prepared(self.prepare(bytes(data), signature_algorithm))

    def prepare(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> Prepared:
        """Do what comes before the token's part; see :meth:`sign`."""
        if not isinstance(signature_algorithm, ec.ECDSA) or signature_algorithm.deterministic_signing:
            raise OperationRefused("expected ECDSA with the nonce left to the token")
        prehashed, digest = _digest(data, signature_algorithm.algorithm)
        # FIPS 186-5 §6.4.1 uses the leftmost bits of a digest that is longer than the order. Tokens differ
        # in whether they cut or refuse, so it is cut here; the orders that are shorter than a digest are
        # whole bytes long.
        return Prepared(digest[: self._order_size], partial(self._finish, digest, prehashed))

    def _finish(self, digest: bytes, prehashed: Prehashed, raw: bytes) -> bytes:
        signature = raw_to_der(raw, self._curve)
        try:
            self._public_key.verify(signature, digest, ec.ECDSA(prehashed))
        except InvalidSignature:
            _bad_signature()
        return signature

    def exchange(self, *_: object, **__: object) -> NoReturn:
        """Refuse: the key is for signatures."""
        _refuse("used for key agreement")


class PKCS11Ed25519PrivateKey(_TokenKey[ed25519.Ed25519PublicKey], ed25519.Ed25519PrivateKey):
    """An Ed25519 key; the token signs messages by CKM_EDDSA without parameters, which is pure Ed25519."""

    def __init__(self, public_key: ed25519.Ed25519PublicKey, signer: RawSigner) -> None:
        self._public_key = public_key
        self._signer = signer

    def public_key(self) -> ed25519.Ed25519PublicKey:
        """Return the public key that is on record for this one."""
        return self._public_key

    def sign(self, data: Buffer) -> bytes:
        """Sign by pure Ed25519 (RFC 8032 §5.1) and return the 64 bytes.

        Raises:
            SigningFailed: the token made no signature.
            BadSignature: it made a bad one.
        """
        return self.sign_prepared(self.prepare(bytes(data)))

    def prepare(self, data: bytes) -> Prepared:
        """Do what comes before the token's part; see :meth:`sign`."""
        return Prepared(data, partial(self._finish, data))

    def _finish(self, message: bytes, signature: bytes) -> bytes:
        try:
            self._public_key.verify(signature, message)
        except InvalidSignature:
            _bad_signature()
        return signature


class PKCS11RSAPrivateKey(_TokenKey[rsa.RSAPublicKey], rsa.RSAPrivateKey):
    """An RSA key; the token pads and signs a DigestInfo by CKM_RSA_PKCS."""

    def __init__(self, public_key: rsa.RSAPublicKey, signer: RawSigner) -> None:
        self._public_key = public_key
        self._signer = signer

    @property
    def key_size(self) -> int:
        """The size of the modulus, in bits."""
        return self._public_key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """Return the public key that is on record for this one."""
        return self._public_key

    def sign(self, data: Buffer, padding: object, algorithm: object) -> bytes:
        """Sign by RSASSA-PKCS1-v1_5 (RFC 8017 §8.2), the only padding that SSH has.

        Raises:
            OperationRefused: another padding, or a hash other than SHA-256, SHA-384 and SHA-512.
            SigningFailed: the token made no signature.
            BadSignature: it made a bad one.
        """
        return self.sign_prepared(self.prepare(bytes(data), padding, algorithm))

    def prepare(self, data: bytes, padding: object, algorithm: object) -> Prepared:
        """Do what comes before the token's part; see :meth:`sign`."""
        if not isinstance(padding, PKCS1v15):
            raise OperationRefused(f"got {type(padding).__name__}, expected PKCS1v15")
        prehashed, digest = _digest(data, algorithm)
        digest_info = _DIGEST_INFO[_hash_name(algorithm)] + digest
        return Prepared(digest_info, partial(self._finish, digest, prehashed))

    def _finish(self, digest: bytes, prehashed: Prehashed, signature: bytes) -> bytes:
        try:
            self._public_key.verify(signature, digest, PKCS1v15(), prehashed)
        except InvalidSignature:
            _bad_signature()
        return signature

    def decrypt(self, *_: object, **__: object) -> NoReturn:
        """Refuse: the key is for signatures."""
        _refuse("used to decrypt")


_SHA256: Final = hashes.SHA256()

PrivateKey = PKCS11ECPrivateKey | PKCS11Ed25519PrivateKey | PKCS11RSAPrivateKey


def private_key(public_key: PublicKey, signer: RawSigner) -> PrivateKey:
    """Return the private key that belongs to ``public_key``, wherever ``signer`` finds it."""
    match public_key:
        case ec.EllipticCurvePublicKey():
            return PKCS11ECPrivateKey(public_key, signer)
        case ed25519.Ed25519PublicKey():
            return PKCS11Ed25519PrivateKey(public_key, signer)
        case rsa.RSAPublicKey():
            return PKCS11RSAPrivateKey(public_key, signer)


def prepare(key: PrivateKey, message: bytes, algorithm: hashes.HashAlgorithm = _SHA256) -> Prepared:
    """Prepare a message for any kind of key; Ed25519 hashes in its own way."""
    match key:
        case PKCS11ECPrivateKey():
            return key.prepare(message, ec.ECDSA(algorithm))
        case PKCS11Ed25519PrivateKey():
            return key.prepare(message)
        case PKCS11RSAPrivateKey():
            return key.prepare(message, PKCS1v15(), algorithm)


def spki(public_key: PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo in DER, by which keys are told apart."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    algorithm.name: algorithm for algorithm in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
}
_PREHASHED: Final = {name: Prehashed(algorithm) for name, algorithm in _HASHES.items()}


def _hash_name(algorithm: object) -> str:
    """Return the name of a hash, be it one to compute or one that the caller computed (Prehashed)."""
    # cryptography has no public name for the hash inside a Prehashed; its size alone would not tell SHA-256
    # from SHA3-256.
    name = getattr(getattr(algorithm, "_algorithm", algorithm), "name", "none")
    if name not in _HASHES:
        raise OperationRefused(f"got the hash {name}, expected one of {', '.join(_HASHES)}")
    return str(name)


def _digest(data: bytes, algorithm: object) -> tuple[Prehashed, bytes]:
    name = _hash_name(algorithm)
    if isinstance(algorithm, Prehashed):
        if len(data) != algorithm.digest_size:
            raise OperationRefused(
                f"got {len(data)} bytes as a digest by {name}, expected {algorithm.digest_size}"
            )
        return algorithm, data
    return _PREHASHED[name], hashlib.new(name, data).digest()


def _refuse(what: str) -> NoReturn:
    raise OperationRefused(f"a key in a token cannot be {what}; it signs, and only there")


def _bad_signature() -> NoReturn:
    # No cause and no context: nothing that a traceback prints may hold the signature.
    raise BadSignature(
        "the token returned a signature that does not verify with the key's public key: a fault, an attack "
        "or the wrong key; stop using this key"
    ) from None
