"""Approvals as the state holds them: what was asked for, and what others have answered."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from appliance.policy.circumstances import Approval


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """An approval that was asked for by the entry ``seq``.

    ``given`` are who has given it, each with the moment until which; it can be given before ``answer_by_s``.
    One refusal ends it.
    """

    seq: int
    identity: str
    grant: str
    answer_by_s: int
    ttl_s: int
    given: tuple[tuple[str, int], ...] = ()
    refused: bool = False

    @property
    def ends_s(self) -> int:
        """The moment from which on it can matter no more."""
        return max([self.answer_by_s, *(ends_s for _, ends_s in self.given)])

    @property
    def given_by(self) -> frozenset[str]:
        """The persons who have given it."""
        return frozenset(person for person, _ in self.given)

    def is_open(self, now_s: int) -> bool:
        """Say whether it can still become, or is, an approval; what has run out must be asked for anew."""
        lasts = all(ends_s > now_s for _, ends_s in self.given)
        return lasts and not self.refused and now_s < self.answer_by_s

    def to_approval(self) -> Approval | None:
        """Return what a decision takes of it, if anyone has given it; it lasts as long as all of them say."""
        if self.refused or not self.given:
            return None
        ends_s = min(ends_s for _, ends_s in self.given)
        return Approval(seq=self.seq, grant=self.grant, given_by=self.given_by, ends_s=ends_s)


@dataclass(slots=True)
class Approvals:
    """All approvals that can still matter, by who asked."""

    _by_seq: dict[int, Requested] = field(default_factory=dict)
    _by_identity: dict[str, dict[int, None]] = field(default_factory=dict)
    _ends: list[tuple[int, int]] = field(default_factory=list)

    def request(self, seq: int, data: Mapping[str, Any]) -> None:
        """Fold ``approval.requested`` in."""
        identity = f"{data['identity']['provider']}:{data['identity']['subject']}"
        requested = Requested(
            seq=seq,
            identity=identity,
            grant=data["grant"],
            answer_by_s=data["answer_by_s"],
            ttl_s=data["ttl_s"],
        )
        self._keep(requested)
        self._by_identity.setdefault(identity, {})[seq] = None

    def give(self, data: Mapping[str, Any]) -> None:
        """Fold ``approval.given`` in."""
        known = self._by_seq.get(data["approval"])
        if known is not None:
            self._keep(replace(known, given=(*known.given, (data["person"], data["expires_s"]))))

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

    def of(self, identity: str) -> tuple[Approval, ...]:
        """Return what others have allowed an identity, in the order in which it asked."""
        found = (each.to_approval() for each in self.asked_by(identity))
        return tuple(each for each in found if each is not None)

    def _keep(self, requested: Requested) -> None:
        self._by_seq[requested.seq] = requested
        heapq.heappush(self._ends, (requested.ends_s, requested.seq))

    def _drop(self, requested: Requested) -> None:
        del self._by_seq[requested.seq]
        theirs = self._by_identity[requested.identity]
        del theirs[requested.seq]
        if not theirs:
            del self._by_identity[requested.identity]
