"""What locks and leave make of a plan: who gains something later only, and whose lock or leave it touches.

Locks on persons and on the document's groups, and leave, follow the policy: whoever is taken out of a locked
group is not locked by it any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from appliance.policy.circumstances import Away
from appliance.policy.document import Policy
from appliance.policy.locks import Locks, Target
from appliance.policy.zones import format_moment

_MAX_LEAVES = 5


class Leave(Protocol):
    """A leave: whose, and the accounts that he had when it was booked."""

    @property
    def person(self) -> str:
        """A person of the policy, or an account that nobody had."""

    @property
    def identities(self) -> tuple[str, ...]:
        """The accounts."""


class Leaves(Protocol):
    """All leaves that are not over."""

    def of(self, policy: Policy, identity: str) -> tuple[Away, ...]:
        """Return when the person who has an account is away, by start."""

    def __iter__(self) -> Iterator[Leave]: ...


class Barred(NamedTuple):
    """The entry of the lock that is on somebody, and until when he is away."""

    locked: int | None = None
    away_until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingChange:
    """An account whose lock or leave another policy starts or ends; in words, empty where there is none."""

    who: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The locks in force and the leaves at a moment."""

    now_s: int
    locks: Locks
    leaves: Leaves

    def find(self, policy: Policy, who: str, host_group: str) -> Barred:
        """Return what bars a line of access (``provider:subject``, ``service …``, ``group …``)."""
        kind, _, name = who.rpartition(" ")
        of_holder = [Target("group", name)] if kind == "group" else self.locks.targets_of(policy, name, ())
        lock = self.locks.find([*of_holder, *_ca(policy, host_group)])
        now = (
            []
            if kind == "group"
            else [each for each in self.leaves.of(policy, name) if each.starts_s <= self.now_s]
        )
        ends_s = max((each.ends_s for each in now if each.ends_s > self.now_s), default=None)
        return Barred(None if lock is None else lock.seq, ends_s)

    def compare(self, before: Policy, after: Policy) -> Iterator[StandingChange]:
        """Yield the accounts whose lock or leave only one of two policies has."""
        for who in sorted({*self._find_locked(before, after), *self._find_away(before, after)}):
            was, becomes = (tuple(self._say(policy, who)) for policy in (before, after))
            if was != becomes:
                yield StandingChange(who=who, before=was, after=becomes)

    def _find_locked(self, before: Policy, after: Policy) -> Iterator[str]:
        """Yield whom a lock on a person or a group can be on by one policy and not by the other."""
        for lock in self.locks.of_kind("person"):
            yield from lock.accounts
            yield from _accounts(before, lock.target.name) ^ _accounts(after, lock.target.name)
        for lock in self.locks.of_kind("group"):
            yield from _members(before, lock.target.name) ^ _members(after, lock.target.name)

    def _find_away(self, before: Policy, after: Policy) -> Iterator[str]:
        for leave in self.leaves:
            names = {leave.person, *leave.identities}
            for policy in (before, after):
                persons = {policy.who_is(name) for name in names} | names
                for person in persons:
                    yield from _accounts(policy, person)

    def _say(self, policy: Policy, who: str) -> Iterator[str]:
        lock = self.locks.find(self.locks.targets_of(policy, who, ()))
        if lock is not None:
            yield f"locked by entry {lock.seq}"
        for away in self.leaves.of(policy, who)[:_MAX_LEAVES]:
            if away.ends_s > self.now_s:
                begins = f" from {format_moment(away.starts_s)}" if away.starts_s > self.now_s else ""
                yield f"on leave{begins} until {format_moment(away.ends_s)}"


def _ca(policy: Policy, host_group: str) -> Iterable[Target]:
    group = policy.host_groups.get(host_group)
    return [] if group is None else [Target("ca", policy.customers[group.customer].user_ca)]


def _accounts(policy: Policy, person: str) -> frozenset[str]:
    known = policy.persons.get(person)
    return frozenset({person} if ":" in person else ()) if known is None else frozenset(known.identities)


def _members(policy: Policy, group: str) -> frozenset[str]:
    known = policy.groups.get(group)
    return frozenset() if known is None else frozenset(known.members)
