"""``chancery approval``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from appliance.authority.approving.answers import NAMESPACE, AnswerBody, Decision, answer_message
from appliance.authority.approving.approving import ApprovalBody
from appliance.authority.fold.approvals import Requested
from appliance.cli.calling import Caller, find_caller
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
from appliance.cli.ordering import sign_message
from appliance.clock import format_rfc3339
from appliance.durations import format_duration, parse_duration
from appliance.requests import check_body

# Long enough for ssh-keygen to ask for a passphrase or a touch; the refusal itself ends the request for good.
_REFUSAL_S = 600

_number = click.argument("number", metavar="APPROVAL", type=click.IntRange(0))
_person_option = click.option("--person", required=True, help="Who you are: a person of the policy.")
_key_option = click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="That person's SSH key; a .pub file for a key in the agent.",
)


@click.group()
def approval() -> None:
    """Approvals: what some grants require of others before they give anything."""


@approval.command(epilog=examples('chancery approval request prod --reason "restore the backup of Tuesday"'))
@click.argument("grant")
@click.option("--reason", required=True, help="What for: those who are to approve read it.")
@json_option
@pass_shell
@plain_errors
def request(shell: Shell, grant: str, reason: str, as_json: bool) -> None:
    """Ask for approval to rest on GRANT, as local:<you>. Others have an hour to answer."""
    body = check_body(ApprovalBody, {"grant": grant, "reason": reason})
    done = find_caller(shell).request_approval(body)
    number = done["approval"]
    if as_json:
        show_json(done)
    elif "already" in done:
        note(f"it was asked for before: as entry {number}")
    else:
        note(f"on record as entry {number}: another person runs `chancery approval give {number} …`")


@approval.command("list", epilog=examples("chancery approval list", "chancery approval list --past --json"))
@click.option("--past", is_flag=True, help="Also what is over.")
@page_options
@json_option
@pass_shell
@plain_errors
def list_(shell: Shell, past: bool, limit: int, cursor: str | None, as_json: bool) -> None:
    """List approvals, the last asked for first."""
    page = find_caller(shell).list_approvals(past=past, limit=limit, cursor=cursor)
    if as_json:
        show_json(page)
        return
    columns = ["approval:", "asked by:", "grant:", "state:", "until:", "answered", "may answer", "reason"]
    show_table(columns, [_row(each) for each in page["approvals"]], empty="no approval")
    note_more(page["cursor"])


@approval.command(
    epilog=examples(
        "chancery approval give 1742 --person bob --key ~/.ssh/id_ed25519",
        "chancery approval give 1742 --person bob --key ~/.ssh/id_ed25519_sk --for 30m",
    )
)
@_number
@_person_option
@_key_option
@click.option(
    "--for", "lasts", help="How long it lasts, such as 30m; at most, and without it, the grant's ttl."
)
@json_option
@pass_shell
@plain_errors
def give(shell: Shell, number: int, person: str, key: Path, lasts: str | None, as_json: bool) -> None:
    """Approve what entry APPROVAL asks for (see `approval list`). You sign it with your own key.

    Nobody approves for himself, whichever of his accounts he uses. Certificates end when the approval does.
    """
    caller = find_caller(shell)
    asked = caller.find_approval(number)
    lasts_s = asked["ttl_s"] if lasts is None else _seconds(lasts)
    _answer(caller, asked, "given", asked["now_s"] + lasts_s, person, key, as_json=as_json)


@approval.command(
    epilog=examples('chancery approval refuse 1742 --person bob --key ~/.ssh/id_ed25519 --reason "not today"')
)
@_number
@_person_option
@_key_option
@click.option("--reason", help="Why, for the record.")
@json_option
@pass_shell
@plain_errors
def refuse(shell: Shell, number: int, person: str, key: Path, reason: str | None, as_json: bool) -> None:
    """Refuse what entry APPROVAL asks for, or end what was given. One refusal is enough.

    Certificates that were issued under it are not revoked by that: see `cert revoke`.
    """
    caller = find_caller(shell)
    asked = caller.find_approval(number)
    _answer(
        caller, asked, "refused", asked["now_s"] + _REFUSAL_S, person, key, reason=reason, as_json=as_json
    )


def _answer(
    caller: Caller,
    asked: dict[str, Any],
    decision: Decision,
    expires_s: int,
    person: str,
    key: Path,
    *,
    reason: str | None = None,
    as_json: bool,
) -> None:
    """Show what is asked for, sign the answer and have it recorded."""
    requested = Requested(
        seq=asked["seq"],
        identity=asked["identity"],
        grant=asked["grant"],
        answer_by_s=asked["answer_by_s"],
        ttl_s=asked["ttl_s"],
    )
    if not as_json:
        lasts = f", until {format_rfc3339(expires_s)}" if decision == "given" else ""
        show_fields(
            {
                "asked by": requested.identity,
                "grant": requested.grant,
                "reason": asked["reason"],
                "your answer": f"{decision}{lasts}",
            }
        )
    message = answer_message(asked["origin"], requested, decision, expires_s)
    fields = {"decision": decision, "person": person, "expires_s": expires_s, "reason": reason}
    body = check_body(AnswerBody, fields | {"signature": sign_message(message, NAMESPACE, key)})
    done = caller.answer_approval(requested.seq, body)
    if as_json:
        show_json(done)
        return
    note(f"on record as entry {done['entry']}")
    if decision == "refused" and asked["given_by"]:
        note(
            "certificates that were issued under it go on until they end: "
            f"`chancery cert list --subject {requested.identity} --state active`, and `cert revoke`"
        )
    if decision == "given":
        note(f"it lasts until {format_rfc3339(expires_s)}, {format_duration(expires_s - asked['now_s'])}")


def _row(each: Mapping[str, Any]) -> tuple[object, ...]:
    state, answers = each["state"], each["answers"]
    given = sum(one["answer"] == "given" for one in answers)
    counted = f"{state}, {given} of {each['needed']}" if state in {"open", "given"} else state
    answered = ", ".join(f"{one['person']} {one['answer']}" for one in answers)
    able = set(each["approvers"]) - {one["person"] for one in answers} if state == "open" else ()
    times = (counted, each.get("ends", each["answer_by"]))
    asked = (each["approval"], each["identity"], each["grant"])
    return *asked, *times, answered, ", ".join(sorted(able)), each["reason"]


def _seconds(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from error
