"""Who has what at one place, a login on a host group, by two policies, and what of it is different.

Many may hold what is there, by few grants: whoever is in the same grants, before and after, has the same
change, and it is found once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final, Literal, NamedTuple

from appliance.policy.planning.meaning import Meanings, Way

# A reader reads some changes of many; the others are counted.
MAX_CHANGES: Final = 1_000
# So many comparisons of terms take as long as finding somebody among the holders of a grant.
_CHEAP: Final = 8

Kind = Literal["gains", "loses", "loosens", "tightens", "changes"]


class Budget:
    """How much more may be looked at. Not to be shared by threads."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, number: int) -> bool:
        """Take so much, if it is there."""
        if number > self._left:
            return False
        self._left -= number
        return True


class Place(NamedTuple):
    """The meanings of a place's grants, in the order of each policy, and the CA that would sign, of each."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    cas: tuple[str | None, str | None]

    @property
    def has_moved(self) -> bool:
        """Whether another CA would sign."""
        return self.cas[0] != self.cas[1]


class Moved(NamedTuple):
    """A change, without whose it is: the terms, by number, in the order in which they count."""

    kind: Kind
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The first changes of a place by who, and all by kind.

    ``swap`` are two terms, the first before and the first after, for whoever has both because he is in a
    provider's group.
    """

    shown: Sequence[tuple[str, Moved]]
    counts: Mapping[Kind, int]
    swap: tuple[int, int] | None


class _Step(NamedTuple):
    """Being named by one grant more: which one of which policy, and how; ``known`` is what was before."""

    known: int
    side: int
    position: int
    way: Way


# What somebody has, as positions of grants, before and after.
_Had = tuple[tuple[int, ...], tuple[int, ...]]


class _Kept(NamedTuple):
    """Terms that somebody has before and after, the position of the grant of each, and by what."""

    before: int
    after: int
    terms: int
    by_provider: bool


class PlaceComparison:
    """One place; ``meanings`` are those of both policies."""

    def __init__(self, meanings: Meanings, place: Place) -> None:
        self._meanings = meanings
        self._place = place
        self._terms = [[meanings.listed[each].terms for each in side] for side in place[:2]]

    def compare(self, budget: Budget) -> Compared | None:
        """Compare who has what; None if there is too much to look at.

        1. Who is in which grants: people of the same grants have the same change.
        2. What that is for a user and for a service: of what they have, what can count.
        3. Who is in a provider's group may have all that is here: for him the order of all of it counts.
        """
        named = (self._meanings.listed[each].size for each in (*self._place.before, *self._place.after))
        if not budget.take(sum(named)):
            return None
        changed: list[tuple[list[str], str, Moved]] = []
        kept: set[_Kept] = set()
        for who, known in self._find_holders():
            # What somebody has is compared with all else that he has.
            if not budget.take(len(known) ** 2 // _CHEAP):
                return None
            views = {way: self._view(known, way) for way in ("user", "service")}
            by_provider = who[0].startswith("group ")
            kept.update(each for had in views.values() for each in self._keep(had, by_provider=by_provider))
            for prefix, moved in self._list_changes(views["user"], views["service"]):
                changed.append((who, prefix, moved))
        counts: Counter[Kind] = Counter()
        for who, _, moved in changed:
            counts[moved.kind] += len(who)
        lines = ((prefix + name, moved) for who, prefix, moved in changed for name in who)
        return Compared(
            shown=nsmallest(MAX_CHANGES, lines, key=lambda line: line[0]),
            counts=counts,
            swap=_find_swap(kept),
        )

    def _find_holders(self) -> Iterator[tuple[list[str], list[_Step]]]:
        """Yield those who are in the same grants, and in which; those of a provider's group by themselves."""
        steps: dict[_Step, int] = {}
        reached: dict[str, int] = {}
        for side, grants in enumerate(self._place[:2]):
            for position, meaning in enumerate(grants):
                for way, names in self._meanings.listed[meaning].holders:
                    for name in names:
                        step = _Step(reached.get(name, 0), side, position, way)
                        reached[name] = steps.setdefault(step, len(steps) + 1)
        holders: defaultdict[tuple[int, bool], list[str]] = defaultdict(list)
        for name, number in reached.items():
            holders[number, name.startswith("group ")].append(name)
        listed = list(steps)
        for (number, _), who in holders.items():
            yield who, list(_trace(listed, number))

    def _view(self, steps: Iterable[_Step], kind: str) -> _Had:
        """Return what a user or a service has by these steps, as far as it can count."""
        sides: tuple[list[int], list[int]] = ([], [])
        for step in steps:
            if step.way in {kind, "group"}:
                self._add(sides[step.side], step)
        return tuple(sides[0]), tuple(sides[1])

    def _add(self, had: list[int], step: _Step) -> None:
        """Add a grant, unless it never counts after an earlier one."""
        terms = self._terms[step.side]
        if not any(self._meanings.is_needless(terms[step.position], terms[each]) for each in had):
            had.append(step.position)

    def _list_changes(self, user: _Had, service: _Had) -> Iterator[tuple[str, Moved]]:
        """Yield what changes for a user, and for a service of the same name where that is something else."""
        of_user, of_service = self._find_change(user), self._find_change(service)
        if of_user is not None:
            yield "", of_user
        if of_service is not None and of_service != of_user:
            yield "service ", of_service

    def _find_change(self, had: _Had) -> Moved | None:
        before, after = (
            tuple(terms[position] for position in side) for terms, side in zip(self._terms, had, strict=True)
        )
        kind = self._find_kind(before, after)
        return None if kind is None else Moved(kind, before, after)

    def _find_kind(self, before: tuple[int, ...], after: tuple[int, ...]) -> Kind | None:
        if not before or not after:
            return "gains" if after else "loses" if before else None
        if self._place.has_moved:
            return "changes"
        if before == after:
            return None
        wider, narrower = self._exceeds(after, before), self._exceeds(before, after)
        # Neither: the same can be had, and a request that names no grant gets something else of it.
        if wider == narrower:
            return "changes"
        return "loosens" if wider else "tightens"

    def _exceeds(self, some: Iterable[int], others: Sequence[int]) -> bool:
        return not all(any(self._meanings.is_within(one, other) for other in others) for one in some)

    def _keep(self, had: _Had, *, by_provider: bool) -> Iterator[_Kept]:
        """Yield the terms that are there before and after."""
        before, after = (
            {terms[position]: position for position in side}
            for terms, side in zip(self._terms, had, strict=True)
        )
        for terms in before.keys() & after.keys():
            yield _Kept(before[terms], after[terms], terms, by_provider)


def _trace(steps: Sequence[_Step], number: int) -> Iterator[_Step]:
    """Yield the steps that lead to the one of this number, the first one first."""
    found = []
    while number:
        found.append(steps[number - 1])
        number = found[-1].known
    return reversed(found)


def _find_swap(kept: Iterable[_Kept]) -> tuple[int, int] | None:
    """Return two terms that have changed places, of which a provider's group has one.

    It suffices to know, of those that came before, the last one after, and the last one of other terms.
    """
    last_of_all: list[_Kept] = []
    last_by_provider: list[_Kept] = []
    for each in sorted(kept):
        for other in last_of_all if each.by_provider else last_by_provider:
            if other.after > each.after and other.terms != each.terms:
                return other.terms, each.terms
        last_of_all = _latest([*last_of_all, each])
        if each.by_provider:
            last_by_provider = _latest([*last_by_provider, each])
    return None


def _latest(kept: Sequence[_Kept]) -> list[_Kept]:
    first = max(kept, key=lambda each: each.after)
    others = [each for each in kept if each.terms != first.terms]
    return [first, *([max(others, key=lambda each: each.after)] if others else [])]
