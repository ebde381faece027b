"""``chancery ca``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from appliance.authority.ordering.commands import CreateCa
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
from appliance.cli.rotation import promote, retire, rotate, trust
from appliance.clock import format_rfc3339
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
        "chancery ca create acme-users --type user --customer acme --algorithm ed25519 \\",
        "    --operator carol --key ~/.ssh/id_ed25519",
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
    help="`created` for one that is not to sign yet; the next key of a CA is made by `ca rotate`.",
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
    """List the CAs and their keys: phases, what is live of each, and the next step of a rotation.

    What is live, and what comes next, the authority knows: both are missing while it does not run.
    """
    with shell.look() as snapshot:
        keys = snapshot.ca_keys()
        size = snapshot.size
    known = _ask_authority(shell)
    if as_json:
        show_json({"cas": [_render_listed(key, known) for key in keys], "ledger_size": size})
        return
    rows = []
    for key in keys:
        more = known.get((key.ca, key.fingerprint), {})
        phase = "halted" if key.halted else key.phase
        since = format_rfc3339(key.since_ms // 1000)
        live = more.get("live", "?")
        rows.append((key.ca, key.type, phase, since, live, key.fingerprint, more.get("next", "")))
    show_table(["CA:", "type:", "phase:", "since:", "live:", "key:", "next"], rows, empty="there is no CA")


def _ask_authority(shell: Shell) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what the running authority says of each key, by CA and fingerprint; nothing if none runs."""
    try:
        found = shell.ask("cas")["cas"]
    except Refusal as refusal:
        if refusal.slug != "ledger-unavailable":
            raise
        return {}
    return {(key["ca"], key["fingerprint"]): key for key in found}


def _render_listed(key: CaKeyRecord, known: Mapping[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    rendered = render_ca_key(key)
    if (more := known.get((key.ca, key.fingerprint))) is None:
        return rendered
    until = {"live_until": format_rfc3339(more["live_until_s"])} if more["live"] else {}
    return rendered | {"live": more["live"], **until} | ({"next": more["next"]} if more["next"] else {})


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


for step in (rotate, trust, promote, retire):
    ca.add_command(step)
