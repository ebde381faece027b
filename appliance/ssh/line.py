"""The one-line form of keys and certificates: ``type base64 [comment]``, as in ``.pub`` files (sshd(8)).

The type stands in the line and again inside the blob; what is inside is what counts, and both must agree.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from appliance.ssh.errors import SshFormatError

MAX_COMMENT: Final = 1024

# One optional line feed, because a .pub file ends in one; no tabs, no runs of spaces, no second line.
_LINE: Final = re.compile(r"([!-~]{1,64}) ([A-Za-z0-9+/]+={0,2})(?: ([^\x00-\x1f\x7f]*))?\n?")


def parse_line(text: str, *, what: str, limit: int) -> tuple[str, bytes]:
    """Split a line into its type and its decoded blob; the comment says nothing reliable and is dropped.

    ``what`` names the thing in errors, ``limit`` bounds the blob in bytes.

    Raises:
        SshFormatError: it is not one such line, or its base64 is not canonical.
    """
    if len(text) > limit * 4 // 3 + MAX_COMMENT:
        raise SshFormatError(
            f"got {len(text)} characters, expected at most {limit} bytes of blob", field=what
        )
    match = _LINE.fullmatch(text)
    if match is None:
        raise SshFormatError(
            "expected one line `type base64 [comment]` with single spaces and no options before the type; "
            "send the line of the .pub file as ssh-keygen wrote it",
            field=what,
        )
    return match[1], decode_base64(match[2], what=what)


def format_line(type_name: str, blob: bytes, comment: str) -> str:
    """Format ``type base64 [comment]`` without a line feed: the inverse of :func:`parse_line`.

    Raises:
        SshFormatError: the comment would not stay on its line.
    """
    if len(comment) > MAX_COMMENT or not (comment.isprintable() and comment == comment.strip()):
        raise SshFormatError(
            f"got {comment[:80]!r}, expected at most {MAX_COMMENT} printable characters without outer space",
            field="comment",
        )
    return " ".join(filter(None, (type_name, base64.b64encode(blob).decode("ascii"), comment)))


def decode_base64(text: str, *, what: str) -> bytes:
    """Decode RFC 4648 §4 base64 in its one canonical form: padded, no stray characters, no spare bits.

    Raises:
        SshFormatError: it is anything else.
    """
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise SshFormatError(
            f"got base64 that does not decode ({error}); was it cut off?", field=what
        ) from error
    if base64.b64encode(decoded).decode("ascii") != text:
        raise SshFormatError("got base64 with spare bits in its last group; copy it again", field=what)
    return decoded
