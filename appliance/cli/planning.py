"""Plans at the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from appliance.cli.console import note, show_table
from appliance.policy.plan import Change, Plan
from appliance.policy.zones import format_moment

_NOBODY: Final = "nobody gains or loses access"
_NOT_ALL: Final = "nobody gains or loses access that was compared"


def show_plan(plan: Plan) -> None:
    """Show what a policy would change, for a person."""
    columns = ["what:", "who:", "as:", "now", "then", *(["but only"] if any(map(_but, plan.changes)) else [])]
    rows = [_row(each)[: len(columns)] for each in plan.changes]
    show_table(columns, rows, empty=_NOBODY if plan.complete else _NOT_ALL)
    for group in plan.hosts:
        moves = [f"gains {name}" for name in group.gains] + [f"loses {name}" for name in group.loses]
        more = [f"and {group.more} more"] if group.more else []
        note(f"host group {group.host_group}: {', '.join([*moves, *more])}")
    for operator in plan.operators:
        note(f"operator {operator.name}: {_move(operator.before, operator.after)}")
    for setting in plan.settings:
        note(f"{setting.what}: {_move(setting.before, setting.after)}")
    for account in plan.standing or ():
        note(f"{account.who}: {_move(account.before, account.after)}")
    note(f"access that changes: {count_changes(plan)}")
    for line in _list_missing(plan):
        note(line)


def sum_up(plan: Plan) -> str:
    """Say in a line what changes."""
    words = {"hosts": "hosts of {} host groups", "operators": "{} operators", "settings": "{} settings"}
    numbers = {part: len(getattr(plan, part)) + plan.more[part] for part in words}
    others = [words[part].format(number) for part, number in numbers.items() if number]
    more = [] if plan.complete else ["more than can be compared"]
    return "; also ".join([count_changes(plan), *([", ".join([*others, *more])] if others or more else [])])


def count_changes(plan: Plan) -> str:
    """Say how many lines of access change, by kind."""
    counted = (f"{number} {kind}" for kind, number in sorted(plan.counts.items()))
    return ", ".join(counted) or "none"


def _row(change: Change) -> tuple[str, ...]:
    place = f"{change.login}@{change.host_group}"
    return change.kind, change.who, place, _terms(change.before), _terms(change.after), _but(change)


def _but(change: Change) -> str:
    """Say what somebody has to wait for; who loses something waits for nothing."""
    words = []
    if change.locked is not None:
        words.append(f"once the lock of entry {change.locked} is lifted")
    if change.away_until is not None:
        words.append(f"from {format_moment(change.away_until)}, when leave ends")
    return " and ".join(words) if change.after else ""


def _list_missing(plan: Plan) -> Iterator[str]:
    """Yield what this is not all of."""
    if plan.left_out:
        yield f"{plan.left_out} changes of access more are not shown"
    for part, number in plan.more.items():
        if number and part != "not_compared":
            yield f"{number} more {part} are not shown"
    if not plan.complete:
        first, others = plan.not_compared[:5], len(plan.not_compared[5:]) + plan.more["not_compared"]
        more = f" and of {others} more" if others else ""
        yield f"there is more than can be compared: not said is all that changes of {', '.join(first)}{more}"
    if plan.standing is None:
        yield "offline nothing is known of locks and leave: whoever gains something may be locked or away"


def _move(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    return f"{', '.join(before) or 'none'} -> {', '.join(after) or 'none'}"


def _terms(terms: tuple[str, ...]) -> str:
    return " or ".join(terms) or "none"
