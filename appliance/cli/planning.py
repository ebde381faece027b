"""Plans at the terminal."""

from __future__ import annotations

from appliance.cli.console import note, show_table
from appliance.policy.plan import Plan


def show_plan(plan: Plan) -> None:
    """Show what a policy would change, for a person."""
    rows = [
        (each.kind, each.who, f"{each.login}@{each.host_group}", _terms(each.before), _terms(each.after))
        for each in plan.changes
    ]
    show_table(["what:", "who:", "as:", "now", "then"], rows, empty="nobody gains or loses access")
    for group in plan.hosts:
        moves = [f"gains {name}" for name in group.gains] + [f"loses {name}" for name in group.loses]
        note(f"host group {group.host_group}: {', '.join(moves)}")
    for each in plan.operators:
        note(f"operator {each.name}: {', '.join(each.before) or 'none'} -> {', '.join(each.after) or 'none'}")
    note(f"access that changes: {count_changes(plan)}")
    if plan.left_out:
        note(f"{plan.left_out} changes more are not shown")
    if not plan.complete:
        note("there is more access than can be compared: this is a part of it")


def count_changes(plan: Plan) -> str:
    """Say how many lines of access change, by kind."""
    counted = (f"{number} {kind}" for kind, number in sorted(plan.counts.items()))
    return ", ".join(counted) or "none"


def _terms(terms: tuple[str, ...]) -> str:
    return " or ".join(terms) or "none"
