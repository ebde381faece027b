"""``chancery ca rotate``, ``trust``, ``promote`` and ``retire``: a CA's next key, step by step."""

from __future__ import annotations

from typing import Any, Final

import click

from appliance.authority.ordering.commands import PromoteCa, RetireCa, RotateCa, TrustCa
from appliance.cli.console import Shell, examples, json_option, pass_shell, plain_errors
from appliance.cli.cutting import show_live
from appliance.cli.ordering import Ordering, give_order, order_options, show_given
from appliance.clock import now_s
from appliance.errors import Refusal
from appliance.index.going_on import key_going_on
from appliance.requests import check_body
from hsm.algorithm import Algorithm

_ORDER: Final = "--operator carol --key ~/.ssh/id_ed25519"
_fingerprint = click.argument("fingerprint", required=False, metavar="[SHA256:…]")


@click.command(
    epilog=examples(
        f"chancery ca rotate acme-users {_ORDER}",
        f"chancery ca rotate acme-users --algorithm ed25519 --phase created {_ORDER}",
    )
)
@click.argument("name")
@click.option(
    "--algorithm",
    type=click.Choice([algorithm.value for algorithm in Algorithm]),
    default=Algorithm.ECDSA_P256.value,
    show_default=True,
    help="What kind of key; it need not be the old one's.",
)
@click.option(
    "--phase",
    type=click.Choice(["trusted", "created"]),
    default="trusted",
    show_default=True,
    help="`created` to read its transcript before any host is told to trust it.",
)
@order_options
@json_option
@pass_shell
@plain_errors
def rotate(shell: Shell, name: str, algorithm: str, phase: str, ordering: Ordering, as_json: bool) -> None:
    """Make the next key of the CA NAME on the token: trusted by hosts, and not yet signing."""
    members = {"verb": "ca.rotate", "name": name, "algorithm": algorithm, "phase": phase}
    given = give_order(shell, check_body(RotateCa, members), ordering)
    hint = f"`chancery ca list` says when it may sign; clients of a host CA need `chancery ca export {name}`"
    show_given(given, as_json=as_json, hint=hint, ca=name)


@click.command(epilog=examples(f"chancery ca trust acme-users {_ORDER}"))
@click.argument("name")
@_fingerprint
@order_options
@json_option
@pass_shell
@plain_errors
def trust(shell: Shell, name: str, fingerprint: str | None, ordering: Ordering, as_json: bool) -> None:
    """Tell hosts to trust a key of the CA NAME that was only created."""
    key = fingerprint or _find(shell, name, "was just created", phase="created")
    given = give_order(shell, check_body(TrustCa, {"name": name, "key": key}), ordering)
    show_given(given, as_json=as_json, ca=name, key=key)


@click.command(
    epilog=examples(
        f"chancery ca promote acme-users {_ORDER}",
        f"chancery ca promote acme-users SHA256:… {_ORDER}    # back to the key that signed before",
    )
)
@click.argument("name")
@_fingerprint
@click.option("--now", is_flag=True, help="Also if hosts may not have learnt of it; part of the order.")
@order_options
@json_option
@pass_shell
@plain_errors
def promote(
    shell: Shell, name: str, fingerprint: str | None, now: bool, ordering: Ordering, as_json: bool
) -> None:
    """Have the next key of the CA NAME sign from now on. The one that signs now stays trusted."""
    key = fingerprint or _find(
        shell, name, "is trusted and has not signed", phase="trusted", has_signed=False
    )
    members = {"name": name, "key": key} | ({"now": True} if now else {})
    given = give_order(shell, check_body(PromoteCa, members), ordering)
    show_given(given, as_json=as_json, ca=name, key=key)


@click.command(
    epilog=examples(
        f"chancery ca retire acme-users {_ORDER}",
        f"chancery ca retire acme-users SHA256:… --force {_ORDER}",
    )
)
@click.argument("name")
@_fingerprint
@click.option("--force", is_flag=True, help="Also if certificates of it are live; part of the order.")
@order_options
@json_option
@pass_shell
@plain_errors
def retire(
    shell: Shell, name: str, fingerprint: str | None, force: bool, ordering: Ordering, as_json: bool
) -> None:
    """Have hosts trust the old key of the CA NAME no more, for ever."""
    key = fingerprint or _find(shell, name, "has signed and is trusted", phase="trusted", has_signed=True)
    members = {"name": name, "key": key} | ({"force": True} if force else {})
    given = give_order(shell, check_body(RetireCa, members), ordering)
    hint = "hosts drop it with their next bundle; what clients have in known_hosts is theirs to remove"
    locked_out = key_going_on(shell.index(), name, key, given.entries, now_s()) if force else {}
    show_given(given, as_json=as_json, hint=hint, ca=name, key=key, **locked_out)
    if not as_json and locked_out:
        show_live(locked_out)


def _find(shell: Shell, name: str, what: str, **wanted: object) -> str:
    """Find the one key of a CA that a step can be about.

    Raises:
        Refusal: ``not-found`` or ``conflict``; there is none, or several.
    """
    found: list[dict[str, Any]] = [
        key
        for key in shell.ask("cas")["cas"]
        if key["ca"] == name and all(key[member] == value for member, value in wanted.items())
    ]
    if not found:
        raise Refusal("not-found", f"no key of a CA {name} {what}: see `chancery ca list`")
    if len(found) > 1:
        keys = ", ".join(key["fingerprint"] for key in found)
        raise Refusal("conflict", f"of the CA {name}, more than one key {what}: name one of {keys}")
    fingerprint: str = found[0]["fingerprint"]
    return fingerprint
