"""Approvals as the state holds them: what was asked for, and what others have answered."""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from appliance.policy.circumstances import Approval
from appliance.policy.document import Policy
from appliance.policy.requirements import grants_named
from appliance.policy.tables import Grant
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import fingerprint
from appliance.ssh.sshsig import decode_sshsig


class Given(NamedTuple):
    """An approval by one person: the fingerprint of the key that signed it, and the moment until which."""

    person: str
    key: str
    ends_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """An approval that was asked for by the entry ``seq``; it can be given before ``answer_by_s``.

    ``terms`` is the grant as the policy of that moment had it. One refusal ends it.
    """

    seq: int
    identity: str
    grant: str
    answer_by_s: int
    ttl_s: int
    reason: str = ""
    terms: Grant | None = None
    given: tuple[Given, ...] = ()
    refused: bool = False

    @property
    def ends_s(self) -> int:
        """The moment from which on it can matter no more."""
        return max([self.answer_by_s, *(each.ends_s for each in self.given)])

    @property
    def given_by(self) -> frozenset[str]:
        """The persons who have given it."""
        return frozenset(each.person for each in self.given)

    def is_open(self, now_s: int) -> bool:
        """Say whether it can still become, or is, an approval; what has run out must be asked for anew."""
        lasts = all(each.ends_s > now_s for each in self.given)
        return lasts and not self.refused and now_s < self.answer_by_s

    def stands(self, policy: Policy) -> bool:
        """Say whether the grant reads as it did: whoever approved of it has approved of no other."""
        return self.terms in grants_named(policy, self.grant)

    def to_approval(self, counts: Callable[[Given], bool]) -> Approval | None:
        """Return what a decision takes of it, if anyone has given it; it lasts as long as all of them say.

        ``counts`` says of each whether it counts now.
        """
        if self.refused or not self.given:
            return None
        given_by = frozenset(each.person for each in self.given if counts(each))
        ends_s = min(each.ends_s for each in self.given)
        return Approval(seq=self.seq, grant=self.grant, given_by=given_by, ends_s=ends_s)


@dataclass(slots=True)
class Approvals:
    """All approvals that can still matter, by who asked."""

    _by_seq: dict[int, Requested] = field(default_factory=dict)
    _by_identity: dict[str, dict[int, None]] = field(default_factory=dict)
    _ends: list[tuple[int, int]] = field(default_factory=list)

    def request(self, seq: int, data: Mapping[str, Any], policy: Policy) -> None:
        """Fold ``approval.requested`` in, under the policy in force."""
        identity = f"{data['identity']['provider']}:{data['identity']['subject']}"
        requested = Requested(
            seq=seq,
            identity=identity,
            grant=data["grant"],
            answer_by_s=data["answer_by_s"],
            ttl_s=data["ttl_s"],
            reason=data["reason"],
            terms=next(iter(grants_named(policy, data["grant"])), None),
        )
        self._keep(requested)
        self._by_identity.setdefault(identity, {})[seq] = None

    def give(self, data: Mapping[str, Any]) -> None:
        """Fold ``approval.given`` in."""
        known = self._by_seq.get(data["approval"])
        if known is not None:
            given = Given(data["person"], _key_of(data["signature"]), data["expires_s"])
            self._keep(replace(known, given=(*known.given, given)))

    def refuse(self, data: Mapping[str, Any]) -> None:
        """Fold ``approval.refused`` in."""
        known = self._by_seq.get(data["approval"])
        if known is not None:
            self._by_seq[known.seq] = replace(known, refused=True)

    def forget(self, now_s: int) -> None:
        """Drop those that can matter no more."""
        while self._ends and self._ends[0][0] <= now_s:
            _, seq = heapq.heappop(self._ends)
            known = self._by_seq.get(seq)
            if known is not None and known.ends_s <= now_s:
                self._drop(known)

    def get(self, seq: int) -> Requested | None:
        """Return what an entry asked for, unless that can matter no more."""
        return self._by_seq.get(seq)

    def asked_by(self, identity: str) -> Iterator[Requested]:
        """Yield what an identity has asked for, in its order."""
        return (self._by_seq[seq] for seq in self._by_identity.get(identity, ()))

    def _keep(self, requested: Requested) -> None:
        self._by_seq[requested.seq] = requested
        heapq.heappush(self._ends, (requested.ends_s, requested.seq))

    def _drop(self, requested: Requested) -> None:
        del self._by_seq[requested.seq]
        theirs = self._by_identity[requested.identity]
        del theirs[requested.seq]
        if not theirs:
            del self._by_identity[requested.identity]


def _key_of(signature: str) -> str:
    """Return the fingerprint of the key that an answer names; empty if it is no signature."""
    try:
        return fingerprint(decode_sshsig(base64.b64decode(signature)).key)
    except (binascii.Error, SshFormatError):
        return ""
