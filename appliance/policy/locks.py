"""Locks: what gets no more certificates until an operator lifts it. Pure.

A lock names one thing; a request, or a certificate, is of several: an identity, its person, its groups, the
key, the CA. What is locked is what has a target in common with a lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, get_args

from appliance.identity.identity import Identity
from appliance.policy.document import Policy

LockKind = Literal["person", "identity", "group", "service", "host", "key", "ca"]
KINDS: Final[tuple[LockKind, ...]] = get_args(LockKind)


class Target(NamedTuple):
    """What a lock can be on; the name is in the form of its kind, a key's is its fingerprint."""

    kind: LockKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A lock; ``seq`` is the entry that placed it, ``accounts`` are those that a locked person had then."""

    seq: int
    target: Target
    accounts: tuple[str, ...] = ()

    @property
    def targets(self) -> frozenset[Target]:
        """All that it is on: no later policy can take an account out of it."""
        return frozenset({self.target, *(Target("identity", name) for name in self.accounts)})


@dataclass(slots=True)
class Locks:
    """The locks in force, by their seq and by what they are on."""

    in_force: dict[int, Lock] = field(default_factory=dict)
    _on: dict[Target, dict[int, None]] = field(default_factory=dict)

    def place(self, lock: Lock) -> None:
        """Put a lock in force."""
        self.in_force[lock.seq] = lock
        for target in lock.targets:
            self._on.setdefault(target, {})[lock.seq] = None

    def lift(self, seq: int) -> None:
        """Take a lock out of force."""
        for target in self.in_force.pop(seq).targets:
            seqs = self._on[target]
            del seqs[seq]
            if not seqs:
                del self._on[target]

    def of_kind(self, kind: LockKind) -> list[Lock]:
        """Return the locks of a kind, the oldest first."""
        return [lock for lock in self.in_force.values() if lock.target.kind == kind]

    def find(self, targets: Iterable[Target]) -> Lock | None:
        """Return the oldest lock on any of these."""
        seqs = [seq for target in targets for seq in self._on.get(target, ())]
        return self.in_force[min(seqs)] if seqs else None

    def find_on(self, target: Target) -> Lock | None:
        """Return the lock that names exactly this."""
        named = (self.in_force[seq] for seq in self._on.get(target, ()))
        return next((lock for lock in named if lock.target == target), None)

    def on(self, policy: Policy, identity: Identity) -> Lock | None:
        """Return a lock that is on an identity, be it by its person, its account or a group."""
        if not self.in_force:
            return None
        return self.find(self.targets_of(policy, str(identity), identity.groups))

    def targets_of(self, policy: Policy, name: str, groups: Iterable[str]) -> Iterator[Target]:
        """Yield what an identity (``provider:subject``) is, as far as locks name it.

        ``groups`` are those that its provider says; of the document's, the locked ones that it is in.
        """
        yield Target("identity", name)
        yield Target("service", name)
        yield Target("person", policy.who_is(name))
        yield from (Target("group", group) for group in groups)
        member_of = policy.holders.memberships.get(name, frozenset())
        for lock in self.of_kind("group"):
            if (lock.target.name,) in member_of:
                yield lock.target


def say_locked(lock: Lock) -> str:
    """Say in words that something is locked, and by which entry."""
    return f"the {lock.target.kind} {lock.target.name} is locked (entry {lock.seq})"
