"""``chancery init``."""

from __future__ import annotations

import getpass
import json
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from string import Template

import click
from pydantic import ValidationError

import appliance.setup
from appliance.authority.orders import OrderBody
from appliance.cli.console import Shell, examples, json_option, note, pass_shell, plain_errors, show_json
from appliance.cli.ordering import VALIDITY_S, sign_order
from appliance.cli.values import NAME, read_text
from appliance.clock import now_s
from appliance.config import TokenTable
from appliance.errors import ConfigError
from appliance.policy.document import PolicyFile
from appliance.setup.directory import ExistingToken, Wishes, initialise
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import format_public_key_line, parse_public_key_line
from appliance.words import explain
from hsm.algorithm import Algorithm

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@click.command(
    epilog=examples(
        "chancery --data ~/ca init --single-user --origin ca.example.org --operator alice --key ~/.ssh/id",
        "chancery init --origin ca.example.org --operator alice --key ~/.ssh/id.pub --policy policy.toml "
        "--module /usr/lib/yubihsm_pkcs11.so --token YubiHSM "
        "--token-setting 'environment={YUBIHSM_PKCS11_CONF=\"/etc/yubihsm_pkcs11.conf\"}'",
    )
)
@click.option("--origin", required=True, help="The log's name for ever, such as ca.example.org.")
@click.option("--operator", required=True, type=NAME, help="Your name as the first operator.")
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Your SSH key, which signs orders; its .pub file if it is in the agent.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The first policy; without one, a policy with you as its operator and no grant.",
)
@click.option("--listen", default="127.0.0.1:8443", show_default=True, help="Where the service listens.")
@click.option("--health", default="127.0.0.1:8444", show_default=True, help="Where health checks go.")
@click.option("--name", "names", multiple=True, help="Names and addresses for the TLS certificate.")
@click.option(
    "--ca-algorithm",
    type=click.Choice([algorithm.value for algorithm in Algorithm]),
    default=Algorithm.ECDSA_P256.value,
    show_default=True,
    help="What kind of key the CAs get.",
)
@click.option("--single-user", is_flag=True, help="Run everything as the user that starts it.")
@click.option("--module", type=click.Path(path_type=Path, exists=True), help="A PKCS#11 module, for an HSM.")
@click.option("--token", "label", help="With --module: the label of the token in it.")
@click.option("--pin", default="prompt", show_default=True, help="With --module: file:PATH or prompt.")
@click.option(
    "--token-setting",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="With --module: another setting of [token], such as sessions=16 or 'tolerate=[\"CKA_DECRYPT\"]'.",
)
@json_option
@pass_shell
@plain_errors
def init(
    shell: Shell,
    origin: str,
    operator: str,
    key: Path,
    policies: tuple[Path, ...],
    listen: str,
    health: str,
    names: tuple[str, ...],
    ca_algorithm: str,
    single_user: bool,
    module: Path | None,
    label: str | None,
    pin: str,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a data directory: token, keys, CAs, ledger, first policy and TLS key pair."""
    if (module is None) != (label is None):
        raise click.UsageError("--module and --token go together")
    token = None
    if module is not None and label is not None:
        parsed = dict(map(_parse_setting, settings))
        token = ExistingToken(module=module.absolute(), label=label, pin=pin, settings=parsed)
        _check_token(token)
    files = _read_policies(policies) if policies else (_first_policy(operator, key),)
    wishes = Wishes(
        data=shell.data,
        origin=f"{origin}/log/1",
        files=files,
        listen=listen,
        health=health,
        names=names or (socket.getfqdn(), *_LOCAL_NAMES),
        ca_algorithm=Algorithm(ca_algorithm),
        single_user=single_user,
        token=token,
    )

    def sign(command: Mapping[str, object], policy_seq: int) -> OrderBody:
        return sign_order(
            command,
            origin=wishes.origin,
            policy_seq=policy_seq,
            expires_s=now_s() + VALIDITY_S,
            operator=operator,
            key=key,
        )

    config = initialise(wishes, sign, note)
    if as_json:
        vkey = (config.data / "ledger.vkey").read_text("utf-8").strip()
        show_json(
            {"data": str(config.data), "origin": wishes.origin, "ledger_key": vkey, "listen": listen}
            | {"health": health, "policies": [str(config.data / file.name) for file in files]}
        )
    else:
        note(f"{shell.data} is ready: start it with `chancery --data {shell.data} serve`")


def _parse_setting(text: str) -> tuple[str, str]:
    """Split NAME=VALUE; a value that is not TOML is taken for text."""
    name, equals, value = text.partition("=")
    if not equals or name in {"module", "label", "pin", "softhsm"}:
        raise click.UsageError(f"--token-setting {text}: expected NAME=VALUE, and no option's own name")
    try:
        tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return name, json.dumps(value)
    return name, value


def _check_token(token: ExistingToken) -> None:
    """Refuse settings that chancery.toml could not have, before anything is made."""
    table = tomllib.loads("".join(f"{name} = {value}\n" for name, value in token.settings.items()))
    try:
        TokenTable.model_validate(table | {"module": token.module, "label": token.label, "pin": token.pin})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"token.{'.'.join(map(str, first['loc']))}: {explain(first)}") from error


def _read_policies(paths: tuple[Path, ...]) -> tuple[PolicyFile, ...]:
    return tuple(PolicyFile(name=path.name, text=read_text(path)) for path in paths)


def _first_policy(operator: str, key: Path) -> PolicyFile:
    """Fill in the template: the operator, and the public half of the key."""
    public = key if key.suffix == ".pub" else key.with_name(f"{key.name}.pub")
    try:
        line = format_public_key_line(parse_public_key_line(read_text(public).strip()))
    except (OSError, SshFormatError) as error:
        raise ConfigError(f"{public}: the public half of --key cannot be read: {error}") from error
    template = Path(appliance.setup.__path__[0]) / "templates" / "policy.toml"
    text = Template(template.read_text("utf-8")).substitute(
        operator=operator, key=line, user=getpass.getuser()
    )
    return PolicyFile(name="policy.toml", text=text)
