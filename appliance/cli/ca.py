"""``chancery ca``."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.authority.commands import CreateCa
from appliance.cli.console import Shell, examples, note, pass_shell, plain_errors
from appliance.cli.ordering import give_order, order_options
from appliance.requests import check_body
from hsm.algorithm import Algorithm


@click.group()
def ca() -> None:
    """The CAs: their keys in the token, and what hosts and clients install to trust them."""


@ca.command(
    epilog=examples(
        "chancery ca create acme-users --type user --customer acme --operator carol --key ~/.ssh/id_ed25519",
        "chancery ca create acme-users --type user --customer acme --phase created …   # the next key",
    )
)
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(["user", "host"]), required=True)
@click.option("--customer", help="The customer whose CA it is.")
@click.option(
    "--algorithm",
    type=click.Choice([algorithm.value for algorithm in Algorithm]),
    default=Algorithm.ECDSA_P256.value,
    show_default=True,
)
@click.option(
    "--phase",
    type=click.Choice(["signing", "created"]),
    default="signing",
    show_default=True,
    help="`created` for the next key of a CA that signs already: hosts learn to trust it first.",
)
@order_options
@pass_shell
@plain_errors
def create(
    shell: Shell,
    name: str,
    kind: str,
    customer: str | None,
    algorithm: str,
    phase: str,
    operator: str,
    key: Path,
) -> None:
    """Make a key for the CA NAME on the token, and put it on record with a transcript of its making."""
    members = {
        "verb": "ca.create",
        "name": name,
        "type": kind,
        "algorithm": algorithm,
        "customer": customer,
        "phase": phase,
    }
    give_order(shell, check_body(CreateCa, members), operator=operator, key=key)
    note(f"{name} is made: `chancery ca export {name}` prints what to install")
