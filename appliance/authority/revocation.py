"""Cutting off: certificates by serial, API credentials by id. No order is needed: it only takes away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from appliance.authority.events import CertificateRevoked, CredentialRevoked, Event
from appliance.authority.state import State
from appliance.authority.writer import At, Decided
from appliance.errors import Refusal, malformed
from appliance.identity.identity import Identity
from appliance.policy.roles import ACT_ROLES, may_act
from appliance.requests import CredentialRevocationBody, RevocationBody
from audit.entry import Entry

# The seq of the entry that revokes; None when it had been revoked before.
Answer = Callable[[int | Refusal | None], None]


class RevokeCertificate:
    """Revokes a certificate by serial; one that is still with the token will not be released."""

    def __init__(self, identity: Identity, body: RevocationBody, answer: Answer) -> None:
        self._identity = identity
        self._body = body
        self._answer = answer

    def decide(self, state: State, at: At) -> Decided:  # noqa: ARG002 - revoked is revoked, whenever
        """Decide who may and what there is to revoke."""
        check_may(state, self._identity, "certificate.revoke")
        known = state.find_certificate(int(self._body.serial))
        if known is None:
            raise Refusal(
                "not-found",
                f"no certificate with the serial {self._body.serial} is on record, or it expired more than a "
                "day ago",
            )
        if known.revoked:
            return Decided(after=lambda _entries: self._answer(None))
        data = CertificateRevoked(
            serial=self._body.serial, reason=self._body.reason, by=self._identity.to_data()
        )
        return Decided(events=[Event(kind="certificate.revoked", data=data)], after=self._tell)

    def refuse(self, refusal: Refusal) -> None:
        """Answer that nothing was revoked."""
        self._answer(refusal)

    def _tell(self, entries: Sequence[Entry]) -> None:
        self._answer(entries[0].seq)


class RevokeCredential:
    """Revokes an API credential: it identifies nobody any more."""

    def __init__(self, identity: Identity, body: CredentialRevocationBody, answer: Answer) -> None:
        self._identity = identity
        self._body = body
        self._answer = answer

    def decide(self, state: State, at: At) -> Decided:  # noqa: ARG002 - as above
        """Decide who may and what there is to revoke."""
        check_may(state, self._identity, "credential.revoke")
        known = state.credentials.get(self._body.id)
        if known is None:
            raise Refusal("not-found", f"there is no credential {self._body.id}")
        if known.revoked:
            return Decided(after=lambda _entries: self._answer(None))
        data = CredentialRevoked(id=known.id, reason=self._body.reason, by=self._identity.to_data())
        return Decided(events=[Event(kind="credential.revoked", data=data)], after=self._tell)

    def refuse(self, refusal: Refusal) -> None:
        """Answer that nothing was revoked."""
        self._answer(refusal)

    def _tell(self, entries: Sequence[Entry]) -> None:
        self._answer(entries[0].seq)


def check_may(state: State, identity: Identity, act: str) -> None:
    """Check that the policy in force lets the identity do ``act``.

    Raises:
        Refusal: ``policy-denied``.
    """
    if state.applied is None:
        raise malformed("policy", "none has been applied")
    if not may_act(state.applied.policy, identity, act):
        roles = " or ".join(sorted(ACT_ROLES[act]))
        raise Refusal("policy-denied", f"{identity} has not the role {roles}", rule=act)
