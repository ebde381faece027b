"""API credentials: ``chancery1.<id>.<secret>``, shown as ``Authorization: Bearer …``.

The secret is 256 random bits and never leaves whoever made it and whoever uses it: the ledger holds the
SHA-256 of its text. A secret that long needs no salt and no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from appliance.identity.identity import Identity, Kind

PROVIDER: Final = "api"
CLAIM: Final = "credential"
SECRET_BYTES: Final = 32
_FORM: Final = re.compile(r"chancery1\.([0-9a-f]{16})\.([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiCredential:
    """A credential as its holder shows it."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"ApiCredential({self.id}, hidden)"

    def matches(self, secret_sha256: str) -> bool:
        """Say, in constant time, whether the secret is the one on record."""
        return hmac.compare_digest(hash_secret(self.secret), secret_sha256)


def format_credential(credential: ApiCredential) -> str:
    """Format a credential for its holder."""
    return f"chancery1.{credential.id}.{credential.secret}"


def parse_credential(text: str) -> ApiCredential | None:
    """Parse a credential; None if it is none, since the answer to a bad one says nothing more."""
    match = _FORM.fullmatch(text)
    return None if match is None else ApiCredential(match[1], match[2])


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of a secret's text in hex, as the ledger records it."""
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def identity_of(
    credential_id: str, subject: str, kind: Kind, *, now_ms: int, source_address: str | None
) -> Identity:
    """Return the identity that a valid credential stands for; the authority checks the credential again."""
    return Identity(
        provider=PROVIDER,
        subject=subject,
        kind=kind,
        claims=((CLAIM, credential_id),),
        authenticated_ms=now_ms,
        source_address=source_address,
    )
