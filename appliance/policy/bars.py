"""What bars somebody whatever his grants say: locks on him, and CAs of customers that sign nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from appliance.identity.identity import Identity
from appliance.policy.document import Policy
from appliance.policy.locks import Locks, Target, say_locked
from appliance.policy.requirements import Obstacle


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A lock on him; those on providers' groups, by group; and by customer what keeps its CA from signing."""

    himself: Obstacle | None = None
    groups: Mapping[str, Obstacle] = field(default_factory=dict)
    customers: Mapping[str, Obstacle] = field(default_factory=dict)


NO_BARS: Final = Bars()


def find_bars(policy: Policy, locks: Locks, identity: Identity, phases: Mapping[str, str]) -> Bars:
    """Find what bars an identity; ``phases`` are those of the customers' user CAs, as access has them.

    Everything but ``signing`` is one in which a CA signs nothing.
    """
    lock = locks.find(locks.targets_of(policy, str(identity), identity.groups))
    groups = (each for each in locks.of_kind("group") if ":" in each.target.name)
    customers = {
        name: _bar_ca(locks, customer.user_ca, phases[name]) for name, customer in policy.customers.items()
    }
    return Bars(
        himself=None if lock is None else Obstacle(rule="lock", detail=say_locked(lock)),
        groups={each.target.name: Obstacle(rule="lock", detail=say_locked(each)) for each in groups},
        customers={name: bar for name, bar in customers.items() if bar is not None},
    )


def _bar_ca(locks: Locks, ca: str, phase: str) -> Obstacle | None:
    lock = locks.find([Target("ca", ca)])
    if lock is not None:
        return Obstacle(rule="lock", detail=say_locked(lock))
    if phase == "signing":
        return None
    why = "is halted" if phase == "halted" else "has no key that signs"
    return Obstacle(rule="ca", detail=f"the CA {ca} {why}")
