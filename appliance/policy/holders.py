"""Who holds which grants, and which are on which hosts, indexed: a decision looks at few of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeVar

from appliance.identity.identity import Identity

if TYPE_CHECKING:
    from appliance.policy.tables import Group, HostGroup, Who

# A provider's group by its name, which the requester brings; one of the document as (name,), which nobody can
# bring, whatever his provider calls its groups.
_GroupKey = str | tuple[str]
_K = TypeVar("_K")
# Places in the policy's list of grants.
_Places = Mapping[_K, Sequence[int]]
_Index = defaultdict[_K, list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """The places of grants, by what their ``who`` names, by where they are on, and by their own names.

    ``groups`` are the document's and the providers'; ``memberships`` say in which of the former somebody is,
    so that nothing is multiplied by the members of a group. ``on`` has for each host group the places by
    group, and ``host_groups`` all of them; ``whose`` has the groups of each place.
    """

    users: _Places[str] = field(default_factory=dict)
    services: _Places[str] = field(default_factory=dict)
    groups: _Places[_GroupKey] = field(default_factory=dict)
    memberships: Mapping[str, frozenset[_GroupKey]] = field(default_factory=dict)
    on: Mapping[str, _Places[_GroupKey]] = field(default_factory=dict)
    host_groups: Mapping[str, frozenset[int]] = field(default_factory=dict)
    names: _Places[str] = field(default_factory=dict)
    whose: Sequence[Sequence[_GroupKey]] = ()

    def held_by(self, identity: Identity) -> list[int]:
        """Return the places of the grants that cover an identity, in the order of the document."""
        return sorted({*self._named(identity), *_find(self.groups, self._groups_of(identity))})

    def covers_any(self, identity: Identity) -> bool:
        """Say whether any grant covers an identity."""
        return bool(self._named(identity)) or any(map(self.groups.__contains__, self._groups_of(identity)))

    def held_on(self, identity: Identity, host_groups: Collection[str]) -> list[int]:
        """Return the places of the grants that cover an identity and are on one of the host groups."""
        groups, named = self._groups_of(identity), self._named(identity)
        found: set[int] = set()
        for name in host_groups:
            if name in self.on:
                found.update(_find(self.on[name], groups))
            if named:
                found.update(self.host_groups.get(name, frozenset()).intersection(named))
        return sorted(found)

    def held_named(self, identity: Identity, name: str) -> list[int]:
        """Return the places of the grants of a name that cover an identity."""
        named, groups = self._named(identity), self._groups_of(identity)
        return [
            place
            for place in self.names.get(name, ())
            if place in named or not groups.isdisjoint(self.whose[place])
        ]

    def _named(self, identity: Identity) -> Sequence[int]:
        named = self.services if identity.kind == "service" else self.users
        return named.get(str(identity), ())

    def _groups_of(self, identity: Identity) -> frozenset[_GroupKey]:
        members_of = self.memberships.get(str(identity))
        return identity.groups if members_of is None else identity.groups | members_of


def _find(places: _Places[_GroupKey], names: frozenset[_GroupKey]) -> Iterator[int]:
    # The view's intersection goes through the smaller of the two.
    return chain.from_iterable([places[name] for name in places.keys() & names])


def index_holders(entries: Iterable[tuple[str, Who, Sequence[str]]], groups: Mapping[str, Group]) -> Holders:
    """Index what has a name, a ``who`` and host groups that it is on: grants, and limits, which are on none.

    A group that the document does not have holds nothing.
    """
    users: _Index[str] = defaultdict(list)
    services: _Index[str] = defaultdict(list)
    by_group: _Index[_GroupKey] = defaultdict(list)
    names: _Index[str] = defaultdict(list)
    host_groups: _Index[str] = defaultdict(list)
    on: defaultdict[str, _Index[_GroupKey]] = defaultdict(lambda: defaultdict(list))
    whose: list[tuple[_GroupKey, ...]] = []
    for place, (own_name, who, placed_on) in enumerate(entries):
        whose.append(tuple(name if ":" in name else (name,) for name in who.groups))
        names[own_name].append(place)
        for name in who.users:
            users[name].append(place)
        for name in who.services:
            services[name].append(place)
        for name in placed_on:
            host_groups[name].append(place)
        for key in whose[-1]:
            for index in (by_group, *(on[name] for name in placed_on)):
                index[key].append(place)
    memberships: defaultdict[str, set[_GroupKey]] = defaultdict(set)
    for each in groups.values():
        for member in each.members:
            memberships[member].add((each.name,))
    return Holders(
        users=dict(users),
        services=dict(services),
        groups=dict(by_group),
        memberships={name: frozenset(member_of) for name, member_of in memberships.items()},
        on={name: dict(places) for name, places in on.items()},
        host_groups={name: frozenset(places) for name, places in host_groups.items()},
        names=dict(names),
        whose=whose,
    )


class Member(Protocol):
    """A host, as far as its groups go."""

    @property
    def name(self) -> str:
        """Its registered name."""

    @property
    def labels(self) -> Collection[tuple[str, str]]:
        """Its labels."""

    def is_in(self, group: HostGroup) -> bool:
        """Say whether it belongs to a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleets:
    """The host groups by what a host must have to be in one: its name, or the group's rarest label."""

    by_host: Mapping[str, Sequence[HostGroup]] = field(default_factory=dict)
    by_label: Mapping[tuple[str, str], Sequence[HostGroup]] = field(default_factory=dict)

    def of_host(self, host: Member) -> Iterator[HostGroup]:
        """Yield the host groups that a host is in."""
        found = chain(
            self.by_host.get(host.name, ()), *(self.by_label.get(label, ()) for label in host.labels)
        )
        return (group for group in found if host.is_in(group))


def index_host_groups(groups: Iterable[HostGroup]) -> Fleets:
    """Index host groups."""
    listed = list(groups)
    numbers = Counter(label for group in listed for label in (group.match or {}).items())
    by_host: dict[str, list[HostGroup]] = {}
    by_label: dict[tuple[str, str], list[HostGroup]] = {}
    for group in listed:
        for name in group.hosts:
            by_host.setdefault(name, []).append(group)
        if group.match:
            rarest = min(group.match.items(), key=lambda label: numbers[label])
            by_label.setdefault(rarest, []).append(group)
    return Fleets(by_host=by_host, by_label=by_label)
