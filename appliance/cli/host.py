"""``chancery host``."""

from __future__ import annotations

import click

from appliance.authority.commands import AddHost, RemoveHost
from appliance.cli.console import (
    Shell,
    examples,
    json_option,
    note_more,
    page_options,
    pass_shell,
    plain_errors,
    show_json,
    show_table,
)
from appliance.cli.ordering import Ordering, give_order, order_options
from appliance.index.paging import list_hosts
from appliance.index.render import render_host
from appliance.requests import check_body


@click.group()
def host() -> None:
    """Hosts: what certificates they get, and which host groups they are in."""


@host.command(
    epilog=examples(
        "chancery host add db-7.acme.example --customer acme --label role=db --label region=eu-west \\",
        "    --operator carol --key ~/.ssh/id_ed25519",
    )
)
@click.argument("name")
@click.option("--customer", required=True, help="Whose host it is.")
@click.option("--alias", "aliases", multiple=True, help="Another name for its certificate.")
@click.option("--label", "labels", multiple=True, help="NAME=VALUE; host groups are made of labels.")
@order_options
@pass_shell
@plain_errors
def add(
    shell: Shell,
    name: str,
    customer: str,
    aliases: tuple[str, ...],
    labels: tuple[str, ...],
    ordering: Ordering,
) -> None:
    """Register NAME, or register it anew with other names and labels."""
    command = {
        "verb": "host.add",
        "name": name,
        "customer": customer,
        "names": sorted({name, *aliases}),
        "labels": [{"name": label, "value": value} for label, value in sorted(_parse_labels(labels).items())],
    }
    give_order(shell, check_body(AddHost, command), ordering)


@host.command(epilog=examples("chancery host remove db-7.acme.example --operator carol --key ~/.ssh/id"))
@click.argument("name")
@order_options
@pass_shell
@plain_errors
def remove(shell: Shell, name: str, ordering: Ordering) -> None:
    """Remove NAME: no more certificates, and no host group. Those it has last until they expire."""
    command = check_body(RemoveHost, {"verb": "host.remove", "name": name})
    give_order(shell, command, ordering)


@host.command("list", epilog=examples("chancery host list", "chancery host list --json"))
@page_options
@json_option
@pass_shell
@plain_errors
def list_(shell: Shell, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the registered hosts, by name."""
    with shell.look() as snapshot:
        page = list_hosts(snapshot, cursor=cursor, limit=limit)
    if as_json:
        hosts = [render_host(each) for each in page.records]
        show_json({"hosts": hosts, "cursor": page.cursor, "ledger_size": page.size})
        return
    rows = [
        (each.name, each.customer, " ".join(f"{name}={value}" for name, value in each.labels.items()))
        for each in page.records
    ]
    show_table(["host:", "customer:", "labels"], rows, empty="no host is registered")
    note_more(page.cursor)


def _parse_labels(labels: tuple[str, ...]) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for label in labels:
        name, equals, value = label.partition("=")
        if not equals or not value:
            raise click.BadParameter(f"got {label!r}, expected NAME=VALUE", param_hint="--label")
        if name in parsed:
            raise click.BadParameter(f"{name} is given twice", param_hint="--label")
        parsed[name] = value
    return parsed
