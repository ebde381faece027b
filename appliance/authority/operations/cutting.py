"""Operations that cut off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from appliance.authority.operations.callers import find_caller
from appliance.authority.operations.parts import Parts, Table
from appliance.authority.revocation import RevokeCertificate, RevokeCredential
from appliance.authority.server import Peer, Reply
from appliance.errors import Refusal
from appliance.requests import CredentialRevocationBody, RevocationBody, check_body


class Cutting:
    """What takes away and needs no order."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def table(self) -> Table:
        """Return the operations by their names."""
        return {
            "certificate.revoke": self._revoke_certificate,
            "credential.revoke": self._revoke_credential,
        }

    def _revoke_certificate(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        body = check_body(RevocationBody, args.get("body"))
        self._parts.writer.submit(
            RevokeCertificate(find_caller(self._parts, peer, args), body, tell_seq(reply))
        )

    def _revoke_credential(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        body = check_body(CredentialRevocationBody, args.get("body"))
        self._parts.writer.submit(
            RevokeCredential(find_caller(self._parts, peer, args), body, tell_seq(reply))
        )


def tell_seq(reply: Reply) -> Callable[[int | Refusal | None], None]:
    """Return an answer that tells the seq of the entry, or that there was nothing left to do."""

    def answer(outcome: int | Refusal | None) -> None:
        if isinstance(outcome, Refusal):
            reply(outcome)
        else:
            reply({} if outcome is None else {"seq": outcome})

    return answer
