"""What another policy would change: who gains and who loses which login where, and which limits move.

Lines of access are compared, and not texts: who (an account, or a provider's group) may log in as whom on
which host group, and on what terms. A grant that is renamed and says the same changes nothing; somebody who
becomes a member of a group gains what its grants give. What a policy says beside its grants is compared too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

from appliance.policy.document import Policy
from appliance.policy.holders import Member
from appliance.policy.planning.access import Access, AccessComparison, Line
from appliance.policy.planning.place import MAX_CHANGES, Kind
from appliance.policy.planning.settings import Setting, compare_settings, describe_operator
from appliance.policy.planning.standing import Barred, Standing, StandingChange
from appliance.policy.schedules import LOOK_BACK
from appliance.policy.zones import format_moment

# For how long ahead holidays are looked at day by day, line by line.
_YEAR: Final = 366
# Hosts named of one host group, coming and going each.
_MAX_HOSTS: Final = 100
PARTS: Final = ("not_compared", "hosts", "operators", "settings", "standing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of access that changes: who, as which login, on which host group, and how.

    ``before`` and ``after`` are the terms, each an alternative in words, in the order in which they count;
    empty where there is no access. By the new policy it is of no use while ``locked``, the entry of a lock,
    is in force, nor until ``away_until``, when leave ends.
    """

    kind: Kind
    who: str
    login: str
    host_group: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    locked: int | None
    away_until: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostChange:
    """A host group whose registered hosts change; ``more`` come or go beside those that are named."""

    host_group: str
    gains: tuple[str, ...]
    loses: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorChange:
    """An operator whose roles, customers, keys or identities change; in words, empty where he is none."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that changes; of each part the first, while ``counts`` are of all changes of access, by kind.

    ``more`` is how many more there are of the other parts. ``complete``: all lines were compared; else some
    logins of ``not_compared`` host groups were not, and nothing is said of them. ``standing`` is None where
    nothing is known of locks and leave.
    """

    changes: tuple[Change, ...]
    counts: Mapping[Kind, int]
    not_compared: tuple[str, ...]
    hosts: tuple[HostChange, ...]
    operators: tuple[OperatorChange, ...]
    settings: tuple[Setting, ...]
    standing: tuple[StandingChange, ...] | None
    more: Mapping[str, int]

    @property
    def complete(self) -> bool:
        """Whether all lines were compared."""
        return not self.not_compared

    @property
    def left_out(self) -> int:
        """How many changes of access more there are."""
        return sum(self.counts.values()) - len(self.changes)

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        parts = (self.counts, self.not_compared, self.hosts, self.operators, self.settings, self.standing)
        return not any(parts)

    def to_data(self) -> dict[str, Any]:
        """Return the plan as JSON data."""
        return {
            "changes": [_change_to_data(each) for each in self.changes],
            "counts": {kind: self.counts.get(kind, 0) for kind in get_args(Kind)},
            "left_out": self.left_out,
            "complete": self.complete,
            "not_compared": list(self.not_compared),
            "hosts": [_to_data(each) for each in self.hosts],
            "operators": [_to_data(each) for each in self.operators],
            "settings": [_to_data(each) for each in self.settings],
            "standing": None if self.standing is None else [_to_data(each) for each in self.standing],
            "more": {part: self.more.get(part, 0) for part in PARTS},
        }


def _change_to_data(change: Change) -> dict[str, Any]:
    data = _to_data(change)
    if change.away_until is not None:
        data["away_until"] = format_moment(change.away_until)
    return {name: value for name, value in data.items() if value is not None}


def _to_data(part: Change | HostChange | OperatorChange | Setting | StandingChange) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(part).items()}


def plan(
    before: Policy,
    after: Policy,
    hosts: Iterable[Member] = (),
    standing: Standing | None = None,
    *,
    now_s: int,
) -> Plan:
    """Compare two policies.

    1. The lines of access, place by place: what only one of them has is gained or lost; what both have on
       other terms is looser or tighter.
    2. What locks and leave make of these, if they are known, and which of them the policy itself changes.
    3. All else that a policy says.
    """
    today = datetime.fromtimestamp(now_s, UTC).date()
    # What is open now may have been so for days, and somewhere it is another day.
    days = [today + timedelta(days=number) for number in range(-LOOK_BACK - 1, _YEAR)]
    access = AccessComparison(before, after, days).compare()
    parts: dict[str, Sequence[Any]] = {
        "not_compared": access.not_compared,
        "hosts": list(_compare_hosts(before, after, hosts)),
        "operators": list(_compare_operators(before, after)),
        "settings": [*_say_swaps(access), *compare_settings(before, after, days[0])],
        "standing": [] if standing is None else list(standing.compare(before, after)),
    }
    shown = {part: tuple(each[:MAX_CHANGES]) for part, each in parts.items()}
    return Plan(
        changes=tuple(_stand(standing, after, line) for line in access.lines),
        counts=access.counts,
        not_compared=shown["not_compared"],
        hosts=shown["hosts"],
        operators=shown["operators"],
        settings=shown["settings"],
        standing=None if standing is None else shown["standing"],
        more={part: len(each) - len(shown[part]) for part, each in parts.items()},
    )


def _stand(standing: Standing | None, after: Policy, line: Line) -> Change:
    barred = Barred() if standing is None else standing.find(after, line.who, line.host_group)
    return Change(**line._asdict(), **barred._asdict())


def _say_swaps(access: Access) -> Iterator[Setting]:
    """Yield where another one of two terms comes first for whoever has both, since a group of his has one."""
    for swap in access.swaps:
        yield Setting(
            what=f"order at {swap.login}@{swap.host_group}",
            before=(f"{swap.first} before {swap.second}",),
            after=(f"{swap.second} before {swap.first}",),
        )


def _compare_hosts(before: Policy, after: Policy, hosts: Iterable[Member]) -> Iterator[HostChange]:
    gained: defaultdict[str, list[str]] = defaultdict(list)
    lost: defaultdict[str, list[str]] = defaultdict(list)
    for host in hosts:
        was, becomes = ({group.name for group in policy.fleets.of_host(host)} for policy in (before, after))
        for name in was - becomes:
            lost[name].append(host.name)
        for name in becomes - was:
            gained[name].append(host.name)
    for name in sorted(gained.keys() | lost.keys()):
        gains, loses = sorted(gained[name]), sorted(lost[name])
        shown = (tuple(gains[:_MAX_HOSTS]), tuple(loses[:_MAX_HOSTS]))
        more = len(gains) + len(loses) - sum(map(len, shown))
        yield HostChange(host_group=name, gains=shown[0], loses=shown[1], more=more)


def _compare_operators(before: Policy, after: Policy) -> Iterator[OperatorChange]:
    for name in sorted(before.operators.keys() | after.operators.keys()):
        was, becomes = (describe_operator(policy.operators.get(name)) for policy in (before, after))
        if was != becomes:
            yield OperatorChange(name=name, before=was, after=becomes)
