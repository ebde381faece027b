"""CA keys, judged again: each phase was ordered and could come then, and no key serves two purposes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from appliance.authority.cas.rotation import STEPS, check_new_key, check_step, find_key
from appliance.authority.fold.state import State
from appliance.authority.ordering.commands import (
    CaStep,
    CommandBody,
    CreateCa,
    PromoteCa,
    RetireCa,
    RotateCa,
    TrustCa,
)
from appliance.errors import Refusal
from appliance.evidence.findings import Code, Found
from appliance.ssh.keys import PublicKey, fingerprint, from_cryptography, parse_public_key_line
from audit.entry import Entry
from audit.note import parse_vkey

PHASE_KINDS: Final = frozenset({"ca.created", "ca.trusted", "ca.signing", "ca.retired"})
_COMMANDS: Final[Mapping[str, type[CommandBody]]] = {
    "ca.create": CreateCa,
    "ca.rotate": RotateCa,
    "ca.trust": TrustCa,
    "ca.promote": PromoteCa,
    "ca.retire": RetireCa,
}
# How the token's public keys tell which algorithm was ordered.
_KEY_TYPES: Final[Mapping[str, str]] = {
    "ecdsa-p256": "ecdsa-sha2-nistp256",
    "ecdsa-p384": "ecdsa-sha2-nistp384",
    "ecdsa-p521": "ecdsa-sha2-nistp521",
    "ed25519": "ssh-ed25519",
    "rsa-3072": "ssh-rsa",
    "rsa-4096": "ssh-rsa",
}


class BadOrder(Found):
    """An entry that rests on an order which nobody with the power to give it gave, or which says another."""

    code = Code.BAD_ORDER


class SharedKey(Found):
    """A key that serves two purposes."""

    code = Code.SHARED_KEY


class WrongStep(Found):
    """A CA key in a phase that it could not enter then."""

    code = Code.WRONG_STEP


def check_key_order(kind: str, data: Mapping[str, Any], command: Mapping[str, Any]) -> None:
    """Check that a key entered a phase as it was ordered to.

    Raises:
        BadOrder: something else was ordered.
    """
    ordered = _parse(command)
    if isinstance(ordered, CaStep):
        fits = ordered.key == fingerprint(parse_public_key_line(data["public_key"]))
        phases: tuple[str, ...] = (STEPS[type(ordered)],)
    elif isinstance(ordered, CreateCa | RotateCa):
        fits = _KEY_TYPES[ordered.algorithm] == parse_public_key_line(data["public_key"]).type
        phases = ordered.PHASES[ordered.phase]
        if isinstance(ordered, CreateCa):
            fits = fits and (ordered.type, ordered.customer) == (data["type"], data.get("customer"))
    else:
        raise BadOrder(f"{kind} rests on the order {ordered.verb!r}")
    if not fits or ordered.name != data["name"] or kind.removeprefix("ca.") not in phases:
        raise BadOrder(f"{kind} is not what its order says")


def check_phase(state: State, entry: Entry) -> None:
    """Check on the state before it that a key could enter its phase, and is nobody else's.

    Raises:
        SharedKey: another purpose has the key.
        WrongStep: its CA is another, or the rules of :mod:`appliance.authority.cas.rotation` forbid it.
    """
    data: Mapping[str, Any] = entry.data
    public_key = parse_public_key_line(data["public_key"])
    _check_single_purpose(state, data["name"], public_key)
    known = state.cas.get(data["name"])
    if known is not None and (known.type, known.customer) != (data["type"], data.get("customer")):
        raise WrongStep(f"the CA {known.name} is for {known.type} certificates of {known.customer}")
    command = _parse(data["command"])
    try:
        if isinstance(command, CaStep):
            find_key(command, state)
            check_step(command, state, entry.time_ms // 1000)
        elif isinstance(command, CreateCa | RotateCa):
            _check_first_phases(state, entry.kind, command, public_key)
    except Refusal as refusal:
        raise WrongStep(refusal.detail) from refusal


def _check_first_phases(state: State, kind: str, command: CreateCa | RotateCa, public_key: PublicKey) -> None:
    """Check that a new key is new, and goes through its first phases one by one."""
    known = state.cas.get(command.name)
    key = None if known is None else known.find_key(fingerprint(public_key))
    if kind == "ca.created":
        if key is not None:
            raise WrongStep("the key is on record already")
        check_new_key(command, state)
        return
    phases = command.PHASES[command.phase]
    before = phases[phases.index(kind.removeprefix("ca.")) - 1]
    if key is None or key.phase != before:
        raise WrongStep(f"the key was not {before} before")


def _check_single_purpose(state: State, ca: str, public_key: PublicKey) -> None:
    others: list[tuple[str, PublicKey]] = [
        (other.name, key.public_key) for other in state.cas.values() for key in other.keys if other.name != ca
    ]
    others.append(("the ledger", from_cryptography(parse_vkey(state.ledger_key).public_key)))
    others += [
        (purpose, parse_public_key_line(line))
        for purpose, line in (("bundle", state.bundle_key), ("probe", state.probe_key))
    ]
    for name, other in others:
        if other == public_key:
            raise SharedKey(f"the key {fingerprint(public_key)} is that of {name} too")


def _parse(command: Mapping[str, Any]) -> CommandBody:
    model = _COMMANDS.get(str(command.get("verb")))
    if model is None:
        raise BadOrder(f"a CA key rests on the order {command.get('verb')!r}")
    try:
        return model.model_validate(command)
    except ValidationError as error:
        raise BadOrder(f"the order {command['verb']!r} has a form that no order has") from error
