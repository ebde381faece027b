"""SSHSIG, the detached signatures of ``ssh-keygen -Y`` (OpenSSH PROTOCOL.sshsig).

The blob is ``"SSHSIG"``, uint32 1, string public key, string namespace, string reserved, string hash
algorithm, string signature. What is signed is ``"SSHSIG"``, string namespace, string reserved, string hash
algorithm, string H(message): it cannot be taken for a login or a certificate, and the namespace keeps one
use from being taken for another.
"""

from __future__ import annotations

import base64
import hashlib
import re
import textwrap
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from appliance.ssh.errors import BadSignature, SshFormatError
from appliance.ssh.keys import MAX_KEY_BLOB, PublicKey, fingerprint, from_cryptography, read_whole_key
from appliance.ssh.line import decode_base64
from appliance.ssh.signature import MAX_SIGNATURE_BLOB, SignatureDetails, SigningKey, sign, verify
from appliance.ssh.wire import Reader, encode_string, encode_uint32

_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_DEFAULT_HASH: Final = "sha512"  # ssh-keygen's
_HASHES: Final = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}

MAX_NAMESPACE: Final = 255
MAX_SSHSIG: Final = 16_384
_NAMESPACE: Final = re.compile(rf"[!-~]{{1,{MAX_NAMESPACE}}}")

_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
_END: Final = "-----END SSH SIGNATURE-----"
_ARMOR_WIDTH: Final = 70  # what ssh-keygen writes; the specification's 76 is advice


@dataclass(frozen=True, slots=True, kw_only=True)
class Sshsig:
    """An SSHSIG blob's parts. That it parses says nothing: only :func:`verify_sshsig` does."""

    key: PublicKey
    namespace: str
    hash_algorithm: str
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SshsigResult:
    """Who signed, and what the signature says besides."""

    key: PublicKey
    details: SignatureDetails


def verify_sshsig(
    blob: bytes, *, namespace: str, message: bytes, allowed_keys: Collection[PublicKey]
) -> SshsigResult:
    """Verify that one of ``allowed_keys`` signed ``message`` for ``namespace``.

    It does not establish when, nor that it is used only once: what matters must stand in the message.

    Raises:
        BadSignature: malformed, for another namespace, by another key, or not over this message.
    """
    try:
        parsed = decode_sshsig(blob)
    except SshFormatError as error:
        raise BadSignature(f"malformed: {error}", field="SSHSIG") from error
    if parsed.namespace != namespace:
        raise BadSignature(
            f"made for namespace {parsed.namespace!r}, expected {namespace!r}; sign with -n {namespace}",
            field="namespace",
        )
    if parsed.key not in allowed_keys:
        raise BadSignature(
            f"made by {fingerprint(parsed.key)}, which is not one of the {len(allowed_keys)} allowed keys",
            field="public key",
        )
    details = verify(parsed.key, parsed.signature, signed_data(namespace, parsed.hash_algorithm, message))
    return SshsigResult(key=parsed.key, details=details)


def build_sshsig(private_key: SigningKey, namespace: str, message: bytes) -> bytes:
    """Sign ``message`` for ``namespace`` and return the blob, unverified as what ``sign`` returns.

    Raises:
        SshFormatError: the namespace is empty or not visible ASCII.
        UnacceptableKey: the key is of a kind that is not supported.
    """
    return encode_sshsig(
        Sshsig(
            key=from_cryptography(private_key.public_key()),
            namespace=namespace,
            hash_algorithm=_DEFAULT_HASH,
            signature=sign(private_key, signed_data(namespace, _DEFAULT_HASH, message)),
        )
    )


def signed_data(namespace: str, hash_algorithm: str, message: bytes) -> bytes:
    """Return the bytes that the key signs (PROTOCOL.sshsig §3), with ``reserved`` empty.

    Raises:
        SshFormatError: a namespace or hash algorithm that is not allowed.
    """
    _check(namespace, hash_algorithm)
    digest = _HASHES[hash_algorithm](message).digest()
    return _MAGIC + b"".join(map(encode_string, (namespace.encode(), b"", hash_algorithm.encode(), digest)))


def encode_sshsig(sshsig: Sshsig) -> bytes:
    """Encode a blob: the inverse of :func:`decode_sshsig`.

    Raises:
        SshFormatError: a namespace or hash algorithm that is not allowed.
    """
    _check(sshsig.namespace, sshsig.hash_algorithm)
    strings = (
        sshsig.key.blob,
        sshsig.namespace.encode(),
        b"",
        sshsig.hash_algorithm.encode(),
        sshsig.signature,
    )
    return _MAGIC + encode_uint32(_VERSION) + b"".join(map(encode_string, strings))


def decode_sshsig(blob: bytes) -> Sshsig:
    """Decode a blob; ``reserved`` must be empty, although others ignore what is in it.

    Raises:
        SshFormatError: it is malformed, of another version, or its key is a certificate or unsupported.
    """
    if blob[: len(_MAGIC)] != _MAGIC:
        raise SshFormatError("expected it to begin with SSHSIG", field="SSHSIG", offset=0)
    reader = Reader(blob[len(_MAGIC) :], base=len(_MAGIC))
    version = reader.uint32("version")
    if version != _VERSION:
        raise SshFormatError(
            f"got version {version}, expected {_VERSION}", field="version", offset=len(_MAGIC)
        )
    key = read_whole_key(reader.nested("public key", MAX_KEY_BLOB))
    namespace = reader.string("namespace", MAX_NAMESPACE).decode("latin-1")  # one to one
    reader.string("reserved", 0)
    hash_algorithm = reader.string("hash algorithm", 16).decode("latin-1")
    signature = reader.string("signature", MAX_SIGNATURE_BLOB)
    reader.finish("SSHSIG")
    _check(namespace, hash_algorithm)
    return Sshsig(key=key, namespace=namespace, hash_algorithm=hash_algorithm, signature=signature)


def parse_armored_sshsig(text: str) -> bytes:
    """Parse the armored text, as ``ssh-keygen -Y sign`` writes it to the byte, and return the blob.

    Raises:
        SshFormatError: it is laid out in any other way.
    """
    lines = text.split("\n")
    if len(text) > MAX_SSHSIG * 3 // 2 or lines[0] != _BEGIN or lines[-2:] != [_END, ""]:
        raise SshFormatError(
            f"expected {_BEGIN}, base64, {_END} and a line feed; send the .sig file as it is", field="SSHSIG"
        )
    blob = decode_base64("".join(lines[1:-2]), what="SSHSIG")
    if format_armored_sshsig(blob) != text:
        raise SshFormatError(f"expected base64 in lines of {_ARMOR_WIDTH} characters", field="SSHSIG")
    return blob


def format_armored_sshsig(blob: bytes) -> str:
    """Format a blob as armored text: the inverse of :func:`parse_armored_sshsig`."""
    lines = textwrap.wrap(base64.b64encode(blob).decode("ascii"), _ARMOR_WIDTH)
    return "\n".join((_BEGIN, *lines, _END, ""))


def _check(namespace: str, hash_algorithm: str) -> None:
    if not _NAMESPACE.fullmatch(namespace):
        raise SshFormatError(
            f"got {namespace[:80]!r}, expected 1 to {MAX_NAMESPACE} visible ASCII characters",
            field="namespace",
        )
    if hash_algorithm not in _HASHES:
        raise SshFormatError(
            f"got {hash_algorithm!r}, expected {' or '.join(_HASHES)}", field="hash algorithm"
        )
