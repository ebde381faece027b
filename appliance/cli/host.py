"""``chancery host``."""

from __future__ import annotations

import json
from typing import Final

import click

from appliance.authority.ordering.commands import AddHost, RemoveHost
from appliance.cli.console import (
    Shell,
    examples,
    json_option,
    note,
    note_more,
    page_options,
    pass_shell,
    plain_errors,
    show_fields,
    show_json,
    show_table,
)
from appliance.cli.cutting import show_live
from appliance.cli.ordering import Ordering, give_order, order_options, show_given
from appliance.cli.sight import is_shown, shown_customers
from appliance.clock import now_s
from appliance.errors import Refusal
from appliance.index.going_on import host_going_on
from appliance.index.paging import list_hosts
from appliance.index.records import HostRecord
from appliance.index.render import render_bundle, render_host
from appliance.policy.document import Policy
from appliance.policy.evaluate import Host
from appliance.requests import check_body

_CERTIFICATE: Final = "host_certificate"


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
@json_option
@pass_shell
@plain_errors
def add(
    shell: Shell,
    name: str,
    customer: str,
    aliases: tuple[str, ...],
    labels: tuple[str, ...],
    ordering: Ordering,
    as_json: bool,
) -> None:
    """Register NAME, or register it anew with other names and labels."""
    command = {
        "verb": "host.add",
        "name": name,
        "customer": customer,
        "names": sorted({name, *aliases}),
        "labels": [{"name": label, "value": value} for label, value in sorted(_parse_labels(labels).items())],
    }
    given = give_order(shell, check_body(AddHost, command), ordering)
    show_given(given, as_json=as_json, host=name)


@host.command(epilog=examples("chancery host remove db-7.acme.example --operator carol --key ~/.ssh/id"))
@click.argument("name")
@order_options
@json_option
@pass_shell
@plain_errors
def remove(shell: Shell, name: str, ordering: Ordering, as_json: bool) -> None:
    """Remove NAME: no more certificates, and no host group. Those it has last until they expire."""
    command = check_body(RemoveHost, {"verb": "host.remove", "name": name})
    given = give_order(shell, command, ordering)
    going_on = host_going_on(shell.index(), name, given.entries, now_s())
    show_given(given, as_json=as_json, host=name, **going_on)
    if not as_json:
        show_live(going_on)


@host.command("list", epilog=examples("chancery host list", "chancery host list --json"))
@page_options
@json_option
@pass_shell
@plain_errors
def list_(shell: Shell, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the registered hosts, by name."""
    with shell.look() as snapshot:
        customers = shown_customers(snapshot, "host.read")
        page = list_hosts(snapshot, cursor=cursor, limit=limit, customers=customers)
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


@host.command(epilog=examples("chancery host show db-7.acme.example"))
@click.argument("name")
@json_option
@pass_shell
@plain_errors
def show(shell: Shell, name: str, as_json: bool) -> None:
    """Show what is on record of the host NAME, and the host groups that it is in."""
    with shell.look() as snapshot:
        found, policy, size = snapshot.host(name), snapshot.policy(), snapshot.size
        shown = found is not None and is_shown(snapshot, "host.read", found.customer)
    if found is None or not shown:
        raise Refusal("not-found", f"{name} is not registered")
    groups = [] if policy is None else _groups(policy, found)
    rendered = render_host(found) | {"host_groups": groups, "ledger_size": size}
    if as_json:
        show_json(rendered)
    else:
        show_fields({key: _plain(value) for key, value in rendered.items()})


@host.command(
    epilog=examples(
        "chancery host sshd db-7.acme.example",
        "chancery host sshd db-7.acme.example --json > bundle.json     # docs/formats/bundle.md checks it",
    )
)
@click.argument("name")
@json_option
@pass_shell
@plain_errors
def sshd(shell: Shell, name: str, as_json: bool) -> None:
    """Print all that the sshd of the host NAME needs, signed by the bundle key.

    Trusted CAs, principals for each login, the host's certificate, and the lines for sshd_config.
    """
    bundle = render_bundle(name, shell.ask("host.sshd", name=name))
    if as_json:
        show_json(bundle)
        return
    document = json.loads(bundle["document"])
    principals = {f"principals/{each['login']}": each["text"] for each in document["principals"]}
    certificate = {"host-cert.pub": document[_CERTIFICATE]} if _CERTIFICATE in document else {}
    for file, text in ({"trusted_user_cas": document["trusted_user_cas"]} | principals | certificate).items():
        click.echo(f"# {file}\n{text}")
    click.echo(f"# sshd_config\n{document['sshd_config']}", nl=False)
    if "krl" in document:
        note(f"revoked_keys is fetched apart, and first: GET {document['krl']}, or `chancery cert krl`")
    note(f"made {bundle['generated']}, fresh until {bundle['fresh_until']}")


def _groups(policy: Policy, record: HostRecord) -> list[str]:
    """Return the host groups that the policy in force puts a host in."""
    labels = tuple(record.labels.items())
    host_ = Host(
        name=record.name, customer=record.customer, names=record.names, labels=labels, seq=record.seq
    )
    return [group.name for group in policy.host_groups.values() if host_.is_in(group)]


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={each}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


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
