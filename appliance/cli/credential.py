"""``chancery credential``."""

from __future__ import annotations

import secrets

import click

from appliance.authority.ordering.commands import CreateCredential
from appliance.cli.console import (
    Shell,
    examples,
    json_option,
    note_more,
    page_options,
    pass_shell,
    plain_errors,
    show_json,
    show_revoked,
    show_table,
)
from appliance.cli.cutting import show_live
from appliance.cli.ordering import Ordering, give_order, order_options, show_given
from appliance.cli.sight import require_all
from appliance.clock import now_s
from appliance.durations import parse_duration
from appliance.identity.api import SECRET_BYTES, ApiCredential, format_credential, hash_secret
from appliance.index.going_on import credential_going_on
from appliance.index.paging import list_credentials
from appliance.index.render import render_credential
from appliance.requests import CredentialRevocationBody, check_body

_ID_BYTES = 8


@click.group()
def credential() -> None:
    """API credentials, for callers that have no client certificate."""


@credential.command(
    epilog=examples(
        "chancery credential create portal --kind service --expires 30d \\",
        "    --operator carol --key ~/.ssh/id_ed25519",
    )
)
@click.argument("subject")
@click.option(
    "--kind",
    type=click.Choice(["user", "service", "host"]),
    default="service",
    show_default=True,
    help="What it identifies; a host is the one that SUBJECT names.",
)
@click.option("--expires", help="After this long, such as 30d; never without it.")
@click.option("--uses", type=click.IntRange(1, 2**31), help="How often it may be used to issue.")
@order_options
@json_option
@pass_shell
@plain_errors
def create(
    shell: Shell,
    subject: str,
    kind: str,
    expires: str | None,
    uses: int | None,
    ordering: Ordering,
    as_json: bool,
) -> None:
    """Make a credential for api:SUBJECT and print it, once: the ledger has its SHA-256 only."""
    made = ApiCredential(secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(SECRET_BYTES))
    command = {
        "verb": "credential.create",
        "id": made.id,
        "subject": subject,
        "kind": kind,
        "secret_sha256": hash_secret(made.secret),
        "expires_s": None if expires is None else now_s() + _seconds(expires),
        "uses": uses,
    }
    given = give_order(shell, check_body(CreateCredential, command), ordering)
    text = format_credential(made)
    show_given(given, as_json=as_json, id=made.id, identity=f"api:{subject}", credential=text)
    if not as_json:
        click.echo(text)


@credential.command(
    epilog=examples('chancery credential revoke 0123456789abcdef --reason "left on a laptop"')
)
@click.argument("id_", metavar="ID")
@click.option("--reason", required=True, help="Why, for the record.")
@json_option
@pass_shell
@plain_errors
def revoke(shell: Shell, id_: str, reason: str, as_json: bool) -> None:
    """Revoke a credential: it identifies nobody any more. Certificates it obtained are not revoked by it."""
    body = check_body(CredentialRevocationBody, {"id": id_, "reason": reason})
    done = shell.ask("credential.revoke", body=body.model_dump())
    going_on = credential_going_on(shell.index(), id_, done, now_s())
    show_revoked({"id": id_, **going_on}, done, as_json=as_json)
    if not as_json:
        show_live(going_on)


@credential.command("list", epilog=examples("chancery credential list", "chancery credential list --json"))
@page_options
@json_option
@pass_shell
@plain_errors
def list_(shell: Shell, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the credentials, newest first."""
    now = now_s()
    with shell.look() as snapshot:
        require_all(snapshot)
        page = list_credentials(snapshot, cursor=cursor, limit=limit)
    credentials = [render_credential(each, now) for each in page.records]
    if as_json:
        show_json({"credentials": credentials, "cursor": page.cursor, "ledger_size": page.size})
        return
    rows = [
        (
            each["id"],
            each["identity"],
            each["kind"],
            "valid" if each["valid"] else "not valid",
            each.get("expires", "never"),
        )
        for each in credentials
    ]
    columns = ["id:", "identity:", "kind:", "state:", "expires:"]
    show_table(columns, rows, empty="there is no credential")
    note_more(page.cursor)


def _seconds(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from error
