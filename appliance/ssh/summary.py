"""What to-be-signed bytes say, read in one pass: for whoever has many of them that were checked before.

:func:`~appliance.ssh.certificate.decode_tbs` reads the same bytes and checks every field of them, which takes
ten times as long. Here only the lengths are checked; neither key is looked at.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from appliance.ssh.content import CertificateType
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import CERTIFICATE_TYPES, ECDSA, ED25519, RSA, SK_ECDSA, SK_ED25519
from appliance.ssh.options import Option, read_options
from appliance.ssh.wire import Reader

# How many strings a key of each type has after its type's name (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4,
# OpenSSH PROTOCOL.u2f); an mpint is one too.
_STRINGS: Final = {ED25519: 1, RSA: 2, SK_ED25519: 2, SK_ECDSA: 3} | dict.fromkeys(ECDSA.values(), 2)
_KEY_TYPES: Final = {
    certificate.encode(): (len(key).to_bytes(4, "big") + key.encode(), _STRINGS[key])
    for key, certificate in CERTIFICATE_TYPES.items()
}
_UINT32: Final = struct.Struct(">I")
_SERIAL_AND_TYPE: Final = struct.Struct(">QI")
_INTERVAL: Final = struct.Struct(">QQ")


@dataclass(slots=True, kw_only=True)
class TbsSummary:
    """The fields of a certificate that searches and reports are about. ``subject_key`` is the key's blob."""

    subject_key: bytes
    serial: int
    type: CertificateType
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    packed_options: bytes
    packed_extensions: bytes

    @property
    def critical_options(self) -> tuple[Option, ...]:
        """The critical options."""
        return _unpack("critical options", self.packed_options)

    @property
    def extensions(self) -> tuple[Option, ...]:
        """The extensions."""
        return _unpack("extensions", self.packed_extensions)


def summarize_tbs(tbs: bytes) -> TbsSummary:
    """Read to-be-signed bytes that :func:`~appliance.ssh.certificate.encode_tbs` wrote.

    It does not establish that it did: other bytes are refused only where their lengths do not add up.

    Raises:
        SshFormatError: the bytes are no certificate's.
    """
    try:
        return _summarize(tbs)
    except (struct.error, KeyError, ValueError) as error:
        raise SshFormatError("expected to-be-signed bytes of a certificate", field="tbs") from error


def _summarize(tbs: bytes) -> TbsSummary:
    certificate_type, at = _string(tbs, 0)
    prefix, strings = _KEY_TYPES[certificate_type]
    _nonce, key = _string(tbs, at)
    at = key
    for _ in range(strings):
        at += 4 + _UINT32.unpack_from(tbs, at)[0]
    serial, type_ = _SERIAL_AND_TYPE.unpack_from(tbs, at)
    subject_key = prefix + tbs[key:at]
    key_id, at = _string(tbs, at + 12)
    packed, at = _string(tbs, at)
    valid_after, valid_before = _INTERVAL.unpack_from(tbs, at)
    options, at = _string(tbs, at + 16)
    extensions, at = _string(tbs, at)
    _reserved, at = _string(tbs, at)
    _ca_key, at = _string(tbs, at)
    if at != len(tbs):
        raise ValueError("the last string does not end where the bytes do")
    return TbsSummary(
        subject_key=subject_key,
        serial=serial,
        type=CertificateType(type_),
        key_id=key_id.decode(),
        principals=_principals(packed),
        valid_after=valid_after,
        valid_before=valid_before,
        packed_options=options,
        packed_extensions=extensions,
    )


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the string at an offset, and where the next field begins."""
    end = at + 4 + _UINT32.unpack_from(data, at)[0]
    return data[at + 4 : end], end


def _principals(packed: bytes) -> tuple[str, ...]:
    found = []
    at = 0
    while at < len(packed):
        principal, at = _string(packed, at)
        found.append(principal.decode())
    if at != len(packed):
        raise ValueError("the last principal does not end where the list does")
    return tuple(found)


# A CA gives few combinations of them, and each to many certificates.
@lru_cache(maxsize=1024)
def _unpack(field: str, packed: bytes) -> tuple[Option, ...]:
    return read_options(Reader(len(packed).to_bytes(4, "big") + packed), field, len(packed))
