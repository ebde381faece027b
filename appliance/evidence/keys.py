"""CA keys, judged again: each phase was ordered and could come then, and no key serves two purposes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import ValidationError

from appliance.authority.cas.rotation import STEPS, check_new_key, check_step, find_key
from appliance.authority.fold.ca_keys import keys_of_log, purpose_of_ca
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
from appliance.ssh.keys import PublicKey, fingerprint, parse_public_key_line
from audit.entry import Entry

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
        elif entry.kind == "ca.created" and isinstance(command, CreateCa | RotateCa):
            if known is not None and known.find_key(fingerprint(public_key)) is not None:
                raise WrongStep("the key is on record already")
            check_new_key(command, state)
    except Refusal as refusal:
        raise WrongStep(refusal.detail) from refusal


@dataclass(slots=True)
class FirstPhases:
    """The phases that a new key goes through by the order that makes it: entries one behind the other.

    ``_due`` is the kind that has to come next, with the key and the order of the one before.
    """

    _due: tuple[str, object] | None = None

    def follow(self, entry: Entry) -> None:
        """Note an entry of any kind.

        Raises:
            WrongStep: a phase is missing before this entry.
        """
        kinds = _list_first(entry)
        place = kinds.index(entry.kind) if entry.kind in kinds else 0
        same = [entry.data.get(name) for name in ("public_key", "command", "orders")]
        if place and self._due != (entry.kind, same):
            raise WrongStep("the key did not go through the phases before this one by the same order")
        left = None if place else self._due
        self._due = (kinds[place + 1], same) if kinds[place + 1 :] else None
        if left is not None:
            raise WrongStep(f"{left[0]} is not on record, which was ordered with the phases before it")

    def conclude(self) -> None:
        """Check that no phase is missing at the end; raises as :meth:`follow`."""
        if self._due is not None:
            raise WrongStep(f"{self._due[0]} is not on record, which was ordered with the phases before it")


def _list_first(entry: Entry) -> list[str]:
    """Return the kinds of the phases that the order of an entry takes a new key through."""
    if entry.kind not in PHASE_KINDS:
        return []
    command = _parse(cast(Mapping[str, Any], entry.data["command"]))
    if not isinstance(command, CreateCa | RotateCa):
        return []
    return [f"ca.{phase}" for phase in command.PHASES[command.phase]]


def check_opened(entry: Entry) -> None:
    """Check that the keys of a log are three.

    Raises:
        SharedKey: two of them are the same.
    """
    known: dict[str, str] = {}
    for print_, purpose in keys_of_log(entry.data):
        if known.setdefault(print_, purpose) != purpose:
            raise SharedKey(f"the key {print_} is that of {known[print_]} and of {purpose}")


def check_halt(state: State, entry: Entry) -> None:
    """Check that a key was halted for a signature of its own that went wrong.

    The signature is nowhere. That the token was asked for it is what the entry directly before says.

    Raises:
        WrongStep: the key is not of that CA, or did not fail so.
    """
    data: Mapping[str, Any] = entry.data
    ca, known = state.cas.get(data["name"]), state.certificates.get(data["intent"])
    if ca is None or ca.find_key(data["ca_key"]) is None:
        raise WrongStep(f"there is no key {data['ca_key']} of a CA {data['name']}")
    if known is None or known.ca_key != data["ca_key"]:
        raise WrongStep(f"the token was not asked for a signature by this key in entry {data['intent']}")
    if (known.outcome, known.outcome_seq, known.revoked) != ("failed", entry.seq - 1, True):
        raise WrongStep(f"the signature for entry {data['intent']} did not fail right before")


def _check_single_purpose(state: State, ca: str, public_key: PublicKey) -> None:
    purpose = state.own_keys.get(fingerprint(public_key))
    if purpose not in {None, purpose_of_ca(ca)}:
        raise SharedKey(f"the key {fingerprint(public_key)} is that of {purpose} too")


def _parse(command: Mapping[str, Any]) -> CommandBody:
    model = _COMMANDS.get(str(command.get("verb")))
    if model is None:
        raise BadOrder(f"a CA key rests on the order {command.get('verb')!r}")
    try:
        return model.model_validate(command)
    except ValidationError as error:
        raise BadOrder(f"the order {command['verb']!r} has a form that no order has") from error
