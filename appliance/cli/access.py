"""``chancery access``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from appliance.cli.console import (
    Shell,
    examples,
    json_option,
    note,
    page_options,
    pass_shell,
    plain_errors,
    show_json,
    show_table,
)
from appliance.cli.sight import shown_customers
from appliance.clock import format_rfc3339, now_ms
from appliance.durations import format_duration
from appliance.index.access import (
    Access,
    AccessPage,
    AccessQuery,
    Basis,
    CertifiedAccess,
    find_access,
)
from appliance.index.granted import GrantedAccess
from appliance.index.render import render_access
from appliance.index.scene import Place
from appliance.moments import parse_moment_ms
from appliance.policy.requirements import list_requirements

_SHOWN_HOSTS: Final = 5

_PLACES: Final = (
    click.option("--host", help="On this host."),
    click.option("--host-group", help="On hosts of this group."),
    click.option("--login", help="As this account."),
    click.option("--customer", help="With this customer's certificates."),
)
_SUBJECT: Final = click.option("--subject", help="This identity, such as api:alice, or this person.")
_AT: Final = click.option("--at", "moment", help="At this moment (RFC 3339); default: now.")
_ANSWER: Final = (
    click.option(
        "--basis",
        type=click.Choice(["certificates", "policy"]),
        default="certificates",
        show_default=True,
        help="Who can log in by live certificates, or who could obtain one by policy.",
    ),
    page_options,
    json_option,
)


def _options(*options: Callable[[Callable[..., None]], Callable[..., None]]) -> Callable[[Any], Any]:
    """Return a decorator that gives a command all of these options, in this order."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group()
def access() -> None:
    """Who has access to what, by live certificates or by policy, now or at any past moment."""


@access.command(
    epilog=examples(
        "chancery access who --host db-7.acme.example --login postgres",
        "chancery access who --host-group acme-db --basis policy --at 2026-01-31T08:00:00Z",
    )
)
@_options(*_PLACES, _SUBJECT, _AT, *_ANSWER)
@pass_shell
@plain_errors
def who(shell: Shell, /, moment: str | None, **wanted: Any) -> None:
    """Say who can reach a host, a host group or an account, until when and why."""
    _answer(shell, moment, **wanted)


@access.command(
    epilog=examples("chancery access what api:alice", "chancery access what oidc:ada --basis policy")
)
@click.argument("subject")
@_options(*_PLACES, _AT, *_ANSWER)
@pass_shell
@plain_errors
def what(shell: Shell, /, moment: str | None, **wanted: Any) -> None:
    """Say what SUBJECT can reach: an identity such as api:alice, or a person of the policy such as alice.

    By policy also a provider's group, such as oidc:dba.
    """
    _answer(shell, moment, **wanted)


@access.command(
    epilog=examples(
        "chancery access at 2026-01-31T08:00:00Z",
        "chancery access at 2026-01-31T08:00:00Z --customer acme --basis policy --json",
    )
)
@click.argument("moment")
@_options(*_PLACES, _SUBJECT, *_ANSWER)
@pass_shell
@plain_errors
def at(shell: Shell, /, moment: str, **wanted: Any) -> None:
    """Say everything about MOMENT (RFC 3339): who could reach what then."""
    _answer(shell, moment, **wanted)


def _answer(
    shell: Shell,
    moment: str | None,
    *,
    basis: Basis,
    limit: int,
    cursor: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    at_ms = now_ms() if moment is None else _parse(moment)
    with shell.look() as snapshot:
        customers = shown_customers(snapshot, "certificate.read")
        query = AccessQuery(at_ms=at_ms, basis=basis, customers=customers, **asked)
        page = find_access(snapshot, query, cursor=cursor, limit=limit)
    if as_json:
        show_json(render_access(page, basis))
    else:
        _show(page, basis)


def _show(page: AccessPage, basis: Basis) -> None:
    rows = [_row(row) for row in page.rows]
    if basis == "certificates":
        columns = ["who:", "as:", "on", "until:", "grant:", "serial:"]
        show_table(columns, rows, empty="nobody, by certificate")
        note("sessions that are open outlive their certificates")
    else:
        columns = ["who:", "is a", "as:", "on", "for:", "needs", "grant:", "policy:"]
        show_table(columns, rows, empty="nobody, by policy")
    if not page.prefix.settled:
        note("the moment is not settled: entries that are still to come can belong to it")
    if page.cursor is not None:
        note(f"there are more: --cursor {page.cursor}")


def _row(row: Access) -> tuple[object, ...]:
    on = _hosts(row.place)
    match row:
        case CertifiedAccess(certificate=certificate):
            grants = ", ".join(grant["name"] for grant in certificate.grants)
            until = format_rfc3339(certificate.valid_before)
            return (certificate.subject, row.login, on, until, grants, certificate.serial)
        case GrantedAccess(reachable=reachable):
            through = f" of {', '.join(reachable.holder.through)}" if reachable.holder.through else ""
            is_a = f"{reachable.holder.kind}{through}"
            grant, subject = reachable.filed.grant, reachable.holder.subject
            needs = "; ".join(list_requirements(grant.require))
            return (subject, is_a, reachable.login, on, _lasts(row), needs, grant.name, row.policy)


def _lasts(row: GrantedAccess) -> str:
    """Say for how long and from when on something can be obtained, or what is in the way."""
    if row.locked is not None:
        return f"locked: {row.locked}"
    lasts = format_duration(row.ttl_s) if row.ca_phase == "signing" else f"CA: {row.ca_phase}"
    if row.leave is not None:
        lasts = f"on leave: {row.leave}" if row.opens_s is None else f"on leave: {row.leave}; {lasts}"
    return lasts if row.opens_s is None else f"{lasts}, from {format_rfc3339(row.opens_s)}"


def _hosts(place: Place) -> str:
    if not place.hosts:
        return "no host"
    shown = ", ".join(place.hosts[:_SHOWN_HOSTS])
    more = place.host_count - min(len(place.hosts), _SHOWN_HOSTS)
    return f"{shown} and {more} more" if more else shown


def _parse(moment: str) -> int:
    try:
        return parse_moment_ms(moment)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="moment") from error
