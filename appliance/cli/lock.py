"""``chancery lock``."""

from __future__ import annotations

import click

from appliance.authority.ordering.commands import LiftLock
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
from appliance.cli.cutting import read_key, show_cut
from appliance.cli.ordering import Ordering, give_order, order_options, show_given
from appliance.cli.sight import require_all
from appliance.clock import format_rfc3339_ms
from appliance.cutting import LockBody
from appliance.index.cut import render_cut
from appliance.index.known import warn_of_unknown
from appliance.index.paging import list_locks
from appliance.index.render import render_lock
from appliance.policy.locks import KINDS
from appliance.requests import check_body


@click.group()
def lock() -> None:
    """Locks: what gets no more certificates, and has lost those it had, until an operator lifts it."""


@lock.command(
    epilog=examples(
        'chancery lock place person ada --reason "left the company"',
        'chancery lock place key ~/stolen.pub --reason "laptop stolen"',
        'chancery lock place ca acme-users --reason "token under suspicion"',
    )
)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--reason", required=True, help="Why, for the record.")
@json_option
@pass_shell
@plain_errors
def place(shell: Shell, kind: str, name: str, reason: str, as_json: bool) -> None:
    """Lock NAME: no more certificates at once, and those that there are, are revoked with it.

    A key is SHA256:… or a .pub file. Placed again, a lock revokes what it has come to be on since. Sessions
    already open are not ended by it.
    """
    named = read_key(name) if kind == "key" else name
    body = check_body(LockBody, {kind: named, "reason": reason})
    done = shell.ask("lock.place", body=body.model_dump(exclude_none=True))
    cut = render_cut(shell.index(), done) | warn_of_unknown(shell.index(), kind, name)
    show_cut({"lock": done["lock"], **cut}, as_json=as_json)


@lock.command("list", epilog=examples("chancery lock list", "chancery lock list --lifted --json"))
@click.option("--lifted", is_flag=True, help="Also those that were lifted.")
@page_options
@json_option
@pass_shell
@plain_errors
def list_(shell: Shell, lifted: bool, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the locks in force, newest first."""
    with shell.look() as snapshot:
        require_all(snapshot)
        page = list_locks(snapshot, lifted=lifted, cursor=cursor, limit=limit)
    if as_json:
        locks = [render_lock(each) for each in page.records]
        show_json({"locks": locks, "cursor": page.cursor, "ledger_size": page.size})
        return
    rows = [
        (
            each.lock.seq,
            *each.lock.target,
            format_rfc3339_ms(each.time_ms),
            "" if each.lifted_ms is None else format_rfc3339_ms(each.lifted_ms),
            each.placed_by,
            each.reason,
        )
        for each in page.records
    ]
    columns = ["lock:", "kind:", "name:", "placed:", "lifted:", "by:", "reason"]
    show_table(columns, rows, empty="nothing is locked")
    note_more(page.cursor)


@lock.command(epilog=examples("chancery lock lift 417 --operator carol --key ~/.ssh/id_ed25519"))
@click.argument("seq", metavar="LOCK", type=click.IntRange(0, 2**53 - 1))
@click.option("--reason", help="Why, for the record.")
@order_options
@json_option
@pass_shell
@plain_errors
def lift(shell: Shell, seq: int, reason: str | None, ordering: Ordering, as_json: bool) -> None:
    """Lift LOCK, the entry that placed it. Certificates that it revoked stay revoked."""
    command = check_body(LiftLock, {"verb": "lock.lift", "lock": seq, "reason": reason})
    given = give_order(shell, command, ordering)
    show_given(given, as_json=as_json, hint="certificates that it revoked stay revoked", lock=seq)
