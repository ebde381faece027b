"""``chancery policy``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from appliance.authority.ordering.commands import ApplyPolicy
from appliance.cli.console import (
    EXIT_FAILED,
    Shell,
    examples,
    json_option,
    note,
    pass_shell,
    plain_errors,
    show_json,
)
from appliance.cli.explaining import explain_access, explain_options
from appliance.cli.ordering import Ordering, give_order, order_options, show_given
from appliance.cli.planning import show_plan, sum_up
from appliance.cli.sight import require_all, shown_customers
from appliance.clock import now_ms
from appliance.errors import Refusal
from appliance.index.queries import IndexUnavailable, Snapshot
from appliance.index.standing import read_standing
from appliance.policy.check import check_policy
from appliance.policy.document import Policy, PolicyError, PolicyFile, parse_policy
from appliance.policy.holidays import with_holidays
from appliance.policy.plan import Plan, plan
from appliance.policy.roles import list_files

_files = click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)


@click.group()
def policy() -> None:
    """The policy: who may log in where, as whom, and for how long."""


@policy.command(epilog=examples("chancery policy check policy.toml", "chancery policy check policies/*.toml"))
@_files
@json_option
@plain_errors
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check FILES, offline: every problem with file, table and key."""
    read = _read(files)
    try:
        checked = _check(read)
    except PolicyError as error:
        if not as_json:
            raise
        show_json({"valid": False, "problems": [asdict(problem) for problem in error.problems]})
        sys.exit(EXIT_FAILED)
    if as_json:
        digests = [{"name": each.name, "sha256": each.sha256} for each in ApplyPolicy.of(read).files]
        show_json({"valid": True, "files": digests, "problems": []})
        return
    note(
        f"{len(checked.files)} files: {len(checked.customers)} customers, {len(checked.host_groups)} host "
        f"groups, {len(checked.grants)} grants, {len(checked.operators)} operators; nothing wrong with them"
    )


@policy.command(
    "plan",
    epilog=examples(
        "chancery policy plan policies/*.toml",
        "chancery policy plan --against old/policy.toml new/policy.toml",
    ),
)
@_files
@click.option(
    "--against",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Compare with these files, offline, and not with the policy in force.",
)
@json_option
@pass_shell
@plain_errors
def plan_(shell: Shell, files: tuple[Path, ...], against: tuple[Path, ...], as_json: bool) -> None:
    """Say what FILES would change: who gains and who loses which login where, and which limits move."""
    after = _check(_read(files))
    if against:
        planned = plan(_check(_read(against)), after, now_s=now_ms() // 1000)
    else:
        with shell.look() as snapshot:
            planned = _plan(snapshot, after)
    if as_json:
        show_json(planned.to_data())
    else:
        show_plan(planned)


@policy.command(epilog=examples("chancery policy apply policy.toml --operator carol --key ~/.ssh/id_ed25519"))
@_files
@order_options
@json_option
@pass_shell
@plain_errors
def apply(shell: Shell, files: tuple[Path, ...], ordering: Ordering, as_json: bool) -> None:
    """Apply FILES, in their order: from then on every decision follows them, and no others."""
    read = _read(files)
    _note_changes(shell, _check(read))
    texts = [{"name": file.name, "text": file.text} for file in read]
    given = give_order(shell, ApplyPolicy.of(read), ordering, files=texts)
    show_given(given, as_json=as_json)


@policy.command(epilog=examples("chancery policy show", "chancery policy show --json"))
@json_option
@pass_shell
@plain_errors
def show(shell: Shell, as_json: bool) -> None:
    """Print the policy in force."""
    with shell.look() as snapshot:
        seq, in_force = snapshot.policy_seq(), snapshot.policy()
        if seq is None or in_force is None:
            raise Refusal("not-found", "no policy has been applied")
        files = list_files(in_force, shown_customers(snapshot, "policy.read"))
        size = snapshot.size
    if as_json:
        texts = [{"name": file.name, "text": file.text} for file in files]
        show_json({"policy": seq, "files": texts, "ledger_size": size})
        return
    note(f"applied by entry {seq}")
    for file in files:
        click.echo(f"# {file.name}\n{file.text}", nl=not file.text.endswith("\n"))


@policy.command(
    epilog=examples(
        "chancery policy explain api:alice --host db-7.acme.example --login postgres",
        "chancery policy explain oidc:ada --login root --group oidc:ops --json",
    )
)
@click.argument("subject", required=False)
@explain_options
@json_option
@pass_shell
@plain_errors
def explain(shell: Shell, /, groups: tuple[str, ...], as_json: bool, **asked: str | None) -> None:
    """Say what every grant makes of SUBJECT: which gives, which refuses and why, and when next."""
    explain_access(shell, groups, asked, as_json=as_json)


def _plan(snapshot: Snapshot, after: Policy) -> Plan:
    """Compare a policy with the one in force, for whoever sees all of it."""
    require_all(snapshot)
    before, now_s = snapshot.policy(), now_ms() // 1000
    if before is None:
        raise Refusal("not-found", "no policy has been applied: name files with --against")
    hosts = snapshot.fleet().registered(snapshot.size)
    return plan(before, after, hosts, read_standing(snapshot, now_s), now_s=now_s)


def _note_changes(shell: Shell, after: Policy) -> None:
    """Say in a line, before anyone signs, what a policy would change."""
    try:
        with shell.look() as snapshot:
            planned = _plan(snapshot, after)
    except (IndexUnavailable, Refusal) as error:
        note(f"what this changes is not known beforehand: {error}")
        return
    note(f"access that changes: {sum_up(planned)}; `policy plan` says more")


def _read(paths: tuple[Path, ...]) -> list[PolicyFile]:
    return [PolicyFile(name=path.name, text=path.read_text("utf-8")) for path in paths]


def _check(files: list[PolicyFile]) -> Policy:
    parsed = parse_policy(files)
    check_policy(parsed)
    return with_holidays(parsed, now_ms() // 1000)
