"""Orders from the command line: the command is signed with the operator's own key, by ``ssh-keygen``.

So keys in an agent, with a passphrase or on a FIDO token work as they do everywhere else, and this program
never sees a private key.
"""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from appliance.authority.commands import CommandBody
from appliance.authority.orders import NAMESPACE, OrderBody, order_message
from appliance.cli.console import Shell, note
from appliance.errors import ChanceryError
from appliance.ssh.errors import SshFormatError
from appliance.ssh.sshsig import parse_armored_sshsig

# Enough for a second operator to sign the same day; an order is carried out within seconds as a rule.
VALIDITY_S: Final = 3_600


class SigningRefused(ChanceryError):
    """ssh-keygen did not sign."""


def order_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say who orders and with which key."""
    key = click.option(
        "--key",
        required=True,
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="The operator's SSH key; a .pub file for a key in the agent.",
    )
    operator = click.option("--operator", required=True, help="The operator's name in the policy.")
    return operator(key(command))


def give_order(
    shell: Shell, command: CommandBody, *, operator: str, key: Path, **more: object
) -> dict[str, Any]:
    """Sign a command for the policy in force and have it carried out; return what was recorded.

    Raises:
        Refusal: the authority's, or it does not run.
        SigningRefused: there is no signature.
    """
    context = shell.ask("context")
    members = command.to_command()
    order = sign_order(
        members,
        origin=context["origin"],
        policy_seq=context["policy"],
        expires_s=context["now_s"] + VALIDITY_S,
        operator=operator,
        key=key,
    )
    done: dict[str, Any] = shell.ask("order", command=members, orders=[order.model_dump()], **more)
    note(f"on record as entry {', '.join(str(entry['seq']) for entry in done['entries'])}")
    return done


def sign_order(
    command: Mapping[str, object], *, origin: str, policy_seq: int, expires_s: int, operator: str, key: Path
) -> OrderBody:
    """Have ssh-keygen sign an order.

    Raises:
        SigningRefused: there is no signature.
    """
    message = order_message(origin, command, policy_seq, expires_s)
    # ssh-keygen asks for a passphrase on the terminal itself, whatever its other streams are.
    done = subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", key],
        input=message,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip()
        raise SigningRefused(f"ssh-keygen did not sign the order with {key}: {why}")
    try:
        blob = parse_armored_sshsig(done.stdout.decode("ascii", "replace"))
    except SshFormatError as error:
        raise SigningRefused(f"ssh-keygen made no signature that can be read: {error}") from error
    return OrderBody(
        operator=operator,
        policy=policy_seq,
        expires_s=expires_s,
        signature=base64.b64encode(blob).decode(),
    )
