"""``chancery order``: what two operators have to order together."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.console import (
    Shell,
    examples,
    json_option,
    pass_shell,
    plain_errors,
    show_fields,
    show_json,
)
from appliance.cli.ordering import OrderFile, Ordering, add_order, order_options, read_order_file, show_given
from appliance.clock import format_rfc3339_ms

_file = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))


@click.group()
def order() -> None:
    """Orders that wait for another operator: the policy may demand two (appliance.two_operators).

    One operator runs the command with --sign-only FILE, the other reads it and gives it.
    """


@order.command(epilog=examples("chancery order show create-ca.json"))
@_file
@json_option
@plain_errors
def show(file: Path, as_json: bool) -> None:
    """Say what is ordered in FILE, and by whom so far. Signatures are checked when it is given."""
    found = read_order_file(file)
    if as_json:
        show_json(found.model_dump())
    else:
        _show(found)


@order.command(
    epilog=examples(
        "chancery ca create acme-users … --operator carol --key ~/.ssh/id_ed25519 --sign-only create-ca.json",
        "chancery order give create-ca.json --operator dave --key ~/.ssh/id_ed25519",
    )
)
@_file
@order_options
@json_option
@pass_shell
@plain_errors
def give(shell: Shell, file: Path, ordering: Ordering, as_json: bool) -> None:
    """Add your order to those in FILE, and have the command carried out."""
    found = read_order_file(file)
    if not as_json:
        _show(found)
    given = add_order(shell, found, ordering)
    show_given(given, as_json=as_json, command=found.command)


def _show(found: OrderFile) -> None:
    fields: dict[str, object] = {"log": found.origin}
    fields |= {name: value for name, value in found.command.items() if value is not None}
    fields["ordered by"] = "\n".join(
        f"{each.operator}, until {format_rfc3339_ms(1000 * each.expires_s)}, under policy {each.policy}"
        for each in found.orders
    )
    show_fields(fields)
