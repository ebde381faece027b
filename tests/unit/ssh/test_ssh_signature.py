from __future__ import annotations

from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from appliance.ssh.errors import BadSignature, SshFormatError
from appliance.ssh.signature import SignatureDetails, SigningKey, sign, verify
from appliance.ssh.wire import Reader, encode_mpint, encode_string
from support.software_authenticator import PRESENT_AND_VERIFIED, SoftwareAuthenticator
from support.ssh_examples import CA_NAMES, private_key, public_key

ALGORITHMS = {
    "ed25519": "ssh-ed25519",
    "nistp256": "ecdsa-sha2-nistp256",
    "nistp384": "ecdsa-sha2-nistp384",
    "nistp521": "ecdsa-sha2-nistp521",
    "rsa-3072": "rsa-sha2-512",
}


@pytest.mark.parametrize("name", CA_NAMES)
def test_signature_verifies_and_names_its_algorithm(name: str) -> None:
    signature = sign(private_key(name), b"data")
    assert verify(public_key(name), signature, b"data") == SignatureDetails(algorithm=ALGORITHMS[name])


@pytest.mark.parametrize("name", CA_NAMES)
def test_signature_over_other_bytes_or_by_another_key_is_bad(name: str) -> None:
    signature = sign(private_key(name), b"data")
    with pytest.raises(BadSignature, match="not over these bytes, or not by this key"):
        verify(public_key(name), signature, b"date")
    other = "rsa-2048" if name.startswith("rsa") else name
    with pytest.raises(BadSignature, match="not over these bytes, or not by this key"):
        verify(public_key(other, 2), signature, b"data")


def test_rsa_sha2_256_by_another_signer_verifies() -> None:
    key = cast(rsa.RSAPrivateKey, private_key("rsa-3072"))
    signature = encode_string(b"rsa-sha2-256") + encode_string(key.sign(b"data", PKCS1v15(), hashes.SHA256()))
    assert verify(public_key("rsa-3072"), signature, b"data").algorithm == "rsa-sha2-256"


def test_rsa_with_sha_1_is_bad_although_the_numbers_are_right() -> None:
    key = cast(rsa.RSAPrivateKey, private_key("rsa-3072"))
    signature = encode_string(b"ssh-rsa") + encode_string(key.sign(b"data", PKCS1v15(), hashes.SHA1()))
    with pytest.raises(
        BadSignature, match="got 'ssh-rsa' by a key of type ssh-rsa, expected rsa-sha2-512 or"
    ):
        verify(public_key("rsa-3072"), signature, b"data")


def ecdsa(r: bytes, s: bytes, rest: bytes = b"") -> bytes:
    return encode_string(b"ecdsa-sha2-nistp256") + encode_string(r + s + rest)


ONE = encode_mpint(1)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (b"", "signature algorithm at byte 0: got 0 bytes"),
        (encode_string(b"ssh-ed25519") + encode_string(bytes(64)), "got 'ssh-ed25519' by a key of type"),
        (encode_string(b"\xff") + encode_string(b""), "by a key of type ecdsa-sha2-nistp256"),
        (ecdsa(ONE, ONE) + b"\0", "signature at byte 37: got 1 bytes after its end"),
        (ecdsa(ONE, ONE, b"\0"), "ECDSA signature at byte 10: got 1 bytes after its end"),
        (ecdsa(encode_mpint(0), ONE), "expected positive integers"),
        (ecdsa(ONE, encode_mpint(-1)), "expected positive integers"),
        (ecdsa(encode_string(b"\0\1"), ONE), "r at byte 0: got an mpint with needless leading bytes"),
        (ecdsa(encode_mpint(1 << 600), ONE), "r at byte 0: got 76 bytes, expected at most 67"),
        (ecdsa(ONE, ONE), "not over these bytes"),
    ],
)
def test_malformed_signature_is_bad(signature: bytes, message: str) -> None:
    with pytest.raises(BadSignature, match=message):
        verify(public_key("nistp256"), signature, b"data")


def test_ed25519_signature_of_a_wrong_length_is_bad() -> None:
    with pytest.raises(BadSignature, match="not over these bytes"):
        verify(public_key("ed25519"), encode_string(b"ssh-ed25519") + encode_string(bytes(63)), b"data")


@pytest.mark.parametrize("name", ["ed25519", "nistp256"])
def test_authenticators_signature_verifies_with_its_flags_and_counter(name: str) -> None:
    key = cast(ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, private_key(name))
    authenticator = SoftwareAuthenticator(private_key=key, counter=41)
    touched = verify(authenticator.public_key, authenticator.sign(b"data"), b"data")
    authenticator.flags = PRESENT_AND_VERIFIED
    verified = verify(authenticator.public_key, authenticator.sign(b"data"), b"data")
    algorithm = authenticator.public_key.type
    assert touched == SignatureDetails(algorithm=algorithm, user_verified=False, counter=42)
    assert verified == SignatureDetails(algorithm=algorithm, user_verified=True, counter=43)


@pytest.mark.parametrize("name", ["ed25519", "nistp256"])
def test_authenticators_signature_without_the_user_is_bad(name: str) -> None:
    key = cast(ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, private_key(name))
    absent = SoftwareAuthenticator(private_key=key, flags=0x04)
    with pytest.raises(BadSignature, match="flags: made without the user"):
        verify(absent.public_key, absent.sign(b"data"), b"data")


@pytest.mark.parametrize("position", [-5, -1])
def test_authenticators_flags_and_counter_are_signed(position: int) -> None:
    authenticator = SoftwareAuthenticator(private_key=ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))
    signature = bytearray(authenticator.sign(b"data"))
    signature[position] ^= 0x04
    with pytest.raises(BadSignature, match="not over these bytes"):
        verify(authenticator.public_key, bytes(signature), b"data")


def test_authenticators_signature_for_another_application_is_bad() -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature = SoftwareAuthenticator(private_key=key, application=b"ssh:other").sign(b"data")
    with pytest.raises(BadSignature, match="not over these bytes"):
        verify(SoftwareAuthenticator(private_key=key).public_key, signature, b"data")


def in_a_token(key: SigningKey, base: type[Any], *, only: set[str]) -> SigningKey:
    """Return a subclass of one of cryptography's ABCs that can do ``only`` what a key in a token can."""

    def forward(name: str) -> property:
        def get(self: object) -> Any:
            assert name in only, f"the code asked a token's key for {name}"
            return getattr(key, name)

        return property(get)

    body = {name: forward(name) for name in base.__abstractmethods__}
    return cast(SigningKey, type("TokenKey", (base,), body)())


@pytest.mark.parametrize(
    ("name", "base", "only"),
    [
        ("ed25519", ed25519.Ed25519PrivateKey, {"sign"}),
        ("nistp384", ec.EllipticCurvePrivateKey, {"sign", "curve"}),
        ("rsa-3072", rsa.RSAPrivateKey, {"sign"}),
    ],
)
def test_key_in_a_token_is_asked_for_nothing_but_the_signature(
    name: str, base: type[Any], only: set[str]
) -> None:
    signature = sign(in_a_token(private_key(name), base, only=only), b"data")
    assert verify(public_key(name), signature, b"data").algorithm == ALGORITHMS[name]


def test_key_on_a_curve_that_ssh_lacks_does_not_sign() -> None:
    with pytest.raises(SshFormatError, match="got a key on secp256k1"):
        sign(ec.derive_private_key(1, ec.SECP256K1()), b"data")


@pytest.mark.parametrize(("name", "size"), [("nistp256", 32), ("nistp384", 48), ("nistp521", 66)])
def test_ecdsa_signature_is_two_mpints_as_rfc_5656_says(name: str, size: int) -> None:
    reader = Reader(sign(private_key(name), b"data"))
    assert reader.string("algorithm", 64) == f"ecdsa-sha2-{name}".encode()
    inner = reader.nested("signature", 256)
    assert 0 < inner.mpint("r", size + 1) < 1 << (8 * size)
    assert 0 < inner.mpint("s", size + 1) < 1 << (8 * size)
    inner.finish("signature")
    reader.finish("blob")
