"""Plans against decisions: what decides otherwise stands in the plan, and what the plan says is so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from appliance.policy.document import Policy
from appliance.policy.plan import Plan, plan
from support.policies import CELLS, HOSTS, MOMENTS, NOW_S, Cell, Decided, decide, pairs, rearranged

EXAMPLES = 40
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
    """Return the settings that speak of where he asks."""
    groups = {f"host group {name}" for name in host_groups}
    order = {f"order at {cell.login}@{name}" for name in host_groups} if cell.identity.groups else set()
    return [each.what for each in planned.settings if each.what in groups | order]


def is_said_elsewhere(planned: Plan, outcome: Decided) -> bool:
    """Say whether settings speak of who approves for whom, or of holidays that are not told line by line."""
    return any(
        (each.what.startswith("person ") and outcome.is_approved)
        or (each.what.startswith("holidays of ") and outcome.now_s > NOW_S + 366 * 86_400)
        for each in planned.settings
    )


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


def hold(pair: tuple[Policy, Policy], moments: set[int], counted: Counter[str]) -> None:
    """Hold a plan to what the two policies decide, and count what there was to hold it to."""
    planned = plan(*pair, HOSTS.values(), now_s=NOW_S)
    different = 0
    for cell in CELLS:
        host_groups = host_groups_of(*pair, cell)
        rows, said = rows_of(planned, cell, host_groups), settings_of(planned, cell, host_groups)
        found = [
            each for each in differences(*pair, cell, moments) if not is_said_elsewhere(planned, each[0])
        ]
        counted["silent"] += not (rows or said)
        different += bool(found)
        assert rows or said or not found, (cell, found[0])
        counted["by a setting alone"] += bool(found) and not rows
        if found and len(rows) == 1 and not (cell.identity.groups or cell.host or said):
            counted.update(rows)
            check_kind(rows.pop(), found)
    counted.update({"plans": 1, "cells": len(CELLS), "differ": different, "differing plans": different > 0})


MOMENT_SETS = st.sets(st.sampled_from(MOMENTS), min_size=5, max_size=5)
SETTINGS = settings(max_examples=EXAMPLES, phases=[Phase.generate], database=None, deadline=None)


@pytest.mark.timeout(240)
def test_whatever_is_decided_otherwise_stands_in_the_plan() -> None:
    counted: Counter[str] = Counter()
    SETTINGS(given(pairs(), MOMENT_SETS)(lambda pair, moments: hold(pair, moments, counted)))()
    # Else it would say little. Of 90 examples 54 plans and 594 of 2880 cells differed; of 2075 cells the
    # plans were silent.
    assert counted["differing plans"] * 6 > counted["plans"] >= EXAMPLES
    assert counted["differ"] > EXAMPLES
    assert counted["silent"] * 6 > counted["cells"]
    assert len({"gains", "loses", "loosens", "tightens", "changes"} & counted.keys()) >= 3


@pytest.mark.timeout(240)
def test_order_of_grants_stands_in_the_plan_where_it_decides() -> None:
    counted: Counter[str] = Counter()
    SETTINGS(given(rearranged(), MOMENT_SETS)(lambda pair, moments: hold(pair, moments, counted)))()
    # Of 90 examples 31 plans and 241 cells differed.
    assert counted["differing plans"] * 6 > counted["plans"] >= EXAMPLES
    assert counted["differ"] > EXAMPLES // 2


def check_kind(kind: str, found: list[Difference]) -> None:
    """Check the word for a change by what was obtained before and after, and for how long."""
    if kind == "gains":
        assert not any(was.profiles for was, _ in found)
    if kind == "loses":
        assert not any(becomes.profiles for _, becomes in found)
    for was, becomes in found:
        assert not (kind == "tightens" and was.ends_s < becomes.ends_s and not was.is_ahead)
        assert not (kind == "loosens" and becomes.ends_s < was.ends_s and not was.is_ahead)
