"""``chancery operator``."""

from __future__ import annotations

from typing import Any

import click

from appliance.cli.console import (
    Shell,
    examples,
    json_option,
    note,
    pass_shell,
    plain_errors,
    show_json,
    show_table,
)
from appliance.errors import Refusal
from appliance.policy.roles import ORDER_ROLES, may_order
from appliance.policy.tables import Operator
from appliance.ssh.keys import fingerprint


@click.group()
def operator() -> None:
    """Operators: who may order what of the appliance itself, as the policy in force says."""


@operator.command("list", epilog=examples("chancery operator list", "chancery operator list --json"))
@json_option
@pass_shell
@plain_errors
def list_(shell: Shell, as_json: bool) -> None:
    """List the operators, their roles and keys, and what orders they may give."""
    with shell.look() as snapshot:
        policy, seq, size = snapshot.policy(), snapshot.policy_seq(), snapshot.size
    if policy is None:
        raise Refusal("not-found", "no policy has been applied")
    operators = [_render(each) for each in policy.operators.values()]
    two = sorted(policy.two_operators)
    if as_json:
        show_json({"operators": operators, "two_operators": two, "policy": seq, "ledger_size": size})
        return
    rows = [
        (
            each["name"],
            ", ".join(each["roles"]) + (f" of {', '.join(of)}" if (of := each.get("customers")) else ""),
            ", ".join(each["identities"]),
            ", ".join(each["may_order"]) if each["keys"] else "nothing: no key to sign with",
            ", ".join(each["keys"]),
        )
        for each in operators
    ]
    columns = ["operator:", "roles", "identities", "may order", "keys:"]
    show_table(columns, rows, empty="the policy names no operator")
    if two:
        note(f"two operators are needed for {', '.join(two)}")


def _render(operator: Operator) -> dict[str, Any]:
    return {
        "name": operator.name,
        "roles": sorted(operator.roles),
        **({"customers": sorted(operator.customers)} if operator.customers else {}),
        "identities": list(operator.identities),
        "keys": [fingerprint(key) for key in operator.keys],
        "may_order": [verb for verb in ORDER_ROLES if may_order(operator, verb)],
    }
