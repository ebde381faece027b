"""Whose power counts: of several people where the policy asks for two, and while locks are in force. Pure.

A lock takes power from an operator only as long as others have enough of it. Placing one needs no order: else
whoever can place locks, a web tier that was taken over say, could leave an appliance of which nobody can
order anything any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from appliance.identity.identity import Identity
from appliance.policy.document import Policy
from appliance.policy.roles import able_to_act, able_to_order, may_act
from appliance.policy.tables import Operator
from appliance.ssh.keys import PublicKey, fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is cut off: ``locked`` says it of a person or identity, ``barred`` of a key by its fingerprint."""

    locked: Callable[[str], bool]
    barred: Callable[[str], bool]


NOTHING_LOCKED: Final = Standing(locked=lambda _name: False, barred=lambda _key: False)


def are_several(policy: Policy, operators: Iterable[Operator]) -> bool:
    """Say whether two of these operators are two people, as far as the policy tells."""
    people = [_people(policy, operator) for operator in operators]
    return any(one.isdisjoint(other) for one, other in combinations(people, 2))


def counting_keys(policy: Policy, verb: str, operator: Operator, standing: Standing) -> tuple[PublicKey, ...]:
    """Return the keys with which an operator's order counts: all but those that a lock is on.

    If not enough others may order the verb without, locks take nothing away.
    """
    free = [each for each in able_to_order(policy, verb) if _free_keys(policy, each, standing)]
    enough = are_several(policy, free) if verb in policy.two_operators else bool(free)
    return _free_keys(policy, operator, standing) if enough else operator.keys


def may_still_act(policy: Policy, identity: Identity, act: str, standing: Standing) -> bool:
    """Say whether an identity has the role for ``act``, and no lock is on it, or one on all who have it."""
    if not may_act(policy, identity, act):
        return False
    if not standing.locked(policy.who_is(str(identity))):
        return True
    able = {policy.who_is(name) for each in able_to_act(policy, act) for name in each.identities}
    return all(map(standing.locked, able))


def _free_keys(policy: Policy, operator: Operator, standing: Standing) -> tuple[PublicKey, ...]:
    if any(map(standing.locked, _accounts(policy, operator))):
        return ()
    return tuple(key for key in operator.keys if not standing.barred(fingerprint(key)))


def _accounts(policy: Policy, operator: Operator) -> set[str]:
    """Return the persons who have an operator's accounts or keys, and his accounts that are no person's."""
    owners = {each.name for each in policy.persons.values() if not set(each.keys).isdisjoint(operator.keys)}
    return owners | {policy.who_is(identity) for identity in operator.identities}


def _people(policy: Policy, operator: Operator) -> set[str]:
    """Return who an operator is. A local account that is no person's says nothing of who uses it.

    Of whom nothing is known, it is his name, written as neither persons nor identities are.
    """
    people = {name for name in _accounts(policy, operator) if not name.startswith("local:")}
    return people or {f"operator {operator.name}"}
