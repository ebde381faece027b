"""Public keys of subjects and of CAs: RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4, OpenSSH PROTOCOL.u2f.

A :class:`PublicKey` is its blob. It is made by the functions here only, which have checked every field of it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.ssh.errors import SshFormatError, UnacceptableKey
from appliance.ssh.line import decode_base64, format_line, parse_line
from appliance.ssh.wire import Reader, encode_mpint, encode_string

CryptographyKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

ED25519: Final = "ssh-ed25519"
RSA: Final = "ssh-rsa"
SK_ED25519: Final = "sk-ssh-ed25519@openssh.com"
SK_ECDSA: Final = "sk-ecdsa-sha2-nistp256@openssh.com"
CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "nistp256": ec.SECP256R1(),
    "nistp384": ec.SECP384R1(),
    "nistp521": ec.SECP521R1(),
}
ECDSA: Final = {curve.name: f"ecdsa-sha2-{name}" for name, curve in CURVES.items()}
_CURVE_NAMES: Final = {f"ecdsa-sha2-{name}": name for name in CURVES} | {SK_ECDSA: "nistp256"}
SK_TYPES: Final = frozenset({SK_ED25519, SK_ECDSA})

# How many strings a key is, after that of its type; an mpint is a string as well.
_FIELDS: Final[Mapping[str, int]] = {ED25519: 1, RSA: 2, SK_ED25519: 2, SK_ECDSA: 3} | dict.fromkeys(
    ECDSA.values(), 2
)

# Key type → certificate type (PROTOCOL.certkeys); also the list of all that is supported.
CERTIFICATE_TYPES: Final[Mapping[str, str]] = {
    name: name.removesuffix("@openssh.com") + "-cert-v01@openssh.com"
    for name in (ED25519, *ECDSA.values(), RSA, SK_ED25519, SK_ECDSA)
}

# 2048 bits are the floor of NIST SP 800-57. The ceiling is ours: verifying costs time that grows with the
# square of the size, a certificate carries the modulus, and nothing above 8192 bits is any safer in practice.
RSA_BITS: Final = range(2048, 8192 + 1)
# What OpenSSH itself takes (SSH_RSA_MINIMUM_MODULUS_SIZE, SSHBUF_MAX_BIGNUM): to look at, never to certify.
OPENSSH_RSA_BITS: Final = range(1024, 16384 + 1)
# OpenSSH leaves the exponent to OpenSSL, and that takes any odd one from 3, of at most 64 bits where the
# modulus is long. So do we: ssh-keygen made keys with 35 until 2010 (OpenSSH commit 57e0d0126), and PKCS #1
# v1.5 signatures are safe with small exponents where the whole padding is compared, as it is here.
_MAX_RSA_EXPONENT_BITS: Final = 64

# The prime of RFC 8032 §5.1, and the y of all points whose order divides the cofactor. Under such a key,
# which RFC 8032 does not exclude, anyone can make signatures that verify: there is no secret behind it.
_ED25519_P: Final = 2**255 - 19
_ED25519_Y: Final = 2**255 - 1
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _ED25519_P - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)

_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
MAX_APPLICATION: Final = 255
MAX_KEY_BLOB: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """An SSH public key: ``type`` as in the key's first string, ``blob`` as it goes over the wire.

    Two keys are equal when their blobs are. For sk- types it establishes nothing about hardware: without an
    attestation anyone can make such a key in software.
    """

    type: str
    blob: bytes

    @property
    def certificate_type(self) -> str:
        """The type name of certificates for this key."""
        return CERTIFICATE_TYPES[self.type]

    @property
    def is_sk(self) -> bool:
        """Whether signatures by this key carry an authenticator's flags and counter."""
        return self.type in SK_TYPES

    @property
    def fields(self) -> bytes:
        """The blob after its type string, as a certificate carries it."""
        return self.blob[4 + len(self.type) :]

    @property
    def application(self) -> bytes:
        """The FIDO application (relying party) of an sk- key, such as ``ssh:``; empty for the others."""
        application = b""
        reader = Reader(self.fields if self.is_sk else b"")
        while not reader.exhausted:  # it is the last of the strings
            application = reader.string("application", MAX_KEY_BLOB)
        return application

    def to_cryptography(self) -> CryptographyKey:
        """Return the key as :mod:`cryptography` has it; of an sk- key the inner one, without application."""
        return _load(self)


def parse_public_key_line(text: str) -> PublicKey:
    """Parse one line ``type base64 [comment]``, the form of a ``.pub`` file.

    Raises:
        UnacceptableKey: a certificate, DSA, an unsupported type, or a key that is never certified.
        SshFormatError: it is not such a line, or the blob is of another type than the line says.
    """
    type_name, blob = parse_line(text, what="public key", limit=MAX_KEY_BLOB)
    check_key_type(type_name)
    key = parse_public_key_blob(blob)
    if key.type != type_name:
        raise SshFormatError(f"the line says {type_name}, its base64 {key.type}", field="public key")
    return key


def format_public_key_line(key: PublicKey, comment: str = "") -> str:
    """Format a key as one line without a line feed.

    Raises:
        SshFormatError: the comment is not printable on one line.
    """
    return format_line(key.type, key.blob, comment)


def parse_public_key_blob(blob: bytes, *, rsa_bits: range = RSA_BITS) -> PublicKey:
    """Parse a public key blob, of which every byte counts.

    Raises:
        UnacceptableKey: a certificate, DSA, an unsupported type, a point off its curve, an RSA key whose
            modulus is not of ``rsa_bits``.
        SshFormatError: it is malformed.
    """
    return read_whole_key(Reader(blob), rsa_bits=rsa_bits)


def fingerprint(key: PublicKey) -> str:
    """Return ``SHA256:`` and unpadded base64, as ``ssh-keygen -l`` and sshd's log print it."""
    return fingerprint_of_blob(key.blob)


def fingerprint_of_blob(blob: bytes) -> str:
    """Return the fingerprint of a key's blob; that it is one is not checked."""
    return format_fingerprint(hashlib.sha256(blob).digest())


def format_fingerprint(digest: bytes) -> str:
    """Format the SHA-256 of a key's blob as its fingerprint."""
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def parse_fingerprint(text: str) -> bytes:
    """Parse a fingerprint and return the SHA-256 in it; the inverse of :func:`format_fingerprint`.

    Raises:
        SshFormatError: it is none.
    """
    if _FINGERPRINT.fullmatch(text) is None:
        raise SshFormatError(f"got {text[:80]!r}, expected SHA256: and 43 digits", field="fingerprint")
    return decode_base64(text.removeprefix("SHA256:") + "=", what="fingerprint")


def from_cryptography(public_key: object) -> PublicKey:
    """Return the SSH form of an Ed25519, ECDSA or RSA public key of :mod:`cryptography`.

    Raises:
        UnacceptableKey: a key of another kind, curve or size.
    """
    match public_key:
        case ed25519.Ed25519PublicKey():
            fields: tuple[bytes, ...] = (ED25519.encode(), public_key.public_bytes_raw())
        case ec.EllipticCurvePublicKey() if public_key.curve.name in ECDSA:
            key_type = ECDSA[public_key.curve.name]
            point = public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            fields = (key_type.encode(), _CURVE_NAMES[key_type].encode(), point)
        case rsa.RSAPublicKey():
            numbers = public_key.public_numbers()
            return parse_public_key_blob(
                encode_string(RSA.encode()) + encode_mpint(numbers.e) + encode_mpint(numbers.n)
            )
        case _:
            raise UnacceptableKey(
                f"got a {type(public_key).__name__}, expected Ed25519, RSA or ECDSA on {', '.join(CURVES)}",
                field="public key",
            )
    return parse_public_key_blob(b"".join(map(encode_string, fields)))


def check_key_type(name: str) -> None:
    """Check that keys of this type can be certified.

    Raises:
        UnacceptableKey: with a message that says what to send instead.
    """
    if name in CERTIFICATE_TYPES:
        return
    if "-cert-v0" in name:
        advice = "got a certificate, expected the plain public key it was issued for"
    elif name == "ssh-dss":
        advice = "got a DSA key, which OpenSSH no longer supports; make an Ed25519 one"
    else:
        advice = f"got {name[:64]!r}, expected one of {', '.join(CERTIFICATE_TYPES)}"
    raise UnacceptableKey(advice, field="key type")


def read_type(reader: Reader) -> str:
    """Read the type string that begins keys and certificates; it may be of any type."""
    return reader.string("key type", 64).decode("ascii", "backslashreplace")


def read_whole_key(reader: Reader, *, rsa_bits: range = RSA_BITS) -> PublicKey:
    """Read a key blob that is all that ``reader`` has, such as a string inside something else.

    Raises:
        SshFormatError: as :func:`parse_public_key_blob`.
    """
    key_type = read_type(reader)
    check_key_type(key_type)
    key = read_public_key(reader, key_type, rsa_bits=rsa_bits)
    reader.finish("public key")
    return key


def read_public_key(reader: Reader, key_type: str, *, rsa_bits: range) -> PublicKey:
    """Read the fields of a key of a supported type, wherever they stand, and return the plain key.

    Raises:
        SshFormatError: as :func:`parse_public_key_blob`.
    """
    start = reader.offset
    _read_fields(reader, key_type, rsa_bits)
    return PublicKey(type=key_type, blob=encode_string(key_type.encode()) + reader.since(start))


def skip_public_key(reader: Reader, key_type: str) -> None:
    """Read past the fields of a key of a supported type, whatever they hold."""
    for _ in range(_FIELDS[key_type]):
        reader.string("public key", MAX_KEY_BLOB)


def _read_fields(reader: Reader, key_type: str, rsa_bits: range) -> CryptographyKey:
    if key_type == RSA:
        return _read_rsa(reader, rsa_bits)
    key: CryptographyKey
    if key_type in (ED25519, SK_ED25519):
        key = _read_ed25519(reader)
    else:
        key = _read_ecdsa(reader, _CURVE_NAMES[key_type])
    if key_type in SK_TYPES:
        _read_application(reader)
    return key


def _read_ed25519(reader: Reader) -> ed25519.Ed25519PublicKey:
    start = reader.offset
    raw = reader.string("Ed25519 public key", 32)
    if len(raw) != 32:
        raise SshFormatError(f"got {len(raw)} bytes, expected 32", field="Ed25519 public key", offset=start)
    y = int.from_bytes(raw, "little") & _ED25519_Y
    if y in _SMALL_ORDER or y >= _ED25519_P:
        raise UnacceptableKey(
            "the point is of small order, or not in its one form; make a new key",
            field="Ed25519 public key",
            offset=start,
        )
    return ed25519.Ed25519PublicKey.from_public_bytes(raw)


def _read_ecdsa(reader: Reader, name: str) -> ec.EllipticCurvePublicKey:
    start = reader.offset
    curve = CURVES[name]
    if reader.string("curve", 16) != name.encode():
        raise SshFormatError(f"expected {name}, as the key's type says", field="curve", offset=start)
    start = reader.offset
    size = 1 + 2 * ((curve.key_size + 7) // 8)
    point = reader.string("Q", size)
    # SEC 1 §2.3.3 also has compressed and hybrid points; OpenSSH writes and reads uncompressed ones only.
    if len(point) != size or point[0] != 0x04:
        raise SshFormatError(f"expected an uncompressed point of {size} bytes", field="Q", offset=start)
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        raise UnacceptableKey(
            f"the point is not on {name}; make a new key", field="Q", offset=start
        ) from error


def _read_rsa(reader: Reader, rsa_bits: range) -> rsa.RSAPublicKey:
    start = reader.offset
    e = reader.mpint("e", MAX_KEY_BLOB)
    if e < 3 or e % 2 == 0 or e.bit_length() > _MAX_RSA_EXPONENT_BITS:
        raise UnacceptableKey(
            f"expected an odd exponent from 3 to {_MAX_RSA_EXPONENT_BITS} bits; make a new key",
            field="e",
            offset=start,
        )
    start = reader.offset
    n = reader.mpint("n", MAX_KEY_BLOB)
    if n < 0 or n.bit_length() not in rsa_bits or n % 2 == 0:
        raise UnacceptableKey(
            f"got a modulus of {n.bit_length()} bits, expected an odd one of {rsa_bits[0]} to {rsa_bits[-1]}",
            field="n",
            offset=start,
        )
    return rsa.RSAPublicNumbers(e, n).public_key()


def _read_application(reader: Reader) -> None:
    start = reader.offset
    application = reader.string("application", MAX_APPLICATION)
    if not application or b"\0" in application:  # OpenSSH hashes it as a C string
        raise SshFormatError("expected at least one byte and no NUL", field="application", offset=start)


# A CA key verifies every certificate that it signs; loading it anew each time takes a sixth of that work.
@lru_cache(maxsize=256)
def _load(key: PublicKey) -> CryptographyKey:
    return _read_fields(Reader(key.fields), key.type, OPENSSH_RSA_BITS)
