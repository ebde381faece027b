"""Explanations at the terminal: of the running authority or the index, shown as a table or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from appliance.cli.calling import find_caller
from appliance.cli.console import Shell, note, show_json, show_table
from appliance.explanations import ExplainBody
from appliance.requests import check_body

_OPTIONS = (
    click.option("--host", help="On this host."),
    click.option("--host-group", help="On hosts of this group."),
    click.option("--login", help="As this account."),
    click.option("--group", "groups", multiple=True, help="Supposing he is in this group of a provider."),
    click.option("--at", help="At this moment (RFC 3339); default: now."),
)


def explain_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where, as whom and when."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def explain_access(
    shell: Shell, groups: tuple[str, ...], asked: Mapping[str, str | None], *, as_json: bool
) -> None:
    """Have an access explained, and show that.

    Raises:
        Refusal: the authority's; ``malformed-request``.
    """
    named: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    body = check_body(ExplainBody, named | ({"groups": list(groups)} if groups else {}))
    explained = find_caller(shell).explain(body)
    if as_json:
        show_json(explained)
    else:
        _show(explained)


def _show(explained: Mapping[str, Any]) -> None:
    by_account = any("account" in each for each in explained["grants"])
    rows = [
        (
            *(each["name"], *([each["account"]] if by_account else []), each["verdict"]),
            *(", ".join(each["principals"]) or "nothing", _why(each)),
        )
        for each in explained["grants"]
    ]
    columns = ["grant:", *(["by:"] if by_account else []), "verdict:", "of it", "why"]
    show_table(columns, rows, empty="no grant that could be meant")
    note(f"{explained['subject']} at {explained['at']}, by the policy of entry {explained['policy']}")
    if explained.get("settled") is False:
        note("the moment is not settled: entries that are still to come can belong to it")
    if "next" in explained:
        note(f"a grant opens next at {explained['next']}")
    if explained["left_out"]:
        note(f"{explained['left_out']} grants more that refuse are not shown: name a host or a login")


def _why(grant: Mapping[str, Any]) -> str:
    if grant["obstacles"]:
        return "; ".join(each["detail"] for each in grant["obstacles"])
    needs = f"needs {', '.join(grant['conditions'])}; " if grant["conditions"] else ""
    return f"{needs}until {grant['valid_before']}"
