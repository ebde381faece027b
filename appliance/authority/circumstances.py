"""What the state holds about who asks, as a decision takes it. Pure."""

from __future__ import annotations

from appliance.authority.records import AppliedPolicy
from appliance.authority.state import State
from appliance.identity.identity import Identity
from appliance.policy.circumstances import Circumstances


def find_circumstances(state: State, applied: AppliedPolicy, identity: Identity) -> Circumstances:
    """Return the circumstances of a request by this identity."""
    name = str(identity)
    return Circumstances(leaves=state.leaves.of(applied.policy, name), approvals=state.approvals.of(name))
