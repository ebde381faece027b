"""What grants mean, as numbers: those that say the same, in whichever words and policy, have the same one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Literal, NamedTuple

from appliance.policy.document import Policy
from appliance.policy.planning.limits import Limits, LimitsReader
from appliance.policy.tables import Grant

# How a grant names somebody: as a user, as a service, or by a group, whichever of them he is.
Way = Literal["user", "service", "group"]


class Meaning(NamedTuple):
    """What a grant says but for where and as whom.

    ``groups`` are the members of the document's, and the names of providers'; ``terms`` number its limits.
    """

    users: frozenset[str]
    services: frozenset[str]
    groups: frozenset[frozenset[str] | str]
    terms: int

    @property
    def holders(self) -> Iterator[tuple[Way, Iterable[str]]]:
        """Yield whom it names, and how; a provider's group is named as such."""
        yield "user", self.users
        yield "service", self.services
        for group in self.groups:
            yield "group", [f"group {group}"] if isinstance(group, str) else group

    @property
    def size(self) -> int:
        """How many it names."""
        of_groups = (1 if isinstance(group, str) else len(group) for group in self.groups)
        return len(self.users) + len(self.services) + sum(of_groups)


class Said(NamedTuple):
    """A grant as places have it: the number of its meaning, and its logins."""

    meaning: int
    logins: frozenset[str]


class Meanings:
    """The meanings and the limits of the grants of several policies, by their numbers."""

    def __init__(self, days: Sequence[date]) -> None:
        self._days = days
        self._meanings: dict[Meaning, int] = {}
        self._terms: dict[Limits, int] = {}
        self._members: dict[frozenset[str], frozenset[str]] = {}
        self._within: dict[tuple[int, int], bool] = {}
        self._needless: dict[tuple[int, int], bool] = {}
        self.listed: list[Meaning] = []
        self.limits: list[Limits] = []

    def read(self, policy: Policy) -> list[Said]:
        """Return the grants of a policy, in their order."""
        reader = LimitsReader(policy, self._days)
        groups = {name: self._share(group.members) for name, group in policy.groups.items()}
        return [
            Said(self._number(filed.grant, groups, reader.read(filed.grant)), frozenset(filed.grant.logins))
            for filed in policy.grants
        ]

    def is_within(self, one: int, other: int) -> bool:
        """Say whether some terms are nowhere wider than others, both by number."""
        found = self._within.get((one, other))
        if found is None:
            found = self._within[one, other] = self.limits[one].is_within(self.limits[other])
        return found

    def is_needless(self, one: int, earlier: int) -> bool:
        """Say whether some terms never count after others, both by number."""
        found = self._needless.get((one, earlier))
        if found is None:
            found = self.limits[one].is_needless_after(self.limits[earlier])
            self._needless[one, earlier] = found
        return found

    def _share(self, members: Iterable[str]) -> frozenset[str]:
        """Return the one object of all groups of these members: with itself it is compared in no time."""
        group = frozenset(members)
        return self._members.setdefault(group, group)

    def _number(self, grant: Grant, groups: dict[str, frozenset[str]], limits: Limits) -> int:
        terms = self._terms.setdefault(limits, len(self.limits))
        if terms == len(self.limits):
            self.limits.append(limits)
        meaning = Meaning(
            users=frozenset(grant.who.users),
            services=frozenset(grant.who.services),
            groups=frozenset(groups.get(name, name) for name in grant.who.groups),
            terms=terms,
        )
        number = self._meanings.setdefault(meaning, len(self.listed))
        if number == len(self.listed):
            self.listed.append(meaning)
        return number
