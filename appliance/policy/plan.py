"""What another policy would change: who gains and who loses which login where, and which limits move.

Lines of access are compared, and not texts: who (an account, or a provider's group) may log in as whom on
which host group, and on what terms. A grant that is renamed and says the same changes nothing; somebody who
becomes a member of a group gains what its grants give.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Protocol, get_args

from appliance.policy.document import Policy
from appliance.policy.limits import Limits, limits_of
from appliance.policy.tables import Grant, HostGroup, Operator
from appliance.ssh.keys import fingerprint

# A reader reads some changes of many; the others are counted.
MAX_CHANGES: Final = 1_000
# Of those that are compared; a policy that multiplies out to more is compared in part, and the plan says so.
MAX_LINES: Final = 500_000

Kind = Literal["gains", "loses", "loosens", "tightens", "changes"]
Place = tuple[str, str]
Lines = Mapping[tuple[str, str, str], frozenset[Limits]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of access that changes: who, as which login, on which host group, and how.

    ``before`` and ``after`` are the terms, each an alternative in words; empty where there is no access.
    """

    kind: Kind
    who: str
    login: str
    host_group: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostChange:
    """A host group whose registered hosts change."""

    host_group: str
    gains: tuple[str, ...]
    loses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorChange:
    """An operator whose roles, keys or identities change; in words, empty where he is none."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that changes; of ``changes`` the first, while ``counts`` are of all, by kind.

    ``complete``: all lines were compared.
    """

    changes: tuple[Change, ...]
    counts: Mapping[Kind, int]
    complete: bool
    hosts: tuple[HostChange, ...]
    operators: tuple[OperatorChange, ...]

    @property
    def left_out(self) -> int:
        """How many changes more there are."""
        return sum(self.counts.values()) - len(self.changes)

    def to_data(self) -> dict[str, Any]:
        """Return the plan as JSON data."""
        return {
            "changes": [_to_data(each) for each in self.changes],
            "counts": {kind: self.counts.get(kind, 0) for kind in get_args(Kind)},
            "left_out": self.left_out,
            "complete": self.complete,
            "hosts": [_to_data(each) for each in self.hosts],
            "operators": [_to_data(each) for each in self.operators],
        }


def _to_data(change: Change | HostChange | OperatorChange) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(change).items()
    }


class Member(Protocol):
    """A registered host."""

    @property
    def name(self) -> str:
        """Its name."""

    def is_in(self, group: HostGroup) -> bool:
        """Say whether it belongs to a group."""


def plan(before: Policy, after: Policy, hosts: Iterable[Member] = ()) -> Plan:
    """Compare two policies.

    1. Grants that both have, and that say the same in both, change nothing by themselves.
    2. Where the others are, all lines of both policies are written out: somebody may have the same by
       another grant.
    3. What only one of them has is gained or lost; what both have on other terms is looser or tighter.
    """
    places = _changed_places(before, after)
    old, new = _Lines(before, places), _Lines(after, places)
    changes = sorted(_compare(old.lines, new.lines), key=lambda each: (each.host_group, each.login, each.who))
    return Plan(
        changes=tuple(changes[:MAX_CHANGES]),
        counts=Counter(change.kind for change in changes),
        complete=old.complete and new.complete,
        hosts=tuple(_compare_hosts(before, after, list(hosts))),
        operators=tuple(_compare_operators(before, after)),
    )


def _changed_places(before: Policy, after: Policy) -> frozenset[Place]:
    """Return the host groups and logins of the grants that only one policy has, in what they mean."""
    old, new = _grants(before), _grants(after)
    changed = [*(old - new).items(), *(new - old).items()]
    return frozenset((group, login) for (_, on, logins, _), _ in changed for group in on for login in logins)


# Whom a grant names: accounts and providers' groups by name, groups of the document by who is in them.
_Who = frozenset[str | frozenset[str]]
_Meaning = tuple[_Who, tuple[str, ...], tuple[str, ...], Limits]


def _grants(policy: Policy) -> Counter[_Meaning]:
    members = {name: frozenset(group.members) for name, group in policy.groups.items()}
    return Counter(
        (_who(members, filed.grant), filed.grant.on, filed.grant.logins, limits_of(policy, filed.grant))
        for filed in policy.grants
    )


def _who(members: Mapping[str, frozenset[str]], grant: Grant) -> _Who:
    who = grant.who
    return frozenset([*who.users, *who.services, *(members.get(name, name) for name in who.groups)])


def _holders(policy: Policy, grant: Grant) -> Iterator[str]:
    """Yield whom a grant names: accounts, members of the document's groups, and providers' groups as such."""
    yield from grant.who.users
    yield from grant.who.services
    for name in grant.who.groups:
        if ":" in name:
            yield f"group {name}"
        else:
            yield from policy.groups[name].members


class _Lines:
    """The lines of a policy at some places, as many as are compared."""

    def __init__(self, policy: Policy, places: Collection[Place]) -> None:
        found: defaultdict[tuple[str, str, str], set[Limits]] = defaultdict(set)
        self.complete = True
        for filed in policy.grants:
            grant = filed.grant
            here = [(on, login) for on in grant.on for login in grant.logins if (on, login) in places]
            if not here:
                continue
            if len(found) > MAX_LINES:
                self.complete = False
                break
            limits = limits_of(policy, grant)
            for who in _holders(policy, grant):
                for on, login in here:
                    found[who, login, on].add(limits)
        self.lines: Lines = {key: _drop_needless(limits) for key, limits in found.items()}


def _drop_needless(limits: set[Limits]) -> frozenset[Limits]:
    """Leave out what is within something else: it gives nothing more."""
    if len(limits) == 1:
        return frozenset(limits)
    kept: list[Limits] = []
    for each in limits:
        if not any(each.is_within(other) for other in kept):
            kept = [other for other in kept if not other.is_within(each)] + [each]
    return frozenset(kept)


def _compare(old: Lines, new: Lines) -> Iterator[Change]:
    for key in old.keys() | new.keys():
        before, after = old.get(key, frozenset()), new.get(key, frozenset())
        kind = _kind(before, after)
        if kind is not None:
            who, login, host_group = key
            yield Change(
                kind=kind,
                who=who,
                login=login,
                host_group=host_group,
                before=tuple(sorted(map(str, before))),
                after=tuple(sorted(map(str, after))),
            )


def _kind(before: frozenset[Limits], after: frozenset[Limits]) -> Kind | None:
    if before == after:
        return None
    if not before or not after:
        return "gains" if after else "loses"
    wider = not all(any(one.is_within(other) for other in before) for one in after)
    narrower = not all(any(one.is_within(other) for other in after) for one in before)
    if wider and narrower:
        return "changes"
    return "loosens" if wider else "tightens" if narrower else None


def _compare_hosts(before: Policy, after: Policy, hosts: Collection[Member]) -> Iterator[HostChange]:
    for name in sorted(before.host_groups.keys() | after.host_groups.keys()):
        old, new = before.host_groups.get(name), after.host_groups.get(name)
        if old == new:
            continue
        had = {host.name for host in hosts if old is not None and host.is_in(old)}
        has = {host.name for host in hosts if new is not None and host.is_in(new)}
        if had != has:
            yield HostChange(host_group=name, gains=tuple(sorted(has - had)), loses=tuple(sorted(had - has)))


def _compare_operators(before: Policy, after: Policy) -> Iterator[OperatorChange]:
    for name in sorted(before.operators.keys() | after.operators.keys()):
        was, becomes = (_describe(policy.operators.get(name)) for policy in (before, after))
        if was != becomes:
            yield OperatorChange(name=name, before=was, after=becomes)


def _describe(operator: Operator | None) -> tuple[str, ...]:
    if operator is None:
        return ()
    keys = sorted(fingerprint(key) for key in operator.keys)
    return (*sorted(operator.roles), *sorted(operator.identities), *keys)
