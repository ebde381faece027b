"""Who could obtain what: a policy's grants, each with everyone and every principal that it names.

Nothing is multiplied out in advance: a thousand grants to groups of a thousand members on ten host groups are
ten million lines, of which a question wants a hundred.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from appliance.policy.document import FiledGrant, Policy
from appliance.policy.roles import ALL, Customers, is_seen
from appliance.policy.tables import Group, HostGroup, Who

HolderKind = Literal["user", "service", "member", "group"]
# Where a line stands: the grant, whom it names, the host group, the login; each by its number.
Line = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whom a grant names: a user, a service, a member of the document's groups, or a provider's group.

    ``through`` are the document's groups that he is in. Who is in a provider's group is not on record.
    """

    subject: str
    kind: HolderKind
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    """One line: this holder can obtain this login on this host group by this grant."""

    line: Line
    holder: Holder
    filed: FiledGrant
    group: HostGroup
    login: str


class Reach:
    """A policy, arranged by whom its grants name and by which host groups they are on."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._of_subject: defaultdict[str, set[int]] = defaultdict(set)
        self._of_host_group: defaultdict[str, set[int]] = defaultdict(set)
        of_group: defaultdict[str, set[int]] = defaultdict(set)
        for number, filed in enumerate(policy.grants):
            who = filed.grant.who
            for name in (*who.users, *who.services):
                self._of_subject[name].add(number)
            for name in who.groups:
                (self._of_subject if ":" in name else of_group)[name].add(number)
            for name in filed.grant.on:
                self._of_host_group[name].add(number)
        for name, numbers in of_group.items():
            for member in policy.groups[name].members:
                self._of_subject[member] |= numbers

    def lines(
        self,
        *,
        subjects: Collection[str] | None,
        host_groups: frozenset[str] | None,
        login: str | None,
        customer: str | None,
        after: Line,
        customers: Customers = ALL,
    ) -> Iterator[Reachable]:
        """Yield the lines after a place, in the order of the document; None asks for all."""
        for number in self._grants(subjects, host_groups, after[0]):
            filed = self._policy.grants[number]
            places = [
                (on, as_, group, name)
                for on, group in enumerate(self._policy.host_groups[each] for each in filed.grant.on)
                if (host_groups is None or group.name in host_groups)
                and (customer is None or group.customer == customer)
                and is_seen(group.customer, customers)
                for as_, name in enumerate(filed.grant.logins)
                if login is None or name == login
            ]
            for who, holder in self._holders(filed, subjects):
                for on, as_, group, name in places:
                    line = (number, who, on, as_)
                    if line > after:
                        yield Reachable(line=line, holder=holder, filed=filed, group=group, login=name)

    def _grants(
        self, subjects: Collection[str] | None, host_groups: frozenset[str] | None, first: int
    ) -> Iterator[int]:
        """Yield the numbers of the grants that can have lines, from one on."""
        numbers = set(range(max(0, first), len(self._policy.grants)))
        if subjects is not None:
            numbers &= set[int]().union(*(self._of_subject.get(name, set()) for name in subjects))
        if host_groups is not None:
            numbers &= set[int]().union(*(self._of_host_group.get(name, set()) for name in host_groups))
        yield from sorted(numbers)

    def _holders(self, filed: FiledGrant, subjects: Collection[str] | None) -> Iterator[tuple[int, Holder]]:
        """Yield whom a grant names, each once and with the number that he always has."""
        for number, holder in enumerate(list_holders(self._policy.groups, filed.grant.who)):
            if subjects is None or holder.subject in subjects:
                yield number, holder


def list_holders(groups: Mapping[str, Group], who: Who) -> Iterator[Holder]:
    """Yield whom a grant names, each once: users, services, providers' groups, then members."""
    through: dict[str, list[str]] = {}
    for name in who.groups:
        for member in () if ":" in name else groups[name].members:
            through.setdefault(member, []).append(name)
    direct: dict[str, HolderKind] = {}
    kinds: tuple[tuple[HolderKind, Iterable[str]], ...] = (
        ("user", who.users),
        ("service", who.services),
        ("group", (name for name in who.groups if ":" in name)),
        ("member", through),
    )
    for kind, names in kinds:
        for name in names:
            direct.setdefault(name, kind)
    for name, kind in direct.items():
        yield Holder(subject=name, kind=kind, through=tuple(through.get(name, ())))
