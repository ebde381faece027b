"""The data directory: what lies where, and how it comes to be."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Final

from appliance.authority.fold.state import State
from appliance.authority.founding import Plan, SignOrder, found_log
from appliance.authority.startup import open_token
from appliance.clock import now_ms, now_s
from appliance.config import FILE_NAME, Config, UsersTable, load_config
from appliance.errors import ConfigError
from appliance.policy.document import PolicyFile
from appliance.setup.tls import make_server_certificate
from appliance.setup.users import assign_owners, make_users
from audit.stores.sqlite import SqliteStore
from hsm.algorithm import Algorithm
from hsm.pin import Pin
from hsm.softhsm import create_token, find_module

SOFTHSM_LABEL: Final = "chancery"
_PIN_BYTES: Final = 24
_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingToken:
    """A token that is there already: an HSM. ``settings`` are further ones of ``[token]``, values in TOML."""

    module: Path
    label: str
    pin: str
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What whoever runs ``chancery init`` decides."""

    data: Path
    origin: str
    files: tuple[PolicyFile, ...]
    listen: str
    health: str
    names: tuple[str, ...]
    ca_algorithm: Algorithm
    single_user: bool
    token: ExistingToken | None = None


def initialise(wishes: Wishes, sign_order: SignOrder, on_progress: Callable[[str], None]) -> Config:
    """Make a data directory with everything that ``chancery serve`` needs; return its configuration.

    Raises:
        ConfigError: the directory holds something already, or a system user cannot be made.
        Refusal: the policy is none, or its operator has not signed.
        HsmError: the token cannot be made or used.
    """
    users = None if wishes.single_user else UsersTable()
    if users is not None:
        make_users(users)
    _make_directories(wishes.data)
    token = wishes.token or _make_softhsm(wishes.data, on_progress)
    _write(wishes.data / FILE_NAME, _render_config(wishes, token, users), 0o644)
    config = load_config(wishes.data)
    _make_tls(config, wishes.names)
    plan = Plan(
        origin=wishes.origin,
        log_number=1,
        files=wishes.files,
        ca_algorithm=wishes.ca_algorithm,
        software=f"chancery {version('chancery')}",
    )
    state = _found(config, plan, sign_order, on_progress)
    # For whoever verifies: to be copied to where nobody who can write here can write.
    _write(config.data / "ledger.vkey", f"{state.ledger_key}\n", 0o644)
    for file in wishes.files:
        _write(config.data / file.name, file.text, 0o644)
    (config.data / "index.db").symlink_to(config.index.relative_to(config.data))
    if users is not None:
        assign_owners(config, users)
    return config


def _make_directories(data: Path) -> None:
    if data.exists() and any(data.iterdir()):
        raise ConfigError(
            f"{data} is not empty; a log is never begun anew over an old one: name another directory, or "
            "remove this one if nothing in it is needed"
        )
    for name, mode in (("", 0o755), ("run", 0o755), ("token", 0o700), ("tls", 0o755), ("index", 0o750)):
        directory = data / name
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(mode)


def _make_softhsm(data: Path, on_progress: Callable[[str], None]) -> ExistingToken:
    on_progress("making a SoftHSM token")
    pin, so_pin = (secrets.token_urlsafe(_PIN_BYTES) for _ in range(2))
    _write(data / "token" / "pin", f"{pin}\n", 0o600)
    _write(data / "token" / "so-pin", f"{so_pin}\n", 0o600)
    create_token(data / "token", SOFTHSM_LABEL, pin=Pin(pin), so_pin=Pin(so_pin))
    return ExistingToken(module=find_module(), label=SOFTHSM_LABEL, pin="file:token/pin")


def _make_tls(config: Config, names: tuple[str, ...]) -> None:
    key, certificate = make_server_certificate(names, now_s())
    _write(config.path(config.tls.key), key.decode(), 0o600)
    _write(config.path(config.tls.certificate), certificate.decode(), 0o644)


def _found(config: Config, plan: Plan, sign_order: SignOrder, on_progress: Callable[[str], None]) -> State:
    token = open_token(config)
    store = SqliteStore.create(config.ledger)
    try:
        nonce = secrets.token_bytes(32)
        return found_log(
            store, token, plan, sign_order, nonce=nonce, now_ms=now_ms(), on_progress=on_progress
        )
    finally:
        store.close()
        token.close()


def _render_config(wishes: Wishes, token: ExistingToken, users: UsersTable | None) -> str:
    template = Template((_TEMPLATES / "chancery.toml").read_text("utf-8"))
    softhsm = 'softhsm = "token/softhsm2.conf"' if wishes.token is None else "# softhsm = …"
    text = template.substitute(
        listen=wishes.listen,
        health=wishes.health,
        module=token.module,
        label=token.label,
        pin=token.pin,
        softhsm=softhsm,
        settings="".join(f"{name} = {value}\n" for name, value in token.settings.items()),
    )
    return text if users is None else f"{text}\n{(_TEMPLATES / 'users.toml').read_text('utf-8')}"


def _write(path: Path, text: str, mode: int) -> None:
    """Write a new file that was never readable by more than ``mode`` says."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    path.chmod(mode)
