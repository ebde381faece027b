"""From a data directory to a working authority: what must hold before anything may be issued.

1. The ledger is locked, read whole and hashed again; chain and checkpoints must be what was written.
2. Every key on record is for one purpose alone, and the token is told to hold all of them; until it does,
   nothing is issued (:mod:`hsm.pool` opens it, and again whenever it breaks).
3. An intent without an outcome is closed as abandoned: a signature may exist that nobody was given.

A ledger that is not what it must be raises. A token that is not leaves reading and cutting off at work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from appliance.authority.cutting.cutting import complete_cuts
from appliance.authority.events import CertificateUnfulfilled, Event
from appliance.authority.fold.state import State
from appliance.authority.life import Node, Tail
from appliance.authority.probe import probe_message
from appliance.config import Config, credentials_directory
from appliance.errors import ConfigError
from appliance.ssh.keys import PublicKey, fingerprint, from_cryptography
from appliance.ssh.keys import parse_public_key_line as parse_line
from audit.checkpoint import Checkpoint, open_checkpoint
from audit.ledger import Ledger
from audit.note import NotePrivateKey, parse_vkey
from audit.stores.sqlite import SqliteStore
from hsm.algorithm import PublicKey as TokenPublicKey
from hsm.connection import Connection, Probe, TokenSource
from hsm.errors import KeyRefused
from hsm.keys import PrivateKey
from hsm.module import Module, load_module
from hsm.pin import Pin, pin_from_credential, pin_from_file, pin_from_prompt
from hsm.pool import Limits, Pool
from hsm.softhsm import use_configuration
from hsm.token import Token

ABANDONED: Final = "the authority ended before there was an outcome"
# Phases in which a CA's key may be asked to sign, now or after the next step of its rotation.
_NEEDED_PHASES: Final = frozenset({"created", "trusted", "signing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A ledger that was read whole, the state that it folds to, and where the last checkpoint ends."""

    ledger: Ledger
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The pool's keys by purpose; those of the CAs by fingerprint."""

    ledger: NotePrivateKey
    bundle: PrivateKey
    probe: PrivateKey
    cas: dict[str, PrivateKey]


def open_token(config: Config, *, pin: Pin | None = None) -> Token:
    """Load the PKCS#11 module and log in to the token.

    Raises:
        HsmError: it is not there, or does not take the PIN.
    """
    source = token_source(config, pin)
    return source.open(source.load(), source.read_pin())


def token_source(config: Config, pin: Pin | None = None) -> TokenSource:
    """Return where the token is; a PIN that was typed in is given, others are read anew each time."""
    table = config.token

    def load() -> Module:
        if table.softhsm is not None:
            use_configuration(config.path(table.softhsm))
        return load_module(
            config.path(table.module), parameters=table.parameters, environment=table.environment
        )

    return TokenSource(
        load=load,
        label=table.label,
        read_pin=lambda: pin or read_pin(config),
        tolerated=table.tolerate,
        attestation=table.attestation,
    )


def make_pool(
    config: Config,
    state: State,
    *,
    pin: Pin | None,
    now_ms: Callable[[], int],
    restart: Callable[[str], None],
) -> Pool:
    """Return a pool for the token, not yet started; its probes are those of :mod:`appliance.authority.probe`.

    A PIN that was typed in would not survive a restart, so there ``restart`` is not offered.
    """
    probe = Probe(
        public_key=_public_key(parse_line(state.probe_key)),
        message=lambda: probe_message(state.origin, now_ms()),
    )
    limits = Limits(
        sessions=config.token.sessions,
        sign_s=config.token.sign_deadline_s,
        turn_s=config.token.turn_deadline_s,
        keep_alive_s=config.token.keep_alive_s,
        restart_after_s=config.token.restart_after_s,
    )
    connection = Connection(token_source(config, pin), probe)
    return Pool(connection, limits, restart=restart if config.token.pin != "prompt" else None)


def read_pin(config: Config) -> Pin:
    """Read the PIN from where the configuration says.

    Raises:
        PinRefused: it cannot be read, or lies open.
    """
    kind, _, where = config.token.pin.partition(":")
    if kind == "file":
        return pin_from_file(config.data / where)
    if kind == "prompt":
        return pin_from_prompt(f"PIN of the token {config.token.label}: ")
    directory = credentials_directory()
    if directory is None:
        raise ConfigError(
            f"token.pin is {config.token.pin}, but systemd has handed over no credentials: start the unit, "
            "or configure file:PATH"
        )
    return pin_from_credential(directory, where)


def open_ledger(config: Config) -> Opened:
    """Open the ledger for writing, and read all of it (step 1).

    Raises:
        LedgerInUse: another authority runs on it.
        LedgerError: it is not what was written, or cannot be read.
    """
    state = State()

    def verify_checkpoint(note: str) -> Checkpoint:
        return open_checkpoint(note, parse_vkey(state.ledger_key))

    store = SqliteStore.open(config.ledger)
    try:
        ledger = Ledger.open(store, on_entry=state.apply, verify_checkpoint=verify_checkpoint)
    except BaseException:
        store.close()
        raise
    return Opened(ledger=ledger, state=state)


def find_keys(state: State, pool: Pool) -> Keys:
    """Have the pool expect every key on record, each for one purpose (step 2).

    Raises:
        KeyRefused: two purposes share a key.
    """
    keys = {
        fingerprint(key): pool.private_key(_public_key(key), purpose)
        for purpose, key in _keys_on_record(state)
    }
    return Keys(
        ledger=_as_note_key(keys[fingerprint(_ledger_key(state))]),
        bundle=keys[fingerprint(parse_line(state.bundle_key))],
        probe=keys[fingerprint(parse_line(state.probe_key))],
        cas={print_: key for print_, key in keys.items() if print_ in _ca_fingerprints(state)},
    )


def begin(opened: Opened, node: Node, now_ms: int) -> None:
    """Record that the node has started, and close or complete what the last one left open (step 3)."""
    with opened.ledger.batch(now_ms) as batch:
        events = [node.sign_of_life("node.started", batch.frontier), *abandon(opened.state.open_intents)]
        for event in events:
            opened.state.apply(batch.append(event.kind, event.data))
    complete_cuts(opened.ledger, opened.state, now_ms)


def abandon(open_intents: set[int]) -> Iterator[Event]:
    """Yield the entries that close intents without an outcome."""
    for seq in sorted(open_intents):
        data = CertificateUnfulfilled(intent=seq, reason=ABANDONED, requested=True)
        yield Event(kind="certificate.abandoned", data=data)


def find_tail(ledger: Ledger) -> Tail:
    """Return where to go on hashing: all that is there was just verified, signed or not."""
    return Tail(tree=ledger.frontier, head_hash=ledger.head_hash)


def _keys_on_record(state: State) -> Iterator[tuple[str, PublicKey]]:
    yield "the ledger key", _ledger_key(state)
    yield "the bundle key", parse_line(state.bundle_key)
    yield "the probe key", parse_line(state.probe_key)
    for ca in state.cas.values():
        for key in ca.keys:
            if key.phase in _NEEDED_PHASES:
                yield f"a key of the CA {ca.name}", key.public_key


def _ledger_key(state: State) -> PublicKey:
    return from_cryptography(parse_vkey(state.ledger_key).public_key)


def _ca_fingerprints(state: State) -> set[str]:
    return {key.fingerprint for ca in state.cas.values() for key in ca.keys}


def _as_note_key(key: PrivateKey) -> NotePrivateKey:
    if not isinstance(key, NotePrivateKey):
        raise KeyRefused("the ledger key on record is neither Ed25519 nor P-256")
    return key


def _public_key(key: PublicKey) -> TokenPublicKey:
    return key.to_cryptography()
