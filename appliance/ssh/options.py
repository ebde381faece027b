"""Critical options and extensions of user certificates (PROTOCOL.certkeys, "Critical options", "Extensions").

An option is ``(name, value)``. Its data field on the wire is empty for a flag, whose value here is ``""``;
for the others it is the value packed as a string once more. Neither kind is defined for host certificates.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from appliance.ssh.errors import SshFormatError
from appliance.ssh.wire import Reader, encode_string

Option = tuple[str, str]

FORCE_COMMAND: Final = "force-command"
SOURCE_ADDRESS: Final = "source-address"
VERIFY_REQUIRED: Final = "verify-required"
NO_TOUCH_REQUIRED: Final = "no-touch-required"

EXTENSIONS: Final = (
    NO_TOUCH_REQUIRED,
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
)

# sshd has no limit of its own here; a command or an address list that needs more belongs on the host.
MAX_VALUE: Final = 8192


def encode_options(options: Sequence[Option]) -> bytes:
    """Encode the inside of a critical options or extensions field, in the order given."""
    return b"".join(
        encode_string(name.encode()) + encode_string(encode_string(value.encode()) if value else b"")
        for name, value in options
    )


def read_options(reader: Reader, field: str, limit: int) -> tuple[Option, ...]:
    """Read a critical options or extensions field as OpenSSH does: any names, in any order.

    Data that is not one packed string, as an option unknown to OpenSSH may have, is given in hexadecimal.
    """
    inner = reader.nested(field, limit)
    options = []
    while not inner.exhausted:
        name = inner.string(f"{field}: name", limit)
        data = inner.string(f"{field}: data", limit)
        options.append((to_text(name), _unpack(data)))
    return tuple(options)


def to_text(raw: bytes) -> str:
    r"""Decode UTF-8 for people to read; other bytes appear as ``\xNN``, so it is no inverse of anything."""
    return raw.decode("utf-8", "backslashreplace")


def check_critical_options(options: Sequence[Option]) -> None:
    """Check that sshd knows every one of them, and that their values mean something to it.

    Raises:
        SshFormatError: one is unknown (sshd would refuse the certificate), out of order or has a bad value.
    """
    check_ascending([name for name, _ in options], field="critical options")
    for name, value in options:
        check = _CRITICAL_OPTIONS.get(name)
        if check is None:
            raise SshFormatError(
                f"got {name!r}, expected {', '.join(_CRITICAL_OPTIONS)}; sshd refuses what it does not know",
                field="critical options",
            )
        check(name, value)


def check_extensions(extensions: Sequence[Option]) -> None:
    """Check that sshd knows every one of them, so that a misspelt one is not lost in silence.

    Raises:
        SshFormatError: one is unknown, out of order or has a value.
    """
    check_ascending([name for name, _ in extensions], field="extensions")
    for name, value in extensions:
        if name not in EXTENSIONS:
            raise SshFormatError(f"got {name!r}, expected {', '.join(EXTENSIONS)}", field="extensions")
        _check_flag(name, value)


def check_ascending(names: Sequence[str], *, field: str) -> None:
    """Check that names are sorted by their bytes and that none appears twice.

    Raises:
        SshFormatError: they are not; sorting is the caller's, who may have recorded the order already.
    """
    for earlier, later in pairwise(names):
        if earlier >= later:
            raise SshFormatError(
                f"got {later!r} after {earlier!r}, expected each once, sorted by their bytes", field=field
            )


def _unpack(data: bytes) -> str:
    try:
        reader = Reader(data)
        value = reader.string("data", len(data)) if data else b""
        reader.finish("data")
    except SshFormatError:
        return data.hex()
    return to_text(value)


def _check_flag(name: str, value: str) -> None:
    if value:
        raise SshFormatError(f"got the value {value[:80]!r}, expected none: it is a flag", field=name)


def _check_command(name: str, value: str) -> None:
    # Printable first: what is not may have no encoding at all.
    if not (value.isprintable() and 0 < len(value.encode()) <= MAX_VALUE):
        raise SshFormatError(f"expected 1 to {MAX_VALUE} bytes of printable text on one line", field=name)


def _check_source_address(name: str, value: str) -> None:
    """Check CIDR blocks as sshd takes them: host bits zero, else it refuses the certificate from anywhere."""
    if len(value) > MAX_VALUE:
        raise SshFormatError(f"got {len(value)} bytes, expected at most {MAX_VALUE}", field=name)
    for block in value.split(","):
        try:
            canonical = str(ipaddress.ip_network(block.partition("%")[0]))  # no IPv6 zones
        except ValueError as error:
            raise SshFormatError(
                f"got {block[:80]!r} ({error}), expected CIDR blocks joined by commas", field=name
            ) from error
        if block != canonical:
            raise SshFormatError(f"got {block[:80]!r}, expected {canonical}, its canonical form", field=name)


_CRITICAL_OPTIONS: Final[Mapping[str, Callable[[str, str], None]]] = {
    FORCE_COMMAND: _check_command,
    SOURCE_ADDRESS: _check_source_address,
    VERIFY_REQUIRED: _check_flag,
}
