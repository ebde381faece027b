"""``chancery ca``."""

from __future__ import annotations

from typing import Any

import click

from appliance.authority.commands import CreateCa
from appliance.cli.console import (
    Shell,
    examples,
    json_option,
    pass_shell,
    plain_errors,
    show_json,
    show_table,
)
from appliance.cli.ordering import Ordering, give_order, order_options, show_given
from appliance.errors import Refusal
from appliance.index.records import CaKeyRecord
from appliance.index.render import format_trusted_keys, render_ca_key
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
@click.option(
    "--type", "kind", type=click.Choice(["user", "host"]), required=True, help="Whose certificates it signs."
)
@click.option("--customer", help="The customer whose CA it is.")
@click.option(
    "--algorithm",
    type=click.Choice([algorithm.value for algorithm in Algorithm]),
    default=Algorithm.ECDSA_P256.value,
    show_default=True,
    help="What kind of key.",
)
@click.option(
    "--phase",
    type=click.Choice(["signing", "created"]),
    default="signing",
    show_default=True,
    help="`created` for the next key of a CA that signs already: hosts learn to trust it first.",
)
@order_options
@json_option
@pass_shell
@plain_errors
def create(
    shell: Shell,
    name: str,
    kind: str,
    customer: str | None,
    algorithm: str,
    phase: str,
    ordering: Ordering,
    as_json: bool,
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
    given = give_order(shell, check_body(CreateCa, members), ordering)
    hint = f"{name} is made: `chancery ca export {name}` prints what to install"
    show_given(given, as_json=as_json, hint=hint, ca=name)


@ca.command("list", epilog=examples("chancery ca list", "chancery ca list --json"))
@json_option
@pass_shell
@plain_errors
def list_(shell: Shell, as_json: bool) -> None:
    """List the CAs and their keys."""
    with shell.look() as snapshot:
        keys = snapshot.ca_keys()
        size = snapshot.size
    if as_json:
        show_json({"cas": [render_ca_key(key) for key in keys], "ledger_size": size})
        return
    rows = [
        (key.ca, key.type, key.customer or "", "halted" if key.halted else key.phase, key.fingerprint)
        for key in keys
    ]
    show_table(["CA:", "type:", "customer:", "phase:", "key:"], rows, empty="there is no CA")


@ca.command(
    epilog=examples(
        "chancery ca export acme-users > /etc/ssh/trusted_user_cas     # TrustedUserCAKeys",
        "chancery ca export acme-hosts --known-hosts --pattern '*.acme.example' >> ~/.ssh/known_hosts",
    )
)
@click.argument("name")
@click.option("--known-hosts", is_flag=True, help="As @cert-authority lines for known_hosts.")
@click.option("--pattern", default="*", show_default=True, help="With --known-hosts: for which hosts.")
@click.option("--transcript", is_flag=True, help="The transcripts of how its keys were made instead.")
@click.option("--attestation", is_flag=True, help="What the token attests of them, in base64, instead.")
@json_option
@pass_shell
@plain_errors
def export(
    shell: Shell,
    name: str,
    known_hosts: bool,
    pattern: str,
    transcript: bool,
    attestation: bool,
    as_json: bool,
) -> None:
    """Print what is to be installed to trust the CA NAME."""
    with shell.look() as snapshot:
        keys = snapshot.ca_keys(name)
    if not keys:
        raise Refusal("not-found", f"there is no CA {name}")
    if as_json:
        show_json({"ca": name, "keys": [_render(key, pattern if known_hosts else None) for key in keys]})
    elif attestation:
        click.echo("\n".join(f"{key.fingerprint} {key.attestation or '-'}" for key in keys))
    elif transcript:
        click.echo("\n".join(key.transcript for key in keys))
    else:
        click.echo(format_trusted_keys(keys, pattern=pattern if known_hosts else None), nl=False)


def _render(key: CaKeyRecord, pattern: str | None) -> dict[str, Any]:
    """Return all of a key; ``install`` is the line that trusts it, empty if it is not to be trusted."""
    attested = {} if key.attestation is None else {"attestation": key.attestation}
    install = format_trusted_keys([key], pattern=pattern)
    return render_ca_key(key) | {"install": install, "transcript": key.transcript} | attested
