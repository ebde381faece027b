from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from appliance.ssh.errors import SshFormatError, UnacceptableKey
from appliance.ssh.keys import (
    OPENSSH_RSA_BITS,
    fingerprint,
    format_public_key_line,
    from_cryptography,
    parse_public_key_blob,
    parse_public_key_line,
)
from appliance.ssh.wire import encode_mpint, encode_string
from support.ssh_examples import SUBJECT_NAMES, private_key, public_key

VECTORS = Path(__file__).parents[2] / "vectors" / "ssh"
GOOD = ("ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa-3072")
OTHERS = ("openssh/ed25519_sk", "openssh/ecdsa_sk")
FINGERPRINTS = dict(
    zip((*GOOD, "rsa-1024", "dsa"), (VECTORS / "fingerprints.txt").read_text().splitlines(), strict=True)
)


def line_of(name: str) -> str:
    return (VECTORS / f"{name}.pub").read_text()


@pytest.mark.parametrize("name", GOOD + OTHERS)
def test_key_made_by_openssh_parses_and_formats_to_the_same_line(name: str) -> None:
    line = line_of(name)
    comment = line.rstrip("\n").split(" ", 2)[2]
    assert format_public_key_line(parse_public_key_line(line), comment) == line.rstrip("\n")


@pytest.mark.parametrize("name", GOOD)
def test_fingerprint_is_the_one_that_ssh_keygen_prints(name: str) -> None:
    assert fingerprint(parse_public_key_line(line_of(name))) == FINGERPRINTS[name].split(" ")[1]


@pytest.mark.parametrize("name", GOOD)
def test_key_goes_to_cryptography_and_back(name: str) -> None:
    key = parse_public_key_line(line_of(name))
    assert key.to_cryptography() == load_ssh_public_key(line_of(name).encode())
    assert from_cryptography(key.to_cryptography()) == key


@pytest.mark.parametrize(("name", "inner"), [("sk-ed25519", "ed25519"), ("sk-nistp256", "nistp256")])
def test_sk_key_has_its_application_and_its_inner_key(name: str, inner: str) -> None:
    key = public_key(name)
    assert (key.is_sk, key.application) == (True, b"ssh:")
    assert from_cryptography(key.to_cryptography()) == public_key(inner)
    assert (public_key(inner).is_sk, public_key(inner).application) == (False, b"")


@pytest.mark.parametrize("name", SUBJECT_NAMES)
def test_certificate_type_is_named_as_openssh_names_it(name: str) -> None:
    # PROTOCOL.certkeys and PROTOCOL.u2f
    assert public_key(name).certificate_type in {
        "ssh-ed25519-cert-v01@openssh.com",
        "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "ecdsa-sha2-nistp384-cert-v01@openssh.com",
        "ecdsa-sha2-nistp521-cert-v01@openssh.com",
        "ssh-rsa-cert-v01@openssh.com",
        "sk-ssh-ed25519-cert-v01@openssh.com",
        "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    }


def with_type(line: str, type_name: str) -> str:
    return f"{type_name} {line.split(' ')[1]}"


ED25519 = line_of("ed25519").rstrip("\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (line_of("user-ed25519-cert"), "got a certificate, expected the plain public key"),
        (line_of("dsa"), "got a DSA key"),
        (line_of("rsa-1024"), "got a modulus of 1024 bits, expected an odd one of 2048 to 8192"),
        ("ssh-ed448 " + ED25519.split(" ")[1], "got 'ssh-ed448', expected one of ssh-ed25519"),
    ],
)
def test_key_of_a_kind_that_is_never_certified_is_unacceptable(line: str, message: str) -> None:
    with pytest.raises(UnacceptableKey, match=message):
        parse_public_key_line(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        'from="10.0.0.0/8" ' + ED25519,
        "restrict " + ED25519,
        " " + ED25519,
        ED25519.replace(" ", "  ", 1),
        ED25519.replace(" ", "\t", 1),
        ED25519 + "\nssh-ed25519 AAAA",
        ED25519 + "\r\n",
        ED25519 + "\n\n",
        ED25519 + "\x1b[2J",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n",
    ],
)
def test_line_of_another_form_is_refused_with_advice(line: str) -> None:
    with pytest.raises(SshFormatError, match=r"expected one line `type base64 \[comment\]`"):
        parse_public_key_line(line)


def test_line_whose_type_is_not_the_blobs_is_refused() -> None:
    with pytest.raises(SshFormatError, match="the line says ssh-rsa, its base64 ssh-ed25519"):
        parse_public_key_line(with_type(ED25519, "ssh-rsa"))


def test_line_that_is_too_long_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(SshFormatError, match="expected at most 4096 bytes of blob"):
        parse_public_key_line("ssh-ed25519 " + "A" * 100_000)


def test_base64_cut_off_is_refused() -> None:
    with pytest.raises(SshFormatError, match="was it cut off"):
        parse_public_key_line(ED25519.split(" comment")[0].split(" alice")[0][:-3])


def test_base64_with_spare_bits_is_refused() -> None:
    blob = parse_public_key_line(line_of("ecdsa-256")).blob  # 104 bytes: its base64 ends in one "="
    text = base64.b64encode(blob).decode()
    assert text.endswith("=")
    spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = text[:-2] + spare[spare.index(text[-2]) + 1] + "="
    assert base64.b64decode(changed) == blob
    with pytest.raises(SshFormatError, match="spare bits"):
        parse_public_key_line(f"ecdsa-sha2-nistp256 {changed}")


@pytest.mark.parametrize("comment", ["two\nlines", "\x07", " x", "x ", "x" * 1025])
def test_comment_that_would_not_stay_on_its_line_is_not_formatted(comment: str) -> None:
    with pytest.raises(SshFormatError, match="comment: got"):
        format_public_key_line(public_key("ed25519"), comment)


def blob_of(*fields: bytes) -> bytes:
    return b"".join(map(encode_string, fields))


ED25519_POINT = public_key("ed25519", 5).blob[-32:]
POINT = bytes.fromhex("04") + bytes(64)
# RFC 4492 §5.4's other form of the same point as in the key: sign bit and x only.
COMPRESSED = bytes([2 + public_key("nistp256", 5).blob[-1] % 2]) + public_key("nistp256", 5).blob[-64:-32]
MODULUS = (1 << 3071) + 1


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (blob_of(b"ssh-ed25519", bytes(31)), "Ed25519 public key at byte 15: got 31 bytes"),
        (blob_of(b"ssh-ed25519", bytes(33)), "Ed25519 public key at byte 15: got 33 bytes"),
        (blob_of(b"ssh-ed25519", ED25519_POINT) + b"\0", "public key at byte 51: got 1 bytes after its end"),
        (blob_of(b"ecdsa-sha2-nistp256", b"nistp384", POINT), "curve at byte 23: expected nistp256"),
        (blob_of(b"ecdsa-sha2-nistp256", b"nistp256", POINT), "Q at byte 35: the point is not on nistp256"),
        (blob_of(b"ecdsa-sha2-nistp256", b"nistp256", b"\0"), "Q at byte 35: expected an uncompressed point"),
        (blob_of(b"ecdsa-sha2-nistp256", b"nistp256", COMPRESSED), "expected an uncompressed point"),
        (blob_of(b"sk-ssh-ed25519@openssh.com", ED25519_POINT, b""), "application at byte 66: expected"),
        (
            blob_of(b"sk-ssh-ed25519@openssh.com", ED25519_POINT, b"ssh:\0"),
            "application at byte 66: expected",
        ),
        (blob_of(b"sk-ssh-ed25519@openssh.com", ED25519_POINT), "application at byte 66: got 0 bytes"),
        (blob_of(b"ssh-rsa") + encode_mpint(1) + encode_mpint(MODULUS), "e at byte 11: expected an odd"),
        (blob_of(b"ssh-rsa") + encode_mpint(4) + encode_mpint(MODULUS), "e at byte 11: expected an odd"),
        (blob_of(b"ssh-rsa") + encode_mpint(-3) + encode_mpint(MODULUS), "e at byte 11: expected an odd"),
        (blob_of(b"ssh-rsa") + encode_mpint(2**64 + 1) + encode_mpint(MODULUS), "e at byte 11"),
        (blob_of(b"ssh-rsa") + encode_mpint(3) + encode_mpint(MODULUS - 1), "n at byte 16: got a modulus"),
        (blob_of(b"ssh-rsa") + encode_mpint(3) + encode_mpint(-MODULUS), "n at byte 16: got a modulus"),
        (blob_of(b"ssh-rsa") + encode_mpint(3) + encode_mpint(2**2047 - 1), "modulus of 2047 bits"),
        (blob_of(b"ssh-rsa") + encode_mpint(3) + encode_mpint(2**8192 + 1), "modulus of 8193 bits"),
        (blob_of(b"\xff"), r"got '\\\\xff', expected one of"),
    ],
)
def test_malformed_blob_is_refused_with_field_and_offset(blob: bytes, message: str) -> None:
    with pytest.raises(SshFormatError, match=message):
        parse_public_key_blob(blob)


# RFC 8032's base point, and points of small order, here and with the other sign, in all their forms.
BASE = "5866666666666666666666666666666666666666666666666666666666666666"
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def test_signature_under_the_neutral_point_is_anyone_s_to_make() -> None:
    neutral = Ed25519PublicKey.from_public_bytes(bytes.fromhex(SMALL_ORDER[1]))
    neutral.verify(bytes.fromhex(BASE) + (1).to_bytes(32, "little"), b"any message at all")


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize("point", SMALL_ORDER)
def test_ed25519_key_that_hides_no_secret_is_unacceptable(point: str, sign: int) -> None:
    raw = bytearray.fromhex(point)
    raw[-1] |= sign
    for blob in (
        blob_of(b"ssh-ed25519", bytes(raw)),
        blob_of(b"sk-ssh-ed25519@openssh.com", bytes(raw), b"ssh:"),
    ):
        with pytest.raises(UnacceptableKey, match="the point is of small order, or not in its one form"):
            parse_public_key_blob(blob)


@pytest.mark.parametrize("exponent", [3, 35, 65537, 2**64 - 1])
def test_rsa_key_with_an_exponent_that_openssl_takes_is_accepted(exponent: int) -> None:
    blob = blob_of(b"ssh-rsa") + encode_mpint(exponent) + encode_mpint(MODULUS)
    key = parse_public_key_blob(blob).to_cryptography()
    assert isinstance(key, rsa.RSAPublicKey)
    assert (key.key_size, key.public_numbers().e) == (3072, exponent)


def test_rsa_1024_parses_only_where_its_size_is_allowed_by_name() -> None:
    blob = base64.b64decode(line_of("rsa-1024").split(" ")[1])
    assert parse_public_key_blob(blob, rsa_bits=OPENSSH_RSA_BITS).type == "ssh-rsa"
    with pytest.raises(UnacceptableKey, match="1024 bits"):
        parse_public_key_blob(blob)


@pytest.mark.parametrize(
    "key",
    [
        dsa.DSAParameterNumbers(0, 0, 0),
        ec.derive_private_key(1, ec.SECP256K1()).public_key(),
        private_key("ed25519"),
    ],
)
def test_object_that_is_no_ssh_public_key_is_unacceptable(key: object) -> None:
    with pytest.raises(UnacceptableKey, match="expected Ed25519, RSA or ECDSA on nistp256"):
        from_cryptography(key)
