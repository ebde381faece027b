"""Which step a CA's key may take when, so that at no step anybody is locked out. Pure.

A key signs only after hosts have been told to trust it for as long as the policy's ``trust_wait`` says, and
hosts are told to trust the old one until no certificate of it is live. An order can say that it shall be done
all the same; that is part of what its operators have signed. A halted key signs nothing and hosts drop it, so
that there is nothing to wait for.

The authority asks these rules before it records a step, an audit asks them again about each step on record.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from appliance.authority.events import CaPhase, Event, OrderData
from appliance.authority.fold.records import Ca, CaKey, IssuedCertificate, Phase
from appliance.authority.fold.state import State
from appliance.authority.ordering.commands import CaStep, CreateCa, PromoteCa, RetireCa, RotateCa, TrustCa
from appliance.clock import format_rfc3339
from appliance.errors import Refusal
from appliance.policy.values import DEFAULT_TRUST_WAIT_S
from appliance.ssh.keys import format_public_key_line, from_cryptography
from hsm.token import NewKey

NewCaKey: TypeAlias = CreateCa | RotateCa
# The phase that each step leads to.
STEPS: Final[Mapping[type[CaStep], Phase]] = {
    TrustCa: "trusted",
    PromoteCa: "signing",
    RetireCa: "retired",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The certificates of one key that are live: how many, and when the last of them ends."""

    count: int = 0
    until_s: int = 0


def count_live(certificates: Iterable[IssuedCertificate], now_s: int) -> dict[str, Live]:
    """Return what is live of each key, by fingerprint; those count that are still with the token.

    Takes most of a second for a million certificates.
    """
    ends: defaultdict[str, list[int]] = defaultdict(list)
    for each in certificates:
        if each.valid_before > now_s and not each.revoked and each.outcome in {None, "issued"}:
            ends[each.ca_key].append(each.valid_before)
    return {key: Live(count=len(found), until_s=max(found)) for key, found in ends.items()}


def check_new_key(command: NewCaKey, state: State) -> Ca | CreateCa:
    """Check that a CA may get one more key; return what says its type and customer.

    Raises:
        Refusal: ``conflict`` or ``not-found``.
    """
    known = state.cas.get(command.name)
    if isinstance(command, RotateCa):
        return _check_rotation(command, known)
    if known is None:
        return command
    if (known.type, known.customer) != (command.type, command.customer):
        raise Refusal("conflict", f"the CA {known.name} is for {known.type} certificates of {known.customer}")
    if known.signing_key is not None:
        raise Refusal(
            "conflict",
            f"the CA {known.name} has a key that signs; hosts must trust the new one first: order ca.rotate",
        )
    return _check_none_waits(known)


def _check_rotation(command: RotateCa, known: Ca | None) -> Ca:
    if known is None:
        raise Refusal("not-found", f"there is no CA {command.name}: make one with `chancery ca create`")
    return _check_none_waits(known)


def _check_none_waits(known: Ca) -> Ca:
    waiting = next((key for key in known.keys if is_waiting(key)), None)
    if waiting is not None:
        raise Refusal(
            "conflict",
            f"the CA {known.name} has a next key already, {waiting.fingerprint}: promote or retire it first",
        )
    return known


def is_waiting(key: CaKey) -> bool:
    """Say whether a key is one that is to sign, and has not signed yet."""
    return key.phase in {"created", "trusted"} and not key.has_signed and not key.halted


def new_key_events(
    command: NewCaKey, of: Ca | CreateCa, made: NewKey, orders: list[OrderData]
) -> list[Event]:
    """Return the entries that take a new key through its first phases."""
    data = CaPhase(
        name=of.name,
        type=of.type,
        public_key=format_public_key_line(from_cryptography(made.record.public_key)),
        transcript=made.transcript,
        command=command.to_command(),
        orders=orders,
    )
    if of.customer is not None:
        data["customer"] = of.customer
    if made.attestation is not None:
        data["attestation"] = base64.b64encode(made.attestation).decode()
    return [Event(kind=f"ca.{phase}", data=data) for phase in command.PHASES[command.phase]]


def step_event(command: CaStep, state: State, now_s: int, orders: list[OrderData]) -> Event:
    """Return the entry of a step that may be taken now.

    Raises:
        Refusal: it may not, and when it may.
    """
    ca, key = find_key(command, state)
    data = CaPhase(
        name=ca.name,
        type=ca.type,
        public_key=format_public_key_line(key.public_key),
        transcript=check_step(command, state, now_s),
        command=command.to_command(),
        orders=orders,
    )
    if ca.customer is not None:
        data["customer"] = ca.customer
    return Event(kind=f"ca.{STEPS[type(command)]}", data=data)


def find_key(command: CaStep, state: State) -> tuple[Ca, CaKey]:
    """Return the CA and the key that a step is about.

    Raises:
        Refusal: ``not-found``.
    """
    ca = state.cas.get(command.name)
    key = None if ca is None else ca.find_key(command.key)
    if ca is None or key is None:
        raise Refusal("not-found", f"there is no key {command.key} of a CA {command.name}")
    return ca, key


def check_step(command: CaStep, state: State, now_s: int) -> str:
    """Check that a key may take a step; return the words for the record on what that rests.

    Raises:
        Refusal: ``conflict``, ``not-found``.
    """
    ca, key = find_key(command, state)
    match command:
        case TrustCa():
            return _check_trust(ca, key)
        case PromoteCa():
            return _check_promotion(command, ca, key, now_s, trust_wait_s(state))
    # On the writer's thread, and so at the cost of whoever waits: there are a few retirements in a year.
    live = count_live(state.certificates.values(), now_s).get(key.fingerprint, Live())
    return _check_retirement(command, ca, key, live)


def trust_wait_s(state: State) -> int:
    """Return for how many seconds a key must be trusted before it signs, as the policy in force says."""
    return DEFAULT_TRUST_WAIT_S if state.applied is None else state.applied.policy.trust_wait_s


def _check_trust(ca: Ca, key: CaKey) -> str:
    _check_phase(ca, key, {"created"}, "only one that was just created can become trusted")
    _check_not_halted(ca, key)
    return "trusted by order, after it was created"


def _check_promotion(command: PromoteCa, ca: Ca, key: CaKey, now_s: int, wait_s: int) -> str:
    _check_phase(ca, key, {"trusted"}, "hosts must trust it first")
    _check_not_halted(ca, key)
    trusted_s = now_s - key.trusted_ms // 1000
    since = f"trusted for {trusted_s} s of {wait_s} s"
    if trusted_s >= wait_s:
        return since
    if (old := ca.signing_key) is None or old.halted:
        return f"{since}; no other key of the CA signs"
    if command.now:
        return f"{since}; ordered to sign now all the same"
    ready = format_rfc3339(key.trusted_ms // 1000 + wait_s)
    raise Refusal(
        "conflict",
        f"{ca.name}: {key.fingerprint} may sign from {ready} on, when all hosts have had the time to learn "
        "of it; --now has it sign at once, and locks out who logs in to a host that has not",
    )


def _check_retirement(command: CaStep, ca: Ca, key: CaKey, live: Live) -> str:
    _check_phase(ca, key, {"created", "trusted"}, "another key must sign first: promote one")
    found = f"{live.count} live certificates"
    if key.halted:
        return f"{found}; halted, so that hosts do not trust it any more"
    if not live.count:
        return found
    if isinstance(command, RetireCa) and command.force:
        return f"{found}; ordered to retire all the same"
    until = format_rfc3339(live.until_s)
    raise Refusal(
        "conflict",
        f"{ca.name}: {live.count} certificates of {key.fingerprint} are live, the last until {until}: wait, "
        "or revoke them; --force retires it now, and locks out whoever holds one",
    )


def _check_phase(ca: Ca, key: CaKey, phases: set[Phase], why: str) -> None:
    if key.phase not in phases:
        raise Refusal("conflict", f"{ca.name}: {key.fingerprint} is {key.phase}; {why}")


def _check_not_halted(ca: Ca, key: CaKey) -> None:
    if key.halted:
        raise Refusal("conflict", f"{ca.name}: {key.fingerprint} gave a bad signature and signs nothing more")


def next_step(ca: Ca, key: CaKey, live: Live, now_s: int, wait_s: int) -> str:
    """Return what is to be done next about a key, in words; empty if nothing is."""
    if key.phase == "retired":
        return ""
    if key.phase == "signing":
        return f"it is halted: `chancery ca rotate {ca.name}`" if key.halted and not _has_next(ca) else ""
    if is_waiting(key):
        return _next_of_waiting(ca, key, now_s, wait_s)
    if live.count and not key.halted:
        return f"`chancery ca retire {ca.name}` from {format_rfc3339(live.until_s)} on"
    return f"`chancery ca retire {ca.name}`"


def _next_of_waiting(ca: Ca, key: CaKey, now_s: int, wait_s: int) -> str:
    if key.phase == "created":
        return f"`chancery ca trust {ca.name}`"
    ready_s = key.trusted_ms // 1000 + wait_s
    old = ca.signing_key
    if now_s >= ready_s or old is None or old.halted:
        return f"`chancery ca promote {ca.name}`"
    return f"`chancery ca promote {ca.name}` from {format_rfc3339(ready_s)} on"


def _has_next(ca: Ca) -> bool:
    return any(is_waiting(key) for key in ca.keys)
