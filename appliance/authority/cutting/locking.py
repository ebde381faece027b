"""Locks placed and lifted: placing is an act that only takes away, lifting is an order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from appliance.authority.cutting.cutoff import held_by
from appliance.authority.cutting.cutting import Cause
from appliance.authority.cutting.locks import find_covered, find_enrolled, is_host
from appliance.authority.cutting.revocation import check_may, check_no_ca_key
from appliance.authority.events import Event, LockLifted, LockPlaced, OrderData
from appliance.authority.fold.state import State
from appliance.authority.ordering.administration import Answer, CarryOut
from appliance.authority.ordering.commands import LiftLock
from appliance.authority.orders import OrderBody
from appliance.authority.writer import At
from appliance.cutting import LockBody
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.policy.document import Policy
from appliance.policy.locks import Lock, Target


def find_lock(identity: Identity, body: LockBody, state: State, at: At) -> Cause:
    """Find what placing a lock records; one that stands already is completed, and not placed twice.

    Raises:
        Refusal: ``policy-denied``; ``not-found``, there is nothing of that name; ``conflict``, a CA's key.
    """
    policy = check_may(state, identity, "lock.place")
    _check_exists(state, policy, body.target)
    lock = state.locks.find_on(body.target)
    events: tuple[Event, ...] = ()
    if lock is None:
        lock = Lock(seq=at.seq, target=body.target, accounts=_accounts(policy, body.target))
        events = (Event(kind="lock.placed", data=_place(lock, body.reason, identity)),)
    return Cause(
        events=events,
        certificates=lambda state: find_covered(state, state.in_force().policy, lock),
        check=partial(_check_in_force, lock.seq),
        find_spared=lambda state, now_s: find_enrolled(state, state.in_force().policy, lock, now_s),
        reason=body.reason,
        by=lock.seq,
    )


def lift_lock(command: LiftLock, orders: Sequence[OrderBody], answer: Answer) -> CarryOut:
    """Lift a lock; the certificates that it revoked stay revoked."""
    return CarryOut(command, orders, partial(_build_lifting, command), answer)


def _place(lock: Lock, reason: str, identity: Identity) -> LockPlaced:
    kind, name = lock.target
    data = LockPlaced(kind=kind, name=name, reason=reason, by=identity.to_data())
    if lock.accounts:
        data["accounts"] = list(lock.accounts)
    return data


def _accounts(policy: Policy, target: Target) -> tuple[str, ...]:
    return tuple(sorted(policy.persons[target.name].identities)) if target.kind == "person" else ()


def _check_exists(state: State, policy: Policy, target: Target) -> None:
    """Check that there is what is to be locked: a lock on a name that was mistyped would protect nobody.

    Identities and keys need not have been seen yet.
    """
    kind, name = target
    match kind:
        case "person":
            exists = name in policy.persons
        case "group":
            exists = ":" in name or name in policy.groups
        case "host":
            exists = name in state.hosts or bool(held_by(state, [f"host:{name}"]))
        case "ca":
            exists = name in state.cas
        case "key":
            check_no_ca_key(state, name)
            exists = True
        case "identity" | "service":
            exists = not is_host(name)
    if not exists:
        instead = ": lock the host, by its name" if is_host(name) else ""
        raise Refusal("not-found", f"there is no {kind} {name}{instead}")


def _check_in_force(seq: int, state: State) -> None:
    if seq not in state.locks.in_force:
        raise Refusal("not-found", f"entry {seq} is no lock in force")


def _build_lifting(command: LiftLock, state: State, _at: At, orders: list[OrderData]) -> list[Event]:
    _check_in_force(command.lock, state)
    data = LockLifted(lock=command.lock, command=command.to_command(), orders=orders)
    if command.reason is not None:
        data["reason"] = command.reason
    return [Event(kind="lock.lifted", data=data)]
