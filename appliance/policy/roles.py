"""Who may order what of the appliance itself.

Two kinds of power: an *order* is signed with an operator's SSH key and is checked wherever it is applied or
audited; an *act* rests on the requester's identity alone, and only reads, enrols or takes away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from appliance.identity.identity import Identity
from appliance.policy.document import Policy, PolicyFile
from appliance.policy.tables import Operator, Role

# Whose records somebody sees: those of these customers, or of all, and what belongs to none of them.
Customers: TypeAlias = frozenset[str] | None
ALL: Final[Customers] = None

ORDER_ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "policy.apply": frozenset({"admin"}),
    "ca.create": frozenset({"admin"}),
    "ca.rotate": frozenset({"admin"}),
    "ca.trust": frozenset({"admin"}),
    "ca.promote": frozenset({"admin"}),
    "ca.retire": frozenset({"admin"}),
    "credential.create": frozenset({"admin"}),
    "host.add": frozenset({"admin", "enroller"}),
    "host.remove": frozenset({"admin", "enroller"}),
    "lock.lift": frozenset({"admin", "operator"}),
    "leave.cancel": frozenset({"admin", "operator"}),
}

ACT_ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "approval.read": frozenset({"admin", "auditor", "operator"}),
    "certificate.read": frozenset({"auditor"}),
    "certificate.revoke": frozenset({"admin", "operator"}),
    "credential.revoke": frozenset({"admin", "operator"}),
    "host.certify": frozenset({"enroller"}),
    "host.read": frozenset({"admin", "auditor", "enroller", "operator"}),
    "lock.place": frozenset({"admin", "operator"}),
    "lock.read": frozenset({"admin", "auditor", "operator"}),
    "leave.book": frozenset({"admin", "operator"}),
    "leave.read": frozenset({"admin", "auditor", "operator"}),
    "ledger.read": frozenset({"auditor"}),
    "policy.read": frozenset({"admin"}),
}

# What belongs to one customer or another. All else, the ledger first of all, is everyone's.
BY_CUSTOMER: Final = frozenset({"certificate.read", "host.read", "policy.read"})


def roles_of(policy: Policy, identity: Identity) -> frozenset[Role]:
    """Return the roles that the policy gives this identity, be it for all customers or for some."""
    return frozenset(role for operator in _operators(policy, identity) for role in operator.roles)


def may_act(policy: Policy, identity: Identity, act: str) -> bool:
    """Say whether the identity may do ``act``, one of :data:`ACT_ROLES`, whoever's it is.

    An auditor of some customers may not: what he sees is for :func:`seen_customers` to say.
    """
    return any(str(identity) in operator.identities for operator in able_to_act(policy, act))


def able_to_act(policy: Policy, act: str) -> list[Operator]:
    """Return the operators who may do ``act`` for all customers."""
    return [
        operator
        for operator in policy.operators.values()
        if not operator.customers and not ACT_ROLES[act].isdisjoint(operator.roles)
    ]


def say_lacking(policy: Policy, identity: Identity, act: str) -> str:
    """Say in words why an identity may not do ``act``."""
    roles = " or ".join(sorted(ACT_ROLES[act]))
    has_it = not ACT_ROLES[act].isdisjoint(roles_of(policy, identity))
    return f"{identity} has not the role {roles}{' for all customers' if has_it else ''}"


def seen_customers(policy: Policy, identity: Identity, act: str) -> Customers:
    """Return the customers whose records ``act`` shows to this identity.

    An auditor of some customers reads all that is theirs alone: also the files of the policy that they have.
    """
    if may_act(policy, identity, act):
        return ALL
    if act not in BY_CUSTOMER:
        return frozenset()
    return frozenset(name for operator in _operators(policy, identity) for name in operator.customers)


def is_seen(customer: str | None, customers: Customers) -> bool:
    """Say whether what belongs to a customer, or to none, is among what these customers have."""
    return customers is None or customer in customers


def list_files(policy: Policy, customers: Customers) -> list[PolicyFile]:
    """Return the files of a policy that may be read: all, or these customers' own."""
    owners = {name: document.customer for name, document in policy.documents}
    return [file for file in policy.files if is_seen(owners[file.name], customers)]


def narrow(customer: str | None, customers: frozenset[str]) -> list[str]:
    """Return those of ``customers`` that a question about one of them, or about any, is about; sorted."""
    return sorted(customers if customer is None else customers & {customer})


def _operators(policy: Policy, identity: Identity) -> Iterator[Operator]:
    name = str(identity)
    return (operator for operator in policy.operators.values() if name in operator.identities)


def may_order(operator: Operator, verb: str) -> bool:
    """Say whether the operator may give orders with this verb; an unknown verb nobody may."""
    return not ORDER_ROLES.get(verb, frozenset()).isdisjoint(operator.roles)


def able_to_order(policy: Policy, verb: str) -> list[Operator]:
    """Return the operators who may give orders with this verb, and have a key to sign them with."""
    return [each for each in policy.operators.values() if each.keys and may_order(each, verb)]
