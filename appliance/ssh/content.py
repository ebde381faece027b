"""What a certificate says (PROTOCOL.certkeys), and what one of ours may say.

OpenSSH reads more than Chancery writes: an empty list of principals has meant everyone, a comma inside one
two (CVE-2026-35414), and a serial of 0 cannot be revoked. :func:`check_content` is the list of such things.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from appliance.ssh.errors import SshFormatError, UnacceptableKey
from appliance.ssh.keys import PublicKey
from appliance.ssh.options import (
    NO_TOUCH_REQUIRED,
    VERIFY_REQUIRED,
    Option,
    check_ascending,
    check_critical_options,
    check_extensions,
)

NONCE_SIZE: Final = 32
MAX_SERIAL: Final = 2**64 - 1
MAX_TIME: Final = 2**64 - 1  # "forever" in OpenSSH
MAX_KEY_ID: Final = 200
MAX_PRINCIPALS: Final = 256  # SSHKEY_CERT_MAX_PRINCIPALS: OpenSSH cannot read a certificate with more
MAX_PRINCIPAL: Final = 255

# sshd writes the key id raw into its log line: a space in it could pass for the next field.
_KEY_ID: Final = re.compile(rf"[!-~]{{1,{MAX_KEY_ID}}}")
# A comma separates principals elsewhere in OpenSSH, AuthorizedPrincipalsFile ends a line at "#", and a
# leading dash is an option to what runs next.
_PRINCIPAL: Final = re.compile(rf"(?!-)(?!.*[,#*?])[!-~]{{1,{MAX_PRINCIPAL}}}")
_PRINCIPAL_OR_WILDCARD: Final = re.compile(rf"(?!-)(?!.*[,#])[!-~]{{1,{MAX_PRINCIPAL}}}")


class CertificateType(enum.IntEnum):
    """SSH_CERT_TYPE_…: whom the certificate identifies."""

    USER = 1
    HOST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateContent:
    """All that a CA signs. ``valid_after`` ≤ t < ``valid_before``, in Unix seconds.

    In content that was read for inspection text is for people: see :func:`~appliance.ssh.options.to_text`.
    """

    nonce: bytes
    subject_key: PublicKey
    serial: int
    type: CertificateType
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical_options: tuple[Option, ...] = ()
    extensions: tuple[Option, ...] = ()
    ca_key: PublicKey


def check_content(content: CertificateContent, *, host_wildcards: bool = False) -> None:
    """Check that this is a certificate which Chancery makes.

    ``host_wildcards`` allows ``*`` and ``?`` in the principals of a host certificate; ssh before OpenSSH 10.3
    takes them literally. That the keys are of a kind that may be certified was checked when they were parsed.
    That anybody is entitled to any of this is not checked.

    Raises:
        UnacceptableKey: the CA key certifies itself.
        SshFormatError: anything else, with the name of the field.
    """
    if len(content.nonce) != NONCE_SIZE:
        raise SshFormatError(f"got {len(content.nonce)} bytes, expected {NONCE_SIZE}", field="nonce")
    if not 0 < content.serial <= MAX_SERIAL:
        raise SshFormatError(
            f"got {content.serial}, expected 1 to 2^64 - 1: a KRL cannot name serial 0", field="serial"
        )
    if not _KEY_ID.fullmatch(content.key_id):
        raise SshFormatError(
            f"got {content.key_id[:80]!r}, expected 1 to {MAX_KEY_ID} visible ASCII characters",
            field="key id",
        )
    if not 0 <= content.valid_after < content.valid_before <= MAX_TIME:
        raise SshFormatError(
            f"got {content.valid_after} to {content.valid_before}, expected an interval that is not empty",
            field="valid before",
        )
    if content.subject_key == content.ca_key:
        raise UnacceptableKey("the subject key is the CA's own; send another key", field="public key")
    _check_principals(content, host_wildcards=host_wildcards)
    _check_options(content)


def _check_principals(content: CertificateContent, *, host_wildcards: bool) -> None:
    principals = content.principals
    if not 0 < len(principals) <= MAX_PRINCIPALS:
        raise SshFormatError(
            f"got {len(principals)}, expected 1 to {MAX_PRINCIPALS}: none at all would mean anyone",
            field="valid principals",
        )
    wildcards = host_wildcards and content.type is CertificateType.HOST
    pattern = _PRINCIPAL_OR_WILDCARD if wildcards else _PRINCIPAL
    for principal in principals:
        if not pattern.fullmatch(principal):
            raise SshFormatError(
                f"got {principal[:80]!r}, expected 1 to {MAX_PRINCIPAL} visible ASCII characters without "
                f"{', #' if wildcards else ', # * ?'} and with no dash in front",
                field="valid principals",
            )
    check_ascending(principals, field="valid principals")


def _check_options(content: CertificateContent) -> None:
    if content.type is CertificateType.HOST and (content.critical_options or content.extensions):
        raise SshFormatError(
            "got some in a host certificate, for which none are defined", field="critical options"
        )
    check_critical_options(content.critical_options)
    check_extensions(content.extensions)
    # sshd looks at these two only when the signature is an sk- one: on any other key they would look like a
    # restriction, or a decision, that is not there.
    names = {name for name, _ in content.critical_options + content.extensions}
    sk_only = names & {VERIFY_REQUIRED, NO_TOUCH_REQUIRED}
    if sk_only and not content.subject_key.is_sk:
        raise SshFormatError(
            f"got it with a key of type {content.subject_key.type}, expected one that begins with sk-",
            field=min(sk_only),
        )
