"""Orders from the command line: the command is signed with the operator's own key, by ``ssh-keygen``.

So keys in an agent, with a passphrase or on a FIDO token work as they do everywhere else, and this program
never sees a private key.
"""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import click
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from appliance.authority.ordering.commands import CommandBody
from appliance.authority.orders import MAX_VALIDITY_S, NAMESPACE, OrderBody, order_message
from appliance.cli.console import Shell, note, show_json
from appliance.cli.values import NAME
from appliance.errors import ChanceryError, Refusal
from appliance.ssh.errors import SshFormatError
from appliance.ssh.sshsig import parse_armored_sshsig
from audit.entry import canonical_json
from audit.errors import EntryError

# An order is carried out within seconds as a rule.
VALIDITY_S: Final = 3_600


# Less than the longest that the authority takes, by what clocks may differ.
SIGN_ONLY_VALIDITY_S: Final = MAX_VALIDITY_S - 600


class UnusableOrderFile(ChanceryError):
    """A file that is no order file."""


class SigningRefused(ChanceryError):
    """ssh-keygen did not sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """Who orders, with which key, and where to leave the order if another operator is to add his."""

    operator: str
    key: Path
    sign_only: Path | None


def _check_command(command: dict[str, Any]) -> dict[str, Any]:
    """Check that an order can be of this at all; what it orders is for the authority to check."""
    if not isinstance(command.get("verb"), str):
        raise ValueError("command: expected one with a verb")  # noqa: TRY004 - what pydantic takes
    try:
        canonical_json(command)
    except EntryError as error:
        raise ValueError(f"command: {error}") from error
    return command


class OrderFile(BaseModel):
    """A command and the orders for it so far, on its way from one operator to the next."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["chancery/order/v1"] = "chancery/order/v1"
    origin: str
    command: Annotated[dict[str, Any], AfterValidator(_check_command)]
    orders: tuple[OrderBody, ...]
    files: tuple[dict[str, str], ...] = ()


def order_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say who orders and with which key; the command gets them as ``ordering``."""

    @wraps(command)
    def collect(*arguments: Any, operator: str, key: Path, sign_only: Path | None, **more: Any) -> None:
        command(*arguments, ordering=Ordering(operator=operator, key=key, sign_only=sign_only), **more)

    options = (
        click.option("--operator", required=True, type=NAME, help="The operator's name in the policy."),
        click.option(
            "--key",
            required=True,
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="The operator's SSH key; a .pub file for a key in the agent.",
        ),
        click.option(
            "--sign-only",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Leave the signed order in FILE, for another operator to give: see `chancery order`.",
        ),
    )
    for option in reversed(options):
        collect = option(collect)
    return collect


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What came of an order: its entries, or the file that it was left in for another operator."""

    entries: tuple[Mapping[str, Any], ...] = ()
    left_in: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it for a program."""
        if self.left_in is not None:
            return {"done": False, "order": str(self.left_in)}
        return {"done": True, "entries": [dict(entry) for entry in self.entries]}


def show_given(given: Given, *, as_json: bool, hint: str = "", **more: object) -> None:
    """Show what came of an order; ``hint`` is for a person, ``more`` members are for a program."""
    if as_json:
        show_json(given.to_json() | more)
    elif given.left_in is not None:
        note(
            f"nothing was done yet: within {SIGN_ONLY_VALIDITY_S // 3600} h another operator runs\n"
            f"  chancery order give {given.left_in} --operator NAME --key KEY"
        )
    else:
        note(f"on record as entry {', '.join(str(entry['seq']) for entry in given.entries)}")
        if hint:
            note(hint)


def give_order(
    shell: Shell, command: CommandBody, ordering: Ordering, *, files: Sequence[dict[str, str]] = ()
) -> Given:
    """Sign a command for the policy in force and have it carried out.

    Raises:
        Refusal: the authority's, or it does not run.
        SigningRefused: there is no signature.
    """
    origin = shell.ask("context")["origin"]
    unsigned = OrderFile(origin=origin, command=dict(command.to_command()), orders=(), files=tuple(files))
    return add_order(shell, unsigned, ordering)


def add_order(shell: Shell, order_file: OrderFile, ordering: Ordering) -> Given:
    """Add one operator's order to those of a file, and give them or leave them; as :func:`give_order`."""
    context = shell.ask("context")
    if order_file.origin != context["origin"]:
        raise Refusal("conflict", f"the order is for {order_file.origin}, this is {context['origin']}")
    wait_s = VALIDITY_S if ordering.sign_only is None else SIGN_ONLY_VALIDITY_S
    order = sign_order(
        order_file.command,
        origin=context["origin"],
        policy_seq=context["policy"],
        expires_s=context["now_s"] + wait_s,
        operator=ordering.operator,
        key=ordering.key,
    )
    signed = order_file.model_copy(update={"orders": (*order_file.orders, order)})
    if ordering.sign_only is not None:
        ordering.sign_only.write_text(signed.model_dump_json(indent=2) + "\n", "utf-8")
        return Given(left_in=ordering.sign_only)
    more = {"files": list(signed.files)} if signed.files else {}
    orders = [each.model_dump() for each in signed.orders]
    done: dict[str, Any] = shell.ask("order", command=signed.command, orders=orders, **more)
    return Given(entries=tuple(done["entries"]))


def read_order_file(path: Path) -> OrderFile:
    """Read what ``--sign-only`` left.

    Raises:
        UnusableOrderFile: it is none.
    """
    try:
        return OrderFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise UnusableOrderFile(f"{path}: not what --sign-only leaves: {first}") from error


def sign_order(
    command: Mapping[str, object], *, origin: str, policy_seq: int, expires_s: int, operator: str, key: Path
) -> OrderBody:
    """Have ssh-keygen sign an order.

    Raises:
        SigningRefused: there is no signature.
    """
    signature = sign_message(order_message(origin, command, policy_seq, expires_s), NAMESPACE, key)
    return OrderBody(operator=operator, policy=policy_seq, expires_s=expires_s, signature=signature)


def sign_message(message: bytes, namespace: str, key: Path) -> str:
    """Have ssh-keygen sign a message, and return the SSHSIG blob in base64.

    Raises:
        SigningRefused: there is no signature.
    """
    # ssh-keygen asks for a passphrase on the terminal itself, whatever its other streams are.
    done = subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", key],
        input=message,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip()
        raise SigningRefused(f"ssh-keygen did not sign with {key}: {why}")
    try:
        blob = parse_armored_sshsig(done.stdout.decode("ascii", "replace"))
    except SshFormatError as error:
        raise SigningRefused(f"ssh-keygen made no signature that can be read: {error}") from error
    return base64.b64encode(blob).decode()
