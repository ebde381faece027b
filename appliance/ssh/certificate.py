"""OpenSSH certificates (PROTOCOL.certkeys), in two halves that the ledger keeps apart.

The to-be-signed bytes (tbs) run from the type string up to, not including, the signature string; then comes
the signature. Chancery's own certificates have one encoding: what :func:`encode_tbs` writes is all that
:func:`decode_tbs` and :func:`parse_certificate_blob` read. :func:`inspect_certificate_blob` reads what
OpenSSH reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from appliance.ssh.content import CertificateContent, CertificateType, check_content
from appliance.ssh.errors import SshFormatError, UnacceptableKey
from appliance.ssh.keys import (
    CERTIFICATE_TYPES,
    MAX_KEY_BLOB,
    OPENSSH_RSA_BITS,
    RSA_BITS,
    read_public_key,
    read_type,
    read_whole_key,
    skip_public_key,
)
from appliance.ssh.line import format_line, parse_line
from appliance.ssh.options import encode_options, read_options, to_text
from appliance.ssh.signature import MAX_SIGNATURE_BLOB, SignatureDetails, verify
from appliance.ssh.wire import Reader, encode_string, encode_uint32, encode_uint64

__all__ = [
    "MAX_CERTIFICATE",
    "Certificate",
    "CertificateContent",
    "CertificateType",
    "attach_signature",
    "decode_tbs",
    "encode_tbs",
    "format_certificate_line",
    "inspect_certificate_blob",
    "inspect_certificate_line",
    "parse_certificate_blob",
    "parse_certificate_line",
    "read_validity",
    "verify_certificate",
]

# 256 principals of 255 bytes, two RSA-8192 keys and the longest options come to 95 000 bytes.
MAX_CERTIFICATE: Final = 131_072

_KEY_TYPES: Final = {certificate: key for key, certificate in CERTIFICATE_TYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate: what it says, the bytes that say it, and the signature blob over those bytes.

    That it exists establishes nothing; see :func:`verify_certificate`.
    """

    content: CertificateContent
    tbs: bytes
    signature: bytes

    @property
    def blob(self) -> bytes:
        """The certificate as it goes over the wire."""
        return attach_signature(self.tbs, self.signature)


def encode_tbs(content: CertificateContent, *, host_wildcards: bool = False) -> bytes:
    """Encode the bytes that the CA signs.

    Raises:
        SshFormatError: the content is not one of ours, see :func:`~appliance.ssh.content.check_content`.
    """
    check_content(content, host_wildcards=host_wildcards)
    return _encode(content)


def decode_tbs(tbs: bytes) -> CertificateContent:
    """Decode what :func:`encode_tbs` wrote, with or without wildcards; its exact inverse.

    Raises:
        SshFormatError: anything else, also where OpenSSH would not mind.
    """
    reader = Reader(_bounded(tbs))
    content = _read_content(reader, rsa_bits=RSA_BITS)
    reader.finish("tbs")
    _check_canonical(content, tbs)
    return content


def read_validity(tbs: bytes) -> tuple[int, int]:
    """Read valid after and valid before, in Unix seconds, and check nothing of the rest.

    For bytes that were checked when they were recorded: a twentieth of the work of :func:`decode_tbs`.

    Raises:
        SshFormatError: there are none where they should be.
    """
    reader = Reader(tbs)
    key_type = _read_certificate_type(reader)
    reader.string("nonce", MAX_CERTIFICATE)
    skip_public_key(reader, key_type)
    reader.uint64("serial")
    reader.uint32("type")
    reader.string("key id", MAX_CERTIFICATE)
    reader.string("valid principals", MAX_CERTIFICATE)
    return reader.uint64("valid after"), reader.uint64("valid before")


def attach_signature(tbs: bytes, signature: bytes) -> bytes:
    """Append the signature blob as a string: the whole certificate. Verifies nothing."""
    return tbs + encode_string(signature)


def parse_certificate_blob(blob: bytes) -> Certificate:
    """Parse a certificate in Chancery's one encoding.

    Raises:
        SshFormatError: anything else, also where OpenSSH would not mind.
    """
    certificate = _split(blob, rsa_bits=RSA_BITS)
    _check_canonical(certificate.content, certificate.tbs)
    return certificate


def inspect_certificate_blob(blob: bytes) -> Certificate:
    r"""Parse any certificate that OpenSSH would parse, to look at it: trust and re-encode nothing of it.

    Its serial may be 0, its principals empty (anyone!), its options in any order, of any name. Text that is
    not UTF-8 appears with ``\xNN``; ``tbs`` has the bytes. Control characters are for the caller to escape.

    Raises:
        UnacceptableKey: the subject's or the CA's key is of an unsupported type, such as DSA.
        SshFormatError: OpenSSH would not parse it either.
    """
    return _split(blob, rsa_bits=OPENSSH_RSA_BITS)


def parse_certificate_line(text: str) -> Certificate:
    """Parse the one-line form of a certificate in Chancery's one encoding.

    Raises:
        SshFormatError: it is not such a line, or as :func:`parse_certificate_blob`.
    """
    return parse_certificate_blob(_line_to_blob(text))


def inspect_certificate_line(text: str) -> Certificate:
    """Parse the one-line form of any certificate, to look at it.

    Raises:
        SshFormatError: it is not such a line, or as :func:`inspect_certificate_blob`.
    """
    return inspect_certificate_blob(_line_to_blob(text))


def format_certificate_line(certificate: Certificate, comment: str = "") -> str:
    """Format a certificate as one line without a line feed, as in ``id_…-cert.pub``.

    Raises:
        SshFormatError: the comment is not printable on one line.
    """
    return format_line(certificate.content.subject_key.certificate_type, certificate.blob, comment)


def verify_certificate(certificate: Certificate) -> SignatureDetails:
    """Verify the signature by the CA key that the certificate names.

    It does not establish that this CA key is trusted or was so then, that the certificate is valid now,
    unrevoked or on record, or that it is fit for any principal, address or use.

    Raises:
        BadSignature: the CA key did not sign these bytes.
    """
    return verify(certificate.content.ca_key, certificate.signature, certificate.tbs)


def _encode(content: CertificateContent) -> bytes:
    subject_key = content.subject_key
    return b"".join(
        (
            encode_string(subject_key.certificate_type.encode()),
            encode_string(content.nonce),
            subject_key.fields,
            encode_uint64(content.serial),
            encode_uint32(content.type),
            encode_string(content.key_id.encode()),
            encode_string(b"".join(encode_string(principal.encode()) for principal in content.principals)),
            encode_uint64(content.valid_after),
            encode_uint64(content.valid_before),
            encode_string(encode_options(content.critical_options)),
            encode_string(encode_options(content.extensions)),
            encode_string(b""),  # reserved
            encode_string(content.ca_key.blob),
        )
    )


def _read_content(reader: Reader, *, rsa_bits: range) -> CertificateContent:
    key_type = _read_certificate_type(reader)
    nonce = reader.string("nonce", MAX_CERTIFICATE)
    subject_key = read_public_key(reader, key_type, rsa_bits=rsa_bits)
    serial = reader.uint64("serial")
    certificate_type = _read_user_or_host(reader)
    key_id = to_text(reader.string("key id", MAX_CERTIFICATE))
    principals = _read_principals(reader)
    valid_after = reader.uint64("valid after")
    valid_before = reader.uint64("valid before")
    critical_options = read_options(reader, "critical options", MAX_CERTIFICATE)
    extensions = read_options(reader, "extensions", MAX_CERTIFICATE)
    reader.string("reserved", MAX_CERTIFICATE)  # ignored, as the specification wants it
    return CertificateContent(
        nonce=nonce,
        subject_key=subject_key,
        serial=serial,
        type=certificate_type,
        key_id=key_id,
        principals=principals,
        valid_after=valid_after,
        valid_before=valid_before,
        critical_options=critical_options,
        extensions=extensions,
        ca_key=read_whole_key(reader.nested("signature key", MAX_KEY_BLOB), rsa_bits=rsa_bits),
    )


def _read_certificate_type(reader: Reader) -> str:
    name = read_type(reader)
    if name not in _KEY_TYPES:
        raise UnacceptableKey(
            f"got {name[:64]!r}, expected a certificate: {', '.join(_KEY_TYPES)}", field="certificate type"
        )
    return _KEY_TYPES[name]


def _read_user_or_host(reader: Reader) -> CertificateType:
    start = reader.offset
    value = reader.uint32("type")
    try:
        return CertificateType(value)
    except ValueError as error:
        raise SshFormatError(
            f"got {value}, expected 1 (user) or 2 (host)", field="type", offset=start
        ) from error


def _read_principals(reader: Reader) -> tuple[str, ...]:
    inner = reader.nested("valid principals", MAX_CERTIFICATE)
    principals = []
    while not inner.exhausted:
        principals.append(to_text(inner.string("valid principals", MAX_CERTIFICATE)))
    return tuple(principals)


def _split(blob: bytes, *, rsa_bits: range) -> Certificate:
    reader = Reader(_bounded(blob))
    content = _read_content(reader, rsa_bits=rsa_bits)
    tbs = reader.since(0)
    signature = reader.string("signature", MAX_SIGNATURE_BLOB)
    reader.finish("certificate")
    return Certificate(content=content, tbs=tbs, signature=signature)


def _check_canonical(content: CertificateContent, tbs: bytes) -> None:
    # To encode again and compare is the definition of "exact inverse": no field can be forgotten.
    check_content(content, host_wildcards=True)
    canonical = _encode(content)
    if canonical != tbs:
        offset = next(i for i, (ours, theirs) in enumerate(zip_longest(canonical, tbs)) if ours != theirs)
        raise SshFormatError("it is not encoded as Chancery encodes it", field="certificate", offset=offset)


def _bounded(blob: bytes) -> bytes:
    if len(blob) > MAX_CERTIFICATE:
        raise SshFormatError(
            f"got {len(blob)} bytes, expected at most {MAX_CERTIFICATE}", field="certificate"
        )
    return blob


def _line_to_blob(text: str) -> bytes:
    type_name, blob = parse_line(text, what="certificate", limit=MAX_CERTIFICATE)
    inner = read_type(Reader(blob))
    if inner != type_name:
        raise SshFormatError(f"the line says {type_name}, its base64 {inner[:64]!r}", field="certificate")
    return blob
