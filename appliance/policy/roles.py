"""Who may order what of the appliance itself.

Two kinds of power: an *order* is signed with an operator's SSH key and is checked wherever it is applied or
audited; an *act* rests on the requester's identity alone, and only reads, enrols or takes away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from appliance.identity.identity import Identity
from appliance.policy.document import Operator, Policy, Role

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
}

ACT_ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "certificate.read": frozenset({"auditor"}),
    "certificate.revoke": frozenset({"admin", "operator"}),
    "credential.revoke": frozenset({"admin", "operator"}),
    "host.certify": frozenset({"enroller"}),
    "host.read": frozenset({"admin", "auditor", "enroller", "operator"}),
    "ledger.read": frozenset({"auditor"}),
    "policy.read": frozenset({"admin"}),
}


def roles_of(policy: Policy, identity: Identity) -> frozenset[Role]:
    """Return the roles that the policy gives this identity."""
    name = str(identity)
    return frozenset(
        role
        for operator in policy.operators.values()
        if name in operator.identities
        for role in operator.roles
    )


def may_act(policy: Policy, identity: Identity, act: str) -> bool:
    """Say whether the identity may do ``act``, one of :data:`ACT_ROLES`."""
    return not ACT_ROLES[act].isdisjoint(roles_of(policy, identity))


def may_order(operator: Operator, verb: str) -> bool:
    """Say whether the operator may give orders with this verb; an unknown verb nobody may."""
    return not ORDER_ROLES.get(verb, frozenset()).isdisjoint(operator.roles)
