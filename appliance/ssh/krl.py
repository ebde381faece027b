"""Key revocation lists (PROTOCOL.krl), in the sections that sshd reads without trouble.

Certificates are revoked by CA and serial, keys by the SHA-256 of their blob, which revokes certificates for
them as well. Not by key id, which would hit certificates that are yet to come; without signature sections,
for which OpenSSH since 9.4 refuses a KRL. What :func:`encode_krl` writes is all that :func:`decode_krl`
reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import MAX_KEY_BLOB, PublicKey, parse_public_key_blob
from appliance.ssh.serials import MAX_BITMAP, Form, Range, Section, are_merged, cut_sections, merge_ranges
from appliance.ssh.wire import (
    Reader,
    encode_byte,
    encode_mpint,
    encode_string,
    encode_uint32,
    encode_uint64,
)

MAX_KRL: Final = 128 * 1_048_576  # SSHBUF_SIZE_MAX
MAX_COMMENT: Final = 255
DIGEST_SIZE: Final = 32

_MAGIC: Final = b"SSHKRL\n\0"
_FORMAT_VERSION: Final = 1
_CERTIFICATES: Final = 1
_FINGERPRINT_SHA256: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedCertificates:
    """Serials of one CA key: at least one range, and all of them merged (``serials.merge_ranges``)."""

    ca_key: PublicKey
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Krl:
    """What a KRL says. ``version`` grows with each change; ``generated_s`` is in Unix seconds.

    ``certificates`` are sorted by the blob of the CA key, ``key_digests`` (SHA-256 of key blobs) by value.
    sshd looks at neither version nor age.
    """

    version: int
    generated_s: int
    comment: str = ""
    certificates: tuple[RevokedCertificates, ...] = ()
    key_digests: tuple[bytes, ...] = ()

    def revokes(self, ca_key: PublicKey, serial: int) -> bool:
        """Say whether a certificate is revoked by its serial."""
        return any(
            first <= serial <= last
            for each in self.certificates
            if each.ca_key == ca_key
            for first, last in each.ranges
        )


def encode_krl(krl: Krl) -> bytes:
    """Encode a KRL.

    Raises:
        SshFormatError: it is not as :class:`Krl` says.
    """
    _check(krl)
    return b"".join(
        (
            _MAGIC,
            encode_uint32(_FORMAT_VERSION),
            encode_uint64(krl.version),
            encode_uint64(krl.generated_s),
            encode_uint64(0),  # flags, of which there are none
            encode_string(b""),  # reserved
            encode_string(krl.comment.encode()),
            *(_section(_CERTIFICATES, b"".join(_revoked(each))) for each in krl.certificates),
            *([_section(_FINGERPRINT_SHA256, _digests(krl))] if krl.key_digests else []),
        )
    )


def decode_krl(blob: bytes) -> Krl:
    """Decode what :func:`encode_krl` wrote; its exact inverse.

    Raises:
        SshFormatError: anything else, also where OpenSSH would not mind.
    """
    if len(blob) > MAX_KRL:
        raise SshFormatError(f"got {len(blob)} bytes, expected at most {MAX_KRL}", field="KRL")
    reader = Reader(blob)
    krl = _read(reader)
    if encode_krl(krl) != blob:
        raise SshFormatError("it is not encoded as Chancery encodes it", field="KRL")
    return krl


def _check(krl: Krl) -> None:
    if len(krl.comment.encode()) > MAX_COMMENT or not krl.comment.isprintable():
        raise SshFormatError(f"expected at most {MAX_COMMENT} printable bytes", field="comment")
    for each in krl.certificates:
        if not each.ranges or not are_merged(each.ranges):
            raise SshFormatError("expected ranges that are merged, one at least", field="serials")
    _check_ascending([each.ca_key.blob for each in krl.certificates], "CA keys")
    _check_ascending(krl.key_digests, "key digests")
    if any(len(digest) != DIGEST_SIZE for digest in krl.key_digests):
        raise SshFormatError(f"expected {DIGEST_SIZE} bytes each", field="key digests")


def _check_ascending(values: list[bytes] | tuple[bytes, ...], field: str) -> None:
    if any(earlier >= later for earlier, later in pairwise(values)):
        raise SshFormatError("expected each once, sorted", field=field)


def _section(kind: int, data: bytes) -> bytes:
    return encode_byte(kind) + encode_string(data)


def _digests(krl: Krl) -> bytes:
    return b"".join(map(encode_string, krl.key_digests))


def _revoked(revoked: RevokedCertificates) -> Iterator[bytes]:
    yield encode_string(revoked.ca_key.blob)
    yield encode_string(b"")  # reserved
    for section in cut_sections(revoked.ranges):
        yield _section(section.form, _serials(section))


def _serials(section: Section) -> bytes:
    match section.form:
        case Form.LIST:
            serials = [serial for first, last in section.ranges for serial in range(first, last + 1)]
            return struct.pack(f">{len(serials)}Q", *serials)
        case Form.RANGE:
            return encode_uint64(section.ranges[0].first) + encode_uint64(section.ranges[0].last)
        case Form.BITMAP:
            offset = section.ranges[0].first
            bits = 0
            for first, last in section.ranges:
                bits |= ((1 << last - first + 1) - 1) << first - offset
            return encode_uint64(offset) + encode_mpint(bits)


def _read(reader: Reader) -> Krl:
    for byte in _MAGIC:
        if reader.byte("magic") != byte:
            raise SshFormatError("expected SSHKRL", field="magic", offset=0)
    if (format_version := reader.uint32("format version")) != _FORMAT_VERSION:
        raise SshFormatError(f"got {format_version}, expected {_FORMAT_VERSION}", field="format version")
    version, generated_s = reader.uint64("version"), reader.uint64("generated date")
    reader.uint64("flags")
    reader.string("reserved", MAX_KRL)
    comment = reader.string("comment", MAX_COMMENT).decode("utf-8", "backslashreplace")
    certificates: list[RevokedCertificates] = []
    digests: list[bytes] = []
    while not reader.exhausted:
        start, kind = reader.offset, reader.byte("section")
        inner = reader.nested("section", MAX_KRL)
        if kind == _CERTIFICATES:
            certificates.append(_read_revoked(inner))
        elif kind == _FINGERPRINT_SHA256:
            while not inner.exhausted:
                digests.append(inner.string("key digest", DIGEST_SIZE))
        else:
            raise SshFormatError(f"got type {kind}, expected 1 or 5", field="section", offset=start)
    return Krl(
        version=version,
        generated_s=generated_s,
        comment=comment,
        certificates=tuple(certificates),
        key_digests=tuple(digests),
    )


def _read_revoked(reader: Reader) -> RevokedCertificates:
    ca_key = parse_public_key_blob(reader.string("CA key", MAX_KEY_BLOB))
    reader.string("reserved", MAX_KRL)
    found: list[Range] = []
    while not reader.exhausted:
        start, kind = reader.offset, reader.byte("section")
        try:
            form = Form(kind)
        except ValueError as error:
            raise SshFormatError(
                f"got type {kind}, expected 0x20, 0x21 or 0x22", field="section", offset=start
            ) from error
        found += _read_serials(form, reader.nested("section", MAX_KRL))
    try:
        return RevokedCertificates(ca_key=ca_key, ranges=merge_ranges(found))
    except ValueError as error:
        raise SshFormatError(str(error), field="serials") from error


def _read_serials(form: Form, reader: Reader) -> Iterator[Range]:
    match form:
        case Form.LIST:
            while not reader.exhausted:
                serial = reader.uint64("serial")
                yield Range(serial, serial)
        case Form.RANGE:
            yield Range(reader.uint64("first serial"), reader.uint64("last serial"))
        case Form.BITMAP:
            offset = reader.uint64("first serial")
            bits = reader.mpint("bitmap", MAX_BITMAP // 8 + 1)
            yield from _ranges_of(offset, bits)
    reader.finish("section")


def _ranges_of(offset: int, bits: int) -> Iterator[Range]:
    """Yield the ranges of serials whose bits are set."""
    while bits > 0:
        gap = (bits & -bits).bit_length() - 1
        bits >>= gap
        count = (~bits & bits + 1).bit_length() - 1
        yield Range(offset + gap, offset + gap + count - 1)
        bits >>= count
        offset += gap + count
