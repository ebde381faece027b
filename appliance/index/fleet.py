"""All hosts that were ever registered, and which of them a host group had at a moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from appliance.policy.document import Policy
from appliance.policy.tables import HostGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A registered host, as far as membership goes."""

    name: str
    customer: str
    labels: frozenset[tuple[str, str]]

    def is_in(self, group: HostGroup) -> bool:
        """Say whether the host belongs to the group, as :meth:`appliance.policy.evaluate.Host.is_in` does."""
        if self.customer != group.customer:
            return False
        if group.match is None:
            return self.name in group.hosts
        return self.labels.issuperset(group.match.items())


# A registration: the entry that made it, the one that ended it, and what it says.
Registration = tuple[int, int, Registered]


def groups_with(policy: Policy, host: Registered) -> tuple[HostGroup, ...]:
    """Return the host groups of a policy that a host is in."""
    return tuple(group for group in policy.host_groups.values() if host.is_in(group))


class Fleet:
    """Every registration on record.

    What belongs to a group of a policy is found once, for all moments; a moment takes those that counted.
    """

    def __init__(self, registrations: Iterable[Registration]) -> None:
        self._registrations = sorted(registrations, key=lambda each: each[2].name)
        self._in_group: dict[tuple[int, str], list[Registration]] = {}

    def registered(self, upto: int) -> list[Registered]:
        """Return the hosts that are registered after ``upto`` entries, by name."""
        return [host for seq, until, host in self._registrations if seq < upto <= until]

    def members(self, policy_seq: int, group: HostGroup, upto: int) -> tuple[str, ...]:
        """Return the hosts in a group of the policy ``policy_seq`` after ``upto`` entries, sorted."""
        key = (policy_seq, group.name)
        if key not in self._in_group:
            self._in_group[key] = self._find(group)
        return tuple(host.name for seq, until, host in self._in_group[key] if seq < upto <= until)

    def _find(self, group: HostGroup) -> list[Registration]:
        if group.match is None:
            names = set(group.hosts)
            places = [at for at, (_, _, host) in enumerate(self._registrations) if host.name in names]
        else:
            places = sorted(set.intersection(*(self._by_label[label] for label in group.match.items())))
        found = (self._registrations[at] for at in places)
        return [each for each in found if each[2].customer == group.customer]

    @cached_property
    def _by_label(self) -> Mapping[tuple[str, str], set[int]]:
        """The places of the registrations that have a label."""
        found: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        for at, (_, _, host) in enumerate(self._registrations):
            for label in host.labels:
                found[label].add(at)
        return found
