"""Revoking: certificates, keys, API credentials. No order is needed: it only takes away."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from appliance.authority.cutting.cutoff import held_by
from appliance.authority.cutting.cutting import Cause
from appliance.authority.events import CredentialRevoked, Event, KeyRevoked
from appliance.authority.fold.records import IssuedCertificate
from appliance.authority.fold.standing import standing_in
from appliance.authority.fold.state import State
from appliance.authority.writer import At, Decided
from appliance.cutting import RevocationBody
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.key_ids import format_key_id
from appliance.policy.document import Policy
from appliance.policy.powers import may_still_act
from appliance.policy.roles import may_act, say_lacking
from appliance.requests import CredentialRevocationBody
from appliance.ssh.keys import parse_fingerprint
from audit.entry import Entry

# The seq of the entry that revokes; None when it had been revoked before.
Answer = Callable[[int | Refusal | None], None]


def find_revocation(identity: Identity, body: RevocationBody, state: State, _at: At) -> Cause:
    """Find what a revocation is of: a key is revoked itself, besides the certificates for it.

    Raises:
        Refusal: ``policy-denied``; ``not-found``, nothing of that name is on record; ``conflict``, a key
            of a CA.
    """
    check = partial(check_may, identity=identity, act="certificate.revoke")
    check(state)
    member, name = body.named
    if member == "key":
        check_no_ca_key(state, name)
    find = _FINDERS[member]
    revokes_key = member == "key" and name not in state.revoked.keys
    if member != "key" and not find(state, name):
        what = f"no certificate with the {member.replace('_', ' ')} {name}"
        raise Refusal("not-found", f"{what} is on record, or it expired more than a day ago")
    data = KeyRevoked(key=name, reason=body.reason, by=identity.to_data())
    return Cause(
        events=(Event(kind="certificate.revoked", data=data),) if revokes_key else (),
        certificates=lambda state: find(state, name),
        check=check,
        reason=body.reason,
        by=identity,
    )


def _with_serial(state: State, serial: str) -> list[IssuedCertificate]:
    known = state.find_certificate(int(serial))
    return [] if known is None else [known]


def _with_key_id(state: State, key_id: str) -> list[IssuedCertificate]:
    """Find by the key id's end, log and seq, and take what has the whole of it."""
    _, _, numbers = key_id.rpartition("#")
    log_number, _, seq = numbers.partition(".")
    if log_number != str(state.log_number) or re.fullmatch("[1-9][0-9]{0,15}", seq) is None:
        return []
    known = state.certificates.get(int(seq))
    if known is None or format_key_id(known.subject, state.log_number, known.seq) != key_id:
        return []
    return [known]


def _for_key(state: State, key: str) -> list[IssuedCertificate]:
    digest = parse_fingerprint(key)
    return [each for each in state.certificates.values() if each.subject_key == digest]


def _of_subject(state: State, subject: str) -> list[IssuedCertificate]:
    return held_by(state, [subject])


_FINDERS: Final[Mapping[str, Callable[[State, str], list[IssuedCertificate]]]] = {
    "serial": _with_serial,
    "key_id": _with_key_id,
    "key": _for_key,
    "subject": _of_subject,
}


class RevokeCredential:
    """Revokes an API credential: it identifies nobody any more."""

    def __init__(self, identity: Identity, body: CredentialRevocationBody, answer: Answer) -> None:
        self._identity = identity
        self._body = body
        self._answer = answer

    def decide(self, state: State, at: At) -> Decided:  # noqa: ARG002 - revoked is revoked, whenever
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


def check_no_ca_key(state: State, key: str) -> None:
    """Check that a key, by its fingerprint, is none that hosts trust as a CA's, or may come to trust.

    sshd looks for the key that signed in its list too: no certificate by it would open anything.

    Raises:
        Refusal: ``conflict``.
    """
    for ca in state.cas.values():
        found = ca.find_key(key)
        if found is not None and found.phase != "retired" and not found.halted:
            raise Refusal(
                "conflict",
                f"{key} is a key of the CA {ca.name}, and hosts would take no certificate by it any more: "
                "lock the CA, or rotate it and retire this key (docs/rotation.md)",
            )


def check_may(state: State, identity: Identity, act: str) -> Policy:
    """Check that the policy in force lets the identity do ``act``, and return it.

    Raises:
        Refusal: ``policy-denied``; ``issuance-halted``, no policy is in force.
    """
    policy = state.in_force().policy
    if not may_act(policy, identity, act):
        raise Refusal("policy-denied", say_lacking(policy, identity, act), rule=act)
    if not may_still_act(policy, identity, act, standing_in(state, policy)):
        raise Refusal("policy-denied", f"{identity} is locked: another operator does it", rule="lock")
    return policy
