"""From a data directory to a working authority: what must hold before anything may be issued.

1. The ledger is locked, read whole and hashed again; chain and checkpoints must be what was written.
2. The token must hold every key that is on record, each for one purpose alone.
3. An intent without an outcome is closed as abandoned: a signature may exist that nobody was given.

Whatever is not so raises, and nothing is issued.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.authority.events import CertificateUnfulfilled, Event
from appliance.authority.life import Node, Tail
from appliance.authority.state import State
from appliance.config import Config, credentials_directory
from appliance.errors import ChanceryError, ConfigError
from appliance.ssh.keys import PublicKey, fingerprint, format_public_key_line, from_cryptography
from appliance.ssh.keys import parse_public_key_line as parse_line
from appliance.ssh.signature import SigningKey
from audit.checkpoint import Checkpoint, open_checkpoint
from audit.ledger import Ledger
from audit.note import NotePrivateKey, parse_vkey
from audit.stores.sqlite import SqliteStore
from hsm.module import load_module
from hsm.pin import Pin, pin_from_credential, pin_from_file, pin_from_prompt
from hsm.softhsm import use_configuration
from hsm.token import Token

ABANDONED: Final = "the authority ended before there was an outcome"
# Phases in which a CA's key may be asked to sign, now or after the next step of its rotation.
_NEEDED_PHASES: Final = frozenset({"created", "trusted", "signing"})


class KeyMissing(ChanceryError):
    """The token is not the one that the ledger speaks of, or two purposes share a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A ledger that was read whole, the state that it folds to, and where the last checkpoint ends."""

    ledger: Ledger
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The token's keys by purpose; those of the CAs by fingerprint."""

    ledger: NotePrivateKey
    probe: SigningKey
    cas: dict[str, SigningKey]


def open_token(config: Config, *, pin: Pin | None = None) -> Token:
    """Load the PKCS#11 module and log in to the token.

    Raises:
        HsmError: it is not there, or does not take the PIN.
    """
    if config.token.softhsm is not None:
        use_configuration(config.path(config.token.softhsm))
    module = load_module(config.path(config.token.module))
    return Token.open(module, config.token.label, pin or read_pin(config))


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


def find_keys(state: State, token: Token) -> Keys:
    """Find every key on record in the token, and check that no two purposes share one (step 2).

    Raises:
        KeyMissing: one is not there, or stands for two purposes.
        HsmError: the token cannot say, or a key's attributes are not as they must be.
    """
    on_record = list(_keys_on_record(state))
    _check_purposes(on_record)
    records = token.keys()
    held = {format_public_key_line(from_cryptography(record.public_key)): record for record in records}
    found: dict[str, SigningKey] = {}
    for purpose, key in on_record:
        record = held.get(format_public_key_line(key))
        if record is None:
            raise KeyMissing(
                f"the token {token.label!r} does not hold {purpose}, {fingerprint(key)}: is it the right one?"
            )
        found[fingerprint(key)] = token.private_key(record.public_key)
    ledger_key = found[fingerprint(_ledger_key(state))]
    return Keys(
        ledger=_as_note_key(ledger_key),
        probe=found[fingerprint(parse_line(state.probe_key))],
        cas={print_: key for print_, key in found.items() if print_ in _ca_fingerprints(state)},
    )


def begin(opened: Opened, node: Node, now_ms: int) -> None:
    """Record that the node has started, and close what the last one left open (step 3)."""
    with opened.ledger.batch(now_ms) as batch:
        events = [node.sign_of_life("node.started", batch.frontier), *abandon(opened.state.open_intents)]
        for event in events:
            opened.state.apply(batch.append(event.kind, event.data))


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


def _check_purposes(on_record: Sequence[tuple[str, PublicKey]]) -> None:
    seen: dict[bytes, str] = {}
    for purpose, key in on_record:
        other = seen.setdefault(key.blob, purpose)
        if other != purpose:
            raise KeyMissing(f"{purpose} and {other} are one key, {fingerprint(key)}: key purposes never mix")


def _as_note_key(key: SigningKey) -> NotePrivateKey:
    if not isinstance(key, NotePrivateKey):
        raise KeyMissing("the ledger key is neither Ed25519 nor P-256")
    return key
