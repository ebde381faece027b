"""Plans against decisions: what decides otherwise stands in the plan, and what the plan says is so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from appliance.policy.document import Policy
from appliance.policy.plan import Plan, plan
from support.policies import CELLS, HOSTS, MOMENTS, NOW_S, Cell, Decided, decide, pairs

EXAMPLES = 60
Difference = tuple[Decided, Decided]


def rows_of(planned: Plan, cell: Cell, host_groups: set[str]) -> set[str]:
    """Return the kinds of the lines that speak of whoever asks, where he asks."""
    name, kind = str(cell.identity), cell.identity.kind
    found = {(each.who, each.host_group): each.kind for each in planned.changes if each.login == cell.login}
    kinds = set[str]()
    for host_group in host_groups:
        own = f"service {name}" if kind == "service" and (f"service {name}", host_group) in found else name
        for who in (own, *(f"group {group}" for group in cell.identity.groups)):
            kinds |= {found[who, host_group]} if (who, host_group) in found else set()
    return kinds


def settings_of(planned: Plan, cell: Cell, host_groups: set[str]) -> list[str]:
    """Return the settings that speak of where he asks, or of when."""
    groups = {f"host group {name}" for name in host_groups}
    order = {f"order at {cell.login}@{name}" for name in host_groups} if cell.identity.groups else set()
    found = [each.what for each in planned.settings]
    return [what for what in found if what in groups | order or what.startswith(("person ", "holidays of "))]


def host_groups_of(before: Policy, after: Policy, cell: Cell) -> set[str]:
    if cell.host is None:
        assert cell.host_group is not None
        return {cell.host_group}
    host = HOSTS[cell.host]
    return {group.name for policy in (before, after) for group in policy.fleets.of_host(host)}


def differences(before: Policy, after: Policy, cell: Cell, moments: Iterable[int]) -> Iterator[Difference]:
    for moment_s in moments:
        for was, becomes in zip(decide(before, cell, moment_s), decide(after, cell, moment_s), strict=True):
            if was != becomes:
                yield was, becomes


def test_whatever_is_decided_otherwise_stands_in_the_plan() -> None:
    counted: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, phases=[Phase.generate], database=None, deadline=None)
    @given(pairs(), st.sets(st.sampled_from(MOMENTS), min_size=5, max_size=5))
    def check(pair: tuple[Policy, Policy], moments: set[int]) -> None:
        planned = plan(*pair, HOSTS.values(), now_s=NOW_S)
        counted["plans"] += 1
        differs = False
        for cell in CELLS:
            host_groups = host_groups_of(*pair, cell)
            rows, said = rows_of(planned, cell, host_groups), settings_of(planned, cell, host_groups)
            found = list(differences(*pair, cell, moments))
            counted["cells"] += 1
            counted["silent"] += not (rows or said)
            if not found:
                continue
            differs = True
            counted["differ"] += 1
            assert rows or said, (cell, found[0])
            counted["by a setting alone"] += not rows
            if cell.identity.groups or cell.host is not None or said or len(rows) != 1:
                continue
            counted["judged"] += 1
            counted.update(rows)
            check_kind(rows.pop(), found)
        counted["differing plans"] += differs
        counted["empty plans"] += planned.is_empty

    check()
    # Of 500 examples 267 plans and 2638 cells differed, and 139 plans were empty; else it would say little.
    assert counted["plans"] >= EXAMPLES
    assert counted["differing plans"] * 4 > counted["plans"]
    assert counted["differ"] > EXAMPLES
    assert counted["silent"] > counted["cells"] // 4
    assert {"gains", "loses", "loosens", "tightens", "changes"} <= counted.keys()


def check_kind(kind: str, found: list[Difference]) -> None:
    """Check the word for a change by what was obtained before and after, and for how long."""
    if kind == "gains":
        assert not any(was.profiles for was, _ in found)
    if kind == "loses":
        assert not any(becomes.profiles for _, becomes in found)
    for was, becomes in found:
        assert not (kind == "tightens" and was.ends_s < becomes.ends_s and not was.is_ahead)
        assert not (kind == "loosens" and becomes.ends_s < was.ends_s and not was.is_ahead)
