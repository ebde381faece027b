"""A PKCS#11 session without a login of its own, and the handles that were looked up in it.

Sessions are never shared: PKCS#11 v3.1 §4.4 has one operation in progress in each. The login belongs to the
application, so sessions are opened without a PIN beside the token's logged-in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pkcs11
from pkcs11 import Attribute, ObjectClass, PKCS11Error

from hsm.algorithm import PROFILES, Algorithm
from hsm.attributes import KeyRecord
from hsm.errors import KeyRefused, SigningFailed, describe, failure_of
from hsm.signing import CkMechanism, Signer

if TYPE_CHECKING:
    from hsm.token import Token

_MECHANISMS: Final[Mapping[Algorithm, CkMechanism]] = {
    algorithm: CkMechanism(mechanism=profile.sign) for algorithm, profile in PROFILES.items()
}


class Session:
    """One session of a token, for one thread at a time."""

    __slots__ = ("_handles", "pkcs11_session", "signer", "token")

    def __init__(self, token: Token, pkcs11_session: pkcs11.Session, signer: Signer) -> None:
        self.token = token
        self.pkcs11_session = pkcs11_session
        self.signer = signer
        self._handles: dict[bytes, int] = {}

    def sign(self, record: KeyRecord, data: bytes) -> bytes:
        """Call C_Sign over ``data`` and return what the token gives, unverified.

        Raises:
            SigningFailed: it gives nothing; ``failure`` says how deep the trouble lies.
            KeyRefused: the key is not there any more, or twice.
        """
        try:
            handle = self._handles.get(record.cka_id)
            if handle is None:
                handle = self._handles[record.cka_id] = self._find(record.cka_id)
            return self.signer.sign(handle, _MECHANISMS[record.algorithm], data)
        except PKCS11Error as error:
            raise SigningFailed(
                f"token {self.token.label!r} made no signature: {describe(error)}", failure=failure_of(error)
            ) from error

    def close(self) -> None:
        """Close it; one that is dead already is closed."""
        try:
            self.pkcs11_session.close()
        except PKCS11Error:  # whatever the token says to this, nobody uses the session again
            return

    def _find(self, cka_id: bytes) -> int:
        template = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: cka_id}
        found: list[Any] = list(self.pkcs11_session.get_objects(template))
        if len(found) != 1:
            raise KeyRefused(
                f"{len(found)} private keys of the token {self.token.label!r} have CKA_ID {cka_id.hex()}, "
                "expected one"
            )
        return int(found[0].handle)
