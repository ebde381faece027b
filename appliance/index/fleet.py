"""The hosts of a moment, and which of them a host group has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from appliance.policy.document import HostGroup, Policy


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


def groups_with(policy: Policy, host: Registered) -> tuple[HostGroup, ...]:
    """Return the host groups of a policy that a host is in."""
    return tuple(group for group in policy.host_groups.values() if host.is_in(group))


class Fleet:
    """All hosts that were registered at a moment. Members are found once for each group that is asked for."""

    def __init__(self, hosts: Iterable[Registered]) -> None:
        self._hosts: Mapping[str, Registered] = {host.name: host for host in hosts}
        self._members: dict[tuple[int, str], tuple[str, ...]] = {}

    def members(self, policy_seq: int, group: HostGroup) -> tuple[str, ...]:
        """Return the names of the hosts in a group of the policy that ``policy_seq`` applied, sorted."""
        key = (policy_seq, group.name)
        if key not in self._members:
            self._members[key] = tuple(sorted(self._find(group)))
        return self._members[key]

    def _find(self, group: HostGroup) -> Iterable[str]:
        if group.match is None:
            found = (self._hosts.get(name) for name in group.hosts)
            return [host.name for host in found if host is not None and host.customer == group.customer]
        alike = [self._by_label[group.customer, label] for label in group.match.items()]
        return set.intersection(*alike)

    @cached_property
    def _by_label(self) -> Mapping[tuple[str, tuple[str, str]], set[str]]:
        """The names of the hosts of a customer that have a label."""
        found: defaultdict[tuple[str, tuple[str, str]], set[str]] = defaultdict(set)
        for host in self._hosts.values():
            for label in host.labels:
                found[host.customer, label].add(host.name)
        return found
