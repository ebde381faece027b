"""Sessions: what whoever showed a password is given, so that it is shown once (docs/adr/0012).

A session is the identity itself, sealed with a key that only the web tier's processes have, and that they
forget when they end: nothing is kept, nothing can be read from it, and nobody else can make one. It ends by
itself, and with every restart of the web tier.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import zlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.identity.errors import InvalidCredential
from appliance.identity.identity import Identity

PREFIX: Final = "chancery-session1."
KEY_BYTES: Final = 32
# A header of a request is at most 8 190 bytes (appliance/web/process.py).
MAX_SESSION: Final = 8_000
_NONCE_BYTES: Final = 12
# Sealed with the key for nothing else (ARCHITECTURE.md: no two purposes share a key).
_PURPOSE: Final = b"chancery/session/v1"
_FORM: Final = re.compile(r"chancery-session1\.([A-Za-z0-9_-]{40,8000})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who logged in, and until when that is good."""

    identity: Identity
    ends_s: int


class Sealer:
    """Seals sessions and opens them; ``key`` is shared by the workers of one web tier."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, session: Session) -> str:
        """Return a session for its holder.

        Raises:
            InvalidCredential: it would be longer than a request's header; more than any identity needs.
        """
        data = json.dumps([session.ends_s, session.identity.to_data()]).encode()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, zlib.compress(data, 9), _PURPOSE)
        text = PREFIX + _encode(nonce + sealed)
        if len(text) > MAX_SESSION:
            raise InvalidCredential(
                f"{session.identity} is in too many groups for a session: narrow group_base"
            )
        return text

    def open(self, text: str, now_s: int) -> Session:
        """Open a session.

        Raises:
            InvalidCredential: it is none of this web tier's, or it has ended.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise InvalidCredential("it is no session in form")
        try:
            raw = base64.b64decode(match[1] + "=" * (-len(match[1]) % 4), altchars=b"-_", validate=True)
            if _encode(raw) != match[1]:  # the last character has bits that say nothing
                raise ValueError("not in the one form that it has")  # noqa: TRY301 - one answer for all of these
            data = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _PURPOSE)
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise InvalidCredential(
                "it is no session of this web tier, or of one before a restart"
            ) from error
        ends_s, identity = json.loads(zlib.decompress(data))
        if now_s >= ends_s:
            raise InvalidCredential("the session has ended")
        return Session(identity=Identity.from_data(identity), ends_s=ends_s)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
