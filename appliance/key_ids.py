"""The key id of a certificate, ``<provider>:<subject>#<log>.<seq>``, as sshd writes it into its log."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from appliance.ssh.content import MAX_KEY_ID

# Everything else in a key id is percent-encoded: sshd writes it into its log as it is.
_SAFE: Final = "._:@/+-"
_END: Final = re.compile(r"#([1-9][0-9]{0,4})\.([1-9][0-9]{0,15})\Z", re.ASCII)


def format_key_id(subject: str, log_number: int, seq: int) -> str:
    """Format a key id; a subject that is too long is cut, but never inside an escape, nor is the number."""
    suffix = f"#{log_number}.{seq}"
    encoded = quote(subject, safe=_SAFE).replace("~", "%7E")[: MAX_KEY_ID - len(suffix)]
    escape = encoded[-2:].find("%")
    return (encoded if escape < 0 else encoded[: escape - 2]) + suffix


def is_key_id_of(key_id: str, subject: str) -> bool:
    """Say whether a key id is one that a certificate of ``subject`` has."""
    end = _END.search(key_id)
    return end is not None and format_key_id(subject, int(end[1]), int(end[2])) == key_id
