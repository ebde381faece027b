"""Keys and certificates for tests: the same in every run, but for RSA keys, which take no seed."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from appliance.ssh.certificate import (
    Certificate,
    CertificateContent,
    CertificateType,
    attach_signature,
    encode_tbs,
    parse_certificate_blob,
)
from appliance.ssh.keys import (
    CURVES,
    SK_ECDSA,
    SK_ED25519,
    PublicKey,
    from_cryptography,
    parse_public_key_blob,
)
from appliance.ssh.signature import SigningKey, sign
from appliance.ssh.wire import encode_string

CA_NAMES: Final = ("ed25519", "nistp256", "nistp384", "nistp521", "rsa-3072")
SK_NAMES: Final = ("sk-ed25519", "sk-nistp256")
SUBJECT_NAMES: Final = CA_NAMES + SK_NAMES

# 2026-01-01T00:00:00Z and 2026-01-01T08:00:00Z
VALID_AFTER: Final = 1_767_225_600
VALID_BEFORE: Final = 1_767_254_400


def private_key(name: str, seed: int = 1) -> SigningKey:
    """Return a software private key; another seed gives another key."""
    return _private_key(name, seed)


@cache
def _private_key(name: str, seed: int) -> SigningKey:
    if name == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))
    if name.startswith("rsa-"):
        return rsa.generate_private_key(65537, int(name.removeprefix("rsa-")))
    curve = CURVES[name]
    # OpenSSH refuses private keys of less than half the bits of the curve's order, as a bare seed would be.
    return ec.derive_private_key(seed << (curve.key_size - 16), curve)


def public_key(name: str, seed: int = 1) -> PublicKey:
    """Return a public key of that kind; an sk- one is the inner key with the application ``ssh:``."""
    if name not in SK_NAMES:
        return from_cryptography(private_key(name, seed).public_key())
    return sk_public_key(public_key(name.removeprefix("sk-"), seed))


def sk_public_key(inner: PublicKey, application: bytes = b"ssh:") -> PublicKey:
    """Wrap an Ed25519 or P-256 key as the sk- key that an authenticator would show."""
    key_type = SK_ED25519 if inner.type == "ssh-ed25519" else SK_ECDSA
    return parse_public_key_blob(encode_string(key_type.encode()) + inner.fields + encode_string(application))


def certificate_content(**changes: Any) -> CertificateContent:
    """Return the content of a user certificate for alice, with ``changes``."""
    fields: dict[str, Any] = {
        "nonce": bytes(range(32)),
        "subject_key": public_key("ed25519", 2),
        "serial": (1 << 48) | 17,
        "type": CertificateType.USER,
        "key_id": "oidc:alice#1.17",
        "principals": ("alice@acme-db", "postgres@acme-db"),
        "valid_after": VALID_AFTER,
        "valid_before": VALID_BEFORE,
        "extensions": (("permit-pty", ""),),
        "ca_key": public_key("ed25519"),
    }
    return CertificateContent(**(fields | changes))


def issue(ca: SigningKey, **changes: Any) -> Certificate:
    """Make a certificate for alice by a CA key in software, with ``changes``."""
    content = certificate_content(ca_key=from_cryptography(ca.public_key()), **changes)
    tbs = encode_tbs(content)
    return parse_certificate_blob(attach_signature(tbs, sign(ca, tbs)))
