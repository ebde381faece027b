"""Which lines of access another policy would change: who may log in as whom where, and on what terms.

It goes from place to place in their order and has one in memory at a time. Places with the same grants have
the same lines: a policy that multiplies out to millions is counted, and not written out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple

from appliance.policy.document import Policy
from appliance.policy.planning.meaning import Meanings, Said
from appliance.policy.planning.place import MAX_CHANGES, Budget, Compared, Kind, Place, PlaceComparison

# Holders and logins that are looked at: some seconds. What there is beyond is left out, by whole places.
MAX_LOOKED_AT: Final = 4_000_000
_MAX_KEPT: Final = 256


class Line(NamedTuple):
    """One line that changes, in words; the terms are alternatives, in the order in which they count."""

    kind: Kind
    who: str
    login: str
    host_group: str
    before: tuple[str, ...]
    after: tuple[str, ...]


class Swap(NamedTuple):
    """Terms at a place: ``first`` came first, and comes after ``second`` now."""

    login: str
    host_group: str
    first: str
    second: str


@dataclass(slots=True)
class Access:
    """The first lines in the order of their places, and how many there are by kind.

    ``swaps``: of which of two terms comes first, whoever is in a provider's group and has both is told that
    it is the other one. ``not_compared`` are host groups with more than is looked at.
    """

    lines: list[Line] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)
    swaps: list[Swap] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)


class AccessComparison:
    """Two policies side by side; their holidays are looked at for ``days``."""

    def __init__(self, before: Policy, after: Policy, days: Sequence[date]) -> None:
        self._policies = (before, after)
        self._meanings = Meanings(days)
        self._said = [self._meanings.read(policy) for policy in self._policies]
        self._kept: dict[Place, Compared] = {}
        self._budget = Budget(MAX_LOOKED_AT)
        self._found = Access()

    def compare(self) -> Access:
        """Compare all places, as far as there is not too much to look at."""
        names = {name for policy in self._policies for name in policy.holders.host_groups}
        for host_group in sorted(names):
            if not self._compare_host_group(host_group):
                self._found.not_compared.append(host_group)
        return self._found

    def _compare_host_group(self, host_group: str) -> bool:
        """Compare the logins of a host group; say whether all of them were."""
        grants = [list(self._on(side, host_group)) for side in (0, 1)]
        cas = (self._ca(0, host_group), self._ca(1, host_group))
        if grants[0] == grants[1] and cas[0] == cas[1]:
            return True
        if not self._budget.take(sum(len(said.logins) for said in (*grants[0], *grants[1]))):
            return False
        before, after = map(_by_login, grants)
        places = [
            (login, Place(tuple(before.get(login, ())), tuple(after.get(login, ())), cas))
            for login in sorted(before.keys() | after.keys())
        ]
        compared = [self._compare_place(host_group, login, place) for login, place in places]
        return all(compared)

    def _compare_place(self, host_group: str, login: str, place: Place) -> bool:
        if place.before == place.after and not place.has_moved:
            return True
        compared = self._kept.get(place) or self._compare_anew(place)
        if compared is None:
            return False
        self._take(host_group, login, place, compared)
        return True

    def _compare_anew(self, place: Place) -> Compared | None:
        compared = PlaceComparison(self._meanings, place).compare(self._budget)
        if compared is not None:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[place] = compared
        return compared

    def _take(self, host_group: str, login: str, place: Place, compared: Compared) -> None:
        found = self._found
        found.counts.update(compared.counts)
        for who, moved in compared.shown[: MAX_CHANGES - len(found.lines)]:
            before, after = self._say(moved.before, place, 0), self._say(moved.after, place, 1)
            found.lines.append(Line(moved.kind, who, login, host_group, before, after))
        if compared.swap is not None:
            first, second = (str(self._meanings.limits[terms]) for terms in compared.swap)
            found.swaps.append(Swap(login, host_group, first, second))

    def _say(self, terms: Iterable[int], place: Place, side: int) -> tuple[str, ...]:
        by = f"; signed by {place.cas[side]}" if place.has_moved else ""
        return tuple(f"{self._meanings.limits[each]}{by}" for each in terms)

    def _on(self, side: int, host_group: str) -> Iterator[Said]:
        """Yield the grants on a host group, in the order of the policy."""
        positions = self._policies[side].holders.host_groups.get(host_group, frozenset())
        return (self._said[side][position] for position in sorted(positions))

    def _ca(self, side: int, host_group: str) -> str | None:
        policy = self._policies[side]
        group = policy.host_groups.get(host_group)
        return None if group is None else policy.customers[group.customer].user_ca


def _by_login(grants: Iterable[Said]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for said in grants:
        for login in said.logins:
            found[login].append(said.meaning)
    return found
