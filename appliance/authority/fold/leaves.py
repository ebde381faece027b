"""Leaves as the state holds them: those that are not over, found by the person that they are of."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from appliance.policy.circumstances import Away
from appliance.policy.document import Policy
from appliance.policy.terms import BACKDATE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """A leave that was booked by the entry ``seq``, half-open, in Unix seconds.

    ``person`` is a name of the policy, or an identity that no person had; ``identities`` are the accounts
    that he had then. ``source`` is the feed that it came from and the event's UID there; ``withdrawn``: the
    feed shows it no more, and an operator is to say whether it is cancelled.
    """

    seq: int
    person: str
    identities: tuple[str, ...]
    starts_s: int
    ends_s: int
    source: tuple[str, str] | None = None
    withdrawn: bool = False

    def is_of(self, policy: Policy, person: str) -> bool:
        """Say whether it is this person's, by the policy in force.

        Of a person that the policy has no more, it is of whoever has his accounts now: that somebody was
        renamed ends no leave.
        """
        if ":" in self.person or self.person in policy.persons:
            return policy.who_is(self.person) == person
        return any(policy.who_is(identity) == person for identity in self.identities)


@dataclass(slots=True)
class Leaves:
    """All leaves that are not over, or have only just been: no certificate is dated back into one.

    What is over for longer is forgotten, since no decision asks for it.
    """

    _by_seq: dict[int, Leave] = field(default_factory=dict)
    _by_name: dict[str, dict[int, None]] = field(default_factory=dict)
    _ends: list[tuple[int, int]] = field(default_factory=list)

    def book(self, seq: int, data: Mapping[str, Any]) -> None:
        """Fold ``leave.booked`` in; one that says what another says takes its place."""
        leave = read_leave(seq, data)
        for known in [each for each in self._named(leave.person) if is_same(each, leave)]:
            self._drop(known)
        self.add(leave)

    def add(self, leave: Leave) -> None:
        """Add a leave that takes no other's place."""
        self._keep(leave)
        for name in (leave.person, *leave.identities):
            self._by_name.setdefault(name, {})[leave.seq] = None

    def withdraw(self, seq: int) -> None:
        """Fold ``leave.withdrawn`` in."""
        if (known := self._by_seq.get(seq)) is not None:
            self._by_seq[seq] = replace(known, withdrawn=True)

    def cancel(self, seq: int, ends_s: int | None) -> None:
        """Fold ``leave.cancelled`` in; with ``ends_s`` the leave ends then, and is not withdrawn any more."""
        known = self._by_seq.get(seq)
        if known is None:
            return
        if ends_s is None:
            self._drop(known)
        else:
            self._keep(replace(known, ends_s=ends_s, withdrawn=False))

    def forget(self, now_s: int) -> None:
        """Drop those that are over."""
        over_s = now_s - BACKDATE_S
        while self._ends and self._ends[0][0] <= over_s:
            _, seq = heapq.heappop(self._ends)
            known = self._by_seq.get(seq)
            if known is not None and known.ends_s <= over_s:
                self._drop(known)

    def get(self, seq: int) -> Leave | None:
        """Return the leave that an entry booked, unless it is cancelled or forgotten."""
        return self._by_seq.get(seq)

    def find_same(self, leave: Leave) -> Leave | None:
        """Return one that says what this one says, and that its feed has not withdrawn."""
        return next(
            (each for each in self._named(leave.person) if is_same(each, leave) and not each.withdrawn), None
        )

    def count(self, person: str) -> int:
        """Return how many are kept under a person's name."""
        return len(self._by_name.get(person, ()))

    def count_by_hand(self, person: str) -> int:
        """Return how many of these came from no feed."""
        return sum(each.source is None for each in self._named(person))

    def of(self, policy: Policy, identity: str) -> tuple[Away, ...]:
        """Return when the person who has this account is away: over all his accounts, merged, by start."""
        return merge(self._of(policy, identity)) if self._by_seq else ()

    def find(self, policy: Policy, identity: str, at_s: int) -> Leave | None:
        """Return the leave that whoever has this account is away by, of several the one that ends last."""
        away = (each for each in self._of(policy, identity) if each.starts_s <= at_s < each.ends_s)
        return max(away, key=lambda each: (each.ends_s, each.seq), default=None)

    def _of(self, policy: Policy, identity: str) -> Iterator[Leave]:
        person = policy.who_is(identity)
        names = {person, *accounts_of(policy, person)}
        found = {each.seq: each for name in names for each in self._named(name)}
        return (each for each in found.values() if each.is_of(policy, person))

    def __iter__(self) -> Iterator[Leave]:
        return iter(self._by_seq.values())

    def _named(self, name: str) -> Iterator[Leave]:
        return (self._by_seq[seq] for seq in self._by_name.get(name, ()))

    def _keep(self, leave: Leave) -> None:
        self._by_seq[leave.seq] = leave
        heapq.heappush(self._ends, (leave.ends_s, leave.seq))

    def _drop(self, leave: Leave) -> None:
        del self._by_seq[leave.seq]
        for name in {leave.person, *leave.identities}:
            theirs = self._by_name[name]
            del theirs[leave.seq]
            if not theirs:
                del self._by_name[name]


def read_leave(seq: int, data: Mapping[str, Any]) -> Leave:
    """Read a leave from the data of the ``leave.booked`` that is entry ``seq``."""
    source = data.get("source")
    return Leave(
        seq=seq,
        person=data["person"],
        identities=tuple(data["identities"]),
        starts_s=data["starts_s"],
        ends_s=data["ends_s"],
        source=None if source is None else (source["feed"], source["uid"]),
    )


def is_same(one: Leave, other: Leave) -> bool:
    """Say whether two leaves are of one person, from one source, from and until the same moments."""
    return (one.person, one.starts_s, one.ends_s, one.source) == (
        other.person,
        other.starts_s,
        other.ends_s,
        other.source,
    )


def accounts_of(policy: Policy, person: str) -> tuple[str, ...]:
    """Return the accounts of a person, or of an identity that nobody has: itself."""
    known = policy.persons.get(person)
    return (person,) if known is None else known.identities


def merge(leaves: Iterable[Leave | Away]) -> tuple[Away, ...]:
    """Join leaves that overlap or touch, by their start."""
    merged: list[Away] = []
    for leave in sorted(leaves, key=lambda each: each.starts_s):
        if merged and leave.starts_s <= merged[-1].ends_s:
            ends_s = max(merged[-1].ends_s, leave.ends_s)
            merged[-1] = Away(starts_s=merged[-1].starts_s, ends_s=ends_s)
        else:
            merged.append(Away(starts_s=leave.starts_s, ends_s=leave.ends_s))
    return tuple(merged)
