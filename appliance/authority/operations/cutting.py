"""Operations that cut off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from appliance.authority.cutting.cutting import CutDone, CutOff, FindCause, render_done
from appliance.authority.cutting.locking import find_lock
from appliance.authority.cutting.revocation import RevokeCredential, find_revocation
from appliance.authority.operations.callers import find_caller
from appliance.authority.operations.parts import Parts, Table
from appliance.authority.transport.server import Peer, Reply
from appliance.cutting import LockBody, RevocationBody
from appliance.errors import Refusal
from appliance.requests import CredentialRevocationBody, check_body


class Cutting:
    """What takes away and needs no order."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def table(self) -> Table:
        """Return the operations by their names."""
        return {
            "certificate.revoke": self._revoke_certificates,
            "lock.place": self._place_lock,
            "credential.revoke": self._revoke_credential,
        }

    def _revoke_certificates(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        body = check_body(RevocationBody, args.get("body"))
        self._cut(partial(find_revocation, find_caller(self._parts, peer, args), body), reply)

    def _place_lock(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        body = check_body(LockBody, args.get("body"))
        self._cut(partial(find_lock, find_caller(self._parts, peer, args), body), reply)

    def _cut(self, find: FindCause, reply: Reply) -> None:
        writer = self._parts.writer
        writer.submit(CutOff(find, writer.submit_owed, _tell_done(reply)))

    def _revoke_credential(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        body = check_body(CredentialRevocationBody, args.get("body"))
        self._parts.writer.submit(
            RevokeCredential(find_caller(self._parts, peer, args), body, tell_seq(reply))
        )


def _tell_done(reply: Reply) -> Callable[[CutDone | Refusal], None]:
    def answer(outcome: CutDone | Refusal) -> None:
        reply(outcome if isinstance(outcome, Refusal) else render_done(outcome))

    return answer


def tell_seq(reply: Reply) -> Callable[[int | Refusal | None], None]:
    """Return an answer that tells the seq of the entry, or that there was nothing left to do."""

    def answer(outcome: int | Refusal | None) -> None:
        if isinstance(outcome, Refusal):
            reply(outcome)
        else:
            reply({} if outcome is None else {"seq": outcome})

    return answer
