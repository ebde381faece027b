"""``chancery access``."""

from __future__ import annotations

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
from appliance.clock import format_rfc3339, format_rfc3339_ms, now_ms
from appliance.index.access import AccessQuery, find_access
from appliance.index.render import render_access
from appliance.moments import parse_moment_ms


@click.group()
def access() -> None:
    """Who has access to what, by live certificates, now or at any past moment."""


@access.command(
    epilog=examples(
        "chancery access who --host db-7.acme.example --login postgres",
        "chancery access who --subject api:alice --at 2026-01-31T08:00:00Z",
    )
)
@click.option("--host", help="On this host.")
@click.option("--host-group", help="On hosts of this group.")
@click.option("--login", help="As this account.")
@click.option("--subject", help="This identity, such as api:alice.")
@click.option("--customer", help="With this customer's certificates.")
@click.option("--at", "moment", help="At this moment (RFC 3339); default: now.")
@json_option
@pass_shell
@plain_errors
def who(
    shell: Shell,
    host: str | None,
    host_group: str | None,
    login: str | None,
    subject: str | None,
    customer: str | None,
    moment: str | None,
    as_json: bool,
) -> None:
    """Say who can log in where, as whom and until when."""
    at_ms = now_ms() if moment is None else _parse(moment)
    query = AccessQuery(
        at_ms=at_ms, subject=subject, host=host, host_group=host_group, login=login, customer=customer
    )
    with shell.look() as snapshot:
        found = find_access(snapshot, query)
        size = snapshot.size
    if as_json:
        rendered = [render_access(each) for each in found]
        show_json({"access": rendered, "at": format_rfc3339_ms(at_ms), "ledger_size": size})
        return
    rows = [
        (
            each.subject,
            each.login,
            ", ".join(each.hosts) or "no host",
            format_rfc3339(each.valid_before),
            ", ".join(each.grants),
            each.serial,
        )
        for each in found
    ]
    show_table(["who:", "as:", "on", "until:", "grant:", "serial:"], rows, empty="nobody, by certificate")
    note("sessions that are open outlive their certificates")


def _parse(moment: str) -> int:
    try:
        return parse_moment_ms(moment)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--at") from error
